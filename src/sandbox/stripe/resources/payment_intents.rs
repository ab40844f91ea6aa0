//! Payment intents of invoices: what a payment is made of, the intent's shape, list and retrieval.

use serde_json::{Value, json};

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, invoices};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::Kind;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "payment_intents",
        permission: "rak_payment_intent_read",
        params: &["created<>", "customer", "ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "GET",
        path: "payment_intents/{id}",
        permission: "rak_payment_intent_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
];

/// One attempt to collect an invoice: an intent and its charge.
pub struct Payment {
    pub intent: String,
    pub charge: String,
    pub customer: Value,
    pub amount: i64,
    pub created: i64,
    /// False: the card was declined.
    pub paid: bool,
    /// Whether the invoice is the subscription's first.
    pub first: bool,
}

impl Payment {
    /// The payment of a person's invoice; an invoice over nothing has none.
    pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Self> {
        let paid = person.plan.as_ref().filter(|p| p.status != "trialing")?;
        let id = |kind| state.population.id(kind, person.number, cycle);
        let (_, amount, _) = catalog::price(paid.price, state.population.born())?;
        Some(Self {
            intent: id(Kind::PaymentIntent),
            charge: id(Kind::Charge),
            customer: customers::of_person(person),
            amount,
            created: paid.interval.after(paid.started, u32::from(cycle)).timestamp(),
            paid: invoices::is_paid(paid.status, cycle, paid.cycle),
            first: cycle == 0,
        })
    }

    pub fn description(&self) -> &'static str {
        if self.first { "Subscription creation" } else { "Subscription update" }
    }
}

pub fn render(p: &Payment) -> Value {
    let declined = json!({
        "charge": p.charge,
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "doc_url": "https://stripe.com/docs/error-codes/card-declined",
        "message": "Your card has insufficient funds.",
        "type": "card_error"
    });
    let head = json!({
        "id": p.intent,
        "object": "payment_intent",
        "amount": p.amount,
        "allowed_payment_method_types": null,
        "amount_capturable": 0,
        "amount_received": if p.paid { p.amount } else { 0 },
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": "automatic",
        "client_secret": format!("{}_secret_sandbox", p.intent),
        "confirmation_method": "automatic",
        "created": p.created,
        "currency": "eur",
        "customer": p.customer["id"],
        "customer_account": null,
        "description": p.description(),
        "excluded_payment_method_types": null
    });
    let rest = json!({
        "last_payment_error": if p.paid { Value::Null } else { declined },
        "latest_charge": p.charge,
        "livemode": false,
        "managed_payments": null,
        "metadata": {},
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_configuration_details": null,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_record": null,
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": "off_session",
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": if p.paid { "succeeded" } else { "requires_payment_method" },
        "transfer_data": null,
        "transfer_group": null
    });
    super::merged([head, rest])
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    Listing {
        url: "/v1/payment_intents",
        noun: "payment_intent",
        collection: Collection::PaymentIntents,
        customer: customers::check_parameter(state, call)?,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Where(&|_, _| true),
        keep: &|_| true,
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "payment_intent").ok_or_else(|| Failure::missing("payment_intent", &call.id))?;
    expand::one(state, call, found)
}
