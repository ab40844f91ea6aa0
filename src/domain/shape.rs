//! What this product's database looks like and how far its rows can be trusted: found at connect, never assumed.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The shape found behind the four contracts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// `PostgreSQL 15.18`, and the database's name.
    pub server: String,
    pub database: String,
    /// The profile's columns sit in one JSON document.
    pub profiles_in_json: bool,
    /// The period columns are `timestamp` without time zone, holding UTC.
    pub naive_timestamps: bool,
    pub key: KeyType,
    pub interval: IntervalWords,
    /// The words the status column admits; `None` where it admits any.
    pub status_words: Option<BTreeSet<String>>,
    /// The limits table is there.
    pub plan_features: bool,
    /// Fields of the subscription contract that our role may update.
    pub updatable: bool,
    /// A mirror of Stripe's objects stands beside it, and our role may read it.
    #[serde(default)]
    pub mirror: bool,
    pub trust: Trust,
    /// How far behind the primary a replica's rows are, in seconds; `None`: this is the primary, or it cannot be told.
    #[serde(default)]
    pub replica_lag: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    Uuid,
    BigInt,
    Text,
}

/// How this database spells a billing interval: from the column's constraint or enum, else from its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalWords {
    pub month: Option<String>,
    pub year: Option<String>,
    /// Where the words were found, for the evidence: `constraint`, `enum`, `rows`, or `nothing`.
    pub found_in: String,
}

/// Whether a row that is not seen is a row that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    Full,
    /// Rows may be hidden or late: nothing may be called missing. Each reason is a sentence.
    Limited(Vec<String>),
}

impl Shape {
    /// Rows judged by the one are judged the same by the other: only how far a replica is behind has changed, which time tells anyway.
    #[must_use]
    pub fn judges_as(&self, other: &Shape) -> bool {
        let alike = self.trust.reasons().is_empty() == other.trust.reasons().is_empty();
        alike
            && Self { trust: Trust::Full, replica_lag: None, ..self.clone() }
                == Self { trust: Trust::Full, replica_lag: None, ..other.clone() }
    }

    /// How much longer effects are given to be seen here. Where nothing is written on the primary a replica's last change grows old
    /// without its being behind: more than ten minutes are nobody's lag.
    #[must_use]
    pub fn late(&self) -> Duration {
        Duration::seconds(i64::from(self.replica_lag.unwrap_or(0)).min(600))
    }
}

impl Trust {
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self {
            Trust::Full => &[],
            Trust::Limited(reasons) => reasons,
        }
    }
}

impl IntervalWords {
    /// Stripe's own words, for a column that takes any text and has no rows yet.
    #[must_use]
    pub fn stripes_own() -> Self {
        Self { month: Some("month".into()), year: Some("year".into()), found_in: "nothing".into() }
    }

    /// This database's word for the interval; `None` where it has none for it.
    #[must_use]
    pub fn word(&self, interval: super::stripe::Interval) -> Option<&str> {
        match interval {
            super::stripe::Interval::Month => self.month.as_deref(),
            super::stripe::Interval::Year => self.year.as_deref(),
            super::stripe::Interval::Day | super::stripe::Interval::Week => None,
        }
    }
}
