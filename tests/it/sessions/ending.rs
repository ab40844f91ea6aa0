//! Whom one signal ends, and everybody whom it does not: each with its sentence, each left alive.

use super::{Place, activity, config, console, fresh, id, lock_key, of, say, seen};
use crate::bench::{self, Bench, Options, until};
use crate::command::Desk;
use nightdesk::domain::At;
use nightdesk::domain::fault::{Fault, FaultKind};
use nightdesk::domain::sessions::{Kind, Reach, Session, SessionId, Spared, State, may_end};
use nightdesk::gateway::postgres::{Database, Ending};
use nightdesk::gateway::reader::Reader;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::record::Detail;
use nightdesk::protocol::run::{Attempt, Perform};
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::schema::{Shape, roles};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::sync::Arc;

/// As it was seen.
fn ending(session: &Session, states: &[State]) -> Ending {
    let since = session.state_change.expect("it is seen since when");
    Ending { session: id(session), states: states.to_vec(), since, at_least_ms: 0, reach: Reach::default() }
}

async fn refused(database: &Database, ending: Ending) -> Fault {
    match database.end_session(ending).await {
        Outcome::NotDone(fault) => fault,
        other => panic!("{other:?}"),
    }
}

async fn lives(connection: &mut PgConnection) -> bool {
    sqlx::raw_sql("SELECT 1").execute(connection).await.is_ok()
}

async fn idle(place: &Place<'_>, database: &Database) -> (PgConnection, Session) {
    let name = fresh("web");
    let connection = place.app(&name).connect().await.unwrap();
    let session = seen(database, &name, |s| s.state == Some(State::Idle)).await;
    (connection, session)
}

#[tokio::test]
async fn the_leak_goes_and_what_waited_for_it_goes_on() {
    let place = Place::shared().await;
    let database = console(place.console_url());
    let (leak, wait, key) = (fresh("leak"), fresh("wait"), lock_key());
    let mut leaking = place.app(&leak).connect().await.unwrap();
    say(&mut leaking, &format!("BEGIN; SELECT pg_advisory_xact_lock({key})")).await;
    let mut waiting = place.app(&wait).connect().await.unwrap();
    let waiter = tokio::spawn(async move { say(&mut waiting, &format!("SELECT pg_advisory_xact_lock({key})")).await });
    let waits = seen(&database, &wait, |s| !s.blocked_by.is_empty()).await;
    let target = seen(&database, &leak, |_| true).await;
    assert_eq!(waits.blocked_by, [target.pid]);
    let done = database.end_session(ending(&target, &[State::IdleInTransaction])).await;
    assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("gone after")), "{done:?}");
    waiter.await.expect("it got what it waited for");
    assert!(!lives(&mut leaking).await);
    assert!(of(&activity(&database).await, &leak).is_empty());
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_through_the_gate_and_the_journal_as_every_write_does() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let place = Place::shared().await;
    let state = tempfile::tempdir().unwrap();
    let reader = Reader::open(Arc::new(config(&bench.environment())), state.path());
    let leak = fresh("leak");
    let mut leaking = place.app(&leak).database(&bench.database).connect().await.unwrap();
    say(&mut leaking, "BEGIN; SELECT 1").await;
    let looker = console(bench.variable("DATABASE_URL"));
    let target = seen(&looker, &leak, |s| s.state == Some(State::IdleInTransaction)).await;
    let (run, lane) = (uuid::Uuid::now_v7(), reader.writes().unwrap());
    let act = |attempt: u32, since: Option<At>| Perform {
        attempt: Attempt { run, step: "end-1".into(), attempt },
        command: Command::EndSession {
            session: id(&target),
            who: target.name(),
            states: vec![State::IdleInTransaction],
            since,
            at_least_ms: 1,
            reach: Reach::default(),
        },
        undo: None,
        confirmed_at: chrono::Utc::now(),
    };
    lane.open_run(run, "pool-exhausted", Detail::none()).await.unwrap();
    let denied = lane.perform(act(1, target.state_change)).await.outcome;
    assert!(matches!(&denied, Outcome::NotDone(f) if f.kind == FaultKind::Denied), "writes are off: {denied:?}");
    assert!(activity(&looker).await.find(id(&target)).is_some());
    reader.learn_mode().await.unwrap();
    lane.turn_on("a test", chrono::Utc::now()).await.unwrap();
    // As it was journaled before its time was kept: a later state of the same session could be hit.
    let refused = lane.perform(act(2, None)).await.outcome;
    let says = "was not kept, so that it may have moved on: nothing was signalled";
    assert!(matches!(&refused, Outcome::NotDone(f) if f.kind == FaultKind::Refused && f.say.contains(says)), "{refused:?}");
    assert!(activity(&looker).await.find(id(&target)).is_some());
    let done = lane.perform(act(3, target.state_change)).await;
    assert!(matches!(&done.outcome, Outcome::Done { .. }) && done.unrecorded.is_none(), "{done:?}");
    assert!(!lives(&mut leaking).await);
    let recorded = format!("{:?}", reader.journal().unwrap().recorded(run).await.unwrap());
    assert!(recorded.contains("end-session") && recorded.contains("gone after"), "{recorded}");
    looker.close().await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_go_is_unknown_and_keeps_no_other_waiting() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    // A server of its own: while one of its processes stands still, nobody can make or drop a database.
    let options = ClusterOptions { max_connections: 20, parent: Some(bench::home()), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap()).await.unwrap();
    let passwords = roles::create(&cluster).await.unwrap();
    let place = Place { cluster: &cluster, roles: &passwords };
    let variables = [
        ("DATABASE_URL", place.console_url()),
        ("STRIPE_API_BASE", bench.variable("STRIPE_API_BASE")),
        ("STRIPE_SECRET_KEY", bench.variable("STRIPE_SECRET_KEY")),
    ];
    let state = tempfile::tempdir().unwrap();
    let reader = Reader::open(Arc::new(config(&variables)), state.path());
    let looker = console(place.console_url());
    let mut targets = Vec::new();
    let mut held = Vec::new();
    for _ in 0..2 {
        let leak = fresh("leak");
        let mut leaking = place.app(&leak).connect().await.unwrap();
        say(&mut leaking, "BEGIN; SELECT 1").await;
        targets.push(seen(&looker, &leak, |s| s.state == Some(State::IdleInTransaction)).await);
        held.push(leaking);
    }
    let run = uuid::Uuid::now_v7();
    let act = |n: usize| Perform {
        attempt: Attempt { run, step: format!("end-{n}"), attempt: 1 },
        command: Command::EndSession {
            session: id(&targets[n]),
            who: targets[n].name(),
            states: vec![State::IdleInTransaction],
            since: targets[n].state_change,
            at_least_ms: 0,
            reach: Reach::default(),
        },
        undo: None,
        confirmed_at: chrono::Utc::now(),
    };
    reader.learn_mode().await.unwrap();
    let lane = reader.writes().unwrap();
    lane.turn_on("a test", chrono::Utc::now()).await.unwrap();
    lane.open_run(run, "pool-exhausted", Detail::none()).await.unwrap();
    // A process that is stopped hears no signal.
    let frozen = Pid::from_raw(targets[0].pid);
    kill(frozen, Signal::SIGSTOP).unwrap();
    let stays = lane.perform(act(0)).await.outcome;
    let goes = lane.perform(act(1)).await.outcome;
    kill(frozen, Signal::SIGCONT).unwrap();
    assert!(matches!(&stays, Outcome::Unknown(f) if f.say.contains("has its signal and is still there")), "{stays:?}");
    assert!(matches!(&goes, Outcome::Done { .. }), "{goes:?}");
    until("it goes as soon as it can", async || activity(&looker).await.find(id(&targets[0])).is_none()).await;
    looker.close().await;
    reader.close().await;
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

#[tokio::test]
async fn what_changed_since_it_was_shown_is_left_alone() {
    let place = Place::shared().await;
    let database = console(place.console_url());
    let (mut web, session) = idle(&place, &database).await;

    // Its number belongs to another session by now.
    let before = SessionId { began_us: id(&session).began_us - 1, ..id(&session) };
    let reused = refused(&database, Ending { session: before, ..ending(&session, &[State::Idle]) }).await;
    assert!(reused.kind == FaultKind::NotFound && reused.say.contains("another session's now"), "{reused:?}");
    // It does something else than was shown.
    let state = refused(&database, ending(&session, &[State::IdleInTransaction])).await;
    assert!(state.kind == FaultKind::Conflict && state.say.contains("is idle now"), "{state:?}");
    // It has done something since.
    let young = refused(&database, Ending { at_least_ms: 3_600_000, ..ending(&session, &[State::Idle]) }).await;
    assert!(young.kind == FaultKind::Conflict && young.say.contains("has done something since"), "{young:?}");
    // The same, and it is idle again, for as long as was asked for.
    say(&mut web, "SELECT 1").await;
    let again = refused(&database, ending(&session, &[State::Idle])).await;
    assert!(again.kind == FaultKind::Conflict && again.say.contains("has done something since"), "{again:?}");
    assert!(lives(&mut web).await, "none of them was a signal");
    // It ends between the preview and the signal.
    web.close().await.unwrap();
    until("it is gone", async || activity(&database).await.find(id(&session)).is_none()).await;
    let gone = refused(&database, ending(&session, &[State::Idle])).await;
    assert!(gone.kind == FaultKind::NotFound && gone.say.contains("ended by itself"), "{gone:?}");
    database.close().await;
}

#[tokio::test]
async fn consoles_superusers_and_other_databases_are_left_alone() {
    let place = Place::shared().await;
    let database = console(place.console_url());
    let found = activity(&database).await;
    let own = found.sessions.iter().find(|s| s.ours == nightdesk::domain::sessions::Ours::This).expect("this one").clone();
    let fault = refused(&database, ending(&own, &State::ALL)).await;
    assert!(fault.say.contains("this console's own"), "{fault:?}");

    let other = fresh("nightdesk:bob");
    let mut colleague = place.app(&other).connect().await.unwrap();
    let session = seen(&database, &other, |s| s.state == Some(State::Idle)).await;
    assert_eq!(may_end(&session, &found, Reach::default()), Err(Spared::Console));
    assert!(refused(&database, ending(&session, &State::ALL)).await.say.contains("is a console's"));
    assert!(lives(&mut colleague).await);

    let name = fresh("root");
    let mut root = roles::superuser(place.cluster, "postgres").application_name(&name).connect().await.unwrap();
    let session = seen(&database, &name, |s| s.state == Some(State::Idle)).await;
    assert!(session.superuser && !session.may_signal);
    assert_eq!(may_end(&session, &found, Reach::default()), Err(Spared::Superuser));
    let fault = refused(&database, ending(&session, &State::ALL)).await;
    assert!(matches!(&fault.kind, FaultKind::Permission { missing: Some(m) } if m == "superuser"), "{fault:?}");
    assert!(lives(&mut root).await);

    let (elsewhere, _dropped, _) = bench::database(Shape::default(), 60).await;
    let name = fresh("crm");
    let mut crm = place.app(&name).database(&elsewhere).connect().await.unwrap();
    let session = seen(&database, &name, |s| s.state == Some(State::Idle)).await;
    let fault = refused(&database, ending(&session, &[State::Idle])).await;
    assert!(fault.say.contains(&elsewhere) && fault.say.contains("was not chosen"), "{fault:?}");
    assert!(lives(&mut crm).await);
    let session = seen(&database, &name, |s| s.state == Some(State::Idle)).await;
    let chosen = Ending { reach: Reach { other_databases: true }, ..ending(&session, &[State::Idle]) };
    assert!(matches!(database.end_session(chosen).await, Outcome::Done { .. }));
    database.close().await;
}

#[tokio::test]
async fn a_role_without_the_right_to_signal_is_told_which_one() {
    let place = Place::shared().await;
    let mut admin = place.superuser().await;
    let role = fresh("looker").replace('-', "_");
    say(&mut admin, &format!("CREATE ROLE {role} LOGIN PASSWORD 'x' IN ROLE pg_monitor")).await;
    let database = console(place.url(&role, "x"));
    let (mut web, session) = idle(&place, &database).await;
    let found = activity(&database).await;
    assert_eq!(may_end(&session, &found, Reach::default()), Err(Spared::NoPrivilege));
    assert!(found.caveats().iter().any(|c| c.contains("pg_signal_backend")));
    let fault = refused(&database, ending(&session, &[State::Idle])).await;
    assert!(matches!(&fault.kind, FaultKind::Permission { missing: Some(m) } if m == "pg_signal_backend"), "{fault:?}");
    assert!(lives(&mut web).await);
    // Sessions of its own role it may end.
    let name = fresh("mine");
    let options: sqlx::postgres::PgConnectOptions = place.url(&role, "x").parse().unwrap();
    let _mine = options.application_name(&name).connect().await.unwrap();
    let mine = seen(&database, &name, |s| s.state == Some(State::Idle)).await;
    assert!(mine.may_signal);
    assert!(matches!(database.end_session(ending(&mine, &[State::Idle])).await, Outcome::Done { .. }));
    database.close().await;
    until("the role is free", async || {
        let text = sqlx::AssertSqlSafe(format!("DROP ROLE {role}"));
        sqlx::raw_sql(text).execute(&mut admin).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_shows_its_own_sessions_and_its_walsender_is_left_alone() {
    let start = |options: ClusterOptions| tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap());
    let options = ClusterOptions { max_connections: 20, parent: Some(bench::home()), ..ClusterOptions::default() };
    let primary = start(options).await.unwrap();
    let passwords = roles::create(&primary).await.unwrap();
    let replica = start(primary.replica()).await.unwrap();
    let (first, second) = (Place { cluster: &primary, roles: &passwords }, Place { cluster: &replica, roles: &passwords });

    let database = console(first.console_url());
    let mut walsender = None;
    until("the replica follows", async || {
        walsender = activity(&database).await.sessions.iter().find(|s| s.kind == Some(Kind::Walsender)).cloned();
        walsender.is_some()
    })
    .await;
    let walsender = walsender.expect("seen");
    let found = activity(&database).await;
    assert_eq!(may_end(&walsender, &found, Reach { other_databases: true }), Err(Spared::Replication));
    let anyhow = Ending { reach: Reach { other_databases: true }, ..ending(&walsender, &State::ALL) };
    let fault = refused(&database, anyhow).await;
    assert!(fault.say.contains("walsender"), "{fault:?}");
    assert!(activity(&database).await.find(id(&walsender)).is_some());
    let clients = found.sessions.iter().filter(|s| s.is_client()).count();
    assert_eq!(found.room.used as usize, clients, "what replicates has slots of its own");

    let standby = console(second.console_url());
    let (mut web, session) = idle(&second, &standby).await;
    let there = activity(&standby).await;
    assert!(there.standby && there.caveats().iter().any(|c| c.contains("standby")), "{:?}", there.caveats());
    let told = Desk::with(vec![("DATABASE_URL".into(), second.console_url())]).say(&["pool"]).await;
    assert!(told.out.contains("This is a standby: these are its own sessions"), "{told:?}");
    let done = standby.end_session(ending(&session, &[State::Idle])).await;
    assert!(matches!(&done, Outcome::Done { .. }), "{done:?}");
    assert!(!lives(&mut web).await);
    standby.close().await;
    database.close().await;
    for cluster in [replica, primary] {
        tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
    }
}
