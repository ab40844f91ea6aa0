//! The survey: which of Stripe's events are in the database and which are not, read bit by bit. Home, the webhooks pane and the command line look
//! at the same one. A pure machine: time in, questions out, answers in.

mod cases;
mod clock;
mod copied;
mod feed;
mod groups;
mod hands;
mod mirror;
mod owed;
mod reads;
mod rows;
mod scene;
mod series;
mod slower;

use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::{About, Finding, Judged};
use crate::domain::ids::StripeId;
use crate::domain::row::SubscriptionRow;
use crate::domain::shape::Shape;
use crate::domain::webhooks::cause::{Cause, Scene};
use crate::domain::webhooks::feed::{Group, Line, RawEvent};
use crate::domain::webhooks::lag::{LEAST, Lag};
use crate::domain::webhooks::verdict::{Judgement, Verdict};
use crate::procedures::shared;
use crate::protocol::environment::Environment;
use crate::protocol::freshness::{Freshness, Health};
use crate::protocol::query::{Query, Reply};
use cases::Cases;
use chrono::Duration;
use feed::Feed;
use rows::Reading;
use scene::Scenery;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

pub use copied::Copied;
pub use series::{COLUMNS, Series};

/// How far back it looks unless told otherwise, in hours.
pub const HOURS: i64 = 24;
/// How far back Stripe's list reaches, in days.
pub const DAYS_AT_MOST: i64 = 30;
/// How often events and rows are read anew, in milliseconds.
const EVERY: u64 = 15_000;
/// What goes through everything that is known is done again so many milliseconds later at the earliest, where that is much.
const PAUSE: u64 = 500;
/// Much: so many events, or so many subscriptions that are not as they should be.
const MANY_EVENTS: usize = 5_000;
const MANY_BAD: usize = 500;

/// What the survey may know about the moment: it reads no clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub now: At,
    /// Milliseconds on a clock that only goes forward.
    pub tick: u64,
    pub env: &'a Environment,
    /// Empty where nobody watches them: then every source is asked.
    pub sources: &'a BTreeMap<Source, Freshness>,
}

/// The survey's state. Its big parts are shared, since the console's state is copied whenever a key may be the first of a paste.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    shape: Known<Shape>,
    #[serde(with = "shared")]
    feed: Arc<Feed>,
    /// The rows that are not as they should be, by the customer they hold; the others are as their events say.
    #[serde(with = "shared")]
    rows: Arc<BTreeMap<StripeId, SubscriptionRow>>,
    #[serde(with = "shared")]
    received: Arc<BTreeMap<StripeId, reads::Noted>>,
    #[serde(with = "shared", default)]
    hands: Arc<hands::Hands>,
    /// The runs that are at work here, of which the journal tells later.
    #[serde(default)]
    at_work: BTreeMap<Uuid, hands::AtWork>,
    reading: Reading,
    cases: Cases,
    lag: Lag,
    #[serde(default)]
    mirror: mirror::Asked,
    /// What effects are given to come, in seconds: the lag, computed once a round.
    allowance: i64,
    /// By how many seconds Stripe's clock was found to be ahead of ours.
    ahead: i64,
    /// Something has changed of which customers look unapplied.
    stirred: bool,
    /// Rows say when they were last written: of some it was seen that their stamp moves.
    #[serde(default)]
    stamps_move: bool,
    series: Series,
    /// What only consoles have put right since the application was last seen at work.
    #[serde(default)]
    copied: Option<Copied>,
    #[serde(with = "shared")]
    groups: Arc<Vec<Group>>,
    #[serde(default)]
    older: groups::Older,
    /// Why the newest failure of each customer has come to nothing.
    #[serde(with = "shared", default)]
    causes: Arc<BTreeMap<StripeId, Cause>>,
    /// What is the same for all failures: endpoints, log, probe, deploys.
    #[serde(with = "shared")]
    scene: Arc<Scene>,
    scenery: Scenery,
    last_round: Option<u64>,
    began: Option<u64>,
    /// Sources that did not answer when they were asked last.
    #[serde(default)]
    silent: BTreeSet<Source>,
    /// How far back, in hours; 0: the usual day.
    hours: i64,
    /// Grows whenever lines, verdicts or groups change.
    version: u64,
}

/// How far the survey has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Pages of events that were read of this range.
    pub pages: u32,
    /// The list reaches back the whole range.
    pub complete: bool,
    /// Customers whose rows are still to be read.
    pub rows_left: usize,
    /// Subscriptions that are still to be asked for, since an event and the row differ.
    pub unconfirmed: usize,
    /// Failures that were not looked at for their cause yet, the oldest of very many: they are in no group, and each moment some thousand
    /// fewer.
    pub beyond: usize,
}

/// The moment by Stripe's clock: events are as old as Stripe says, whatever this machine believes.
struct Present<'a> {
    now: At,
    /// By our own clock, which is the one that sources are timed by.
    here: At,
    tick: u64,
    env: &'a Environment,
    sources: &'a BTreeMap<Source, Freshness>,
}

impl Present<'_> {
    fn is_down(&self, source: Source) -> bool {
        self.sources.get(&source).is_some_and(|f| f.health(self.here) == Health::Down)
    }

    fn is_out(&self, source: Source) -> bool {
        self.sources.get(&source).is_some_and(|f| matches!(f.health(self.here), Health::Down | Health::NotSetUp))
    }
}

impl Survey {
    /// Begins a round at the next tick, unless one has just begun.
    pub fn hurry(&mut self, tick: u64) {
        if self.last_round.is_some_and(|t| tick.saturating_sub(t) > 3_000) {
            self.last_round = None;
        }
    }

    /// The whole list of events is read again, in a round that begins now; what is known stays until then.
    pub fn read_anew(&mut self) {
        self.reading.restart();
        self.reading.head_done = false;
        self.last_round = None;
    }

    /// The rows of these customers were just written: they and their cases are read again in a round that begins now.
    pub fn written<'a>(&mut self, customers: impl Iterator<Item = &'a StripeId>) {
        for customer in customers {
            self.cases.recheck(customer);
            self.scenery.ask_for_runs();
            if self.feed.of_customer.contains_key(customer) {
                self.reading.want([customer.clone()]);
                self.last_round = None;
            }
        }
    }

    /// Once a second: what is to be read now.
    pub fn ticked(&mut self, m: &Moment) -> Vec<Query> {
        let m = &self.present(m);
        let mut asks = Vec::new();
        self.notice_who_is_back(m);
        if self.last_round.is_none_or(|t| m.tick.saturating_sub(t) >= EVERY) {
            self.last_round = Some(m.tick);
            self.began.get_or_insert(m.tick);
            self.allowance = self.lag.allowance().num_seconds();
            self.forget_older(m.now);
            asks.push(Query::Shape);
            self.begin_pages(m);
            self.begin_owed(m);
            self.want_rows(m);
        }
        asks.extend(self.go_on(m));
        asks.extend(self.look_around(m));
        asks
    }

    /// An answer to one of its questions, and what is to be read next. Answers to nobody's question change nothing.
    pub fn replied(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Moment) -> Vec<Query> {
        self.take_clock(query, result);
        let m = &self.present(m);
        self.take_shape(query, result, m);
        self.take_page(query, result, m);
        self.take_owed(query, result);
        self.take_rows(query, result, m);
        self.take_subscription(query, result, m);
        self.take_mirrored(query, result, m);
        self.take_received(query, result, m.now);
        self.take_scene(query, result, m.now);
        self.cases.answered(query, result, m.now);
        self.go_on(m)
    }

    /// What could not be told for the sake of a source is asked again as soon as that answers.
    fn notice_who_is_back(&mut self, m: &Present) {
        let is_silent = |f: &&Freshness| f.set_up && (f.last_fault.is_some() || f.health(m.here) == Health::Down);
        let silent: BTreeSet<Source> = m.sources.values().filter(is_silent).map(|f| f.source).collect();
        if self.silent.difference(&silent).next().is_some() {
            self.cases.ask_again();
            self.reading.ask_again();
            self.scenery.ask_again();
            self.last_round = None;
        }
        self.silent = silent;
    }

    /// Everything that can be asked at once now.
    fn go_on(&mut self, m: &Present) -> Vec<Query> {
        let mut asks = self.next_page(m);
        asks.extend(self.next_rows(m));
        let cases = self.check(m);
        asks.extend(self.next_mirrored(m));
        asks.extend(self.look_back());
        asks.extend(self.next_subscriptions(m));
        asks.extend(cases);
        self.settle(m);
        asks
    }

    /// There is so much of it that going through all of it for each answer would be felt.
    fn is_crowded(&self) -> bool {
        self.feed.lines.len() > MANY_EVENTS || self.feed.bad.len() > MANY_BAD
    }

    /// Answers are still to come that will change what is known.
    fn is_busy(&self) -> bool {
        self.reading.is_out() || self.mirror.is_out() || self.cases.is_reading()
    }

    /// Events of the range, newest first, each with its verdict.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.feed.lines
    }

    /// Elements of Stripe's list that could not be read as events.
    #[must_use]
    pub fn raw(&self) -> &[RawEvent] {
        &self.feed.raw
    }

    /// The failures by cause, the most customers first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Grows whenever lines, verdicts or groups have changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The verdict on one of the listed events, with what it rests on.
    #[must_use]
    pub fn judgement(&self, event: &StripeId) -> Option<Judgement> {
        self.explain(event)
    }

    /// Since when events are listed, at that moment.
    #[must_use]
    pub fn range(&self, now: At) -> At {
        now - Duration::hours(self.hours())
    }

    /// How far back it looks, in hours.
    #[must_use]
    pub fn hours(&self) -> i64 {
        if self.hours == 0 { HOURS } else { self.hours }
    }

    /// How far back to look, in hours: at most the thirty days that Stripe keeps.
    pub fn set_range(&mut self, hours: i64, now: At) {
        let hours = hours.clamp(1, DAYS_AT_MOST * 24);
        if hours == self.hours() {
            return;
        }
        let longer = hours > self.hours();
        self.hours = hours;
        if longer {
            self.reading.restart();
            self.last_round = None;
        } else {
            self.forget_older(now);
        }
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            pages: self.reading.pages(),
            complete: self.reading.is_whole(),
            rows_left: self.reading.rows_left(),
            unconfirmed: self.feed.suspects().count(),
            beyond: self.older.beyond,
        }
    }

    /// Events received and applied in the last day, by column.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// When the newest event happened whose effect is in the database.
    #[must_use]
    pub fn last_applied(&self) -> Option<At> {
        self.series.last_applied
    }

    /// What effects are given to come before they are missed.
    #[must_use]
    pub fn allowance(&self) -> Duration {
        let lag = Duration::seconds(self.allowance.max(LEAST.num_seconds()));
        lag + self.shape.value().map_or(Duration::zero(), Shape::late)
    }

    /// When the first read went out, on the tick's clock.
    #[must_use]
    pub fn began(&self) -> Option<u64> {
        self.began
    }

    /// Customers whose cases were read because an event looks unapplied, the newest first.
    #[must_use]
    pub fn suspects(&self) -> &[StripeId] {
        &self.cases.suspects
    }

    /// How many more there are than can be read.
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.cases.beyond
    }

    /// Events that are too young to judge.
    #[must_use]
    pub fn settling(&self) -> usize {
        self.series.settling
    }

    /// What the case of a customer said, where one was read.
    #[must_use]
    pub fn judged(&self, customer: &StripeId) -> Option<&Judged> {
        self.cases.judged(customer)
    }

    /// How many suspects' cases have been read, of how many.
    #[must_use]
    pub fn cases(&self) -> (usize, usize) {
        self.cases.progress()
    }

    /// Events and rows are known, and every suspect has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let (read, of) = self.cases();
        self.reading.has_seen_both() && self.shape.value().is_some() && read == of && self.older.beyond == 0
    }

    /// Nothing has been compared yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.series.received.is_empty()
    }

    /// The list reaches back the whole range.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.reading.is_whole()
    }

    /// The fault that keeps it from seeing, if any.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.shape.fault().or(self.reading.fault())
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

    /// The verdict of an event in the list.
    #[must_use]
    pub fn verdict(&self, event: &StripeId) -> Option<Verdict> {
        self.feed.lines.iter().find(|l| l.id == *event).map(|l| l.verdict)
    }

    fn take_shape(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Present) {
        match (query, result) {
            (Query::Shape, Ok(Reply::Shape(shape))) => {
                let known = self.shape.value().is_some_and(|s| s.judges_as(shape));
                self.shape = Known::Is { value: (**shape).clone(), at: m.now };
                if !known {
                    self.judge_anew();
                }
            }
            (Query::Shape, Err(f)) if self.shape.value().is_none() => self.shape = Known::Failed(f.clone()),
            _ => {}
        }
    }
}
