//! Invoices by themselves: drafted, filled, finalized, paid, declined, voided, marked, sent and deleted.

use serde_json::{Value, json};

use super::{DAY, HOUR, PAID, PAYMENT, Story, all, number, text};

#[tokio::test]
async fn a_draft_is_filled_finalized_and_paid() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    story.told().await;
    let waiting = story.make("invoiceitems", &format!("customer={customer}&amount=500&currency=eur&description=Setup")).await;
    assert_eq!((&waiting["invoice"], &waiting["amount"]), (&Value::Null, &json!(500)));
    story.told().await.are(&["invoiceitem.created"]);
    let empty = story.make("invoices", &format!("customer={customer}")).await;
    assert_eq!((&empty["total"], &empty["auto_advance"], &empty["lines"]["total_count"]), (&json!(0), &json!(false), &json!(0)));
    let draft = story.make("invoices", &format!("customer={customer}&pending_invoice_items_behavior=include&metadata[a]=b")).await;
    assert_eq!(
        (&draft["status"], &draft["billing_reason"], &draft["amount_due"], &draft["number"]),
        (&json!("draft"), &json!("manual"), &json!(500), &Value::Null)
    );
    story.told().await.are(&["invoice.created", "invoice.created"]);
    let id = text(&draft["id"]);
    let added = text(&story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount=250&currency=eur")).await["id"]);
    let told = story.told().await;
    told.are(&["invoice.updated", "invoiceitem.created"]);
    assert_eq!(told.previous("invoice.updated")["amount_due"], 500);
    story.make(&format!("invoiceitems/{added}"), "amount=300").await;
    assert_eq!(story.get(&format!("invoices/{id}")).await["total"], 800);
    let third = text(&story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount=9&currency=eur")).await["id"]);
    assert_eq!(story.delete(&format!("invoiceitems/{third}"), "").await.json()["deleted"], true);
    story.bench.get(&format!("/v1/invoiceitems/{third}")).await.refused(404, "resource_missing", "No such Invoice Item");
    story.make(&format!("invoices/{id}"), "description=Thanks&footer=F").await;
    let told = story.told().await;
    told.are(&["invoice.updated", "invoice.updated", "invoice.updated", "invoice.updated", "invoiceitem.created", "invoiceitem.deleted"]);
    let open = story.make(&format!("invoices/{id}/finalize"), "").await;
    assert_eq!((&open["status"], &open["attempted"], &open["amount_remaining"]), (&json!("open"), &json!(false), &json!(800)));
    assert!(text(&open["number"]).ends_with("-0001"));
    story.told().await.are(&["invoice.finalized", "payment_intent.created"]);
    story.post(&format!("invoices/{id}/finalize"), "").await.refused(400, "", "already finalized");
    story.post(&format!("invoices/{id}"), "description=x").await.refused(400, "", "Finalized invoices can't be updated in this way");
    assert_eq!(story.make(&format!("invoices/{id}"), "metadata[a]=c").await["metadata"], json!({ "a": "c" }));
    story.told().await.are(&["invoice.updated"]);
    let paid = story.make(&format!("invoices/{id}/pay"), "").await;
    assert_eq!((&paid["status"], &paid["amount_paid"], &paid["attempt_count"]), (&json!("paid"), &json!(800), &json!(1)));
    story.told().await.are(&all(&[&["charge.succeeded", "payment_intent.succeeded"], &PAID]));
    story.post(&format!("invoices/{id}/pay"), "").await.refused(400, "", "Invoice is already paid");
    story.post(&format!("invoices/{id}/void"), "").await.refused(400, "", "Invoices with `paid` payments cannot be voided.");
    story.delete(&format!("invoices/{id}"), "").await.refused(400, "", "You can only delete draft invoices.");
    // A draft can be paid straight away; it is finalized on the way.
    let straight = text(&story.make("invoices", &format!("customer={customer}")).await["id"]);
    story.make("invoiceitems", &format!("customer={customer}&invoice={straight}&amount=70&currency=eur")).await;
    story.told().await;
    assert_eq!(story.make(&format!("invoices/{straight}/pay"), "").await["status"], "paid");
    story.told().await.are(&all(&[&["invoice.finalized"], &PAYMENT, &PAID]));
    // One over nothing is paid as it is finalized.
    let free = story.make(&format!("invoices/{}/finalize", text(&empty["id"])), "").await;
    assert_eq!((&free["status"], &free["attempt_count"]), (&json!("paid"), &json!(0)));
    story.told().await.are(&["invoice.finalized", "invoice.paid", "invoice.payment_succeeded"]);
}

#[tokio::test]
async fn a_declined_payment_is_an_error_and_an_event() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_chargeCustomerFail").await;
    let id = text(&story.make("invoices", &format!("customer={customer}")).await["id"]);
    story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount=900&currency=eur")).await;
    story.make(&format!("invoices/{id}/finalize"), "").await;
    story.told().await;
    let refused = story.post(&format!("invoices/{id}/pay"), "").await;
    refused.refused(402, "card_declined", "Your card was declined.");
    let error = refused.json()["error"].clone();
    assert_eq!((&error["type"], &error["payment_intent"]["status"]), (&json!("card_error"), &json!("requires_payment_method")));
    let told = story.told().await;
    told.are(&["charge.failed", "invoice.payment_failed", "payment_intent.payment_failed"]);
    assert_eq!(told.object("invoice.payment_failed")["attempt_count"], 1);
    story.post(&format!("invoices/{id}/pay"), "payment_method=pm_card_authenticationRequired").await.refused(
        402,
        "invoice_payment_intent_requires_action",
        "additional user action",
    );
    let told = story.told().await;
    told.are(&["invoice.payment_action_required", "invoice.payment_failed", "payment_intent.requires_action"]);
    let payments = story.get(&format!("invoice_payments?invoice={id}")).await;
    assert_eq!(
        (payments["data"].as_array().map(Vec::len), &payments["data"][0]["status"]),
        (Some(1), &json!("open")),
        "one intent for all"
    );
    let intent = text(&payments["data"][0]["payment"]["payment_intent"]);
    assert!(story.bench.sim.authenticate(&intent, true, story.bench.sim.now()));
    story.told().await.are(&all(&[&["charge.succeeded", "payment_intent.succeeded"], &PAID]));
    assert_eq!(story.get(&format!("invoices/{id}")).await["status"], "paid");
}

#[tokio::test]
async fn an_open_invoice_is_voided_or_given_up() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    let mut open = Vec::new();
    for amount in [400, 500] {
        let id = text(&story.make("invoices", &format!("customer={customer}")).await["id"]);
        story.post(&format!("invoices/{id}/void"), "").await.refused(400, "", "You can only pass in open invoices.");
        story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount={amount}&currency=eur")).await;
        story.make(&format!("invoices/{id}/finalize"), "").await;
        open.push(id);
    }
    assert_eq!(story.bench.get(&format!("/v1/invoices?customer={customer}&status=open")).await.ids().len(), 2);
    story.told().await;
    let void = story.make(&format!("invoices/{}/void", open[0]), "").await;
    assert_eq!((&void["status"], &void["amount_remaining"]), (&json!("void"), &json!(400)));
    assert!(void["status_transitions"]["voided_at"].is_i64());
    story.told().await.are(&["invoice.voided", "payment_intent.canceled"]);
    story.post(&format!("invoices/{}/pay", open[0]), "").await.refused(400, "", "");
    assert_eq!(story.get(&format!("invoice_payments?invoice={}&status=canceled", open[0])).await["data"].as_array().map(Vec::len), Some(1));
    let lost = story.make(&format!("invoices/{}/mark_uncollectible", open[1]), "").await;
    assert_eq!(lost["status"], "uncollectible");
    story.told().await.are(&["invoice.marked_uncollectible"]);
    story.post(&format!("invoices/{}/mark_uncollectible", open[1]), "").await.refused(400, "", "already been marked uncollectible");
    story.make(&format!("invoices/{}/pay", open[1]), "").await;
    story.told().await.are(&all(&[&["charge.succeeded", "payment_intent.succeeded"], &PAID]));
}

#[tokio::test]
async fn a_draft_moves_on_by_itself_is_sent_or_deleted() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    let draft = async |form: &str| {
        let id = text(&story.make("invoices", &format!("customer={customer}{form}")).await["id"]);
        story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount=100&currency=eur")).await;
        id
    };
    let (moving, sent, gone) =
        (draft("&auto_advance=true").await, draft("&collection_method=send_invoice&days_until_due=30").await, draft("").await);
    story.told().await;
    let shown = story.get(&format!("invoices/{moving}")).await;
    assert_eq!(number(&shown["automatically_finalizes_at"]), number(&shown["created"]) + 3_600);
    story.pass(HOUR);
    story.told().await.are(&all(&[&["invoice.finalized"], &PAYMENT, &PAID]));
    let after = story.make(&format!("invoices/{sent}/send"), "").await;
    assert_eq!(
        (&after["status"], number(&after["due_date"]) / 86_400),
        (&json!("open"), (number(&after["created"]) + 30 * 86_400) / 86_400)
    );
    story.told().await.are(&["invoice.finalized", "invoice.sent", "payment_intent.created"]);
    story.pass(31 * DAY);
    story.told().await.are(&["invoice.overdue"]);
    assert_eq!(story.delete(&format!("invoices/{gone}"), "").await.json(), json!({ "id": gone, "object": "invoice", "deleted": true }));
    story.told().await.are(&["invoice.deleted"]);
    story.bench.get(&format!("/v1/invoices/{gone}")).await.refused(404, "resource_missing", "No such invoice");
    story.post(&format!("invoices/{moving}/send"), "").await.refused(400, "", "collection method is 'send_invoice'");
}

#[tokio::test]
async fn nobody_is_billed_who_was_deleted() {
    let mut story = Story::new().await;
    let customer = story.customer("pm_card_visa").await;
    let id = text(&story.make("invoices", &format!("customer={customer}&auto_advance=true")).await["id"]);
    story.make("invoiceitems", &format!("customer={customer}&invoice={id}&amount=100&currency=eur")).await;
    story.make("subscriptions", &format!("customer={customer}&items[0][price]=price_pro_month")).await;
    story.told().await;
    let gone = story.delete(&format!("customers/{customer}"), "").await.json();
    story.told().await.are(&["customer.deleted", "customer.subscription.deleted"]);
    story.pass(40 * DAY);
    story.told().await.are(&[]);
    story.post(&format!("invoices/{id}/pay"), "").await.refused(400, "resource_missing", "No such customer");
    assert_eq!(story.get(&format!("customers/{customer}")).await, gone, "nothing is left of them");
}
