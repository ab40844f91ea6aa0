//! Customers: their shape and endpoints.

use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{fields, payment_methods};
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
        method: "POST",
        path: "customers",
        permission: "rak_customer_write",
        params: &[
            "address.city",
            "address.country",
            "address.line1",
            "address.line2",
            "address.postal_code",
            "address.state",
            "description",
            "email",
            "expand[]",
            "invoice_prefix",
            "invoice_settings.default_payment_method",
            "invoice_settings.footer",
            "metadata{}",
            "name",
            "next_invoice_sequence",
            "payment_method",
            "phone",
            "preferred_locales[]",
            "shipping.address.city",
            "shipping.address.country",
            "shipping.address.line1",
            "shipping.address.line2",
            "shipping.address.postal_code",
            "shipping.address.state",
            "shipping.name",
            "shipping.phone",
            "tax_exempt",
        ],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "customers/{id}", permission: "rak_customer_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "customers/{id}",
        permission: "rak_customer_write",
        params: &[
            "address.city",
            "address.country",
            "address.line1",
            "address.line2",
            "address.postal_code",
            "address.state",
            "description",
            "email",
            "expand[]",
            "invoice_prefix",
            "invoice_settings.default_payment_method",
            "invoice_settings.footer",
            "metadata{}",
            "name",
            "next_invoice_sequence",
            "phone",
            "preferred_locales[]",
            "shipping.address.city",
            "shipping.address.country",
            "shipping.address.line1",
            "shipping.address.line2",
            "shipping.address.postal_code",
            "shipping.address.state",
            "shipping.name",
            "shipping.phone",
            "tax_exempt",
        ],
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
        "invoice_prefix": invoice_prefix(id),
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

/// What a customer's invoice numbers begin with.
pub fn invoice_prefix(id: &str) -> String {
    digits(id.bytes().fold(7, |a, b| mix(a, u64::from(b))), 8).to_ascii_uppercase()
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

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    check_fields(call)?;
    let method = match call.params.text("payment_method") {
        Some(id) => {
            let method = payment_methods::named(state, "payment_method", id, call.now)?;
            let id = method["id"].as_str().unwrap_or_default().to_string();
            acts::check_attachable(state, &id)?;
            Some(id)
        }
        None => None,
    };
    let default = match call.params.text("invoice_settings.default_payment_method") {
        None | Some("") => None,
        // The one that comes along may be named as it was given: as a shared test card, too.
        Some(id) if call.params.text("payment_method") == Some(id) => method.clone(),
        Some(id) => return Err(not_theirs(id)),
    };
    let id = state.fresh("cus_", 14);
    let mut customer = render(&id, call.now.timestamp(), "", None, json!({}));
    for (name, value) in [("name", Value::Null), ("currency", Value::Null), ("next_invoice_sequence", json!(1))] {
        customer[name] = value;
    }
    customer["invoice_settings"]["default_payment_method"] = json!(default);
    if let Some(customer) = customer.as_object_mut() {
        apply(customer, call)?;
    }
    state.emit("customer.created", call.now, &customer, None);
    state.insert(Collection::Customers, customer);
    if let Some(method) = method {
        acts::attach_payment_method(state, &method, &id, call.now)?;
    }
    expand::one(state, call, state.get(&id).unwrap_or_default())
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let before = state.live(&call.id, "customer").ok_or_else(|| Failure::missing("customer", &call.id))?;
    check_fields(call)?;
    let default = call.params.text("invoice_settings.default_payment_method");
    if let Some(id) = default.filter(|id| !id.is_empty()) {
        let method = state.live(id, "payment_method").ok_or_else(|| not_theirs(id))?;
        if method["customer"] != call.id.as_str() {
            return Err(not_theirs(id));
        }
    }
    let mut after = before.as_object().cloned().unwrap_or_default();
    fields::text(&mut after, &call.params, "invoice_settings.default_payment_method");
    apply(&mut after, call)?;
    acts::change_with_event(state, &call.id, "customer.updated", call.now, |customer| *customer = after);
    retrieve(state, call)
}

fn check_fields(call: &Call) -> Result<(), Failure> {
    if let Some(email) = call.params.text("email").filter(|e| !e.is_empty()) {
        let sound = email.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
        if !sound || email.contains(char::is_whitespace) || email.len() > 512 {
            return Err(Failure::new(400, format!("Invalid email address: {email}")).code("email_invalid").param("email"));
        }
    }
    fields::one_of(&call.params, "tax_exempt", &["", "none", "exempt", "reverse"])?;
    fields::within(&call.params, "next_invoice_sequence", 1, 1_000_000_000)?;
    let prefix = call.params.text("invoice_prefix");
    if prefix.is_some_and(|p| !(3..=12).contains(&p.len()) || p.bytes().any(|b| !b.is_ascii_uppercase() && !b.is_ascii_digit())) {
        let sentence = "Invoice prefixes must be between 3 and 12 characters long and consist of uppercase letters or numbers only.";
        return Err(Failure::new(400, sentence).param("invoice_prefix"));
    }
    if call.params.map("shipping").is_some() {
        fields::required(&call.params, "shipping.name")?;
    }
    Ok(())
}

fn apply(customer: &mut Map<String, Value>, call: &Call) -> Result<(), Failure> {
    let params = &call.params;
    fields::texts(customer, params, &["name", "email", "description", "phone", "invoice_prefix", "invoice_settings.footer"]);
    fields::address(customer, params, "address");
    if params.map("shipping").is_some() {
        customer.insert("shipping".into(), json!({ "name": params.text("shipping.name"), "phone": params.text("shipping.phone") }));
        fields::address(customer, params, "shipping.address");
    } else if params.text("shipping").is_some() {
        customer.insert("shipping".into(), Value::Null);
    }
    if let Some(number) = params.integer("next_invoice_sequence")? {
        customer.insert("next_invoice_sequence".into(), json!(number));
    }
    if let Some(word) = params.text("tax_exempt") {
        customer.insert("tax_exempt".into(), json!(if word.is_empty() { "none" } else { word }));
    }
    fields::list(customer, params, "preferred_locales");
    acts::merge_metadata(customer, params.map("metadata"), params.text("metadata"));
    Ok(())
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "customer").ok_or_else(|| Failure::missing("customer", &call.id))?;
    acts::delete_customer(state, &call.id, call.now);
    Ok(state.get(&call.id).unwrap_or_default())
}

fn not_theirs(id: &str) -> Failure {
    let sentence =
        format!("The customer does not have a payment method with the ID {id}. The payment method must be attached to the customer.");
    Failure::new(400, sentence).code("resource_missing").param("invoice_settings[default_payment_method]")
}
