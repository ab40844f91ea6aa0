//! The rule book, case by case: which evidence leads to which cause, and what helps.

use super::*;
use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::log::{Level, LogLine};
use crate::domain::webhooks::probe::{Came, Probed, Shot};
use crate::domain::webhooks::verdict::Verdict;
use chrono::Duration;

const URL: &str = "https://api.acme.com/webhooks/stripe";
const EVENT: &str = "evt_1Missing0001";

fn at() -> At {
    At::from_timestamp(1_790_000_000, 0).unwrap()
}

fn now() -> At {
    at() + Duration::minutes(30)
}

fn missing() -> Evidence {
    let mut e = Evidence::of(StripeId::parse(EVENT).unwrap(), "customer.subscription.updated", at(), Verdict::Missing);
    e.held = Held::Customer;
    e.names = vec![StripeId::parse("cus_Real00000001").unwrap()];
    e
}

fn line(seconds: i64, text: &str, ids: &[&str]) -> LogLine {
    LogLine {
        at: Some(at() + Duration::seconds(seconds)),
        level: Some(Level::Error),
        text: text.into(),
        source: "app.log".into(),
        ids: ids.iter().map(ToString::to_string).collect(),
    }
}

fn logged(lines: Vec<LogLine>) -> Scene {
    Scene { log: Some(Trail::new(lines, Some(at() - Duration::hours(24)))), ..Scene::default() }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: StripeId::parse("we_1Endpoint").unwrap(),
        url: URL.into(),
        enabled: true,
        api_version: None,
        events: vec!["*".into()],
        livemode: false,
    }
}

fn registered(endpoint: Endpoint) -> Scene {
    Scene { endpoints: Some(vec![endpoint]), url: Some(URL.into()), ..Scene::default() }
}

fn probed(shot: Shot, came: Came) -> Scene {
    Scene { probe: Some(Probed { url: URL.into(), shots: vec![(shot, came)] }), ..registered(endpoint()) }
}

fn answered(status: u16, body: &str) -> Came {
    Came::Answer { status, milliseconds: 12, body: body.into(), location: None, skew_seconds: Some(0) }
}

fn cause(e: &Evidence, scene: &Scene) -> Cause {
    attribute(e, scene, now()).cause
}

#[test]
fn the_three_of_the_runbook_are_among_them() {
    let refused = logged(vec![line(2, "Webhook error: Invalid signature", &[])]);
    assert_eq!(cause(&missing(), &refused), Cause::BadSignature);
    let database = logged(vec![line(2, "Webhook error: Database connection failed", &[EVENT])]);
    assert_eq!(cause(&missing(), &database), Cause::Database);
    let nobody = logged(vec![line(2, "Webhook error: Profile not found", &[EVENT])]);
    let mut gone = missing();
    (gone.held, gone.named) = (Held::Unknown, Named::Gone(SubjectKey("7f3a".into())));
    let found = attribute(&gone, &nobody, now());
    assert_eq!(found.cause, Cause::ProfileNotFound);
    assert!(matches!(found.remedy, Remedy::Skip(_)), "{:?}", found.remedy);
}

#[test]
fn nothing_known_is_unknown_and_says_so() {
    let found = attribute(&missing(), &Scene::default(), now());
    assert_eq!((found.cause, found.raw), (Cause::Unknown, None));
    assert_eq!(found.remedy, Remedy::Apply, "the truth can be copied without knowing why");
    let odd = logged(vec![line(2, "Webhook error: ENOSPC", &[EVENT])]);
    let found = attribute(&missing(), &odd, now());
    assert_eq!((found.cause, found.because.as_str()), (Cause::Unknown, "Webhook error: ENOSPC"), "the raw text is shown");
}

#[test]
fn a_signature_refused_at_another_time_is_not_the_cause() {
    for seconds in [-120, 1_200] {
        let elsewhere = logged(vec![line(seconds, "Webhook signature verification failed", &[])]);
        assert_eq!(cause(&missing(), &elsewhere), Cause::Unknown);
    }
    let of_the_probe =
        Scene { probed_at: Some(at() + Duration::seconds(5)), ..logged(vec![line(3, "signature verification failed", &[])]) };
    assert_eq!(cause(&missing(), &of_the_probe), Cause::Unknown);
}

#[test]
fn what_a_probe_made_the_application_say_is_about_no_event() {
    let forged = || line(400, "Webhook error: No signatures found matching the expected signature for payload", &[]);
    let old = || line(401, "Webhook error: Timestamp outside the tolerance zone", &[]);
    assert_eq!(cause(&missing(), &logged(vec![old()])), Cause::ClockSkew);
    assert_eq!(cause(&missing(), &logged(vec![forged()])), Cause::BadSignature);
    assert_eq!(cause(&missing(), &logged(vec![forged(), old()])), Cause::Unknown);
}

#[test]
fn a_clock_ten_minutes_off_is_named() {
    let text = "Webhook signature verification failed: Timestamp outside the tolerance zone";
    for seconds in [-599, 601] {
        let found = attribute(&missing(), &logged(vec![line(seconds, text, &[])]), now());
        assert_eq!(found.cause, Cause::ClockSkew);
    }
    let skewed = Came::Answer { status: 400, milliseconds: 12, body: String::new(), location: None, skew_seconds: Some(-600) };
    let found = attribute(&missing(), &probed(Shot::Unsigned, skewed), now());
    assert_eq!(found.cause, Cause::ClockSkew);
    assert!(found.because.contains("10 min behind"), "{}", found.because);
}

#[test]
fn a_row_that_names_nobody_is_linked_and_never_resent() {
    let mut e = missing();
    e.held = Held::Placeholder("cus_temp_ab12".into());
    for scene in [Scene::default(), logged(vec![line(2, "Webhook error: Profile not found", &[EVENT])])] {
        let found = attribute(&e, &scene, now());
        assert_eq!((found.cause, found.remedy), (Cause::NoRowForCustomer, Remedy::Link));
    }
    // Kept out by its signature: no handler ever looked for the row. It has to be linked all the same.
    let lines = vec![line(2, "signature verification failed", &[]), line(-900, "Webhook processed", &["evt_1Other"])];
    let found = attribute(&e, &logged(lines), now());
    assert_eq!((found.cause, found.remedy), (Cause::BadSignature, Remedy::Link));
}

#[test]
fn what_the_probe_sees_is_named() {
    for (came, expected) in [
        (Came::Dns, Cause::Dns),
        (Came::Tls("certificate expired".into()), Cause::Tls),
        (Came::Refused, Cause::Down),
        (Came::Timeout, Cause::Timeout),
        (answered(301, ""), Cause::Redirect),
        (answered(404, "Not found"), Cause::WrongPath),
        (answered(405, ""), Cause::WrongPath),
        (answered(502, "<html>nginx</html>"), Cause::Down),
        // A healthy endpoint refuses an unsigned request: that says nothing.
        (answered(400, "signature verification failed"), Cause::Unknown),
        (answered(200, r#"{"ok":false}"#), Cause::Unknown),
    ] {
        assert_eq!(cause(&missing(), &probed(Shot::Unsigned, came.clone())), expected, "{came:?}");
    }
    let refused = answered(200, r#"{"ok":false,"error":"signature verification failed"}"#);
    assert_eq!(cause(&missing(), &probed(Shot::Signed, refused)), Cause::BadSignature, "an ok:false body is enough");
    assert_eq!(cause(&missing(), &probed(Shot::Ready, answered(503, "unavailable"))), Cause::Database);
}

#[test]
fn what_is_over_is_resent_and_what_is_not_is_copied() {
    let refused = logged(vec![line(2, "Webhook signature verification failed", &[])]);
    let still = attribute(&missing(), &refused, now());
    assert_eq!(still.remedy, Remedy::Apply);
    assert!(still.helps.contains("resending does not"), "{}", still.helps);
    let over = Evidence { recovered: true, ..missing() };
    assert_eq!(attribute(&over, &refused, now()).remedy, Remedy::Resend);
    let old = attribute(&over, &refused, at() + Duration::days(31));
    assert_eq!(old.remedy, Remedy::Apply);
    assert!(old.helps.contains("30 days"), "{}", old.helps);
}

#[test]
fn how_the_endpoint_is_registered_tells_why_nothing_came() {
    let disabled = registered(Endpoint { enabled: false, ..endpoint() });
    assert_eq!(cause(&missing(), &disabled), Cause::EndpointDisabled);
    let lacking = registered(Endpoint { events: vec!["invoice.payment_failed".into()], ..endpoint() });
    assert_eq!(cause(&missing(), &lacking), Cause::NotSubscribed);
    let elsewhere = registered(Endpoint { url: "https://api.acme.com/billing/webhooks/stripe".into(), ..endpoint() });
    assert_eq!(cause(&missing(), &elsewhere), Cause::WrongPath);
    let live = registered(Endpoint { livemode: true, ..endpoint() });
    assert_eq!(cause(&missing(), &live), Cause::ModeMismatch);
    for scene in [disabled, lacking, elsewhere] {
        let over = attribute(&Evidence { recovered: true, ..missing() }, &scene, now());
        assert_eq!((over.cause, over.remedy), (Cause::Unknown, Remedy::Apply), "it was otherwise then; and now resending reaches nobody");
        let owed = attribute(&Evidence { pending: true, ..missing() }, &scene, now());
        assert!(!matches!(owed.cause, Cause::EndpointDisabled | Cause::NotSubscribed), "what is owed was to be sent: {owed:?}");
    }
}

#[test]
fn some_events_are_beyond_help_and_say_why() {
    let mut refunded = missing();
    refunded.kind = "charge.refunded".into();
    let mut live = missing();
    live.livemode = true;
    let mut unmapped = missing();
    unmapped.unmapped = Some("price_New".into());
    let mut malformed = missing();
    (malformed.held, malformed.named) = (Held::Unknown, Named::Malformed("undefined".into()));
    let ours = Scene { livemode: Some(false), ..Scene::default() };
    for (e, expected) in [
        (refunded, Cause::TypeNotHandled),
        (live, Cause::ModeMismatch),
        (unmapped, Cause::PriceNotMapped),
        (malformed, Cause::ProfileNotFound),
    ] {
        let found = attribute(&e, &ours, now());
        assert_eq!(found.cause, expected);
        assert!(matches!(&found.remedy, Remedy::Skip(why) if *why == found.helps), "{:?}", found.remedy);
    }
}

#[test]
fn an_effect_that_was_there_is_told_from_one_that_never_was() {
    let mut lost = missing();
    lost.receipt = Receipt::Processed(Some(at()));
    let found = attribute(&lost, &Scene::default(), now());
    assert_eq!((found.cause, found.remedy), (Cause::WrittenOver, Remedy::Apply));
    lost.processed_unread = true;
    assert_eq!(cause(&lost, &Scene::default()), Cause::Unknown, "the row as it was read proves nothing");
    lost.processed_unread = false;
    lost.older_in_row = Some(StripeId::parse("evt_1Older").unwrap());
    assert_eq!(cause(&lost, &Scene::default()), Cause::WrittenOver, "as before, and nothing says that the older one came later");
    let order = |older: i64| logged(vec![line(60, "Webhook processed", &[EVENT]), line(older, "Webhook processed", &["evt_1Older"])]);
    assert_eq!(cause(&lost, &order(120)), Cause::OlderApplied);
    assert_eq!(cause(&lost, &order(-60)), Cause::WrittenOver);
    lost.receipt = Receipt::Unknown;
    assert_eq!(cause(&lost, &Scene::default()), Cause::Unknown, "as before the event: it may never have come");
    lost.written_since = Some(true);
    assert_eq!(cause(&lost, &Scene::default()), Cause::OlderApplied);
    let twice = logged(vec![line(2, "event already processed, skipping", &[EVENT])]);
    assert_eq!(cause(&missing(), &twice), Cause::Duplicate);
    let both = logged(vec![line(2, "Webhook processed", &[EVENT]), line(60, "event already processed, skipping", &[EVENT])]);
    assert_eq!(cause(&missing(), &both), Cause::WrittenOver);
}

#[test]
fn what_failed_once_and_was_overtaken_since_is_not_laid_at_its_own_failure() {
    let mut lost = missing();
    (lost.older_in_row, lost.written_since) = (Some(StripeId::parse("evt_1Older").unwrap()), Some(true));
    let failed = || line(2, "Failed to sync webhook to DB: permission denied for table subscriptions", &[EVENT]);
    let order = |older: i64| logged(vec![failed(), line(older, "Webhook processed", &["evt_1Older"])]);
    assert_eq!(cause(&lost, &order(7_200)), Cause::OlderApplied, "put right by hand, and then the older one was delivered again");
    assert_eq!(cause(&lost, &order(-60)), Cause::Database);
    // The record of the older one tells as much as a line of the log.
    assert_eq!(cause(&lost, &logged(vec![failed()])), Cause::Database);
    lost.older_processed = Some(at() + Duration::hours(2));
    assert_eq!(cause(&lost, &logged(vec![failed()])), Cause::OlderApplied);
    lost.receipt = Receipt::Processed(Some(at() + Duration::minutes(1)));
    assert_eq!(cause(&lost, &Scene::default()), Cause::OlderApplied);
    lost.older_processed = Some(at() - Duration::minutes(1));
    assert_eq!(cause(&lost, &Scene::default()), Cause::WrittenOver);
}

#[test]
fn the_last_word_about_an_event_counts() {
    let lines = vec![
        line(2, "Failed to sync webhook to DB: permission denied for table subscriptions", &[EVENT]),
        line(300, "Webhook error: Cannot read properties of undefined (reading 'toISOString')", &[EVENT]),
    ];
    assert_eq!(cause(&missing(), &logged(lines)), Cause::ApiVersion);
}

#[test]
fn never_sent_is_told_by_silence_that_means_something() {
    let mut e = missing();
    let others = logged(vec![line(-900, "Webhook processed", &["evt_1Other"])]);
    assert_eq!(cause(&e, &others), Cause::NeverSent);
    e.pending = true;
    assert_eq!(cause(&e, &others), Cause::Down, "a delivery is owed: it reached nobody");
    e.pending = false;
    let mute = logged(vec![line(-900, "Webhook processed", &[])]);
    assert_eq!(cause(&e, &mute), Cause::Unknown, "a log that names no events says nothing by its silence");
    e.receipt = Receipt::Absent;
    assert_eq!(cause(&e, &Scene::default()), Cause::Unknown, "its signature may have been refused: only a log would say");
    let refused = vec![line(-900, "Webhook processed", &["evt_1Other"]), line(2, "Webhook signature verification failed", &[])];
    assert_eq!(cause(&e, &logged(refused)), Cause::BadSignature);
}

#[test]
fn the_sentence_names_what_changed_just_before() {
    let deploy = |minutes| Deploy { at: at() - Duration::minutes(minutes), version: "v413".into(), by: None };
    let time = |minutes: i64| (at() - Duration::minutes(minutes)).format("%H:%M").to_string();
    let near = Scene { deploys: vec![deploy(300), deploy(3)], ..Scene::default() };
    let said = format!("Likely the signing secret: it changed with deploy v413 at {}.", time(3));
    assert_eq!(likely(Cause::BadSignature, at(), &near), Some(said));
    let far = Scene { deploys: vec![deploy(300)], ..Scene::default() };
    assert_eq!(likely(Cause::BadSignature, at(), &far), Some(format!("Likely the signing secret, since {}.", time(0))));
    let restarted = logged(vec![line(-60, "Server listening", &[])]);
    assert_eq!(
        likely(Cause::BadSignature, at(), &restarted),
        Some(format!("Likely the signing secret: it changed with the restart at {}.", time(1)))
    );
    assert_eq!(likely(Cause::Unknown, at(), &near), None);
}

#[test]
fn what_happened_while_the_application_still_answered_is_not_explained_by_its_being_down() {
    let silent = logged(vec![line(-900, "Webhook processed", &["evt_1Other"])]);
    let down = |answered: Option<i64>| Scene {
        application_down: true,
        application_answered: answered.map(|minutes| at() + Duration::minutes(minutes)),
        ..silent.clone()
    };
    assert_eq!(cause(&missing(), &down(Some(20))), Cause::NeverSent, "it answered for twenty minutes more");
    assert_eq!(cause(&missing(), &down(Some(-5))), Cause::Down);
    assert_eq!(cause(&missing(), &down(None)), Cause::Down, "nobody knows since when");
}

#[test]
fn an_endpoint_that_led_elsewhere_until_lately_is_still_the_reason_for_what_happened_before() {
    let silent = logged(vec![line(-900, "Webhook processed", &["evt_1Other"])]);
    let mended = |until: i64| Scene { astray_until: Some(at() + Duration::minutes(until)), ..silent.clone() };
    let owed = Evidence { pending: true, ..missing() };
    assert_eq!(cause(&owed, &mended(10)), Cause::WrongPath);
    assert_eq!(cause(&owed, &mended(-10)), Cause::Down, "that happened after it was mended");
    let said = likely(Cause::Down, at(), &silent).expect("a sentence");
    assert!(said.starts_with("Likely the endpoint, which could not be reached"), "{said}");
}

#[test]
fn what_stripe_cannot_send_is_delivered_by_us_only_where_policy_says_so() {
    let disabled = registered(Endpoint { enabled: false, ..endpoint() });
    let remedy = |e: &Evidence, scene: Scene| attribute(e, &scene, now()).remedy;
    assert_eq!(remedy(&missing(), disabled.clone()), Remedy::Apply);
    let allowed = Scene { deliver: true, ..disabled };
    assert_eq!(remedy(&missing(), allowed.clone()), Remedy::Deliver);
    assert_eq!(remedy(&missing(), Scene { application_down: true, ..allowed.clone() }), Remedy::Apply, "nobody would take it");
    let unlinked = Evidence { held: Held::Placeholder("cus_temp_1".into()), ..missing() };
    assert_eq!(remedy(&unlinked, allowed.clone()), Remedy::Link, "the handler would find nobody");
    let handled = Evidence { receipt: Receipt::Processed(None), ..missing() };
    assert_eq!(remedy(&handled, allowed.clone()), Remedy::Apply, "it would be taken for a duplicate");
    let old = Evidence { at: now() - Duration::days(31), ..missing() };
    assert_eq!(remedy(&old, allowed), Remedy::Apply, "nobody has it any more");
}
