//! Lists and search: every object once, in order, in both directions, whatever the filter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use nightdesk::sandbox::population::{PRICE_ENT_YEAR, Population};
use nightdesk::sandbox::stripe::{Simulator, SimulatorOptions};
use reqwest::Method;

use super::bench::Bench;

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
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
