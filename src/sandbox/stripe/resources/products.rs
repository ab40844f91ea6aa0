//! Products: list and retrieval over the catalogue.

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
        path: "products",
        permission: "rak_product_read",
        params: &["active", "created<>", "ending_before", "expand[]", "ids[]", "limit", "starting_after", "type"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "products/{id}", permission: "rak_product_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let active = call.params.boolean("active")?;
    let ids = call.params.list("ids");
    let kind = call.params.text("type");
    let mut all = catalog::products(state.population.born());
    all.retain(|p| {
        active.is_none_or(|a| p["active"] == a)
            && (ids.is_empty() || p["id"].as_str().is_some_and(|id| ids.contains(&id)))
            && kind.is_none_or(|k| p["type"] == k)
    });
    listing::small(state, call, "/v1/products", "product", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "product").ok_or_else(|| Failure::missing("product", &call.id))?;
    expand::one(state, call, found)
}
