//! What Stripe refuses about subscriptions and invoices, in its words; and that a refused request does nothing.

use super::{Story, text};

#[tokio::test]
async fn subscriptions_are_refused_for_what_they_lack() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    let poor = text(&story.make("customers", "name=Poor").await["id"]);
    let once = text(&story.make("prices", "product=prod_pro&currency=eur&unit_amount=1500").await["id"]);
    let dollars = text(&story.make("prices", "product=prod_pro&currency=usd&unit_amount=1500&recurring[interval]=month").await["id"]);
    let theirs = text(&story.make("payment_methods/pm_card_visa/attach", &format!("customer={poor}")).await["id"]);
    story.told().await;
    let past = story.bench.sim.now().timestamp() - 10;
    let good = format!("customer={customer}&items[0][price]=price_pro_month");
    for (form, code, param, message) in [
        ("items[0][price]=price_pro_month".to_string(), "parameter_missing", "customer", "Missing required param: customer."),
        ("customer=cus_nobody&items[0][price]=price_pro_month".into(), "resource_missing", "customer", "No such customer: 'cus_nobody'"),
        (format!("customer={customer}"), "parameter_missing", "items", "Missing required param: items."),
        (format!("customer={customer}&items[0][quantity]=2"), "parameter_missing", "items[0][price]", "Missing required param"),
        (format!("customer={customer}&items[0][price]=price_none"), "resource_missing", "items[0][price]", "No such price: 'price_none'"),
        (format!("customer={customer}&items[0][price]=price_legacy_gold"), "", "items[0][price]", "The price specified is inactive."),
        (format!("customer={customer}&items[0][price]={once}"), "", "items[0][price]", "`type=one_time`"),
        (format!("{good}&items[1][price]=price_pro_month"), "", "", "Cannot add multiple subscription items with the same plan"),
        (format!("{good}&items[1][price]={dollars}"), "", "", "Found mismatch in currency field."),
        (format!("{good}&trial_end={past}"), "", "trial_end", "Invalid timestamp"),
        (format!("{good}&trial_end=99999999999"), "", "trial_end", "no more than five years in the future"),
        (
            format!("{good}&trial_end={}&trial_period_days=4", past + 86_400),
            "",
            "trial_end",
            "You may only specify one of these parameters",
        ),
        (format!("{good}&cancel_at={past}"), "", "cancel_at", "Invalid timestamp"),
        (format!("{good}&collection_method=send_invoice"), "", "", "you must specify `days_until_due`"),
        (format!("{good}&days_until_due=5"), "", "days_until_due", "You can only specify `days_until_due`"),
        (format!("{good}&payment_behavior=hope"), "", "payment_behavior", "Invalid payment_behavior: must be one of"),
        (format!("{good}&default_payment_method={theirs}"), "resource_missing", "default_payment_method", "does not have a payment method"),
        (format!("{good}&colour=red"), "parameter_unknown", "colour", "Received unknown parameter: colour"),
        (
            format!("customer={poor}&items[0][price]=price_pro_month"),
            "resource_missing",
            "",
            "This customer has no attached payment source",
        ),
    ] {
        let reply = story.post("subscriptions", &form).await;
        reply.refused(400, code, message);
        assert_eq!(reply.json()["error"]["param"].as_str().unwrap_or_default(), param, "{form}");
    }
    story.told().await.are(&[]);
    assert!(story.bench.get(&format!("/v1/subscriptions?customer={customer}&status=all")).await.ids().is_empty());
}

#[tokio::test]
async fn a_schedule_keeps_others_from_ending_it() {
    let mut story = Story::new().await;
    let (_, id) = story.subscribed("pm_card_visa").await;
    assert!(story.bench.sim.set_schedule(&id, Some("sub_sched_1N")));
    let path = format!("subscriptions/{id}");
    let sentence = "The subscription is managed by the subscription schedule `sub_sched_1N`, and updating any cancelation behavior directly is not allowed. Please update the schedule instead.";
    story.post(&path, "cancel_at_period_end=true").await.refused(400, "", sentence);
    story.post(&path, "cancel_at=").await.refused(400, "", sentence);
    story.delete(&path, "").await.refused(400, "", sentence);
    assert_eq!(story.make(&path, "metadata[a]=b").await["schedule"], "sub_sched_1N");
    story.told().await.are(&["customer.subscription.updated"]);
    assert!(story.bench.sim.set_schedule(&id, None));
    assert_eq!(story.delete(&path, "").await.status, 200);
}

#[tokio::test]
async fn what_has_ended_takes_words_only() {
    let mut story = Story::new().await;
    let (_, id) = story.subscribed("pm_card_visa").await;
    let path = format!("subscriptions/{id}");
    let item = text(&story.get(&path).await["items"]["data"][0]["id"]);
    assert_eq!(story.delete(&path, "").await.json()["status"], "canceled");
    story.told().await.are(&["customer.subscription.deleted"]);
    let code = "invalid_canceled_subscription_fields";
    for form in ["cancel_at_period_end=false", "description=x", &format!("items[0][id]={item}&items[0][quantity]=2"), "pause_collection="] {
        story.post(&path, form).await.refused(400, code, "A canceled subscription can only update its cancellation_details and metadata.");
    }
    story.post(&format!("subscription_items/{item}"), "quantity=2").await.refused(400, code, "A canceled subscription");
    story.make(&path, "metadata[a]=b&cancellation_details[comment]=bye").await;
    story.told().await.are(&["customer.subscription.updated"]);
    story.bench.get("/v1/subscriptions/sub_none").await.refused(404, "resource_missing", "No such subscription: 'sub_none'");
}

#[tokio::test]
async fn invoices_are_refused_for_what_they_lack() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    story.told().await;
    for (path, form, code, message) in [
        ("invoices", String::new(), "parameter_missing", "Missing required param: customer."),
        ("invoices", "customer=cus_none".into(), "resource_missing", "No such customer: 'cus_none'"),
        ("invoices", format!("customer={customer}&collection_method=send_invoice"), "", "you must specify 'due_date' or 'days_until_due'"),
        ("invoices", format!("customer={customer}&days_until_due=3"), "", "if invoice collection method is 'send_invoice'"),
        ("invoices", format!("customer={customer}&subscription=sub_none"), "resource_missing", "No such subscription: 'sub_none'"),
        ("invoiceitems", format!("customer={customer}"), "parameter_missing", "Missing required param: amount."),
        ("invoiceitems", format!("customer={customer}&amount=5"), "parameter_missing", "Missing required param: currency."),
        (
            "invoiceitems",
            format!("customer={customer}&amount=5&quantity=2&currency=eur"),
            "",
            "You may only specify one of these parameters",
        ),
        ("invoiceitems", format!("customer={customer}&pricing[price]=price_pro_month"), "", "`type=recurring`"),
        ("invoiceitems", format!("customer={customer}&amount=5&currency=euro"), "", "Invalid currency: euro"),
        ("invoiceitems", format!("customer={customer}&amount=x&currency=eur"), "parameter_invalid_integer", "Invalid integer: x"),
    ] {
        story.post(path, &form).await.refused(400, code, message);
    }
    story.post("invoices/in_none/pay", "").await.refused(404, "resource_missing", "No such invoice: 'in_none'");
    story.bench.get("/v1/invoices?status=lost").await.refused(
        400,
        "",
        "Invalid status: must be one of draft, open, void, paid, or uncollectible",
    );
    story.told().await.are(&[]);
}
