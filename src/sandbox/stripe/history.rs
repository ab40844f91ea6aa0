//! The handle's view of what has happened: events of a stretch of time, and those that were taken without a post. It sends nothing.

use chrono::{DateTime, Utc};

use super::form::Bounds;
use super::handle::Simulator;
use super::timeline::{Collection, Direction, People, Selection};

impl Simulator {
    /// The ids of all events between two moments, both included, oldest first.
    pub fn events_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<String> {
        let selection = Selection {
            bounds: Bounds { from: from.timestamp(), to: to.timestamp() },
            direction: Direction::OldestFirst,
            beyond: None,
            ordinals: u8::MAX,
            people: People::Where(&|_, _| true),
        };
        self.read(|state| state.walk(Collection::Events, selection).map(|(_, id)| id).collect())
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
