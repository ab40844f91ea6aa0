//! The customer pane: the sentence, the truth table, and every state of its sources.

use super::open;
use crate::fixtures::*;
use nightdesk::domain::fault::Source;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;

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
