//! Log lines as evidence: one shape for plain text and JSON lines, wherever they came from. What a line says is the rule book's.

use super::saying::NEEDLES;
use crate::domain::At;
use serde::{Deserialize, Serialize};

/// So many lines explain enough at a time.
const EXPLAINING: u32 = 5_000;
/// So many searches follow one another from the oldest failure on: beyond them the log is too busy to be read through.
pub const SEARCHES: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// One line, cleaned of control characters and cut where it was very long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `None` where the line carries no time.
    pub at: Option<At>,
    pub level: Option<Level>,
    /// The message with its error's, in one line; no secrets, e-mail addresses masked.
    pub text: String,
    /// Which of the configured sources: its file's name or its command.
    pub source: String,
    /// Stripe's ids that the line names.
    pub ids: Vec<String>,
}

/// Which lines are wanted: those that hold one of the needles, the newest of them or the oldest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogSearch {
    /// Case-insensitive; empty: every line.
    pub needles: Vec<String>,
    /// Lines of a lower level are left out; lines without any are kept.
    pub at_least: Option<Level>,
    pub since: At,
    pub limit: u32,
    /// The first lines since then instead of the last: when it began.
    pub oldest_first: bool,
}

impl LogSearch {
    /// Every line since then, the newest `limit` of them, newest first.
    #[must_use]
    pub fn everything(since: At, limit: u32) -> Self {
        Self { needles: Vec::new(), at_least: None, since, limit, oldest_first: false }
    }

    /// What may explain failures, the newest lines since then, as many as one answer holds.
    #[must_use]
    pub fn explaining(since: At) -> Self {
        Self { needles: NEEDLES.iter().map(ToString::to_string).collect(), ..Self::everything(since, EXPLAINING) }
    }

    /// The same from then on: for failures that are older than the newest lines.
    #[must_use]
    pub fn explaining_from(since: At) -> Self {
        Self { oldest_first: true, ..Self::explaining(since) }
    }

    /// Where such a search goes on, until it meets what is known from `known` on.
    #[must_use]
    pub fn onward(&self, lines: &[LogLine], known: At) -> Option<Self> {
        let last = lines.iter().filter_map(|l| l.at).max()?;
        let full = lines.len() >= usize::try_from(self.limit).unwrap_or(usize::MAX);
        (full && last < known && last > self.since).then(|| Self { since: last, ..self.clone() })
    }

    /// Warnings, errors and lines without a level since then, the newest `limit` of them, newest first.
    #[must_use]
    pub fn warnings(since: At, limit: u32) -> Self {
        Self { at_least: Some(Level::Warn), ..Self::everything(since, limit) }
    }
}
