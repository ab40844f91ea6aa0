//! Every query over every shape of the database, and every way in which the database can refuse.

use super::{config_with, database, find, image, open, paying, record, records, sql};
use crate::bench::{Bench, Options, until};
use nightdesk::config::schema::Column;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::domain::row::{Change, Field, Value};
use nightdesk::domain::shape::{KeyType, Trust};
use nightdesk::domain::text::is_hostile;
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::query::{Locator, Query, Reply};
use nightdesk::sandbox::population::Interval;
use nightdesk::sandbox::schema::{Naming, Profiles, Shape, Timestamps};
use std::time::Instant;

const FEW: u64 = 60;

async fn bench_of(shape: Shape) -> Bench {
    Bench::start(Options { shape, customers: FEW, ..Options::default() }).await
}

#[tokio::test]
async fn every_shape_is_found_and_read_alike() {
    for shape in Shape::all() {
        let bench = bench_of(shape).await;
        let database = database(&bench);
        let Reply::Shape(found) = database.ask(Query::Shape).await.unwrap_or_else(|f| panic!("{shape:?}: {f}")) else { panic!() };
        assert_eq!(found.profiles_in_json, shape.profiles == Profiles::Jsonb, "{shape:?}");
        assert_eq!(found.naive_timestamps, shape.timestamps == Timestamps::Naive, "{shape:?}");
        assert_eq!(found.key, if shape.naming == Naming::Usual { KeyType::Uuid } else { KeyType::BigInt }, "{shape:?}");
        assert_eq!(found.interval.month.as_deref(), Some(shape.interval_word(Interval::Month)), "{shape:?}");
        assert_eq!(found.interval.year.as_deref(), Some(shape.interval_word(Interval::Year)), "{shape:?}");
        assert_eq!(found.interval.found_in, "constraint");
        assert!(found.status_words.as_ref().is_some_and(|w| w.contains("past_due") && w.len() == 8), "{:?}", found.status_words);
        assert!(found.plan_features && found.updatable, "{found:?}");
        assert_eq!(found.trust, Trust::Full, "{shape:?}");
        assert!(found.server.starts_with("PostgreSQL 1") && found.database == bench.database, "{found:?}");

        let person = paying(&bench);
        let (paid, customer) = (person.plan.clone().expect("paying"), person.customer.clone().expect("paying"));
        let by_key = record(&bench, &database, &person).await;
        assert_eq!((by_key.subject.email.as_ref(), by_key.subject.name.as_ref()), (Some(&person.email), Some(&person.name)), "{shape:?}");
        assert_eq!(by_key.subject.created_at, Some(person.created));
        let row = by_key.row.as_ref().expect("a row");
        assert_eq!(row.image.len(), Field::ALL.len(), "every field is mapped");
        assert_eq!(row.get(Field::PeriodEnd), Some(&Value::Time(paid.period_end)), "{shape:?}");
        assert_eq!(row.text(Field::Interval), Some(shape.interval_word(paid.interval)));
        assert_eq!((row.text(Field::Customer), row.text(Field::Status)), (Some(customer.as_str()), Some("active")));
        assert_eq!(row.get(Field::CancelAtPeriodEnd), Some(&Value::Bool(paid.cancel_at_period_end)));
        assert!(!by_key.limits.is_empty(), "{shape:?}");
        for locator in [
            Locator::CustomerId(customer.clone()),
            Locator::SubscriptionId(paid.subscription.clone()),
            Locator::Email(person.email.clone()),
            Locator::Email(person.email.to_uppercase()),
        ] {
            assert_eq!(records(&database, locator.clone()).await.expect("records"), std::slice::from_ref(&by_key), "{shape:?} {locator:?}");
        }
        let rows = database.ask(Query::RowsOf(vec![StripeId::parse(&customer).expect("an id")])).await.expect("rows");
        assert_eq!(rows, Reply::Rows(vec![(row.clone(), by_key.subject.clone())]), "{shape:?}");

        let key = by_key.subject.key.0.clone();
        let name: String = person.name.to_lowercase();
        let partial = |text: &str| text.chars().take(text.chars().count() - 3).collect::<String>();
        for term in [
            person.email.clone(),
            partial(&person.email),
            name.clone(),
            key.clone(),
            key[..key.len().min(6)].to_string(),
            customer.clone(),
            customer[..8].to_string(),
            paid.subscription.clone(),
        ] {
            let (hits, _) = find(&database, &term).await;
            assert!(hits.iter().any(|h| h.subject.as_ref().is_some_and(|s| s.0 == key)), "{shape:?} {term}: {hits:?}");
        }
        let free = (0..FEW).map(|n| bench.population.person(n)).find(|p| p.customer.is_none()).expect("a placeholder");
        let (hits, _) = find(&database, &free.placeholder()).await;
        assert_eq!(hits.len(), 1, "{shape:?}");
        assert_eq!((hits[0].rank, hits[0].customer.as_ref()), (0, Some(&free.placeholder())));
        database.close().await;
    }
}

#[tokio::test]
async fn counters_come_with_their_periods() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    sql(&bench, &format!("DELETE FROM rate_limits WHERE profile_id = '{}'", person.profile)).await;
    let insert =
        "INSERT INTO rate_limits VALUES ('KEY', 'searches', 7, '2026-01-01 00:00:00.5', '2026-02-01'), ('KEY', 'seats', 2, NULL, NULL)";
    sql(&bench, &insert.replace("KEY", &person.profile.to_string())).await;
    let counters = record(&bench, &database, &person).await.counters;
    assert_eq!(counters.iter().map(|c| (c.feature.as_str(), c.used)).collect::<Vec<_>>(), [("searches", 7), ("seats", 2)]);
    assert_eq!(counters[0].period_start.map(|t| t.to_rfc3339()).as_deref(), Some("2026-01-01T00:00:00.500+00:00"));
    assert_eq!(counters[1].period_end, None);
}

#[tokio::test]
async fn what_cannot_be_a_key_finds_nothing_and_breaks_nothing() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    for key in ["not-a-uuid", "", "'; DROP TABLE profiles; --", "nul\0byte"] {
        let found = records(&database, Locator::Subjects(vec![SubjectKey(key.into())])).await;
        assert_eq!(found.expect("an empty answer"), [], "{key:?}");
    }
    for locator in [Locator::CustomerId("nul\0".into()), Locator::Email("x@\0".into()), Locator::Email("nobody@nowhere.example".into())] {
        assert_eq!(records(&database, locator).await.expect("an empty answer"), []);
    }
    for term in ["%", "_", "100%", "\\", "o'neill", "zz\0", "deadbeefdeadbeefdeadbeef", "9223372036854775807"] {
        let (hits, _) = find(&database, term).await;
        assert!(hits.len() <= 20, "{term}");
    }
    assert_eq!(find(&database, "%%%").await.0, [], "a pattern's own characters are only characters");
}

#[tokio::test]
async fn a_hostile_name_is_harmless_when_it_arrives() {
    let bench = bench_of(Shape::default()).await;
    let person = paying(&bench);
    let set = "UPDATE profiles SET data = jsonb_set(data, '{name}', to_jsonb(E'\\x1b[31m\\x1b]52;c;aGk=\\x07\u{202E}evil'::text)) WHERE id = 'KEY'";
    sql(&bench, &set.replace("KEY", &person.profile.to_string())).await;
    let name = record(&bench, &database(&bench), &person).await.subject.name.expect("a name");
    assert!(name.contains("evil") && !name.chars().any(is_hostile), "{name:?}");
}

#[tokio::test]
async fn a_map_that_names_what_is_not_there_says_which_column_and_which_key() {
    let bench = bench_of(Shape::default()).await;
    let mut config = config_with(&bench, &[]);
    config.schema.subscription.tier = Column::Plain("plan_tier".into());
    let fault = open(config).ask(Query::Shape).await.expect_err("no such column");
    assert_eq!(fault.kind, FaultKind::Schema);
    assert!(fault.say.contains("subscriptions.plan_tier") && fault.say.contains("[schema.subscription] tier"), "{fault}");

    let mut config = config_with(&bench, &[]);
    config.schema.subject.table = "app.customers".into();
    let fault = open(config).ask(Query::Shape).await.expect_err("no such table");
    assert!(fault.say.contains("app.customers") && fault.say.contains("[schema.subject] table"), "{fault}");

    let mut config = config_with(&bench, &[]);
    config.schema.subscription.cancel_at = Column::Plain("tier".into());
    let fault = open(config).ask(Query::Shape).await.expect_err("no time");
    assert!(fault.say.contains("subscriptions.tier") && fault.say.contains("needs a time"), "{fault}");

    let mut config = config_with(&bench, &[]);
    config.schema.subscription.cancel_at = Column::Off;
    let row = record(&bench, &open(config), &paying(&bench)).await.row.expect("a row");
    assert_eq!(row.get(Field::CancelAt), None, "what is off is not read");
}

#[tokio::test]
async fn without_a_limits_table_the_configuration_s_limits_count() {
    let bench = bench_of(Shape::default()).await;
    sql(&bench, "DROP TABLE plan_features").await;
    let mut config = config_with(&bench, &[]);
    config.limits.entry("PRO".into()).or_default().insert("searches".into(), 42);
    config.limits.entry("ENTERPRISE".into()).or_default().insert("searches".into(), 42);
    let database = open(config);
    let Reply::Shape(shape) = database.ask(Query::Shape).await.expect("a shape") else { panic!() };
    assert!(!shape.plan_features);
    assert_eq!(record(&bench, &database, &paying(&bench)).await.limits.get("searches"), Some(&42));
}

#[tokio::test]
async fn a_way_in_that_is_closed_says_why() {
    let bench = bench_of(Shape::default()).await;
    let url = bench.variable("DATABASE_URL");
    let (head, tail) = url.rsplit_once('@').expect("a URL with a password");
    let user = head.rsplit_once(':').expect("a password").0;
    let name = tail.rsplit_once('/').expect("a database");
    let cases = [
        (format!("{user}:wrong@{tail}"), FaultKind::Auth, "refuses the password of nightdesk"),
        (format!("{head}@{}/nowhere", name.0), FaultKind::Schema, "there is no database nowhere"),
        (format!("{head}@127.0.0.1:1/{}", name.1), FaultKind::Unreachable, "127.0.0.1:1"),
    ];
    for (url, kind, words) in cases {
        let fault = open(config_with(&bench, &[("DATABASE_URL", &url)])).ask(Query::Shape).await.expect_err("no way in");
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.say.contains(words) && !fault.say.contains("wrong@"), "{fault}");
    }
    let config = config_with(&bench, &[("DATABASE_URL", "mysql://somewhere")]);
    let fault = nightdesk::gateway::postgres::Database::start(config.into()).err().expect("no address");
    assert!(fault.say.contains("postgres://"), "{fault}");
}

#[tokio::test]
async fn a_locked_table_costs_half_a_second_and_the_next_read_is_answered() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    record(&bench, &database, &person).await;
    let mut lock = bench.admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE subscriptions IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let begun = Instant::now();
    let key = SubjectKey(person.profile.to_string());
    let fault = records(&database, Locator::Subjects(vec![key])).await.expect_err("locked");
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(begun.elapsed().as_millis() < 2_000, "{:?}", begun.elapsed());
    lock.rollback().await.unwrap();
    record(&bench, &database, &person).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_on_the_server_too() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    // A view in the place of the table, slow by nature.
    sql(&bench, "ALTER TABLE profiles RENAME TO p0; CREATE VIEW profiles AS SELECT * FROM p0 WHERE pg_sleep(0.2) IS NOT NULL OFFSET 0")
        .await;
    sql(&bench, "GRANT SELECT ON profiles TO nightdesk").await;
    let begun = Instant::now();
    let fault = records(&database, Locator::Email("nobody@nowhere.example".into())).await.expect_err("too slow");
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    until("the backend has stopped", async || {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightdesk:%' AND state = 'active'";
        let (busy,): (i64,) = sqlx::query_as(busy).bind(&bench.database).fetch_one(&bench.admin).await.unwrap();
        busy == 0
    })
    .await;
    assert!(database.poll().await.is_ok(), "the other connection was never in the way");
}

#[tokio::test]
async fn an_abandoned_read_is_cancelled_on_the_server() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    record(&bench, &database, &paying(&bench)).await;
    sql(&bench, "ALTER TABLE profiles RENAME TO p0; CREATE VIEW profiles AS SELECT * FROM p0 WHERE pg_sleep(0.2) IS NOT NULL OFFSET 0")
        .await;
    sql(&bench, "GRANT SELECT ON profiles TO nightdesk").await;
    let asker = database.clone();
    let slow = tokio::spawn(async move { records(&asker, Locator::Email("nobody@nowhere.example".into())).await });
    let busy = async || {
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightdesk:%' AND wait_event = 'PgSleep'";
        let (busy,): (i64,) = sqlx::query_as(busy).bind(&bench.database).fetch_one(&bench.admin).await.unwrap();
        busy
    };
    until("it runs", async || busy().await == 1).await;
    let begun = Instant::now();
    slow.abort();
    until("it is cancelled", async || busy().await == 0).await;
    assert!(begun.elapsed().as_millis() < 1_500, "before its own limit of three seconds: {:?}", begun.elapsed());
}

#[tokio::test]
async fn killed_connections_come_back_by_themselves() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let before = record(&bench, &database, &person).await;
    let ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightdesk:%'";
    until("all three are open", async || {
        let (n,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(ours.replace("pg_terminate_backend(pid)", "*")))
            .bind(&bench.database)
            .fetch_one(&bench.admin)
            .await
            .unwrap();
        n == 3
    })
    .await;
    let (killed,): (i64,) = sqlx::query_as(ours).bind(&bench.database).fetch_one(&bench.admin).await.unwrap();
    assert_eq!(killed, 3);
    let key = SubjectKey(person.profile.to_string());
    until("it answers again", async || records(&database, Locator::Subjects(vec![key.clone()])).await.is_ok_and(|r| r == [before.clone()]))
        .await;
}

#[tokio::test]
async fn the_first_write_after_the_server_has_ended_every_connection_is_done() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let ours = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightdesk:%' ORDER BY pid";
    let open = async || sqlx::query_as::<_, (i32,)>(ours).bind(&bench.database).fetch_all(&bench.admin).await.unwrap();
    let shown = image(&record(&bench, &database, &person).await);
    until("all three are open", async || open().await.len() == 3).await;
    let before = open().await;
    for (pid,) in &before {
        sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(pid).execute(&bench.admin).await.unwrap();
    }
    assert!(open().await.iter().all(|now| !before.contains(now)), "none of the old ones is left");
    let changes = vec![Change { field: Field::Tier, from: shown[&Field::Tier].clone(), to: Value::text("FREE") }];
    let done = database.set_subscription_row(SubjectKey(person.profile.to_string()), shown, changes).await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    let (tier,): (String,) = sqlx::query_as("SELECT tier::text FROM subscriptions WHERE profile_id = $1")
        .bind(person.profile)
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    assert_eq!(tier, "FREE");
}

#[tokio::test]
async fn a_large_table_without_an_index_is_not_scanned_for_words() {
    let bench = bench_of(Shape::default()).await;
    sql(&bench, "UPDATE pg_class SET reltuples = 5000000 WHERE relname = 'profiles'").await;
    let database = database(&bench);
    let person = paying(&bench);
    let (hits, truncated) = find(&database, &person.name).await;
    assert!(hits.is_empty() && truncated, "{hits:?}");
    let (hits, _) = find(&database, &person.profile.to_string()).await;
    assert_eq!(hits.len(), 1, "ids are found as ever");
    sql(&bench, "CREATE INDEX ON profiles (lower(data ->> 'email')); SET enable_seqscan = off").await;
    let database = super::database(&bench);
    let found = records(&database, Locator::Email(person.email.to_uppercase())).await.expect("by the index's own expression");
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn closing_takes_the_connections_along() {
    let bench = bench_of(Shape::default()).await;
    let database = database(&bench);
    record(&bench, &database, &paying(&bench)).await;
    let begun = Instant::now();
    database.close().await;
    assert!(begun.elapsed().as_millis() < 1_000, "{:?}", begun.elapsed());
    until("no connection of ours is left", async || {
        let ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'nightdesk:%'";
        let (n,): (i64,) = sqlx::query_as(ours).bind(&bench.database).fetch_one(&bench.admin).await.unwrap();
        n == 0
    })
    .await;
}
