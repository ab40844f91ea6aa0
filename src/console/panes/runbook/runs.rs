//! The runs as rows: mine and the team's, interrupted ones first; and the history of a finished one.

use super::Model;
use crate::console::context::Context;
use crate::console::widgets::format::{age, moment};
use crate::domain::At;
use crate::procedures::by_id;
use crate::protocol::record::{Doing, Recorded, RunState, RunSummary};

/// A row of the tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    pub run: &'a RunSummary,
    pub own: bool,
    /// Where it stands, as one word.
    pub word: &'static str,
    /// It was left unfinished and nobody works on it.
    pub calls: bool,
    /// It is open in this console.
    pub here: bool,
    pub title: String,
    /// Whom it is about, masked.
    pub who: String,
    pub age: String,
}

impl Model {
    /// Interrupted ones first, then what is open here, then the newest.
    #[must_use]
    pub fn rows(&self, cx: &Context) -> Vec<Row<'_>> {
        let mine = self.mine.value.iter().flatten().map(|r| row(r, true, cx));
        let team = self.team.value.iter().flatten().map(|r| row(r, false, cx));
        let mut rows: Vec<Row> = mine.chain(team).collect();
        rows.sort_by_key(|r| (!r.calls, r.run.is_finished(), !r.here, std::cmp::Reverse(r.run.last)));
        rows
    }
}

fn row<'a>(run: &'a RunSummary, own: bool, cx: &Context) -> Row<'a> {
    let here = cx.going.get(&run.run).copied().filter(|_| !run.is_finished());
    let (word, calls) = match (run.state, here) {
        (RunState::Closed(how), _) => (how.word(), false),
        (_, Some(going)) => (going.word(), going.calls()),
        _ if run.held => (held(run), false),
        (RunState::Open, None) => ("not sent", true),
        (RunState::Unknown, None) => ("unknown", true),
        (RunState::Acted, None) => ("unverified", true),
    };
    let who = match run.about() {
        Some(who) => who,
        None if own => "removed".into(),
        None => String::new(),
    };
    Row { run, own, word, calls, here: here.is_some(), title: title(run), who, age: age((cx.now - run.last).num_seconds()) }
}

/// One that another console has open.
fn held(run: &RunSummary) -> &'static str {
    match run.doing() {
        Some(Doing::Asks) => "asks",
        Some(Doing::Watches) => "watching",
        Some(Doing::Works) | None => "running",
    }
}

/// The procedure's title, and whether it takes another run back.
#[must_use]
pub fn title(run: &RunSummary) -> String {
    let title = by_id(&run.procedure).map_or(run.procedure.as_str(), |p| p.title());
    if run.undoes.is_some() { format!("Undo: {title}") } else { title.to_string() }
}

/// What the journal says about a run, a line each.
#[must_use]
pub fn history(records: &[Recorded], now: At) -> Vec<String> {
    records
        .iter()
        .map(|r| format!("{}  {}{}", moment(r.at, now), r.entry.say(), r.said.as_deref().map(after).unwrap_or_default()))
        .collect()
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}
