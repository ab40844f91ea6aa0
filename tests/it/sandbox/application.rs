//! The sample application over HTTP: every shape, both manners, its admin API, and what the console's role may do.

use futures_util::future::join_all;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::population::{Billing, PRICE_PRO_YEAR, Person};
use nightdesk::sandbox::schema::{Shape, Words};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{row, someone};
use crate::bench::{Bench, Options, http};

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
    let year = if matches!(shape.interval, Words::Month) { "year" } else { "yearly" };
    assert_eq!((row.0.as_str(), row.1.as_str(), row.2.as_deref()), ("PRO", "active", Some(year)), "{shape:?}");
    assert_eq!((row.3, row.4), (Some(f64::from(start)), Some(f64::from(end))), "{shape:?}");

    let mut ended = subscription_event(&person, "customer.subscription.deleted", "canceled", start, end);
    ended["id"] = "evt_ended".into();
    bench.send_event(&ended, &bench.webhook_secret).await;
    let row = super::row(&bench, &person).await;
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
