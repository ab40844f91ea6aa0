//! Money goes back to the customer: a refund is made, settles, fails, or is canceled. What a request may ask for is `resources/refunds.rs`.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use super::super::cards::Behaviour;
use super::super::resources::balance_transactions::{self, Facts};
use super::super::resources::{payment_methods, refunds};
use super::super::state::State;
use super::super::timeline::Collection;
use super::{change_with_event, disputes};
use crate::sandbox::population::ids::mix;

/// A refund to be made of a charge that has so much left to refund.
pub struct NewRefund<'a> {
    pub charge: &'a Value,
    pub amount: i64,
    /// Stripe's word.
    pub reason: Option<&'a str>,
    pub metadata: Value,
    pub instructions_email: Option<&'a str>,
}

/// A refund that pends settles after so long, and one that fails has failed by then.
const SETTLES_MINUTES: i64 = 5;
/// When the bank tells the number by which the customer can ask for the money.
const REFERENCE_DAYS: i64 = 1;

/// Makes the refund, with `refund.created` and `charge.refunded`. Returns its id.
pub fn refund(state: &mut State, new: NewRefund, at: DateTime<Utc>) -> String {
    let charge = new.charge["id"].as_str().unwrap_or_default();
    let id = state.fresh("re_3", 23);
    let behaviour = behaviour(state, new.charge);
    let status = if behaviour == Some(Behaviour::RefundPends) { "pending" } else { "succeeded" };
    let transaction = book(state, new.charge, &id, -new.amount, "refund", at);
    let made = refunds::render(refunds::Facts {
        id: &id,
        charge: new.charge,
        amount: new.amount,
        created: at.timestamp(),
        metadata: new.metadata,
        reason: new.reason,
        instructions_email: new.instructions_email,
        status,
        transaction: &transaction,
    });
    state.emit("refund.created", at, &made, None);
    state.insert(Collection::Refunds, made);
    state.belongs(&id, charge);
    if let Some(intent) = new.charge["payment_intent"].as_str() {
        state.belongs(&id, intent);
    }
    change_with_event(state, charge, "charge.refunded", at, |charge| {
        give_back(charge, new.amount);
        if new.reason == Some("fraudulent") {
            charge["fraud_details"] = json!({ "user_report": "fraudulent" });
        }
    });
    match behaviour {
        Some(Behaviour::RefundPends) => state.later(at + Duration::minutes(SETTLES_MINUTES), succeed, &id),
        Some(Behaviour::RefundFails) => state.later(at + Duration::minutes(SETTLES_MINUTES), fail, &id),
        _ => state.later(at + Duration::days(REFERENCE_DAYS), refer, &id),
    }
    disputes::refunded(state, charge, at);
    id
}

/// The customer has to say where the money should go before a pending refund can go on. False: there is no such refund.
pub fn ask_customer(state: &mut State, id: &str, at: DateTime<Utc>) -> bool {
    let found = state.live(id, "refund").filter(|r| r["status"] == "pending");
    let Some(charge) = found.and_then(|r| state.get(r["charge"].as_str()?)) else { return false };
    let expires = (at + Duration::days(45)).timestamp();
    update_refund(state, id, at, |refund| {
        refund.insert("status".into(), json!("requires_action"));
        refund.remove("pending_reason");
        let email = json!({ "email_sent_at": at.timestamp(), "email_sent_to": charge["billing_details"]["email"] });
        let details = json!({ "email_sent": email, "expires_at": expires });
        refund.insert("next_action".into(), json!({ "display_details": details, "type": "display_details" }));
    });
    true
}

/// Ends a refund that waits for the customer; the money stays.
pub fn cancel_refund(state: &mut State, id: &str, at: DateTime<Utc>) {
    return_money(state, id, "canceled", "merchant_request", at);
}

/// The bank refuses the money: the customer's account is closed, the card lost. It comes back to the account.
fn fail(state: &mut State, id: &str, at: DateTime<Utc>) {
    if state.live(id, "refund").is_none_or(|r| r["status"] != "succeeded") {
        return;
    }
    return_money(state, id, "failed", "expired_or_canceled_card", at);
    let Some(refund) = state.get(id) else { return };
    state.emit("refund.failed", at, &refund, None);
}

fn succeed(state: &mut State, id: &str, at: DateTime<Utc>) {
    if state.live(id, "refund").is_none_or(|r| r["status"] != "pending") {
        return;
    }
    update_refund(state, id, at, |refund| {
        refund.insert("status".into(), json!("succeeded"));
        refund.remove("pending_reason");
    });
    state.later(at + Duration::days(REFERENCE_DAYS), refer, id);
}

fn refer(state: &mut State, id: &str, at: DateTime<Utc>) {
    if state.live(id, "refund").is_none_or(|r| r["status"] != "succeeded") {
        return;
    }
    let number = id.bytes().fold(0xA94, |hash, byte| mix(hash, u64::from(byte)));
    update_refund(state, id, at, |refund| {
        refund["destination_details"]["card"]["reference"] = json!(format!("{:023}", u128::from(number) * 7_919));
        refund["destination_details"]["card"]["reference_status"] = json!("available");
    });
}

/// A change of a refund, told under its new name and its old one.
pub fn update_refund(state: &mut State, id: &str, at: DateTime<Utc>, change: impl FnOnce(&mut Map<String, Value>)) {
    let Some(previous) = state.change(id, change) else { return };
    let Some(refund) = state.get(id) else { return };
    state.emit("refund.updated", at, &refund, Some(previous.clone()));
    state.emit("charge.refund.updated", at, &refund, Some(previous));
}

fn return_money(state: &mut State, id: &str, status: &str, reason: &str, at: DateTime<Utc>) {
    let Some(refund) = state.get(id) else { return };
    let amount = refund["amount"].as_i64().unwrap_or_default();
    let Some(charge) = refund["charge"].as_str().and_then(|c| state.get(c)) else { return };
    let transaction = book(state, &charge, id, amount, "refund_failure", at);
    // What did not reach the customer can be refunded again.
    state.change(charge["id"].as_str().unwrap_or_default(), |charge| give_back(charge, -amount));
    update_refund(state, id, at, |refund| {
        refund.insert("status".into(), json!(status));
        refund.insert("failure_balance_transaction".into(), json!(transaction));
        refund.insert("failure_reason".into(), json!(reason));
        refund.remove("next_action");
        refund.remove("pending_reason");
    });
}

fn give_back(charge: &mut Map<String, Value>, amount: i64) {
    let refunded = charge["amount_refunded"].as_i64().unwrap_or_default() + amount;
    charge.insert("amount_refunded".into(), json!(refunded));
    charge.insert("refunded".into(), json!(Some(refunded) == charge["amount"].as_i64()));
}

fn book(state: &mut State, charge: &Value, refund: &str, amount: i64, kind: &str, at: DateTime<Utc>) -> String {
    let id = state.fresh("txn_3", 23);
    let what = if kind == "refund" { "REFUND FOR CHARGE" } else { "REFUND FAILURE" };
    let transaction = balance_transactions::render(&Facts {
        id: &id,
        amount,
        // The fees of the charge are not given back.
        fee: None,
        currency: charge["currency"].as_str().unwrap_or_default(),
        created: at.timestamp(),
        available_on: at.timestamp(),
        description: Some(charge["description"].as_str().map_or_else(|| what.to_string(), |d| format!("{what} ({d})"))),
        kind,
        category: kind,
        source: refund,
    });
    state.insert(Collection::BalanceTransactions, transaction)
}

fn behaviour(state: &State, charge: &Value) -> Option<Behaviour> {
    let method = state.get(charge["payment_method"].as_str()?)?;
    Some(payment_methods::behaviour(&method))
}
