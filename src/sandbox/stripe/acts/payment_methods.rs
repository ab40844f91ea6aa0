//! Payment methods are made, saved to customers and taken away from them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::cards::{Behaviour, Card};
use super::super::failure::Failure;
use super::super::resources::payment_methods;
use super::super::state::State;
use super::super::timeline::Collection;
use super::change_with_event;

/// A payment method of nobody's yet. Making one is no event.
pub fn create_payment_method(state: &mut State, card: &Card, at: DateTime<Utc>) -> Value {
    let id = state.fresh("pm_1", 23);
    let made = payment_methods::render(&id, at.timestamp(), card, None);
    state.insert(Collection::PaymentMethods, made.clone());
    made
}

/// Whether a payment method that is nobody's can be saved to a customer.
///
/// # Errors
/// The card is declined (402); it is somebody's already, or was taken away from a customer before (400).
pub fn check_attachable(state: &State, id: &str) -> Result<(), Failure> {
    let method = state.live(id, "payment_method").ok_or_else(|| Failure::missing_in("payment_method", "PaymentMethod", id))?;
    if method["customer"].is_string() {
        return Err(Failure::new(400, "The payment method you provided has already been attached to a customer."));
    }
    if state.is_spent(id) {
        return Err(Failure::new(
            400,
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may not be used again.",
        ));
    }
    match payment_methods::behaviour(&method) {
        Behaviour::Declines(decline) => Err(decline.failure()),
        _ => Ok(()),
    }
}

/// Saves a payment method to a customer. Nothing happens where it is saved to that one already.
///
/// # Errors
/// See [`check_attachable`].
pub fn attach_payment_method(state: &mut State, id: &str, customer: &str, at: DateTime<Utc>) -> Result<(), Failure> {
    if state.live(id, "payment_method").is_some_and(|method| method["customer"] == customer) {
        return Ok(());
    }
    check_attachable(state, id)?;
    state.change(id, |method| {
        method.insert("customer".into(), json!(customer));
        method["card"]["checks"]["cvc_check"] = json!("pass");
    });
    state.belongs(id, customer);
    let attached = state.get(id).unwrap_or_default();
    state.emit("payment_method.attached", at, &attached, None);
    Ok(())
}

/// Takes a payment method from its customer, for good. Returns the event's id; `None` where it is nobody's.
pub fn detach_payment_method(state: &mut State, id: &str, at: DateTime<Utc>) -> Option<String> {
    let customer = state.live(id, "payment_method")?["customer"].as_str()?.to_string();
    state.spend(id);
    let event = change_with_event(state, id, "payment_method.detached", at, |method| {
        method.insert("customer".into(), Value::Null);
    });
    change_with_event(state, &customer, "customer.updated", at, |customer| {
        if customer["invoice_settings"]["default_payment_method"] == id {
            customer["invoice_settings"]["default_payment_method"] = Value::Null;
        }
    });
    event
}
