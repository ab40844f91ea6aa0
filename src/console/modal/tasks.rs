//! The drawer of running tasks: the runs that are open here, files being written, and the runs that this operator has left unfinished.

use crate::console::exports::{Standing, rows_of};
use crate::console::state::State;
use crate::console::tasks::word;
use crate::console::widgets::format::age;
use crate::domain::At;
use crate::procedures;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::record::{RunState, RunSummary};
use uuid::Uuid;

/// A row of the drawer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The run's id, or the export's.
    pub run: Uuid,
    /// Where it stands, as one word.
    pub word: &'static str,
    /// Whether it needs somebody to look: it waits for an answer, or nobody knows how it ended.
    pub calls: bool,
    pub title: String,
    /// Whom it is about, masked.
    pub who: String,
    /// Since it was begun.
    pub age: String,
    /// Why it cannot be opened here.
    pub held: Option<&'static str>,
}

/// Runs that are open here, newest first, then the operator's own from the journal, newest first.
#[must_use]
pub fn tasks(state: &State) -> Vec<Task> {
    let now = state.world.now;
    // What the journal told last may be older than what was done here since; a run that got stuck is no less unfinished for it.
    let stuck = |r: &Run| matches!(r.phase, Phase::Halted(_)) && state.tasks.unfinished.iter().any(|u| u.run == r.id);
    let here = state.tasks.runs.iter().rev().filter(|r| r.run.is_open() || stuck(&r.run)).map(|r| Task {
        run: r.run.id,
        word: word(&r.run),
        calls: matches!(r.run.phase, Phase::Deciding(_) | Phase::Halted(_) | Phase::Unknown(_)),
        title: title(&r.run.procedure, r.run.undoing.is_some()),
        who: r.run.plan.as_ref().map(|p| p.who.clone()).unwrap_or_default(),
        age: begun(r.run.id, now).map(|at| age((now - at).num_seconds())).unwrap_or_default(),
        held: None,
    });
    let mut all: Vec<Task> = here.collect();
    all.extend(state.tasks.exports.iter().rev().map(|e| Task {
        run: e.id,
        word: e.word(),
        calls: matches!(e.standing, Standing::Partial(_)),
        title: format!("Near the limit, {}", e.format.ending()),
        who: rows_of(e.rows),
        age: age((now - e.begun).num_seconds()),
        held: None,
    }));
    let mut left: Vec<&RunSummary> = state.tasks.interrupted().into_iter().filter(|u| is_own(state, u)).collect();
    left.sort_by_key(|u| std::cmp::Reverse(u.opened));
    all.extend(left.into_iter().map(|u| Task {
        run: u.run,
        word: match u.state {
            RunState::Open => "not sent",
            RunState::Unknown => "unknown",
            RunState::Acted => "unverified",
            RunState::Closed(_) => "done",
        },
        calls: u.state != RunState::Open,
        title: title(&u.procedure, u.undoes.is_some()),
        who: u.about().unwrap_or_default(),
        age: age((now - u.opened).num_seconds()),
        held: u.held.then_some("held elsewhere"),
    }));
    all
}

/// How many runs others have left unfinished: Home lists those.
#[must_use]
pub fn of_others(state: &State) -> usize {
    state.tasks.interrupted().into_iter().filter(|u| !is_own(state, u)).count()
}

fn is_own(state: &State, run: &RunSummary) -> bool {
    state.world.env.as_ref().is_some_and(|e| e.operator == run.operator)
}

fn title(procedure: &str, undo: bool) -> String {
    let title = procedures::by_id(procedure).map_or(procedure, |p| p.title());
    if undo { format!("Undo: {title}") } else { title.to_string() }
}

/// The time that a run's id was made at.
fn begun(run: Uuid, now: At) -> Option<At> {
    let (seconds, _) = run.get_timestamp()?.to_unix();
    let at = At::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
    (at <= now).then_some(at)
}
