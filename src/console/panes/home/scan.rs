//! The scan behind Home: events in, rows beside them, and the case of everyone whose row does not show the effect. Bounded at each step.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::At;
use crate::domain::diagnosis::{SETTLING_SECONDS, Word, diagnose};
use crate::domain::facts::{Handle, Known};
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::{About, Finding, Judged, Snapshot, Verdict, verdicts};
use crate::domain::ids::StripeId;
use crate::domain::row::{Image, SubscriptionRow};
use crate::domain::shape::Shape;
use crate::domain::stripe::StripeEvent;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const SHAPE: u16 = 0;
const EVENTS: u16 = 1;
const ROWS: u16 = 2;
/// Reads of cases take the slots from here on.
const CASES: u16 = 16;

/// How far back events are looked at, in hours.
pub(super) const HOURS: i64 = 24;
/// Columns of the day that received and applied events are counted in.
pub(super) const COLUMNS: usize = 96;
/// How often events and rows are read anew, in milliseconds.
const SCAN_EVERY: u64 = 15_000;
/// New events may be listed a little late: each read goes back this far behind the newest one seen.
const OVERLAP_SECONDS: i64 = 120;
/// Cases read because an event looked unapplied: at most so many at all, and so many at a time.
const SUSPECTS_AT_MOST: usize = 50;
const CASES_AT_ONCE: usize = 2;
/// What a case said is asked again after so many milliseconds; sooner where it could not say or has to settle.
const RECHECK: u64 = 300_000;
const RECHECK_SETTLING: u64 = 20_000;
const RECHECK_UNKNOWN: u64 = 60_000;

/// The scan's state. Waiting until the first round is through.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    shape: Known<Shape>,
    /// Shared, since the state is copied whenever a key may be the first of a paste.
    #[serde(with = "shared")]
    day: Arc<Day>,
    events_at: Known<()>,
    /// Whether the list reaches back the whole day.
    pub(super) whole: bool,
    rows_at: Known<()>,
    last_scan: Option<u64>,
    /// When the first read went out: from one second on the screen counts.
    pub(super) began: Option<u64>,
    /// Customers whose newest event looks unapplied, and how many more there were.
    pub(super) suspects: Vec<StripeId>,
    pub(super) beyond: usize,
    pub(super) settling: usize,
    pub(super) checks: BTreeMap<StripeId, Check>,
    next_slot: u16,
    pub(super) received: Vec<u32>,
    pub(super) applied: Vec<u32>,
    pub(super) last_applied: Option<At>,
}

/// What was read of the last day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Day {
    /// Every event of the window.
    seen: BTreeMap<StripeId, Seen>,
    newest: BTreeMap<StripeId, Snapshot>,
    rows: BTreeMap<StripeId, SubscriptionRow>,
}

/// An event: when, and whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    at: At,
    customer: StripeId,
    subscription: Option<StripeId>,
}

/// The case of one suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What made it suspect: a change of either asks for a new reading.
    snapshot_at: At,
    row: Option<Image>,
    /// What has been answered so far, while it is being read.
    reading: Option<Answers>,
    outcome: Option<(u64, Judged)>,
}

impl Day {
    /// A snapshot as new as the event, or newer, tells what it came to.
    fn is_told(&self, s: &Seen) -> bool {
        s.subscription.as_ref().and_then(|id| self.newest.get(id)).is_some_and(|n| n.at >= s.at)
    }

    fn untold(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values().filter(|s| !self.is_told(s))
    }
}

impl Check {
    pub(super) fn judged(&self) -> Option<&Judged> {
        self.outcome.as_ref().map(|(_, j)| j)
    }
}

impl Scan {
    /// Scans again at the next tick, unless it has just done so.
    pub fn hurry(&mut self, tick: u64) {
        if self.last_scan.is_some_and(|t| tick.saturating_sub(t) > 3_000) {
            self.last_scan = None;
        }
    }

    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.last_scan.is_none_or(|t| cx.tick.saturating_sub(t) >= SCAN_EVERY) {
            self.last_scan = Some(cx.tick);
            self.began.get_or_insert(cx.tick);
            asks.push(Ask::Read { slot: Slot::Home(SHAPE), query: Query::Shape });
            let window = cx.now - Duration::hours(HOURS);
            let newest = self.day.seen.values().map(|s| s.at).max().filter(|_| self.whole);
            let since = newest.map_or(window, |at| (at - Duration::seconds(OVERLAP_SECONDS)).max(window));
            if !matches!(cx.health(Source::Stripe), Health::Down | Health::NotSetUp) {
                asks.push(Ask::Read { slot: Slot::Home(EVENTS), query: Query::EventsSince(since) });
            }
            asks.extend(self.ask_rows());
        }
        asks.extend(self.check(cx));
        asks
    }

    fn ask_rows(&self) -> Option<Ask> {
        let mut customers: Vec<StripeId> = self.day.newest.values().map(|s| s.subscription.customer.clone()).collect();
        customers.extend(self.day.untold().map(|s| s.customer.clone()));
        customers.sort();
        customers.dedup();
        (!customers.is_empty()).then_some(Ask::Read { slot: Slot::Home(ROWS), query: Query::RowsOf(customers) })
    }

    pub fn replied(&mut self, slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        if matches!(slot, Slot::Home(n) if n >= CASES) {
            for check in self.checks.values_mut() {
                if let Some(answers) = check.reading.as_mut().filter(|a| a.get(query).is_some_and(Known::is_waiting)) {
                    answers.put(query.clone(), result.clone(), cx.now);
                }
            }
            return self.check(cx);
        }
        let mut asks = Vec::new();
        match (query, result) {
            (Query::Shape, Ok(Reply::Shape(shape))) => self.shape = Known::Is { value: (**shape).clone(), at: cx.now },
            (Query::Shape, Err(f)) if self.shape.value().is_none() => self.shape = Known::Failed(f.clone()),
            (Query::EventsSince(since), Ok(Reply::Events { events, complete })) => {
                self.take(events, cx.now);
                self.whole |= *complete && *since <= cx.now - Duration::hours(HOURS) + Duration::minutes(1);
                self.events_at = Known::Is { value: (), at: cx.now };
                if self.day.seen.is_empty() {
                    self.rows_at = Known::Is { value: (), at: cx.now };
                }
                asks.extend(self.ask_rows());
            }
            (Query::EventsSince(_), Err(f)) => self.events_at = Known::Failed(f.clone()),
            (Query::RowsOf(_), Ok(Reply::Rows(rows))) => {
                let held = |row: &SubscriptionRow| row.text(crate::domain::row::Field::Customer).and_then(|t| StripeId::parse(t).ok());
                Arc::make_mut(&mut self.day).rows = rows.iter().filter_map(|(row, _)| Some((held(row)?, row.clone()))).collect();
                self.rows_at = Known::Is { value: (), at: cx.now };
            }
            (Query::RowsOf(_), Err(f)) => self.rows_at = Known::Failed(f.clone()),
            _ => {}
        }
        self.judge(cx);
        asks.extend(self.check(cx));
        asks
    }

    /// Takes events in, and lets go of those that have left the window.
    fn take(&mut self, events: &[StripeEvent], now: At) {
        let day = Arc::make_mut(&mut self.day);
        for e in events {
            let snapshot = e.subscription.as_deref();
            let Some(customer) = snapshot.map(|s| &s.customer).or(e.customer.as_ref()).cloned() else { continue };
            let subscription = snapshot.map(|s| &s.id).or(e.subscription_id.as_ref()).cloned();
            day.seen.insert(e.id.clone(), Seen { at: e.created, customer, subscription });
            let Some(s) = snapshot else { continue };
            let newer = day.newest.get(&s.id).is_none_or(|n| n.at <= e.created);
            if newer {
                day.newest.insert(s.id.clone(), Snapshot { at: e.created, subscription: s.clone() });
            }
        }
        let window = now - Duration::hours(HOURS);
        day.seen.retain(|_, s| s.at >= window);
        day.newest.retain(|_, n| n.at >= window);
    }

    /// Compares the newest snapshots with the rows: who is suspect, and how many events are applied.
    fn judge(&mut self, cx: &Context) {
        let (Some(env), Some(shape)) = (cx.env, self.shape.value()) else { return };
        if self.rows_at.value().is_none() || self.events_at.is_waiting() {
            return;
        }
        let found = verdicts(&self.day.newest, &self.day.rows, &env.tiers, shape, cx.now);
        let mut suspects: Vec<(At, StripeId)> = Vec::new();
        for n in self.day.newest.values().filter(|n| found.get(&n.subscription.id) == Some(&Verdict::Suspect)) {
            if !suspects.iter().any(|(_, c)| *c == n.subscription.customer) {
                suspects.push((n.at, n.subscription.customer.clone()));
            }
        }
        // An event without a snapshot says that something happened, and not what: only the case tells.
        if shape.trust.reasons().is_empty() {
            for s in self.day.untold().filter(|s| (cx.now - s.at).num_seconds() >= SETTLING_SECONDS) {
                match suspects.iter_mut().find(|(_, c)| *c == s.customer) {
                    Some((at, _)) => *at = s.at.max(*at),
                    None => suspects.push((s.at, s.customer.clone())),
                }
            }
        }
        // The newest first: where there are more than can be read, the ones that are being hurt right now are.
        suspects.sort_by_key(|s| std::cmp::Reverse(s.0));
        self.beyond = suspects.len().saturating_sub(SUSPECTS_AT_MOST);
        suspects.truncate(SUSPECTS_AT_MOST);
        self.settling = found.values().filter(|v| **v == Verdict::Settling).count();
        let old = std::mem::take(&mut self.checks);
        self.checks = suspects.iter().map(|(at, c)| (c.clone(), Self::kept(old.get(c), *at, self.day.rows.get(c)))).collect();
        self.suspects = suspects.into_iter().map(|(_, c)| c).collect();
        self.count(&found, cx.now);
    }

    /// The check as it stands, unless what made it suspect has changed: then what it said last stays until it is read anew.
    fn kept(old: Option<&Check>, snapshot_at: At, row: Option<&SubscriptionRow>) -> Check {
        let row = row.map(|r| r.image.clone());
        match old {
            Some(c) if c.snapshot_at == snapshot_at && c.row == row => c.clone(),
            Some(c) => {
                let outcome = c.outcome.clone().map(|(_, j)| (0, j));
                Check { snapshot_at, row, reading: None, outcome }
            }
            None => Check { snapshot_at, row, reading: None, outcome: None },
        }
    }

    fn count(&mut self, found: &BTreeMap<StripeId, Verdict>, now: At) {
        (self.received, self.applied) = (vec![0; COLUMNS], vec![0; COLUMNS]);
        self.last_applied = None;
        let cleared = |customer: &StripeId| {
            let judged = self.checks.get(customer).and_then(Check::judged);
            judged.is_some_and(|j| j.diagnosis.word == Word::Ok)
        };
        let column_minutes = HOURS * 60 / i64::try_from(COLUMNS).expect("invariant: a small constant");
        for s in self.day.seen.values() {
            let back = usize::try_from((now - s.at).num_minutes().max(0) / column_minutes).unwrap_or(COLUMNS);
            let Some(column) = COLUMNS.checked_sub(back + 1) else { continue };
            self.received[column] += 1;
            let by_snapshot = || s.subscription.as_ref().filter(|_| self.day.is_told(s)).and_then(|sub| found.get(sub));
            if by_snapshot() == Some(&Verdict::Applied) || cleared(&s.customer) {
                self.applied[column] += 1;
                self.last_applied = self.last_applied.max(Some(s.at));
            }
        }
    }

    /// Goes on reading the cases of suspects, a few at a time.
    fn check(&mut self, cx: &Context) -> Vec<Ask> {
        let Some(env) = cx.env else { return Vec::new() };
        let mut asks = Vec::new();
        let mut finished = false;
        let mut busy = self.checks.values().filter(|c| c.reading.is_some()).count();
        for customer in &self.suspects {
            let Some(check) = self.checks.get_mut(customer) else { continue };
            let due = check.outcome.as_ref().is_none_or(|(at, j)| {
                let patience = match j.diagnosis.word {
                    Word::Settling => RECHECK_SETTLING,
                    Word::Unknown => RECHECK_UNKNOWN,
                    _ => RECHECK,
                };
                *at == 0 || cx.tick.saturating_sub(*at) >= patience
            });
            if check.reading.is_none() && due && busy < CASES_AT_ONCE {
                check.reading = Some(Answers::default());
                busy += 1;
            }
            let Some(answers) = check.reading.as_mut() else { continue };
            let handle = Handle::Stripe(customer.clone());
            // What the application enforces is the customer's own screen's business: Home asks the two that can disagree.
            let wanted = next_reads(&handle, None, answers).into_iter().filter(|q| !matches!(q, Query::Entitlement(_)));
            for query in wanted {
                answers.asked(query.clone());
                self.next_slot = if self.next_slot < CASES || self.next_slot == u16::MAX { CASES } else { self.next_slot + 1 };
                asks.push(Ask::Read { slot: Slot::Home(self.next_slot), query });
            }
            if answers.outstanding().next().is_none() {
                let case = assemble(&handle, None, answers);
                let diagnosis = diagnose(&case, &env.tiers, cx.now);
                check.outcome = Some((cx.tick.max(1), Judged::of(customer.clone(), &case, diagnosis)));
                check.reading = None;
                busy -= 1;
                finished = true;
            }
        }
        if finished {
            if let Some(shape) = self.shape.value() {
                let found = verdicts(&self.day.newest, &self.day.rows, &env.tiers, shape, cx.now);
                self.count(&found, cx.now);
            }
            asks.extend(self.check(cx));
        }
        asks
    }

    /// How many suspects have been read, of how many.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.checks.values().filter(|c| c.outcome.is_some()).count(), self.suspects.len())
    }

    /// Events and rows are known, and every suspect has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let (read, of) = self.progress();
        self.events_at.value().is_some() && self.rows_at.value().is_some() && self.shape.value().is_some() && read == of
    }

    /// Nothing has been compared yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.received.is_empty()
    }

    /// The fault that keeps the scan from seeing, if any.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.shape.fault().or(self.rows_at.fault()).or(self.events_at.fault())
    }

    /// Why nothing can be called missing, where that is so.
    #[must_use]
    pub fn doubt(&self) -> Option<Finding> {
        let reasons = self.shape.value()?.trust.reasons();
        let reason = reasons.first()?.clone();
        Some(Finding {
            word: Word::Unknown,
            sentence: "What is missing in the database cannot be told".into(),
            size: String::new(),
            reason,
            about: About::Sight,
            evidence: reasons.to_vec(),
        })
    }

    /// All events of the window, and how many of them are in the database.
    #[must_use]
    pub fn totals(&self) -> (u32, u32) {
        (self.received.iter().sum(), self.applied.iter().sum())
    }
}

/// A shared value is written as what it holds.
mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, s: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(s)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(d).map(Arc::new)
    }
}
