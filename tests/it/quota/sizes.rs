//! What the DDL says of its size beside what comes of it, and how often a page reads the counters.

use super::{open, page, percent, sql};
use crate::bench::{Bench, Options, until};
use crate::command::Desk;
use nightdesk::domain::quota::{Claim, QuotaFilter, ServedBy};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A hundred thousand counters, anywhere between nothing and all of their limit.
const CROWD: &str = "
INSERT INTO profiles (id, data) SELECT md5('p' || g)::uuid, '{}' FROM generate_series(1, 30000) AS g;
INSERT INTO subscriptions (profile_id, stripe_customer_id, tier, current_period_start, current_period_end)
SELECT md5('p' || g)::uuid, 'cus_' || md5('c' || g), CASE WHEN g % 10 < 7 THEN 'FREE' ELSE 'PRO' END, now() - interval '9 days',
       now() + interval '21 days' FROM generate_series(1, 30000) AS g;
INSERT INTO rate_limits
SELECT md5('p' || g)::uuid, l.feature, (hashint8(g * 7 + length(l.feature)) & 1048575) % (1 + l.value), now() - interval '9 days',
       CASE WHEN l.feature = 'seats' THEN NULL ELSE now() + interval '21 days' END
  FROM generate_series(1, 30000) AS g JOIN plan_features AS l ON l.value > 0 AND l.tier = CASE WHEN g % 10 < 7 THEN 'FREE' ELSE 'PRO' END";

async fn bytes(bench: &Bench, table: &str) -> i64 {
    sqlx::query_scalar("SELECT pg_total_relation_size($1::regclass)").bind(table).fetch_one(&bench.admin).await.unwrap()
}

/// What is said behind this heading, in MiB.
fn said(ddl: &str, heading: &str) -> f64 {
    let (_, behind) = ddl.split_once(heading).unwrap_or_else(|| panic!("{heading}: {ddl}"));
    let (_, size) = behind.split_once("-- Size: about ").expect("it says its size");
    size.split_once(" MiB").expect("in MiB").0.replace(',', "").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sizes_that_the_ddl_tells_are_what_comes_of_it() {
    for (heading, until, grows) in [("-- == A", "-- == B", "quota_watch"), ("-- == B", "no such heading", "rate_limits")] {
        let bench = Bench::start(Options::default()).await;
        sql(&bench, CROWD).await;
        sql(&bench, "VACUUM ANALYZE rate_limits").await;
        let told = Desk::of(&bench).say(&["check", "--ddl", "quota"]).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.out.contains("counters that are that far now, by a sample"), "{}", told.out);
        let before = if grows == "rate_limits" { bytes(&bench, grows).await } else { 0 };
        let way = told.out.split_once(heading).expect("it is there").1;
        let (body, after) = way.split_once(until).map_or(way, |w| w.0).split_once("COMMIT;").expect("one transaction");
        sql(&bench, &format!("{}COMMIT;", body.split_once('\n').expect("a heading").1)).await;
        sql(&bench, after).await;
        let grown = (bytes(&bench, grows).await - before) as f64 / 1_048_576.0;
        let said = said(&told.out, heading);
        assert!((said / grown - 1.0).abs() <= 0.2, "{heading}: {said} MiB are said, {grown:.1} came of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_the_counters_once_where_somebody_who_pays_is_near() {
    let bench = Bench::start(Options::default()).await;
    // Its figures are told by the time it is gone.
    let mut alone = PgConnection::connect(&bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
    let counters = "DELETE FROM rate_limits;
         INSERT INTO rate_limits SELECT profile_id, 'searches', CASE WHEN tier = 'PRO' THEN 85 ELSE 5 END, now() - interval '9 days', now() + interval '21 days'
           FROM subscriptions WHERE tier <> 'ENTERPRISE';
         CREATE TABLE told AS SELECT count(*) FROM rate_limits";
    sqlx::raw_sql(AssertSqlSafe(counters.to_string())).execute(&mut alone).await.unwrap();
    alone.close().await.unwrap();
    let figure = async |what: &str| {
        let text = format!("SELECT coalesce(({what}), 0)::int8");
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(text)).fetch_one(&bench.admin).await.unwrap()
    };
    let inserted = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'rate_limits'";
    let (there, payers) = (figure("SELECT count FROM told").await, figure("SELECT count(*) FROM subscriptions WHERE tier = 'PRO'").await);
    assert!(payers > 0 && payers < 100 && there > 200, "{payers} of {there}");
    until("the server has counted", async || figure(inserted).await >= there).await;
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'rate_limits'";
    let mut before = figure(scans).await;

    let mut last = None;
    for (rows, free) in [(usize::try_from(payers).unwrap(), false), (100, true)] {
        let database = open(&bench, "");
        let found = page(&database, percent(80), &QuotaFilter::default(), last.as_ref()).await;
        database.close().await;
        assert_eq!((found.rows.len(), &found.by), (rows, &ServedBy::Tables));
        assert!(found.rows.iter().all(|r| (r.claim == Claim::Free) == free) && found.next.is_some(), "{:?}", found.rows);
        until("the server has counted", async || figure(scans).await > before).await;
        assert_eq!(figure(scans).await, before + 1, "{free}");
        (before, last) = (before + 1, Some(found));
    }
}
