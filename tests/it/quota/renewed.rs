//! Who renewed and was not reset comes first, by every way there is; Home's question costs nothing or is not answered; what may be hidden.

use super::{all, open, page, percent, sql};
use crate::bench::{Bench, Options};
use crate::command::Desk;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::SubjectKey;
use nightdesk::domain::quota::{Claim, NearPage, QuotaFilter, ServedBy};
use nightdesk::domain::row::Counter;
use nightdesk::gateway::postgres::{CounterWrite, Database};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::incidents::{Incident, Label};
use nightdesk::sandbox::schema::{Naming, STOCK, Shape};
use std::collections::BTreeSet;

async fn unreset(database: &Database) -> Option<NearPage> {
    match database.ask(Query::Unreset).await.unwrap() {
        Reply::Unreset(told) => told,
        other => panic!("{other:?}"),
    }
}

/// Whose counter of which feature the incident left as it was.
fn struck(labels: &[Label]) -> BTreeSet<(String, String)> {
    let counters = labels.iter().filter(|l| l.subject.feature != Some(STOCK));
    counters.map(|l| (l.subject.profile.clone().unwrap(), l.subject.feature.unwrap().to_string())).collect()
}

fn whose(page: &NearPage) -> BTreeSet<(String, String)> {
    page.rows.iter().map(|r| (r.subject.to_string(), r.feature.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_renewed_without_a_reset_comes_first_and_home_is_told() {
    for (shape, ddl) in
        [(Shape::default(), "-- == A"), (Shape::default(), "-- == B"), (Shape { naming: Naming::Renamed, ..Shape::default() }, "-- == A")]
    {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let database = open(&bench, "");
        let before = unreset(&database).await.expect("a small table is read");
        assert!(before.rows.is_empty() && before.limits_known, "healthy customers are held up by nothing: {before:?}");
        let labels = bench.ground.strike(Incident::QuotaSpent, 5).await.unwrap();
        let expected = struck(&labels);
        assert_eq!(expected.len(), 5);
        let check = async |by: fn(&ServedBy) -> bool, expected: &BTreeSet<(String, String)>, what: &str| {
            let told = unreset(&database).await.expect("cheap");
            assert!(by(&told.by) && whose(&told) == *expected, "{what}: {told:?}");
            let (rows, _) = all(&database, percent(80), &QuotaFilter::default()).await;
            let first: BTreeSet<_> = rows.iter().take(expected.len()).map(|r| (r.subject.to_string(), r.feature.clone())).collect();
            assert_eq!(first, *expected, "{what}: they come first");
            assert!(rows.iter().skip(expected.len()).all(|r| r.claim != Claim::Renewed) && rows.len() > expected.len() + 2, "{what}");
            assert!(rows.windows(2).all(|w| w[0].claim >= w[1].claim), "{what}");
        };
        check(|by| *by == ServedBy::Tables, &expected, "tables").await;
        if ddl == "-- == B" {
            let (profile, feature) = expected.first().unwrap();
            let said = Desk::of(&bench).say(&["find", profile]).await;
            assert!(said.out.contains(feature) && said.out.contains("not reset at the renewal: f on the Quota tab resets"), "{said:?}");
        }

        let text = database.quota_ddl().await.unwrap();
        let part = &text[text.find(ddl).unwrap()..];
        let (body, after) = part.split_once("COMMIT;").unwrap();
        sql(&bench, &format!("{body}COMMIT;")).await;
        sql(&bench, after.split("-- ==").next().unwrap()).await;
        let watched = |by: &ServedBy| matches!(by, ServedBy::Watch(_));
        check(watched, &expected, "as filled").await;
        // Struck while the triggers watch, and mended by a reset that opens a new period.
        bench.ground.strike(Incident::QuotaSpent, 8).await.unwrap();
        let n = shape.names();
        let all_of_them = whose(&unreset(&database).await.unwrap());
        assert!(all_of_them.len() > expected.len(), "{all_of_them:?}");
        let (profile, feature) = all_of_them.iter().next().unwrap();
        let (now, only) = (shape.now(), format!("{}::text = '{profile}' AND {} = '{feature}'", n.counter_owner, n.feature));
        sql(&bench, &format!("UPDATE {} SET {} = {now} WHERE {only}", n.counters, n.counter_start)).await;
        let mut left = all_of_them.clone();
        left.remove(&(profile.clone(), feature.clone()));
        check(watched, &left, "one has begun its new period").await;
        sql(&bench, &format!("UPDATE {} SET {} = 0", n.counters, n.used)).await;
        assert!(unreset(&database).await.unwrap().rows.is_empty());
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn home_is_told_nothing_where_it_would_cost_a_scan() {
    let bench = Bench::start(Options::default()).await;
    bench.ground.strike(Incident::QuotaSpent, 3).await.unwrap();
    // As the planner has it of a table of five million.
    sql(&bench, "UPDATE pg_class SET reltuples = 5000000 WHERE oid = 'rate_limits'::regclass").await;
    let database = open(&bench, "");
    assert_eq!(unreset(&database).await, None);
    assert!(!page(&database, percent(80), &QuotaFilter::default(), None).await.rows.is_empty(), "who asks for the list gets it");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_counters_says_so_and_writes_no_file() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "DROP TABLE rate_limits").await;
    let desk = Desk::of(&bench);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("near.csv").to_string_lossy().into_owned();
    for args in [&["quota"][..], &["quota", "--by-tier"], &["quota", "--export", &path]] {
        desk.say(args).await.refused(&["no table of counters", "[schema.counter]"]);
    }
    assert!(!std::path::Path::new(&path).exists());
    let database = open(&bench, "");
    let fault = database.ask(Query::TierUsage(QuotaFilter::default())).await.expect_err("none");
    assert_eq!(fault.kind, FaultKind::NotSetUp);
    assert_eq!(unreset(&database).await, None, "Home is told nothing");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_rows_are_hidden_the_lists_say_so() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    sql(&bench, "UPDATE rate_limits SET used = 0; ANALYZE").await;
    let said = desk.say(&["quota"]).await;
    assert!(said.code == Some(0) && !said.err.contains("not everybody"), "{said:?}");
    sql(&bench, "ALTER TABLE rate_limits ENABLE ROW LEVEL SECURITY").await;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("near.csv").to_string_lossy().into_owned();
    for args in [&["quota"][..], &["quota", "--by-tier"], &["quota", "--export", &path]] {
        let said = desk.say(args).await;
        assert!(said.code == Some(1) && said.err.contains("row-level security is active"), "{said:?}");
    }
    let json = desk.say(&["quota", "--json"]).await.json();
    assert!(json["doubts"][0].as_str().is_some_and(|d| d.contains("rate_limits")) && json["blocked"] == 0, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_written_over_whichever_connection_there_is() {
    let bench = Bench::start(Options::default()).await;
    let role = format!("crowded_{}", uuid::Uuid::new_v4().simple());
    sql(&bench, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 1 IN ROLE nightdesk")).await;
    let place = bench.variable("DATABASE_URL").rsplit_once('@').unwrap().1.to_string();
    let (profile, used): (String, i32) =
        sqlx::query_as("SELECT profile_id::text, used FROM rate_limits WHERE feature = 'searches' AND used > 0 ORDER BY 1 LIMIT 1")
            .fetch_one(&bench.admin)
            .await
            .unwrap();
    let key = SubjectKey(profile);
    // Which of the three gets the one slot there is, chance decides.
    for _ in 0..4 {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = format!("postgres://{role}:x@{place}");
        let config = nightdesk::config::Config::load(Some(file.path()), None, &|n| (n == "DATABASE_URL").then(|| url.clone())).unwrap();
        let database = Database::start(std::sync::Arc::new(config)).unwrap().unwrap();
        crate::bench::until("the slot is ours", async || database.poll().await.is_ok()).await;
        let counters = || async {
            let Ok(Reply::Counters(Some(sheet))) = database.ask(Query::Counters(key.clone())).await else { panic!("no counters") };
            sheet.counters.into_iter().filter(|c| c.feature == "searches").collect::<Vec<Counter>>()
        };
        let shown = counters().await;
        assert_eq!(shown[0].used, i64::from(used));
        let done = database.write_counters(key.clone(), CounterWrite::Reset(shown.clone())).await;
        assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
        assert_eq!(counters().await[0].used, 0);
        let back = database.write_counters(key.clone(), CounterWrite::Restore(shown)).await;
        assert!(matches!(back, Outcome::Done { .. }), "{back:?}");
        database.close().await;
    }
    let gone = format!("DROP ROLE {role}");
    crate::bench::until("the role is free", async || sqlx::raw_sql(sqlx::AssertSqlSafe(gone.clone())).execute(&bench.admin).await.is_ok())
        .await;
}
