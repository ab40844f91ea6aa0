//! The database's sessions as its server tells them at one moment, and what they are to an operator. Reads nothing itself.

mod classify;
mod ending;
mod explain;
mod group;
mod label;
mod pooler;
mod room;
mod sql_text;
mod tree;

pub use classify::{Class, Rules, classes, leaks};
pub use ending::{BookHits, Reach, Spared, book_hits, may_end};
pub use explain::{Explanation, Raising, Saturated, Sums, explain, saturated};
pub use group::{By, Group, groups};
pub use label::Label;
pub use pooler::{PoolerPool, waiting_at_pooler};
pub use room::{Limit, LimitOf, Room};
pub use sql_text::hide_literals;
pub use tree::{Blocking, TreeRow};

use super::At;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What the name of every console's connection begins with, its operator's name behind it.
pub const CONSOLE: &str = "nightdesk:";

/// Which session: a process id comes again, together with its start it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    pub pid: i32,
    /// `backend_start` in microseconds since 1970, as exact as the server keeps it.
    pub began_us: i64,
}

/// What a session is doing, in Postgres's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    Idle,
    IdleInTransaction,
    IdleInTransactionAborted,
    Fastpath,
    /// `track_activities` is off for it.
    Disabled,
}

/// What kind of process it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Client,
    Walsender,
    ParallelWorker,
    /// The server's own: autovacuum, checkpointer and the like, by its `backend_type`.
    Internal(Label),
}

/// Whether a console holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ours {
    No,
    /// The connection that this was read through.
    This,
    /// A console's: this one's other connections, or another operator's.
    Console,
}

/// One row of the server's list. Times are the server's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub pid: i32,
    /// `None`: hidden from our role, and then so are kind, state, client and all times.
    pub began: Option<At>,
    pub kind: Option<Kind>,
    pub database: Option<Label>,
    pub role: Option<Label>,
    /// Its role is a superuser.
    pub superuser: bool,
    /// Our role may signal it, as far as privileges go.
    pub may_signal: bool,
    /// Often empty.
    pub application: Label,
    /// Its address; `None`: a local socket.
    pub client: Option<Label>,
    pub state: Option<State>,
    pub state_change: Option<At>,
    pub xact_start: Option<At>,
    /// Of the last statement, running or over: never the age of an idle session.
    pub query_start: Option<At>,
    /// Type and event: `Lock`, `transactionid`.
    pub wait: Option<(Label, Label)>,
    /// Process ids; 0 stands for a prepared transaction.
    pub blocked_by: Vec<i32>,
    /// The process it works for, where it is a parallel worker.
    pub leader: Option<i32>,
    pub ours: Ours,
}

/// What a role sees of other roles' sessions, and may do to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    pub superuser: bool,
    /// `pg_read_all_stats`, as `pg_monitor` has it.
    pub reads_all: bool,
    /// `pg_signal_backend`.
    pub signals: bool,
    /// Columns that a server of this version does not have.
    pub lacking: Vec<String>,
}

/// All sessions at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The server's clock: ages are taken by it, not by ours.
    pub at: At,
    /// The database that we are connected to.
    pub database: Label,
    pub sessions: Vec<Session>,
    pub room: Room,
    pub sight: Sight,
    pub standby: bool,
    /// `server_version_num`: 150_018.
    pub version: i32,
}

impl State {
    /// From Postgres's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }

    pub const ALL: [Self; 6] =
        [Self::Active, Self::Idle, Self::IdleInTransaction, Self::IdleInTransactionAborted, Self::Fastpath, Self::Disabled];

    /// Postgres's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Idle => "idle",
            State::IdleInTransaction => "idle in transaction",
            State::IdleInTransactionAborted => "idle in transaction (aborted)",
            State::Fastpath => "fastpath function call",
            State::Disabled => "disabled",
        }
    }

    /// Nothing runs, and the transaction is open.
    #[must_use]
    pub fn sits_in_transaction(self) -> bool {
        matches!(self, State::IdleInTransaction | State::IdleInTransactionAborted)
    }
}

impl SessionId {
    #[must_use]
    pub fn new(pid: i32, began: At) -> Self {
        Self { pid, began_us: began.timestamp_micros() }
    }

    /// When it began.
    #[must_use]
    pub fn began(self) -> At {
        At::from_timestamp_micros(self.began_us).unwrap_or_default()
    }
}

impl Session {
    /// `None` where its start is hidden from our role: then nothing tells it from a later one with the same process id.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.began.map(|began| SessionId::new(self.pid, began))
    }

    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.began.is_none()
    }

    /// How long it has been in its state: for an idle one, since its last statement ended.
    #[must_use]
    pub fn age_in_state(&self, now: At) -> Option<TimeDelta> {
        self.state_change.map(|at| (now - at).max(TimeDelta::zero()))
    }

    #[must_use]
    pub fn age_of_transaction(&self, now: At) -> Option<TimeDelta> {
        self.xact_start.map(|at| (now - at).max(TimeDelta::zero()))
    }

    /// Somebody's connection. Of a hidden one it is taken to be, where it has both database and role.
    #[must_use]
    pub fn is_client(&self) -> bool {
        match &self.kind {
            Some(kind) => *kind == Kind::Client,
            None => self.database.is_some() && self.role.is_some(),
        }
    }

    #[must_use]
    pub fn sits_in_transaction(&self) -> bool {
        self.state.is_some_and(State::sits_in_transaction)
    }

    #[must_use]
    pub fn waits_for_lock(&self) -> bool {
        self.wait.as_ref().is_some_and(|(kind, _)| &**kind == "Lock")
    }

    /// `api`, or what else names it: its role, or its process id.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.role, self.application.is_empty()) {
            (_, false) => self.application.to_string(),
            (Some(role), true) => format!("role {role}"),
            (None, true) => format!("process {}", self.pid),
        }
    }
}

impl Activity {
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&Session> {
        self.sessions.iter().find(|s| s.pid == pid)
    }

    /// This very session, not a later one with its process id.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<&Session> {
        self.get(id.pid).filter(|s| s.id() == Some(id))
    }

    /// Sessions that are somebody's connections: each takes a slot.
    pub fn clients(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|s| s.is_client())
    }

    /// What is not seen, or not certain, a sentence each with what helps; none: everything is.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        let hidden = self.sessions.iter().filter(|s| s.is_hidden()).count();
        let mut out = Vec::new();
        if hidden > 0 {
            out.push(format!(
                "State, age, client and waits of {hidden} of {} sessions are hidden from our role, and none of those can be ended: grant it pg_monitor.",
                self.sessions.len()
            ));
        }
        if !self.sight.superuser && !self.sight.signals {
            out.push("Our role may end only sessions of its own roles: grant it pg_signal_backend for the others.".into());
        }
        if self.standby {
            out.push("This is a standby: these are its own sessions, the primary has others.".into());
        }
        if !self.sight.lacking.is_empty() {
            out.push(format!("A server of version {} does not tell {}.", self.release(), self.sight.lacking.join(", ")));
        }
        out
    }

    /// `15.18`, `9.6`.
    #[must_use]
    pub fn release(&self) -> String {
        match (self.version / 10_000, self.version / 100 % 100, self.version % 100) {
            (major @ 10.., _, _) => format!("{major}.{}", self.version % 10_000),
            (major, minor, _) => format!("{major}.{minor}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
