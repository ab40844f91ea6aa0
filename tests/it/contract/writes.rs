//! Idempotency keys over everything that is posted: the same request again, another one under the same key, and one that was refused.

use reqwest::Method;

use super::conform::conform;
use super::world::{Served, World};

/// The newest events that came of requests with a key.
async fn told(world: &World, key: &str) -> Vec<String> {
    let page = world.bench.get("/v1/events?limit=100").await.json();
    let events = page["data"].as_array().into_iter().flatten().filter(|e| e["request"]["idempotency_key"] == key);
    events.filter_map(|e| e["id"].as_str()).map(str::to_string).collect()
}

#[tokio::test]
async fn a_key_replays_its_first_answer_and_refuses_other_parameters() {
    let world = World::new().await;
    let mut keys = 0;
    for served in Served::all().into_iter().filter(|s| s.method == Method::POST) {
        keys += 1;
        let (key, case) = (format!("contract-{keys}"), world.case(&served).await);
        let name = served.name();
        let first = world.call(&Method::POST, &case.path, &case.form, Some(&key)).await;
        assert_eq!(first.status, 200, "{name}: {}", first.text);
        assert_eq!(first.header("idempotent-replayed"), "", "{name}");
        let events = told(&world, &key).await;
        let again = world.call(&Method::POST, &case.path, &case.form, Some(&key)).await;
        assert_eq!((again.status, &again.text), (200, &first.text), "{name}");
        assert_eq!((again.header("idempotent-replayed"), again.header("idempotency-key")), ("true", key.as_str()), "{name}");
        assert_eq!(again.header("original-request"), first.header("request-id"), "{name}");
        assert_eq!(told(&world, &key).await, events, "{name} did nothing the second time");
        let other = format!("{}&expand[0]=metadata", case.form);
        let mismatch = world.call(&Method::POST, &case.path, other.trim_start_matches('&'), Some(&key)).await;
        assert_eq!(mismatch.status, 400, "{name}: {}", mismatch.text);
        let body = mismatch.json();
        assert_eq!(body["error"]["type"], "idempotency_error", "{name}: {body}");
        assert!(
            body["error"]["message"].as_str().is_some_and(|m| m.starts_with("Keys for idempotent requests can only be used with the same"))
        );
        assert_eq!(conform("error", &body), [], "{name}");
        let elsewhere = world.call(&Method::POST, "/v1/customers/nobody", "", Some(&key)).await;
        assert_eq!(elsewhere.json()["error"]["type"], "idempotency_error", "one key, one endpoint: {name}");
    }
    assert!(keys > 2, "something is posted");
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let world = World::new().await;
    for (at, served) in Served::all().into_iter().filter(|s| s.method == Method::POST).enumerate() {
        let (key, case) = (format!("refused-{at}"), world.case(&served).await);
        let wrong = format!("{}&wishes=1", case.form);
        let refused = world.call(&Method::POST, &case.path, wrong.trim_start_matches('&'), Some(&key)).await;
        refused.refused(400, "parameter_unknown", "wishes");
        let done = world.call(&Method::POST, &case.path, &case.form, Some(&key)).await;
        assert_eq!((done.status, done.header("idempotent-replayed")), (200, ""), "{}: {}", served.name(), done.text);
    }
}

#[tokio::test]
async fn what_cannot_be_expanded_is_refused_before_anything_is_done() {
    let world = World::new().await;
    let newest = || async { world.bench.get("/v1/events?limit=1").await.json()["data"][0]["id"].clone() };
    for served in Served::all().into_iter().filter(|s| s.method == Method::POST && s.takes("expand")) {
        let case = world.case(&served).await;
        let before = newest().await;
        let form = format!("{}&expand[0]=nowhere", case.form);
        let reply = world.call(&Method::POST, &case.path, &form, None).await;
        assert_eq!(reply.status, 400, "{}: {}", served.name(), reply.text);
        assert_eq!(conform("error", &reply.json()), []);
        assert_eq!(newest().await, before, "{} was refused, and done", served.name());
    }
}
