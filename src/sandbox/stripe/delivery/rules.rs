//! Rules for deliveries: which ones are lost, late, out of order or sent twice. Faults of API requests are elsewhere.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::super::endpoint::matches_type;
use super::super::faults::When;
use super::super::standing::{Choice, Register};
use crate::sandbox::population::ids::mix;

/// The rules in force; the first that applies to an attempt is the one that strikes.
pub type DeliveryRules = Register<DeliveryRule>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRule {
    /// An event type, or a pattern as in `charge.*`; `None`: every type.
    #[serde(default)]
    pub event: Option<String>,
    /// The id of an endpoint; `None`: all.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Which of the attempts that match, retries counted.
    #[serde(default)]
    pub when: When,
    /// Another seed chooses others for a share, and another order.
    #[serde(default)]
    pub seed: u64,
    pub effect: DeliveryEffect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryEffect {
    /// Lost on the way: the endpoint sees nothing, the attempt fails.
    Drop,
    /// The endpoint takes it, its answer is lost, the attempt fails.
    LoseAnswer,
    /// So much later, by the simulator's clock.
    Delay { ms: u32 },
    /// Later by any time up to this, so that deliveries overtake each other.
    Shuffle { within_ms: u32 },
    /// So many times more, at once.
    Duplicate { times: u8 },
}

impl DeliveryRules {
    /// What is to happen to this attempt; a shuffle comes out as the delay it drew.
    pub(super) fn strike(&self, kind: &str, endpoint: &str) -> Option<DeliveryEffect> {
        let this = |rule: &DeliveryRule| {
            rule.endpoint.as_deref().is_none_or(|e| e == endpoint) && rule.event.as_deref().is_none_or(|e| matches_type(e, kind))
        };
        self.first(this).map(|standing| match standing.rule.effect {
            DeliveryEffect::Shuffle { within_ms } => {
                let drawn = mix(standing.rule.seed ^ 0x5EED, standing.matched) % (u64::from(within_ms) + 1);
                DeliveryEffect::Delay { ms: u32::try_from(drawn).expect("invariant: at most a u32") }
            }
            other => other,
        })
    }
}

impl Choice for DeliveryRule {
    fn when(&self) -> When {
        self.when
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl DeliveryRule {
    /// Every delivery.
    pub fn always(effect: DeliveryEffect) -> Self {
        Self { event: None, endpoint: None, when: When::Always, seed: 0, effect }
    }

    #[must_use]
    pub fn event(mut self, pattern: &str) -> Self {
        self.event = Some(pattern.to_string());
        self
    }

    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }
}

impl DeliveryEffect {
    pub(super) fn lateness(self) -> Option<TimeDelta> {
        match self {
            DeliveryEffect::Delay { ms } => Some(TimeDelta::milliseconds(i64::from(ms))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_chooses_the_same() {
        let drawn = |seed: u64| {
            let rules = DeliveryRules::default();
            let effect = DeliveryEffect::Shuffle { within_ms: 1_000 };
            rules.add(DeliveryRule { seed, ..DeliveryRule::always(effect).when(When::Share(0.5)).event("charge.*") });
            assert_eq!(rules.strike("invoice.paid", "we_1"), None);
            (0..200).map(|_| rules.strike("charge.refunded", "we_1")).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let struck = drawn(1).iter().flatten().count();
        assert!((60..140).contains(&struck), "{struck}");
    }
}
