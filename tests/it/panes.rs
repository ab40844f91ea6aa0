//! The panes on screen: every state of every pane at both sizes, and the ways between them.

use super::fixtures::*;
use super::panes_desk::Desk;
use chrono::Duration;
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::Source;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::shape::Trust;
use nightdesk::domain::stripe::Status;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Hit, Query};
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
        attempts: vec![(Attempt { run, step: "apply".into(), attempt: 1 }, None)],
        commands: vec![None],
        undoes: None,
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

// -- Home

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
    assert!(at("14 customers paid and are still FREE") < at("3 customers paid and are still FREE"));
    assert!(at("3 customers paid") < at("Your run 7f3a stopped at step apply"));
    desk.expect("EUR 686/mo");
    desk.expect("Placeholder id in the row. Linking helps, resending does not.");
    desk.expect("The row is linked and still as before; copying from Stripe helps.");
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
    desk.expect("1 younger than a minute, given time");
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
    desk.keys("jj");
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

// -- Customers

#[test]
fn customers_before_anything_is_typed() {
    let mut desk = Desk::settled(quiet());
    desk.keys("3");
    desk.snapshot("customers_empty");
    assert!(desk.state.is_editing(), "the field has the focus");
}

#[test]
fn customers_while_it_reads_and_with_one_source_in() {
    let mut world = quiet();
    world.hits = hits();
    let mut desk = Desk::settled(world);
    desk.keys("3jane");
    desk.answer_where(|q| matches!(q, Query::FindInDatabase { .. }));
    desk.expect("Reading stripe…");
    desk.expect("o•••.org");
    desk.pass(2);
    desk.snapshot("customers_loading");
    let asked: Vec<_> = desk.out.iter().map(|(_, q)| q.clone()).filter(|q| q.source() == Source::Stripe).collect();
    assert!(matches!(asked.as_slice(), [.., Query::FindInStripe { needle, .. }] if needle.0 == "jane"), "{asked:?}");
}

#[test]
fn customers_of_both_sources_merged_and_ranked() {
    let mut world = quiet();
    world.hits = hits();
    let mut desk = Desk::settled(world);
    desk.keys("3jane");
    desk.pass(1);
    desk.settle();
    desk.snapshot("customers_ready");
    assert_eq!(desk.state.customers.rows().len(), 3, "one person is one row");
    assert!(!desk.shown().contains("jane.doe"), "masked");
    desk.key(Key::Down);
    desk.key(Key::Enter);
    desk.settle();
    assert_eq!(desk.state.customer.handle(), Some(&Handle::Subject(key(OTHER))));
}

#[test]
fn customers_nobody_found_and_one_source_failed() {
    let mut desk = Desk::settled(quiet());
    desk.keys("3nobody");
    desk.pass(1);
    desk.settle();
    desk.expect("Nobody found by id, address or name, in the database or at Stripe.");
    desk.snapshot("customers_nobody");
    desk.world.down = vec![Source::Stripe];
    desk.world.hits = hits();
    desk.keys("x");
    desk.pass(1);
    desk.settle();
    desk.expect("stripe time-out");
    desk.snapshot("customers_partial");
    desk.world.down.push(Source::Database);
    desk.keys("y");
    desk.pass(1);
    desk.settle();
    desk.snapshot("customers_failed");
    desk.world.down.clear();
    for _ in 0..12 {
        desk.pass(1);
        desk.settle();
    }
    desk.expect("j•••@a•••.com");
}

#[test]
fn a_paste_anywhere_shows_the_hit_and_enter_goes_there() {
    let mut world = World::placeholder();
    world.hits = hits();
    let mut desk = Desk::settled(world);
    desk.event(Event::Pasted(CUSTOMER.into()));
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("Paid in Stripe, FREE in the app since 02:44Z");
}

// -- Customer

fn open(world: World, handle: &str) -> Desk {
    let mut desk = Desk::settled(world);
    desk.event(Event::Pasted(handle.into()));
    desk.key(Key::Enter);
    desk
}

#[test]
fn customer_while_sources_answer_one_by_one() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.answer_where(|q| q.source() == Source::Database);
    desk.pass(2);
    desk.snapshot("customer_loading");
    desk.expect("Reading");
    desk.answer_where(|q| matches!(q, Query::Customer(_)));
    desk.expect("j•••@a•••.com");
}

#[test]
fn giving_up_a_read_leaves_nothing_waiting() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.answer_where(|q| matches!(q, Query::Customer(_)));
    desk.key(Key::Ctrl('c'));
    desk.expect("Cannot tell");
    assert!(!desk.state.customer.is_reading(), "{}", desk.shown());
    desk.key(Key::Char('r'));
    desk.settle();
    desk.expect("Paid in Stripe");
}

#[test]
fn customer_with_a_placeholder() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.settle();
    desk.snapshot("customer_ready");
    desk.expect("The row holds cus_temp_ab12, so the webhook found nobody to change.");
    desk.expect("f  Link, then copy five fields from Stripe");
    desk.expect("can be undone");
    for hidden in ["jane.doe", "Jane Doe", CUSTOMER, PROFILE] {
        desk.expect_not(hidden);
    }
    desk.key(Key::Tab);
    desk.snapshot("customer_quota");
    desk.key(Key::Tab);
    desk.snapshot("customer_invoices");
}

#[test]
fn customer_on_the_smallest_screen_in_ascii() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.settle();
    desk.state.theme.glyphs = nightdesk::console::widgets::theme::Glyphs::Ascii;
    let shown = desk.screen(60, 20);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!("customer_ready_ascii_60x20", shown);
    desk.key(Key::Char('1'));
    desk.settle();
    let shown = desk.screen(60, 20);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!("home_ready_ascii_60x20", shown);
}

#[test]
fn a_missing_permission_is_not_asked_for_again_and_again() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    let missing = nightdesk::domain::fault::FaultKind::Permission { missing: Some("rak_subscription_read".into()) };
    let fault = nightdesk::domain::fault::Fault::new(Source::Stripe, missing, "The key lacks rak_subscription_read.");
    while let Some((ticket, query)) = desk.out.pop() {
        let result = if matches!(query, Query::SubscriptionsOf(_)) { Err(fault.clone()) } else { desk.world.answer(&query) };
        desk.event(Event::ReplyArrived { ticket, query, result });
    }
    desk.expect("The key lacks rak_subscription_read.");
    for _ in 0..12 {
        desk.pass(1);
        assert!(!desk.out.iter().any(|(t, _)| matches!(t.slot, nightdesk::protocol::ticket::Slot::Case(_))), "{:?}", desk.out);
    }
}

#[test]
fn customer_in_order() {
    let mut desk = open(World::healthy(), CUSTOMER);
    desk.settle();
    desk.snapshot("customer_fine");
    desk.keys("f");
    desk.expect("nothing to fix: the row is as Stripe demands");
}

#[test]
fn customer_that_exists_nowhere() {
    let mut desk = open(World::empty(), "cus_Nowhere12345");
    desk.settle();
    desk.snapshot("customer_empty");
}

#[test]
fn customer_with_two_stripe_customers_and_a_choice_to_make() {
    let mut world = World::placeholder();
    let mut second = subscription("sub_Second123456", "cus_Second123456");
    second.created = ago(60 * 24 * 9);
    world.customers.push(customer("cus_Second123456", Some("jane.doe@acme.com")));
    world.subscriptions.push(second);
    let mut desk = open(world, PROFILE);
    desk.settle();
    desk.expect("2 live subscriptions at Stripe for one profile");
    desk.expect("also");
    desk.snapshot("customer_decide");
}

#[test]
fn customer_when_a_source_is_down_shows_what_the_others_say_and_recovers() {
    let mut world = World::healthy();
    world.down = vec![Source::Stripe];
    let mut desk = open(world, CUSTOMER);
    desk.settle();
    desk.pass(31);
    desk.settle();
    desk.expect("Cannot tell: Stripe did not answer");
    desk.snapshot("customer_failed");
    desk.keys("f");
    desk.expect("not on half the facts");
    desk.world.down.clear();
    for _ in 0..12 {
        desk.pass(1);
        desk.settle();
    }
    desk.expect("PRO until 22 Dec 2026, active");
}

#[test]
fn customer_with_the_database_down_shows_stripes_part() {
    let mut world = World::placeholder();
    world.down = vec![Source::Database];
    let mut desk = open(world, CUSTOMER);
    desk.settle();
    desk.expect("Cannot tell: the database did not answer");
    desk.expect("sub_1…2x");
    desk.expect("tier          PRO");
    desk.expect("EUR 49.00");
}

#[test]
fn customer_read_a_while_ago_says_so_and_is_read_again() {
    let mut desk = open(World::healthy(), CUSTOMER);
    desk.settle();
    desk.world.down = vec![Source::Stripe];
    desk.pass(18);
    desk.out.clear();
    desk.pass(60);
    desk.expect("read 1m ago");
    desk.snapshot("customer_stale");
    desk.world.down.clear();
    desk.poll();
    desk.key(Key::Char('r'));
    desk.expect("PRO until 22 Dec 2026, active");
    desk.settle();
    desk.expect_not("ago");
}

#[test]
fn evidence_actions_and_copies_hold_no_personal_data() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.settle();
    for k in ["e", "a", "c"] {
        desk.keys(k);
        desk.snapshot(&format!("customer_menu_{k}"));
        for hidden in ["jane.doe", "Jane Doe"] {
            desk.expect_not(hidden);
        }
        desk.key(Key::Esc);
    }
}

#[test]
fn the_fix_opens_a_review_and_writes_nothing() {
    let mut desk = open(World::placeholder(), CUSTOMER);
    desk.settle();
    desk.effects.clear();
    desk.keys("f");
    desk.settle();
    assert!(desk.effects.iter().all(|e| matches!(e, Effect::Read { .. })), "{:?}", desk.effects);
    desk.expect("FREE");
}

// -- Subscription

#[test]
fn subscription_next_to_its_row() {
    let mut world = World::placeholder();
    world.subscriptions[0].metadata = metadata(&[("profileId", PROFILE), ("contact", "jane.doe@acme.com")]);
    let mut desk = open(world, CUSTOMER);
    desk.key(Key::Enter);
    desk.expect("Stripe has no subscription here");
    desk.settle();
    desk.key(Key::Enter);
    desk.snapshot("subscription_ready");
    desk.expect("price_pro_month");
    desk.expect_not("jane.doe");
    desk.key(Key::Esc);
    desk.expect("Paid in Stripe");
}

#[test]
fn subscription_with_two_tiers_ended_or_paused() {
    let mut world = World::healthy();
    let s = &mut world.subscriptions[0];
    s.items.push(item("si_2", price("price_ent_month", Some("ENTERPRISE")), ago(28)));
    s.pause = Some("void".into());
    s.trial_end = Some(now() + Duration::days(3));
    let mut ended = subscription("sub_Ended1234567", CUSTOMER);
    (ended.status, ended.ended_at, ended.canceled_at) = (Status::Canceled, Some(ago(60 * 24 * 40)), Some(ago(60 * 24 * 41)));
    ended.created = ago(60 * 24 * 90);
    world.subscriptions.push(ended);
    let mut desk = open(world, CUSTOMER);
    desk.settle();
    desk.key(Key::Enter);
    desk.expect("two items map to different tiers");
    desk.snapshot("subscription_two_tiers");
    desk.key(Key::Tab);
    desk.expect("2 of 2");
    desk.snapshot("subscription_ended");
}

#[test]
fn hostile_names_never_reach_a_cell_raw() {
    let hostile = "\u{1b}[31m\u{1b}]52;c;aGk=\u{7}\u{202e}evil";
    let mut world = World::placeholder();
    world.hits = hits();
    world.hits[1].email = Some(format!("{hostile}@x.org"));
    world.hits[1].note = hostile.into();
    world.records[0].row.as_mut().expect("a row").image.insert(Field::Tier, Value::text(hostile));
    let mut desk = open(world, CUSTOMER);
    desk.settle();
    let clean = |text: &str| text.chars().all(|c| c == '\n' || !nightdesk::domain::text::is_hostile(c));
    assert!(clean(&desk.shown()));
    desk.key(Key::Esc);
    desk.settle();
    assert!(clean(&desk.shown()));
}
