//! Getting an invoice paid: attempts, retries until Stripe gives up, and what comes of it for the subscription. The payment itself is `payments.rs`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::resources::invoices::stages;
use super::super::state::State;
use super::change_with_event;
use super::invoices::{cancel_payment, emit, payment_of};
use super::payments::{self, Outcome, Paid};
use super::subscriptions::{self, Ending};

/// What becomes of a subscription when the last retry is declined too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterRetries {
    #[default]
    Cancel,
    MarkUnpaid,
    LeavePastDue,
}

/// What an invoice is paid with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tender {
    /// What stands on the invoice, the subscription or the customer, in this order.
    OnFile,
    /// A payment method, by its id.
    Method(String),
    /// The same, with its owner there to authenticate whatever the bank wants authenticated.
    Present(String),
    /// Money that Stripe never saw.
    OutOfBand,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Collected {
    Paid,
    /// The card was declined, or there is none.
    Declined(Box<Failure>),
    /// The customer has to authenticate the payment.
    ActionRequired(Box<Failure>),
}

/// One attempt, with its events and what comes of it for the subscription.
pub fn settle_invoice(state: &mut State, id: &str, tender: &Tender, off_session: bool, at: DateTime<Utc>) -> Collected {
    let collected = collect(state, id, tender, off_session, at);
    announce(state, id, &collected, at);
    follow(state, id, &collected, at);
    collected
}

/// One attempt, without the invoice's events; the payment has its own.
pub fn collect(state: &mut State, id: &str, tender: &Tender, off_session: bool, at: DateTime<Utc>) -> Collected {
    let Some(invoice) = state.live(id, "invoice") else { return Collected::Paid };
    if invoice["status"] == "paid" {
        return Collected::Paid;
    }
    let method = match tender {
        Tender::OutOfBand => {
            state.change(id, |invoice| stages::paid(invoice, at.timestamp()));
            cancel_payment(state, id, None, at);
            return Collected::Paid;
        }
        Tender::OnFile => on_file(state, &invoice),
        Tender::Method(id) | Tender::Present(id) => Some(id.clone()),
    };
    let (Some(method), Some(payment)) = (method.and_then(|id| state.get(&id)), payment_of(state, id)) else {
        mark_failed(state, id, at);
        return Collected::Declined(Box::new(no_method()));
    };
    let intent = payment["payment"]["payment_intent"].as_str().unwrap_or_default();
    let mut paid = payments::confirm(state, intent, Some(&method), off_session, at);
    if paid.outcome == Outcome::RequiresAction && matches!(tender, Tender::Present(_)) {
        paid = payments::authenticate(state, intent, true, at).unwrap_or(paid);
    }
    record(state, id, &paid, at)
}

/// What an attempt to pay an intent means for its invoice, if it has one: for attempts that were not begun here.
pub fn intent_attempted(state: &mut State, paid: &Paid, at: DateTime<Utc>) {
    let invoice = state.get(&paid.intent).and_then(|intent| intent["payment_details"]["order_reference"].as_str().map(str::to_string));
    let waits = |v: &Value| v["status"] == "open" || v["status"] == "uncollectible";
    if let Some(id) = invoice.filter(|id| state.live(id, "invoice").is_some_and(|v| waits(&v))) {
        let collected = record(state, &id, paid, at);
        announce(state, &id, &collected, at);
        follow(state, &id, &collected, at);
    }
}

/// The events of an attempt. Returns the id of `invoice.paid` or `invoice.payment_failed`.
pub fn announce(state: &mut State, id: &str, collected: &Collected, at: DateTime<Utc>) -> String {
    match collected {
        Collected::Paid => {
            let event = emit(state, "invoice.paid", id, at);
            emit(state, "invoice.payment_succeeded", id, at);
            if let Some(payment) = payment_of(state, id).filter(|p| p["status"] == "paid") {
                state.emit("invoice_payment.paid", at, &payment, None);
            }
            event
        }
        Collected::Declined(_) => emit(state, "invoice.payment_failed", id, at),
        Collected::ActionRequired(_) => {
            emit(state, "invoice.payment_action_required", id, at);
            emit(state, "invoice.payment_failed", id, at)
        }
    }
}

/// What an attempt changes about the subscription: nothing, unless the invoice is its newest.
pub fn follow(state: &mut State, id: &str, collected: &Collected, at: DateTime<Utc>) {
    let Some((invoice, subscription)) = billed(state, id) else { return };
    let status = subscription["status"].as_str().unwrap_or_default();
    let name = subscription["id"].as_str().unwrap_or_default();
    let (paid, given_up) = (*collected == Collected::Paid, invoice["next_payment_attempt"].is_null());
    let next = match (status, paid) {
        ("incomplete", true) => return activate(state, name, id, at),
        ("past_due" | "unpaid", true) => "active",
        ("active" | "trialing", false) => "past_due",
        ("past_due", false) if given_up && invoice["auto_advance"] == true => return give_up(state, name, id, at),
        ("paused", true) => return subscriptions::resumed(state, name, at),
        _ => return,
    };
    subscriptions::set_status(state, name, next, at);
}

/// What Stripe answers where it would have to charge and has nothing to charge.
pub fn no_method() -> Failure {
    Failure::new(
        400,
        "This customer has no attached payment source or default payment method. Please consider adding a default payment method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.",
    )
    .code("resource_missing")
}

/// The payment method an invoice or a subscription would be charged to.
pub fn on_file(state: &State, payer: &Value) -> Option<String> {
    let subscription = payer["parent"]["subscription_details"]["subscription"].as_str().and_then(|id| state.get(id));
    let own = [Some(payer), subscription.as_ref()].into_iter().flatten().find_map(|v| v["default_payment_method"].as_str());
    own.map(str::to_string).or_else(|| of_customer(state, payer["customer"].as_str()?))
}

/// The customer's default.
pub fn of_customer(state: &State, customer: &str) -> Option<String> {
    state.get(customer)?["invoice_settings"]["default_payment_method"].as_str().map(str::to_string)
}

/// The first invoice is paid, maybe by what is to pay the next ones too.
fn activate(state: &mut State, subscription: &str, invoice: &str, at: DateTime<Utc>) {
    let intent = payment_of(state, invoice).and_then(|p| state.get(p["payment"]["payment_intent"].as_str()?));
    change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
        s.insert("status".into(), json!("active"));
        if s["payment_settings"]["save_default_payment_method"] == "on_subscription" {
            s.insert("default_payment_method".into(), intent.map_or(Value::Null, |i| i["payment_method"].clone()));
        }
    });
}

fn record(state: &mut State, id: &str, paid: &Paid, at: DateTime<Utc>) -> Collected {
    let intent = state.get(&paid.intent).unwrap_or_default();
    match paid.outcome {
        Outcome::Succeeded | Outcome::RequiresCapture => {
            mark_paid(state, id, at);
            Collected::Paid
        }
        Outcome::Declined(why) => {
            mark_failed(state, id, at);
            let failure = why.failure().with("payment_intent", intent);
            let failure = match &paid.charge {
                Some(charge) => failure.with("charge", charge.as_str()),
                None => failure,
            };
            Collected::Declined(Box::new(failure))
        }
        Outcome::RequiresAction => {
            mark_failed(state, id, at);
            let mut failure = Failure::new(
                402,
                "This payment requires additional user action before it can be completed successfully. Payment can be completed using the PaymentIntent associated with this invoice. For more details see: https://stripe.com/docs/billing/subscriptions/overview#requires-action",
            );
            failure.kind = "card_error";
            Collected::ActionRequired(Box::new(failure.code("invoice_payment_intent_requires_action").with("payment_intent", intent)))
        }
    }
}

fn mark_paid(state: &mut State, id: &str, at: DateTime<Utc>) {
    state.change(id, |invoice| {
        stages::attempted(invoice, None);
        stages::paid(invoice, at.timestamp());
    });
    close_payment(state, id, at);
}

fn close_payment(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(payment) = payment_of(state, id) else { return };
    state.change(payment["id"].as_str().unwrap_or_default(), |payment| {
        let amount = payment["amount_requested"].clone();
        payment.insert("amount_paid".into(), amount);
        payment.insert("status".into(), json!("paid"));
        payment["status_transitions"]["paid_at"] = json!(at.timestamp());
    });
}

/// Retries are for renewals: the first invoice of a subscription has a day, and then the subscription expires.
fn mark_failed(state: &mut State, id: &str, at: DateTime<Utc>) {
    let first = billed(state, id).is_some_and(|(_, subscription)| subscription["status"] == "incomplete");
    state.change(id, |invoice| {
        let attempts = invoice["attempt_count"].as_i64().unwrap_or_default() + 1;
        let moves_on = invoice["auto_advance"] == true && !first && invoice["status"] == "open";
        stages::attempted(invoice, stages::retry_after(attempts, at.timestamp()).filter(|_| moves_on));
    });
}

fn give_up(state: &mut State, subscription: &str, invoice: &str, at: DateTime<Utc>) {
    match state.after_retries {
        AfterRetries::Cancel => {
            subscriptions::end(state, subscription, at, Ending::now("payment_failed"));
        }
        AfterRetries::MarkUnpaid => {
            subscriptions::set_status(state, subscription, "unpaid", at);
            rest(state, invoice, at);
        }
        AfterRetries::LeavePastDue => rest(state, invoice, at),
    }
}

/// An open invoice is no longer collected by itself, with `invoice.updated`.
pub fn rest(state: &mut State, invoice: &str, at: DateTime<Utc>) {
    change_with_event(state, invoice, "invoice.updated", at, stages::rest);
}

/// A sent invoice was not paid in time.
pub fn overdue(state: &mut State, id: &str, at: DateTime<Utc>) {
    if let Some((_, subscription)) = billed(state, id).filter(|(_, s)| s["status"] == "active") {
        subscriptions::set_status(state, subscription["id"].as_str().unwrap_or_default(), "past_due", at);
    }
}

/// An invoice and the live subscription whose newest it is.
fn billed(state: &State, id: &str) -> Option<(Value, Value)> {
    let invoice = state.live(id, "invoice")?;
    let subscription = state.live(invoice["parent"]["subscription_details"]["subscription"].as_str()?, "subscription")?;
    (subscription["latest_invoice"] == id && !subscriptions::is_over(&subscription)).then_some((invoice, subscription))
}
