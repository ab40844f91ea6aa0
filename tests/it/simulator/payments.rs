//! Payments: the way from an invoice to its intent, its charge and whose money it was.

use nightdesk::sandbox::population::PRICE_LEGACY_GOLD;
use serde_json::{Value, json};

use super::bench::Bench;

#[tokio::test]
async fn every_payment_of_a_customer_tells_one_story() {
    let bench = Bench::new(300).await;
    let person = bench.paying("past_due");
    let customer = person.customer.clone().expect("pays");
    let plan = person.plan.expect("pays");
    let made = bench.checkout(person.number, false);
    bench.sim.fail_renewal(&made.subscribed.subscription, bench.born()).expect("declined");
    let intents = bench.walk(&format!("/v1/payment_intents?limit=2&customer={customer}")).await;
    let charges = bench.walk(&format!("/v1/charges?limit=2&customer={customer}")).await;
    let invoices = bench.walk(&format!("/v1/invoices?limit=2&customer={customer}")).await;
    assert_eq!((intents.len(), charges.len()), (usize::from(plan.cycle) + 3, invoices.len()));
    assert!(intents.contains(&plan.payment_intent) && intents.contains(&made.subscribed.payment_intent));
    let mut declined = 0;
    for invoice in &invoices {
        let invoice = bench.get(&format!("/v1/invoices/{invoice}?expand[]=payments")).await.json();
        let payment = &invoice["payments"]["data"][0]["payment"]["payment_intent"];
        let path = format!("/v1/payment_intents/{}", payment.as_str().expect("an id"));
        let intent = bench.get(&format!("{path}?expand[]=customer&expand[]=latest_charge.customer")).await.json();
        let charge = &intent["latest_charge"];
        assert_eq!((&intent["customer"]["id"], &charge["customer"]["email"]), (&json!(customer), &intent["customer"]["email"]));
        assert_eq!((&intent["amount"], &charge["amount"]), (&invoice["amount_due"], &invoice["amount_due"]));
        assert_eq!((&intent["amount_received"], &charge["amount_captured"]), (&invoice["amount_paid"], &invoice["amount_paid"]));
        let (word, result, error) = match invoice["status"].as_str() {
            Some("paid") => ("succeeded", "succeeded", &Value::Null),
            _ => ("requires_payment_method", "failed", &json!("card_declined")),
        };
        assert_eq!((&intent["status"], &charge["status"]), (&json!(word), &json!(result)));
        assert_eq!((&intent["last_payment_error"]["code"], &charge["failure_code"]), (error, error));
        declined += i32::from(!error.is_null());
        let by_intent = bench.get(&format!("/v1/charges?payment_intent={}", payment.as_str().expect("an id"))).await.json();
        assert_eq!((by_intent["data"].as_array().map(Vec::len), &by_intent["data"][0]["id"]), (Some(1), &charge["id"]));
    }
    assert_eq!(declined, 2, "the population's last one, and the renewal");
    let stranger = bench.sim.add_customer("Stranger", None, bench.born());
    let of_another = format!("/v1/charges?payment_intent={}&customer={stranger}", plan.payment_intent);
    assert!(bench.get(&of_another).await.ids().is_empty());
}

#[tokio::test]
async fn a_trial_has_no_payment() {
    let bench = Bench::new(300).await;
    let person = bench.paying("trialing");
    let intent = person.plan.expect("on trial").payment_intent;
    bench.get(&format!("/v1/payment_intents/{intent}")).await.refused(404, "resource_missing", "No such payment_intent");
    let customer = person.customer.expect("known to Stripe");
    assert!(bench.get(&format!("/v1/charges?customer={customer}")).await.ids().is_empty());
}

#[tokio::test]
async fn an_item_is_what_its_subscription_shows() {
    let bench = Bench::new(200).await;
    let plan = bench.paying("active").plan.expect("pays");
    let made = bench.checkout(bench.paying("active").number, true);
    let (added, _) = bench.sim.add_item(&made.subscribed.subscription, PRICE_LEGACY_GOLD, bench.born()).expect("added");
    let check = async |item: &str, subscription: &str| {
        let reply = bench.get(&format!("/v1/subscription_items/{item}")).await;
        miniserde::json::from_str::<stripe_shared::SubscriptionItem>(&reply.text).expect("decodes");
        let holder = bench.get(&format!("/v1/subscriptions/{subscription}")).await.json();
        let within = holder["items"]["data"].as_array().expect("items").iter().find(|i| i["id"] == item).cloned();
        assert_eq!((Some(reply.json()), &reply.json()["subscription"]), (within, &json!(subscription)));
        reply.json()
    };
    check(&plan.item, &plan.subscription).await;
    check(&made.subscribed.item, &made.subscribed.subscription).await;
    assert_eq!(check(&added, &made.subscribed.subscription).await["price"]["id"], PRICE_LEGACY_GOLD);
    bench.sim.change_price(&plan.subscription, PRICE_LEGACY_GOLD, bench.born()).expect("changed");
    assert_eq!(check(&plan.item, &plan.subscription).await["price"]["id"], PRICE_LEGACY_GOLD);
    let deep = bench.get(&format!("/v1/subscription_items/{}?expand[]=price.product", plan.item)).await.json();
    assert_eq!(deep["price"]["product"]["object"], "product");
}
