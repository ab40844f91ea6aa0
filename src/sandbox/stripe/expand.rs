//! `expand[]`: ids replaced by their objects, and the parts that are only sent when asked for. Which can be is `expandable.rs`.

use serde_json::{Value, json};

use super::expandable::{allows, listed};
use super::failure::Failure;
use super::form::Bounds;
use super::listing;
use super::resources::sessions;
use super::route::{Call, Route};
use super::state::State;
use super::timeline::Collection;

const DEEPEST: usize = 4;

/// One object, expanded as the call asks.
pub fn one(state: &State, call: &Call, mut object: Value) -> Result<Value, Failure> {
    for path in call.params.list("expand") {
        let parts = split(path)?;
        if !allows(object["object"].as_str().unwrap_or_default(), &parts) {
            return Err(refused(path));
        }
        step(state, &mut object, &parts);
    }
    Ok(object)
}

/// Refuses, before anything is done, what the object that a write returns could not be expanded by.
pub fn check(route: &Route, call: &Call) -> Result<(), Failure> {
    let kind = listed(route.path.split("/{id}").next().unwrap_or_default());
    call.params.list("expand").into_iter().try_for_each(|path| if allows(kind, &split(path)?) { Ok(()) } else { Err(refused(path)) })
}

/// A list, its elements expanded by the paths that begin with `data.`.
pub fn page(state: &State, call: &Call, url: &str, mut data: Vec<Value>, has_more: bool) -> Result<Value, Failure> {
    elements(state, call, url, &mut data)?;
    let mut page = json!({ "object": "list", "data": null, "has_more": has_more, "url": url });
    // Within the macro every element would be copied.
    page["data"] = data.into();
    Ok(page)
}

/// What a search at that URL found, expanded likewise; `total_count` is the search's own business.
pub fn found(state: &State, call: &Call, url: &str, data: &mut [Value]) -> Result<(), Failure> {
    let kind = listed(url);
    for path in call.params.list("expand").into_iter().filter(|path| *path != "total_count") {
        expand_elements(state, kind, path, data)?;
    }
    Ok(())
}

fn elements(state: &State, call: &Call, url: &str, data: &mut [Value]) -> Result<(), Failure> {
    let kind = listed(url);
    call.params.list("expand").into_iter().try_for_each(|path| expand_elements(state, kind, path, data))
}

fn expand_elements(state: &State, kind: &str, path: &str, data: &mut [Value]) -> Result<(), Failure> {
    let parts = split(path)?;
    match parts.split_first() {
        Some((&"data", rest)) if allows(kind, rest) => {
            data.iter_mut().for_each(|element| step(state, element, rest));
            Ok(())
        }
        _ if allows(kind, &parts) => {
            let sentence = format!("This property cannot be expanded ({path}). You may want to try expanding 'data.{path}' instead.");
            Err(Failure::new(400, sentence).param("expand"))
        }
        _ => Err(refused(path)),
    }
}

fn split(path: &str) -> Result<Vec<&str>, Failure> {
    let parts: Vec<_> = path.split('.').collect();
    if parts.len() > DEEPEST {
        return Err(
            Failure::new(400, format!("You cannot expand more than {DEEPEST} levels of a property (you passed {path})")).param("expand")
        );
    }
    Ok(parts)
}

/// Follows a path that is known to be allowed; what is not there stays as it is.
fn step(state: &State, value: &mut Value, parts: &[&str]) {
    let Some((&first, rest)) = parts.split_first() else { return };
    if let Value::Array(elements) = value {
        return elements.iter_mut().for_each(|e| step(state, e, parts));
    }
    include(state, value, first);
    match value.get_mut(first) {
        Some(Value::Array(elements)) => elements.iter_mut().for_each(|inner| enter(state, inner, rest)),
        Some(inner) => enter(state, inner, rest),
        None => {}
    }
}

fn enter(state: &State, inner: &mut Value, rest: &[&str]) {
    if let Value::String(id) = inner
        && let Some(object) = state.get(id)
    {
        *inner = object;
    }
    step(state, inner, rest);
}

/// Parts of an object that are sent only when expanded.
fn include(state: &State, value: &mut Value, name: &str) {
    let Some(object) = value.as_object_mut().filter(|o| !o.contains_key(name) && !o.contains_key("deleted")) else { return };
    let text = |field: &str| object.get(field).and_then(|v| v.as_str().or_else(|| v["id"].as_str())).unwrap_or_default().to_string();
    let (kind, id) = (text("object"), text("id"));
    let theirs =
        |collection, customer: &str| state.of_customer(collection, customer, Bounds::ALL).into_iter().filter_map(|(_, id)| state.get(&id));
    let part = match (kind.as_str(), name) {
        ("invoice", "payments") => {
            let payments = theirs(Collection::InvoicePayments, &text("customer")).filter(|p| p["invoice"] == id.as_str()).collect();
            listing::inner(format!("/v1/invoice_payments?invoice={id}"), payments)
        }
        ("customer", "subscriptions") => {
            let live = theirs(Collection::Subscriptions, &id);
            let live = live.filter(|s| s["status"] != "canceled" && s["status"] != "incomplete_expired").collect();
            listing::inner(format!("/v1/customers/{id}/subscriptions"), live)
        }
        ("customer", "sources" | "tax_ids") => listing::inner(format!("/v1/customers/{id}/{name}"), Vec::new()),
        ("charge", "refunds") => listing::inner(
            format!("/v1/charges/{id}/refunds"),
            state.made(Collection::Refunds).filter(|r| r["charge"] == id.as_str()).collect(),
        ),
        ("checkout.session", "line_items") => {
            listing::inner(format!("/v1/checkout/sessions/{id}/line_items"), sessions::line_items(state, &id))
        }
        ("price", "currency_options") => {
            let currency = text("currency");
            let terms = json!({
                "custom_unit_amount": null,
                "tax_behavior": object.get("tax_behavior"),
                "unit_amount": object.get("unit_amount"),
                "unit_amount_decimal": object.get("unit_amount_decimal")
            });
            json!({ currency: terms })
        }
        _ => return,
    };
    object.insert(name.to_string(), part);
}

fn refused(path: &str) -> Failure {
    Failure::new(400, format!("This property cannot be expanded ({path}).")).param("expand")
}
