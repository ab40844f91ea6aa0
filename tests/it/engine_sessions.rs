//! Sessions through the engine: one ended, looked at, then the rest; settings asked about, watched; a signal that nobody answered for is never repeated.

use crate::made;
use crate::world::{Driver, Manner, Shared, World};
use chrono::Duration;
use nightdesk::domain::fault::Source;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::query::Query;
use nightdesk::protocol::record::{Closed, Detail, Entry, IntendedDetail, OpenedDetail, RunState};
use nightdesk::protocol::run::Inputs;
use std::path::Path;

async fn draft(world: Shared, state: &Path) -> Driver {
    Driver::draft_of("pool-exhausted", world, state, Inputs::default()).await
}

async fn confirm(desk: &mut Driver, typed: &str) {
    let effects = desk.run.confirm(typed, desk.now).expect("a plan is under review");
    desk.go(effects).await;
}

/// Another process takes the run up, a while later.
async fn taken_up(desk: Driver, seconds: i64, state: &Path) -> Driver {
    let (world, id, now) = (desk.world.clone(), desk.run.id, desk.now);
    drop(desk);
    let journal = nightdesk::gateway::journal::Journal::open(state, "test", "ada", None).unwrap();
    let summary = journal.runs().await.unwrap().into_iter().find(|r| r.run == id).expect("it is in the journal");
    let (run, effects) = Run::resume(&summary);
    let mut desk = Driver::with(world, state, run);
    desk.now = now + Duration::seconds(seconds);
    desk.go(effects).await;
    desk
}

fn signals(desk: &Driver) -> u32 {
    desk.counts().1
}

fn state_of(desk: &Driver) -> &Phase {
    &desk.run.phase
}

#[tokio::test]
async fn one_is_ended_and_looked_at_then_the_rest_and_it_is_watched_for_ten_minutes() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    assert!(desk.run.confirm("2", desk.now).is_err(), "the count is three");
    confirm(&mut desk, "3").await;
    // After the first signal it looks, and only then come the others.
    let begun = desk.done.iter().position(|e| matches!(e, Effect::Perform(_))).expect("a signal");
    let next = desk.done[begun + 1..].iter().position(|e| matches!(e, Effect::Perform(_))).expect("another") + begun + 1;
    let looks = desk.done[begun..next].iter().filter(|e| matches!(e, Effect::Read { query: Query::Activity, .. })).count();
    assert_eq!(looks, 1, "{:?}", &desk.done[begun..next]);
    assert!(
        matches!(&desk.done[begun], Effect::Perform(p) if matches!(&p.command, Command::EndSession { session, .. } if session.pid == 2))
    );
    assert_eq!((signals(&desk), desk.world().pids()), (3, vec![100, 101, 11, 12, 13]), "who waited lives");
    assert!(matches!(state_of(&desk), Phase::Deciding(d) if d.question.starts_with("Nobody waits")), "{:?}", state_of(&desk));
    assert_eq!(desk.run.note.as_deref(), Some("3 of 3 sessions let go."));

    desk.decide(0).await;
    // The clock of the driver stops after two minutes of waiting.
    assert!(desk.run.is_watching(), "{:?}", state_of(&desk));
    desk.go_for(Vec::new(), 600).await;
    assert!(matches!(state_of(&desk), Phase::Done(say) if say.contains("watched for 10 minutes")), "{:?}", state_of(&desk));
    assert_eq!(signals(&desk), 3);
    let runs = desk.journal.runs().await.unwrap();
    assert_eq!(runs[0].state, RunState::Closed(Closed::Done));
    assert_eq!(runs[0].proven.len(), 3 + 1, "each session, and the waiters: {:?}", runs[0].proven);
}

#[tokio::test]
async fn the_rest_is_left_where_the_first_does_not_go() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    desk.world().manner = Manner::LosesIt;
    confirm(&mut desk, "3").await;
    assert_eq!(signals(&desk), 1);
    assert!(matches!(state_of(&desk), Phase::Halted(say) if say.contains("0 of 3 sessions let go")), "{:?}", state_of(&desk));
}

#[tokio::test]
async fn what_ends_by_itself_in_between_needs_no_signal() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    desk.world().goes_along = Some(1);
    confirm(&mut desk, "3").await;
    assert!(matches!(state_of(&desk), Phase::Deciding(_)), "{:?}", state_of(&desk));
    let note = desk.run.note.clone().unwrap_or_default();
    assert_eq!(note, "3 of 3 sessions let go · 1 had ended or moved on before we came.");
    assert_eq!(desk.world().writes, 2);
}

#[tokio::test]
async fn a_signal_that_nobody_answered_for_is_read_back_after_a_death_and_not_repeated() {
    for manner in [Manner::DoesAndFalls, Manner::LosesIt] {
        let state = tempfile::tempdir().unwrap();
        let mut desk = draft(World::leaking().shared(), state.path()).await;
        desk.world().manner = manner;
        let effects = desk.run.confirm("3", desk.now).expect("a plan is under review");
        desk.go_for(effects, 0).await;
        assert_eq!(signals(&desk), 1, "{manner:?}");
        desk.world().down.remove(&Source::Database);
        desk.world().manner = Manner::Answers;
        let mut desk = taken_up(desk, 1, state.path()).await;
        assert_eq!(signals(&desk), 1, "it only reads: {manner:?}");
        assert_eq!(state_of(&desk), &Phase::Review, "what remains is reviewed: {manner:?}");
        assert_eq!(desk.run.plan.as_ref().and_then(|p| p.typed.as_deref()), Some("2"));
        confirm(&mut desk, "2").await;
        assert_eq!(signals(&desk), 3, "{manner:?}");
        let intents = desk.journal.runs().await.unwrap().remove(0).attempts;
        assert_eq!(intents.len(), 3, "one each: {intents:?}");
        if manner == Manner::LosesIt {
            assert!(desk.world().pids().contains(&2), "whether it was signalled nobody knows: it is left");
            assert!(matches!(state_of(&desk), Phase::Halted(say) if say.contains("still remains: End 1 session")), "{:?}", state_of(&desk));
        } else {
            assert!(matches!(state_of(&desk), Phase::Deciding(_)), "{:?}", state_of(&desk));
        }
    }
}

/// What this run has opened and intended, as it was journaled before signals kept since when their session was as shown.
async fn as_journaled_before(desk: &Driver) -> tempfile::TempDir {
    let summary = desk.journal.runs().await.unwrap().remove(0);
    let state = tempfile::tempdir().unwrap();
    let journal = nightdesk::gateway::journal::Journal::open(state.path(), "test", "ada", None).unwrap();
    let who = summary.who.clone().expect("it is in the payload");
    let opened = OpenedDetail { inputs: summary.inputs.clone().expect("so are they"), subject: None, who, undoes: None };
    let entry = Entry::RunOpened { run: summary.run, procedure: summary.procedure.clone() };
    journal.append(None, entry, Detail::of(&opened)).await.unwrap();
    for ((attempt, _), command) in summary.attempts.iter().zip(&summary.commands) {
        let (command, undo) = command.clone().expect("it is in the payload");
        let entry = Entry::Intended { attempt: attempt.clone(), command: command.name().into(), key: "nd-1".into() };
        let mut detail = Detail::of(&IntendedDetail { command, undo });
        detail.0["command"]["EndSession"].as_object_mut().expect("a signal").remove("since").expect("it is kept by now");
        journal.append(None, entry, detail).await.unwrap();
    }
    state
}

#[tokio::test]
async fn a_run_journaled_before_signals_kept_their_time_is_listed_and_taken_up() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    desk.world().manner = Manner::DoesAndFalls;
    let effects = desk.run.confirm("3", desk.now).expect("a plan is under review");
    desk.go_for(effects, 0).await;
    desk.world().down.remove(&Source::Database);
    desk.world().manner = Manner::Answers;
    let old = as_journaled_before(&desk).await;
    let journal = nightdesk::gateway::journal::Journal::open(old.path(), "test", "ada", None).unwrap();
    let listed = journal.runs().await.unwrap().remove(0);
    assert_eq!((listed.run, listed.state), (desk.run.id, RunState::Unknown));
    let told = listed.commands[0].as_ref().map(|(command, _)| command.clone());
    assert!(matches!(&told, Some(Command::EndSession { session, since: None, .. }) if session.pid == 2), "{told:?}");
    drop(journal);
    let mut desk = taken_up(desk, 1, old.path()).await;
    assert_eq!((signals(&desk), state_of(&desk)), (1, &Phase::Review), "it only reads");
    let settled = desk.journal.runs().await.unwrap().remove(0).attempts.remove(0).1;
    let gone = "read back: the session is gone";
    assert!(matches!(&settled, Some(Outcome::Done { note, .. }) if note == gone), "{settled:?}");
    confirm(&mut desk, "2").await;
    assert_eq!(signals(&desk), 3);
}

#[tokio::test]
async fn a_watch_outlives_its_process_and_asks_nothing_twice() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    confirm(&mut desk, "3").await;
    desk.decide(0).await;
    assert!(desk.run.is_watching());
    let desk = taken_up(desk, 1, state.path()).await;
    assert!(desk.run.is_watching(), "{:?}", state_of(&desk));
    let mut desk = taken_up(desk, 700, state.path()).await;
    assert!(matches!(state_of(&desk), Phase::Done(_)), "{:?}", state_of(&desk));
    assert!(desk.run.leave_watch(desk.now).is_empty());
}

#[tokio::test]
async fn a_watch_can_be_left_and_what_leaks_anew_is_offered_in_it() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    confirm(&mut desk, "3").await;
    desk.decide(0).await;
    desk.world().pool.push(made::leak(chrono::Utc::now(), 7, 14));
    desk.go_for(Vec::new(), 10).await;
    assert_eq!(state_of(&desk), &Phase::Review);
    assert_eq!(desk.run.plan.as_ref().and_then(|p| p.typed.as_deref()), Some("7"), "one is named by its process id");
    confirm(&mut desk, "7").await;
    assert_eq!((signals(&desk), desk.world().pids().contains(&7)), (4, false));
    assert!(desk.run.is_watching(), "the setting was told already: {:?}", state_of(&desk));
    let effects = desk.run.leave_watch(desk.now);
    assert!(effects.iter().any(|e| matches!(e, Effect::Record { entry: Entry::RunClosed { how: Closed::Done, .. }, .. })));
    assert!(matches!(state_of(&desk), Phase::Done(say) if say.contains("4 sessions let go") && say.contains("Not watched to the end")));
}

#[tokio::test]
async fn a_restart_whose_command_failed_is_nobodys_to_prove_until_somebody_says_what_they_saw() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = draft(World::leaking().shared(), state.path()).await;
    desk.env.offers.restart_app = true;
    confirm(&mut desk, "3").await;
    desk.decide(1).await;
    confirm(&mut desk, "restart").await;
    let by_hand = |desk: &Driver| desk.run.plan.as_ref().and_then(|p| p.next_manual()).map(|s| (s.id.clone(), s.say.clone()));
    let unheard = |desk: &Driver| {
        assert_eq!(state_of(desk), &Phase::Review);
        let (id, say) = by_hand(desk).expect("a step by hand");
        assert!(id == "restarted" && say.starts_with("Nobody knows whether it restarted: look"), "{id}: {say}");
    };
    unheard(&desk);
    let note = desk.run.note.clone().unwrap_or_default();
    assert!(note.contains("exit status: 1") && note.contains("no such unit"), "{note}");
    // Whoever takes it up knows no more, and neither runs it again nor believes in it.
    let mut desk = taken_up(desk, 1, state.path()).await;
    desk.env.offers.restart_app = true;
    unheard(&desk);
    let before = desk.journal.runs().await.unwrap().remove(0);
    assert!(!before.proven.iter().any(|p| p.starts_with("restart")), "{:?}", before.proven);
    let effects = desk.run.attest("its pods are new", desk.now).expect("a step by hand");
    desk.go(effects).await;
    assert!(desk.run.is_watching(), "{:?}", state_of(&desk));
    let after = desk.journal.runs().await.unwrap().remove(0);
    assert_eq!(after.attempts.iter().filter(|(a, _)| a.step == "restart").count(), 1);
    assert!(!after.proven.iter().any(|p| p.starts_with("restart")), "{:?}", after.proven);
}
