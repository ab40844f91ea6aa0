//! `expand[]`: ids replaced by their objects, and the parts that are only sent when asked for.

use serde_json::{Value, json};

use super::failure::Failure;
use super::form::Bounds;
use super::listing;
use super::route::Call;
use super::state::State;
use super::timeline::Collection;

const DEEPEST: usize = 4;

/// One object, expanded as the call asks.
pub fn one(state: &State, call: &Call, mut object: Value) -> Result<Value, Failure> {
    for path in call.params.list("expand") {
        let parts = split(path)?;
        step(state, &mut object, &parts, path)?;
    }
    Ok(object)
}

/// A list, its elements expanded by the paths that begin with `data.`.
pub fn page(state: &State, call: &Call, url: &str, mut data: Vec<Value>, has_more: bool) -> Result<Value, Failure> {
    elements(state, call, &mut data)?;
    let mut page = json!({ "object": "list", "data": null, "has_more": has_more, "url": url });
    // Within the macro every element would be copied.
    page["data"] = data.into();
    Ok(page)
}

/// The elements of a list or search result.
pub fn elements(state: &State, call: &Call, data: &mut [Value]) -> Result<(), Failure> {
    for path in call.params.list("expand") {
        let parts = split(path)?;
        match parts.split_first() {
            Some((&"data", rest)) if !rest.is_empty() => {
                for element in data.iter_mut() {
                    step(state, element, rest, path)?;
                }
            }
            Some((&"total_count", [])) => {}
            _ => return Err(refused(path)),
        }
    }
    Ok(())
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

fn step(state: &State, value: &mut Value, parts: &[&str], path: &str) -> Result<(), Failure> {
    let Some((&first, rest)) = parts.split_first() else { return Ok(()) };
    if let Value::Array(elements) = value {
        if first == "data" {
            return Err(refused(path));
        }
        return elements.iter_mut().try_for_each(|e| step(state, e, parts, path));
    }
    include(state, value, first);
    let Some(inner) = value.get_mut(first) else { return Err(refused(path)) };
    match inner {
        Value::Null => Ok(()),
        Value::String(id) => {
            // Only ids of objects expand; a status or an address does not.
            let Some(object) = state.get(id) else { return Err(refused(path)) };
            *inner = object;
            step(state, inner, rest, path)
        }
        Value::Array(elements) if first == "data" => elements.iter_mut().try_for_each(|e| step(state, e, rest, path)),
        Value::Object(_) | Value::Array(_) => step(state, inner, rest, path),
        _ => Err(refused(path)),
    }
}

/// Parts of an object that are sent only when expanded.
fn include(state: &State, value: &mut Value, name: &str) {
    let Some(object) = value.as_object_mut() else { return };
    if object.contains_key(name) {
        return;
    }
    let kind = object.get("object").and_then(Value::as_str).unwrap_or_default();
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_string();
    let part = match (kind, name) {
        ("invoice", "payments") => {
            let customer = object.get("customer").and_then(|c| c.as_str().or_else(|| c["id"].as_str())).unwrap_or_default();
            let found = state.of_customer(Collection::InvoicePayments, customer, Bounds::ALL);
            let payments = found.into_iter().filter_map(|(_, p)| state.get(&p)).filter(|p| p["invoice"] == id.as_str()).collect();
            listing::inner(format!("/v1/invoice_payments?invoice={id}"), payments)
        }
        ("customer", "subscriptions") => {
            let found = state.of_customer(Collection::Subscriptions, &id, Bounds::ALL);
            let live = found.into_iter().filter_map(|(_, s)| state.get(&s)).filter(|s| s["status"] != "canceled").collect();
            listing::inner(format!("/v1/customers/{id}/subscriptions"), live)
        }
        _ => return,
    };
    object.insert(name.to_string(), part);
}

fn refused(path: &str) -> Failure {
    Failure::new(400, format!("This property cannot be expanded ({path}).")).param("expand")
}
