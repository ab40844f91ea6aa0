//! A subscription's items change in the middle of a period: prorations wait as invoice items, or are billed at once. What the request said is checked elsewhere.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::catalog;
use super::super::periods;
use super::super::resources::invoices::lines;
use super::super::resources::{invoice_items, subscriptions};
use super::super::state::State;
use super::beginning::NewItem;
use super::change_with_event;
use super::collection::{Collected, Tender, settle_invoice};
use super::invoices::{NewInvoice, Pending, add_invoice_item, draft_invoice, finalize_invoice, waiting_for};
use super::renewals;

/// What is done about the part of a period that was paid at another price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proration {
    /// Invoice items for the next invoice.
    Create,
    /// The same, on an invoice of their own, now.
    Invoice,
    None,
}

/// What happens to one item.
#[derive(Debug, Clone)]
pub enum ItemChange {
    Add(NewItem),
    /// `metadata` as a whole.
    Update {
        id: String,
        price: Option<Value>,
        quantity: Option<i64>,
        metadata: Option<Value>,
    },
    Delete(String),
}

/// A change to a subscription, checked already.
pub struct Change<F> {
    pub items: Vec<ItemChange>,
    pub proration: Proration,
    /// The moment that counts for prorations, in Unix seconds.
    pub proration_date: i64,
    /// The billing cycle begins anew.
    pub restart: bool,
    /// Whether an invoice made by this is attempted at once.
    pub attempt: bool,
    /// All else that changes, in the same event.
    pub fields: F,
}

/// Carries a change out. Returns how the invoice that it caused was collected, if it caused one and that was attempted.
pub fn change_subscription<F: FnOnce(&mut Map<String, Value>)>(
    state: &mut State,
    id: &str,
    change: Change<F>,
    at: DateTime<Utc>,
) -> Option<Collected> {
    let before = state.live(id, "subscription")?;
    let old = before["items"]["data"].as_array().cloned().unwrap_or_default();
    let new = changed(state, &before, &old, change.items, at);
    let running = ["active", "past_due", "unpaid"].iter().any(|s| before["status"] == *s);
    let new_rhythm = |item: &Value| old.iter().any(|o| o["id"] == item["id"] && !periods::same_interval(&o["price"], &item["price"]));
    let restart = running && (change.restart || new.iter().any(new_rhythm));
    if running && change.proration != Proration::None {
        prorate(state, &before, (&old, &new), restart, change.proration_date, at);
    }
    let invoice = if restart {
        Some(draft_whole(state, &before, &new, at))
    } else if change.proration == Proration::Invoice {
        draft_pending(state, &before, at)
    } else {
        None
    };
    change_with_event(state, id, "customer.subscription.updated", at, |s| {
        s["items"]["data"] = json!(new);
        s["items"]["total_count"] = json!(new.len());
        if restart {
            s.insert("billing_cycle_anchor".into(), json!(at.timestamp()));
            for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
                item["current_period_start"] = json!(at.timestamp());
                item["current_period_end"] = json!(periods::boundary_after(at.timestamp(), &item["price"], at.timestamp()));
            }
        }
        if let Some(invoice) = &invoice {
            s.insert("latest_invoice".into(), json!(invoice));
        }
        (change.fields)(s);
    });
    let invoice = invoice?;
    renewals::hold_back(state, id, &invoice, at);
    if state.get(&invoice).is_none_or(|v| v["status"] != "draft" || v["auto_advance"] != true) {
        return None;
    }
    finalize_invoice(state, &invoice, at);
    let due = state.get(&invoice).is_some_and(|v| v["status"] == "open");
    let charged = before["collection_method"] == "charge_automatically";
    ((change.attempt && charged) || !due).then(|| settle_invoice(state, &invoice, &Tender::OnFile, false, at))
}

/// Credits what was paid for and not used, for the next invoice.
pub fn credit_unused(state: &mut State, subscription: &Value, at: DateTime<Utc>) {
    let old = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    if subscription["status"] != "trialing" {
        prorate(state, subscription, (&old, &[]), false, at.timestamp(), at);
    }
}

/// Bills what waits for the subscription's next invoice, at once, if anything does.
pub fn invoice_pending(state: &mut State, subscription: &Value, at: DateTime<Utc>) {
    let Some(invoice) = draft_pending(state, subscription, at) else { return };
    state.change(subscription["id"].as_str().unwrap_or_default(), |s| {
        s.insert("latest_invoice".into(), json!(invoice));
    });
    finalize_invoice(state, &invoice, at);
    settle_invoice(state, &invoice, &Tender::OnFile, true, at);
}

/// The items as they will be.
fn changed(state: &mut State, before: &Value, old: &[Value], changes: Vec<ItemChange>, at: DateTime<Utc>) -> Vec<Value> {
    let mut items = old.to_vec();
    for change in changes {
        match change {
            ItemChange::Add(new) => {
                let id = state.fresh("si_", 14);
                let subscription = before["id"].as_str().unwrap_or_default();
                let period = period_of(before, old, &new.price, at);
                let mut made = subscriptions::item(&id, subscription, &new.price, at.timestamp(), period);
                made["quantity"] = json!(new.quantity);
                made["metadata"] = new.metadata;
                items.push(made);
            }
            ItemChange::Update { id, price, quantity, metadata } => {
                let Some(item) = items.iter_mut().find(|item| item["id"] == id.as_str()) else { continue };
                if let Some(price) = price {
                    item["plan"] = catalog::plan(&price);
                    item["price"] = price;
                }
                if let Some(quantity) = quantity {
                    item["quantity"] = json!(quantity);
                }
                if let Some(metadata) = metadata {
                    item["metadata"] = metadata;
                }
            }
            ItemChange::Delete(id) => items.retain(|item| item["id"] != id.as_str()),
        }
    }
    items
}

/// A new item shares the period of one with its rhythm; otherwise its own begins now and keeps to the anchor.
fn period_of(before: &Value, old: &[Value], price: &Value, at: DateTime<Utc>) -> (i64, i64) {
    let now = at.timestamp();
    if let Some(item) = old.iter().find(|item| before["status"] == "trialing" || periods::same_interval(&item["price"], price)) {
        return (now, item["current_period_end"].as_i64().unwrap_or(now));
    }
    (now, periods::boundary_after(before["billing_cycle_anchor"].as_i64().unwrap_or(now), price, now))
}

/// Credits for what goes, and charges for what comes, each for the rest of its period. With `restart` the new price is paid in full instead.
fn prorate(state: &mut State, subscription: &Value, (old, new): (&[Value], &[Value]), restart: bool, moment: i64, at: DateTime<Utc>) {
    let same = |a: &Value, b: &Value| a["id"] == b["id"] && a["price"]["id"] == b["price"]["id"] && a["quantity"] == b["quantity"];
    for item in old.iter().filter(|item| restart || !new.iter().any(|n| same(item, n))) {
        add_proration(state, subscription, item, item, "Unused time on", moment, at);
    }
    for item in new.iter().filter(|item| !restart && !old.iter().any(|o| same(item, o))) {
        let period = old.iter().find(|o| o["id"] == item["id"]).unwrap_or(item).clone();
        add_proration(state, subscription, item, &period, "Remaining time on", moment, at);
    }
}

/// `whole` is the item in whose period the time lies.
fn add_proration(state: &mut State, subscription: &Value, item: &Value, whole: &Value, words: &str, moment: i64, at: DateTime<Utc>) {
    let end = whole["current_period_end"].as_i64().unwrap_or_default();
    // A new item's period begins with it, although it ends with that of the others.
    let started = subscription["items"]["data"].as_array().into_iter().flatten().filter_map(|i| i["current_period_start"].as_i64()).min();
    let start = if whole["current_period_start"] == at.timestamp() { started } else { whole["current_period_start"].as_i64() };
    let start = start.unwrap_or_default();
    let moment = moment.clamp(start, end);
    let full = lines::amount_of(item);
    let share = if end > start { i128::from(full) * i128::from(end - moment) / i128::from(end - start) } else { 0 };
    let share = i64::try_from(share).unwrap_or_default();
    let amount = if words == "Unused time on" { -share } else { share };
    if amount == 0 {
        return;
    }
    let product = item["price"]["product"].as_str().and_then(|id| state.get(id)).unwrap_or_default();
    let day = DateTime::from_timestamp(moment, 0).unwrap_or(at).format("%d %b %Y");
    let times = item["quantity"].as_i64().filter(|n| *n != 1).map_or(String::new(), |n| format!("{n} × "));
    let description = format!("{words} {times}{} after {day}", product["name"].as_str().unwrap_or("item"));
    let id = state.fresh("ii_1", 23);
    let made = invoice_items::render(invoice_items::Facts {
        id: &id,
        customer: subscription["customer"].as_str().unwrap_or_default(),
        amount,
        currency: subscription["currency"].as_str().unwrap_or_default(),
        description: Some(&description),
        date: at.timestamp(),
        period: (moment, end),
        price: Some(&item["price"]),
        quantity: item["quantity"].as_i64().unwrap_or(1),
        subscription: Some((subscription["id"].as_str().unwrap_or_default(), item["id"].as_str())),
        proration: true,
        metadata: subscription["metadata"].clone(),
    });
    add_invoice_item(state, made, None, at);
}

/// The invoice of a cycle that begins now.
fn draft_whole(state: &mut State, before: &Value, items: &[Value], at: DateTime<Utc>) -> String {
    let now = at.timestamp();
    let billed = items.iter().map(|item| (item.clone(), (now, periods::boundary_after(now, &item["price"], now)))).collect();
    draft(state, before, billed, Pending::OfSubscription, at)
}

fn draft_pending(state: &mut State, subscription: &Value, at: DateTime<Utc>) -> Option<String> {
    let waiting = waiting_for(state, subscription, Pending::OnlyOfSubscription);
    (!waiting.is_empty()).then(|| draft(state, subscription, Vec::new(), Pending::OnlyOfSubscription, at))
}

fn draft(state: &mut State, subscription: &Value, billed: Vec<(Value, (i64, i64))>, pending: Pending, at: DateTime<Utc>) -> String {
    draft_invoice(
        state,
        NewInvoice {
            customer: subscription["customer"].as_str().unwrap_or_default(),
            subscription: Some(subscription),
            billed,
            free: false,
            currency: subscription["currency"].as_str().unwrap_or_default(),
            period: (at.timestamp(), at.timestamp()),
            reason: "subscription_update",
            pending,
        },
        at,
        |_| {},
    )
}
