//! Payments: an intent is made, confirmed, authenticated, captured or canceled; its charges follow. How a card answers is `cards.rs`.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use super::super::cards::{Behaviour, Decline};
use super::super::resources::payment_intents::Facts;
use super::super::resources::{balance_transactions, charges, payment_intents, payment_methods};
use super::super::state::State;
use super::super::timeline::Collection;
use super::{change_with_event, disputes};

/// A payment to be made in one go, and not an invoice's.
#[derive(Debug, Clone)]
pub struct NewPayment<'a> {
    /// In the currency's smallest unit.
    pub amount: i64,
    pub currency: &'a str,
    /// The customer's id.
    pub customer: Option<&'a str>,
    /// The payment method as an object; `None` is a card that nobody asks about, and that pays.
    pub method: Option<&'a Value>,
    pub description: Option<&'a str>,
    pub metadata: Value,
    /// True where the customer is not there to authenticate.
    pub off_session: bool,
}

/// What a payment left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    pub intent: String,
    /// `None` where the bank was not asked yet.
    pub charge: Option<String>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// The customer has to authenticate first.
    RequiresAction,
    /// The money is reserved and waits to be captured.
    RequiresCapture,
    Declined(Decline),
}

/// Money that was not captured goes back after so many days.
const AUTHORIZED_DAYS: i64 = 7;
/// With `automatic_async` the balance transaction follows the charge.
const ASYNC_SECONDS: i64 = 1;

/// An intent is made and confirmed, with the events of both.
pub fn pay(state: &mut State, new: NewPayment, at: DateTime<Utc>) -> Paid {
    let id = state.fresh("pi_3", 23);
    let intent = payment_intents::fresh(Facts {
        id: &id,
        amount: new.amount,
        currency: new.currency,
        customer: new.customer,
        created: at.timestamp(),
        description: new.description,
        metadata: new.metadata,
        payment_method: new.method.and_then(|m| m["id"].as_str()),
        capture_method: "automatic_async",
        setup_future_usage: None,
        order_reference: None,
    });
    insert_intent(state, intent, at);
    confirm(state, &id, new.method, new.off_session, at)
}

/// The intent to pay what remains of an invoice (an object), to be confirmed for every attempt. Returns its id.
pub fn intend(state: &mut State, invoice: &Value, at: DateTime<Utc>) -> String {
    let id = state.fresh("pi_3", 23);
    let description = match invoice["billing_reason"].as_str() {
        Some("subscription_create") => "Subscription creation",
        Some("manual") => "Payment for Invoice",
        _ => "Subscription update",
    };
    let intent = payment_intents::fresh(Facts {
        id: &id,
        amount: invoice["amount_remaining"].as_i64().unwrap_or_default(),
        currency: invoice["currency"].as_str().unwrap_or_default(),
        customer: invoice["customer"].as_str(),
        created: at.timestamp(),
        description: Some(description),
        metadata: json!({}),
        payment_method: None,
        // Invoices are still paid in the way that was the only one once.
        capture_method: "automatic",
        setup_future_usage: Some("off_session"),
        order_reference: invoice["id"].as_str(),
    });
    insert_intent(state, intent, at);
    id
}

/// Adds an intent that nobody has tried to pay yet.
pub fn insert_intent(state: &mut State, intent: Value, at: DateTime<Utc>) {
    state.emit("payment_intent.created", at, &intent, None);
    state.insert(Collection::PaymentIntents, intent);
}

/// Tries to pay an intent with a payment method (an object; `None` pays). The intent must be one that can be confirmed.
pub fn confirm(state: &mut State, intent: &str, method: Option<&Value>, off_session: bool, at: DateTime<Utc>) -> Paid {
    let behaviour = method.map_or(Behaviour::Pays, payment_methods::behaviour);
    state.change(intent, |intent| {
        intent.insert("payment_method".into(), method.map_or(Value::Null, |m| m["id"].clone()));
        intent.insert("last_payment_error".into(), Value::Null);
    });
    match behaviour {
        Behaviour::Declines(why) | Behaviour::DeclinesLater(why) => attempt(state, intent, method, Some(why), at),
        Behaviour::Authenticates { off_session: true, .. } if off_session => {
            attempt(state, intent, method, Some(Decline::AUTHENTICATION_REQUIRED), at)
        }
        Behaviour::Authenticates { .. } if !off_session => {
            state.change(intent, |intent| {
                intent.insert("next_action".into(), next_action(intent));
                intent.insert("status".into(), json!("requires_action"));
            });
            announce(state, intent, "payment_intent.requires_action", at);
            Paid { intent: intent.to_string(), charge: None, outcome: Outcome::RequiresAction }
        }
        _ => attempt(state, intent, method, None, at),
    }
}

/// The customer authenticates a payment that waits for it, or fails to. `None` where no payment waits for that.
pub fn authenticate(state: &mut State, intent: &str, succeeds: bool, at: DateTime<Utc>) -> Option<Paid> {
    let waiting = state.live(intent, "payment_intent").filter(|i| i["status"] == "requires_action")?;
    let method = waiting["payment_method"].as_str().and_then(|m| state.get(m));
    if !succeeds {
        state.change(intent, |intent| payment_intents::decline(intent, None, Decline::AUTHENTICATION_FAILED, method.as_ref()));
        announce(state, intent, "payment_intent.payment_failed", at);
        return Some(Paid { intent: intent.to_string(), charge: None, outcome: Outcome::Declined(Decline::AUTHENTICATION_FAILED) });
    }
    let then = match method.as_ref().map(payment_methods::behaviour) {
        Some(Behaviour::Authenticates { then, .. }) => then,
        _ => None,
    };
    Some(attempt(state, intent, method.as_ref(), then, at))
}

/// Takes so much of the money that was reserved, and lets go of the rest.
pub fn capture(state: &mut State, intent: &str, amount: i64, at: DateTime<Utc>) {
    let Some(charge) = latest_charge(state, intent) else { return };
    change_with_event(state, &charge, "charge.captured", at, |charge| {
        let rest = charge["amount"].as_i64().unwrap_or_default() - amount;
        charge.insert("captured".into(), json!(true));
        charge.insert("amount_captured".into(), json!(amount));
        // What is let go counts as refunded, without a refund.
        charge.insert("amount_refunded".into(), json!(rest));
    });
    book(state, &charge);
    state.change(intent, |intent| {
        payment_intents::succeed(intent, &charge);
        intent.insert("amount_received".into(), json!(amount));
    });
    announce(state, intent, "payment_intent.succeeded", at);
    state.later(at, disputes::open_by_card, &charge);
}

/// Ends an intent that is not paid; money that was reserved goes back. `reason` is Stripe's word.
pub fn cancel_intent(state: &mut State, intent: &str, reason: Option<&str>, at: DateTime<Utc>) {
    let reserved = state.get(intent).is_some_and(|i| i["status"] == "requires_capture");
    if let Some(charge) = latest_charge(state, intent).filter(|_| reserved) {
        let kind = if reason == Some("automatic") { "charge.expired" } else { "charge.refunded" };
        change_with_event(state, &charge, kind, at, release);
    }
    state.change(intent, |intent| {
        intent.extend([
            ("amount_capturable".into(), json!(0)),
            ("canceled_at".into(), json!(at.timestamp())),
            ("cancellation_reason".into(), json!(reason)),
            ("next_action".into(), Value::Null),
            ("status".into(), json!("canceled")),
        ]);
    });
    announce(state, intent, "payment_intent.canceled", at);
}

/// The bank is asked for the money.
fn attempt(state: &mut State, intent: &str, method: Option<&Value>, decline: Option<Decline>, at: DateTime<Utc>) -> Paid {
    let object = state.get(intent).unwrap_or_default();
    let customer = object["customer"].as_str().and_then(|c| state.get(c)).unwrap_or_default();
    // An intent and its first charge share their digits at Stripe too.
    let first = intent.replacen("pi_", "ch_", 1);
    let charge = if state.get(&first).is_none() { first } else { state.fresh("ch_3", 23) };
    let (manual, later) = (object["capture_method"] == "manual", object["capture_method"] == "automatic_async");
    let made = charges::render(charges::Facts {
        id: &charge,
        intent: &object,
        customer: &customer,
        method,
        created: at.timestamp(),
        captured: !manual,
        decline,
        transaction: None,
    });
    state.insert(Collection::Charges, made);
    state.belongs(&charge, intent);
    let outcome = match decline {
        Some(why) => {
            state.change(intent, |intent| payment_intents::decline(intent, Some(&charge), why, method));
            Outcome::Declined(why)
        }
        None if manual => {
            state.change(intent, |intent| {
                payment_intents::succeed(intent, &charge);
                let reserved = intent["amount"].clone();
                intent.extend([
                    ("amount_capturable".into(), reserved),
                    ("amount_received".into(), json!(0)),
                    ("status".into(), json!("requires_capture")),
                ]);
            });
            state.later(at + Duration::days(AUTHORIZED_DAYS), expire, intent);
            Outcome::RequiresCapture
        }
        None => {
            state.change(intent, |intent| payment_intents::succeed(intent, &charge));
            Outcome::Succeeded
        }
    };
    let kind = match outcome {
        Outcome::Declined(_) => "payment_intent.payment_failed",
        Outcome::RequiresCapture => "payment_intent.amount_capturable_updated",
        _ => "payment_intent.succeeded",
    };
    if outcome == Outcome::Succeeded && !later {
        book(state, &charge);
    }
    announce(state, &charge, if decline.is_some() { "charge.failed" } else { "charge.succeeded" }, at);
    announce(state, intent, kind, at);
    if outcome == Outcome::Succeeded {
        // A dispute comes after everything that the payment itself makes happen, and before anybody can ask.
        state.later(at, disputes::open_by_card, &charge);
        if later {
            state.later(at + Duration::seconds(ASYNC_SECONDS), book_later, &charge);
        }
    }
    Paid { intent: intent.to_string(), charge: Some(charge), outcome }
}

/// The money of a captured charge enters the account.
fn book(state: &mut State, charge: &str) {
    let Some(object) = state.get(charge) else { return };
    let id = charge.replacen("ch_", "txn_", 1);
    let method = object["payment_method"].as_str().and_then(|m| state.get(m));
    let at_once = method.is_some_and(|m| payment_methods::behaviour(&m) == Behaviour::PaysAtOnce);
    state.insert(Collection::BalanceTransactions, balance_transactions::of_charge(&id, &object, at_once));
    state.change(charge, |charge| {
        charge.insert("balance_transaction".into(), json!(id));
    });
}

fn book_later(state: &mut State, charge: &str, at: DateTime<Utc>) {
    book(state, charge);
    if let Some(object) = state.get(charge) {
        state.emit("charge.updated", at, &object, Some(json!({ "balance_transaction": null })));
    }
}

fn expire(state: &mut State, intent: &str, at: DateTime<Utc>) {
    if state.get(intent).is_some_and(|i| i["status"] == "requires_capture") {
        cancel_intent(state, intent, Some("automatic"), at);
    }
}

fn release(charge: &mut Map<String, Value>) {
    let amount = charge["amount"].clone();
    charge.insert("amount_refunded".into(), amount);
    charge.insert("refunded".into(), json!(true));
}

fn latest_charge(state: &State, intent: &str) -> Option<String> {
    Some(state.get(intent)?["latest_charge"].as_str()?.to_string())
}

fn announce(state: &mut State, id: &str, kind: &str, at: DateTime<Utc>) {
    if let Some(object) = state.get(id) {
        state.emit(kind, at, &object, None);
    }
}

fn next_action(intent: &Map<String, Value>) -> Value {
    json!({
        "type": "use_stripe_sdk",
        "use_stripe_sdk": { "payment_intent": intent["id"], "type": "three_d_secure_redirect" }
    })
}
