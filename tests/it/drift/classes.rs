//! Each class against the sandbox: what broke a row says what must be found, and nothing else is.

use super::{Outside, drifted};
use crate::bench::{Bench, Options};
use chrono::{Duration, Utc};
use nightdesk::domain::webhooks::drift::Class;
use nightdesk::procedures::drift_scan::{Scope, Standing};
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::population::Person;
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::stripe::NewCheckout;
use std::collections::BTreeMap;

const FAST: &str = "[stripe]\nbackground_per_s = 200";

/// What the sandbox says it did → the class it makes.
const BROKE: [(&str, Class); 9] = [
    ("the tier was written by hand", Class::WrongTier),
    ("the subscription's id was written by hand, and is nobody's", Class::Unlinked),
    ("the interval was written by hand", Class::Interval),
    ("the last renewal was lost from the row", Class::Period),
    ("the row lost its customer to a placeholder", Class::Unlinked),
    ("an older event was applied after a newer one", Class::WrongStatus),
    ("a cancellation for the period's end was lost from the row", Class::CancelFlags),
    ("a cancellation was lost from the row", Class::ServedNotPaid),
    ("the customer was deleted, and the row has it still", Class::ServedNotPaid),
];

#[tokio::test]
async fn the_incident_s_nine_ways_are_found_in_every_naming_and_nobody_else_is() {
    for naming in [Naming::Usual, Naming::Renamed] {
        let bench = Bench::start(Options { shape: Shape { naming, ..Shape::default() }, ..Options::default() }).await;
        let outside = Outside::of(&bench, FAST);
        let before = outside.scan(Scope::Account).await;
        assert_eq!(*before.standing(), Standing::Done);
        let known = drifted(&before);
        // A price that nobody has mapped is the one thing that is open in a healthy account.
        assert!(known.values().all(|c| *c == Class::UnknownPrice), "{naming:?} {known:?}");
        assert_eq!((before.progress().settling, before.progress().unread), (0, 0), "{:?}", before.progress());

        let payers = bench.strike(Incident::Drift, 18).await;
        let mut due: BTreeMap<String, Class> = payers
            .iter()
            .map(|p| (p.profile.clone(), BROKE.iter().find(|(broke, _)| *broke == p.label.broke).expect("a way that is known").1))
            .collect();
        due.extend(known.into_iter().filter(|(key, _)| !payers.iter().any(|p| p.profile == *key)));
        let after = outside.scan(Scope::Account).await;
        assert_eq!(drifted(&after), due, "{naming:?}");
        let all: u64 = after.found().groups().iter().map(|g| g.subjects).sum();
        assert_eq!(all, after.found().len());
        outside.reader.close().await;
    }
}

#[tokio::test]
async fn whoever_changed_lately_is_compared_by_events_alone() {
    let bench = Bench::start(Options::default()).await;
    let payers = bench.strike(Incident::Drift, 9).await;
    let outside = Outside::of(&bench, FAST);
    let scan = outside.scan(Scope::Since(Utc::now() - Duration::days(29))).await;
    let found = drifted(&scan);
    for p in &payers {
        let class = BROKE.iter().find(|(broke, _)| *broke == p.label.broke).expect("a way that is known").1;
        assert_eq!(found.get(&p.profile), Some(&class), "{}", p.label.broke);
    }
    assert_eq!(scan.progress().rows, 0, "rows that nobody named are another scan's");
    outside.reader.close().await;
}

/// Whoever has a row, by what they pay for.
fn people(bench: &Bench, suits: impl Fn(&Person) -> bool) -> impl Iterator<Item = Person> + '_ {
    (0..bench.population.len()).map(|n| bench.population.person(n)).filter(move |p| suits(p)).collect::<Vec<_>>().into_iter()
}

#[tokio::test]
async fn the_other_classes_are_found_too() {
    let bench = Bench::start(Options::default()).await;
    let outside = Outside::of(&bench, FAST);
    let known = drifted(&outside.scan(Scope::Account).await);
    let mut paying =
        people(&bench, |p| p.plan.as_ref().is_some_and(|plan| plan.status == "active") && !known.contains_key(&p.profile.to_string()));
    let mut free = people(&bench, |p| p.plan.is_none());
    let mut next = || paying.next().expect("enough pay");
    let run = async |sql: String| {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&bench.admin).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(done.rows_affected(), 1, "{sql}");
    };
    let unserved = next();
    run(format!("UPDATE subscriptions SET tier = 'FREE' WHERE profile_id = '{}'", unserved.profile)).await;
    let rowless = next();
    run(format!("DELETE FROM subscriptions WHERE profile_id = '{}'", rowless.profile)).await;
    let gift = free.next().expect("somebody pays nothing");
    run(format!("UPDATE subscriptions SET tier = 'PRO' WHERE profile_id = '{}'", gift.profile)).await;
    let alone = free.next().expect("somebody pays nothing");
    run(format!("UPDATE subscriptions SET stripe_subscription_id = 'sub_gone0001' WHERE profile_id = '{}'", alone.profile)).await;
    let (twice, stranger) = (next(), next());
    let buys = |person: &Person, new_customer| {
        let number = (0..bench.population.len()).find(|n| bench.population.person(*n).profile == person.profile).expect("a person");
        bench.simulator.checkout(NewCheckout {
            number,
            price: "price_pro_month".into(),
            client_reference_id: None,
            metadata: Vec::new(),
            at: Utc::now() - Duration::minutes(10),
            new_customer,
        })
    };
    buys(&twice, false);
    // Nothing but the e-mail address leads anywhere, and that is not enough.
    let orphan = buys(&stranger, true).customer;
    let mut due = known;
    due.insert(unserved.profile.to_string(), Class::PaidNotServed);
    due.insert(rowless.profile.to_string(), Class::PaidNotServed);
    due.insert(orphan, Class::OrphanCustomer);
    due.insert(gift.profile.to_string(), Class::ServedNotPaid);
    due.insert(alone.profile.to_string(), Class::OrphanRow);
    due.insert(twice.profile.to_string(), Class::SeveralLive);
    let found = drifted(&outside.scan(Scope::Account).await);
    assert_eq!(found, due);
    outside.reader.close().await;
}
