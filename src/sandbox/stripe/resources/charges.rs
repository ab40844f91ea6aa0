//! Charges of invoices: their shape, list and retrieval. None of them was refunded or disputed.

use serde_json::{Value, json};

use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::customers;
use super::payment_intents::Payment;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "charges",
        permission: "rak_charge_read",
        params: &["created<>", "customer", "ending_before", "expand[]", "limit", "payment_intent", "starting_after"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "charges/{id}", permission: "rak_charge_read", params: &["expand[]"], run: Run::Read(retrieve) },
];

pub fn render(p: &Payment) -> Value {
    let outcome = if p.paid {
        json!({
            "advice_code": null,
            "network_advice_code": null,
            "network_decline_code": null,
            "network_status": "approved_by_network",
            "reason": null,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized"
        })
    } else {
        json!({
            "advice_code": "try_again_later",
            "network_advice_code": null,
            "network_decline_code": "51",
            "network_status": "declined_by_network",
            "reason": "insufficient_funds",
            "risk_level": "normal",
            "seller_message": "The bank returned the decline code `insufficient_funds`.",
            "type": "issuer_declined"
        })
    };
    let head = json!({
        "id": p.charge,
        "object": "charge",
        "amount": p.amount,
        "amount_captured": if p.paid { p.amount } else { 0 },
        "amount_refunded": 0,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": { "address": null, "email": p.customer["email"], "name": p.customer["name"], "phone": null, "tax_id": null },
        "calculated_statement_descriptor": "PAPERLIGHT",
        "captured": p.paid,
        "created": p.created,
        "currency": "eur",
        "customer": p.customer["id"],
        "description": p.description(),
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": if p.paid { None } else { Some("card_declined") },
        "failure_message": if p.paid { None } else { Some("Your card has insufficient funds.") },
        "fraud_details": {},
        "livemode": false,
        "metadata": {}
    });
    let rest = json!({
        "on_behalf_of": null,
        "outcome": outcome,
        "paid": p.paid,
        "payment_intent": p.intent,
        "payment_method": null,
        "payment_method_details": {
            "card": {
                "amount_authorized": if p.paid { Some(p.amount) } else { None },
                "authorization_code": null,
                "brand": "visa",
                "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": null },
                "country": "DE",
                "electronic_commerce_indicator": null,
                "exp_month": 12,
                "exp_year": 2034,
                "funding": "credit",
                "installments": null,
                "last4": "4242",
                "mandate": null,
                "network": "visa",
                "network_transaction_id": null,
                "regulated_status": "unregulated",
                "three_d_secure": null,
                "transaction_link_id": null,
                "wallet": null
            },
            "type": "card"
        },
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": false,
        "review": null,
        "shipping": null,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": if p.paid { "succeeded" } else { "failed" },
        "transfer_data": null,
        "transfer_group": null
    });
    super::merged([head, rest])
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let mut customer = customers::check_parameter(state, call)?;
    let intent = call.params.text("payment_intent").map(str::to_string);
    if let Some(id) = &intent {
        let found = state.live(id, "payment_intent").ok_or_else(|| Failure::missing_in("payment_intent", "payment_intent", id))?;
        customer = customer.or_else(|| found["customer"].as_str().map(str::to_string));
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
