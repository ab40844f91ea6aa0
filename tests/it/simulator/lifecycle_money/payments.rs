//! Payment intents: paid, declined, authenticated, reserved and captured, canceled.

use serde_json::{Value, json};

use super::{DAY, SECOND, Tale, balance, sorted, text};

#[tokio::test]
async fn a_payment_goes_through() {
    let mut tale = Tale::new().await;
    let before = balance(&tale).await;
    let intent = tale.pay("pm_card_visa").await;
    assert_eq!(
        (&intent["status"], &intent["amount_received"], &intent["capture_method"]),
        (&json!("succeeded"), &json!(5_000), &json!("automatic_async"))
    );
    assert!(text(&intent["payment_method"]).starts_with("pm_1"), "the shared test card became one of its own: {intent}");
    assert_eq!(sorted(tale.types().await), ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]);
    tale.pass(2 * SECOND);
    let events = tale.events().await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("charge.updated")), "the balance transaction follows the charge");
    assert_eq!(events[0]["data"]["previous_attributes"], json!({ "balance_transaction": null }));
    let charge = tale.get(&format!("charges/{}?expand[]=balance_transaction", text(&intent["latest_charge"]))).await;
    assert_eq!((&charge["paid"], &charge["captured"], &charge["outcome"]["type"]), (&json!(true), &json!(true), &json!("authorized")));
    let booked = &charge["balance_transaction"];
    // 1.5 % and 25 cents.
    assert_eq!(
        (&booked["amount"], &booked["fee"], &booked["net"], &booked["status"]),
        (&json!(5_000), &json!(100), &json!(4_900), &json!("pending"))
    );
    assert_eq!(balance(&tale).await, (before.0, before.1 + 4_900));
    tale.pass(8 * DAY);
    assert_eq!(balance(&tale).await, (before.0 + 4_900, before.1), "after a week it is there");
    assert_eq!(tale.get(&format!("balance_transactions/{}", text(&booked["id"]))).await["status"], "available");
    let by_source = tale.get(&format!("balance_transactions?source={}", text(&charge["id"]))).await;
    assert_eq!(by_source["data"][0]["id"], booked["id"]);
}

#[tokio::test]
async fn a_declined_card_is_an_error_and_an_event() {
    let mut tale = Tale::new().await;
    for (card, code, decline, message) in [
        ("pm_card_visa_chargeDeclined", "card_declined", Some("generic_decline"), "Your card was declined."),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", Some("insufficient_funds"), "Your card has insufficient funds."),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None, "Your card has expired."),
        ("pm_card_chargeCustomerFail", "card_declined", Some("generic_decline"), "Your card was declined."),
    ] {
        let reply = tale.post("payment_intents", &format!("amount=5000&currency=eur&payment_method={card}&confirm=true")).await;
        reply.refused(402, code, message);
        let error = &reply.json()["error"];
        assert_eq!((&error["type"], error["decline_code"].as_str()), (&json!("card_error"), decline), "{card}");
        let intent = &error["payment_intent"];
        assert_eq!((&intent["status"], &intent["payment_method"]), (&json!("requires_payment_method"), &Value::Null));
        assert_eq!((&intent["last_payment_error"]["code"], &intent["last_payment_error"]["charge"]), (&json!(code), &error["charge"]));
        let charge = tale.get(&format!("charges/{}", text(&error["charge"]))).await;
        assert_eq!((&charge["status"], &charge["paid"], &charge["failure_code"]), (&json!("failed"), &json!(false), &json!(code)));
        assert_eq!(sorted(tale.types().await), ["charge.failed", "payment_intent.created", "payment_intent.payment_failed"], "{card}");
        // The same intent is good for another card.
        let id = text(&intent["id"]);
        let paid = tale.make(&format!("payment_intents/{id}/confirm"), "payment_method=pm_card_visa").await;
        assert_eq!((&paid["status"], &paid["last_payment_error"]), (&json!("succeeded"), &Value::Null));
        assert_ne!(paid["latest_charge"], charge["id"]);
        let charges = tale.get(&format!("charges?payment_intent={id}")).await;
        assert_eq!(charges["data"].as_array().map(Vec::len), Some(2));
        tale.pass(2 * SECOND);
        assert_eq!(sorted(tale.types().await), ["charge.succeeded", "charge.updated", "payment_intent.succeeded"]);
    }
}

#[tokio::test]
async fn a_payment_may_have_to_be_authenticated() {
    let mut tale = Tale::new().await;
    let waiting = tale.pay("pm_card_authenticationRequired").await;
    assert_eq!((&waiting["status"], &waiting["latest_charge"]), (&json!("requires_action"), &Value::Null));
    assert!(waiting["next_action"].is_object());
    assert_eq!(tale.types().await, ["payment_intent.created", "payment_intent.requires_action"]);
    let id = text(&waiting["id"]);
    assert!(tale.bench.sim.authenticate(&id, true, tale.bench.sim.now()));
    assert_eq!(tale.get(&format!("payment_intents/{id}")).await["status"], "succeeded");
    assert_eq!(sorted(tale.types().await), ["charge.succeeded", "payment_intent.succeeded"]);
    assert!(!tale.bench.sim.authenticate(&id, true, tale.bench.sim.now()), "nothing waits any more");
    let other = text(&tale.pay("pm_card_authenticationRequired").await["id"]);
    tale.events().await;
    assert!(tale.bench.sim.authenticate(&other, false, tale.bench.sim.now()));
    let failed = tale.get(&format!("payment_intents/{other}")).await;
    assert_eq!(
        (&failed["status"], &failed["last_payment_error"]["code"]),
        (&json!("requires_payment_method"), &json!("payment_intent_authentication_failure"))
    );
    tale.pass(2 * SECOND);
    let types = tale.types().await;
    assert!(types.contains(&"payment_intent.payment_failed".to_string()) && !types.contains(&"charge.failed".to_string()), "{types:?}");
    // Nobody is there to authenticate.
    let off = "amount=5000&currency=eur&payment_method=pm_card_authenticationRequired&confirm=true&off_session=true";
    tale.post("payment_intents", off).await.refused(402, "authentication_required", "requires authentication");
    assert_eq!(sorted(tale.types().await), ["charge.failed", "payment_intent.created", "payment_intent.payment_failed"]);
}

#[tokio::test]
async fn money_is_reserved_and_captured_or_let_go() {
    let mut tale = Tale::new().await;
    let form = "amount=5000&currency=eur&payment_method=pm_card_visa&confirm=true&capture_method=manual";
    let reserved = tale.make("payment_intents", form).await;
    assert_eq!(
        (&reserved["status"], &reserved["amount_capturable"], &reserved["amount_received"]),
        (&json!("requires_capture"), &json!(5_000), &json!(0))
    );
    assert_eq!(sorted(tale.types().await), ["charge.succeeded", "payment_intent.amount_capturable_updated", "payment_intent.created"]);
    let id = text(&reserved["id"]);
    let too_much = tale.post(&format!("payment_intents/{id}/capture"), "amount_to_capture=5001").await;
    too_much.refused(400, "amount_too_large", "5000");
    let captured = tale.make(&format!("payment_intents/{id}/capture"), "amount_to_capture=3000").await;
    assert_eq!(
        (&captured["status"], &captured["amount_received"], &captured["amount_capturable"]),
        (&json!("succeeded"), &json!(3_000), &json!(0))
    );
    let events = tale.events().await;
    assert_eq!(sorted(events.iter().map(|e| text(&e["type"]))), ["charge.captured", "payment_intent.succeeded"]);
    let charge = tale.get(&format!("charges/{}?expand[]=balance_transaction", text(&captured["latest_charge"]))).await;
    assert_eq!(
        (&charge["amount_captured"], &charge["amount_refunded"], &charge["refunded"]),
        (&json!(3_000), &json!(2_000), &json!(false))
    );
    assert_eq!(charge["balance_transaction"]["amount"], 3_000);
    tale.post(&format!("payment_intents/{id}/capture"), "").await.refused(400, "payment_intent_unexpected_state", "status of succeeded");
    // Let go by the business, and by time.
    let canceled = text(&tale.make("payment_intents", form).await["id"]);
    tale.events().await;
    let canceled = tale.make(&format!("payment_intents/{canceled}/cancel"), "cancellation_reason=abandoned").await;
    assert_eq!((&canceled["status"], &canceled["cancellation_reason"]), (&json!("canceled"), &json!("abandoned")));
    assert_eq!(sorted(tale.types().await), ["charge.refunded", "payment_intent.canceled"]);
    let expired = text(&tale.make("payment_intents", form).await["id"]);
    tale.events().await;
    tale.pass(8 * DAY);
    assert_eq!(tale.get(&format!("payment_intents/{expired}")).await["cancellation_reason"], "automatic");
    assert_eq!(sorted(tale.types().await), ["charge.expired", "payment_intent.canceled"]);
}

#[tokio::test]
async fn an_intent_is_prepared_changed_and_canceled() {
    let mut tale = Tale::new().await;
    let customer = text(&tale.make("customers", "name=Ada&email=ada%40example.com").await["id"]);
    let mut intent = tale
        .make("payment_intents", &format!("amount=5000&currency=EUR&customer={customer}&metadata[order]=7&setup_future_usage=off_session"))
        .await;
    let id = text(&intent["id"]);
    assert_eq!(
        (&intent["status"], &intent["currency"], &intent["automatic_payment_methods"]["enabled"]),
        (&json!("requires_payment_method"), &json!("eur"), &json!(true))
    );
    tale.post(&format!("payment_intents/{id}/confirm"), "").await.refused(
        400,
        "payment_intent_unexpected_state",
        "missing a payment method",
    );
    intent =
        tale.make(&format!("payment_intents/{id}"), "amount=6000&payment_method=pm_card_visa&metadata[order]=&description=Seats").await;
    assert_eq!((&intent["status"], &intent["amount"], &intent["metadata"]), (&json!("requires_confirmation"), &json!(6_000), &json!({})));
    assert_eq!(tale.types().await, ["customer.created", "payment_intent.created"], "a change of an intent is no event");
    intent = tale.make(&format!("payment_intents/{id}/confirm"), "").await;
    assert_eq!(intent["status"], "succeeded");
    let types = sorted(tale.types().await);
    assert_eq!(types, ["charge.succeeded", "payment_intent.succeeded", "payment_method.attached"], "the card was saved for later");
    let charge = tale.get(&format!("charges/{}", text(&intent["latest_charge"]))).await;
    assert_eq!((&charge["billing_details"]["email"], &charge["description"]), (&json!("ada@example.com"), &json!("Seats")));
    for (action, form) in [("confirm", ""), ("cancel", ""), ("", "amount=7000")] {
        let path = format!("payment_intents/{id}/{action}");
        let refused = tale.post(path.trim_end_matches('/'), form).await;
        refused.refused(400, "payment_intent_unexpected_state", "succeeded");
        assert_eq!(refused.json()["error"]["payment_intent"]["id"], id, "the error says which");
    }
    // The saved card pays again, for this customer only.
    let saved = text(&intent["payment_method"]);
    let pay = |who: &str| format!("amount=5000&currency=eur&payment_method={saved}&confirm=true&off_session=true{who}");
    assert_eq!(tale.make("payment_intents", &pay(&format!("&customer={customer}"))).await["status"], "succeeded");
    tale.post("payment_intents", &pay("")).await.refused(400, "", "attached to a customer");
    let stranger = text(&tale.make("customers", "").await["id"]);
    tale.post("payment_intents", &pay(&format!("&customer={stranger}"))).await.refused(400, "", "different Customer");
    // One that is not saved pays once.
    let once = text(&tale.pay("pm_card_visa").await["payment_method"]);
    let again = tale.post("payment_intents", &format!("amount=5000&currency=eur&payment_method={once}&confirm=true")).await;
    again.refused(400, "", "may not be used again");
}

#[tokio::test]
async fn what_no_intent_can_be_made_of() {
    let tale = Tale::new().await;
    for (form, code, message) in [
        ("currency=eur", "parameter_missing", "amount"),
        ("amount=5000", "parameter_missing", "currency"),
        ("amount=0&currency=eur", "parameter_invalid_integer", "greater than or equal to 1"),
        ("amount=49&currency=eur", "amount_too_small", "€0.50"),
        ("amount=100000000&currency=eur", "amount_too_large", "€999999.99"),
        ("amount=5000&currency=doubloon", "", "Invalid currency: doubloon"),
        ("amount=5000&currency=eur&customer=cus_nobody", "resource_missing", "No such customer"),
        ("amount=5000&currency=eur&payment_method=pm_nobody", "resource_missing", "No such PaymentMethod"),
        ("amount=5000&currency=eur&capture_method=later", "", "Invalid capture_method"),
        ("amount=5000&currency=eur&confirm=true", "payment_intent_unexpected_state", "missing a payment method"),
        ("amount=5000&currency=eur&off_session=true", "", "off_session"),
    ] {
        tale.post("payment_intents", form).await.refused(400, code, message);
    }
    let payments = tale.bench.get("/v1/payment_intents?created[gte]=4000000000").await.ids();
    assert!(payments.is_empty());
}
