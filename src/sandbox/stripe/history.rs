//! The handle's view of what has happened: events of a stretch of time, and those that were taken without a post. It sends nothing.

use chrono::{DateTime, Utc};

use super::form::Bounds;
use super::handle::Simulator;
use super::timeline::{Collection, Direction, Key, People, Selection};

impl Simulator {
    /// The times and ids of all events between two moments, both included, oldest first.
    pub fn events_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(DateTime<Utc>, String)> {
        let selection = Selection {
            bounds: Bounds { from: from.timestamp(), to: to.timestamp() },
            direction: Direction::OldestFirst,
            beyond: None,
            ordinals: u8::MAX,
            people: People::Where(&|_, _| true),
        };
        let timed = |(key, id): (Key, String)| Some((DateTime::from_timestamp(key.at, 0)?, id));
        self.read(|state| state.walk(Collection::Events, selection).filter_map(timed).collect())
    }

    /// Records that every endpoint which wants the event has taken it, by another way than a post from here.
    pub fn took(&self, event: &str, kind: &str) {
        self.act(|state| {
            let takers: Vec<String> = state.endpoints.iter().filter(|e| e.wants(kind)).map(|e| e.id.clone()).collect();
            for endpoint in takers {
                state.ledger.taken(event, &endpoint);
            }
        });
    }
}
