//! The palette: everything that can be reached by name, found by the letters of its words, best first.

use super::{Modal, log, tasks, words};
use crate::console::ask::Ask;
use crate::console::exports::Standing;
use crate::console::fulfil;
use crate::console::keymap::Action;
use crate::console::keys;
use crate::console::screen::{PANES, Screen};
use crate::console::state::State;
use crate::console::tasks::word;
use crate::domain::facts::Handle;
use crate::domain::needle::Needle;
use crate::domain::runbook::book;
use crate::procedures;
use crate::protocol::effect::Effect;
use crate::protocol::event::KnownIncident;
use crate::protocol::query::Query;
use crate::protocol::run::short;
use crate::protocol::ticket::Slot;
use uuid::Uuid;

/// A row of the palette.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What kind of thing it is: `run`, `pane`, `runbook`.
    pub kind: &'static str,
    pub label: String,
    /// Its key, where it has one.
    pub key: String,
    pub goes: Result<Goes, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Goes {
    Search(String),
    Pane(Screen),
    Procedure(&'static str),
    Customer(Handle),
    Tasks,
    Log,
    Run(Uuid),
    Incident(String),
    EndIncident(String),
    Do(Action),
}

/// What matches, best first. Anything typed can also be searched for; an id comes first.
#[must_use]
pub fn entries(state: &State, typed: &str) -> Vec<Entry> {
    let typed = typed.trim();
    let mut found: Vec<(u8, Entry)> =
        all(state).into_iter().filter_map(|(entry, words)| score(typed, &entry.label, &words).map(|s| (s, entry))).collect();
    // Letters here and there are no name of what breaks something at Enter.
    found.retain(|(s, e)| e.kind != "incident" || *s / 2 != SCATTERED);
    // An incident breaks something at Enter: it stands in front of what mends it only where it is called by its whole name, or by a part
    // of it that begins no procedure's.
    let named = typed.contains('-') && !procedures::ALL.iter().any(|p| p.id().starts_with(typed));
    let called = |e: &Entry| name(&e.label).eq_ignore_ascii_case(typed) || (named && e.label.starts_with(typed));
    // What ends one breaks nothing: its first words are enough.
    let begun = |e: &Entry| matches!(e.goes, Ok(Goes::EndIncident(_))) && e.label.to_lowercase().starts_with(&typed.to_lowercase());
    let yields = |e: &Entry| e.kind == "incident" && !typed.is_empty() && !called(e) && !begun(e);
    found.sort_by_key(|(s, e)| (yields(e), *s));
    let mut entries: Vec<Entry> = found.into_iter().map(|(_, e)| e).collect();
    if let Some(needle) = Needle::parse(typed) {
        let look_up =
            Entry { kind: "look up", label: needle.text().to_string(), key: String::new(), goes: Ok(Goes::Search(typed.to_string())) };
        // Four letters of a run that is here are its name, whatever else they could be.
        let called = |e: &Entry| e.kind == "run" && typed.len() >= 4 && e.label.starts_with(typed);
        entries.sort_by_key(|e| !called(e));
        let place = if matches!(needle, Needle::Words(_)) { entries.len() } else { entries.iter().filter(|e| called(e)).count() };
        entries.insert(place, look_up);
    }
    entries
}

/// Goes there. A row that cannot be used says why, and the palette stays.
pub fn go(state: &mut State, entry: Entry, id: Uuid) -> Vec<Effect> {
    let goes = match entry.goes {
        Ok(goes) => goes,
        Err(reason) => {
            state.say(reason);
            return Vec::new();
        }
    };
    state.dialog = None;
    match goes {
        Goes::Search(text) => fulfil::search(state, &text, id),
        Goes::Pane(pane) => {
            state.screens.go(pane);
            fulfil::entered(state, id)
        }
        Goes::Procedure(procedure) => fulfil::start(state, procedure, id),
        Goes::Customer(handle) => fulfil::fulfil(state, vec![Ask::Open(handle)], id),
        Goes::Tasks => {
            let at = tasks::tasks(state).first().map(|t| t.run);
            fulfil::dialog(state, Modal::Tasks { at });
            // What other processes have done meanwhile is in the journal.
            vec![state.tickets.read(Slot::Runs, Query::Runs)]
        }
        Goes::Log => log::open(state),
        Goes::Run(run) => fulfil::resume(state, run),
        Goes::Incident(name) => {
            state.say(format!("Starting {name}"));
            vec![Effect::StartIncident { name }]
        }
        Goes::EndIncident(name) => {
            state.say(format!("Ending {name}"));
            vec![Effect::EndIncident { name }]
        }
        Goes::Do(action) => keys::act(state, action, id),
    }
}

fn all(state: &State) -> Vec<(Entry, Vec<String>)> {
    let mut all = Vec::new();
    let mut add = |kind, label: String, key: String, goes, words: Vec<String>| all.push((Entry { kind, label, key, goes }, words));
    // A file that is done with is looked up in the drawer, and nothing that is going on.
    let done = |t: &tasks::Task| state.tasks.exports.get(t.run).is_some_and(|e| e.standing != Standing::Writing);
    let open: Vec<tasks::Task> = tasks::tasks(state).into_iter().filter(|t| !done(t)).collect();
    // What is going on comes first, so that two keys lead to it; a console at rest has it further down.
    let drawer = |add: &mut dyn FnMut(&'static str, String, String, Result<Goes, String>, Vec<String>)| {
        let label = if open.is_empty() { "Running tasks".into() } else { format!("Running tasks: {}", open.len()) };
        add("tasks", label, String::new(), Ok(Goes::Tasks), vec!["runs drawer interrupted unfinished resume exports".into()]);
    };
    if !open.is_empty() {
        drawer(&mut add);
    }
    for run in state.tasks.runs.iter().rev() {
        let label = format!("{} {}, {}", short(run.run.id), title(&run.run.procedure), word(&run.run));
        add("run", label, String::new(), Ok(Goes::Run(run.run.id)), vec!["tasks".into()]);
    }
    for run in state.tasks.interrupted() {
        let label = format!("{} {}, interrupted", short(run.run), title(&run.procedure));
        let goes = if run.held { Err("Another console holds that run open".into()) } else { Ok(Goes::Run(run.run)) };
        add("run", label, String::new(), goes, vec!["tasks".into(), "resume".into(), "unfinished".into()]);
    }
    for (digit, title, screen) in PANES {
        add("pane", (*title).to_string(), digit.to_string(), Ok(Goes::Pane(*screen)), names(*screen));
    }
    for (handle, title) in &state.recent {
        add("recent", title.clone(), String::new(), Ok(Goes::Customer(handle.clone())), Vec::new());
    }
    for procedure in procedures::ALL {
        let mut words: Vec<String> = procedure.words().iter().map(ToString::to_string).collect();
        words.push(procedure.id().into());
        words.extend(book().sections.iter().filter(|s| s.procedure == procedure.id()).flat_map(|s| [s.title.clone(), s.scenario.clone()]));
        let section = format!("section {}", procedure.section());
        add("runbook", procedure.title().to_string(), section, Ok(Goes::Procedure(procedure.id())), words);
    }
    if open.is_empty() {
        drawer(&mut add);
    }
    for KnownIncident { name, title, .. } in &state.world.incidents {
        let words = vec!["incident".into(), "sandbox".into(), "start".into(), title.clone()];
        add("incident", format!("{name}: {title}"), String::new(), Ok(Goes::Incident(name.clone())), words);
    }
    for KnownIncident { name, .. } in state.world.incidents.iter().filter(|i| i.ends) {
        let words = vec!["incident".into(), "sandbox".into(), "stop undo repair".into(), format!("end of {name}")];
        add("incident", format!("End {name}: as its repair would; rows stay"), String::new(), Ok(Goes::EndIncident(name.clone())), words);
    }
    for binding in keys::own_bindings(state) {
        let (action, words) = match binding.action {
            Action::Writes => (Action::Writes, "read-only"),
            Action::Escalate => (Action::Escalate, "contacts call pager"),
            Action::Undo => (Action::Undo, "take back revert"),
            Action::Reveal => (Action::Reveal, "personal data unmask"),
            Action::Refresh => (Action::Refresh, "reload"),
            Action::Help => (Action::Help, "keys help"),
            _ => continue,
        };
        let goes = binding.enabled.map(|()| Goes::Do(action));
        add("do", action.row().meaning.to_string(), action.key().to_string(), goes, vec![words.into()]);
    }
    let words = vec!["logs lines errors docker journal evidence".into()];
    add("log", log::TITLE.into(), String::new(), log::available(state).map(|()| Goes::Log), words);
    all
}

/// What people call a pane besides its title.
fn names(pane: Screen) -> Vec<String> {
    let names: &[&str] = match pane {
        Screen::Quota => &["near limit", "limits", "usage", "blocked users", "use by tier", "export"],
        Screen::Webhooks => &["events", "webhook logs", "endpoints", "deliveries", "signature"],
        Screen::Pool => &["connections", "sessions", "locks", "blockers", "pg_stat_activity", "idle in transaction"],
        _ => &[],
    };
    names.iter().map(ToString::to_string).collect()
}

fn title(procedure: &str) -> String {
    procedures::by_id(procedure).map_or_else(|| procedure.to_string(), |p| p.title().to_string())
}

/// The rank of letters that stand in the text in their order, and not together.
const SCATTERED: u8 = 7;

/// How well it matches, 0 best; `None` where it does not.
fn score(typed: &str, label: &str, words: &[String]) -> Option<u8> {
    if typed.is_empty() {
        return Some(0);
    }
    let typed = typed.to_lowercase();
    let texts = || std::iter::once(label).chain(words.iter().map(String::as_str));
    let by_text = texts().enumerate().filter_map(|(i, text)| {
        let text = text.to_lowercase();
        let rank = if name(&text) == typed {
            0
        } else if text.starts_with(&typed) {
            1
        } else if text.split(|c: char| !c.is_alphanumeric()).any(|w| w.starts_with(&typed)) {
            2
        } else if text.contains(&typed) {
            3
        } else if all_words(&typed, &text) {
            4
        } else if typed.chars().count() > 2 && letters(&typed, &text) {
            SCATTERED
        } else {
            return None;
        };
        // The label counts a little more than its synonyms.
        Some(rank * 2 + u8::from(i > 0))
    });
    // The words in any form: together in one of its names, or each in whichever.
    let in_one = texts().any(|text| words::all_found(&typed, &words::stems(text)));
    let all: Vec<String> = texts().flat_map(words::stems).collect();
    let by_stem = if in_one { Some(10) } else { words::all_found(&typed, &all).then_some(11) };
    by_text.chain(by_stem).min()
}

/// What it is called, without what is said about it: `wrong-secret` of `wrong-secret: the signing secret is another's`.
fn name(label: &str) -> &str {
    label.split_once(':').map_or(label, |(name, _)| name)
}

/// Every typed word begins a word of the text.
fn all_words(typed: &str, text: &str) -> bool {
    typed.split_whitespace().all(|t| text.split(|c: char| !c.is_alphanumeric()).any(|w| w.starts_with(t)))
}

/// The typed letters, in that order, somewhere in the text.
fn letters(typed: &str, text: &str) -> bool {
    let mut rest = text.chars();
    typed.chars().filter(|c| !c.is_whitespace()).all(|c| rest.any(|t| t == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_book_find_the_procedure() {
        let words = vec!["paid but still free".to_string(), "webhook failed".to_string()];
        for typed in ["tier", "manual tier", "still free", "webhook", "mntier", "free paid", "webhook fails", "failed webhooks", "failing"]
        {
            assert!(score(typed, "Manual tier update", &words).is_some(), "{typed}");
        }
        assert_eq!(score("refund", "Manual tier update", &words), None);
        assert!(score("tier", "Manual tier update", &[]) < score("tier", "Customers", &["update of a tier".into()]));
    }
}
