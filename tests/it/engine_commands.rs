//! Configured commands through the engine: a restart that fails, one that does not help, and what the journal says of each.

use crate::world::{Driver, World, answers};
use chrono::Duration;
use nightdesk::domain::webhooks::probe::Came;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::record::{Closed, Entry, RunState};
use nightdesk::protocol::run::Inputs;
use std::path::Path;
use tempfile::tempdir;

/// An event without its effect, nobody who listens, and this for a restart; asked about the probe, and reviewed.
async fn down(hook: &'static str, state: &Path) -> Driver {
    let mut world = World::missed();
    (world.endpoint, world.hook) = (Came::Refused, hook);
    let mut desk = Driver::draft_of("endpoint-down", world.shared(), state, Inputs::default()).await;
    desk.env.offers.restart_app = true;
    desk.decide(0).await;
    assert_eq!(desk.run.phase, Phase::Review);
    desk
}

async fn restart(desk: &mut Driver, seconds: u32) {
    let effects = desk.run.confirm("restart", desk.now).expect("a restart is under review");
    desk.go_for(effects, seconds).await;
}

/// So many seconds more.
async fn later(desk: &mut Driver, seconds: u32) {
    desk.now += Duration::seconds(1);
    let effects = desk.run.ticked(desk.now);
    desk.go_for(effects, seconds).await;
}

fn verified(desk: &Driver) -> Vec<(&str, bool)> {
    let of = |e: &'_ Effect| matches!(e, Effect::Record { entry: Entry::Verified { .. }, .. });
    let told = |e| match e {
        &Effect::Record { entry: Entry::Verified { ref step, holds, .. }, .. } => (step.as_str(), holds),
        other => panic!("{other:?}"),
    };
    desk.done.iter().filter(|e| of(e)).map(told).collect()
}

#[tokio::test]
async fn of_a_restart_that_failed_nobody_says_that_it_was_done() {
    let state = tempdir().unwrap();
    let mut desk = down("echo no such unit; exit 1", state.path()).await;
    restart(&mut desk, 20).await;
    let Phase::Unknown(say) = &desk.run.phase else { panic!("{:?}", desk.run.phase) };
    assert!(say.contains("Nobody knows how far it came") && say.contains("exit status: 1") && say.contains("no such unit"), "{say}");
    assert!(!say.contains("The row"), "a command has none: {say}");
    later(&mut desk, 85).await;
    assert!(matches!(desk.run.phase, Phase::Unknown(_)), "an application takes its time to start: {:?}", desk.run.phase);
    later(&mut desk, 30).await;
    // It has had its time: now somebody has to look, and what it said is still there.
    assert_eq!(desk.run.phase, Phase::Review);
    let note = desk.run.note.clone().unwrap_or_default();
    assert!(note.contains("exit status: 1") && note.contains("no such unit"), "{note}");
    let step = desk.run.plan.as_ref().and_then(|p| p.next_manual()).expect("a step by hand").clone();
    assert!(step.id == "restarted" && step.say.starts_with("Nobody knows whether it restarted"), "{step:?}");
    assert!(desk.run.plan.as_ref().unwrap().commands().is_empty(), "it is not run twice");
    assert_eq!(verified(&desk), [], "nothing is proven");

    // Said to be up, and still down: asked again.
    let effects = desk.run.attest("its pods are new", desk.now).expect("a step by hand");
    desk.go(effects).await;
    assert_eq!(desk.run.plan.as_ref().and_then(|p| p.next_manual()).map(|s| s.id.as_str()), Some("restarted"));
    desk.world().endpoint = answers(400);
    let effects = desk.run.attest("restarted by hand", desk.now).expect("a step by hand");
    desk.go(effects).await;
    assert_eq!(desk.run.phase, Phase::Review);
    assert!(!desk.run.plan.as_ref().unwrap().commands().is_empty(), "the backfill: {:?}", desk.run.plan);
    let summary = desk.journal.runs().await.unwrap().remove(0);
    assert_eq!((summary.state, summary.attempts.len()), (RunState::Unknown, 1));
}

#[tokio::test]
async fn an_application_that_comes_up_after_a_failed_restart_is_seen() {
    let state = tempdir().unwrap();
    let mut desk = down("echo timed out; exit 1", state.path()).await;
    restart(&mut desk, 30).await;
    desk.world().endpoint = answers(400);
    later(&mut desk, 10).await;
    assert_eq!(desk.run.phase, Phase::Review, "the backfill");
    assert!(desk.run.note.as_deref().is_some_and(|n| n.contains("timed out")), "{:?}", desk.run.note);
    assert_eq!(verified(&desk), [], "it may have come up by itself");
    assert!(desk.run.is_open());
}

#[tokio::test]
async fn a_failed_restart_is_looked_at_by_whoever_takes_the_run_up_later() {
    let state = tempdir().unwrap();
    let mut desk = down("echo no such unit; exit 1", state.path()).await;
    restart(&mut desk, 20).await;
    let (world, now) = (desk.world.clone(), desk.now);
    drop(desk);
    let journal = crate::journal::journal(state.path());
    let (run, effects) = Run::resume(&journal.runs().await.unwrap().remove(0));
    let mut desk = Driver::with(world, state.path(), run);
    desk.env.offers.restart_app = true;
    desk.now = now + Duration::minutes(10);
    desk.go(effects).await;
    assert_eq!(desk.run.phase, Phase::Review);
    assert_eq!(desk.run.plan.as_ref().and_then(|p| p.next_manual()).map(|s| s.id.as_str()), Some("restarted"));
    let note = desk.run.note.clone().unwrap_or_default();
    assert!(note.contains("exit status: 1") && note.contains("no such unit"), "what it said is there for the next one too: {note}");
    let summary = desk.journal.runs().await.unwrap().remove(0);
    let said = summary.attempts.last().and_then(|(_, outcome)| outcome.clone());
    assert!(
        matches!(&said, Some(Outcome::Done { note, .. }) if note.contains("counts as sent") && note.contains("no such unit")),
        "and in the outcome: {said:?}"
    );
}

#[tokio::test]
async fn a_restart_that_does_not_help_is_journaled_by_its_own_name() {
    let state = tempdir().unwrap();
    let mut desk = down("echo restarted", state.path()).await;
    restart(&mut desk, 125).await;
    let Phase::Halted(say) = &desk.run.phase else { panic!("{:?}", desk.run.phase) };
    assert!(say.starts_with("It was answered as done, and this still remains: Restart the application"), "{say}");
    assert_eq!(verified(&desk), [("restart", false)], "it has no row, and nobody asked what is enforced");
    assert_eq!(desk.journal.runs().await.unwrap()[0].state, RunState::Closed(Closed::Halted));
}
