//! Subscriptions that change in the middle of a period: prices, items, quantities, and collection paused.

use serde_json::{Value, json};

use super::{DAY, HOUR, PAID, PAYMENT, Story, all, number, text};

const UPDATED: &str = "customer.subscription.updated";

fn items(subscription: &Value) -> &Vec<Value> {
    subscription["items"]["data"].as_array().expect("items")
}

async fn amount(story: &Story, price: &str) -> i64 {
    number(&story.get(&format!("prices/{price}")).await["unit_amount"])
}

#[tokio::test]
async fn another_price_is_prorated_onto_the_next_invoice() {
    let mut story = Story::new().await;
    let (customer, id) = story.subscribed("pm_card_visa").await;
    let before = story.get(&format!("subscriptions/{id}")).await;
    let (pro, ent) = (amount(&story, "price_pro_month").await, amount(&story, "price_ent_month").await);
    let item = text(&items(&before)[0]["id"]);
    let (start, end) = (number(&items(&before)[0]["current_period_start"]), number(&items(&before)[0]["current_period_end"]));
    let middle = start + (end - start) / 2;
    let form = format!("items[0][id]={item}&items[0][price]=price_ent_month&proration_date={middle}");
    story.pass(10 * DAY);
    let after = story.make(&format!("subscriptions/{id}"), &form).await;
    assert_eq!((&items(&after)[0]["price"]["id"], &items(&after)[0]["plan"]["id"]), (&json!("price_ent_month"), &json!("price_ent_month")));
    assert_eq!(items(&after)[0]["current_period_end"], end, "the period goes on");
    let told = story.told().await;
    told.are(&[UPDATED, "invoiceitem.created", "invoiceitem.created"]);
    let previous = told.previous(UPDATED);
    assert_eq!(previous.as_object().map(|p| p.keys().cloned().collect::<Vec<_>>()), Some(vec!["items".to_string()]));
    assert_eq!(previous["items"]["data"][0]["price"]["id"], "price_pro_month");
    let waiting = story.get(&format!("invoiceitems?customer={customer}&pending=true")).await;
    let mut amounts: Vec<i64> = waiting["data"].as_array().expect("items").iter().map(|i| number(&i["amount"])).collect();
    amounts.sort_unstable();
    assert!((amounts[0] + pro / 2).abs() <= 1 && (amounts[1] - ent / 2).abs() <= 1, "{amounts:?} of {pro} and {ent}");
    assert_eq!(
        (&waiting["data"][0]["proration"], &waiting["data"][0]["parent"]["subscription_details"]["subscription_item"]),
        (&json!(true), &json!(item))
    );
    story.pass(22 * DAY);
    let told = story.told().await;
    told.are(&all(&[&[UPDATED, "invoice.created", "invoice.finalized"], &PAYMENT, &PAID]));
    let paid = told.object("invoice.paid");
    assert_eq!(number(&paid["total"]), ent + amounts.iter().sum::<i64>());
    assert_eq!(paid["lines"]["total_count"], 3);
    let lines = story.bench.walk(&format!("/v1/invoices/{}/lines?limit=2", text(&paid["id"]))).await;
    assert_eq!(lines.len(), 3);
    assert!(story.get(&format!("invoiceitems?customer={customer}&pending=true")).await["data"].as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn a_change_may_be_billed_at_once_or_not_at_all() {
    let mut story = Story::new().await;
    let (_, id) = story.subscribed("pm_card_visa").await;
    let path = format!("subscriptions/{id}");
    let item = text(&items(&story.get(&path).await)[0]["id"]);
    story.pass(5 * DAY);
    let changed = story.make(&path, &format!("items[0][id]={item}&items[0][quantity]=3&proration_behavior=always_invoice")).await;
    let told = story.told().await;
    told.are(&all(&[&[UPDATED, "invoice.created", "invoice.finalized", "invoiceitem.created", "invoiceitem.created"], &PAYMENT, &PAID]));
    let paid = told.object("invoice.paid");
    assert_eq!((&paid["billing_reason"], &paid["id"]), (&json!("subscription_update"), &changed["latest_invoice"]));
    story.make(&path, &format!("items[0][id]={item}&items[0][price]=price_ent_month&proration_behavior=none")).await;
    story.told().await.are(&[UPDATED]);
    // By the year: the cycle begins anew, and what was not used is credited.
    let yearly = story.make(&path, &format!("items[0][id]={item}&items[0][price]=price_ent_year&items[0][quantity]=1")).await;
    assert_eq!(items(&yearly)[0]["current_period_start"], yearly["billing_cycle_anchor"]);
    assert!(number(&items(&yearly)[0]["current_period_end"]) > story.bench.sim.now().timestamp() + 364 * 86_400);
    let told = story.told().await;
    told.are(&all(&[&[UPDATED, "invoice.created", "invoice.finalized", "invoiceitem.created"], &PAYMENT, &PAID]));
    assert!(number(&told.object("invoiceitem.created")["amount"]) < 0);
}

#[tokio::test]
async fn items_come_and_go_by_themselves() {
    let mut story = Story::new().await;
    let (_, id) = story.subscribed("pm_card_visa").await;
    let first = text(&items(&story.get(&format!("subscriptions/{id}")).await)[0]["id"]);
    let form = format!("subscription={id}&price=price_ent_month&quantity=2&metadata[a]=b&proration_behavior=none");
    let second = story.make("subscription_items", &form).await;
    assert_eq!((&second["quantity"], &second["metadata"], &second["subscription"]), (&json!(2), &json!({ "a": "b" }), &json!(id)));
    story.told().await.are(&[UPDATED]);
    let path = format!("subscription_items/{}", text(&second["id"]));
    let changed = story.make(&path, "quantity=5&metadata[a]=").await;
    assert_eq!((&changed["quantity"], &changed["metadata"]), (&json!(5), &json!({})));
    story.told().await.of(UPDATED);
    assert_eq!(story.bench.walk(&format!("/v1/subscription_items?subscription={id}&limit=1")).await, [first.clone(), text(&second["id"])]);
    story.post("subscription_items", &format!("subscription={id}&price=price_pro_month")).await.refused(400, "", "Cannot add multiple");
    let gone = story.delete(&path, "proration_behavior=none").await;
    assert_eq!(gone.json(), json!({ "id": second["id"], "object": "subscription_item", "deleted": true }));
    story.bench.get(&format!("/v1/{path}")).await.refused(404, "resource_missing", "No such subscription_item");
    story.delete(&format!("subscription_items/{first}"), "").await.refused(400, "", "at least one active plan");
    let both = format!("items[0][id]={first}&items[0][deleted]=true&items[1][price]=price_ent_month&proration_behavior=none");
    let swapped = story.make(&format!("subscriptions/{id}"), &both).await;
    assert_eq!((items(&swapped).len(), &items(&swapped)[0]["price"]["id"]), (1, &json!("price_ent_month")));
}

#[tokio::test]
async fn items_of_different_rhythm_renew_each_in_its_own() {
    let mut story = Story::new().await;
    let (_, id) = story.subscribed("pm_card_visa").await;
    story.make("subscription_items", &format!("subscription={id}&price=price_ent_year&proration_behavior=none")).await;
    story.told().await;
    let before = story.get(&format!("subscriptions/{id}")).await;
    story.pass(31 * DAY + 2 * HOUR);
    let told = story.told().await;
    assert_eq!(told.object("invoice.paid")["lines"]["total_count"], 1, "the month's alone");
    let after = story.get(&format!("subscriptions/{id}")).await;
    assert_eq!(items(&after)[1]["current_period_end"], items(&before)[1]["current_period_end"]);
    assert_eq!(items(&after)[0]["current_period_start"], items(&before)[0]["current_period_end"]);
}

#[tokio::test]
async fn while_collection_is_paused_invoices_are_void_uncollectible_or_drafts() {
    for (behavior, kinds, status) in [
        (
            "void",
            &["invoice.created", "invoice.finalized", "invoice.voided", "payment_intent.canceled", "payment_intent.created"][..],
            "void",
        ),
        (
            "mark_uncollectible",
            &["invoice.created", "invoice.finalized", "invoice.marked_uncollectible", "payment_intent.created"],
            "uncollectible",
        ),
        ("keep_as_draft", &["invoice.created", "invoice.updated"], "draft"),
    ] {
        let mut story = Story::new().await;
        let (_, id) = story.subscribed("pm_card_visa").await;
        let path = format!("subscriptions/{id}");
        let resumes = story.bench.sim.now().timestamp() + 40 * 86_400;
        let form = format!("pause_collection[behavior]={behavior}&pause_collection[resumes_at]={resumes}");
        let paused = story.make(&path, &form).await;
        assert_eq!(paused["pause_collection"], json!({ "behavior": behavior, "resumes_at": resumes }));
        assert_eq!(paused["status"], "active", "a paused collection is no paused subscription");
        let told = story.told().await;
        told.are(&[UPDATED]);
        assert_eq!(told.previous(UPDATED), &json!({ "pause_collection": null }));
        story.pass(31 * DAY + 2 * HOUR);
        let told = story.told().await;
        told.are(&[&[UPDATED], kinds].concat());
        let invoice = text(&told.object("invoice.created")["id"]);
        assert_eq!(story.get(&format!("invoices/{invoice}")).await["status"], status);
        story.pass(9 * DAY);
        let told = story.told().await;
        told.are(&[UPDATED]);
        assert_eq!(told.previous(UPDATED)["pause_collection"]["behavior"], behavior);
        assert_eq!(story.get(&path).await["pause_collection"], Value::Null);
        story.make(&path, "pause_collection[behavior]=void").await;
        let again = story.make(&path, "pause_collection=").await;
        assert_eq!(again["pause_collection"], Value::Null, "an empty one takes it away");
    }
}
