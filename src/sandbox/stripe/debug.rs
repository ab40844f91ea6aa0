//! The routes under `/_sim/`, which the real API does not have: logs, clock, limits, faults, keys, deliveries. For tests and incidents.

use std::sync::PoisonError;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{self, Payer};
use super::delivery::{DeliveryRule, DeliverySettings};
use super::faults::Rule;
use super::form::Params;
use super::limits::Limits;
use super::shared::Shared;

const ROUTES: &str = "there are /_sim/attempts, /_sim/checkout/{id}/complete, /_sim/clock, /_sim/deliveries, /_sim/delivery_rules, /_sim/faults, /_sim/keys, /_sim/limits, /_sim/notices, /_sim/requests and /_sim/webhook_endpoints/{id}/rotate";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: Option<String>,
    /// `None`: a secret key.
    permissions: Option<Vec<String>>,
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
#[serde(deny_unknown_fields)]
struct Move {
    advance_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    old_expires_seconds: u32,
}

/// It waits for locks and lets happen what falls due: not for a thread that others wait for.
pub fn handle(shared: &Shared, method: &Method, path: &str, query: &str, body: &[u8]) -> Response {
    let segments: Vec<&str> = path.trim_start_matches("/_sim/").split('/').collect();
    match (method.as_str(), &segments[..]) {
        ("GET", ["attempts"]) => attempts(shared, query),
        ("GET", ["requests"]) => json(&json!(*shared.requests.lock().unwrap_or_else(PoisonError::into_inner))),
        ("GET", ["notices"]) => json(&json!(shared.state.read().unwrap_or_else(PoisonError::into_inner).notices)),
        ("GET", ["clock"]) => json(&json!({ "now": shared.clock.now() })),
        ("POST", ["clock"]) => advance(shared, body),
        ("GET", ["limits"]) => json(&json!(shared.limiter.get())),
        ("POST", ["limits"]) => with::<Limits>(body, |limits| {
            shared.limiter.set(limits);
            json!(shared.limiter.get())
        }),
        ("GET", ["deliveries"]) => json(&json!(shared.delivery.get())),
        ("POST", ["deliveries"]) => change_deliveries(shared, body),
        ("GET", ["checkout", _]) => {
            plain(StatusCode::OK, "Here the customer would pay. Post to this address with /complete at its end instead.")
        }
        ("POST", ["checkout", id, "complete"]) => complete(shared, id, body),
        ("POST", ["webhook_endpoints", id, "rotate"]) => rotate(shared, id, body),
        (_, ["faults", ..]) => faults(shared, method, &segments[1..], body),
        (_, ["delivery_rules", ..]) => delivery_rules(shared, method, &segments[1..], body),
        (_, ["keys", ..]) => keys(shared, method, &segments[1..], body),
        _ => plain(StatusCode::NOT_FOUND, ROUTES),
    }
}

fn attempts(shared: &Shared, query: &str) -> Response {
    let params = Params::parse(query, "");
    if params.check(&["event", "endpoint"]).is_err() {
        return plain(StatusCode::BAD_REQUEST, "attempts are chosen by event and endpoint");
    }
    let wanted = |name: &str, value: &str| params.text(name).is_none_or(|text| text == value);
    let attempts = shared.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let found: Vec<_> = attempts.iter().filter(|a| wanted("event", &a.event) && wanted("endpoint", &a.endpoint)).collect();
    json(&json!(found))
}

fn advance(shared: &Shared, body: &[u8]) -> Response {
    let step = match serde_json::from_slice::<Move>(body) {
        Ok(step) => TimeDelta::seconds(i64::from(step.advance_seconds)),
        Err(e) => return misfit(&e),
    };
    if !shared.clock.advance(step) {
        return plain(
            StatusCode::BAD_REQUEST,
            "the clock goes forward only, and at most a century ahead of the machine's: take another step",
        );
    }
    shared.settle();
    shared.wake.notify_one();
    json(&json!({ "now": shared.clock.now() }))
}

/// Changes the settings named, and only those.
fn change_deliveries(shared: &Shared, body: &[u8]) -> Response {
    let merged = serde_json::from_slice::<serde_json::Map<String, Value>>(body).map(|changes| {
        let mut settings = json!(shared.delivery.get());
        changes.into_iter().for_each(|(name, value)| settings[name] = value);
        settings
    });
    match merged.and_then(serde_json::from_value::<DeliverySettings>) {
        Ok(settings) => {
            shared.delivery.change(|s| *s = settings);
            json(&json!(settings))
        }
        Err(e) => misfit(&e),
    }
}

/// The customer pays in an open checkout session.
fn complete(shared: &Shared, session: &str, body: &[u8]) -> Response {
    let payer = match body {
        [] => Ok(Payment::default()),
        body => serde_json::from_slice(body),
    };
    let payer: Payment = match payer {
        Ok(payer) => payer,
        Err(e) => return misfit(&e),
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

fn rotate(shared: &Shared, id: &str, body: &[u8]) -> Response {
    let rotation = match serde_json::from_slice::<Rotation>(body) {
        Ok(rotation) => rotation,
        Err(e) => return misfit(&e),
    };
    let until = shared.clock.now() + TimeDelta::seconds(i64::from(rotation.old_expires_seconds));
    match shared.state.write().unwrap_or_else(PoisonError::into_inner).rotate_secret(id, until) {
        Some(secret) => json(&json!({ "id": id, "secret": secret })),
        None => plain(StatusCode::NOT_FOUND, &format!("there is no webhook endpoint {id}")),
    }
}

fn faults(shared: &Shared, method: &Method, rest: &[&str], body: &[u8]) -> Response {
    match (method.as_str(), rest) {
        ("GET", []) => json(&json!(shared.faults.rules())),
        ("POST", []) => with::<Rule>(body, |rule| json!({ "id": shared.faults.add(rule) })),
        ("DELETE", []) => {
            shared.faults.clear();
            json(&json!([]))
        }
        ("DELETE", [id]) => match id.parse().is_ok_and(|id| shared.faults.remove(id)) {
            true => json(&json!(shared.faults.rules())),
            false => plain(StatusCode::NOT_FOUND, &format!("there is no fault rule number {id}")),
        },
        _ => plain(StatusCode::NOT_FOUND, ROUTES),
    }
}

fn delivery_rules(shared: &Shared, method: &Method, rest: &[&str], body: &[u8]) -> Response {
    let rules = &shared.delivery_rules;
    match (method.as_str(), rest) {
        ("GET", []) => json(&json!(rules.rules())),
        ("POST", []) => with::<DeliveryRule>(body, |rule| json!({ "id": rules.add(rule) })),
        ("DELETE", []) => {
            rules.clear();
            json(&json!([]))
        }
        ("DELETE", [id]) => match id.parse().is_ok_and(|id| rules.remove(id)) {
            true => json(&json!(rules.rules())),
            false => plain(StatusCode::NOT_FOUND, &format!("there is no delivery rule number {id}")),
        },
        _ => plain(StatusCode::NOT_FOUND, ROUTES),
    }
}

fn keys(shared: &Shared, method: &Method, rest: &[&str], body: &[u8]) -> Response {
    let mut keys = shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
    match (method.as_str(), rest) {
        ("GET", []) => json(&json!(keys.known())),
        ("POST", []) => with::<NewKey>(body, |new| {
            let permissions: Option<Vec<&str>> = new.permissions.as_ref().map(|all| all.iter().map(String::as_str).collect());
            let usual = if permissions.is_some() { "restricted" } else { "secret" };
            json!({ "key": keys.add(new.name.as_deref().unwrap_or(usual), permissions.as_deref()) })
        }),
        ("DELETE", [name]) => match keys.expire(name) {
            true => json(&json!(keys.known())),
            false => plain(StatusCode::NOT_FOUND, &format!("there is no key called {name}")),
        },
        _ => plain(StatusCode::NOT_FOUND, ROUTES),
    }
}

fn with<T: for<'de> Deserialize<'de>>(body: &[u8], run: impl FnOnce(T) -> Value) -> Response {
    match serde_json::from_slice(body) {
        Ok(value) => json(&run(value)),
        Err(e) => misfit(&e),
    }
}

fn misfit(error: &serde_json::Error) -> Response {
    plain(StatusCode::BAD_REQUEST, &format!("the body is not what this route takes: {error}"))
}

fn json(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
