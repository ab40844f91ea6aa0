//! How much sooner the first page of who is near a limit comes than by the runbook's query, over a million profiles and five million
//! counters, in both layouts of a profile: serially, with the server's helpers, and with the DDL that `nightdesk check --ddl quota` prints.
//! `cargo bench --bench quota`; `-- 100000` for so many profiles instead.

mod million;

use million::{KEYS, ROUNDS, System, median, ms, run, shape};
use nightdesk::domain::quota::{QuotaFilter, ServedBy, Threshold};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Query, Reply};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::time::{Duration, Instant};

/// One in eight is at its limit or within a tenth of it, one in twelve has expired, stocks know no period, and of those who pay one in a
/// hundred has renewed without a reset.
const COUNTERS: &str = "
INSERT INTO rate_limits
SELECT md5('p' || g)::uuid, f.name,
       CASE WHEN l.value > 0 AND hashint8(g * 7 + f.nth) & 7 = 0 THEN l.value - (hashint8(g * 11 + f.nth) & 1023) % (1 + l.value / 10)
            WHEN l.value > 0 THEN (hashint8(g * 13 + f.nth) & 1048575) % (1 + l.value * 3 / 4)
            WHEN l.value = 0 THEN 0 ELSE hashint8(g * 17 + f.nth) & 16383 END,
       current_date - CASE WHEN hashint8(g * 23 + f.nth) % 97 = 0 AND g % 10 >= 7 THEN 40 ELSE 10 END,
       CASE WHEN f.name = 'seats' THEN NULL WHEN hashint8(g * 19 + f.nth) % 12 = 0 THEN now() - interval '10 days'
            ELSE current_date + 20 END
FROM generate_series(1, @N@) AS g,
     (VALUES (1, 'searches'), (2, 'exports'), (3, 'seats'), (4, 'api_calls'), (5, 'messages')) AS f(nth, name),
     LATERAL (SELECT value FROM plan_features AS p WHERE p.feature = f.name
              AND p.tier = CASE WHEN g % 10 < 7 THEN 'FREE' WHEN g % 10 < 9 THEN 'PRO' ELSE 'ENTERPRISE' END) AS l";

/// The runbook's near-limit query, word for word but for its alias, which is a reserved word.
const SEED: &str = "
SELECT s.profile_id, s.tier, r.feature, r.used,
       (SELECT value FROM plan_features WHERE tier = s.tier AND feature = r.feature) AS \"limit\"
FROM subscriptions s JOIN rate_limits r ON r.profile_id = s.profile_id
WHERE r.used >= (SELECT value FROM plan_features WHERE tier = s.tier AND feature = r.feature) * 0.8
ORDER BY r.used DESC";

#[tokio::main]
async fn main() {
    let profiles = million::profiles();
    let system = System::start().await;
    println!("{profiles} profiles, {} counters; each figure the median of {ROUNDS} rounds, the queries in turn", profiles * 5);
    for plain in [false, true] {
        limits(&system, profiles, plain).await;
    }
}

async fn limits(system: &System, profiles: u64, plain: bool) {
    let name = format!("limits_{}", shape(plain));
    let mut admin = system.database(&name, profiles, plain).await;
    run(&mut admin, &COUNTERS.replace("@N@", &profiles.to_string())).await;
    run(&mut admin, KEYS).await;
    run(&mut admin, "VACUUM ANALYZE").await;
    run(&mut admin, "SET jit = off").await;
    println!("\nprofiles as {}", shape(plain));
    let mut serially = Duration::ZERO;
    for (how, workers) in [("serially", 0), ("two helpers", 2)] {
        run(&mut admin, &format!("SET max_parallel_workers_per_gather = {workers}")).await;
        let database = system.open(&name, workers);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        // In turn, so that whatever else the machine does slows down both.
        for round in 0..=ROUNDS {
            let (seed, (page, by)) = (seed(&mut admin).await, first_page(&database).await);
            assert_eq!(by, ServedBy::Tables);
            if round > 0 {
                theirs.push(seed);
                ours.push(page);
            }
        }
        let (theirs, ours) = (median(theirs), median(ours));
        if workers == 0 {
            serially = theirs;
        }
        line(&format!("the runbook's query, {how}"), theirs, None);
        line(&format!("our first page, {how}"), ours, Some(serially));
        let totals = || Query::QuotaTotals { threshold: Threshold::default(), filter: QuotaFilter::default() };
        line("  its totals", several(&database, totals).await, None);
        line("  use by tier", several(&database, || Query::TierUsage(QuotaFilter::default())).await, None);
        database.close().await;
    }
    let database = system.open(&name, 0);
    let ddl = database.quota_ddl().await.expect("the DDL");
    let own = &ddl[ddl.find("-- == A").expect("the first way")..ddl.find("-- == B").expect("the second")];
    let (body, after) = own.split_once("COMMIT;").expect("one transaction");
    let begun = Instant::now();
    run(&mut admin, &format!("{body}COMMIT;")).await;
    run(&mut admin, after).await;
    line("the DDL, applied and filled", begun.elapsed(), None);
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS * 5 {
        let (took, by) = first_page(&database).await;
        assert!(matches!(by, ServedBy::Watch(_)), "{by:?}");
        if round > 0 {
            rounds.push(took);
        }
    }
    line("our first page, with the DDL", median(rounds), Some(serially));
    let totals = || Query::QuotaTotals { threshold: Threshold::default(), filter: QuotaFilter::default() };
    line("  its totals", several(&database, totals).await, None);
    line("  Home's question, who renewed without a reset", several(&database, || Query::Unreset).await, None);
    let size: i64 = sqlx::query("SELECT pg_total_relation_size('quota_watch')").fetch_one(&mut admin).await.expect("a size").get(0);
    println!("{:<46} {:>10.1} MiB", "  its size", size as f64 / 1_048_576.0);
    database.close().await;
    admin.close().await.expect("closed");
}

fn line(what: &str, took: Duration, than: Option<Duration>) {
    let sooner = than.map(|t| format!("{:>8.1} times sooner than the runbook's", t.as_secs_f64() / took.as_secs_f64())).unwrap_or_default();
    println!("{what:<46} {:>10.1} ms {sooner}", ms(took));
}

/// The runbook's query, all of it, counted where it is computed: rows on their way would be the client's time.
async fn seed(admin: &mut PgConnection) -> Duration {
    let begun = Instant::now();
    let rows = format!("SELECT count(*) FROM ({SEED} OFFSET 0) AS all_of_them");
    sqlx::query(AssertSqlSafe(rows)).fetch_one(admin).await.expect("the runbook's query");
    begun.elapsed()
}

async fn first_page(database: &Database) -> (Duration, ServedBy) {
    let query = Query::NearLimit { threshold: Threshold::default(), filter: QuotaFilter::default(), after: None };
    let begun = Instant::now();
    let Reply::NearLimit(page) = database.ask(query).await.expect("a page") else { unreachable!("it answers what was asked") };
    assert!(!page.rows.is_empty());
    (begun.elapsed(), page.by)
}

/// The median of some rounds of one question, after one that warms up.
async fn several(database: &Database, query: impl Fn() -> Query) -> Duration {
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        database.ask(query()).await.expect("an answer");
        if round > 0 {
            rounds.push(begun.elapsed());
        }
    }
    median(rounds)
}
