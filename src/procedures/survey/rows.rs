//! What the survey reads in the database, and the comparison: the rows of customers that events are about, against what is due.

use super::feed::{Feed, History};
use super::owed;
use super::{Present, Survey};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeId;
use crate::domain::row::{Field, SubscriptionRow, Value};
use crate::domain::webhooks::course::Stand;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::judge::{Facts, Happened, Outcome, delivery, explain, judge, plain, says_at_sight};
use crate::domain::webhooks::lag::LEAST;
use crate::domain::webhooks::verdict::{Judgement, Verdict};
use crate::protocol::query::{EventRange, Query, Reply};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Customers of one question.
const BATCH: usize = 500;
/// Up to so many customers, all rows are read in every round; beyond, one batch of those that are fine.
const ALL_AT_ONCE: usize = 1_000;
/// A row that was written this soon after an event was written because of it.
pub const MOVES_WITHIN: Duration = Duration::minutes(10);
/// Customers whose events are younger than this are looked at in every round.
const HOT: Duration = Duration::minutes(15);
/// And so many of those that Stripe still owes a delivery, the ones of the newest events: it comes when it comes, and can bring an older state
/// back. Where they are more, the others wait for the turn through all.
const OWED: usize = 2_000;

/// What is being read, and what is still to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// From the head of the list back to what is known.
    pub head: Option<Page>,
    /// Through the whole range.
    pub back: Option<Page>,
    /// Through the events of which Stripe owes a delivery, and those met so far.
    #[serde(default)]
    pub owed: owed::Owed,
    pub head_done: bool,
    pub whole: bool,
    pub pages: u32,
    events_at: Known<()>,
    rows_at: Known<()>,
    wanted: BTreeSet<StripeId>,
    /// Rows that were read too early to prove anything are among those: causes are found anew once they are there.
    #[serde(default)]
    pub proving: bool,
    rows_out: Option<(Vec<StripeId>, At)>,
    /// Rows could not be read at this tick: not again before the next round.
    rows_failed: bool,
    /// Where the turn through those that are fine has come to.
    turn: Option<StripeId>,
    /// With the time when each was asked for: what happens after the question may be missing in the answer.
    pub subscriptions_out: BTreeMap<StripeId, At>,
    /// Those to be asked for, the newest last, as they were at that tick.
    pub queue: (u64, Vec<StripeId>),
    /// Subscriptions that Stripe did not give, and when that was.
    pub refused: BTreeMap<StripeId, u64>,
}

/// A reading of a range, page by page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub range: EventRange,
    /// The question is on its way.
    pub out: bool,
    /// It was not answered: asked again in the next round.
    pub failed: bool,
}

impl Page {
    pub fn of(range: EventRange) -> Self {
        Self { range, out: false, failed: false }
    }
}

impl Reading {
    pub fn restart(&mut self) {
        (self.head, self.back, self.whole, self.pages) = (None, None, false, 0);
        self.owed = owed::Owed::default();
    }

    pub fn want(&mut self, customers: impl IntoIterator<Item = StripeId>) {
        self.wanted.extend(customers);
    }

    pub fn events_answered(&mut self, at: At) {
        self.events_at = Known::Is { value: (), at };
        // Nobody's rows are wanted: then there is nothing that was not read.
        if self.wanted.is_empty() && self.rows_out.is_none() && self.rows_at.is_waiting() {
            self.rows_at = Known::Is { value: (), at };
        }
    }

    pub fn events_failed(&mut self, fault: &Fault) {
        self.events_at = Known::Failed(fault.clone());
    }

    pub fn pages(&self) -> u32 {
        self.pages
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    pub fn rows_left(&self) -> usize {
        self.wanted.len() + self.rows_out.as_ref().map_or(0, |(c, _)| c.len())
    }

    /// Who did not answer is there again.
    pub fn ask_again(&mut self) {
        self.rows_failed = false;
        self.refused.clear();
    }

    /// A question of events, rows or subscriptions is on its way.
    pub fn is_out(&self) -> bool {
        let pages = [&self.head, &self.back].into_iter().flatten().any(|p| p.out);
        pages || self.rows_out.is_some() || !self.subscriptions_out.is_empty()
    }

    pub fn has_seen_both(&self) -> bool {
        self.events_at.value().is_some() && self.rows_at.value().is_some()
    }

    pub fn fault(&self) -> Option<&Fault> {
        self.rows_at.fault().or(self.events_at.fault())
    }
}

impl Survey {
    /// A round begins: whose rows are to be read in it.
    pub(super) fn want_rows(&mut self, m: &Present) {
        self.reading.rows_failed = false;
        let feed = &self.feed;
        let customers = &feed.of_customer;
        if customers.len() <= ALL_AT_ONCE {
            self.reading.wanted.extend(customers.keys().cloned());
            return;
        }
        let hot = feed.lines.iter().take_while(|l| m.now - l.at < HOT).filter_map(|l| l.customer.as_ref());
        let bad: HashSet<&StripeId> = feed.bad.iter().filter_map(|s| feed.courses.get(s)).map(|h| &h.customer).collect();
        let mut met = HashSet::new();
        let owed = feed.lines.iter().filter(|l| l.pending).filter_map(|l| l.customer.as_ref());
        let owed = owed.filter(|c| !bad.contains(c) && met.insert(*c)).take(OWED);
        self.reading.wanted.extend(hot.chain(bad.iter().copied()).chain(owed).filter(|c| customers.contains_key(*c)).cloned());
        let from = self.reading.turn.clone().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let batch: Vec<StripeId> = customers.range((from, std::ops::Bound::Unbounded)).take(BATCH).map(|(c, _)| c.clone()).collect();
        self.reading.turn = batch.last().filter(|_| batch.len() == BATCH).cloned();
        self.reading.wanted.extend(batch);
    }

    pub(super) fn next_rows(&mut self, m: &Present) -> Option<Query> {
        let r = &mut self.reading;
        if r.rows_out.is_some() || r.wanted.is_empty() || r.rows_failed || m.is_out(Source::Database) {
            return None;
        }
        let mut batch = Vec::with_capacity(BATCH.min(r.wanted.len()));
        while batch.len() < BATCH
            && let Some(customer) = r.wanted.pop_first()
        {
            batch.push(customer);
        }
        r.rows_out = Some((batch.clone(), m.now));
        Some(Query::RowsOf(batch))
    }

    pub(super) fn take_rows(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Present) {
        let Query::RowsOf(of) = query else { return };
        let Some((batch, asked)) = self.reading.rows_out.take_if(|(batch, _)| batch == of) else { return };
        match result {
            Ok(Reply::Rows(rows)) => {
                self.reading.rows_at = Known::Is { value: (), at: m.now };
                let mut held: BTreeMap<&str, &SubscriptionRow> = BTreeMap::new();
                for (row, _) in rows {
                    held.extend(row.text(Field::Customer).map(|c| (c, row)));
                }
                for customer in &batch {
                    let row = held.get(customer.as_str()).copied();
                    let theirs = self.feed.theirs(customer).to_vec();
                    for subscription in &theirs {
                        // As of when it was asked for: what came later may be missing in it.
                        self.compare(subscription, row, asked, m);
                    }
                    self.keep(customer, row, &theirs);
                }
                self.give_time(&batch, &held, asked, m);
            }
            Ok(_) => {}
            Err(fault) => {
                self.reading.rows_at = Known::Failed(fault.clone());
                self.reading.rows_failed = true;
                self.reading.wanted.extend(batch);
            }
        }
    }

    /// What was just applied may show that effects take longer here than was thought: then those that differ are judged by that.
    fn give_time(&mut self, batch: &[StripeId], held: &BTreeMap<&str, &SubscriptionRow>, asked: At, m: &Present) {
        let allowance = self.lag.allowance().num_seconds();
        if allowance <= self.allowance {
            return;
        }
        self.allowance = allowance;
        for customer in batch {
            let theirs = self.feed.theirs(customer).to_vec();
            for subscription in theirs.iter().filter(|s| self.feed.bad.contains(*s)).cloned().collect::<Vec<_>>() {
                self.compare(&subscription, held.get(customer.as_str()).copied(), asked, m);
            }
        }
    }

    /// Only rows that are not as they should be are kept.
    fn keep(&mut self, customer: &StripeId, row: Option<&SubscriptionRow>, theirs: &[StripeId]) {
        let wrong = theirs.iter().any(|s| self.feed.bad.contains(s));
        match row.filter(|_| wrong) {
            Some(row) if self.rows.get(customer) != Some(row) => drop(Arc::make_mut(&mut self.rows).insert(customer.clone(), row.clone())),
            None if self.rows.contains_key(customer) => drop(Arc::make_mut(&mut self.rows).remove(customer)),
            _ => return,
        }
        self.stirred = true;
    }

    /// Compares a subscription's course with the row as it was read then, and gives each of its events its verdict.
    pub(super) fn compare(&mut self, subscription: &StripeId, row: Option<&SubscriptionRow>, row_at: At, m: &Present) {
        let (Some(shape), Some(h)) = (self.shape.value(), self.feed.courses.get(subscription)) else { return };
        let (at_ids, happened): (Vec<(At, StripeId)>, Vec<Happened>) =
            h.events().map(|(at, id, state)| ((at, id.clone()), Happened { at, state })).unzip();
        let facts = self.facts(h, row, row_at);
        let ruling = h.with(subscription, self.follows_live(subscription, row), |course| {
            judge(course, &happened, &facts, &m.env.tiers, shape, self.allowance())
        });
        let (stand, outcome) = (ruling.stand, ruling.outcome);
        let (took, before) = (effect_took(h, stand, row).filter(|_| outcome == Outcome::Fine), h.outcome);
        // A row that was there before the event and was written when it came: its stamp moves with its writes.
        let moved = took.is_some_and(|t| (Duration::zero()..=MOVES_WITHIN).contains(&t)) && (h.states.len() > 1 || h.before.is_some());
        let written = row.and_then(written);
        let stirred = (h.stand, h.outcome) != (stand, outcome);
        // While it is young it is no repair; and each of the young counts, not those alone that were waited for.
        let newest = h.states.last().map(|s| s.at);
        let first = newest.is_some_and(|at| h.row_at.is_none_or(|seen| seen < at) && row_at - at <= LEAST);
        let by_hand = written.is_some_and(|at| self.is_by_hand(&h.customer, at));
        if let (Some(at), Some(took), true) = (newest, took, (first || before == Outcome::Settling) && !by_hand) {
            self.lag.noticed(at, took);
        }
        // What was missed and is there now was repaired: it says nothing about the queue.
        match (took, before) {
            (Some(took), Outcome::Settling) => self.lag.took(took),
            (Some(took), Outcome::Unread) => self.lag.found(took),
            _ => {}
        }
        self.stirred |= stirred;
        self.stamps_move |= moved;
        let feed = Arc::make_mut(&mut self.feed);
        if let Some(h) = feed.courses.get_mut(subscription).map(Arc::make_mut) {
            (h.stand, h.row_at, h.written, h.outcome) = (stand, Some(row_at), written, outcome);
            if outcome == Outcome::Fine {
                h.is_fine();
            }
        }
        if outcome == Outcome::Fine {
            feed.bad.remove(subscription)
        } else {
            feed.bad.insert(subscription.clone())
        };
        for ((at, id), verdict) in at_ids.iter().zip(ruling.verdicts) {
            self.version += u64::from(feed.write(*at, id, verdict, outcome == Outcome::Suspect));
        }
    }

    /// What the verdicts on a subscription's events rest on.
    fn facts<'a>(&'a self, h: &History, row: Option<&'a SubscriptionRow>, row_at: At) -> Facts<'a> {
        let newest = h.newest();
        Facts {
            row,
            row_at,
            newest,
            last_state: h.states.last().map(|s| s.at),
            told: h.is_told(),
            asked: h.current().is_some(),
            enforced: self.cases.enforced(&h.customer, row.map(|r| &r.image)),
            cleared: self.cases.cleared(&h.customer, newest, row.map(|r| &r.image), row_at),
            nobody: self.cases.nobody(&h.customer),
        }
    }

    /// The row names another subscription of this customer, and that one has not ended.
    fn follows_live(&self, subscription: &StripeId, row: Option<&SubscriptionRow>) -> bool {
        let named = row.and_then(|r| r.text(Field::Subscription)).filter(|n| *n != subscription.as_str());
        named.and_then(|n| StripeId::parse(n).ok()).is_some_and(|n| self.feed.is_live(&n))
    }

    /// The shape of the database has changed: everything is to be compared anew.
    pub(super) fn judge_anew(&mut self) {
        self.reading.wanted.extend(self.feed.of_customer.keys().cloned());
    }

    /// Lets go of what has left the range.
    pub(super) fn forget_older(&mut self, now: At) {
        let then = self.range(now);
        if self.feed.lines.last().is_some_and(|l| l.at < then) {
            Arc::make_mut(&mut self.feed).forget_before(then);
            (self.version, self.stirred) = (self.version + 1, true);
        }
        // Looked at before it is written to: what is shared with another copy of the state is copied by a write.
        if self.rows.keys().any(|c| !self.feed.of_customer.contains_key(c)) {
            let feed = &self.feed;
            Arc::make_mut(&mut self.rows).retain(|c, _| feed.of_customer.contains_key(c));
        }
    }

    /// Verdict, reason and evidence of one event.
    pub(super) fn explain(&self, event: &StripeId) -> Option<Judgement> {
        self.explain_line(self.feed.lines.iter().find(|l| l.id == *event)?)
    }

    /// Why a listed event has its verdict, in one sentence.
    #[must_use]
    pub fn because(&self, line: &Line) -> String {
        self.explain_line(line).map_or_else(String::new, |j| j.because)
    }

    fn explain_line(&self, line: &Line) -> Option<Judgement> {
        let Some(subscription) = line.subscription.as_ref().filter(|_| line.verdict != Verdict::UnhandledType) else {
            return Some(plain(line.verdict, says_at_sight(line.verdict, &line.kind)));
        };
        let h = self.feed.courses.get(subscription)?;
        let (Some(shape), Some(row_at)) = (self.shape.value(), h.row_at) else {
            return Some(plain(line.verdict, "The row has not been read yet.".into()));
        };
        let row = self.rows.get(&h.customer);
        let facts = self.facts(h, row, row_at);
        let mut judgement = h.with(subscription, self.follows_live(subscription, row), |course| {
            explain(course, (h.stand, h.outcome), line.verdict, &facts, shape, self.allowance())
        });
        judgement.evidence.push(format!("database: read at {}", row_at.format("%H:%M:%SZ")));
        judgement.evidence.extend(self.mirror_evidence(h));
        judgement.evidence.extend(self.received.get(&line.id).map(|r| r.said.says()));
        judgement.evidence.push(delivery(line.pending));
        Some(judgement)
    }
}

impl Feed {
    /// Writes the verdict down; whether it is another one than before. While Stripe is asked, what was a failure stays one.
    fn write(&mut self, at: At, id: &StripeId, verdict: Verdict, unconfirmed: bool) -> bool {
        let Some(place) = self.place(at, id) else { return false };
        let line = &mut self.lines[place];
        let verdict = if unconfirmed && verdict.is_failure() && !line.verdict.is_failure() { Verdict::Unknown } else { verdict };
        let changed = line.verdict != verdict;
        line.verdict = verdict;
        if !verdict.is_failure() {
            line.cause = None;
        }
        changed
    }
}

/// How long the newest effect took to come, where the row says when it was written.
fn effect_took(h: &History, stand: Option<Stand>, row: Option<&SubscriptionRow>) -> Option<Duration> {
    let last = h.states.last()?;
    let written = written(row?)?;
    (stand == Some(Stand::At(h.states.len() - 1))).then(|| written - last.at)
}

/// When the row was written, where a column says so.
fn written(row: &SubscriptionRow) -> Option<At> {
    match row.get(Field::UpdatedAt) {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    }
}
