//! The record that the database keeps during a drill, whoever writes and however.

use nightdesk::sandbox::schema::roles;
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::watch::{Watch, Write, net};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bench::{self, Bench, Options};

async fn watched(shape: Shape) -> (Bench, Watch) {
    let bench = Bench::start(Options { shape, ..Options::default() }).await;
    let (cluster, _) = bench::cluster().await;
    let watch = Watch::install(roles::superuser(cluster, &bench.database)).await.unwrap();
    (bench, watch)
}

async fn as_role(bench: &Bench, variable: &str) -> PgConnection {
    PgConnection::connect(&bench.variable(variable)).await.unwrap()
}

fn operations(writes: &[Write]) -> Vec<(&str, &str, &str)> {
    writes.iter().map(|w| (w.role.as_str(), w.operation.as_str(), w.relation.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_records_who_wrote_which_row_and_an_undo_is_one() {
    for shape in [Shape::default(), Shape { naming: Naming::Renamed, ..Shape::default() }] {
        let (bench, mut watch) = watched(shape).await;
        let n = shape.names();
        let key = n.key_of(&bench.population.person(7));
        let mut console = as_role(&bench, "DATABASE_URL").await;
        let set = |tier: &str| {
            let moved = format!("{} = {} + interval '1 second'", n.updated, n.updated);
            AssertSqlSafe(format!("UPDATE {} SET {} = '{tier}', {moved} WHERE {} = '{key}'", n.subscriptions, n.tier, n.owner))
        };
        let (before,): (String,) =
            sqlx::query_as(AssertSqlSafe(format!("SELECT {} FROM {} WHERE {} = '{key}'", n.tier, n.subscriptions, n.owner)))
                .fetch_one(&mut console)
                .await
                .unwrap();
        let other = if before == "PRO" { "FREE" } else { "PRO" };

        console.execute("SET application_name = 'by hand'; SET timezone = 'Asia/Tokyo'").await.unwrap();
        console.execute(set(other)).await.unwrap();
        let mut transaction = console.begin().await.unwrap();
        transaction.execute(set("ENTERPRISE")).await.unwrap();
        transaction.rollback().await.unwrap();
        let writes = watch.writes().await.unwrap();
        assert_eq!(operations(&writes), [("nightdesk", "UPDATE", n.subscriptions)], "what is rolled back was not written");
        assert_eq!(writes[0].application, "by hand");
        let rows = net(&writes);
        assert!(!rows[0].undone());
        assert_eq!(rows[0].changed(), [(n.tier.to_string(), before.clone().into(), other.into())]);

        let mut elsewhere = as_role(&bench, "ADMIN_DATABASE_URL").await;
        elsewhere.execute(set(&before)).await.unwrap();
        let rows = net(&watch.writes().await.unwrap());
        assert!(rows.len() == 1 && rows[0].undone(), "by whomever, and seen from whatever time zone: {rows:?}");
        watch.begin().await.unwrap();
        assert!(watch.writes().await.unwrap().is_empty(), "counted from here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_profile_takes_rows_with_it_and_a_truncation_is_seen() {
    let (bench, watch) = watched(Shape::default()).await;
    let mut admin = as_role(&bench, "ADMIN_DATABASE_URL").await;
    // Without an invoice, which would keep the profile.
    let (profile,): (String,) =
        sqlx::query_as("SELECT id::text FROM profiles p WHERE NOT EXISTS (SELECT FROM invoices i WHERE i.profile_id = p.id) AND EXISTS (SELECT FROM rate_limits r WHERE r.profile_id = p.id) LIMIT 1")
            .fetch_one(&mut admin)
            .await
            .unwrap();
    admin.execute("SET session_replication_role = replica; SET session_replication_role = origin").await.unwrap();
    admin.execute(AssertSqlSafe(format!("DELETE FROM profiles WHERE id = '{profile}'"))).await.unwrap();
    let rows = net(&watch.writes().await.unwrap());
    let took: Vec<_> = rows.iter().map(|r| r.relation.as_str()).collect();
    assert!(took[0] == "profiles" && took.contains(&"subscriptions") && took.contains(&"rate_limits"), "{took:?}");
    assert!(rows.iter().all(|r| r.transaction == rows[0].transaction), "one deed");

    admin.execute("SET session_replication_role = replica; TRUNCATE login_history; DELETE FROM usage_events").await.unwrap();
    let rows = net(&watch.writes().await.unwrap());
    assert!(rows.iter().any(|r| r.whole_table && r.relation == "login_history" && !r.undone()), "switching off triggers does not help");
    assert!(rows.iter().any(|r| r.relation.starts_with("usage_events_")), "partitions too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_and_the_sandbox_write_unrecorded_and_nobody_else_reads_the_record() {
    let (bench, watch) = watched(Shape::default()).await;
    sqlx::query("UPDATE subscriptions SET tier = 'PRO'").execute(&bench.admin).await.unwrap();
    let mut app = PgConnection::connect_with(&bench::app_role(&bench.database).await).await.unwrap();
    app.execute("UPDATE subscriptions SET tier = 'FREE'").await.unwrap();
    assert_eq!(watch.writes().await.unwrap(), []);
    let mut console = as_role(&bench, "DATABASE_URL").await;
    for sql in ["SELECT FROM drill.writes", "DELETE FROM drill.writes", "ALTER TABLE subscriptions DISABLE TRIGGER drill_note"] {
        assert!(console.execute(sql).await.is_err(), "{sql}");
    }
    for sql in ["SELECT FROM drill.writes", "DROP SCHEMA drill CASCADE"] {
        assert!(app.execute(sql).await.is_err(), "{sql}");
    }
}
