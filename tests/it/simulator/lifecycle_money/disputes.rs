//! Disputes and inquiries: answered, decided, given up, lost by waiting, refunded, escalated.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{DAY, HOUR, SECOND, Tale, balance, sorted, text};

/// A payment with that card, and the dispute it makes.
async fn disputed(tale: &Tale, card: &str) -> Value {
    let intent = tale.pay(card).await;
    tale.pass(2 * SECOND);
    tale.get(&format!("disputes?payment_intent={}", text(&intent["id"]))).await["data"][0].clone()
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_is_won() {
    let mut tale = Tale::new().await;
    let before = balance(&tale).await;
    let dispute = disputed(&tale, "pm_card_createDispute").await;
    let id = text(&dispute["id"]);
    assert_eq!(
        (&dispute["status"], &dispute["reason"], &dispute["amount"]),
        (&json!("needs_response"), &json!("fraudulent"), &json!(5_000))
    );
    assert_eq!((&dispute["is_charge_refundable"], &dispute["evidence_details"]["submission_count"]), (&json!(false), &json!(0)));
    let types = tale.types().await;
    let story: Vec<&String> = types.iter().filter(|t| t.starts_with("charge.dispute.")).collect();
    assert_eq!(story, ["charge.dispute.created", "charge.dispute.funds_withdrawn"], "in this order: {types:?}");
    let paid = types.iter().position(|t| t == "payment_intent.succeeded").expect("paid");
    assert!(types.iter().position(|t| t == "charge.dispute.created") > Some(paid));
    let withdrawn = &dispute["balance_transactions"][0];
    assert_eq!(
        (&withdrawn["amount"], &withdrawn["fee"], &withdrawn["net"], &withdrawn["reporting_category"]),
        (&json!(-5_000), &json!(2_000), &json!(-7_000), &json!("dispute"))
    );
    assert_eq!(balance(&tale).await, (before.0 - 7_000, before.1 + 4_900));
    assert_eq!(tale.get(&format!("charges/{}", text(&dispute["charge"]))).await["disputed"], true);
    // Staged, in two steps: the bank hears nothing.
    let staged = tale
        .make(&format!("disputes/{id}"), "evidence[customer_name]=Ada&evidence[uncategorized_text]=draft&submit=false&metadata[case]=7")
        .await;
    assert_eq!(
        (&staged["status"], &staged["evidence_details"]["has_evidence"], &staged["evidence_details"]["submission_count"]),
        (&json!("needs_response"), &json!(true), &json!(0))
    );
    let events = tale.events().await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("charge.dispute.updated")));
    assert_eq!(events[0]["data"]["previous_attributes"]["evidence_details"]["has_evidence"], false);
    assert_eq!(events[0]["data"]["previous_attributes"]["evidence"]["uncategorized_text"], Value::Null);
    // Submitted, as happens unless the request says otherwise.
    let submitted = tale.make(&format!("disputes/{id}"), "evidence[uncategorized_text]=winning_evidence").await;
    assert_eq!((&submitted["status"], &submitted["evidence_details"]["submission_count"]), (&json!("under_review"), &json!(1)));
    assert_eq!(submitted["evidence"]["customer_name"], "Ada", "what was staged goes with it");
    let events = tale.events().await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("charge.dispute.updated")));
    assert_eq!(events[0]["data"]["previous_attributes"]["status"], "needs_response");
    for form in ["evidence[uncategorized_text]=more", "evidence[uncategorized_text]=more&submit=false", "submit=true"] {
        tale.post(&format!("disputes/{id}"), form).await.refused(400, "", "already been submitted");
    }
    tale.pass(2 * HOUR);
    let won = tale.get(&format!("disputes/{id}")).await;
    assert_eq!((&won["status"], won["balance_transactions"].as_array().map(Vec::len)), (&json!("won"), Some(2)));
    let events = tale.events().await;
    assert_eq!(events.iter().map(|e| text(&e["type"])).collect::<Vec<_>>(), ["charge.dispute.closed", "charge.dispute.funds_reinstated"]);
    assert_eq!(events[0]["data"]["previous_attributes"]["status"], "under_review");
    assert_eq!(balance(&tale).await, (before.0 - 2_000, before.1 + 4_900), "the fee is kept");
    tale.post(&format!("disputes/{id}/close"), "").await.refused(400, "", "already closed");
    let refund = tale.make("refunds", &format!("charge={}", text(&dispute["charge"]))).await;
    assert_eq!(refund["amount"], 5_000, "money that came back can be given back");
}

#[tokio::test]
async fn a_dispute_is_lost() {
    let mut tale = Tale::new().await;
    let before = balance(&tale).await.0;
    // By what was sent, by the time that banks take, by giving up, and by saying nothing.
    let ways: [(Option<(&str, &str)>, Duration); 4] = [
        (Some(("", "evidence[uncategorized_text]=losing_evidence")), 2 * HOUR),
        (Some(("", "evidence[product_description]=Seats")), 80 * DAY),
        (Some(("/close", "")), SECOND),
        (None, 11 * DAY),
    ];
    for (at, (request, passes)) in ways.into_iter().enumerate() {
        let dispute = disputed(&tale, "pm_card_createDispute").await;
        let id = text(&dispute["id"]);
        tale.events().await;
        if let Some((action, form)) = request {
            tale.make(&format!("disputes/{id}{action}"), form).await;
        }
        tale.pass(passes);
        let lost = tale.get(&format!("disputes/{id}")).await;
        assert_eq!((&lost["status"], &lost["evidence_details"]["past_due"]), (&json!("lost"), &json!(request.is_none())), "way {at}");
        let types = tale.types().await;
        assert_eq!(types.last().map(String::as_str), Some("charge.dispute.closed"), "way {at}: {types:?}");
        assert!(!types.iter().any(|t| t.contains("refund") || t.contains("reinstated")), "nothing is refunded by losing: {types:?}");
        tale.post(&format!("disputes/{id}"), "evidence[customer_name]=Ada").await.refused(400, "", "already closed");
        tale.post("refunds", &format!("charge={}", text(&dispute["charge"]))).await.refused(400, "charge_disputed", "charged back");
    }
    tale.pass(8 * DAY);
    assert_eq!(balance(&tale).await.0, before + 4 * (4_900 - 7_000));
}

#[tokio::test]
async fn the_answer_is_due_by_the_end_of_a_day() {
    let tale = Tale::new().await;
    let dispute = disputed(&tale, "pm_card_createDisputeProductNotReceived").await;
    assert_eq!(dispute["reason"], "product_not_received");
    let due = DateTime::from_timestamp(dispute["evidence_details"]["due_by"].as_i64().expect("a time"), 0).expect("a time");
    let left = due - tale.bench.sim.now();
    assert!((8..=10).contains(&left.num_days()), "{left}");
    assert_eq!(due.format("%H:%M:%S").to_string(), "23:59:59");
    let id = text(&dispute["id"]);
    tale.pass(left.to_std().expect("ahead") - SECOND);
    assert_eq!(tale.get(&format!("disputes/{id}")).await["status"], "needs_response", "not yet");
    tale.pass(3 * SECOND);
    assert_eq!(tale.get(&format!("disputes/{id}")).await["status"], "lost");
}

#[tokio::test]
async fn an_inquiry_takes_no_money() {
    let mut tale = Tale::new().await;
    let before = balance(&tale).await;
    let inquiry = disputed(&tale, "pm_card_createDisputeInquiry").await;
    assert_eq!(
        (&inquiry["status"], &inquiry["is_charge_refundable"], &inquiry["balance_transactions"]),
        (&json!("warning_needs_response"), &json!(true), &json!([]))
    );
    assert_eq!(inquiry["payment_method_details"]["card"]["case_type"], "inquiry");
    assert_eq!(balance(&tale).await, (before.0, before.1 + 4_900));
    let types = tale.types().await;
    assert!(types.contains(&"charge.dispute.created".into()) && !types.contains(&"charge.dispute.funds_withdrawn".into()), "{types:?}");
    // A refund ends it; a partial one does not.
    let charge = text(&inquiry["charge"]);
    tale.make("refunds", &format!("charge={charge}&amount=1000")).await;
    assert_eq!(tale.get(&format!("disputes/{}", text(&inquiry["id"]))).await["status"], "warning_needs_response");
    tale.events().await;
    tale.make("refunds", &format!("charge={charge}")).await;
    assert_eq!(sorted(tale.types().await), ["charge.dispute.closed", "charge.refunded", "refund.created"]);
    let closed = tale.get(&format!("disputes/{}", text(&inquiry["id"]))).await;
    assert_eq!((&closed["status"], &closed["is_charge_refundable"]), (&json!("warning_closed"), &json!(false)));
    // Answered or not, it ends by itself.
    for answer in [true, false] {
        let id = text(&disputed(&tale, "pm_card_createDisputeInquiry").await["id"]);
        tale.events().await;
        if answer {
            let answered = tale.make(&format!("disputes/{id}"), "evidence[product_description]=Seats").await;
            assert_eq!(answered["status"], "warning_under_review");
        }
        tale.pass(20 * DAY);
        let open = tale.get(&format!("disputes/{id}")).await;
        assert_eq!(open["status"], if answer { "warning_under_review" } else { "warning_needs_response" });
        assert_eq!(open["evidence_details"]["past_due"], !answer);
        tale.pass(101 * DAY);
        assert_eq!(tale.get(&format!("disputes/{id}")).await["status"], "warning_closed");
    }
}

#[tokio::test]
async fn an_inquiry_becomes_a_dispute() {
    let mut tale = Tale::new().await;
    for by_evidence in [true, false] {
        let id = text(&disputed(&tale, "pm_card_createDisputeInquiry").await["id"]);
        if by_evidence {
            tale.make(&format!("disputes/{id}"), "evidence[uncategorized_text]=escalate_inquiry_evidence").await;
            tale.events().await;
            tale.pass(2 * HOUR);
        } else {
            tale.events().await;
            assert!(tale.bench.sim.escalate_inquiry(&id, tale.bench.sim.now()));
        }
        let dispute = tale.get(&format!("disputes/{id}")).await;
        assert_eq!((&dispute["status"], &dispute["is_charge_refundable"]), (&json!("needs_response"), &json!(false)));
        assert_eq!(dispute["payment_method_details"]["card"]["case_type"], "chargeback");
        assert_eq!(tale.types().await, ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]);
        assert!(!tale.bench.sim.escalate_inquiry(&id, Utc::now()), "once");
        let won = tale.make(&format!("disputes/{id}"), "evidence[uncategorized_text]=winning_evidence").await;
        assert_eq!(won["status"], "under_review");
        tale.pass(2 * HOUR);
        assert_eq!(tale.get(&format!("disputes/{id}")).await["status"], "won");
        tale.events().await;
    }
}

#[tokio::test]
async fn evidence_has_limits() {
    let tale = Tale::new().await;
    let id = text(&disputed(&tale, "pm_card_createDispute").await["id"]);
    let path = format!("disputes/{id}");
    let long = "x".repeat(20_001);
    tale.post(&path, &format!("evidence[product_description]={long}&submit=false")).await.refused(
        400,
        "",
        "must be at most 20000 characters",
    );
    let names = [
        "access_activity_log",
        "billing_address",
        "cancellation_rebuttal",
        "product_description",
        "service_date",
        "shipping_address",
        "refund_policy_disclosure",
    ];
    for name in names {
        tale.make(&path, &format!("evidence[{name}]={}&submit=false", &long[1..])).await;
    }
    let over = tale.post(&path, &format!("evidence[uncategorized_text]={}&submit=false", &long[..10_001])).await;
    over.refused(400, "", "150000");
    tale.make(&path, &format!("evidence[uncategorized_text]={}&submit=false", &long[..9_900])).await;
    let file = tale.post(&path, "evidence[receipt]=file_1&submit=false").await;
    file.refused(400, "resource_missing", "No such file upload: 'file_1'");
    tale.post(&path, "evidence[colour]=red").await.refused(400, "parameter_unknown", "evidence[colour]");
    let gone = tale.make(&path, "evidence[product_description]=&submit=false").await;
    assert_eq!((&gone["evidence"]["product_description"], &gone["status"]), (&Value::Null, &json!("needs_response")));
}

#[tokio::test]
async fn a_chargeback_is_decided_in_its_own_time() {
    let tale = Tale::new().await;
    // What the inquiry was answered with would have been decided after an hour, or after 75 days.
    for (answer, before_its_end) in [("uncategorized_text]=losing_evidence", HOUR), ("product_description]=Seats", 75 * DAY)] {
        let id = text(&disputed(&tale, "pm_card_createDisputeInquiry").await["id"]);
        let path = format!("disputes/{id}");
        assert_eq!(tale.make(&path, &format!("evidence[{answer}")).await["status"], "warning_under_review");
        tale.pass(before_its_end - HOUR / 2);
        assert!(tale.bench.sim.escalate_inquiry(&id, tale.bench.sim.now()));
        assert_eq!(tale.make(&path, "evidence[uncategorized_text]=winning_evidence").await["status"], "under_review");
        tale.pass(HOUR * 3 / 4);
        assert_eq!(tale.get(&path).await["status"], "under_review", "the answer to the question decides nothing: {answer}");
        tale.pass(HOUR / 2);
        assert_eq!(tale.get(&path).await["status"], "won", "{answer}");
    }
}

#[tokio::test]
async fn a_payment_from_before_is_disputed_and_found() {
    let mut tale = Tale::new().await;
    let person = tale.bench.paying("active");
    let intent = tale.get(&format!("payment_intents/{}", person.plan.expect("pays").payment_intent)).await;
    let charge = text(&intent["latest_charge"]);
    let id = tale.bench.sim.open_dispute(&charge, "subscription_canceled", false, tale.bench.sim.now()).expect("opened");
    assert_eq!(tale.bench.sim.open_dispute(&charge, "fraudulent", false, Utc::now()), None, "once");
    assert_eq!(tale.types().await, ["charge.dispute.created", "charge.dispute.funds_withdrawn"]);
    for list in [format!("charge={charge}"), format!("payment_intent={}", text(&intent["id"])), "created[gte]=1".into()] {
        assert_eq!(tale.bench.walk(&format!("/v1/disputes?limit=1&{list}")).await, std::slice::from_ref(&id), "{list}");
    }
    assert!(tale.bench.get("/v1/disputes?created[lt]=1").await.ids().is_empty());
    let page = tale.bench.get("/v1/disputes?expand[]=data.charge.customer&expand[]=data.payment_intent").await;
    let decoded: stripe_types::List<stripe_shared::Dispute> = miniserde::json::from_str(&page.text).expect("decodes");
    assert_eq!(decoded.data.len(), 1);
    assert_eq!(page.json()["data"][0]["charge"]["customer"]["id"], json!(person.customer));
    tale.bench.get("/v1/disputes/du_nobody").await.refused(404, "resource_missing", "No such dispute: 'du_nobody'");
}
