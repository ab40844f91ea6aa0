//! The runs as rows: mine and the team's, interrupted ones first; and the history of a finished one.

use super::Model;
use crate::console::context::Context;
use crate::console::widgets::format::{age, moment};
use crate::domain::At;
use crate::procedures::by_id;
use crate::protocol::record::{Closed, Concluded, Entry, Recorded, RunState, RunSummary};
use crate::protocol::run::{short, step_title};

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
        (RunState::Closed(how), _) => (closed(how), false),
        (_, Some(going)) => (going.word(), going.calls()),
        _ if run.held => ("running", false),
        (RunState::Open, None) => ("not sent", true),
        (RunState::Unknown, None) => ("unknown", true),
        (RunState::Acted, None) => ("unverified", true),
    };
    let who = match &run.who {
        Some(who) => who.clone(),
        None if own => "removed".into(),
        None => String::new(),
    };
    Row { run, own, word, calls, here: here.is_some(), title: title(run), who, age: age((cx.now - run.last).num_seconds()) }
}

fn closed(how: Closed) -> &'static str {
    match how {
        Closed::Done => "done",
        Closed::Undone => "undone",
        Closed::Halted => "halted",
        Closed::Abandoned => "left",
        Closed::HandedOver => "given up",
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
        .map(|r| format!("{}  {}{}", moment(r.at, now), said(&r.entry), r.said.as_deref().map(after).unwrap_or_default()))
        .collect()
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn said(entry: &Entry) -> String {
    match entry {
        Entry::RunOpened { procedure, .. } => format!("opened, {procedure}"),
        Entry::Confirmed { plan, .. } => format!("confirmed, plan {}", &plan[..plan.len().min(8)]),
        Entry::Intended { attempt, command, .. } => {
            format!("{}, try {}: about to send {command}", step_title(&attempt.step), attempt.attempt)
        }
        Entry::Concluded { attempt, result } => {
            let word = match result {
                Concluded::Done => "done",
                Concluded::NotDone => "not done",
                Concluded::Unknown => "unknown",
            };
            format!("{}, try {}: {word}", step_title(&attempt.step), attempt.attempt)
        }
        Entry::Verified { step, holds, .. } => format!("{}: {}", step_title(step), if *holds { "proven" } else { "does not hold" }),
        Entry::Attested { step, .. } => format!("{step}: attested"),
        Entry::RunClosed { how, run } => format!("run {} closed: {}", short(*run), closed(*how)),
        Entry::Unleased { .. } => "no lease in the shared store".into(),
        Entry::WritesTurnedOn { .. } | Entry::WritesTurnedOff | Entry::Revealed | Entry::DeskWrite { .. } | Entry::Probed { .. } => {
            "beside the run".into()
        }
    }
}
