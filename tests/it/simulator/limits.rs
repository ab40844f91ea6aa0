//! Limits: requests beyond them, objects that somebody else holds, and keys of every kind.

use std::time::Duration;

use nightdesk::sandbox::stripe::{Effect, Limits, Rule};
use reqwest::Method;
use serde_json::json;

use super::bench::{Bench, Reply};

fn limited(reply: &Reply, reason: &str) {
    reply.refused(429, "rate_limit", "Request rate limit exceeded");
    assert_eq!(reply.header("stripe-rate-limited-reason"), reason);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
}

/// How many of so many requests were let in, and the last that was not.
async fn burst(bench: &Bench, path: &str, count: usize) -> (usize, Option<Reply>) {
    let replies = futures_util::future::join_all((0..count).map(|_| bench.get(path))).await;
    let admitted = replies.iter().filter(|r| r.status == 200).count();
    (admitted, replies.into_iter().rfind(|r| r.status == 429))
}

#[tokio::test]
async fn rates_per_account_endpoint_and_search() {
    let bench = Bench::new(50).await;
    assert_eq!(burst(&bench, "/v1/balance", 60).await.0, 60, "none until they are set");
    // Slow to grow back, so that a slow machine counts the same.
    bench.sim.set_limits(Limits { account_per_s: Some(3), ..Limits::default() });
    let (admitted, refused) = burst(&bench, "/v1/balance", 30).await;
    assert!((3..30).contains(&admitted), "{admitted}");
    limited(&refused.expect("one too many"), "global-rate");
    bench.sim.set_limits(Limits { endpoint_per_s: Some(3), ..Limits::default() });
    limited(&burst(&bench, "/v1/customers", 30).await.1.expect("one too many"), "endpoint-rate");
    assert_eq!(bench.get("/v1/prices").await.status, 200, "the others go on");
    let url = format!("{}/_sim/limits", bench.sim.base_url());
    let set = bench.send(bench.http.post(&url).body(json!({ "search_per_s": 2 }).to_string())).await;
    assert_eq!(set.json()["search_per_s"], 2);
    limited(&burst(&bench, "/v1/customers/search?query=name~'abc'", 30).await.1.expect("one too many"), "endpoint-rate");
    assert_eq!(burst(&bench, "/v1/customers", 30).await.0, 30);
    assert_eq!(bench.send(bench.http.post(&url).body("{\"colour\":1}")).await.status, 400);
    assert_eq!(Limits::test_mode().account_per_s, Some(25));
}

#[tokio::test]
async fn only_so_many_at_once() {
    let bench = Bench::new(20).await;
    bench.sim.set_limits(Limits { endpoint_at_once: Some(2), ..Limits::default() });
    let rule = bench.sim.faults().add(Rule::always("/v1/customers", Effect::Hang));
    let hanging: Vec<_> = (0..2).map(|_| tokio::spawn(bench.request(Method::GET, "/v1/customers").send())).collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while bench.sim.faults().rules()[0].struck < 2 {
        assert!(std::time::Instant::now() < deadline, "both arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bench.sim.faults().remove(rule));
    limited(&bench.get("/v1/customers").await, "endpoint-concurrency");
    assert_eq!(bench.get("/v1/prices").await.status, 200);
    hanging.iter().for_each(|h| h.abort());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while bench.get("/v1/customers").await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "their places are given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_object_somebody_else_holds() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let path = format!("/v1/customers/{customer}");
    bench.sim.set_limits(Limits { locked: vec![customer.clone()], ..Limits::default() });
    let refused = bench.post(&path, "name=A", Some("lock-1")).await;
    refused.refused(429, "lock_timeout", "This object cannot be accessed right now");
    assert_eq!(refused.header("stripe-rate-limited-reason"), "");
    assert_eq!(bench.get(&path).await.status, 200, "reading is free");
    bench.sim.set_limits(Limits::default());
    let done = bench.post(&path, "name=A", Some("lock-1")).await;
    assert_eq!((done.status, done.header("idempotent-replayed")), (200, ""), "the key was not used up");
}

#[tokio::test]
async fn keys_of_every_kind_by_name() {
    let bench = Bench::new(20).await;
    let get = |key: String| bench.send(bench.http.get(format!("{}/v1/customers", bench.sim.base_url())).bearer_auth(key));
    get(bench.sim.publishable_key()).await.refused(403, "secret_key_required", "cannot be made with a publishable API key");
    let second = bench.sim.named_key("worker", None);
    assert!(second.starts_with("sk_test_"));
    assert_eq!(get(second.clone()).await.status, 200);
    let reader = bench.sim.named_key("application", Some(&["rak_customer_read"]));
    assert_eq!(get(reader.clone()).await.status, 200);
    let write = bench.send(bench.http.post(format!("{}/v1/customers/cus_x", bench.sim.base_url())).bearer_auth(&reader)).await;
    write.refused(403, "", "Having the 'rak_customer_write' permission would allow this request to continue.");
    get("sk_test_nobody".to_string()).await.refused(401, "", "Invalid API Key provided");
    let keys = format!("{}/_sim/keys", bench.sim.base_url());
    let known = bench.send(bench.http.delete(format!("{keys}/worker"))).await;
    assert!(!known.text.contains(&second), "never shown whole");
    let expired = get(second).await;
    expired.refused(401, "api_key_expired", "Expired API Key provided: sk_test_");
    assert_eq!(bench.get("/v1/customers").await.status, 200);
    let made = bench.send(bench.http.post(&keys).body(r#"{"name":"robot","permissions":["rak_customer_read"]}"#)).await;
    get(made.json()["key"].as_str().expect("a key").to_string()).await;
    let names: Vec<_> = bench.sim.requests().into_iter().map(|r| r.key_name.unwrap_or_default()).collect();
    assert_eq!(names, ["", "worker", "application", "application", "", "", "secret", "robot"]);
    let stranger = bench.send(bench.request(Method::GET, "/v1/customers").header("Stripe-Account", "acct_other")).await;
    stranger.refused(403, "account_invalid", "does not have access to account 'acct_other'");
    let own = bench.send(bench.request(Method::GET, "/v1/customers").header("Stripe-Account", bench.sim.account())).await;
    assert_eq!(own.status, 200);
}
