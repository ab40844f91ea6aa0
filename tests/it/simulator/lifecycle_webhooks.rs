//! The life of a webhook endpoint: made, changed, its secret replaced, disabled, deleted.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::bench::Bench;
use super::receiver::Receiver;

const PATH: &str = "/v1/webhook_endpoints";

#[tokio::test]
async fn made_changed_and_deleted() {
    let bench = Bench::new(20).await;
    bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
    let form = "url=http://127.0.0.1:9/hook&enabled_events[]=charge.refunded&enabled_events[]=refund.failed&description=Ours&metadata[team]=billing";
    let made = bench.post(PATH, form, Some("one")).await;
    let object = made.json();
    let id = object["id"].as_str().expect("an id").to_string();
    assert!(id.starts_with("we_1") && object["secret"].as_str().is_some_and(|s| s.starts_with("whsec_")));
    assert_eq!(
        (&object["enabled_events"], &object["status"], &object["metadata"], &object["description"], &object["api_version"]),
        (&json!(["charge.refunded", "refund.failed"]), &json!("enabled"), &json!({ "team": "billing" }), &json!("Ours"), &json!(null))
    );
    assert_eq!(bench.post(PATH, form, Some("one")).await.json(), object, "replayed, the secret with it");
    let path = format!("{PATH}/{id}");
    assert!(bench.get(&path).await.json().get("secret").is_none(), "shown once");
    assert_eq!(bench.get(PATH).await.ids().first(), Some(&id), "the newest first");
    assert!(!bench.get(PATH).await.text.contains("whsec_"));
    let form = "url=https://127.0.0.1:9/other&enabled_events[0]=*&metadata[team]=&metadata[x]=1&description=&disabled=true";
    let changed = bench.post(&path, form, None).await.json();
    assert_eq!(
        (&changed["url"], &changed["enabled_events"], &changed["metadata"], &changed["description"], &changed["status"]),
        (&json!("https://127.0.0.1:9/other"), &json!(["*"]), &json!({ "x": "1" }), &json!(null), &json!("disabled"))
    );
    assert_eq!(bench.post(&path, "disabled=false", None).await.json()["status"], "enabled");
    let deleted = bench.send(bench.request(Method::DELETE, &path)).await;
    assert_eq!(deleted.json(), json!({ "id": id, "object": "webhook_endpoint", "deleted": true }));
    let sentence = format!("No such webhook endpoint: '{id}'");
    bench.get(&path).await.refused(404, "resource_missing", &sentence);
    bench.post(&path, "disabled=true", None).await.refused(404, "resource_missing", &sentence);
    bench.send(bench.request(Method::DELETE, &path)).await.refused(404, "resource_missing", &sentence);
    assert_eq!(bench.get(PATH).await.ids().len(), 1);
}

#[tokio::test]
async fn refused() {
    let bench = Bench::new(20).await;
    let post = |form: &'static str| bench.post(PATH, form, None);
    post("enabled_events[]=*").await.refused(400, "parameter_missing", "Missing required param: url.");
    post("url=http://127.0.0.1/x").await.refused(400, "parameter_missing", "Missing required param: enabled_events.");
    post("url=&enabled_events[]=*").await.refused(400, "parameter_invalid_empty", "You passed an empty string for 'url'.");
    post("url=127.0.0.1/x&enabled_events[]=*").await.refused(400, "url_invalid", "An explicit scheme (such as https) must be provided.");
    post("url=ftp://127.0.0.1/x&enabled_events[]=*").await.refused(400, "url_invalid", "Invalid URL");
    for bad in ["charge.*", "charge.exploded", ""] {
        let form = format!("url=http://127.0.0.1/x&enabled_events[]=charge.refunded&enabled_events[]={bad}");
        let reply = bench.post(PATH, &form, None).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("enabled_events[1]")), "{bad:?}");
    }
    post("url=http://127.0.0.1/x&enabled_events[]=*&api_version=new").await.refused(400, "", "Invalid Stripe API version: new");
    post("url=http://127.0.0.1/x&enabled_events[]=*&secret=whsec_mine").await.refused(400, "parameter_unknown", "secret");
    for _ in 0..16 {
        assert_eq!(post("url=http://127.0.0.1/x&enabled_events[]=*").await.status, 200);
    }
    post("url=http://127.0.0.1/x&enabled_events[]=*").await.refused(400, "", "maximum of 16 test webhook endpoints");
    assert_eq!(bench.walk(&format!("{PATH}?limit=3")).await.len(), 16);
    let reader = bench.sim.restricted_key(&["rak_webhook_read"]);
    let url = format!("{}{PATH}", bench.sim.base_url());
    assert_eq!(bench.send(bench.http.get(&url).bearer_auth(&reader)).await.status, 200);
    bench.send(bench.http.post(&url).bearer_auth(&reader)).await.refused(403, "", "'rak_webhook_write'");
}

#[tokio::test]
async fn a_replaced_secret_signs_until_it_expires() {
    let (bench, receiver) = (Bench::new(20).await, Receiver::default());
    bench.sim.set_webhook_url(receiver.start().await);
    let id = bench.sim.webhook_endpoint().expect("registered");
    let old = bench.sim.webhook_secret();
    let url = format!("{}/_sim/webhook_endpoints/{id}/rotate", bench.sim.base_url());
    let rotated = bench.send(bench.http.post(&url).body(r#"{"old_expires_seconds":3600}"#)).await.json();
    let new = rotated["secret"].as_str().expect("a secret").to_string();
    assert!(new != old && bench.sim.webhook_secret() == new);
    let made = bench.checkout(1, true);
    let signatures = async || {
        assert!(bench.sim.deliver(&made.session_completed).await.delivered());
        let got = receiver.got().pop().expect("arrived");
        let parts: Vec<String> = got.signature.split(',').map(str::to_string).collect();
        let at: i64 = parts[0].strip_prefix("t=").and_then(|t| t.parse().ok()).expect("t first");
        let by =
            |secret: &str| nightdesk::sandbox::stripe::signature(secret, at, &got.body).split_once(',').expect("two parts").1.to_string();
        let v1: Vec<_> = parts.iter().filter(|p| p.starts_with("v1=")).cloned().collect();
        (v1, by(&old), by(&new))
    };
    let (v1, by_old, by_new) = signatures().await;
    assert_eq!(v1, [by_new, by_old], "both, while the old one lasts");
    bench.sim.advance(Duration::from_secs(3_601));
    let (v1, _, by_new) = signatures().await;
    assert_eq!(v1, [by_new]);
    let third = bench.sim.rotate_secret(&id, Duration::ZERO).expect("known");
    assert_eq!(bench.sim.endpoint_secret(&id), Some(third));
    assert_eq!(signatures().await.0.len(), 1, "at once");
    assert_eq!(bench.sim.rotate_secret("we_no", Duration::ZERO), None);
    let no = url.replace(&id, "we_no");
    assert_eq!(bench.send(bench.http.post(no).body(r#"{"old_expires_seconds":0}"#)).await.status, 404);
    assert_eq!(bench.send(bench.http.post(&url).body("{}")).await.status, 400);
}
