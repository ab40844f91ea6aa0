//! The console while Stripe is silent: the mirror's copies stand in Stripe's column, with their age, and nothing is written by them.

use crate::bench::{Bench, Options};
use crate::fixtures::*;
use crate::panes_desk::Desk;
use crate::pty::{Console, variables};
use chrono::Duration;
use nightdesk::domain::fault::Source;
use nightdesk::domain::mirror::{Copied, Mirror, Mirrored};
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::mirror::Layout;
use nightdesk::sandbox::schema::{Naming, Profiles, Shape, Timestamps, Words};
use nightdesk::sandbox::stripe::{Effect, Rule};

const PLAIN: Shape = Shape { profiles: Profiles::Plain, timestamps: Timestamps::Tz, interval: Words::Monthly, naming: Naming::Usual };

/// Somebody who paid and whose linked row does not show it; a mirror of that age knows of it.
fn world(age: Duration) -> World {
    let mut w = World::healthy();
    w.records[0].row = Some(free_row(PROFILE, CUSTOMER));
    w.shape.mirror = true;
    let newest = Some(now() - age);
    w.mirror = Some(Mirrored {
        mirror: Mirror { newest, notes: Vec::new() },
        customers: w.customers.iter().map(|c| Copied { value: c.clone(), as_of: newest, livemode: Some(false) }).collect(),
        subscriptions: w.subscriptions.iter().map(|s| Copied { value: s.clone(), as_of: newest, livemode: Some(false) }).collect(),
        odd: 0,
    });
    w
}

fn open(world: World, down: bool) -> Desk {
    let mut desk = Desk::settled(world);
    if down {
        desk.world.down = vec![Source::Stripe];
    }
    desk.event(Event::Pasted(CUSTOMER.into()));
    desk.key(Key::Enter);
    desk
}

#[test]
fn the_mirror_stands_in_where_stripe_is_down() {
    let mut desk = open(world(Duration::seconds(12)), true);
    desk.settle();
    desk.expect("Mirror  10s old");
    desk.expect("Stripe's column: mirror in Postgres, 10s old; writes wait for Stripe.");
    desk.expect("PRO");
    desk.snapshot("customer_mirror");
    desk.key(Key::Char('f'));
    desk.expect("not on half the facts");
    desk.key(Key::Char('e'));
    desk.expect("mirror of Stripe in Postgres: 13 s old");
    // Stripe itself takes its place again.
    desk.key(Key::Esc);
    desk.world.down.clear();
    desk.key(Key::Char('r'));
    desk.settle();
    desk.expect_not("Mirror");
    desk.expect("f  ");
}

#[test]
fn a_stripe_that_hangs_is_not_waited_for() {
    let mut desk = open(world(Duration::seconds(12)), false);
    desk.answer_where(|q| q.source() != Source::Stripe);
    desk.expect_not("Mirror");
    desk.pass(2);
    desk.answer_where(|q| matches!(q, Query::Mirrored(_)));
    desk.expect("Mirror  1");
    desk.expect("PRO");
    desk.settle();
    desk.expect_not("Mirror");
}

#[test]
fn a_stale_mirror_is_marked_and_marks_nothing() {
    let mut desk = open(world(Duration::minutes(14)), true);
    desk.settle();
    desk.expect("Mirror  STALE 14m");
    desk.expect("mirror in Postgres, 14m old; not believed.");
    let tier = desk.shown().lines().find(|l| l.contains("tier") && l.contains("PRO")).expect("a tier").to_string();
    // The application may still differ from the row: those two were read.
    let (stripe, _) = tier.split_once("FREE").expect("the row's");
    assert!(stripe.contains("PRO") && !stripe.contains('≠'), "{tier}");
}

#[test]
fn a_copy_behind_an_event_that_was_listed_is_not_believed() {
    let mut w = world(Duration::seconds(12));
    for copy in &mut w.mirror.as_mut().expect("a mirror").subscriptions {
        copy.as_of = Some(ago(60));
    }
    let mut desk = open(w, true);
    desk.settle();
    desk.expect("behind, not believed.");
    desk.expect("Mirror  BEHIND 10s");
}

/// Somebody who paid and whose row holds a placeholder, opened from Home's list when Stripe has just fallen silent.
fn opened_from_home(mirror: bool) -> Desk {
    let mut w = World::placeholder();
    let copies = world(Duration::seconds(12)).mirror;
    (w.shape.mirror, w.mirror) = (mirror, copies.filter(|_| mirror));
    let mut desk = Desk::settled(w);
    desk.expect("1 customer paid and is still FREE");
    desk.world.down = vec![Source::Stripe];
    desk.key(Key::Enter);
    desk.settle();
    desk
}

#[test]
fn the_mirror_leads_to_the_row_of_one_who_has_one() {
    let mut desk = opened_from_home(true);
    desk.expect("Stripe's column: mirror in Postgres, 1");
    desk.expect("Whose it is: same e-mail");
    let tier = desk.shown().lines().find(|l| l.contains("tier  ")).expect("a tier").to_string();
    assert!(tier.contains("PRO") && tier.matches("FREE").count() == 2, "{tier}");
    desk.expect("Mirror  1");
    desk.expect("j•••@a•••.com");
    // The tabs follow: counters of the profile that the copies name, and what Stripe dated.
    desk.expect("mirror  ");
    desk.key(Key::Tab);
    desk.expect("searches");
    // It is shown, and nothing is concluded from it.
    desk.expect("Cannot tell: Stripe did not answer");
    desk.key(Key::Char('f'));
    desk.expect("not on half the facts");
    desk.world.down.clear();
    desk.key(Key::Char('r'));
    desk.settle();
    desk.expect_not("Mirror");
    desk.expect("PRO");
}

#[test]
fn whose_a_customer_is_stays_open_where_only_stripe_could_say() {
    let desk = opened_from_home(false);
    desk.expect("Cannot tell: Stripe did not answer");
    desk.expect("not known");
    desk.expect_not("no row");
    desk.expect_not("knows nobody");
    desk.expect("not asked");
}

#[test]
fn a_mirror_that_does_not_hold_them_says_so_with_its_age() {
    let mut w = world(Duration::seconds(12));
    let mirror = w.mirror.as_mut().expect("a mirror");
    (mirror.customers, mirror.subscriptions) = (Vec::new(), Vec::new());
    let mut desk = open(w, true);
    desk.settle();
    desk.expect("Stripe's mirror in Postgres, 10s old, holds nothing of them: that is not");
    desk.expect_not("Mirror  ");
    desk.expect("no answer");
}

#[test]
fn the_mirrors_age_goes_by_stripes_clock() {
    let mut w = world(Duration::seconds(12));
    // This machine is ten minutes behind: by its own clock the copies are of a time to come.
    w.clock_ahead = Some(600);
    let mirror = w.mirror.as_mut().expect("a mirror");
    mirror.mirror.newest = mirror.mirror.newest.map(|at| at + Duration::seconds(600));
    for copy in &mut mirror.subscriptions {
        copy.as_of = copy.as_of.map(|at| at + Duration::seconds(600));
    }
    let mut desk = open(w, true);
    desk.settle();
    desk.expect("Mirror  1");
    desk.expect("s old; writes wait for Stripe.");
}

#[test]
fn without_a_mirror_nothing_is_asked_of_one() {
    let mut w = world(Duration::zero());
    (w.shape.mirror, w.mirror) = (false, None);
    let mut desk = open(w, true);
    for _ in 0..4 {
        assert!(!desk.out.iter().any(|(_, q)| matches!(q, Query::Mirrored(_) | Query::FindInMirror { .. })), "{:?}", desk.out);
        desk.answer_where(|_| true);
        desk.pass(1);
    }
    desk.expect("no answer");
}

#[test]
fn the_search_falls_back_to_the_mirror() {
    let mut w = world(Duration::seconds(12));
    let handle = nightdesk::domain::facts::Handle::Stripe(id(CUSTOMER));
    w.hits = vec![nightdesk::protocol::query::Hit {
        source: Source::Stripe,
        handle,
        name: None,
        email: Some("jane.doe@acme.com".into()),
        subject: None,
        customer: Some(CUSTOMER.into()),
        note: String::new(),
        rank: 0,
    }];
    let mut desk = Desk::settled(w);
    desk.world.down = vec![Source::Stripe];
    desk.keys("3jane");
    desk.pass(1);
    desk.settle();
    desk.expect("mirror, 1");
    desk.expect("its mirror in Postgres");
    desk.expect("j•••@a•••.com");
    desk.world.down.clear();
    desk.world.hits.clear();
    desk.key(Key::Char('x'));
    desk.pass(1);
    desk.settle();
    desk.expect_not("mirror");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_real_console_finds_the_row_by_the_mirror_in_both_layouts() {
    for (profiles, layout) in [(Shape::default(), Layout::Documents), (PLAIN, Layout::Columns)] {
        let bench = Bench::start(Options { shape: profiles, ..Options::default() }).await;
        let labels = bench.strike(Incident::PlaceholderCustomers, 6).await;
        let _mirror = super::mirror(&bench, layout).await;
        let mut console = Console::start(&variables(&bench), 100, 30, &[]);
        console.wait_until("their finding", |s| s.contains("are still FREE"));
        bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
        for payer in &labels {
            console.send("1");
            console.paste(payer.label.subject.customer.as_deref().expect("a customer"));
            console.settled(std::time::Duration::from_millis(250));
            console.send("\r");
            console.wait_until("the mirror's facts", |s| s.contains("Mirror  ") && s.contains(" old") && s.contains("active"));
            console.wait_until("whose it is, or that it is open", |s| s.contains("FREE") || s.contains("not known"));
            let screen = console.screen();
            assert!(!screen.contains("no row") && !screen.contains("knows nobody"), "{layout:?}\n{screen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_real_console_shows_the_mirrors_facts_while_stripe_hangs() {
    let bench = Bench::start(Options::default()).await;
    let labels = bench.strike(Incident::MissedWebhooks, 2).await;
    let _mirror = super::mirror(&bench, Layout::Columns).await;
    let mut console = Console::start(&variables(&bench), 100, 30, &[]);
    console.wait_for("Nothing Stripe sent was applied since");
    bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    console.paste(&labels[0].profile);
    console.settled(std::time::Duration::from_millis(250));
    console.send("\r");
    console.wait_until("the mirror's facts", |s| s.contains("Mirror  ") && s.contains(" old") && s.contains("active"));
    let screen = console.screen();
    assert!(screen.contains("Stripe's column: mirror in Postgres"), "{screen}");
    // No write is offered on it.
    console.send("f");
    console.wait_until("a refusal", |s| s.contains("not on half the facts") || s.contains("still reading"));
}
