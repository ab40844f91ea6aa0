//! The engine alone: an act with another in its place, in a world in memory, with the real lane, gate and journal.

use crate::procedures::planned;
use crate::world::{CUSTOMER, Driver, Manner, World, by_customer};
use chrono::{Duration, Utc};
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::Field;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::record::{Detail, Entry, OpenedDetail, RunState};
use nightdesk::protocol::run::{Inputs, Selection, short};
use std::path::Path;
use tempfile::tempdir;
use uuid::Uuid;

fn window() -> Inputs {
    Inputs::about(Selection::Window { from: Utc::now() - Duration::hours(4), until: None })
}

/// A linked row that missed its event. `helps`: sending that once more brings its effect.
fn missed(helps: bool) -> World {
    let mut world = World::missed();
    if helps {
        world.truth = planned(&mut world, &by_customer()).expect("a plan").diff;
    }
    world
}

async fn reviewed(world: World, state: &Path) -> Driver {
    let d = Driver::draft_of("failed-webhook", world.shared(), state, window()).await;
    assert_eq!(d.run.phase, Phase::Review, "{:?}", d.run.phase);
    d
}

#[track_caller]
fn done(d: &Driver, by_the_second_way: usize) {
    assert!(matches!(&d.run.phase, Phase::Done(say) if say.contains("1 of 1 effects applied")), "{:?}", d.run.phase);
    let progress = d.run.progress().expect("acts");
    assert_eq!((progress.applied, progress.instead, progress.failed), (1, by_the_second_way, 0));
    assert_eq!(d.world().resent.len(), 1, "sent once");
}

#[tokio::test]
async fn an_event_whose_effect_comes_needs_nothing_else() {
    let state = tempdir().unwrap();
    let mut d = reviewed(missed(true), state.path()).await;
    d.confirm().await;
    done(&d, 0);
    assert_eq!(d.counts().0, 0, "no row is written by us");
}

#[tokio::test]
async fn what_one_delivery_did_not_settle_is_copied_and_not_sent_again() {
    let state = tempdir().unwrap();
    let mut d = reviewed(missed(false), state.path()).await;
    let begun = d.now;
    d.confirm().await;
    done(&d, 1);
    assert_eq!(d.counts().0, 1);
    assert!((d.now - begun).num_seconds() >= 30, "the delivery is given its time");
    let Phase::Done(say) = &d.run.phase else { panic!("{:?}", d.run.phase) };
    assert!(
        say.ends_with("copied from Stripe after sending the event had no effect. The one that was sent had no effect: the cause remains.")
    );
}

#[tokio::test]
async fn what_stripe_refuses_to_send_is_not_told_as_sent_in_vain() {
    let state = tempdir().unwrap();
    let mut world = missed(false);
    world.refusals.push_back(refused(FaultKind::Refused, "not subscribed to this type when the event was made"));
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Done("1 of 1 effects applied, 1 of them copied from Stripe and not sent.".into()));
}

#[tokio::test]
async fn a_copy_that_was_planned_is_not_told_as_a_second_way() {
    let state = tempdir().unwrap();
    let customers = Selection::Customers(vec![StripeId::parse(CUSTOMER).unwrap()]);
    let mut d = Driver::draft_of("failed-webhook", missed(false).shared(), state.path(), Inputs::about(customers)).await;
    assert_eq!(d.run.phase, Phase::Review, "{:?}", d.run.phase);
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(say) if say == "1 of 1 effects applied."), "{:?}", d.run.phase);
    assert_eq!(d.run.progress().map(|p| p.instead), Some(0));
    assert_eq!(d.world().resent.len(), 0);
    assert_eq!(d.counts().0, 1);
}

#[tokio::test]
async fn silence_counts_as_sent() {
    for helps in [true, false] {
        let state = tempdir().unwrap();
        let mut world = missed(helps);
        world.manner = Manner::DoesAndIsSilent;
        let mut d = reviewed(world, state.path()).await;
        d.confirm().await;
        done(&d, usize::from(!helps));
        assert!(d.journal.runs().await.unwrap()[0].is_finished());
    }
}

#[tokio::test]
async fn what_a_dead_process_had_sent_is_not_sent_again() {
    for manner in [Manner::Answers, Manner::DoesAndIsSilent] {
        let state = tempdir().unwrap();
        let mut world = missed(false);
        world.manner = manner;
        let mut d = reviewed(world, state.path()).await;
        let effects = d.run.confirm("", d.now).expect("reviewed");
        d.go_for(effects, 0).await;
        assert_eq!(d.world().resent.len(), 1);
        let world = std::sync::Arc::clone(&d.world);
        drop(d);
        let journal = nightdesk::gateway::journal::Journal::open(state.path(), "test", "ada", None).unwrap();
        let left = journal.runs().await.unwrap().remove(0);
        assert!(matches!(left.state, RunState::Acted | RunState::Unknown), "{left:?}");
        let mut another = Driver::draft_of("failed-webhook", std::sync::Arc::clone(&world), state.path(), window()).await;
        assert_eq!(another.run.phase, Phase::Review, "it may look");
        another.confirm().await;
        let note = another.run.note.clone().unwrap_or_default();
        let words = format!("Run {} (failed-webhook) is not finished", short(left.run));
        assert!(another.run.phase == Phase::Review && note.contains(&words) && note.contains("runs resume"), "{note}");
        assert_eq!(another.world().resent.len(), 1, "and sends nothing");
        let many = || Detail::of(&OpenedDetail { inputs: window(), subject: None, who: "1 customer".into(), undoes: None });
        let fault = another.lane.open_run(Uuid::now_v7(), "endpoint-down", many()).await.unwrap_err();
        assert!(fault.say.contains(&words), "its sibling would send them again, too: {fault}");
        another.lane.open_run(Uuid::now_v7(), "drift-fix", many()).await.expect("it sends no event");
        drop(another);
        let (run, effects) = Run::resume(&left);
        let mut d = Driver::with(world, state.path(), run);
        d.go(effects).await;
        assert_eq!(d.run.phase, Phase::Review, "what remains is reviewed anew");
        let plan = d.run.plan.as_ref().expect("a plan");
        assert!(plan.first_acts().all(|s| s.id.starts_with("apply-")), "only the copy remains");
        d.confirm().await;
        assert!(matches!(d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
        assert_eq!(d.world().resent.len(), 1);
        assert_eq!(d.counts().0, 1);
        d.lane.open_run(Uuid::now_v7(), "failed-webhook", many()).await.expect("nothing is left unfinished");
    }
}

#[tokio::test]
async fn it_stands_still_when_writes_run_out_and_goes_on_with_the_same_plan() {
    let state = tempdir().unwrap();
    let mut d = reviewed(missed(false), state.path()).await;
    let effects = d.run.confirm("", d.now).expect("reviewed");
    d.go_for(effects, 0).await;
    d.gate.turn_off();
    d.go(Vec::new()).await;
    assert!(d.run.is_paused(), "{:?}", d.run.phase);
    assert!(d.run.progress().is_some_and(|p| p.paused.flatten().is_some_and(|why| why.contains("read-only"))));
    d.gate.turn_on("ticket 4411", Utc::now()).expect("test mode");
    let effects = d.run.go_on_after_pause(d.now);
    d.go(effects).await;
    done(&d, 1);
}

#[tokio::test]
async fn a_cancelled_run_follows_what_is_under_way_and_begins_nothing() {
    let state = tempdir().unwrap();
    let mut d = reviewed(missed(false), state.path()).await;
    let effects = d.run.confirm("", d.now).expect("reviewed");
    d.go_for(effects, 0).await;
    let effects = d.run.cancel(d.now);
    d.go(effects).await;
    assert!(matches!(&d.run.phase, Phase::Halted(say) if say.contains("cancelled")), "{:?}", d.run.phase);
    assert_eq!(d.world().resent.len(), 1);
    assert_eq!(d.counts().0, 0);
}

#[tokio::test]
async fn a_column_that_is_not_mapped_is_not_waited_for() {
    let state = tempdir().unwrap();
    let mut world = World::missed();
    let row = world.records[0].row.as_mut().expect("a row");
    assert!(row.image.remove(&Field::PeriodStart).is_some());
    world.truth = planned(&mut world, &by_customer()).expect("a plan").diff;
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    done(&d, 0);
    assert!(!d.world().image().contains_key(&Field::PeriodStart));
}

/// Sent to no effect so far; then the database stops answering.
async fn blind(state: &Path, seconds: u32) -> Driver {
    let mut d = reviewed(missed(false), state).await;
    let effects = d.run.confirm("", d.now).expect("reviewed");
    d.go_for(effects, 0).await;
    d.world().down.insert(Source::Database);
    d.go_for(Vec::new(), seconds).await;
    assert!(d.run.progress().is_some_and(|p| p.paused.flatten().is_some_and(|why| why.contains("does not answer"))));
    assert_eq!(d.world().resent.len(), 1);
    assert_eq!(d.counts().1, 0, "nothing is sent blind");
    d
}

#[tokio::test]
async fn it_stands_still_while_effects_cannot_be_read_and_goes_on_by_itself() {
    let state = tempdir().unwrap();
    let mut d = blind(state.path(), 60).await;
    assert!(!d.run.is_paused(), "it does not wait for the operator");
    d.world().down.clear();
    d.go(Vec::new()).await;
    done(&d, 1);
}

#[tokio::test]
async fn after_a_long_time_blind_the_operator_reviews_what_remains() {
    let state = tempdir().unwrap();
    let mut d = blind(state.path(), 20 * 60).await;
    assert!(d.run.is_paused(), "long blindness is the operator's to end");
    d.world().down.clear();
    d.go(Vec::new()).await;
    assert!(d.run.is_paused() && d.counts().1 == 0);
    let effects = d.run.go_on_after_pause(d.now);
    d.go(effects).await;
    assert_eq!(d.run.phase, Phase::Review, "what was under way is followed first, then the rest is reviewed");
    assert_eq!(d.counts().1, 0);
    d.confirm().await;
    assert!(matches!(d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().resent.len(), 1);
    assert_eq!(d.counts().0, 1);
}

#[tokio::test]
async fn the_first_one_does_not_wait_for_ever_for_an_application_that_is_down() {
    let state = tempdir().unwrap();
    let mut world = missed(true);
    world.down.insert(Source::Application);
    let mut d = reviewed(world, state.path()).await;
    let begun = d.now;
    d.confirm().await;
    done(&d, 0);
    assert!((d.now - begun).num_seconds() >= 30, "it is given its time");
    assert!(d.run.note.as_ref().is_some_and(|n| n.contains("application was not heard")), "{:?}", d.run.note);
}

#[tokio::test]
async fn who_was_put_right_by_somebody_else_a_moment_before_is_told_apart() {
    let state = tempdir().unwrap();
    let mut world = missed(false);
    world.overtaken = true;
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(say) if say.contains("1 was right before we came")), "{:?}", d.run.phase);
    assert_eq!(d.run.progress().map(|p| (p.applied, p.right, p.failed)), Some((1, 1, 0)));
    assert_eq!(d.counts().0, 0, "nothing is written over it");
}

fn refused(kind: FaultKind, say: &str) -> Fault {
    Fault::new(Source::Stripe, kind, say)
}

#[tokio::test]
async fn what_is_done_in_place_of_an_overtaken_act_is_our_own_doing() {
    let state = tempdir().unwrap();
    let mut world = missed(false);
    world.refusals.push_back(refused(FaultKind::Conflict, "somebody was there first"));
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    let Phase::Done(say) = &d.run.phase else { panic!("{:?}", d.run.phase) };
    assert!(!say.contains("right before we came"), "this run has written the row: {say}");
    let progress = d.run.progress().expect("acts");
    assert_eq!((progress.applied, progress.instead, progress.right), (1, 1, 0));
    assert_eq!(d.counts().0, 1);
}

#[tokio::test]
async fn what_was_turned_away_for_its_rate_goes_again_under_the_same_key() {
    let state = tempdir().unwrap();
    let mut world = missed(true);
    world.refusals.extend(["once", "twice"].map(|s| refused(FaultKind::Limit, s)));
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    done(&d, 0);
    let records = d.journal.recorded(d.run.id).await.unwrap();
    let keys: Vec<&str> =
        records.iter().filter_map(|r| if let Entry::Intended { key, .. } = &r.entry { Some(key.as_str()) } else { None }).collect();
    assert!(keys.len() == 3 && keys.iter().all(|k| *k == keys[0]), "{keys:?}");
    let summary = d.journal.runs().await.unwrap().remove(0);
    assert!(matches!(&summary.attempts[..], [(a, Some(Outcome::Done { .. }))] if a.attempt == 1), "{:?}", summary.attempts);
}

#[tokio::test]
async fn a_run_whose_hold_has_lapsed_pauses_and_counts_nobody_s_row_as_overtaken() {
    let state = tempdir().unwrap();
    let mut world = missed(true);
    world.refusals.push_back(Fault::new(Source::Store, FaultKind::Denied, "The hold on this run has lapsed: eve has run 1234 open"));
    let mut d = reviewed(world, state.path()).await;
    d.confirm().await;
    assert!(d.run.is_paused(), "{:?}", d.run.phase);
    let progress = d.run.progress().expect("acts");
    assert_eq!((progress.applied, progress.failed), (0, 0));
    assert!(progress.paused.flatten().is_some_and(|why| why.contains("eve has run 1234 open")));
}
