//! What the application really enforces for a subject, and where a counter stands against it.

use super::At;
use super::row::Counter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The application's own answer: the best witness that a repair worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    pub tier: String,
    pub features: BTreeMap<String, FeatureUse>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUse {
    /// `-1` unlimited, `0` not in the plan.
    pub value: i64,
    pub used: Option<i64>,
}

/// Where a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaState {
    Ok,
    Near,
    Blocked,
    Unlimited,
    NotInPlan,
    NoLimitKnown,
}

/// One feature's quota for one subject, database and application side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLine {
    pub feature: String,
    pub used: i64,
    /// What is enforced: the application's answer, else the plan's row.
    pub limit: Option<i64>,
    /// The plan's row where it differs from what the application enforces.
    pub plan_differs: Option<i64>,
    pub resets: Option<At>,
    pub state: QuotaState,
}

impl QuotaState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            QuotaState::Ok => "OK",
            QuotaState::Near => "NEAR",
            QuotaState::Blocked => "BLOCKED",
            QuotaState::Unlimited => "UNLIMITED",
            QuotaState::NotInPlan => "NOT IN PLAN",
            QuotaState::NoLimitKnown => "NO LIMIT KNOWN",
        }
    }

    /// The state of `used` against `limit`; near from four fifths on.
    #[must_use]
    pub fn of(used: i64, limit: Option<i64>) -> Self {
        match limit {
            None => QuotaState::NoLimitKnown,
            Some(l) if l < 0 => QuotaState::Unlimited,
            Some(0) => QuotaState::NotInPlan,
            Some(l) if used >= l => QuotaState::Blocked,
            Some(l) if used.saturating_mul(5) >= l.saturating_mul(4) => QuotaState::Near,
            Some(_) => QuotaState::Ok,
        }
    }
}

/// Every feature that the counters, the plan or the application know, in alphabetical order. A counter whose period has passed limits nobody.
#[must_use]
pub fn quota_lines(counters: &[Counter], limits: &BTreeMap<String, i64>, app: Option<&Entitlement>, now: At) -> Vec<QuotaLine> {
    let mut features: Vec<&str> = counters.iter().map(|c| c.feature.as_str()).chain(limits.keys().map(String::as_str)).collect();
    features.extend(app.iter().flat_map(|a| a.features.keys().map(String::as_str)));
    features.sort_unstable();
    features.dedup();
    features
        .into_iter()
        .map(|feature| {
            let counter = counters.iter().find(|c| c.feature == feature).filter(|c| c.period_end.is_none_or(|end| end > now));
            let enforced = app.and_then(|a| a.features.get(feature));
            let used = counter.map_or(0, |c| c.used);
            let plan = limits.get(feature).copied();
            let limit = enforced.map(|f| f.value).or(plan);
            QuotaLine {
                feature: feature.to_string(),
                used,
                limit,
                plan_differs: plan.filter(|p| enforced.is_some_and(|f| f.value != *p)),
                resets: counter.and_then(|c| c.period_end),
                state: QuotaState::of(used, limit),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_mean_what_the_application_means_by_them() {
        assert_eq!(QuotaState::of(9_999, Some(-1)), QuotaState::Unlimited);
        assert_eq!(QuotaState::of(0, Some(0)), QuotaState::NotInPlan);
        assert_eq!(QuotaState::of(4, Some(5)), QuotaState::Near);
        assert_eq!(QuotaState::of(3, Some(5)), QuotaState::Ok);
        assert_eq!(QuotaState::of(5, Some(5)), QuotaState::Blocked);
    }

    #[test]
    fn an_expired_counter_limits_nobody() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let counter = Counter { feature: "searches".into(), used: 5, period_start: None, period_end: Some(now) };
        let lines = quota_lines(&[counter], &BTreeMap::from([("searches".into(), 5)]), None, now);
        assert_eq!((lines[0].used, lines[0].state), (0, QuotaState::Ok));
    }
}
