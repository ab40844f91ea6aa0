//! Invoice payments: what ties an invoice to the payment intent that paid it.

use serde_json::{Value, json};

use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::fields;
use super::payment_intents::Payment;
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::Kind;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "invoice_payments",
        permission: "rak_invoice_read",
        params: &[
            "created<>",
            "ending_before",
            "expand[]",
            "invoice",
            "limit",
            "payment.payment_intent",
            "payment.type",
            "starting_after",
            "status",
        ],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "invoice_payments/{id}", permission: "rak_invoice_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

/// What ties an invoice to an intent.
pub struct Facts<'a> {
    pub id: &'a str,
    pub invoice: &'a str,
    pub intent: &'a str,
    pub amount: i64,
    pub currency: &'a str,
    pub created: i64,
    pub paid: bool,
}

pub fn render(f: Facts) -> Value {
    json!({
        "id": f.id,
        "object": "invoice_payment",
        "amount_paid": f.paid.then_some(f.amount),
        "amount_requested": f.amount,
        "created": f.created,
        "currency": f.currency,
        "invoice": f.invoice,
        "is_default": true,
        "livemode": false,
        "payment": { "payment_intent": f.intent, "type": "payment_intent" },
        "status": if f.paid { "paid" } else { "open" },
        "status_transitions": { "canceled_at": null, "paid_at": f.paid.then_some(f.created) }
    })
}

/// The payment of a person's invoice; an invoice over nothing has none.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let payment = Payment::of_person(state, person, cycle)?;
    let id = |kind| state.population.id(kind, person.number, cycle);
    Some(render(Facts {
        id: &id(Kind::InvoicePayment),
        invoice: &id(Kind::Invoice),
        intent: &payment.intent,
        amount: payment.amount,
        currency: "eur",
        created: payment.created,
        paid: payment.paid,
    }))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let status = fields::one_of(p, "status", &["canceled", "open", "paid"])?;
    let (invoice, intent) = (p.text("invoice"), p.text("payment.payment_intent"));
    match fields::one_of(p, "payment.type", &["payment_intent", "payment_record"])? {
        None if intent.is_some() => return Err(Failure::missing_parameter("payment[type]")),
        Some("payment_intent") if intent.is_none() => return Err(Failure::missing_parameter("payment[payment_intent]")),
        _ => {}
    }
    let mut customer = None;
    for (param, noun, id) in [("invoice", "invoice", invoice), ("payment[payment_intent]", "payment_intent", intent)] {
        if let Some(id) = id {
            let found = state.live(id, noun).ok_or_else(|| Failure::missing_in(param, noun, id))?;
            customer = customer.or_else(|| found["customer"].as_str().map(str::to_string));
        }
    }
    // An intent of nobody's pays no invoice.
    let people = if intent.is_some() { People::Only(Vec::new()) } else { People::Where(&|_, _| true) };
    Listing {
        url: "/v1/invoice_payments",
        noun: "invoice payment",
        collection: Collection::InvoicePayments,
        customer,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people,
        keep: &|v| {
            invoice.is_none_or(|i| v["invoice"] == i)
                && intent.is_none_or(|i| v["payment"]["payment_intent"] == i)
                && status.is_none_or(|s| v["status"] == s)
        },
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "invoice_payment").ok_or_else(|| Failure::missing("invoice payment", &call.id))?;
    expand::one(state, call, found)
}
