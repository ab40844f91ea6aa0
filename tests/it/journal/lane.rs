//! Locks on runs, and the lane every write goes through.

use super::*;
use crate::bench;
use crate::procedures::planned;
use crate::world::{Driver, Manner, World, by_customer, subject};
use chrono::Utc;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::SubjectKey;
use nightdesk::domain::policy::Writes;
use nightdesk::gateway::gate::Gate;
use nightdesk::gateway::journal::JournalError;
use nightdesk::gateway::writes::{Performer, WriteLane};
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::gate::Permit;
use nightdesk::protocol::record::{AttestedDetail, Closed, Concluded, Detail, Entry, OpenedDetail, RunState};
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

/// Whoever opens the chain's file finds something else there, until it is put back.
struct Blocked(std::path::PathBuf);

impl Blocked {
    fn of(chain: &Path) -> Self {
        fs::rename(chain, chain.with_extension("aside")).unwrap();
        fs::create_dir(chain).unwrap();
        Self(chain.to_path_buf())
    }

    fn give_back(self) {
        fs::remove_dir(&self.0).unwrap();
        fs::rename(self.0.with_extension("aside"), &self.0).unwrap();
    }
}

fn opened() -> Detail {
    Detail::of(&OpenedDetail { inputs: by_customer(), subject: Some(subject()), who: "j".into(), undoes: None })
}

fn lane(state: &Path) -> (WriteLane<crate::world::InMemory>, Arc<Gate>) {
    let gate = Arc::new(Gate::new(false));
    gate.account_known(false);
    let world = crate::world::InMemory(World::missed().shared());
    (WriteLane::new(Arc::clone(&gate), journal(state), None, world), gate)
}

#[tokio::test]
async fn an_end_that_cannot_be_journaled_keeps_nobody_out_and_is_journaled_later() {
    let state = tempdir().unwrap();
    let (lane, _) = lane(state.path());
    let mut notes = lane.notes();
    let (run, other) = (Uuid::now_v7(), Uuid::now_v7());
    lane.open_run(run, "tier-update", opened()).await.unwrap();
    let attempt = Attempt { run, step: "apply".into(), attempt: 1 };
    let blocked = Blocked::of(&place(state.path(), "journal.jsonl"));
    let concluded = Entry::Concluded { attempt, result: Concluded::Done };
    lane.record(Some(run), concluded, Detail::none()).await.expect_err("no journal");
    let closed = Entry::RunClosed { run, how: Closed::Done };
    lane.record(Some(run), closed.clone(), Detail::none()).await.expect_err("no journal");
    let (of, say) = notes.recv().await.unwrap();
    assert!(of == run && say.starts_with("unrecorded: its end could not be journaled"), "{say}");
    let held = journal(state.path()).hold(other, Some(&subject())).await.expect("nobody is in the way");
    held.release();
    blocked.give_back();
    assert!(notes.recv().await.unwrap().1.contains("journaled by now"));
    let recorded: Vec<Entry> = journal(state.path()).recorded(run).await.unwrap().into_iter().map(|r| r.entry).collect();
    assert!(matches!(&recorded[..], [_, Entry::Concluded { .. }, last] if *last == closed), "in their order, once: {recorded:?}");
    lane.open_run(other, "tier-update", opened()).await.expect("the next run of the customer");
}

#[tokio::test]
async fn what_ended_unrecorded_is_no_run_that_was_left() {
    let state = tempdir().unwrap();
    let (lane, _) = lane(state.path());
    let (run, next) = (Uuid::now_v7(), Uuid::now_v7());
    let many = Detail::of(&OpenedDetail { inputs: by_customer(), subject: None, who: "2 customers".into(), undoes: None });
    lane.open_run(run, "failed-webhook", many.clone()).await.unwrap();
    let attempt = Attempt { run, step: "apply-1".into(), attempt: 1 };
    lane.record(Some(run), Entry::Concluded { attempt, result: Concluded::Done }, Detail::none()).await.unwrap();
    let blocked = Blocked::of(&place(state.path(), "journal.jsonl"));
    lane.record(Some(run), Entry::RunClosed { run, how: Closed::Done }, Detail::none()).await.expect_err("no journal");
    blocked.give_back();
    lane.open_run(next, "failed-webhook", many).await.expect("it ended");
}

#[tokio::test]
async fn writes_are_on_only_once_that_is_journaled() {
    let state = tempdir().unwrap();
    let (lane, gate) = lane(state.path());
    lane.turn_off().await.unwrap();
    let chain = fs::File::open(place(state.path(), "journal.jsonl")).unwrap();
    chain.lock().unwrap();
    let turning = tokio::spawn({
        let lane = lane.clone();
        async move { lane.turn_on("ticket 4411", Utc::now()).await }
    });
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(300) {
        assert_eq!(gate.writes(Utc::now()), Writes::Off, "nothing says so yet");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    chain.unlock().unwrap();
    let on = turning.await.unwrap().unwrap();
    assert_eq!(gate.writes(Utc::now()), on);
    lane.turn_off().await.unwrap();
    let blocked = Blocked::of(&place(state.path(), "journal.jsonl"));
    lane.turn_on("ticket 4411", Utc::now()).await.expect_err("no journal");
    assert_eq!(gate.writes(Utc::now()), Writes::Off);
    blocked.give_back();
}

#[tokio::test]
async fn what_is_typed_reaches_the_journal_without_addresses() {
    let state = tempdir().unwrap();
    let (lane, _) = lane(state.path());
    let typed = "jane.doe@acme.com\x1b[31m asked";
    let on = lane.turn_on(typed, Utc::now()).await.unwrap();
    assert!(matches!(&on, Writes::On { reason, .. } if !reason.contains("jane") && reason.contains("asked")), "{on:?}");
    lane.reveal(None, Detail(serde_json::json!({ "reason": typed, "screen": "customer" }))).await.unwrap();
    let run = Uuid::now_v7();
    lane.open_run(run, "tier-update", opened()).await.unwrap();
    let words = Detail::of(&AttestedDetail { words: typed.into() });
    lane.record(Some(run), Entry::Attested { run, step: "restart".into() }, words).await.unwrap();
    lane.record(Some(run), Entry::RunClosed { run, how: Closed::Done }, Detail::none()).await.unwrap();
    let left = Uuid::now_v7();
    lane.open_run(left, "tier-update", opened()).await.unwrap();
    drop(lane);
    bench::until("its locks are gone", async || !journal(state.path()).runs().await.unwrap()[0].held).await;
    let (lane, _) = self::lane(state.path());
    lane.give_up_run(left, false, typed).await.unwrap();
    let kept = fs::read_to_string(place(state.path(), "payloads.jsonl")).unwrap();
    assert_eq!(kept.matches("j•••@a•••.com").count(), 4, "{kept}");
    assert!(!kept.contains("jane.doe") && !kept.contains("\\u001b"), "{kept}");
    assert!(kept.contains("customer"), "what nobody typed is as it was: {kept}");
}
