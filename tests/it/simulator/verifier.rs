//! Delivered webhooks against the client library's own verifier: signatures, replaced secrets, old timestamps.

use std::time::Duration;

use chrono::Utc;
use nightdesk::sandbox::stripe::signature;
use stripe_webhook::{Webhook, WebhookError};

use super::bench::Bench;
use super::receiver::Receiver;

#[tokio::test]
async fn the_clients_verifier_takes_what_is_delivered() {
    let (bench, receiver) = (Bench::new(50).await, Receiver::default());
    bench.sim.set_webhook_url(receiver.start().await);
    bench.sim.set_deliveries(true);
    let made = bench.checkout(3, true);
    bench.sim.deliveries_done().await;
    let (secret, got) = (bench.sim.webhook_secret(), receiver.got());
    assert_eq!(got.len(), 3);
    for delivery in &got {
        let event = Webhook::construct_event(&delivery.body, &delivery.signature, &secret).expect("verified and understood");
        let sent = delivery.json();
        assert!(made.events().contains(&event.id.to_string()));
        assert_eq!(event.type_.as_str(), sent["type"].as_str().expect("a type"));
        let changed = delivery.body.replacen("\"livemode\": false", "\"livemode\": true", 1);
        assert_ne!(changed, delivery.body);
        for (body, secret) in [(delivery.body.as_str(), "whsec_other"), (changed.as_str(), secret.as_str())] {
            let refused = Webhook::construct_event(body, &delivery.signature, secret);
            assert!(matches!(refused, Err(WebhookError::BadSignature)), "{refused:?}");
        }
        // Parsed and printed again it is another text, as with Stripe's.
        let reprinted = sent.to_string();
        assert!(matches!(Webhook::construct_event(&reprinted, &delivery.signature, &secret), Err(WebhookError::BadSignature)));
    }
}

#[tokio::test]
async fn after_a_rotation_both_secrets_verify_until_the_old_one_ends() {
    let (bench, receiver) = (Bench::new(50).await, Receiver::default());
    bench.sim.set_webhook_url(receiver.start().await);
    let (endpoint, old) = (bench.sim.webhook_endpoint().expect("registered"), bench.sim.webhook_secret());
    let made = bench.checkout(3, true);
    let new = bench.sim.rotate_secret(&endpoint, Duration::from_secs(86_400)).expect("known");
    let verified = async |secret: &str| {
        bench.sim.deliver(&made.subscribed.subscription_created).await;
        let got = receiver.got().pop().expect("arrived");
        Webhook::construct_event(&got.body, &got.signature, secret).is_ok()
    };
    assert!(verified(&old).await && verified(&new).await);
    bench.sim.advance(Duration::from_secs(86_401));
    assert!(!verified(&old).await && verified(&new).await, "although the clock was moved, the signature is of this moment");
}

#[tokio::test]
async fn timestamps_are_good_for_five_minutes_either_way() {
    let (bench, receiver) = (Bench::new(50).await, Receiver::default());
    bench.sim.set_webhook_url(receiver.start().await);
    let made = bench.checkout(3, true);
    bench.sim.deliver(&made.subscribed.subscription_created).await;
    let (got, secret, now) = (receiver.got().pop().expect("arrived"), bench.sim.webhook_secret(), Utc::now().timestamp());
    for (off, good) in [(0, true), (-290, true), (290, true), (-310, false), (310, false), (-86_400, false)] {
        let header = signature(&secret, now + off, &got.body);
        let answer = Webhook::construct_event(&got.body, &header, &secret);
        match answer {
            Ok(_) => assert!(good, "{off}"),
            Err(WebhookError::BadTimestamp(at)) => assert!(!good && at == now + off, "{off}"),
            Err(other) => panic!("{off}: {other}"),
        }
    }
    // A delivery that was kept for an hour is no longer good.
    let later = Webhook::construct_event_with_timestamp(&got.body, &got.signature, &secret, Utc::now().timestamp() + 3_600);
    assert!(matches!(later, Err(WebhookError::BadTimestamp(_))));
    for header in ["", "nonsense", "t=1", "v1=abc"] {
        assert!(Webhook::construct_event(&got.body, header, &secret).is_err(), "{header:?}");
    }
}
