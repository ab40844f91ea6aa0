//! The verdict table, row by row; which endpoint is meant.

use super::*;
use crate::domain::ids::StripeId;
use crate::domain::webhooks::endpoint::{Endpoint, HANDLED};

const URL: &str = "https://api.example.com/webhooks/stripe";

fn endpoint(id: &str, url: &str) -> Endpoint {
    Endpoint {
        id: StripeId::parse(id).expect("an id"),
        url: url.into(),
        enabled: true,
        api_version: None,
        events: HANDLED.iter().map(ToString::to_string).collect(),
        livemode: true,
    }
}

fn answer(status: u16, body: &str) -> Came {
    Came::Answer { status, milliseconds: 12, body: body.into(), location: None, skew_seconds: Some(0) }
}

fn not_sent() -> Came {
    Came::NotSent("no secret".into())
}

/// Both forgeries answered alike, nothing signed; the application itself is well.
fn forged(came: &Came) -> Probed {
    let shots = vec![
        (Shot::Health, answer(200, "{}")),
        (Shot::Ready, answer(200, "{}")),
        (Shot::Unsigned, came.clone()),
        (Shot::WronglySigned, came.clone()),
        (Shot::TooOld, not_sent()),
        (Shot::TooNew, not_sent()),
        (Shot::Signed, not_sent()),
    ];
    Probed { url: URL.into(), shots }
}

fn with(mut probed: Probed, shot: Shot, came: Came) -> Probed {
    for (s, c) in &mut probed.shots {
        if *s == shot {
            *c = came.clone();
        }
    }
    probed
}

fn findings(probed: &Probed, endpoints: &[Endpoint]) -> Vec<Finding> {
    let found = assess(probed, &Surroundings { endpoints: Some(endpoints), configured: Some(URL) }).found;
    assert!(found.iter().all(|f| f.level == f.finding.level() && f.sentence.ends_with('.')), "{found:?}");
    assert!(found.iter().all(|f| f.helps.is_some() == (f.level != Level::Ok)), "who finds something says what helps: {found:?}");
    found.into_iter().map(|f| f.finding).collect()
}

fn worst(came: &Came) -> Finding {
    findings(&forged(came), &[endpoint("we_1Aaaaaaaaa", URL)])[0]
}

#[test]
fn every_answer_to_a_forgery_has_its_verdict() {
    use Finding as F;
    let official = "Webhook Error: No signatures found matching the expected signature for payload.";
    for (status, body, finding) in [
        (400, official, F::RejectsForgeries),
        (400, "", F::RejectsForgeries),
        (401, "{\"error\":\"Invalid signature\"}", F::RejectsForgeries),
        (422, "", F::RejectsForgeries),
        (401, "", F::RefusesAll),
        (401, "{\"error\":\"Unauthorized\"}", F::RefusesAll),
        (403, "<html>Forbidden</html>", F::RefusesAll),
        (200, "{\"ok\":false,\"error\":\"signature verification failed\"}", F::SwallowsErrors),
        (200, "{\"ok\":false}", F::SwallowsErrors),
        (200, "", F::SwallowsErrors),
        (200, "OK", F::SwallowsErrors),
        (204, "", F::SwallowsErrors),
        (200, "{\"ok\":true}", F::AcceptsForgeries),
        (200, "{\"received\":true}", F::AcceptsForgeries),
        (200, "{\"status\":\"processed\"}", F::AcceptsForgeries),
        (404, "Not found", F::WrongPath),
        (405, "", F::WrongPath),
        (301, "", F::Redirects),
        (307, "", F::Redirects),
        (502, "<html>nginx</html>", F::BadGateway),
        (504, "", F::BadGateway),
        (500, "{}", F::Fails),
        (429, "", F::Limited),
        (400, "<center>The plain HTTP request was sent to HTTPS port</center>", F::Tls),
    ] {
        assert_eq!(worst(&answer(status, body)), finding, "{status} {body}");
    }
    for (came, finding) in [
        (Came::Refused, F::Refused),
        (Came::Timeout, F::Timeout),
        (Came::Dns, F::Dns),
        (Came::Tls("certificate has expired".into()), F::Tls),
        (Came::Broken("connection reset".into()), F::Broken),
    ] {
        assert_eq!(worst(&came), finding);
    }
}

#[test]
fn who_refuses_without_a_word_is_told_by_what_becomes_of_a_right_signature() {
    let registered = [endpoint("we_1Aaaaaaaaa", URL)];
    let bare = answer(401, "{\"error\":\"Unauthorized\"}");
    let unsigned = forged(&bare);
    assert_eq!(findings(&unsigned, &registered), [Finding::RefusesAll]);
    let said = assess(&unsigned, &Surroundings::default());
    assert_eq!((said.manner, said.worst().level), (None, Level::Warn), "nobody knows whose answer it is");
    let signed = |status, body: &str| with(unsigned.clone(), Shot::Signed, answer(status, body));
    for (status, body) in [(200, "{\"received\":true}"), (200, ""), (204, "")] {
        let probed = signed(status, body);
        assert_eq!(findings(&probed, &registered), [Finding::RejectsForgeries], "{status} {body}");
        assert_eq!(assess(&probed, &Surroundings::default()).manner, Some(Manner::Honest));
        assert_eq!(accepts_signatures(&probed), Some(true));
    }
    assert_eq!(findings(&signed(401, "{\"error\":\"Unauthorized\"}"), &registered), [Finding::AuthProxy]);
    let late = with(signed(401, ""), Shot::TooOld, answer(200, "{\"ok\":true}"));
    assert_eq!(findings(&late, &registered), [Finding::ClockOff], "to the handler, ten minutes ago is now");
}

#[test]
fn one_forgery_that_is_taken_is_enough_for_the_alarm() {
    let probed = with(forged(&answer(400, "")), Shot::Unsigned, answer(200, "{\"ok\":true}"));
    assert_eq!(findings(&probed, &[endpoint("we_1Aaaaaaaaa", URL)]), [Finding::AcceptsForgeries]);
}

#[test]
fn the_manner_is_told_where_the_handler_itself_answers() {
    let manner = |came: &Came| assess(&forged(came), &Surroundings::default()).manner;
    assert_eq!(manner(&answer(400, "")), Some(Manner::Honest));
    assert_eq!(manner(&answer(200, "{\"ok\":false}")), Some(Manner::Swallowing));
    assert_eq!(manner(&answer(404, "")), None);
    assert_eq!(manner(&Came::Refused), None);
    let down = assess(&forged(&Came::Refused), &Surroundings::default());
    assert!(down.manner.is_none() && !down.healthy());
    let swallowing = assess(&forged(&answer(200, "{\"ok\":false}")), &Surroundings::default());
    assert!(swallowing.manner.is_some() && !swallowing.healthy() && swallowing.worst().level == Level::Warn);
}

#[test]
fn what_is_registered_is_compared() {
    let healthy = forged(&answer(400, ""));
    let good = endpoint("we_1Aaaaaaaaa", URL);
    assert_eq!(findings(&healthy, std::slice::from_ref(&good)), [Finding::RejectsForgeries]);
    assert_eq!(findings(&healthy, &[]), [Finding::NotRegistered]);
    assert_eq!(findings(&healthy, &[endpoint("we_1Bbbbbbbbb", "https://hooks.example.net/x")]), [Finding::NotRegistered]);
    let disabled = Endpoint { enabled: false, ..good.clone() };
    assert_eq!(findings(&healthy, std::slice::from_ref(&disabled)), [Finding::Disabled]);
    assert_eq!(findings(&healthy, &[disabled, endpoint("we_1Bbbbbbbbb", URL)]), [Finding::RejectsForgeries], "another one is on");
    let deaf = Endpoint { events: vec!["charge.refunded".into()], ..good.clone() };
    assert_eq!(findings(&healthy, &[deaf]), [Finding::NotSubscribed]);
    assert_eq!(findings(&healthy, &[good.clone(), endpoint("we_1Bbbbbbbbb", URL)]), [Finding::Doubled]);
    let moved = Probed { url: "https://api.example.com/hooks".into(), ..healthy };
    assert_eq!(findings(&moved, &[endpoint("we_1Aaaaaaaaa", &moved.url)]), [Finding::PathDiffers]);
    let unread = assess(&moved, &Surroundings { endpoints: None, configured: Some(URL) });
    assert_eq!(unread.worst().finding, Finding::RejectsForgeries, "what Stripe has not said is nobody's fault");
}

#[test]
fn clock_and_secret_are_told_apart() {
    let registered = [endpoint("we_1Aaaaaaaaa", URL)];
    let no = "No signatures found matching the expected signature for payload";
    let late = "Timestamp outside the tolerance zone";
    let signed =
        |status, body: &str, old: Came| with(with(forged(&answer(400, no)), Shot::Signed, answer(status, body)), Shot::TooOld, old);
    assert_eq!(findings(&signed(200, "{\"received\":true}", answer(400, late)), &registered), [Finding::RejectsForgeries]);
    assert_eq!(findings(&signed(400, no, answer(400, no)), &registered), [Finding::WrongSecret]);
    assert_eq!(findings(&signed(400, late, answer(400, late)), &registered), [Finding::ClockOff]);
    assert_eq!(findings(&signed(400, "", answer(200, "{\"ok\":true}")), &registered), [Finding::ClockOff], "to it, ten minutes ago is now");
    let ahead = with(signed(400, "", answer(400, "")), Shot::TooNew, answer(200, "{\"ok\":true}"));
    assert_eq!(findings(&ahead, &registered), [Finding::ClockOff], "to it, in ten minutes is now");
    assert_eq!(findings(&signed(200, "", answer(200, "")), &registered), [Finding::TakesOld]);
    let swallowed = "{\"ok\":false,\"error\":\"signature verification failed\"}";
    let probed = with(with(forged(&answer(200, swallowed)), Shot::Signed, answer(200, swallowed)), Shot::TooOld, answer(200, swallowed));
    assert_eq!(findings(&probed, &registered), [Finding::WrongSecret, Finding::SwallowsErrors]);

    let off = |seconds| {
        let Came::Answer { status, milliseconds, body, location, .. } = answer(400, no) else { unreachable!() };
        forged(&Came::Answer { status, milliseconds, body, location, skew_seconds: Some(seconds) })
    };
    assert_eq!(findings(&off(2), &registered), [Finding::RejectsForgeries]);
    assert_eq!(findings(&off(-90), &registered), [Finding::ClockDrifts]);
    let ahead = assess(&off(600), &Surroundings { endpoints: Some(&registered), configured: Some(URL) });
    assert_eq!(ahead.worst().finding, Finding::ClockOff);
    assert!(ahead.worst().sentence.contains("10 min ahead of Stripe's"), "{ahead:?}");
}

#[test]
fn an_application_that_is_not_ready_is_told() {
    let registered = [endpoint("we_1Aaaaaaaaa", URL)];
    let sick = with(forged(&answer(400, "")), Shot::Ready, answer(503, "{}"));
    assert_eq!(findings(&sick, &registered), [Finding::NotReady]);
    let without = with(forged(&answer(400, "")), Shot::Ready, answer(404, ""));
    assert_eq!(findings(&without, &registered), [Finding::RejectsForgeries], "not everybody has a readiness check");
    let dead = with(forged(&Came::Refused), Shot::Ready, Came::Refused);
    assert_eq!(findings(&dead, &registered), [Finding::Refused], "said once");
}

#[test]
fn the_probe_asks_the_url_that_stripe_sends_to() {
    let ours = endpoint("we_1Aaaaaaaaa", URL);
    let others = endpoint("we_1Bbbbbbbbb", "https://hooks.example.net/catch/1");
    let both = [others.clone(), ours.clone()];
    assert_eq!(target(&both, Some("https://api.example.com/webhooks/stripe/")), Target::Registered(&ours));
    assert_eq!(target(&both, Some("https://api.example.com/other")), Target::Registered(&ours), "the same host");
    assert_eq!(target(&both, Some("http://10.0.0.7:3000/webhooks/stripe")), Target::Registered(&ours), "the same path");
    let foreign = std::slice::from_ref(&others);
    assert_eq!(target(foreign, Some(URL)), Target::Configured(URL), "somebody else's endpoint is sent nothing");
    assert_eq!(target(&[], Some(URL)), Target::Configured(URL));
    assert_eq!(target(&[], None), Target::Nothing);
    assert_eq!(target(&both, None), Target::Unclear);
    assert_eq!(target(foreign, None), Target::Registered(&others));
    let off = Endpoint { enabled: false, ..endpoint("we_1Ccccccccc", URL) };
    assert_eq!(target(&[off, ours.clone()], Some(URL)), Target::Registered(&ours), "of two the one that is on");
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let probed = Probed { url: "https://api.example.com/hook?token=abc".into(), ..forged(&answer(404, "")) };
    let said = assess(&probed, &Surroundings { endpoints: Some(&[]), configured: Some(URL) });
    assert!(said.found.iter().all(|f| !f.sentence.contains("abc")), "{said:?}");
}

#[test]
fn a_right_signature_is_accepted_where_the_answer_tells_it_from_a_forgery() {
    let refused = answer(400, "signature verification failed");
    let signed = |forgery: &Came, right: Came| accepts_signatures(&with(forged(forgery), Shot::Signed, right));
    assert_eq!(signed(&refused, answer(200, r#"{"received":true}"#)), Some(true));
    assert_eq!(signed(&refused, answer(200, "")), Some(true));
    assert_eq!(signed(&answer(500, "oops"), answer(200, "")), Some(true), "it throws at forgeries");
    assert_eq!(signed(&answer(200, ""), answer(200, "")), None, "both alike");
    assert_eq!(signed(&refused, refused.clone()), Some(false));
    assert_eq!(accepts_signatures(&forged(&refused)), None, "not sent");
}
