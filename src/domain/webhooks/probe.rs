//! The endpoint truth probe: what is sent, what came back, and what that says about the endpoint.

use serde::{Deserialize, Serialize};

/// One request of the probe. None of them changes anything at the application.
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
        /// The answer's own `Date`, for the clock.
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
