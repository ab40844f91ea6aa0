//! Subscriptions by themselves: begun, on trial, renewed, declined, retried, expired, paused and ended.

use chrono::{DateTime, Months};
use nightdesk::sandbox::stripe::AfterRetries;
use serde_json::{Value, json};

use super::{DAY, HOUR, PAID, PAYMENT, Story, all, number, text};

fn item(subscription: &Value) -> &Value {
    &subscription["items"]["data"][0]
}

#[tokio::test]
async fn one_that_is_paid_begins_active_and_renews_by_the_clock() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    story.told().await;
    let form = format!("customer={customer}&items[0][price]=price_pro_month&items[0][quantity]=2&metadata[profileId]=7&description=Two");
    let made = story.make("subscriptions", &form).await;
    assert_eq!((&made["status"], &made["metadata"], &item(&made)["quantity"]), (&json!("active"), &json!({ "profileId": "7" }), &json!(2)));
    let (id, end) = (text(&made["id"]), number(&item(&made)["current_period_end"]));
    let start = DateTime::from_timestamp(number(&made["created"]), 0).expect("a time");
    assert_eq!(end, start.checked_add_months(Months::new(1)).expect("a time").timestamp());
    let told = story.told().await;
    told.are(&all(&[&["customer.subscription.created", "customer.updated", "invoice.created", "invoice.finalized"], &PAYMENT, &PAID]));
    told.in_order(&["invoice.created", "invoice.finalized", "invoice.paid"]);
    assert_eq!(told.object("customer.subscription.created")["status"], "active");
    assert_eq!(told.previous("customer.updated"), &json!({ "currency": null }), "the first thing paid for");
    assert_eq!((&told.object("invoice.created")["status"], &told.object("invoice.created")["number"]), (&json!("draft"), &Value::Null));
    assert_eq!(
        (&told.object("invoice.finalized")["status"], &told.object("invoice.finalized")["attempted"]),
        (&json!("open"), &json!(false))
    );
    let invoice = story.get(&format!("invoices/{}?expand[]=payments", text(&made["latest_invoice"]))).await;
    let price = story.get("prices/price_pro_month").await;
    assert_eq!(number(&invoice["amount_paid"]), 2 * number(&price["unit_amount"]));
    assert_eq!((&invoice["billing_reason"], &invoice["attempt_count"]), (&json!("subscription_create"), &json!(1)));
    assert_eq!(invoice["payments"]["data"][0]["status"], "paid");
    assert_eq!(invoice["parent"]["subscription_details"]["metadata"], json!({ "profileId": "7" }));
    // At the boundary there is a draft; an hour later it is final and paid.
    story.pass(31 * DAY);
    let told = story.told().await;
    told.are(&all(&[&["invoice.created", "customer.subscription.updated", "invoice.finalized"], &PAYMENT, &PAID]));
    let previous = told.previous("customer.subscription.updated");
    assert_eq!(previous["latest_invoice"], made["latest_invoice"]);
    assert_eq!((previous.get("status"), number(&previous["items"]["data"][0]["current_period_end"])), (None, end));
    let draft = told.object("invoice.created");
    assert_eq!((number(&draft["created"]), &draft["billing_reason"]), (end, &json!("subscription_cycle")));
    assert_eq!((number(&draft["period_start"]), number(&draft["period_end"])), (start.timestamp(), end));
    assert_eq!(number(&told.of("invoice.finalized")["created"]), end + 3_600);
    let now = story.get(&format!("subscriptions/{id}")).await;
    assert_eq!((number(&item(&now)["current_period_start"]), &now["latest_invoice"]), (end, &draft["id"]));
    let numbers: Vec<String> =
        [&invoice, &story.get(&format!("invoices/{}", text(&draft["id"]))).await].iter().map(|v| text(&v["number"])).collect();
    assert!(numbers[0].ends_with("-0001") && numbers[1].ends_with("-0002"), "{numbers:?}");
}

#[tokio::test]
async fn a_declined_first_payment_leaves_a_day_to_pay() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_chargeCustomerFail").await;
    story.told().await;
    let form = format!("customer={customer}&items[0][price]=price_pro_month");
    story.post("subscriptions", &format!("{form}&payment_behavior=error_if_incomplete")).await.refused(402, "card_declined", "declined");
    story.told().await.are(&[]);
    let made = story.make("subscriptions", &form).await;
    assert_eq!(made["status"], "incomplete");
    let told = story.told().await;
    told.are(&[
        "charge.failed",
        "customer.subscription.created",
        "customer.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.payment_failed",
        "payment_intent.created",
        "payment_intent.payment_failed",
    ]);
    let failed = told.object("invoice.payment_failed");
    assert_eq!((&failed["attempt_count"], &failed["next_payment_attempt"]), (&json!(1), &Value::Null), "nobody tries again");
    // Another card saves it.
    let invoice = text(&made["latest_invoice"]);
    story.make(&format!("invoices/{invoice}/pay"), "payment_method=pm_card_visa").await;
    let told = story.told().await;
    told.are(&all(&[&["charge.succeeded", "payment_intent.succeeded", "customer.subscription.updated"], &PAID]));
    assert_eq!(told.previous("customer.subscription.updated"), &json!({ "status": "incomplete" }));
    // And without one it is over after twenty-three hours.
    let second = story.make("subscriptions", &form).await;
    story.told().await;
    story.pass(22 * HOUR);
    story.told().await.are(&[]);
    story.pass(HOUR);
    let told = story.told().await;
    told.are(&["customer.subscription.updated", "invoice.voided", "payment_intent.canceled"]);
    assert_eq!(told.previous("customer.subscription.updated"), &json!({ "ended_at": null, "status": "incomplete" }));
    let path = format!("subscriptions/{}", text(&second["id"]));
    assert_eq!(story.get(&path).await["status"], "incomplete_expired");
    assert!(!story.bench.get("/v1/subscriptions?limit=100").await.ids().contains(&text(&second["id"])));
    story.delete(&path, "").await.refused(404, "resource_missing", "No such subscription");
}

#[tokio::test]
async fn the_client_may_pay_the_first_invoice_itself() {
    let mut story = Story::new().await;
    let customer = text(&story.make("customers", "name=Ada").await["id"]);
    story.told().await;
    let form = format!(
        "customer={customer}&items[0][price]=price_pro_month&payment_behavior=default_incomplete\
         &payment_settings[save_default_payment_method]=on_subscription&expand[]=latest_invoice.payments"
    );
    let made = story.make("subscriptions", &form).await;
    assert_eq!((&made["status"], &made["latest_invoice"]["status"]), (&json!("incomplete"), &json!("open")));
    story.told().await.are(&[
        "customer.subscription.created",
        "customer.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
    ]);
    let intent = text(&made["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"]);
    let found = story.get(&format!("invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}")).await;
    assert_eq!(found["data"][0]["invoice"], made["latest_invoice"]["id"]);
    story.post(&format!("payment_intents/{intent}/confirm"), "payment_method=pm_card_visa_chargeDeclined").await.refused(
        402,
        "card_declined",
        "",
    );
    story.told().await.are(&["charge.failed", "invoice.payment_failed", "payment_intent.payment_failed"]);
    let method = text(&story.make("payment_methods/pm_card_visa/attach", &format!("customer={customer}")).await["id"]);
    story.told().await;
    story.make(&format!("payment_intents/{intent}/confirm"), &format!("payment_method={method}")).await;
    let told = story.told().await;
    told.are(&all(&[&["charge.succeeded", "payment_intent.succeeded", "customer.subscription.updated"], &PAID]));
    assert_eq!(told.previous("customer.subscription.updated"), &json!({ "default_payment_method": null, "status": "incomplete" }));
    let now = story.get(&format!("subscriptions/{}", text(&made["id"]))).await;
    assert_eq!((&now["status"], &now["default_payment_method"]), (&json!("active"), &json!(method)));
}

#[tokio::test]
async fn a_trial_warns_and_then_is_paid_for() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    story.told().await;
    let form = format!("customer={customer}&items[0][price]=price_pro_month&trial_period_days=14");
    let made = story.make("subscriptions", &form).await;
    assert_eq!((&made["status"], &item(&made)["current_period_end"]), (&json!("trialing"), &made["trial_end"]));
    let told = story.told().await;
    told.are(&[
        "customer.subscription.created",
        "customer.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]);
    assert_eq!(told.object("invoice.paid")["amount_due"], 0);
    story.pass(11 * DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.trial_will_end"]);
    assert_eq!(number(&told.0[0]["created"]), number(&made["trial_end"]) - 3 * 86_400);
    story.pass(3 * DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.updated", "invoice.created"]);
    let previous = told.previous("customer.subscription.updated");
    assert_eq!((&previous["status"], &previous["latest_invoice"]), (&json!("trialing"), &made["latest_invoice"]));
    assert_eq!(told.object("customer.subscription.updated")["status"], "active");
    story.pass(HOUR);
    story.told().await.are(&all(&[&["invoice.finalized"], &PAYMENT, &PAID]));
    // A short one is warned of at once.
    story.make("subscriptions", &format!("customer={customer}&items[0][price]=price_ent_month&trial_period_days=2")).await;
    story.told().await.of("customer.subscription.trial_will_end");
    story.pass(DAY);
    story.told().await.are(&[]);
}

#[tokio::test]
async fn a_trial_ends_at_once_when_asked() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    let form = format!("customer={customer}&items[0][price]=price_pro_month&trial_period_days=30");
    let made = story.make("subscriptions", &form).await;
    story.told().await;
    story.pass(DAY);
    let now = story.make(&format!("subscriptions/{}", text(&made["id"])), "trial_end=now").await;
    assert_eq!((&now["status"], &now["trial_end"]), (&json!("active"), &item(&now)["current_period_start"]));
    let told = story.told().await;
    told.are(&all(&[
        &["customer.subscription.trial_will_end", "customer.subscription.updated", "invoice.created", "invoice.finalized"],
        &PAYMENT,
        &PAID,
    ]));
    assert_eq!(told.previous("customer.subscription.updated")["status"], "trialing");
    story.pass(29 * DAY);
    story.told().await.are(&[]);
}

#[tokio::test]
async fn a_trial_without_a_card_pauses_ends_or_is_billed() {
    let mut story = Story::new().await;
    let customer = text(&story.make("customers", "name=Ada").await["id"]);
    let trial = |missing: &str| {
        format!(
            "customer={customer}&items[0][price]=price_pro_month&trial_period_days=7&trial_settings[end_behavior][missing_payment_method]={missing}"
        )
    };
    let paused = text(&story.make("subscriptions", &trial("pause")).await["id"]);
    story.pass(6 * DAY);
    story.told().await;
    story.pass(DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.paused", "customer.subscription.updated"]);
    assert_eq!(told.object("customer.subscription.paused")["status"], "paused");
    story.pass(40 * DAY);
    story.told().await.are(&[]);
    story.change_card(&customer, "pm_card_visa").await;
    story.told().await;
    let resumed = story.make(&format!("subscriptions/{paused}/resume"), "").await;
    assert_eq!(
        (&resumed["status"], &resumed["items"]["data"][0]["current_period_start"]),
        (&json!("active"), &resumed["billing_cycle_anchor"])
    );
    let told = story.told().await;
    told.are(&all(&[
        &["customer.subscription.resumed", "customer.subscription.updated", "customer.subscription.updated"],
        &["invoice.created", "invoice.finalized"],
        &PAYMENT,
        &PAID,
    ]));
    story.post(&format!("subscriptions/{paused}/resume"), "").await.refused(400, "", "`paused`");
    story.make(&format!("customers/{customer}"), "invoice_settings[default_payment_method]=").await;
    let ended = text(&story.make("subscriptions", &trial("cancel")).await["id"]);
    story.pass(6 * DAY);
    story.told().await;
    story.pass(DAY);
    story.told().await.are(&["customer.subscription.deleted"]);
    assert_eq!(story.get(&format!("subscriptions/{ended}")).await["status"], "canceled");
}

#[tokio::test]
async fn a_declined_renewal_is_retried_until_the_end() {
    for (after, last, status) in [
        (AfterRetries::Cancel, "customer.subscription.deleted", "canceled"),
        (AfterRetries::MarkUnpaid, "customer.subscription.updated", "unpaid"),
    ] {
        let mut story = Story::new().await;
        story.bench.sim.set_after_retries(after);
        let (customer, id) = story.subscribed("pm_card_visa").await;
        story.change_card(&customer, "pm_card_chargeCustomerFail").await;
        let end = number(&item(&story.get(&format!("subscriptions/{id}")).await)["current_period_end"]);
        story.told().await;
        story.pass(31 * DAY + 2 * HOUR);
        let told = story.told().await;
        let failing = ["charge.failed", "invoice.payment_failed", "payment_intent.payment_failed"];
        told.are(&all(&[
            &["customer.subscription.updated", "customer.subscription.updated", "invoice.created", "invoice.finalized"],
            &["payment_intent.created"],
            &failing,
        ]));
        let changes: Vec<&Value> = told.0.iter().filter(|e| e["type"] == "customer.subscription.updated").collect();
        assert_eq!(changes[1]["data"]["previous_attributes"], json!({ "status": "active" }));
        assert_eq!(changes[1]["data"]["object"]["status"], "past_due");
        let failed = end + 3_600;
        let invoice = told.object("invoice.payment_failed").clone();
        assert_eq!((number(&invoice["next_payment_attempt"]), &invoice["attempt_count"]), (failed + 3 * 86_400, &json!(1)));
        // After three, five and seven days again, and for the last time after six more.
        story.pass(16 * DAY);
        let told = story.told().await;
        told.are(&all(&[&failing, &failing, &failing]));
        let times: Vec<i64> =
            told.0.iter().filter(|e| e["type"] == "invoice.payment_failed").map(|e| number(&e["created"]) - failed).collect();
        assert_eq!(times, [3 * 86_400, 8 * 86_400, 15 * 86_400]);
        story.pass(6 * DAY);
        let told = story.told().await;
        told.are(&all(&[&failing, &[last, "invoice.updated"]]));
        let now = story.get(&format!("subscriptions/{id}")).await;
        assert_eq!(now["status"], status);
        let invoice = story.get(&format!("invoices/{}", text(&invoice["id"]))).await;
        assert_eq!((&invoice["status"], &invoice["auto_advance"], &invoice["attempt_count"]), (&json!("open"), &json!(false), &json!(5)));
        if after == AfterRetries::Cancel {
            assert_eq!(now["cancellation_details"]["reason"], "payment_failed");
        } else {
            let method = story.change_card(&customer, "pm_card_visa").await;
            story.told().await;
            story.make(&format!("invoices/{}/pay", text(&invoice["id"])), &format!("payment_method={method}")).await;
            let told = story.told().await;
            told.are(&all(&[&["charge.succeeded", "payment_intent.succeeded", "customer.subscription.updated"], &PAID]));
            assert_eq!(told.previous("customer.subscription.updated"), &json!({ "status": "unpaid" }));
        }
    }
}

#[tokio::test]
async fn a_retry_with_a_better_card_brings_it_back() {
    let mut story = Story::new().await;
    let (customer, id) = story.subscribed("pm_card_visa").await;
    story.bench.sim.fail_renewal(&id, story.bench.sim.now()).expect("declined");
    story.told().await.in_order(&["invoice.created", "invoice.finalized", "invoice.payment_failed", "customer.subscription.updated"]);
    assert_eq!(story.get(&format!("subscriptions/{id}")).await["status"], "past_due");
    // The card on file is a good one.
    story.pass(3 * DAY);
    let told = story.told().await;
    told.are(&all(&[&["charge.succeeded", "payment_intent.succeeded", "customer.subscription.updated"], &PAID]));
    assert_eq!(told.previous("customer.subscription.updated"), &json!({ "status": "past_due" }));
    assert!(story.get(&format!("invoices?customer={customer}&status=open")).await["data"].as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn it_ends_at_its_period_end_at_a_time_or_at_once() {
    let mut story = Story::new().await;
    let (customer, first) = story.subscribed("pm_card_visa").await;
    let path = format!("subscriptions/{first}");
    let leaving = story.make(&path, "cancel_at_period_end=true&cancellation_details[feedback]=too_complex").await;
    assert_eq!((&leaving["cancel_at"], &leaving["status"]), (&item(&leaving)["current_period_end"], &json!("active")));
    let told = story.told().await;
    told.are(&["customer.subscription.updated"]);
    let previous = told.previous("customer.subscription.updated");
    assert_eq!(
        previous,
        &json!({
            "cancel_at": null, "cancel_at_period_end": false, "canceled_at": null,
            "cancellation_details": { "feedback": null, "reason": null }
        })
    );
    story.make(&path, "cancel_at_period_end=false").await;
    let told = story.told().await;
    assert_eq!(told.previous("customer.subscription.updated")["cancel_at_period_end"], true);
    story.make(&path, "cancel_at_period_end=true").await;
    story.told().await;
    story.pass(31 * DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.deleted"]);
    let gone = told.object("customer.subscription.deleted");
    assert_eq!((&gone["status"], &gone["ended_at"]), (&json!("canceled"), &leaving["cancel_at"]));
    assert_eq!(gone["cancellation_details"]["reason"], "cancellation_requested");
    assert!(number(&gone["canceled_at"]) < number(&gone["ended_at"]), "asked for long before");
    // At a time of its own.
    let second = text(&story.make("subscriptions", &format!("customer={customer}&items[0][price]=price_pro_month")).await["id"]);
    let when = story.bench.sim.now().timestamp() + 5 * 86_400;
    let set = story.make(&format!("subscriptions/{second}"), &format!("cancel_at={when}")).await;
    assert_eq!((&set["cancel_at"], &set["cancel_at_period_end"]), (&json!(when), &json!(false)));
    story.told().await;
    story.pass(6 * DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.deleted"]);
    assert_eq!(told.object("customer.subscription.deleted")["ended_at"], when);
    // At once, with what was not used credited and billed.
    let third = text(&story.make("subscriptions", &format!("customer={customer}&items[0][price]=price_pro_year")).await["id"]);
    story.pass(100 * DAY);
    story.told().await;
    let gone =
        story.delete(&format!("subscriptions/{third}"), "prorate=true&invoice_now=true&cancellation_details[comment]=too+slow").await;
    assert_eq!((gone.status, &gone.json()["cancellation_details"]["comment"]), (200, &json!("too slow")));
    let told = story.told().await;
    told.are(&[
        "customer.subscription.deleted",
        "customer.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoiceitem.created",
    ]);
    let credit = number(&told.object("invoiceitem.created")["amount"]);
    let yearly = number(&story.get("prices/price_pro_year").await["unit_amount"]);
    assert!(credit < -yearly * 7 / 10 && credit > -yearly * 8 / 10, "265 of 365 days of {yearly}: {credit}");
    assert_eq!(story.get(&format!("customers/{customer}")).await["balance"], credit, "kept for the next invoice");
    story.delete(&format!("subscriptions/{third}"), "").await.refused(404, "resource_missing", "No such subscription");
}

#[tokio::test]
async fn people_from_before_have_a_calendar_once_they_are_touched() {
    let mut story = Story::among(300).await;
    let late = story.bench.paying("past_due").plan.expect("pays");
    let trying = story.bench.paying("trialing").plan.expect("tries");
    for id in [&late.subscription, &trying.subscription] {
        story.make(&format!("subscriptions/{id}"), "metadata[touched]=yes").await;
    }
    story.told().await;
    story.pass(15 * DAY);
    let told = story.told().await;
    let of = |id: &str| -> Vec<String> {
        let own = |e: &&Value| {
            let o = &e["data"]["object"];
            o["id"] == id || o["parent"]["subscription_details"]["subscription"] == id
        };
        told.0.iter().filter(own).map(|e| text(&e["type"])).collect()
    };
    assert!(of(&late.subscription).contains(&"invoice.payment_failed".to_string()), "{:?}", told.types());
    let ended = of(&trying.subscription);
    assert!(ended.contains(&"customer.subscription.updated".to_string()) && ended.contains(&"invoice.paid".to_string()), "{ended:?}");
    assert_eq!(story.get(&format!("subscriptions/{}", trying.subscription)).await["status"], "active");
}

#[tokio::test]
async fn what_is_sent_is_due_and_overdue() {
    let mut story = Story::new().await;
    let customer = text(&story.make("customers", "name=Ada").await["id"]);
    story.told().await;
    let form = format!("customer={customer}&items[0][price]=price_pro_month&collection_method=send_invoice&days_until_due=10");
    let made = story.make("subscriptions", &form).await;
    assert_eq!(made["status"], "active");
    story.told().await.are(&["customer.subscription.created", "customer.updated", "invoice.created"]);
    story.pass(HOUR);
    story.told().await.are(&["invoice.finalized", "invoice.sent", "payment_intent.created"]);
    story.pass(10 * DAY);
    let told = story.told().await;
    told.are(&["customer.subscription.updated", "invoice.overdue"]);
    assert_eq!(told.object("customer.subscription.updated")["status"], "past_due");
    let invoice = text(&made["latest_invoice"]);
    story.make(&format!("invoices/{invoice}/pay"), "paid_out_of_band=true").await;
    let told = story.told().await;
    told.are(&["customer.subscription.updated", "invoice.paid", "invoice.payment_succeeded", "payment_intent.canceled"]);
    assert_eq!(story.get(&format!("subscriptions/{}", text(&made["id"]))).await["status"], "active");
}
