//! What went wrong with a source, in one sentence and one class. Every failed read and refused write carries one.

use serde::{Deserialize, Serialize};

/// Where values come from. Each has a state of its own on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    Stripe,
    Database,
    Application,
    Log,
    /// Our own journal and shared store.
    Store,
}

/// The class of a fault: decides the word on screen and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The credentials are wrong or missing.
    Auth,
    /// The credentials are right and lack this permission (a Stripe permission slug, a table privilege).
    Permission {
        missing: Option<String>,
    },
    /// 429, or the server's own limit on us.
    Limit,
    /// No answer in time.
    Timeout,
    /// Nobody there: refused, reset, no route, no such host.
    Unreachable,
    Tls,
    /// The server has no free connection slot for us.
    Full,
    /// What was read has not the shape we need: a missing table or column, an undecodable object.
    Schema,
    /// The answer says that there is no such thing.
    NotFound,
    /// This source is not configured.
    NotSetUp,
    /// The world changed between review and write.
    Conflict,
    /// Our own journal cannot be written: then nothing else is.
    Journal,
    /// There are more than can be followed: which one is meant has to be said.
    TooMany,
    /// The gate does not let it through now: writes are off, or have run out.
    Denied,
    /// Refused by the policy, or the server (5xx, constraint).
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub source: Source,
    pub kind: FaultKind,
    /// One sentence for the operator: what failed and what to do. Cleaned, no secrets, no personal data.
    pub say: String,
}

impl Source {
    /// The word in the status line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Source::Stripe => "stripe",
            Source::Database => "db",
            Source::Application => "app",
            Source::Log => "log",
            Source::Store => "store",
        }
    }

    /// Its name within a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Stripe => "Stripe",
            Source::Database => "the database",
            Source::Application => "the application",
            Source::Log => "the log",
            Source::Store => "the shared store",
        }
    }
}

impl Fault {
    #[must_use]
    pub fn new(source: Source, kind: FaultKind, say: impl Into<String>) -> Self {
        Self { source, kind, say: crate::domain::text::clean(&say.into()) }
    }

    /// Whether it can pass by itself: asking again may help, where a missing permission or object stays missing.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.kind, FaultKind::Timeout | FaultKind::Unreachable | FaultKind::Full | FaultKind::Limit | FaultKind::Tls)
    }

    /// The class as one word or two.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self.kind {
            FaultKind::Auth => "auth",
            FaultKind::Permission { .. } => "permission",
            FaultKind::Limit => "rate limit",
            FaultKind::Timeout => "time-out",
            FaultKind::Unreachable => "unreachable",
            FaultKind::Tls => "TLS",
            FaultKind::Full => "server full",
            FaultKind::Schema => "schema",
            FaultKind::NotFound => "not found",
            FaultKind::NotSetUp => "not set up",
            FaultKind::Conflict => "changed meanwhile",
            FaultKind::Journal => "journal",
            FaultKind::TooMany => "too many",
            FaultKind::Denied => "not let through",
            FaultKind::Refused => "refused",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.say)
    }
}

impl std::error::Error for Fault {}
