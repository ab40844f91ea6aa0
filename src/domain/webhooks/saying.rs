//! What applications say when a webhook fails, in log lines and in the bodies of answers: words to kinds. Which cause follows is the rule book's.

use serde::{Deserialize, Serialize};

/// What a line or an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saying {
    /// The signature is right, and too old or from the future.
    Tolerance,
    Signature,
    /// The key in metadata is none.
    MalformedProfile,
    /// No profile, or no row for the customer.
    NotFound,
    UnknownPrice,
    /// No connection to the database could be had, whoever wanted it.
    Connections,
    /// The database refused what the handler wanted.
    Database,
    /// The handler tripped over the object's shape.
    Shape,
    /// Another mode's object or key.
    Mode,
    /// Taken for one that was handled already.
    Duplicate,
    Unhandled,
    Processed,
    /// The process has just begun to listen.
    Started,
    /// A failure, in words that name no reason.
    Failed,
}

/// In this order, since the general words contain the special ones: a database error about a malformed key is about the key.
const WORDS: &[(Saying, &[&str])] = &[
    (
        Saying::Tolerance,
        &[
            "outside the tolerance",
            "tolerance zone",
            "timestamp too old",
            "timestamp is too old",
            "timestamp in the future",
            "bad timestamp",
        ],
    ),
    (
        Saying::Signature,
        &[
            "signature verification failed",
            "no signatures found matching",
            "invalid signature",
            "signature mismatch",
            "bad signature",
            "unable to extract timestamp and signatures",
            "signatureverification",
        ],
    ),
    (
        Saying::MalformedProfile,
        &[
            "invalid input syntax for type uuid",
            "invalid input syntax for type bigint",
            "invalid uuid",
            "is not a valid uuid",
            "malformed profile",
        ],
    ),
    (
        Saying::UnknownPrice,
        &["unknown price", "price not mapped", "unmapped price", "no tier for price", "unknown plan", "no plan for price"],
    ),
    (
        Saying::NotFound,
        &[
            "profile not found",
            "user not found",
            "customer not found",
            "subscription not found",
            "account not found",
            "no row for customer",
            "no rows updated",
            "no such profile",
            "violates foreign key constraint",
        ],
    ),
    (
        Saying::Mode,
        &["a similar object exists in test mode", "a similar object exists in live mode", "livemode mismatch", "wrong livemode"],
    ),
    (Saying::Duplicate, &["already processed", "already handled", "duplicate event", "skipping duplicate", "event was processed before"]),
    (Saying::Unhandled, &["unhandled event type", "unsupported event type", "ignoring event type", "no handler for"]),
    (
        Saying::Shape,
        &[
            "cannot read propert",
            "is not a function",
            "undefined is not",
            "typeerror",
            "keyerror",
            "attributeerror",
            "nonetype",
            "nomethoderror",
            "nil pointer",
            "nullpointerexception",
            "missing field",
            "failed to deserialize",
            "unmarshal",
            "api version",
            "api_version",
        ],
    ),
    (
        Saying::Connections,
        &[
            "connection pool exhausted",
            "timeout exceeded when trying to connect",
            "remaining connection slots",
            "too many connections",
            "too many clients",
            "database connection failed",
            "terminating connection",
            "the database system is",
            "connection terminated unexpectedly",
        ],
    ),
    (
        Saying::Database,
        &[
            "failed to sync webhook to db",
            "databaseerror",
            "permission denied for",
            "deadlock detected",
            "could not serialize access",
            "canceling statement due to",
            "read-only transaction",
            "violates",
            "econnrefused",
        ],
    ),
    (Saying::Processed, &["webhook processed", "webhook handled", "event processed", "processed webhook", "processed event"]),
    (Saying::Started, &["server listening", "listening on", "server started", "application startup complete"]),
    (Saying::Failed, &["webhook error", "webhook failed", "error processing webhook", "webhook handler"]),
];

/// Words that together find every line which says something about webhooks, for a search of logs.
pub const NEEDLES: &[&str] = &[
    "webhook",
    "stripe",
    "evt_",
    "signature",
    "tolerance",
    "timestamp",
    "connection pool",
    "trying to connect",
    "connection slots",
    "too many c",
    "connection failed",
    "connection terminated",
    "terminating connection",
    "the database system is",
    "listening",
    "server started",
    "startup complete",
];

/// What the text says, if it is anything about webhooks.
#[must_use]
pub fn saying(text: &str) -> Option<Saying> {
    let text = text.to_lowercase();
    WORDS.iter().find(|(_, words)| words.iter().any(|w| text.contains(w))).map(|(saying, _)| *saying)
}

/// Whether a line that names no event speaks of webhooks all the same: elsewhere its words are somebody else's trouble.
#[must_use]
pub fn is_general(said: Saying, text: &str) -> bool {
    let own = matches!(said, Saying::Tolerance | Saying::Signature | Saying::Connections | Saying::Started);
    own || ["webhook", "stripe"].iter().any(|word| text.to_lowercase().contains(word))
}

impl Saying {
    /// It speaks of a failure.
    #[must_use]
    pub fn is_failure(self) -> bool {
        !matches!(self, Saying::Processed | Saying::Started | Saying::Duplicate | Saying::Unhandled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_applications_write_are_understood() {
        for (text, expected) in [
            ("Webhook signature verification failed: Timestamp outside the tolerance zone", Some(Saying::Tolerance)),
            (
                "Webhook signature verification failed: No signatures found matching the expected signature for payload",
                Some(Saying::Signature),
            ),
            ("Webhook error: Profile not found", Some(Saying::NotFound)),
            ("Failed to sync webhook to DB: permission denied for table subscriptions", Some(Saying::Database)),
            ("Failed to sync webhook to DB: invalid input syntax for type uuid: \"undefined\"", Some(Saying::MalformedProfile)),
            ("Webhook error: Cannot read properties of undefined (reading 'toISOString')", Some(Saying::Shape)),
            ("connection pool exhausted", Some(Saying::Connections)),
            ("Failed to sync webhook to DB: timeout exceeded when trying to connect", Some(Saying::Connections)),
            ("Webhook error: Database connection failed", Some(Saying::Connections)),
            ("Webhook error: unknown price", Some(Saying::UnknownPrice)),
            ("Webhook processed", Some(Saying::Processed)),
            ("Webhook error:", Some(Saying::Failed)),
            ("Server listening", Some(Saying::Started)),
            ("GET /health 200 1 ms", None),
        ] {
            assert_eq!(saying(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_that_is_told_of_webhooks_in_general_escapes_the_needles() {
        for (said, words) in WORDS {
            for word in words.iter().filter(|w| is_general(*said, w)) {
                assert!(NEEDLES.iter().any(|n| word.contains(n)), "{word}");
            }
        }
    }

    #[test]
    fn words_about_something_else_are_somebody_elses_trouble() {
        for (text, general) in [
            ("Webhook signature verification failed", true),
            ("connection pool exhausted", true),
            ("Stripe sync failed: permission denied for table subscriptions", true),
            ("Profile not found", false),
            ("Report failed: permission denied for table reports", false),
            ("GET /avatar: TypeError: Cannot read properties of undefined", false),
        ] {
            assert_eq!(is_general(saying(text).unwrap(), text), general, "{text}");
        }
    }
}
