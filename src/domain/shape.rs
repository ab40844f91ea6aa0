//! What this product's database looks like and how far its rows can be trusted: found at connect, never assumed.

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
