//! The incidents on the database's side: red when they happen, green when they are repaired, and the same for the same seed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use nightdesk::sandbox::incidents::{Cause, Check, Due, Fate, Ground, House, Incident, Label, Session, Truth};
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::incidents::some_shapes;
use super::served::Served;
use crate::bench::{self, Bench, Options, http, until};
use crate::command::Desk;
use crate::terminal::Terminal;

async fn green(ground: &Ground, labels: &[Label]) -> Vec<bool> {
    let mut out = Vec::new();
    for label in labels {
        out.push(ground.repaired(label).await.unwrap());
    }
    out
}

fn session(label: &Label) -> &Session {
    match &label.check {
        Check::Session(session) => session,
        other => panic!("about a session: {other:?}"),
    }
}

/// With the process ids and start times that no two sandboxes share taken out.
fn bare(labels: &[Label]) -> Vec<Label> {
    let mut bare = labels.to_vec();
    for label in &mut bare {
        match &mut label.check {
            Check::Session(session) => (session.pid, session.backend_start) = (0, DateTime::UNIX_EPOCH),
            Check::Run { run, .. } => run.clear(),
            _ => {}
        }
    }
    bare
}

/// As the console's role, whose rights are enough for it.
async fn end(url: &str, sessions: impl IntoIterator<Item = &Session>) {
    let mut console = PgConnection::connect(url).await.unwrap();
    for session in sessions {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2";
        sqlx::query(sql).bind(session.pid).bind(session.backend_start).execute(&mut console).await.unwrap();
    }
    console.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_transactions_end_waiters_get_through_and_healthy_pools_live() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.ground.strike(Incident::PoolExhausted, 8).await.unwrap();
        let of = |fate: Fate| labels.iter().filter(|l| session(l).fate == fate).cloned().collect::<Vec<_>>();
        let (leaks, waiters, healthy) = (of(Fate::End), of(Fate::GetThrough), of(Fate::Live));
        assert_eq!((leaks.len(), waiters.len(), healthy.len()), (8, 4, 6), "{shape:?}");
        assert!(healthy.iter().all(|l| l.truth == Some(Truth::Fine) && l.cause == Cause::None && !l.hurts()));
        assert!(leaks.iter().chain(&waiters).all(|l| l.cause == Cause::LeakedTransaction && l.hurts()));
        assert!(green(&bench.ground, &leaks).await.iter().chain(&green(&bench.ground, &waiters).await).all(|g| !g), "{shape:?}");
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1) AND state = 'idle in transaction' AND application_name = 'report-worker'";
        let pids: Vec<i32> = leaks.iter().map(|l| session(l).pid).collect();
        let open: i64 = sqlx::query_scalar(sql).bind(&pids).fetch_one(&bench.admin).await.unwrap();
        assert_eq!(open, 8);
        let blocked = "SELECT cardinality(pg_blocking_pids($1))";
        let by: i32 = sqlx::query_scalar(blocked).bind(session(&waiters[0]).pid).fetch_one(&bench.admin).await.unwrap();
        assert_eq!(by, 1, "the lock is a real one");

        end(&bench.variable("DATABASE_URL"), leaks.iter().map(session)).await;
        until("all is as it should be", async || green(&bench.ground, &labels).await.iter().all(|g| *g)).await;
        end(&bench.variable("DATABASE_URL"), [session(&healthy[0]), session(&waiters[0])]).await;
        until("the harm shows", async || {
            !bench.ground.repaired(&healthy[0]).await.unwrap() && !bench.ground.repaired(&waiters[0]).await.unwrap()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restart_of_the_leaking_service_ends_its_transactions() {
    let bench = Bench::start(Options::default()).await;
    let labels = bench.ground.strike(Incident::PoolExhausted, 3).await.unwrap();
    bench.ground.lift(Incident::PoolExhausted).await.unwrap();
    until("waiters got through", async || green(&bench.ground, &labels).await.iter().all(|g| *g)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_slot_an_ordinary_role_can_get_is_taken_when_asked() {
    let options = SandboxOptions { customers: 300, max_connections: 30, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    let url = sandbox.environment().into_iter().find(|(name, _)| *name == "DATABASE_URL").unwrap().1;
    let mut held = PgConnection::connect(&url).await.unwrap();
    let labels = sandbox.ground().strike(Incident::PoolExhausted, 1_000).await.unwrap();
    let refused = PgConnection::connect(&url).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("53300"), "{refused}");
    // A connection that was there before still works, and its role may end the leaks.
    for label in labels.iter().filter(|l| session(l).fate == Fate::End) {
        sqlx::query("SELECT pg_terminate_backend($1)").bind(session(label).pid).execute(&mut held).await.unwrap();
    }
    until("all is as it should be", async || green(sandbox.ground(), &labels).await.iter().all(|g| *g)).await;
    PgConnection::connect(&url).await.unwrap();
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_counters_are_reset_and_stocks_left_alone() {
    for shape in some_shapes() {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let labels = bench.ground.strike(Incident::QuotaSpent, 4).await.unwrap();
        let (spent, stocks): (Vec<_>, Vec<_>) = labels.iter().cloned().partition(|l| l.cause == Cause::ResetNotRun);
        assert_eq!((spent.len(), stocks.len()), (4, 2), "{shape:?}");
        assert!(green(&bench.ground, &spent).await.iter().all(|g| !g), "{shape:?}");
        assert!(green(&bench.ground, &stocks).await.iter().all(|g| *g), "{shape:?}");
        for label in &labels {
            assert_eq!(uses(&bench, label).await, 429, "{shape:?}: {label:?}");
        }
        // The application's own reset knows which features are stocks.
        for label in &spent {
            let url = format!("{}/admin/licensing/entitlements/{}/reset", bench.app.base_url(), label.subject.profile.as_deref().unwrap());
            assert!(http().post(url).bearer_auth(&bench.admin_token).send().await.unwrap().status().is_success());
        }
        assert!(green(&bench.ground, &labels).await.iter().all(|g| *g), "{shape:?}");
        for label in &spent {
            assert_eq!(uses(&bench, label).await, 200, "{shape:?}: {label:?}");
        }
        assert!(green(&bench.ground, &labels).await.iter().all(|g| *g), "{shape:?}: used again, and still repaired");
        // The runbook's way takes the stock along.
        let n = shape.names();
        let sql = format!("DELETE FROM {} WHERE {} = $1::text::{}", n.counters, n.counter_owner, n.key);
        sqlx::query(AssertSqlSafe(sql)).bind(stocks[0].subject.profile.as_deref()).execute(&bench.admin).await.unwrap();
        assert!(!bench.ground.repaired(&stocks[0]).await.unwrap(), "{shape:?}");
        let due = |label: &Label| matches!(&label.check, Check::Counter(counter) if matches!(counter.due, Due::Untouched { used: 5 }));
        assert!(stocks.iter().all(due));
    }
}

/// One use of the feature that the label is about.
async fn uses(bench: &Bench, label: &Label) -> u16 {
    let url = format!("{}/v1/usage/{}", bench.app.base_url(), label.subject.feature.unwrap());
    let request = http().post(url).header("X-Profile-Id", label.subject.profile.as_deref().unwrap());
    request.json(&json!({ "amount": 1 })).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_database_comes_back_by_itself() {
    let options = SandboxOptions { customers: 300, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    let url = sandbox.environment().into_iter().find(|(name, _)| *name == "DATABASE_URL").unwrap().1;
    let started = "SELECT pg_postmaster_start_time()";
    let mut before = PgConnection::connect(&url).await.unwrap();
    let first: DateTime<Utc> = sqlx::query_scalar(started).fetch_one(&mut before).await.unwrap();
    let rows = "SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM subscriptions s";
    let held: String = sqlx::query_scalar(rows).fetch_one(&mut before).await.unwrap();
    for round in 0..2 {
        let labels = sandbox.ground().strike(Incident::DatabaseRestart, 1).await.unwrap();
        assert_eq!(labels.len(), 1);
        assert!(!sandbox.ground().repaired(&labels[0]).await.unwrap(), "it is down, {round}");
        assert!(sqlx::query("SELECT 1").execute(&mut before).await.is_err(), "the session died");
        let health = http().get(format!("{}/health", sandbox.app().base_url())).send().await.unwrap();
        assert!(health.status().is_success(), "which proves nothing");
        until("it is back", async || sandbox.ground().repaired(&labels[0]).await.unwrap()).await;
        let mut after = PgConnection::connect(&url).await.unwrap();
        let second: DateTime<Utc> = sqlx::query_scalar(started).fetch_one(&mut after).await.unwrap();
        assert!(second > first, "another server");
        let kept: String = sqlx::query_scalar(rows).fetch_one(&mut after).await.unwrap();
        assert_eq!(kept, held, "nothing was lost");
        before = after;
    }
    let directory = sandbox.cluster().directory().to_path_buf();
    sandbox.stop().await;
    assert!(!directory.exists(), "it ends as any other");
}

/// A bench around which the console is at hand, on a desk of its own.
async fn housed(options: Options) -> (Bench, Desk) {
    let bench = Bench::start(options).await;
    let desk = Desk::of(&bench);
    let mut environment = bench.environment();
    environment.push(("NIGHTDESK_STATE_DIR", desk.state.path().to_string_lossy().into_owned()));
    environment.push(("NIGHTDESK_OPERATOR", "test".into()));
    let restarter = bench::cluster().await.0.restarter();
    bench.ground.settle(House { executable: bench::executable().to_path_buf(), environment, restarter });
    (bench, desk)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cut_short_is_finished_by_the_console() {
    for shape in some_shapes() {
        let (bench, desk) = housed(Options { shape, ..Options::default() }).await;
        let labels = bench.ground.strike(Incident::HalfDoneRun, 2).await.unwrap();
        for label in &labels {
            let Check::Run { run, row } = &label.check else { panic!("about a run: {label:?}") };
            assert!(!bench.ground.repaired(label).await.unwrap());
            assert_eq!(bench.entitlements(&row.profile).await["data"]["tier"], "FREE", "nothing was written");
            let listed = desk.say(&["runs", "--json"]).await.json();
            let mine = listed.as_array().unwrap().iter().find(|r| r["run"] == run.as_str()).expect("it is listed");
            assert_eq!((&mine["state"], &mine["held"]), (&json!("unknown"), &json!(false)), "{mine}");
            let resumed = desk.say(&["runs", "resume", run, "--yes", "--reason", "ticket 4411"]).await;
            assert_eq!(resumed.code, Some(0), "{resumed:?}");
            assert!(bench.ground.repaired(label).await.unwrap(), "{shape:?}: {resumed:?}");
            assert_eq!(bench.entitlements(&row.profile).await["data"]["tier"], row.tier);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_beside_the_open_run_is_not_enough() {
    let (bench, desk) = housed(Options::default()).await;
    let label = bench.ground.strike(Incident::HalfDoneRun, 1).await.unwrap().remove(0);
    bench.simulator.deliver(label.subject.event.as_deref().unwrap()).await;
    assert_eq!(bench.entitlements(label.subject.profile.as_deref().unwrap()).await["data"]["tier"], "PRO", "the row is right");
    assert!(!bench.ground.repaired(&label).await.unwrap(), "and the run is open");
    // With the journal away the console lists no run: lost is not finished.
    let aside = tempfile::tempdir().unwrap();
    let state = || std::fs::read_dir(desk.state.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = state().collect();
    for name in &names {
        std::fs::rename(desk.state.path().join(name), aside.path().join(name)).unwrap();
    }
    assert!(!names.is_empty() && !bench.ground.repaired(&label).await.unwrap_or(false), "no run is listed");
    for name in state() {
        let made = desk.state.path().join(name);
        if made.is_dir() { std::fs::remove_dir_all(made) } else { std::fs::remove_file(made) }.unwrap();
    }
    for name in &names {
        std::fs::rename(aside.path().join(name), desk.state.path().join(name)).unwrap();
    }
    let Check::Run { run, .. } = &label.check else { panic!("about a run: {label:?}") };
    let resumed = desk.say(&["runs", "resume", run, "--yes", "--reason", "ticket 4411"]).await;
    assert!(bench.ground.repaired(&label).await.unwrap(), "{resumed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_sandbox_cuts_its_run_short_in_the_journal_of_whoever_serves_it() {
    let mut desk = Desk::with(Vec::new());
    let state = desk.state.path().to_string_lossy().into_owned();
    let own = [("NIGHTDESK_STATE_DIR", state.as_str()), ("NIGHTDESK_OPERATOR", "test")];
    let served = Served::start_with(&["--customers", "300", "--incident", "half-done-run"], &own);
    desk.variables.clone_from(&served.environment);
    let url = format!("{}/incidents/half-done-run", served.get("NIGHTDESK_SANDBOX_URL"));
    let label = async || http().get(&url).send().await.unwrap().json::<Value>().await.unwrap()["labels"][0].clone();
    assert_eq!(label().await["repaired"], false);
    let runs = desk.say(&["runs", "--json"]).await.json();
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["state"]), (1, &json!("unknown")), "{runs}");
    let resumed = desk.say(&["runs", "resume", runs[0]["run"].as_str().unwrap(), "--yes", "--reason", "ticket 4411"]).await;
    assert_eq!(label().await["repaired"], true, "{resumed:?}");
}

#[test]
fn a_console_with_a_sandbox_of_its_own_finds_the_run_cut_short() {
    let state = tempfile::tempdir().unwrap();
    let variables = [
        ("NIGHTDESK_STATE_DIR".to_string(), state.path().to_string_lossy().into_owned()),
        ("TMPDIR".to_string(), bench::home().to_string_lossy().into_owned()),
    ];
    let mut console = Terminal::start(120, 36, &["sandbox", "--customers", "300", "--incident", "half-done-run"], &variables);
    let screen = console.wait_for("Your run ");
    assert!(screen.contains("stopped"), "{screen}");
    console.hang_up();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_whole_sandbox_says_so() {
    let bench = Bench::start(Options::default()).await;
    for incident in [Incident::HalfDoneRun, Incident::DatabaseRestart] {
        let error = bench.ground.strike(incident, 1).await.unwrap_err();
        assert!(error.to_string().contains("nightdesk sandbox"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_labels() {
    let mut told = Vec::new();
    let present = Utc::now() - Duration::from_secs(600);
    for _ in 0..2 {
        let (bench, _desk) = housed(Options::default()).await;
        let mut labels = Vec::new();
        for incident in [Incident::PoolExhausted, Incident::QuotaSpent, Incident::HalfDoneRun] {
            labels.extend(bench.ground.strike_at(incident, 3, present).await.unwrap());
        }
        told.push(bare(&labels));
    }
    assert!(!told[0].is_empty());
    assert_eq!(told[0], told[1]);
}
