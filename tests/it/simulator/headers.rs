//! Headers and bodies around every answer: ids, echoes, replays, methods nobody serves, and faults on the wire.

use std::time::{Duration, Instant};

use nightdesk::sandbox::stripe::{Effect, Rule, When};
use reqwest::Method;

use super::bench::Bench;

#[tokio::test]
async fn every_method_gets_an_answer_in_stripes_shape() {
    let bench = Bench::new(20).await;
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let reply = bench.send(bench.request(method.clone(), "/v1/customers")).await;
        reply.refused(404, "", &format!("Unrecognized request URL ({method}: /v1/customers)."));
        assert!(reply.header("request-id").starts_with("req_") && reply.header("content-type") == "application/json");
    }
    let head = bench.send(bench.request(Method::HEAD, "/v1/customers")).await;
    assert_eq!((head.status, head.text.as_str()), (404, ""));
    let json = bench.request(Method::POST, "/v1/customers/cus_x").header("Content-Type", "application/json").body("{\"name\":\"A\"}");
    bench.send(json).await.refused(400, "", "check that your POST content type is application/x-www-form-urlencoded");
    let huge = bench.send(bench.request(Method::POST, "/v1/customers/cus_x").body("a".repeat((1 << 20) + 1))).await;
    huge.refused(413, "", "too large");
    bench.get("/v1/customers?foo=1&bar=2").await.refused(400, "parameter_unknown", "Received unknown parameters: foo, bar");
}

#[tokio::test]
async fn idempotency_is_the_accounts() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let path = format!("/v1/customers/{customer}");
    let first = bench.post(&path, "name=A", Some("k")).await;
    assert_eq!((first.header("original-request"), first.header("idempotent-replayed")), (first.header("request-id"), ""));
    // Another key of the same account, the same idempotency key.
    let url = format!("{}{path}", bench.sim.base_url());
    let other = bench.http.post(url).bearer_auth(bench.sim.named_key("other", None)).header("Idempotency-Key", "k").body("name=A");
    let replay = bench.send(other).await;
    assert_eq!((replay.header("idempotent-replayed"), replay.header("original-request")), ("true", first.header("request-id")));
    assert_ne!(replay.header("request-id"), first.header("request-id"));
    let elsewhere = bench.post("/v1/customers/cus_other", "name=A", Some("k")).await;
    elsewhere.refused(
        400,
        "",
        &format!("Keys for idempotent requests can only be used for the same endpoint they were first used for ('{path}')."),
    );
    assert_eq!(elsewhere.json()["error"]["type"], "idempotency_error");
    // What the endpoint itself answered is remembered, errors included.
    let missing = bench.post("/v1/customers/cus_no", "name=A", Some("k404")).await;
    let again = bench.post("/v1/customers/cus_no", "name=A", Some("k404")).await;
    assert_eq!((again.status, &again.text, again.header("idempotent-replayed")), (404, &missing.text, "true"));
    // A failure before the work leaves the key free; one that was the endpoint's own answer stays its answer for a day.
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::status(500)).method("POST").when(When::Nth(1)));
    assert_eq!(bench.post(&path, "name=B", Some("k500")).await.status, 500);
    assert_eq!(bench.post(&path, "name=B", Some("k500")).await.status, 200);
    bench.sim.faults().clear();
    bench
        .sim
        .faults()
        .add(Rule::always("/v1/customers", Effect::status(500)).method("POST").when(When::Nth(1)).after_the_work().remembered());
    let failed = bench.post(&path, "name=C", Some("kept")).await;
    assert_eq!((failed.status, bench.get(&path).await.json()["name"].as_str()), (500, Some("C")), "done all the same");
    let replay = bench.post(&path, "name=C", Some("kept")).await;
    assert_eq!((replay.status, &replay.text, replay.header("idempotent-replayed")), (500, &failed.text, "true"));
    bench.sim.advance(Duration::from_secs(86_401));
    let anew = bench.post(&path, "name=C", Some("kept")).await;
    assert_eq!((anew.status, anew.header("idempotent-replayed")), (200, ""), "forgotten after a day");
}

#[tokio::test]
async fn events_name_the_request_that_caused_them() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let reply = bench.post(&format!("/v1/customers/{customer}"), "metadata[a]=1&metadata[b]=2", Some("because")).await;
    let event = bench.get("/v1/events?type=customer.updated&limit=1").await.json()["data"][0].clone();
    assert_eq!(
        (event["request"]["id"].as_str(), event["request"]["idempotency_key"].as_str()),
        (Some(reply.header("request-id")), Some("because"))
    );
    assert_eq!(event["data"]["previous_attributes"], serde_json::json!({ "metadata": { "a": null, "b": null } }));
    bench.post(&format!("/v1/customers/{customer}"), "metadata[a]=3", None).await;
    let event = bench.get("/v1/events?type=customer.updated&limit=1").await.json()["data"][0].clone();
    assert_eq!(event["data"]["previous_attributes"], serde_json::json!({ "metadata": { "a": "1" } }), "only the key that changed");
    assert!(event["request"]["id"].is_string() && event["request"]["idempotency_key"].is_null());
    let own = bench.sim.cancel_subscription(&bench.paying("active").plan.expect("pays").subscription, bench.sim.now()).expect("ends");
    let event = bench.get(&format!("/v1/events/{own}")).await.json();
    assert_eq!(event["request"], serde_json::json!({ "id": null, "idempotency_key": null }), "by itself");
}

#[tokio::test]
async fn slow_bodies_and_later_requests() {
    let bench = Bench::new(50).await;
    bench.sim.faults().add(Rule::always("/v1/balance", Effect::Drip { bytes: 40, ms: 20 }));
    let began = Instant::now();
    let slow = bench.get("/v1/balance").await;
    assert_eq!(slow.json()["object"], "balance", "whole in the end");
    let pieces = u32::try_from(slow.text.len().div_ceil(40)).expect("few");
    assert!(began.elapsed() >= Duration::from_millis(20) * pieces, "{:?} for {pieces}", began.elapsed());
    bench.sim.faults().clear();
    bench.sim.faults().add(Rule::always("/v1/prices", Effect::status(503)).when(When::From(3)));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(bench.get("/v1/prices").await.status);
    }
    assert_eq!(statuses, [200, 200, 503, 503, 503]);
}
