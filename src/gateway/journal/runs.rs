//! Runs, told by their records: what each is about, how far it came, and whether anybody knows.

use super::format::Body;
use super::payloads::Payload;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::shared::Shared;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::record::{
    AttestedDetail, Closed, Concluded, ConcludedDetail, Entry, IntendedDetail, OpenedDetail, Recorded, RunState, RunSummary,
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The runs of the records so far, taken in one by one.
#[derive(Debug, Default)]
pub(super) struct Fold {
    runs: BTreeMap<Uuid, RunSummary>,
}

impl Fold {
    pub(super) fn take(&mut self, record: &Body, payload: Option<&Payload>) {
        let payload = payload.filter(|p| p.holds());
        if let Entry::RunOpened { run, procedure } = &record.entry {
            let opened = payload.and_then(Payload::parse::<OpenedDetail>);
            let summary = RunSummary {
                run: *run,
                procedure: procedure.clone(),
                operator: record.operator.clone(),
                opened: record.at,
                last: record.at,
                inputs: opened.as_ref().map(|o| o.inputs.clone()),
                who: opened.as_ref().map(|o| o.who.clone()),
                state: RunState::Open,
                attempts: Shared::default(),
                commands: Shared::default(),
                subject: opened.as_ref().and_then(|o| o.subject.clone()),
                undoes: opened.and_then(|o| o.undoes),
                proven: Vec::new(),
                held: false,
            };
            self.runs.insert(*run, summary);
            return;
        }
        let Some(run) = record.entry.run().and_then(|id| self.runs.get_mut(&id)) else { return };
        // A run that was taken back later keeps the time of its own end.
        if !run.is_finished() {
            run.last = record.at;
        }
        apply(run, &record.entry, payload);
    }

    /// Forgets the finished runs that no list shows any more. A run that ended does not end later again, so none comes back into a list.
    pub(super) fn forget_old(&mut self, finished: usize) {
        let mut ended: Vec<_> = self.runs.values().filter(|r| is_dispensable(r)).map(|r| (std::cmp::Reverse(r.last), r.run)).collect();
        ended.sort_unstable();
        for (_, run) in ended.into_iter().skip(finished) {
            self.runs.remove(&run);
        }
    }

    pub(super) fn get(&self, run: Uuid) -> Option<&RunSummary> {
        self.runs.get(&run)
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &RunSummary> {
        self.runs.values()
    }
}

fn is_dispensable(run: &RunSummary) -> bool {
    run.is_finished() && run.state != RunState::Closed(Closed::HandedOver)
}

/// What these records say, each with the words that stand beside it.
pub(super) fn recorded(records: impl Iterator<Item = Body>, payloads: &HashMap<String, Payload>) -> Vec<Recorded> {
    records
        .map(|r| {
            let payload = r.payload.as_ref().and_then(|hash| payloads.get(hash)).filter(|p| p.holds());
            Recorded { at: r.at, operator: r.operator, entry: r.entry, said: payload.and_then(said) }
        })
        .collect()
}

/// How an attempt ended, in the target's words; else what an operator typed.
fn said(payload: &Payload) -> Option<String> {
    if let Some(ConcludedDetail { outcome }) = payload.parse() {
        return Some(match outcome {
            Outcome::Done { note, .. } => note,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault.say,
        });
    }
    let detail: serde_json::Value = payload.parse()?;
    ["reason", "words", "why"].iter().find_map(|field| detail.get(field)?.as_str().map(String::from))
}

fn apply(run: &mut RunSummary, entry: &Entry, payload: Option<&Payload>) {
    match entry {
        Entry::Intended { attempt, .. } => {
            let detail = payload.and_then(Payload::parse::<IntendedDetail>);
            let command = detail.map(|d: IntendedDetail| -> (Command, Option<Command>) { (d.command, d.undo) });
            // Turned away for its rate, it comes again as the same try: what it came to then counts.
            if let Some(again) = run.attempts.iter().position(|(a, _)| a == attempt) {
                (run.attempts[again].1, run.commands[again]) = (None, command);
            } else {
                run.attempts.push((attempt.clone(), None));
                run.commands.push(command);
            }
        }
        Entry::Concluded { attempt, result } => {
            let told = payload.and_then(Payload::parse::<ConcludedDetail>).map(|d| d.outcome);
            if let Some((_, outcome)) = run.attempts.iter_mut().find(|(a, _)| a == attempt) {
                *outcome = Some(told.unwrap_or_else(|| bare(*result)));
            }
        }
        Entry::Verified { step, holds: true, .. } => run.proven.push(step.clone()),
        Entry::Attested { step, .. } => {
            let words = payload.and_then(Payload::parse::<AttestedDetail>).map(|d| d.words).unwrap_or_default();
            if let Some(inputs) = &mut run.inputs {
                inputs.attested.insert(step.clone(), words);
            }
        }
        Entry::RunClosed { how, .. } => {
            run.state = RunState::Closed(*how);
            return;
        }
        _ => {}
    }
    if !run.is_finished() {
        run.state = state(run);
    }
}

fn state(run: &RunSummary) -> RunState {
    let outcomes = || run.attempts.iter().map(|(_, o)| o);
    if outcomes().any(|o| matches!(o, None | Some(Outcome::Unknown(_)))) {
        RunState::Unknown
    } else if outcomes().any(|o| matches!(o, Some(Outcome::Done { .. }))) {
        RunState::Acted
    } else {
        RunState::Open
    }
}

/// An outcome whose words were removed.
fn bare(result: Concluded) -> Outcome {
    let fault = || Fault::new(crate::domain::fault::Source::Store, FaultKind::NotFound, "its reason was removed from the journal");
    match result {
        Concluded::Done => Outcome::done(String::new()),
        Concluded::NotDone => Outcome::NotDone(fault()),
        Concluded::Unknown => Outcome::Unknown(fault()),
    }
}

/// Unfinished first, newest first in both halves; of the finished ones only the newest, and those that were handed over: what they sent
/// is not to be sent again, however long ago that was.
pub(super) fn sort(runs: &mut Vec<RunSummary>, finished: usize) {
    runs.sort_by_key(|r| (r.is_finished(), std::cmp::Reverse(r.last)));
    let mut nth = 0;
    runs.retain(|r| {
        nth += usize::from(r.is_finished());
        nth <= finished || !is_dispensable(r)
    });
}
