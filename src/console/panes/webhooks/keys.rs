//! The keys of the webhooks pane: moving, opening, filtering, sorting. What an action does stands in `actions`.

use super::actions::{actions, can_fix, copies, fix, handle, left_out, why};
use super::drift;
use super::events::Row;
use super::index::{By, Sort};
use super::model::{Model, Tab};
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::drift::Order;
use crate::console::keymap::{Action, Binding};
use crate::procedures::survey::Survey;
use crate::protocol::key::Key;

#[must_use]
pub fn bindings(m: &Model, cx: &Context) -> Vec<Binding> {
    let survey = cx.survey;
    let nothing = || "nothing is selected".to_string();
    let some = match m.tab {
        Tab::Causes => m.group(survey).map(|_| ()).ok_or_else(nothing),
        Tab::Events => m.events.selected(survey.lines(), survey.raw()).map(|_| ()).ok_or_else(nothing),
        Tab::Drift => m.drift.selected(cx.drift).map(|_| ()).ok_or_else(nothing),
        Tab::Endpoints => m.endpoints.value().filter(|e| !e.is_empty()).map(|_| ()).ok_or_else(nothing),
    };
    if m.is_editing() {
        return vec![Binding::new(Action::Open, "keep it"), Binding::new(Action::Back, "drop it")];
    }
    let mut all = Vec::new();
    match m.tab {
        Tab::Causes => {
            all.push(Binding::new(Action::Open, "its events").when(some.clone()));
            all.push(Binding::new(Action::Fix, "fix").when(can_fix(m, cx)));
            all.push(Binding::new(Action::Why, "why").when(some.clone()));
            all.push(Binding::new(Action::Actions, "actions"));
        }
        Tab::Events => {
            all.push(Binding::new(Action::Open, if m.events.by.is_some() { "narrow" } else { "open" }).when(some.clone()));
            let label = if m.events.marked.is_empty() { "fix" } else { "fix marked" };
            all.push(Binding::new(Action::Fix, label).when(can_fix(m, cx)));
            all.push(Binding::new(Action::Filter, "filter"));
            all.push(Binding::quiet(Action::Why).when(some.clone()));
            all.push(Binding::new(Action::Sort, "sort"));
            all.push(Binding::new(Action::Group, "group"));
            all.push(Binding::quiet(Action::Mark).when(m.line(survey).map(|_| ()).ok_or_else(|| "only events can be marked".to_string())));
            all.push(Binding::quiet(Action::Actions));
        }
        Tab::Drift => {
            let open = match (cx.drift, m.drift.class) {
                (None, _) => Binding::new(Action::Open, "compare"),
                (_, None) => Binding::new(Action::Open, "who").when(some.clone()),
                (_, Some(_)) => Binding::new(Action::Open, "customer").when(some.clone()),
            };
            all.push(open);
            all.push(Binding::new(Action::Fix, "fix").when(can_fix(m, cx)));
            all.push(Binding::new(Action::Why, "why").when(some.clone()));
            all.push(Binding::new(Action::Actions, "actions"));
            let markable = if m.drift.class.is_some() { some.clone() } else { Err("open a class first".into()) };
            all.push(Binding::new(Action::Mark, "mark").when(markable));
        }
        Tab::Endpoints => {
            all.push(Binding::new(Action::Fix, "fix").when(can_fix(m, cx)));
            all.push(Binding::new(Action::Why, "why").when(some.clone()));
            all.push(Binding::new(Action::Actions, "actions"));
        }
    }
    if some.is_err() {
        // Where nothing is listed the footer has only what leads on; the keys still say why.
        let dead = |b: &Binding| b.enabled.is_err() || (m.events.len() == 0 && matches!(b.action, Action::Sort | Action::Group));
        all.iter_mut().filter(|b| dead(b)).for_each(|b| b.label.clear());
    }
    all.push(Binding::quiet(Action::Copy).when(some));
    all.extend([Binding::new(Action::NextTab, "next tab"), Binding::quiet(Action::PreviousTab)]);
    all.extend([Binding::quiet(Action::Refresh), Binding::new(Action::Back, back_to(m))]);
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    let survey = cx.survey;
    if let Some(by) = action.rows(page(m, cx)) {
        moved(m, survey, action, by, cx);
        return Vec::new();
    }
    match action {
        Action::NextTab => turn(m, 1, cx),
        Action::PreviousTab => turn(m, Tab::ALL.len() - 1, cx),
        Action::Open => open(m, survey, cx),
        Action::Fix => std::iter::once(fix(m, cx).unwrap_or_else(Ask::Say)).chain(left_out(m).map(Ask::Say)).collect(),
        Action::Why => why(m, cx).into_iter().collect(),
        Action::Actions => vec![Ask::Actions(actions(m, cx))],
        Action::Copy => copies(m, cx).map(Ask::Copy).into_iter().collect(),
        Action::Refresh => {
            m.events.accept(survey.lines());
            m.sync(cx);
            m.read_endpoints(cx, 0)
        }
        Action::Filter => {
            // What is typed next is a further word of the filter.
            let given = m.events.field.text().trim_end().to_string();
            if !given.is_empty() {
                m.events.field.set(&format!("{given} "));
            }
            m.events.focused = true;
            m.events.begin_at_top();
            Vec::new()
        }
        Action::Sort => {
            let at = Sort::ALL.iter().position(|s| *s == m.events.sort).unwrap_or(0);
            (m.events.sort, m.events.by) = (Sort::ALL[(at + 1) % Sort::ALL.len()], None);
            m.events.begin_at_top();
            m.sync(cx);
            Vec::new()
        }
        Action::Group => {
            let at = By::ALL.iter().position(|b| *b == m.events.by).unwrap_or(0);
            m.events.by = By::ALL[(at + 1) % By::ALL.len()];
            m.events.begin_at_top();
            m.sync(cx);
            Vec::new()
        }
        Action::Mark if m.tab == Tab::Drift => {
            m.drift.mark(cx.drift);
            Vec::new()
        }
        Action::Mark => {
            m.events.mark(survey.lines(), survey.raw());
            Vec::new()
        }
        Action::Back => back(m, cx),
        _ => Vec::new(),
    }
}

/// A key while the filter has the focus: every letter narrows or widens at once.
pub fn edit(m: &mut Model, key: Key, cx: &Context) -> Vec<Ask> {
    let survey = cx.survey;
    match key {
        Key::Enter | Key::Tab | Key::BackTab => m.events.focused = false,
        Key::Esc => m.events.look(""),
        Key::Down => m.events.by(1, survey.lines(), survey.raw()),
        Key::Up => m.events.by(-1, survey.lines(), survey.raw()),
        key => {
            if !m.events.field.key(key) {
                return Vec::new();
            }
            m.events.begin_at_top();
        }
    }
    m.sync(cx);
    Vec::new()
}

/// Rows that a page holds.
fn page(m: &Model, cx: &Context) -> usize {
    let rows = usize::from(cx.rows.saturating_sub(9));
    let one_lined = m.tab == Tab::Events || (m.tab == Tab::Drift && m.drift.class.is_some());
    if one_lined { rows } else { rows / 3 }.max(1)
}

fn moved(m: &mut Model, survey: &Survey, action: Action, by: isize, cx: &Context) {
    match m.tab {
        Tab::Causes => m.move_cause(by, survey.groups()),
        Tab::Events => {
            // Who goes to the top wants to see what has come.
            if action == Action::Top && m.events.waiting() > 0 {
                m.events.accept(survey.lines());
                m.sync(cx);
            }
            m.events.by(by, survey.lines(), survey.raw());
        }
        Tab::Drift => m.drift.by(by, cx.drift),
        Tab::Endpoints => {
            let len = m.endpoints.value().map_or(0, Vec::len);
            m.endpoint.by(by, len);
        }
    }
}

fn turn(m: &mut Model, by: usize, cx: &Context) -> Vec<Ask> {
    m.turn(by);
    m.entered(cx)
}

fn open(m: &mut Model, survey: &Survey, cx: &Context) -> Vec<Ask> {
    match m.tab {
        Tab::Causes => {
            m.list_cause(cx);
            Vec::new()
        }
        Tab::Events if matches!(m.events.selected(survey.lines(), survey.raw()), Some(Row::Bucket(..))) => {
            m.events.narrow(survey.lines(), survey.raw());
            m.sync(cx);
            Vec::new()
        }
        Tab::Events => vec![opened(m, survey).unwrap_or_else(Ask::Say)],
        Tab::Drift if cx.drift.is_none() => vec![Ask::Drift(Order::Account)],
        Tab::Drift => match m.drift.selected(cx.drift) {
            Some(drift::Row::Class(group)) => {
                m.drift.show(Some(group.class));
                Vec::new()
            }
            Some(drift::Row::Subject(d)) => handle(d).map(Ask::Open).into_iter().collect(),
            None => Vec::new(),
        },
        Tab::Endpoints => Vec::new(),
    }
}

/// What Enter opens in the list of events.
fn opened(m: &Model, survey: &Survey) -> Result<Ask, String> {
    match m.events.selected(survey.lines(), survey.raw()) {
        Some(Row::Event(line)) => Ok(Ask::OpenEvent(line.id.clone())),
        Some(Row::Raw(raw)) => Ok(Ask::Evidence { title: "An event that cannot be read".into(), lines: vec![raw.text.clone()] }),
        Some(Row::Bucket(..)) | None => Err("nothing is selected".into()),
    }
}

fn back_to(m: &Model) -> &'static str {
    match m.tab {
        Tab::Events if m.from_cause => "causes",
        Tab::Events if !m.events.field.is_empty() => "all events",
        Tab::Drift if m.drift.class.is_some() => "classes",
        _ => "back",
    }
}

/// One step back: out of what a cause or a filter has narrowed first.
fn back(m: &mut Model, cx: &Context) -> Vec<Ask> {
    if m.tab == Tab::Drift && m.drift.class.is_some() {
        m.drift.show(None);
        return Vec::new();
    }
    if m.tab != Tab::Events || m.events.field.is_empty() {
        return vec![Ask::Back];
    }
    m.events.look("");
    if m.from_cause {
        (m.tab, m.from_cause) = (Tab::Causes, false);
    }
    m.sync(cx);
    Vec::new()
}
