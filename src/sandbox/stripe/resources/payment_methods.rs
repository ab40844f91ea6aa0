//! Payment methods: cards that customers pay with. Their shape and endpoints; which test card behaves how is `cards.rs`.

use chrono::{DateTime, Datelike, Duration, Utc};
use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::cards::{Behaviour, Card, Decline, FAILING, USUAL};
use super::super::expand;
use super::super::failure::Failure;
use super::super::form::Params;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, fields};
use crate::sandbox::population::{JOIN_MINUTES, Person};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "payment_methods",
        permission: "rak_payment_method_read",
        params: &["allow_redisplay", "customer", "ending_before", "expand[]", "limit", "starting_after", "type"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "payment_methods",
        permission: "rak_payment_method_write",
        params: &[
            "allow_redisplay",
            "billing_details.address.city",
            "billing_details.address.country",
            "billing_details.address.line1",
            "billing_details.address.line2",
            "billing_details.address.postal_code",
            "billing_details.address.state",
            "billing_details.email",
            "billing_details.name",
            "billing_details.phone",
            "card.cvc",
            "card.exp_month",
            "card.exp_year",
            "card.number",
            "card.token",
            "expand[]",
            "metadata{}",
            "type",
        ],
        run: Run::Write(create),
    },
    // A shared test payment method is a new one each time it is asked for.
    Route {
        method: "GET",
        path: "payment_methods/{id}",
        permission: "rak_payment_method_read",
        params: &["expand[]"],
        run: Run::Write(retrieve),
    },
    Route {
        method: "POST",
        path: "payment_methods/{id}",
        permission: "rak_payment_method_write",
        params: &[
            "allow_redisplay",
            "billing_details.address.city",
            "billing_details.address.country",
            "billing_details.address.line1",
            "billing_details.address.line2",
            "billing_details.address.postal_code",
            "billing_details.address.state",
            "billing_details.email",
            "billing_details.name",
            "billing_details.phone",
            "card.exp_month",
            "card.exp_year",
            "expand[]",
            "metadata{}",
        ],
        run: Run::Write(update),
    },
    Route {
        method: "POST",
        path: "payment_methods/{id}/attach",
        permission: "rak_payment_method_write",
        params: &["customer", "expand[]"],
        run: Run::Write(attach),
    },
    Route {
        method: "POST",
        path: "payment_methods/{id}/detach",
        permission: "rak_payment_method_write",
        params: &["expand[]"],
        run: Run::Write(detach),
    },
    Route {
        method: "GET",
        path: "customers/{id}/payment_methods",
        permission: "rak_payment_method_read",
        params: &["allow_redisplay", "ending_before", "expand[]", "limit", "starting_after", "type"],
        run: Run::Read(list_of_customer),
    },
];

const REDISPLAY: [&str; 3] = ["always", "limited", "unspecified"];

/// What a list can be narrowed to. This account takes cards, and has no others.
#[rustfmt::skip]
const TYPES: [&str; 57] = [
    "acss_debit", "affirm", "afterpay_clearpay", "alipay", "alma", "amazon_pay", "au_becs_debit", "bacs_debit", "bancontact", "billie", "bizum",
    "blik", "boleto", "card", "cashapp", "crypto", "custom", "customer_balance", "eps", "fpx", "giropay", "grabpay", "ideal", "kakao_pay", "klarna",
    "konbini", "kr_card", "link", "mb_way", "mobilepay", "multibanco", "naver_pay", "nz_bank_account", "oxxo", "p24", "pay_by_bank", "payco",
    "paynow", "paypal", "paypay", "payto", "pix", "promptpay", "revolut_pay", "samsung_pay", "satispay", "scalapay", "sepa_debit", "sequra",
    "sofort", "sunbit", "swish", "twint", "upi", "us_bank_account", "wechat_pay", "zip",
];

/// How payments with this payment method end. What stands on no known card pays.
pub fn behaviour(payment_method: &Value) -> Behaviour {
    Card::of(payment_method).map_or(Behaviour::Pays, |card| card.behaviour)
}

/// The payment method a parameter names: one that is there, or a new one of a shared test card (`pm_card_visa`).
///
/// # Errors
/// There is no such payment method (400, on that parameter).
pub fn named(state: &mut State, param: &str, id: &str, at: DateTime<Utc>) -> Result<Value, Failure> {
    if let Some(card) = Card::named(id).filter(|_| id.starts_with("pm_")) {
        return Ok(acts::create_payment_method(state, card, at));
    }
    state.live(id, "payment_method").ok_or_else(|| Failure::missing_in(param, "PaymentMethod", id))
}

/// The `card` part of a charge's `payment_method_details`, for that payment method.
pub fn charged(payment_method: &Value) -> Value {
    let card = &payment_method["card"];
    json!({
        "brand": card["brand"],
        "checks": card["checks"],
        "country": card["country"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "network": card["brand"],
        "three_d_secure": null,
        "wallet": null
    })
}

pub fn render(id: &str, created: i64, card: &Card, customer: Option<&str>) -> Value {
    json!({
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": { "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null },
            "email": null,
            "name": null,
            "phone": null,
            "tax_id": null
        },
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": null,
                "address_postal_code_check": null,
                "cvc_check": if customer.is_some() { "pass" } else { "unchecked" }
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": card.fingerprint(),
            "funding": card.funding,
            "generated_from": null,
            "last4": card.last4(),
            "networks": { "available": [card.brand], "preferred": null },
            "regulated_status": "unregulated",
            "three_d_secure_usage": { "supported": true },
            "wallet": null
        },
        "created": created,
        "customer": customer,
        "customer_account": null,
        "livemode": false,
        "metadata": {},
        "type": "card"
    })
}

/// What a person who pays, pays with.
pub fn of_person(person: &Person) -> Option<Value> {
    let paid = person.plan.as_ref()?;
    let card = if paid.status == "past_due" { FAILING } else { USUAL };
    let created = person.created + Duration::minutes(JOIN_MINUTES);
    let mut made = render(&paid.payment_method, created.timestamp(), card, person.customer.as_deref());
    made["billing_details"]["email"] = json!(person.email);
    made["billing_details"]["name"] = json!(person.name);
    Some(made)
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    page(state, call, "/v1/payment_methods", customers::check_parameter(state, call)?)
}

fn list_of_customer(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "customer").ok_or_else(|| Failure::missing("customer", &call.id).param("customer"))?;
    page(state, call, &format!("/v1/customers/{}/payment_methods", call.id), Some(call.id.clone()))
}

fn page(state: &State, call: &Call, url: &str, customer: Option<String>) -> Result<Value, Failure> {
    let kind = fields::one_of(&call.params, "type", &TYPES)?;
    let redisplay = fields::one_of(&call.params, "allow_redisplay", &REDISPLAY)?;
    Listing {
        url,
        noun: "PaymentMethod",
        collection: Collection::PaymentMethods,
        customer: customer.clone(),
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Where(&|_, _| true),
        keep: &|v| {
            // Detached ones stay readable and are listed nowhere; neither are those never attached.
            v["customer"].is_string()
                && customer.as_deref().is_none_or(|c| v["customer"] == c)
                && kind.is_none_or(|k| v["type"] == k)
                && redisplay.is_none_or(|r| v["allow_redisplay"] == r)
        },
    }
    .page(state, call)
}

fn retrieve(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = named(state, "payment_method", &call.id, call.now).map_err(|_| missing(call))?;
    expand::one(state, call, found)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    match call.params.text("type") {
        Some("card") => {}
        None => return Err(Failure::missing_parameter("type")),
        Some(other) => {
            let sentence = format!("The payment method type provided: {other} is invalid. This account takes cards only.");
            return Err(Failure::new(400, sentence).param("type"));
        }
    }
    check(&call.params)?;
    let card = match (call.params.text("card.token"), call.params.text("card.number")) {
        (Some(token), _) => Card::named(token).ok_or_else(|| Failure::missing_in("card[token]", "token", token))?,
        (None, Some(number)) => by_number(&number.replace([' ', '-'], ""), call)?,
        (None, None) => return Err(Failure::missing_parameter("card")),
    };
    let id = acts::create_payment_method(state, card, call.now)["id"].as_str().unwrap_or_default().to_string();
    // Nothing happened to an object that nobody has seen yet: it is made with these values, and no event says so.
    state.change(&id, |made| apply(made, &call.params));
    expand::one(state, call, state.get(&id).unwrap_or_default())
}

fn by_number(number: &str, call: &Call) -> Result<&'static Card, Failure> {
    if !luhn(number) {
        return Err(Decline::INCORRECT_NUMBER.failure());
    }
    let month = call.params.integer("card.exp_month")?.ok_or_else(|| Failure::missing_parameter("card[exp_month]"))?;
    let year = call.params.integer("card.exp_year")?.ok_or_else(|| Failure::missing_parameter("card[exp_year]"))?;
    let year = if year < 100 { year + 2000 } else { year };
    let this_year = i64::from(call.now.year());
    if !(1..=12).contains(&month) {
        return Err(Decline::INVALID_MONTH.failure());
    }
    if year < this_year || year > this_year + 50 {
        return Err(Decline::INVALID_YEAR.failure());
    }
    Card::numbered(number).ok_or_else(|| Decline::LIVE_CARD.failure())
}

fn luhn(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().rev().map(|c| c.to_digit(10)).collect();
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    digits.filter(|d| (12..=19).contains(&d.len())).is_some_and(|digits| {
        let sum: u32 = digits.iter().enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit }).sum();
        sum.is_multiple_of(10)
    })
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "payment_method").ok_or_else(|| missing(call))?;
    if found["customer"].is_null() {
        return Err(Failure::new(400, "You must save this PaymentMethod to a customer before you can update it."));
    }
    check(&call.params)?;
    acts::change_with_event(state, &call.id, "payment_method.updated", call.now, |method| apply(method, &call.params));
    expand::one(state, call, state.get(&call.id).unwrap_or_default())
}

/// What making and changing refuse alike.
fn check(params: &Params) -> Result<(), Failure> {
    fields::one_of(params, "allow_redisplay", &REDISPLAY)?;
    if params.integer("card.exp_month")?.is_some_and(|month| !(1..=12).contains(&month)) {
        return Err(Decline::INVALID_MONTH.failure());
    }
    params.integer("card.exp_year")?;
    Ok(())
}

fn apply(method: &mut Map<String, Value>, params: &Params) {
    let set = |value: &mut Value, path: &str| {
        if let Some(text) = params.text(path) {
            *value = if text.is_empty() { Value::Null } else { json!(text) };
        }
    };
    for name in ["email", "name", "phone"] {
        set(&mut method["billing_details"][name], &format!("billing_details.{name}"));
    }
    for name in ["city", "country", "line1", "line2", "postal_code", "state"] {
        set(&mut method["billing_details"]["address"][name], &format!("billing_details.address.{name}"));
    }
    for name in ["exp_month", "exp_year"] {
        if let Ok(Some(number)) = params.integer(&format!("card.{name}")) {
            method["card"][name] = json!(if name == "exp_year" && number < 100 { number + 2000 } else { number });
        }
    }
    if let Some(word) = params.text("allow_redisplay") {
        method.insert("allow_redisplay".into(), json!(word));
    }
    acts::merge_metadata(method, params.map("metadata"), params.text("metadata"));
}

fn attach(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let customer = call.params.text("customer").ok_or_else(|| Failure::missing_parameter("customer"))?;
    let method = named(state, "payment_method", &call.id, call.now).map_err(|_| missing(call))?;
    state.live(customer, "customer").ok_or_else(|| Failure::missing_in("customer", "customer", customer))?;
    let id = method["id"].as_str().unwrap_or_default();
    acts::attach_payment_method(state, id, customer, call.now)?;
    expand::one(state, call, state.get(id).unwrap_or_default())
}

fn detach(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "payment_method").ok_or_else(|| missing(call))?;
    acts::detach_payment_method(state, &call.id, call.now)
        .ok_or_else(|| Failure::new(400, "The payment method you provided is not attached to a customer so detachment is impossible."))?;
    expand::one(state, call, state.get(&call.id).unwrap_or_default())
}

fn missing(call: &Call) -> Failure {
    Failure::new(404, format!("No such PaymentMethod: '{}'", call.id)).code("resource_missing").param("payment_method")
}
