//! Pages: cursors, limits, ranges, the shape of a list. What belongs on a page is the caller's filter.

use serde_json::{Value, json};

use super::expand;
use super::failure::Failure;
use super::form::Bounds;
use super::route::Call;
use super::state::State;
use super::timeline::{Collection, Direction, Key, People, Selection};

pub struct Listing<'a> {
    pub url: &'a str,
    /// What an element is called in "No such …".
    pub noun: &'static str,
    pub collection: Collection,
    /// Only this customer's objects.
    pub customer: Option<String>,
    /// Nothing older than this (Unix seconds).
    pub floor: i64,
    /// Which ordinals of a moment are worth rendering.
    pub ordinals: u8,
    /// Which people's objects are worth rendering.
    pub people: People<'a>,
    pub keep: &'a dyn Fn(&Value) -> bool,
}

enum Cursor {
    Start,
    After(Key),
    Before(Key),
}

impl Listing<'_> {
    pub fn page(&self, state: &State, call: &Call) -> Result<Value, Failure> {
        let limit = call.params.limit()?;
        let mut bounds = call.params.bounds("created")?;
        bounds.from = bounds.from.max(self.floor);
        let cursor = self.cursor(state, call)?;
        let (direction, beyond) = match cursor {
            Cursor::Start => (Direction::NewestFirst, None),
            Cursor::After(key) => (Direction::NewestFirst, Some(key)),
            Cursor::Before(key) => (Direction::OldestFirst, Some(key)),
        };
        let candidates: Box<dyn Iterator<Item = (Key, String)>> = match &self.customer {
            Some(customer) => Box::new(few(state.of_customer(self.collection, customer, bounds), direction, beyond)),
            None => {
                let selection = Selection { bounds, direction, beyond, ordinals: self.ordinals, people: self.people.clone() };
                Box::new(state.walk(self.collection, selection))
            }
        };
        let mut data: Vec<Value> = candidates
            .filter_map(|(_, id)| state.get(&id))
            .filter(|v| v.get("deleted").is_none() && (self.keep)(v))
            .take(limit + 1)
            .collect();
        let has_more = data.len() > limit;
        data.truncate(limit);
        if direction == Direction::OldestFirst {
            data.reverse();
        }
        expand::page(state, call, self.url, data, has_more)
    }

    fn cursor(&self, state: &State, call: &Call) -> Result<Cursor, Failure> {
        let key = |param: &str, id: &str| state.key_of(self.collection, id).ok_or_else(|| Failure::missing_in(param, self.noun, id));
        match cursors(call)? {
            (Some(id), _) => Ok(Cursor::After(key("starting_after", id)?)),
            (_, Some(id)) => Ok(Cursor::Before(key("ending_before", id)?)),
            _ => Ok(Cursor::Start),
        }
    }
}

/// A page of a list that is small enough to stand in memory, newest first.
pub fn small(state: &State, call: &Call, url: &str, noun: &str, all: Vec<Value>) -> Result<Value, Failure> {
    let limit = call.params.limit()?;
    let bounds: Bounds = call.params.bounds("created")?;
    let position = |param: &str, id: &str| all.iter().position(|v| v["id"] == id).ok_or_else(|| Failure::missing_in(param, noun, id));
    let (mut from, mut to) = (0, all.len());
    let (after, before) = cursors(call)?;
    if let Some(id) = after {
        from = position("starting_after", id)? + 1;
    }
    if let Some(id) = before {
        to = position("ending_before", id)?;
    }
    let mut data: Vec<Value> =
        all[from..to].iter().filter(|v| v["created"].as_i64().is_none_or(|at| bounds.contain(at))).cloned().collect();
    let has_more = data.len() > limit;
    if before.is_some() {
        data.drain(..data.len().saturating_sub(limit));
    }
    data.truncate(limit);
    expand::page(state, call, url, data, has_more)
}

/// An empty or filled list inside an object.
pub fn inner(url: String, data: Vec<Value>) -> Value {
    let mut list = json!({ "object": "list", "data": null, "has_more": false, "total_count": data.len(), "url": url });
    list["data"] = data.into();
    list
}

fn cursors(call: &Call) -> Result<(Option<&str>, Option<&str>), Failure> {
    match (call.params.text("starting_after"), call.params.text("ending_before")) {
        (Some(_), Some(_)) => {
            Err(Failure::new(400, "Received both ending_before and starting_after parameters. Please pass in only one.")
                .param("ending_before"))
        }
        both => Ok(both),
    }
}

fn few(newest_first: Vec<(Key, String)>, direction: Direction, beyond: Option<Key>) -> impl Iterator<Item = (Key, String)> {
    let mut found = newest_first;
    match direction {
        Direction::NewestFirst => found.retain(|(key, _)| beyond.is_none_or(|b| *key < b)),
        Direction::OldestFirst => {
            found.reverse();
            found.retain(|(key, _)| beyond.is_none_or(|b| *key > b));
        }
    }
    found.into_iter()
}
