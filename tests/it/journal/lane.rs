//! Locks on runs, and the lane every write goes through.

use super::*;
use crate::procedures::planned;
use crate::world::{Driver, Manner, World, by_customer, subject};
use chrono::Utc;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::SubjectKey;
use nightdesk::gateway::gate::Gate;
use nightdesk::gateway::journal::JournalError;
use nightdesk::gateway::writes::{Performer, WriteLane};
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::gate::Permit;
use nightdesk::protocol::record::{Concluded, Detail, Entry, OpenedDetail, RunState};
use nightdesk::protocol::run::{Attempt, Perform};
use std::fs;
use std::sync::Arc;
use tempfile::tempdir;
use uuid::Uuid;

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
    let detail = OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: plan.who.clone(), undoes: None };
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

/// Whoever carries out breaks off in the middle.
struct Breaks;

impl Performer for Breaks {
    async fn perform(&self, _: &Permit, _: &str) -> Outcome {
        panic!("in the middle of it")
    }
}

#[tokio::test]
async fn a_write_that_breaks_off_is_unknown_unrecorded_and_over() {
    let state = tempdir().unwrap();
    let command = planned(&mut World::missed(), &by_customer()).expect("a plan").commands()[0].clone();
    let gate = Arc::new(Gate::new(false));
    gate.account_known(false);
    gate.turn_on("ticket 4411", Utc::now()).expect("test mode");
    let lane = WriteLane::new(gate, journal(state.path()), None, Breaks);
    let run = Uuid::now_v7();
    let detail = OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None };
    lane.open_run(run, "tier-update", Detail::of(&detail)).await.unwrap();
    let attempt = Attempt { run, step: "apply".into(), attempt: 1 };
    let perform = |attempt| Perform { attempt, command: command.clone(), undo: None, confirmed_at: Utc::now() };
    let performed = lane.perform(perform(attempt.clone())).await;
    assert!(matches!(performed.outcome, Outcome::Unknown(_)), "{performed:?}");
    assert!(performed.unrecorded.is_some(), "nobody has journaled how it ended");
    assert!(lane.settle(std::time::Duration::from_secs(1)).await, "nothing is under way any more");
    let second = lane.perform(perform(Attempt { attempt: 2, ..attempt })).await.outcome;
    assert!(matches!(&second, Outcome::NotDone(f) if f.say.contains("may have happened")), "{second:?}");
}
