//! When what is seen cannot be trusted, and what our role lacks.

use super::{config_with, database, open, paying, records, sql};
use crate::bench::{Bench, Options, until};
use nightdesk::config::secret::Credential;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::shape::Trust;
use nightdesk::gateway::postgres::{Database, Privilege};
use nightdesk::protocol::query::{Locator, Query, Reply};

async fn trust(database: &Database) -> Trust {
    match database.ask(Query::Shape).await.expect("a shape") {
        Reply::Shape(shape) => shape.trust,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn row_level_security_is_named() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY").await;
    let database = database(&bench);
    let found = trust(&database).await;
    assert!(found.reasons().iter().any(|r| r.contains("row-level security") && r.contains("subscriptions")), "{found:?}");
    let report = database.report().await.expect("a report");
    assert_eq!(report.row_security, ["subscriptions"]);
    assert!(!report.pooler && !report.replica && report.sees_sessions && report.signals_sessions, "{report:?}");
    // As the owner of everything nothing is hidden.
    let admin = open(config_with(&bench, &[("DATABASE_URL", &bench.variable("ADMIN_DATABASE_URL"))]));
    assert_eq!(trust(&admin).await, Trust::Full);
}

#[tokio::test]
async fn a_replica_is_told_with_its_lag() {
    let bench = Bench::start(Options::default()).await;
    // Functions that stand before the catalogue's own say what a replica's would.
    sql(
        &bench,
        &format!(
            "CREATE SCHEMA replica; GRANT USAGE ON SCHEMA replica TO nightdesk;
             CREATE FUNCTION replica.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION replica.pg_last_xact_replay_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT now() - interval '7 s'$$;
             ALTER DATABASE {} SET search_path = replica, pg_catalog, public",
            bench.database
        ),
    )
    .await;
    let database = database(&bench);
    let found = trust(&database).await;
    assert!(found.reasons().iter().any(|r| r.contains("read replica, 7 s behind")), "{found:?}");
    assert!(database.report().await.expect("a report").replica);
}

#[tokio::test]
async fn far_fewer_rows_than_counted_are_told() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "UPDATE pg_class SET reltuples = 90000 WHERE relname = 'profiles'").await;
    let found = trust(&database(&bench)).await;
    assert!(found.reasons().iter().any(|r| r.contains("only 300 of about 90,000 rows of profiles")), "{found:?}");
}

#[tokio::test]
async fn a_missing_privilege_is_named_by_the_fault_and_by_the_report() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "REVOKE SELECT ON rate_limits FROM nightdesk; REVOKE UPDATE (tier) ON subscriptions FROM nightdesk").await;
    let database = database(&bench);
    let fault = records(&database, Locator::Email(paying(&bench).email)).await.expect_err("not permitted");
    assert!(matches!(&fault.kind, FaultKind::Permission { missing: Some(what) } if what == "table rate_limits"), "{fault:?}");
    let report = database.report().await.expect("a report");
    let lacks = |privilege, table: &str, column: &str| Privilege { privilege, table: table.into(), column: column.into() };
    assert!(report.missing.contains(&lacks("UPDATE", "subscriptions", "tier")), "{:?}", report.missing);
    assert!(report.missing.contains(&lacks("SELECT", "rate_limits", "used")), "{:?}", report.missing);
    assert!(!report.missing.iter().any(|m| m.column == "status"), "{:?}", report.missing);
}

#[tokio::test]
async fn a_full_server_is_told_and_the_first_free_slot_taken() {
    let bench = Bench::start(Options::default()).await;
    let role = format!("crowded_{}", uuid::Uuid::new_v4().simple());
    sql(&bench, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0 IN ROLE nightdesk")).await;
    let url = bench.variable("DATABASE_URL");
    let place = url.rsplit_once('@').expect("a URL").1.to_string();
    let database = open(config_with(&bench, &[("DATABASE_URL", &format!("postgres://{role}:x@{place}"))]));
    let fault = database.poll().await.expect_err("no slot");
    assert_eq!(fault.kind, FaultKind::Full, "{fault}");
    let mut config = config_with(&bench, &[("DATABASE_URL", &format!("postgres://{role}:x@{place}"))]);
    config.rescue_url = Some(Credential::new(url));
    let rescued = open(config);
    rescued.poll().await.expect("the rescue address is not full");
    rescued.close().await;
    sql(&bench, &format!("ALTER ROLE {role} CONNECTION LIMIT 3")).await;
    until("a slot is ours", async || database.poll().await.is_ok()).await;
    database.close().await;
    until("the role is free", async || {
        let text = sqlx::AssertSqlSafe(format!("DROP ROLE {role}"));
        sqlx::raw_sql(text).execute(&bench.admin).await.is_ok()
    })
    .await;
}
