//! The verdict on an event: whether its effect is in the database. Never whether its delivery was answered 200.

use crate::domain::row::Change;
use serde::{Deserialize, Serialize};

/// What became of what an event demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The row equals what the object demands now.
    Applied,
    /// Applied, though the event's own snapshot differs: something newer is in the row.
    Superseded,
    /// Younger than the observed apply lag: never an alarm.
    Settling,
    /// The row is absent, unlinked, or still as before the event.
    Missing,
    /// The row is linked, and differs both from what is due and from what was before.
    Contradicted,
    /// The application does not act upon this type: nothing is due.
    UnhandledType,
    /// No profile can be named.
    NoSubject,
    /// A source did not answer, or cannot be trusted.
    Unknown,
}

impl Verdict {
    /// The word on screen and in JSON's prose.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Applied => "applied",
            Verdict::Superseded => "superseded",
            Verdict::Settling => "settling",
            Verdict::Missing => "missing",
            Verdict::Contradicted => "contradicted",
            Verdict::UnhandledType => "not handled",
            Verdict::NoSubject => "no subject",
            Verdict::Unknown => "unknown",
        }
    }

    /// Something is due and not there: what Home alarms about and a repair is for.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Verdict::Missing | Verdict::Contradicted)
    }
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub because: String,
    /// What it rests on, a line each, with its source.
    pub evidence: Vec<String>,
    /// What the row would have to change to hold what is due now. Empty where nothing is due, or no row is known.
    pub differs: Vec<Change>,
}
