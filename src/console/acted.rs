//! Which runs have written rows since the journal was last read, whoever's they are: this process knows of its own runs without it.

use super::fulfil;
use super::state::State;
use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::protocol::effect::Effect;
use crate::protocol::record::RunSummary;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// How far each run had come when it was last told: the operator's own, and those of the team.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    own: Option<BTreeMap<Uuid, Mark>>,
    team: Option<BTreeMap<Uuid, Mark>>,
}

/// Whose journal a list of runs is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Own,
    Team,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// So many attempts, from the first on, had ended.
    ended: usize,
    wrote: bool,
    finished: bool,
}

/// What was written since.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    /// By profile, with the customer that the row is to hold.
    rows: BTreeMap<SubjectKey, Option<StripeId>>,
    /// Others were written too, and the journal names nobody: payloads of other operators do not travel.
    unnamed: bool,
    /// Counters were written.
    counters: bool,
}

impl Acted {
    /// Takes a list in. `since`: what was written before then was there when rows were compared; a first list says nothing else. `here`: the
    /// runs of this process.
    fn told(&mut self, whose: Whose, runs: &[RunSummary], since: Option<At>, here: &HashSet<Uuid>) -> News {
        let known = match whose {
            Whose::Own => &mut self.own,
            Whose::Team => &mut self.team,
        };
        let before = known.replace(runs.iter().map(|run| (run.run, Mark::of(run))).collect());
        let mut news = News::default();
        for run in runs.iter().filter(|r| !here.contains(&r.run)) {
            let (mark, was) = (Mark::of(run), before.as_ref().and_then(|b| b.get(&run.run)));
            let is_new = if before.is_some() { was != Some(&mark) } else { since.is_some_and(|since| run.last >= since) };
            if !mark.wrote || !is_new {
                continue;
            }
            news.counters |= run.procedure == fulfil::RESETS;
            news.rows.extend(run.wrote_from(was.map_or(0, |w| w.ended)));
            // Whom it is about nobody can tell: once when it begins to write and once when it ends has to do.
            news.unnamed |= run.writes_unnamed() && was.is_none_or(|w| !w.wrote || w.finished != mark.finished);
        }
        news
    }
}

impl Mark {
    fn of(run: &RunSummary) -> Self {
        Self {
            ended: run.attempts.iter().take_while(|(_, outcome)| outcome.is_some()).count(),
            wrote: run.sent().next().is_some(),
            finished: run.is_finished(),
        }
    }
}

/// The journal was read: whoever was found drifted or unapplied and has been written to since is compared again at once.
pub fn heard(state: &mut State, whose: Whose, runs: &[RunSummary], id: Uuid) -> Vec<Effect> {
    let here = state.tasks.runs.iter().map(|r| r.run.id).collect();
    let since = state.world.drift.scan().map(crate::procedures::drift_scan::Scan::began);
    let news = state.tasks.acted.told(whose, runs, since, &here);
    if news == News::default() {
        return Vec::new();
    }
    state.world.survey.written(news.rows.values().flatten());
    let (rows, now) = (news.rows.into_iter().collect::<Vec<_>>(), state.world.stripe_now());
    let mut asks = state.world.drift.look_again(&rows, news.unnamed, now);
    if news.counters {
        asks.extend(fulfil::counters_written(state));
    }
    fulfil::fulfil(state, asks, id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::{Command, Outcome};
    use crate::protocol::record::{Closed, RunState};
    use crate::protocol::run::Attempt;

    fn at(minutes: i64) -> At {
        At::from_timestamp(1_800_000_000 + minutes * 60, 0).expect("in range")
    }

    /// A run that has written so many rows by minute `last`; whose nobody knows where the payloads are elsewhere.
    fn run(n: u128, rows: usize, last: i64, state: RunState, payloads: bool) -> RunSummary {
        let run = Uuid::from_u128(n);
        let attempt = |i: usize| Attempt { run, step: format!("apply-{i}"), attempt: 1 };
        let command = |i: usize| Command::ResyncByHttp { subject: SubjectKey(format!("p{i}")), customer: format!("cus_Written{i:06}") };
        RunSummary {
            run,
            procedure: "failed-webhook".into(),
            operator: "eve".into(),
            opened: at(0),
            last: at(last),
            inputs: None,
            who: None,
            state,
            attempts: (0..rows).map(|i| (attempt(i), Some(Outcome::done(String::new())))).collect(),
            commands: (0..rows).map(|i| payloads.then(|| (command(i), None))).collect(),
            subject: None,
            undoes: None,
            proven: Vec::new(),
            held: false,
        }
    }

    fn told(acted: &mut Acted, run: RunSummary, since: Option<i64>) -> (usize, bool) {
        let news = acted.told(Whose::Own, &[run], since.map(at), &HashSet::new());
        (news.rows.len(), news.unnamed)
    }

    #[test]
    fn old_runs_say_nothing_at_the_first_reading_and_each_write_is_told_once() {
        let mut acted = Acted::default();
        let acting = |rows, last| run(1, rows, last, RunState::Acted, true);
        assert_eq!(told(&mut acted, acting(2, 10), None), (0, false));
        assert_eq!(told(&mut acted, acting(2, 10), None), (0, false));
        assert_eq!(told(&mut acted, acting(5, 11), None), (3, false), "only what is new");
        assert_eq!(told(&mut acted, run(1, 5, 12, RunState::Closed(Closed::Done), true), None), (0, false));
        let news = acted.told(Whose::Own, &[run(2, 1, 13, RunState::Acted, true)], None, &HashSet::from([Uuid::from_u128(2)]));
        assert_eq!(news, News::default(), "this process knows its own");
        let mut late = Acted::default();
        assert_eq!(told(&mut late, acting(2, 10), Some(11)), (0, false), "it was compared after that");
        assert_eq!(told(&mut Acted::default(), acting(2, 10), Some(9)), (2, false));
    }

    #[test]
    fn what_names_nobody_is_told_when_it_begins_and_when_it_ends() {
        let mut acted = Acted::default();
        let of = |rows, state| run(1, rows, 10, state, false);
        assert_eq!(told(&mut acted, of(0, RunState::Open), None), (0, false));
        assert_eq!(told(&mut acted, of(1, RunState::Acted), None), (0, true));
        assert_eq!(told(&mut acted, of(2, RunState::Acted), None), (0, false));
        assert_eq!(told(&mut acted, of(2, RunState::Closed(Closed::Done)), None), (0, true));
        assert_eq!(told(&mut acted, of(2, RunState::Closed(Closed::Done)), None), (0, false));
    }
}
