//! The data a sandbox starts with: what it holds, and that it agrees with Stripe.

use std::collections::HashSet;

use super::row;
use crate::bench::{Bench, Options};

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
