//! Disputes and inquiries: opened, answered, decided by the bank, or lost by letting the time pass. What may be sent is `resources/disputes.rs`.

use chrono::{DateTime, Duration, NaiveTime, Utc};
use serde_json::{Map, Value, json};

use super::super::cards::Behaviour;
use super::super::form::Bounds;
use super::super::resources::balance_transactions::{self, Facts};
use super::super::resources::{disputes, payment_methods};
use super::super::state::State;
use super::super::timeline::Collection;
use super::{change_with_event, redaction};

/// A customer asks the bank for the money of a charge.
#[derive(Debug, Clone, Copy)]
pub struct NewDispute<'a> {
    pub charge: &'a str,
    /// Stripe's word: `fraudulent`, `product_not_received`, …
    pub reason: &'a str,
    /// The bank only asks first, and takes no money.
    pub inquiry: bool,
}

/// How long there is to answer: to the end of that day.
const ANSWER_DAYS: i64 = 9;
/// In test mode the evidence itself says how the bank decides, and soon.
const DECIDES_MINUTES: i64 = 60;
/// Evidence that does not say it wins convinces nobody, after the time that banks take.
const REVIEW_DAYS: i64 = 75;
/// An inquiry that did not become a chargeback by then never will.
const INQUIRY_DAYS: i64 = 120;
/// Kept by Stripe whoever wins.
const FEE: i64 = 2_000;

const WINNING: &str = "winning_evidence";
const LOSING: &str = "losing_evidence";
const ESCALATING: &str = "escalate_inquiry_evidence";

/// Opens a dispute, with `charge.dispute.created` and, unless it is an inquiry, `charge.dispute.funds_withdrawn`. Returns its id;
/// `None` where the charge was never paid, has been refunded as a whole, or is disputed already.
pub fn open_dispute(state: &mut State, new: NewDispute, at: DateTime<Utc>) -> Option<String> {
    let charge = state.live(new.charge, "charge").filter(|c| c["captured"] == true && c["disputed"] == false && c["refunded"] == false)?;
    let amount = charge["amount_captured"].as_i64()?.min(charge["amount"].as_i64()? - charge["amount_refunded"].as_i64()?);
    let id = state.fresh("du_1", 23);
    let made = disputes::render(disputes::Facts {
        id: &id,
        charge: &charge,
        amount,
        created: at.timestamp(),
        due_by: due(at),
        reason: new.reason,
        inquiry: new.inquiry,
    });
    state.insert(Collection::Disputes, made);
    for owner in ["charge", "payment_intent", "customer"] {
        if let Some(owner) = if owner == "charge" { charge["id"].as_str() } else { charge[owner].as_str() } {
            state.belongs(&id, owner);
        }
    }
    state.change(new.charge, |charge| {
        charge.insert("disputed".into(), json!(true));
    });
    announce(state, &id, "charge.dispute.created", at);
    if redaction::is_redacted(state, new.charge) {
        // Nothing is left that could be shown to the bank.
        withdraw(state, &id, at);
        end(state, &id, "lost", at);
        return Some(id);
    }
    if new.inquiry {
        state.later(at + Duration::days(INQUIRY_DAYS), close_inquiry, &id);
    } else {
        withdraw(state, &id, at);
    }
    state.later(at_second(due(at)), fall_due, &id);
    Some(id)
}

/// The dispute that paying with one of the test cards makes.
pub fn open_by_card(state: &mut State, charge: &str, at: DateTime<Utc>) {
    let method = state.get(charge).and_then(|c| state.get(c["payment_method"].as_str()?));
    if let Some(Behaviour::Disputed { reason, inquiry }) = method.as_ref().map(payment_methods::behaviour) {
        open_dispute(state, NewDispute { charge, reason, inquiry }, at);
    }
}

/// Sends what is staged to the bank, for good.
pub fn submit_evidence(state: &mut State, id: &str, evidence: impl FnOnce(&mut Map<String, Value>), at: DateTime<Utc>) {
    change_with_event(state, id, "charge.dispute.updated", at, |dispute| {
        evidence(dispute);
        let inquiry = dispute["status"] == "warning_needs_response";
        let count = dispute["evidence_details"]["submission_count"].as_i64().unwrap_or_default();
        dispute["evidence_details"]["submission_count"] = json!(count + 1);
        dispute.insert("status".into(), json!(if inquiry { "warning_under_review" } else { "under_review" }));
    });
    let dispute = state.get(id).unwrap_or_default();
    let wait = match dispute["evidence"]["uncategorized_text"].as_str().unwrap_or_default().trim() {
        WINNING | LOSING | ESCALATING => Duration::minutes(DECIDES_MINUTES),
        _ => Duration::days(REVIEW_DAYS),
    };
    // An inquiry that becomes a chargeback meanwhile is answered and decided anew, in that one's own time.
    let inquiry = dispute["status"] == "warning_under_review";
    state.later(at + wait, if inquiry { decide_inquiry } else { decide_chargeback }, id);
}

/// Gives the money up. The dispute must still wait for an answer.
pub fn close_dispute(state: &mut State, id: &str, at: DateTime<Utc>) {
    let inquiry = state.live(id, "dispute").is_some_and(|d| d["status"] == "warning_needs_response");
    // An inquiry took no money that could be lost.
    end(state, id, if inquiry { "warning_closed" } else { "lost" }, at);
}

/// An inquiry becomes a chargeback: the money leaves, and there is a new time to answer. False: it is no open inquiry.
pub fn escalate_inquiry(state: &mut State, id: &str, at: DateTime<Utc>) -> bool {
    let open = ["warning_needs_response", "warning_under_review"];
    if state.live(id, "dispute").is_none_or(|d| !open.iter().any(|status| d["status"] == *status)) {
        return false;
    }
    change_with_event(state, id, "charge.dispute.updated", at, |dispute| {
        dispute.insert("status".into(), json!("needs_response"));
        dispute.insert("is_charge_refundable".into(), json!(false));
        dispute["payment_method_details"]["card"]["case_type"] = json!("chargeback");
        // What answered the bank's question does not answer the chargeback.
        dispute["evidence_details"]["submission_count"] = json!(0);
        dispute["evidence_details"]["past_due"] = json!(false);
        dispute["evidence_details"]["due_by"] = json!(due(at));
    });
    withdraw(state, id, at);
    state.later(at_second(due(at)), fall_due, id);
    true
}

/// A refund was made of a charge: an inquiry about money that went back as a whole is over.
pub fn refunded(state: &mut State, charge: &str, at: DateTime<Utc>) {
    let whole = state.get(charge).is_some_and(|c| c["refunded"] == true);
    for dispute in of_charge(state, charge) {
        let id = dispute["id"].as_str().unwrap_or_default();
        if whole && dispute["status"].as_str().is_some_and(|s| s.starts_with("warning_") && s != "warning_closed") {
            end(state, id, "warning_closed", at);
        }
    }
}

/// Whether the bank holds the money of a charge: refunding it would be paying twice.
pub fn is_charged_back(state: &State, charge: &str) -> bool {
    of_charge(state, charge).iter().any(|d| ["needs_response", "under_review", "lost"].iter().any(|status| d["status"] == *status))
}

/// Whether a dispute of the charge, or an inquiry about it, is still open.
pub fn is_disputed(state: &State, charge: &str) -> bool {
    let closed = ["won", "lost", "warning_closed", "prevented"];
    of_charge(state, charge).iter().any(|d| closed.iter().all(|status| d["status"] != *status))
}

fn of_charge(state: &State, charge: &str) -> Vec<Value> {
    state.of_customer(Collection::Disputes, charge, Bounds::ALL).into_iter().filter_map(|(_, id)| state.get(&id)).collect()
}

/// The bank's decision about what it was sent about a chargeback.
fn decide_chargeback(state: &mut State, id: &str, at: DateTime<Utc>) {
    match sent(state, id, "under_review").as_deref() {
        Some(WINNING) => end(state, id, "won", at),
        Some(_) => end(state, id, "lost", at),
        None => {}
    }
}

/// What the bank makes of the answer to its question; nothing, where it is no inquiry any more.
fn decide_inquiry(state: &mut State, id: &str, at: DateTime<Utc>) {
    match sent(state, id, "warning_under_review").as_deref() {
        Some(ESCALATING) => {
            escalate_inquiry(state, id, at);
        }
        Some(WINNING | LOSING) => end(state, id, "warning_closed", at),
        _ => {}
    }
}

/// What was said in the evidence of a dispute of that status.
fn sent(state: &State, id: &str, status: &str) -> Option<String> {
    let dispute = state.live(id, "dispute").filter(|d| d["status"] == status)?;
    Some(dispute["evidence"]["uncategorized_text"].as_str().unwrap_or_default().trim().to_string())
}

/// The time to answer is over. A chargeback is lost by that; an inquiry is only late.
fn fall_due(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(dispute) = state.live(id, "dispute") else { return };
    // An escalation has moved it.
    if dispute["evidence_details"]["due_by"].as_i64() > Some(at.timestamp()) {
        return;
    }
    let late = |dispute: &mut Map<String, Value>| dispute["evidence_details"]["past_due"] = json!(true);
    match dispute["status"].as_str() {
        Some("needs_response") => {
            state.change(id, late);
            end(state, id, "lost", at);
        }
        Some("warning_needs_response") => {
            change_with_event(state, id, "charge.dispute.updated", at, late);
        }
        _ => {}
    }
}

fn close_inquiry(state: &mut State, id: &str, at: DateTime<Utc>) {
    if state.live(id, "dispute").is_some_and(|d| d["status"].as_str().is_some_and(|s| s.starts_with("warning_") && s != "warning_closed")) {
        end(state, id, "warning_closed", at);
    }
}

fn end(state: &mut State, id: &str, status: &str, at: DateTime<Utc>) {
    let Some(dispute) = state.live(id, "dispute") else { return };
    let refunded = dispute["charge"].as_str().and_then(|c| state.get(c)).is_some_and(|c| c["refunded"] == true);
    change_with_event(state, id, "charge.dispute.closed", at, |dispute| {
        dispute.insert("status".into(), json!(status));
        dispute.insert("is_charge_refundable".into(), json!(status != "lost" && !refunded));
    });
    if status == "won" {
        let amount = dispute["amount"].as_i64().unwrap_or_default();
        move_money(state, &dispute, amount, at);
        announce(state, id, "charge.dispute.funds_reinstated", at);
    }
}

fn withdraw(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(dispute) = state.live(id, "dispute") else { return };
    let amount = dispute["amount"].as_i64().unwrap_or_default();
    move_money(state, &dispute, -amount, at);
    announce(state, id, "charge.dispute.funds_withdrawn", at);
}

/// The amount leaves the account with the fee, or comes back without it.
fn move_money(state: &mut State, dispute: &Value, amount: i64, at: DateTime<Utc>) {
    let (dispute_id, charge) = (dispute["id"].as_str().unwrap_or_default(), dispute["charge"].as_str().unwrap_or_default());
    let id = state.fresh("txn_1", 23);
    let leaves = amount < 0;
    let transaction = balance_transactions::render(&Facts {
        id: &id,
        amount,
        fee: leaves.then_some((FEE, "Dispute fee")),
        currency: dispute["currency"].as_str().unwrap_or_default(),
        created: at.timestamp(),
        available_on: at.timestamp(),
        description: Some(format!("Chargeback {} for {charge}", if leaves { "withdrawal" } else { "reversal" })),
        kind: "adjustment",
        category: if leaves { "dispute" } else { "dispute_reversal" },
        source: dispute_id,
    });
    state.insert(Collection::BalanceTransactions, transaction.clone());
    state.change(dispute_id, |dispute| {
        if let Some(all) = dispute["balance_transactions"].as_array_mut() {
            all.push(transaction);
        }
    });
}

fn announce(state: &mut State, id: &str, kind: &str, at: DateTime<Utc>) {
    if let Some(dispute) = state.get(id) {
        state.emit(kind, at, &dispute, None);
    }
}

/// The last second in which an answer counts.
fn due(at: DateTime<Utc>) -> i64 {
    let last = NaiveTime::from_hms_opt(23, 59, 59).expect("invariant: a valid time of day");
    (at + Duration::days(ANSWER_DAYS)).date_naive().and_time(last).and_utc().timestamp()
}

fn at_second(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).expect("invariant: sandbox times lie near the present")
}
