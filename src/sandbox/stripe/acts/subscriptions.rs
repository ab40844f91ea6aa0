//! The life of a subscription: begun, renewed, changed, ended.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::catalog::{self, Period};
use super::super::resources::subscriptions;
use super::super::state::State;
use super::super::timeline::Collection;
use super::change_with_event;
use super::invoices::{Bill, make_invoice};

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
    let event = change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
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

/// The first item moves to another price, in the running period.
pub fn change_price(state: &mut State, subscription: &str, price: &str, at: DateTime<Utc>) -> Option<String> {
    let (price, _, _) = catalog_price(state, price);
    change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
        s["items"]["data"][0]["plan"] = catalog::plan(&price);
        s["items"]["data"][0]["price"] = price;
    })
}

/// The next period begins and is paid for. Returns the events: `invoice.paid`, then `customer.subscription.updated`.
pub fn renew(state: &mut State, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
    next_period(state, subscription, at, true)
}

/// The next period begins and the card is declined: an open invoice, `past_due`.
/// Returns the events: `invoice.payment_failed`, then `customer.subscription.updated`.
pub fn fail_renewal(state: &mut State, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
    next_period(state, subscription, at, false)
}

/// Stripe's word for the subscription changes, and nothing else does.
pub fn set_status(state: &mut State, subscription: &str, status: &str, at: DateTime<Utc>) -> Option<String> {
    change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
        s.insert("status".into(), json!(status));
    })
}

pub fn set_cancel_at_period_end(subscription: &mut Map<String, Value>, on: bool, at: DateTime<Utc>) {
    let end = subscription["items"]["data"][0]["current_period_end"].clone();
    subscription.insert("cancel_at_period_end".into(), json!(on));
    subscription.insert("cancel_at".into(), if on { end } else { Value::Null });
    subscription.insert("canceled_at".into(), if on { json!(at.timestamp()) } else { Value::Null });
    subscription["cancellation_details"]["reason"] = if on { json!("cancellation_requested") } else { Value::Null };
}

/// Ends a subscription at once. Returns the event's id; `None` if it had ended, or there is none.
pub fn cancel_subscription(state: &mut State, id: &str, at: DateTime<Utc>, details: Option<&Map<String, Value>>) -> Option<String> {
    state.live(id, "subscription").filter(|s| s["status"] != "canceled")?;
    state.change(id, |s| {
        s.insert("status".into(), json!("canceled"));
        s.insert("canceled_at".into(), json!(at.timestamp()));
        s.insert("ended_at".into(), json!(at.timestamp()));
        s["cancellation_details"]["reason"] = json!("cancellation_requested");
        for (name, text) in details.into_iter().flatten() {
            s["cancellation_details"][name.as_str()] = text.clone();
        }
    });
    let object = state.get(id)?;
    Some(state.emit("customer.subscription.deleted", at, &object, None))
}

/// The price, its amount and its period.
pub fn catalog_price(state: &State, id: &str) -> (Value, i64, Period) {
    let price = state.price(id).unwrap_or_else(|| panic!("the sandbox sells no {id}"));
    let (amount, period) = (price["unit_amount"].as_i64().unwrap_or_default(), Period::of(&price));
    (price, amount, period)
}

/// Subscription, invoice and payment, without their events.
pub fn make_subscription(state: &mut State, customer: &str, price: &str, metadata: Value, at: DateTime<Utc>) -> Subscribed {
    let (price, amount, interval) = catalog_price(state, price);
    let (subscription, item) = (state.fresh("sub_1", 23), state.fresh("si_", 14));
    let period = (at.timestamp(), interval.after(at, 1).timestamp());
    let bill =
        Bill { customer, subscription: &subscription, item: &item, price: &price, amount, period, at, paid: true, metadata: &metadata };
    let (invoice, invoice_payment, payment_intent) = make_invoice(state, bill, "subscription_create");
    let object = subscriptions::render(subscriptions::Facts {
        id: &subscription,
        customer,
        created: at.timestamp(),
        status: "active",
        items: vec![subscriptions::item(&item, &subscription, &price, at.timestamp(), period)],
        trial: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        latest_invoice: &invoice,
        metadata,
    });
    state.insert(Collection::Subscriptions, object);
    Subscribed {
        subscription,
        item,
        invoice,
        invoice_payment,
        payment_intent,
        subscription_created: String::new(),
        invoice_paid: String::new(),
    }
}

pub fn announce(state: &mut State, made: &mut Subscribed, at: DateTime<Utc>) {
    let subscription = state.get(&made.subscription).unwrap_or_default();
    made.subscription_created = state.emit("customer.subscription.created", at, &subscription, None);
    let invoice = state.get(&made.invoice).unwrap_or_default();
    made.invoice_paid = state.emit("invoice.paid", at, &invoice, None);
}

fn next_period(state: &mut State, subscription: &str, at: DateTime<Utc>, paid: bool) -> Option<(String, String)> {
    let before = state.live(subscription, "subscription").filter(|s| s["status"] != "canceled")?;
    let item = &before["items"]["data"][0];
    let (price, amount, interval) = catalog_price(state, item["price"]["id"].as_str()?);
    let start = DateTime::from_timestamp(item["current_period_end"].as_i64()?, 0)?;
    let period = (start.timestamp(), interval.after(start, 1).timestamp());
    let bill = Bill {
        customer: before["customer"].as_str()?,
        subscription,
        item: item["id"].as_str()?,
        price: &price,
        amount,
        period,
        at,
        paid,
        metadata: &before["metadata"],
    };
    let (invoice, _, _) = make_invoice(state, bill, "subscription_cycle");
    let object = state.get(&invoice)?;
    let first = state.emit(if paid { "invoice.paid" } else { "invoice.payment_failed" }, at, &object, None);
    let second = change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
        s.insert("latest_invoice".into(), json!(invoice));
        s.insert("status".into(), json!(if paid { "active" } else { "past_due" }));
        for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
            item["current_period_start"] = json!(period.0);
            item["current_period_end"] = json!(period.1);
        }
    })?;
    Some((first, second))
}
