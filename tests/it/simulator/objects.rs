//! Objects: their shapes, and what acts leave behind.

use chrono::Utc;
use nightdesk::sandbox::population::{PRICE_LEGACY_GOLD, PRICE_PRO_MONTH};
use reqwest::Method;
use serde_json::json;

use stripe_billing::invoice::ListInvoice;
use stripe_billing::invoice_payment::ListInvoicePayment;
use stripe_billing::subscription::{
    CancelSubscription, ListSubscription, ListSubscriptionStatus, RetrieveSubscription, UpdateSubscription,
};
use stripe_checkout::checkout_session::ListCheckoutSession;
use stripe_connect::account::RetrieveForMyAccountAccount;
use stripe_core::balance::RetrieveForMyAccountBalance;
use stripe_core::customer::{ListCustomer, RetrieveCustomer, RetrieveCustomerReturned, SearchCustomer, UpdateCustomer};
use stripe_core::event::{ListEvent, RetrieveEvent};
use stripe_misc::webhook_endpoint::ListWebhookEndpoint;
use stripe_product::price::ListPrice;
use stripe_product::product::RetrieveProduct;
use stripe_shared::{CheckoutSessionStatus, InvoiceStatus, SubscriptionStatus};
use stripe_types::{RangeBoundsTs, RangeQueryTs};

use super::bench::Bench;

#[tokio::test]
async fn objects_decode_with_the_clients_own_types() {
    let bench = Bench::new(200).await;
    let made = bench.checkout(bench.paying("active").number, true);
    bench.sim.add_item(&made.subscribed.subscription, PRICE_LEGACY_GOLD, bench.born());
    bench.sim.fail_renewal(&made.subscribed.subscription, Utc::now()).expect("renewed");
    bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
    async fn all<T: miniserde::Deserialize>(bench: &Bench, path: &str) {
        let page = bench.get(path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let list: stripe_types::List<T> = miniserde::json::from_str(&page.text).unwrap_or_else(|_| panic!("decodes: {path} {}", page.text));
        assert!(!list.data.is_empty(), "{path}");
    }
    all::<stripe_shared::Customer>(&bench, "/v1/customers?limit=100&expand[]=data.subscriptions").await;
    all::<stripe_shared::Subscription>(&bench, "/v1/subscriptions?limit=100&status=all").await;
    all::<stripe_shared::Subscription>(
        &bench,
        "/v1/subscriptions?limit=100&status=all&expand[]=data.customer&expand[]=data.latest_invoice.payments&expand[]=data.items.data.price",
    )
    .await;
    all::<stripe_shared::Invoice>(
        &bench,
        "/v1/invoices?limit=100&expand[]=data.payments&expand[]=data.parent.subscription_details.subscription",
    )
    .await;
    all::<stripe_shared::InvoicePayment>(&bench, "/v1/invoice_payments?limit=100").await;
    all::<stripe_shared::PaymentIntent>(&bench, "/v1/payment_intents?limit=100&expand[]=data.customer&expand[]=data.latest_charge").await;
    all::<stripe_shared::Charge>(&bench, "/v1/charges?limit=100&expand[]=data.customer&expand[]=data.payment_intent").await;
    all::<stripe_shared::CheckoutSession>(&bench, "/v1/checkout/sessions?limit=100&expand[]=data.customer&expand[]=data.subscription")
        .await;
    all::<stripe_shared::Price>(&bench, "/v1/prices?limit=100&expand[]=data.product").await;
    all::<stripe_shared::Product>(&bench, "/v1/products?limit=100").await;
    all::<stripe_shared::Event>(&bench, "/v1/events?limit=100").await;
    all::<stripe_misc::WebhookEndpoint>(&bench, "/v1/webhook_endpoints").await;
    let account: stripe_shared::Account = miniserde::json::from_str(&bench.get("/v1/account").await.text).expect("decodes");
    let dashboard = account.settings.and_then(|s| s.dashboard.display_name);
    assert!(dashboard.is_some_and(|name| name.contains("sandbox")));
    let balance: stripe_core::Balance = miniserde::json::from_str(&bench.get("/v1/balance").await.text).expect("decodes");
    assert!(!balance.livemode);
    // The objects inside events are what the endpoints show.
    for event in bench.get("/v1/events?limit=100").await.json()["data"].as_array().expect("a list") {
        let text = event["data"]["object"].to_string();
        let decodes = match event["data"]["object"]["object"].as_str() {
            Some("customer") => miniserde::json::from_str::<stripe_shared::Customer>(&text).is_ok(),
            Some("subscription") => miniserde::json::from_str::<stripe_shared::Subscription>(&text).is_ok(),
            Some("invoice") => miniserde::json::from_str::<stripe_shared::Invoice>(&text).is_ok(),
            Some("checkout.session") => miniserde::json::from_str::<stripe_shared::CheckoutSession>(&text).is_ok(),
            Some("charge") => miniserde::json::from_str::<stripe_shared::Charge>(&text).is_ok(),
            Some("invoice_payment") => miniserde::json::from_str::<stripe_shared::InvoicePayment>(&text).is_ok(),
            Some("payment_intent") => miniserde::json::from_str::<stripe_shared::PaymentIntent>(&text).is_ok(),
            Some("payment_method") => miniserde::json::from_str::<stripe_shared::PaymentMethod>(&text).is_ok(),
            _ => false,
        };
        assert!(decodes, "{event}");
    }
    // Expansions reach what they name.
    let path = format!("/v1/subscriptions/{}?expand[]=latest_invoice.payments", made.subscribed.subscription);
    let expanded = bench.get(&path).await.json();
    assert!(expanded["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"].as_str().is_some_and(|p| p.starts_with("pi_")));
    assert!(expanded.get("current_period_end").is_none(), "periods are on the items");
    let deep = bench.get(&format!("/v1/subscriptions/{}?expand[]=items.data.price.product", made.subscribed.subscription)).await.json();
    assert_eq!(deep["items"]["data"][0]["price"]["product"]["name"], "Pro");
    bench.get("/v1/subscriptions?expand[]=data.items.data.price.product").await.refused(400, "", "more than 4 levels");
    bench.get(&format!("{path}&expand[]=status")).await.refused(400, "", "This property cannot be expanded (status).");
}

#[tokio::test]
async fn a_checkout_leaves_one_consistent_story() {
    let bench = Bench::new(200).await;
    let stranger = (0..200).map(|n| bench.people.person(n)).find(|p| p.customer.is_none()).expect("some never reached Stripe");
    bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
    let made = bench.checkout(stranger.number, false);
    let again = bench.checkout(stranger.number, false);
    assert_eq!(made.customer, again.customer, "the customer made for them is theirs from now on");
    assert_ne!(bench.checkout(stranger.number, true).customer, made.customer);
    let session = bench.get(&format!("/v1/checkout/sessions?subscription={}", made.subscribed.subscription)).await.json();
    let session = &session["data"][0];
    assert_eq!((&session["client_reference_id"], &session["metadata"]["profileId"]), (&json!("profile-1"), &json!("profile-1")));
    assert_eq!((&session["customer"], &session["invoice"]), (&json!(made.customer), &json!(made.subscribed.invoice)));
    let types: Vec<_> =
        made.events().iter().map(|id| bench.sim.object(id).expect("an event")["type"].as_str().unwrap().to_string()).collect();
    assert_eq!(types, ["customer.created", "checkout.session.completed", "customer.subscription.created", "invoice.paid"]);
    let pending = bench.get("/v1/events?delivery_success=false&limit=100").await;
    assert_eq!(pending.ids().len(), 9, "three deliveries are owed for each checkout, and none for customer.created");
    let changed = bench.sim.change_price(&made.subscribed.subscription, PRICE_LEGACY_GOLD, bench.born()).expect("changed");
    let event = bench.get(&format!("/v1/events/{changed}")).await.json();
    assert_eq!(event["data"]["object"]["items"]["data"][0]["price"]["id"], PRICE_LEGACY_GOLD);
    assert_eq!(event["data"]["previous_attributes"]["items"]["data"][0]["price"]["id"], PRICE_PRO_MONTH);
}

#[tokio::test]
async fn subscriptions_and_customers_change_over_the_api() {
    let bench = Bench::new(200).await;
    let person = bench.paying("active");
    let (customer, subscription) = (person.customer.expect("pays"), person.plan.expect("pays").subscription);
    let path = format!("/v1/subscriptions/{subscription}");
    let reply = bench.post(&path, "cancel_at_period_end=true&metadata[ops case]=a%2Bb&metadata[profileId]=", None).await.json();
    assert_eq!((&reply["cancel_at_period_end"], &reply["cancel_at"]), (&json!(true), &reply["items"]["data"][0]["current_period_end"]));
    assert_eq!(reply["metadata"], json!({ "ops case": "a+b" }));
    let event = bench.get("/v1/events?type=customer.subscription.updated&limit=1").await.json();
    assert_eq!(event["data"][0]["data"]["previous_attributes"]["cancel_at_period_end"], false);
    let renamed = bench.post(&format!("/v1/customers/{customer}"), "name=N&email=new%40example.com", None).await.json();
    assert_eq!((&renamed["name"], &renamed["email"]), (&json!("N"), &json!("new@example.com")));
    assert_eq!(bench.get("/v1/customers?email=new%40example.com").await.ids(), [customer.as_str()]);
    assert!(bench.get(&format!("/v1/customers?email={}", person.email)).await.ids().is_empty());
    let gone = bench.send(bench.request(Method::DELETE, &path).body("invoice_now=false&prorate=false")).await;
    assert_eq!((gone.status, &gone.json()["status"]), (200, &json!("canceled")));
    bench.send(bench.request(Method::DELETE, &path)).await.refused(404, "resource_missing", "No such subscription");
    bench.post(&path, "cancel_at_period_end=false", None).await.refused(
        400,
        "invalid_canceled_subscription_fields",
        "A canceled subscription can only update",
    );
    assert_eq!(
        bench.get("/v1/events?type=customer.subscription.deleted&limit=1").await.json()["data"][0]["data"]["object"]["id"],
        subscription.as_str()
    );
    let deleted = bench.send(bench.request(Method::DELETE, &format!("/v1/customers/{customer}"))).await.json();
    assert_eq!(deleted, json!({ "id": customer, "object": "customer", "deleted": true }));
    assert_eq!(bench.get(&format!("/v1/customers/{customer}")).await.json(), deleted);
    bench.send(bench.request(Method::DELETE, &format!("/v1/customers/{customer}"))).await.refused(
        404,
        "resource_missing",
        "No such customer",
    );
}

#[tokio::test]
async fn the_client_librarys_requests_are_understood() {
    let bench = Bench::new(100).await;
    bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
    let person = bench.paying("active");
    let made = bench.checkout(person.number, false);
    let (customer, email) = (made.customer.as_str(), person.email.as_str());
    let subscription = made.subscribed.subscription.as_str();
    assert_eq!(bench.ask(ListCustomer::new().email(email).limit(5).expand(["data.subscriptions".to_string()])).await.data[0].id, *customer);
    assert_eq!(bench.ask(SearchCustomer::new(format!("email:'{email}'"))).await.data.len(), 1);
    assert!(matches!(bench.ask(RetrieveCustomer::new(customer)).await, RetrieveCustomerReturned::Customer(_)));
    let renamed = UpdateCustomer::new(customer).name("Ä & B").metadata([("case 1".to_string(), "x=y".to_string())]);
    let renamed = bench.ask(renamed).await;
    assert_eq!((renamed.name.as_deref(), renamed.metadata.and_then(|m| m.get("case 1").cloned()).as_deref()), (Some("Ä & B"), Some("x=y")));
    let listed = bench.ask(ListSubscription::new().customer(customer).status(ListSubscriptionStatus::All)).await;
    assert_eq!(listed.data.len(), 2);
    let paths = ["latest_invoice.payments".to_string(), "customer".to_string()];
    let one = bench.ask(RetrieveSubscription::new(subscription).expand(paths)).await;
    assert!(one.latest_invoice.is_some_and(|i| i.into_object().is_some_and(|i| i.payments.is_some_and(|p| p.data.len() == 1))));
    let leaving = bench.ask(UpdateSubscription::new(subscription).cancel_at_period_end(true)).await;
    assert!(leaving.cancel_at_period_end && leaving.cancel_at == Some(leaving.items.data[0].current_period_end));
    let gone = bench.ask(CancelSubscription::new(subscription).invoice_now(false).prorate(false)).await;
    assert_eq!(gone.status, SubscriptionStatus::Canceled);
    assert!(bench.ask(RetrieveSubscription::new(subscription)).await.ended_at.is_some());
    let bounds = RangeQueryTs::Bounds(RangeBoundsTs { gt: None, gte: Some(bench.born().timestamp()), lt: None, lte: None });
    let types = vec!["customer.subscription.deleted".to_string(), "customer.updated".to_string()];
    assert_eq!(bench.ask(ListEvent::new().types(types).created(bounds)).await.data.len(), 2);
    let owed = bench.ask(ListEvent::new().type_("customer.subscription.*").delivery_success(false)).await;
    assert_eq!(owed.data.len(), 3);
    assert_eq!(bench.ask(RetrieveEvent::new(owed.data[0].id.as_str())).await.pending_webhooks, 1);
    assert_eq!(bench.ask(ListInvoice::new().subscription(subscription).status(InvoiceStatus::Paid)).await.data.len(), 1);
    assert_eq!(bench.ask(ListInvoicePayment::new().invoice(made.subscribed.invoice.as_str())).await.data.len(), 1);
    let sessions = bench.ask(ListCheckoutSession::new().customer(customer).status(CheckoutSessionStatus::Complete)).await;
    assert_eq!(sessions.data[0].client_reference_id.as_deref(), Some("profile-1"));
    assert_eq!(bench.ask(ListPrice::new().lookup_keys(["pro_monthly".to_string()]).active(true)).await.data.len(), 1);
    assert_eq!(bench.ask(RetrieveProduct::new("prod_pro")).await.metadata["tier"], "PRO");
    assert_eq!(bench.ask(ListWebhookEndpoint::new()).await.data[0].status, "enabled");
    assert_eq!(*bench.ask(RetrieveForMyAccountAccount::new()).await.id, *bench.sim.account());
    assert!(!bench.ask(RetrieveForMyAccountBalance::new()).await.livemode);
    assert!(!bench.sim.delete_customer(customer, bench.born()).is_empty());
    assert!(matches!(bench.ask(RetrieveCustomer::new(customer)).await, RetrieveCustomerReturned::DeletedCustomer(_)));
}
