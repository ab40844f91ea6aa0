//! Runs, told by their records: what each is about, how far it came, and whether anybody knows.

use super::format::Body;
use super::payloads::Payload;
use crate::domain::fault::{Fault, FaultKind};
use crate::protocol::command::{Command, Outcome};
use crate::protocol::record::{
    AttestedDetail, Closed, Concluded, ConcludedDetail, Entry, IntendedDetail, OpenedDetail, Recorded, RunState, RunSummary,
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The runs of these records, oldest first.
pub(super) fn fold(records: impl Iterator<Item = Body>, payloads: &HashMap<String, Payload>) -> Vec<RunSummary> {
    let mut runs: BTreeMap<Uuid, RunSummary> = BTreeMap::new();
    for record in records {
        let payload = record.payload.as_ref().and_then(|hash| payloads.get(hash)).filter(|p| p.holds());
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
                attempts: Vec::new(),
                commands: Vec::new(),
                subject: opened.as_ref().and_then(|o| o.subject.clone()),
                undoes: opened.and_then(|o| o.undoes),
                proven: Vec::new(),
                held: false,
            };
            runs.insert(*run, summary);
            continue;
        }
        let Some(run) = record.entry.run().and_then(|id| runs.get_mut(&id)) else { continue };
        // A run that was taken back later keeps the time of its own end.
        if !run.is_finished() {
            run.last = record.at;
        }
        apply(run, &record.entry, payload);
    }
    runs.into_values().collect()
}

/// What these records say about one run.
pub(super) fn recorded(records: impl Iterator<Item = Body>, run: Uuid, payloads: &HashMap<String, Payload>) -> Vec<Recorded> {
    let of_run = records.filter(|r| r.entry.run() == Some(run));
    of_run
        .map(|r| {
            let payload = r.payload.as_ref().and_then(|hash| payloads.get(hash)).filter(|p| p.holds());
            let said = payload.and_then(Payload::parse::<ConcludedDetail>).map(|d| match d.outcome {
                Outcome::Done { note } => note,
                Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault.say,
            });
            Recorded { at: r.at, operator: r.operator, entry: r.entry, said }
        })
        .collect()
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
        Concluded::Done => Outcome::Done { note: String::new() },
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
        nth <= finished || !r.is_finished() || r.state == RunState::Closed(Closed::HandedOver)
    });
}
