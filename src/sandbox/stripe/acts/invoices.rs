//! An invoice is drafted, finalized, given up, sent, deleted; invoice items come and go. Getting it paid is `collection.rs`.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::form::Bounds;
use super::super::resources::invoice_payments;
use super::super::resources::invoices::{self, lines, stages};
use super::super::state::State;
use super::super::timeline::Collection;
use super::{change_with_event, payments};
use crate::sandbox::population::Billing;

/// What an invoice is drafted from.
pub struct NewInvoice<'a> {
    pub customer: &'a str,
    /// The subscription it bills.
    pub subscription: Option<&'a Value>,
    /// Items of the subscription, each with the period that is billed.
    pub billed: Vec<(Value, (i64, i64))>,
    /// On trial: the items cost nothing.
    pub free: bool,
    pub currency: &'a str,
    /// The time it looks back on, in Unix seconds.
    pub period: (i64, i64),
    /// Stripe's word for `billing_reason`.
    pub reason: &'a str,
    pub pending: Pending,
}

/// Which of the customer's waiting invoice items an invoice takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    None,
    /// The subscription's, and those of no subscription.
    OfSubscription,
    /// The subscription's alone.
    OnlyOfSubscription,
    All,
}

/// Drafts an invoice, with `invoice.created`. `finish` has the last word on it before anybody sees it. Returns its id.
pub fn draft_invoice(state: &mut State, n: NewInvoice, at: DateTime<Utc>, finish: impl FnOnce(&mut Map<String, Value>)) -> String {
    let id = state.fresh("in_1", 23);
    let nothing = json!({});
    let metadata = n.subscription.map_or(&nothing, |s| &s["metadata"]);
    let mut all: Vec<Value> = Vec::new();
    for (item, period) in &n.billed {
        let line = state.fresh("il_1", 23);
        let product = item["price"]["product"].as_str().and_then(|product| state.get(product));
        let name = product.as_ref().and_then(|p| p["name"].as_str()).unwrap_or("Subscription").to_string();
        all.push(lines::of_item((&line, &id), item, &name, *period, metadata, n.free));
    }
    for item in waiting(state, n.customer, n.subscription, n.pending, n.currency) {
        let line = state.fresh("il_1", 23);
        all.push(lines::of_invoice_item((&line, &id), &item));
        state.change(item["id"].as_str().unwrap_or_default(), |item| {
            item.insert("invoice".into(), json!(id));
        });
    }
    let mut made = invoices::draft(invoices::Facts {
        id: &id,
        customer: &state.get(n.customer).unwrap_or_default(),
        subscription: n.subscription.map(|s| (s["id"].as_str().unwrap_or_default(), &s["metadata"])),
        lines: all,
        currency: n.currency,
        created: at.timestamp(),
        period: n.period,
        reason: n.reason,
    });
    if let Value::Object(invoice) = &mut made {
        if let Some(subscription) = n.subscription {
            let days = subscription["days_until_due"].as_i64();
            invoice.insert("collection_method".into(), subscription["collection_method"].clone());
            invoice.insert("due_date".into(), json!(days.map(|days| at.timestamp() + days * 86_400)));
            stages::advance(invoice, true);
        }
        finish(invoice);
    }
    state.emit("invoice.created", at, &made, None);
    state.insert(Collection::Invoices, made)
}

/// A draft becomes open, with its number, `invoice.finalized` and, where something is due, the payment that will pay it.
/// Where nothing is due it is paid at once; that is not announced here.
pub fn finalize_invoice(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(invoice) = state.live(id, "invoice").filter(|v| v["status"] == "draft") else { return };
    let customer = invoice["customer"].as_str().unwrap_or_default();
    // Nobody is left to bill where the customer was deleted.
    if state.live(customer, "customer").is_none() {
        return;
    }
    let number = next_number(state, customer);
    let balance = state.get(customer).and_then(|c| c["balance"].as_i64()).unwrap_or_default();
    let mut ending = balance;
    state.change(id, |invoice| ending = stages::finalize(invoice, &number, balance, at.timestamp()));
    change_with_event(state, customer, "customer.updated", at, |customer| {
        customer.insert("balance".into(), json!(ending));
    });
    let due = state.get(id).and_then(|v| v["amount_due"].as_i64()).unwrap_or_default();
    if due == 0 {
        emit(state, "invoice.finalized", id, at);
        state.change(id, |invoice| {
            invoice.insert("attempted".into(), json!(true));
            stages::paid(invoice, at.timestamp());
        });
        return;
    }
    open_payment(state, id, at);
    emit(state, "invoice.finalized", id, at);
}

/// Open to `void`, with its payment canceled.
pub fn void_invoice(state: &mut State, id: &str, at: DateTime<Utc>) {
    give_up(state, id, "void", "invoice.voided", at);
    cancel_payment(state, id, Some("void_invoice"), at);
}

/// Nobody can pay an invoice by its intent any more.
pub fn cancel_payment(state: &mut State, invoice: &str, reason: Option<&str>, at: DateTime<Utc>) {
    let Some(payment) = payment_of(state, invoice).filter(|payment| payment["status"] == "open") else { return };
    payments::cancel_intent(state, payment["payment"]["payment_intent"].as_str().unwrap_or_default(), reason, at);
    state.change(payment["id"].as_str().unwrap_or_default(), |payment| {
        payment.insert("status".into(), json!("canceled"));
        payment["status_transitions"]["canceled_at"] = json!(at.timestamp());
    });
}

/// Open to `uncollectible`; it can still be paid.
pub fn mark_uncollectible(state: &mut State, id: &str, at: DateTime<Utc>) {
    give_up(state, id, "uncollectible", "invoice.marked_uncollectible", at);
}

/// Tells the customer, which is all it does.
pub fn send_invoice(state: &mut State, id: &str, at: DateTime<Utc>) {
    emit(state, "invoice.sent", id, at);
}

/// A draft goes away; the invoice items on it stay with it.
pub fn delete_invoice(state: &mut State, id: &str, at: DateTime<Utc>) {
    emit(state, "invoice.deleted", id, at);
    state.replace(id, json!({ "id": id, "object": "invoice", "deleted": true }));
}

/// Adds a finished invoice item, to a draft or to what waits, with `invoiceitem.created`.
pub fn add_invoice_item(state: &mut State, mut item: Value, invoice: Option<&str>, at: DateTime<Utc>) -> String {
    item["invoice"] = json!(invoice);
    state.emit("invoiceitem.created", at, &item, None);
    let id = state.insert(Collection::InvoiceItems, item);
    if let Some(invoice) = invoice {
        relist_invoice(state, invoice, at);
    }
    id
}

pub fn delete_invoice_item(state: &mut State, item: &Value, at: DateTime<Utc>) {
    let id = item["id"].as_str().unwrap_or_default();
    state.emit("invoiceitem.deleted", at, item, None);
    state.replace(id, json!({ "id": id, "object": "invoiceitem", "deleted": true }));
    if let Some(invoice) = item["invoice"].as_str() {
        relist_invoice(state, invoice, at);
    }
}

/// Brings the lines of a draft in line with its invoice items, with `invoice.updated`.
pub fn relist_invoice(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(invoice) = state.live(id, "invoice") else { return };
    let customer = invoice["customer"].as_str().unwrap_or_default();
    let theirs = state.of_customer(Collection::InvoiceItems, customer, Bounds::ALL);
    let items: Vec<Value> =
        theirs.into_iter().filter_map(|(_, item)| state.live(&item, "invoiceitem")).filter(|item| item["invoice"] == id).collect();
    let old = invoice["lines"]["data"].as_array().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for item in &items {
        let kept = old.iter().find(|line| line["parent"]["invoice_item_details"]["invoice_item"] == item["id"]);
        let line = kept.and_then(|line| line["id"].as_str()).map(str::to_string).unwrap_or_else(|| state.fresh("il_1", 23));
        all.push(lines::of_invoice_item((&line, id), item));
    }
    all.extend(old.into_iter().filter(|line| line["parent"]["type"] == "subscription_item_details"));
    change_with_event(state, id, "invoice.updated", at, |invoice| {
        invoice["lines"]["data"] = json!(all);
        stages::total(invoice);
    });
}

/// The payment of an invoice: there is one, for all attempts.
pub fn payment_of(state: &State, invoice: &str) -> Option<Value> {
    let customer = state.get(invoice)?["customer"].as_str()?.to_string();
    let theirs = state.of_customer(Collection::InvoicePayments, &customer, Bounds::ALL);
    theirs.into_iter().filter_map(|(_, id)| state.get(&id)).find(|payment| payment["invoice"] == invoice)
}

/// Records an event about an invoice as it stands. Returns the event's id.
pub fn emit(state: &mut State, kind: &str, id: &str, at: DateTime<Utc>) -> String {
    let invoice = state.get(id).unwrap_or_default();
    state.emit(kind, at, &invoice, None)
}

/// An open invoice of a finalized amount gets its intent and what ties the two.
fn open_payment(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(invoice) = state.get(id) else { return };
    let intent = payments::intend(state, &invoice, at);
    let payment = state.fresh("inpay_1", 23);
    let made = invoice_payments::render(invoice_payments::Facts {
        id: &payment,
        invoice: id,
        intent: &intent,
        amount: invoice["amount_due"].as_i64().unwrap_or_default(),
        currency: invoice["currency"].as_str().unwrap_or_default(),
        created: at.timestamp(),
        paid: false,
    });
    state.insert(Collection::InvoicePayments, made);
    state.belongs(&payment, invoice["customer"].as_str().unwrap_or_default());
}

fn give_up(state: &mut State, id: &str, status: &str, kind: &str, at: DateTime<Utc>) {
    state.change(id, |invoice| stages::given_up(invoice, status, at.timestamp()));
    emit(state, kind, id, at);
}

/// The customer's next number. The population's customers have used one for each of their billing cycles.
fn next_number(state: &mut State, customer: &str) -> String {
    let who = state.get(customer).unwrap_or_default();
    let used = match state.population.customer_number(customer).map(|number| state.population.billing(number)) {
        Some(Billing::Paid(cycle)) => i64::from(cycle.cycle) + 1,
        _ => 0,
    };
    let sequence = who["next_invoice_sequence"].as_i64().unwrap_or(1).max(used + 1);
    state.change(customer, |customer| {
        customer.insert("next_invoice_sequence".into(), json!(sequence + 1));
    });
    format!("{}-{sequence:04}", who["invoice_prefix"].as_str().unwrap_or_default())
}

/// What waits for a subscription's next invoice.
pub fn waiting_for(state: &State, subscription: &Value, pending: Pending) -> Vec<Value> {
    let text = |name: &str| subscription[name].as_str().unwrap_or_default();
    waiting(state, text("customer"), Some(subscription), pending, text("currency"))
}

fn waiting(state: &State, customer: &str, subscription: Option<&Value>, pending: Pending, currency: &str) -> Vec<Value> {
    let theirs = state.of_customer(Collection::InvoiceItems, customer, Bounds::ALL);
    let of = |item: &Value| {
        let parent = &item["parent"]["subscription_details"]["subscription"];
        let same = subscription.is_some_and(|s| *parent == s["id"]);
        match pending {
            Pending::None => false,
            Pending::OfSubscription => same || parent.is_null(),
            Pending::OnlyOfSubscription => same,
            Pending::All => true,
        }
    };
    let live = theirs.into_iter().filter_map(|(_, id)| state.live(&id, "invoiceitem"));
    live.filter(|item| item["invoice"].is_null() && item["currency"] == currency && of(item)).collect()
}
