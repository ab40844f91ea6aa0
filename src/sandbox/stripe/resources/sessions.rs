//! Checkout sessions: who paid, by `client_reference_id` and metadata. Their shape, lists and retrieval; making them is `session_writes.rs`.

use serde_json::{Value, json};

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, fields};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::Kind;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "checkout/sessions",
        permission: "rak_checkout_session_read",
        params: &[
            "created<>",
            "customer",
            "customer_details.email",
            "ending_before",
            "expand[]",
            "limit",
            "payment_intent",
            "starting_after",
            "status",
            "subscription",
        ],
        run: Run::Read(list),
    },
    Route {
        method: "GET",
        path: "checkout/sessions/{id}",
        permission: "rak_checkout_session_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
    Route {
        method: "GET",
        path: "checkout/sessions/{id}/line_items",
        permission: "rak_checkout_session_read",
        params: &["ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list_line_items),
    },
];

/// What a completed session is made of.
pub struct Facts<'a> {
    pub id: &'a str,
    pub customer: &'a Value,
    pub subscription: &'a str,
    pub invoice: &'a str,
    pub amount: i64,
    pub created: i64,
    pub client_reference_id: Option<&'a str>,
    pub metadata: Value,
}

pub fn render(f: Facts) -> Value {
    let head = json!({
        "id": f.id,
        "object": "checkout.session",
        "adaptive_pricing": null,
        "after_expiration": null,
        "allow_promotion_codes": null,
        "allowed_payment_method_types": null,
        "amount_subtotal": f.amount,
        "amount_total": f.amount,
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "billing_address_collection": null,
        "cancel_url": "https://app.example.com/billing",
        "client_reference_id": f.client_reference_id,
        "client_secret": null,
        "collected_information": null,
        "consent": null,
        "consent_collection": null,
        "created": f.created,
        "currency": "eur",
        "currency_conversion": null,
        "custom_fields": [],
        "custom_text": { "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null },
        "customer": f.customer["id"],
        "customer_account": null,
        "customer_creation": "always",
        "customer_details": {
            "address": null,
            "business_name": null,
            "email": f.customer["email"],
            "individual_name": null,
            "name": f.customer["name"],
            "phone": null,
            "tax_exempt": "none",
            "tax_ids": []
        },
        "customer_email": null
    });
    let rest = json!({
        "discounts": [],
        "expires_at": f.created + 86_400,
        "integration_identifier": null,
        "invoice": f.invoice,
        "invoice_creation": null,
        "livemode": false,
        "locale": null,
        "managed_payments": null,
        "metadata": f.metadata,
        "mode": "subscription",
        "origin_context": null,
        // A subscription's payment hangs on its invoice.
        "payment_intent": null,
        "payment_link": null,
        "payment_method_collection": "always",
        "payment_method_configuration_details": null,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": if f.amount == 0 { "no_payment_required" } else { "paid" },
        "permissions": null,
        "phone_number_collection": { "enabled": false },
        "recovered_from": null,
        "saved_payment_method_options": null,
        "setup_intent": null,
        "shipping_address_collection": null,
        "shipping_cost": null,
        "shipping_options": [],
        "status": "complete",
        "submit_type": null,
        "subscription": f.subscription,
        "success_url": "https://app.example.com/billing/done",
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
        "ui_mode": "hosted_page",
        "url": null,
        "wallet_options": null
    });
    super::merged([head, rest])
}

pub fn of_person(state: &State, person: &Person) -> Option<Value> {
    let paid = person.plan.as_ref()?;
    let (_, amount, _) = catalog::price(paid.price, state.population.born())?;
    Some(render(Facts {
        id: &paid.session,
        customer: &customers::of_person(person),
        subscription: &paid.subscription,
        invoice: &state.population.id(Kind::Invoice, person.number, 0),
        amount: if paid.status == "trialing" { 0 } else { amount },
        created: paid.started.timestamp(),
        client_reference_id: Some(&state.profile_reference(person)),
        metadata: state.profile_metadata(person),
    }))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let mut customer = customers::check_parameter(state, call)?;
    let subscription = call.params.text("subscription").map(str::to_string);
    if let Some(id) = &subscription {
        let found = state.live(id, "subscription").ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
        customer = customer.or_else(|| found["customer"].as_str().map(str::to_string));
    }
    let email = call.params.text("customer_details.email").map(str::to_string);
    fields::one_of(&call.params, "status", &["complete", "expired", "open"])?;
    if let Some(id) = call.params.text("payment_intent") {
        state.live(id, "payment_intent").ok_or_else(|| Failure::missing_in("payment_intent", "payment_intent", id))?;
    }
    let (status, intent) = (call.params.text("status").map(str::to_string), call.params.text("payment_intent").map(str::to_string));
    // Every session of the population is complete, and in subscription mode: none has a payment intent of its own.
    let people = match &email {
        _ if intent.is_some() || status.as_deref().is_some_and(|s| s != "complete") => People::Only(state.touched_and(None)),
        Some(email) => People::Only(state.touched_and(state.population.email_number(email))),
        None => People::Where(&|_, _| true),
    };
    Listing {
        url: "/v1/checkout/sessions",
        noun: "checkout.session",
        collection: Collection::Sessions,
        customer,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people,
        keep: &|v| {
            status.as_deref().is_none_or(|s| v["status"] == s)
                && email.as_deref().is_none_or(|e| v["customer_details"]["email"] == e)
                && intent.as_deref().is_none_or(|p| v["payment_intent"] == p)
                && subscription.as_deref().is_none_or(|s| v["subscription"] == s)
        },
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "checkout.session").ok_or_else(|| Failure::missing("checkout.session", &call.id))?;
    expand::one(state, call, found)
}

fn list_line_items(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "checkout.session").ok_or_else(|| Failure::missing("checkout.session", &call.id))?;
    let url = format!("/v1/checkout/sessions/{}/line_items", call.id);
    listing::small(state, call, &url, "item", line_items(state, &call.id))
}

/// What is bought in a session.
pub fn line_items(state: &State, session: &str) -> Vec<Value> {
    if let Some(made) = state.line_items.get(session) {
        return made.clone();
    }
    let Some((Kind::Session, place)) = state.population.locate(session) else { return Vec::new() };
    let Some(paid) = state.population.person(place.number).plan else { return Vec::new() };
    let Some((price, _, _)) = catalog::price(paid.price, state.population.born()) else { return Vec::new() };
    let id = paid.item.replacen("si_", "li_1", 1);
    vec![line_item(state, &id, &price, 1)]
}

/// A line over so many of a price. What begins with a trial costs nothing yet, which the session's total says and not the line.
pub fn line_item(state: &State, id: &str, price: &Value, quantity: i64) -> Value {
    let amount = price["unit_amount"].as_i64().unwrap_or_default() * quantity;
    let product = state.get(price["product"].as_str().unwrap_or_default()).unwrap_or_default();
    json!({
        "id": id,
        "object": "item",
        "adjustable_quantity": null,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": {},
        "price": price,
        "quantity": quantity
    })
}
