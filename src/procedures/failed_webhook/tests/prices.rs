//! Which subscriptions are retrieved for the sake of their prices: none that a rule maps, and of what products tell one for each price.

use super::*;

/// A snapshot as events carry it: without its product's metadata.
fn shown(n: usize, price: &str) -> Subscription {
    let mut shown = priced(n, price);
    shown.items[0].price.product_metadata.clear();
    shown
}

/// As Stripe gives it when it is retrieved; lookup key and metadata say nothing of a tier.
fn priced(n: usize, price: &str) -> Subscription {
    let mut s = subscription(n, false, false);
    let of = &mut s.items[0].price;
    of.id = id(price);
    of.lookup_key = Some("gold_monthly".into());
    of.metadata.insert("family".into(), "gold".into());
    s
}

fn retrieved(answers: &Answers) -> usize {
    answers.all().filter(|(q, _)| matches!(q, Query::Subscription(_))).count()
}

/// Forty of them, the even ones applied.
fn forty(price: impl Fn(usize) -> &'static str) -> Told {
    Told {
        pages: vec![(0..40).map(|n| event(n, 30, shown(n, price(n)))).collect()],
        now: (0..40).map(|n| priced(n, price(n))).collect(),
        applied: (0..40).step_by(2).map(|n| priced(n, price(n))).collect(),
        ..Told::default()
    }
}

#[test]
fn what_is_mapped_by_the_price_s_id_costs_no_retrieve() {
    let mut told = forty(|_| "price_Gold000001");
    told.tiers.prices.insert("price_Gold000001".into(), "ENTERPRISE".into());
    told.applied.iter_mut().for_each(|s| s.items[0].price.product_metadata.clear());
    let inputs = window(60, None);
    assert_eq!(retrieved(&told.answers(&inputs)), 0);
    let plan = told.plan(&inputs).expect("a plan");
    assert_eq!(resent(&plan).len(), 20);
    assert!(plan.notes.iter().any(|n| n == "20 rows are already right and left alone."), "{:?}", plan.notes);
}

#[test]
fn what_the_product_tells_is_asked_for_once_for_each_price() {
    let told = forty(|n| if n < 30 { "price_Gold000001" } else { "price_Gold000002" });
    let inputs = window(60, None);
    assert_eq!(retrieved(&told.answers(&inputs)), 2);
    let plan = told.plan(&inputs).expect("nobody is left out for a price that is mapped");
    assert_eq!(resent(&plan).len(), 20);
    assert!(!plan.notes.iter().any(|n| n.contains("mapped to no tier")), "{:?}", plan.notes);
    // Everything but the tier is in the row: that the product tells another one by now is seen.
    let mut raised = forty(|_| "price_Gold000001");
    raised.now.iter_mut().for_each(|s| drop(s.items[0].price.product_metadata.insert("tier".into(), "ENTERPRISE".into())));
    assert_eq!(raised.plan(&inputs).expect("a plan").first_acts().count(), 40);
}

#[test]
fn one_that_has_ended_meanwhile_tells_no_price_and_another_is_asked() {
    let mut told = forty(|_| "price_Gold000001");
    told.now[0].status = Status::Canceled;
    told.now[0].items[0].price.product_metadata.clear();
    let inputs = window(60, None);
    assert_eq!(retrieved(&told.answers(&inputs)), 2);
    let plan = told.plan(&inputs).expect("a plan");
    assert!(!plan.notes.iter().any(|n| n.contains("mapped to no tier")), "{:?}", plan.notes);
}

#[test]
fn a_price_that_nothing_maps_is_asked_about_once_and_named() {
    let mut told = forty(|_| "price_Gold000001");
    told.now.iter_mut().for_each(|s| s.items[0].price.product_metadata.clear());
    told.applied.clear();
    let inputs = window(60, None);
    assert_eq!(retrieved(&told.answers(&inputs)), 1);
    let Err(Refusal::Because(say)) = told.plan(&inputs) else { panic!("a tier out of nothing") };
    assert!(say.contains("price_Gold000001 is mapped to no tier"), "{say}");
}
