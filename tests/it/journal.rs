//! The journal: the chain, what breaks it and what must not, locks, recovery from every prefix, and the shared store.

use crate::bench;
use crate::world::{Driver, Manner, Shared, World, by_customer, subject};
use chrono::Utc;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::SubjectKey;
use nightdesk::gateway::gate::Gate;
use nightdesk::gateway::journal::store::{Store, migrate};
use nightdesk::gateway::journal::{Journal, JournalError, Shipped, Shipping, ship};
use nightdesk::gateway::writes::WriteLane;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::record::{Closed, Concluded, Detail, Entry, OpenedDetail, RunState};
use nightdesk::protocol::run::{Attempt, Perform};
use nightdesk::sandbox::cluster::SUPERUSER;
use nightdesk::sandbox::schema::{Shape, roles};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn journal(state: &Path) -> Journal {
    Journal::open(state, "test", "ada", None).expect("a journal")
}

fn place(state: &Path, file: &str) -> PathBuf {
    state.join("test/ada").join(file)
}

async fn with_records(count: usize) -> (TempDir, Journal) {
    let state = tempdir().unwrap();
    let journal = journal(state.path());
    for n in 0..count {
        let detail = Detail(json!({ "reason": format!("jane@acme.com {n}") }));
        journal.append(Some(&subject()), Entry::Revealed, detail).await.unwrap();
    }
    (state, journal)
}

async fn broken(journal: &Journal) -> String {
    let found = journal.verify().await.unwrap();
    found.broken.map(|b| format!("{}: {}", b.line, b.what)).expect("it is broken")
}

fn edit(path: &Path, change: impl FnOnce(Vec<String>) -> Vec<String>) {
    let lines = fs::read_to_string(path).unwrap().lines().map(String::from).collect();
    let text: String = change(lines).iter().flat_map(|l| [l.as_str(), "\n"]).collect();
    fs::write(path, text).unwrap();
}

// -- the chain

#[tokio::test]
async fn a_chain_is_whole_private_and_names_nobody() {
    let (state, journal) = with_records(5).await;
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.removed, found.is_ok()), (5, 0, true));
    assert_eq!(found.head, journal.head().await.unwrap());
    let chain = fs::read_to_string(place(state.path(), "journal.jsonl")).unwrap();
    assert!(!chain.contains("jane") && !chain.contains(subject().as_str()), "whom it is about stands beside the chain only");
    assert!(fs::read_to_string(place(state.path(), "payloads.jsonl")).unwrap().contains("jane"));
    for file in ["journal.jsonl", "payloads.jsonl", "anchor.json"] {
        assert_eq!(fs::metadata(place(state.path(), file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(place(state.path(), "")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    type Tamper = fn(Vec<String>) -> Vec<String>;
    let cases: [(&str, Tamper); 5] = [
        ("3: its content does not match", |mut l| {
            l[2] = l[2].replace("ada", "eve");
            l
        }),
        ("2: record 3 stands where 2 is due", |mut l| {
            l.remove(1);
            l
        }),
        ("3: record 4 stands where 3 is due", |mut l| {
            l.swap(2, 3);
            l
        }),
        ("0: record 5, which was seen here before", |mut l| {
            l.truncate(3);
            l
        }),
        ("4: it does not end in a hash", |mut l| {
            l[3] = "{}".into();
            l
        }),
    ];
    for (what, tamper) in cases {
        let (state, journal) = with_records(5).await;
        edit(&place(state.path(), "journal.jsonl"), tamper);
        let said = broken(&journal).await;
        assert!(said.starts_with(what), "{what}: {said}");
    }
    let (state, journal) = with_records(5).await;
    edit(&place(state.path(), "payloads.jsonl"), |l| l.iter().map(|l| l.replace("acme.com 2", "acme.com 9")).collect());
    assert!(broken(&journal).await.starts_with("3: what stands beside record 3 was altered"));
}

#[tokio::test]
async fn going_on_does_not_cover_up_a_cut() {
    let (state, journal) = with_records(5).await;
    edit(&place(state.path(), "journal.jsonl"), |mut l| {
        l.truncate(2);
        l
    });
    for _ in 0..6 {
        journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    }
    assert!(broken(&journal).await.contains("record 5, which was seen here before"));
}

#[tokio::test]
async fn a_torn_line_is_kept_aside_and_the_chain_goes_on() {
    let (state, journal) = with_records(3).await;
    let chain = place(state.path(), "journal.jsonl");
    let whole = fs::read_to_string(&chain).unwrap();
    let third = whole.lines().nth(2).unwrap();
    for torn in [&third[..10], third, "\0\0\0\0"] {
        fs::OpenOptions::new().append(true).open(&chain).unwrap().write_all(torn.as_bytes()).unwrap();
        let before = journal.verify().await.unwrap();
        assert!(before.is_ok(), "what was never finished is no record: {before:?}");
        journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
        let after = journal.verify().await.unwrap();
        assert_eq!((after.is_ok(), after.records), (true, before.records + 1));
    }
    let aside = fs::read_to_string(place(state.path(), "torn.txt")).unwrap();
    assert!(aside.contains("10 bytes torn off") && aside.contains(&third[..10]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_while_it_is_verified_is_not_taken_for_a_cut() {
    let (_state, journal) = with_records(200).await;
    let appending = tokio::spawn({
        let journal = journal.clone();
        async move {
            for _ in 0..300 {
                journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
            }
        }
    });
    let mut verified = 0;
    while !appending.is_finished() {
        let found = journal.verify().await.unwrap();
        assert!(found.is_ok(), "{found:?}");
        verified += 1;
    }
    appending.await.unwrap();
    assert!(verified > 1, "they ran side by side");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_from_everywhere_make_one_chain() {
    let state = tempdir().unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        // Each opens the files by itself, as another process does.
        let journal = journal(state.path());
        tasks.push(tokio::spawn(async move {
            for n in 0..15 {
                journal.append(Some(&subject()), Entry::Revealed, Detail(json!({ "n": n }))).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let found = journal(state.path()).verify().await.unwrap();
    assert_eq!((found.records, found.removed, found.broken), (60, 0, None));
}

#[tokio::test]
async fn forgetting_a_person_breaks_nothing() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::placeholder().shared(), state.path(), by_customer()).await;
    d.confirm().await;
    let other = SubjectKey("somebody-else".into());
    d.journal.append(Some(&other), Entry::Revealed, Detail(json!({ "reason": "ticket" }))).await.unwrap();
    let removed = d.journal.forget(&subject()).await.unwrap();
    assert!(removed >= 4, "{removed}");
    let found = d.journal.verify().await.unwrap();
    assert_eq!((found.is_ok(), usize::try_from(found.removed).unwrap()), (true, removed));
    let run = d.journal.run(d.run.id).await.unwrap().unwrap();
    assert_eq!((run.inputs, run.who, run.subject, run.state), (None, None, None, RunState::Closed(Closed::Done)));
    let payloads = fs::read_to_string(place(state.path(), "payloads.jsonl")).unwrap();
    assert!(!payloads.contains(subject().as_str()) && payloads.contains("ticket"));
}

#[tokio::test]
async fn a_broken_end_is_named_and_forbids_writes() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    edit(&place(state.path(), "journal.jsonl"), |l| l.iter().map(|l| l.replace("ada", "eve")).collect());
    assert!(matches!(d.journal.ready().await, Err(JournalError::Broken { .. })));
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("audit verify")), "{:?}", d.run.note);
    assert_eq!(d.counts(), (0, 0));
}

// -- locks and the lane

#[tokio::test]
async fn an_open_run_is_nobody_elses() {
    let state = tempdir().unwrap();
    let (ours, theirs) = (journal(state.path()), journal(state.path()));
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let held = ours.hold(first, Some(&subject())).await.unwrap();
    assert!(matches!(theirs.hold(first, None).await, Err(JournalError::RunHeld)));
    assert!(matches!(theirs.hold(second, Some(&subject())).await, Err(JournalError::SubjectHeld)));
    let other = theirs.hold(second, Some(&SubjectKey("somebody-else".into()))).await.unwrap();
    other.release();
    drop(held);
    let again = theirs.hold(first, Some(&subject())).await.expect("a lock dies with its holder");
    again.release();
    let left: Vec<_> = fs::read_dir(state.path().join("test/locks")).unwrap().collect();
    assert!(left.is_empty(), "released locks leave no files: {left:?}");
}

#[tokio::test]
async fn recovery_never_takes_a_live_run() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::DoesAndFalls;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    let summary = journal(state.path()).runs().await.unwrap().remove(0);
    assert!(summary.held, "another process sees that it is held");
    assert!(!d.journal.runs().await.unwrap()[0].held, "its own process does not");
    let (run, effects) = Run::resume(&summary);
    let mut second = Driver::with(Arc::clone(&d.world), state.path(), run);
    second.go(effects).await;
    assert!(matches!(&second.run.phase, Phase::Halted(say) if say.contains("open in another")), "{:?}", second.run.phase);
    assert_eq!(d.journal.runs().await.unwrap()[0].state, RunState::Unknown, "and it stays open");
}

#[tokio::test]
async fn the_lane_repeats_nothing_that_may_have_happened() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::LosesIt;
    let d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    let plan = d.run.plan.clone().unwrap();
    let command = plan.commands()[0].clone();
    let run = d.run.id;
    let of = |attempt: u32, command: &Command| Perform {
        attempt: Attempt { run, step: "apply".into(), attempt },
        command: command.clone(),
        undo: None,
        confirmed_at: Utc::now(),
    };
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::NotDone(f) if f.kind == FaultKind::Refused);
    assert!(refused(&d.lane.perform(of(1, &command)).await.outcome), "a run that is not open");
    let detail = OpenedDetail { inputs: by_customer(), subject: subject(), who: plan.who.clone(), undoes: None };
    d.lane.open_run(run, "tier-update", Detail::of(&detail)).await.unwrap();
    let intent = Entry::Intended { attempt: of(1, &command).attempt, command: "x".into(), key: "k".into() };
    assert!(d.lane.record(Some(run), intent, Detail::none()).await.is_err(), "an intent by itself");
    assert!(matches!(d.lane.perform(of(1, &command)).await.outcome, Outcome::Unknown(_)));
    assert!(refused(&d.lane.perform(of(1, &command)).await.outcome), "the same try");
    assert!(refused(&d.lane.perform(of(2, &command)).await.outcome), "another while the first is unknown");
    let entry = Entry::Concluded { attempt: of(1, &command).attempt, result: Concluded::NotDone };
    d.lane.record(Some(run), entry, Detail::none()).await.unwrap();
    d.world().manner = Manner::Answers;
    assert!(refused(&d.lane.perform(of(1, &command)).await.outcome), "the number of a try that is over");
    assert!(matches!(d.lane.perform(of(2, &command)).await.outcome, Outcome::Done { .. }));
    assert!(refused(&d.lane.perform(of(3, &command)).await.outcome), "what is done");
    assert_eq!(d.counts(), (1, 2));
    assert!(d.lane.settle(std::time::Duration::from_secs(1)).await);
}

// -- recovery

/// A state directory as a process leaves it that was killed after `count` records.
fn killed_after(count: usize, whole: &Path) -> TempDir {
    let state = tempdir().unwrap();
    drop(journal(state.path()));
    fs::copy(whole.join("subject.key"), state.path().join("subject.key")).unwrap();
    fs::copy(place(whole, "payloads.jsonl"), place(state.path(), "payloads.jsonl")).unwrap();
    fs::copy(place(whole, "journal.jsonl"), place(state.path(), "journal.jsonl")).unwrap();
    edit(&place(state.path(), "journal.jsonl"), |mut l| {
        l.truncate(count);
        l
    });
    state
}

/// Takes up what is unfinished and brings it to its end, confirming where it is asked.
async fn recover(world: &Shared, state: &Path) -> usize {
    let open: Vec<_> = journal(state).runs().await.unwrap().into_iter().filter(|r| !r.is_finished()).collect();
    for summary in &open {
        let (run, effects) = Run::resume(summary);
        let mut d = Driver::with(Arc::clone(world), state, run);
        d.go(effects).await;
        if d.run.phase == Phase::Review {
            d.confirm().await;
        }
        assert!(matches!(d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    }
    open.len()
}

#[tokio::test]
async fn killed_at_any_record_it_ends_in_exactly_one_effect() {
    for make in [World::placeholder as fn() -> World, World::missed] {
        let whole = tempdir().unwrap();
        let mut d = Driver::draft(make().shared(), whole.path(), by_customer()).await;
        d.confirm().await;
        let chain = fs::read_to_string(place(whole.path(), "journal.jsonl")).unwrap();
        let entries: Vec<_> =
            chain.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["entry"]["entry"].clone()).collect();
        assert_eq!(entries, ["run-opened", "confirmed", "intended", "concluded", "verified", "verified", "run-closed"]);
        let mut killed = 0;
        for count in 1..=entries.len() {
            // Killed between the intent and its outcome, the write may have happened or not.
            let happened: &[bool] = match count {
                0..=2 => &[false],
                3 => &[false, true],
                _ => &[true],
            };
            for happened in happened {
                let state = killed_after(count, whole.path());
                let world = if *happened { Arc::clone(&d.world) } else { make().shared() };
                let open = recover(&world, state.path()).await;
                assert_eq!(open, usize::from(count < entries.len()), "after {count} records");
                assert_eq!(world.lock().unwrap().writes, 1, "after {count} records, happened: {happened}");
                let journal = journal(state.path());
                assert!(journal.verify().await.unwrap().is_ok());
                assert_eq!(journal.runs().await.unwrap()[0].state, RunState::Closed(Closed::Done));
                assert_eq!(recover(&world, state.path()).await, 0, "nothing is left to take up");
                killed += 1;
            }
        }
        assert_eq!(killed, 8);
    }
}

#[tokio::test]
async fn an_undo_survives_its_process_too() {
    let whole = tempdir().unwrap();
    let before = World::placeholder().image().clone();
    let mut d = Driver::draft(World::placeholder().shared(), whole.path(), by_customer()).await;
    d.confirm().await;
    let repaired = d.world().image().clone();
    let opened = fs::read_to_string(place(whole.path(), "journal.jsonl")).unwrap().lines().count();
    let (undo, effects) = d.run.undo(Uuid::now_v7(), d.now).unwrap();
    d.run = undo;
    d.go(effects).await;
    d.confirm().await;
    let all = fs::read_to_string(place(whole.path(), "journal.jsonl")).unwrap().lines().count();
    // The last record only notes at the first run that it was taken back.
    for count in opened + 1..all - 1 {
        let state = killed_after(count, whole.path());
        let mut world = World::placeholder();
        world.records[0].row.as_mut().unwrap().image = repaired.clone();
        let world = world.shared();
        if count >= opened + 4 {
            world.lock().unwrap().records[0].row.as_mut().unwrap().image = before.clone();
        }
        assert_eq!(recover(&world, state.path()).await, 1, "after {count} of {all} records");
        let mut after = world.lock().unwrap().image().clone();
        let updated = nightdesk::domain::row::Field::UpdatedAt;
        after.insert(updated, before[&updated].clone());
        assert_eq!(after, before);
        assert!(world.lock().unwrap().writes <= 1);
        let closed: Vec<_> = journal(state.path()).runs().await.unwrap().iter().map(|r| r.state).collect();
        assert!(closed.contains(&RunState::Closed(Closed::Undone)) && closed.contains(&RunState::Closed(Closed::Done)), "{closed:?}");
    }
}

#[tokio::test]
async fn without_its_payload_a_run_is_not_guessed_at() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::DoesAndFalls;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    d.journal.forget(&subject()).await.unwrap();
    let summary = d.journal.runs().await.unwrap().remove(0);
    let (run, effects) = Run::resume(&summary);
    assert!(effects.is_empty());
    assert!(matches!(&run.phase, Phase::Halted(say) if say.contains("removed")), "{:?}", run.phase);
}

// -- the shared store

/// A database of the test's own, as two roles see it.
struct Database {
    console: String,
    superuser: String,
    _dropped: bench::DropDatabase,
}

async fn database() -> Database {
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
    assert_eq!(migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap(), 1);
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
    holding.rollback().await.unwrap();
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
    let detail = Detail::of(&OpenedDetail { inputs: by_customer(), subject: subject(), who: "j".into(), undoes: None });
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    ada.open_run(first, "tier-update", detail.clone()).await.unwrap();
    let fault = eve.open_run(second, "tier-update", detail.clone()).await.unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.say.contains("ada"), "{fault}");
    ada.record(Some(first), Entry::RunClosed { run: first, how: Closed::Abandoned }, Detail::none()).await.unwrap();
    eve.open_run(second, "tier-update", detail).await.expect("its lease was given back");
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
    let detail = Detail::of(&OpenedDetail { inputs: by_customer(), subject: subject(), who: "j".into(), undoes: None });
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
