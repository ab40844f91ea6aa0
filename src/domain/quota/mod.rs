//! Quotas: where a counter stands against its limit, what is near, and what a reset may touch. Reads no counter and resets none.

mod near;
mod reset;

pub use near::{Claim, NearKey, NearPage, NearRow, PAGE, QuotaFilter, QuotaTotal, ServedBy, TierUse};
pub use reset::{CounterSheet, Resets, resets};

use super::At;
use super::entitlement::Entitlement;
use super::row::Counter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// From which share of its limit on a counter is near it, in percent; 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Threshold(u8);

/// Where a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaState {
    Ok,
    Near,
    Blocked,
    Unlimited,
    NotInPlan,
    /// A period that is over, or a feature of which the application enforces nothing.
    NotEnforced,
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

impl Threshold {
    /// All of the limit: who has reached it is blocked.
    pub const ALL: Threshold = Threshold(100);

    /// The threshold of so many percent; `None` outside 1 to 100.
    #[must_use]
    pub fn new(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// From `80` or `80%`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim().trim_end_matches('%').trim_end();
        let percent = digits.parse::<u8>().ok().and_then(Self::new);
        percent.ok_or_else(|| format!("`{text}` is no share of a limit: give a whole number of percent from 1 to 100"))
    }

    #[must_use]
    pub fn percent(self) -> u8 {
        self.0
    }

    /// Whether `used` has come that close to a limit that is one (above 0): exactly at the threshold it has.
    #[must_use]
    pub fn reached(self, used: i64, limit: i64) -> bool {
        i128::from(used) * 100 >= i128::from(limit) * i128::from(self.0)
    }

    /// The least use that has reached it, for a limit above 0.
    #[must_use]
    pub fn floor(self, limit: i64) -> i64 {
        let hundredths = i128::from(limit) * i128::from(self.0);
        i64::try_from((hundredths + 99).div_euclid(100)).unwrap_or(i64::MAX)
    }
}

impl Default for Threshold {
    /// Four fifths, as the runbook asks.
    fn default() -> Self {
        Self(80)
    }
}

impl TryFrom<u8> for Threshold {
    type Error = &'static str;

    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        Self::new(percent).ok_or("a threshold is 1 to 100 percent")
    }
}

impl From<Threshold> for u8 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
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
            QuotaState::NotEnforced => "NOT ENFORCED",
            QuotaState::NoLimitKnown => "NO LIMIT KNOWN",
        }
    }

    /// The state of `used` against `limit`; near from four fifths on.
    #[must_use]
    pub fn of(used: i64, limit: Option<i64>) -> Self {
        Self::at(used, limit, Threshold::default())
    }

    /// The state of `used` against `limit`, near from `threshold` on.
    #[must_use]
    pub fn at(used: i64, limit: Option<i64>, threshold: Threshold) -> Self {
        match limit {
            None => QuotaState::NoLimitKnown,
            Some(l) if l < 0 => QuotaState::Unlimited,
            Some(0) => QuotaState::NotInPlan,
            Some(l) if used >= l => QuotaState::Blocked,
            Some(l) if threshold.reached(used, l) => QuotaState::Near,
            Some(_) => QuotaState::Ok,
        }
    }
}

/// How much of its limit is used, in thousandths, rounded down; `None` where there is no limit that could be used up.
#[must_use]
pub fn permille(used: i64, limit: Option<i64>) -> Option<i64> {
    let limit = limit.filter(|l| *l > 0)?;
    Some(i64::try_from(i128::from(used) * 1000 / i128::from(limit)).unwrap_or(i64::MAX))
}

/// What counts of a counter now: one whose period has passed limits nobody.
#[must_use]
pub fn live(counter: &Counter, now: At) -> bool {
    counter.period_end.is_none_or(|end| end > now)
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
            let counter = counters.iter().find(|c| c.feature == feature).filter(|c| live(c, now));
            let enforced = app.and_then(|a| a.features.get(feature));
            let used = counter.map_or(0, |c| c.used);
            let plan = limits.get(feature).copied();
            let limit = enforced.map(|f| f.value).or(plan);
            // It answered, named features, and not this one: nothing is enforced, whatever the plan says.
            let unenforced = enforced.is_none() && app.is_some_and(|a| !a.features.is_empty());
            QuotaLine {
                feature: feature.to_string(),
                used,
                limit,
                plan_differs: plan.filter(|p| enforced.is_some_and(|f| f.value != *p)),
                resets: counter.and_then(|c| c.period_end),
                state: if unenforced { QuotaState::NotEnforced } else { QuotaState::of(used, limit) },
            }
        })
        .collect()
}

/// The features that are used up and go on with the use of a period before the one that was paid for, `paid`. The counter's period began
/// before it and covers it; one of a longer rhythm (a year's beside a month's payment) covers more than two of them, and is as it should be.
#[must_use]
pub fn unreset<'a>(lines: &'a [QuotaLine], counters: &[Counter], paid: (At, At)) -> Vec<&'a str> {
    let (from, to) = paid;
    let goes_on = |c: &Counter| match (c.period_start, c.period_end) {
        (Some(starts), Some(ends)) => starts < from && ends >= to && (ends - starts) * 2 <= (to - from) * 5,
        _ => false,
    };
    let blocked = lines.iter().filter(|l| l.state == QuotaState::Blocked);
    blocked.filter(|l| counters.iter().any(|c| c.feature == l.feature && goes_on(c))).map(|l| l.feature.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entitlement::FeatureUse;

    #[test]
    fn limits_mean_what_the_application_means_by_them() {
        assert_eq!(QuotaState::of(9_999, Some(-1)), QuotaState::Unlimited);
        assert_eq!(QuotaState::of(0, Some(0)), QuotaState::NotInPlan);
        assert_eq!(QuotaState::of(4, Some(5)), QuotaState::Near);
        assert_eq!(QuotaState::of(3, Some(5)), QuotaState::Ok);
        assert_eq!(QuotaState::of(5, Some(5)), QuotaState::Blocked);
    }

    #[test]
    fn exactly_the_threshold_is_near_and_no_limit_is_too_large_for_it() {
        let at = |percent| Threshold::new(percent).expect("within 1 and 100");
        assert_eq!(QuotaState::at(80, Some(100), at(80)), QuotaState::Near);
        assert_eq!(QuotaState::at(79, Some(100), at(80)), QuotaState::Ok);
        for limit in [1, 3, 7, 100, 101, i64::MAX] {
            for percent in [1, 50, 80, 99, 100] {
                let floor = at(percent).floor(limit);
                assert!(at(percent).reached(floor, limit) && !at(percent).reached(floor - 1, limit), "{percent}% of {limit}");
            }
        }
        assert_eq!(permille(i64::MAX, Some(1)), Some(i64::MAX));
        assert_eq!((permille(4, Some(5)), permille(4, Some(0)), permille(4, Some(-1))), (Some(800), None, None));
    }

    #[test]
    fn a_threshold_is_a_whole_percentage() {
        assert_eq!(Threshold::parse("95%"), Ok(Threshold(95)));
        for bad in ["0", "101", "0.8", "", "-1", "most"] {
            assert!(Threshold::parse(bad).is_err_and(|why| why.contains("1 to 100")), "{bad}");
        }
    }

    #[test]
    fn an_expired_counter_limits_nobody() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let counter = Counter { feature: "searches".into(), used: 5, period_start: None, period_end: Some(now) };
        let lines = quota_lines(&[counter], &BTreeMap::from([("searches".into(), 5)]), None, now);
        assert_eq!((lines[0].used, lines[0].state), (0, QuotaState::Ok));
    }

    #[test]
    fn a_counter_of_the_old_period_is_told_from_one_of_a_longer_rhythm() {
        let day = |n: i64| At::from_timestamp(1_800_000_000 + n * 86_400, 0).expect("in range");
        let of =
            |used, starts, ends| Counter { feature: "exports".into(), used, period_start: Some(day(starts)), period_end: Some(day(ends)) };
        let said = |counter: Counter| {
            let counters = [counter];
            let lines = quota_lines(&counters, &BTreeMap::from([("exports".into(), 5)]), None, day(35));
            unreset(&lines, &counters, (day(30), day(60))).len()
        };
        assert_eq!(said(of(5, 0, 60)), 1);
        assert_eq!(said(of(4, 0, 60)), 0, "something is left");
        assert_eq!(said(of(5, 30, 60)), 0, "used up within the period that was paid for");
        assert_eq!(said(of(5, 0, 365)), 0, "a year's");
        assert_eq!(said(of(5, 0, 30)), 0, "over: it limits nobody");
    }

    #[test]
    fn what_the_application_does_not_name_it_does_not_enforce() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let known = FeatureUse { value: 10, used: Some(1), resets: None };
        let app = Entitlement { tier: "PRO".into(), features: BTreeMap::from([("exports".into(), known)]) };
        let lines = quota_lines(&[], &BTreeMap::from([("searches".into(), 5), ("exports".into(), 10)]), Some(&app), now);
        assert_eq!(lines.iter().map(|l| l.state).collect::<Vec<_>>(), [QuotaState::Ok, QuotaState::NotEnforced]);
    }
}
