//! What is going to happen by itself: a period ends, a refund settles, a job finishes. When that is looked at is the clock's business.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::state::State;

/// Does to the object with that id what was due at that time; finds it changed or gone where something else came first.
pub type Deed = fn(&mut State, &str, DateTime<Utc>);

/// Everything that is due at some time, in order of time and then of entry.
#[derive(Default)]
pub struct Agenda {
    due: BTreeMap<(DateTime<Utc>, u64), (Deed, String)>,
    entries: u64,
}

impl Agenda {
    pub fn add(&mut self, at: DateTime<Utc>, deed: Deed, id: &str) {
        self.entries += 1;
        self.due.insert((at, self.entries), (deed, id.to_string()));
    }

    /// When the first entry is due.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.first().is_some_and(|at| at <= now)
    }

    /// Takes the first entry that is due.
    pub fn next(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Deed, String)> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), (deed, id)) = first.remove_entry();
        Some((at, deed, id))
    }
}
