//! The routes under `/_sim/`, which the real API does not have: attempts, faults, keys, requests. For tests and incidents.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Rule;
use super::server::{Shared, plain};

#[derive(Deserialize)]
struct NewKey {
    permissions: Vec<String>,
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
        _ => plain(StatusCode::NOT_FOUND, "there are /_sim/attempts, /_sim/requests, /_sim/faults, /_sim/keys and /_sim/deliveries"),
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
