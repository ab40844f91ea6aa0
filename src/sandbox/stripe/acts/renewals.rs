//! The calendar of subscriptions and invoices: what happens to them by itself, when, and that it happens. Acts that somebody asks for are elsewhere.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::agenda::Deed;
use super::super::periods;
use super::super::resources::subscriptions;
use super::super::state::State;
use super::change_with_event;
use super::collection::{self, Collected, Tender, settle_invoice};
use super::invoices::{NewInvoice, Pending, draft_invoice, emit, finalize_invoice, mark_uncollectible, send_invoice, void_invoice};
use super::subscriptions::{Ending, end, is_over, pause};

const UPDATED: &str = "customer.subscription.updated";
const DAY: i64 = 86_400;

/// How long a first invoice may wait to be paid, in seconds.
const FIRST_PAYMENT_SECONDS: i64 = 23 * 3_600;

/// When something happens to this object by itself, by what stands on it, in Unix seconds. Each moment of an object comes once.
pub fn moments(object: &Value) -> Vec<(i64, Deed)> {
    match object["object"].as_str() {
        Some("subscription") if !is_over(object) => {
            let own = match object["status"].as_str() {
                Some("incomplete") => vec![object["created"].as_i64().map(|at| at + FIRST_PAYMENT_SECONDS)],
                Some("paused") => Vec::new(),
                Some("trialing") => vec![object["trial_end"].as_i64().map(|at| at - 3 * DAY), object["trial_end"].as_i64()],
                _ => vec![subscriptions::period_end(object)],
            };
            let asked = [object["cancel_at"].as_i64(), object["pause_collection"]["resumes_at"].as_i64()];
            asked.into_iter().chain(own).flatten().map(|at| (at, wake as Deed)).collect()
        }
        Some("invoice") => {
            let found = match object["status"].as_str() {
                Some("draft") => [object["automatically_finalizes_at"].as_i64(), None],
                Some("open") => [object["next_payment_attempt"].as_i64(), object["due_date"].as_i64()],
                _ => [None, None],
            };
            found.into_iter().flatten().map(|at| (at, advance as Deed)).collect()
        }
        _ => Vec::new(),
    }
}

/// The next period, billed and attempted at once with this payment method.
/// Returns the events of the attempt and of the subscription.
pub fn renew_at_once(state: &mut State, id: &str, method: &str, at: DateTime<Utc>) -> Option<(String, String)> {
    let before = state.live(id, "subscription").filter(|s| !is_over(s))?;
    let end = subscriptions::period_end(&before)?;
    let invoice = bill(state, &before, end, "subscription_cycle", at);
    finalize_invoice(state, &invoice, at);
    // The subscription names its new invoice in the same breath as its new period, so the attempt does not follow it up.
    let collected = collection::collect(state, &invoice, &Tender::Method(method.to_string()), true, at);
    let first = collection::announce(state, &invoice, &collected, at);
    let second = change_with_event(state, id, UPDATED, at, |s| {
        move_on(s, end, &invoice);
        s.insert("status".into(), json!(if collected == Collected::Paid { "active" } else { "past_due" }));
    })?;
    Some((first, second))
}

/// A trial or a pause is over, and the first paid period begins at that moment. Returns the invoice's id.
pub fn begin_period(state: &mut State, id: &str, reason: &str, status: &str, at: DateTime<Utc>) -> Option<String> {
    let now = at.timestamp();
    let mut after = state.live(id, "subscription")?;
    after["billing_cycle_anchor"] = json!(now);
    for item in after["items"]["data"].as_array_mut().into_iter().flatten() {
        item["current_period_end"] = json!(now);
    }
    let invoice = bill(state, &after, now, reason, at);
    change_with_event(state, id, UPDATED, at, |s| {
        s.insert("billing_cycle_anchor".into(), json!(now));
        if s["trial_end"].as_i64().is_some_and(|end| end > now) {
            s.insert("trial_end".into(), json!(now));
        }
        for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
            item["current_period_end"] = json!(now);
        }
        move_on(s, now, &invoice);
        s.insert("status".into(), json!(status));
    });
    hold_back(state, id, &invoice, at);
    Some(invoice)
}

/// One of a subscription's moments has come: a pause, its time to be paid first, a trial, a period or all of it ends.
fn wake(state: &mut State, id: &str, at: DateTime<Utc>) {
    resume_collection(state, id, at);
    let Some(subscription) = state.live(id, "subscription").filter(|s| !is_over(s)) else { return };
    let now = at.timestamp();
    let due = |when: &Value| when.as_i64().is_some_and(|when| when <= now);
    if due(&subscription["cancel_at"]) {
        end(state, id, at, Ending::default());
        return;
    }
    let over = subscriptions::period_end(&subscription).filter(|boundary| *boundary <= now);
    match (subscription["status"].as_str(), over) {
        (Some("incomplete"), _) if due(&json!(subscription["created"].as_i64().map(|at| at + FIRST_PAYMENT_SECONDS))) => {
            expire(state, id, at);
        }
        (Some("trialing"), Some(_)) => end_trial(state, &subscription, at),
        (Some("trialing"), None) if subscription["trial_end"] == now + 3 * DAY => {
            state.emit("customer.subscription.trial_will_end", at, &subscription, None);
        }
        (Some("active" | "past_due" | "unpaid"), Some(boundary)) => next_period(state, &subscription, boundary, at),
        _ => {}
    }
}

fn end_trial(state: &mut State, subscription: &Value, at: DateTime<Utc>) {
    let id = subscription["id"].as_str().unwrap_or_default();
    let chargeable = collection::on_file(state, subscription).is_some() || subscription["collection_method"] == "send_invoice";
    match subscription["trial_settings"]["end_behavior"]["missing_payment_method"].as_str() {
        Some("cancel") if !chargeable => {
            end(state, id, at, Ending::now("payment_failed"));
        }
        Some("pause") if !chargeable => {
            pause(state, id, "trial_end_without_payment_method", at);
        }
        _ => {
            begin_period(state, id, "subscription_cycle", "active", at);
        }
    }
}

fn next_period(state: &mut State, subscription: &Value, boundary: i64, at: DateTime<Utc>) {
    let id = subscription["id"].as_str().unwrap_or_default();
    let invoice = bill(state, subscription, boundary, "subscription_cycle", at);
    change_with_event(state, id, UPDATED, at, |s| move_on(s, boundary, &invoice));
    hold_back(state, id, &invoice, at);
}

/// What a paused collection, or an unpaid subscription, does to a new invoice.
pub fn hold_back(state: &mut State, id: &str, invoice: &str, at: DateTime<Utc>) {
    let Some(subscription) = state.get(id) else { return };
    match subscription["pause_collection"]["behavior"].as_str() {
        Some("keep_as_draft") => collection::rest(state, invoice, at),
        Some("void") => {
            finalize_invoice(state, invoice, at);
            void_invoice(state, invoice, at);
        }
        Some(_) => {
            finalize_invoice(state, invoice, at);
            mark_uncollectible(state, invoice, at);
        }
        None if subscription["status"] == "unpaid" => collection::rest(state, invoice, at),
        None => {}
    }
}

/// Drafts the invoice for the items whose period ends at that boundary.
fn bill(state: &mut State, subscription: &Value, boundary: i64, reason: &str, at: DateTime<Utc>) -> String {
    let anchor = subscription["billing_cycle_anchor"].as_i64().unwrap_or(boundary);
    let items = subscription["items"]["data"].as_array().into_iter().flatten();
    let ending: Vec<&Value> = items.filter(|item| ends_by(item, boundary)).collect();
    let start = ending.iter().filter_map(|item| item["current_period_start"].as_i64()).min().unwrap_or(boundary);
    let billed =
        ending.iter().map(|item| ((*item).clone(), (boundary, periods::boundary_after(anchor, &item["price"], boundary)))).collect();
    draft_invoice(
        state,
        NewInvoice {
            customer: subscription["customer"].as_str().unwrap_or_default(),
            subscription: Some(subscription),
            billed,
            free: false,
            currency: subscription["currency"].as_str().unwrap_or("eur"),
            period: (start.min(boundary), boundary),
            reason,
            pending: Pending::OfSubscription,
        },
        at,
        |_| {},
    )
}

/// The items whose period ended begin the next one.
fn move_on(subscription: &mut Map<String, Value>, boundary: i64, invoice: &str) {
    let anchor = subscription["billing_cycle_anchor"].as_i64().unwrap_or(boundary);
    for item in subscription["items"]["data"].as_array_mut().into_iter().flatten() {
        if ends_by(item, boundary) {
            let end = periods::boundary_after(anchor, &item["price"], boundary);
            item["current_period_start"] = json!(boundary);
            item["current_period_end"] = json!(end);
        }
    }
    subscription.insert("latest_invoice".into(), json!(invoice));
    if subscription["cancel_at_period_end"] == true {
        let end = subscriptions::period_end(&Value::Object(subscription.clone()));
        subscription.insert("cancel_at".into(), json!(end));
    }
}

fn ends_by(item: &Value, boundary: i64) -> bool {
    item["current_period_end"].as_i64().is_some_and(|end| end <= boundary)
}

fn resume_collection(state: &mut State, id: &str, at: DateTime<Utc>) {
    let due = |s: &Value| s["pause_collection"]["resumes_at"].as_i64().is_some_and(|when| when <= at.timestamp());
    if state.live(id, "subscription").is_some_and(|s| due(&s)) {
        change_with_event(state, id, UPDATED, at, |s| {
            s.insert("pause_collection".into(), Value::Null);
        });
    }
}

/// Nobody paid the first invoice in time.
pub fn expire(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(subscription) = state.live(id, "subscription").filter(|s| s["status"] == "incomplete") else { return };
    change_with_event(state, id, UPDATED, at, |s| {
        s.insert("status".into(), json!("incomplete_expired"));
        s.insert("ended_at".into(), json!(at.timestamp()));
    });
    let invoice = subscription["latest_invoice"].as_str().unwrap_or_default();
    if state.get(invoice).is_some_and(|v| v["status"] == "open") {
        void_invoice(state, invoice, at);
    }
}

/// An invoice's moment: a draft is finalized, an open one tried again, or overdue.
fn advance(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(invoice) = state.live(id, "invoice") else { return };
    let is_now = |when: &Value| when.as_i64() == Some(at.timestamp());
    let sent = invoice["collection_method"] == "send_invoice";
    if invoice["status"] == "draft" && is_now(&invoice["automatically_finalizes_at"]) {
        finalize_invoice(state, id, at);
        let Some(invoice) = state.get(id).filter(|v| v["status"] != "draft") else { return };
        if sent && invoice["status"] != "paid" {
            send_invoice(state, id, at);
        } else {
            settle_invoice(state, id, &Tender::OnFile, true, at);
        }
    } else if invoice["status"] == "open" && is_now(&invoice["next_payment_attempt"]) {
        settle_invoice(state, id, &Tender::OnFile, true, at);
    } else if invoice["status"] == "open" && sent && is_now(&invoice["due_date"]) {
        emit(state, "invoice.overdue", id, at);
        collection::overdue(state, id, at);
    }
}
