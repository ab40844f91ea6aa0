//! The routes under `/_sim/`, which the real API does not have: attempts, faults, keys, requests. For tests and incidents.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{self, Payer};
use super::faults::Rule;
use super::server::{Shared, plain};

#[derive(Deserialize)]
struct NewKey {
    permissions: Vec<String>,
}

/// What a customer would type in.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    payment_method: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

pub fn handle(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Response {
    let segments: Vec<&str> = path.trim_start_matches("/_sim/").split('/').collect();
    match (method.as_str(), &segments[..]) {
        ("GET", ["attempts"]) => json(&json!(*shared.attempts.lock().unwrap_or_else(PoisonError::into_inner))),
        ("GET", ["requests"]) => json(&json!(*shared.requests.lock().unwrap_or_else(PoisonError::into_inner))),
        ("GET", ["faults"]) => json(&json!(shared.faults.rules())),
        ("POST", ["faults"]) => with::<Rule>(body, |rule| json!({ "id": shared.faults.add(rule) })),
        ("DELETE", ["faults"]) => {
            shared.faults.clear();
            json(&json!([]))
        }
        ("DELETE", ["faults", id]) => match id.parse().ok().filter(|id| shared.faults.remove(*id)) {
            Some(_) => json(&json!(shared.faults.rules())),
            None => plain(StatusCode::NOT_FOUND, &format!("there is no fault rule number {id}")),
        },
        ("POST", ["keys"]) => with::<NewKey>(body, |new| {
            let permissions: Vec<&str> = new.permissions.iter().map(String::as_str).collect();
            json!({ "key": shared.keys.lock().unwrap_or_else(PoisonError::into_inner).add_restricted(&permissions) })
        }),
        ("POST", ["deliveries"]) => with::<Switch>(body, |switch| {
            shared.deliveries.store(switch.on, Ordering::Relaxed);
            json!({ "on": switch.on })
        }),
        ("GET", ["checkout", _]) => {
            plain(StatusCode::OK, "Here the customer would pay. Post to this address with /complete at its end instead.")
        }
        ("POST", ["checkout", id, "complete"]) => complete(shared, id, body),
        _ => plain(
            StatusCode::NOT_FOUND,
            "there are /_sim/attempts, /_sim/requests, /_sim/faults, /_sim/keys, /_sim/deliveries and /_sim/checkout/ID",
        ),
    }
}

/// The customer pays in an open session.
fn complete(shared: &Shared, session: &str, body: &[u8]) -> Response {
    let payer: Payment = match body {
        [] => Payment::default(),
        body => match serde_json::from_slice(body) {
            Ok(payer) => payer,
            Err(e) => return plain(StatusCode::BAD_REQUEST, &format!("the body is not what this route takes: {e}")),
        },
    };
    let payer = Payer { payment_method: payer.payment_method.as_deref(), email: payer.email.as_deref(), name: payer.name.as_deref() };
    let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
    let done = acts::complete_checkout(&mut state, session, payer, shared.clock.now());
    shared.dispatch(&mut state);
    match done {
        Ok(()) => json(&state.get(session).unwrap_or_default()),
        Err(refusal) => plain(StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST), &refusal.message),
    }
}

fn with<T: for<'de> Deserialize<'de>>(body: &[u8], run: impl FnOnce(T) -> Value) -> Response {
    match serde_json::from_slice(body) {
        Ok(value) => json(&run(value)),
        Err(e) => plain(StatusCode::BAD_REQUEST, &format!("the body is not what this route takes: {e}")),
    }
}

fn json(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
