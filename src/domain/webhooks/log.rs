//! Log lines as evidence: one shape for plain text and JSON lines, wherever they came from. What a line says is the rule book's.

use crate::domain::At;
use serde::{Deserialize, Serialize};

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

    /// Warnings, errors and lines without a level since then, the newest `limit` of them, newest first.
    #[must_use]
    pub fn warnings(since: At, limit: u32) -> Self {
        Self { at_least: Some(Level::Warn), ..Self::everything(since, limit) }
    }
}
