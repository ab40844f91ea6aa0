//! The Stripe simulator over HTTP: what it answers, in which shape, and what it does when told to misbehave.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use nightdesk::sandbox::population::{PRICE_ENT_YEAR, PRICE_LEGACY_GOLD, PRICE_PRO_MONTH, Population};
use nightdesk::sandbox::stripe::{Effect, NewCheckout, Rule, Simulator, SimulatorOptions, When};
use reqwest::Method;
use serde_json::{Value, json};

struct Bench {
    sim: Simulator,
    people: Arc<Population>,
    http: reqwest::Client,
    key: String,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    fn ids(&self) -> Vec<String> {
        let body = self.json();
        let data = body["data"].as_array().unwrap_or_else(|| panic!("a list: {body}"));
        data.iter().map(|v| v["id"].as_str().expect("an id").to_string()).collect()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str, message: &str) {
        let error = &self.json()["error"];
        assert_eq!(self.status, status, "{error}");
        assert_eq!(error["code"].as_str().unwrap_or_default(), code, "{error}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains(message)), "{error}");
    }
}

impl Bench {
    async fn new(customers: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let people = Arc::new(Population::new(42, customers, Utc::now()));
        let sim = Simulator::start(SimulatorOptions::new(people.clone())).await.expect("starts");
        let key = sim.secret_key();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { sim, people, http, key }
    }

    fn born(&self) -> DateTime<Utc> {
        self.people.born()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.sim.base_url())).bearer_auth(&self.key)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.expect("a body") }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, form: &str, key: Option<&str>) -> Reply {
        let mut request = self.request(Method::POST, path).body(form.to_string());
        request = request.header("Content-Type", "application/x-www-form-urlencoded");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    fn paying(&self, status: &str) -> nightdesk::sandbox::population::Person {
        let found = (0..self.people.len()).map(|n| self.people.person(n)).find(|p| p.plan.as_ref().is_some_and(|x| x.status == status));
        found.unwrap_or_else(|| panic!("somebody is {status}"))
    }

    fn checkout(&self, number: u64, new_customer: bool) -> nightdesk::sandbox::stripe::CheckedOut {
        self.sim.checkout(NewCheckout {
            number,
            price: PRICE_PRO_MONTH.to_string(),
            client_reference_id: Some("profile-1".to_string()),
            metadata: vec![("profileId".to_string(), "profile-1".to_string())],
            at: self.born(),
            new_customer,
        })
    }

    /// Every page forwards, then every page backwards: both must tell the same story.
    async fn walk(&self, path: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            all.extend(page.ids());
            if page.json()["has_more"] != true {
                break;
            }
            cursor = format!("&starting_after={}", all.last().expect("has_more needs elements"));
        }
        let mut back: Vec<String> = Vec::new();
        if let Some(last) = all.last() {
            back.push(last.clone());
        }
        while let Some(first) = back.first() {
            let page = self.get(&format!("{path}&ending_before={first}")).await;
            let more = page.json()["has_more"] == true;
            back.splice(0..0, page.ids());
            if !more {
                break;
            }
        }
        assert_eq!(all, back, "backwards differs on {path}");
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "twice on {path}");
        all
    }
}

#[tokio::test]
async fn the_same_seed_serves_the_same_objects() {
    let people = Arc::new(Population::new(9, 300, Utc::now()));
    let mut pages = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::new(1).await;
        bench.sim = Simulator::start(SimulatorOptions::new(people.clone())).await.expect("starts");
        bench.people = people.clone();
        bench.key = bench.sim.secret_key();
        bench.checkout(5, true);
        let mut texts = Vec::new();
        for path in ["customers", "subscriptions", "invoices", "checkout/sessions", "events", "invoice_payments"] {
            texts.push(bench.get(&format!("/v1/{path}?limit=100")).await.text);
        }
        pages.push(texts);
        bench.sim.stop().await;
    }
    assert!(pages[0] == pages[1], "the same, byte for byte");
}

#[tokio::test]
async fn lists_page_exactly_in_both_directions_over_population_and_overlay() {
    let bench = Bench::new(400).await;
    let made: Vec<_> = (0..5).map(|n| bench.checkout(n * 7, n % 2 == 0)).collect();
    let hidden = bench.checkout(3, true);
    bench.sim.delete_customer(&hidden.customer, bench.born());
    let customers = bench.walk("/v1/customers?limit=37").await;
    let own = (0..400).filter(|n| bench.people.person(*n).customer.is_some()).count();
    let new = made.iter().filter(|m| m.customer_created.is_some()).count();
    assert_eq!(customers.len(), own + new);
    let subscriptions = bench.walk("/v1/subscriptions?limit=13&status=all").await;
    let paying = (0..400).filter(|n| bench.people.person(*n).plan.is_some()).count();
    assert_eq!(subscriptions.len(), paying + made.len() + 1);
    let live = bench.walk("/v1/subscriptions?limit=13").await;
    let gone = bench.walk("/v1/subscriptions?limit=13&status=canceled").await;
    assert_eq!(live.len() + gone.len(), subscriptions.len());
    assert!(gone.contains(&hidden.subscribed.subscription));
    let invoices = bench.walk("/v1/invoices?limit=100").await;
    let bills: u32 = (0..400).filter_map(|n| bench.people.person(n).plan).map(|p| u32::from(p.cycle) + 1).sum();
    assert_eq!(invoices.len(), bills as usize + made.len() + 1);
    let sessions = bench.walk("/v1/checkout/sessions?limit=29").await;
    assert_eq!(sessions.len(), paying + made.len() + 1);
    let events = bench.walk("/v1/events?limit=100").await;
    assert!(events.len() > 100, "{}", events.len());
    let mut last = i64::MAX;
    for id in &events {
        let created = bench.sim.object(id).expect("listed")["created"].as_i64().expect("a time");
        assert!(created <= last, "newest first");
        last = created;
    }
}

#[tokio::test]
async fn every_listed_object_can_be_read_and_looks_the_same_alone() {
    let bench = Bench::new(250).await;
    for path in ["customers", "subscriptions", "invoices", "checkout/sessions", "events", "invoice_payments", "prices", "products"] {
        let page = bench.get(&format!("/v1/{path}?limit=40")).await.json();
        for element in page["data"].as_array().expect("a list") {
            let alone = bench.get(&format!("/v1/{path}/{}", element["id"].as_str().expect("an id"))).await;
            assert_eq!(alone.json(), *element);
        }
    }
}

#[tokio::test]
async fn filters_agree_with_a_plain_scan() {
    let bench = Bench::new(300).await;
    let second = bench.checkout(bench.paying("active").number, false);
    bench.sim.set_status(&second.subscribed.subscription, "past_due", bench.born());
    let everything = |path: &'static str| {
        let bench = &bench;
        async move {
            let mut all = Vec::new();
            for id in bench.walk(path).await {
                all.push(bench.sim.object(&id).expect("listed"));
            }
            all
        }
    };
    let subscriptions = everything("/v1/subscriptions?limit=100&status=all").await;
    for status in ["active", "past_due", "trialing", "canceled"] {
        let want: Vec<_> = subscriptions.iter().filter(|s| s["status"] == status).map(|s| s["id"].as_str().unwrap().to_string()).collect();
        assert!(!want.is_empty(), "somebody is {status}");
        assert_eq!(bench.walk(&format!("/v1/subscriptions?limit=10&status={status}")).await, want);
    }
    let yearly = bench.walk(&format!("/v1/subscriptions?limit=10&status=all&price={PRICE_ENT_YEAR}")).await;
    assert!(
        yearly
            .iter()
            .all(|id| subscriptions.iter().any(|s| s["id"] == id.as_str() && s["items"]["data"][0]["price"]["id"] == PRICE_ENT_YEAR))
    );
    let customer = second.customer.as_str();
    let theirs = bench.walk(&format!("/v1/subscriptions?limit=1&status=all&customer={customer}")).await;
    let want: Vec<_> = subscriptions.iter().filter(|s| s["customer"] == customer).map(|s| s["id"].as_str().unwrap().to_string()).collect();
    assert_eq!((theirs.len(), theirs), (2, want));
    let events = everything("/v1/events?limit=100").await;
    for pattern in ["customer.*", "invoice.paid", "customer.subscription.*"] {
        let stem = pattern.trim_end_matches('*');
        let want: Vec<_> = events
            .iter()
            .filter(|e| e["type"].as_str().unwrap().starts_with(stem))
            .map(|e| e["id"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(bench.walk(&format!("/v1/events?limit=50&type={pattern}")).await, want);
    }
    let (from, to) = (bench.born().timestamp() - 20 * 86_400, bench.born().timestamp() - 10 * 86_400);
    let want: Vec<_> = events
        .iter()
        .filter(|e| (from..to).contains(&e["created"].as_i64().unwrap()))
        .map(|e| e["id"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(bench.walk(&format!("/v1/events?limit=50&created[gte]={from}&created[lt]={to}")).await, want);
    let invoice = bench.get(&format!("/v1/invoices?subscription={}", second.subscribed.subscription)).await;
    assert_eq!(invoice.ids(), [second.subscribed.invoice.as_str()]);
    let payment = bench.get(&format!("/v1/invoice_payments?invoice={}", second.subscribed.invoice)).await.json();
    assert_eq!(payment["data"][0]["payment"]["payment_intent"], second.subscribed.payment_intent.as_str());
}

#[tokio::test]
async fn customers_are_found_by_address_exactly_and_by_search_loosely() {
    let bench = Bench::new(200).await;
    let person = bench.paying("active");
    let customer = person.customer.clone().expect("pays");
    let twin = bench.sim.add_customer("Twin", Some(&person.email), bench.born());
    let found = bench.get(&format!("/v1/customers?email={}", person.email.replace('+', "%2B"))).await;
    assert_eq!(found.ids(), [twin.clone(), customer.clone()], "two customers, one address");
    assert!(bench.get(&format!("/v1/customers?email={}", person.email.to_uppercase())).await.ids().is_empty(), "case-sensitive");
    let search = |query: String| {
        let mut url = reqwest::Url::parse("http://x/v1/customers/search?limit=100").expect("a URL");
        url.query_pairs_mut().append_pair("query", &query);
        bench.send(bench.request(Method::GET, &format!("{}?{}", url.path(), url.query().expect("a query"))))
    };
    let found = search(format!("email:'{}'", person.email.to_uppercase())).await;
    assert_eq!(found.ids(), [customer.as_str()], "the newer one is not indexed yet");
    assert_eq!(found.json()["object"], "search_result");
    bench.sim.set_search_lag(Duration::ZERO);
    assert_eq!(search(format!("email:'{}'", person.email)).await.ids().len(), 2);
    assert_eq!(search(format!("email~'{}' AND name:'twin'", &person.email[..6])).await.ids(), [twin.as_str()]);
    assert!(bench.sim.set_metadata(&customer, &[("profileId", "p-7")]));
    assert_eq!(search("metadata['profileId']:'p-7'".to_string()).await.ids(), [customer.as_str()]);
    assert!(bench.sim.set_customer_name(&customer, "\u{1b}[31mRed\u{202e}"));
    assert_eq!(bench.get(&format!("/v1/customers/{customer}")).await.json()["name"], "\u{1b}[31mRed\u{202e}");
    search("colour:'x'".to_string()).await.refused(400, "", "Field `colour` is an unsupported search field");
    search("email".to_string()).await.refused(400, "", "unable to parse your search query");
    let first = bench.get("/v1/customers/search?limit=7&query=email~%27example%27").await;
    let next = first.json()["next_page"].as_str().expect("more").to_string();
    let second = bench.get(&format!("/v1/customers/search?limit=7&query=email~%27example%27&page={next}")).await;
    let plain: Vec<_> = bench.walk("/v1/customers?limit=100").await.into_iter().take(14).collect();
    assert_eq!([first.ids(), second.ids()].concat(), plain);
}

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
    bench.post(&path, "cancel_at_period_end=false", None).await.refused(400, "", "A canceled subscription can only update");
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
async fn keys_and_permissions() {
    let bench = Bench::new(20).await;
    let url = format!("{}/v1/customers", bench.sim.base_url());
    bench.send(bench.http.get(&url)).await.refused(401, "", "You did not provide an API key.");
    bench.send(bench.http.get(&url).bearer_auth("sk_test_nobody")).await.refused(401, "", "Invalid API Key provided: sk_");
    let live = bench.send(bench.http.get(&url).bearer_auth("sk_live_51abcdefghijklmnopqrstuvwxyz")).await;
    live.refused(401, "", "Invalid API Key provided: sk_live_");
    assert!(!live.text.contains("abcdefghij"));
    assert_eq!(bench.send(bench.http.get(&url).basic_auth(&bench.key, None::<&str>)).await.status, 200);
    let narrow = bench.sim.restricted_key(&["rak_customer_read"]);
    assert_eq!(bench.send(bench.http.get(&url).bearer_auth(&narrow)).await.status, 200);
    for (method, path, slug) in [
        (Method::GET, "subscriptions", "rak_subscription_read"),
        (Method::GET, "prices", "rak_plan_read"),
        (Method::GET, "products/prod_pro", "rak_product_read"),
        (Method::GET, "checkout/sessions", "rak_checkout_session_read"),
        (Method::GET, "invoices", "rak_invoice_read"),
        (Method::GET, "events", "rak_event_read"),
        (Method::GET, "webhook_endpoints", "rak_webhook_read"),
        (Method::GET, "account", "rak_account_read"),
        (Method::GET, "balance", "rak_balance_read"),
        (Method::POST, "customers/cus_x", "rak_customer_write"),
        (Method::POST, "events/evt_x/retry", "rak_webhook_write"),
    ] {
        let url = format!("{}/v1/{path}", bench.sim.base_url());
        let reply = bench.send(bench.http.request(method, url).bearer_auth(&narrow)).await;
        let sentence = format!(
            "does not have the required permissions for this endpoint on account '{}'. Having the '{slug}' permission would allow this request to continue.",
            bench.sim.account()
        );
        reply.refused(403, "", &sentence);
        assert!(!reply.text.contains(&narrow));
    }
    let made =
        bench.send(bench.http.post(format!("{}/_sim/keys", bench.sim.base_url())).body(r#"{"permissions":["rak_event_read"]}"#)).await;
    let key = made.json()["key"].as_str().expect("a key").to_string();
    let events = format!("{}/v1/events", bench.sim.base_url());
    assert_eq!(bench.send(bench.http.get(events).bearer_auth(key)).await.status, 200);
}

#[tokio::test]
async fn refusals_in_stripes_shape() {
    let bench = Bench::new(20).await;
    bench.get("/v1/customers?foo=1").await.refused(400, "parameter_unknown", "Received unknown parameter: foo");
    bench.get("/v1/customers?limit=101").await.refused(400, "parameter_invalid_integer", "less than or equal to 100");
    bench.get("/v1/customers?limit=x").await.refused(400, "parameter_invalid_integer", "Invalid integer: x");
    bench.get("/v1/customers?starting_after=cus_no").await.refused(400, "resource_missing", "No such customer: 'cus_no'");
    bench.get("/v1/subscriptions?customer=cus_no").await.refused(400, "resource_missing", "No such customer: 'cus_no'");
    bench.get("/v1/subscriptions?status=suspended").await.refused(400, "", "Invalid status");
    bench.get("/v1/invoices/in_no").await.refused(404, "resource_missing", "No such invoice: 'in_no'");
    bench.get("/v1/nonsense").await.refused(404, "", "Unrecognized request URL (GET: /v1/nonsense).");
    bench.get("/v1/customers/").await.refused(404, "", "remove the trailing slash");
    bench.post("/v1/balance", "", None).await.refused(404, "", "Unrecognized request URL (POST: /v1/balance).");
    let many: String = (0..21).map(|n| format!("&types[{n}]=a.b{n}")).collect();
    bench.get(&format!("/v1/events?limit=1{many}")).await.refused(400, "", "up to 20");
    bench.get("/v1/events?type=a&types[]=b").await.refused(400, "", "only specify one");
    let reply = bench.get("/v1/customers/cus_no").await;
    assert_eq!(reply.json()["error"]["param"], "id");
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert!(reply.header("request-id").starts_with("req_") && reply.text.contains(reply.header("request-id")));
    assert_eq!((reply.header("stripe-version"), reply.header("stripe-should-retry")), ("2026-09-30.endive", "false"));
    let dated = bench.send(bench.request(Method::GET, "/v1/balance").header("Stripe-Version", "2025-01-27.acacia")).await;
    assert_eq!(dated.header("stripe-version"), "2025-01-27.acacia");
    let old = bench.sim.checkout(NewCheckout {
        number: 1,
        price: PRICE_PRO_MONTH.to_string(),
        client_reference_id: None,
        metadata: Vec::new(),
        at: Utc::now() - chrono::Duration::days(31),
        new_customer: true,
    });
    bench.get(&format!("/v1/events/{}", old.session_completed)).await.refused(404, "resource_missing", "No such event");
    let retry = format!("/v1/events/{}/retry", old.session_completed);
    bench.post(&retry, "", None).await.refused(404, "resource_missing", "No such notification: 'evt_");
    assert!(!bench.walk("/v1/events?limit=100").await.contains(&old.session_completed));
}

#[tokio::test]
async fn idempotency_keys_replay_mismatch_and_wait() {
    let bench = Bench::new(50).await;
    let customer = bench.paying("active").customer.expect("pays");
    let path = format!("/v1/customers/{customer}");
    let first = bench.post(&path, "name=A&metadata[x]=1", Some("k1")).await;
    assert_eq!(bench.post(&path, "name=B", None).await.json()["name"], "B");
    let replay = bench.post(&path, "metadata[x]=1&name=A", Some("k1")).await;
    assert_eq!((replay.status, &replay.text), (200, &first.text), "the first answer, byte for byte");
    assert_eq!((replay.header("idempotent-replayed"), replay.header("idempotency-key")), ("true", "k1"));
    assert_eq!(replay.header("original-request"), first.header("request-id"));
    assert_eq!(bench.get(&path).await.json()["name"], "B", "nothing was done twice");
    let mismatch = bench.post(&path, "name=C", Some("k1")).await;
    mismatch.refused(400, "", "Keys for idempotent requests can only be used with the same parameters");
    assert_eq!(mismatch.json()["error"]["type"], "idempotency_error");
    bench.post(&path, "nme=D", Some("k2")).await.refused(400, "parameter_unknown", "nme");
    assert_eq!(bench.post(&path, "name=D", Some("k2")).await.status, 200, "a refused request leaves its key free");
    let rule = bench.sim.faults().add(Rule::always("/v1/customers", Effect::Delay { ms: 1_500 }).method("POST"));
    let slow = bench.post(&path, "name=E", Some("k3"));
    let eager = async {
        loop {
            let reply = bench.post(&path, "name=E", Some("k3")).await;
            if reply.status == 409 {
                return reply;
            }
        }
    };
    let (slow, eager) = tokio::join!(slow, async {
        tokio::task::yield_now().await;
        tokio::time::timeout(Duration::from_secs(10), eager).await.expect("the key was in use")
    });
    assert_eq!(slow.status, 200);
    eager.refused(409, "idempotency_key_in_use", "another in-progress request");
    assert_eq!(eager.header("stripe-should-retry"), "true");
    assert!(bench.sim.faults().remove(rule));
    // The work is done, the answer is lost, the same key gets it.
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Reset).method("POST").when(When::First(1)).after_the_work());
    let lost = bench.request(Method::POST, &path).header("Idempotency-Key", "k4").body("name=F").send().await;
    assert!(lost.is_err());
    assert_eq!(bench.get(&path).await.json()["name"], "F");
    let found = bench.post(&path, "name=F", Some("k4")).await;
    assert_eq!(found.header("idempotent-replayed"), "true");
    let updates = bench.get("/v1/events?type=customer.updated&limit=100").await.ids().len();
    assert_eq!(updates, 5, "A, B, D, E, F: one event each");
}

#[tokio::test]
async fn a_hanging_request_hangs_alone() {
    let bench = Bench::new(50).await;
    bench.sim.faults().add(Rule::always("/v1/customers", Effect::Hang));
    let (sim, http) = (bench.sim.clone(), bench.http.clone());
    let hanging: Vec<_> = (0..30)
        .map(|_| {
            let request = http.get(format!("{}/v1/customers", sim.base_url())).bearer_auth(sim.secret_key());
            tokio::spawn(request.send())
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.sim.faults().rules()[0].struck < 30 {
        assert!(Instant::now() < deadline, "all thirty arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    assert_eq!(bench.get("/v1/prices").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "the others go on");
    assert!(hanging.iter().all(|h| !h.is_finished()), "they hang");
    bench.sim.stop().await;
    for request in hanging {
        assert!(request.await.expect("no panic").is_err(), "stopping cuts them");
    }
}

#[tokio::test]
async fn faults_over_http_in_every_kind() {
    let bench = Bench::new(50).await;
    let faults = format!("{}/_sim/faults", bench.sim.base_url());
    let add = |rule: Value| bench.send(bench.http.post(&faults).body(rule.to_string()));
    for (rule, status, needle) in [
        (json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "status": { "status": 500 } } }), 500, "api_error"),
        (
            json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "status": { "status": 429, "headers": [["Stripe-Rate-Limited-Reason", "endpoint-rate"]] } } }),
            429,
            "rate_limit",
        ),
        (json!({ "path": "/v1/*", "when": { "nth": 1 }, "effect": { "garbage": { "status": 502 } } }), 502, "<html>"),
    ] {
        assert_eq!(add(rule).await.status, 200);
        let reply = bench.get("/v1/customers").await;
        assert_eq!(reply.status, status);
        assert!(reply.text.contains(needle), "{}", reply.text);
        if status == 429 {
            assert_eq!(reply.header("stripe-rate-limited-reason"), "endpoint-rate");
        }
        assert_eq!(bench.get("/v1/customers").await.status, 200, "only the first");
        bench.send(bench.http.delete(&faults)).await;
    }
    add(json!({ "path": "/v1/customers", "effect": "truncate" })).await;
    let response = bench.request(Method::GET, "/v1/customers").send().await.expect("headers arrive");
    assert!(response.status().is_success() && response.text().await.is_err(), "half of a body");
    let rules = bench.send(bench.http.get(&faults)).await.json();
    assert_eq!((&rules[0]["struck"], &rules[0]["effect"]), (&json!(1), &json!("truncate")));
    let one = format!("{faults}/{}", rules[0]["id"]);
    assert_eq!(bench.send(bench.http.delete(one)).await.json(), json!([]));
    add(json!({ "path": "/v1/customers", "effect": "reset" })).await;
    assert!(bench.request(Method::GET, "/v1/customers").send().await.is_err());
    assert_eq!(add(json!({ "path": 1 })).await.status, 400);
    let served = bench.send(bench.http.get(format!("{}/_sim/requests", bench.sim.base_url()))).await.json();
    let last = served.as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&last["path"], &last["status"], &last["worked"]), (&json!("/v1/customers"), &Value::Null, &json!(false)));
}

/// What arrived at a small webhook endpoint, and what it answers next.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(String, String)>>>,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/webhooks/stripe", listener.local_addr().expect("bound"));
        let here = self.clone();
        let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
            let signature = headers["stripe-signature"].to_str().expect("text").to_string();
            here.got.lock().expect("whole").push((signature, body));
            let (status, text) = here.answer.lock().expect("whole").clone();
            (StatusCode::from_u16(status).expect("a status"), text)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn answer(&self, status: u16, text: &str) {
        *self.answer.lock().expect("whole") = (status, text.to_string());
    }
}

fn is_signed(secret: &str, header: &str, body: &str) -> bool {
    let part = |name: &str| header.split(',').find_map(|p| p.strip_prefix(name)).expect("both parts");
    let at: i64 = part("t=").parse().expect("seconds");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("{at}.{body}").as_bytes());
    (Utc::now().timestamp() - at).abs() < 60 && mac.verify_slice(&hex::decode(part("v1=")).expect("hex")).is_ok()
}

#[tokio::test]
async fn deliveries_are_signed_logged_and_counted() {
    let bench = Bench::new(50).await;
    let receiver = Receiver::default();
    bench.sim.set_webhook_url(receiver.start().await);
    let secret = bench.sim.webhook_secret();
    let made = bench.checkout(3, true);
    let event = made.subscribed.subscription_created.clone();
    let pending = || bench.sim.object(&event).expect("kept")["pending_webhooks"].clone();
    receiver.answer(500, &"x".repeat(5_000));
    let failed = bench.sim.deliver(&event).await;
    assert_eq!((failed.status, failed.delivered(), failed.body.len()), (Some(500), false, 1_024));
    assert_eq!(pending(), 1);
    receiver.answer(302, "");
    assert!(!bench.sim.deliver(&event).await.delivered(), "a redirect is no delivery");
    receiver.answer(200, "{\"ok\":true}");
    assert!(bench.sim.deliver(&event).await.delivered() && bench.sim.deliver(&event).await.delivered());
    assert_eq!(pending(), 0);
    for (signature, body) in receiver.got.lock().expect("whole").iter() {
        assert!(is_signed(&secret, signature, body) && !is_signed("whsec_other", signature, body));
        assert_eq!(serde_json::from_str::<Value>(body).expect("JSON")["id"], event.as_str());
    }
    let attempts = bench.send(bench.http.get(format!("{}/_sim/attempts", bench.sim.base_url()))).await.json();
    let statuses: Vec<_> = attempts.as_array().expect("a list").iter().map(|a| a["status"].as_u64().unwrap_or(0)).collect();
    assert_eq!(statuses, [500, 302, 200, 200]);
    assert!(bench.sim.deliver("evt_no").await.error.is_some());
    assert!(bench.sim.deliver(made.customer_created.as_deref().expect("new")).await.error.is_some(), "not subscribed");
}

#[tokio::test]
async fn events_are_delivered_by_themselves_and_sent_again_on_request() {
    let bench = Bench::new(50).await;
    let receiver = Receiver::default();
    receiver.answer(200, "ok");
    bench.sim.set_webhook_url(receiver.start().await);
    let missed = bench.checkout(1, true);
    bench.sim.set_deliveries(true);
    let made = bench.checkout(2, true);
    let arrived = async |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while receiver.got.lock().expect("whole").len() < count {
            assert!(Instant::now() < deadline, "{count} deliveries arrive");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    arrived(3).await;
    let ids = || {
        receiver
            .got
            .lock()
            .expect("whole")
            .iter()
            .map(|(_, b)| serde_json::from_str::<Value>(b).expect("JSON")["id"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert!(ids().iter().all(|id| made.events().contains(id)), "those before stay missed");
    let endpoint = bench.sim.webhook_endpoint().expect("registered");
    let retry = format!("/v1/events/{}/retry", missed.session_completed);
    let reply = bench.post(&retry, &format!("webhook_endpoint={endpoint}"), Some("again-1")).await;
    assert_eq!((reply.status, &reply.json()["object"]), (200, &json!("event")));
    arrived(4).await;
    assert_eq!(ids().last(), Some(&missed.session_completed));
    bench.post(&retry, "webhook_endpoint=we_no", None).await.refused(400, "resource_missing", "No such webhook endpoint");
    let unsubscribed = format!("/v1/events/{}/retry", missed.customer_created.expect("new"));
    bench.post(&unsubscribed, &format!("webhook_endpoint={endpoint}"), None).await.refused(400, "", "not subscribed");
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.get("/v1/events?delivery_success=false").await.ids().len() > 2 {
        assert!(Instant::now() < deadline, "only the two never sent are pending");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_million_people_cost_nothing_until_asked() {
    let bench = Bench::new(1_000_000).await;
    let began = Instant::now();
    for path in ["customers", "subscriptions", "invoices", "events", "checkout/sessions", "invoice_payments"] {
        let page = bench.get(&format!("/v1/{path}?limit=100")).await;
        let cursor = page.ids()[99].clone();
        assert_eq!(bench.get(&format!("/v1/{path}?limit=100&starting_after={cursor}")).await.ids().len(), 100);
        assert_eq!(bench.get(&format!("/v1/{path}?limit=100&ending_before={cursor}")).await.ids().len(), 99);
    }
    let person = bench.people.person(123_456);
    if let Some(id) = &person.customer {
        assert_eq!(bench.get(&format!("/v1/customers/{id}")).await.json()["email"], person.email.as_str());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
