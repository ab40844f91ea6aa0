//! Replays from the webhooks pane: which events `f` and the menu take.

use super::add;
use crate::fixtures::*;
use crate::panes_desk::Desk;
use chrono::Duration;
use nightdesk::console::screen::Screen;
use nightdesk::domain::ids::StripeId;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::run::Selection;

/// Three who paid and are not served, the newest first, and seven whose effects are there.
fn several() -> World {
    let mut world = World::empty();
    (1..=3).for_each(|n| add(&mut world, n, |p, s| free_row(p, s.customer.as_str())));
    (4..=10).for_each(|n| add(&mut world, n, right_row));
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
