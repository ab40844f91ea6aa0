//! Faults: what goes wrong when a rule says so, and what does not.

use std::time::{Duration, Instant};

use nightdesk::sandbox::stripe::{Effect, Rule, When};
use reqwest::Method;
use serde_json::{Value, json};

use super::bench::Bench;

#[tokio::test]
async fn a_hanging_request_hangs_alone() {
    let bench = Bench::new(50).await;
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Hang));
    let (sim, http) = (bench.sim.clone(), bench.http.clone());
    let hanging: Vec<_> = (0..30)
        .map(|_| {
            let request = http.get(format!("{}/v1/customers", sim.base_url())).bearer_auth(sim.secret_key());
            tokio::spawn(request.send())
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.sim.faults().rules()[0].struck < 30 {
        assert!(Instant::now() < deadline, "all thirty arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    assert_eq!(bench.get("/v1/prices").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "the others go on");
    assert!(hanging.iter().all(|h| !h.is_finished()), "they hang");
    bench.sim.stop().await;
    for request in hanging {
        assert!(request.await.expect("no panic").is_err(), "stopping cuts them");
    }
}

#[tokio::test]
async fn faults_over_http_in_every_kind() {
    let bench = Bench::new(50).await;
    let faults = format!("{}/_sim/faults", bench.sim.base_url());
    let add = |rule: Value| bench.send(bench.http.post(&faults).body(rule.to_string()));
    for (rule, status, needle) in [
        (json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "status": { "status": 500 } } }), 500, "api_error"),
        (
            json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "status": { "status": 429, "headers": [["Stripe-Rate-Limited-Reason", "endpoint-rate"]] } } }),
            429,
            "rate_limit",
        ),
        (json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "garbage": { "status": 502 } } }), 502, "<html>"),
    ] {
        assert_eq!(add(rule).await.status, 200);
        let reply = bench.get("/v1/customers").await;
        assert_eq!(reply.status, status);
        assert!(reply.text.contains(needle), "{}", reply.text);
        if status == 429 {
            assert_eq!(reply.header("stripe-rate-limited-reason"), "endpoint-rate");
        }
        assert_eq!(bench.get("/v1/customers").await.status, 200, "only the first");
        bench.send(bench.http.delete(&faults)).await;
    }
    add(json!({ "path": "/v1/customers", "effect": "truncate" })).await;
    let response = bench.request(Method::GET, "/v1/customers").send().await.expect("headers arrive");
    assert!(response.status().is_success() && response.text().await.is_err(), "half of a body");
    let rules = bench.send(bench.http.get(&faults)).await.json();
    assert_eq!((&rules[0]["struck"], &rules[0]["effect"]), (&json!(1), &json!("truncate")));
    let one = format!("{faults}/{}", rules[0]["id"]);
    assert_eq!(bench.send(bench.http.delete(one)).await.json(), json!([]));
    add(json!({ "path": "/v1/customers", "effect": "reset" })).await;
    assert!(bench.request(Method::GET, "/v1/customers").send().await.is_err());
    assert_eq!(add(json!({ "path": 1 })).await.status, 400);
    let served = bench.send(bench.http.get(format!("{}/_sim/requests", bench.sim.base_url()))).await.json();
    let last = served.as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&last["path"], &last["status"], &last["worked"]), (&json!("/v1/customers"), &Value::Null, &json!(false)));
}

#[tokio::test]
async fn a_client_that_gave_up_can_ask_again_with_the_same_key() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let path = format!("/v1/customers/{customer}");
    let impatient = |key: &str, name: &str| {
        let request = bench.request(Method::POST, &path).header("Idempotency-Key", key).body(format!("name={name}"));
        request.timeout(Duration::from_millis(300)).send()
    };
    let name = || bench.sim.object(&customer).expect("there")["name"].clone();
    let before = name();
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Hang).method("POST").when(When::Nth(1)));
    assert!(impatient("before", "A").await.is_err());
    assert_eq!(name(), before, "nothing was done");
    let again = async |key: &str, name: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let reply = bench.post(&path, &format!("name={name}"), Some(key)).await;
            // The server learns of the client's departure a moment later.
            if reply.status != 409 {
                return reply;
            }
            assert!(Instant::now() < deadline, "the key is freed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = again("before", "A").await;
    assert_eq!((done.status, done.header("idempotent-replayed"), name()), (200, "", json!("A")));
    bench.sim.faults().clear();
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Hang).method("POST").when(When::Nth(1)).after_the_work());
    assert!(impatient("after", "B").await.is_err());
    assert_eq!(name(), json!("B"), "the work was done");
    let replay = again("after", "B").await;
    assert_eq!((replay.status, replay.header("idempotent-replayed")), (200, "true"));
    let works: Vec<_> =
        bench.sim.requests().into_iter().filter(|r| r.worked).map(|r| (r.idempotency_key.unwrap_or_default(), r.status)).collect();
    assert_eq!(works, [("before".to_string(), Some(200)), ("after".to_string(), None)], "each once; the second answer was lost");
}

#[tokio::test]
async fn an_answer_lost_twice_is_replayed_the_third_time() {
    let bench = Bench::new(50).await;
    let intent = bench.post("/v1/payment_intents", "amount=5000&currency=eur&payment_method=pm_card_visa&confirm=true", None).await.json();
    let charge = intent["latest_charge"].as_str().expect("paid").to_string();
    let refund = |key: &'static str| {
        let request = bench.request(Method::POST, "/v1/refunds").header("Idempotency-Key", key);
        request.header("Content-Type", "application/x-www-form-urlencoded").body(format!("charge={charge}&amount=700")).send()
    };
    bench.sim.faults().add(Rule::always("/v1/refunds", Effect::Reset).method("POST").when(When::First(2)).after_the_work());
    let made = async || bench.get(&format!("/v1/refunds?charge={charge}")).await.ids();
    for time in ["first", "second"] {
        assert!(refund("one").await.is_err(), "the {time} answer is lost");
        assert_eq!(made().await.len(), 1, "after the {time}");
    }
    let third = refund("one").await.expect("an answer");
    assert_eq!((third.status().as_u16(), third.headers()["idempotent-replayed"].to_str().ok()), (200, Some("true")));
    let replayed: Value = serde_json::from_str(&third.text().await.expect("a body")).expect("JSON");
    assert_eq!(made().await, [replayed["id"].as_str().expect("an id")], "one refund exists");
    bench.sim.faults().clear();
    // What is down is down for those who ask again, too.
    bench.sim.faults().add(Rule::always("/v1/", Effect::status(503)));
    assert_eq!(refund("one").await.expect("an answer").status().as_u16(), 503);
    bench.sim.faults().clear();
    bench.sim.faults().add(Rule::always("/v1/refunds", Effect::Truncate).method("POST"));
    let half = refund("one").await.expect("headers arrive");
    assert!(half.status().is_success() && half.text().await.is_err(), "half of a body");
    bench.sim.faults().clear();
    assert_eq!(refund("one").await.expect("an answer").headers()["idempotent-replayed"], "true", "the key kept its answer");
}
