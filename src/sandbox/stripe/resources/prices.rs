//! Prices: list and retrieval over the catalogue.

use serde_json::Value;

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "prices",
        permission: "rak_plan_read",
        params: &[
            "active",
            "created<>",
            "currency",
            "ending_before",
            "expand[]",
            "limit",
            "lookup_keys[]",
            "product",
            "starting_after",
            "type",
        ],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "prices/{id}", permission: "rak_plan_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let active = call.params.boolean("active")?;
    let keys = call.params.list("lookup_keys");
    let text = |name: &str| call.params.text(name);
    let mut all = catalog::prices(state.population.born());
    all.retain(|p| {
        active.is_none_or(|a| p["active"] == a)
            && (keys.is_empty() || p["lookup_key"].as_str().is_some_and(|k| keys.contains(&k)))
            && ["product", "currency", "type"].iter().all(|name| text(name).is_none_or(|t| p[*name] == t))
    });
    listing::small(state, call, "/v1/prices", "price", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "price").ok_or_else(|| Failure::missing("price", &call.id))?;
    expand::one(state, call, found)
}
