//! What happens in the business: people pay, leave, come back, are renamed. Each act changes objects and records its events; here what all acts share.

mod beginning;
mod catalog;
mod changes;
mod checkout;
mod collection;
mod customers;
mod disputes;
mod invoices;
mod payment_methods;
mod payments;
mod redaction;
mod refunds;
mod renewals;
mod subscriptions;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::state::State;

pub use beginning::{NewItem, NewSubscription, announce_beginning, begin};
pub use catalog::{add_price, add_product, delete_product, update_price};
pub use changes::{Change, ItemChange, Proration, change_subscription};
pub use checkout::{CheckedOut, NewCheckout, Payer, checkout, complete_checkout, expire_checkout};
pub use collection::{AfterRetries, Collected, Tender, intent_attempted, no_method, of_customer, on_file, settle_invoice};
pub use customers::{create_customer, delete_customer};
pub use disputes::{NewDispute, close_dispute, escalate_inquiry, is_charged_back, open_dispute, submit_evidence};
pub use invoices::{
    NewInvoice, Pending, add_invoice_item, delete_invoice, delete_invoice_item, draft_invoice, finalize_invoice, mark_uncollectible,
    relist_invoice, send_invoice, void_invoice,
};
pub use payment_methods::{attach_payment_method, check_attachable, create_payment_method, detach_payment_method};
pub use payments::{Outcome, Paid, authenticate, cancel_intent, capture, confirm, insert_intent};
pub use redaction::{
    Redactions, cancel_redaction_job, check_not_redacted, create_redaction_job, run_redaction_job, validate_redaction_job,
};
pub use refunds::{NewRefund, ask_customer, cancel_refund, refund, update_refund};
pub use renewals::{begin_period, moments};
pub use subscriptions::{
    Ending, Subscribed, add_item, cancel_subscription, change_price, end, fail_renewal, is_over, pause, renew, set_cancel_at,
    set_cancel_at_period_end, set_status, subscribe,
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

/// The metadata of a new object: empty values are no values.
pub fn fresh_metadata(entries: Option<&Map<String, Value>>) -> Value {
    let mut object = Map::from_iter([("metadata".to_string(), json!({}))]);
    merge_metadata(&mut object, entries, None);
    object.remove("metadata").unwrap_or_default()
}
