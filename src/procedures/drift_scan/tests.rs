//! The scan against a Stripe and a database in memory.

use super::*;
use crate::domain::fault::FaultKind;
use crate::domain::row::{Field, Image, Subject, Value};
use crate::domain::shape::{IntervalWords, KeyType, Trust};
use crate::domain::stripe::{Customer, Interval, Item, Metadata, Period, Price, Status};
use crate::domain::webhooks::drift::Class;
use crate::domain::webhooks::feed::RawEvent;

/// Stripe and the database in memory: so many customers, one subscription and one row each.
struct World {
    subscriptions: Vec<Subscription>,
    rows: Vec<SubscriptionRow>,
    raw: Vec<RawEvent>,
    shape: Shape,
}

const PER_PAGE: usize = 10;

fn start() -> At {
    At::from_timestamp(1_790_000_000, 0).expect("in range")
}

fn now() -> At {
    start() + Duration::days(20)
}

fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("a sound id")
}

fn subscription(n: usize) -> Subscription {
    let created = start() - Duration::hours(i64::try_from(n).expect("few"));
    let price = Price {
        id: id("price_Pro1"),
        lookup_key: None,
        interval: Some(Interval::Month),
        interval_count: 1,
        unit_amount: None,
        product: None,
        metadata: Metadata::from([("tier".into(), "PRO".into())]),
        product_metadata: Metadata::new(),
    };
    let period = Some(Period { start: start(), end: start() + Duration::days(30) });
    Subscription {
        id: id(&format!("sub_{n}")),
        customer: id(&format!("cus_{n}")),
        status: Status::Active,
        items: vec![Item { id: id("si_1"), price, quantity: 1, period }],
        period: None,
        created,
        cancel_at: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        trial_end: None,
        pause: None,
        schedule: None,
        metadata: Metadata::new(),
        latest_invoice: None,
    }
}

fn row(n: usize) -> SubscriptionRow {
    let image = Image::from([
        (Field::Tier, Value::text("PRO")),
        (Field::Customer, Value::text(format!("cus_{n}"))),
        (Field::Subscription, Value::text(format!("sub_{n}"))),
        (Field::Status, Value::text("active")),
        (Field::PeriodEnd, Value::Time(start() + Duration::days(30))),
    ]);
    SubscriptionRow { subject: SubjectKey(format!("p{n:05}")), image }
}

impl World {
    fn of(n: usize) -> Self {
        let shape = Shape {
            server: "PostgreSQL".into(),
            database: "test".into(),
            profiles_in_json: false,
            naive_timestamps: false,
            key: KeyType::Text,
            interval: IntervalWords::stripes_own(),
            status_words: None,
            plan_features: false,
            updatable: true,
            mirror: false,
            trust: Trust::Full,
            replica_lag: None,
        };
        Self { subscriptions: (0..n).map(subscription).collect(), rows: (0..n).map(row).collect(), raw: Vec::new(), shape }
    }

    fn set(&mut self, n: usize, field: Field, value: Value) {
        self.rows[n].image.insert(field, value);
    }

    fn answer(&self, query: &Query) -> Reply {
        let beside = |rows: Vec<&SubscriptionRow>| {
            let subject = |r: &SubscriptionRow| Subject { key: r.subject.clone(), email: None, name: None, created_at: None };
            Reply::Rows(rows.into_iter().map(|r| (r.clone(), subject(r))).collect())
        };
        match query {
            Query::Shape => Reply::Shape(Box::new(self.shape.clone())),
            Query::Pressure => Reply::Pressure(Vec::new()),
            Query::SubscriptionPage(range) => {
                let within = |s: &&Subscription| range.since.is_none_or(|t| s.created >= t) && range.before.is_none_or(|t| s.created < t);
                let mut all: Vec<Subscription> = self.subscriptions.iter().filter(within).cloned().collect();
                if let Some(after) = &range.after {
                    let place = all.iter().position(|s| s.id == *after).expect("a page follows a subscription");
                    all.drain(..=place);
                }
                let more = all.len() > PER_PAGE;
                all.truncate(PER_PAGE);
                let next = all.last().filter(|_| more).map(|s| s.id.clone());
                let raw = if range.after.is_none() { self.raw.clone() } else { Vec::new() };
                Reply::SubscriptionPage { subscriptions: all, raw, next }
            }
            Query::SubscriptionsOf(of) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| s.customer == *of).cloned().collect()),
            Query::Subscription(of) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| s.id == *of).cloned().collect()),
            Query::RowsOf(ids) => {
                beside(self.rows.iter().filter(|r| ids.iter().any(|i| r.text(Field::Customer) == Some(i.as_str()))).collect())
            }
            Query::RowsNaming { subscriptions, .. } => {
                beside(self.rows.iter().filter(|r| subscriptions.iter().any(|i| r.text(Field::Subscription) == Some(i.as_str()))).collect())
            }
            Query::RowPage { after } => {
                let rows: Vec<_> = self.rows.iter().filter(|r| after.as_ref().is_none_or(|a| r.subject > *a)).take(7).cloned().collect();
                let next = rows.last().filter(|_| rows.len() == 7).map(|r| r.subject.clone());
                Reply::RowPage { rows, next }
            }
            Query::Records(_) => Reply::Records(Vec::new()),
            Query::Customer(of) => Reply::Customers(vec![Customer {
                id: of.clone(),
                deleted: false,
                email: None,
                name: None,
                created: start(),
                livemode: false,
                metadata: Metadata::new(),
            }]),
            Query::CustomersFor { .. } => Reply::Customers(Vec::new()),
            Query::SessionsOf(_) => Reply::Sessions(Vec::new()),
            other => panic!("not asked for by a scan: {other:?}"),
        }
    }

    /// Answers everything until the scan is through; the newest question first, so that nothing rests on their order.
    fn run(&self, scan: &mut Scan) -> Vec<Query> {
        let (mut asked, mut out) = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            out.extend(scan.advance(now()));
            let Some((slot, query)) = out.pop() else { break };
            let reply = Ok(self.answer(&query));
            scan.replied(slot, &query, &reply, &TierRules::default(), now());
            asked.push(query);
        }
        assert_eq!(*scan.standing(), Standing::Done, "{:?}", scan.progress());
        asked
    }

    fn scanned(&self) -> Scan {
        let mut scan = Scan::new(Scope::Account, now());
        self.run(&mut scan);
        scan
    }
}

fn classes(scan: &Scan) -> Vec<(Class, u64)> {
    scan.found().groups().iter().map(|g| (g.class, g.subjects)).collect()
}

#[test]
fn what_agrees_is_read_page_by_page_and_each_subscription_once() {
    let world = World::of(537);
    let mut scan = Scan::new(Scope::Account, now());
    let asked = world.run(&mut scan);
    assert_eq!((scan.progress().subscriptions, scan.progress().rows, scan.found().len()), (537, 537, 0));
    let pages = asked.iter().filter(|q| matches!(q, Query::SubscriptionPage(_))).count();
    assert!((54..=80).contains(&pages), "{pages} pages: the stretches cost a few more than the 54 of one list");
    assert!(!asked.iter().any(|q| matches!(q, Query::SubscriptionsOf(_))), "nobody has to be looked at by himself");
}

#[test]
fn every_class_is_told_from_the_others() {
    let mut world = World::of(60);
    world.set(1, Field::Tier, Value::text("FREE"));
    world.subscriptions[2].status = Status::Canceled;
    world.set(3, Field::Tier, Value::text("ENTERPRISE"));
    world.set(4, Field::Customer, Value::text("cus_temp_ab12"));
    world.set(5, Field::Subscription, Value::text("sub_nobodys"));
    world.rows.remove(6);
    let (other, mut second) = (world.subscriptions[7].customer.clone(), subscription(70));
    second.customer = other;
    world.subscriptions.push(second);
    world.rows[7].image.insert(Field::Status, Value::text("past_due"));
    world.rows[8].image.insert(Field::PeriodEnd, Value::Time(start()));
    world.rows[9].image.insert(Field::CancelAtPeriodEnd, Value::Bool(true));
    world.subscriptions[11].items[0].price.metadata.clear();
    world.rows[11].image.insert(Field::Interval, Value::text("year"));
    let mut alone = row(900);
    alone.image.insert(Field::Tier, Value::text("FREE"));
    world.rows.push(alone);
    world.rows.push(row(901));
    let scan = world.scanned();
    assert_eq!(
        classes(&scan),
        [
            (Class::PaidNotServed, 1),
            (Class::ServedNotPaid, 2),
            (Class::SeveralLive, 1),
            (Class::WrongTier, 1),
            (Class::Unlinked, 2),
            (Class::OrphanCustomer, 1),
            (Class::OrphanRow, 1),
            (Class::UnknownPrice, 1),
            (Class::WrongStatus, 1),
            (Class::Period, 1),
            (Class::CancelFlags, 1),
            (Class::Interval, 1),
        ]
    );
}

#[test]
fn where_rows_may_be_hidden_nothing_is_called_drift() {
    let mut world = World::of(30);
    world.set(1, Field::Tier, Value::text("FREE"));
    world.shape.trust = Trust::Limited(vec!["rows may be hidden".into()]);
    let scan = world.scanned();
    assert_eq!((scan.found().len(), scan.progress().unknown), (0, 1));
}

#[test]
fn what_changed_within_the_minute_settles() {
    let mut world = World::of(30);
    world.set(1, Field::Tier, Value::text("FREE"));
    world.subscriptions[1].items[0].period = Some(Period { start: now() - Duration::seconds(20), end: now() + Duration::days(30) });
    world.set(2, Field::Status, Value::text("past_due"));
    world.set(2, Field::UpdatedAt, Value::Time(now()));
    let scan = world.scanned();
    assert_eq!((scan.found().len(), scan.progress().settling), (0, 2));
    // Five minutes ago: too long where effects take a minute, and not where they were seen to take ten.
    world.subscriptions[1].items[0].period = Some(Period { start: now() - Duration::minutes(5), end: now() + Duration::days(30) });
    assert_eq!(world.scanned().found().len(), 1);
    let mut slow = Scan::new(Scope::Account, now());
    slow.allow(Duration::minutes(10));
    world.run(&mut slow);
    assert_eq!((slow.found().len(), slow.progress().settling), (0, 2));
}

#[test]
fn a_row_that_was_written_while_stripes_answer_waited_is_not_older_than_it() {
    let mut world = World::of(30);
    world.set(2, Field::Status, Value::text("past_due"));
    // The shape takes the first minute, the page the second.
    world.set(2, Field::UpdatedAt, Value::Time(now() + Duration::seconds(90)));
    let mut scan = Scan::new(Scope::Account, now());
    let mut at = now();
    while scan.is_under_way() {
        let asked = scan.advance(at);
        at += Duration::minutes(1);
        for (slot, query) in asked {
            scan.replied(slot, &query, &Ok(world.answer(&query)), &TierRules::default(), at);
        }
        assert!(at < now() + Duration::hours(1), "it never ends: {:?}", scan.progress());
    }
    assert_eq!((scan.found().len(), scan.progress().settling), (0, 1), "{:?}", classes(&scan));
}

#[test]
fn it_goes_on_from_where_it_was_kept_and_finds_the_same() {
    let mut world = World::of(300);
    for n in [5, 150, 299] {
        world.set(n, Field::Tier, Value::text("FREE"));
    }
    let mut scan = Scan::new(Scope::Account, now());
    let mut turned = 0;
    while turned < 40 {
        for (slot, query) in scan.advance(now()) {
            turned += 1;
            if turned < 40 {
                scan.replied(slot, &query, &Ok(world.answer(&query)), &TierRules::default(), now());
            }
        }
    }
    let before = scan.progress().subscriptions;
    assert!(before > 50 && before < 300, "{before}");
    let kept = serde_json::to_string(&scan).expect("a scan is plain data");
    let mut again: Scan = serde_json::from_str(&kept).expect("the same");
    assert!(again == scan);
    again.reopen();
    world.run(&mut again);
    assert_eq!((again.progress().subscriptions, classes(&again)), (300, vec![(Class::PaidNotServed, 3)]));
}

#[test]
fn an_unanswered_page_is_asked_again_later_and_a_refused_one_ends_the_scan() {
    let mut scan = Scan::new(Scope::Account, now());
    let world = World::of(5);
    let fail = |scan: &mut Scan, kind: FaultKind| {
        let out = scan.advance(now());
        let (slot, query) = out.into_iter().find(|(_, q)| matches!(q, Query::SubscriptionPage(_))).expect("a page is asked for");
        scan.replied(slot, &query, &Err(Fault::new(Source::Stripe, kind, "no")), &TierRules::default(), now());
    };
    for (slot, query) in scan.advance(now()) {
        scan.replied(slot, &query, &Ok(world.answer(&query)), &TierRules::default(), now());
    }
    fail(&mut scan, FaultKind::Limit);
    assert!(!scan.advance(now()).iter().any(|(_, q)| matches!(q, Query::SubscriptionPage(_))), "not at once");
    let later = now() + Duration::seconds(3);
    let (slot, query) = scan.advance(later).into_iter().find(|(_, q)| matches!(q, Query::SubscriptionPage(_))).expect("again");
    let auth = Err(Fault::new(Source::Stripe, FaultKind::Auth, "the key is wrong"));
    scan.replied(slot, &query, &auth, &TierRules::default(), later);
    assert!(matches!(scan.standing(), Standing::Failed(_)));
    scan.resume();
    world.run(&mut scan);
}

#[test]
fn it_stands_still_while_production_needs_its_sources_and_while_paused() {
    let world = World::of(100);
    let mut scan = Scan::new(Scope::Account, now());
    let rules = TierRules::default();
    for (slot, query) in scan.advance(now()) {
        let reply = if query == Query::Pressure { Reply::Pressure(vec!["the flag is there".into()]) } else { world.answer(&query) };
        scan.replied(slot, &query, &Ok(reply), &rules, now());
    }
    assert_eq!(*scan.standing(), Standing::Held("the flag is there".into()));
    assert!(scan.advance(now()).is_empty());
    let later = now() + Duration::seconds(PRESSURE_EVERY);
    let asked = scan.advance(later);
    assert_eq!(asked.iter().map(|(_, q)| q.clone()).collect::<Vec<_>>(), [Query::Pressure], "only whether it may go on");
    scan.replied(asked[0].0, &Query::Pressure, &Ok(Reply::Pressure(Vec::new())), &rules, later);
    assert_eq!(*scan.standing(), Standing::Running);
    scan.pause();
    assert!(scan.advance(later + Duration::hours(1)).is_empty());
    scan.resume();
    world.run(&mut scan);
}

#[test]
fn an_element_that_cannot_be_read_stands_aside_and_the_others_stay() {
    let mut world = World::of(25);
    world.raw = vec![RawEvent { id: Some("sub_odd".into()), text: "{}".into() }];
    world.set(3, Field::Tier, Value::text("FREE"));
    let scan = world.scanned();
    assert_eq!((scan.progress().subscriptions, scan.found().len()), (25, 1));
    assert!(scan.progress().unreadable >= 1 && scan.progress().unreadable_ids.contains(&"sub_odd".to_string()));
}

#[test]
fn only_so_many_are_kept_by_name_the_worst_of_them() {
    let mut world = World::of(2_500);
    for n in 0..2_500 {
        world.set(n, Field::Status, Value::text("past_due"));
    }
    world.set(2_499, Field::Tier, Value::text("FREE"));
    let scan = world.scanned();
    assert_eq!(classes(&scan), [(Class::PaidNotServed, 1), (Class::WrongStatus, 2_499)]);
    let named: usize = scan.found().groups().iter().map(|g| g.named.len()).sum();
    assert_eq!(named, crate::domain::webhooks::drift::KEPT);
}

#[test]
fn who_was_written_is_compared_again_when_it_is_over_and_nobody_else_is() {
    let mut world = World::of(30);
    for n in [1, 2] {
        world.set(n, Field::Tier, Value::text("FREE"));
    }
    // Unlinked: known by the profile, and no row holds the customer.
    world.set(3, Field::Customer, Value::text("cus_temp_3"));
    let mut scan = world.scanned();
    assert_eq!(scan.found().len(), 3, "{:?}", classes(&scan));
    world.set(1, Field::Tier, Value::text("PRO"));
    world.set(2, Field::Status, Value::text("past_due"));
    world.set(3, Field::Customer, Value::text("cus_3"));
    let of = |n: usize| (SubjectKey(format!("p{n:05}")), Some(id(&format!("cus_{n}"))));
    scan.look_again(&[of(1), of(3), of(29)]);
    assert!(scan.looks_again() && !scan.is_under_way());
    let asked = world.run(&mut scan);
    let left: Vec<_> = scan.found().groups().iter().flat_map(|g| &g.named).map(|d| d.key().to_string()).collect();
    assert_eq!(left, ["p00002"], "{asked:?}");
    assert_eq!(*scan.standing(), Standing::Done);
    assert!(!asked.iter().any(|q| matches!(q, Query::SubscriptionPage(_) | Query::RowPage { .. })), "{asked:?}");
    assert!(asked.len() <= 4, "{asked:?}");
    assert!(!scan.looks_again() && scan.advance(now()).is_empty(), "and that is all");
}
