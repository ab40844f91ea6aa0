//! Webhooks: signatures, attempts, pending counts, sending again.

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

use super::bench::Bench;
use super::receiver::Receiver;

fn is_signed(secret: &str, header: &str, body: &str) -> bool {
    let part = |name: &str| header.split(',').find_map(|p| p.strip_prefix(name)).expect("both parts");
    let at: i64 = part("t=").parse().expect("seconds");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("{at}.{body}").as_bytes());
    (Utc::now().timestamp() - at).abs() < 60 && mac.verify_slice(&hex::decode(part("v1=")).expect("hex")).is_ok()
}

#[tokio::test]
async fn deliveries_are_signed_logged_and_counted() {
    let bench = Bench::new(50).await;
    let receiver = Receiver::default();
    bench.sim.set_webhook_url(receiver.start().await);
    let secret = bench.sim.webhook_secret();
    let made = bench.checkout(3, true);
    let event = made.subscribed.subscription_created.clone();
    let pending = || bench.sim.object(&event).expect("kept")["pending_webhooks"].clone();
    receiver.answer(500, &"x".repeat(5_000));
    let failed = bench.sim.deliver(&event).await;
    assert_eq!((failed.status, failed.delivered(), failed.body.len()), (Some(500), false, 1_024));
    assert_eq!(pending(), 1);
    receiver.answer(302, "");
    assert!(!bench.sim.deliver(&event).await.delivered(), "a redirect is no delivery");
    receiver.answer(200, "{\"ok\":true}");
    assert!(bench.sim.deliver(&event).await.delivered() && bench.sim.deliver(&event).await.delivered());
    assert_eq!(pending(), 0);
    for got in receiver.got() {
        assert!(is_signed(&secret, &got.signature, &got.body) && !is_signed("whsec_other", &got.signature, &got.body));
        assert_eq!(got.json()["id"], event.as_str());
    }
    let attempts = bench.send(bench.http.get(format!("{}/_sim/attempts", bench.sim.base_url()))).await.json();
    let statuses: Vec<_> = attempts.as_array().expect("a list").iter().map(|a| a["status"].as_u64().unwrap_or(0)).collect();
    assert_eq!(statuses, [500, 302, 200, 200]);
    assert!(bench.sim.deliver("evt_no").await.error.is_some());
    assert!(bench.sim.deliver(made.customer_created.as_deref().expect("new")).await.error.is_some(), "not subscribed");
}

#[tokio::test]
async fn events_are_delivered_by_themselves_and_sent_again_on_request() {
    let bench = Bench::new(50).await;
    let receiver = Receiver::default();
    receiver.answer(200, "ok");
    bench.sim.set_webhook_url(receiver.start().await);
    let missed = bench.checkout(1, true);
    bench.sim.set_deliveries(true);
    let made = bench.checkout(2, true);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids().len(), 3);
    assert!(receiver.ids().iter().all(|id| made.events().contains(id)), "those before stay missed");
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let retry = format!("/v1/events/{}/retry", missed.session_completed);
    let reply = bench.post(&retry, &format!("webhook_endpoint={endpoint}"), Some("again-1")).await;
    assert_eq!((reply.status, &reply.json()["object"]), (200, &json!("event")));
    bench.sim.deliveries_done().await;
    assert_eq!((receiver.ids().len(), receiver.ids().last()), (4, Some(&missed.session_completed)));
    bench.post(&retry, "webhook_endpoint=we_no", None).await.refused(404, "resource_missing", "No such webhook endpoint");
    let unsubscribed = format!("/v1/events/{}/retry", missed.customer_created.expect("new"));
    bench.post(&unsubscribed, &format!("webhook_endpoint={endpoint}"), None).await.refused(404, "", "not subscribed");
    assert_eq!(bench.get("/v1/events?delivery_success=false").await.ids().len(), 2, "only the two never sent are pending");
}
