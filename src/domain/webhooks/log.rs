//! Log lines as evidence: one shape for plain text and JSON lines, wherever they came from.

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

/// Which lines are wanted: those that hold one of the needles, newest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogSearch {
    /// Case-insensitive; empty: every line.
    pub needles: Vec<String>,
    pub since: At,
    pub limit: u32,
}
