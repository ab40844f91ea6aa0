//! Checkout sessions from their opening to their end, and search over what was sold.

use std::time::Duration;

use nightdesk::sandbox::stripe::Payer;
use serde_json::{Value, json};

use super::bench::Bench;
use super::lifecycle_catalog::types;
use crate::contract::conform::{assert_none, conform};

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no id: {object}")).to_string()
}

async fn once(bench: &Bench) -> String {
    id(&bench.post("/v1/prices", "product=prod_pro&currency=eur&unit_amount=1500", None).await.json())
}

#[tokio::test]
async fn a_session_for_one_payment_is_opened_declined_and_paid() {
    let bench = Bench::new(50).await;
    let price = once(&bench).await;
    let form = format!(
        "mode=payment&line_items[0][price]={price}&line_items[0][quantity]=2&success_url=https%3A%2F%2Fapp.example.com&customer_email=ada%40example.com\
         &customer_creation=always&client_reference_id=p-1&metadata[a]=b&payment_intent_data[description]=Books&payment_intent_data[metadata][c]=d"
    );
    let (session, events) = bench.told(bench.post("/v1/checkout/sessions", &form, None)).await;
    assert!(events.is_empty(), "an open session is no event");
    assert_none(conform("checkout.session", &session));
    assert_eq!(
        (&session["status"], &session["payment_status"], &session["amount_total"]),
        (&json!("open"), &json!("unpaid"), &json!(3000))
    );
    assert!(session["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")));
    let (path, session) = (format!("/v1/checkout/sessions/{}", id(&session)), id(&session));
    assert_eq!(bench.get("/v1/checkout/sessions?status=open").await.ids(), [session.as_str()]);
    let lines = bench.get(&format!("{path}/line_items")).await.json();
    assert_eq!((&lines["data"][0]["quantity"], &lines["data"][0]["amount_total"]), (&json!(2), &json!(3000)));
    assert_none(conform("item", &lines["data"][0]));
    let declined = bench.sim.complete_checkout(&session, Payer { payment_method: Some("pm_card_chargeCustomerFail"), ..Payer::default() });
    assert_eq!(declined, Err("Your card was declined.".to_string()));
    assert_eq!(bench.get(&path).await.json()["status"], "open", "the customer may try another card");
    let (paid, events) = bench.told(bench.post(&format!("/_sim/checkout/{session}/complete"), "", None)).await;
    assert_none(conform("checkout.session", &paid));
    let mut kinds = types(&events);
    assert_eq!(kinds.pop(), Some("checkout.session.completed"), "last, when everything is done");
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["charge.succeeded", "customer.created", "payment_intent.created", "payment_intent.succeeded", "payment_method.attached"]
    );
    assert_eq!((&paid["status"], &paid["payment_status"], &paid["url"]), (&json!("complete"), &json!("paid"), &Value::Null));
    let intent = bench.get(&format!("/v1/payment_intents/{}", paid["payment_intent"].as_str().expect("an intent"))).await.json();
    assert_eq!(
        (&intent["description"], &intent["metadata"], &intent["amount_received"]),
        (&json!("Books"), &json!({ "c": "d" }), &json!(3000))
    );
    let customer = paid["customer"].as_str().expect("a customer");
    for filter in
        ["customer_details[email]=ada%40example.com".to_string(), format!("customer={customer}"), format!("payment_intent={}", id(&intent))]
    {
        assert_eq!(bench.get(&format!("/v1/checkout/sessions?{filter}")).await.ids(), [session.as_str()], "{filter}");
    }
    assert!(bench.sim.complete_checkout(&session, Payer::default()).is_err(), "paid once");
    bench.post(&format!("{path}/expire"), "", None).await.refused(400, "", "This Checkout Session has a status of complete.");
}

#[tokio::test]
async fn a_session_for_a_subscription_begins_one() {
    let bench = Bench::new(50).await;
    let customer = id(&bench.post("/v1/customers", "name=Ada&email=ada%40example.com", None).await.json());
    let form = format!(
        "mode=subscription&customer={customer}&line_items[0][price]=price_pro_month&line_items[0][quantity]=1&success_url=https%3A%2F%2Fapp.example.com\
         &client_reference_id=p-1&subscription_data[metadata][profileId]=p-1"
    );
    let session = id(&bench.post("/v1/checkout/sessions", &form, None).await.json());
    let (paid, events) =
        bench.told(bench.post(&format!("/_sim/checkout/{session}/complete"), "{\"payment_method\":\"pm_card_visa\"}", None)).await;
    let kinds = types(&events);
    for kind in ["payment_method.attached", "customer.subscription.created", "invoice.paid", "checkout.session.completed"] {
        assert_eq!(kinds.iter().filter(|k| **k == kind).count(), 1, "{kind} in {kinds:?}");
    }
    let subscription = paid["subscription"].as_str().expect("a subscription");
    let begun = bench.get(&format!("/v1/subscriptions/{subscription}?expand[]=default_payment_method")).await.json();
    assert_eq!((&begun["status"], &begun["metadata"]["profileId"]), (&json!("active"), &json!("p-1")));
    assert_eq!(begun["latest_invoice"], paid["invoice"]);
    assert_eq!(bench.get(&format!("/v1/checkout/sessions?subscription={subscription}")).await.ids(), [session]);
}

#[tokio::test]
async fn a_session_sells_several_things_after_a_trial_or_an_authentication() {
    let bench = Bench::new(50).await;
    let price = once(&bench).await;
    let lines = format!(
        "mode=subscription&success_url=https%3A%2F%2Fapp.example.com&line_items[0][price]=price_pro_month&line_items[0][quantity]=3\
         &line_items[1][price]={price}&line_items[1][quantity]=1"
    );
    let trial = format!("{lines}&subscription_data[trial_period_days]=7&subscription_data[description]=Seats");
    let session = bench.post("/v1/checkout/sessions", &trial, None).await.json();
    assert_eq!(session["amount_total"], 1500, "what is sold once is paid at once");
    let (paid, _) = bench.told(bench.post(&format!("/_sim/checkout/{}/complete", id(&session)), "", None)).await;
    let path = format!("/v1/subscriptions/{}?expand[]=latest_invoice", paid["subscription"].as_str().expect("begun"));
    let begun = bench.get(&path).await.json();
    assert_eq!((&begun["status"], &begun["items"]["data"][0]["quantity"]), (&json!("trialing"), &json!(3)));
    assert_eq!((&begun["description"], &begun["latest_invoice"]["amount_paid"]), (&json!("Seats"), &json!(1500)));
    assert_eq!(begun["trial_end"].as_i64().zip(begun["created"].as_i64()).map(|(end, from)| end - from <= 7 * 86_400), Some(true));
    let session = id(&bench.post("/v1/checkout/sessions", &lines, None).await.json());
    let form = "{\"payment_method\":\"pm_card_authenticationRequired\",\"email\":\"grace@example.com\"}";
    let (paid, events) = bench.told(bench.post(&format!("/_sim/checkout/{session}/complete"), form, None)).await;
    assert_eq!(paid["customer_details"]["email"], "grace@example.com");
    let kinds = types(&events);
    for kind in ["payment_intent.requires_action", "invoice.paid", "customer.subscription.created", "checkout.session.completed"] {
        assert_eq!(kinds.iter().filter(|k| **k == kind).count(), 1, "{kind} in {kinds:?}");
    }
    let begun = bench.get(&format!("/v1/subscriptions/{}", paid["subscription"].as_str().expect("begun"))).await.json();
    assert_eq!(begun["status"], "active");
    let refused = bench.post(&format!("/_sim/checkout/{session}/complete"), "{\"card\":1}", None).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_session_expires_by_request_or_after_a_day() {
    let bench = Bench::new(20).await;
    let price = once(&bench).await;
    let form = format!("mode=payment&line_items[0][price]={price}&line_items[0][quantity]=1&success_url=https%3A%2F%2Fapp.example.com");
    let first = id(&bench.post("/v1/checkout/sessions", &form, None).await.json());
    let second = id(&bench.post("/v1/checkout/sessions", &form, None).await.json());
    let (expired, events) = bench.told(bench.post(&format!("/v1/checkout/sessions/{first}/expire"), "", None)).await;
    assert_eq!((types(&events), &expired["status"]), (vec!["checkout.session.expired"], &json!("expired")));
    bench.sim.advance(Duration::from_secs(86_399));
    assert_eq!(bench.get("/v1/checkout/sessions?status=open").await.ids(), [second.as_str()]);
    bench.sim.advance(Duration::from_secs(2));
    assert_eq!(bench.get("/v1/checkout/sessions?status=expired").await.ids(), [second.as_str(), &first]);
    assert_eq!(bench.get("/v1/events?type=checkout.session.expired").await.ids().len(), 2);
}

#[tokio::test]
async fn a_session_with_wrong_particulars_is_refused() {
    let bench = Bench::new(20).await;
    let price = once(&bench).await;
    let end = "&success_url=https%3A%2F%2Fapp.example.com";
    let one = format!("&line_items[0][price]={price}&line_items[0][quantity]=1{end}");
    let pro = format!("&line_items[0][price]=price_pro_month&line_items[0][quantity]=1{end}");
    for (form, code, sentence) in [
        (format!("customer_email=a%40b{one}"), "parameter_missing", "Missing required param: mode."),
        (format!("mode=gift{one}"), "", "Invalid mode: must be one of payment, or subscription"),
        (format!("mode=payment{end}"), "parameter_missing", "Missing required param: line_items."),
        (format!("mode=payment{pro}"), "", "You specified `payment` mode but passed a recurring price."),
        (format!("mode=subscription{one}"), "", "You must provide at least one recurring price in `subscription` mode"),
        (format!("mode=payment&subscription_data[description]=x{one}"), "", "You can not pass `subscription_data` in `payment` mode."),
        (format!("mode=payment&customer=cus_none{one}"), "resource_missing", "No such customer: 'cus_none'"),
        (format!("mode=payment&expires_at=1{one}"), "", "at least 30 minutes"),
        (format!("mode=payment&line_items[0][price]={price}{end}"), "", "Quantity is required. Add `quantity` to `line_items[0]`"),
        (
            format!("mode=subscription&line_items[0][price]=price_legacy_gold&line_items[0][quantity]=1{end}"),
            "",
            "The price specified is inactive.",
        ),
        (format!("mode=payment&line_items[0][price]={price}&line_items[0][quantity]=1"), "parameter_missing", "success_url"),
    ] {
        bench.post("/v1/checkout/sessions", &form, None).await.refused(400, code, sentence);
    }
    assert!(bench.get("/v1/checkout/sessions?status=open").await.ids().is_empty());
}

#[tokio::test]
async fn what_was_sold_is_found_by_its_documented_fields() {
    let bench = Bench::new(300).await;
    let search = |resource: &'static str, query: String| {
        let mut url = reqwest::Url::parse("http://x/").expect("a URL");
        url.query_pairs_mut().append_pair("query", &query).append_pair("limit", "100").append_pair("expand[]", "total_count");
        let path = format!("/v1/{resource}/search?{}", url.query().expect("a query"));
        let bench = &bench;
        async move {
            let reply = bench.get(&path).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text);
            assert_eq!(reply.json()["total_count"], reply.ids().len(), "{query}");
            reply.ids()
        }
    };
    let person = bench.paying("active");
    let (customer, plan) = (person.customer.expect("pays"), person.plan.expect("pays"));
    let invoices = bench.get(&format!("/v1/invoices?limit=100&customer={customer}")).await;
    assert_eq!(search("invoices", format!("customer:'{customer}'")).await, invoices.ids());
    assert_eq!(search("invoices", format!("subscription:'{}' AND -status:'open'", plan.subscription)).await, invoices.ids());
    let number = invoices.json()["data"][0]["number"].as_str().expect("a number").to_string();
    assert_eq!(search("invoices", format!("number:'{number}'")).await, [invoices.ids()[0].clone()]);
    let open = bench.walk("/v1/invoices?limit=100&status=open").await;
    assert!(!open.is_empty());
    assert_eq!(search("invoices", "status:'open'".into()).await, open);
    assert_eq!(search("invoices", "total>0 AND -status:'paid' AND currency:'eur'".into()).await, open);
    let charges = bench.walk(&format!("/v1/charges?limit=100&customer={customer}")).await;
    assert_eq!(
        search("charges", format!("customer:'{customer}' AND -refunded:true AND payment_method_details.card.last4:'4242'")).await,
        charges
    );
    assert!(search("charges", "metadata['order']:'6735' OR currency:'usd' OR disputed:'true'".into()).await.is_empty());
    assert_eq!(search("charges", "status:'failed'".into()).await.len(), open.len());
    assert_eq!(search("payment_intents", "-status:'succeeded' AND amount>1".into()).await.len(), open.len());
    assert_eq!(
        search("subscriptions", format!("-metadata['profileId']:null AND -status:'active' AND created:{}", plan.started.timestamp()))
            .await
            .len(),
        0
    );
    assert_eq!(search("prices", "lookup_key:'pro_monthly' AND active:'true'".into()).await, ["price_pro_month"]);
    assert_eq!(search("prices", "lookup_key:null".into()).await, ["price_legacy_gold"]);
    let product = id(&bench.post("/v1/products", "name=Brand+new&metadata[tier]=GOLD", None).await.json());
    assert!(search("products", "name~'brand'".into()).await.is_empty(), "not indexed yet");
    bench.sim.advance(Duration::from_secs(61));
    assert_eq!(search("products", "name~'brand' AND metadata['tier']:'gold'".into()).await, [product]);
    bench.get("/v1/charges/search?query=colour:%27x%27").await.refused(400, "", "is an unsupported search field for resource `charges`");
}
