//! Subscription items: retrieval of what otherwise stands inside its subscription.

use serde_json::Value;

use super::super::expand;
use super::super::failure::Failure;
use super::super::route::{Call, Route, Run};
use super::super::state::State;

pub const ROUTES: &[Route] = &[Route {
    method: "GET",
    path: "subscription_items/{id}",
    permission: "rak_subscription_read",
    params: &["expand[]"],
    run: Run::Read(retrieve),
}];

/// The item as its subscription holds it.
pub fn within(state: &State, subscription: &str, id: &str) -> Option<Value> {
    let holder = state.get(subscription)?;
    holder["items"]["data"].as_array()?.iter().find(|item| item["id"] == id).cloned()
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "subscription_item").ok_or_else(|| Failure::missing("subscription_item", &call.id))?;
    expand::one(state, call, found)
}
