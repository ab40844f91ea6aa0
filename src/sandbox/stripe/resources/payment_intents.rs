//! Payment intents: their shape, what becomes of it with an attempt to pay, list and retrieval. Making and confirming them is `writes.rs`.

mod writes;

pub use writes::money;

use serde_json::{Map, Value, json};

use super::super::cards::Decline;
use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, invoices, payment_methods};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::{Kind, digits, mix};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "payment_intents",
        permission: "rak_payment_intent_read",
        params: &["created<>", "customer", "ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "payment_intents",
        permission: "rak_payment_intent_write",
        params: &[
            "allowed_payment_method_types[]",
            "amount",
            "automatic_payment_methods.allow_redirects",
            "automatic_payment_methods.enabled",
            "capture_method",
            "confirm",
            "confirmation_method",
            "currency",
            "customer",
            "description",
            "error_on_requires_action",
            "expand[]",
            "metadata{}",
            "off_session",
            "payment_details.customer_reference",
            "payment_details.order_reference",
            "payment_method",
            "receipt_email",
            "return_url",
            "setup_future_usage",
            "statement_descriptor",
            "statement_descriptor_suffix",
            "use_stripe_sdk",
        ],
        run: Run::Write(writes::create),
    },
    Route {
        method: "GET",
        path: "payment_intents/{id}",
        permission: "rak_payment_intent_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
    Route {
        method: "POST",
        path: "payment_intents/{id}",
        permission: "rak_payment_intent_write",
        params: &[
            "amount",
            "capture_method",
            "currency",
            "customer",
            "description",
            "expand[]",
            "metadata{}",
            "payment_details.customer_reference",
            "payment_details.order_reference",
            "payment_method",
            "receipt_email",
            "setup_future_usage",
            "statement_descriptor",
            "statement_descriptor_suffix",
        ],
        run: Run::Write(writes::update),
    },
    Route {
        method: "POST",
        path: "payment_intents/{id}/confirm",
        permission: "rak_payment_intent_write",
        params: &[
            "capture_method",
            "error_on_requires_action",
            "expand[]",
            "off_session",
            "payment_method",
            "receipt_email",
            "return_url",
            "setup_future_usage",
            "use_stripe_sdk",
        ],
        run: Run::Write(writes::confirm),
    },
    Route {
        method: "POST",
        path: "payment_intents/{id}/capture",
        permission: "rak_payment_intent_write",
        params: &["amount_to_capture", "expand[]", "metadata{}", "statement_descriptor", "statement_descriptor_suffix"],
        run: Run::Write(writes::capture),
    },
    Route {
        method: "POST",
        path: "payment_intents/{id}/cancel",
        permission: "rak_payment_intent_write",
        params: &["cancellation_reason", "expand[]"],
        run: Run::Write(writes::cancel),
    },
];

/// One attempt to collect an invoice of the population: an intent and its charge.
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

/// What an intent is made of before anybody tries to pay.
pub struct Facts<'a> {
    pub id: &'a str,
    pub amount: i64,
    pub currency: &'a str,
    pub customer: Option<&'a str>,
    pub created: i64,
    pub description: Option<&'a str>,
    pub metadata: Value,
    /// An id.
    pub payment_method: Option<&'a str>,
    /// `automatic`, `automatic_async` or `manual`.
    pub capture_method: &'a str,
    pub setup_future_usage: Option<&'a str>,
    /// What it pays for: an invoice's id, for intents of invoices.
    pub order_reference: Option<&'a str>,
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

/// The intent of a person's invoice.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let payment = Payment::of_person(state, person, cycle)?;
    let method = payment_methods::of_person(person)?;
    let invoice = state.population.id(Kind::Invoice, person.number, cycle);
    let mut intent = fresh(Facts {
        id: &payment.intent,
        amount: payment.amount,
        currency: "eur",
        customer: payment.customer["id"].as_str(),
        created: payment.created,
        description: Some(payment.description()),
        metadata: json!({}),
        payment_method: method["id"].as_str(),
        capture_method: "automatic",
        setup_future_usage: Some("off_session"),
        order_reference: Some(&invoice),
    });
    let object = intent.as_object_mut().expect("invariant: an intent is an object");
    if payment.paid {
        succeed(object, &payment.charge);
    } else {
        decline(object, Some(&payment.charge), Decline::GENERIC, Some(&method));
    }
    Some(intent)
}

/// An intent that nobody has tried to pay yet.
pub fn fresh(f: Facts) -> Value {
    let secret = digits(f.id.bytes().fold(0x5EC, |hash, byte| mix(hash, u64::from(byte))), 25);
    let head = json!({
        "id": f.id,
        "object": "payment_intent",
        "allowed_payment_method_types": null,
        "amount": f.amount,
        "amount_capturable": 0,
        "amount_details": { "tip": {} },
        "amount_received": 0,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": f.capture_method,
        "client_secret": format!("{}_secret_{secret}", f.id),
        "confirmation_method": "automatic",
        "created": f.created,
        "currency": f.currency,
        "customer": f.customer,
        "customer_account": null,
        "description": f.description,
        "excluded_payment_method_types": null,
        "last_payment_error": null,
        "latest_charge": null,
        "livemode": false
    });
    let rest = json!({
        "managed_payments": { "enabled": false },
        "metadata": f.metadata,
        "next_action": null,
        "on_behalf_of": null,
        "payment_details": { "customer_reference": null, "order_reference": f.order_reference },
        "payment_method": f.payment_method,
        "payment_method_configuration_details": null,
        "payment_method_options": {
            "card": { "installments": null, "mandate_options": null, "network": null, "request_three_d_secure": "automatic" }
        },
        "payment_method_types": ["card"],
        "payment_record": null,
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": f.setup_future_usage,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": if f.payment_method.is_some() { "requires_confirmation" } else { "requires_payment_method" },
        "transfer_data": null,
        "transfer_group": null
    });
    super::merged([head, rest])
}

/// The charge went through and was captured.
pub fn succeed(intent: &mut Map<String, Value>, charge: &str) {
    let amount = intent["amount"].clone();
    intent.extend([
        ("amount_capturable".into(), json!(0)),
        ("amount_received".into(), amount),
        ("last_payment_error".into(), Value::Null),
        ("latest_charge".into(), json!(charge)),
        ("next_action".into(), Value::Null),
        ("status".into(), json!("succeeded")),
    ]);
}

/// The payment was declined: the intent waits for another payment method, and remembers this one in the error only.
pub fn decline(intent: &mut Map<String, Value>, charge: Option<&str>, why: Decline, method: Option<&Value>) {
    let mut error = json!({
        "code": why.code,
        "doc_url": format!("https://stripe.com/docs/error-codes/{}", why.code.replace('_', "-")),
        "message": why.message,
        "type": if why == Decline::AUTHENTICATION_FAILED { "invalid_request_error" } else { "card_error" }
    });
    let known = [
        ("charge", charge.map(|c| json!(c))),
        ("decline_code", why.decline_code.map(|c| json!(c))),
        ("payment_method", method.cloned()),
        ("payment_method_type", method.map(|_| json!("card"))),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            error[name] = value;
        }
    }
    if let Some(charge) = charge {
        intent.insert("latest_charge".into(), json!(charge));
    }
    intent.extend([
        ("last_payment_error".into(), error),
        ("next_action".into(), Value::Null),
        ("payment_method".into(), Value::Null),
        ("status".into(), json!("requires_payment_method")),
    ]);
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
