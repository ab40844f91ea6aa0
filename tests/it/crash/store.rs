//! Without the shared store the repair works from the local journal; when it is there, records arrive once, in order, and stay.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::points::killed_after_any_record;
use super::{Scene, Seat};
use crate::bench::until;

/// Without an address the store is the product's database.
const SAME: &str = "[env.desk]\nsubject_key = { env = \"SUBJECT_KEY\" }\n";
const CONFIG: &str = "[env.desk]\nsubject_key = { env = \"SUBJECT_KEY\" }\nstore_url = { env = \"STORE_URL\" }\n";
/// Nothing listens there.
const NOWHERE: &str = "postgres://nobody:nothing@127.0.0.1:9/none";

/// A seat whose environment has a shared store, at this address.
fn seat(scene: &Scene, operator: &'static str, store: &str) -> Seat {
    let mut seat = scene.seat(operator);
    let config = seat.state.path().join("nightdesk.toml");
    std::fs::write(&config, CONFIG).unwrap();
    seat.environment = "desk";
    seat.set("NIGHTDESK_CONFIG", &config.to_string_lossy());
    seat.set("SUBJECT_KEY", "a secret that all consoles of this environment share");
    seat.set("STORE_URL", store);
    seat
}

/// Everything in the store, in its order.
async fn shipped(scene: &Scene) -> Vec<String> {
    let sql = "SELECT record FROM nightdesk.audit ORDER BY seq";
    sqlx::query_scalar(sql).fetch_all(&scene.bench.admin).await.unwrap()
}

/// All that one seat has journaled is there, each record once and in its order, byte for byte.
async fn has_arrived(scene: &Scene, seat: &Seat) {
    let from = format!("\"operator\":\"{}\"", seat.operator);
    let (mut there, here) = (shipped(scene).await, seat.lines());
    there.retain(|r| r.contains(&from));
    assert!(there == here, "{} of {}'s {} records are there", there.len(), seat.operator, here.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_it_repairs_and_ships_later() {
    let scene = Scene::start(2).await;
    let mut ada = seat(&scene, "ada", NOWHERE);
    let label = &scene.labels[0];
    // Unreachable, and killed on top of it.
    // One record more than otherwise: that there is no lease.
    ada.cut_at(5, label, async |_| until("the row was changed", async || scene.changes(label).await == 1).await).await;
    let (run, state) = ada.the_run().await;
    assert_eq!(state, "unknown");
    let resumed = ada.resume(&run).await;
    assert_eq!(resumed.code, 0, "{}", resumed.said);
    scene.repaired_once(label, &ada).await;

    // Reachable, not set up, and the console's role may create nothing there.
    let console = scene.bench.variable("DATABASE_URL");
    ada.set("STORE_URL", &console);
    let second = &scene.labels[1];
    let repaired = ada.repair(second).await;
    assert_eq!(repaired.code, 0, "{}", repaired.said);
    assert_eq!(scene.changes(second).await, 1);
    let schemas: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'nightdesk'").fetch_one(&scene.bench.admin).await.unwrap();
    assert_eq!(schemas, 0, "it made nothing in anybody's database");
    let audit = ada.run(&["audit", "verify"]).await;
    assert!(audit.code == 0 && audit.said.contains("nightdesk migrate"), "{}", audit.said);

    // Set up at last: whatever comes next brings the records of the whole night along.
    let migrated = ada.run(&["migrate"]).await;
    assert_eq!(migrated.code, 0, "{}", migrated.said);
    assert!(ada.run(&["migrate"]).await.said.contains("up to date"));
    assert!(shipped(&scene).await.is_empty());
    ada.runs().await;
    has_arrived(&scene, &ada).await;
    ada.runs().await;
    assert_eq!(shipped(&scene).await.len(), ada.lines().len(), "and not again");
    let audit = ada.run(&["audit", "verify"]).await;
    assert!(audit.code == 0 && audit.said.contains("shared store's chain is whole"), "{}", audit.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_store_records_arrive_at_once_and_nobody_can_change_them() {
    let scene = Scene::start(2).await;
    let console = scene.bench.variable("DATABASE_URL");
    let (ada, ben) = (seat(&scene, "ada", &console), seat(&scene, "ben", &console));
    assert!(ada.run(&["check"]).await.said.contains("nightdesk migrate"), "its store is still to be made");
    assert_eq!(ada.run(&["migrate"]).await.code, 0);
    assert!(ada.run(&["check"]).await.said.contains("the shared store answers"));
    let (one, two) = tokio::join!(ada.repair(&scene.labels[0]), ben.repair(&scene.labels[1]));
    assert!(one.code == 0 && two.code == 0, "{}\n{}", one.said, two.said);
    let rows = shipped(&scene).await;
    assert_eq!(rows.len(), ada.lines().len() + ben.lines().len(), "when the commands end, everything is there");
    has_arrived(&scene, &ada).await;
    has_arrived(&scene, &ben).await;
    let leases: i64 = sqlx::query_scalar("SELECT count(*) FROM nightdesk.lease").fetch_one(&scene.bench.admin).await.unwrap();
    assert_eq!(leases, 0, "every lease was given back");

    let mut role = PgConnection::connect(&console).await.unwrap();
    for denied in [
        "UPDATE nightdesk.audit SET record = record",
        "DELETE FROM nightdesk.audit",
        "TRUNCATE nightdesk.audit",
        "INSERT INTO nightdesk.audit SELECT * FROM nightdesk.audit",
        "UPDATE nightdesk.audit_head SET seq = 0",
        "ALTER TABLE nightdesk.audit DISABLE TRIGGER no_change",
        "DROP TABLE nightdesk.audit",
    ] {
        let error = sqlx::raw_sql(denied).execute(&mut role).await.expect_err(denied);
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{denied}");
    }
    assert!(shipped(&scene).await == rows, "nothing was changed");
}

/// The owner of the database can change what is there: it is found, also where the whole chain is written anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_found() {
    let scene = Scene::start(1).await;
    let seat = seat(&scene, "ada", &scene.bench.variable("DATABASE_URL"));
    assert_eq!(seat.run(&["migrate"]).await.code, 0);
    assert_eq!(seat.repair(&scene.labels[0]).await.code, 0);
    has_arrived(&scene, &seat).await;
    let mut owner = PgConnection::connect(&scene.bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
    for (tamper, problem) in [
        (
            "UPDATE nightdesk.audit SET record = replace(record, 'done', 'DONE') WHERE seq = 8;
             UPDATE nightdesk.audit SET hash = nightdesk.audit_digest(prev_hash, seq, at, db_role, record) WHERE seq = 8;
             UPDATE nightdesk.audit_head SET hash = (SELECT hash FROM nightdesk.audit WHERE seq = 8)",
            "this journal's record 8: says something else in the store",
        ),
        ("UPDATE nightdesk.audit SET record = record || ' ' WHERE seq = 3", "record 3: content altered"),
        ("DELETE FROM nightdesk.audit WHERE seq = 4", "record 5: gap or reorder"),
        ("DELETE FROM nightdesk.audit WHERE seq = 8", "record 8: head does not match the last row"),
    ] {
        let whole = seat.run(&["audit", "verify"]).await;
        assert!(!whole.said.contains(problem), "{}", whole.said);
        let sql = format!("ALTER TABLE nightdesk.audit DISABLE TRIGGER ALL; {tamper}; ALTER TABLE nightdesk.audit ENABLE TRIGGER ALL");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        let audit = seat.run(&["audit", "verify"]).await;
        assert!(audit.code == 1 && audit.said.contains(problem), "{}", audit.said);
    }
}

/// A journal that was cut, its anchor too, looks whole by itself; the store remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_cut_is_found_by_the_store() {
    let scene = Scene::start(1).await;
    let seat = seat(&scene, "ada", NOWHERE);
    std::fs::write(seat.state.path().join("nightdesk.toml"), SAME).unwrap();
    assert_eq!(seat.run(&["migrate"]).await.code, 0);
    assert_eq!(seat.repair(&scene.labels[0]).await.code, 0);
    has_arrived(&scene, &seat).await;
    let kept = seat.lines()[..7].join("\n") + "\n";
    std::fs::write(seat.journal(), kept).unwrap();
    let audit = seat.run(&["audit", "verify"]).await;
    assert!(audit.code == 1 && audit.said.contains("record 8, which was seen here before"), "{}", audit.said);
    std::fs::remove_file(seat.journal().with_file_name("anchor.json")).unwrap();
    let audit = seat.run(&["audit", "verify"]).await;
    assert!(audit.code == 1 && audit.said.contains("this journal's record 8: in the store, and not"), "{}", audit.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_keeps_another_console_off_until_its_run_ends() {
    let scene = Scene::start(1).await;
    let console = scene.bench.variable("DATABASE_URL");
    let (ada, ben) = (seat(&scene, "ada", &console), seat(&scene, "ben", &console));
    assert_eq!(ada.run(&["migrate"]).await.code, 0);
    let label = &scene.labels[0];
    ada.cut_at(3, label, async |_| {}).await;
    let (run, state) = ada.the_run().await;
    if state == "open" {
        let other = ben.repair(label).await;
        assert!(other.code == 1 && other.said.contains(&format!("ada has run {run} open for this customer")), "{}", other.said);
        assert_eq!(scene.changes(label).await, 0);
    }
    let resumed = ada.resume(&run).await;
    assert_eq!(resumed.code, 0, "{}", resumed.said);
    scene.repaired_once(label, &ada).await;
    has_arrived(&scene, &ada).await;
}

/// A store that takes connections and says nothing is waited for, for a moment, and then left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store_holds_no_repair_up() {
    let scene = Scene::start(1).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgres://nobody:nothing@{}/none", silent.local_addr().unwrap());
    let (seat, label) = (seat(&scene, "ada", &address), &scene.labels[0]);
    let since = Instant::now();
    let repaired = seat.repair(label).await;
    assert_eq!(repaired.code, 0, "{}", repaired.said);
    println!("with a silent store a repair took {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_record_without_the_store_it_goes_on() {
    let scene = Scene::start(40).await;
    // Behind its first record a run says that it has no lease.
    killed_after_any_record(&scene, 1, |scene| seat(scene, "ada", NOWHERE)).await;
}
