//! Search: what a query finds, what it costs, and which queries are refused.

use std::time::{Duration, Instant};

use nightdesk::sandbox::stripe::ProfileReference;
use reqwest::Method;
use serde_json::Value;
use stripe_billing::subscription::SearchSubscription;

use super::bench::{Bench, Reply};

async fn search(bench: &Bench, resource: &str, query: String) -> Reply {
    let mut url = reqwest::Url::parse(&format!("http://x/v1/{resource}/search?limit=100")).expect("a URL");
    url.query_pairs_mut().append_pair("query", &query);
    bench.send(bench.request(Method::GET, &format!("{}?{}", url.path(), url.query().expect("a query")))).await
}

/// Every page of a search.
async fn everything(bench: &Bench, resource: &str, query: &str) -> Vec<String> {
    let (mut all, mut page) = (Vec::new(), String::new());
    loop {
        let mut url = reqwest::Url::parse(&format!("http://x/v1/{resource}/search?limit=13{page}")).expect("a URL");
        url.query_pairs_mut().append_pair("query", query);
        let reply = bench.get(&format!("{}?{}", url.path(), url.query().expect("a query"))).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text);
        all.extend(reply.ids());
        match reply.json()["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => return all,
        }
    }
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
    let search = |query: String| search(&bench, "customers", query);
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
    assert_eq!(search(format!("email:'{}' OR metadata['profileId']:'p-7'", person.email)).await.ids(), [twin.as_str(), &customer]);
    assert_eq!(search("name:'twin' or metadata['profileId']:'p-7'".to_string()).await.ids(), [twin.as_str(), &customer]);
    search("colour:'x'".to_string()).await.refused(400, "", "Field `colour` is an unsupported search field");
    search("email".to_string()).await.refused(400, "", "unable to parse your search query");
    let first = bench.get("/v1/customers/search?limit=7&query=email~%27example%27").await;
    let next = first.json()["next_page"].as_str().expect("more").to_string();
    let second = bench.get(&format!("/v1/customers/search?limit=7&query=email~%27example%27&page={next}")).await;
    let plain: Vec<_> = bench.walk("/v1/customers?limit=100").await.into_iter().take(14).collect();
    assert_eq!([first.ids(), second.ids()].concat(), plain);
}

#[tokio::test]
async fn queries_agree_with_a_plain_scan_of_either_resource() {
    let bench = Bench::new(400).await;
    bench.sim.set_search_lag(Duration::ZERO);
    let (active, trialing) = (bench.paying("active"), bench.paying("trialing"));
    let moved = active.plan.as_ref().expect("pays").subscription.clone();
    assert!(bench.sim.set_status(&moved, "past_due", bench.born()).is_some());
    let made = bench.checkout(trialing.number, false);
    let own = trialing.profile.to_string();
    let middle = bench.people.joined(200).timestamp();
    type Keep<'a> = &'a dyn Fn(&Value) -> bool;
    let created = |v: &Value| v["created"].as_i64().expect("a time");
    let subscriptions: [(String, Keep); 9] = [
        ("status:'past_due'".into(), &|v| v["status"] == "past_due"),
        ("status:'TRIALING' OR status:'canceled'".into(), &|v| v["status"] == "trialing" || v["status"] == "canceled"),
        (format!("metadata['profileId']:'{own}'"), &|v| v["metadata"]["profileId"] == own.as_str()),
        ("metadata['profileId']:'profile-1'".into(), &|v| v["id"] == made.subscribed.subscription.as_str()),
        (format!("metadata['profileId']:'{own}' or status:'canceled'"), &|v| {
            v["metadata"]["profileId"] == own.as_str() || v["status"] == "canceled"
        }),
        (format!("metadata['profileId']:'{own}' AND status:'canceled'"), &|_| false),
        (format!("status:'active' created>={middle}"), &|v| v["status"] == "active" && created(v) >= middle),
        (format!("created<{middle}"), &|v| created(v) < middle),
        (format!("created>{middle} OR status:'past_due'"), &|v| v["status"] == "past_due" || created(v) > middle),
    ];
    let customers: [(String, Keep); 3] = [
        (format!("created<={middle} AND email~'example.org'"), &|v| {
            created(v) <= middle && v["email"].as_str().is_some_and(|e| e.contains("example.org"))
        }),
        (format!("email:'{}' OR created:{middle}", active.email), &|v| v["email"] == active.email.as_str() || created(v) == middle),
        ("phone:'1' OR name~'ann'".into(), &|v| v["name"].as_str().is_some_and(|n| n.to_lowercase().contains("ann"))),
    ];
    for (list, resource, cases) in
        [("subscriptions?limit=100&status=all", "subscriptions", &subscriptions[..]), ("customers?limit=100", "customers", &customers[..])]
    {
        let mut all = Vec::new();
        for id in bench.walk(&format!("/v1/{list}")).await {
            all.push(bench.sim.object(&id).expect("listed"));
        }
        for (query, keep) in cases {
            let want: Vec<_> = all.iter().filter(|v| keep(v)).map(|v| v["id"].as_str().expect("an id").to_string()).collect();
            assert!(!want.is_empty() || query.contains("AND status"), "the case shows something: {query}");
            assert_eq!(everything(&bench, resource, query).await, want, "{query}");
        }
    }
}

#[tokio::test]
async fn subscriptions_are_found_by_metadata_once_they_are_indexed() {
    let bench = Bench::new(200).await;
    let person = bench.paying("active");
    let subscription = person.plan.as_ref().expect("pays").subscription.clone();
    let by = |reference: String| search(&bench, "subscriptions", format!("metadata['profileId']:'{reference}'"));
    let found = by(person.profile.to_string()).await;
    assert_eq!(found.ids(), [subscription.as_str()]);
    assert_eq!((&found.json()["object"], &found.json()["url"]), (&"search_result".into(), &"/v1/subscriptions/search".into()));
    bench.sim.set_profile_reference(ProfileReference::Serial);
    assert_eq!(by(person.profile_serial().to_string()).await.ids(), [subscription.as_str()]);
    assert!(by(person.profile.to_string()).await.ids().is_empty());
    let made = bench.sim.add_customer("Newcomer", None, chrono::Utc::now());
    let made = bench.sim.add_subscription(&made, "price_pro_month", chrono::Utc::now());
    assert!(bench.sim.set_metadata(&made.subscription, &[("profileId", "p-9")]));
    assert!(by("p-9".to_string()).await.ids().is_empty(), "not indexed yet");
    bench.sim.set_search_lag(Duration::ZERO);
    assert_eq!(by("p-9".to_string()).await.ids(), [made.subscription.as_str()]);
    let request = SearchSubscription::new("metadata['profileId']:'p-9'").expand(["data.customer".to_string()]);
    let page = bench.ask(request).await;
    assert!(page.data[0].customer.as_object().is_some_and(|c| c.name.as_deref() == Some("Newcomer")));
}

#[tokio::test]
async fn a_query_that_stripe_would_refuse_is_refused() {
    let bench = Bench::new(20).await;
    for (resource, query, sentence) in [
        ("subscriptions", "email:'x'", "Field `email` is an unsupported search field for resource `subscriptions`"),
        ("subscriptions", "status~'act'", "Operator `~` is not supported for field `status`"),
        ("subscriptions", "created>soon", "Invalid number"),
        ("subscriptions", "status:'a' OR status:'b' AND created>1", "You can't combine `AND` and `OR`"),
        ("customers", "name:'a' OR name:'b' email:'c'", "You can't combine `AND` and `OR`"),
        ("customers", "status:'active'", "Field `status` is an unsupported search field for resource `customers`"),
    ] {
        search(&bench, resource, query.to_string()).await.refused(400, "", sentence);
    }
    bench.get("/v1/subscriptions/search").await.refused(400, "parameter_missing", "Missing required param: query.");
    bench.get("/v1/subscriptions/search?query=status:%27active%27&page=x").await.refused(400, "", "Invalid page token");
}

#[tokio::test]
async fn one_profile_among_a_million_is_found_without_rendering_the_others() {
    let bench = Bench::new(1_000_000).await;
    let person = (400_000..).map(|n| bench.people.person(n)).find(|p| p.plan.is_some()).expect("somebody pays");
    let began = Instant::now();
    let found = search(&bench, "subscriptions", format!("metadata['profileId']:'{}'", person.profile)).await;
    assert_eq!(found.ids(), [person.plan.expect("pays").subscription]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
