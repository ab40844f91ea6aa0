//! The keys of the pool's pane: moving, opening, filtering, sorting, marking, freezing. None of them ends a session: `f` opens the review that may.

use super::list::Sort;
use super::model::{CRITERIA, Model, Tab};
use super::tell;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::console::pool::Seen;
use crate::domain::filter::quoted;
use crate::domain::sessions::By;
use crate::procedures::pool_exhausted::shown;
use crate::protocol::key::Key;
use crate::protocol::run::{Inputs, Selection};
use std::sync::Arc;

#[must_use]
pub fn bindings(m: &Model, cx: &Context) -> Vec<Binding> {
    if m.is_editing() {
        return vec![Binding::new(Action::Open, "keep it"), Binding::new(Action::Back, "drop it")];
    }
    let seen = m.seen(cx);
    let read = seen.map(|_| ()).ok_or_else(|| "the sessions have not been read".to_string());
    let session = seen.and_then(|s| m.session(s)).map(|_| ()).ok_or_else(|| "no session is selected".to_string());
    let mut all = Vec::new();
    match m.tab {
        Tab::Sessions => {
            let fold = m.list.is_fold(m.list.cursor().at);
            all.push(if fold {
                Binding::new(Action::Open, "list them")
            } else {
                Binding::new(Action::Open, "detail").when(session.clone())
            });
            all.push(Binding::new(Action::Filter, "filter").when(read.clone()));
            all.push(Binding::new(Action::Sort, "sort").when(read.clone()));
            all.push(Binding::quiet(Action::Group).when(read.clone()));
            all.push(Binding::quiet(Action::Mark).when(session));
        }
        Tab::Groups => {
            let some = m.groups.get(m.group.at).map(|_| ()).ok_or_else(|| "nothing is selected".to_string());
            all.push(Binding::new(Action::Open, "its sessions").when(some));
            all.push(Binding::new(Action::Group, format!("by {}", criterion(m.by + 1))).when(read.clone()));
        }
        Tab::Blockers => all.push(Binding::new(Action::Open, "detail").when(session)),
        Tab::History => {}
    }
    let label = if m.list.marked.is_empty() { "fix" } else { "end the marked" };
    let fix = seen.map_or_else(|| Err("the sessions have not been read".to_string()), |s| fix(m, s).map(|_| ()));
    all.push(Binding::new(Action::Fix, label).when(fix));
    all.push(Binding::new(Action::Freeze, if m.frozen().is_some() { "go on" } else { "freeze" }).when(read.clone()));
    all.extend([Binding::new(Action::NextTab, "next tab"), Binding::quiet(Action::PreviousTab)]);
    all.push(Binding::new(Action::Why, "why").when(read.clone()));
    all.push(Binding::quiet(Action::Copy).when(read));
    all.extend([Binding::quiet(Action::Refresh), Binding::new(Action::Back, back_to(m))]);
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    if action == Action::Refresh {
        return vec![Ask::Sessions];
    }
    match action {
        Action::NextTab => m.turn(1),
        Action::PreviousTab => m.turn(Tab::ALL.len() - 1),
        Action::Back => {
            if !back(m) {
                return vec![Ask::Back];
            }
        }
        _ => {
            let Some(seen) = m.seen(cx).cloned() else { return Vec::new() };
            if let Some(asks) = with_sessions(m, action, &seen, cx) {
                return asks;
            }
        }
    }
    m.looked(cx)
}

/// What needs sessions. `None`: it changed what is shown, and asks for nothing itself.
fn with_sessions(m: &mut Model, action: Action, seen: &Arc<Seen>, cx: &Context) -> Option<Vec<Ask>> {
    if let Some(by) = action.rows(m.fit(seen, cx)) {
        m.by(by, cx);
        return None;
    }
    match action {
        Action::Open if m.tab == Tab::Groups => sessions_of(m),
        Action::Open if m.tab == Tab::Sessions && m.list.is_fold(m.list.cursor().at) => m.list.unfolded = true,
        Action::Open => return Some(m.session(seen).map(|s| tell::detail(m, seen, s)).into_iter().collect()),
        Action::Why => return Some(vec![tell::why(seen, cx)]),
        Action::Copy => return Some(vec![Ask::Copy(tell::copies(m, seen))]),
        Action::Filter => {
            // What is typed next is a further word of the filter.
            let given = m.list.field.text().trim_end().to_string();
            if !given.is_empty() {
                m.list.field.set(&format!("{given} "));
            }
            m.list.focused = true;
            m.list.begin_at_top();
        }
        Action::Sort => {
            let at = Sort::ALL.iter().position(|s| *s == m.list.sort).unwrap_or(0);
            m.list.sort = Sort::ALL[(at + 1) % Sort::ALL.len()];
            m.list.begin_at_top();
        }
        Action::Group if m.tab == Tab::Groups => m.next_criterion(),
        Action::Group => m.tab = Tab::Groups,
        Action::Mark => m.list.mark(seen),
        Action::Freeze => m.freeze(cx),
        Action::Fix => return Some(vec![fix(m, seen).unwrap_or_else(Ask::Say)]),
        _ => {}
    }
    None
}

/// The review of ending what is marked, or else what leaks. Each session goes with what it is shown to do.
fn fix(m: &Model, seen: &Seen) -> Result<Ask, String> {
    let start = |inputs| Ask::Start { procedure: "pool-exhausted".into(), inputs };
    if m.list.marked.is_empty() {
        let none = || "no session leaks: Space marks what is to be ended".to_string();
        return if seen.explained.leaking.is_empty() { Err(none()) } else { Ok(start(Inputs::default())) };
    }
    let marked = m.list.marked.iter().filter_map(|id| seen.activity.find(*id));
    let these: Vec<_> = marked.filter_map(|s| shown(s, &seen.activity)).collect();
    if these.is_empty() {
        return Err("what is marked has ended, or is hidden from our role".into());
    }
    Ok(start(Inputs::about(Selection::Sessions { these, chosen: true })))
}

/// A key while the filter has the focus: every letter narrows or widens at once.
pub fn edit(m: &mut Model, key: Key, cx: &Context) -> Vec<Ask> {
    match key {
        Key::Enter | Key::Tab | Key::BackTab => m.list.focused = false,
        Key::Esc => m.list.look(""),
        Key::Down => m.by(1, cx),
        Key::Up => m.by(-1, cx),
        key => {
            if !m.list.field.key(key) {
                return Vec::new();
            }
            m.list.begin_at_top();
        }
    }
    m.looked(cx)
}

/// What the list is counted by, in a word.
#[must_use]
pub fn criterion(by: usize) -> &'static str {
    CRITERIA[by % CRITERIA.len()].first().map_or("", |by| by.word())
}

/// The sessions of the group under the cursor, healthy ones too.
fn sessions_of(m: &mut Model) {
    let Some(group) = m.groups.get(m.group.at) else { return };
    let field = |by: &By| match by {
        By::Application => "app",
        By::Role => "role",
        By::Database => "db",
        By::Client => "client",
        By::State => "state",
    };
    let by = CRITERIA[m.by % CRITERIA.len()];
    let named = by.iter().zip(&group.keys).filter(|(_, value)| !value.is_empty());
    let text: Vec<String> = named.map(|(by, value)| format!("{}:{}", field(by), quoted(value))).collect();
    m.list.look(&text.join(" "));
    m.tab = Tab::Sessions;
}

fn back_to(m: &Model) -> &'static str {
    match m.tab {
        Tab::Sessions if !m.list.field.is_empty() => "all sessions",
        Tab::Sessions if m.list.unfolded => "fold",
        _ => "back",
    }
}

/// One step back within the pane: out of the filter, then out of what was unfolded. Whether there was one.
fn back(m: &mut Model) -> bool {
    if m.tab != Tab::Sessions {
        return false;
    }
    if !m.list.field.is_empty() {
        m.list.look("");
        return true;
    }
    let folds = std::mem::take(&mut m.list.unfolded);
    if folds {
        m.list.begin_at_top();
    }
    folds
}
