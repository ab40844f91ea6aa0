//! The panes on screen: every state of every pane at both sizes, and the ways between them.

mod case;
mod customer;
mod customers;
pub mod findings;
mod pool;
mod pool_review;
mod quota;
mod replays;
mod subscription;
mod webhooks;

use super::fixtures::*;
use super::panes_desk::Desk;
use chrono::Duration;
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::Source;
use nightdesk::domain::shape::Trust;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Hit;
use nightdesk::protocol::record::{RunState, RunSummary};
use nightdesk::protocol::run::Attempt;
use uuid::Uuid;

/// Adds one more who paid: number `n`, wrong in the given way.
fn add(
    world: &mut World,
    n: usize,
    row: impl Fn(&str, &nightdesk::domain::stripe::Subscription) -> nightdesk::domain::row::SubscriptionRow,
) {
    let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
    let mut s = subscription(&format!("sub_Number{n:06}"), &format!("cus_Number{n:06}"));
    s.created = ago(20 * i64::try_from(n).expect("small") + 20);
    s.items[0].period = Some(nightdesk::domain::stripe::Period { start: s.created, end: s.created + Duration::days(30) });
    s.latest_invoice = Some(id(&format!("in_Number{n:06}")));
    let email = format!("person{n}@firm{n}.com");
    world.records.push(record(&profile, Some(&email), Some(row(&profile, &s))));
    world.customers.push(customer(s.customer.as_str(), Some(&email)));
    world.invoices.push(invoice(&format!("in_Number{n:06}"), &s));
    world.sessions.push(session(&format!("cs_test_Number{n:06}"), &s, &profile));
    world.events.push(event(&format!("evt_Number{n:06}"), "customer.subscription.created", &s, s.created));
    world.enforce(&profile, "FREE", 5);
    world.subscriptions.push(s);
}

fn incident() -> World {
    let mut world = World::empty();
    for n in 1..=14 {
        add(&mut world, n, |p, _| free_row(p, &format!("cus_temp_n{n:04}")));
    }
    for n in 15..=17 {
        add(&mut world, n, |p, s| free_row(p, s.customer.as_str()));
    }
    for n in 18..=60 {
        add(&mut world, n, right_row);
    }
    world.runs.push(interrupted());
    world
}

pub fn interrupted() -> RunSummary {
    let run = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_7f3a);
    RunSummary {
        run,
        procedure: "tier-update".into(),
        operator: "oncall".into(),
        opened: ago(41),
        last: ago(40),
        inputs: Some(nightdesk::protocol::run::Inputs::of(by_profile())),
        subject: None,
        who: Some("j•••@a•••.com".into()),
        state: RunState::Unknown,
        attempts: vec![(Attempt { run, step: "apply".into(), attempt: 1 }, None)].into(),
        commands: vec![None].into(),
        undoes: None,
        proven: Vec::new(),
        held: false,
    }
}

fn quiet() -> World {
    let mut world = World::empty();
    for n in 1..=60 {
        add(&mut world, n, right_row);
    }
    world
}

fn open(world: World, handle: &str) -> Desk {
    let mut desk = Desk::settled(world);
    desk.event(Event::Pasted(handle.into()));
    desk.key(Key::Enter);
    desk
}

fn hits() -> Vec<Hit> {
    let hit = |source, handle, profile: Option<&str>, cus: Option<&str>, email: &str, note: &str, rank| Hit {
        source,
        handle,
        name: Some("Jane Doe".into()),
        email: Some(email.into()),
        subject: profile.map(key),
        customer: cus.map(String::from),
        note: note.into(),
        rank,
    };
    vec![
        hit(Source::Database, by_profile(), Some(PROFILE), Some(CUSTOMER), "jane.doe@acme.com", "PRO", 1),
        hit(Source::Database, Handle::Subject(key(OTHER)), Some(OTHER), Some(PLACEHOLDER), "jane@other.org", "FREE", 1),
        hit(Source::Stripe, by_customer(), None, Some(CUSTOMER), "jane.doe@acme.com", "customer", 0),
        hit(Source::Stripe, Handle::Stripe(id("cus_Third456789")), None, Some("cus_Third456789"), "jane@third.net", "customer", 2),
    ]
}

#[test]
fn home_while_it_reads() {
    let mut desk = Desk::new(incident());
    desk.pass(3);
    desk.snapshot("home_loading");
}

#[test]
fn home_on_a_quiet_night() {
    let desk = Desk::settled(quiet());
    desk.expect("All quiet. 60 events applied in 24 h, last 40 min ago.");
    desk.snapshot("home_empty");
}

#[test]
fn home_with_findings_ranked() {
    let desk = Desk::settled(incident());
    desk.snapshot("home_ready");
    let shown = desk.shown();
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no `{words}` on\n{shown}"));
    assert!(at("Nothing Stripe sent was applied since") < at("14 customers paid and are still FREE"));
    assert!(at("14 customers paid") < at("Your run 7f3a stopped at step apply"));
    desk.expect("3 hurt, EUR 147/mo");
    desk.expect("EUR 686/mo");
    desk.expect("Placeholder id in the row. Linking helps, resending does not.");
    desk.expect_not("3 customers");
}

#[test]
fn home_when_stripe_has_gone() {
    let mut desk = Desk::settled(incident());
    desk.world.down = vec![Source::Stripe];
    desk.pass(22);
    desk.expect("stripe STALE 22s");
    desk.snapshot("home_stale");
    desk.pass(30);
    desk.settle();
    desk.expect("Stripe does not answer");
    desk.expect("14 customers paid");
    desk.snapshot("home_stripe_down");
    desk.world.down.clear();
    desk.pass(20);
    desk.settle();
    desk.expect_not("Stripe does not answer");
}

#[test]
fn home_when_the_database_never_answered() {
    let mut world = incident();
    world.down = vec![Source::Database];
    let mut desk = Desk::settled(world);
    desk.pass(35);
    desk.settle();
    desk.snapshot("home_failed");
    desk.expect_not("paid and are still");
}

#[test]
fn home_never_calls_missing_what_may_be_hidden() {
    let mut world = incident();
    world.shape.trust = Trust::Limited(vec!["Row-level security is active for our role: rows are hidden without an error.".into()]);
    let desk = Desk::settled(world);
    desk.expect_not("FAIL");
    desk.expect("What is missing in the database cannot be told");
    desk.snapshot("home_untrusted");
}

#[test]
fn home_gives_young_changes_their_minute_and_confirms_before_it_alarms() {
    let mut world = World::placeholder();
    world.runs.clear();
    let s = &mut world.subscriptions[0];
    (s.created, s.items[0].period) = (now() - Duration::seconds(20), None);
    world.events[0] = event("evt_1Pabcdefghijka", "customer.subscription.created", &world.subscriptions[0], now() - Duration::seconds(20));
    world.invoices.clear();
    let mut desk = Desk::settled(world);
    desk.expect_not("FAIL");
    desk.expect("1 still within the time that effects take here (1 min)");
    for _ in 0..60 {
        desk.pass(1);
        desk.settle();
    }
    desk.expect("1 customer paid and is still FREE");
    // The event said PRO; the object has moved on since, and the row is as it demands today.
    let mut moved = World::healthy();
    moved.events[0].subscription.as_mut().expect("a snapshot").cancel_at_period_end = true;
    let desk = Desk::settled(moved);
    desk.expect("All quiet");
}

#[test]
fn home_reads_the_case_behind_an_event_that_carries_no_subscription() {
    let mut world = World::placeholder();
    world.runs.clear();
    let s = world.subscriptions[0].clone();
    let failed = event("evt_1Pabcdefghijkf", "invoice.payment_failed", &s, now() - Duration::minutes(20));
    world.events = vec![nightdesk::domain::stripe::StripeEvent { subscription: None, ..failed }];
    let desk = Desk::settled(world.clone());
    desk.expect("1 customer paid and is still FREE");
    let mut healthy = World::healthy();
    healthy.events = world.events;
    Desk::settled(healthy).expect("All quiet");
}

#[test]
fn home_follows_a_repair_within_a_scan() {
    let mut desk = Desk::settled(World::placeholder());
    desk.expect("1 customer paid and is still FREE");
    desk.world.records[0].row = Some(right_row(PROFILE, &desk.world.subscriptions[0]));
    desk.pass(16);
    desk.settle();
    desk.expect("All quiet");
}

#[test]
fn home_opens_one_lists_several_and_resumes_runs() {
    let mut desk = Desk::settled(incident());
    desk.keys("j");
    desk.key(Key::Enter);
    desk.expect("14 customers paid and are still FREE");
    desk.expect("cus_N…14");
    desk.snapshot("customers_of_a_finding");
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("Paid in Stripe, FREE in the app");
    desk.key(Key::Esc);
    desk.expect("14 customers paid and are still FREE");
    desk.key(Key::Esc);
    desk.keys("j");
    desk.key(Key::Enter);
    assert!(desk.effects.iter().any(|e| matches!(e, Effect::ResumeRun { .. })), "{:?}", desk.effects);
}

#[test]
fn home_reads_few_cases_at_a_time_and_not_more_than_fifty() {
    let mut world = World::empty();
    for n in 1..=70 {
        add(&mut world, n, |p, _| free_row(p, &format!("cus_temp_n{n:04}")));
    }
    let mut desk = Desk::new(world);
    desk.poll();
    let mut most = 0;
    for _ in 0..2_000 {
        most = most.max(desk.out.iter().filter(|(_, q)| q.source() == Source::Stripe).count());
        if desk.out.is_empty() {
            break;
        }
        let first = desk.out[0].1.clone();
        desk.answer_where(|q| *q == first);
    }
    assert!(most <= 14, "{most} Stripe calls at once");
    desk.expect("50 customers paid and are still FREE");
    desk.expect("20 more not looked at");
}
