//! Refusals: keys, permissions, parameters, and idempotency keys used twice.

use std::time::{Duration, Instant};

use chrono::Utc;
use nightdesk::sandbox::population::PRICE_PRO_MONTH;
use nightdesk::sandbox::stripe::{Effect, NewCheckout, Rule, When};
use reqwest::Method;

use super::bench::Bench;

#[tokio::test]
async fn keys_and_permissions() {
    let bench = Bench::new(20).await;
    let url = format!("{}/v1/customers", bench.sim.base_url());
    bench.send(bench.http.get(&url)).await.refused(401, "", "You did not provide an API key.");
    bench.send(bench.http.get(&url).bearer_auth("sk_test_nobody")).await.refused(401, "", "Invalid API Key provided: sk_");
    let live = bench.send(bench.http.get(&url).bearer_auth("sk_live_51abcdefghijklmnopqrstuvwxyz")).await;
    live.refused(401, "", "Invalid API Key provided: sk_live_");
    assert!(!live.text.contains("abcdefghij"));
    assert_eq!(bench.send(bench.http.get(&url).basic_auth(&bench.key, None::<&str>)).await.status, 200);
    let narrow = bench.sim.restricted_key(&["rak_customer_read"]);
    assert_eq!(bench.send(bench.http.get(&url).bearer_auth(&narrow)).await.status, 200);
    for (method, path, slug) in [
        (Method::GET, "subscriptions", "rak_subscription_read"),
        (Method::GET, "prices", "rak_plan_read"),
        (Method::GET, "products/prod_pro", "rak_product_read"),
        (Method::GET, "checkout/sessions", "rak_checkout_session_read"),
        (Method::GET, "invoices", "rak_invoice_read"),
        (Method::GET, "subscriptions/search", "rak_subscription_read"),
        (Method::GET, "subscription_items/si_x", "rak_subscription_read"),
        (Method::GET, "payment_intents", "rak_payment_intent_read"),
        (Method::GET, "charges/ch_x", "rak_charge_read"),
        (Method::GET, "events", "rak_event_read"),
        (Method::GET, "webhook_endpoints", "rak_webhook_read"),
        (Method::GET, "account", "rak_account_read"),
        (Method::GET, "balance", "rak_balance_read"),
        (Method::POST, "customers/cus_x", "rak_customer_write"),
        (Method::POST, "events/evt_x/retry", "rak_webhook_write"),
    ] {
        let url = format!("{}/v1/{path}", bench.sim.base_url());
        let reply = bench.send(bench.http.request(method, url).bearer_auth(&narrow)).await;
        let sentence = format!(
            "does not have the required permissions for this endpoint on account '{}'. Having the '{slug}' permission would allow this request to continue.",
            bench.sim.account()
        );
        reply.refused(403, "", &sentence);
        assert!(!reply.text.contains(&narrow));
    }
    let made =
        bench.send(bench.http.post(format!("{}/_sim/keys", bench.sim.base_url())).body(r#"{"permissions":["rak_event_read"]}"#)).await;
    let key = made.json()["key"].as_str().expect("a key").to_string();
    let events = format!("{}/v1/events", bench.sim.base_url());
    assert_eq!(bench.send(bench.http.get(events).bearer_auth(key)).await.status, 200);
}

#[tokio::test]
async fn refusals_in_stripes_shape() {
    let bench = Bench::new(20).await;
    bench.get("/v1/customers?foo=1").await.refused(400, "parameter_unknown", "Received unknown parameter: foo");
    bench.get("/v1/customers?limit=101").await.refused(400, "parameter_invalid_integer", "less than or equal to 100");
    bench.get("/v1/customers?limit=x").await.refused(400, "parameter_invalid_integer", "Invalid integer: x");
    bench.get("/v1/customers?starting_after=cus_no").await.refused(400, "resource_missing", "No such customer: 'cus_no'");
    bench.get("/v1/subscriptions?customer=cus_no").await.refused(400, "resource_missing", "No such customer: 'cus_no'");
    bench.get("/v1/subscriptions?status=suspended").await.refused(400, "", "Invalid status");
    bench.get("/v1/invoices/in_no").await.refused(404, "resource_missing", "No such invoice: 'in_no'");
    bench.get("/v1/payment_intents/pi_no").await.refused(404, "resource_missing", "No such payment_intent: 'pi_no'");
    bench.get("/v1/charges/ch_no").await.refused(404, "resource_missing", "No such charge: 'ch_no'");
    bench.get("/v1/charges?payment_intent=pi_no").await.refused(400, "resource_missing", "No such payment_intent: 'pi_no'");
    bench.get("/v1/subscription_items/si_no").await.refused(404, "resource_missing", "No such subscription_item: 'si_no'");
    bench.get("/v1/nonsense").await.refused(404, "", "Unrecognized request URL (GET: /v1/nonsense).");
    bench.get("/v1/customers/").await.refused(404, "", "remove the trailing slash");
    bench.post("/v1/balance", "", None).await.refused(404, "", "Unrecognized request URL (POST: /v1/balance).");
    let many: String = (0..21).map(|n| format!("&types[{n}]=a.b{n}")).collect();
    bench.get(&format!("/v1/events?limit=1{many}")).await.refused(400, "", "up to 20");
    bench.get("/v1/events?type=a&types[]=b").await.refused(400, "", "only specify one");
    let reply = bench.get("/v1/customers/cus_no").await;
    assert_eq!(reply.json()["error"]["param"], "id");
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert!(reply.header("request-id").starts_with("req_") && reply.text.contains(reply.header("request-id")));
    assert_eq!((reply.header("stripe-version"), reply.header("stripe-should-retry")), ("2026-09-30.endive", "false"));
    let dated = bench.send(bench.request(Method::GET, "/v1/balance").header("Stripe-Version", "2025-01-27.acacia")).await;
    assert_eq!(dated.header("stripe-version"), "2025-01-27.acacia");
    let old = bench.sim.checkout(NewCheckout {
        number: 1,
        price: PRICE_PRO_MONTH.to_string(),
        client_reference_id: None,
        metadata: Vec::new(),
        at: Utc::now() - chrono::Duration::days(31),
        new_customer: true,
    });
    bench.get(&format!("/v1/events/{}", old.session_completed)).await.refused(404, "resource_missing", "No such event");
    let retry = format!("/v1/events/{}/retry", old.session_completed);
    bench.post(&retry, "", None).await.refused(404, "resource_missing", "No such notification: 'evt_");
    assert!(!bench.walk("/v1/events?limit=100").await.contains(&old.session_completed));
}

#[tokio::test]
async fn idempotency_keys_replay_mismatch_and_wait() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let path = format!("/v1/customers/{customer}");
    let first = bench.post(&path, "name=A&metadata[x]=1", Some("k1")).await;
    assert_eq!(bench.post(&path, "name=B", None).await.json()["name"], "B");
    let replay = bench.post(&path, "metadata[x]=1&name=A", Some("k1")).await;
    assert_eq!((replay.status, &replay.text), (200, &first.text), "the first answer, byte for byte");
    assert_eq!((replay.header("idempotent-replayed"), replay.header("idempotency-key")), ("true", "k1"));
    assert_eq!(replay.header("original-request"), first.header("request-id"));
    assert_eq!(bench.get(&path).await.json()["name"], "B", "nothing was done twice");
    let mismatch = bench.post(&path, "name=C", Some("k1")).await;
    mismatch.refused(400, "", "Keys for idempotent requests can only be used with the same parameters");
    assert_eq!(mismatch.json()["error"]["type"], "idempotency_error");
    bench.post(&path, "nme=D", Some("k2")).await.refused(400, "parameter_unknown", "nme");
    assert_eq!(bench.post(&path, "name=D", Some("k2")).await.status, 200, "a refused request leaves its key free");
    let rule = bench.sim.faults().add(Rule::always("/v1/customers", Effect::Delay { ms: 1_500 }).method("POST"));
    let (slow, eager) = tokio::join!(bench.post(&path, "name=E", Some("k3")), async {
        let deadline = Instant::now() + Duration::from_secs(10);
        while bench.sim.faults().rules()[0].struck == 0 {
            assert!(Instant::now() < deadline, "the first request arrives");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.post(&path, "name=E", Some("k3")).await
    });
    assert_eq!(slow.status, 200);
    eager.refused(409, "idempotency_key_in_use", "another in-progress request");
    assert_eq!(eager.header("stripe-should-retry"), "true");
    assert!(bench.sim.faults().remove(rule));
    // The work is done, the answer is lost, the same key gets it.
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Reset).method("POST").when(When::First(1)).after_the_work());
    let lost = bench.request(Method::POST, &path).header("Idempotency-Key", "k4").body("name=F").send().await;
    assert!(lost.is_err());
    assert_eq!(bench.get(&path).await.json()["name"], "F");
    let found = bench.post(&path, "name=F", Some("k4")).await;
    assert_eq!(found.header("idempotent-replayed"), "true");
    let updates = bench.get("/v1/events?type=customer.updated&limit=100").await.ids().len();
    assert_eq!(updates, 5, "A, B, D, E, F: one event each");
}
