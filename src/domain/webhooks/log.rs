//! Log lines as evidence: one shape for plain text and JSON lines, wherever they came from, and what a line says about webhooks.

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

/// What a line of the application's says about the events it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// The signature is not that of the application's secret.
    BadSignature,
    /// The signature is right, and too old or from the future by the application's clock.
    StaleTimestamp,
    /// It got no connection to its database.
    PoolExhausted,
    /// Its database refused or lost what the handler wanted.
    Database,
    /// It found nobody for the event.
    ProfileNotFound,
    /// The key of a profile that the event names is none.
    MalformedProfile,
    /// It does not know which tier the price buys.
    UnknownPrice,
    /// It read a field that the object does not have.
    UnexpectedShape,
    /// A handler failed, and the line does not say why in words that are known.
    Failed,
}

/// What to look for to find every line that speaks about webhooks; [`speaks`] then says what it says.
pub const NEEDLES: &[&str] = &[
    "webhook",
    "signature",
    "tolerance zone",
    "connection pool",
    "timeout exceeded when trying to connect",
    "remaining connection slots",
    "too many clients",
    "profile not found",
    "invalid input syntax for type uuid",
    "unknown price",
    "evt_",
];

/// What a phrase means, told from the more to the less certain: a line that says why is believed before one that only says that.
const PHRASES: &[(&str, Speaks)] = &[
    ("outside the tolerance zone", Speaks::StaleTimestamp),
    ("no signatures found matching", Speaks::BadSignature),
    ("signature verification failed", Speaks::BadSignature),
    ("unable to extract timestamp and signatures", Speaks::BadSignature),
    ("connection pool exhausted", Speaks::PoolExhausted),
    ("timeout exceeded when trying to connect", Speaks::PoolExhausted),
    ("remaining connection slots", Speaks::PoolExhausted),
    ("too many clients", Speaks::PoolExhausted),
];

/// As [`PHRASES`], of lines that are about an event: elsewhere these words are somebody else's trouble.
const PHRASES_OF_EVENTS: &[(&str, Speaks)] = &[
    ("profile not found", Speaks::ProfileNotFound),
    ("invalid input syntax for type uuid", Speaks::MalformedProfile),
    ("unknown price", Speaks::UnknownPrice),
    ("price not mapped", Speaks::UnknownPrice),
    ("cannot read propert", Speaks::UnexpectedShape),
    ("is not a function", Speaks::UnexpectedShape),
    ("undefined is not an object", Speaks::UnexpectedShape),
    ("failed to sync webhook to db", Speaks::Database),
    ("databaseerror", Speaks::Database),
    ("webhook error", Speaks::Failed),
];

/// What the line says about webhooks; `None` where it speaks of something else, or of success.
#[must_use]
pub fn speaks(line: &LogLine) -> Option<Speaks> {
    let text = line.text.to_lowercase();
    let first = |phrases: &[(&str, Speaks)]| phrases.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, says)| *says);
    let of_event = || text.contains("webhook") || line.ids.iter().any(|id| id.starts_with("evt_"));
    first(PHRASES).or_else(|| of_event().then(|| first(PHRASES_OF_EVENTS)).flatten()).or_else(|| {
        let failed = line.level == Some(Level::Error) && of_event();
        failed.then_some(Speaks::Failed)
    })
}

impl LogSearch {
    /// Every warning since then that may speak about webhooks, the newest `limit` of them, newest first.
    #[must_use]
    pub fn about_webhooks(since: At, limit: u32) -> Self {
        let needles = NEEDLES.iter().map(ToString::to_string).collect();
        Self { needles, at_least: Some(Level::Warn), since, limit, oldest_first: false }
    }

    /// Every line since then, the newest `limit` of them, newest first.
    #[must_use]
    pub fn everything(since: At, limit: u32) -> Self {
        Self { needles: Vec::new(), at_least: None, since, limit, oldest_first: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Option<Level>, text: &str, ids: &[&str]) -> LogLine {
        LogLine { at: None, level, text: text.into(), source: "app.log".into(), ids: ids.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn known_phrases_are_told_apart() {
        let cases = [
            ("Webhook error: No signatures found matching the expected signature for payload", Some(Speaks::BadSignature)),
            (
                "Webhook signature verification failed: Error: No signatures found matching the expected signature for payload",
                Some(Speaks::BadSignature),
            ),
            ("Webhook signature verification failed: Error: Timestamp outside the tolerance zone", Some(Speaks::StaleTimestamp)),
            ("connection pool exhausted", Some(Speaks::PoolExhausted)),
            ("Failed to sync webhook to DB: Error: timeout exceeded when trying to connect", Some(Speaks::PoolExhausted)),
            ("Failed to sync webhook to DB: DatabaseError: permission denied for table subscriptions", Some(Speaks::Database)),
            ("Webhook error: Error: Profile not found", Some(Speaks::ProfileNotFound)),
            ("Webhook error: invalid input syntax for type uuid: \"abc\"", Some(Speaks::MalformedProfile)),
            ("Webhook error: Error: unknown price", Some(Speaks::UnknownPrice)),
            ("Webhook error: TypeError: Cannot read properties of undefined (reading 'toISOString')", Some(Speaks::UnexpectedShape)),
            ("Webhook error: gremlins", Some(Speaks::Failed)),
            ("Webhook processed", None),
            ("Profile not found", None),
            ("GET /health 200", None),
        ];
        for (text, says) in cases {
            assert_eq!(speaks(&line(Some(Level::Info), text, &[])), says, "{text}");
        }
    }

    #[test]
    fn what_is_about_an_event_is_told_by_its_id_too() {
        assert_eq!(speaks(&line(Some(Level::Warn), "Profile not found", &["evt_1"])), Some(Speaks::ProfileNotFound));
        assert_eq!(speaks(&line(Some(Level::Error), "sync broke", &["evt_1"])), Some(Speaks::Failed));
        assert_eq!(speaks(&line(Some(Level::Error), "sync broke", &[])), None);
        assert_eq!(speaks(&line(Some(Level::Info), "took it", &["evt_1"])), None);
    }

    #[test]
    fn no_line_that_speaks_escapes_the_needles() {
        for (phrase, _) in PHRASES {
            assert!(NEEDLES.iter().any(|n| phrase.contains(n)), "{phrase}");
        }
        // These count only beside `webhook` or an event's id, which are needles themselves.
        assert!(NEEDLES.contains(&"webhook") && NEEDLES.contains(&"evt_"));
    }
}
