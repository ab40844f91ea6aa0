//! Events that Stripe never sent, among those whose signatures were refused.

use super::*;
use crate::domain::webhooks::cause::Cause;

/// So many whose signatures were refused, Stripe still owing them where `honest`, and so many that were never sent at that time.
fn night(refused: usize, honest: bool, unsent: usize) -> Told {
    let mut events: Vec<StripeEvent> = (0..refused + unsent).map(|n| event(n, 30, subscription(n, false, true))).collect();
    events.iter_mut().take(refused).for_each(|e| e.pending_webhooks = u64::from(honest));
    let line = LogLine {
        at: Some(now() - Duration::minutes(30)),
        level: None,
        text: "Webhook error: signature verification failed".into(),
        source: "app.log".into(),
        ids: Vec::new(),
    };
    Told { pages: vec![events], log: vec![line], ..Told::default() }
}

fn lines(told: &Told) -> Vec<String> {
    let plan = told.plan(&window(60, None)).expect("a plan");
    assert_eq!(resent(&plan).len(), told.pages[0].len(), "whatever it seems, each is sent on trial");
    let of = |n: &&String| n.starts_with("Bad signature, ") || n.starts_with("Never sent, as it seems, ");
    plan.notes.iter().filter(of).map(|n| n.split(':').next().unwrap_or_default().to_string()).collect()
}

#[test]
fn what_was_never_sent_is_not_counted_among_what_was_refused() {
    let told = night(5, true, 2);
    assert_eq!(lines(&told), ["Bad signature, 5 customers", "Never sent, as it seems, 2 customers"]);
    let plan = told.plan(&window(60, None)).expect("a plan");
    let never = plan.notes.iter().find(|n| n.starts_with("Never sent")).expect("just seen");
    assert!(never.contains("Stripe owes nobody a delivery of them") && never.contains("what it does not send is copied"), "{never}");
    assert!(plan.evidence.iter().any(|l| l.starts_with("never sent, as it seems, 2: ")), "{:?}", plan.evidence);
    assert!(plan.evidence.iter().any(|l| l.starts_with(&format!("{}, 5: ", Cause::BadSignature.word()))), "{:?}", plan.evidence);
}

#[test]
fn where_refusals_are_answered_200_nothing_tells_the_two_apart() {
    assert_eq!(lines(&night(5, false, 2)), ["Bad signature, 7 customers"]);
    // One that is owed, for whatever reason, proves nothing of six that are not.
    assert_eq!(lines(&night(1, true, 6)), ["Bad signature, 7 customers"]);
}
