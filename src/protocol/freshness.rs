//! How fresh a source is: from its last good answer and its failures in a row, by fixed thresholds.

use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use serde::{Deserialize, Serialize};

/// A source's state, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    NotSetUp,
    /// Asked, never answered yet, and not long enough ago to worry.
    Connecting,
    Ok,
    /// No good answer for two intervals.
    Stale,
    /// Three failures in a row, or 30 s without a good answer.
    Down,
    /// The credentials were refused.
    Auth,
    /// 429: it limits us.
    Limit,
    /// The server has no free slot for us.
    Full,
}

/// What is remembered about a source. Fed by reports, judged against the clock by [`Freshness::health`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    pub source: Source,
    pub set_up: bool,
    /// Since when it is being asked.
    pub since: At,
    pub last_good: Option<At>,
    pub failures: u32,
    pub last_bad: Option<At>,
    pub last_fault: Option<Fault>,
}

/// After this long without a good answer a source is down, in seconds.
pub const DOWN_AFTER: i64 = 30;
/// After this many failures in a row a source is down.
pub const DOWN_FAILURES: u32 = 3;

/// How often a source is asked, in seconds.
#[must_use]
pub fn interval(source: Source) -> i64 {
    match source {
        Source::Stripe => 10,
        Source::Database | Source::Application | Source::Log | Source::Store => 5,
    }
}

impl Freshness {
    #[must_use]
    pub fn new(source: Source, set_up: bool, since: At) -> Self {
        Self { source, set_up, since, last_good: None, failures: 0, last_bad: None, last_fault: None }
    }

    pub fn good(&mut self, at: At) {
        self.last_good = Some(self.last_good.map_or(at, |g| g.max(at)));
        self.failures = 0;
        self.last_fault = None;
    }

    pub fn bad(&mut self, fault: Fault, at: At) {
        self.failures = self.failures.saturating_add(1);
        self.last_bad = Some(at);
        self.last_fault = Some(fault);
    }

    /// Whether a failure was counted less than an interval ago.
    #[must_use]
    pub fn failed_within_interval(&self, now: At) -> bool {
        self.failures > 0 && self.last_bad.is_some_and(|at| (now - at).num_seconds() < interval(self.source))
    }

    /// Its state at `now`.
    #[must_use]
    pub fn health(&self, now: At) -> Health {
        if !self.set_up {
            return Health::NotSetUp;
        }
        match self.last_fault.as_ref().map(|f| &f.kind) {
            Some(FaultKind::Auth | FaultKind::Permission { .. }) => return Health::Auth,
            Some(FaultKind::Limit) => return Health::Limit,
            Some(FaultKind::Full) => return Health::Full,
            _ => {}
        }
        let silent = (now - self.last_good.unwrap_or(self.since)).num_seconds();
        if silent >= DOWN_AFTER || self.failures >= DOWN_FAILURES {
            Health::Down
        } else if silent >= 2 * interval(self.source) {
            Health::Stale
        } else if self.last_good.is_none() {
            Health::Connecting
        } else {
            Health::Ok
        }
    }

    /// Seconds since the last good answer, or since it was first asked.
    #[must_use]
    pub fn age(&self, now: At) -> i64 {
        (now - self.last_good.unwrap_or(self.since)).num_seconds().max(0)
    }
}

impl Health {
    /// Whether writes that need the source may be offered.
    #[must_use]
    pub fn serves_writes(self) -> bool {
        matches!(self, Health::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> At {
        At::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
    }

    #[test]
    fn a_silent_source_turns_stale_then_down_and_comes_back() {
        let mut f = Freshness::new(Source::Database, true, at(0));
        assert_eq!(f.health(at(1)), Health::Connecting);
        f.good(at(2));
        assert_eq!(f.health(at(11)), Health::Ok);
        assert_eq!(f.health(at(12)), Health::Stale);
        assert_eq!(f.health(at(32)), Health::Down);
        f.good(at(33));
        assert_eq!(f.health(at(34)), Health::Ok);
    }

    #[test]
    fn three_failures_in_a_row_are_down_at_once() {
        let mut f = Freshness::new(Source::Stripe, true, at(0));
        f.good(at(0));
        for _ in 0..3 {
            f.bad(Fault::new(Source::Stripe, FaultKind::Unreachable, "connection refused"), at(0));
        }
        assert_eq!(f.health(at(1)), Health::Down);
        f.bad(Fault::new(Source::Stripe, FaultKind::Auth, "invalid key"), at(1));
        assert_eq!(f.health(at(1)), Health::Auth);
    }
}
