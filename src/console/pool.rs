//! The watch over the database's sessions: when they are asked for, what they were last, and an hour of figures. It draws nothing.

use super::ask::Ask;
use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::findings::{About, Finding};
use crate::domain::sessions::{Activity, Blocking, Class, Explanation, PoolerPool, Rules, State, TreeRow, book_hits, classes, explain};
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Sessions as they were read once, with everything that is said about them: worked out once, looked at many times.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub activity: Activity,
    /// In the order of the sessions.
    pub classes: Vec<Class>,
    pub blocking: Blocking,
    pub tree: Vec<TreeRow>,
    pub explained: Explanation,
    pub caveats: Vec<String>,
    /// What the runbook's own query would end.
    pub book: String,
    /// When the answer came, by our clock.
    pub at: At,
}

/// The figures of one moment; of several within [`SAMPLE_EVERY`], the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub at: At,
    pub used: u32,
    pub active: u32,
    pub in_transaction: u32,
    /// Those that wait for a lock.
    pub waiting: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Shared, since the state is copied whenever a key may be the first of a paste; read anew where it is missing.
    #[serde(skip)]
    seen: Option<Arc<Seen>>,
    /// What the last answer was instead of sessions.
    fault: Option<Fault>,
    /// When they were last asked for, in milliseconds, and whether the answer is still out.
    asked: Option<u64>,
    out: bool,
    /// How many answers one after another were no good news.
    bad: u8,
    history: VecDeque<Sample>,
    pooler: Pooler,
}

/// A pooler's pools, where one is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pooler {
    pools: Vec<PoolerPool>,
    /// Why there are none: it did not answer.
    fault: Option<Fault>,
    asked: Option<u64>,
    none: bool,
}

/// How often the sessions are read while they are on screen, in milliseconds, and while only Home wants to know.
const SHOWN_EVERY: u64 = 2_000;
const HOME_EVERY: u64 = 30_000;
/// The same for Home while the last answer was no good news: what has begun grows within seconds.
const ALERT_EVERY: u64 = 2_000;
/// And while they could not be read: what comes back is seen soon.
const UNREAD_EVERY: u64 = 5_000;
/// The pooler counts by itself what happened meanwhile.
const POOLER_EVERY: u64 = 10_000;
/// An answer that has been out for so long never comes: it was given up.
const GIVEN_UP: u64 = 15_000;
/// From then on an answer that is out is late.
const LATE: u64 = 4_000;
/// One sample of the history, in seconds.
pub const SAMPLE_EVERY: i64 = 10;
/// The history, in minutes.
pub const HISTORY: i64 = 60;
/// A pool may be all at work for a moment: what lasts is a finding.
const LASTS: u8 = 2;

impl Seen {
    #[must_use]
    pub fn of(activity: Activity, rules: &Rules, at: At) -> Self {
        let blocking = Blocking::of(&activity);
        Self {
            classes: classes(&activity, rules),
            tree: blocking.rows(),
            explained: explain(&activity, rules),
            caveats: activity.caveats(),
            book: book_hits(&activity, rules).sentence(),
            blocking,
            activity,
            at,
        }
    }

    /// `84 of 97`.
    #[must_use]
    pub fn share(&self) -> String {
        format!("{} of {}", self.activity.room.used, self.activity.room.usable())
    }

    fn sample(&self) -> Sample {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Sample {
            at: self.at,
            used: self.activity.room.used,
            active: count(self.activity.clients().filter(|s| s.state == Some(State::Active)).count()),
            in_transaction: count(self.activity.clients().filter(|s| s.sits_in_transaction()).count()),
            waiting: count(self.blocking.waiting()),
        }
    }
}

impl Pool {
    /// Once a second: asks where it is time to.
    pub fn ticked(&mut self, shown: bool, tick: u64) -> Vec<Ask> {
        let since = |asked: Option<u64>| asked.map_or(u64::MAX, |t| tick.saturating_sub(t));
        let mut asks = Vec::new();
        // One that is still out is waited for: asking again would give it up, and a slow server never answered.
        let every = match (shown, self.bad) {
            (true, _) => SHOWN_EVERY,
            (false, bad) if bad > 0 && self.fault.is_none() => ALERT_EVERY,
            (false, _) if self.fault.as_ref().is_some_and(Fault::passes) => UNREAD_EVERY,
            (false, _) => HOME_EVERY,
        };
        if since(self.asked) >= if self.out { GIVEN_UP } else { every } {
            (self.asked, self.out) = (Some(tick), true);
            asks.push(Ask::Read { slot: Slot::Activity, query: Query::Activity });
        }
        if shown && !self.pooler.none && since(self.pooler.asked) >= POOLER_EVERY {
            self.pooler.asked = Some(tick);
            asks.push(Ask::Read { slot: Slot::Pooler, query: Query::Pooler });
        }
        asks
    }

    /// Everything anew, now.
    pub fn hurry(&mut self) {
        (self.asked, self.out, self.pooler.asked) = (None, false, None);
    }

    /// The sessions were read, or could not be.
    pub fn replied(&mut self, result: &Result<Reply, Fault>, rules: &Rules, now: At) {
        self.out = false;
        match result {
            Ok(Reply::Activity(activity)) => {
                let seen = Seen::of(Activity::clone(activity), rules, now);
                self.bad = if matches!(seen.explained.word, Word::Warn | Word::Fail) { self.bad.saturating_add(1) } else { 0 };
                self.note(seen.sample());
                self.fault = None;
                self.seen = Some(Arc::new(seen));
            }
            Ok(_) => {}
            Err(fault) => self.fault = Some(fault.clone()),
        }
    }

    /// The pooler told its pools, or did not.
    pub fn pooler_replied(&mut self, result: &Result<Reply, Fault>) {
        match result {
            Ok(Reply::Pooler(pools)) => (self.pooler.pools, self.pooler.fault) = (pools.clone(), None),
            Ok(_) => {}
            Err(fault) if fault.kind == FaultKind::NotSetUp => self.pooler.none = true,
            Err(fault) => self.pooler.fault = Some(fault.clone()),
        }
    }

    /// As they were last read.
    #[must_use]
    pub fn seen(&self) -> Option<&Arc<Seen>> {
        self.seen.as_ref()
    }

    /// Why they could not be read the last time.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    #[must_use]
    pub fn pools(&self) -> &[PoolerPool] {
        &self.pooler.pools
    }

    #[must_use]
    pub fn pooler_fault(&self) -> Option<&Fault> {
        self.pooler.fault.as_ref()
    }

    /// For how long the answer has been out, in milliseconds.
    #[must_use]
    pub fn waited(&self, tick: u64) -> u64 {
        self.asked.filter(|_| self.out).map_or(0, |t| tick.saturating_sub(t))
    }

    /// What is shown may be older than it looks: for so many seconds.
    #[must_use]
    pub fn stale(&self, now: At, tick: u64) -> Option<i64> {
        let seen = self.seen.as_ref()?;
        (self.fault.is_some() || self.waited(tick) >= LATE).then(|| (now - seen.at).num_seconds())
    }

    #[must_use]
    pub fn history(&self) -> &VecDeque<Sample> {
        &self.history
    }

    /// Nobody but a superuser gets in any more, as last read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let room = self.seen.as_ref().filter(|_| self.fault.is_none()).map(|seen| &seen.activity.room);
        room.is_some_and(|room| room.used >= room.usable())
    }

    /// What Home says about it, where something is wrong for longer than a moment.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        // What cannot be read any more is the source's finding, not a pool that was once full.
        let seen = self.seen.as_ref().filter(|_| self.fault.is_none())?;
        let word = seen.explained.word;
        if !(word == Word::Fail || (word == Word::Warn && self.bad >= LASTS)) {
            return None;
        }
        let waiting = match seen.explained.waiting {
            0 => "nobody waiting for a lock".to_string(),
            n => format!("{n} waiting"),
        };
        let mut evidence = vec![seen.explained.sentence.clone(), seen.book.clone()];
        evidence.extend(seen.caveats.iter().cloned());
        Some(Finding {
            word,
            sentence: format!("Pool {}, {waiting}", seen.share()),
            size: String::new(),
            reason: seen.explained.brief.clone(),
            about: About::Pool,
            evidence,
        })
    }

    fn note(&mut self, sample: Sample) {
        match self.history.back_mut() {
            Some(last) if (sample.at - last.at).num_seconds() < SAMPLE_EVERY => {
                last.used = last.used.max(sample.used);
                last.active = last.active.max(sample.active);
                last.in_transaction = last.in_transaction.max(sample.in_transaction);
                last.waiting = last.waiting.max(sample.waiting);
            }
            _ => self.history.push_back(sample),
        }
        let begins = sample.at - Duration::minutes(HISTORY);
        while self.history.front().is_some_and(|s| s.at < begins) {
            self.history.pop_front();
        }
    }
}
