//! The first repair with the real binary on every shape of the database: what the runbook's own statement does, what ours does,
//! its proof and its undo, by every writer.

use crate::bench::{Bench, Options, PAID_FOR, Payer};
use crate::command::{Desk, Said};
use chrono::Duration;
use futures_util::StreamExt;
use nightdesk::gateway::journal::Journal;
use nightdesk::procedures::engine::Run;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::schema::{Naming, Shape, Words};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

/// Every row of the subscriptions table, by whose it is.
pub async fn rows(bench: &Bench) -> BTreeMap<String, Value> {
    let n = bench.shape.names();
    let sql = format!("SELECT s.{}::text, to_jsonb(s) FROM {} AS s", n.owner, n.subscriptions);
    let rows: Vec<(String, Value)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&bench.admin).await.unwrap();
    rows.into_iter().collect()
}

/// The rows without the time of their last change.
fn without_time(bench: &Bench, mut rows: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for row in rows.values_mut() {
        row.as_object_mut().unwrap().remove(bench.shape.names().updated).expect("it has one");
    }
    rows
}

pub async fn tier(bench: &Bench, profile: &str) -> String {
    bench.entitlements(profile).await["data"]["tier"].as_str().unwrap().to_string()
}

/// It was refused where it was to be done; nothing is left open.
#[track_caller]
fn not_done(said: &Said, why: &str) {
    assert_eq!(said.code, Some(1), "{said:?}");
    let json = said.json();
    let note = json["note"].as_str().unwrap_or_default();
    assert!(json["state"] == "halted" && note.contains("Not done") && note.contains(why), "{json}");
}

/// The states of the runs on this desk, newest first.
async fn states(desk: &Desk) -> Vec<String> {
    let runs = desk.say(&["runs", "--json"]).await.well();
    runs.as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_is_repaired_where_the_books_own_statement_is_not_enough() {
    futures_util::stream::iter(Shape::all().enumerate()).for_each_concurrent(2, |(index, shape)| one_shape(index, shape)).await;
}

async fn one_shape(index: usize, shape: Shape) {
    let bench = Bench::start(Options { shape, ..Options::default() }).await;
    let desk = Desk::of(&bench);
    for (nth, incident) in PAID_FOR.into_iter().enumerate() {
        // By the month and by the year, named by the session and by its metadata: another one per shape.
        let label = bench.strike(incident, 4).await.swap_remove((index + 2 * nth) % 4);
        the_book(&bench, &label).await;
        ours(&bench, &desk, &label).await;
    }
    assert_eq!(states(&desk).await, ["done", "undone", "done", "undone"], "{shape:?}: each run and its undo");
    let audit = desk.say(&["audit", "verify", "--json"]).await.well();
    assert!(audit["records"].as_u64().unwrap() > 16 && audit["broken"].is_null(), "{audit}");
}

/// The runbook's UPDATE as it stands there, on the same customer; rolled back.
async fn the_book(bench: &Bench, label: &Payer) {
    let (n, e) = (bench.shape.names(), &label.expected);
    let sql = format!(
        "UPDATE {} SET {} = 'PRO', {} = 'active', {} = '{}', {} = 'monthly', {} = NOW(), {} = NOW() + INTERVAL '1 month' WHERE {} = '{}'",
        n.subscriptions, n.tier, n.status, n.subscription, e.subscription, n.interval, n.period_start, n.period_end, n.customer, e.customer
    );
    let before = rows(bench).await;
    let mut transaction = bench.admin.begin().await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await;
    match (label.incident, bench.shape.interval) {
        (Incident::PlaceholderCustomers, _) => assert_eq!(done.unwrap().rows_affected(), 0, "the row does not hold this customer"),
        (Incident::MissedWebhooks, Words::Month) => {
            let error = done.expect_err("the column's words are others");
            assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("23514"), "{error}");
        }
        (Incident::MissedWebhooks, Words::Monthly) => {
            assert_eq!(done.unwrap().rows_affected(), 1);
            let sql = format!(
                "SELECT extract(epoch FROM {})::float8, extract(epoch FROM {})::float8 FROM {} WHERE {} = $1",
                n.period_start, n.period_end, n.subscriptions, n.customer
            );
            let (start, end): (f64, f64) = sqlx::query_as(AssertSqlSafe(sql)).bind(&e.customer).fetch_one(&mut *transaction).await.unwrap();
            #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
            let off = |written: f64, paid: chrono::DateTime<chrono::Utc>| (written - paid.timestamp() as f64).abs();
            assert!(off(start, e.period_start) > 60.0 && off(end, e.period_end) > 60.0, "it writes a period that nobody paid");
        }
        (other, _) => panic!("{} leaves nobody who paid and is FREE", other.name()),
    }
    transaction.rollback().await.unwrap();
    assert_eq!(rows(bench).await, before);
}

/// The same by `nightdesk run`, and back by `nightdesk runs undo`.
async fn ours(bench: &Bench, desk: &Desk, label: &Payer) {
    let what = format!("{:?}, {label:?}", bench.shape);
    let before = rows(bench).await;
    assert_eq!(tier(bench, &label.profile).await, "FREE", "{what}");
    let done = desk.repair(&label.expected.customer, &[]).await.well();
    assert_eq!(done["state"], "done", "{what}: {done}");
    let after = rows(bench).await;
    let changed: Vec<_> = before.keys().filter(|k| before.get(*k) != after.get(*k)).collect();
    assert_eq!((changed, before.len()), (vec![&label.profile], after.len()), "{what}: exactly one row");
    assert!(bench.ground.repaired(label).await.unwrap(), "{what}: {}", after[&label.profile]);
    assert_eq!(tier(bench, &label.profile).await, label.expected.tier, "{what}");

    let run = done["run"].as_str().unwrap();
    let taken_back = desk.undo(run).await.well();
    assert_eq!(taken_back["state"], "done", "{what}: {taken_back}");
    assert_eq!(without_time(bench, rows(bench).await), without_time(bench, before), "{what}");
    assert_eq!(tier(bench, &label.profile).await, "FREE", "{what}");
    desk.undo(run).await.declined(&["taken back already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_overwrites_nothing_that_came_after() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    desk.undo("ffff").await.refused(&["no run ends in `ffff`"]);

    let dry = desk.say(&["run", "tier-update", "--customer", &label.expected.customer, "--dry-run", "--json"]).await.well();
    assert_eq!(dry["state"], "planned");
    assert!(states(&desk).await.is_empty() && !bench.ground.repaired(&label).await.unwrap(), "a dry run does nothing");
    let run = desk.repair(&label.expected.customer, &[]).await.well()["run"].as_str().unwrap().to_string();
    let tail = &run[run.len() - 4..];
    let dry = desk.say(&["runs", "undo", tail, "--dry-run"]).await;
    assert!(dry.code == Some(0) && dry.out.contains("FREE") && dry.out.contains("dry run"), "{dry:?}");
    assert!(bench.ground.repaired(&label).await.unwrap());

    // The journal alone carries it, however long ago it was.
    let journal = Journal::open(desk.state.path(), "env", "test", None).unwrap();
    let mut summary = journal.runs().await.unwrap().remove(0);
    (summary.opened, summary.last) = (summary.opened - Duration::days(3), summary.last - Duration::days(3));
    let (undo, effects) = Run::take_back(&summary, uuid::Uuid::now_v7()).unwrap();
    assert!(!effects.is_empty() && undo.undoing.is_some_and(|u| u.run == summary.run));

    let sql = "UPDATE subscriptions SET status = 'past_due' WHERE profile_id = $1::text::uuid";
    sqlx::query(sql).bind(&label.profile).execute(&bench.admin).await.unwrap();
    let before = rows(&bench).await;
    let refused = desk.undo(tail).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let says = refused.json()["says"].as_str().unwrap().to_string();
    assert!(says.contains("changed since") && says.contains("past_due"), "{says}");
    assert_eq!(rows(&bench).await, before);
    assert_eq!(states(&desk).await, ["done"], "what was refused is no run");

    // The word that came in between is mended by running the procedure again; then it can be taken back step by step.
    let again = desk.repair(&label.expected.customer, &[]).await.well();
    let again = again["run"].as_str().unwrap();
    let back = desk.say(&["runs", "undo", again, "--yes", "--reason", "a test"]).await;
    assert!(back.code == Some(0) && back.out.contains("done: Taken back"), "{back:?}");
    assert_eq!(without_time(&bench, rows(&bench).await), without_time(&bench, before));
    let newest = desk.say(&["runs", "--json"]).await.well()[0].clone();
    assert_eq!(newest["undoes"], again[again.len() - 4..], "{newest}");
    let undo = newest["run"].as_str().unwrap().to_string();
    assert_ne!(undo, again);
    desk.undo(&undo).await.declined(&["it is an undo itself"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_writes_where_the_policy_says_http() {
    let renamed = Shape { naming: Naming::Renamed, ..Shape::default() };
    for shape in [Shape::default(), renamed] {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let path = "/admin/licensing/resync/{subject}?customer={customer}";
        let desk = Desk::of(&bench).configured(&format!("[policy]\nwriter = \"http\"\nresync_path = \"{path}\""));
        // The console's own role writes nothing here.
        let revoke = format!("REVOKE UPDATE ON {} FROM nightdesk", shape.names().subscriptions);
        for incident in PAID_FOR {
            let label = bench.strike(incident, 1).await.remove(0);
            ours(&bench, &desk, &label).await;
        }
        sqlx::raw_sql(AssertSqlSafe(revoke)).execute(&bench.admin).await.unwrap();
        let label = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
        let done = desk.repair(&label.expected.customer, &[]).await.well();
        assert!(bench.ground.repaired(&label).await.unwrap(), "{shape:?}");
        desk.undo(done["run"].as_str().unwrap()).await.declined(&["the journal holds nothing that takes it back"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_refuses_or_lies_is_not_believed() {
    let bench = Bench::start(Options::default()).await;
    let labels = bench.strike(Incident::PlaceholderCustomers, 3).await;
    let before = rows(&bench).await;
    let http = |path: &str| Desk::of(&bench).configured(&format!("[policy]\nwriter = \"http\"\nresync_path = \"{path}\""));
    let (nowhere, lies, locked) =
        (http("/nowhere/{subject}"), http("/admin/licensing/entitlements/{subject}/reset"), http("/admin/licensing/resync/{subject}"));
    let locked = locked.but("APP_ADMIN_TOKEN", "wrong");
    let customer = |n: usize| labels[n].expected.customer.as_str();
    let (nowhere_said, lies_said, locked_said) =
        tokio::join!(nowhere.repair(customer(0), &[]), lies.repair(customer(1), &[]), locked.repair(customer(2), &[]));
    not_done(&nowhere_said, "refused with 404");
    assert_eq!(states(&nowhere).await, ["abandoned"], "nothing is left to be finished");
    assert_eq!(lies_said.code, Some(1), "{lies_said:?}");
    assert_eq!(lies_said.json()["state"], "halted");
    assert!(lies_said.out.contains("still differs"), "{lies_said:?}");
    assert_eq!(states(&lies).await, ["halted"]);
    not_done(&locked_said, "admin_token");
    assert_eq!(rows(&bench).await, before);
}

/// A command that asks the application for the resync, as a script of an operations team would.
fn script(bench: &Bench, before: &str) -> String {
    let (url, token) = (bench.app.base_url(), &bench.admin_token);
    let (host, port) = url.trim_start_matches("http://").split_once(':').unwrap();
    let request = format!(
        "POST /admin/licensing/resync/$1?customer=$2 HTTP/1.1\\r\\nHost: app\\r\\nAuthorization: Bearer {token}\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
    );
    let lines = format!("{before} exec 3<>/dev/tcp/{host}/{port}; printf \"{request}\" >&3; grep -q '\"ok\":true' <&3");
    argv(&["bash", "-c", &lines, "resync", "{subject}", "{customer}"])
}

fn argv(words: &[&str]) -> String {
    serde_json::to_string(words).unwrap()
}

fn by_command(bench: &Bench, argv: &str, more: &str) -> Desk {
    Desk::of(bench).configured(&format!("[policy]\nwriter = \"command\"\n[hooks]\nresync = {argv}\n{more}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_writes_where_the_policy_says_so() {
    let bench = Bench::start(Options::default()).await;
    let desk = by_command(&bench, &script(&bench, ""), "");
    for incident in PAID_FOR {
        let label = bench.strike(incident, 1).await.remove(0);
        ours(&bench, &desk, &label).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_believed_by_its_effect_alone() {
    let bench = Bench::start(Options::default()).await;
    let labels = bench.strike(Incident::PlaceholderCustomers, 5).await;
    let before = rows(&bench).await;
    let end = tempfile::tempdir().unwrap();
    let until_told = format!("while [ ! -e {}/end ]; do sleep 0.05; done", end.path().display());
    let fails = by_command(&bench, &argv(&["sh", "-c", "exit 3"]), "");
    let lies = by_command(&bench, &argv(&["true"]), "");
    let hangs = by_command(&bench, &argv(&["sh", "-c", &until_told]), "timeout_s = 1");
    let late = by_command(&bench, &script(&bench, "sleep 3;"), "timeout_s = 1");
    let absent = by_command(&bench, &argv(&["/nonexistent/resync"]), "");
    let customer = |n: usize| labels[n].expected.customer.as_str();
    let (fails_said, lies_said, hangs_said, late_said, absent_said) = tokio::join!(
        fails.repair(customer(0), &[]),
        lies.repair(customer(1), &[]),
        hangs.repair(customer(2), &[]),
        late.repair(customer(3), &[]),
        absent.repair(customer(4), &[]),
    );
    std::fs::write(end.path().join("end"), "").unwrap();
    // What may have happened stays open, and is listed until somebody knows; what was answered and is not so has ended.
    for (said, desk, state, words) in [
        (&fails_said, &fails, "unknown", "Nobody knows whether the resync happened"),
        (&lies_said, &lies, "halted", "It was answered as done, and the row still differs"),
        (&hangs_said, &hangs, "unknown", "Nobody knows whether the resync happened"),
    ] {
        assert_eq!(said.code, Some(1), "{said:?}");
        let json = said.json();
        assert_eq!(json["state"], state, "{json}");
        assert!(json["says"].as_str().unwrap().contains(words), "{json}");
        assert_eq!(states(desk).await, [state]);
    }
    not_done(&absent_said, "/nonexistent/resync could not be run");
    // Its time was up before it had done anything, and it did it all the same: that is seen, and nothing is sent twice.
    let run = late_said.well();
    assert_eq!(run["state"], "done");
    assert!(bench.ground.repaired(&labels[3]).await.unwrap());
    let after = rows(&bench).await;
    let changed: Vec<_> = before.keys().filter(|k| before.get(*k) != after.get(*k)).collect();
    assert_eq!(changed, [&labels[3].profile], "the others are as they were");
}
