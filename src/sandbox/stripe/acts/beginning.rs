//! A subscription begins: on trial or with a first invoice, which decides whether it is active. Who asked for it is not its concern.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::periods;
use super::super::resources::subscriptions;
use super::super::state::State;
use super::super::timeline::Collection;
use super::change_with_event;
use super::collection::{self, Collected, Tender};
use super::invoices::{NewInvoice, Pending, draft_invoice, finalize_invoice};
use super::subscriptions::{set_cancel_at, set_cancel_at_period_end};

const DAY: i64 = 86_400;

/// An item to be.
#[derive(Debug, Clone)]
pub struct NewItem {
    pub price: Value,
    pub quantity: i64,
    pub metadata: Value,
}

/// What a subscription begins with.
pub struct NewSubscription {
    pub customer: String,
    pub items: Vec<NewItem>,
    pub metadata: Value,
    /// Unix seconds, in the future.
    pub trial_end: Option<i64>,
    pub cancel_at: Option<i64>,
    pub cancel_at_period_end: bool,
    /// Sent with so many days to pay; charged automatically where `None`.
    pub days_until_due: Option<i64>,
    pub default_payment_method: Option<String>,
    /// `default_incomplete`: nobody tries to pay the first invoice; the client does.
    pub wait_for_payment: bool,
    /// What pays the first invoice becomes the subscription's own payment method.
    pub save_method: bool,
    /// What the first invoice is paid with.
    pub tender: Tender,
    pub off_session: bool,
    pub description: Option<String>,
    /// What happens where a trial ends and there is nothing to charge.
    pub missing_payment_method: &'static str,
}

/// What came of it.
pub struct Beginning {
    pub subscription: String,
    pub invoice: String,
    /// `None`: the first invoice waits for somebody to pay it.
    pub collected: Option<Collected>,
}

impl NewSubscription {
    /// Charged automatically, without trial or end, to what the customer has on file.
    pub fn of(customer: &str, items: Vec<NewItem>) -> Self {
        Self {
            customer: customer.to_string(),
            items,
            metadata: json!({}),
            trial_end: None,
            cancel_at: None,
            cancel_at_period_end: false,
            days_until_due: None,
            default_payment_method: None,
            wait_for_payment: false,
            save_method: false,
            tender: Tender::OnFile,
            off_session: false,
            description: None,
            missing_payment_method: "create_invoice",
        }
    }
}

/// Makes it, with the events of its first invoice up to the attempt to pay; see [`announce_beginning`].
pub fn begin(state: &mut State, new: NewSubscription, at: DateTime<Utc>) -> Beginning {
    set_currency(state, &new, at);
    let (id, now) = (state.fresh("sub_1", 23), at.timestamp());
    let anchor = new.trial_end.unwrap_or(now);
    let mut items = Vec::new();
    for item in &new.items {
        let end = new.trial_end.unwrap_or_else(|| periods::boundary_after(anchor, &item.price, now));
        let mut made = subscriptions::item(&state.fresh("si_", 14), &id, &item.price, now, (now, end));
        made["quantity"] = json!(item.quantity);
        made["metadata"] = item.metadata.clone();
        items.push(made);
    }
    let currency = new.items.first().and_then(|i| i.price["currency"].as_str()).unwrap_or("eur").to_string();
    let mut object = subscriptions::render(subscriptions::Facts {
        id: &id,
        customer: &new.customer,
        created: now,
        status: "incomplete",
        items: items.clone(),
        trial: new.trial_end.map(|end| (now, end)),
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        latest_invoice: "",
        metadata: new.metadata.clone(),
    });
    if let Value::Object(object) = &mut object {
        finish(object, &new, &currency, at);
    }
    let whole =
        |item: &Value| (item["current_period_start"].as_i64().unwrap_or_default(), item["current_period_end"].as_i64().unwrap_or_default());
    let invoice = draft_invoice(
        state,
        NewInvoice {
            customer: &new.customer,
            subscription: Some(&object),
            billed: items.iter().map(|item| (item.clone(), whole(item))).collect(),
            free: new.trial_end.is_some(),
            currency: &currency,
            period: (now, now),
            reason: "subscription_create",
            pending: Pending::OfSubscription,
        },
        at,
        // A first invoice does not wait an hour, unless it is sent.
        |invoice| {
            if new.days_until_due.is_none() {
                invoice.insert("automatically_finalizes_at".into(), Value::Null);
                invoice.insert("next_payment_attempt".into(), Value::Null);
            }
        },
    );
    object["latest_invoice"] = json!(invoice);
    if let Some(end) = new.trial_end.filter(|end| end - now < 3 * DAY) {
        // Three days before its end a trial this short has not begun: what is said then is said when it begins.
        state.forestall(end - 3 * DAY, &id);
    }
    state.insert(Collection::Subscriptions, object);
    let mut collected = None;
    if new.days_until_due.is_none() || new.trial_end.is_some() {
        finalize_invoice(state, &invoice, at);
        let due = state.get(&invoice).is_some_and(|v| v["status"] == "open");
        if !due || !new.wait_for_payment {
            collected = Some(collection::collect(state, &invoice, &new.tender, new.off_session, at));
        }
    }
    let status = match &collected {
        _ if new.trial_end.is_some() => "trialing",
        _ if new.days_until_due.is_some() => "active",
        Some(Collected::Paid) => "active",
        _ => "incomplete",
    };
    state.change(&id, |s| {
        s.insert("status".into(), json!(status));
    });
    Beginning { subscription: id, invoice, collected }
}

/// `customer.subscription.created`, then what became of the first invoice.
pub fn announce_beginning(state: &mut State, begun: &Beginning, at: DateTime<Utc>) {
    let object = state.get(&begun.subscription).unwrap_or_default();
    state.emit("customer.subscription.created", at, &object, None);
    if let Some(collected) = &begun.collected {
        collection::announce(state, &begun.invoice, collected, at);
    }
    if object["trial_end"].as_i64().is_some_and(|end| end - at.timestamp() < 3 * DAY) {
        state.emit("customer.subscription.trial_will_end", at, &object, None);
    }
}

/// A customer pays in one currency, that of the first thing they pay for.
fn set_currency(state: &mut State, new: &NewSubscription, at: DateTime<Utc>) {
    let currency = new.items.first().map(|item| item.price["currency"].clone()).unwrap_or_default();
    change_with_event(state, &new.customer, "customer.updated", at, |customer| {
        if customer["currency"].is_null() {
            customer.insert("currency".into(), currency);
        }
    });
}

fn finish(object: &mut Map<String, Value>, new: &NewSubscription, currency: &str, at: DateTime<Utc>) {
    object.insert("currency".into(), json!(currency));
    object.insert("default_payment_method".into(), json!(new.default_payment_method));
    object.insert("description".into(), json!(new.description));
    object["trial_settings"]["end_behavior"]["missing_payment_method"] = json!(new.missing_payment_method);
    if new.save_method {
        object["payment_settings"]["save_default_payment_method"] = json!("on_subscription");
    }
    if let Some(days) = new.days_until_due {
        object.insert("collection_method".into(), json!("send_invoice"));
        object.insert("days_until_due".into(), json!(days));
    }
    if new.cancel_at_period_end {
        set_cancel_at_period_end(object, true, at);
    } else if new.cancel_at.is_some() {
        set_cancel_at(object, json!(new.cancel_at), at);
    }
}
