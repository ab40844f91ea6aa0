//! Webhooks: signatures, attempts, pending counts, sending again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::bench::Bench;

/// What arrived at a small webhook endpoint, and what it answers next.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(String, String)>>>,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/webhooks/stripe", listener.local_addr().expect("bound"));
        let here = self.clone();
        let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
            let signature = headers["stripe-signature"].to_str().expect("text").to_string();
            here.got.lock().expect("whole").push((signature, body));
            let (status, text) = here.answer.lock().expect("whole").clone();
            (StatusCode::from_u16(status).expect("a status"), text)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn answer(&self, status: u16, text: &str) {
        *self.answer.lock().expect("whole") = (status, text.to_string());
    }
}

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
    for (signature, body) in receiver.got.lock().expect("whole").iter() {
        assert!(is_signed(&secret, signature, body) && !is_signed("whsec_other", signature, body));
        assert_eq!(serde_json::from_str::<Value>(body).expect("JSON")["id"], event.as_str());
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
    let arrived = async |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while receiver.got.lock().expect("whole").len() < count {
            assert!(Instant::now() < deadline, "{count} deliveries arrive");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    arrived(3).await;
    let ids = || {
        receiver
            .got
            .lock()
            .expect("whole")
            .iter()
            .map(|(_, b)| serde_json::from_str::<Value>(b).expect("JSON")["id"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert!(ids().iter().all(|id| made.events().contains(id)), "those before stay missed");
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let retry = format!("/v1/events/{}/retry", missed.session_completed);
    let reply = bench.post(&retry, &format!("webhook_endpoint={endpoint}"), Some("again-1")).await;
    assert_eq!((reply.status, &reply.json()["object"]), (200, &json!("event")));
    arrived(4).await;
    assert_eq!(ids().last(), Some(&missed.session_completed));
    bench.post(&retry, "webhook_endpoint=we_no", None).await.refused(400, "resource_missing", "No such webhook endpoint");
    let unsubscribed = format!("/v1/events/{}/retry", missed.customer_created.expect("new"));
    bench.post(&unsubscribed, &format!("webhook_endpoint={endpoint}"), None).await.refused(400, "", "not subscribed");
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.get("/v1/events?delivery_success=false").await.ids().len() > 2 {
        assert!(Instant::now() < deadline, "only the two never sent are pending");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
