//! The engine: a tier update played through in a world in memory, with the real lane, gate and journal.

use crate::procedures::planned;
use crate::world::{CUSTOMER, Driver, Manner, World, by_customer, environment, subscription};
use chrono::{Duration, Utc};
use nightdesk::domain::facts::Known;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::row::{Field, Value};
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Writer;
use nightdesk::protocol::query::{Locator, Query};
use nightdesk::protocol::record::{Closed, Concluded, Entry, RunState};
use nightdesk::protocol::run::{StepKind, StepState};
use nightdesk::protocol::ticket::{Slot, Ticket};
use tempfile::tempdir;
use uuid::Uuid;

#[tokio::test]
async fn a_repair_is_reviewed_done_proven_and_taken_back() {
    let state = tempdir().unwrap();
    for world in [World::placeholder(), World::missed()] {
        let before = world.image().clone();
        let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
        assert_eq!(d.run.phase, Phase::Review);
        assert!(!d.done.iter().any(|e| !matches!(e, Effect::Read { .. })), "nothing but reads before the confirmation");
        d.confirm().await;
        assert!(matches!(&d.run.phase, Phase::Done(say) if say.contains("PRO")), "{:?}", d.run.phase);
        assert_eq!(d.counts(), (1, 1));
        assert_eq!(d.world().image()[&Field::Tier], Value::text("PRO"));
        let states: Vec<_> = d.run.plan.as_ref().unwrap().steps.iter().map(|s| s.state.clone()).collect();
        assert!(states.iter().all(|s| *s == StepState::Passed), "{states:?}");

        assert!(d.run.can_undo(d.now) && !d.run.can_undo(d.now + Duration::minutes(11)));
        let repaired = d.run.id;
        let (undo, effects) = d.run.undo(Uuid::now_v7(), d.now).expect("it can be undone");
        d.run = undo;
        d.go(effects).await;
        assert_eq!(d.run.phase, Phase::Review, "an undo is reviewed too");
        d.confirm().await;
        assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
        let mut after = d.world().image().clone();
        after.insert(Field::UpdatedAt, before[&Field::UpdatedAt].clone());
        assert_eq!(after, before);
        let runs = d.journal.runs().await.unwrap();
        let state_of = |run: Uuid| runs.iter().find(|r| r.run == run).map(|r| r.state);
        assert_eq!(state_of(repaired), Some(RunState::Closed(Closed::Undone)));
        assert_eq!(state_of(d.run.id), Some(RunState::Closed(Closed::Done)));
        assert!(!d.run.can_undo(d.now), "an undo is not undone by the same key");
    }
    let journal = nightdesk::gateway::journal::Journal::open(state.path(), "test", "ada", None).unwrap();
    assert!(journal.verify().await.unwrap().is_ok());
}

#[tokio::test]
async fn an_undo_refuses_where_the_row_changed_since() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.confirm().await;
    d.world().set(Field::PeriodEnd, Value::Null);
    let (undo, effects) = d.run.undo(Uuid::now_v7(), d.now).expect("offered");
    d.run = undo;
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Halted(say) if say.contains("changed since") && say.contains("paid until")), "{:?}", d.run.phase);
    assert_eq!(d.world().writes, 1);
}

#[tokio::test]
async fn silence_is_settled_by_reading_and_repeats_nothing() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::DoesAndIsSilent;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.counts(), (1, 1));
    let results: Vec<_> = d.done.iter().filter_map(concluded).collect();
    assert_eq!(results, [Concluded::Done], "read back, and journaled");
    assert!(d.run.can_undo(d.now), "what was settled by reading can be undone");
}

fn concluded(effect: &Effect) -> Option<Concluded> {
    match effect {
        Effect::Record { entry: Entry::Concluded { result, .. }, .. } => Some(*result),
        _ => None,
    }
}

#[tokio::test]
async fn what_was_lost_is_journaled_as_not_done_before_a_second_try() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::LosesIt;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    let confirmed = d.now;
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review, "not repeated by itself");
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("did not happen")), "{:?}", d.run.note);
    assert!((d.now - confirmed).num_seconds() >= 15, "change, open transaction and statement may still take their time at the server");
    assert_eq!(d.done.iter().filter_map(concluded).collect::<Vec<_>>(), [Concluded::NotDone]);
    d.world().manner = Manner::Answers;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.counts(), (1, 2));
    let tries: Vec<_> = d.run.tries.iter().map(|t| t.attempt.attempt).collect();
    assert_eq!(tries, [1, 2]);
}

#[tokio::test]
async fn doubt_lasts_until_the_row_can_be_read() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::DoesAndFalls;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Unknown(say) if say.contains("cannot be read")), "{:?}", d.run.phase);
    assert!(d.run.abandon().is_empty() && d.run.is_open(), "what may have happened is not left");
    assert_eq!(d.journal.runs().await.unwrap()[0].state, RunState::Unknown);
    d.world().down.clear();
    d.now += Duration::seconds(10);
    let effects = d.run.ticked(d.now);
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().sent, 1);
}

#[tokio::test]
async fn a_changed_world_returns_to_the_review() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    let first = d.run.plan.as_ref().unwrap().digest();
    d.world().set(Field::Status, Value::text("trialing"));
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    assert_ne!(d.run.plan.as_ref().unwrap().digest(), first);
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("changed")), "{:?}", d.run.note);
    assert_eq!(d.world().sent, 0);
    assert!(d.journal.runs().await.unwrap().is_empty(), "nothing is journaled");
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
}

#[tokio::test]
async fn what_became_right_by_itself_is_not_written() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    for change in d.run.plan.clone().unwrap().diff {
        d.world().set(change.field, change.to);
    }
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().sent, 0);
    assert!(!d.run.can_undo(d.now), "there is nothing of ours to undo");
}

#[tokio::test]
async fn a_confirmation_is_as_fresh_as_the_facts_that_were_read_after_it() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    // Reading them again takes five minutes.
    let effects = d.run.confirm("", d.now - Duration::minutes(5)).expect("reviewed");
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?} {:?}", d.run.phase, d.run.note);
    assert_eq!(d.counts(), (1, 1));
}

#[tokio::test]
async fn facts_that_cannot_be_read_again_send_nothing() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.world().down.insert(Source::Stripe);
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("Nothing was sent")), "{:?}", d.run.note);
    assert_eq!(d.world().sent, 0);
}

#[tokio::test]
async fn a_slow_app_is_waited_for_and_a_stubborn_one_is_named() {
    let state = tempdir().unwrap();
    let mut world = World::missed();
    world.app_lags = 4;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);

    let mut world = World::missed();
    world.app_insists = Some("FREE".into());
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    assert!(
        matches!(&d.run.phase, Phase::Halted(say) if say.contains("row is right") && say.contains("answers FREE")),
        "{:?}",
        d.run.phase
    );
    assert_eq!(d.world().writes, 1);
    assert!(d.run.can_undo(d.now), "a repair without proof can be taken back");
    let holds: Vec<_> = d.done.iter().filter_map(verified).collect();
    assert_eq!(holds, [("row".to_string(), true), ("entitlement".to_string(), false)]);
}

fn verified(effect: &Effect) -> Option<(String, bool)> {
    match effect {
        Effect::Record { entry: Entry::Verified { step, holds, .. }, .. } => Some((step.clone(), *holds)),
        _ => None,
    }
}

#[tokio::test]
async fn without_an_app_the_proof_by_it_is_skipped_with_the_reason() {
    let state = tempdir().unwrap();
    let (run, effects) = Run::draft(Uuid::now_v7(), "tier-update", by_customer());
    let mut d = Driver::with(World::missed().shared(), state.path(), run);
    d.env.set_up.remove(&Source::Application);
    d.world().down.insert(Source::Application);
    d.go(effects).await;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    let app = d.run.plan.as_ref().unwrap().steps.last().unwrap().clone();
    assert!(matches!(&app.state, StepState::Skipped(why) if why.contains("not set up")), "{app:?}");
    assert_eq!(d.done.iter().filter_map(verified).collect::<Vec<_>>(), [("row".to_string(), true)]);
}

#[tokio::test]
async fn writes_that_are_off_return_to_the_review_with_the_reason() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.gate.turn_off();
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("read-only")), "{:?}", d.run.note);
    assert_eq!(d.world().sent, 0);
    d.gate.turn_on("ticket 4411", Utc::now()).unwrap();
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().sent, 1);
}

#[tokio::test]
async fn choices_lead_to_the_review() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.sessions.clear();
    world.subscriptions.push(subscription("sub_Other0000001", CUSTOMER));
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    assert!(matches!(&d.run.phase, Phase::Deciding(x) if x.id == "subscription"), "{:?}", d.run.phase);
    d.decide(9).await;
    assert!(matches!(&d.run.phase, Phase::Deciding(_)), "what is not there chooses nothing");
    d.decide(0).await;
    assert!(matches!(&d.run.phase, Phase::Deciding(x) if x.id == "subject"), "{:?}", d.run.phase);
    d.decide(0).await;
    assert_eq!(d.run.phase, Phase::Review);
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
}

#[test]
fn a_stale_answer_changes_nothing() {
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "tier-update", by_customer());
    let Effect::Read { ticket, query } = effects[0].clone() else { panic!("a draft reads") };
    let old = Ticket { generation: ticket.generation - 1, slot: Slot::Run(run.id, 0) };
    let before = run.clone();
    let answer = World::missed().answer(&query);
    assert!(run.replied(old, &query, &answer, &environment(), Utc::now()).is_empty());
    assert_eq!(run, before);
    let never_asked = Query::Records(Locator::Email("x@y.com".into()));
    assert!(run.replied(ticket, &never_asked, &answer, &environment(), Utc::now()).is_empty());
    assert_eq!(run, before);
    run.replied(ticket, &query, &answer, &environment(), Utc::now());
    assert!(matches!(run.answers.get(&query), Some(Known::Is { .. })));
}

#[tokio::test]
async fn one_write_is_in_flight_and_its_answer_counts_once() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.confirm().await;
    let last = d.run.tries.last().unwrap().clone();
    let performed = nightdesk::protocol::run::Performed {
        attempt: last.attempt,
        outcome: Outcome::NotDone(Fault::new(Source::Database, FaultKind::Refused, "late")),
        unrecorded: None,
    };
    let before = d.run.clone();
    assert!(d.run.performed(&performed, d.now).is_empty());
    assert_eq!(d.run, before);
    assert!(d.run.confirm("", d.now).is_err(), "what is done cannot be confirmed again");
}

#[tokio::test]
async fn a_run_that_did_nothing_can_be_left_and_one_that_may_have_cannot() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    assert!(d.run.abandon().is_empty(), "a draft leaves no trace");
    assert!(!d.run.is_open());

    let mut world = World::missed();
    world.manner = Manner::LosesIt;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    let effects = d.run.abandon();
    d.go(effects).await;
    assert_eq!(d.journal.runs().await.unwrap()[0].state, RunState::Closed(Closed::Abandoned));

    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.confirm().await;
    d.run.phase = Phase::Verifying;
    assert!(d.run.abandon().is_empty() && d.run.is_open());
}

#[tokio::test]
async fn other_writers_share_plan_proof_and_doubt() {
    let state = tempdir().unwrap();
    for (writer, name) in [(Writer::Http, "resync-by-http"), (Writer::Command, "resync-by-command")] {
        for manner in [Manner::Answers, Manner::DoesAndIsSilent, Manner::LosesIt] {
            let mut world = World::placeholder();
            world.manner = manner;
            world.truth = planned(&mut world, &by_customer()).expect("a plan").diff;
            let (run, effects) = Run::draft(Uuid::now_v7(), "tier-update", by_customer());
            let mut d = Driver::with(world.shared(), state.path(), run);
            d.env.writer = writer;
            d.go(effects).await;
            let act = d.run.plan.as_ref().unwrap().steps.iter().find(|s| s.kind == StepKind::Act).unwrap().clone();
            assert_eq!(act.command.as_ref().map(|c| c.name()), Some(name));
            assert_eq!(act.undo.as_ref().map(|c| c.name()), Some("set-subscription-row"));
            d.confirm().await;
            assert_eq!(d.counts().1, 1, "sent once, whatever came of it");
            if manner == Manner::LosesIt {
                // A resync that was asked for may still begin: no reading proves that it never will.
                assert!(matches!(&d.run.phase, Phase::Unknown(say) if say.contains("Nobody knows")), "{:?}", d.run.phase);
                assert_eq!(d.journal.runs().await.unwrap().iter().find(|r| r.run == d.run.id).map(|r| r.state), Some(RunState::Unknown));
            } else {
                assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
                assert!(d.run.can_undo(d.now));
            }
        }
    }
}

#[tokio::test]
async fn what_nobody_knows_is_never_closed() {
    let state = tempdir().unwrap();
    let mut world = World::placeholder();
    world.manner = Manner::DoesAndFalls;
    let mut d = Driver::draft(world.shared(), state.path(), by_customer()).await;
    d.confirm().await;
    // Somebody else writes before the row can be read back: neither what was sent nor what was there.
    d.world().set(Field::Tier, Value::text("ENTERPRISE"));
    d.world().down.clear();
    d.now += Duration::seconds(30);
    let effects = d.run.ticked(d.now);
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Unknown(say) if say.contains("neither what was sent")), "{:?}", d.run.phase);
    assert!(!d.done.iter().any(|e| matches!(e, Effect::Record { entry: Entry::RunClosed { .. }, .. })));
    assert_eq!(d.journal.runs().await.unwrap()[0].state, RunState::Unknown);
    d.world().set(Field::Tier, Value::text("PRO"));
    d.now += Duration::seconds(60);
    let effects = d.run.ticked(d.now);
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "it is settled as soon as the row tells: {:?}", d.run.phase);
}

/// Answers reads and openings from the world, until a write is asked for; with everything asked for on the way.
fn up_to_the_write(run: &mut Run, world: &mut World, effects: Vec<Effect>) -> (Vec<Effect>, Option<nightdesk::protocol::run::Attempt>) {
    let (env, now) = (environment(), Utc::now());
    let (mut queue, mut asked) = (std::collections::VecDeque::from(effects), Vec::new());
    while let Some(effect) = queue.pop_front() {
        match effect {
            Effect::Read { ticket, query } => {
                let answer = world.answer(&query);
                queue.extend(run.replied(ticket, &query, &answer, &env, now));
            }
            Effect::OpenRun { .. } => queue.extend(run.opened(&Ok(()), now)),
            Effect::Perform(perform) => return (asked, Some(perform.attempt)),
            other => asked.push(other),
        }
    }
    (asked, None)
}

#[test]
fn an_outcome_that_could_not_be_journaled_is_said_and_journaled_before_a_new_try() {
    let mut world = World::missed();
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "tier-update", by_customer());
    up_to_the_write(&mut run, &mut world, effects);
    let effects = run.confirm("", Utc::now()).expect("under review");
    let (_, attempt) = up_to_the_write(&mut run, &mut world, effects);
    let fault = Fault::new(Source::Database, FaultKind::Refused, "a constraint forbids it");
    let performed = nightdesk::protocol::run::Performed {
        attempt: attempt.clone().expect("sent"),
        outcome: Outcome::NotDone(fault),
        unrecorded: Some("the disk is full".into()),
    };
    let effects = run.performed(&performed, Utc::now());
    up_to_the_write(&mut run, &mut world, effects);
    assert_eq!(run.phase, Phase::Review);
    let note = run.note.clone().unwrap_or_default();
    assert!(note.contains("could not be journaled: the disk is full.") && note.contains("Not done: a constraint"), "{note}");
    let effects = run.confirm("", Utc::now()).expect("under review");
    let (asked, second) = up_to_the_write(&mut run, &mut world, effects);
    assert_eq!(second.map(|a| a.attempt), Some(2));
    let Some(Effect::Record { entry: Entry::Concluded { attempt: told, result: Concluded::NotDone }, .. }) = asked.first() else {
        panic!("the first try's outcome comes first: {asked:?}")
    };
    assert_eq!(Some(told), attempt.as_ref());
}
