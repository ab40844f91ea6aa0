//! Faults by rule: which requests go wrong, when, and how. What "going wrong" does to a connection is the server's.

use serde::{Deserialize, Serialize};

use super::standing::{Choice, Register};
use crate::sandbox::population::ids::mix;

/// The rules in force; the first that applies to a request is the one that strikes.
pub type Faults = Register<Rule>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `None`: every method.
    #[serde(default)]
    pub method: Option<String>,
    /// A prefix of the path (`/v1/customers`), or with `*` a pattern for the whole of it (`/v1/*/search`).
    pub path: String,
    #[serde(default)]
    pub when: When,
    #[serde(default)]
    pub point: Point,
    /// Another seed chooses others for a share.
    #[serde(default)]
    pub seed: u64,
    /// An error status becomes what the idempotency key remembers, as where the endpoint itself failed: every retry gets it again.
    #[serde(default)]
    pub remembered: bool,
    pub effect: Effect,
}

/// Which of the requests that match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Always,
    /// Only the n-th, counted from 1.
    Nth(u64),
    /// The first n.
    First(u64),
    /// The n-th and all that follow.
    From(u64),
    /// About this share of them (0 to 1), the same ones every time.
    Share(f64),
}

/// On which side of the work the fault sits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Nothing was done yet.
    #[default]
    Before,
    /// The work was done, and only the answer suffers.
    After,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// An error in Stripe's shape.
    Status {
        status: u16,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        should_retry: Option<bool>,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    Delay {
        ms: u64,
    },
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection is reset.
    Reset,
    /// A page of somebody else's in place of JSON.
    Garbage {
        status: u16,
    },
    /// Half of the answer, then the connection ends. The work is always done.
    Truncate,
    /// The answer's body comes in pieces of so many bytes, so far apart. The work is always done.
    Drip {
        bytes: usize,
        ms: u64,
    },
}

/// A rule that struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    pub point: Point,
    pub remembered: bool,
    pub effect: Effect,
}

impl Faults {
    /// What is to happen to this request.
    pub fn strike(&self, method: &str, path: &str) -> Option<Struck> {
        let here = |rule: &Rule| rule.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method)) && covers(&rule.path, path);
        self.first(here).map(|s| Struck { point: s.rule.point, remembered: s.rule.remembered, effect: s.rule.effect })
    }
}

impl Choice for Rule {
    fn when(&self) -> When {
        self.when
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl Rule {
    /// Every request under a path, before the work.
    pub fn always(path: &str, effect: Effect) -> Self {
        Self { method: None, path: path.to_string(), when: When::Always, point: Point::Before, seed: 0, remembered: false, effect }
    }

    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_string());
        self
    }

    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    #[must_use]
    pub fn after_the_work(mut self) -> Self {
        self.point = Point::After;
        self
    }

    #[must_use]
    pub fn remembered(mut self) -> Self {
        self.remembered = true;
        self
    }
}

impl When {
    /// Whether the n-th match is struck.
    pub fn strikes(self, seed: u64, nth: u64) -> bool {
        match self {
            When::Always => true,
            When::Nth(n) => nth == n,
            When::First(n) => nth <= n,
            When::From(n) => nth >= n,
            When::Share(share) => (mix(seed, nth) % 10_000) as f64 / 10_000.0 < share,
        }
    }
}

impl Effect {
    /// An error status with Stripe's usual words for it.
    pub fn status(status: u16) -> Self {
        Effect::Status { status, code: None, message: None, should_retry: None, headers: Vec::new() }
    }
}

fn covers(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') {
        return path.starts_with(pattern);
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_patterns() {
        assert!(covers("/v1/customers", "/v1/customers/cus_1"));
        assert!(!covers("/v1/customers", "/v1/customer"));
        assert!(covers("/v1/*/search", "/v1/customers/search") && !covers("/v1/*/search", "/v1/customers/search/x"));
        assert!(covers("/v1/events/*/retry", "/v1/events/evt_1/retry") && !covers("/v1/events/*/retry", "/v1/events/evt_1"));
        assert!(covers("*", "/anything") && covers("/v1/*", "/v1/"));
    }

    #[test]
    fn counts_decide_and_the_first_rule_wins() {
        let faults = Faults::default();
        let second = faults.add(Rule::always("/v1/events", Effect::Hang).when(When::Nth(2)));
        faults.add(Rule::always("/v1", Effect::status(500)).method("POST"));
        let strike = |method| faults.strike(method, "/v1/events").map(|s| (s.point, s.effect));
        assert_eq!(strike("GET"), None);
        assert_eq!(strike("GET"), Some((Point::Before, Effect::Hang)));
        assert_eq!(strike("GET"), None);
        assert_eq!(strike("POST"), Some((Point::Before, Effect::status(500))));
        assert!(faults.remove(second) && !faults.remove(second));
        let share = Faults::default();
        share.add(Rule::always("/", Effect::Reset).when(When::Share(0.3)));
        let struck = (0..1_000).filter(|_| share.strike("GET", "/x").is_some()).count();
        assert!((200..400).contains(&struck), "{struck}");
    }
}
