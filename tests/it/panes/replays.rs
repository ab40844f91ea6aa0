//! Replays from the webhooks pane: which events `f` and the menu take, that rows of one cause stay apart, and what Home says was changed.

use super::{add, quiet};
use crate::fixtures::*;
use crate::panes_desk::{Desk, environment};
use chrono::Duration;
use nightdesk::console::screen::Screen;
use nightdesk::domain::desk::Taken;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::deploy::Deploy;
use nightdesk::protocol::environment::{Environment, Offers};
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::run::Selection;

/// Three who paid and are not served, the newest first, and seven whose effects are there.
fn several() -> World {
    let mut world = World::empty();
    (1..=3).for_each(|n| add(&mut world, n, |p, s| free_row(p, s.customer.as_str())));
    (4..=10).for_each(|n| add(&mut world, n, right_row));
    world
}

/// Two whose rows hold placeholders, and three who have no row: one cause, and two ways to mend what it did.
fn two_ways() -> World {
    let mut world = World::empty();
    (1..=5).for_each(|n| add(&mut world, n, |p, _| free_row(p, &format!("cus_temp_n{n:04}"))));
    world.records[2..].iter_mut().for_each(|r| r.row = None);
    world
}

fn on_events(world: World) -> Desk {
    let mut desk = Desk::settled(world);
    desk.keys("2");
    desk.key(Key::Tab);
    desk.settle();
    desk
}

fn of(n: usize) -> StripeId {
    id(&format!("evt_Number{n:06}"))
}

/// What the review on screen is about.
fn selection(desk: &Desk) -> Option<Selection> {
    let Screen::Run(run) = desk.state.screens.top() else { panic!("no review: {}", desk.shown()) };
    desk.state.tasks.get(run).and_then(|r| r.run.inputs.selection.clone())
}

/// The row that the selection is on.
fn selected(desk: &Desk) -> String {
    desk.shown().lines().skip(3).find(|l| l.starts_with('›')).unwrap_or_default().to_string()
}

#[test]
fn f_takes_the_marked_events_and_the_one_under_the_cursor_where_none_is() {
    let mut desk = on_events(several());
    desk.keys("jf");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(2)])));
    desk.key(Key::Esc);
    desk.keys("gj  ");
    desk.expect("2 marked");
    desk.expect("f fix marked");
    desk.keys("f");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(2), of(3)])));
    desk.expect("Investigate failed webhook");
}

#[test]
fn of_what_is_marked_only_what_lacks_its_effect_is_reviewed_and_the_rest_is_said() {
    let mut desk = on_events(several());
    desk.keys("jj   ");
    desk.expect("3 marked");
    desk.keys("f");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(3)])));
    desk.expect("2 of the 3 marked lack no effect, and are left out");

    let mut desk = on_events(several());
    desk.keys("jjjjj  f");
    desk.expect("none of the 2 marked lacks its effect");
    assert_eq!(desk.state.screens.top(), Screen::Webhooks);
}

#[test]
fn the_menu_reviews_or_marks_all_that_the_filter_shows() {
    let mut desk = on_events(several());
    desk.keys("/verdict:missing");
    desk.key(Key::Enter);
    desk.keys("a");
    desk.expect("review the fix of all 3 shown that lack their effect");
    desk.keys("l");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(1), of(2), of(3)])));
    desk.key(Key::Esc);
    desk.keys("am");
    desk.expect("3 marked");
    desk.keys("j ");
    desk.expect("2 marked");
    desk.keys("f");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(1), of(3)])));
    desk.key(Key::Esc);
    desk.keys("an");
    desk.expect_not("marked");

    let mut desk = on_events(several());
    desk.keys("/verdict:applied");
    desk.key(Key::Enter);
    desk.keys("al");
    desk.expect("nothing that is shown lacks its effect");
}

#[test]
fn nothing_that_the_filter_hides_is_taken_into_a_review() {
    let mut desk = on_events(several());
    desk.keys("  ");
    desk.expect("2 marked");
    desk.keys("/cus_number000002");
    desk.key(Key::Enter);
    desk.expect("1 marked");
    desk.keys("f");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(2)])));
    desk.key(Key::Esc);
    desk.key(Key::Esc);
    desk.expect("1 marked · 10 events");
}

#[test]
fn everything_of_the_time_that_is_shown_can_be_reviewed() {
    for tab in 0..2 {
        let mut desk = Desk::settled(several());
        desk.keys("2");
        (0..tab).for_each(|_| desk.key(Key::Tab));
        desk.keys("a");
        desk.expect("review everything without effect of the last 24 hours");
        desk.keys("b");
        let Some(Selection::Window { from, until: None }) = selection(&desk) else { panic!("{:?}", selection(&desk)) };
        assert!((desk.at - from - Duration::hours(24)).num_seconds().abs() < 5, "{from}");
    }
}

#[test]
fn rows_of_one_cause_stay_apart_and_enter_lists_the_events_of_its_row() {
    let mut desk = Desk::settled(two_ways());
    desk.keys("2");
    let rows = desk.shown().lines().filter(|l| l.contains("no row for customer")).count();
    assert_eq!(rows, 2, "{}", desk.shown());
    desk.keys("j");
    let stood = selected(&desk);
    assert!(stood.contains("2 events"), "{}", desk.shown());
    desk.pass(5);
    desk.settle();
    assert_eq!(selected(&desk), stood, "it stays where it was put");
    desk.key(Key::Enter);
    desk.expect("fix:link");
    desk.expect("2 of 5 events");
    desk.key(Key::Esc);
    assert_eq!(selected(&desk), stood);
    desk.keys("f");
    assert_eq!(selection(&desk), Some(Selection::Events(vec![of(1), of(2)])));
    desk.key(Key::Esc);
    desk.keys("k");
    desk.key(Key::Enter);
    desk.expect("fix:none");
    desk.expect("3 of 5 events");
    desk.keys("/ fix:link");
    desk.expect("0 of 5 events");
}

#[test]
fn a_cause_that_began_anew_is_reopened_whatever_is_left_over_of_before() {
    let mut world = two_ways();
    let taken = |hours: i64| Taken { by: "ada".into(), at: now() - Duration::hours(hours), since: now() - Duration::hours(hours) };
    world.desk.taken.insert(Cause::NoRowForCustomer, taken(0));
    let mut desk = Desk::settled(world);
    desk.keys("2");
    desk.pass(16);
    desk.settle();
    desk.expect("ada has it.");
    // One that nobody could mend failed before ada took it, twenty hours ago.
    let mut world = two_ways();
    world.events[4].created = now() - Duration::hours(21);
    world.subscriptions[4].created = now() - Duration::hours(21);
    world.desk.taken.insert(Cause::NoRowForCustomer, taken(20));
    let mut desk = Desk::settled(world);
    desk.keys("2");
    desk.pass(16);
    desk.settle();
    desk.expect("ada had it, new ones failed since.");
}

fn deployed(world: World, deploys: &[(i64, &str)]) -> Desk {
    let mut desk = Desk::new(world);
    desk.world.deploys =
        deploys.iter().map(|(m, v)| Deploy { at: ago(*m), version: (*v).into(), by: Some("ada@acme.com".into()) }).collect();
    let offers = Offers { deploys: true, ..Offers::default() };
    desk.event(Event::EnvironmentChanged(Box::new(Environment { offers, ..environment() })));
    desk.poll();
    desk.settle();
    desk.pass(2);
    desk.settle();
    desk
}

#[test]
fn home_says_what_was_changed_lately_in_one_line() {
    let desk = deployed(quiet(), &[(60, "v414"), (95, "v413"), (60 * 30, "v412")]);
    desk.expect("All quiet.");
    desk.expect(&format!("changed: v414 by a•••@a•••.com, {} · 1 more in 8 h", ago(60).format("%H:%MZ")));
    desk.snapshot("home_changed");
    // Long ago is no news.
    deployed(quiet(), &[(60 * 9, "v413")]).expect_not("changed:");
}

#[test]
fn r_reads_the_whole_list_anew_also_behind_the_newest_that_is_known() {
    for pane in ["1", "2"] {
        let mut desk = on_events(several());
        desk.expect("10 events");
        let s = desk.world.subscriptions[9].clone();
        desk.world.events.push(event("evt_Backdated0001", "customer.subscription.updated", &s, ago(60 * 5)));
        desk.keys(pane);
        desk.keys("r");
        desk.pass(2);
        desk.settle();
        desk.keys("2");
        desk.expect("11 events");
    }
}

#[test]
fn a_field_that_events_do_not_have_is_answered_with_those_that_they_have_and_nothing_else() {
    let mut desk = on_events(several());
    desk.keys("/zzz:1");
    desk.expect("no field zzz: type id customer object subscription verdict cause fix age");
    desk.expect_not("No event in");
}
