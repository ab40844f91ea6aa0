//! What changed between the review and its act is left alone: by the engine alone and by the real binary, in the middle of a long replay.

use crate::bench::{Bench, Options, until};
use crate::command::Desk;
use crate::procedures::planned;
use crate::world::{Driver, World, by_customer};
use chrono::{Duration, Utc};
use nightdesk::domain::fault::Source;
use nightdesk::domain::row::{Field, Value};
use nightdesk::procedures::ENTITLEMENT;
use nightdesk::procedures::engine::Phase;
use nightdesk::protocol::environment::Writer;
use nightdesk::protocol::record::Entry;
use nightdesk::protocol::run::{Inputs, Selection, StepState};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::population::PRICE_ENT_YEAR;
use std::path::Path;
use tempfile::tempdir;

/// Reviewed, confirmed, and let through by nobody yet: a linked row that missed its event, which sending brings about.
async fn confirmed(writer: Writer, state: &Path) -> Driver {
    let mut world = World::missed();
    world.truth = planned(&mut world, &by_customer()).expect("a plan").diff;
    let window = Inputs::about(Selection::Window { from: Utc::now() - Duration::hours(4), until: None });
    let mut d = Driver::draft_of("failed-webhook", world.shared(), state, window).await;
    d.env.writer = writer;
    d.gate.turn_off();
    d.confirm().await;
    assert!(d.run.is_paused() && d.world().resent.is_empty(), "{:?}", d.run.phase);
    d.gate.turn_on("ticket 4411", Utc::now()).expect("test mode");
    d
}

fn sent_nothing(d: &Driver) -> bool {
    let world = d.world();
    world.resent.is_empty() && world.sent == 0
}

async fn go_on(d: &mut Driver) {
    let effects = d.run.go_on_after_pause(d.now);
    d.go(effects).await;
}

#[tokio::test]
async fn a_row_that_somebody_changed_gets_no_older_event_and_is_reviewed_anew() {
    let state = tempdir().unwrap();
    let mut d = confirmed(Writer::Sql, state.path()).await;
    d.world().set(Field::Tier, Value::text("ENTERPRISE"));
    go_on(&mut d).await;
    assert_eq!(d.run.phase, Phase::Review, "{:?}", d.run.note);
    assert!(sent_nothing(&d));
    let note = d.run.note.clone().unwrap_or_default();
    assert_eq!(note, "0 of 1 effects applied · 1 left alone: its row changed since the review.");
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().resent.len(), 1, "what was seen is confirmed, and sent");
}

#[tokio::test]
async fn a_row_that_came_right_meanwhile_gets_nothing() {
    let state = tempdir().unwrap();
    let mut d = confirmed(Writer::Sql, state.path()).await;
    let truth = d.world().truth.clone();
    truth.into_iter().for_each(|c| d.world().set(c.field, c.to));
    go_on(&mut d).await;
    assert_eq!(d.run.phase, Phase::Done("1 of 1 effects applied · 1 was right before we came.".into()));
    assert!(sent_nothing(&d));
    let app = d.run.plan.as_ref().unwrap().steps.iter().find(|s| s.id == ENTITLEMENT).cloned();
    assert!(app.is_some_and(|s| matches!(s.state, StepState::Skipped(_))), "nobody asked the application");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_gets_nothing_until_it_can() {
    let state = tempdir().unwrap();
    let mut d = confirmed(Writer::Sql, state.path()).await;
    d.world().down.insert(Source::Database);
    let effects = d.run.go_on_after_pause(d.now);
    d.go_for(effects, 30).await;
    assert!(d.world().resent.is_empty() && !d.run.is_paused(), "it does not wait for the operator");
    d.world().down.clear();
    d.go(Vec::new()).await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
    assert_eq!(d.world().resent.len(), 1);
}

#[tokio::test]
async fn a_copy_that_meets_a_changed_row_has_not_failed() {
    let state = tempdir().unwrap();
    let mut d = confirmed(Writer::Sql, state.path()).await;
    d.world().truth.clear();
    let effects = d.run.go_on_after_pause(d.now);
    d.go_for(effects, 5).await;
    assert_eq!(d.world().resent.len(), 1, "sent to no effect so far");
    d.world().set(Field::Tier, Value::text("ENTERPRISE"));
    d.go(Vec::new()).await;
    assert_eq!((&d.run.phase, d.counts().0), (&Phase::Review, 0), "{:?}", d.run.note);
    assert!(d.run.note.as_ref().is_some_and(|n| n.contains("1 left alone") && !n.contains("failed")), "{:?}", d.run.note);
}

#[tokio::test]
async fn what_nobody_let_through_in_time_is_reviewed_anew() {
    let state = tempdir().unwrap();
    let mut d = confirmed(Writer::Sql, state.path()).await;
    d.now += Duration::minutes(3);
    go_on(&mut d).await;
    assert_eq!(d.run.phase, Phase::Review);
    assert!(sent_nothing(&d));
    d.confirm().await;
    assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
}

#[tokio::test]
async fn the_application_s_proof_is_claimed_only_where_it_was_heard() {
    for (down, set_up) in [(false, true), (true, true), (true, false)] {
        let state = tempdir().unwrap();
        let mut world = World::missed();
        world.truth = planned(&mut world, &by_customer()).expect("a plan").diff;
        world.down.extend(down.then_some(Source::Application));
        let window = Inputs::about(Selection::Window { from: Utc::now() - Duration::hours(4), until: None });
        let (run, effects) = nightdesk::procedures::engine::Run::draft(uuid::Uuid::now_v7(), "failed-webhook", window);
        let mut d = Driver::with(world.shared(), state.path(), run);
        if !set_up {
            d.env.set_up.remove(&Source::Application);
        }
        d.go(effects).await;
        d.confirm().await;
        assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
        let steps = &d.run.plan.as_ref().unwrap().steps;
        let of = |id: &str| steps.iter().find(|s| s.id == id).map(|s| s.state.clone()).expect("a step");
        assert_eq!(of("effects"), StepState::Passed);
        let proven = d.journal.recorded(d.run.id).await.unwrap();
        let proven = proven.iter().any(|r| matches!(&r.entry, Entry::Verified { step, holds: true, .. } if step == ENTITLEMENT));
        match (of(ENTITLEMENT), set_up) {
            (StepState::Passed, true) => assert!(!down && proven),
            (StepState::Skipped(why), true) => assert!(down && !proven && why.contains("does not answer"), "{why}"),
            (StepState::Skipped(why), false) => assert!(!proven && why.contains("not set up"), "{why}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_long_replay_no_older_event_is_sent_over_what_came_meanwhile() {
    let bench = Bench::start(Options { manner: Manner::Swallowing, ..Options::default() }).await;
    let mut labels = bench.ground.strike(Incident::Webhook500, 30).await.expect("there are enough");
    labels.remove(0);
    bench.ground.lift(Incident::Webhook500).await.expect("lifted");
    let desk = Desk::of(&bench).configured("[stripe]\nresends_per_s = 2\nbackground_per_s = 20\n");
    let plan = desk.say(&["replay", "--since", "1d", "--dry-run", "--json"]).await.well();
    let confirm = plan["plan"]["confirm"].as_str().expect("a count to type").to_string();
    // The acts go by the age of their events: the last ones who bought are far from their turn.
    let mut buyers: Vec<_> =
        labels.iter().filter(|l| l.hurts() && l.subject.event_type.as_deref() == Some("customer.subscription.created")).collect();
    buyers.sort_by_key(|l| std::cmp::Reverse(l.at));
    let (changed, arrives) = (buyers[0], buyers[1]);
    let event = |l: &nightdesk::sandbox::incidents::Label| l.subject.event.clone().expect("an event");

    let mut begun = desk.begin(&["replay", "--since", "1d", "--confirm", &confirm, "--reason", "a test", "--json"]);
    until("it sends", async || super::many::resent(&bench).len() >= 4).await;
    let first = bench.simulator.object(&event(changed)).expect("there is one");
    let subscription = first["data"]["object"]["id"].as_str().expect("a subscription");
    let second = bench.simulator.change_price(subscription, PRICE_ENT_YEAR, bench.simulator.now()).expect("it changes");
    let second = bench.simulator.object(&second).expect("there is one");
    let other = bench.simulator.object(&event(arrives)).expect("there is one");
    for arriving in [&second, &other] {
        assert_eq!(bench.send_event(arriving, &bench.webhook_secret).await.status(), 200);
    }
    assert!(super::many::resent(&bench).len() < 20, "in the middle");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while begun.said().code.is_none() {
        assert!(std::time::Instant::now() < patience, "it ends");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said = begun.said();
    let sent = super::many::resent(&bench);
    assert!(!sent.iter().any(|(e, _)| *e == event(changed) || *e == event(arrives)), "neither is sent again: {said:?}");
    let profile = |l: &nightdesk::sandbox::incidents::Label| l.subject.profile.clone().expect("a profile");
    assert_eq!(bench.entitlements(&profile(changed)).await["data"]["tier"], "ENTERPRISE", "the newest state stands");
    for label in labels.iter().filter(|l| l.hurts() && event(l) != event(changed)) {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
    let done = said.well();
    let note = done["note"].as_str().unwrap_or_default();
    assert!(note.contains("1 was right before we came · 1 left alone: its row changed since the review"), "{done}");
    assert!(done["state"] == "done" && done["says"].as_str().is_some_and(|s| s.starts_with("Every effect is there")), "{done}");
}
