//! Connections counted together: by application, role, database, client or state, in any combination.

use super::{Activity, Blocking, Label, Session, State};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What connections are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Application,
    Role,
    Database,
    Client,
    State,
}

/// Connections that have the same in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// One per criterion, in their order; empty where a session names none.
    pub keys: Vec<Label>,
    pub total: usize,
    pub active: usize,
    pub idle: usize,
    pub in_transaction: usize,
    /// Those that wait for a lock; counted under their state too.
    pub blocked: usize,
    /// Those whose state is hidden from our role.
    pub hidden: usize,
    /// The longest time one of them has sat in a transaction, doing nothing.
    #[serde(skip)]
    pub oldest_in_transaction: Option<TimeDelta>,
}

/// Between two statements of a transaction every application is idle in it for a moment: from then on it is worth a look.
const LASTS: TimeDelta = TimeDelta::seconds(10);

impl By {
    pub const ALL: [Self; 5] = [Self::Application, Self::Role, Self::Database, Self::Client, Self::State];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            By::Application => "application",
            By::Role => "role",
            By::Database => "database",
            By::Client => "client",
            By::State => "state",
        }
    }

    fn key(self, session: &Session) -> Label {
        match self {
            By::Application => session.application.clone(),
            By::Role => session.role.clone().unwrap_or_default(),
            By::Database => session.database.clone().unwrap_or_default(),
            By::Client if session.is_hidden() => Label::default(),
            By::Client => session.client.clone().unwrap_or_else(|| Label::from("local")),
            By::State => session.state.map_or_else(|| Label::from("hidden"), |s| Label::from(s.word())),
        }
    }
}

/// Connections by these criteria: first those that sit in transactions for longer than a moment, then those that wait, then the largest.
/// What is no connection of anybody's is left out.
#[must_use]
pub fn groups(activity: &Activity, by: &[By]) -> Vec<Group> {
    let blocking = Blocking::of(activity);
    let mut found: BTreeMap<Vec<Label>, Vec<&Session>> = BTreeMap::new();
    for session in activity.clients() {
        found.entry(by.iter().map(|b| b.key(session)).collect()).or_default().push(session);
    }
    let mut out: Vec<Group> = found.into_iter().map(|(keys, sessions)| Group::of(keys, &sessions, activity, &blocking)).collect();
    out.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.keys.cmp(&b.keys)));
    out
}

impl Group {
    fn of(keys: Vec<Label>, sessions: &[&Session], activity: &Activity, blocking: &Blocking) -> Self {
        let count = |suits: &dyn Fn(&Session) -> bool| sessions.iter().filter(|s| suits(s)).count();
        let idle_in = |s: &&&Session| s.sits_in_transaction();
        Self {
            keys,
            total: sessions.len(),
            active: count(&|s| matches!(s.state, Some(State::Active | State::Fastpath))),
            idle: count(&|s| s.state == Some(State::Idle)),
            in_transaction: count(&Session::sits_in_transaction),
            blocked: count(&|s| blocking.is_blocked(s.pid)),
            hidden: count(&|s| s.is_hidden()),
            oldest_in_transaction: sessions.iter().filter(idle_in).filter_map(|s| s.age_in_state(activity.at)).max(),
        }
    }

    /// What decides the order.
    fn weight(&self) -> (usize, usize, usize) {
        let lasts = self.oldest_in_transaction.is_some_and(|old| old >= LASTS);
        (if lasts { self.in_transaction } else { 0 }, self.blocked, self.total)
    }

    /// Those that work for somebody now: running, waiting, or with a transaction open.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.active + self.in_transaction
    }
}
