//! Customers: their shape, list, search, retrieval, update and deletion.

use serde_json::{Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::search;
use super::super::state::State;
use super::super::timeline::{Collection, People};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::{digits, mix};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "customers",
        permission: "rak_customer_read",
        params: &["created<>", "email", "ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "GET",
        path: "customers/search",
        permission: "rak_customer_read",
        params: &["query", "page", "limit", "expand[]"],
        run: Run::Read(search::customers),
    },
    Route { method: "GET", path: "customers/{id}", permission: "rak_customer_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "customers/{id}",
        permission: "rak_customer_write",
        params: &["description", "email", "expand[]", "metadata{}", "name", "phone"],
        run: Run::Write(update),
    },
    Route { method: "DELETE", path: "customers/{id}", permission: "rak_customer_write", params: &[], run: Run::Write(delete) },
];

pub fn render(id: &str, created: i64, name: &str, email: Option<&str>, metadata: Value) -> Value {
    json!({
        "id": id,
        "object": "customer",
        "address": null,
        "balance": 0,
        "created": created,
        "currency": "eur",
        "default_source": null,
        "delinquent": false,
        "description": null,
        "discount": null,
        "email": email,
        "invoice_prefix": digits(id.bytes().fold(7, |a, b| mix(a, u64::from(b))), 8).to_ascii_uppercase(),
        "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null },
        "livemode": false,
        "metadata": metadata,
        "name": name,
        "next_invoice_sequence": 2,
        "phone": null,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null
    })
}

/// The customer of a person who has one.
pub fn of_person(person: &Person) -> Value {
    let created = person.created + chrono::Duration::minutes(crate::sandbox::population::JOIN_MINUTES);
    render(person.customer.as_deref().unwrap_or_default(), created.timestamp(), &person.name, Some(&person.email), json!({}))
}

/// The same test for every endpoint that takes a `customer` parameter.
pub fn check_parameter(state: &State, call: &Call) -> Result<Option<String>, Failure> {
    let Some(id) = call.params.text("customer") else { return Ok(None) };
    match state.get(id) {
        Some(found) if found["object"] == "customer" => Ok(Some(id.to_string())),
        _ => Err(Failure::missing_in("customer", "customer", id)),
    }
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let email = call.params.text("email").map(str::to_string);
    // An address names its person: nobody else needs to be looked at, unless they were changed.
    let people = match email.as_deref() {
        Some(email) => People::Only(state.touched_and(state.population.email_number(email))),
        None => People::Where(&|_, _| true),
    };
    Listing {
        url: "/v1/customers",
        noun: "customer",
        collection: Collection::Customers,
        customer: None,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people,
        keep: &|v| email.as_deref().is_none_or(|e| v["email"] == e),
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    match state.get(&call.id) {
        Some(found) if found["object"] == "customer" => expand::one(state, call, found),
        _ => Err(Failure::missing("customer", &call.id)),
    }
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "customer").ok_or_else(|| Failure::missing("customer", &call.id))?;
    acts::change_with_event(state, &call.id, "customer.updated", call.now, |customer| {
        for name in ["name", "email", "description", "phone"] {
            if let Some(text) = call.params.text(name) {
                customer.insert(name.into(), if text.is_empty() { Value::Null } else { json!(text) });
            }
        }
        acts::merge_metadata(customer, call.params.map("metadata"), call.params.text("metadata"));
    });
    retrieve(state, call)
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "customer").ok_or_else(|| Failure::missing("customer", &call.id))?;
    acts::delete_customer(state, &call.id, call.now);
    Ok(state.get(&call.id).unwrap_or_default())
}
