//! Webhook endpoints: list and retrieval. Their secrets are never shown here.

use serde_json::Value;

use super::super::expand;
use super::super::failure::Failure;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "webhook_endpoints",
        permission: "rak_webhook_read",
        params: &["ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "GET",
        path: "webhook_endpoints/{id}",
        permission: "rak_webhook_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
];

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let all = state.endpoints.iter().rev().map(|e| e.object()).collect();
    listing::small(state, call, "/v1/webhook_endpoints", "webhook endpoint", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "webhook_endpoint").ok_or_else(|| Failure::missing("webhook endpoint", &call.id))?;
    expand::one(state, call, found)
}
