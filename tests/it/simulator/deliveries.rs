//! The delivery engine: retries on a clock that is moved, what is pending when, rules, and an endpoint that is given up.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nightdesk::sandbox::stripe::{DeliveryEffect, DeliveryResult, DeliveryRule, DeliverySettings, Schedule, When};
use serde_json::{Value, json};

use super::bench::{Bench, Reply};
use super::receiver::Receiver;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A simulator that delivers to a receiver.
async fn delivering(schedule: Schedule) -> (Bench, Receiver) {
    let (bench, receiver) = (Bench::new(50).await, Receiver::default());
    bench.sim.set_webhook_url(receiver.start().await);
    bench.sim.set_deliveries(true);
    bench.sim.set_retry_schedule(schedule);
    (bench, receiver)
}

/// One event, as of now.
fn happen(bench: &Bench, number: u64) -> String {
    let subscription = bench.paying("active").plan.expect("pays").subscription;
    let status = if number.is_multiple_of(2) { "past_due" } else { "active" };
    bench.sim.set_status(&subscription, status, bench.sim.now()).expect("changes")
}

fn attempts_of(bench: &Bench, event: &str) -> Vec<DeliveryResult> {
    bench.sim.attempts().into_iter().filter(|a| a.event == event).collect()
}

async fn event(bench: &Bench, id: &str) -> Value {
    bench.get(&format!("/v1/events/{id}")).await.json()
}

async fn undelivered(bench: &Bench) -> Vec<String> {
    bench.get("/v1/events?delivery_success=false&limit=100").await.ids()
}

async fn sim(bench: &Bench, path: &str, body: Value) -> Reply {
    bench.send(bench.http.post(format!("{}/_sim/{path}", bench.sim.base_url())).body(body.to_string())).await
}

#[tokio::test]
async fn failures_are_retried_on_the_schedule_and_then_given_up() {
    for (schedule, pauses) in [(Schedule::Test, vec![5, 60, 180]), (Schedule::Live, vec![5, 30, 60, 120, 240, 480, 960, 1_920])] {
        let (bench, receiver) = delivering(schedule).await;
        receiver.answer(500, "no");
        let id = happen(&bench, 0);
        bench.sim.deliveries_done().await;
        let first = attempts_of(&bench, &id);
        assert_eq!((first.len(), first[0].status), (1, Some(500)));
        assert_eq!(first[0].next_retry_at, Some(first[0].at + TimeDelta::minutes(5)));
        assert_eq!(event(&bench, &id).await["pending_webhooks"], 1);
        bench.sim.advance(6 * DAY);
        bench.sim.deliveries_done().await;
        let all = attempts_of(&bench, &id);
        let minutes: Vec<i64> = all.windows(2).map(|w| (w[1].at - w[0].at).num_minutes()).collect();
        assert_eq!(minutes, pauses, "each at its own time, although the clock passed them all at once");
        assert_eq!(all.last().and_then(|a| a.next_retry_at), None, "given up");
        // Each attempt is signed anew, by the machine's time.
        for got in receiver.got() {
            let at: i64 = got.signature.split([',', '=']).nth(1).and_then(|t| t.parse().ok()).expect("t=…");
            assert!((Utc::now().timestamp() - at).abs() < 60);
        }
        assert_eq!(event(&bench, &id).await["pending_webhooks"], 1, "given up is not delivered");
        assert_eq!(undelivered(&bench).await, [id.as_str()]);
        receiver.answer(200, "ok");
        bench.sim.advance(6 * DAY);
        bench.sim.deliveries_done().await;
        assert_eq!(attempts_of(&bench, &id).len(), pauses.len() + 1);
    }
}

#[tokio::test]
async fn a_retry_that_is_taken_ends_the_matter_and_a_resend_does_not() {
    let (bench, receiver) = delivering(Schedule::Test).await;
    receiver.answer(503, "");
    let id = happen(&bench, 0);
    bench.sim.deliveries_done().await;
    receiver.answer(200, "");
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let path = format!("/v1/events/{id}/retry");
    assert_eq!(bench.post(&path, &format!("webhook_endpoint={endpoint}"), None).await.status, 200);
    bench.sim.deliveries_done().await;
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 0, "taken");
    assert!(undelivered(&bench).await.is_empty());
    assert_eq!(attempts_of(&bench, &id).last().expect("the resend").next_retry_at, None);
    // Sending again by hand does not call off the automatic retry.
    bench.sim.advance(HOUR);
    bench.sim.deliveries_done().await;
    assert_eq!(attempts_of(&bench, &id).iter().map(|a| a.status).collect::<Vec<_>>(), [Some(503), Some(200), Some(200)]);
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 0, "never counted twice");
    bench.sim.advance(6 * DAY);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids().len(), 3);
    // A resend that fails is not repeated by itself.
    receiver.answer(500, "");
    bench.post(&path, &format!("webhook_endpoint={endpoint}"), None).await;
    bench.sim.deliveries_done().await;
    bench.sim.advance(DAY);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids().len(), 4);
    assert_eq!(bench.post(&path, "for_stripecli=true", None).await.json()["id"], id.as_str());
    bench.post(&path, "", None).await.refused(400, "parameter_missing", "webhook_endpoint");
    bench.post(&path, "webhook_endpoint=we_no", None).await.refused(404, "resource_missing", "No such webhook endpoint: 'we_no'");
    bench.sim.set_endpoint_enabled(false);
    bench.post(&path, &format!("webhook_endpoint={endpoint}"), None).await.refused(400, "", "is disabled");
    bench.sim.set_endpoint_enabled(true);
    bench.sim.advance(20 * DAY);
    assert_eq!(bench.get(&format!("/v1/events/{id}")).await.status, 200, "27 days later");
    bench.sim.advance(5 * DAY);
    bench.get(&format!("/v1/events/{id}")).await.refused(404, "resource_missing", "No such event");
    bench.post(&path, &format!("webhook_endpoint={endpoint}"), None).await.refused(404, "resource_missing", "No such notification: 'evt_");
}

#[tokio::test]
async fn disabled_in_between() {
    let (bench, receiver) = delivering(Schedule::Live).await;
    receiver.answer(500, "");
    let id = happen(&bench, 0);
    bench.sim.deliveries_done().await;
    bench.sim.set_endpoint_enabled(false);
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 0, "nobody is waited for");
    assert_eq!(undelivered(&bench).await, [id.as_str()], "and yet it failed");
    let never = happen(&bench, 1);
    bench.sim.set_endpoint_enabled(true);
    receiver.answer(200, "");
    bench.sim.advance(HOUR);
    bench.sim.deliveries_done().await;
    assert_eq!(attempts_of(&bench, &id).len(), 2, "back before the next attempt: the retry is made");
    assert!(attempts_of(&bench, &never).is_empty(), "what happened meanwhile is not owed");
    assert_eq!((&event(&bench, &never).await["pending_webhooks"], undelivered(&bench).await.len()), (&json!(0), 0));
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let retry = format!("/v1/events/{never}/retry");
    bench.post(&retry, &format!("webhook_endpoint={endpoint}"), None).await.refused(404, "", "not subscribed");
    receiver.answer(500, "");
    let lost = happen(&bench, 2);
    bench.sim.deliveries_done().await;
    bench.sim.set_endpoint_enabled(false);
    bench.sim.advance(HOUR);
    bench.sim.deliveries_done().await;
    bench.sim.set_endpoint_enabled(true);
    bench.sim.advance(6 * DAY);
    bench.sim.deliveries_done().await;
    assert_eq!(attempts_of(&bench, &lost).len(), 1, "still disabled at the next attempt: no more are made");
    assert_eq!(event(&bench, &lost).await["pending_webhooks"], 1);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_days_is_disabled() {
    let (bench, receiver) = delivering(Schedule::Live).await;
    let settings = DeliverySettings { auto_disable_days: Some(4), ..bench.sim.delivery_settings() };
    bench.sim.set_delivery_settings(settings);
    receiver.answer(500, "");
    for number in 0..6 {
        happen(&bench, number);
        bench.sim.deliveries_done().await;
        bench.sim.advance(DAY);
    }
    bench.sim.deliveries_done().await;
    let notices: Vec<String> = bench.sim.notices().into_iter().map(|n| n.text).collect();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].contains("has been failing for 2 days") && notices[1].contains("failed for 4 days and was disabled"), "{notices:?}");
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let path = format!("/v1/webhook_endpoints/{endpoint}");
    assert_eq!(bench.get(&path).await.json()["status"], "disabled");
    assert!(bench.sim.enabled_endpoints().is_empty());
    let seen = receiver.ids().len();
    happen(&bench, 6);
    bench.sim.advance(DAY);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids().len(), seen, "nothing more is sent");
    assert_eq!(bench.post(&path, "disabled=false", None).await.json()["status"], "enabled");
    receiver.answer(200, "");
    happen(&bench, 7);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids().len(), seen + 1);
}

#[tokio::test]
async fn rules_lose_delay_double_and_shuffle() {
    let (bench, receiver) = delivering(Schedule::Test).await;
    let rules = bench.sim.delivery_rules();
    rules.add(DeliveryRule::always(DeliveryEffect::Drop).when(When::First(1)).event("customer.*"));
    let id = happen(&bench, 0);
    bench.sim.deliveries_done().await;
    assert_eq!((receiver.ids().len(), attempts_of(&bench, &id)[0].error.as_deref()), (0, Some("lost on the way")));
    bench.sim.advance(HOUR);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids(), [id.as_str()], "the retry gets through");
    rules.clear();
    rules.add(DeliveryRule::always(DeliveryEffect::LoseAnswer).when(When::First(1)));
    let id = happen(&bench, 1);
    bench.sim.deliveries_done().await;
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 1, "taken, but Stripe does not know");
    bench.sim.advance(HOUR);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids()[1..], [id.clone(), id], "so it comes twice");
    rules.clear();
    rules.add(DeliveryRule::always(DeliveryEffect::Duplicate { times: 2 }));
    let id = happen(&bench, 2);
    bench.sim.deliveries_done().await;
    assert_eq!(receiver.ids()[3..], vec![id.clone(); 3]);
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 0);
    // The same over HTTP.
    let path = format!("{}/_sim/delivery_rules", bench.sim.base_url());
    assert_eq!(bench.send(bench.http.delete(&path)).await.json(), json!([]));
    let rule = json!({ "event": "customer.subscription.*", "effect": { "delay": { "ms": 7_200_000 } } });
    let number = sim(&bench, "delivery_rules", rule).await.json()["id"].clone();
    let late = happen(&bench, 3);
    bench.sim.deliveries_done().await;
    assert_eq!(attempts_of(&bench, &late).len(), 0);
    assert_eq!(sim(&bench, "clock", json!({ "advance_seconds": 7_300 })).await.status, 200);
    bench.sim.deliveries_done().await;
    assert_eq!(attempts_of(&bench, &late).len(), 1);
    assert_eq!(bench.send(bench.http.get(&path)).await.json()[0]["struck"], 1);
    assert_eq!(bench.send(bench.http.delete(format!("{path}/{number}"))).await.json(), json!([]));
    assert_eq!(sim(&bench, "delivery_rules", json!({ "effect": "explode" })).await.status, 400);
}

#[tokio::test]
async fn out_of_order_and_the_same_again() {
    let mut orders = Vec::new();
    for _ in 0..2 {
        let (bench, receiver) = delivering(Schedule::Test).await;
        let shuffle = DeliveryRule { seed: 7, ..DeliveryRule::always(DeliveryEffect::Shuffle { within_ms: 36_000_000 }) };
        bench.sim.delivery_rules().add(shuffle);
        let made: Vec<String> = (0..20).map(|n| happen(&bench, n)).collect();
        // In steps, so that no two are on their way at once.
        for _ in 0..240 {
            bench.sim.advance(Duration::from_secs(160));
            bench.sim.deliveries_done().await;
        }
        let place = |id: &String| made.iter().position(|m| m == id).expect("made");
        let order: Vec<usize> = receiver.ids().iter().map(place).collect();
        assert_eq!(order.len(), 20);
        assert!(!order.is_sorted());
        orders.push(order);
    }
    let agree = orders[0].iter().zip(&orders[1]).filter(|(a, b)| a == b).count();
    assert!(agree >= 14, "one seed, one order, but for those that draw the same moment: {orders:?}");
}

#[tokio::test]
async fn time_passes_by_itself_too() {
    let (bench, receiver) = delivering(Schedule::Test).await;
    bench.sim.delivery_rules().add(DeliveryRule::always(DeliveryEffect::Delay { ms: 400 }));
    let id = happen(&bench, 0);
    let began = Instant::now();
    while receiver.ids().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody asks for anything, and it is sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(390) && receiver.ids() == [id]);
}

#[tokio::test]
async fn what_happens_while_the_clock_is_moved_is_sent_as_of_its_own_time() {
    let (bench, receiver) = (Bench::new(50).await, Receiver::default());
    let form = format!("url={}&enabled_events[]=*", receiver.start().await);
    bench.post("/v1/webhook_endpoints", &form, None).await;
    bench.sim.set_deliveries(true);
    let form = "amount=4900&currency=eur&payment_method=pm_card_pendingRefund&confirm=true";
    let intent = bench.post("/v1/payment_intents", form, None).await.json();
    let refund = bench.post("/v1/refunds", &format!("payment_intent={}", intent["id"].as_str().expect("an id")), None).await.json();
    assert_eq!(refund["status"], "pending", "{refund}");
    bench.sim.deliveries_done().await;
    let (before, start) = (receiver.ids().len(), bench.sim.now());
    bench.sim.advance(3 * DAY);
    bench.sim.deliveries_done().await;
    let later: Vec<Value> = receiver.got()[before..].iter().map(super::receiver::Got::json).collect();
    let settled = later.iter().find(|e| e["data"]["object"]["status"] == "succeeded").expect("the refund went through");
    let created = settled["created"].as_i64().expect("seconds");
    assert!((created - start.timestamp()) < 3_600, "minutes later, not days");
    let attempts = bench.sim.attempts();
    let sent = attempts.iter().find(|a| Some(a.event.as_str()) == settled["id"].as_str()).expect("on record");
    assert!((sent.at.timestamp() - created).abs() < 60, "{} for {created}", sent.at);
    assert!(settled["request"]["id"].is_null(), "by itself");
}

#[tokio::test]
async fn settings_over_http_change_what_they_name() {
    let bench = Bench::new(20).await;
    let path = format!("{}/_sim/deliveries", bench.sim.base_url());
    let before = bench.send(bench.http.get(&path)).await.json();
    assert_eq!(before, json!({ "on": false, "schedule": "test", "timeout_ms": 30_000, "auto_disable_days": 7 }));
    let after = sim(&bench, "deliveries", json!({ "on": true, "schedule": "live" })).await.json();
    assert_eq!(after, json!({ "on": true, "schedule": "live", "timeout_ms": 30_000, "auto_disable_days": 7 }));
    assert!(bench.sim.deliveries() && bench.sim.delivery_settings().schedule == Schedule::Live);
    assert_eq!(sim(&bench, "deliveries", json!({ "colour": 1 })).await.status, 400);
    assert_eq!(sim(&bench, "deliveries", json!({ "on": "perhaps" })).await.status, 400);
    for days in [json!(-1), json!(65_536), json!(i64::MAX), json!(1.5)] {
        assert_eq!(sim(&bench, "deliveries", json!({ "auto_disable_days": days })).await.status, 400, "{days}");
    }
    assert_eq!(sim(&bench, "deliveries", json!({ "auto_disable_days": 65_535 })).await.status, 200);
    let clock = bench.send(bench.http.get(format!("{}/_sim/clock", bench.sim.base_url()))).await.json();
    assert!(clock["now"].as_str().and_then(|t| t.parse::<DateTime<Utc>>().ok()).is_some());
    let ahead = || bench.sim.now() - Utc::now();
    for step in [0, u32::MAX] {
        let refused = sim(&bench, "clock", json!({ "advance_seconds": step })).await;
        assert!(refused.status == 400 && refused.text.contains("a century"), "{step}: {}", refused.text);
    }
    assert!(ahead() < TimeDelta::seconds(1), "it stands as it was");
    assert_eq!(sim(&bench, "clock", json!({ "advance_seconds": 3_600 })).await.status, 200);
    assert!(ahead() > TimeDelta::minutes(59));
    let unknown = bench.send(bench.http.get(format!("{}/_sim/nonsense", bench.sim.base_url()))).await;
    assert!(unknown.status == 404 && unknown.text.contains("/_sim/attempts"));
}

#[tokio::test]
async fn every_endpoint_is_owed_its_own() {
    let (bench, receiver) = delivering(Schedule::Live).await;
    let other = Receiver::default();
    let url = other.start().await;
    let form = format!("url={url}&enabled_events[]=*&api_version=2025-01-27.acacia");
    let second = bench.post("/v1/webhook_endpoints", &form, None).await.json()["id"].as_str().expect("an id").to_string();
    other.answer(500, "");
    bench.sim.delivery_rules().add(DeliveryRule::always(DeliveryEffect::Delay { ms: 60_000 }).when(When::First(2)));
    let id = happen(&bench, 0);
    bench.sim.deliveries_done().await;
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 2, "both are late");
    bench.sim.advance(Duration::from_secs(61));
    bench.sim.deliveries_done().await;
    assert_eq!(event(&bench, &id).await["pending_webhooks"], 1, "one has it");
    assert_eq!(undelivered(&bench).await, [id.as_str()]);
    assert_eq!(receiver.got()[0].json()["api_version"], "2026-09-30.endive");
    assert_eq!(other.got()[0].json()["api_version"], "2025-01-27.acacia", "as the endpoint is pinned");
    assert_ne!(receiver.got()[0].signature, other.got()[0].signature);
    let log = |query: String| bench.send(bench.http.get(format!("{}/_sim/attempts?{query}", bench.sim.base_url())));
    let theirs = log(format!("event={id}&endpoint={second}")).await.json();
    assert_eq!((theirs.as_array().map(Vec::len), &theirs[0]["status"]), (Some(1), &json!(500)));
    let retry_at: DateTime<Utc> = theirs[0]["next_retry_at"].as_str().and_then(|t| t.parse().ok()).expect("a time");
    assert!(retry_at > bench.sim.now());
    assert_eq!(log("colour=red".to_string()).await.status, 400);
    // A third one, made later, is owed nothing of it.
    let third = bench.post("/v1/webhook_endpoints", &form, None).await.json()["id"].as_str().expect("an id").to_string();
    let retry = format!("/v1/events/{id}/retry");
    bench.post(&retry, &format!("webhook_endpoint={third}"), None).await.refused(404, "", "not subscribed");
    // With the failing one gone, so is what it was owed.
    let deleted = bench.send(bench.request(reqwest::Method::DELETE, &format!("/v1/webhook_endpoints/{second}"))).await;
    assert_eq!(deleted.json(), json!({ "id": second, "object": "webhook_endpoint", "deleted": true }));
    assert_eq!((&event(&bench, &id).await["pending_webhooks"], undelivered(&bench).await.len()), (&json!(0), 0));
    bench.sim.advance(6 * DAY);
    bench.sim.deliveries_done().await;
    assert_eq!(other.got().len(), 1);
}

#[tokio::test]
async fn nothing_is_lost_in_a_crowd_and_a_hanging_endpoint_keeps_nobody_waiting() {
    let (bench, receiver) = delivering(Schedule::Never).await;
    // A listener that accepts and never answers.
    let hole = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/", hole.local_addr().expect("bound"));
    bench.post("/v1/webhook_endpoints", &format!("url={url}&enabled_events[]=*"), None).await;
    let made: Vec<String> = (0..120).map(|n| happen(&bench, n)).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    while receiver.ids().len() < made.len() {
        assert!(Instant::now() < deadline, "all arrive: {}", receiver.ids().len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut seen = receiver.ids();
    seen.sort();
    let mut all = made;
    all.sort();
    assert_eq!(seen, all, "each once");
    drop(hole);
}
