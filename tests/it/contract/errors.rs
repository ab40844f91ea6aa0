//! Refusals of every sort, as error bodies: keys, limits, conflicts, faults, and what the business does not allow.

use std::time::Duration;

use nightdesk::sandbox::stripe::{Effect, Rule};
use reqwest::Method;

use super::conform::{assert_none, conform};
use super::world::{BY_CARD, World, id};
use crate::simulator::bench::Reply;

#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str, code: &str) {
    let body = reply.json();
    assert_none(conform("error", &body));
    let error = &body["error"];
    assert_eq!((reply.status, error["type"].as_str(), error["code"].as_str().unwrap_or_default()), (status, Some(kind), code), "{body}");
    assert!(reply.header("request-id").starts_with("req_"), "an error names its request");
}

#[tokio::test]
async fn what_the_business_does_not_allow() {
    let world = World::new().await;
    let post = async |path: &str, form: &str| world.call(&Method::POST, path, form, None).await;
    let form = format!("amount=1500&currency=eur&confirm=true&{BY_CARD}&payment_method=");
    for (method, code) in [
        ("pm_card_visa_chargeDeclined", "card_declined"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    ] {
        let declined = post("/v1/payment_intents", &format!("{form}{method}")).await;
        refused(&declined, 402, "card_error", code);
        assert_eq!(declined.json()["error"]["payment_intent"]["status"], "requires_payment_method", "the intent comes with the refusal");
    }
    let paid = id(&world.paid("pm_card_visa").await);
    refused(&post("/v1/refunds", &format!("payment_intent={paid}&amount=1501")).await, 400, "invalid_request_error", "");
    world.make("/v1/refunds", &format!("payment_intent={paid}")).await;
    refused(&post("/v1/refunds", &format!("payment_intent={paid}")).await, 400, "invalid_request_error", "charge_already_refunded");
    let again = post(&format!("/v1/payment_intents/{paid}/cancel"), "").await;
    refused(&again, 400, "invalid_request_error", "payment_intent_unexpected_state");
    let disputed = world.dispute().await;
    let intent =
        world.bench.get(&format!("/v1/disputes/{disputed}")).await.json()["payment_intent"].as_str().expect("an intent").to_string();
    refused(&post("/v1/refunds", &format!("payment_intent={intent}")).await, 400, "invalid_request_error", "charge_disputed");
    let subscription = world.subscription().await;
    let path = format!("/v1/subscriptions/{subscription}");
    assert_eq!(world.call(&Method::DELETE, &path, "", None).await.status, 200);
    refused(&world.call(&Method::DELETE, &path, "", None).await, 404, "invalid_request_error", "resource_missing");
    refused(&post(&path, "cancel_at_period_end=true").await, 400, "invalid_request_error", "invalid_canceled_subscription_fields");
}

#[tokio::test]
async fn keys_conflicts_and_faults() {
    let world = World::new().await;
    let bench = &world.bench;
    let with = async |key: &str| bench.send(bench.http.get(format!("{}/v1/customers", bench.sim.base_url())).bearer_auth(key)).await;
    refused(&with("sk_test_nobody").await, 401, "invalid_request_error", "");
    refused(&with("pk_test_nobody").await, 403, "invalid_request_error", "secret_key_required");
    refused(&with(&bench.sim.restricted_key(&["rak_event_read"])).await, 403, "invalid_request_error", "");
    let versioned = bench.send(bench.request(Method::GET, "/v1/balance").header("Stripe-Version", "yesterday")).await;
    refused(&versioned, 400, "invalid_request_error", "");
    let long = world.call(&Method::POST, "/v1/customers", "", Some(&"k".repeat(256))).await;
    refused(&long, 400, "invalid_request_error", "");
    for (status, kind, code) in [
        (429, "invalid_request_error", "rate_limit"),
        (409, "invalid_request_error", "lock_timeout"),
        (500, "api_error", ""),
        (503, "api_error", ""),
    ] {
        let effect = Effect::Status { status, code: None, message: None, should_retry: None, headers: Vec::new() };
        let rule = bench.sim.faults().add(Rule::always("/v1/balance", effect));
        refused(&bench.get("/v1/balance").await, status, kind, code);
        assert!(bench.sim.faults().remove(rule));
    }
    let rule = bench.sim.faults().add(Rule::always("/v1/customers", Effect::Delay { ms: 1_500 }).method("POST"));
    let (first, second) = tokio::join!(world.call(&Method::POST, "/v1/customers", "name=A", Some("one")), async {
        while bench.sim.faults().rules()[0].struck == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.call(&Method::POST, "/v1/customers", "name=A", Some("one")).await
    });
    assert_eq!(first.status, 200);
    refused(&second, 409, "idempotency_error", "idempotency_key_in_use");
    assert!(bench.sim.faults().remove(rule));
}
