//! Who is near a limit, a page at a time, and how much each tier uses of each feature: the answers' shapes, not how they are found.

use super::{QuotaState, permille};
use crate::domain::At;
use crate::domain::ids::SubjectKey;
use serde::{Deserialize, Serialize};

/// So many rows make a page, unless fewer are asked for.
pub const PAGE: u16 = 100;

/// Which counters: all, or only those of a tier, of a feature, or of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaFilter {
    pub tier: Option<String>,
    pub feature: Option<String>,
}

/// What somebody near a limit has paid for, the least that hurts first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Nothing: limits are there to be met.
    #[default]
    Free,
    Paying,
    /// A new period, and the counter goes on with the use of the one before: its own period began before the one that was paid for, and
    /// covers it.
    Renewed,
}

/// Where a page ends: the next one holds what comes after it. By claim, then the fullest first, then by key and feature, all descending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NearKey {
    pub claim: Claim,
    pub permille: i64,
    pub subject: SubjectKey,
    pub feature: String,
}

/// A counter that is near its limit, or has reached it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearRow {
    pub subject: SubjectKey,
    pub email: Option<String>,
    pub name: Option<String>,
    /// The tier that decides the limit; what nobody pays for where there is no subscription row.
    pub tier: String,
    pub claim: Claim,
    pub feature: String,
    pub used: i64,
    /// Above 0: what has no limit, or is not in the plan, is near nothing.
    pub limit: i64,
    /// When its period ends; `None` where it has none.
    pub resets: Option<At>,
    pub state: QuotaState,
}

/// How a page was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedBy {
    /// The plain tables, from end to end.
    Tables,
    /// An index that the owner of the database keeps for it, by the name of its table.
    Watch(String),
}

/// One page of counters near their limit. One that ends where those who pay end may be short of [`PAGE`] and have a next one: over the
/// plain tables the others cost as much again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearPage {
    pub rows: Vec<NearRow>,
    /// `None`: this was the last.
    pub next: Option<NearKey>,
    pub by: ServedBy,
    /// Limits are known at all, from the database or the configuration; without any nothing can be near.
    pub limits_known: bool,
}

/// How many counters of a tier and feature are near their limit, and how many have reached it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaTotal {
    pub tier: String,
    pub feature: String,
    /// Those that have reached it not counted.
    pub near: i64,
    pub blocked: i64,
}

/// How much the users of a tier use of a feature in the period that runs. Who has no counter, or an expired one, uses nothing and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierUse {
    pub tier: String,
    pub feature: String,
    /// `-1` unlimited, `0` not in the plan; `None`: no limit known.
    pub limit: Option<i64>,
    /// Everybody of the tier.
    pub users: i64,
    /// Of them, who used any of it.
    pub active: i64,
    /// In thousandths.
    pub average_milli: i64,
    pub median: i64,
    pub p95: i64,
    pub max: i64,
    /// Who has reached the limit.
    pub blocked: i64,
}

impl Claim {
    pub const ALL: [Claim; 3] = [Claim::Renewed, Claim::Paying, Claim::Free];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Claim::Free => "free",
            Claim::Paying => "paying",
            Claim::Renewed => "renewed",
        }
    }

    /// As the database orders it.
    #[must_use]
    pub fn rank(self) -> i16 {
        match self {
            Claim::Free => 0,
            Claim::Paying => 1,
            Claim::Renewed => 2,
        }
    }

    /// What is no rank claims nothing.
    #[must_use]
    pub fn of_rank(rank: i16) -> Self {
        Self::ALL.into_iter().find(|c| c.rank() == rank).unwrap_or_default()
    }
}

impl NearRow {
    /// How much of the limit is used, in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> i64 {
        permille(self.used, Some(self.limit)).unwrap_or(0) / 10
    }

    #[must_use]
    pub fn key(&self) -> NearKey {
        let permille = permille(self.used, Some(self.limit)).unwrap_or(0);
        NearKey { claim: self.claim, permille, subject: self.subject.clone(), feature: self.feature.clone() }
    }
}

impl QuotaFilter {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tier.is_none() && self.feature.is_none()
    }
}
