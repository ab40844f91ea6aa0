//! Stripe, seen by an account with a past: every third event comes in the shape of an API version before 2025. A proxy in front of the simulator.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::bench::http;

const OLD_VERSION: &str = "2022-11-15";

/// Where to ask instead; it serves as long as the test's runtime lives.
pub async fn before(simulator: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(pass).with_state((simulator, http()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn pass(
    State((simulator, http)): State<(String, reqwest::Client)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = http.request(method, format!("{simulator}{uri}")).body(body);
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, is_list) = (answer.status(), uri.path().ends_with("/v1/events"));
    let text = answer.text().await.unwrap();
    let text = match serde_json::from_str::<Value>(&text) {
        Ok(mut list) if is_list => {
            list["data"].as_array_mut().into_iter().flatten().for_each(age);
            list.to_string()
        }
        _ => text,
    };
    (StatusCode::from_u16(status.as_u16()).unwrap(), [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Every third, by its id.
fn age(event: &mut Value) {
    let drawn: u32 = event["id"].as_str().unwrap_or_default().bytes().map(u32::from).sum();
    if !drawn.is_multiple_of(3) {
        return;
    }
    event["api_version"] = json!(OLD_VERSION);
    periods_to_the_top(&mut event["data"]["previous_attributes"]);
    let object = &mut event["data"]["object"];
    match object["object"].as_str() {
        Some("subscription") => periods_to_the_top(object),
        Some("invoice") => {
            object["subscription"] = object["parent"]["subscription_details"]["subscription"].clone();
            object.as_object_mut().map(|o| o.remove("parent"));
        }
        _ => {}
    }
}

/// A subscription's period stood on itself, and not on its items.
fn periods_to_the_top(subscription: &mut Value) {
    let Some(items) = subscription.get_mut("items").and_then(|i| i["data"].as_array_mut()) else { return };
    let mut found = Vec::new();
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        for name in ["current_period_start", "current_period_end"] {
            found.extend(item.remove(name).map(|value| (name, value)));
        }
    }
    for (name, value) in found {
        subscription[name] = value;
    }
}
