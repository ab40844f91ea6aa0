//! The quotas as the product's users feel them: refused, passed after a repair, and never overrun by uses at the same moment.

use futures_util::future::join_all;
use nightdesk::sandbox::population::Billing;
use nightdesk::sandbox::schema::{Shape, Timestamps};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{incidents::some_shapes, someone};
use crate::bench::{Bench, Options, http};

/// Uses a feature: the status and the body.
async fn uses(bench: &Bench, profile: &str, feature: &str, amount: i32) -> (u16, Value) {
    let url = format!("{}/v1/usage/{feature}", bench.app.base_url());
    let answer = http().post(url).header("X-Profile-Id", profile).json(&json!({ "amount": amount })).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A free person without counters.
async fn somebody_new(bench: &Bench) -> String {
    let n = bench.shape.names();
    let profile = n.key_of(&someone(bench, |b| b == Billing::Free));
    change(bench, &format!("DELETE FROM {} WHERE {} = $1::text::{}", n.counters, n.counter_owner, n.key), &profile).await;
    profile
}

async fn set_tier(bench: &Bench, profile: &str, tier: &str) {
    let n = bench.shape.names();
    change(bench, &format!("UPDATE {} SET {} = '{tier}' WHERE {} = $1::text::{}", n.subscriptions, n.tier, n.owner, n.key), profile).await;
}

async fn change(bench: &Bench, sql: &str, profile: &str) {
    sqlx::query(AssertSqlSafe(sql)).bind(profile).execute(&bench.admin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tier_in_the_row_decides_what_passes() {
    let with_zone = Shape { timestamps: Timestamps::Tz, ..Shape::default() };
    for shape in some_shapes().into_iter().chain([with_zone]) {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let profile = somebody_new(&bench).await;
        let (status, body) = uses(&bench, &profile, "api_calls", 1).await;
        assert_eq!((status, &body["error"], &body["tier"]), (403, &json!("feature_not_in_plan"), &json!("FREE")), "{shape:?}: {body}");

        let (status, body) = uses(&bench, &profile, "searches", 4).await;
        assert_eq!((status, &body["data"]["used"], &body["data"]["remaining"]), (200, &json!(4), &json!(1)), "{shape:?}: {body}");
        let (status, body) = uses(&bench, &profile, "searches", 2).await;
        assert_eq!((status, &body["error"]), (429, &json!("quota_exceeded")), "{shape:?}: {body}");
        assert_eq!((&body["limit"], &body["used"]), (&json!(5), &json!(4)), "{body}");
        assert!(body["resets_at"].as_str().unwrap() > chrono::Utc::now().to_rfc3339().as_str(), "{body}");

        set_tier(&bench, &profile, "PRO").await;
        let (status, body) = uses(&bench, &profile, "searches", 2).await;
        assert_eq!((status, &body["data"]["remaining"]), (200, &json!(94)), "{shape:?}: {body}");
        assert_eq!(uses(&bench, &profile, "api_calls", 1).await.0, 200);

        set_tier(&bench, &profile, "ENTERPRISE").await;
        let (status, body) = uses(&bench, &profile, "searches", 90_000).await;
        assert_eq!((status, &body["data"]["limit"], &body["data"]["remaining"]), (200, &json!(-1), &Value::Null), "{body}");
        set_tier(&bench, &profile, "FREE").await;
        assert_eq!(uses(&bench, &profile, "searches", 1).await.0, 429, "{shape:?}: the tier alone decides, in both directions");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_counter_passes_after_its_reset_and_after_its_period() {
    let bench = Bench::start(Options::default()).await;
    let profile = somebody_new(&bench).await;
    for (feature, limit) in [("searches", 5), ("seats", 1)] {
        assert_eq!(uses(&bench, &profile, feature, limit).await.0, 200);
        assert_eq!(uses(&bench, &profile, feature, 1).await.0, 429);
    }
    let url = format!("{}/admin/licensing/entitlements/{profile}/reset", bench.app.base_url());
    assert!(http().post(url).bearer_auth(&bench.admin_token).send().await.unwrap().status().is_success());
    assert_eq!(uses(&bench, &profile, "searches", 5).await.0, 200);
    let (status, body) = uses(&bench, &profile, "seats", 1).await;
    assert_eq!((status, &body["resets_at"]), (429, &Value::Null), "a stock is not reset: {body}");

    assert_eq!(uses(&bench, &profile, "searches", 1).await.0, 429);
    let over = "UPDATE rate_limits SET period_end = now() AT TIME ZONE 'UTC' - interval '1 minute' WHERE profile_id = $1::text::uuid AND feature = 'searches'";
    change(&bench, over, &profile).await;
    let (status, body) = uses(&bench, &profile, "searches", 2).await;
    assert_eq!((status, &body["data"]["used"]), (200, &json!(2)), "a new period: {body}");
    assert_eq!(bench.entitlements(&profile).await["data"]["features"]["searches"]["used"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_at_the_same_moment_do_not_exceed_the_limit_together() {
    let bench = Bench::start(Options::default()).await;
    let profile = somebody_new(&bench).await;
    set_tier(&bench, &profile, "PRO").await;
    for (round, feature) in ["exports", "exports", "searches"].into_iter().enumerate() {
        let answers = join_all((0..120).map(|_| uses(&bench, &profile, feature, 1))).await;
        let passed = answers.iter().filter(|(status, _)| *status == 200).count();
        let refused = answers.iter().filter(|(status, _)| *status == 429).count();
        let limit = [50, 0, 100][round];
        assert_eq!((passed, refused), (limit, 120 - limit), "{feature}");
        let features = &bench.entitlements(&profile).await["data"]["features"];
        assert_eq!(features[feature]["used"], features[feature]["value"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_limits_table_the_built_in_limits_hold() {
    let bench = Bench::start(Options::default()).await;
    let profile = somebody_new(&bench).await;
    sqlx::raw_sql("DROP TABLE plan_features").execute(&bench.admin).await.unwrap();
    assert_eq!(uses(&bench, &profile, "searches", 5).await.0, 200);
    assert_eq!(uses(&bench, &profile, "searches", 1).await.0, 429);
    assert_eq!(uses(&bench, &profile, "api_calls", 1).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_wants_a_profile_a_feature_and_an_amount() {
    let bench = Bench::start(Options::default()).await;
    let profile = somebody_new(&bench).await;
    let url = format!("{}/v1/usage/searches", bench.app.base_url());
    assert_eq!(http().post(&url).send().await.unwrap().status(), 401);
    assert_eq!(http().post(&url).header("X-Profile-Id", &profile).send().await.unwrap().status(), 200, "one, without a body");
    for nobody in ["00000000-0000-4000-8000-000000000000", "not-an-id"] {
        assert_eq!(uses(&bench, nobody, "searches", 1).await.0, 404, "{nobody}");
    }
    assert_eq!(uses(&bench, &profile, "teleports", 1).await.0, 403);
    for amount in [0, -3, 100_001] {
        assert_eq!(uses(&bench, &profile, "searches", amount).await.0, 400, "{amount}");
    }
}
