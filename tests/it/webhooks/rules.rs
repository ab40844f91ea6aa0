//! The verdict engine's rules, one by one, and what must hold for whatever comes.

use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::At;
use nightdesk::domain::expected::expected;
use nightdesk::domain::row::{Field, SubscriptionRow, Value};
use nightdesk::domain::shape::{IntervalWords, Shape, Trust};
use nightdesk::domain::stripe::{Interval, Period, Status, StripeEvent, Subscription};
use nightdesk::domain::tiers::TierRules;
use nightdesk::domain::webhooks::course::Course;
use nightdesk::domain::webhooks::demand::Demand;
use nightdesk::domain::webhooks::judge::{Facts, Happened, at_sight, explain, judge, plain, says_at_sight};
use nightdesk::domain::webhooks::lag::LEAST;
use nightdesk::domain::webhooks::verdict::{Judgement, Verdict};
use proptest::prelude::*;

/// What is known about one event, to be varied.
struct Case {
    event: StripeEvent,
    /// What Stripe said when asked for its subscription; `None`: nobody asked.
    current: Option<Subscription>,
    row: Option<SubscriptionRow>,
    /// When the row was asked for.
    read: At,
    enforced: Option<&'static str>,
    /// The case was read, and no profile can be named.
    nobody: bool,
    follows_live: bool,
    shape: Shape,
}

impl Case {
    /// An update half an hour ago, whose subscription has not changed since.
    fn of(s: &Subscription, row: Option<SubscriptionRow>) -> Self {
        Self {
            event: event("evt_1Pabcdefghijka", "customer.subscription.updated", s, ago(30)),
            current: Some(s.clone()),
            row,
            read: now(),
            enforced: None,
            nobody: false,
            follows_live: false,
            shape: shape(),
        }
    }

    fn judged(&self) -> Judgement {
        let e = &self.event;
        let sight = at_sight(e);
        let ((Some(customer), Some(subscription)), Verdict::Unknown) = (e.names(), sight) else {
            return plain(sight, says_at_sight(sight, &e.kind));
        };
        let rules = TierRules::default();
        let demand = |s: &Subscription| Demand::of(s, &rules);
        let own = e.subscription.as_deref().map(demand);
        let (before, current) = (e.previous.as_deref().map(demand), self.current.as_ref().map(demand));
        let states: Vec<&Demand> = own.iter().collect();
        let course = Course {
            customer,
            subscription,
            states: &states,
            before: before.as_ref(),
            current: current.as_ref(),
            follows_live: self.follows_live,
        };
        let facts = Facts {
            row: self.row.as_ref(),
            row_at: self.read,
            newest: e.created,
            last_state: own.is_some().then_some(e.created),
            told: own.is_some() || current.is_some(),
            asked: current.is_some(),
            enforced: self.enforced,
            cleared: false,
            nobody: self.nobody,
        };
        let happened = Happened { at: e.created, state: 0 };
        let ruling = judge(&course, &[happened], &facts, &rules, &self.shape, LEAST);
        let [verdict] = ruling.verdicts[..] else { panic!("one event, one verdict: {ruling:?}") };
        explain(&course, (ruling.stand, ruling.outcome), verdict, &facts, &self.shape, LEAST)
    }

    #[track_caller]
    fn expect(&self, verdict: Verdict) -> Judgement {
        let judgement = self.judged();
        assert_eq!(judgement.verdict, verdict, "{judgement:?}");
        assert!(judgement.because.ends_with(['.', '!', '?']) && judgement.because.len() < 200, "{judgement:?}");
        judgement
    }
}

fn pro() -> Subscription {
    subscription(SUBSCRIPTION, CUSTOMER)
}

#[test]
fn what_the_row_holds_is_applied_and_what_it_lacks_is_missing() {
    let s = pro();
    let applied = Case::of(&s, Some(right_row(PROFILE, &s))).expect(Verdict::Applied);
    assert!(applied.differs.is_empty());
    Case::of(&s, None).expect(Verdict::Missing);
    let unlinked = Case::of(&s, Some(free_row(PROFILE, CUSTOMER))).expect(Verdict::Missing);
    assert!(unlinked.differs.iter().any(|c| c.field == Field::Tier && c.to == Value::text("PRO")), "{unlinked:?}");
    assert!(unlinked.evidence.iter().any(|l| l.starts_with("database:")) && unlinked.evidence.iter().any(|l| l.starts_with("stripe:")));
}

#[test]
fn a_row_as_before_the_event_is_missing_and_one_like_nothing_is_contradicted() {
    let before = pro();
    let mut after = before.clone();
    after.cancel_at_period_end = true;
    let mut case = Case::of(&after, Some(right_row(PROFILE, &before)));
    case.expect(Verdict::Contradicted);
    case.event.previous = Some(Box::new(before.clone()));
    case.expect(Verdict::Missing);
    let mut other = right_row(PROFILE, &before);
    other.image.insert(Field::Tier, Value::text("ENTERPRISE"));
    case.row = Some(other);
    case.expect(Verdict::Contradicted);
}

#[test]
fn a_row_that_has_gone_on_is_superseded() {
    let old = pro();
    let mut new = old.clone();
    new.cancel_at_period_end = true;
    let mut case = Case::of(&old, Some(right_row(PROFILE, &new)));
    case.current = Some(new.clone());
    case.expect(Verdict::Superseded);
    // Its effect came, and a later one did not.
    case.row = Some(right_row(PROFILE, &old));
    case.expect(Verdict::Applied);
}

#[test]
fn an_end_is_expected_as_free_and_canceled_with_the_ids_kept() {
    let live = pro();
    let mut ended = live.clone();
    (ended.status, ended.ended_at) = (Status::Canceled, Some(ago(30)));
    let mut row = right_row(PROFILE, &live);
    let mut case = Case::of(&ended, Some(row.clone()));
    case.event.kind = "customer.subscription.deleted".into();
    let missing = case.expect(Verdict::Missing);
    let fields: Vec<Field> = missing.differs.iter().map(|c| c.field).collect();
    assert_eq!(fields, [Field::Tier, Field::Status], "ids and period stay");
    row.image.extend([(Field::Tier, Value::text("FREE")), (Field::Status, Value::text("canceled"))]);
    case.row = Some(row);
    case.expect(Verdict::Applied);
    // Nobody is served, and nothing is due.
    case.row = None;
    case.expect(Verdict::Applied);
    // The row follows the one that came after it.
    let next = subscription("sub_Next12345678", CUSTOMER);
    case.row = Some(right_row(PROFILE, &next));
    case.expect(Verdict::Superseded);
}

#[test]
fn two_live_subscriptions_of_one_row_are_a_choice() {
    let s = pro();
    let other = subscription("sub_Other1234567", CUSTOMER);
    let mut case = Case::of(&s, Some(right_row(PROFILE, &other)));
    case.follows_live = true;
    assert!(case.expect(Verdict::Contradicted).because.contains("another live subscription"));
}

#[test]
fn a_failed_payment_demands_the_row_of_its_subscription() {
    let active = pro();
    let mut late = active.clone();
    late.status = Status::PastDue;
    let mut case = Case::of(&late, Some(right_row(PROFILE, &active)));
    (case.event.kind, case.event.subscription) = ("invoice.payment_failed".into(), None);
    case.expect(Verdict::Missing);
    case.row = Some(right_row(PROFILE, &late));
    case.expect(Verdict::Applied);
    // It was paid since.
    case.current = Some(active.clone());
    case.row = Some(right_row(PROFILE, &active));
    case.expect(Verdict::Applied);
    case.current = None;
    case.expect(Verdict::Unknown);
    case.event.subscription_id = None;
    case.expect(Verdict::NoSubject);
}

#[test]
fn what_nobody_handles_demands_nothing() {
    let s = pro();
    let mut case = Case::of(&s, None);
    case.event.kind = "charge.refunded".into();
    case.expect(Verdict::UnhandledType);
}

#[test]
fn the_young_are_given_their_time_by_when_the_row_was_read() {
    let s = pro();
    let mut case = Case::of(&s, None);
    case.event.created = now() - Duration::seconds(59);
    case.expect(Verdict::Settling);
    case.event.created = now() - Duration::seconds(61);
    case.expect(Verdict::Missing);
    case.read = now() - Duration::seconds(10);
    case.expect(Verdict::Settling);
}

#[test]
fn doubt_is_never_called_missing() {
    let s = pro();
    let mut case = Case::of(&s, None);
    case.shape.trust = Trust::Limited(vec!["this is a read replica, 4 s behind".into()]);
    case.expect(Verdict::Unknown);
    case.row = Some(right_row(PROFILE, &s));
    case.expect(Verdict::Applied);
    let mut unmapped = s.clone();
    unmapped.items[0].price = price("price_legacy_gold", None);
    let mut row = right_row(PROFILE, &s);
    row.image.insert(Field::Tier, Value::text("PRO"));
    assert!(Case::of(&unmapped, Some(row)).expect(Verdict::Unknown).because.contains("price_legacy_gold"));
    Case::of(&unmapped, Some(free_row(PROFILE, CUSTOMER))).expect(Verdict::Missing);
}

#[test]
fn nobody_to_be_named_is_no_subject_and_what_is_enforced_counts() {
    let s = pro();
    let mut case = Case::of(&s, None);
    case.nobody = true;
    case.expect(Verdict::NoSubject);
    let mut case = Case::of(&s, Some(right_row(PROFILE, &s)));
    case.enforced = Some("PRO");
    case.expect(Verdict::Applied);
    case.enforced = Some("FREE");
    assert!(case.expect(Verdict::Contradicted).because.contains("enforces FREE"));
    case.read = case.event.created + Duration::seconds(59);
    case.expect(Verdict::Applied);
    // The row is behind, and nobody is hurt: that is said, and what is missing stays missing.
    let mut case = Case::of(&s, Some(free_row(PROFILE, CUSTOMER)));
    case.enforced = Some("PRO");
    let judged = case.expect(Verdict::Missing);
    assert!(judged.because.ends_with("The application enforces PRO all the same."), "{judged:?}");
    assert!(judged.evidence.contains(&"app: enforces PRO".to_string()), "{judged:?}");
    case.enforced = Some("FREE");
    assert!(!case.expect(Verdict::Missing).because.contains("all the same"));
}

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![
        Status::Active,
        Status::Trialing,
        Status::PastDue,
        Status::Incomplete,
        Status::IncompleteExpired,
        Status::Unpaid,
        Status::Paused,
        Status::Canceled,
        Status::Other("odd".into()),
    ])
}

prop_compose! {
    fn subscriptions()(
        status in statuses(),
        tier in prop::sample::select(vec![Some("PRO"), Some("ENTERPRISE"), None]),
        interval in prop::sample::select(vec![None, Some(Interval::Month), Some(Interval::Year), Some(Interval::Week)]),
        every in 1u32..3,
        days in 0i64..60,
        cancel_at in prop::option::of(1i64..90),
        at_end in any::<bool>(),
        old in any::<bool>(),
        items in 0usize..3,
    ) -> Subscription {
        let mut s = pro();
        s.status = status;
        s.cancel_at_period_end = at_end;
        s.cancel_at = cancel_at.map(|d| now() + Duration::days(d));
        let mut sold = price("price_any", tier);
        (sold.interval, sold.interval_count) = (interval, every);
        let start = now() - Duration::days(days);
        s.items = (0..items).map(|n| item(&format!("si_{n}"), sold.clone(), start + Duration::hours(n as i64))).collect();
        if old {
            s.items.iter_mut().for_each(|i| i.period = None);
            s.period = Some(Period { start, end: start + Duration::days(30) });
        }
        s
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The small form demands exactly the row that the rules demand, in any database's words.
    #[test]
    fn a_demand_is_the_expected_row(s in subscriptions(), words in 0u8..3, few in any::<bool>()) {
        let mut shape = shape();
        shape.interval = match words {
            0 => IntervalWords::stripes_own(),
            1 => IntervalWords { month: Some("monthly".into()), year: Some("yearly".into()), found_in: "rows".into() },
            _ => IntervalWords { month: Some("monthly".into()), year: None, found_in: "rows".into() },
        };
        shape.status_words = few.then(|| ["active", "canceled", "past_due"].map(String::from).into());
        if let Ok(e) = expected(&s, &TierRules::default(), &shape, None) {
            let image = Demand::of(&s, &TierRules::default()).image(&s.customer, &s.id, &shape);
            prop_assert_eq!(image, e.image);
        }
    }

    /// A row written from the object is never a failure; and a verdict of missing never comes with a row that holds everything.
    #[test]
    fn what_was_written_is_there(s in subscriptions(), minutes in 0i64..500, trusted in any::<bool>()) {
        let mut case = Case::of(&s, None);
        case.event.created = ago(minutes);
        if !trusted {
            case.shape.trust = Trust::Limited(vec!["hidden".into()]);
        }
        let mut row = free_row(PROFILE, CUSTOMER);
        row.image.extend(Demand::of(&s, &TierRules::default()).image(&s.customer, &s.id, &case.shape));
        for held in [None, Some(free_row(PROFILE, CUSTOMER)), Some(row.clone())] {
            let full = held.as_ref() == Some(&row);
            case.row = held;
            let j = case.judged();
            prop_assert!(!full || !j.verdict.is_failure(), "{:?}", j);
            prop_assert!(trusted || !j.verdict.is_failure(), "{:?}", j);
            prop_assert!(minutes > 0 || !j.verdict.is_failure(), "{:?}", j);
            prop_assert!(!j.verdict.is_failure() || !j.differs.is_empty() || case.row.is_none(), "{:?}", j);
        }
    }
}
