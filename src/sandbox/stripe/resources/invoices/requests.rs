//! What is asked of an invoice: to be made, changed, finalized, paid, voided, marked, sent, deleted; and what Stripe refuses about it.

use serde_json::{Map, Value, json};

use super::super::super::acts::{self, Collected, NewInvoice, Pending, Tender};
use super::super::super::expand;
use super::super::super::failure::Failure;
use super::super::super::route::Call;
use super::super::super::state::State;
use super::super::{fields, payment_methods};
use super::stages;

pub const CREATE: &[&str] = &[
    "auto_advance",
    "collection_method",
    "currency",
    "customer",
    "days_until_due",
    "default_payment_method",
    "description",
    "due_date",
    "expand[]",
    "footer",
    "metadata{}",
    "pending_invoice_items_behavior",
    "statement_descriptor",
    "subscription",
];

pub const UPDATE: &[&str] = &[
    "auto_advance",
    "collection_method",
    "days_until_due",
    "default_payment_method",
    "description",
    "due_date",
    "expand[]",
    "footer",
    "metadata{}",
    "statement_descriptor",
];

const DAY: i64 = 86_400;
const NOT_OPEN: &str = "You can only pass in open invoices. This invoice isn't open.";

/// What of a draft a request sets, checked.
struct Wishes {
    advance: Option<bool>,
    method: Option<String>,
    sent: Option<bool>,
    due: Option<i64>,
}

pub fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let subscription = match p.text("subscription") {
        Some(id) => {
            let found = state.live(id, "subscription").filter(|v| p.text("customer").is_none_or(|c| v["customer"] == c));
            Some(found.ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?)
        }
        None => None,
    };
    let customer = p.text("customer").or_else(|| subscription.as_ref().and_then(|s| s["customer"].as_str()));
    let customer = customer.ok_or_else(|| Failure::missing_parameter("customer"))?.to_string();
    let who = state.live(&customer, "customer").ok_or_else(|| Failure::missing_in("customer", "customer", &customer))?;
    let wishes = wishes(state, call, &customer, "charge_automatically")?;
    let include = fields::one_of(p, "pending_invoice_items_behavior", &["exclude", "include"])? == Some("include");
    let pending = match &subscription {
        Some(_) => Pending::OnlyOfSubscription,
        None if include => Pending::All,
        None => Pending::None,
    };
    let given = p.text("currency").map(str::to_lowercase);
    let currency = [given.as_deref(), subscription.as_ref().and_then(|s| s["currency"].as_str()), who["currency"].as_str()];
    let currency = currency.into_iter().flatten().next().unwrap_or("eur").to_string();
    let now = call.now.timestamp();
    let new = NewInvoice {
        customer: &customer,
        subscription: subscription.as_ref(),
        billed: Vec::new(),
        free: false,
        currency: &currency,
        period: (now, now),
        reason: if subscription.is_some() { "subscription_update" } else { "manual" },
        pending,
    };
    let id = acts::draft_invoice(state, new, call.now, |invoice| {
        stages::advance(invoice, false);
        apply(invoice, call, &wishes);
    });
    answer(state, call, &id)
}

pub fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = found(state, call)?;
    if found["status"] != "draft" {
        let free = ["auto_advance", "expand", "metadata"];
        if let Some(name) = call.params.names().find(|name| !free.contains(name)) {
            return Err(Failure::new(400, "Finalized invoices can't be updated in this way").param(name));
        }
    }
    let method = found["collection_method"].as_str().unwrap_or_default();
    let wishes = wishes(state, call, found["customer"].as_str().unwrap_or_default(), method)?;
    acts::change_with_event(state, &call.id, "invoice.updated", call.now, |invoice| apply(invoice, call, &wishes));
    answer(state, call, &call.id)
}

pub fn finalize(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = found(state, call)?;
    check_customer(state, &found)?;
    let advance = call.params.boolean("auto_advance")?;
    if found["status"] != "draft" {
        return Err(Failure::new(400, "This invoice is already finalized, you can't re-finalize a non-draft invoice."));
    }
    state.change(&call.id, |invoice| {
        if let Some(advance) = advance {
            invoice.insert("auto_advance".into(), json!(advance));
        }
    });
    acts::finalize_invoice(state, &call.id, call.now);
    let now = state.get(&call.id).unwrap_or_default();
    if now["status"] == "paid" {
        acts::settle_invoice(state, &call.id, &Tender::OnFile, true, call.now);
    } else if now["auto_advance"] == true && now["collection_method"] == "charge_automatically" {
        // It is collected by itself within the hour.
        state.change(&call.id, |invoice| {
            invoice.insert("next_payment_attempt".into(), json!(call.now.timestamp() + stages::DRAFT_SECONDS));
        });
    }
    answer(state, call, &call.id)
}

pub fn pay(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = found(state, call)?;
    check_customer(state, &found)?;
    let outside = call.params.boolean("paid_out_of_band")? == Some(true);
    let off_session = call.params.boolean("off_session")? == Some(true);
    match found["status"].as_str() {
        Some("paid") => return Err(Failure::new(400, "Invoice is already paid")),
        Some("void") => return Err(Failure::new(400, "Voided invoices cannot be paid.")),
        _ => {}
    }
    let customer = found["customer"].as_str().unwrap_or_default();
    let tender = match call.params.text("payment_method") {
        _ if outside => Tender::OutOfBand,
        None => Tender::OnFile,
        Some(id) => {
            let method = payment_methods::named(state, "payment_method", id, call.now)?;
            if method["customer"].as_str().is_some_and(|owner| owner != customer) {
                let text = "The payment method supplied does not belong to the invoice's customer.";
                return Err(Failure::new(400, text).param("payment_method"));
            }
            Tender::Method(method["id"].as_str().unwrap_or_default().to_string())
        }
    };
    if tender == Tender::OnFile && found["amount_remaining"] != 0 && acts::on_file(state, &found).is_none() {
        return Err(acts::no_method());
    }
    acts::finalize_invoice(state, &call.id, call.now);
    match acts::settle_invoice(state, &call.id, &tender, off_session, call.now) {
        Collected::Paid => answer(state, call, &call.id),
        Collected::Declined(why) | Collected::ActionRequired(why) => Err(*why),
    }
}

pub fn void(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = found(state, call)?;
    match found["status"].as_str() {
        Some("open") => {}
        Some("paid") => return Err(Failure::new(400, "Invoices with `paid` payments cannot be voided.")),
        _ => return Err(Failure::new(400, NOT_OPEN)),
    }
    acts::void_invoice(state, &call.id, call.now);
    answer(state, call, &call.id)
}

pub fn mark_uncollectible(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = found(state, call)?;
    match found["status"].as_str() {
        Some("open") => {}
        Some("uncollectible") => return Err(Failure::new(400, "This invoice has already been marked uncollectible.")),
        _ => return Err(Failure::new(400, NOT_OPEN)),
    }
    acts::mark_uncollectible(state, &call.id, call.now);
    answer(state, call, &call.id)
}

pub fn send(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let missing = || Failure::missing("invoice", &call.id).param("invoice");
    let found = state.live(&call.id, "invoice").ok_or_else(missing)?;
    if found["collection_method"] != "send_invoice" {
        return Err(Failure::new(400, "You can only manually send an invoice if its collection method is 'send_invoice'."));
    }
    if found["status"] != "draft" && found["status"] != "open" {
        let text =
            "This invoice cannot be sent right now. Please contact us via https://support.stripe.com/contact with details, so we can help.";
        return Err(Failure::new(400, text));
    }
    check_customer(state, &found)?;
    acts::finalize_invoice(state, &call.id, call.now);
    if state.get(&call.id).is_some_and(|v| v["status"] == "paid") {
        acts::settle_invoice(state, &call.id, &Tender::OnFile, true, call.now);
    } else {
        acts::send_invoice(state, &call.id, call.now);
    }
    answer(state, call, &call.id)
}

pub fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let missing = || Failure::missing("invoice", &call.id).param("invoice");
    let found = state.live(&call.id, "invoice").ok_or_else(missing)?;
    if found["status"] != "draft" {
        return Err(Failure::new(400, "You can only delete draft invoices."));
    }
    if !found["parent"].is_null() {
        return Err(Failure::new(400, "You can't delete invoices created by subscriptions."));
    }
    acts::delete_invoice(state, &call.id, call.now);
    Ok(state.get(&call.id).unwrap_or_default())
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "invoice").ok_or_else(|| Failure::missing("invoice", &call.id))
}

/// Nothing can be asked of a customer who was deleted.
fn check_customer(state: &State, invoice: &Value) -> Result<(), Failure> {
    let id = invoice["customer"].as_str().unwrap_or_default();
    state.live(id, "customer").map(|_| ()).ok_or_else(|| Failure::missing_in("customer", "customer", id))
}

fn answer(state: &State, call: &Call, id: &str) -> Result<Value, Failure> {
    expand::one(state, call, state.get(id).unwrap_or_default())
}

/// `before` is the collection method that holds where the request names none.
fn wishes(state: &State, call: &Call, customer: &str, before: &str) -> Result<Wishes, Failure> {
    let p = &call.params;
    let named = fields::one_of(p, "collection_method", &["charge_automatically", "send_invoice"])?;
    let sent = named.unwrap_or(before) == "send_invoice";
    let days = fields::within(p, "days_until_due", 0, 1_000)?;
    let date = p.integer("due_date")?;
    match (sent, days, date) {
        (_, Some(_), Some(_)) => {
            return Err(Failure::new(400, "You may only specify one of these parameters: days_until_due, due_date.").param("due_date"));
        }
        (true, None, None) if named.is_some() => {
            let text = "If invoice collection method is 'send_invoice', you must specify 'due_date' or 'days_until_due'.";
            return Err(Failure::new(400, text));
        }
        (false, None, None) | (true, _, _) => {}
        (false, _, _) => {
            let text = "You can only specify 'due_date' or 'days_until_due' if invoice collection method is 'send_invoice'.";
            return Err(Failure::new(400, text));
        }
    }
    if date.is_some_and(|at| at < call.now.timestamp()) {
        return Err(Failure::new(400, "The due date of an invoice must be in the future.").param("due_date"));
    }
    let method = p.text("default_payment_method").filter(|id| !id.is_empty());
    if let Some(id) = method.filter(|id| !state.live(id, "payment_method").is_some_and(|m| m["customer"] == customer)) {
        let text =
            format!("The customer does not have a payment method with the ID {id}. The payment method must be attached to the customer.");
        return Err(Failure::new(400, text).code("resource_missing").param("default_payment_method"));
    }
    Ok(Wishes {
        advance: p.boolean("auto_advance")?,
        method: method.map(str::to_string),
        sent: named.map(|word| word == "send_invoice"),
        due: date.or(days.map(|days| call.now.timestamp() + days * DAY)),
    })
}

fn apply(invoice: &mut Map<String, Value>, call: &Call, wishes: &Wishes) {
    let p = &call.params;
    fields::texts(invoice, p, &["description", "footer", "statement_descriptor"]);
    if let Some(sent) = wishes.sent {
        invoice.insert("collection_method".into(), json!(if sent { "send_invoice" } else { "charge_automatically" }));
        if !sent {
            invoice.insert("due_date".into(), Value::Null);
        }
    }
    if wishes.due.is_some() {
        invoice.insert("due_date".into(), json!(wishes.due));
    }
    if wishes.method.is_some() || p.text("default_payment_method") == Some("") {
        invoice.insert("default_payment_method".into(), json!(wishes.method));
    }
    match wishes.advance {
        Some(advance) if invoice["status"] == "draft" => stages::advance(invoice, advance),
        Some(advance) => {
            invoice.insert("auto_advance".into(), json!(advance));
            if !advance {
                stages::rest(invoice);
            }
        }
        None => {}
    }
    acts::merge_metadata(invoice, p.map("metadata"), p.text("metadata"));
}
