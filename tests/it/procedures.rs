//! Procedures and their engine: laws that hold for all of them, and the tier update played through in a world in memory.

use crate::world::{
    CUSTOMER, Driver, Manner, PLACEHOLDER, PROFILE, SUBSCRIPTION, World, by_customer, environment, id, image, item, record, subject,
    subscription,
};
use chrono::{Duration, Utc};
use nightdesk::domain::facts::{Handle, Known};
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::policy::Tier;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::shape::Trust;
use nightdesk::domain::stripe::Status;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::procedures::{ALL, Procedure, by_id};
use nightdesk::protocol::answers::Answers;
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Writer;
use nightdesk::protocol::query::{Locator, Query};
use nightdesk::protocol::record::{Closed, Concluded, Entry, RunState};
use nightdesk::protocol::run::{Decision, Inputs, Plan, Refusal, StepKind, StepState};
use nightdesk::protocol::ticket::{Slot, Ticket};
use std::collections::BTreeSet;
use tempfile::tempdir;
use uuid::Uuid;

/// For every procedure, a world that gives it something to do. A new one fails here until it has one.
fn worlds(procedure: &dyn Procedure) -> Vec<(World, Inputs)> {
    match procedure.id() {
        "tier-update" => {
            let by_profile = Inputs::of(Handle::Subject(subject()));
            let by_placeholder = Inputs::of(Handle::Placeholder(PLACEHOLDER.into()));
            let by_email = Inputs::of(Handle::Email("jane@acme.com".into()));
            let by_subscription = Inputs::of(Handle::Stripe(id(SUBSCRIPTION)));
            let mut all: Vec<_> = [by_customer(), by_profile.clone(), by_placeholder, by_email, by_subscription]
                .map(|inputs| (World::placeholder(), inputs))
                .into();
            all.extend([by_customer(), by_profile].map(|inputs| (World::missed(), inputs)));
            all
        }
        other => panic!("no world for {other}"),
    }
}

/// Every answer the procedure asks for, and each question in the order it was asked.
fn facts(procedure: &dyn Procedure, world: &mut World, inputs: &Inputs) -> (Answers, Vec<Query>) {
    let (mut answers, mut asked) = (Answers::default(), Vec::new());
    loop {
        let wanted = procedure.reads(inputs, &answers);
        if wanted.is_empty() {
            return (answers, asked);
        }
        for query in wanted {
            answers.put(query.clone(), world.answer(&query), Utc::now());
            asked.push(query);
        }
        assert!(asked.len() < 100, "it asks for ever");
    }
}

fn planned(world: &mut World, inputs: &Inputs) -> Result<Plan, Refusal> {
    let procedure = by_id("tier-update").unwrap();
    let (answers, _) = facts(procedure, world, inputs);
    procedure.plan(inputs, &answers, &environment(), Utc::now())
}

fn refused(world: &mut World) -> String {
    match planned(world, &by_customer()) {
        Err(Refusal::Because(say)) => say,
        other => panic!("not refused: {other:?}"),
    }
}

fn asked_to_decide(world: &mut World, inputs: &Inputs) -> Decision {
    match planned(world, inputs) {
        Err(Refusal::Decide(decision)) => decision,
        other => panic!("nothing to decide: {other:?}"),
    }
}

// -- laws of all procedures

#[test]
fn procedures_are_told_apart_and_can_be_found() {
    let ids: BTreeSet<_> = ALL.iter().map(|p| p.id()).collect();
    assert_eq!(ids.len(), ALL.len());
    for procedure in ALL {
        assert_eq!(by_id(procedure.id()).map(|p| p.title()), Some(procedure.title()));
        assert!(!procedure.words().is_empty() && procedure.words().iter().all(|w| *w == w.to_lowercase()), "{}", procedure.id());
        let book = procedure.book();
        assert!(!book.sentence.is_empty() && !book.differs.is_empty(), "{}", procedure.id());
    }
}

#[test]
fn every_act_is_proven_and_every_irreversible_one_is_typed() {
    for procedure in ALL {
        for (mut world, inputs) in worlds(*procedure) {
            let (answers, _) = facts(*procedure, &mut world, &inputs);
            let plan = procedure.plan(&inputs, &answers, &environment(), Utc::now()).expect("a plan");
            let acts: Vec<_> = plan.steps.iter().enumerate().filter(|(_, s)| s.kind == StepKind::Act).collect();
            assert!(!acts.is_empty());
            for (at, act) in acts {
                assert!(act.command.is_some(), "{}", act.id);
                assert!(plan.steps[at..].iter().any(|s| s.kind == StepKind::Verify), "{} is proven by nothing", act.id);
            }
            assert!(plan.steps.iter().all(|s| s.command.is_none() || s.kind == StepKind::Act));
            assert_eq!(plan.steps.iter().map(|s| &s.id).collect::<BTreeSet<_>>().len(), plan.steps.len(), "step ids");
            assert!(plan.tier() < Tier::T2 || plan.typed.is_some(), "T2 and above are typed");
            assert!(!plan.blast.is_empty() && !plan.evidence.is_empty() && !plan.machine.is_empty());
        }
    }
}

#[test]
fn a_missing_fact_is_never_a_plan() {
    for procedure in ALL {
        for (mut world, inputs) in worlds(*procedure) {
            let (_, asked) = facts(*procedure, &mut world, &inputs);
            for missing in &asked {
                let mut answers = Answers::default();
                for query in asked.iter().filter(|q| *q != missing) {
                    answers.put(query.clone(), world.answer(query), Utc::now());
                }
                let reads = procedure.reads(&inputs, &answers);
                let plan = procedure.plan(&inputs, &answers, &environment(), Utc::now());
                assert!(!reads.is_empty() || plan.is_err() || superfluous(missing), "{} planned without {missing:?}", procedure.id());
            }
        }
    }
}

/// Asked ahead of its need: profiles by e-mail are evidence only where no checkout names one, and in these worlds one does.
fn superfluous(query: &Query) -> bool {
    matches!(query, Query::Records(Locator::Email(_)))
}

#[test]
fn a_source_that_fails_is_a_refusal_unless_it_only_adds_evidence() {
    let procedure = by_id("tier-update").unwrap();
    for (mut world, inputs) in worlds(procedure) {
        let (_, asked) = facts(procedure, &mut world, &inputs);
        for failing in &asked {
            let mut answers = Answers::default();
            let fault = Fault::new(failing.source(), FaultKind::Timeout, "It does not answer");
            answers.put(failing.clone(), Err(fault), Utc::now());
            loop {
                let wanted = procedure.reads(&inputs, &answers);
                if wanted.is_empty() {
                    break;
                }
                for query in wanted {
                    answers.put(query.clone(), world.answer(&query), Utc::now());
                }
            }
            match (failing, procedure.plan(&inputs, &answers, &environment(), Utc::now())) {
                (_, Err(_)) => {}
                // The row can be repaired while the app is down; the plan says that the proof waits.
                (Query::Entitlement(_), Ok(plan)) => {
                    assert!(plan.notes.iter().any(|n| n.contains("app does not answer")), "{:?}", plan.notes)
                }
                // A linked row needs no session to say whose it is.
                (Query::SessionsOf(_), Ok(plan)) => assert!(plan.diff.iter().all(|c| c.field != Field::Customer)),
                (query, Ok(_)) if superfluous(query) => {}
                (_, Ok(_)) => panic!("planned although {failing:?} failed"),
            }
        }
    }
}

// -- the plan

#[test]
fn the_plan_copies_stripes_truth_and_links_first() {
    for inputs in worlds(ALL[0]).into_iter().take(5).map(|(_, i)| i) {
        let plan = planned(&mut World::placeholder(), &inputs).expect("a plan");
        let fields: Vec<_> = plan.diff.iter().map(|c| c.field).collect();
        let due = [Field::Tier, Field::Customer, Field::Subscription, Field::Interval, Field::PeriodStart, Field::PeriodEnd];
        assert_eq!(fields, due, "{inputs:?}");
        assert_eq!(plan.who, "j•••@a•••.com");
        assert!(
            plan.evidence.iter().any(|e| e.contains("checkout session names the profile") && e.contains("certain")),
            "{:?}",
            plan.evidence
        );
        assert!(plan.machine.join("\n").contains("tier IS NOT DISTINCT FROM 'FREE'"), "{:?}", plan.machine);
        let link = plan.steps.iter().find(|s| s.id == "link").expect("a link step");
        assert_eq!(link.state, StepState::Passed);
    }
}

#[test]
fn nothing_to_do_is_said_and_a_stubborn_app_is_named() {
    let mut world = World::placeholder();
    let plan = planned(&mut world, &by_customer()).expect("a plan");
    for change in plan.diff {
        world.set(change.field, change.to);
    }
    assert!(matches!(planned(&mut world, &by_customer()), Err(Refusal::AlreadyRight(say)) if say.contains("PRO")));
    world.app_insists = Some("FREE".into());
    assert!(refused(&mut world).contains("the app answers FREE, not PRO"));
}

#[test]
fn weak_evidence_asks_and_never_chooses() {
    let mut world = World::placeholder();
    world.sessions.clear();
    let decision = asked_to_decide(&mut world, &by_customer());
    assert_eq!((decision.id.as_str(), decision.preselected), ("subject", None));
    assert!(decision.options[0].evidence.contains("same e-mail address") && decision.options[0].evidence.contains("weak"));
    // Whoever came from the profile is asked all the same.
    let decision = asked_to_decide(&mut world, &Inputs::of(Handle::Subject(subject())));
    assert_eq!(decision.options[0].value, PROFILE);
    // A checkout that names somebody else than the profile at hand is no link to it.
    let mut world = World::placeholder();
    world.sessions[0].client_reference_id = Some("7f3a5b7c-0000-4000-8000-000000000022".into());
    world.records.push(record("7f3a5b7c-0000-4000-8000-000000000022", "eve@acme.com", image("FREE", "cus_temp_ef34")));
    assert!(planned(&mut world, &Inputs::of(Handle::Subject(subject()))).is_err());
}

#[test]
fn two_answers_at_stripe_are_the_operators_to_choose_from() {
    let mut world = World::missed();
    world.subscriptions.push(subscription("sub_Other0000001", CUSTOMER));
    assert_eq!(asked_to_decide(&mut world, &by_customer()).id, "subscription");
    let chosen = Inputs { subscription: Some(id("sub_Other0000001")), ..by_customer() };
    let plan = planned(&mut world, &chosen).expect("a plan");
    assert!(plan.diff.iter().any(|c| c.to == Value::text("sub_Other0000001")));

    let mut world = World::missed();
    world.subscriptions[0].items.push(item(2, "price_Ent0000001", Some("ENTERPRISE")));
    let decision = asked_to_decide(&mut world, &by_customer());
    assert_eq!((decision.id.as_str(), decision.options.len()), ("tier", 2));
    let chosen = Inputs { tier: Some("ENTERPRISE".into()), ..by_customer() };
    let plan = planned(&mut world, &chosen).expect("a plan");
    assert!(plan.diff.iter().any(|c| c.to == Value::text("ENTERPRISE")));
}

#[test]
fn every_refusal_is_one_sentence_that_names_its_reason() {
    type Break = fn(&mut World);
    let cases: [(&str, Break); 8] = [
        ("holds cus_Real00000001 already", |w| {
            w.records.push(record("7f3a5b7c-0000-4000-8000-000000000033", "x@y.com", image("PRO", CUSTOMER)));
        }),
        ("holds sub_Main00000001 already", |w| {
            let mut held = image("PRO", "cus_Else00000001");
            held.insert(Field::Subscription, Value::text(SUBSCRIPTION));
            w.records.push(record("7f3a5b7c-0000-4000-8000-000000000033", "x@y.com", held));
        }),
        ("mapped to no tier", |w| w.subscriptions[0].items = vec![item(1, "price_New0000001", None)]),
        ("no subscription row", |w| w.records[0].row = None),
        ("rows may be hidden from us", |w| {
            w.records.clear();
            w.shape.trust = Trust::Limited(vec!["Row-level security is active for our role.".into()]);
        }),
        ("may not update", |w| w.shape.updatable = false),
        ("nothing to copy from", |w| w.subscriptions.clear()),
        ("does not answer", |w| w.down = [Source::Stripe].into()),
    ];
    for (words, break_it) in cases {
        // The links stay certain, so that each case fails for its own reason.
        let mut world = World::placeholder();
        break_it(&mut world);
        let say = match planned(&mut world, &by_customer()) {
            Err(Refusal::Because(say)) => say,
            Err(Refusal::Decide(d)) if words.contains("holds") => {
                let chosen = Inputs { subject: Some(subject()), ..by_customer() };
                assert!(!d.options.is_empty());
                match planned(&mut world, &chosen) {
                    Err(Refusal::Because(say)) => say,
                    other => panic!("{words}: {other:?}"),
                }
            }
            other => panic!("{words}: {other:?}"),
        };
        assert!(say.contains(words), "{words}: {say}");
    }
}

#[test]
fn a_downgrade_says_that_it_is_one() {
    let mut world = World::missed();
    world.set(Field::Tier, Value::text("PRO"));
    world.set(Field::Subscription, Value::text(SUBSCRIPTION));
    world.subscriptions[0].status = Status::Canceled;
    let plan = planned(&mut world, &by_customer()).expect("a plan");
    assert!(plan.notes.iter().any(|n| n.contains("takes PRO away") && n.contains("FREE is due")), "{:?}", plan.notes);
    assert!(plan.diff.iter().any(|c| c.field == Field::Tier && c.to == Value::text("FREE")));
}

#[test]
fn what_is_left_alone_is_named() {
    let mut world = World::missed();
    world.subscriptions[0].status = Status::PastDue;
    world.shape.status_words = Some(["active".to_string(), "canceled".to_string()].into());
    world.invoices[0].status = "open".into();
    let plan = planned(&mut world, &by_customer()).expect("a plan");
    assert!(plan.notes.iter().any(|n| n.contains("Left alone: status") && n.contains("past_due")), "{:?}", plan.notes);
    assert!(plan.notes.iter().any(|n| n.starts_with("Not paid: the last invoice is open")), "{:?}", plan.notes);
    assert!(plan.diff.iter().all(|c| c.field != Field::Status));
}

// -- the engine

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
    assert!((d.now - confirmed).num_seconds() >= 7, "a statement may still run at the server for its time-out");
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
                assert!(matches!(&d.run.phase, Phase::Halted(say) if say.contains("Nobody knows")), "{:?}", d.run.phase);
            } else {
                assert!(matches!(&d.run.phase, Phase::Done(_)), "{:?}", d.run.phase);
                assert!(d.run.can_undo(d.now));
            }
        }
    }
}
