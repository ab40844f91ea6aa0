//! The incidents: what they break, that only the right repair counts, and their HTTP interface.

use std::collections::HashSet;

use nightdesk::sandbox::incidents::{Expected, Incident};
use nightdesk::sandbox::population::Billing;
use nightdesk::sandbox::schema::{Naming, Profiles, Shape, Timestamps, Words};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::served::Served;
use super::{row, someone};
use crate::bench::{Bench, Options, PAID_FOR, Payer, http, until};

#[tokio::test(flavor = "multi_thread")]
async fn missed_webhooks_are_repaired_by_their_delivery_or_by_the_right_update() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.strike(Incident::MissedWebhooks, 3).await;
        for label in &labels {
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], "FREE");
            assert!(!bench.ground.repaired(label).await.unwrap());
            made_in_stripe(&bench, label);
            assert_eq!(bench.simulator.object(&label.event).unwrap()["pending_webhooks"], 0, "nobody is waited for");
            assert_eq!(customer_of(&bench, label).await, label.expected.customer, "the row is linked");
        }
        let url = format!("{}/v1/events?delivery_success=false", bench.simulator.base_url());
        let failed: Value = http().get(url).bearer_auth(bench.simulator.secret_key()).send().await.unwrap().json().await.unwrap();
        assert_eq!(failed["data"], json!([]), "no delivery has failed: there was none");
        assert!(bench.simulator.attempts().is_empty());
        assert_eq!(bench.simulator.deliver(&labels[0].event).await.status, Some(200));
        assert!(bench.ground.repaired(&labels[0]).await.unwrap(), "{shape:?}: its webhook, delivered at last");
        assert!(!bench.ground.repaired(&labels[1]).await.unwrap());
        let mut wrong = labels[1].clone();
        wrong.expected.period_end += chrono::Duration::days(1);
        repair(&bench, &wrong.expected).await;
        assert!(!bench.ground.repaired(&labels[1]).await.unwrap(), "a wrong period is no repair");
        repair(&bench, &labels[1].expected).await;
        assert!(bench.ground.repaired(&labels[1]).await.unwrap(), "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholder_customers_had_their_webhooks_and_need_a_link() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.strike(Incident::PlaceholderCustomers, 3).await;
        for label in &labels {
            assert!(customer_of(&bench, label).await.starts_with("cus_temp_"));
            made_in_stripe(&bench, label);
            let delivered = bench.simulator.attempts().iter().any(|a| a.event == label.event && a.status == Some(200));
            assert!(delivered, "answered with 200");
            bench.simulator.deliver(&label.event).await;
            assert!(!bench.ground.repaired(label).await.unwrap(), "delivering again helps nothing");
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], "FREE");
            repair(&bench, &label.expected).await;
            assert!(bench.ground.repaired(label).await.unwrap(), "{shape:?}");
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], label.expected.tier);
        }
        let ways: HashSet<_> = labels.iter().map(|l| l.subject.named_by).collect();
        assert_eq!(ways.len(), 2, "some are named in the metadata only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_outside_an_incident_is_delivered() {
    let bench = Bench::start(Options::default()).await;
    bench.simulator.set_deliveries(true);
    let label = bench.strike(Incident::MissedWebhooks, 1).await.remove(0);
    let person = someone(&bench, |b| matches!(b, Billing::Paid(c) if c.status == "active"));
    bench.simulator.cancel_subscription(&person.plan.clone().unwrap().subscription, chrono::Utc::now()).unwrap();
    until("the webhook changed the row", async || row(&bench, &person).await.1 == "canceled").await;
    assert_eq!(row(&bench, &person).await.0, "FREE");
    assert!(!bench.ground.repaired(&label).await.unwrap(), "the missed one stays missed");
    assert!(bench.simulator.attempts().iter().all(|a| a.event != label.event));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_while_an_incident_strikes_is_delivered() {
    let bench = Bench::start(Options::default()).await;
    bench.simulator.set_deliveries(true);
    let person = someone(&bench, |b| matches!(b, Billing::Paid(c) if c.status == "active"));
    // The first poll of the strike ends where it first waits, in the middle of it.
    let (struck, event) = tokio::join!(bench.ground.strike(Incident::StripeDown, 1), async {
        bench.simulator.cancel_subscription(&person.plan.clone().unwrap().subscription, chrono::Utc::now()).unwrap()
    });
    assert!(struck.is_ok());
    until("the webhook changed the row", async || row(&bench, &person).await.1 == "canceled").await;
    // The row changes a moment before the answer is in.
    let told = async || bench.simulator.attempts().iter().any(|a| a.event == event && a.delivered());
    until("its delivery stands in the ledger", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_strikes_to_its_end_though_nobody_waits_for_it() {
    let served = tokio::task::spawn_blocking(|| Served::start(&["--customers", "600"])).await.unwrap();
    let url = format!("{}/incidents/healthy", served.get("NIGHTDESK_SANDBOX_URL"));
    let impatient = http().post(&url).json(&json!({ "count": 5 })).timeout(std::time::Duration::from_millis(50)).send().await;
    assert!(impatient.is_err_and(|e| e.is_timeout()));
    until_settled(async || {
        let all: Value = http().get(&url).send().await.unwrap().json().await.unwrap();
        !all["labels"].as_array().unwrap().is_empty()
    })
    .await;
}

/// As [`until`], with patience for what is slow on a busy machine.
pub(super) async fn until_settled(mut holds: impl AsyncFnMut() -> bool) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(90);
    while !holds().await {
        assert!(std::time::Instant::now() < patience, "not within ninety seconds");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_struck_twice_and_a_small_town_runs_out_of_people() {
    let bench = Bench::start(Options::default()).await;
    for incident in PAID_FOR {
        bench.strike(incident, 5).await;
        bench.strike(incident, 5).await;
        let numbers: HashSet<_> = bench.ground.labels(incident).iter().map(|l| l.subject.number).collect();
        assert_eq!(numbers.len(), 10);
        let error = bench.ground.strike(incident, 1_000).await.unwrap_err();
        assert!(error.to_string().contains("more customers"), "{error}");
        assert_eq!(bench.ground.labels(incident).len(), 10, "nothing happened to anybody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_and_manner_are_there_over_http() {
    let served = tokio::task::spawn_blocking(|| Served::start(&["--customers", "300", "--incident", "missed-webhooks"])).await.unwrap();
    let base = served.get("NIGHTDESK_SANDBOX_URL").to_string();
    let read = async |path: &str| http().get(format!("{base}{path}")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(read("/status").await["customers"], 300);
    let all = read("/incidents").await;
    let subjects: Vec<_> = all["incidents"].as_array().unwrap().iter().map(|i| i["subjects"].as_u64().unwrap()).collect();
    assert_eq!(subjects[..2], [14, 3], "asked for by name, and an ordinary start");
    assert!(subjects[2..].iter().all(|n| *n == 0), "the others only when they are asked for");
    let missed = read("/incidents/missed-webhooks").await;
    assert!(missed["labels"].as_array().unwrap().iter().all(|l| l["repaired"] == false));

    let post = async |path: &str, body: Value| http().post(format!("{base}{path}")).json(&body).send().await.unwrap();
    assert_eq!(post("/incidents/placeholder-customers", json!({ "count": 2 })).await.status(), 201);
    assert_eq!(read("/incidents/placeholder-customers").await["labels"].as_array().unwrap().len(), 5);
    assert_eq!(post("/incidents/nothing", json!({})).await.status(), 404);
    assert_eq!(post("/incidents/missed-webhooks", json!({ "count": 900 })).await.status(), 409);
    assert_eq!(read("/manner").await["manner"], "swallowing");
    assert_eq!(post("/manner", json!({ "manner": "honest" })).await.json::<Value>().await.unwrap()["manner"], "honest");
    let forged = http().post(served.get("APP_WEBHOOK_URL")).header("stripe-signature", "test").body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 400);
}

/// The usual one, its opposite in everything but names, and the renamed one.
pub(super) fn some_shapes() -> [Shape; 3] {
    let opposite = Shape { profiles: Profiles::Plain, timestamps: Timestamps::Tz, interval: Words::Monthly, naming: Naming::Usual };
    [Shape::default(), opposite, Shape { naming: Naming::Renamed, ..Shape::default() }]
}

/// Stripe holds what the label says, in every respect that a repair copies.
fn made_in_stripe(bench: &Bench, label: &Payer) {
    let e = &label.expected;
    let stripe = bench.simulator.object(&e.subscription).unwrap();
    let item = &stripe["items"]["data"][0];
    assert_eq!((stripe["customer"].as_str(), stripe["status"].as_str()), (Some(e.customer.as_str()), Some(e.status.as_str())));
    assert_eq!(item["current_period_start"].as_i64(), Some(e.period_start.timestamp()));
    assert_eq!(item["current_period_end"].as_i64(), Some(e.period_end.timestamp()));
    assert_eq!(item["price"]["metadata"]["tier"].as_str(), Some(e.tier));
}

async fn customer_of(bench: &Bench, label: &Payer) -> String {
    let n = bench.shape.names();
    let sql = format!("SELECT {} FROM {} WHERE {} = $1::text::{}", n.customer, n.subscriptions, n.owner, n.key);
    let (customer,): (String,) = sqlx::query_as(AssertSqlSafe(sql)).bind(&label.profile).fetch_one(&bench.admin).await.unwrap();
    customer
}

/// The UPDATE that a careful person would write.
pub async fn repair(bench: &Bench, e: &Expected) {
    let n = bench.shape.names();
    let sql = format!(
        "UPDATE {} SET {} = $2, {} = $3, {} = $4, {} = $5, {} = $6, {} = {}, {} = {}, {} = {}, {} = $10 WHERE {} = $1::text::{}",
        n.subscriptions,
        n.customer,
        n.subscription,
        n.tier,
        n.status,
        n.interval,
        n.period_start,
        bench.shape.time("$7"),
        n.period_end,
        bench.shape.time("$8"),
        n.cancel_at,
        bench.shape.time("$9"),
        n.cancel_at_period_end,
        n.owner,
        n.key
    );
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let seconds = |t: chrono::DateTime<chrono::Utc>| t.timestamp() as f64;
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(&e.profile)
        .bind(&e.customer)
        .bind(&e.subscription)
        .bind(e.tier)
        .bind(&e.status)
        .bind(e.interval)
        .bind(seconds(e.period_start))
        .bind(seconds(e.period_end))
        .bind(e.cancel_at.map(seconds))
        .bind(e.cancel_at_period_end)
        .execute(&bench.admin)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
}
