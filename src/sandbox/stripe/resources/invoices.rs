//! Invoices of subscriptions: their shape, list and retrieval.

use serde_json::{Value, json};

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::customers;
use crate::sandbox::population::ids::Kind;
use crate::sandbox::population::{Billing, PAST_DUE_DAYS, Person};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "invoices",
        permission: "rak_invoice_read",
        params: &["created<>", "customer", "ending_before", "expand[]", "limit", "starting_after", "status", "subscription"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "invoices/{id}", permission: "rak_invoice_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

/// What an invoice is made of; it has one line, for one period of one item.
pub struct Facts<'a> {
    pub id: &'a str,
    pub line: &'a str,
    pub number: String,
    pub customer: &'a Value,
    pub subscription: &'a str,
    pub item: &'a str,
    pub price: &'a Value,
    pub amount: i64,
    pub period: (i64, i64),
    pub created: i64,
    pub paid: bool,
    /// `subscription_create` or `subscription_cycle`.
    pub reason: &'a str,
    pub metadata: Value,
}

pub fn render(f: Facts) -> Value {
    let open = if f.paid { 0 } else { f.amount };
    let line = json!({
        "id": f.line,
        "object": "line_item",
        "amount": f.amount,
        "currency": "eur",
        "description": format!("1 × {} (per {})", f.price["product"].as_str().unwrap_or("item"), f.price["recurring"]["interval"].as_str().unwrap_or("month")),
        "discount_amounts": [],
        "discountable": true,
        "discounts": [],
        "invoice": f.id,
        "livemode": false,
        "metadata": f.metadata,
        "parent": {
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": null,
                "proration": false,
                "proration_details": { "credited_items": null },
                "subscription": f.subscription,
                "subscription_item": f.item
            },
            "type": "subscription_item_details"
        },
        "period": { "end": f.period.1, "start": f.period.0 },
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": { "price": f.price["id"], "product": f.price["product"] },
            "type": "price_details",
            "unit_amount_decimal": f.price["unit_amount_decimal"]
        },
        "quantity": 1,
        "quantity_decimal": "1",
        "subscription": f.subscription,
        "subtotal": f.amount,
        "taxes": []
    });
    let head = json!({
        "id": f.id,
        "object": "invoice",
        "account_country": "DE",
        "account_name": super::account::DISPLAY_NAME,
        "account_tax_ids": null,
        "amount_due": f.amount,
        "amount_overpaid": 0,
        "amount_paid": f.amount - open,
        "amount_remaining": open,
        "amount_shipping": 0,
        "application": null,
        "attempt_count": 1,
        "attempted": true,
        "auto_advance": !f.paid,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null },
        "automatically_finalizes_at": null,
        "billing_reason": f.reason,
        "collection_method": "charge_automatically",
        "created": f.created,
        "currency": "eur",
        "custom_fields": null
    });
    let who = json!({
        "customer": f.customer["id"],
        "customer_account": null,
        "customer_address": null,
        "customer_email": f.customer["email"],
        "customer_name": f.customer["name"],
        "customer_phone": null,
        "customer_shipping": null,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "due_date": null,
        "effective_at": f.created,
        "ending_balance": 0,
        "footer": null,
        "from_invoice": null,
        "hosted_invoice_url": null,
        "invoice_pdf": null,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null,
    });
    let rest = json!({
        "lines": listing::inner(format!("/v1/invoices/{}/lines", f.id), vec![line]),
        "livemode": false,
        "metadata": {},
        "next_payment_attempt": if f.paid { None } else { Some(f.created + 3 * 86_400) },
        "number": f.number,
        "on_behalf_of": null,
        "parent": {
            "quote_details": null,
            "subscription_details": { "metadata": f.metadata, "subscription": f.subscription },
            "type": "subscription_details"
        },
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": f.created,
        "period_start": f.created,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": null,
        "rendering": null,
        "shipping_cost": null,
        "shipping_details": null,
        "starting_balance": 0,
        "statement_descriptor": null,
        "status": if f.paid { "paid" } else { "open" },
        "status_transitions": {
            "finalized_at": f.created,
            "marked_uncollectible_at": null,
            "paid_at": f.paid.then_some(f.created),
            "voided_at": null
        },
        "subtotal": f.amount,
        "subtotal_excluding_tax": f.amount,
        "test_clock": null,
        "total": f.amount,
        "total_discount_amounts": [],
        "total_excluding_tax": f.amount,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": f.created
    });
    super::merged([head, who, rest])
}

/// Whether the population's invoice of that cycle was paid.
pub fn is_paid(status: &str, cycle: u8, last: u8) -> bool {
    status != "past_due" || cycle < last
}

pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let paid = person.plan.as_ref()?;
    let born = state.population.born();
    let (price, amount, _) = catalog::price(paid.price, born)?;
    let customer = customers::of_person(person);
    let start = paid.interval.after(paid.started, u32::from(cycle));
    let end = if cycle == paid.cycle { paid.period_end } else { paid.interval.after(paid.started, u32::from(cycle) + 1) };
    Some(render(Facts {
        id: &state.population.id(Kind::Invoice, person.number, cycle),
        line: &state.population.id(Kind::InvoiceLine, person.number, cycle),
        number: format!("{}-{:04}", customer["invoice_prefix"].as_str().unwrap_or_default(), u32::from(cycle) + 1),
        customer: &customer,
        subscription: &paid.subscription,
        item: &paid.item,
        price: &price,
        // A trial begins with an invoice over nothing.
        amount: if paid.status == "trialing" { 0 } else { amount },
        period: (start.timestamp(), end.timestamp()),
        created: start.timestamp(),
        paid: is_paid(paid.status, cycle, paid.cycle),
        reason: if cycle == 0 { "subscription_create" } else { "subscription_cycle" },
        metadata: state.profile_metadata(person),
    }))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let status = call.params.text("status").map(str::to_string);
    if let Some(word) = status.as_deref().filter(|w| !["draft", "open", "paid", "uncollectible", "void"].contains(w)) {
        let text = format!("Invalid status: must be one of draft, open, paid, uncollectible, or void (you passed {word})");
        return Err(Failure::new(400, text).param("status"));
    }
    let mut customer = customers::check_parameter(state, call)?;
    let subscription = call.params.text("subscription").map(str::to_string);
    if let Some(id) = &subscription {
        let found = state.live(id, "subscription").ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
        customer = customer.or_else(|| found["customer"].as_str().map(str::to_string));
    }
    // Only the last invoice of someone past due is open in the population; all others are paid.
    let past_due = |n: u64, billing: Billing| state.is_touched(n) || matches!(billing, Billing::Paid(c) if c.status == "past_due");
    let people = match status.as_deref() {
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
                && subscription.as_deref().is_none_or(|s| v["parent"]["subscription_details"]["subscription"] == s)
        },
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "invoice").ok_or_else(|| Failure::missing("invoice", &call.id))?;
    expand::one(state, call, found)
}
