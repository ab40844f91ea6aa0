//! Invoices: their shape, those of the population, list and retrieval. What else is asked of them is in `requests`.

pub mod lines;
mod requests;
pub mod stages;

use serde_json::{Value, json};

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, fields, subscriptions};
use crate::sandbox::population::ids::Kind;
use crate::sandbox::population::{Billing, PAST_DUE_DAYS, Person};

const READ: &str = "rak_invoice_read";
const WRITE: &str = "rak_invoice_write";

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "invoices",
        permission: READ,
        params: &[
            "collection_method",
            "created<>",
            "customer",
            "due_date<>",
            "ending_before",
            "expand[]",
            "limit",
            "starting_after",
            "status",
            "subscription",
        ],
        run: Run::Read(list),
    },
    Route { method: "POST", path: "invoices", permission: WRITE, params: requests::CREATE, run: Run::Write(requests::create) },
    Route { method: "GET", path: "invoices/{id}", permission: READ, params: &["expand[]"], run: Run::Read(retrieve) },
    Route { method: "POST", path: "invoices/{id}", permission: WRITE, params: requests::UPDATE, run: Run::Write(requests::update) },
    Route { method: "DELETE", path: "invoices/{id}", permission: WRITE, params: &[], run: Run::Write(requests::delete) },
    Route {
        method: "GET",
        path: "invoices/{id}/lines",
        permission: READ,
        params: &["ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(lines::page),
    },
    Route {
        method: "POST",
        path: "invoices/{id}/finalize",
        permission: WRITE,
        params: &["auto_advance", "expand[]"],
        run: Run::Write(requests::finalize),
    },
    Route {
        method: "POST",
        path: "invoices/{id}/pay",
        permission: WRITE,
        params: &["expand[]", "off_session", "paid_out_of_band", "payment_method"],
        run: Run::Write(requests::pay),
    },
    Route { method: "POST", path: "invoices/{id}/void", permission: WRITE, params: &["expand[]"], run: Run::Write(requests::void) },
    Route {
        method: "POST",
        path: "invoices/{id}/mark_uncollectible",
        permission: WRITE,
        params: &["expand[]"],
        run: Run::Write(requests::mark_uncollectible),
    },
    Route { method: "POST", path: "invoices/{id}/send", permission: WRITE, params: &["expand[]"], run: Run::Write(requests::send) },
];

/// What a draft is made of.
pub struct Facts<'a> {
    pub id: &'a str,
    pub customer: &'a Value,
    /// The subscription it bills, and that one's metadata.
    pub subscription: Option<(&'a str, &'a Value)>,
    pub lines: Vec<Value>,
    pub currency: &'a str,
    pub created: i64,
    pub period: (i64, i64),
    /// Stripe's word: `subscription_create`, `subscription_cycle`, `subscription_update`, `manual`.
    pub reason: &'a str,
}

/// A draft that nobody has said anything about yet: charged automatically, not moving on by itself.
pub fn draft(f: Facts) -> Value {
    let parent = f.subscription.map(|(id, metadata)| {
        json!({
            "quote_details": null,
            "subscription_details": { "metadata": metadata, "subscription": id },
            "type": "subscription_details"
        })
    });
    let head = json!({
        "id": f.id,
        "object": "invoice",
        "account_country": "DE",
        "account_name": super::account::DISPLAY_NAME,
        "account_tax_ids": null,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_shipping": 0,
        "application": null,
        "attempt_count": 0,
        "attempted": false,
        "auto_advance": false,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null },
        "automatically_finalizes_at": null,
        "billing_reason": f.reason,
        "collection_method": "charge_automatically",
        "created": f.created,
        "currency": f.currency,
        "custom_fields": null
    });
    let who = json!({
        "customer": f.customer["id"],
        "customer_account": null,
        "customer_address": f.customer["address"],
        "customer_email": f.customer["email"],
        "customer_name": f.customer["name"],
        "customer_phone": f.customer["phone"],
        "customer_shipping": f.customer["shipping"],
        "customer_tax_exempt": f.customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "due_date": null,
        "effective_at": null,
        "ending_balance": null,
        "footer": null,
        "from_invoice": null,
        "hosted_invoice_url": null,
        "invoice_pdf": null,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null
    });
    let rest = json!({
        "lines": null,
        "livemode": false,
        "metadata": {},
        "next_payment_attempt": null,
        "number": null,
        "on_behalf_of": null,
        "parent": parent,
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": f.period.1,
        "period_start": f.period.0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": null,
        "rendering": null,
        "shipping_cost": null,
        "shipping_details": null,
        "starting_balance": 0,
        "statement_descriptor": null,
        "status": "draft",
        "status_transitions": { "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null },
        "test_clock": null,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": f.created
    });
    let mut made = super::merged([head, who, rest]);
    // Within the macro they would be copied, and every list of invoices made of copies.
    made["lines"] = listing::inner(format!("/v1/invoices/{}/lines", f.id), f.lines);
    if let Value::Object(made) = &mut made {
        stages::total(made);
    }
    made
}

/// Whether the population's invoice of that cycle was paid.
pub fn is_paid(status: &str, cycle: u8, last: u8) -> bool {
    status != "past_due" || cycle < last
}

/// A person's invoice as it stands at the start.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    as_of(state, person, cycle, state.population.born().timestamp())
}

/// The same as it stood at a moment after it was made. Only the first of the declined attempts is told.
pub fn as_of(state: &State, person: &Person, cycle: u8, now: i64) -> Option<Value> {
    let paid = person.plan.as_ref()?;
    let born = state.population.born();
    let (price, _, _) = catalog::price(paid.price, born)?;
    let product = catalog::find(price["product"].as_str()?, born)?;
    let customer = customers::of_person(person);
    let boundary = |n: u8| paid.interval.after(paid.started, u32::from(n)).timestamp();
    let start = boundary(cycle);
    let end = if cycle == paid.cycle { paid.period_end.timestamp() } else { boundary(cycle + 1) };
    let id = state.population.id(Kind::Invoice, person.number, cycle);
    let line = state.population.id(Kind::InvoiceLine, person.number, cycle);
    let item = subscriptions::item(&paid.item, &paid.subscription, &price, paid.started.timestamp(), (start, end));
    let metadata = state.profile_metadata(person);
    let name = product["name"].as_str().unwrap_or_default();
    // A trial begins with an invoice over nothing.
    let line = lines::of_item((&line, &id), &item, name, (start, end), &metadata, paid.status == "trialing");
    let mut made = draft(Facts {
        id: &id,
        customer: &customer,
        subscription: Some((&paid.subscription, &metadata)),
        lines: vec![line],
        currency: "eur",
        created: start,
        period: (cycle.checked_sub(1).map_or(start, boundary), start),
        reason: if cycle == 0 { "subscription_create" } else { "subscription_cycle" },
    });
    if let Value::Object(invoice) = &mut made {
        let number = format!("{}-{:04}", customer["invoice_prefix"].as_str().unwrap_or_default(), u32::from(cycle) + 1);
        stages::finalize(invoice, &number, 0, start);
        if is_paid(paid.status, cycle, paid.cycle) {
            stages::attempted(invoice, None);
            stages::paid(invoice, start);
        } else {
            stages::attempted(invoice, stages::retry_later_than(now, start));
            invoice.insert("auto_advance".into(), json!(true));
        }
    }
    Some(made)
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let text = |name| call.params.text(name).map(str::to_string);
    let status = text("status");
    if let Some(word) = status.as_deref().filter(|w| !["draft", "open", "void", "paid", "uncollectible"].contains(w)) {
        let text = format!("Invalid status: must be one of draft, open, void, paid, or uncollectible (you passed {word})");
        return Err(Failure::new(400, text).param("status"));
    }
    let method = fields::one_of(&call.params, "collection_method", &["charge_automatically", "send_invoice"])?;
    let due = call.params.map("due_date").is_some() || call.params.text("due_date").is_some();
    let due = if due { Some(call.params.bounds("due_date")?) } else { None };
    let mut customer = customers::check_parameter(state, call)?;
    let subscription = text("subscription");
    if let Some(id) = &subscription {
        let found = state.live(id, "subscription").ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
        customer = customer.or_else(|| found["customer"].as_str().map(str::to_string));
    }
    // Only the last invoice of someone past due is open in the population; all others are paid, and none is sent.
    let past_due = |n: u64, billing: Billing| state.is_touched(n) || matches!(billing, Billing::Paid(c) if c.status == "past_due");
    let people = match status.as_deref() {
        _ if due.is_some() || method == Some("send_invoice") => People::Only(state.touched_and(None)),
        None | Some("paid") => People::Where(&|_, _| true),
        // And nobody is past due for longer than that.
        Some("open") => People::Since(state.population.born().timestamp() - PAST_DUE_DAYS * 86_400, &past_due),
        Some(_) => People::Only(state.touched_and(None)),
    };
    Listing {
        url: "/v1/invoices",
        noun: "invoice",
        collection: Collection::Invoices,
        customer,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people,
        keep: &|v| {
            status.as_deref().is_none_or(|s| v["status"] == s)
                && method.is_none_or(|m| v["collection_method"] == m)
                && due.is_none_or(|bounds| v["due_date"].as_i64().is_some_and(|at| bounds.contain(at)))
                && subscription.as_deref().is_none_or(|s| v["parent"]["subscription_details"]["subscription"] == s)
        },
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "invoice").ok_or_else(|| Failure::missing("invoice", &call.id).param("invoice"))?;
    expand::one(state, call, found)
}
