//! Drift on screen: what is accepted, whom it is said of, and that Home counts it no more.

use crate::fixtures::*;
use crate::panes_desk::Desk;
use chrono::Duration;
use nightdesk::domain::desk::{Accepted, DeskState};
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::webhooks::drift::Class;
use nightdesk::protocol::desk::DeskWrite;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;

/// Three who have paid for nine days, are linked and not served, and of whom no event tells.
fn three() -> World {
    let mut w = World::empty();
    for n in 0..3 {
        let mut s = subscription(&format!("sub_Drifted{n:05}"), &format!("cus_Drifted{n:05}"));
        s.created = ago(60 * 24 * 9);
        let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
        w.records.push(record(&profile, None, Some(free_row(&profile, s.customer.as_str()))));
        w.customers.push(customer(s.customer.as_str(), None));
        w.invoices.push(invoice(&format!("in_Drifted{n:05}"), &s));
        w.subscriptions.push(s);
        w.enforce(&profile, "FREE", 5);
    }
    w
}

/// The drift tab, the account compared, the first class open.
fn compared() -> Desk {
    let mut desk = Desk::settled(three());
    desk.keys("2");
    (0..2).for_each(|_| desk.key(Key::Tab));
    desk.key(Key::Enter);
    for _ in 0..5 {
        desk.pass(2);
        desk.settle();
    }
    desk.key(Key::Enter);
    desk.expect("paid, not served");
    desk
}

#[test]
fn the_review_of_several_names_them_and_what_changes() {
    let mut desk = compared();
    desk.keys("   f");
    desk.settle();
    for n in 0..3 {
        desk.expect(&format!("cus_D…0{n}: tier FREE → PRO, "));
    }
    desk.expect("Copy Stripe's truth to 3 rows");
    desk.expect_not("more: e");
}

#[test]
fn who_a_list_from_home_is_about_is_read_where_drift_knows_ids_alone() {
    let mut world = three();
    world.records.iter_mut().for_each(|r| r.subject.name = None);
    world.records[0].subject.email = Some("jane@acme.com".into());
    world.customers.iter_mut().for_each(|c| c.name = None);
    world.customers[1].email = Some("joe@firm.com".into());
    let mut desk = Desk::settled(world);
    desk.keys("2");
    (0..2).for_each(|_| desk.key(Key::Tab));
    desk.key(Key::Enter);
    for _ in 0..5 {
        desk.pass(2);
        desk.settle();
    }
    desk.keys("1");
    desk.pass(2);
    desk.expect("3 customers paid and are not served");
    desk.key(Key::Enter);
    desk.expect_not("no address");
    desk.settle();
    desk.expect("j•••@a•••.com");
    desk.expect("j•••@f•••.com");
    assert_eq!(desk.shown().matches("no address").count(), 1, "one has none: {}", desk.shown());
    assert_eq!(desk.shown().matches("EUR 49/mo · paid, not served").count(), 3, "{}", desk.shown());
}

fn accepted(desk: &Desk) -> Vec<(StripeId, Class)> {
    let of = |e: &Effect| match e {
        Effect::Desk(DeskWrite::AcceptDrift { customer, class, .. }) => Some((customer.clone(), *class)),
        _ => None,
    };
    desk.effects.iter().filter_map(of).collect()
}

/// Enter, meant for the dialog that has been on screen.
fn enter(desk: &mut Desk) {
    desk.wait(500);
    desk.event(Event::Painted);
    desk.wait(500);
    desk.key(Key::Enter);
}

#[test]
fn marked_ones_are_accepted_together_after_their_number_was_typed() {
    let mut desk = compared();
    desk.keys("  ");
    desk.expect("2 marked");
    desk.keys("a");
    desk.expect("accept the 2 marked");
    desk.keys("b");
    desk.expect("Accept the 2 marked: 2 paid, not served");
    desk.keys("a gift");
    enter(&mut desk);
    desk.expect("Type 2 to accept the 2 that are marked");
    desk.keys("3");
    enter(&mut desk);
    assert_eq!(accepted(&desk), [], "another number accepts nobody");
    desk.key(Key::Backspace);
    desk.keys("2");
    enter(&mut desk);
    let all = accepted(&desk);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|(_, class)| *class == Class::PaidNotServed), "{all:?}");
    desk.expect_not("2 marked ·");

    let until = desk.at + Duration::days(3);
    let accepted = all.into_iter().map(|(customer, class)| Accepted {
        customer,
        class,
        by: "oncall".into(),
        at: desk.at,
        until,
        reason: "a gift".into(),
    });
    desk.world.desk = DeskState { accepted: accepted.collect(), ..DeskState::default() };
    desk.pass(16);
    desk.settle();
    desk.expect("accepted until");
    desk.key(Key::Esc);
    desk.expect("2 accepted");
    desk.expect_not("3 customers");
    desk.keys("1");
    desk.pass(2);
    desk.expect("1 customer paid and is not served");
}

#[test]
fn marks_go_with_their_rows_and_with_the_list() {
    let mut desk = compared();
    desk.keys("  ");
    desk.expect("2 marked");
    desk.key(Key::Esc);
    desk.expect_not("marked");
    desk.key(Key::Enter);
    desk.expect_not("marked");
    desk.keys("  ");
    desk.world.subscriptions.clear();
    desk.keys("an");
    for _ in 0..5 {
        desk.pass(2);
        desk.settle();
    }
    desk.expect_not("marked");
}

#[test]
fn without_marks_the_row_under_the_cursor_is_named() {
    let mut desk = compared();
    desk.keys("a");
    desk.expect("accept cus_D…");
    desk.keys("b");
    desk.keys("a gift");
    enter(&mut desk);
    assert_eq!(accepted(&desk).len(), 1, "of one no number is asked");
}

#[test]
fn a_wrong_tier_that_is_accepted_is_no_finding_whatever_their_case_calls_it() {
    // Between two tiers that are both paid for a scan says `wrong tier`; the case of who is served less says that they are the worse for it.
    let more = "1 customer is served another tier than they pay for";
    for (served, due, says) in [("PRO", "ENTERPRISE", "1 customer paid and is still PRO"), ("ENTERPRISE", "PRO", more)] {
        let mut world = World::healthy();
        let buys = |tier| {
            let mut s = subscription(SUBSCRIPTION, CUSTOMER);
            s.items[0].price = price("price_some_month", Some(tier));
            s
        };
        world.records[0].row = Some(right_row(PROFILE, &buys(served)));
        world.enforce(PROFILE, served, 500);
        world.subscriptions = vec![buys(due)];
        world.events = vec![event("evt_1Pabcdefghijka", "customer.subscription.created", &buys(due), buys(due).created)];
        let mut desk = Desk::settled(world);
        desk.expect(says);
        let accepted = Accepted {
            customer: id(CUSTOMER),
            class: Class::WrongTier,
            by: "eve".into(),
            at: now(),
            until: now() + Duration::days(1),
            reason: "known".into(),
        };
        desk.world.desk = DeskState { accepted: vec![accepted], ..DeskState::default() };
        desk.pass(30);
        desk.settle();
        desk.pass(2);
        desk.expect_not(says);
        if due == "ENTERPRISE" {
            let row = desk.world.records[0].row.as_mut().expect("a row");
            row.image.insert(Field::Tier, Value::text("FREE"));
            desk.world.enforce(PROFILE, "FREE", 5);
            desk.pass(40);
            desk.settle();
            desk.pass(2);
            desk.expect("1 customer paid and is still FREE");
        }
    }
}

#[test]
fn what_is_accepted_is_no_finding_of_home_whoever_found_it() {
    let mut desk = Desk::settled(World::placeholder());
    desk.expect("1 customer paid and is still FREE");
    let one = |class, customer: &str| Accepted {
        customer: id(customer),
        class,
        by: "eve".into(),
        at: now(),
        until: now() + Duration::days(1),
        reason: "known".into(),
    };
    let accept = |desk: &mut Desk, a: Accepted| {
        desk.world.desk = DeskState { accepted: vec![a], ..DeskState::default() };
        desk.pass(30);
        desk.settle();
        desk.pass(2);
    };
    accept(&mut desk, one(Class::Period, CUSTOMER));
    desk.expect("1 customer paid and is still FREE");
    accept(&mut desk, one(Class::PaidNotServed, "cus_Somebody0001"));
    desk.expect("1 customer paid and is still FREE");
    accept(&mut desk, one(Class::PaidNotServed, CUSTOMER));
    desk.expect_not("is still FREE");
}
