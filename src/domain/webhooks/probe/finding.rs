//! The words of a probe's verdict: findings from the worst to the best, their level, and what one assessment holds.

use super::Shot;
use serde::{Deserialize, Serialize};

/// What a probe can find, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Dns,
    Refused,
    Tls,
    Timeout,
    Broken,
    /// Unsigned or wrongly signed, and answered as processed.
    AcceptsForgeries,
    WrongPath,
    Redirects,
    /// What stands in front cannot reach the application.
    BadGateway,
    /// Something in front refuses, which knows nothing of webhooks.
    AuthProxy,
    Limited,
    Disabled,
    NotRegistered,
    ClockOff,
    /// It refuses what is signed with the configured secret.
    WrongSecret,
    NotReady,
    NotSubscribed,
    /// Stripe sends to another path than the configuration names.
    PathDiffers,
    /// Several endpoints lead to one URL.
    Doubled,
    ClockDrifts,
    /// It takes a right signature of any age.
    TakesOld,
    /// A forgery is refused without a word, and nothing rightly signed was sent: the handler does so, or something in front.
    RefusesAll,
    /// 500 to a forgery.
    Fails,
    SwallowsErrors,
    RejectsForgeries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// How the handler tells Stripe of its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// By the status: Stripe sends again what failed.
    Honest,
    /// 200 to everything: Stripe calls it delivered.
    Swallowing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub finding: Finding,
    pub level: Level,
    pub sentence: String,
    /// What helps, where something has to be done.
    pub helps: Option<String>,
}

/// One request and what its answer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShotLine {
    pub shot: Shot,
    /// `400 in 12 ms`, `refused`, `not sent: …`.
    pub came: String,
    /// `refused`, `swallowed`; empty where nothing follows.
    pub says: String,
}

/// What a probe says about the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The worst first; never empty.
    pub found: Vec<Found>,
    /// Only where the handler itself answered a forgery.
    pub manner: Option<Manner>,
    /// How far the answering clock is ahead of Stripe's, in seconds.
    pub skew_seconds: Option<i64>,
    pub lines: Vec<ShotLine>,
}

impl Finding {
    /// The words in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Finding::Dns => "no such host",
            Finding::Refused => "down",
            Finding::Tls => "TLS",
            Finding::Timeout => "time-out",
            Finding::Broken => "breaks off",
            Finding::AcceptsForgeries => "accepts forgeries",
            Finding::WrongPath => "wrong path",
            Finding::Redirects => "redirects",
            Finding::BadGateway => "bad gateway",
            Finding::AuthProxy => "auth proxy in front",
            Finding::Limited => "limited",
            Finding::Disabled => "disabled in Stripe",
            Finding::NotRegistered => "not registered",
            Finding::ClockOff => "clock off",
            Finding::WrongSecret => "wrong secret",
            Finding::NotReady => "not ready",
            Finding::NotSubscribed => "not subscribed",
            Finding::PathDiffers => "path differs",
            Finding::Doubled => "registered twice",
            Finding::ClockDrifts => "clock drifts",
            Finding::TakesOld => "takes old signatures",
            Finding::RefusesAll => "refuses without a word",
            Finding::Fails => "fails on forgeries",
            Finding::SwallowsErrors => "swallows errors",
            Finding::RejectsForgeries => "rejects forgeries",
        }
    }

    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Finding::RejectsForgeries => Level::Ok,
            Finding::PathDiffers
            | Finding::Doubled
            | Finding::ClockDrifts
            | Finding::TakesOld
            | Finding::RefusesAll
            | Finding::Fails
            | Finding::SwallowsErrors => Level::Warn,
            _ => Level::Fail,
        }
    }
}

impl Manner {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Manner::Honest => "honest",
            Manner::Swallowing => "swallowing",
        }
    }
}

impl Level {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "OK",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        }
    }
}

impl Assessment {
    /// The worst that was found.
    ///
    /// # Panics
    /// Never for one that [`super::assess`] made.
    #[must_use]
    pub fn worst(&self) -> &Found {
        self.found.first().expect("invariant: an assessment has a finding")
    }

    /// Nothing at all is wrong.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.worst().level == Level::Ok
    }

    #[must_use]
    pub fn has(&self, finding: Finding) -> bool {
        self.found.iter().any(|f| f.finding == finding)
    }
}
