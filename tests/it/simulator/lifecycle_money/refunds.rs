//! Refunds: whole and in parts, at once and later, failed, refused, and done although nobody heard of it.

use nightdesk::sandbox::stripe::{Effect, Rule, When};
use reqwest::Method;
use serde_json::{Value, json};

use super::{DAY, HOUR, Tale, balance, sorted, text};

#[tokio::test]
async fn a_charge_is_refunded_in_parts() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_visa").await;
    let before = balance(&tale).await;
    let first = tale.make("refunds", &format!("charge={charge}&amount=2000&reason=requested_by_customer&metadata[case]=7")).await;
    assert_eq!(
        (&first["status"], &first["reason"], &first["metadata"]),
        (&json!("succeeded"), &json!("requested_by_customer"), &json!({ "case": "7" }))
    );
    let events = tale.events().await;
    assert_eq!(sorted(events.iter().map(|e| text(&e["type"]))), ["charge.refunded", "refund.created"]);
    let refunded = events.iter().find(|e| e["type"] == "charge.refunded").expect("told");
    assert_eq!(refunded["data"]["previous_attributes"], json!({ "amount_refunded": 0 }), "a partial refund");
    assert_eq!((&refunded["data"]["object"]["refunded"], &refunded["data"]["object"]["amount_refunded"]), (&json!(false), &json!(2_000)));
    let sum = tale.get(&format!("balance_transactions/{}", text(&first["balance_transaction"]))).await;
    assert_eq!((&sum["amount"], &sum["fee"], &sum["type"], &sum["source"]), (&json!(-2_000), &json!(0), &json!("refund"), &first["id"]));
    assert_eq!(balance(&tale).await, (before.0 - 2_000, before.1));
    tale.post("refunds", &format!("charge={charge}&amount=3001")).await.refused(
        400,
        "",
        "Refund amount (€30.01) is greater than unrefunded amount on charge (€30.00)",
    );
    let intent = text(&first["payment_intent"]);
    let rest = tale.make("refunds", &format!("payment_intent={intent}")).await;
    assert_eq!(rest["amount"], 3_000, "all that is left");
    let events = tale.events().await;
    let refunded = events.iter().find(|e| e["type"] == "charge.refunded").expect("told");
    assert_eq!(refunded["data"]["previous_attributes"], json!({ "amount_refunded": 2_000, "refunded": false }));
    tale.post("refunds", &format!("charge={charge}")).await.refused(400, "charge_already_refunded", "has already been refunded");
    for list in [format!("refunds?charge={charge}"), format!("refunds?payment_intent={intent}"), "refunds".to_string()] {
        let ids = tale.bench.walk(&format!("/v1/{list}{}limit=1", if list.contains('?') { '&' } else { '?' })).await;
        assert_eq!(ids, [text(&rest["id"]), text(&first["id"])], "{list}");
    }
    assert_eq!(tale.get(&format!("payment_intents/{intent}")).await["status"], "succeeded", "a refund changes no intent");
    // The bank's number comes later.
    tale.pass(2 * DAY);
    let updated = tale.events().await;
    assert_eq!(
        sorted(updated.iter().map(|e| text(&e["type"]))),
        ["charge.refund.updated", "charge.refund.updated", "refund.updated", "refund.updated"]
    );
    let shown = tale.get(&format!("refunds/{}", text(&first["id"]))).await;
    assert_eq!(shown["destination_details"]["card"]["reference_status"], "available");
    let renamed = tale.make(&format!("refunds/{}", text(&first["id"])), "metadata[case]=8").await;
    assert_eq!(renamed["metadata"], json!({ "case": "8" }));
    assert_eq!(sorted(tale.types().await), ["charge.refund.updated", "refund.updated"]);
}

#[tokio::test]
async fn a_payment_from_before_is_refunded_too() {
    let mut tale = Tale::new().await;
    let person = tale.bench.paying("active");
    let intent = person.plan.expect("pays").payment_intent;
    let before = tale.get(&format!("payment_intents/{intent}?expand[]=latest_charge.balance_transaction")).await;
    assert_eq!(before["latest_charge"]["balance_transaction"]["amount"], before["amount"], "it was booked");
    let refund = tale.make("refunds", &format!("payment_intent={intent}&reason=fraudulent")).await;
    assert_eq!((&refund["amount"], &refund["customer"]), (&before["amount"], &json!(person.customer)));
    assert_eq!(sorted(tale.types().await), ["charge.refunded", "refund.created"]);
    let charge = tale.get(&format!("charges/{}", text(&refund["charge"]))).await;
    assert_eq!((&charge["refunded"], &charge["fraud_details"]["user_report"]), (&json!(true), &json!("fraudulent")));
    let listed = tale.get(&format!("charges?customer={}&limit=100", person.customer.expect("known"))).await;
    assert!(listed["data"].as_array().expect("a list").contains(&charge), "the list shows it as it is now");
    let unpaid = tale.bench.paying("past_due").plan.expect("a plan").payment_intent;
    tale.post("refunds", &format!("payment_intent={unpaid}")).await.refused(
        400,
        "payment_intent_unexpected_state",
        "does not have a successful charge",
    );
}

#[tokio::test]
async fn a_refund_pends_and_succeeds() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_pendingRefund").await;
    let refund = tale.make("refunds", &format!("charge={charge}")).await;
    assert_eq!((&refund["status"], &refund["pending_reason"]), (&json!("pending"), &json!("processing")));
    assert_eq!(sorted(tale.types().await), ["charge.refunded", "refund.created"]);
    tale.post("refunds", &format!("charge={charge}")).await.refused(400, "charge_already_refunded", "has already been refunded");
    tale.post(&format!("refunds/{}/cancel", text(&refund["id"])), "").await.refused(400, "", "status of pending");
    tale.pass(HOUR);
    let events = tale.events().await;
    assert_eq!(sorted(events.iter().map(|e| text(&e["type"]))), ["charge.refund.updated", "refund.updated"]);
    assert_eq!(events[0]["data"]["previous_attributes"]["status"], "pending");
    assert_eq!(tale.get(&format!("refunds/{}", text(&refund["id"]))).await["status"], "succeeded");
}

#[tokio::test]
async fn a_refund_fails_after_all() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_refundFail").await;
    let before = balance(&tale).await;
    let refund = tale.make("refunds", &format!("charge={charge}&amount=1000")).await;
    assert_eq!(refund["status"], "succeeded");
    tale.events().await;
    tale.pass(HOUR);
    let events = tale.events().await;
    assert_eq!(sorted(events.iter().map(|e| text(&e["type"]))), ["charge.refund.updated", "refund.failed", "refund.updated"]);
    assert_eq!(events[0]["data"]["previous_attributes"]["status"], "succeeded");
    let failed = tale.get(&format!("refunds/{}?expand[]=failure_balance_transaction", text(&refund["id"]))).await;
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&json!("failed"), &json!("expired_or_canceled_card")));
    assert_eq!(
        (&failed["failure_balance_transaction"]["amount"], &failed["failure_balance_transaction"]["type"]),
        (&json!(1_000), &json!("refund_failure"))
    );
    assert_eq!(balance(&tale).await, before, "the money is back");
    let charge = tale.get(&format!("charges/{charge}")).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
}

#[tokio::test]
async fn a_refund_that_waits_for_the_customer_can_be_canceled() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_pendingRefund").await;
    let id = text(&tale.make("refunds", &format!("charge={charge}")).await["id"]);
    tale.events().await;
    assert!(tale.bench.sim.ask_customer_about_refund(&id, tale.bench.sim.now()));
    assert_eq!(tale.get(&format!("refunds/{id}")).await["next_action"]["type"], "display_details");
    assert_eq!(sorted(tale.types().await), ["charge.refund.updated", "refund.updated"]);
    let canceled = tale.make(&format!("refunds/{id}/cancel"), "").await;
    assert_eq!((&canceled["status"], &canceled["next_action"]), (&json!("canceled"), &Value::Null));
    assert_eq!(sorted(tale.types().await), ["charge.refund.updated", "refund.updated"]);
    tale.post(&format!("refunds/{id}/cancel"), "").await.refused(400, "", "status of canceled");
    assert_eq!(tale.make("refunds", &format!("charge={charge}")).await["amount"], 5_000, "the charge can be refunded again");
}

#[tokio::test]
async fn what_is_not_refunded() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_visa").await;
    let intent = text(&tale.get(&format!("charges/{charge}")).await["payment_intent"]);
    let disputed = tale.charge("pm_card_createDispute").await;
    for (form, code, message) in [
        (String::new(), "", "One of the following params should be provided for this request: payment_intent or charge."),
        (format!("charge={charge}&payment_intent={intent}"), "", "only specify one of these parameters: charge, payment_intent"),
        ("charge=ch_nobody".into(), "resource_missing", "No such charge: 'ch_nobody'"),
        ("payment_intent=pi_nobody".into(), "resource_missing", "No such payment_intent: 'pi_nobody'"),
        (format!("charge={charge}&amount=0"), "parameter_invalid_integer", "greater than or equal to 1"),
        (format!("charge={charge}&amount=many"), "parameter_invalid_integer", "Invalid integer: many"),
        (format!("charge={charge}&amount=5001"), "", "Refund amount (€50.01) is greater than charge amount (€50.00)"),
        (format!("charge={charge}&reason=regret"), "", "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer"),
        (format!("charge={disputed}"), "charge_disputed", "has been charged back; cannot issue a refund."),
    ] {
        tale.post("refunds", &form).await.refused(400, code, message);
    }
    let reserved =
        tale.make("payment_intents", "amount=5000&currency=eur&payment_method=pm_card_visa&confirm=true&capture_method=manual").await;
    let reserved = format!("charge={}", text(&reserved["latest_charge"]));
    tale.post("refunds", &reserved).await.refused(400, "charge_not_refundable", "has not been captured");
    tale.bench.get("/v1/refunds/re_nobody").await.refused(404, "resource_missing", "No such refund: 're_nobody'");
    assert!(tale.bench.get("/v1/refunds").await.ids().is_empty(), "nothing was refunded");
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_exists() {
    let mut tale = Tale::new().await;
    let charge = tale.charge("pm_card_visa").await;
    tale.bench.sim.faults().add(Rule::always("/v1/refunds", Effect::Reset).method("POST").when(When::Nth(1)).after_the_work());
    let form = format!("charge={charge}&amount=1500");
    let request = |key: &str| {
        let request = tale.bench.request(Method::POST, "/v1/refunds").header("Idempotency-Key", key.to_string());
        request.header("Content-Type", "application/x-www-form-urlencoded").body(form.clone())
    };
    assert!(request("case-1").send().await.is_err(), "the connection was reset");
    let made = tale.get("refunds").await;
    assert_eq!((made["data"].as_array().map(Vec::len), &made["data"][0]["amount"]), (Some(1), &json!(1_500)), "it was done nevertheless");
    assert_eq!(sorted(tale.types().await), ["charge.refunded", "refund.created"]);
    let again = tale
        .bench
        .send(
            tale.bench
                .request(Method::POST, "/v1/refunds")
                .header("Idempotency-Key", "case-1")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.clone()),
        )
        .await;
    assert_eq!((again.status, again.header("idempotent-replayed"), &again.json()["id"]), (200, "true", &made["data"][0]["id"]));
    assert_eq!(tale.types().await, [""; 0], "the second request did nothing");
    assert_eq!(tale.bench.get("/v1/refunds").await.ids().len(), 1);
    assert_eq!(tale.get(&format!("charges/{charge}")).await["amount_refunded"], 1_500);
}
