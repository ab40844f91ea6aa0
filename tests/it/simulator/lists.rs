//! Lists: every object once, in order, in both directions, whatever the filter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use nightdesk::sandbox::population::{PRICE_ENT_YEAR, Population};
use nightdesk::sandbox::stripe::{Simulator, SimulatorOptions};

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
        for path in
            ["customers", "subscriptions", "invoices", "checkout/sessions", "events", "invoice_payments", "payment_intents", "charges"]
        {
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
    let payments = bench.walk("/v1/invoice_payments?limit=100").await;
    assert_eq!(bench.walk("/v1/payment_intents?limit=61").await.len(), payments.len());
    assert_eq!(bench.walk("/v1/charges?limit=61").await.len(), payments.len());
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
    for path in [
        "customers",
        "subscriptions",
        "invoices",
        "checkout/sessions",
        "events",
        "invoice_payments",
        "payment_intents",
        "charges",
        "prices",
        "products",
    ] {
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
async fn a_million_people_cost_nothing_until_asked() {
    let bench = Bench::new(1_000_000).await;
    let began = Instant::now();
    for path in ["customers", "subscriptions", "invoices", "events", "checkout/sessions", "invoice_payments", "payment_intents", "charges"]
    {
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
