//! People come and go: customers made and deleted.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::form::Bounds;
use super::super::resources::customers;
use super::super::state::State;
use super::super::timeline::Collection;
use super::subscriptions::cancel_subscription;

/// A customer of somebody's, or of nobody's the population knows. Returns its id and the event's.
pub fn create_customer(state: &mut State, name: &str, email: Option<&str>, at: DateTime<Utc>) -> (String, String) {
    let id = state.fresh("cus_", 14);
    let customer = customers::render(&id, at.timestamp(), name, email, json!({}));
    let event = state.emit("customer.created", at, &customer, None);
    (state.insert(Collection::Customers, customer), event)
}

/// Deletes a customer and ends what they paid for. Returns the events in order.
pub fn delete_customer(state: &mut State, id: &str, at: DateTime<Utc>) -> Vec<String> {
    let Some(customer) = state.live(id, "customer") else { return Vec::new() };
    let theirs = state.of_customer(Collection::Subscriptions, id, Bounds::ALL);
    let mut events: Vec<String> = theirs.iter().filter_map(|(_, s)| cancel_subscription(state, s, at, None)).collect();
    events.push(state.emit("customer.deleted", at, &customer, None));
    // What they paid with goes with them, without a word of its own.
    for (_, method) in state.of_customer(Collection::PaymentMethods, id, Bounds::ALL) {
        state.spend(&method);
        state.change(&method, |method| {
            method.insert("customer".into(), Value::Null);
        });
    }
    state.replace(id, json!({ "id": id, "object": "customer", "deleted": true }));
    events
}
