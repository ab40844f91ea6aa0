//! Home's rules: the verdict on an event's snapshot, the amounts, the order and the words of findings.

use super::fixtures::*;
use chrono::Duration;
use nightdesk::domain::diagnosis::{Cause, Class, Word};
use nightdesk::domain::fault::Source;
use nightdesk::domain::findings::{About, Interrupted, Judged, Silent, findings, monthly, whole};
use nightdesk::domain::money::Money;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::Interval;
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
        step: None,
        state: "Nothing was sent.".into(),
        last: ago(200),
    };
    let gone = Silent { source: Source::Application, down: true, state: "31 s".into(), seconds: 31, reason: "refused".into() };
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
    let mut desk = super::panes_desk::Desk::settled(World::placeholder());
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
