//! Procedures: laws that hold for all of them, and the plan of the tier update.

use crate::world::{
    CUSTOMER, PLACEHOLDER, PROFILE, SUBSCRIPTION, World, by_customer, environment, id, image, item, record, subject, subscription,
};
use chrono::Utc;
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::policy::Tier;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::shape::Trust;
use nightdesk::domain::stripe::Status;
use nightdesk::procedures::{ALL, Procedure, by_id};
use nightdesk::protocol::answers::Answers;
use nightdesk::protocol::query::{Locator, Query};
use nightdesk::protocol::run::{Decision, Features, Inputs, Plan, Refusal, Selection, StepKind, StepState};
use std::collections::BTreeSet;

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
        "endpoint-down" => {
            let since = Selection::Window { from: Utc::now() - chrono::Duration::hours(4), until: None };
            let mut inputs = Inputs::about(since);
            inputs.attested.insert("probe".into(), "leave".into());
            vec![(World::placeholder(), inputs.clone()), (World::missed(), inputs)]
        }
        "failed-webhook" => {
            let since = Selection::Window { from: Utc::now() - chrono::Duration::hours(4), until: None };
            let selections = [since, Selection::SinceLastApplied, Selection::Customers(vec![id(CUSTOMER)])];
            let inputs = selections.map(Inputs::about);
            inputs.into_iter().flat_map(|i| [(World::placeholder(), i.clone()), (World::missed(), i)]).collect()
        }
        "quota-reset" => {
            let of = |features| Inputs { features: Some(features), ..Inputs::of(Handle::Subject(subject())) };
            let one = of(Features::These(vec!["searches".into()]));
            let by_customer = Inputs { features: Some(Features::All), ..by_customer() };
            [of(Features::All), one, by_customer].map(|inputs| (World::spent(), inputs)).into()
        }
        "pool-exhausted" => vec![(World::leaking(), Inputs::default())],
        "drift-fix" => vec![(World::missed(), Inputs::about(Selection::Customers(vec![id(CUSTOMER)])))],
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

pub fn planned(world: &mut World, inputs: &Inputs) -> Result<Plan, Refusal> {
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
    for inputs in worlds(by_id("tier-update").expect("it is there")).into_iter().take(5).map(|(_, i)| i) {
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
    assert_eq!(decision.id, "subject");
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
fn a_chosen_subscription_that_has_ended_is_not_copied_beside_a_live_one() {
    let mut world = World::missed();
    world.subscriptions.push(subscription("sub_Other0000001", CUSTOMER));
    let chosen = Inputs { subscription: Some(id(SUBSCRIPTION)), ..by_customer() };
    assert!(planned(&mut world, &chosen).is_ok());
    world.subscriptions[0].status = Status::Canceled;
    let Err(Refusal::Because(say)) = planned(&mut world, &chosen) else { panic!("not refused") };
    assert!(say.contains("has ended and another is live: choose anew"), "{say}");
    // Alone it is what there is to copy.
    world.subscriptions.truncate(1);
    assert!(planned(&mut world, &chosen).is_ok());
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
