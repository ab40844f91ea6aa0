//! What an endpoint is: method, path, permission, parameters, and the function that answers. It performs none of the checks.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::failure::Failure;
use super::form::Params;
use super::state::State;

pub struct Route {
    pub method: &'static str,
    /// Segments after `/v1`; `{id}` takes any non-empty one.
    pub path: &'static str,
    /// The permission a restricted key needs.
    pub permission: &'static str,
    /// What it takes; everything else is an unknown parameter. `limit` is a text, `expand[]` a list of texts, `metadata{}` a map
    /// of texts, `created<>` a time or a range of times; `items[].price` stands in each object of a list, `details.comment` in an object.
    pub params: &'static [&'static str],
    pub run: Run,
}

pub enum Run {
    Read(fn(&State, &Call) -> Result<Value, Failure>),
    Write(fn(&mut State, &Call) -> Result<Value, Failure>),
}

/// One request, after the checks that are the same for all.
pub struct Call {
    pub params: Params,
    /// What `{id}` stood for; empty in paths without it.
    pub id: String,
    pub now: DateTime<Utc>,
}

impl Route {
    /// The `{id}` of a path this route serves, `""` where it has none.
    pub fn matches(&self, method: &str, path: &str) -> Option<String> {
        if self.method != method {
            return None;
        }
        let mut id = String::new();
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(id),
                (Some("{id}"), Some(segment)) if !segment.is_empty() => id = segment.to_string(),
                (Some(a), Some(b)) if a == b => {}
                _ => return None,
            }
        }
    }
}
