//! Subscription items by themselves: list, retrieval, and changes of one of them, which are changes of its subscription.

use serde_json::{Map, Value, json};

use super::super::acts::{self, Change, ItemChange};
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::fields;
use super::subscriptions::{items, update};

const READ: &str = "rak_subscription_read";
const WRITE: &str = "rak_subscription_write";

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "subscription_items",
        permission: READ,
        params: &["ending_before", "expand[]", "limit", "starting_after", "subscription"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "subscription_items",
        permission: WRITE,
        params: &[
            "expand[]",
            "metadata{}",
            "payment_behavior",
            "price",
            "proration_behavior",
            "proration_date",
            "quantity",
            "subscription",
        ],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "subscription_items/{id}", permission: READ, params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "subscription_items/{id}",
        permission: WRITE,
        params: &["expand[]", "metadata{}", "off_session", "payment_behavior", "price", "proration_behavior", "proration_date", "quantity"],
        run: Run::Write(change),
    },
    Route {
        method: "DELETE",
        path: "subscription_items/{id}",
        permission: WRITE,
        params: &["payment_behavior", "proration_behavior", "proration_date"],
        run: Run::Write(delete),
    },
];

/// The item as its subscription holds it.
pub fn within(state: &State, subscription: &str, id: &str) -> Option<Value> {
    let holder = state.get(subscription)?;
    holder["items"]["data"].as_array()?.iter().find(|item| item["id"] == id).cloned()
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let id = fields::required(&call.params, "subscription")?;
    let holder = state.live(id, "subscription").ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
    let all = holder["items"]["data"].as_array().cloned().unwrap_or_default();
    listing::small(state, call, "/v1/subscription_items", "subscription_item", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    expand::one(state, call, found(state, call)?)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let id = fields::required(&call.params, "subscription")?;
    let holder = state.live(id, "subscription").ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
    let new = ItemChange::Add(items::one(state, &call.params, "")?);
    let changed = carry_out(state, call, &holder, new)?;
    let item = changed["items"]["data"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    expand::one(state, call, item)
}

fn change(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let holder = holder(state, call)?;
    let change = items::change(state, &call.params, &call.id, "")?;
    carry_out(state, call, &holder, change)?;
    retrieve(state, call)
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let holder = holder(state, call)?;
    carry_out(state, call, &holder, ItemChange::Delete(call.id.clone()))?;
    Ok(json!({ "id": call.id, "object": "subscription_item", "deleted": true }))
}

/// Returns the subscription as it is then.
fn carry_out(state: &mut State, call: &Call, holder: &Value, change: ItemChange) -> Result<Value, Failure> {
    update::check_alive(&call.params, holder)?;
    let changes = vec![change];
    items::check_result(holder, &changes)?;
    let terms = update::terms(state, call, holder)?;
    let id = holder["id"].as_str().unwrap_or_default();
    let change = Change {
        items: changes,
        proration: terms.proration,
        proration_date: terms.proration_date,
        restart: false,
        attempt: terms.attempt,
        fields: |_: &mut Map<String, Value>| {},
    };
    acts::change_subscription(state, id, change, call.now);
    Ok(state.get(id).unwrap_or_default())
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "subscription_item").ok_or_else(|| Failure::missing("subscription_item", &call.id).param("item"))
}

fn holder(state: &State, call: &Call) -> Result<Value, Failure> {
    let item = found(state, call)?;
    Ok(item["subscription"].as_str().and_then(|id| state.get(id)).unwrap_or_default())
}
