//! Quotas on a real Postgres and a real application: who is near, by every way there is; resets, their proof and their undo.

mod files;
mod lists;
mod renewed;
mod resets;
mod search;
mod sizes;

use crate::bench::Bench;
use nightdesk::config::Config;
use nightdesk::domain::quota::{NearPage, NearRow, QuotaFilter, QuotaTotal, ServedBy, Threshold, TierUse};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Query, Reply};
use sqlx::AssertSqlSafe;
use std::path::PathBuf;
use std::sync::Arc;

fn percent(n: u8) -> Threshold {
    Threshold::new(n).unwrap()
}

/// The console's connections to the bench's database, with more configuration.
fn open(bench: &Bench, more: &str) -> Database {
    let variables = bench.environment();
    let map = variables.iter().find(|(n, _)| *n == "NIGHTDESK_CONFIG").map(|(_, path)| std::fs::read_to_string(path).unwrap());
    let place = tempfile::tempdir().unwrap();
    let path: PathBuf = place.path().join("nightdesk.toml");
    std::fs::write(&path, format!("{more}\n{}", map.unwrap_or_default())).unwrap();
    let given = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let config = Config::load(Some(&path), None, &given).unwrap();
    Database::start(Arc::new(config)).unwrap().unwrap()
}

async fn sql(bench: &Bench, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_string())).execute(&bench.admin).await.unwrap_or_else(|e| panic!("{text}: {e}"));
}

async fn page(database: &Database, threshold: Threshold, filter: &QuotaFilter, after: Option<&NearPage>) -> NearPage {
    let after = after.map(|p| p.next.clone().expect("there is a next page"));
    match database.ask(Query::NearLimit { threshold, filter: filter.clone(), after }).await.unwrap() {
        Reply::NearLimit(page) => page,
        other => panic!("{other:?}"),
    }
}

/// All pages, and by what they were found.
async fn all(database: &Database, threshold: Threshold, filter: &QuotaFilter) -> (Vec<NearRow>, ServedBy) {
    let mut last = page(database, threshold, filter, None).await;
    let mut rows = std::mem::take(&mut last.rows);
    while last.next.is_some() {
        let mut next = page(database, threshold, filter, Some(&last)).await;
        rows.append(&mut next.rows);
        last = next;
    }
    (rows, last.by)
}

async fn totals(database: &Database, threshold: Threshold) -> Vec<QuotaTotal> {
    match database.ask(Query::QuotaTotals { threshold, filter: QuotaFilter::default() }).await.unwrap() {
        Reply::QuotaTotals(totals) => totals,
        other => panic!("{other:?}"),
    }
}

async fn by_tier(database: &Database) -> Vec<TierUse> {
    match database.ask(Query::TierUsage(QuotaFilter::default())).await.unwrap() {
        Reply::TierUsage(uses) => uses,
        other => panic!("{other:?}"),
    }
}

/// `(profile, feature, used, limit)` of everybody near, by a statement that reads like the rule.
async fn reference(bench: &Bench, percent: i32) -> Vec<(String, String, i64, i64)> {
    let n = bench.shape.names();
    let text = format!(
        "SELECT c.{owner}::text, c.{feature}::text, c.{used}::bigint, l.{limit}::bigint
         FROM {counters} c LEFT JOIN {subscriptions} s ON s.{subscriber}::text = c.{owner}::text
         JOIN {limits} l ON l.{limit_tier} = coalesce(s.{tier}, 'FREE') AND l.{limit_feature} = c.{feature}
         WHERE l.{limit} > 0 AND 100 * c.{used}::bigint >= {percent} * l.{limit}::bigint AND (c.{end} IS NULL OR c.{end} > {now})
         ORDER BY CASE WHEN coalesce(s.{tier}, 'FREE') = 'FREE' THEN 0
                       WHEN c.{start} < s.{from} AND c.{end} >= s.{to} THEN 2 ELSE 1 END DESC, c.{used}::bigint * 1000 / l.{limit} DESC, c.{owner} DESC, c.{feature} DESC",
        owner = n.counter_owner,
        feature = n.feature,
        used = n.used,
        limit = n.limit,
        counters = n.counters,
        subscriptions = n.subscriptions,
        subscriber = n.owner,
        limits = n.limits,
        limit_tier = n.limit_tier,
        tier = n.tier,
        limit_feature = n.limit_feature,
        start = n.counter_start,
        end = n.counter_end,
        from = n.period_start,
        to = n.period_end,
        now = bench.shape.now(),
    );
    sqlx::query_as(AssertSqlSafe(text)).fetch_all(&bench.admin).await.unwrap()
}

fn told(rows: &[NearRow]) -> Vec<(String, String, i64, i64)> {
    rows.iter().map(|r| (r.subject.to_string(), r.feature.clone(), r.used, r.limit)).collect()
}
