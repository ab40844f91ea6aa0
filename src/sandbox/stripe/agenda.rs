//! What is going to happen by itself: a period ends, a refund settles, a job finishes. When that is looked at is the clock's business.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::state::State;

/// Does to the object with that id what was due at that time; finds it changed or gone where something else came first.
pub type Deed = fn(&mut State, &str, DateTime<Utc>);

/// Everything that is due at some time, in order of time and then of entry.
#[derive(Default)]
pub struct Agenda {
    due: BTreeMap<(DateTime<Utc>, u64), (Deed, String)>,
    entries: u64,
    /// Moments that were entered once and for all, by object and Unix seconds.
    known: HashSet<(String, i64)>,
}

impl Agenda {
    pub fn add(&mut self, at: DateTime<Utc>, deed: Deed, id: &str) {
        self.entries += 1;
        self.due.insert((at, self.entries), (deed, id.to_string()));
    }

    /// Enters a moment of an object, unless it was entered before; `None` keeps it from ever being entered.
    pub fn add_moment(&mut self, at: i64, deed: Option<Deed>, id: &str) {
        let Some(time) = DateTime::from_timestamp(at, 0) else { return };
        if self.known.insert((id.to_string(), at))
            && let Some(deed) = deed
        {
            self.add(time, deed, id);
        }
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
