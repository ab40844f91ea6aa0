//! The incidents of the webhook side: red when they have struck, green when they are ended and repaired, and in both manners.

use std::time::{Duration, Instant};

use chrono::Utc;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::cluster::Cluster;
use nightdesk::sandbox::incidents::{Cause, Check, Incident, Label, Truth};
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::incidents::{repair, some_shapes, until_settled};
use super::served::Served;
use crate::bench::{self, Bench, Options, http};
use crate::command::Desk;

/// Room for everybody whom several incidents need.
const TOWN: u64 = 600;

/// The incidents of this file, and those without a cause of their own.
const MINE: [Incident; 12] = [
    Incident::MissedWebhooks,
    Incident::PlaceholderCustomers,
    Incident::WrongSecret,
    Incident::EndpointDown,
    Incident::Webhook500,
    Incident::SlowApplication,
    Incident::ClockSkew,
    Incident::Misregistered,
    Incident::StripeDown,
    Incident::Drift,
    Incident::Deploy,
    Incident::Healthy,
];

async fn bench(manner: Manner, shape: Shape) -> Bench {
    Bench::start(Options { manner, shape, customers: TOWN }).await
}

async fn green(bench: &Bench, label: &Label) -> bool {
    bench.ground.repaired(label).await.unwrap()
}

/// Strikes five: the label of what stands in the way first, then those of rows. What hurts is red, and nothing else.
async fn struck(bench: &Bench, incident: Incident) -> (Label, Vec<Label>) {
    let mut labels = bench.ground.strike(incident, 5).await.unwrap();
    assert_eq!(labels.len(), 6, "{incident:?}");
    for label in &labels {
        assert_eq!(green(bench, label).await, !label.hurts(), "{label:?}");
        assert_eq!(label.cause == Cause::None, !label.hurts(), "{label:?}");
    }
    let root = labels.remove(0);
    assert!(labels.iter().all(|l| matches!(l.check, Check::Row(_)) && l.at <= Utc::now()), "{labels:?}");
    (root, labels)
}

/// What an operator does about the cause, with what an operator has.
async fn operate(bench: &Bench, incident: Incident) {
    match incident {
        Incident::WrongSecret => {
            bench.app.configure(|s| s.webhook_secret.clone_from(&bench.webhook_secret));
            bench.app.restart().await.unwrap();
        }
        Incident::Webhook500 => {
            let sql = format!("GRANT UPDATE ON {} TO {}", bench.shape.names().subscriptions, bench.app.database().get_username());
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&bench.admin).await.unwrap();
        }
        Incident::Deploy => assert!(bench.app.roll_back().await.unwrap()),
        other => bench.ground.lift(other).await.unwrap(),
    }
}

/// Ends the incident, which repairs no row, and then repairs every row: by the console, by delivery, by hand.
async fn mended(bench: &Bench, incident: Incident, root: &Label, labels: &[Label]) {
    operate(bench, incident).await;
    assert!(green(bench, root).await, "{incident:?} is over");
    let desk = Desk::of(bench);
    for (nth, label) in labels.iter().filter(|l| l.hurts()).enumerate() {
        let (expected, event) = (label.expected().unwrap(), label.subject.event.as_deref().unwrap());
        assert!(!green(bench, label).await, "the end of it repairs no row: {label:?}");
        match nth {
            0 => assert_eq!(desk.repair(&expected.customer, &[]).await.well()["state"], "done"),
            1 => repair(bench, expected).await,
            _ => assert_eq!(bench.simulator.deliver(event).await.status, Some(200), "{label:?}"),
        }
        assert!(green(bench, label).await, "{label:?}");
    }
    for label in labels {
        assert!(green(bench, label).await, "{label:?}");
    }
}

/// The answers that Stripe got to the events of these labels.
fn answers(bench: &Bench, labels: &[Label]) -> Vec<(Option<u16>, String)> {
    let named = |event: &str| labels.iter().any(|l| l.subject.event.as_deref() == Some(event));
    bench.simulator.attempts().into_iter().filter(|a| named(&a.event)).map(|a| (a.status, a.body)).collect()
}

fn log(bench: &Bench) -> Vec<Value> {
    std::fs::read_to_string(&bench.log).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_refuses_every_signature_until_it_is_put_right() {
    for (manner, status) in [(Manner::Swallowing, 200), (Manner::Honest, 400)] {
        let bench = bench(manner, Shape::default()).await;
        let (root, labels) = struck(&bench, Incident::WrongSecret).await;
        let answers = answers(&bench, &labels);
        assert!(answers.len() >= 5 && answers.iter().all(|(s, body)| *s == Some(status) && body.contains("\"ok\":false")), "{answers:?}");
        for label in &labels {
            let then = |l: &Value| l["level"] == 50 && (0..10_000).contains(&(l["time"].as_i64().unwrap() - label.at.timestamp_millis()));
            assert!(log(&bench).iter().any(then), "refused when it was sent: {label:?}");
        }
        assert!(log(&bench).iter().any(|l| l["level"] == 50 && l["msg"].as_str().unwrap().contains("signature verification failed")));
        bench.app.restart().await.unwrap();
        assert!(!green(&bench, &root).await, "a restart alone reads the same secret again");
        mended(&bench, Incident::WrongSecret, &root, &labels).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_down_endpoint_refuses_connections_or_hides_behind_a_proxy() {
    let bench = bench(Manner::Swallowing, Shape::default()).await;
    let mut ways = Vec::new();
    for _ in 0..2 {
        let (root, labels) = struck(&bench, Incident::EndpointDown).await;
        let health = http().get(format!("{}/health", bench.app.base_url())).send().await;
        let answers = answers(&bench, &labels);
        assert_eq!(answers.len(), 5);
        match health {
            Ok(health) => {
                assert!(health.status().is_success() && answers.iter().all(|(status, _)| *status == Some(502)), "{answers:?}");
                ways.push("proxy");
                // What an operator's restart does is enough.
                bench.app.restart().await.unwrap();
                assert!(green(&bench, &root).await);
            }
            Err(_) => {
                assert!(answers.iter().all(|(status, _)| status.is_none()), "{answers:?}");
                ways.push("down");
            }
        }
        mended(&bench, Incident::EndpointDown, &root, &labels).await;
    }
    ways.sort_unstable();
    assert_eq!(ways, ["down", "proxy"], "they take turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_endpoint_is_up_stripes_retries_bring_what_was_kept_away() {
    let bench = bench(Manner::Honest, Shape::default()).await;
    let (_, labels) = struck(&bench, Incident::EndpointDown).await;
    let owed = |l: &Label| bench.simulator.object(l.subject.event.as_deref().unwrap()).unwrap()["pending_webhooks"].clone();
    assert!(labels.iter().all(|l| owed(l) == 1), "{labels:?}");
    bench.simulator.advance(Duration::from_mins(6));
    bench.simulator.deliveries_done().await;
    assert!(labels.iter().all(|l| owed(l) == 1), "tried again while it is down");
    bench.ground.lift(Incident::EndpointDown).await.unwrap();
    bench.simulator.advance(Duration::from_mins(61));
    bench.simulator.deliveries_done().await;
    for label in &labels {
        assert!(owed(label) == 0 && green(&bench, label).await, "{label:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_may_not_write_fails_in_either_manner() {
    let renamed = Shape { naming: Naming::Renamed, ..Shape::default() };
    for (manner, shape, status) in [(Manner::Swallowing, Shape::default(), 200), (Manner::Honest, renamed, 500)] {
        let bench = bench(manner, shape).await;
        let (root, labels) = struck(&bench, Incident::Webhook500).await;
        let answers = answers(&bench, &labels);
        assert!(answers.iter().all(|(s, body)| *s == Some(status) && body.contains("\"ok\":false")), "{answers:?}");
        let said =
            |l: &Value| l["msg"] == "Failed to sync webhook to DB" && l["err"]["message"].as_str().unwrap().contains("permission denied");
        assert!(log(&bench).iter().any(said));
        mended(&bench, Incident::Webhook500, &root, &labels).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_refuses_every_signature_and_says_which_tolerance() {
    let bench = bench(Manner::Honest, Shape::default()).await;
    let (root, labels) = struck(&bench, Incident::ClockSkew).await;
    assert!(answers(&bench, &labels).iter().all(|(status, _)| *status == Some(400)));
    let off: Vec<_> = log(&bench).into_iter().filter(|l| l["err"]["message"] == "Timestamp outside the tolerance zone").collect();
    for label in &labels {
        let then = |l: &Value| l["time"].as_i64().unwrap() - (label.at.timestamp_millis() + 600_000);
        assert!(off.iter().any(|l| (0..10_000).contains(&then(l))), "the log has the time of that clock: {off:?}");
    }
    // Over HTTP it is no other.
    let event = bench.simulator.object(labels[0].subject.event.as_deref().unwrap()).unwrap();
    assert_eq!(bench.send_event(&event, &bench.webhook_secret).await.status(), 400);
    mended(&bench, Incident::ClockSkew, &root, &labels).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misregistered_endpoint_gets_nothing_in_four_ways() {
    let bench = bench(Manner::Swallowing, Shape::default()).await;
    let mut causes = Vec::new();
    for _ in 0..4 {
        let (root, labels) = struck(&bench, Incident::Misregistered).await;
        let answers: Vec<_> = answers(&bench, &labels).into_iter().map(|(status, _)| status).collect();
        let owed =
            labels.iter().filter(|l| bench.simulator.object(l.subject.event.as_deref().unwrap()).unwrap()["pending_webhooks"] == 1).count();
        let (expected, pending) = match root.cause {
            Cause::EndpointDisabled | Cause::NotSubscribed => (Vec::new(), 0),
            Cause::WrongPath => (vec![Some(404); 5], 5),
            Cause::Redirect => (vec![Some(308); 5], 5),
            other => panic!("{other:?}"),
        };
        assert_eq!((answers, owed), (expected, pending), "{root:?}");
        assert!(labels.iter().all(|l| l.cause == root.cause));
        causes.push(root.cause);
        mended(&bench, Incident::Misregistered, &root, &labels).await;
    }
    causes.dedup();
    assert_eq!(causes.len(), 4, "{causes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_application_writes_late_and_needs_no_repair() {
    let bench = bench(Manner::Swallowing, Shape::default()).await;
    // Long enough for what is just in time to be so on a busy machine.
    bench.simulator.set_delivery_timeout(Duration::from_secs(8));
    let labels = bench.ground.strike(Incident::SlowApplication, 1).await.unwrap();
    for label in &labels {
        assert!(!green(&bench, label).await, "{label:?}");
    }
    until_settled(async || {
        let mut all = true;
        for label in &labels[1..] {
            all &= green(&bench, label).await;
        }
        all
    })
    .await;
    assert!(labels[1..].iter().all(|l| l.truth == Some(Truth::Late)));
    // Some waited long enough and some did not.
    until_settled(async || {
        let attempts = bench.simulator.attempts();
        attempts.iter().any(|a| a.status.is_none()) && attempts.iter().any(|a| a.delivered() && a.ms >= 6_000)
    })
    .await;
    assert!(!green(&bench, &labels[0]).await, "it is as slow as before");
    bench.ground.lift(Incident::SlowApplication).await.unwrap();
    for label in &labels {
        assert!(green(&bench, label).await, "{label:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_down_passes_by_itself_and_no_row_is_wrong() {
    let bench = bench(Manner::Swallowing, Shape::default()).await;
    let labels = bench.ground.strike(Incident::StripeDown, 3).await.unwrap();
    assert!(!green(&bench, &labels[0]).await);
    let answers = async |n: usize| {
        let mut all = Vec::new();
        for _ in 0..n {
            let url = format!("{}/v1/customers", bench.simulator.base_url());
            let request = http().get(url).bearer_auth(bench.simulator.secret_key()).timeout(Duration::from_millis(300));
            all.push(request.send().await.ok().map(|a| a.status().as_u16()));
        }
        all
    };
    let seen = answers(12).await;
    assert!(seen.contains(&Some(500)) && seen.contains(&None) && !seen.contains(&Some(200)), "{seen:?}");
    for label in &labels[1..] {
        assert!(!label.hurts() && green(&bench, label).await, "{label:?}");
    }
    bench.ground.lift(Incident::StripeDown).await.unwrap();
    assert_eq!(answers(1).await, [Some(200)]);
    assert!(green(&bench, &labels[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_every_class_is_red_until_the_row_is_stripes_again() {
    for shape in some_shapes() {
        let bench = bench(Manner::Swallowing, shape).await;
        let desk = Desk::of(&bench);
        let labels = bench.ground.strike(Incident::Drift, 9).await.unwrap();
        let classes: std::collections::HashSet<_> = labels.iter().map(|l| l.broke.clone()).collect();
        assert_eq!(classes.len(), 9);
        for label in &labels {
            let event = bench.simulator.object(label.subject.event.as_deref().unwrap()).unwrap();
            assert_eq!((event["type"].as_str(), &event["pending_webhooks"]), (label.subject.event_type.as_deref(), &json!(0)), "{label:?}");
            assert!(!green(&bench, label).await, "{label:?}");
            // The console repairs every class; it knows the label from nowhere.
            desk.repair(label.subject.customer.as_deref().unwrap(), &[]).await.well();
            assert!(green(&bench, label).await, "{shape:?} {label:?}");
        }
        let lift = bench.ground.lift(Incident::Drift).await.unwrap_err();
        assert!(lift.to_string().contains("one by one"), "{lift}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_breaks_what_comes_after_it_and_says_so_in_log_and_record() {
    for manner in [Manner::Swallowing, Manner::Honest] {
        let bench = bench(manner, Shape::default()).await;
        let (root, labels) = struck(&bench, Incident::Deploy).await;
        let again = bench.ground.strike(Incident::Deploy, 1).await.unwrap_err();
        assert!(again.to_string().contains("end the incident that is under way first"), "{again}");
        let truths: Vec<_> = labels.iter().map(|l| (l.at < root.at, l.truth)).collect();
        assert!(truths.contains(&(true, Some(Truth::Fine))) && truths.contains(&(false, Some(Truth::Fine))), "{truths:?}");
        assert!(truths.contains(&(false, Some(Truth::Missing))) && !truths.contains(&(true, Some(Truth::Missing))), "{truths:?}");
        let failing: Vec<_> = log(&bench).into_iter().filter(|l| l["level"] == 50).collect();
        assert!(!failing.is_empty());
        for line in &failing {
            assert!(line["version"] == "2026.11.3" && line["err"]["type"] == "TypeError", "{line}");
            assert!(line["time"].as_i64() > Some(root.at.timestamp_millis()), "{line}");
        }
        let pending = |l: &&Label| bench.simulator.object(l.subject.event.as_deref().unwrap()).unwrap()["pending_webhooks"] == 1;
        let owed = labels.iter().filter(pending).count();
        let failed = labels.iter().filter(|l| l.hurts()).count();
        assert_eq!(owed, if manner == Manner::Honest { failed } else { 0 }, "a swallowed failure counts as delivered");
        bench.app.restart().await.unwrap();
        assert!(!green(&bench, &root).await, "a restart starts the same version");
        mended(&bench, Incident::Deploy, &root, &labels).await;
        let record = std::fs::read_to_string(bench.app.deploys()).unwrap();
        let versions: Vec<Value> = record.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let words: Vec<_> = versions.iter().map(|v| v["version"].as_str().unwrap()).collect();
        assert_eq!(words, ["2026.11.2", "2026.11.3", "2026.11.2"]);
        assert!(versions[1]["author"].is_string() && versions[1]["changed"].as_str().unwrap().contains("handlers"), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_healthy_week_every_row_is_right() {
    let bench = Bench::start(Options { customers: 2_000, ..Options::default() }).await;
    let began = Instant::now();
    let labels = bench.ground.strike(Incident::Healthy, 60).await.unwrap();
    let took = began.elapsed();
    let (events,): (i64,) = sqlx::query_as("SELECT count(*) FROM stripe_events WHERE processed").fetch_one(&bench.admin).await.unwrap();
    let lines = log(&bench);
    let handled = lines.iter().filter(|l| l["msg"] == "Webhook processed").count();
    println!("healthy: {events} events, {handled} deliveries, {} labels in {took:?}", labels.len());
    assert!(events > 300 && usize::try_from(events).unwrap() < handled, "{events} events, {handled} deliveries: some came twice");
    assert!(lines.iter().all(|l| l["level"] == 30), "nothing failed");
    let kinds: std::collections::HashSet<_> = labels.iter().filter_map(|l| l.subject.event_type.clone()).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    for label in &labels {
        assert!(!label.hurts() && green(&bench, label).await, "{label:?}");
    }
    let late = "SELECT count(*) FROM subscriptions WHERE updated_at > now() AT TIME ZONE 'UTC' - interval '5 minutes'";
    let (late,): (i64,) = sqlx::query_as(late).fetch_one(&bench.admin).await.unwrap();
    assert_eq!(late, 0, "it was written when it happened");
    // And Stripe holds nothing back.
    let owed = async |path: &str| {
        let url = format!("{}/v1/events?limit=100&{path}", bench.simulator.base_url());
        let page: Value = http().get(url).bearer_auth(bench.simulator.secret_key()).send().await.unwrap().json().await.unwrap();
        page["data"].as_array().unwrap().iter().filter(|e| e["pending_webhooks"] != 0).count()
    };
    assert_eq!(owed("delivery_success=false").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_behind_a_healthy_week_is_no_finding() {
    let options = SandboxOptions { customers: 600, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    let of = sandbox.cluster().replica_behind(Duration::from_mins(20));
    let replica = tokio::task::spawn_blocking(move || Cluster::start(&of, bench::executable())).await.unwrap().unwrap();
    let labels = sandbox.ground().strike(Incident::Healthy, 10).await.unwrap();
    let here = Desk::with(sandbox.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    let ports = [sandbox.cluster().port(), replica.port()].map(|port| format!(":{port}/"));
    let there = here.but("DATABASE_URL", &here.variable("DATABASE_URL").replace(&ports[0], &ports[1]));
    let processed = async |desk: &Desk| {
        let mut connection = PgConnection::connect(desk.variable("DATABASE_URL")).await.unwrap();
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM stripe_events WHERE processed").fetch_one(&mut connection).await.unwrap()
    };
    let (now, late) = (processed(&here).await, processed(&there).await);
    assert!(now > late + 20, "{now} here, {late} there");
    let upgraded = labels.iter().find(|l| l.expected().unwrap().tier == "ENTERPRISE" && l.truth == Some(Truth::Fine)).unwrap();
    let customer = upgraded.subject.customer.as_deref().unwrap();
    let fine = here.say(&["find", customer, "--json"]).await.json();
    assert_eq!(fine["diagnosis"]["class"], "fine", "{fine}");
    let said = there.say(&["find", customer, "--json"]).await.json();
    assert_eq!(said["diagnosis"]["word"], "unknown", "{said}");
    tokio::task::spawn_blocking(move || replica.stop()).await.unwrap();
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_and_moment_break_the_same() {
    let mut nights = Vec::new();
    for _ in 0..2 {
        let bench = Bench::start(Options { customers: 1_000, ..Options::default() }).await;
        bench.simulator.set_delivery_timeout(Duration::from_millis(500));
        let mut night = Vec::new();
        for incident in &MINE {
            let labels = bench.ground.strike_at(*incident, 4, bench.population.born()).await.unwrap();
            // What one leaves running must not stand in the way of the next.
            let _ = bench.ground.lift(*incident).await;
            night.push(json!(labels));
        }
        nights.push(night);
    }
    for (one, other) in nights[0].iter().zip(&nights[1]) {
        assert_eq!(one, other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_ended_and_the_application_restarted_over_http() {
    let served = tokio::task::spawn_blocking(|| Served::start(&["--customers", "600", "--incident", "endpoint-down"])).await.unwrap();
    let base = served.get("NIGHTDESK_SANDBOX_URL").to_string();
    let read = async |path: &str| http().get(format!("{base}{path}")).send().await.unwrap().json::<Value>().await.unwrap();
    let root = async |name: &str| read(&format!("/incidents/{name}")).await["labels"][0]["repaired"].clone();
    assert_eq!(root("endpoint-down").await, false);
    assert_eq!(http().post(format!("{base}/app/restart")).send().await.unwrap().status(), 200);
    assert_eq!(root("endpoint-down").await, true);

    let struck = http().post(format!("{base}/incidents/wrong-secret")).json(&json!({ "count": 2 })).send().await.unwrap();
    assert_eq!(struck.status(), 201);
    assert_eq!(root("wrong-secret").await, false);
    assert_eq!(http().delete(format!("{base}/incidents/wrong-secret")).send().await.unwrap().status(), 200);
    assert_eq!(root("wrong-secret").await, true);
    // What ends an incident for a drill is also there as an operator has it.
    let post = async |path: &str, body: Value| http().post(format!("{base}{path}")).json(&body).send().await.unwrap().status();
    assert_eq!(post("/incidents/wrong-secret", json!({ "count": 2 })).await, 201);
    assert_eq!(post("/app/settings", json!({ "webhook_secret": "whsec_another" })).await, 200);
    assert_eq!(root("wrong-secret").await, false);
    assert_eq!(post("/app/settings", json!({ "webhook_secret": served.get("STRIPE_WEBHOOK_SECRET") })).await, 200);
    assert_eq!(root("wrong-secret").await, true);
    assert_eq!(post("/app/settings", json!({ "secret": "whsec_another" })).await, 422);
    assert_eq!(post("/deploys/rollback", json!({})).await, 409, "nothing was deployed yet");
    assert_eq!(post("/incidents/deploy", json!({ "count": 3 })).await, 201);
    assert_eq!(root("deploy").await, false);
    assert_eq!(post("/deploys/rollback", json!({})).await, 200);
    assert_eq!(root("deploy").await, true);
    assert_eq!(post("/deploys/rollback", json!({})).await, 409, "once is enough");
    let all = read("/deploys").await["deploys"].clone();
    let versions: Vec<_> = all.as_array().unwrap().iter().map(|d| d["version"].clone()).collect();
    assert_eq!(versions, ["2026.11.2", "2026.11.3", "2026.11.2"]);
    assert_eq!(post("/incidents/slow-application", json!({ "count": 1 })).await, 201);
    assert_eq!(root("slow-application").await, false);
    assert_eq!(post("/app/settings", json!({ "slow_handler": false })).await, 200);
    assert_eq!(root("slow-application").await, true);
    assert_eq!(http().delete(format!("{base}/incidents/drift")).send().await.unwrap().status(), 409);
    assert_eq!(http().delete(format!("{base}/incidents/nothing")).send().await.unwrap().status(), 404);

    assert_eq!(read("/deploys").await["deploys"][0]["version"], "2026.11.2");
    assert!(std::fs::read_to_string(served.get("APP_DEPLOYS")).unwrap().contains("2026.11.2"));
}
