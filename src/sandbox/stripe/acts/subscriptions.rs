//! The life of a subscription: begun, changed in a word, ended; and the acts that tests and incidents know. Its calendar is `renewals.rs`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::cards::{Behaviour, FAILING, USUAL};
use super::super::catalog::{self, Period};
use super::super::form::Bounds;
use super::super::resources::{payment_methods, subscriptions};
use super::super::state::State;
use super::super::timeline::Collection;
use super::beginning::{self, Beginning, NewItem, NewSubscription};
use super::collection::{self, Tender};
use super::{attach_payment_method, change_with_event, create_payment_method, renewals};

const UPDATED: &str = "customer.subscription.updated";

/// The ids a new subscription left behind; the last two are events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    pub subscription: String,
    pub item: String,
    pub invoice: String,
    pub invoice_payment: String,
    pub payment_intent: String,
    pub subscription_created: String,
    pub invoice_paid: String,
}

/// How a subscription ends.
#[derive(Default)]
pub struct Ending<'a> {
    /// Stripe's word for `cancellation_details.reason`; the one already there where `None`.
    pub reason: Option<&'static str>,
    /// Comment and feedback.
    pub details: Option<&'a Map<String, Value>>,
    /// Credits the time not used.
    pub prorate: bool,
    /// Bills at once what waits for the next invoice.
    pub invoice_now: bool,
}

impl Ending<'_> {
    pub fn now(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

/// A subscription, paid for, with its events.
pub fn subscribe(state: &mut State, customer: &str, price: &str, at: DateTime<Utc>) -> Subscribed {
    let mut made = make_subscription(state, customer, price, json!({}), at);
    announce(state, &mut made, at);
    made
}

/// A further item, for the same period as the first. Returns the item's id and the event's.
pub fn add_item(state: &mut State, subscription: &str, price: &str, at: DateTime<Utc>) -> (String, Option<String>) {
    let (price, _, _) = catalog_price(state, price);
    let id = state.fresh("si_", 14);
    let event = change_with_event(state, subscription, UPDATED, at, |s| {
        let first = &s["items"]["data"][0];
        let period = (first["current_period_start"].as_i64().unwrap_or(0), first["current_period_end"].as_i64().unwrap_or(0));
        let item = subscriptions::item(&id, subscription, &price, at.timestamp(), period);
        if let Some(data) = s["items"]["data"].as_array_mut() {
            data.push(item);
        }
        let count = s["items"]["data"].as_array().map_or(0, Vec::len);
        s["items"]["total_count"] = json!(count);
    });
    (id, event)
}

/// The first item moves to another price, in the running period and without a proration.
pub fn change_price(state: &mut State, subscription: &str, price: &str, at: DateTime<Utc>) -> Option<String> {
    let (price, _, _) = catalog_price(state, price);
    change_with_event(state, subscription, UPDATED, at, |s| {
        s["items"]["data"][0]["plan"] = catalog::plan(&price);
        s["items"]["data"][0]["price"] = price;
    })
}

/// The next period begins and is paid for at once. Returns the events: `invoice.paid`, then `customer.subscription.updated`.
pub fn renew(state: &mut State, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
    let customer = state.live(subscription, "subscription")?["customer"].as_str()?.to_string();
    let card = paying_card(state, &customer, at);
    renewals::renew_at_once(state, subscription, &card, at)
}

/// The next period begins and the card is declined: an open invoice, `past_due`.
/// Returns the events: `invoice.payment_failed`, then `customer.subscription.updated`.
pub fn fail_renewal(state: &mut State, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
    let card = create_payment_method(state, FAILING, at);
    let card = card["id"].as_str().unwrap_or_default().to_string();
    renewals::renew_at_once(state, subscription, &card, at)
}

/// Stripe's word for the subscription changes, and nothing else does.
pub fn set_status(state: &mut State, subscription: &str, status: &str, at: DateTime<Utc>) -> Option<String> {
    change_with_event(state, subscription, UPDATED, at, |s| {
        s.insert("status".into(), json!(status));
    })
}

pub fn set_cancel_at_period_end(subscription: &mut Map<String, Value>, on: bool, at: DateTime<Utc>) {
    let end = json!(subscriptions::period_end(&Value::Object(subscription.clone())));
    subscription.insert("cancel_at_period_end".into(), json!(on));
    set_cancel_at(subscription, if on { end } else { Value::Null }, at);
}

/// Ends at a moment, or not at all (`null`).
pub fn set_cancel_at(subscription: &mut Map<String, Value>, when: Value, at: DateTime<Utc>) {
    let on = !when.is_null();
    if !on || subscription["canceled_at"].is_null() {
        subscription.insert("canceled_at".into(), if on { json!(at.timestamp()) } else { Value::Null });
    }
    subscription.insert("cancel_at".into(), when);
    subscription["cancellation_details"]["reason"] = if on { json!("cancellation_requested") } else { Value::Null };
}

/// Whether nothing more comes of it.
pub fn is_over(subscription: &Value) -> bool {
    subscription["status"] == "canceled" || subscription["status"] == "incomplete_expired"
}

/// Ends a subscription at once. Returns the event's id; `None` if it had ended, or there is none.
pub fn cancel_subscription(state: &mut State, id: &str, at: DateTime<Utc>, details: Option<&Map<String, Value>>) -> Option<String> {
    end(state, id, at, Ending { details, ..Ending::now("cancellation_requested") })
}

/// Ends a subscription. Its open invoices stay open and are no longer collected. Returns the event's id.
pub fn end(state: &mut State, id: &str, at: DateTime<Utc>, ending: Ending) -> Option<String> {
    let before = state.live(id, "subscription").filter(|s| !is_over(s))?;
    if ending.prorate {
        super::changes::credit_unused(state, &before, at);
    }
    if ending.invoice_now {
        super::changes::invoice_pending(state, &before, at);
    }
    let customer = before["customer"].as_str().unwrap_or_default();
    for (_, invoice) in state.of_customer(Collection::Invoices, customer, Bounds::ALL) {
        let open = state.get(&invoice).is_some_and(|v| {
            v["parent"]["subscription_details"]["subscription"] == id && ["open", "draft"].iter().any(|s| v["status"] == *s)
        });
        if open {
            collection::rest(state, &invoice, at);
        }
    }
    state.change(id, |s| {
        if s["canceled_at"].is_null() {
            s.insert("canceled_at".into(), json!(at.timestamp()));
        }
        s.insert("status".into(), json!("canceled"));
        s.insert("ended_at".into(), json!(at.timestamp()));
        if let Some(reason) = ending.reason {
            s.insert("canceled_at".into(), json!(at.timestamp()));
            s["cancellation_details"]["reason"] = json!(reason);
        }
        for (name, text) in ending.details.into_iter().flatten() {
            s["cancellation_details"][name.as_str()] = text.clone();
        }
    });
    let object = state.get(id)?;
    Some(state.emit("customer.subscription.deleted", at, &object, None))
}

/// Nothing is billed and nothing granted until somebody resumes it. `why` is Stripe's word.
pub fn pause(state: &mut State, id: &str, why: &str, at: DateTime<Utc>) {
    change_with_event(state, id, UPDATED, at, |s| {
        s.insert("status".into(), json!("paused"));
        s.insert("status_details".into(), subscriptions::paused_because(why, at.timestamp()));
    });
    let object = state.get(id).unwrap_or_default();
    state.emit("customer.subscription.paused", at, &object, None);
}

/// A paused subscription goes on.
pub fn resumed(state: &mut State, id: &str, at: DateTime<Utc>) {
    change_with_event(state, id, UPDATED, at, |s| {
        s.insert("status".into(), json!("active"));
        s.remove("status_details");
    });
    let object = state.get(id).unwrap_or_default();
    state.emit("customer.subscription.resumed", at, &object, None);
}

/// The price, its amount and its period.
pub fn catalog_price(state: &State, id: &str) -> (Value, i64, Period) {
    let price = state.price(id).unwrap_or_else(|| panic!("the sandbox sells no {id}"));
    let (amount, period) = (price["unit_amount"].as_i64().unwrap_or_default(), Period::of(&price));
    (price, amount, period)
}

/// Subscription, invoice and payment, without the events that say so; see [`announce`].
pub fn make_subscription(state: &mut State, customer: &str, price: &str, metadata: Value, at: DateTime<Utc>) -> Subscribed {
    let (price, _, _) = catalog_price(state, price);
    let card = paying_card(state, customer, at);
    let mut new = NewSubscription::of(customer, vec![NewItem { price, quantity: 1, metadata: json!({}) }]);
    new.metadata = metadata;
    new.default_payment_method = Some(card.clone());
    new.tender = Tender::Method(card);
    let Beginning { subscription, invoice, .. } = beginning::begin(state, new, at);
    let item = state.get(&subscription).and_then(|s| s["items"]["data"][0]["id"].as_str().map(str::to_string));
    let payment = super::invoices::payment_of(state, &invoice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    Subscribed {
        item: item.unwrap_or_default(),
        invoice_payment: text(&payment["id"]),
        payment_intent: text(&payment["payment"]["payment_intent"]),
        subscription,
        invoice,
        subscription_created: String::new(),
        invoice_paid: String::new(),
    }
}

pub fn announce(state: &mut State, made: &mut Subscribed, at: DateTime<Utc>) {
    let subscription = state.get(&made.subscription).unwrap_or_default();
    made.subscription_created = state.emit("customer.subscription.created", at, &subscription, None);
    made.invoice_paid = collection::announce(state, &made.invoice, &collection::Collected::Paid, at);
}

/// The customer's card where it pays, otherwise a new one that is saved to them.
fn paying_card(state: &mut State, customer: &str, at: DateTime<Utc>) -> String {
    let own = collection::of_customer(state, customer).or_else(|| {
        let theirs = state.of_customer(Collection::PaymentMethods, customer, Bounds::ALL);
        theirs.into_iter().map(|(_, id)| id).find(|id| state.get(id).is_some_and(|method| method["customer"] == customer))
    });
    let pays = own.filter(|id| state.get(id).is_some_and(|method| payment_methods::behaviour(&method) == Behaviour::Pays));
    pays.unwrap_or_else(|| {
        let made = create_payment_method(state, USUAL, at);
        let id = made["id"].as_str().unwrap_or_default().to_string();
        // A card that pays is refused by nobody who exists; to one who does not there is nothing to save it.
        let _ = attach_payment_method(state, &id, customer, at);
        id
    })
}
