//! Invoice payments: what ties an invoice to the payment intent that paid it.

use serde_json::{Value, json};

use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::payment_intents::Payment;
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::Kind;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "invoice_payments",
        permission: "rak_invoice_read",
        params: &["created<>", "ending_before", "expand[]", "invoice", "limit", "starting_after", "status"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "invoice_payments/{id}", permission: "rak_invoice_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

pub fn render(id: &str, invoice: &str, p: &Payment) -> Value {
    json!({
        "id": id,
        "object": "invoice_payment",
        "amount_paid": if p.paid { Some(p.amount) } else { None },
        "amount_requested": p.amount,
        "created": p.created,
        "currency": "eur",
        "invoice": invoice,
        "is_default": true,
        "livemode": false,
        "payment": { "payment_intent": p.intent, "type": "payment_intent" },
        "status": if p.paid { "paid" } else { "open" },
        "status_transitions": { "canceled_at": null, "paid_at": p.paid.then_some(p.created) }
    })
}

/// The payment of a person's invoice; an invoice over nothing has none.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let payment = Payment::of_person(state, person, cycle)?;
    let id = |kind| state.population.id(kind, person.number, cycle);
    Some(render(&id(Kind::InvoicePayment), &id(Kind::Invoice), &payment))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let invoice = call.params.text("invoice").map(str::to_string);
    let status = call.params.text("status").map(str::to_string);
    let mut customer = None;
    if let Some(id) = &invoice {
        let found = state.live(id, "invoice").ok_or_else(|| Failure::missing_in("invoice", "invoice", id))?;
        customer = found["customer"].as_str().map(str::to_string);
    }
    Listing {
        url: "/v1/invoice_payments",
        noun: "invoice payment",
        collection: Collection::InvoicePayments,
        customer,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Where(&|_, _| true),
        keep: &|v| invoice.as_deref().is_none_or(|i| v["invoice"] == i) && status.as_deref().is_none_or(|s| v["status"] == s),
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "invoice_payment").ok_or_else(|| Failure::missing("invoice payment", &call.id))?;
    expand::one(state, call, found)
}
