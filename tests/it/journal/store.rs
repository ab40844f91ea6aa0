//! The shared store: shipped once, never changed there, one open run per subject.

use super::*;
use crate::bench;
use crate::procedures::planned;
use crate::world::{Driver, World, by_customer, subject};
use nightdesk::domain::fault::FaultKind;
use nightdesk::gateway::gate::Gate;
use nightdesk::gateway::journal::store::{Store, migrate};
use nightdesk::gateway::journal::{Journal, Shipped, Shipping, ship, team_runs};
use nightdesk::gateway::writes::WriteLane;
use nightdesk::procedures::engine::Phase;
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::record::{Closed, Detail, Entry, OpenedDetail, RunState};
use nightdesk::protocol::run::{Attempt, Inputs, Perform};
use nightdesk::sandbox::cluster::SUPERUSER;
use nightdesk::sandbox::schema::{Shape, roles};
use sqlx::postgres::PgPoolOptions;
use std::path::Path;
use std::sync::Arc;
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A database of the test's own, as two roles see it.
pub struct Database {
    pub console: String,
    pub superuser: String,
    _dropped: bench::DropDatabase,
}

pub async fn database() -> Database {
    let (cluster, roles) = bench::cluster().await;
    let (name, dropped, _) = bench::database(Shape::default(), 300).await;
    Database {
        console: cluster.url(roles::CONSOLE, &roles.console, &name),
        superuser: cluster.url(SUPERUSER, &roles.superuser, &name),
        _dropped: dropped,
    }
}

#[tokio::test]
async fn records_reach_the_store_once_and_cannot_be_changed_there() {
    let db = database().await;
    assert_eq!(migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap(), 3);
    assert_eq!(migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap(), 0, "applying again changes nothing");
    let (_state, journal) = with_records(250).await;
    let store = Store::of_url(&db.console).unwrap();
    let twin = Store::of_url(&db.console).unwrap();
    let (a, b) = tokio::join!(ship(&journal, &store), ship(&journal, &twin));
    assert!(a.unwrap() + b.unwrap() >= 250);
    journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    assert_eq!(ship(&journal, &store).await.unwrap(), 1);
    assert_eq!(ship(&journal, &store).await.unwrap(), 0);
    assert_eq!(store.verify().await.unwrap(), []);

    let console = PgPoolOptions::new().max_connections(1).connect(&db.console).await.unwrap();
    let shipped: i64 = sqlx::query_scalar("SELECT count(*) FROM nightdesk.audit").fetch_one(&console).await.unwrap();
    assert_eq!(shipped, 251, "each once");
    let public: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE '%sqlx%'")
        .fetch_one(&console)
        .await
        .unwrap();
    assert_eq!(public, 0, "nothing of ours lies among the product's tables");
    for sql in [
        "UPDATE nightdesk.audit SET operator = 'eve'",
        "DELETE FROM nightdesk.audit",
        "TRUNCATE nightdesk.audit",
        "INSERT INTO nightdesk.audit SELECT * FROM nightdesk.audit",
        "UPDATE nightdesk.audit_head SET seq = 0",
    ] {
        let error = sqlx::raw_sql(sql).execute(&console).await.expect_err(sql);
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{sql}");
    }
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    assert!(sqlx::raw_sql("DELETE FROM nightdesk.audit").execute(&admin).await.is_err(), "not even its owner by accident");
    let force =
        "ALTER TABLE nightdesk.audit DISABLE TRIGGER ALL; UPDATE nightdesk.audit SET record = replace(record, 'ada', 'eve') WHERE seq = 7";
    sqlx::raw_sql(force).execute(&admin).await.unwrap();
    let problems = store.verify().await.unwrap();
    assert_eq!(problems.iter().map(|p| (p.seq, p.problem.as_str())).collect::<Vec<_>>(), [(7, "content altered")]);
    let (_other, forged) = with_records(1).await;
    ship(&forged, &store).await.expect("another machine's journal of the same operator is another chain");
    store.close().await;
    twin.close().await;
}

#[tokio::test]
async fn a_store_that_hangs_is_not_waited_for_for_ever() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let mut holding = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE nightdesk.audit IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let verified = tokio::time::timeout(std::time::Duration::from_secs(30), store.verify()).await.expect("it gives up by itself");
    assert_eq!(verified.expect_err("nobody answers").kind, FaultKind::Timeout);
    // Nor does the server go on with what nobody waits for any more: the lock is still held.
    let state = tempdir().unwrap();
    let journal = Journal::open(state.path(), "test", "ada", Some(b"one key for all consoles")).unwrap();
    assert_eq!(team_runs(&journal, &store).await.expect_err("nobody answers").kind, FaultKind::Timeout);
    bench::until("the server has ended it", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *holding).await.unwrap() == 0
    })
    .await;
    holding.rollback().await.unwrap();
    assert!(team_runs(&journal, &store).await.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn without_the_store_the_repair_works_and_is_shipped_later() {
    let db = database().await;
    let state = tempdir().unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let mut d = Driver::draft(World::placeholder().shared(), state.path(), by_customer()).await;
    d.lane = WriteLane::new(Arc::clone(&d.gate), d.journal.clone(), Some(store.clone()), crate::world::InMemory(Arc::clone(&d.world)));
    d.confirm().await;
    assert!(matches!(d.run.phase, Phase::Done(_)), "no schema, no rights: {:?}", d.run.phase);
    assert_eq!(ship(&d.journal, &store).await.unwrap_err().kind, FaultKind::NotSetUp);

    // Nobody listens there.
    let gone = Store::of_url("postgres://x:y@127.0.0.1:1/none").unwrap();
    let mut e = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    e.lane = WriteLane::new(Arc::clone(&e.gate), e.journal.clone(), Some(gone.clone()), crate::world::InMemory(Arc::clone(&e.world)));
    e.confirm().await;
    assert!(matches!(e.run.phase, Phase::Done(_)), "{:?}", e.run.phase);
    assert!(ship(&e.journal, &gone).await.is_err());

    migrate(&db.superuser, None).await.unwrap();
    assert!(matches!(ship(&d.journal, &store).await.unwrap_err().kind, FaultKind::Permission { .. }), "migrated, and granted to nobody");
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let stop = CancellationToken::new();
    let (shipping, mut shipped) = Shipping::new(d.journal.clone(), store.clone());
    let task = tokio::spawn(shipping.run(stop.clone()));
    shipped.wait_for(|s| *s == Shipped::All).await.unwrap();
    let head = d.journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    let console = PgPoolOptions::new().max_connections(1).connect(&db.console).await.unwrap();
    bench::until("the new record is shipped by itself", async || {
        let newest: i64 = sqlx::query_scalar("SELECT max(local_seq) FROM nightdesk.audit").fetch_one(&console).await.unwrap();
        newest.unsigned_abs() == head.seq
    })
    .await;
    stop.cancel();
    task.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn one_open_run_per_subject_across_consoles() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let lane = |state: &Path, operator: &str| {
        let journal = Journal::open(state, "test", operator, Some(b"one key for all consoles")).unwrap();
        let gate = Arc::new(Gate::new(false));
        WriteLane::new(gate, journal, Some(Store::of_url(&db.console).unwrap()), crate::world::InMemory(World::missed().shared()))
    };
    let (ada, eve) = (lane(ours.path(), "ada"), lane(theirs.path(), "eve"));
    let detail = Detail::of(&OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None });
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    ada.open_run(first, "tier-update", detail.clone()).await.unwrap();
    let fault = eve.open_run(second, "tier-update", detail.clone()).await.unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.say.contains("ada"), "{fault}");
    ada.record(Some(first), Entry::RunClosed { run: first, how: Closed::Abandoned }, Detail::none()).await.unwrap();
    eve.open_run(second, "tier-update", detail).await.expect("its lease was given back");
}

#[tokio::test]
async fn a_run_about_many_leaves_other_consoles_their_customers_and_gives_each_back() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let mut world = World::missed();
    let command = planned(&mut world, &by_customer()).expect("a plan").commands()[0].clone();
    let world = world.shared();
    let lane = |state: &Path, operator: &str| {
        let journal = Journal::open(state, "test", operator, Some(b"one key for all consoles")).unwrap();
        let gate = Arc::new(Gate::new(false));
        gate.account_known(false);
        gate.turn_on("ticket 4411", chrono::Utc::now()).expect("test mode");
        WriteLane::new(gate, journal, Some(Store::of_url(&db.console).unwrap()), crate::world::InMemory(Arc::clone(&world)))
    };
    let (ada, eve) = (lane(ours.path(), "ada"), lane(theirs.path(), "eve"));
    let one = Detail::of(&OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None });
    let many = Detail::of(&OpenedDetail { inputs: Inputs::default(), subject: None, who: "2 customers".into(), undoes: None });
    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    ada.open_run(first, "tier-update", one.clone()).await.unwrap();
    eve.open_run(second, "failed-webhook", many.clone()).await.expect("it is about others as well");
    let act = |attempt| Perform {
        attempt: Attempt { run: second, step: "apply-1".into(), attempt },
        command: command.clone(),
        undo: None,
        confirmed_at: chrono::Utc::now(),
    };
    let refused = eve.perform(act(1)).await.outcome;
    let Outcome::NotDone(fault) = &refused else { panic!("{refused:?}") };
    assert!(fault.kind == FaultKind::Conflict && fault.say.contains("ada has run"), "{fault}");
    ada.record(Some(first), Entry::RunClosed { run: first, how: Closed::Abandoned }, Detail::none()).await.unwrap();
    let done = eve.perform(act(2)).await.outcome;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    ada.open_run(third, "tier-update", one).await.expect("the customer was given back after the act");
    // Both send events once more.
    let fault = ada.open_run(Uuid::now_v7(), "endpoint-down", many).await.unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.say.starts_with("eve has run"), "{fault}");
    assert!(!fault.say.contains("this customer"), "{fault}");
}

#[tokio::test]
async fn a_run_that_does_not_open_keeps_nobody_out() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let states = tempdir().unwrap();
    let journal =
        |operator: &str| Journal::open(&states.path().join(operator), "test", operator, Some(b"one key for all consoles")).unwrap();
    let lane = |journal: &Journal| {
        let world = crate::world::InMemory(World::missed().shared());
        WriteLane::new(Arc::new(Gate::new(false)), journal.clone(), Some(store.clone()), world)
    };
    let (mine, hers) = (journal("ada"), journal("eve"));
    let (ada, eve) = (lane(&mine), lane(&hers));
    let detail = Detail::of(&OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None });
    let abandoned = |run| (Some(run), Entry::RunClosed { run, how: Closed::Abandoned }, Detail::none());

    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    ada.open_run(first, "tier-update", detail.clone()).await.unwrap();
    let (run, entry, none) = abandoned(first);
    ada.record(run, entry, none).await.unwrap();
    assert_eq!(ada.resume_run(first).await.unwrap_err().kind, FaultKind::Conflict, "it is finished");
    eve.open_run(second, "tier-update", detail.clone()).await.expect("resuming left no lease behind");
    let (run, entry, none) = abandoned(second);
    eve.record(run, entry, none).await.unwrap();

    edit(mine.path(), |l| l.iter().map(|l| l.replace("ada", "eve")).collect());
    ada.open_run(Uuid::now_v7(), "tier-update", detail.clone()).await.expect_err("its journal is broken");
    eve.open_run(third, "tier-update", detail).await.expect("opening left no lease behind");
}

#[tokio::test]
async fn an_open_run_keeps_its_lease_and_is_told_when_somebody_else_has_it() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let state = tempdir().unwrap();
    let command = planned(&mut World::missed(), &by_customer()).expect("a plan").commands()[0].clone();
    let gate = Arc::new(Gate::new(false));
    gate.account_known(false);
    gate.turn_on("ticket 4411", chrono::Utc::now()).expect("test mode");
    let journal = Journal::open(state.path(), "test", "ada", Some(b"one key for all consoles")).unwrap();
    let store = Store::of_url(&db.console).unwrap().leasing_for(std::time::Duration::from_secs(3));
    let ada = WriteLane::new(gate, journal, Some(store), crate::world::InMemory(World::missed().shared()));
    let many = Detail::of(&OpenedDetail { inputs: Inputs::default(), subject: None, who: "2 customers".into(), undoes: None });
    let run = Uuid::now_v7();
    ada.open_run(run, "failed-webhook", many).await.unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let until = async || -> chrono::DateTime<chrono::Utc> {
        sqlx::query_scalar("SELECT until FROM nightdesk.lease").fetch_one(&admin).await.unwrap()
    };
    let first = until().await;
    bench::until("nobody does anything, and the lease is renewed twice", async || {
        until().await > first + chrono::Duration::milliseconds(1_500)
    })
    .await;

    let taken = "UPDATE nightdesk.lease SET run = gen_random_uuid(), operator = 'eve', until = now() + interval '1 hour'";
    sqlx::raw_sql(taken).execute(&admin).await.unwrap();
    let attempt = Attempt { run, step: "apply-1".into(), attempt: 1 };
    let refused = ada.perform(Perform { attempt, command, undo: None, confirmed_at: chrono::Utc::now() }).await.outcome;
    let Outcome::NotDone(fault) = &refused else { panic!("{refused:?}") };
    assert!(fault.kind == FaultKind::Denied && fault.say.contains("lapsed") && fault.say.contains("eve has run"), "{fault:?}");
}

/// A lane with a lease of three seconds, and its journal.
fn leased_lane(db: &Database, state: &Path, operator: &str) -> (WriteLane<crate::world::InMemory>, Store, Journal) {
    let journal = Journal::open(state, "test", operator, Some(b"one key for all consoles")).unwrap();
    let gate = Arc::new(Gate::new(false));
    gate.account_known(false);
    gate.turn_on("ticket 4411", chrono::Utc::now()).expect("test mode");
    let store = Store::of_url(&db.console).unwrap().leasing_for(std::time::Duration::from_secs(3));
    let world = crate::world::InMemory(World::missed().shared());
    (WriteLane::new(gate, journal.clone(), Some(store.clone()), world), store, journal)
}

fn about_one() -> Detail {
    Detail::of(&OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None })
}

#[tokio::test]
async fn a_slow_read_takes_nobody_s_lease_away() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let (ada, store, journal) = leased_lane(&db, ours.path(), "ada");
    let (eve, ..) = leased_lane(&db, theirs.path(), "eve");
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let mut holding = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE nightdesk.desk, nightdesk.audit IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let desk = nightdesk::gateway::journal::Desk::new(journal.clone(), Some(store.clone()));
    let (desk, team) = tokio::join!(desk.state(), team_runs(&journal, &store));
    assert!(desk.is_err() && team.is_err(), "both wait for the same lock");
    let mut notes = ada.notes();
    ada.open_run(Uuid::now_v7(), "tier-update", about_one()).await.unwrap();
    let fault = eve.open_run(Uuid::now_v7(), "tier-update", about_one()).await.unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.say.contains("ada has run"), "{fault}");
    assert!(notes.try_recv().is_err(), "nothing is to be said about it");
    holding.rollback().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_could_not_be_had_is_told_and_asked_for_until_it_is_there() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let (ada, ..) = leased_lane(&db, ours.path(), "ada");
    let (eve, ..) = leased_lane(&db, theirs.path(), "eve");
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let mut holding = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE nightdesk.lease IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let (mut notes, run) = (ada.notes(), Uuid::now_v7());
    ada.open_run(run, "tier-update", about_one()).await.expect("a store that hangs is in no repair's way");
    assert_eq!(notes.recv().await.unwrap(), (run, "no lease: the shared store did not answer".to_string()));
    let chain = std::fs::read_to_string(place(ours.path(), "journal.jsonl")).unwrap();
    assert!(chain.lines().last().is_some_and(|l| l.contains(r#"{"entry":"unleased","run":""#)), "{chain}");
    holding.rollback().await.unwrap();
    assert!(notes.recv().await.unwrap().1.contains("gives its lease"));
    let fault = eve.open_run(Uuid::now_v7(), "tier-update", about_one()).await.unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.say.contains("ada has run"), "{fault}");
    ada.record(Some(run), Entry::RunClosed { run, how: Closed::Abandoned }, Detail::none()).await.unwrap();
    eve.open_run(Uuid::now_v7(), "tier-update", about_one()).await.expect("it was given back");
}

#[tokio::test]
async fn who_has_no_lease_stops_where_somebody_else_has_it_by_then() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let (ada, ..) = leased_lane(&db, ours.path(), "ada");
    let (eve, ..) = leased_lane(&db, theirs.path(), "eve");
    let command = planned(&mut World::missed(), &by_customer()).expect("a plan").commands()[0].clone();
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let mut holding = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE nightdesk.lease IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
    let run = Uuid::now_v7();
    ada.open_run(run, "tier-update", about_one()).await.unwrap();
    let lease = "INSERT INTO nightdesk.lease SELECT environment, subject, gen_random_uuid(), 'zoe', now() + interval '1 hour' FROM
                 (SELECT 'test'::text AS environment, $1::text AS subject) x";
    let hash = Journal::open(ours.path(), "test", "ada", Some(b"one key for all consoles")).unwrap().subject_hash(&subject());
    sqlx::query(lease).bind(hash).execute(&mut *holding).await.unwrap();
    holding.commit().await.unwrap();
    let mut attempt = Attempt { run, step: "apply".into(), attempt: 1 };
    let mut refused = None;
    bench::until("the store is asked again before an act", async || {
        let perform = Perform { attempt: attempt.clone(), command: command.clone(), undo: None, confirmed_at: chrono::Utc::now() };
        // Until it is asked again the repair is not held up, and here it may not be done twice.
        let outcome = ada.perform(perform).await.outcome;
        attempt.attempt += 1;
        refused = if let Outcome::NotDone(fault) = outcome { Some(fault).filter(|f| f.kind == FaultKind::Denied) } else { None };
        refused.is_some()
    })
    .await;
    let fault = refused.expect("just seen");
    assert!(fault.say.contains("lapsed") && fault.say.contains("zoe has run"), "{fault:?}");
    let fault = eve.open_run(Uuid::now_v7(), "tier-update", about_one()).await.unwrap_err();
    assert!(fault.say.contains("zoe has run"), "{fault}");
}

#[tokio::test]
async fn an_unfinished_run_of_a_colleague_is_known_however_much_was_recorded_since() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let state = tempdir().unwrap();
    let theirs = Journal::open(state.path(), "test", "ada", Some(b"one key for all consoles")).unwrap();
    let mine = Journal::open(state.path(), "test", "eve", Some(b"one key for all consoles")).unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let opened = |run| Entry::RunOpened { run, procedure: "failed-webhook".into() };
    let attempt = |run| Attempt { run, step: "resend-evt_1".into(), attempt: 1 };
    let intended = |run| Entry::Intended { attempt: attempt(run), command: "resend-event".into(), key: "nd-1".into() };
    let (unfinished, handed_over, oldest) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for run in [unfinished, handed_over, oldest] {
        for entry in [opened(run), intended(run)] {
            theirs.append(None, entry, Detail::none()).await.unwrap();
        }
    }
    for (run, how) in [(handed_over, Closed::HandedOver), (oldest, Closed::Done)] {
        theirs.append(None, Entry::RunClosed { run, how }, Detail::none()).await.unwrap();
    }
    for _ in 0..20 {
        let run = Uuid::now_v7();
        for entry in [opened(run), Entry::RunClosed { run, how: Closed::Done }] {
            theirs.append(None, entry, Detail::none()).await.unwrap();
        }
    }
    ship(&theirs, &store).await.unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let noise = "SELECT nightdesk.audit_append(jsonb_build_object('environment', 'test', 'operator', 'zoe', 'chain', $1, 'seq', n)::text) \
                 FROM generate_series(1, 2500) AS n";
    sqlx::query(noise).bind(Uuid::now_v7().to_string()).execute(&admin).await.unwrap();
    let runs = team_runs(&mine, &store).await.unwrap();
    let of = |run| runs.iter().find(|r| r.run == run).map(|r| (r.state, r.sent().collect::<Vec<_>>()));
    assert_eq!(of(unfinished), Some((RunState::Unknown, vec!["resend-evt_1"])));
    assert_eq!(of(handed_over), Some((RunState::Closed(Closed::HandedOver), vec!["resend-evt_1"])));
    assert_eq!((of(oldest), runs.len()), (None, 22), "of those that ended well the newest twenty");
    assert!(team_runs(&theirs, &store).await.unwrap().is_empty(), "of others");
}
