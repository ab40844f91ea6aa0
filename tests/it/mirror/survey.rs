//! What the survey makes of a mirror: suspects are confirmed by it where it is fresh, and by Stripe where it is not.

use crate::fixtures::*;
use crate::panes_desk::environment;
use chrono::Duration;
use nightdesk::domain::At;
use nightdesk::domain::mirror::{Copied, Mirror, Mirrored};
use nightdesk::domain::stripe::Subscription;
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::procedures::survey::{Moment, Survey};
use nightdesk::protocol::query::Query;
use std::collections::{BTreeMap, VecDeque};

const EVENT: &str = "evt_1Pabcdefghijka";

/// More suspects than cases are read for: the last of them are asked for by subscription.
fn many(as_of: Option<At>, newest: Option<At>, change: impl Fn(&mut Subscription)) -> World {
    let mut w = World::empty();
    let mut subscriptions = Vec::new();
    for n in 0..80 {
        let mut s = subscription(&format!("sub_Number{n:06}"), &format!("cus_Number{n:06}"));
        // The older, the later its case is read.
        s.created = ago(30 + n);
        let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
        w.records.push(record(&profile, None, Some(free_row(&profile, s.customer.as_str()))));
        w.customers.push(customer(s.customer.as_str(), None));
        w.events.push(event(&format!("evt_Number{n:06}"), "customer.subscription.created", &s, s.created));
        w.subscriptions.push(s.clone());
        change(&mut s);
        subscriptions.push(Copied { value: s, as_of, livemode: Some(false) });
    }
    w.shape.mirror = true;
    w.mirror = Some(Mirrored { mirror: Mirror { newest, notes: Vec::new() }, customers: Vec::new(), subscriptions, odd: 0 });
    w
}

/// The survey after a few looks, and what it asked.
fn surveyed(world: &World) -> (Survey, Vec<Query>) {
    let (env, sources) = (environment(), BTreeMap::new());
    let (mut survey, mut asked) = (Survey::default(), Vec::new());
    for round in 0..4_u32 {
        let at = now() + Duration::seconds(i64::from(round));
        let m = Moment { now: at, tick: 1_000 + u64::from(round) * 1_000, env: &env, sources: &sources };
        let mut queue: VecDeque<Query> = survey.ticked(&m).into();
        while let Some(query) = queue.pop_front() {
            assert!(asked.len() < 20_000, "it never comes to rest");
            queue.extend(survey.replied(&query, &world.answer(&query), &m));
            asked.push(query);
        }
    }
    (survey, asked)
}

fn retrieved(asked: &[Query]) -> usize {
    asked.iter().filter(|q| matches!(q, Query::Subscription(_))).count()
}

fn failing(survey: &Survey) -> usize {
    survey.lines().iter().filter(|l| l.verdict == Verdict::Missing).count()
}

fn nothing(_: &mut Subscription) {}

#[test]
fn a_fresh_mirror_answers_for_suspects_and_stripe_is_not_asked() {
    let mut world = many(Some(now() - Duration::seconds(30)), Some(now() - Duration::seconds(12)), nothing);
    let (survey, asked) = surveyed(&world);
    assert_eq!(failing(&survey), 80);
    let with = retrieved(&asked);
    let last = survey.judgement(&id("evt_Number000079")).expect("listed");
    assert!(last.evidence.iter().any(|e| e == "stripe: mirror of Stripe in Postgres, 12 s old"), "{:?}", last.evidence);
    // The same without a mirror costs a call for each.
    (world.shape.mirror, world.mirror) = (false, None);
    let (survey, asked) = surveyed(&world);
    assert_eq!(failing(&survey), 80);
    assert!(!asked.iter().any(|q| matches!(q, Query::Mirrored(_))));
    let without = retrieved(&asked);
    assert!(with == 0 && without >= 30, "{with} calls with a mirror, {without} without");
}

#[test]
fn a_stale_mirror_is_said_and_never_makes_a_failure() {
    // It would say that nothing is due; and it is as old as its newest copy.
    let says_otherwise = |s: &mut Subscription| s.items.clear();
    let world = many(Some(now()), Some(now() - Duration::minutes(11)), says_otherwise);
    let (survey, asked) = surveyed(&world);
    assert!(retrieved(&asked) >= 30, "Stripe is asked: {}", retrieved(&asked));
    assert_eq!(failing(&survey), 80);
    let last = survey.judgement(&id("evt_Number000079")).expect("listed");
    assert!(last.evidence.iter().any(|e| e == "mirror of Stripe in Postgres: 11 min old, not believed"), "{:?}", last.evidence);
}

#[test]
fn a_stale_mirror_beside_a_silent_stripe_fails_nobody() {
    let mut world = many(Some(now()), Some(now() - Duration::minutes(11)), nothing);
    let events = world.events.clone();
    world.subscriptions.clear();
    world.events = events;
    let (env, sources) = (environment(), BTreeMap::new());
    let mut survey = Survey::default();
    let m = Moment { now: now(), tick: 1_000, env: &env, sources: &sources };
    let mut queue: VecDeque<Query> = survey.ticked(&m).into();
    while let Some(query) = queue.pop_front() {
        // Events were listed, and then Stripe fell silent.
        let silent = query.source() == nightdesk::domain::fault::Source::Stripe && !matches!(query, Query::EventPage(_));
        if !silent {
            queue.extend(survey.replied(&query, &world.answer(&query), &m));
        }
    }
    assert_eq!(failing(&survey), 0, "nothing has confirmed them");
}

#[test]
fn a_copy_older_than_the_newest_event_is_passed_over() {
    for as_of in [Some(ago(600)), None] {
        let world = many(as_of, Some(now()), nothing);
        let (survey, asked) = surveyed(&world);
        assert!(retrieved(&asked) >= 30, "{as_of:?}: {}", retrieved(&asked));
        assert_eq!(failing(&survey), 80, "{as_of:?}");
    }
}

#[test]
fn a_copy_of_the_other_world_is_passed_over() {
    let mut world = many(Some(now()), Some(now()), nothing);
    for copy in &mut world.mirror.as_mut().expect("a mirror").subscriptions {
        copy.livemode = Some(true);
    }
    let (_, asked) = surveyed(&world);
    assert!(retrieved(&asked) >= 30, "{}", retrieved(&asked));
}

#[test]
fn what_is_known_of_a_linked_row_is_said_of_one_event_too() {
    let mut world = World::healthy();
    world.records[0].row = Some(free_row(PROFILE, CUSTOMER));
    world.shape.mirror = true;
    let copy = Copied { value: world.subscriptions[0].clone(), as_of: Some(now()), livemode: Some(false) };
    let mirror = Mirror { newest: Some(now()), notes: Vec::new() };
    world.mirror = Some(Mirrored { mirror, customers: Vec::new(), subscriptions: vec![copy], odd: 0 });
    let (survey, _) = surveyed(&world);
    assert_eq!(survey.verdict(&id(EVENT)), Some(Verdict::Missing));
}
