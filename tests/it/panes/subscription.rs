//! The subscription beside its row.

use super::open;
use super::*;
use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::Status;
use nightdesk::protocol::key::Key;

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
