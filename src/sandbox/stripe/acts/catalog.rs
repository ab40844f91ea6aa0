//! Products and prices are made, changed and taken away.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::catalog;
use super::super::state::State;
use super::super::timeline::Collection;

pub fn add_product(state: &mut State, product: Value, at: DateTime<Utc>) {
    state.emit("product.created", at, &product, None);
    state.insert(Collection::Products, product);
}

/// A recurring price is a plan too, under the same id, and says so.
pub fn add_price(state: &mut State, price: Value, at: DateTime<Utc>) {
    state.emit("price.created", at, &price, None);
    if price["type"] == "recurring" {
        state.emit("plan.created", at, &catalog::plan(&price), None);
    }
    state.insert(Collection::Prices, price);
}

pub fn update_price(state: &mut State, id: &str, at: DateTime<Utc>, change: impl FnOnce(&mut Map<String, Value>)) {
    let Some(previous) = state.change(id, change) else { return };
    let price = state.get(id).unwrap_or_default();
    // The plan shows less of itself than the price does.
    let mut of_plan = previous.clone();
    if let Some(fields) = of_plan.as_object_mut() {
        fields.retain(|name, _| ["active", "metadata", "nickname"].contains(&name.as_str()));
    }
    state.emit("price.updated", at, &price, Some(previous));
    if price["type"] == "recurring" && of_plan != json!({}) {
        state.emit("plan.updated", at, &catalog::plan(&price), Some(of_plan));
    }
}

pub fn delete_product(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(product) = state.live(id, "product") else { return };
    state.emit("product.deleted", at, &product, None);
    state.replace(id, json!({ "id": id, "object": "product", "deleted": true }));
}
