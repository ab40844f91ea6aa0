//! The endpoint truth probe: what is sent, what came back, and what that says about the endpoint.

mod assess;
mod finding;
mod read;
mod target;

pub use assess::{Surroundings, accepts_signatures, assess};
pub use finding::{Assessment, Finding, Found, Level, Manner, ShotLine};
pub use target::{Target, path, shown, target};

use serde::{Deserialize, Serialize};

/// One request of the probe. None of them changes a customer: what is posted is an event of a type that nobody handles, with an id that
/// is always the same, so that an application that keeps every event it takes keeps at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shot {
    /// `GET /health`: only that the process runs.
    Health,
    /// `GET /ready`: it reaches its database.
    Ready,
    /// No signature at all.
    Unsigned,
    /// A signature made with another secret.
    WronglySigned,
    /// A right signature, ten minutes old.
    TooOld,
    /// A right signature, ten minutes in the future: only a clock that is ahead takes it, or somebody who asks for age alone.
    TooNew,
    /// A right signature on an event of a type that nobody handles.
    Signed,
}

/// What a request came back with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    Answer {
        status: u16,
        milliseconds: u64,
        /// The first of its body, cleaned and cut.
        body: String,
        /// Where a redirect leads.
        location: Option<String>,
        /// How far the answer's own `Date` is ahead of Stripe's clock where that is known, else of ours.
        skew_seconds: Option<i64>,
    },
    Refused,
    Timeout,
    Dns,
    Tls(String),
    Broken(String),
    /// Not sent, and why.
    NotSent(String),
}

/// Everything that one probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The URL that was asked: the one registered in Stripe, or the configured one.
    pub url: String,
    pub shots: Vec<(Shot, Came)>,
}

impl Shot {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Shot; 7] = [Shot::Health, Shot::Ready, Shot::Unsigned, Shot::WronglySigned, Shot::TooOld, Shot::TooNew, Shot::Signed];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Shot::Health => "health",
            Shot::Ready => "ready",
            Shot::Unsigned => "unsigned",
            Shot::WronglySigned => "wrong signature",
            Shot::TooOld => "old signature",
            Shot::TooNew => "future signature",
            Shot::Signed => "right signature",
        }
    }
}

impl Probed {
    #[must_use]
    pub fn came(&self, shot: Shot) -> Option<&Came> {
        self.shots.iter().find(|(s, _)| *s == shot).map(|(_, came)| came)
    }
}

#[cfg(test)]
mod tests;
