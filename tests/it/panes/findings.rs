//! Home's rules: the verdict on an event's snapshot, the amounts, the order and the words of findings.

use crate::fixtures::*;
use crate::panes_desk::{Desk, environment};
use chrono::Duration;
use nightdesk::console::screen::Screen;
use nightdesk::domain::desk::DeskState;
use nightdesk::domain::diagnosis::{Cause, Class, Word};
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::Source;
use nightdesk::domain::findings::{About, Interrupted, Judged, Silent, Trouble, findings, monthly, whole};
use nightdesk::domain::money::Money;
use nightdesk::domain::row::{Field, SubscriptionRow, Value};
use nightdesk::domain::stripe::Interval;
use nightdesk::domain::webhooks::cause::Cause as Named;
use nightdesk::domain::webhooks::endpoint::Endpoint;
use nightdesk::protocol::desk::DeskWrite;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Environment;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::ticket::Slot;
use uuid::Uuid;

#[test]
fn amounts_are_by_the_month_and_in_one_currency() {
    let mut s = subscription(SUBSCRIPTION, CUSTOMER);
    assert_eq!(monthly(&s).map(|m| whole(&m)).as_deref(), Some("EUR 49"));
    s.items[0].quantity = 3;
    assert_eq!(monthly(&s), Some(Money::new(14_700, "eur")));
    (s.items[0].quantity, s.items[0].price.interval) = (1, Some(Interval::Year));
    s.items[0].price.unit_amount = Some(Money::new(49_900, "eur"));
    assert_eq!(monthly(&s).map(|m| whole(&m)).as_deref(), Some("EUR 41.58"));
    s.items[0].price.interval_count = 2;
    assert_eq!(monthly(&s), Some(Money::new(2_079, "eur")));
    let mut other = price("price_usd", None);
    other.unit_amount = Some(Money::new(100, "usd"));
    s.items.push(item("si_2", other, ago(1)));
    assert_eq!(monthly(&s), None, "no sum over two currencies");
    s.items[0].price.unit_amount = Some(Money::new(i64::MAX, "eur"));
    s.items[0].quantity = 9;
    s.items.truncate(1);
    assert_eq!(monthly(&s), None, "no figure rather than a wrong one");
    (s.items[0].quantity, s.items[0].price.interval) = (1, Some(Interval::Day));
    assert_eq!(monthly(&s), None, "nor a panic where a day is multiplied");
}

fn judged(n: usize, word: Word, class: Class, cause: Cause, cents: Option<i64>, currency: &str) -> Judged {
    let mut d = World::placeholder().diagnose(&by_customer());
    (d.word, d.class, d.cause) = (word, class, cause);
    Judged {
        customer: id(&format!("cus_Number{n:06}")),
        subject: None,
        email: None,
        served: Some("FREE".into()),
        enforced: None,
        held: None,
        monthly: cents.map(|c| Money::new(c, currency)),
        diagnosis: d,
        drift: None,
    }
}

#[test]
fn findings_stand_in_the_order_of_the_harm() {
    let all = vec![
        judged(1, Word::Warn, Class::Differs, Cause::Unapplied, Some(99_900), "eur"),
        judged(2, Word::Fail, Class::PaidNotServed, Cause::Unapplied, Some(4_900), "eur"),
        judged(3, Word::Fail, Class::PaidNotServed, Cause::Placeholder, Some(4_900), "eur"),
        judged(4, Word::Fail, Class::PaidNotServed, Cause::Placeholder, Some(9_900), "usd"),
        judged(5, Word::Ok, Class::Fine, Cause::None, Some(4_900), "eur"),
        judged(6, Word::Settling, Class::Undecided, Cause::None, Some(4_900), "eur"),
        judged(7, Word::Unknown, Class::Undecided, Cause::None, None, "eur"),
    ];
    let run = Interrupted {
        run: Uuid::nil(),
        name: "7f3a".into(),
        operator: Some("alex".into()),
        here: None,
        step: None,
        state: "Nothing was sent.".into(),
        last: ago(200),
    };
    let gone = Silent { source: Source::Application, trouble: Trouble::Down, seconds: 31, reason: "refused".into() };
    let found = findings(&all, &[run], &[gone], now());
    let shown: Vec<_> = found.iter().map(|f| (f.word.shown(), f.sentence.as_str(), f.size.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("FAIL", "2 customers paid and are still FREE", "USD 99 + EUR 49/mo"),
            ("FAIL", "1 customer paid and is still FREE", "EUR 49/mo"),
            ("FAIL", "The application does not answer", "31 s"),
            ("WARN", "1 row differs from Stripe, access is as paid for", ""),
            ("WARN", "Run 7f3a of alex stopped before it sent anything", "3 h"),
            ("?", "1 change at Stripe cannot be judged", ""),
        ]
    );
    let About::Customers(first) = &found[0].about else { panic!("customers") };
    assert_eq!(first[0].as_str(), "cus_Number000004", "the costliest first");
}

#[test]
fn a_person_is_counted_once_and_no_two_findings_have_one_title() {
    let mut all = vec![
        judged(1, Word::Fail, Class::PaidNotServed, Cause::Unapplied, Some(4_900), "eur"),
        judged(2, Word::Fail, Class::PaidNotServed, Cause::Placeholder, Some(4_900), "eur"),
        judged(3, Word::Fail, Class::PaidNotServed, Cause::OtherCustomer, Some(4_900), "eur"),
        // The same person as the first, by another customer at Stripe.
        judged(4, Word::Warn, Class::Differs, Cause::Unapplied, Some(9_900), "eur"),
    ];
    (all[0].subject, all[3].subject) = (Some(subject(PROFILE, None)), Some(subject(PROFILE, None)));
    let found = findings(&all, &[], &[], now());
    let titles: Vec<&str> = found.iter().map(|f| f.sentence.as_str()).collect();
    let still = "1 customer paid and is still FREE";
    assert_eq!(titles.len(), 3, "{titles:?}");
    for how in [", row as before", ", placeholder id", ", another's id"] {
        assert!(titles.contains(&format!("{still}{how}").as_str()), "{titles:?}");
    }
}

#[test]
fn tiers_are_named_only_where_all_share_one() {
    let mut all: Vec<_> = (1..3).map(|n| judged(n, Word::Fail, Class::PaidNotServed, Cause::Unapplied, None, "eur")).collect();
    all[1].served = Some("PRO".into());
    assert_eq!(findings(&all, &[], &[], now())[0].sentence, "2 customers paid and are below what they paid for");
}

#[test]
fn every_class_has_words_of_its_own_and_no_empty_reason() {
    use Class::{Differs, NoPlan, PaidNotServed, ServedNotPaid, SeveralLive, Undecided, Unlinked, WrongTier};
    for class in [PaidNotServed, ServedNotPaid, WrongTier, Differs, Unlinked, SeveralLive, NoPlan, Undecided] {
        for cause in [Cause::None, Cause::Placeholder, Cause::OtherCustomer, Cause::Unapplied, Cause::NoProfile] {
            for n in [1, 3] {
                let all: Vec<_> = (0..n).map(|i| judged(i, Word::Warn, class, cause, Some(100), "eur")).collect();
                let found = findings(&all, &[], &[], now());
                assert_eq!(found.len(), 1);
                assert!(!found[0].reason.is_empty() && found[0].sentence.len() <= 62, "{found:?}");
                assert!(found[0].evidence.len() >= 2);
            }
        }
    }
}

#[test]
fn the_scan_survives_being_written_down() {
    let mut desk = crate::panes_desk::Desk::settled(World::placeholder());
    desk.pass(1);
    let text = serde_json::to_string(&desk.state.home).expect("plain data");
    let back: nightdesk::console::panes::home::Model = serde_json::from_str(&text).expect("the same");
    assert_eq!(back, desk.state.home);
    assert!(text.contains("cus_"), "and the day is in it");
}

#[test]
fn a_row_that_is_right_but_for_a_flag_is_no_failure() {
    let mut world = World::healthy();
    let row = world.records[0].row.as_mut().expect("a row");
    row.image.insert(Field::CancelAtPeriodEnd, Value::Bool(true));
    row.image.insert(Field::PeriodEnd, Value::Time(now() + Duration::days(1)));
    let d = world.diagnose(&by_customer());
    assert_eq!((d.word, d.class, d.cause), (Word::Warn, Class::Differs, Cause::Unapplied));
    assert_eq!(d.sentence, "The row differs from Stripe in paid until, cancel at end");
}

/// Somebody whose newest event changed nothing: number `n`, so many minutes ago.
pub fn unserved(world: &mut World, n: usize, minutes: i64) {
    let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
    let mut s = subscription(&format!("sub_Number{n:06}"), &format!("cus_Number{n:06}"));
    s.created = ago(minutes);
    world.records.push(record(&profile, Some("jane@acme.com"), Some(free_row(&profile, s.customer.as_str()))));
    world.customers.push(customer(s.customer.as_str(), None));
    world.events.push(event(&format!("evt_Number{n:06}"), "customer.subscription.created", &s, s.created));
    world.enforce(&profile, "FREE", 5);
    world.subscriptions.push(s);
}

fn silence() -> World {
    let mut world = World::empty();
    (1..=3).for_each(|n| unserved(&mut world, n, 20 * i64::try_from(n).expect("small") + 20));
    world
}

#[test]
fn a_muted_cause_silences_the_finding_and_home_says_until_when() {
    let mut desk = Desk::settled(silence());
    desk.pass(20);
    desk.settle();
    desk.expect("Nothing Stripe sent was applied since");
    desk.keys("2a");
    desk.expect("mute it: why, and until when");
    desk.keys("m");
    desk.expect("Mute: unknown");
    desk.key(Key::Up);
    desk.key(Key::Up);
    desk.keys("moving, tell joe@acme.com");
    desk.wait(500);
    desk.event(Event::Painted);
    desk.wait(500);
    desk.key(Key::Enter);
    let said = desk.effects.iter().find_map(|e| match e {
        Effect::Desk(write @ DeskWrite::MuteCause { .. }) => Some(write.clone()),
        _ => None,
    });
    let Some(DeskWrite::MuteCause { cause, until, reason }) = said else { panic!("{:?}", desk.effects) };
    assert_eq!(cause, Named::Unknown);
    assert!((until - desk.at - Duration::hours(4)).num_seconds().abs() < 10, "{until}");
    assert_eq!(reason, "moving, tell j•••@a•••.com", "no address is kept");

    let mut state = DeskState::default();
    DeskWrite::MuteCause { cause, until, reason }.apply(&mut state, "eve", desk.at);
    desk.world.desk = state;
    desk.keys("1");
    desk.pass(5);
    desk.settle();
    desk.pass(2);
    desk.expect_not("Nothing Stripe sent was applied since");
    desk.expect(&format!("1 cause muted until {} by eve: unknown", until.format("%H:%MZ")));
    desk.expect_not("All quiet");
}

#[test]
fn whom_a_finding_names_is_not_counted_again_as_drift() {
    let mut desk = Desk::settled(silence());
    // One more, of whom no event tells.
    unserved(&mut desk.world, 9, 60 * 24 * 9);
    desk.world.events.pop();
    desk.keys("2");
    (0..2).for_each(|_| desk.key(Key::Tab));
    desk.key(Key::Enter);
    for _ in 0..5 {
        desk.pass(2);
        desk.settle();
    }
    let scan = desk.state.world.drift.scan().expect("it was begun");
    assert!(!scan.is_under_way(), "{:?}", scan.standing());
    assert_eq!(scan.found().len(), 4, "all have drifted");
    desk.keys("1");
    desk.pass(2);
    desk.expect("3 hurt");
    desk.expect("1 customer paid and is not served");
    desk.expect_not("4 customers");
}

/// What Stripe has registered, for Home.
fn registered(desk: &mut Desk, url: Option<&str>, endpoints: &[Endpoint]) {
    desk.event(Event::EnvironmentChanged(Box::new(Environment { webhook_url: url.map(str::to_string), ..environment() })));
    desk.pass(301);
    let at = desk.out.iter().position(|(t, q)| matches!(t.slot, Slot::Beside(_)) && *q == Query::Endpoints).expect("they are asked for");
    let (ticket, query) = desk.out.remove(at);
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Endpoints(endpoints.to_vec())) });
}

#[test]
fn an_endpoint_that_gets_nothing_is_a_finding_with_what_helps() {
    let endpoint = |enabled| Endpoint {
        id: id("we_Endpoint0001"),
        url: "https://api.acme.example/billing/webhooks/stripe".into(),
        enabled,
        api_version: None,
        events: vec!["*".into()],
        livemode: true,
    };
    let ours = Some("http://10.0.0.7:8080/billing/webhooks/stripe");
    let mut desk = Desk::settled(World::healthy());
    registered(&mut desk, ours, &[endpoint(true)]);
    desk.expect_not("endpoint");
    for url in [None, ours] {
        registered(&mut desk, url, &[endpoint(false)]);
        desk.expect("The webhook endpoint is disabled in Stripe");
        desk.expect("Enable it there, then backfill");
    }
    registered(&mut desk, ours, &[]);
    desk.expect("No endpoint in Stripe leads to /billing/webhooks/stripe");
    desk.keys("f");
    assert!(matches!(desk.state.screens.top(), Screen::Run(_)), "the emergency begins");
    desk.key(Key::Esc);
    registered(&mut desk, None, &[]);
    desk.expect_not("endpoint");
}

#[test]
fn an_endpoint_that_is_registered_again_is_seen_by_itself_on_refresh_and_by_another_pane() {
    let url = "https://api.acme.example/webhooks/stripe";
    let right =
        Endpoint { id: id("we_Endpoint0001"), url: url.into(), enabled: true, api_version: None, events: vec!["*".into()], livemode: true };
    let wrong = Endpoint { url: "https://api.acme.example/webhook/stripe".into(), ..right.clone() };
    let lost = "No endpoint in Stripe leads to /webhooks/stripe";
    let asked = |desk: &mut Desk| {
        let at = desk.out.iter().position(|(t, q)| matches!(t.slot, Slot::Beside(_)) && *q == Query::Endpoints);
        at.map(|at| desk.out.remove(at))
    };
    let mut desk = Desk::settled(World::healthy());
    registered(&mut desk, Some(url), std::slice::from_ref(&wrong));
    desk.expect(lost);
    desk.pass(30);
    let (ticket, query) = asked(&mut desk).expect("it looks again by itself while nothing is delivered");
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Endpoints(vec![right.clone()])) });
    desk.expect_not(lost);
    desk.pass(30);
    assert!(asked(&mut desk).is_none(), "and seldom where all is well");

    registered(&mut desk, Some(url), std::slice::from_ref(&wrong));
    desk.pass(5);
    desk.keys("r");
    assert!(asked(&mut desk).is_some(), "a refresh asks at once");

    desk.keys("2");
    (0..3).for_each(|_| desk.key(Key::Tab));
    let of_pane = desk.out.iter().position(|(t, q)| t.slot == Slot::Endpoints && *q == Query::Endpoints);
    let (ticket, query) = desk.out.remove(of_pane.expect("the pane reads them"));
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Endpoints(vec![right])) });
    desk.keys("1");
    desk.expect_not(lost);
}

/// The customer of number `n` as `silence` has them, with this row.
fn with_row(world: &mut World, n: usize, change: impl Fn(&mut SubscriptionRow)) {
    let at = world.records.len() - 1;
    let s = world.subscriptions.last().expect("one").clone();
    let mut row = right_row(&format!("{n:08x}-0000-4000-8000-{n:012}"), &s);
    change(&mut row);
    world.records[at].row = Some(row);
}

#[test]
fn who_pays_for_less_is_not_served_what_nobody_pays_for() {
    let mut world = World::empty();
    unserved(&mut world, 1, 60);
    with_row(&mut world, 1, |row| drop(row.image.insert(Field::Tier, Value::text("ENTERPRISE"))));
    world.entitlements.clear();
    let d = world.diagnose(&Handle::Stripe(world.customers[0].id.clone()));
    assert_eq!((d.word, d.class), (Word::Warn, Class::WrongTier), "as the drift scan calls it");
    let mut desk = Desk::settled(world);
    desk.pass(20);
    desk.settle();
    desk.expect("1 customer is served another tier than they pay for");
    desk.expect_not("nobody pays");
}

#[test]
fn a_placeholder_is_linked_and_no_two_findings_differ_in_their_number_alone() {
    let rows = |n: usize, cause| judged(n, Word::Warn, Class::Differs, cause, None, "eur");
    let found = findings(&[rows(1, Cause::Unapplied), rows(2, Cause::Unapplied), rows(3, Cause::Placeholder)], &[], &[], now());
    let said: Vec<(&str, &str)> = found.iter().map(|f| (f.sentence.as_str(), f.reason.as_str())).collect();
    assert!(said.contains(&("1 row not linked to Stripe", "Webhooks find nobody there. Linking helps, resending does not.")), "{said:?}");
    assert!(said.iter().any(|(s, _)| *s == "2 rows differ from Stripe, access is as paid for"), "{said:?}");
    let others = findings(&[rows(1, Cause::OtherCustomer), rows(2, Cause::OtherCustomer), rows(3, Cause::Placeholder)], &[], &[], now());
    let said: Vec<&str> = others.iter().map(|f| f.sentence.as_str()).collect();
    assert!(said.contains(&"1 row not linked to Stripe, placeholder id"), "{said:?}");
    assert!(said.contains(&"2 rows not linked to Stripe, another's id"), "{said:?}");
}

#[test]
fn a_database_that_goes_away_unsays_nothing_and_what_it_could_not_tell_is_asked_as_soon_as_it_is_back() {
    let mut desk = Desk::settled(silence());
    desk.pass(20);
    desk.settle();
    desk.expect("3 hurt");
    desk.expect("database");
    desk.world.down.push(Source::Database);
    desk.poll();
    for word in ["pool", "quota", "database"] {
        let fine = desk.shown().lines().find(|l| l.starts_with(" fine")).unwrap_or_default().to_string();
        assert!(!fine.contains(word), "one failed read is enough: {fine}");
    }
    for _ in 0..25 {
        desk.pass(5);
        desk.settle();
        desk.expect("3 hurt");
        desk.expect_not("cannot be judged");
    }
    desk.world.down.clear();
    desk.poll();
    desk.pass(2);
    desk.settle();
    desk.expect_not("does not answer");
    desk.expect("3 hurt");

    // Begun while it was away, it knows nothing, and then all of it at once.
    let mut world = silence();
    world.down.push(Source::Database);
    let mut desk = Desk::settled(world);
    desk.pass(20);
    desk.settle();
    desk.expect_not("3 hurt");
    desk.world.down.clear();
    desk.poll();
    for _ in 0..4 {
        desk.pass(1);
        desk.settle();
    }
    desk.expect("3 hurt");
    desk.expect_not("cannot be judged");
}
