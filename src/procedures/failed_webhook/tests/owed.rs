//! Older events that Stripe goes on trying by itself, beside a repair that brings the newest state.

use super::*;

/// Pending at Stripe, as an application that answers failures honestly leaves them.
fn pending(event: StripeEvent) -> StripeEvent {
    StripeEvent { pending_webhooks: 1, ..event }
}

fn said(told: &Told, inputs: &Inputs) -> Option<String> {
    let plan = told.plan(inputs).expect("a plan");
    assert_eq!(plan.afterwards.is_some(), plan.notes.iter().any(|n| Some(n) == plan.afterwards.as_ref()), "{:?}", plan.notes);
    plan.afterwards
}

#[test]
fn what_stripe_still_tries_of_older_states_is_said_in_the_review_and_with_the_result() {
    let changed = |n| pending(event(n, 10, subscription(n, true, true)));
    let begun = |n: usize| pending(event(n + 20, 50, subscription(n, false, true)));
    let told = Told { pages: vec![vec![changed(1), changed(2), begun(1), begun(2)]], ..Told::default() };
    let say = said(&told, &window(60, None)).expect("two are owed");
    assert!(say.starts_with("Stripe still tries 2 older events of these by itself, for up to three days."), "{say}");
    // Selected or not, by its id or by its time: what is owed is owed.
    let say = said(&told, &Inputs { allowance_seconds: Some(60), ..window(20, None) }).expect("two are owed");
    assert!(say.contains(" 2 older events "), "{say}");
    let by_id = Inputs::about(Selection::Events(vec![changed(1).id]));
    let told = Told { now: vec![subscription(1, true, true)], ..told };
    let say = said(&told, &by_id).expect("one is owed");
    assert!(say.starts_with("Stripe still tries 1 older event of these by itself") && say.contains("`nightdesk drift`"), "{say}");
}

#[test]
fn nothing_is_said_of_the_newest_of_what_was_taken_or_given_up_and_of_rows_that_are_right() {
    let of = |events: Vec<StripeEvent>| Told { pages: vec![events], ..Told::default() };
    let newest = || event(1, 10, subscription(1, true, true));
    let older = |minutes| event(2, minutes, subscription(1, false, true));
    // The newest brings what is due, whenever it comes.
    assert_eq!(said(&of(vec![pending(newest()), older(50)]), &window(60, None)), None);
    // A handler that answers 200 to its errors leaves nothing owed.
    assert_eq!(said(&of(vec![newest(), older(50)]), &window(60, None)), None);
    // Stripe gives up after three days.
    let day = 24 * 60;
    assert_eq!(said(&of(vec![newest(), pending(older(3 * day + 5))]), &window(4 * day, None)), None);
    assert!(said(&of(vec![newest(), pending(older(3 * day - 5))]), &window(4 * day, None)).is_some());
    // Of one whose row is right nothing is done, so nothing is said.
    let right = Told {
        pages: vec![vec![newest(), pending(older(50)), event(3, 20, subscription(3, false, true))]],
        applied: vec![subscription(1, true, true)],
        ..Told::default()
    };
    assert_eq!(said(&right, &window(60, None)), None);
    // Of two in one second the first of the list is the newer one.
    let one_second = of(vec![pending(newest()), pending(StripeEvent { created: newest().created, ..older(0) })]);
    assert!(said(&one_second, &window(60, None)).expect("the second of them").contains(" 1 older event "));
}
