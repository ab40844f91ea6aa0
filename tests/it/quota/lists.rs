//! Who is near, page by page, by tier and feature, over plain tables and over what the DDL makes; the list as a file.

use super::{all, by_tier, open, page, percent, reference, sql, told, totals};
use crate::bench::{Bench, Options};
use crate::command::Desk;
use nightdesk::domain::quota::{Claim, QuotaFilter, QuotaState, ServedBy};
use nightdesk::protocol::query::Query;
use nightdesk::sandbox::schema::{Naming, Profiles, Shape, Timestamps, Words};
use sqlx::AssertSqlSafe;

/// Profiles of a tier, by key.
async fn of_tier(bench: &Bench, tier: &str) -> Vec<String> {
    let n = bench.shape.names();
    let text = format!("SELECT s.{}::text FROM {} s WHERE s.{} = $1 ORDER BY 1", n.owner, n.subscriptions, n.tier);
    sqlx::query_scalar(AssertSqlSafe(text)).bind(tier).fetch_all(&bench.admin).await.unwrap()
}

/// One counter; `days`: when its period ends from now, `None` for a stock.
async fn count(bench: &Bench, profile: &str, feature: &str, used: i32, days: Option<i32>) {
    let n = bench.shape.names();
    let now = bench.shape.now();
    let (start, end) = match days {
        Some(days) => (format!("{now} - interval '9 days'"), format!("{now} + interval '{days} days'")),
        None => (now.to_string(), "NULL".into()),
    };
    let text = format!(
        "INSERT INTO {} ({}, {}, {}, {}, {}) VALUES ('{profile}', '{feature}', {used}, {start}, {end})",
        n.counters, n.counter_owner, n.feature, n.used, n.counter_start, n.counter_end
    );
    sql(bench, &text).await;
}

/// The bench with only these counters: unlimited, not in the plan, expired, no row, just below and exactly at the threshold, spent.
async fn matrix(shape: Shape) -> (Bench, Vec<(String, String, i64, i64)>) {
    let bench = Bench::start(Options { shape, ..Options::default() }).await;
    sql(&bench, &format!("DELETE FROM {}", shape.names().counters)).await;
    let (free, pro, top) = (of_tier(&bench, "FREE").await, of_tier(&bench, "PRO").await, of_tier(&bench, "ENTERPRISE").await);
    for (profile, feature, used, days) in [
        (&free[0], "searches", 4, Some(9)),
        (&free[0], "exports", 1, Some(9)),
        (&free[0], "api_calls", 3, Some(9)),
        (&free[1], "searches", 5, Some(9)),
        (&free[1], "exports", 2, Some(-1)),
        (&pro[0], "searches", 79, Some(9)),
        (&pro[0], "exports", 60, Some(9)),
        (&pro[0], "seats", 5, None),
        (&pro[0], "api_calls", 8_000, Some(9)),
        (&top[0], "searches", 99_999, Some(9)),
        (&top[0], "seats", 39, None),
        (&top[1], "seats", 40, None),
        (&free[2], "searches", 5, Some(9)),
    ] {
        count(&bench, profile, feature, used, days).await;
    }
    // Whoever has no row has the tier that nobody pays for.
    sql(&bench, &format!("DELETE FROM {} WHERE {}::text = '{}'", shape.names().subscriptions, shape.names().owner, free[2])).await;
    sql(&bench, &format!("ANALYZE {}", shape.names().counters)).await;
    let near = |profile: &String, feature: &str, used, limit| (profile.clone(), feature.to_string(), used, limit);
    let expected = vec![
        near(&free[0], "searches", 4, 5),
        near(&free[1], "searches", 5, 5),
        near(&free[2], "searches", 5, 5),
        near(&pro[0], "exports", 60, 50),
        near(&pro[0], "seats", 5, 5),
        near(&pro[0], "api_calls", 8_000, 10_000),
        near(&top[1], "seats", 40, 50),
    ];
    (bench, expected)
}

fn sorted(mut rows: Vec<(String, String, i64, i64)>) -> Vec<(String, String, i64, i64)> {
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_limit_and_counter_is_read_as_the_application_reads_it() {
    let plain = Shape { profiles: Profiles::Plain, timestamps: Timestamps::Tz, interval: Words::Monthly, naming: Naming::Usual };
    let renamed = Shape { naming: Naming::Renamed, ..Shape::default() };
    for shape in [Shape::default(), plain, renamed] {
        let (bench, expected) = matrix(shape).await;
        let database = open(&bench, "");
        let (rows, by) = all(&database, percent(80), &QuotaFilter::default()).await;
        assert_eq!(by, ServedBy::Tables);
        assert_eq!(sorted(told(&rows)), sorted(expected), "{shape:?}");
        assert_eq!(told(&rows), reference(&bench, 80).await, "{shape:?}: who pays first, then the fullest");
        let state = |used: i64, limit: i64| rows.iter().find(|r| (r.used, r.limit) == (used, limit)).map(|r| r.state);
        assert_eq!((state(4, 5), state(60, 50)), (Some(QuotaState::Near), Some(QuotaState::Blocked)));
        assert!(rows.iter().all(|r| (r.resets.is_none()) == (r.feature == "seats")), "{rows:?}");
        assert!(rows.iter().any(|r| r.email.is_some()) && rows.iter().any(|r| r.tier == "ENTERPRISE"));

        let lower: Vec<_> = told(&all(&database, percent(50), &QuotaFilter::default()).await.0);
        assert_eq!((lower.len(), &lower), (10, &reference(&bench, 50).await));
        let only = QuotaFilter { tier: Some("PRO".into()), feature: None };
        assert_eq!(all(&database, percent(80), &only).await.0.len(), 3);
        let only = QuotaFilter { tier: Some("PRO".into()), feature: Some("seats".into()) };
        assert_eq!(all(&database, percent(80), &only).await.0.len(), 1);
        let filter = QuotaFilter { tier: Some("o'neill".into()), feature: None };
        let fault = database.ask(Query::NearLimit { threshold: percent(80), filter, after: None }).await.expect_err("no such tier");
        assert_eq!(fault.say, "`o'neill` is no tier: one of ENTERPRISE, FREE, PRO");

        let counted: i64 = totals(&database, percent(80)).await.iter().map(|t| t.near + 1_000 * t.blocked).sum();
        assert_eq!(counted, 3 + 4_000);
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn use_by_tier_counts_everybody() {
    let (bench, _) = matrix(Shape::default()).await;
    let database = open(&bench, "");
    let uses = by_tier(&database).await;
    let of =
        |tier: &str, feature: &str| uses.iter().find(|u| (u.tier.as_str(), u.feature.as_str()) == (tier, feature)).expect("a line").clone();
    let everybody: i64 = sqlx::query_scalar("SELECT count(*) FROM profiles").fetch_one(&bench.admin).await.unwrap();
    assert_eq!(of("FREE", "searches").users + of("PRO", "searches").users + of("ENTERPRISE", "searches").users, everybody);
    let searches = of("FREE", "searches");
    assert_eq!((searches.active, searches.max, searches.median, searches.p95, searches.blocked), (3, 5, 0, 0, 2));
    assert_eq!(searches.average_milli, (14_000 + searches.users / 2) / searches.users);
    assert_eq!(
        (of("PRO", "api_calls").limit, of("ENTERPRISE", "searches").limit, of("FREE", "api_calls").limit),
        (Some(10_000), Some(-1), Some(0))
    );
    assert_eq!((of("FREE", "exports").max, of("ENTERPRISE", "exports").active), (1, 0), "an expired counter is nothing used");
    // Half of the ten PRO users and one more, so that the middle one is a user.
    sql(&bench, "DELETE FROM rate_limits").await;
    sql(
        &bench,
        "INSERT INTO rate_limits SELECT profile_id, 'searches', row_number() OVER (ORDER BY profile_id)
         FROM subscriptions WHERE tier = 'PRO'",
    )
    .await;
    let of = by_tier(&database).await.into_iter().find(|u| (u.tier.as_str(), u.feature.as_str()) == ("PRO", "searches")).expect("a line");
    let users = of.users;
    assert_eq!((of.active, of.max, of.median, of.p95), (users, users, (users + 1) / 2, (users * 95 + 99) / 100));
    database.close().await;
}

/// Everybody who is FREE has used up their searches, so that there are several pages.
async fn crowd(bench: &Bench) {
    let n = bench.shape.names();
    sql(bench, &format!("DELETE FROM {}", n.counters)).await;
    let text = format!(
        "INSERT INTO {} ({}, {}, {}, {}) SELECT s.{}, 'searches', CASE WHEN s.{} = 'FREE' THEN 5 ELSE 85 END, {now} + interval '9 days' FROM {} s",
        n.counters,
        n.counter_owner,
        n.feature,
        n.used,
        n.counter_end,
        n.owner,
        n.tier,
        n.subscriptions,
        now = bench.shape.now()
    );
    sql(bench, &text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_one_another_without_gap_or_repeat_whatever_the_keys_are() {
    let renamed = Shape { naming: Naming::Renamed, ..Shape::default() };
    for (shape, text_keys) in [(Shape::default(), false), (renamed, false), (Shape::default(), true)] {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        crowd(&bench).await;
        if text_keys {
            sql(
                &bench,
                "ALTER TABLE rate_limits DROP CONSTRAINT rate_limits_profile_id_fkey;
                 ALTER TABLE rate_limits ALTER COLUMN profile_id TYPE text",
            )
            .await;
        }
        let database = open(&bench, "");
        let first = page(&database, percent(80), &QuotaFilter::default(), None).await;
        let paying = first.rows.iter().filter(|r| r.claim == Claim::Paying).count();
        assert!(first.next.is_some() && paying > 0 && paying == first.rows.len(), "those who pay nothing begin a page of their own");
        let (rows, _) = all(&database, percent(80), &QuotaFilter::default()).await;
        assert!(rows.len() > 200);
        assert_eq!(told(&rows), reference(&bench, 80).await, "{shape:?}, {text_keys}");
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_come_from_the_configuration_where_the_database_has_none() {
    let (bench, _) = matrix(Shape::default()).await;
    sql(&bench, "DROP TABLE plan_features").await;
    let database = open(&bench, "");
    let none = page(&database, percent(80), &QuotaFilter::default(), None).await;
    assert!(none.rows.is_empty() && !none.limits_known);
    database.close().await;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("near.csv").to_string_lossy().into_owned();
    let desk = Desk::of(&bench);
    desk.say(&["quota", "--export", &path]).await.refused(&["no limits are known"]);
    desk.say(&["quota"]).await.refused(&["no limits are known"]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing that could be taken for a list");
    let database = open(&bench, "[limits.FREE]\nsearches = 5\n[limits.PRO]\nseats = 5\n");
    let (rows, _) = all(&database, percent(80), &QuotaFilter::default()).await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    database.close().await;
}

/// The part of what `check --ddl quota` prints between these headings.
fn part(text: &str, from: &str, to: &str) -> String {
    let begin = text.find(from).unwrap_or_else(|| panic!("{from}: {text}"));
    let rest = &text[begin..];
    rest[..rest.find(to).unwrap_or(rest.len())].to_string()
}

/// Statement by statement: some of them do not run inside a transaction that the protocol opens.
async fn apply(bench: &Bench, ddl: &str) {
    let (body, after) = ddl.split_once("COMMIT;").expect("it is one transaction and what follows");
    sql(bench, &format!("{body}COMMIT;")).await;
    sql(bench, after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_is_used_once_it_is_there_and_stays_true() {
    let renamed = Shape { naming: Naming::Renamed, ..Shape::default() };
    for (shape, from, to) in
        [(Shape::default(), "-- == A", "-- == B"), (Shape::default(), "-- == B", "no such heading"), (renamed, "-- == A", "-- == B")]
    {
        let (bench, expected) = matrix(shape).await;
        let said = Desk::of(&bench).say(&["check", "--ddl", "quota"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        for word in ["MiB", "22 %", "HOT", "The console runs"] {
            assert!(said.out.contains(word), "{word}: {}", said.out);
        }
        let n = shape.names();
        let absent: Option<String> = sqlx::query_scalar("SELECT to_regclass('quota_watch')::text").fetch_one(&bench.admin).await.unwrap();
        assert_eq!(absent, None, "printing runs nothing");
        let database = open(&bench, "");
        assert_eq!(page(&database, percent(80), &QuotaFilter::default(), None).await.by, ServedBy::Tables);
        apply(&bench, &part(&said.out, from, to)).await;

        let check = async |what: &str| {
            let (rows, by) = all(&database, percent(80), &QuotaFilter::default()).await;
            assert!(matches!(by, ServedBy::Watch(_)), "{what}: {by:?}");
            assert_eq!(told(&rows), reference(&bench, 80).await, "{what}");
            rows.len()
        };
        assert_eq!(check("as filled").await, expected.len());
        let (profile, feature, ..) = &expected[0];
        let whose = format!("{}::text = '{profile}' AND {} = '{feature}'", n.counter_owner, n.feature);
        sql(&bench, &format!("UPDATE {} SET {} = 0 WHERE {whose}", n.counters, n.used)).await;
        assert_eq!(check("after a reset").await, expected.len() - 1);
        sql(&bench, &format!("UPDATE {} SET {} = 5 WHERE {whose}", n.counters, n.used)).await;
        assert_eq!(check("used up again").await, expected.len());
        sql(&bench, &format!("UPDATE {} SET {} = 'ENTERPRISE' WHERE {}::text = '{profile}'", n.subscriptions, n.tier, n.owner)).await;
        assert_eq!(check("upgraded").await, expected.len() - 1);
        let (spent, ..) = &expected[1];
        sql(&bench, &format!("DELETE FROM {} WHERE {}::text = '{spent}'", n.profiles, n.profile)).await;
        assert_eq!(check("erased").await, expected.len() - 2);
        let counted: i64 = totals(&database, percent(80)).await.iter().map(|t| t.near + t.blocked).sum();
        assert_eq!(counted, 5);
        // What it does not reach down to is read from the tables.
        let (lower, by) = all(&database, percent(40), &QuotaFilter::default()).await;
        assert_eq!((told(&lower), by), (reference(&bench, 40).await, ServedBy::Tables));
        crowd(&bench).await;
        assert!(check("several pages").await > 200);
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_and_writes_files_that_are_safe_to_open() {
    let (bench, expected) = matrix(Shape::default()).await;
    sql(&bench, &format!("UPDATE profiles SET data = data || '{{\"name\": \"=HYPERLINK(0)\"}}' WHERE id = '{}'", expected[1].0)).await;
    let desk = Desk::of(&bench);
    let said = desk.say(&["quota"]).await;
    assert_eq!(said.code, Some(1), "somebody is blocked: {said:?}");
    assert!(said.out.starts_with("4 blocked, 3 near their limit (from 80% on)"), "{}", said.out);
    assert!(said.out.contains("BLOCKED") && said.out.contains("NEAR") && said.out.contains("•••"), "{}", said.out);
    let json = desk.say(&["quota", "--tier", "PRO", "--threshold", "85%", "--json"]).await.json();
    assert_eq!((json["blocked"].as_i64(), json["near"].as_i64(), json["by"].as_str()), (Some(2), Some(0), Some("tables")), "{json}");
    let tiers = desk.say(&["quota", "--by-tier", "--json"]).await.well();
    assert!(tiers.as_array().is_some_and(|t| t.len() == 12), "{tiers}");
    for bad in ["0", "400"] {
        let said = desk.say(&["quota", "--threshold", bad, "--json"]).await;
        assert!(said.code == Some(2) && said.err.contains("\"usage\"") && said.err.contains("1 to 100"), "{said:?}");
    }
    for (flag, word, others) in [("--feature", "nosuch", "api_calls"), ("--tier", "NOPE", "ENTERPRISE, FREE, PRO")] {
        let known = format!("`{word}` is no {}: one of", &flag[2..]);
        let file = desk.state.path().join("near.csv").to_string_lossy().into_owned();
        for more in [&[][..], &["--by-tier"], &["--json"], &["--export", &file]] {
            let said = desk.say(&[&["quota", flag, word], more].concat()).await;
            assert!(said.code == Some(2) && said.err.contains(&known) && said.err.contains(others) && said.out.is_empty(), "{said:?}");
        }
    }
    let nobody = desk.say(&["quota", "--tier", "ENTERPRISE", "--threshold", "100", "--json"]).await.json();
    assert_eq!(nobody["near"].as_i64(), Some(0), "a word that is known is answered: {nobody}");
    desk.say(&["quota", "--export", "near.xls"]).await.refused(&[".csv, .json or .jsonl"]);

    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let said = desk.say(&["quota", "--export", &path("near.csv")]).await;
    assert!(said.code == Some(0) && said.out.contains("7 rows"), "{said:?}");
    let masked = std::fs::read_to_string(path("near.csv")).unwrap();
    assert!(masked.starts_with("profile,email,name,") && masked.lines().count() == 8 && !masked.contains("HYPERLINK"), "{masked}");
    let said = desk.say(&["quota", "--export", &path("whole.csv"), "--unmasked"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let whole = std::fs::read_to_string(path("whole.csv")).unwrap();
    assert!(whole.contains(",\"'=HYPERLINK(0)\","), "{whole}");
    let journal = std::fs::read_to_string(desk.state.path().join("env/test/journal.jsonl")).unwrap();
    assert!(journal.contains("revealed"), "what leaves unmasked is in the journal");
    desk.say(&["quota", "--export", &path("near.jsonl")]).await;
    let lines = std::fs::read_to_string(path("near.jsonl")).unwrap();
    assert_eq!(lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()).filter(|v| v["state"] == "BLOCKED").count(), 4);
    desk.say(&["quota", "--export", &path("near.json")]).await;
    let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path("near.json")).unwrap()).unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(7));
    assert!(std::fs::read_dir(place.path()).unwrap().flatten().all(|f| !f.file_name().to_string_lossy().ends_with(".partial")));
}
