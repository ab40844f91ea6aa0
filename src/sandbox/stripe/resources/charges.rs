//! Charges: their shape, list, retrieval and update. What moves them on (payments, refunds, disputes) is an act.

use serde_json::{Value, json};

use super::super::acts;
use super::super::cards::Decline;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::payment_intents::{self, Payment};
use super::{customers, payment_methods};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::{Kind, digits, mix};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "charges",
        permission: "rak_charge_read",
        params: &["created<>", "customer", "ending_before", "expand[]", "limit", "payment_intent", "starting_after"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "charges/{id}", permission: "rak_charge_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "charges/{id}",
        permission: "rak_charge_write",
        params: &["description", "expand[]", "fraud_details.user_report", "metadata{}", "receipt_email"],
        run: Run::Write(update),
    },
];

/// One attempt to pay an intent.
pub struct Facts<'a> {
    pub id: &'a str,
    pub intent: &'a Value,
    /// Null for a payment of nobody in particular.
    pub customer: &'a Value,
    pub method: Option<&'a Value>,
    pub created: i64,
    /// False: the money is only reserved.
    pub captured: bool,
    /// `None`: it went through.
    pub decline: Option<Decline>,
    /// The balance transaction, where there is one already.
    pub transaction: Option<&'a str>,
}

pub fn render(f: Facts) -> Value {
    let paid = f.decline.is_none();
    let amount = f.intent["amount"].as_i64().unwrap_or_default();
    let billing = |name: &str| {
        let given = f.method.map(|m| m["billing_details"][name].clone()).filter(|v| !v.is_null());
        given.unwrap_or_else(|| f.customer[name].clone())
    };
    let head = json!({
        "id": f.id,
        "object": "charge",
        "amount": amount,
        "amount_captured": if paid && f.captured { amount } else { 0 },
        "amount_refunded": 0,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": f.transaction,
        "billing_details": {
            "address": { "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null },
            "email": billing("email"),
            "name": billing("name"),
            "phone": null,
            "tax_id": null
        },
        "calculated_statement_descriptor": "PAPERLIGHT",
        "captured": paid && f.captured,
        "created": f.created,
        "currency": f.intent["currency"],
        "customer": f.customer["id"],
        "description": f.intent["description"],
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": f.decline.map(|d| d.code),
        "failure_message": f.decline.map(|d| d.message),
        "fraud_details": {},
        "livemode": false,
        "metadata": f.intent["metadata"]
    });
    let rest = json!({
        "on_behalf_of": null,
        "outcome": outcome(f.decline),
        "paid": paid,
        "payment_intent": f.intent["id"],
        "payment_method": f.method.map(|m| m["id"].clone()),
        "payment_method_details": f.method.map(|method| json!({ "card": card(&f, method, amount), "type": "card" })),
        "radar_options": {},
        "receipt_email": f.intent["receipt_email"],
        "receipt_number": null,
        "receipt_url": paid.then(|| format!("https://pay.stripe.com/receipts/payment/{}", digits(print(f.id), 40))),
        "refunded": false,
        "review": null,
        "shipping": null,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": f.intent["statement_descriptor"],
        "statement_descriptor_suffix": f.intent["statement_descriptor_suffix"],
        "status": if paid { "succeeded" } else { "failed" },
        "transfer_data": null,
        "transfer_group": null
    });
    super::merged([head, rest])
}

/// The charge of a person's invoice.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let payment = Payment::of_person(state, person, cycle)?;
    let transaction = state.population.id(Kind::BalanceTransaction, person.number, cycle);
    Some(render(Facts {
        id: &payment.charge,
        intent: &payment_intents::of_person(state, person, cycle)?,
        customer: &payment.customer,
        method: payment_methods::of_person(person).as_ref(),
        created: payment.created,
        captured: true,
        decline: (!payment.paid).then_some(Decline::GENERIC),
        transaction: payment.paid.then_some(&transaction),
    }))
}

fn outcome(decline: Option<Decline>) -> Value {
    let Some(decline) = decline else {
        return json!({
            "advice_code": null,
            "network_advice_code": null,
            "network_decline_code": null,
            "network_status": "approved_by_network",
            "reason": null,
            "risk_level": "normal",
            "risk_score": 12,
            "seller_message": "Payment complete.",
            "type": "authorized"
        });
    };
    let reason = decline.decline_code.unwrap_or(decline.code);
    let message = match reason {
        "generic_decline" => "The bank did not return any further details with this decline.".to_string(),
        code => format!("The bank returned the decline code `{code}`."),
    };
    json!({
        "advice_code": "try_again_later",
        "network_advice_code": "02",
        "network_decline_code": "05",
        "network_status": "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 27,
        "seller_message": message,
        "type": "issuer_declined"
    })
}

fn card(f: &Facts, method: &Value, amount: i64) -> Value {
    let paid = f.decline.is_none();
    super::merged([
        payment_methods::charged(method),
        json!({
            "amount_authorized": if paid { Some(amount) } else { None },
            "authorization_code": paid.then(|| format!("{:06}", print(f.id) % 1_000_000)),
            "electronic_commerce_indicator": null,
            "extended_authorization": { "status": "disabled" },
            "incremental_authorization": { "status": "unavailable" },
            "installments": null,
            "mandate": null,
            "multicapture": { "status": "unavailable" },
            "network_token": { "used": false },
            "network_transaction_id": format!("{:015}", print(f.id) % 1_000_000_000_000_000),
            "overcapture": { "maximum_amount_capturable": amount, "status": "unavailable" },
            "regulated_status": "unregulated",
            "transaction_link_id": null
        }),
    ])
}

fn print(id: &str) -> u64 {
    id.bytes().fold(0xCA4D, |hash, byte| mix(hash, u64::from(byte)))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let mut customer = customers::check_parameter(state, call)?;
    let intent = call.params.text("payment_intent").map(str::to_string);
    if let Some(id) = &intent {
        let found = state.live(id, "payment_intent").ok_or_else(|| Failure::missing_in("payment_intent", "payment_intent", id))?;
        // The charges of an intent are among its customer's; those of nobody's intent stand under the intent itself.
        customer = customer.or_else(|| found["customer"].as_str().map(str::to_string)).or_else(|| intent.clone());
    }
    Listing {
        url: "/v1/charges",
        noun: "charge",
        collection: Collection::Charges,
        customer,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Where(&|_, _| true),
        keep: &|v| intent.as_deref().is_none_or(|p| v["payment_intent"] == p),
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "charge").ok_or_else(|| Failure::missing("charge", &call.id))?;
    expand::one(state, call, found)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "charge").ok_or_else(|| Failure::missing("charge", &call.id))?;
    acts::check_not_redacted(state, &found)?;
    if let Some(report) = call.params.text("fraud_details.user_report").filter(|r| !["", "fraudulent", "safe"].contains(r)) {
        let sentence = format!("Invalid fraud_details[user_report]: must be one of fraudulent or safe (you passed {report})");
        return Err(Failure::new(400, sentence).param("fraud_details[user_report]"));
    }
    acts::change_with_event(state, &call.id, "charge.updated", call.now, |charge| {
        for name in ["description", "receipt_email"] {
            if let Some(text) = call.params.text(name) {
                charge.insert(name.into(), if text.is_empty() { Value::Null } else { json!(text) });
            }
        }
        match call.params.text("fraud_details.user_report") {
            Some("") => charge["fraud_details"] = json!({}),
            Some(report) => charge["fraud_details"] = json!({ "user_report": report }),
            None => {}
        }
        acts::merge_metadata(charge, call.params.map("metadata"), call.params.text("metadata"));
    });
    retrieve(state, call)
}
