//! The drift scan: Stripe's subscriptions beside the rows, of the whole account or of whoever changed since. A machine of questions and
//! answers: it reads nothing itself, keeps what has drifted and forgets the rest, and can stand still at any point and go on from there.

mod feed;
mod looks;
mod pages;
#[cfg(test)]
mod tests;

use crate::domain::At;
use crate::domain::diagnosis::{Moment, SETTLING_SECONDS};
use crate::domain::facts::Handle;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::row::SubscriptionRow;
use crate::domain::shape::Shape;
use crate::domain::stripe::Subscription;
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::drift::{Drifted, Found};
use crate::procedures::shared;
use crate::protocol::answers::Answers;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;
use feed::Feed;
use looks::Suspect;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// A scan, running or through. Cheap to copy: what grows is shared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    scope: Scope,
    standing: Standing,
    began: At,
    ended: Option<At>,
    shape: Option<Shape>,
    feed: Feed,
    rows: RowsPass,
    asked: BTreeMap<u16, Asked>,
    next_slot: u16,
    queue: VecDeque<Suspect>,
    cases: BTreeMap<String, Answers>,
    /// Fingerprints of the subscriptions and customers that Stripe has named: a row that names none of them is alone.
    #[serde(with = "shared")]
    named: Arc<HashSet<u64>>,
    /// Fingerprints of those who were looked at by themselves: nobody is twice.
    #[serde(with = "shared")]
    looked_at: Arc<HashSet<u64>>,
    #[serde(with = "shared")]
    found: Arc<Found>,
    progress: Progress,
    pressure_at: Option<At>,
    /// How long effects are given, in seconds.
    allowance: i64,
}

/// Whom a scan compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every subscription of the account, and every row.
    Account,
    /// Whoever has an event since then.
    Since(At),
}

/// How a scan stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Running,
    /// By the operator.
    Paused,
    /// Production needs its sources more: why.
    Held(String),
    Done,
    /// By the operator, before its end.
    Canceled,
    /// It cannot go on: what a source says.
    Failed(Fault),
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Subscriptions that Stripe has listed.
    pub subscriptions: u64,
    /// Rows that were looked through for what Stripe does not name.
    pub rows: u64,
    /// Customers that were looked at by themselves.
    pub looked: u64,
    /// Customers that wait for it.
    pub waiting: usize,
    /// Changed just now on one side.
    pub settling: u64,
    /// They differ, and the row may not be what is there.
    pub unknown: u64,
    /// Customers that could not be read, and why the last of them could not.
    pub unread: u64,
    pub unread_because: Option<String>,
    /// Stripe's elements that are no subscriptions.
    pub unreadable: u64,
    /// The first few of them, by their id.
    pub unreadable_ids: Vec<String>,
    /// Questions to Stripe so far; one may take several requests.
    pub asked: u64,
    /// Why the last answer did not come, while it is being asked for again.
    pub trouble: Option<String>,
}

/// The pass over all rows, after Stripe's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum RowsPass {
    /// From behind this key on.
    From(Option<SubjectKey>),
    Done,
}

/// A question under way, and what its answer is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asked {
    query: Query,
    work: Work,
    /// When it went out; `None`: it waits until `again_at`, or goes at once.
    out: Option<At>,
    again_at: Option<At>,
    faults: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Work {
    Shape,
    Pressure,
    /// A page of this segment.
    Page(usize),
    Events,
    /// The rows of these subscriptions' customers.
    Rows(Heard),
    /// The rows that name these subscriptions, whose customers no row holds.
    Naming(Heard),
    RowPage,
    /// All subscriptions of a customer.
    All(StripeId),
    /// The row of a customer whose subscriptions these are.
    RowOf(StripeId, Heard),
    /// The one subscription that this row names.
    One(Box<SubscriptionRow>),
    /// A part of a case.
    Case(String),
}

/// When a question went out, and when its answer came. What Stripe says counts as of the asking: an answer may have waited for its turn, and
/// for the products of its prices, while a row was written.
#[derive(Debug, Clone, Copy)]
struct Times {
    asked: At,
    now: At,
}

/// What Stripe said, and when it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Heard {
    #[serde(with = "shared")]
    subscriptions: Arc<Vec<Subscription>>,
    at: At,
    /// As events carried them: whatever differs is read anew.
    snapshots: bool,
}

/// Pages of Stripe's that may be out at once. More than one, so that a slow answer does not leave the budget unused.
const PAGES_AT_ONCE: usize = 6;
/// Pages whose rows are still awaited: beyond that Stripe waits, so that memory stays flat.
const ROWS_AT_ONCE: usize = 4;
const LOOKS_AT_ONCE: usize = 3;
/// Customers waiting to be looked at: beyond that no further page is asked for.
const QUEUE: usize = 200;
/// Of those found drifted so many are read again where somebody may have written to any of them.
const AGAIN_AT_MOST: usize = 200;
/// How often it is asked whether to stand back, in seconds.
const PRESSURE_EVERY: i64 = 5;
/// The longest wait before an unanswered question is asked again, in seconds.
const LONGEST_WAIT: i64 = 30;
/// A question that has not been answered for so long was lost on its way, in seconds; every source gives up sooner.
const LOST: i64 = 180;
/// After so many faults one customer is given up; pages never are.
const PATIENCE: u32 = 5;

impl Scan {
    #[must_use]
    pub fn new(scope: Scope, now: At) -> Self {
        Self {
            scope,
            standing: Standing::Running,
            began: now,
            ended: None,
            shape: None,
            feed: Feed::of(scope, now),
            rows: if scope == Scope::Account { RowsPass::From(None) } else { RowsPass::Done },
            asked: BTreeMap::new(),
            next_slot: 0,
            queue: VecDeque::new(),
            cases: BTreeMap::new(),
            named: Arc::default(),
            looked_at: Arc::default(),
            found: Arc::default(),
            progress: Progress::default(),
            pressure_at: None,
            allowance: SETTLING_SECONDS,
        }
    }

    /// What was learned elsewhere about how long effects take.
    pub fn allow(&mut self, allowance: Duration) {
        self.allowance = allowance.num_seconds().max(SETTLING_SECONDS);
    }

    fn moment(&self, shape: &Shape, now: At) -> Moment {
        let usual = Moment::from(now);
        Moment { allowance: Duration::seconds(self.allowance).max(usual.allowance + shape.late()), ..usual }
    }

    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What has been found so far.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    #[must_use]
    pub fn began(&self) -> At {
        self.began
    }

    /// When it was through, or given up.
    #[must_use]
    pub fn ended(&self) -> Option<At> {
        self.ended
    }

    /// It goes on, or will by itself.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.standing, Standing::Running | Standing::Paused | Standing::Held(_))
    }

    /// Nothing further is asked; what is out is still taken in.
    pub fn pause(&mut self) {
        if matches!(self.standing, Standing::Running | Standing::Held(_)) {
            self.standing = Standing::Paused;
        }
    }

    /// Goes on from where it stands: after a pause, or after its process has died and it was kept.
    pub fn resume(&mut self) {
        if matches!(self.standing, Standing::Paused | Standing::Held(_) | Standing::Failed(_)) {
            self.standing = Standing::Running;
            self.ended = None;
        }
    }

    /// Nothing is under way any more: what was asked before is asked again.
    pub fn reopen(&mut self) {
        for asked in self.asked.values_mut() {
            (asked.out, asked.again_at) = (None, None);
        }
        self.resume();
    }

    /// Ends it here; what was found stays.
    pub fn cancel(&mut self, now: At) {
        if self.is_under_way() {
            self.end(Standing::Canceled, now);
            self.asked.clear();
            self.queue.clear();
            self.cases.clear();
        }
    }

    /// Somebody has written the rows of these, by profile and by the customer that the row is to hold: of whom it found drifted, it reads
    /// again at once what the finding rests on, be it through or not.
    pub fn look_again(&mut self, written: &[(SubjectKey, Option<StripeId>)]) {
        for (subject, customer) in written {
            let by_customer = || self.found.get(customer.as_ref()?.as_str());
            let Some(drifted) = self.found.get(subject.as_str()).or_else(by_customer) else { continue };
            let suspect = match drifted.customer.clone().or(customer.clone()) {
                Some(customer) => Suspect::All(customer),
                None => Suspect::Case(Handle::Subject(subject.clone())),
            };
            self.suspect_again(suspect);
        }
    }

    /// Somebody has written rows, and nobody can tell whose: of those whom it found drifted it reads the worst again, so many.
    pub fn look_again_at_the_worst(&mut self) {
        let groups = self.found.groups();
        let worst = groups.iter().flat_map(|g| &g.named).take(AGAIN_AT_MOST);
        let suspect = |d: &&Drifted| match (&d.customer, &d.subject) {
            (Some(customer), _) => Some(Suspect::All(customer.clone())),
            (None, subject) => Some(Suspect::Case(Handle::Subject(subject.clone()?))),
        };
        // Each goes to the front of the line: the worst last.
        let suspects: Vec<Suspect> = worst.filter_map(suspect).collect();
        suspects.into_iter().rev().for_each(|s| self.suspect_again(s));
    }

    /// It is over, and somebody is being looked at again.
    #[must_use]
    pub fn looks_again(&self) -> bool {
        let looks = || self.waits(is_a_look) || !self.cases.is_empty() || !self.queue.is_empty();
        matches!(self.standing, Standing::Done | Standing::Canceled) && looks()
    }

    /// The questions to ask now, each with the number that its answer comes back under. To be called after every answer, and once a second.
    pub fn advance(&mut self, now: At) -> Vec<(u16, Query)> {
        if matches!(self.standing, Standing::Running | Standing::Held(_)) {
            self.ask_pressure(now);
        }
        if self.looks_again() {
            self.look();
        }
        if self.standing == Standing::Running && self.shape.is_none() && !self.waits(|w| matches!(w, Work::Shape)) {
            self.ask(Query::Shape, Work::Shape);
        } else if self.standing == Standing::Running && self.shape.is_some() {
            self.look();
            self.feed();
            self.progress.waiting = self.queue.len() + self.cases.len();
            if self.is_idle() && self.feed.is_done() && self.rows == RowsPass::Done {
                self.end(Standing::Done, now);
            }
        }
        self.send(now)
    }

    /// Takes an answer in. One that is not waited for, or to another question, changes nothing.
    pub fn replied(&mut self, slot: u16, query: &Query, result: &Result<Reply, Fault>, rules: &TierRules, now: At) {
        if self.asked.get(&slot).is_none_or(|a| a.query != *query) || !(self.is_under_way() || self.looks_again()) {
            return;
        }
        let Some(asked) = self.asked.remove(&slot) else { return };
        match result {
            Ok(reply) => {
                self.progress.trouble = None;
                let times = Times { asked: asked.out.unwrap_or(now), now };
                self.take(asked.work, query, reply, rules, times);
            }
            Err(fault) => self.failed(slot, asked, fault, rules, now),
        }
    }

    /// Nothing is under way and nobody waits.
    fn is_idle(&self) -> bool {
        self.asked.values().all(|a| matches!(a.work, Work::Pressure)) && self.queue.is_empty()
    }

    /// Puts a question in line.
    fn ask(&mut self, query: Query, work: Work) {
        while self.asked.contains_key(&self.next_slot) {
            self.next_slot = self.next_slot.wrapping_add(1);
        }
        self.asked.insert(self.next_slot, Asked { query, work, out: None, again_at: None, faults: 0 });
        self.next_slot = self.next_slot.wrapping_add(1);
    }

    /// What is in line and due goes out; while the scan stands still, only the question whether it may go on.
    fn send(&mut self, now: At) -> Vec<(u16, Query)> {
        let running = self.standing == Standing::Running;
        let may = |a: &Asked| match self.standing {
            Standing::Running => true,
            Standing::Held(_) => matches!(a.work, Work::Pressure),
            Standing::Done | Standing::Canceled => is_a_look(&a.work),
            Standing::Paused | Standing::Failed(_) => false,
        };
        let waits = |a: &Asked| match a.out {
            None => a.again_at.is_none_or(|at| at <= now),
            Some(at) => now - at >= Duration::seconds(LOST),
        };
        let due: Vec<u16> = self.asked.iter().filter(|(_, a)| may(a) && waits(a)).map(|(slot, _)| *slot).collect();
        let mut out = Vec::with_capacity(due.len());
        for slot in due {
            let Some(asked) = self.asked.get_mut(&slot) else { continue };
            asked.out = Some(now);
            self.progress.asked += u64::from(running && asked.query.source() == Source::Stripe);
            out.push((slot, asked.query.clone()));
        }
        out
    }

    fn waits(&self, of: impl Fn(&Work) -> bool) -> bool {
        self.asked.values().any(|a| of(&a.work))
    }

    fn count(&self, of: impl Fn(&Work) -> bool) -> usize {
        self.asked.values().filter(|a| of(&a.work)).count()
    }

    fn ask_pressure(&mut self, now: At) {
        let due = self.pressure_at.is_none_or(|at| now - at >= Duration::seconds(PRESSURE_EVERY));
        if due && !self.waits(|w| matches!(w, Work::Pressure)) {
            self.pressure_at = Some(now);
            self.ask(Query::Pressure, Work::Pressure);
        }
    }

    fn failed(&mut self, slot: u16, asked: Asked, fault: &Fault, rules: &TierRules, now: At) {
        let faults = asked.faults + 1;
        match asked.work {
            // A source that does not answer is no reason to press on.
            Work::Pressure => self.hold(Some(fault.say.clone())),
            ref work if is_a_look(work) && (!fault.passes() || faults >= PATIENCE) => {
                self.gave_up(asked, fault, rules, now);
            }
            _ if fault.passes() => {
                self.progress.trouble = Some(fault.say.clone());
                let wait = Duration::seconds((1i64 << faults.min(5)).min(LONGEST_WAIT));
                self.asked.insert(slot, Asked { out: None, again_at: Some(now + wait), faults, ..asked });
            }
            _ => {
                self.asked.insert(slot, Asked { out: None, again_at: None, faults, ..asked });
                self.end(Standing::Failed(fault.clone()), now);
            }
        }
    }

    fn hold(&mut self, because: Option<String>) {
        match (&self.standing, because) {
            (Standing::Running | Standing::Held(_), Some(reason)) => self.standing = Standing::Held(reason),
            (Standing::Held(_), None) => self.standing = Standing::Running,
            _ => {}
        }
    }

    fn end(&mut self, standing: Standing, now: At) {
        self.standing = standing;
        self.ended = Some(now);
    }
}

/// A question about one customer, as opposed to pages of all.
fn is_a_look(work: &Work) -> bool {
    matches!(work, Work::All(_) | Work::One(_) | Work::Case(_) | Work::RowOf(..))
}

/// FNV-1a: the same in every process, so that a scan that was kept goes on in another one. Among a million ids two share it once in 37 million accounts.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
