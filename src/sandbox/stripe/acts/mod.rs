//! What happens in the business: people pay, leave, come back, are renamed. Each act changes objects and records its events; here what all acts share.

mod catalog;
mod checkout;
mod customers;
mod disputes;
mod invoices;
mod payment_methods;
mod payments;
mod redaction;
mod refunds;
mod subscriptions;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::state::State;

pub use catalog::{add_price, add_product, delete_product, update_price};
pub use checkout::{CheckedOut, NewCheckout, Payer, checkout, complete_checkout, expire_checkout, total_of};
pub use customers::{create_customer, delete_customer};
pub use disputes::{NewDispute, close_dispute, escalate_inquiry, is_charged_back, open_dispute, submit_evidence};
pub use payment_methods::{attach_payment_method, check_attachable, create_payment_method, detach_payment_method};
pub use payments::{NewPayment, Outcome, Paid, authenticate, cancel_intent, capture, confirm, insert_intent, intend, pay};
pub use redaction::{
    Redactions, cancel_redaction_job, check_not_redacted, create_redaction_job, run_redaction_job, validate_redaction_job,
};
pub use refunds::{NewRefund, ask_customer, cancel_refund, refund, update_refund};
pub use subscriptions::{
    Subscribed, add_item, cancel_subscription, change_price, fail_renewal, renew, set_cancel_at_period_end, set_status, subscribe,
};

/// Changes an object and records the event with the previous values; `None` where nothing changed.
pub fn change_with_event(
    state: &mut State,
    id: &str,
    kind: &str,
    at: DateTime<Utc>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Option<String> {
    let previous = state.change(id, change)?;
    let object = state.get(id)?;
    Some(state.emit(kind, at, &object, Some(previous)))
}

/// Metadata as Stripe merges it: an empty value removes a key, `metadata=` removes all.
pub fn merge_metadata(object: &mut Map<String, Value>, entries: Option<&Map<String, Value>>, all: Option<&str>) {
    if all == Some("") {
        object.insert("metadata".into(), json!({}));
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for (key, value) in entries.into_iter().flatten() {
        if value == "" {
            metadata.remove(key);
        } else {
            metadata.insert(key.clone(), value.clone());
        }
    }
}
