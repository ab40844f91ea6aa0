//! What happens in the business: people pay, leave, come back, are renamed. Each act changes objects and records its events.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::catalog;
use super::resources::payment_intents::{self, Payment};
use super::resources::{charges, customers, invoice_payments, invoices, sessions, subscriptions};
use super::state::State;
use super::timeline::Collection;
use crate::sandbox::population::Interval;

/// A finished checkout to be made up.
#[derive(Debug, Clone)]
pub struct NewCheckout {
    /// Whose checkout: a person's number.
    pub number: u64,
    pub price: String,
    pub client_reference_id: Option<String>,
    /// Stands on the session and on the subscription.
    pub metadata: Vec<(String, String)>,
    pub at: DateTime<Utc>,
    /// True: the person gets another Stripe customer, although there may be one already.
    pub new_customer: bool,
}

/// The ids a checkout left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOut {
    pub customer: String,
    pub session: String,
    pub subscribed: Subscribed,
    pub customer_created: Option<String>,
    pub session_completed: String,
}

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

impl CheckedOut {
    /// The events in the order they happened.
    pub fn events(&self) -> Vec<String> {
        let s = &self.subscribed;
        self.customer_created.iter().chain([&self.session_completed, &s.subscription_created, &s.invoice_paid]).cloned().collect()
    }
}

pub fn checkout(state: &mut State, c: &NewCheckout) -> CheckedOut {
    let person = state.population.person(c.number);
    let own = state.linked.get(&c.number).cloned().or_else(|| person.customer.clone()).filter(|_| !c.new_customer);
    let mut customer_created = None;
    let customer = own.unwrap_or_else(|| {
        let (id, event) = create_customer(state, &person.name, Some(&person.email), c.at);
        state.linked.insert(c.number, id.clone());
        customer_created = Some(event);
        id
    });
    let metadata: Value = c.metadata.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>().into();
    let mut made = make_subscription(state, &customer, &c.price, metadata.clone(), c.at);
    let session = sessions::render(sessions::Facts {
        id: &state.fresh("cs_test_a1", 56),
        customer: &state.get(&customer).unwrap_or_default(),
        subscription: &made.subscription,
        invoice: &made.invoice,
        amount: catalog_price(state, &c.price).1,
        created: c.at.timestamp(),
        client_reference_id: c.client_reference_id.as_deref(),
        metadata,
    });
    let session_completed = state.emit("checkout.session.completed", c.at, &session, None);
    let session = state.insert(Collection::Sessions, session);
    announce(state, &mut made, c.at);
    CheckedOut { customer, session, subscribed: made, customer_created, session_completed }
}

/// A customer of somebody's, or of nobody's the population knows. Returns its id and the event's.
pub fn create_customer(state: &mut State, name: &str, email: Option<&str>, at: DateTime<Utc>) -> (String, String) {
    let id = state.fresh("cus_", 14);
    let customer = customers::render(&id, at.timestamp(), name, email, json!({}));
    let event = state.emit("customer.created", at, &customer, None);
    (state.insert(Collection::Customers, customer), event)
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

/// Deletes a customer and ends what they paid for. Returns the events in order.
pub fn delete_customer(state: &mut State, id: &str, at: DateTime<Utc>) -> Vec<String> {
    let Some(customer) = state.live(id, "customer") else { return Vec::new() };
    let theirs = state.of_customer(Collection::Subscriptions, id, super::form::Bounds::ALL);
    let mut events: Vec<String> = theirs.iter().filter_map(|(_, s)| cancel_subscription(state, s, at, None)).collect();
    events.push(state.emit("customer.deleted", at, &customer, None));
    state.replace(id, json!({ "id": id, "object": "customer", "deleted": true }));
    events
}

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

fn catalog_price(state: &State, id: &str) -> (Value, i64, Interval) {
    catalog::price(id, state.population.born()).unwrap_or_else(|| panic!("the sandbox sells no {id}"))
}

/// Subscription, invoice and payment, without their events.
fn make_subscription(state: &mut State, customer: &str, price: &str, metadata: Value, at: DateTime<Utc>) -> Subscribed {
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

fn announce(state: &mut State, made: &mut Subscribed, at: DateTime<Utc>) {
    let subscription = state.get(&made.subscription).unwrap_or_default();
    made.subscription_created = state.emit("customer.subscription.created", at, &subscription, None);
    let invoice = state.get(&made.invoice).unwrap_or_default();
    made.invoice_paid = state.emit("invoice.paid", at, &invoice, None);
}

/// What an invoice bills.
struct Bill<'a> {
    customer: &'a str,
    subscription: &'a str,
    item: &'a str,
    price: &'a Value,
    amount: i64,
    period: (i64, i64),
    at: DateTime<Utc>,
    paid: bool,
    metadata: &'a Value,
}

/// Returns the ids of the invoice, its payment and the payment intent.
fn make_invoice(state: &mut State, b: Bill, reason: &str) -> (String, String, String) {
    let (invoice, line) = (state.fresh("in_1", 23), state.fresh("il_1", 23));
    let (payment, intent) = (state.fresh("inpay_1", 23), state.fresh("pi_3", 23));
    let who = state.get(b.customer).unwrap_or_default();
    let sequence = who["next_invoice_sequence"].as_i64().unwrap_or(2);
    let object = invoices::render(invoices::Facts {
        id: &invoice,
        line: &line,
        number: format!("{}-{sequence:04}", who["invoice_prefix"].as_str().unwrap_or_default()),
        customer: &who,
        subscription: b.subscription,
        item: b.item,
        price: b.price,
        amount: b.amount,
        period: b.period,
        created: b.at.timestamp(),
        paid: b.paid,
        reason,
        metadata: b.metadata.clone(),
    });
    state.insert(Collection::Invoices, object);
    // An intent and its charge share their digits at Stripe too.
    let charge = intent.replacen("pi_", "ch_", 1);
    let first = reason == "subscription_create";
    let made = Payment { intent, charge, customer: who, amount: b.amount, created: b.at.timestamp(), paid: b.paid, first };
    state.insert(Collection::InvoicePayments, invoice_payments::render(&payment, &invoice, &made));
    state.belongs(&payment, b.customer);
    state.insert(Collection::PaymentIntents, payment_intents::render(&made));
    state.insert(Collection::Charges, charges::render(&made));
    (invoice, payment, made.intent)
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
