//! A mirror of Stripe's objects in the product's own database: how old it is, how far a copy in it may be believed. Reads none of it.

use super::At;
use super::age;
use super::stripe::{Customer, Subscription};
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// The mirror as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The newest state of Stripe's that any copy in it is of. `None`: it does not say, or is too large to be looked through.
    pub newest: Option<At>,
    /// What keeps it from being read in full, a sentence each.
    pub notes: Vec<String>,
}

/// An object as the mirror has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied<T> {
    pub value: T,
    /// Stripe's state at this time, or a later one. `None`: it cannot be told, or part of the object is not in the mirror.
    pub as_of: Option<At>,
    /// Which of Stripe's two worlds it is from, where it says so.
    pub livemode: Option<bool>,
}

/// What the mirror answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirrored {
    pub mirror: Mirror,
    pub customers: Vec<Copied<Customer>>,
    /// Newest first, ended ones included.
    pub subscriptions: Vec<Copied<Subscription>>,
    /// Rows that cannot be read as what they should be.
    pub odd: usize,
}

/// A mirror into which nothing came for longer than this is not believed, in minutes.
pub const STALE_AFTER: i64 = 10;

/// How far ahead of our clock a stamp may be.
const AHEAD: Duration = Duration::seconds(60);

impl Mirror {
    /// How old its newest copy is; `now` by Stripe's clock, which stamps are of. A little ahead is of this moment, since two machines' clocks differ; further ahead says nothing.
    #[must_use]
    pub fn age(&self, now: At) -> Option<Duration> {
        self.newest.filter(|at| *at - now <= AHEAD).map(|at| (now - at).max(Duration::zero()))
    }

    /// `12 s old`, or that nobody can tell; `now` by Stripe's clock, which its stamps are of.
    #[must_use]
    pub fn age_said(&self, now: At) -> String {
        self.age(now).map_or_else(|| "of unknown age".into(), |old| format!("{} old", age::words(old.num_seconds())))
    }

    /// Too old to be believed, or of an age that nobody can tell.
    #[must_use]
    pub fn is_stale(&self, now: At) -> bool {
        self.age(now).is_none_or(|age| age > Duration::minutes(STALE_AFTER))
    }
}

impl<T> Copied<T> {
    /// Whether it holds what Stripe's event of that time did. A mirror that is fed by events takes the first of a second and drops the
    /// others, so that of two events in one second its copy may show either.
    #[must_use]
    pub fn is_past(&self, newest: At, events_in_that_second: usize, now: At) -> bool {
        let of = self.as_of.filter(|at| *at - now <= AHEAD);
        of.is_some_and(|at| at > newest || (at == newest && events_in_that_second <= 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> At {
        At::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
    }

    #[test]
    fn a_mirror_is_stale_after_ten_minutes_and_where_it_has_no_age() {
        let of = |newest| Mirror { newest, notes: Vec::new() };
        assert!(!of(Some(at(0))).is_stale(at(600)));
        assert!(of(Some(at(0))).is_stale(at(601)));
        assert!(of(None).is_stale(at(0)));
        assert_eq!(of(Some(at(5))).age(at(0)), Some(Duration::zero()));
        assert!(of(Some(at(3_600))).is_stale(at(0)), "a clock that is an hour ahead dates nothing");
    }

    #[test]
    fn a_copy_of_the_second_of_two_events_may_be_of_the_first() {
        let copy = |as_of| Copied { value: (), as_of, livemode: None };
        assert!(copy(Some(at(1))).is_past(at(0), 2, at(9)));
        assert!(copy(Some(at(0))).is_past(at(0), 1, at(9)));
        assert!(!copy(Some(at(0))).is_past(at(0), 2, at(9)));
        assert!(!copy(Some(at(-1))).is_past(at(0), 1, at(9)));
        assert!(!copy(Some(at(3_600))).is_past(at(0), 1, at(9)), "its clock is an hour ahead");
        assert!(!copy(None).is_past(at(0), 1, at(9)));
    }
}
