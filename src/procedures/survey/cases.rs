//! The cases of customers whose events look unapplied: read a few at a time, so that a finding rests on more than an event. Bounded at each step.

use super::{PAUSE, Present, Survey};
use crate::domain::At;
use crate::domain::diagnosis::{self, Moment, Word, diagnose};
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::Judged;
use crate::domain::ids::StripeId;
use crate::domain::row::{Field, Image};
use crate::domain::webhooks::demand::Demand;
use crate::domain::webhooks::judge::Outcome;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::query::{Query, Reply};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Cases read because an event looked unapplied: at most so many at all, and so many at a time.
const AT_MOST: usize = 50;
const AT_ONCE: usize = 2;
/// What a case said is asked again after so many milliseconds; sooner where it could not say or has to settle.
const RECHECK: u64 = 300_000;
const RECHECK_SETTLING: u64 = 20_000;
const RECHECK_UNKNOWN: u64 = 60_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cases {
    /// Customers whose newest event looks unapplied, and how many more there were.
    pub suspects: Vec<StripeId>,
    pub beyond: usize,
    checks: BTreeMap<StripeId, Check>,
    /// When they were last chosen.
    chosen: u64,
}

/// The case of one suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Check {
    /// What made it suspect: a change of either asks for a new reading.
    newest: At,
    row: Option<Image>,
    /// What has been answered so far, while it is being read, and when the first question went out.
    reading: Option<(At, Answers)>,
    outcome: Option<(u64, Judged)>,
    /// When the reading began that said so, and the row that it found holding the customer.
    #[serde(default)]
    beside: Option<(At, Option<Image>)>,
    /// A source did not answer the last reading: what was said before that stands.
    #[serde(default)]
    unanswered: bool,
}

impl Cases {
    /// Every case that waits for this answer gets it.
    pub fn answered(&mut self, query: &Query, result: &Result<Reply, Fault>, now: At) {
        for check in self.checks.values_mut() {
            if let Some(answers) = check.reading.as_mut().map(|(_, a)| a).filter(|a| a.get(query).is_some_and(Known::is_waiting)) {
                answers.put(query.clone(), result.clone(), now);
            }
        }
    }

    pub fn judged(&self, customer: &StripeId) -> Option<&Judged> {
        self.checks.get(customer).and_then(|c| c.outcome.as_ref()).map(|(_, j)| j)
    }

    /// What the case said may be over.
    pub fn recheck(&mut self, customer: &StripeId) {
        if let Some((at, _)) = self.checks.get_mut(customer).and_then(|c| c.outcome.as_mut()) {
            *at = 0;
        }
    }

    /// A source is there again: what could not be said for its sake is asked at the next occasion.
    pub fn ask_again(&mut self) {
        for check in self.checks.values_mut() {
            if let Some((at, _)) = check.outcome.as_mut().filter(|(_, j)| check.unanswered || j.diagnosis.word == Word::Unknown) {
                *at = 0;
            }
        }
    }

    pub fn is_reading(&self) -> bool {
        self.checks.values().any(|c| c.reading.is_some())
    }

    pub fn progress(&self) -> (usize, usize) {
        (self.checks.values().filter(|c| c.outcome.is_some()).count(), self.suspects.len())
    }

    /// The case will say what is due of their subscriptions: nobody need ask for each of them.
    pub fn will_read(&self, customer: &StripeId) -> bool {
        self.checks.get(customer).is_some_and(|c| c.outcome.is_none())
    }

    /// The case as it was read after that event found nothing wrong, and the row that was read at `row_at` is older than that, or the very one
    /// that was found right: what was written since is judged by itself.
    pub fn cleared(&self, customer: &StripeId, newest: At, row: Option<&Image>, row_at: At) -> bool {
        let beside = self.well(customer, newest).and_then(|c| c.beside.as_ref());
        beside.is_some_and(|(begun, right)| row_at <= *begun || right.as_ref() == row)
    }

    /// The check of a customer whose case was read after that event, and found nothing wrong.
    fn well(&self, customer: &StripeId, newest: At) -> Option<&Check> {
        let well = |c: &&Check| c.outcome.as_ref().is_some_and(|(at, j)| *at > 0 && j.diagnosis.word == Word::Ok);
        self.checks.get(customer).filter(|c| c.newest >= newest).filter(well)
    }

    /// The tier that the application enforces for them, as long as the row is the one beside which it was asked.
    pub fn enforced(&self, customer: &StripeId, row: Option<&Image>) -> Option<&str> {
        let check = self.checks.get(customer).filter(|c| c.row.as_ref() == row)?;
        check.outcome.as_ref().and_then(|(_, j)| j.enforced.as_deref())
    }

    pub fn nobody(&self, customer: &StripeId) -> bool {
        self.judged(customer).is_some_and(|j| j.diagnosis.cause == diagnosis::Cause::NoProfile)
    }
}

impl Check {
    fn of(newest: At, row: Option<Image>) -> Self {
        Self { newest, row, reading: None, outcome: None, beside: None, unanswered: false }
    }

    fn is_due(&self, tick: u64) -> bool {
        self.outcome.as_ref().is_none_or(|(at, j)| {
            let patience = match j.diagnosis.word {
                _ if self.unanswered => RECHECK_UNKNOWN,
                Word::Settling => RECHECK_SETTLING,
                Word::Unknown => RECHECK_UNKNOWN,
                _ => RECHECK,
            };
            *at == 0 || tick.saturating_sub(*at) >= patience
        })
    }
}

impl Survey {
    /// Whose case is to be read: the newest first, since where there are more than can be read, those count that are being hurt now.
    fn choose(&mut self) {
        let mut newest: BTreeMap<&StripeId, At> = BTreeMap::new();
        for h in self.feed.bad.iter().filter_map(|s| self.feed.courses.get(s)) {
            // A check that cleared somebody stays until something changes: otherwise it would be read in turns.
            let suspect = matches!(h.outcome, Outcome::Suspect | Outcome::Failing | Outcome::Nobody);
            let open = h.outcome == Outcome::Doubted && self.doubt().is_none();
            if suspect || open {
                let at = newest.entry(&h.customer).or_default();
                *at = h.newest().max(*at);
            }
        }
        for (customer, check) in &self.cases.checks {
            let still = self.feed.theirs(customer).iter().filter_map(|s| self.feed.courses.get(s));
            let last = still.map(|h| h.newest()).max();
            if last.is_some_and(|at| at == check.newest && self.cases.well(customer, at).is_some()) {
                newest.entry(customer).or_insert(check.newest);
            }
        }
        let mut chosen: Vec<(At, StripeId)> = newest.into_iter().map(|(c, at)| (at, c.clone())).collect();
        chosen.sort_by(|a, b| b.cmp(a));
        self.cases.beyond = chosen.len().saturating_sub(AT_MOST);
        chosen.truncate(AT_MOST);
        let mut old = std::mem::take(&mut self.cases.checks);
        for (at, customer) in &chosen {
            let row = self.rows.get(customer).map(|r| r.image.clone());
            let check = match old.remove(customer) {
                Some(c) if c.newest == *at && (c.row == row || c.outcome.is_none()) => c,
                // What it said last stays until it is read anew.
                Some(c) => Check { outcome: c.outcome.map(|(_, j)| (0, j)), ..Check::of(*at, row) },
                None => Check::of(*at, row),
            };
            self.cases.checks.insert(customer.clone(), check);
        }
        self.cases.suspects = chosen.into_iter().map(|(_, c)| c).collect();
    }

    /// Goes on reading the cases of suspects, a few at a time.
    pub(super) fn check(&mut self, m: &Present) -> Vec<Query> {
        // As long as nothing has changed of anybody, the same are suspects.
        let soon = self.is_crowded() && self.is_busy() && m.tick.saturating_sub(self.cases.chosen) < PAUSE;
        if self.stirred && !soon {
            (self.stirred, self.cases.chosen) = (false, m.tick);
            self.choose();
        }
        let enforced = m.env.set_up.contains(&Source::Application) && !m.is_out(Source::Application);
        let mut asks: BTreeSet<Query> = BTreeSet::new();
        let mut order = Vec::new();
        let mut finished = Vec::new();
        let mut busy = self.cases.checks.values().filter(|c| c.reading.is_some()).count();
        let moment = Moment { now: m.now, allowance: self.allowance() };
        for customer in &self.cases.suspects {
            let Some(check) = self.cases.checks.get_mut(customer) else { continue };
            if check.reading.is_none() && busy < AT_ONCE && check.is_due(m.tick) {
                check.reading = Some((m.now, Answers::default()));
                busy += 1;
            }
            let Some((begun, answers)) = check.reading.as_mut() else { continue };
            let handle = Handle::Stripe(customer.clone());
            // Where nobody can be asked what is enforced, the two that can disagree are enough.
            let wanted = next_reads(&handle, None, answers).into_iter().filter(|q| enforced || !matches!(q, Query::Entitlement(_)));
            for query in wanted {
                answers.asked(query.clone());
                if asks.insert(query.clone()) {
                    order.push(query);
                }
            }
            if answers.outstanding().next().is_none() {
                let case = assemble(&handle, None, answers);
                let diagnosis = diagnose(&case, &m.env.tiers, moment);
                let begun = *begun;
                check.unanswered = diagnosis.word == Word::Unknown && is_cut_short(&case);
                let said = Judged::of(customer.clone(), &case, &m.env.tiers, diagnosis);
                // A source that is away unsays nothing.
                let before = check.outcome.take().map(|(_, j)| j).filter(|j| check.unanswered && j.diagnosis.word != Word::Unknown);
                if before.is_none() {
                    let row = case.record().and_then(|r| r.row.as_ref());
                    let theirs = row.filter(|r| r.text(Field::Customer) == Some(customer.as_str()));
                    check.beside = Some((begun, theirs.map(|r| r.image.clone())));
                }
                check.outcome = Some((m.tick.max(1), before.unwrap_or(said)));
                check.reading = None;
                busy -= 1;
                let due = case.subscriptions.value().cloned().unwrap_or_default();
                finished.push((customer.clone(), due, begun));
            }
        }
        for (customer, due, begun) in &finished {
            let theirs = self.feed.theirs(customer).to_vec();
            for id in theirs {
                if let Some(s) = due.iter().find(|s| s.id == id) {
                    self.told(&id, Some(Demand::of(s, &m.env.tiers)), *begun, m);
                }
            }
            // What is right by now was wrong when its row was read.
            if self.rows.contains_key(customer) && self.judged(customer).is_some_and(|j| j.diagnosis.word == Word::Ok) {
                self.reading.want([customer.clone()]);
            }
        }
        if !finished.is_empty() {
            (self.version, self.stirred) = (self.version + 1, true);
            order.extend(self.check(m));
        }
        order
    }
}

/// It could not be read to its end, since a source did not answer.
fn is_cut_short(case: &Case) -> bool {
    let faults = [case.shape.fault(), case.record.fault(), case.customer.fault(), case.subscriptions.fault()];
    faults.into_iter().flatten().any(Fault::passes)
}
