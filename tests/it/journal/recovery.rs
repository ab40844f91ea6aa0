//! Killed at any record, a run ends in exactly one effect.

use super::*;
use crate::world::{Driver, Manner, Shared, World, by_customer, subject};
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::record::{Closed, RunState};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

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
