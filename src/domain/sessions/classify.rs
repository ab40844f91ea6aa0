//! What each session is to an operator: the class it is listed by, and who leaks.

use super::{Activity, Blocking, Kind, Ours, Session, State};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What a session is to an operator, the most harmful first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Others wait for it, and it waits for nobody.
    Blocker,
    /// It waits for a lock; others may wait for it in turn.
    Blocked,
    IdleInTransaction,
    /// Its statement runs for longer than is usual.
    LongActive,
    Active,
    /// It waits for its application's next statement: healthy, and what a pool is for.
    IdlePooled,
    /// Its state is hidden from our role.
    Hidden,
    /// This console's, or another operator's.
    Console,
    Replication,
    /// The server's own processes.
    Internal,
}

/// From when on what is usual becomes harmful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Seconds a statement may run.
    pub long_active_s: u32,
    /// Seconds a session may sit idle in a transaction while nobody waits for it.
    pub leak_after_s: u32,
    /// The same while somebody waits for it.
    pub blocking_after_s: u32,
    /// Connections that one pool opens at most; ten is what node-postgres does where it is told nothing.
    pub pool_max: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self { long_active_s: 60, leak_after_s: 30, blocking_after_s: 3, pool_max: 10 }
    }
}

impl Rules {
    /// The usual ones, with the size of a pool as it is configured.
    #[must_use]
    pub fn with_pool_max(max: Option<u32>) -> Self {
        let usual = Self::default();
        Self { pool_max: max.unwrap_or(usual.pool_max), ..usual }
    }
}

impl Class {
    pub const ALL: [Self; 10] = [
        Self::Blocker,
        Self::Blocked,
        Self::IdleInTransaction,
        Self::LongActive,
        Self::Active,
        Self::IdlePooled,
        Self::Hidden,
        Self::Console,
        Self::Replication,
        Self::Internal,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Class::Blocker => "blocker",
            Class::Blocked => "blocked",
            Class::IdleInTransaction => "idle in transaction",
            Class::LongActive => "long active",
            Class::Active => "active",
            Class::IdlePooled => "idle",
            Class::Hidden => "hidden",
            Class::Console => "console",
            Class::Replication => "replication",
            Class::Internal => "internal",
        }
    }

    /// Worth a line of its own: the rest is folded.
    #[must_use]
    pub fn is_harmful(self) -> bool {
        matches!(self, Class::Blocker | Class::Blocked | Class::IdleInTransaction | Class::LongActive)
    }
}

/// The class of every session, in the order of the sessions.
#[must_use]
pub fn classes(activity: &Activity, rules: &Rules) -> Vec<Class> {
    let blocking = Blocking::of(activity);
    activity.sessions.iter().map(|s| class(s, &blocking, activity, rules)).collect()
}

/// Sessions that sit in a transaction and do nothing for longer than they may: the cause, where a pool runs out. Worst first: those
/// that most others wait for, then the oldest.
#[must_use]
pub fn leaks<'a>(activity: &'a Activity, blocking: &Blocking, rules: &Rules) -> Vec<&'a Session> {
    let leaks = |s: &&Session| {
        let after = if blocking.victims(s.pid) > 0 { rules.blocking_after_s } else { rules.leak_after_s };
        let long = s.age_in_state(activity.at).is_some_and(|age| age >= seconds(after));
        s.is_client() && s.ours == Ours::No && s.sits_in_transaction() && long
    };
    let mut found: Vec<_> = activity.sessions.iter().filter(leaks).collect();
    found.sort_by_key(|s| (std::cmp::Reverse(blocking.victims(s.pid)), s.state_change, s.pid));
    found
}

fn class(session: &Session, blocking: &Blocking, activity: &Activity, rules: &Rules) -> Class {
    if session.ours != Ours::No {
        return Class::Console;
    }
    match &session.kind {
        Some(Kind::Walsender) => return Class::Replication,
        // A worker does its leader's statement, and is not a connection.
        Some(Kind::Internal(_) | Kind::ParallelWorker) => return Class::Internal,
        None if !session.is_client() => return Class::Internal,
        None => return Class::Hidden,
        Some(Kind::Client) => {}
    }
    if session.waits_for_lock() && !session.blocked_by.is_empty() {
        return Class::Blocked;
    }
    if blocking.victims(session.pid) > 0 {
        return Class::Blocker;
    }
    match session.state {
        Some(State::IdleInTransaction | State::IdleInTransactionAborted) => Class::IdleInTransaction,
        Some(State::Active | State::Fastpath) => {
            let long = session.age_in_state(activity.at).is_some_and(|age| age >= seconds(rules.long_active_s));
            if long { Class::LongActive } else { Class::Active }
        }
        Some(State::Idle) => Class::IdlePooled,
        Some(State::Disabled) | None => Class::Hidden,
    }
}

fn seconds(n: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(n))
}
