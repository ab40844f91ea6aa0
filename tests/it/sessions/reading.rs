//! What is read: every session with its state, age and blockers, and what a role or an old version does not see.

use super::{Place, activity, console, fresh, id, lock_key, of, say, seen};
use crate::bench::{self, Bench, Options, until};
use crate::command::Desk;
use crate::pty::Console;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::sessions::{Blocking, Class, Kind, Ours, Reach, Rules, SessionId, Spared, State, classes, explain, leaks, may_end};
use nightdesk::gateway::postgres::{Database, Ending};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::schema::Shape;
use sqlx::ConnectOptions;

async fn texts(database: &Database, ids: Vec<SessionId>) -> Vec<(SessionId, String)> {
    match database.ask(Query::SessionTexts(ids)).await.expect("texts") {
        Reply::SessionTexts(texts) => texts,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_session_is_told_with_its_state_and_whom_it_waits_for() {
    let place = Place::shared().await;
    let database = console(place.console_url());
    let (web, leak, wait, key) = (fresh("web"), fresh("leak"), fresh("wait"), lock_key());
    let mut idle = place.app(&web).connect().await.unwrap();
    say(&mut idle, "SELECT 'jane@acme.example', 4711 /* jane */").await;
    let mut leaking = place.app(&leak).connect().await.unwrap();
    say(&mut leaking, &format!("BEGIN; SELECT pg_advisory_xact_lock({key})")).await;
    let mut waiting = place.app(&wait).connect().await.unwrap();
    let waiter = tokio::spawn(async move { say(&mut waiting, &format!("SELECT pg_advisory_xact_lock({key})")).await });
    let waits = seen(&database, &wait, |s| s.waits_for_lock() && !s.blocked_by.is_empty()).await;

    let found = activity(&database).await;
    let (idles, leaks_here) = (of(&found, &web)[0], of(&found, &leak)[0]);
    assert_eq!(idles.state, Some(State::Idle));
    assert_eq!(
        (idles.client.as_deref(), idles.database.as_deref(), idles.role.as_deref()),
        (Some("127.0.0.1"), Some("postgres"), Some("app"))
    );
    assert!(idles.may_signal && !idles.superuser && idles.kind == Some(Kind::Client) && idles.began.is_some());
    assert!(idles.age_in_state(found.at).is_some_and(|age| age.num_seconds() < 60));
    assert_eq!((leaks_here.state, waits.blocked_by.as_slice()), (Some(State::IdleInTransaction), [leaks_here.pid].as_slice()));
    assert!(leaks_here.age_of_transaction(found.at).is_some() && idles.age_of_transaction(found.at).is_none());
    let class = |pid: i32| found.sessions.iter().zip(classes(&found, &Rules::default())).find(|(s, _)| s.pid == pid).expect("there").1;
    assert_eq!((class(idles.pid), class(leaks_here.pid), class(waits.pid)), (Class::IdlePooled, Class::Blocker, Class::Blocked));
    let at_once = Rules { blocking_after_s: 0, ..Rules::default() };
    assert!(leaks(&found, &Blocking::of(&found), &at_once).iter().any(|s| s.pid == leaks_here.pid));
    assert!(explain(&found, &at_once).leaking.contains(&leaks_here.pid));
    assert_eq!(found.sessions.iter().filter(|s| s.ours == Ours::This).count(), 1);
    assert!(found.sessions.iter().any(|s| matches!(&s.kind, Some(Kind::Internal(what)) if &**what == "checkpointer")));
    assert_eq!((found.room.max_connections, found.room.superuser_reserved, found.room.usable()), (400, 3, 397));
    assert!(found.room.used >= 6 && found.version >= 140_000 && !found.standby && &*found.database == "postgres");
    assert_eq!(found.caveats(), Vec::<String>::new());

    let later = SessionId { began_us: id(idles).began_us + 1, ..id(idles) };
    let told = texts(&database, vec![id(idles), later, id(leaks_here)]).await;
    assert_eq!(told[0], (id(idles), "SELECT ?, ?".to_string()), "no value, no comment");
    assert_eq!(told.len(), 2, "another session's text is not told as this one's: {told:?}");
    say(&mut leaking, "ROLLBACK").await;
    waiter.await.unwrap();
    database.close().await;
}

#[tokio::test]
async fn a_role_that_sees_little_says_so_and_ends_nothing() {
    let place = Place::shared().await;
    let mut admin = place.superuser().await;
    let role = fresh("blind").replace('-', "_");
    say(&mut admin, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    let database = console(place.url(&role, "x"));
    let web = fresh("web");
    let _idle = place.app(&web).connect().await.unwrap();
    let hidden = seen(&database, &web, |_| true).await;
    assert!(hidden.is_hidden() && hidden.id().is_none() && hidden.state.is_none() && hidden.client.is_none(), "{hidden:?}");
    let found = activity(&database).await;
    assert!(!found.sight.reads_all && !found.sight.signals);
    assert_eq!(may_end(&hidden, &found, Reach::default()), Err(Spared::Hidden));
    let caveats = found.caveats().join(" ");
    assert!(
        caveats.contains("hidden from our role") && caveats.contains("pg_monitor") && caveats.contains("pg_signal_backend"),
        "{caveats}"
    );
    // Counting them works all the same, and our own are seen.
    assert!(hidden.is_client() && found.sessions.iter().any(|s| s.ours == Ours::This && s.state == Some(State::Active)));
    let told = Desk::with(vec![("DATABASE_URL".into(), place.url(&role, "x"))]).say(&["pool"]).await;
    assert!(told.code == Some(1) && told.out.contains("are hidden from our role") && told.out.contains("grant it pg_monitor"), "{told:?}");
    let session = SessionId { pid: hidden.pid, began_us: 0 };
    let refused =
        database.end_session(Ending { session, states: vec![State::Idle], since: found.at, at_least_ms: 0, reach: Reach::default() }).await;
    let Outcome::NotDone(fault) = refused else { panic!("{refused:?}") };
    assert!(matches!(&fault.kind, FaultKind::Permission { missing: Some(m) } if m == "pg_monitor"), "{fault:?}");
    database.close().await;
    until("the role is free", async || {
        let text = sqlx::AssertSqlSafe(format!("DROP ROLE {role}"));
        sqlx::raw_sql(text).execute(&mut admin).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_is_granted_while_the_console_runs_is_seen_at_once_and_what_it_may_do_soon() {
    let place = Place::shared().await;
    let mut admin = place.superuser().await;
    let role = fresh("growing").replace('-', "_");
    say(&mut admin, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    let web = fresh("web");
    let _idle = place.app(&web).connect().await.unwrap();
    let mut console = Console::start(&[("DATABASE_URL".to_string(), place.url(&role, "x"))], 200, 50, &[]);
    console.wait_until("it is connected", |s| s.contains("db 0s"));
    console.send("5");
    let (hidden, signals) = ("hidden from our role", "grant it pg_signal_backend");
    console.wait_until("what it lacks", |s| s.contains(hidden) && s.contains(signals));
    say(&mut admin, &format!("GRANT pg_read_all_stats TO {role}")).await;
    let screen = console.wait_until("every session", |s| s.contains("Our role may end only") && !s.contains(hidden));
    assert!(screen.contains(signals), "{screen}");
    say(&mut admin, &format!("GRANT pg_signal_backend TO {role}")).await;
    console.wait_until("nothing is lacking", |s| s.contains("of 397") && !s.contains(signals) && !s.contains(hidden));
    drop(console);
    until("the role is free", async || {
        let text = sqlx::AssertSqlSafe(format!("DROP ROLE {role}"));
        sqlx::raw_sql(text).execute(&mut admin).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_old_version_without_some_columns_is_read_and_named() {
    let place = Place::shared().await;
    let (name, _dropped, _) = bench::database(Shape::default(), 60).await;
    let mut admin = place.superuser().await;
    let mut inside = nightdesk::sandbox::schema::roles::superuser(place.cluster, &name).connect().await.unwrap();
    // A view that stands before the catalogue's own has what a server of 9.6 has.
    say(
        &mut inside,
        "CREATE SCHEMA old; GRANT USAGE ON SCHEMA old TO PUBLIC;
         CREATE VIEW old.pg_stat_activity AS SELECT datid, datname, pid, usesysid, usename, application_name, client_addr, backend_start,
                xact_start, query_start, state_change, wait_event_type, wait_event, state, query FROM pg_catalog.pg_stat_activity
          WHERE backend_type IN ('client backend', 'walsender', 'autovacuum worker');
         GRANT SELECT ON old.pg_stat_activity TO PUBLIC",
    )
    .await;
    say(&mut admin, &format!("ALTER DATABASE {name} SET search_path = old, pg_catalog, public")).await;
    let database = console(place.console_url().replace("/postgres", &format!("/{name}")));
    let web = fresh("web");
    let _idle = place.app(&web).database(&name).connect().await.unwrap();
    let idle = seen(&database, &web, |s| s.state == Some(State::Idle)).await;
    assert_eq!((idle.kind.clone(), idle.leader), (Some(Kind::Client), None));
    let found = activity(&database).await;
    assert_eq!(found.sight.lacking.len(), 2);
    let lacks = "does not tell what kind a process is, whom a parallel worker works for";
    assert!(found.caveats().iter().any(|c| c.contains(lacks)), "{:?}", found.caveats());
    let url = place.console_url().replace("/postgres", &format!("/{name}"));
    let told = Desk::with(vec![("DATABASE_URL".into(), url)]).say(&["pool"]).await;
    assert!(told.out.contains(lacks), "{told:?}");
    let done = database
        .end_session(Ending {
            session: id(&idle),
            states: vec![State::Idle],
            since: idle.state_change.expect("seen"),
            at_least_ms: 0,
            reach: Reach::default(),
        })
        .await;
    assert!(matches!(&done, Outcome::Done { .. }), "{done:?}");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_names_who_holds_what_and_shows_no_value() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let place = Place::shared().await;
    let (leak, wait, key) = (fresh("leak"), fresh("wait"), lock_key());
    let mut leaking = place.app(&leak).database(&bench.database).connect().await.unwrap();
    say(&mut leaking, &format!("BEGIN; SELECT 'jane@acme.example', pg_advisory_xact_lock({key})")).await;
    let mut waiting = place.app(&wait).database(&bench.database).connect().await.unwrap();
    let waiter = tokio::spawn(async move { say(&mut waiting, &format!("SELECT pg_advisory_xact_lock({key})")).await });
    let desk = Desk::of(&bench);
    let mut last = None;
    until("the leak is told", async || {
        let said = desk.say(&["pool", "--json"]).await;
        let told = said.json()["harmful"].as_array().unwrap().iter().any(|s| s["application"] == leak.as_str() && s["class"] == "blocker");
        last = Some(said);
        told
    })
    .await;
    let said = last.expect("asked");
    let shown = said.json();
    assert_eq!(said.code, Some(1), "somebody waits: {said:?}");
    let holder = shown["harmful"].as_array().unwrap().iter().find(|s| s["application"] == leak.as_str()).unwrap();
    assert_eq!(
        (&holder["state"], &holder["blocks"], &holder["spared"]),
        (&"idle in transaction".into(), &1.into(), &serde_json::Value::Null)
    );
    assert_eq!(holder["statement"], "BEGIN; SELECT ?, pg_advisory_xact_lock(?)");
    assert!(shown["groups"].as_array().unwrap().iter().any(|g| g["application"] == leak.as_str() && g["in_transaction"] == 1), "{shown}");
    assert!(shown["room"]["max_connections"] == 400 && shown["usable"] == 397 && shown["pooler"].is_null(), "{shown}");
    let text = desk.say(&["pool"]).await;
    for part in ["of 397 connections", leak.as_str(), "The runbook's query would", "pg_advisory_xact_lock(?)"] {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    assert!(!text.out.contains("jane") && !said.out.contains("jane"));
    say(&mut leaking, "ROLLBACK").await;
    waiter.await.unwrap();
    let nowhere = desk.but("DATABASE_URL", "postgres://nobody@127.0.0.1:1/x").say(&["pool"]).await;
    nowhere.refused(&["nobody answers for Postgres"]);
}
