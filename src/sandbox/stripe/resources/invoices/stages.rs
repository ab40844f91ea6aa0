//! How an invoice's own fields change from stage to stage: totalled, finalized, attempted, paid, voided. No events, and nobody else's fields.

use serde_json::{Map, Value, json};

const DAY: i64 = 86_400;

/// How long an invoice stays a draft that finalizes by itself, in seconds.
pub const DRAFT_SECONDS: i64 = 3_600;

/// Days from one declined attempt to the next; after the last of them Stripe gives up.
const RETRY_DAYS: [i64; 4] = [3, 5, 7, 6];

/// When to try again after that many attempts, the last of them at `at`; `None`: no more.
pub fn retry_after(attempts: i64, at: i64) -> Option<i64> {
    let days = RETRY_DAYS.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    Some(at + days * DAY)
}

/// The first retry after `now` of an invoice declined first at `at`.
pub fn retry_later_than(now: i64, at: i64) -> Option<i64> {
    RETRY_DAYS
        .iter()
        .scan(at, |last, days| {
            *last += days * DAY;
            Some(*last)
        })
        .find(|retry| *retry > now)
}

/// Sums up the lines of a draft.
pub fn total(invoice: &mut Map<String, Value>) {
    let lines = invoice["lines"]["data"].as_array();
    let sum: i64 = lines.into_iter().flatten().filter_map(|line| line["amount"].as_i64()).sum();
    let count = lines.map_or(0, Vec::len);
    invoice["lines"]["total_count"] = json!(count);
    for name in ["subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"] {
        invoice.insert(name.into(), json!(sum));
    }
    set_due(invoice, sum.max(0));
}

/// Sets how a draft is collected: whether it moves on by itself, and when.
pub fn advance(invoice: &mut Map<String, Value>, on: bool) {
    let created = invoice["created"].as_i64().unwrap_or_default();
    let finalizes = on.then_some(created + DRAFT_SECONDS);
    let charged = invoice["collection_method"] == "charge_automatically";
    invoice.insert("auto_advance".into(), json!(on));
    invoice.insert("automatically_finalizes_at".into(), json!(finalizes));
    invoice.insert("next_payment_attempt".into(), json!(finalizes.filter(|_| charged)));
}

/// A draft becomes open, under its number. What the customer's balance holds in credit (below zero) is used first, and
/// what they owe there (above zero) is added. Returns the balance after that.
pub fn finalize(invoice: &mut Map<String, Value>, number: &str, balance: i64, at: i64) -> i64 {
    let sum = invoice["total"].as_i64().unwrap_or_default();
    let due = (sum + balance).max(0);
    let ending = sum + balance - due;
    for (name, value) in [
        ("status", json!("open")),
        ("number", json!(number)),
        ("effective_at", json!(at)),
        ("automatically_finalizes_at", Value::Null),
        ("next_payment_attempt", Value::Null),
        ("starting_balance", json!(balance)),
        ("ending_balance", json!(ending)),
    ] {
        invoice.insert(name.into(), value);
    }
    invoice["status_transitions"]["finalized_at"] = json!(at);
    set_due(invoice, due);
    ending
}

/// One attempt to collect it; `retry` is when the next one is due.
pub fn attempted(invoice: &mut Map<String, Value>, retry: Option<i64>) {
    let attempts = invoice["attempt_count"].as_i64().unwrap_or_default() + 1;
    invoice.insert("attempt_count".into(), json!(attempts));
    invoice.insert("attempted".into(), json!(true));
    invoice.insert("next_payment_attempt".into(), json!(retry));
}

/// All that was due is paid.
pub fn paid(invoice: &mut Map<String, Value>, at: i64) {
    let due = invoice["amount_due"].clone();
    invoice.insert("status".into(), json!("paid"));
    invoice.insert("amount_paid".into(), due);
    invoice.insert("amount_remaining".into(), json!(0));
    invoice["status_transitions"]["paid_at"] = json!(at);
    rest(invoice);
}

/// Ends as `void` or `uncollectible`; what was due stays written on it.
pub fn given_up(invoice: &mut Map<String, Value>, status: &str, at: i64) {
    invoice.insert("status".into(), json!(status));
    let moment = if status == "void" { "voided_at" } else { "marked_uncollectible_at" };
    invoice["status_transitions"][moment] = json!(at);
    rest(invoice);
}

/// Nothing more is done about it by itself.
pub fn rest(invoice: &mut Map<String, Value>) {
    invoice.insert("auto_advance".into(), json!(false));
    invoice.insert("automatically_finalizes_at".into(), Value::Null);
    invoice.insert("next_payment_attempt".into(), Value::Null);
}

fn set_due(invoice: &mut Map<String, Value>, due: i64) {
    invoice.insert("amount_due".into(), json!(due));
    invoice.insert("amount_remaining".into(), json!(due));
}
