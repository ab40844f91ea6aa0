//! The sandbox itself: cluster, shapes of the database, sample application, incidents, and that it leaves nothing behind.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nightdesk::config::Config;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::incidents::{Incident, Label};
use nightdesk::sandbox::population::{Billing, PRICE_PRO_YEAR, Person};
use nightdesk::sandbox::schema::{Naming, Profiles, Shape, Timestamps, Words};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::bench::{self, Bench, Options, http, until};

#[test]
fn two_clusters_run_side_by_side_and_stop_without_a_trace() {
    let start = || Cluster::start(&ClusterOptions::default(), bench::executable()).unwrap();
    let (one, two) = (start(), start());
    assert_ne!(one.port(), two.port());
    let traces = [&one, &two].map(|c| (c.directory().to_path_buf(), c.postmaster()));
    one.stop();
    assert!(!traces[0].0.exists() && !alive(traces[0].1));
    assert!(traces[1].0.exists() && alive(traces[1].1), "the other one goes on");
    drop(two);
    gone(&traces[1].0, traces[1].1);
}

#[test]
fn a_server_that_was_frozen_is_stopped_all_the_same() {
    let cluster = Cluster::start(&ClusterOptions::default(), bench::executable()).unwrap();
    let (directory, postmaster) = (cluster.directory().to_path_buf(), cluster.postmaster());
    signal(postmaster, Signal::SIGSTOP);
    cluster.stop();
    assert!(!directory.exists() && !alive(postmaster));
}

#[test]
fn a_server_that_died_takes_its_supervisor_along() {
    let cluster = Cluster::start(&ClusterOptions::default(), bench::executable()).unwrap();
    let directory = cluster.directory().to_path_buf();
    signal(cluster.postmaster(), Signal::SIGQUIT);
    gone(&directory, cluster.postmaster());
    cluster.stop();
}

#[test]
fn what_a_killed_supervisor_left_is_removed_by_the_next() {
    let parent = tempfile::Builder::new().prefix("nd").tempdir_in("/tmp").unwrap();
    // The server's account must be able to pass.
    std::fs::set_permissions(parent.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = ClusterOptions { parent: Some(parent.path().to_path_buf()), ..ClusterOptions::default() };
    let orphan = Cluster::start(&options, bench::executable()).unwrap();
    signal(orphan.supervisor(), Signal::SIGKILL);
    signal(orphan.postmaster(), Signal::SIGKILL);
    let lock = std::fs::File::options().write(true).open(orphan.directory().join("supervised")).unwrap();
    lock.set_modified(std::time::SystemTime::now() - Duration::from_secs(120)).unwrap();
    let left = orphan.directory().to_path_buf();
    orphan.stop();
    assert!(left.exists(), "nobody was there to remove it");
    let next = Cluster::start(&options, bench::executable()).unwrap();
    assert!(!left.exists() && next.directory().exists());
    next.stop();
}

#[test]
fn without_a_server_one_sentence_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let out = Command::new(bench::executable()).args(["sandbox", "--serve"]).env("NIGHTDESK_PG_BIN", empty.path()).output().unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("NIGHTDESK_PG_BIN") && said.contains("14 to 18"), "{said}");
}

#[test]
fn it_serves_until_it_is_asked_to_end() {
    for asked in [Signal::SIGTERM, Signal::SIGINT] {
        let mut served = Served::start(&["--customers", "200"]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(served.get("DATABASE_URL")).await.unwrap();
            let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM profiles").fetch_one(&mut connection).await.unwrap();
            assert_eq!(count, 200);
            for path in ["/health", "/ready"] {
                let answer = http().get(format!("{}{path}", served.get("APP_URL"))).send().await.unwrap();
                assert!(answer.status().is_success(), "{path}");
            }
        });
        signal(served.child.id(), asked);
        assert!(served.child.wait().unwrap().success());
        assert!(!served.directory().exists() && !alive(served.postmaster), "{asked}: gone before the program was");
    }
}

#[test]
fn killed_with_9_it_leaves_no_process_and_no_directory() {
    let mut served = Served::start(&["--customers", "200"]);
    signal(served.child.id(), Signal::SIGKILL);
    served.child.wait().unwrap();
    gone(&served.directory(), served.postmaster);
}

#[test]
fn a_second_sandbox_runs_beside_the_first() {
    let (one, two) = (Served::start(&["--customers", "200"]), Served::start(&["--customers", "200", "--schema", "renamed"]));
    assert_ne!(one.get("DATABASE_URL"), two.get("DATABASE_URL"));
    let config = std::fs::read_to_string(two.get("NIGHTDESK_CONFIG")).unwrap();
    assert!(config.contains("memberships"), "{config}");
    assert!(!one.environment.iter().any(|(name, _)| name == "NIGHTDESK_CONFIG"));
    let variables = |name: &str| two.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let path = PathBuf::from(two.get("NIGHTDESK_CONFIG"));
    let config = Config::load(Some(&path), None, &variables).unwrap();
    assert_eq!(config.schema.subscription.table, "memberships");
    assert_eq!(config.stripe_base, two.get("STRIPE_API_BASE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_runs_on_every_shape() {
    join_all(Shape::all().map(the_application_runs_on)).await;
}

async fn the_application_runs_on(shape: Shape) {
    let bench = Bench::start(Options { shape, ..Options::default() }).await;
    let person = someone(&bench, |b| b == Billing::Free);
    let profile = shape.names().key_of(&person);
    let before = bench.entitlements(&profile).await;
    assert_eq!(before["data"]["tier"], "FREE", "{shape:?}");
    assert_eq!(before["data"]["features"]["searches"]["value"], 5);
    assert_eq!(before["data"]["features"]["api_calls"]["value"], 0);

    let (start, end) = (1_790_000_000, 1_821_536_000);
    let event = subscription_event(&person, "customer.subscription.updated", "active", start, end);
    let answer = bench.send_event(&event, &bench.webhook_secret).await;
    assert!(answer.status().is_success());
    assert_eq!(answer.json::<Value>().await.unwrap()["received"], true, "{shape:?}");
    let after = bench.entitlements(&profile).await;
    assert_eq!(after["data"]["tier"], "PRO", "{shape:?}");
    assert_eq!(after["data"]["features"]["searches"]["value"], 100);
    let row = row(&bench, &person).await;
    let year = if matches!(shape.interval, nightdesk::sandbox::schema::Words::Month) { "year" } else { "yearly" };
    assert_eq!((row.0.as_str(), row.1.as_str(), row.2.as_deref()), ("PRO", "active", Some(year)), "{shape:?}");
    assert_eq!((row.3, row.4), (Some(f64::from(start)), Some(f64::from(end))), "{shape:?}");

    let mut ended = subscription_event(&person, "customer.subscription.deleted", "canceled", start, end);
    ended["id"] = "evt_ended".into();
    bench.send_event(&ended, &bench.webhook_secret).await;
    let row = self::row(&bench, &person).await;
    assert_eq!((row.0.as_str(), row.1.as_str(), row.3), ("FREE", "canceled", Some(f64::from(start))), "the last period is kept");

    reset_works(&bench, &profile).await;
}

/// Resets the counters of a profile that has used some.
async fn reset_works(bench: &Bench, profile: &str) {
    let n = bench.shape.names();
    let sql = format!(
        "INSERT INTO {c} ({o}, {f}, {u}, {s}, {e}) VALUES ($1::text::{k}, 'exports', 2, now(), now() + interval '3 days'), ($1::text::{k}, 'seats', 1, now(), NULL)
         ON CONFLICT ({o}, {f}) DO UPDATE SET {u} = excluded.{u}, {s} = excluded.{s}, {e} = excluded.{e}",
        c = n.counters, o = n.counter_owner, f = n.feature, u = n.used, s = n.counter_start, e = n.counter_end, k = n.key
    );
    sqlx::query(AssertSqlSafe(sql)).bind(profile).execute(&bench.admin).await.unwrap();
    assert_eq!(bench.entitlements(profile).await["data"]["features"]["exports"]["used"], 2);
    let url = format!("{}/admin/licensing/entitlements/{profile}/reset", bench.app.base_url());
    let answer = http().post(url).bearer_auth(&bench.admin_token).send().await.unwrap();
    assert!(answer.status().is_success());
    let after = bench.entitlements(profile).await;
    assert_eq!(after["data"]["features"]["exports"]["used"], 0);
    assert_eq!(after["data"]["features"]["seats"]["used"], 1, "a stock is not reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_manner_answers_in_its_own_way() {
    let bench = Bench::start(Options::default()).await;
    let person = someone(&bench, |b| b == Billing::Placeholder);
    // Stripe knows a customer whom no row names.
    let event = subscription_event(&person, "customer.subscription.created", "active", 1_790_000_000, 1_792_592_000);
    let cases = [(Manner::Swallowing, 200, 200), (Manner::Honest, 400, 500), (Manner::Swallowing, 200, 200)];
    for (manner, forged, failed) in cases {
        bench.app.manner().set(manner);
        assert_eq!(bench.send_event(&event, "whsec_wrong").await.status(), forged, "{manner:?}, wrong signature");
        let answer = bench.send_event(&event, &bench.webhook_secret).await;
        assert_eq!(answer.status(), failed, "{manner:?}, no row");
        assert_eq!(answer.json::<Value>().await.unwrap()["ok"], false);
    }
    let ignored = json!({ "id": "evt_x", "type": "charge.refunded", "data": { "object": {} } });
    assert_eq!(bench.send_event(&ignored, &bench.webhook_secret).await.status(), 200);
    let log = std::fs::read_to_string(&bench.log).unwrap();
    let lines: Vec<Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let said = |message: &str| lines.iter().any(|l| l["level"] == 50 && l["msg"].as_str().is_some_and(|m| m.contains(message)));
    assert!(said("signature verification failed") && said("Webhook error:"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_wants_its_token_and_a_profile() {
    let bench = Bench::start(Options::default()).await;
    let url = |id: &str| format!("{}/admin/licensing/entitlements/{id}", bench.app.base_url());
    let known = bench.population.person(0).profile.to_string();
    assert_eq!(http().get(url(&known)).send().await.unwrap().status(), 401);
    assert_eq!(http().get(url(&known)).bearer_auth("wrong").send().await.unwrap().status(), 401);
    for nobody in ["00000000-0000-4000-8000-000000000000", "not-an-id"] {
        let answer = http().get(url(nobody)).bearer_auth(&bench.admin_token).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{nobody}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consoles_role_can_repair_and_create_nothing() {
    let bench = Bench::start(Options::default()).await;
    let mut connection = PgConnection::connect(&bench.variable("DATABASE_URL")).await.unwrap();
    for allowed in [
        "SELECT * FROM profiles, stripe_events LIMIT 1",
        "UPDATE subscriptions SET tier = tier, updated_at = updated_at WHERE stripe_customer_id = 'nobody'",
        "DELETE FROM rate_limits WHERE feature = 'nothing'",
        "SELECT state FROM pg_stat_activity",
    ] {
        sqlx::raw_sql(allowed).execute(&mut connection).await.expect(allowed);
    }
    for denied in [
        "CREATE TABLE t (a int)",
        "CREATE TEMPORARY TABLE t (a int)",
        "CREATE SCHEMA s",
        "UPDATE subscriptions SET profile_id = profile_id",
        "DELETE FROM profiles",
        "SELECT * FROM login_history",
    ] {
        let error = sqlx::raw_sql(denied).execute(&mut connection).await.expect_err(denied);
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{denied}");
    }
    let mut admin = PgConnection::connect(&bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
    sqlx::raw_sql("CREATE SCHEMA s").execute(&mut admin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_holds_what_the_console_must_cope_with() {
    let bench = Bench::start(Options { customers: 2_000, ..Options::default() }).await;
    for (what, sql) in [
        ("unlimited", "SELECT count(*) FROM plan_features WHERE value = -1"),
        ("not in the plan", "SELECT count(*) FROM plan_features WHERE value = 0"),
        ("expired", "SELECT count(*) FROM rate_limits WHERE period_end < now() AT TIME ZONE 'UTC'"),
        ("a stock", "SELECT count(*) FROM rate_limits WHERE period_end IS NULL"),
        ("absent", "SELECT count(*) FROM profiles p WHERE NOT EXISTS (SELECT 1 FROM rate_limits r WHERE r.profile_id = p.id)"),
        (
            "near the limit",
            "SELECT count(*) FROM rate_limits r JOIN subscriptions s USING (profile_id) JOIN plan_features f USING (tier, feature)
             WHERE f.value > 0 AND r.used >= f.value * 0.8",
        ),
        ("no e-mail", "SELECT count(*) FROM profiles WHERE data->>'email' IS NULL"),
        ("placeholders", "SELECT count(*) FROM subscriptions WHERE stripe_customer_id LIKE 'cus\\_temp\\_%'"),
        ("statistics", "SELECT count(*) FROM pg_class WHERE relname = 'profiles' AND reltuples = 2000"),
    ] {
        let (count,): (i64,) = sqlx::query_as(sql).fetch_one(&bench.admin).await.unwrap();
        assert!(count > 0, "{what}");
    }
    let later = "SELECT count(*) FROM subscriptions WHERE updated_at > now() AT TIME ZONE 'UTC' OR created_at > now() AT TIME ZONE 'UTC'";
    let (count,): (i64,) = sqlx::query_as(later).fetch_one(&bench.admin).await.unwrap();
    assert_eq!(count, 0, "nothing was written in the future");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_stripe_agree_before_any_incident() {
    let bench = Bench::start(Options { customers: 2_000, ..Options::default() }).await;
    let mut seen = HashSet::new();
    for number in 0..bench.population.len() {
        let person = bench.population.person(number);
        let Some(plan) = &person.plan else { continue };
        let stripe = bench.simulator.object(&plan.subscription).unwrap();
        let (tier, status, interval, start, end) = row(&bench, &person).await;
        let item = &stripe["items"]["data"][0];
        let status_there = stripe["status"].as_str().unwrap();
        seen.insert(status_there.to_string());
        assert_eq!(status, status_there, "{number}");
        let lives = ["active", "trialing", "past_due"].contains(&status_there);
        assert_eq!(tier, if lives { item["price"]["metadata"]["tier"].as_str().unwrap() } else { "FREE" }, "{number}");
        assert_eq!(interval.as_deref(), item["price"]["recurring"]["interval"].as_str(), "{number}");
        assert_eq!(start, item["current_period_start"].as_f64(), "{number}");
        assert_eq!(end, item["current_period_end"].as_f64(), "{number}");
        let sql = "SELECT stripe_customer_id, stripe_subscription_id, extract(epoch FROM cancel_at)::float8, cancel_at_period_end
                   FROM subscriptions WHERE profile_id = $1";
        let rest: (String, String, Option<f64>, bool) = sqlx::query_as(sql).bind(person.profile).fetch_one(&bench.admin).await.unwrap();
        assert_eq!(Some(rest.0.as_str()), stripe["customer"].as_str());
        assert_eq!(rest.1, plan.subscription);
        assert_eq!((rest.2, rest.3), (stripe["cancel_at"].as_f64(), stripe["cancel_at_period_end"].as_bool().unwrap()), "{number}");
    }
    assert_eq!(seen.len(), 4, "every status occurs: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_webhooks_are_repaired_by_their_delivery_or_by_the_right_update() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.ground.strike(Incident::MissedWebhooks, 3).await.unwrap();
        for label in &labels {
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], "FREE");
            assert!(!bench.ground.repaired(label).await.unwrap());
            made_in_stripe(&bench, label);
            assert_eq!(customer_of(&bench, label).await, label.expected.customer, "the row is linked");
        }
        assert_eq!(bench.simulator.deliver(&labels[0].event).await.status, Some(200));
        assert!(bench.ground.repaired(&labels[0]).await.unwrap(), "{shape:?}: its webhook, delivered at last");
        assert!(!bench.ground.repaired(&labels[1]).await.unwrap());
        let mut wrong = labels[1].clone();
        wrong.expected.period_end += chrono::Duration::days(1);
        repair(&bench, &wrong).await;
        assert!(!bench.ground.repaired(&labels[1]).await.unwrap(), "a wrong period is no repair");
        repair(&bench, &labels[1]).await;
        assert!(bench.ground.repaired(&labels[1]).await.unwrap(), "{shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholder_customers_had_their_webhooks_and_need_a_link() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.ground.strike(Incident::PlaceholderCustomers, 3).await.unwrap();
        for label in &labels {
            assert!(customer_of(&bench, label).await.starts_with("cus_temp_"));
            made_in_stripe(&bench, label);
            let delivered = bench.simulator.attempts().iter().any(|a| a.event == label.event && a.status == Some(200));
            assert!(delivered, "answered with 200");
            bench.simulator.deliver(&label.event).await;
            assert!(!bench.ground.repaired(label).await.unwrap(), "delivering again helps nothing");
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], "FREE");
            repair(&bench, label).await;
            assert!(bench.ground.repaired(label).await.unwrap(), "{shape:?}");
            assert_eq!(bench.entitlements(&label.profile).await["data"]["tier"], label.expected.tier);
        }
        let ways: HashSet<_> = labels.iter().map(|l| l.named_by).collect();
        assert_eq!(ways.len(), 2, "some are named in the metadata only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_outside_an_incident_is_delivered() {
    let bench = Bench::start(Options::default()).await;
    bench.simulator.set_deliveries(true);
    let label = bench.ground.strike(Incident::MissedWebhooks, 1).await.unwrap().remove(0);
    let person = someone(&bench, |b| matches!(b, Billing::Paid(c) if c.status == "active"));
    bench.simulator.cancel_subscription(&person.plan.clone().unwrap().subscription, chrono::Utc::now()).unwrap();
    until("the webhook changed the row", async || row(&bench, &person).await.1 == "canceled").await;
    assert_eq!(row(&bench, &person).await.0, "FREE");
    assert!(!bench.ground.repaired(&label).await.unwrap(), "the missed one stays missed");
    assert!(bench.simulator.attempts().iter().all(|a| a.event != label.event));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_struck_twice_and_a_small_town_runs_out_of_people() {
    let bench = Bench::start(Options::default()).await;
    for incident in Incident::ALL {
        bench.ground.strike(incident, 5).await.unwrap();
        bench.ground.strike(incident, 5).await.unwrap();
        let numbers: HashSet<_> = bench.ground.labels(incident).iter().map(|l| l.number).collect();
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
    assert_eq!(subjects, [14, 3], "asked for by name, and an ordinary start");
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
fn some_shapes() -> [Shape; 3] {
    let opposite = Shape { profiles: Profiles::Plain, timestamps: Timestamps::Tz, interval: Words::Monthly, naming: Naming::Usual };
    [Shape::default(), opposite, Shape { naming: Naming::Renamed, ..Shape::default() }]
}

/// Stripe holds what the label says, in every respect that a repair copies.
fn made_in_stripe(bench: &Bench, label: &Label) {
    let e = &label.expected;
    let stripe = bench.simulator.object(&e.subscription).unwrap();
    let item = &stripe["items"]["data"][0];
    assert_eq!((stripe["customer"].as_str(), stripe["status"].as_str()), (Some(e.customer.as_str()), Some(e.status)));
    assert_eq!(item["current_period_start"].as_i64(), Some(e.period_start.timestamp()));
    assert_eq!(item["current_period_end"].as_i64(), Some(e.period_end.timestamp()));
    assert_eq!(item["price"]["metadata"]["tier"].as_str(), Some(e.tier));
}

async fn customer_of(bench: &Bench, label: &Label) -> String {
    let n = bench.shape.names();
    let sql = format!("SELECT {} FROM {} WHERE {} = $1::text::{}", n.customer, n.subscriptions, n.owner, n.key);
    let (customer,): (String,) = sqlx::query_as(AssertSqlSafe(sql)).bind(&label.profile).fetch_one(&bench.admin).await.unwrap();
    customer
}

/// The UPDATE that a careful person would write.
async fn repair(bench: &Bench, label: &Label) {
    let (n, e) = (bench.shape.names(), &label.expected);
    let sql = format!(
        "UPDATE {} SET {} = $2, {} = $3, {} = $4, {} = $5, {} = $6, {} = {}, {} = {} WHERE {} = $1::text::{}",
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
        n.owner,
        n.key
    );
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let seconds = |t: chrono::DateTime<chrono::Utc>| t.timestamp() as f64;
    let done = sqlx::query(AssertSqlSafe(sql))
        .bind(&label.profile)
        .bind(&e.customer)
        .bind(&e.subscription)
        .bind(e.tier)
        .bind(e.status)
        .bind(e.interval)
        .bind(seconds(e.period_start))
        .bind(seconds(e.period_end))
        .execute(&bench.admin)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
}

/// `nightdesk sandbox --serve`, ready.
struct Served {
    child: Child,
    environment: Vec<(String, String)>,
    postmaster: u32,
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(bench::executable())
            .args(["sandbox", "--serve"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut environment = Vec::new();
        let mut ready = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line == "ready" {
                ready = true;
                break;
            }
            let (name, value) = line.strip_prefix("export ").and_then(|l| l.split_once('=')).unwrap();
            environment.push((name.to_string(), value.trim_matches('\'').to_string()));
        }
        assert!(ready, "it said ready");
        let mut served = Self { child, environment, postmaster: 0 };
        let pid = std::fs::read_to_string(served.directory().join("data/postmaster.pid")).unwrap();
        served.postmaster = pid.lines().next().unwrap().parse().unwrap();
        served
    }

    fn get(&self, name: &str) -> &str {
        &self.environment.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} was exported")).1
    }

    fn directory(&self) -> PathBuf {
        PathBuf::from(self.get("APP_LOG")).parent().unwrap().to_path_buf()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Row = (String, String, Option<String>, Option<f64>, Option<f64>);

/// Tier, status, interval, and the period in Unix seconds.
async fn row(bench: &Bench, person: &Person) -> Row {
    let n = bench.shape.names();
    let sql = format!(
        "SELECT {}, {}, {}, extract(epoch FROM {})::float8, extract(epoch FROM {})::float8 FROM {} WHERE {} = $1::text::{}",
        n.tier, n.status, n.interval, n.period_start, n.period_end, n.subscriptions, n.owner, n.key
    );
    sqlx::query_as(AssertSqlSafe(sql)).bind(n.key_of(person)).fetch_one(&bench.admin).await.unwrap()
}

fn someone(bench: &Bench, suits: impl Fn(Billing) -> bool) -> Person {
    let number = (0..bench.population.len()).find(|n| suits(bench.population.billing(*n))).unwrap();
    bench.population.person(number)
}

/// An event about a yearly PRO subscription of that person.
fn subscription_event(person: &Person, kind: &str, status: &str, start: i32, end: i32) -> Value {
    let item = json!({
        "current_period_start": start,
        "current_period_end": end,
        "price": { "id": PRICE_PRO_YEAR, "recurring": { "interval": "year" } },
    });
    json!({
        "id": "evt_test",
        "type": kind,
        "data": { "object": {
            "id": "sub_test",
            "customer": person.customer.clone().unwrap_or_else(|| "cus_unknown".into()),
            "status": status,
            "cancel_at": null,
            "cancel_at_period_end": false,
            "items": { "data": [item] },
        } },
    })
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// A zombie whose parent has not looked yet counts as gone.
fn alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) if cfg!(target_os = "linux") => false,
        Err(_) => kill(Pid::from_raw(pid.cast_signed()), None).is_ok(),
    }
}

fn gone(directory: &std::path::Path, pid: u32) {
    let patience = Instant::now() + Duration::from_secs(10);
    while directory.exists() || alive(pid) {
        assert!(Instant::now() < patience, "still there: {}, process {pid}", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
