//! The handle's view of what has happened: events of a stretch of time, and first attempts at telling of them. What follows is the ledger's.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::delivery::{DeliveryResult, Parcel, Why};
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

    /// Posts an event now to everyone it is owed to, for the first time; whoever does not take it is tried again by the schedule.
    pub fn send(&self, event: &str) {
        let now = self.now();
        self.act(|state| state.ledger.send(event, now, now));
    }

    /// Records a first attempt of that time which was made by another way than a post from here. What was not taken is tried again by the
    /// schedule; retries that should have been by now are made now, as of their own times.
    pub fn tried(&self, event: &Value, at: DateTime<Utc>, status: u16, body: &str) {
        let (id, kind) = (event["id"].as_str().unwrap_or_default(), event["type"].as_str().unwrap_or_default());
        let (now, schedule) = (self.now(), self.shared.delivery.get().schedule);
        self.act(|state| {
            let takers: Vec<String> = state.endpoints.iter().filter(|e| e.wants(kind)).map(|e| e.id.clone()).collect();
            for endpoint in takers {
                let mut attempt = DeliveryResult {
                    event: id.to_string(),
                    endpoint,
                    at,
                    status: Some(status),
                    error: None,
                    ms: 40,
                    body: body.to_string(),
                    next_retry_at: None,
                };
                let (event, endpoint) = (id.to_string(), attempt.endpoint.clone());
                let parcel = Parcel { event, endpoint, why: Why::Automatic, due: at, posted: at, ruled: true };
                attempt.next_retry_at = state.ledger.attempted(&parcel, attempt.delivered(), at, now, schedule);
                self.shared.keep(attempt);
            }
        });
    }
}
