//! Webhook deliveries: what an attempt leaves on record, when the next one follows, and the parts that do the work.

mod attempt;
mod carrier;
mod ledger;
mod rules;

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use carrier::{carry, deliver};
pub use ledger::{Ledger, Parcel, Why};
pub use rules::{DeliveryEffect, DeliveryRule, DeliveryRules};

/// The time Stripe gives an endpoint to answer, in milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// How long an endpoint may fail before it is disabled. The real threshold is not published; it is some days.
const FAILING_DAYS: u16 = 7;

/// The intervals are not published; these are of the published kind: exponential, over within three days.
const LIVE_MINUTES: [i64; 8] = [5, 30, 60, 120, 240, 480, 960, 1_920];
/// Three times over a few hours.
const TEST_MINUTES: [i64; 3] = [5, 60, 180];

/// One attempt to deliver one event to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryResult {
    pub event: String,
    pub endpoint: String,
    /// By the simulator's clock. Where the clock was moved past it, the time at which it was due. The signature bears the
    /// machine's time instead, since receivers compare it with theirs.
    pub at: DateTime<Utc>,
    /// `None`: there was no answer; `error` says why.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub ms: u64,
    /// The first kilobyte of the answer.
    pub body: String,
    /// When it is tried again, if it is.
    pub next_retry_at: Option<DateTime<Utc>>,
}

/// How often, and how long, an undelivered event is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// As in a sandbox account: three retries over a few hours.
    #[default]
    Test,
    /// As in live mode: up to three days, at growing intervals.
    Live,
    /// Not at all.
    Never,
}

/// What deliveries go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverySettings {
    /// Whether the events made from now on are delivered by themselves.
    pub on: bool,
    pub schedule: Schedule,
    /// How long an endpoint may take to answer.
    pub timeout_ms: u64,
    /// After how many days of failure an endpoint is disabled; `None`: never.
    pub auto_disable_days: Option<u16>,
}

/// The settings in force.
#[derive(Debug, Default)]
pub struct Switchboard(Mutex<DeliverySettings>);

/// What Stripe would have sent to the account's owner by e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub at: DateTime<Utc>,
    pub endpoint: String,
    pub text: String,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self { on: false, schedule: Schedule::default(), timeout_ms: PATIENCE_MS, auto_disable_days: Some(FAILING_DAYS) }
    }
}

impl Switchboard {
    pub fn get(&self) -> DeliverySettings {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self, change: impl FnOnce(&mut DeliverySettings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl DeliveryResult {
    /// Only 2xx counts as delivered; a redirect does not.
    pub fn delivered(&self) -> bool {
        self.status.is_some_and(|s| (200..300).contains(&s))
    }

    fn unsent(event: &str, endpoint: &str, at: DateTime<Utc>, why: &str) -> Self {
        Self {
            event: event.to_string(),
            endpoint: endpoint.to_string(),
            at,
            status: None,
            error: Some(why.to_string()),
            ms: 0,
            body: String::new(),
            next_retry_at: None,
        }
    }
}

impl Schedule {
    /// The pause after that many automatic attempts; `None`: that was the last.
    pub fn pause(self, attempts: usize) -> Option<TimeDelta> {
        let minutes: &[i64] = match self {
            Schedule::Live => &LIVE_MINUTES,
            Schedule::Test => &TEST_MINUTES,
            Schedule::Never => &[],
        };
        minutes.get(attempts.checked_sub(1)?).map(|m| TimeDelta::minutes(*m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_end_in_time() {
        let total = |schedule: Schedule| (1..).map_while(|n| schedule.pause(n)).sum::<TimeDelta>();
        assert!(total(Schedule::Live) > TimeDelta::hours(48) && total(Schedule::Live) <= TimeDelta::hours(72));
        assert!((2..=6).contains(&total(Schedule::Test).num_hours()) && Schedule::Test.pause(4).is_none());
        assert_eq!(total(Schedule::Never), TimeDelta::zero());
    }
}
