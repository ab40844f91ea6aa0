//! Counters through the engine: reset, proven, given back; unanswered resets settled by reading and never repeated.

use crate::world::{Driver, Manner, World, subject};
use nightdesk::domain::facts::Handle;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::record::{Closed, RunState};
use nightdesk::protocol::run::{Features, Inputs};
use uuid::Uuid;

fn inputs(features: Features) -> Inputs {
    Inputs { features: Some(features), ..Inputs::of(Handle::Subject(subject())) }
}

fn one() -> Inputs {
    inputs(Features::These(vec!["searches".into()]))
}

#[tokio::test]
async fn a_reset_is_proven_and_given_back_where_nobody_has_counted_since() {
    for (inputs, left) in [(inputs(Features::All), 0), (one(), 100)] {
        let state = tempfile::tempdir().unwrap();
        let mut desk = Driver::draft_of("quota-reset", World::spent().shared(), state.path(), inputs).await;
        desk.confirm().await;
        assert!(matches!(&desk.run.phase, Phase::Done(say) if say.contains("searches 0 of 100")), "{:?}", desk.run.phase);
        assert_eq!(desk.world().counter("exports").used, left);
        assert_eq!(desk.world().counter("seats").used, 100, "a stock");
        let (run, effects) = desk.run.undo(Uuid::now_v7(), desk.now).expect("it can be undone");
        desk.run = run;
        desk.go(effects).await;
        desk.confirm().await;
        assert!(matches!(&desk.run.phase, Phase::Done(say) if say.starts_with("Taken back")), "{:?}", desk.run.phase);
        assert_eq!(desk.world().counter("searches").used, 100);
        assert_eq!(desk.world().counter("exports").used, 100);
    }
}

#[tokio::test]
async fn a_count_since_the_reset_is_kept() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = Driver::draft_of("quota-reset", World::spent().shared(), state.path(), one()).await;
    desk.confirm().await;
    let reset = desk.run.clone();
    // Also where by now more is used than was before the reset: what nobody gave back was not taken back.
    for used in [3, 100, 112] {
        desk.world().counter("searches").used = used;
        let (run, effects) = reset.undo(Uuid::now_v7(), desk.now).expect("it is offered");
        desk.run = run;
        desk.go(effects).await;
        let why = format!("used {used} since the reset");
        assert!(matches!(&desk.run.phase, Phase::Halted(say) if say.contains(&why)), "{:?}", desk.run.phase);
    }
}

#[tokio::test]
async fn an_unanswered_reset_is_read_back_and_not_sent_again() {
    for inputs in [inputs(Features::All), one()] {
        let state = tempfile::tempdir().unwrap();
        let mut desk = Driver::draft_of("quota-reset", World::spent().shared(), state.path(), inputs).await;
        desk.world().manner = Manner::DoesAndIsSilent;
        desk.confirm().await;
        assert!(matches!(desk.run.phase, Phase::Done(_)), "{:?}", desk.run.phase);
        assert_eq!(desk.counts(), (1, 1));
    }
}

#[tokio::test]
async fn a_lost_reset_is_repeated_only_where_it_certainly_did_not_happen() {
    let state = tempfile::tempdir().unwrap();
    let mut desk = Driver::draft_of("quota-reset", World::spent().shared(), state.path(), one()).await;
    desk.world().manner = Manner::LosesIt;
    desk.confirm().await;
    assert_eq!(desk.run.phase, Phase::Review, "compare-and-set that did not happen comes back for review");
    desk.world().manner = Manner::Answers;
    desk.confirm().await;
    assert!(matches!(desk.run.phase, Phase::Done(_)), "{:?}", desk.run.phase);

    let state = tempfile::tempdir().unwrap();
    let mut desk = Driver::draft_of("quota-reset", World::spent().shared(), state.path(), inputs(Features::All)).await;
    desk.world().manner = Manner::LosesIt;
    desk.confirm().await;
    assert!(
        matches!(&desk.run.phase, Phase::Unknown(say) if say.contains("Nobody knows whether the reset happened")),
        "{:?}",
        desk.run.phase
    );
    assert_eq!(desk.counts(), (0, 1));
}

#[tokio::test]
async fn a_run_whose_process_died_looks_first() {
    for done in [true, false] {
        let state = tempfile::tempdir().unwrap();
        let world = World::spent().shared();
        let mut desk = Driver::draft_of("quota-reset", world.clone(), state.path(), inputs(Features::All)).await;
        desk.world().manner = if done { Manner::DoesAndFalls } else { Manner::LosesIt };
        let effects = desk.run.confirm("", desk.now).expect("a plan");
        desk.go_for(effects, 0).await;
        let summary = desk.journal.runs().await.unwrap().remove(0);
        assert_eq!(summary.state, RunState::Unknown);
        drop(desk);
        // Somebody counts on meanwhile, and the machine comes back.
        if done {
            world.lock().unwrap().counter("searches").used = 2;
        }
        world.lock().unwrap().manner = Manner::Answers;
        world.lock().unwrap().down.clear();
        let (run, effects) = Run::resume(&summary);
        let mut desk = Driver::with(world, state.path(), run);
        desk.go(effects).await;
        if done {
            assert!(matches!(&desk.run.phase, Phase::Done(say) if say.contains("searches 2 of 100")), "{:?}", desk.run.phase);
            assert_eq!(desk.journal.runs().await.unwrap()[0].state, RunState::Closed(Closed::Done));
        } else {
            assert!(matches!(desk.run.phase, Phase::Unknown(_)), "{:?}", desk.run.phase);
        }
        assert_eq!(desk.counts().1, 1, "nothing is sent twice");
    }
}
