//! The search pane: typed, pasted, found in two sources, not found.

use super::*;
use crate::fixtures::*;
use crate::panes_desk::Desk;
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::Source;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;

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
    let asked: Vec<_> = desk.out.iter().map(|(_, q)| q.clone()).filter(|q| matches!(q, Query::FindInStripe { .. })).collect();
    assert!(matches!(asked.as_slice(), [Query::FindInStripe { needle, .. }] if needle.0 == "jane"), "{asked:?}");
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
