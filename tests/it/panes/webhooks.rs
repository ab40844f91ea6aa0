//! The webhooks pane: its tabs in every state, the way from a cause to one event, and that no letter of it writes.

use crate::fixtures::*;
use crate::panes_desk::Desk;
use chrono::Duration;
use nightdesk::console::screen::Screen;
use nightdesk::domain::fault::Source;
use nightdesk::domain::webhooks::endpoint::{Endpoint, HANDLED};
use nightdesk::domain::webhooks::probe::{Came, Probed, Shot};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::run::Selection;
use nightdesk::protocol::ticket::Slot;

fn endpoint(n: usize, enabled: bool, events: &[&str]) -> Endpoint {
    Endpoint {
        id: id(&format!("we_Endpoint{n:04}")),
        url: format!("https://acme.example/billing/webhooks/stripe{n}"),
        enabled,
        api_version: (n == 1).then(|| "2025-03-31.basil".into()),
        events: events.iter().map(ToString::to_string).collect(),
        livemode: n == 1,
    }
}

/// Answers what is out for the endpoints with these.
fn answer_endpoints(desk: &mut Desk, endpoints: &[Endpoint]) {
    let at = desk.out.iter().position(|(t, _)| t.slot == Slot::Endpoints).expect("they were asked for");
    let (ticket, query) = desk.out.remove(at);
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Endpoints(endpoints.to_vec())) });
}

fn silent(desk: &mut Desk) {
    desk.world.down = vec![Source::Stripe];
    desk.pass(22);
}

fn on_tab(desk: &mut Desk, tab: usize) {
    desk.keys("2");
    for _ in 0..tab {
        desk.key(Key::Tab);
    }
    desk.settle();
}

#[test]
fn causes_in_every_state() {
    let mut desk = Desk::new(World::placeholder());
    desk.keys("2");
    desk.pass(3);
    desk.expect("Reading what Stripe sent in 24 h");
    desk.snapshot("webhooks_causes_loading");
    let mut desk = Desk::settled(World::healthy());
    on_tab(&mut desk, 0);
    desk.expect("No effect is missing: 1 event in 24 h looked at.");
    desk.snapshot("webhooks_causes_empty");
    let mut desk = Desk::settled(World::placeholder());
    on_tab(&mut desk, 0);
    desk.expect("FAIL");
    desk.expect("1 event  1 customer");
    desk.snapshot("webhooks_causes_ready");
    silent(&mut desk);
    desk.expect("stripe STALE 22s");
    desk.expect("FAIL");
    desk.snapshot("webhooks_causes_stale");
    let mut world = World::placeholder();
    world.down = vec![Source::Stripe, Source::Database];
    let mut desk = Desk::settled(world);
    desk.keys("2");
    desk.pass(3);
    desk.settle();
    desk.expect("r reads again");
    desk.snapshot("webhooks_causes_failed");
}

#[test]
fn events_in_every_state() {
    let mut desk = Desk::new(World::placeholder());
    desk.keys("2");
    desk.key(Key::Tab);
    desk.pass(3);
    desk.snapshot("webhooks_events_loading");
    let mut desk = Desk::settled(World::empty());
    on_tab(&mut desk, 1);
    desk.expect("No event in 24 h.");
    desk.snapshot("webhooks_events_empty");
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 1);
    desk.expect("subscription.updated");
    desk.expect("missing");
    desk.snapshot("webhooks_events_ready");
    assert!(desk.screen(60, 20).contains("missing"), "{}", desk.screen(60, 20));
    silent(&mut desk);
    desk.expect("STALE");
    desk.snapshot("webhooks_events_stale");
    let mut world = many();
    world.down = vec![Source::Stripe, Source::Database];
    let mut desk = Desk::settled(world);
    on_tab(&mut desk, 1);
    desk.snapshot("webhooks_events_failed");
}

/// One who waits for an effect, and a day of events of others whose effects are there.
fn many() -> World {
    let mut world = World::placeholder();
    for n in 0..40 {
        let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
        let mut s = subscription(&format!("sub_Number{n:06}"), &format!("cus_Number{n:06}"));
        s.created = ago(20 * n + 40);
        s.items[0].period = Some(nightdesk::domain::stripe::Period { start: s.created, end: s.created + Duration::days(30) });
        world.records.push(record(&profile, Some(&format!("person{n}@firm{n}.com")), Some(right_row(&profile, &s))));
        let kind = if n % 2 == 0 { "customer.subscription.updated" } else { "customer.subscription.created" };
        world.events.push(event(&format!("evt_Number{n:06}"), kind, &s, s.created));
        world.subscriptions.push(s);
    }
    world.events.sort_by_key(|e| std::cmp::Reverse(e.created));
    world
}

#[test]
fn a_filter_narrows_at_every_key_and_esc_drops_it() {
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 1);
    desk.expect("41 events");
    desk.keys("/type:updated");
    desk.expect("20 of 41 events");
    desk.key(Key::Enter);
    assert!(!desk.state.is_editing());
    desk.snapshot("webhooks_events_filtered");
    desk.keys("/ !cus_number000002");
    desk.expect("19 of 41 events");
    desk.keys(" nonsense:x");
    desk.expect("no field nonsense");
    desk.key(Key::Esc);
    desk.expect("41 events");
    desk.keys("v");
    desk.expect("grouped by type");
    desk.snapshot("webhooks_events_grouped");
    desk.key(Key::Enter);
    desk.expect("filter");
    desk.keys("q");
    desk.keys("ssss");
    desk.expect("by customer");
    desk.keys("q");
    assert_eq!(desk.state.screens.top(), Screen::Home);
}

#[test]
fn from_a_cause_to_its_event_beside_the_row_and_back() {
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 0);
    desk.key(Key::Enter);
    desk.expect("filter");
    desk.expect("1 of 41 events");
    desk.key(Key::Enter);
    desk.settle();
    assert_eq!(desk.state.screens.top(), Screen::Event);
    desk.expect("Stripe says now");
    desk.expect("No row holds this customer. This one is theirs");
    desk.snapshot("webhooks_event_differences");
    desk.key(Key::Tab);
    desk.expect("\"evt_1Pabcdefghijka\"");
    desk.snapshot("webhooks_event_payload");
    desk.key(Key::Enter);
    desk.expect("{ 1 line }");
    desk.key(Key::Esc);
    desk.key(Key::Esc);
    desk.expect("›Causes");
    desk.key(Key::Esc);
    assert_eq!(desk.state.screens.top(), Screen::Home);
}

#[test]
fn a_filter_is_named_where_one_comes_back_to_it_and_esc_drops_it_first() {
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 1);
    desk.keys("/type:updated");
    desk.key(Key::Enter);
    desk.keys("1");
    desk.keys("2");
    desk.expect("filtered: 20 of 41 events in 24 h");
    desk.key(Key::Esc);
    assert_eq!(desk.state.screens.top(), Screen::Webhooks);
    desk.expect_not("filtered");
    desk.expect("41 events in 24 h");
    // Also where it lets everything through.
    desk.keys("/evt_");
    desk.expect("filtered: 41 of 41 events");
}

#[test]
fn f_on_a_cause_is_about_its_very_events() {
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 0);
    desk.keys("f");
    let Screen::Run(run) = desk.state.screens.top() else { panic!("{:?}", desk.state.screens.top()) };
    let inputs = &desk.state.tasks.get(run).expect("the run").run.inputs;
    assert_eq!(inputs.selection, Some(Selection::Events(vec![id("evt_1Pabcdefghijka")])));
}

#[test]
fn f_on_one_who_has_drifted_leads_to_the_repair_that_links() {
    let mut desk = Desk::settled(World::placeholder());
    on_tab(&mut desk, 2);
    desk.key(Key::Enter);
    desk.pass(2);
    desk.settle();
    desk.snapshot("webhooks_drift_ready");
    desk.key(Key::Enter);
    desk.keys("f");
    desk.settle();
    desk.expect("Manual tier update");
    desk.expect("Link, then copy five fields from Stripe");
}

#[test]
fn new_events_wait_while_something_is_selected() {
    let mut desk = Desk::settled(many());
    on_tab(&mut desk, 1);
    desk.keys("jjj");
    let before = desk.shown();
    let s = desk.world.subscriptions[3].clone();
    desk.world.events.insert(0, event("evt_Fresh0001", "customer.subscription.updated", &s, desk.at));
    desk.pass(16);
    desk.settle();
    desk.expect("1 new, g shows them");
    let list = |screen: &str| screen.lines().skip(4).take(15).map(String::from).collect::<Vec<_>>();
    assert_eq!(list(&before), list(&desk.shown()), "nothing moved");
    desk.keys("g");
    desk.expect_not("1 new");
    desk.keys(" ");
    desk.expect("1 marked");
}

#[test]
fn endpoints_in_every_state_and_the_probe_is_asked_for_once_on_live() {
    let mut desk = Desk::settled(World::placeholder());
    desk.keys("2");
    desk.key(Key::BackTab);
    desk.pass(2);
    desk.expect("Reading the endpoints registered in Stripe");
    desk.snapshot("webhooks_endpoints_loading");
    answer_endpoints(&mut desk, &[]);
    desk.expect("No webhook endpoint is registered");
    desk.snapshot("webhooks_endpoints_empty");
    desk.keys("r");
    answer_endpoints(&mut desk, &[endpoint(1, true, HANDLED), endpoint(2, true, &HANDLED[..3]), endpoint(3, false, &["*"])]);
    desk.expect("does not get invoice.payment_failed");
    desk.snapshot("webhooks_endpoints_ready");
    desk.keys("ap");
    assert!(!desk.out.iter().any(|(_, q)| *q == Query::Probe), "asked before it is sent");
    desk.expect("send the probe to the LIVE endpoint");
    desk.keys("y");
    assert!(desk.out.iter().any(|(_, q)| *q == Query::Probe));
    desk.expect("probing");
}

#[test]
fn what_a_probe_meets_explains_what_nothing_else_does() {
    let mut world = World::placeholder();
    world.records[0].row = Some(free_row(PROFILE, CUSTOMER));
    let mut desk = Desk::settled(world);
    on_tab(&mut desk, 0);
    desk.expect("would tell the cause");
    let body = "no database".into();
    let ready = Came::Answer { status: 503, milliseconds: 4, body, location: None, skew_seconds: None };
    let shots = vec![(Shot::Ready, ready)];
    let probed = Probed { url: "https://acme.example/billing/webhooks/stripe1".into(), shots };
    on_tab(&mut desk, 3);
    desk.keys("ap");
    desk.keys("y");
    let at = desk.out.iter().position(|(t, _)| t.slot == Slot::Probe).expect("it was asked for");
    let (ticket, query) = desk.out.remove(at);
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Probed(probed)) });
    desk.pass(2);
    desk.settle();
    desk.key(Key::Tab);
    desk.expect("does not reach its database");
    desk.expect_not("would tell the cause");
}

#[test]
fn an_endpoint_deleted_in_between_is_said_and_the_selection_stays_on_its_own() {
    let mut desk = Desk::settled(World::placeholder());
    desk.keys("2");
    desk.key(Key::BackTab);
    desk.keys("f");
    desk.expect("the endpoints are not read yet");
    answer_endpoints(&mut desk, &[endpoint(1, true, HANDLED), endpoint(2, true, HANDLED), endpoint(3, true, HANDLED)]);
    desk.keys("jjr");
    answer_endpoints(&mut desk, &[endpoint(1, true, HANDLED), endpoint(3, true, HANDLED)]);
    desk.expect("was deleted in Stripe meanwhile");
    assert!(desk.shown().lines().any(|l| l.starts_with('›') && l.contains("stripe3")), "{}", desk.shown());
    desk.keys("f");
    assert!(matches!(desk.state.screens.top(), Screen::Run(_)), "the emergency begins");
    let env = crate::panes_desk::environment();
    let env = nightdesk::protocol::environment::Environment { webhook_url: Some(endpoint(1, true, HANDLED).url), ..env };
    let mut desk = Desk::settled(World::placeholder());
    desk.event(Event::EnvironmentChanged(Box::new(env)));
    desk.keys("2");
    desk.key(Key::BackTab);
    answer_endpoints(&mut desk, &[endpoint(2, true, HANDLED)]);
    desk.keys("f");
    desk.expect("this endpoint is not the application's");
}

#[test]
fn drift_before_a_comparison_begins_one() {
    let mut desk = Desk::settled(World::placeholder());
    on_tab(&mut desk, 2);
    desk.expect("have not been compared yet");
    desk.snapshot("webhooks_drift_empty");
    desk.key(Key::Enter);
    assert!(desk.state.world.drift.scan().is_some(), "it is under way");
    desk.snapshot("webhooks_drift_loading");
}

#[test]
fn no_letter_on_any_tab_writes() {
    for tab in 0..4 {
        for letter in ('a'..='z').chain(" !/?123456".chars()) {
            let mut desk = Desk::settled(World::placeholder());
            desk.keys("2");
            for _ in 0..tab {
                desk.key(Key::Tab);
            }
            desk.key(Key::Char(letter));
            let wrote = desk
                .effects
                .iter()
                .find(|e| matches!(e, Effect::Perform(_) | Effect::OpenRun { .. } | Effect::Desk(_) | Effect::TurnWritesOn { .. }));
            assert!(wrote.is_none(), "`{letter}` on tab {tab}: {wrote:?}");
            let probes = desk.out.iter().any(|(_, q)| *q == Query::Probe);
            assert!(!probes, "`{letter}` on tab {tab} probes");
        }
    }
}
