//! The console's Stripe client against the simulator, over HTTP: every read, every way it can go wrong.

use crate::bench::{Bench, Options};
use chrono::{Duration, Utc};
use nightdesk::config::Config;
use nightdesk::domain::fault::{Fault, FaultKind};
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::domain::stripe::{Customer, Status, Subscription};
use nightdesk::gateway::stripe::Stripe;
use nightdesk::protocol::query::{EventRange, NeedleText, Query, Reply};
use nightdesk::sandbox::stripe::{Effect, NewCheckout, Rule, When};
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::time::Instant;

fn client(bench: &Bench, key: Option<&str>) -> Stripe {
    let config = Config::load(None, None, &|name| match (name, key) {
        ("STRIPE_SECRET_KEY", Some(key)) => Some(key.to_string()),
        _ => bench.environment().into_iter().find(|(n, _)| *n == name && *n != "NIGHTDESK_CONFIG").map(|(_, v)| v),
    });
    Stripe::new(&config.expect("the bench's variables are a configuration")).expect("a key is given")
}

fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("an id")
}

async fn customers(stripe: &Stripe, query: Query) -> Vec<Customer> {
    match stripe.answer(&query).await.expect("an answer") {
        Reply::Customers(found) => found,
        other => panic!("{other:?}"),
    }
}

async fn subscriptions(stripe: &Stripe, of: &str) -> Vec<Subscription> {
    match stripe.answer(&Query::SubscriptionsOf(id(of))).await.expect("an answer") {
        Reply::Subscriptions(found) => found,
        other => panic!("{other:?}"),
    }
}

fn paying(bench: &Bench) -> (u64, String, String) {
    let of = |n| {
        let p = bench.population.person(n);
        p.customer.clone().zip(p.plan).filter(|(_, plan)| plan.status == "active").map(|(c, plan)| (n, c, plan.subscription))
    };
    (0..bench.population.len()).find_map(of).expect("somebody pays")
}

fn bought(bench: &Bench, number: u64, new_customer: bool) -> nightdesk::sandbox::stripe::CheckedOut {
    bench.simulator.checkout(NewCheckout {
        number,
        price: "price_pro_month".into(),
        client_reference_id: Some(bench.population.person(number).profile.to_string()),
        metadata: vec![("profileId".into(), bench.population.person(number).profile.to_string())],
        at: Utc::now() - Duration::minutes(10),
        new_customer,
    })
}

#[tokio::test]
async fn an_account_is_known_with_its_mode() {
    let bench = Bench::start(Options::default()).await;
    let account = client(&bench, None).account().await.expect("an account");
    assert!(!account.livemode && !account.name.is_empty());
}

#[tokio::test]
async fn a_subscription_comes_with_its_period_and_the_price_that_names_the_tier() {
    let bench = Bench::start(Options::default()).await;
    let (_, customer, subscription) = paying(&bench);
    let found = subscriptions(&client(&bench, None), &customer).await;
    let s = found.iter().find(|s| s.id.as_str() == subscription).expect("theirs");
    assert_eq!(s.status, Status::Active);
    let item = s.items.first().expect("an item");
    assert!(item.period.is_some() && item.price.interval.is_some() && item.price.unit_amount.is_some());
    assert!(item.price.metadata.contains_key("tier"), "{item:?}");
    assert!(item.price.product_metadata.is_empty(), "the product is asked only where nothing nearer names a tier: {item:?}");
}

#[tokio::test]
async fn every_kind_of_id_leads_to_its_customer() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    let made = bought(&bench, 7, true);
    let ways =
        [&made.customer, &made.subscribed.subscription, &made.subscribed.invoice, &made.session, &made.subscribed.subscription_created];
    for way in ways.into_iter().chain([&made.subscribed.invoice_payment]) {
        let found = customers(&stripe, Query::CustomerOf(id(way))).await;
        assert_eq!(found.first().map(|c| c.id.as_str()), Some(made.customer.as_str()), "{way}");
    }
    assert_eq!(customers(&stripe, Query::CustomerOf(id("sub_1neverissued"))).await, []);
    assert_eq!(customers(&stripe, Query::Customer(id("cus_neverissued1"))).await, []);
}

#[tokio::test]
async fn a_profile_is_found_by_address_and_by_metadata() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    bench.simulator.set_search_lag(std::time::Duration::ZERO);
    let made = bought(&bench, 7, true);
    let person = bench.population.person(7);
    let subject = SubjectKey(person.profile.to_string());
    let by_address = customers(&stripe, Query::CustomersFor { email: Some(person.email), subject: SubjectKey(String::new()) }).await;
    assert!(by_address.iter().any(|c| c.id.as_str() == made.customer), "{by_address:?}");
    let by_metadata = customers(&stripe, Query::CustomersFor { email: None, subject }).await;
    assert!(by_metadata.iter().any(|c| c.id.as_str() == made.customer), "{by_metadata:?}");
}

#[tokio::test]
async fn sessions_invoices_and_events_tell_who_paid() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    let made = bought(&bench, 7, true);
    let Reply::Sessions(sessions) = stripe.answer(&Query::SessionsOf(id(&made.customer))).await.expect("sessions") else { panic!() };
    assert_eq!(sessions[0].profile().map(|p| p.0), Some(bench.population.person(7).profile.to_string()));
    let Reply::Invoices(invoices) = stripe.answer(&Query::InvoicesOf(id(&made.customer))).await.expect("invoices") else { panic!() };
    assert_eq!((invoices[0].status.as_str(), invoices[0].total.to_string().as_str()), ("paid", "EUR 49.00"));
    assert_eq!(invoices[0].payments[0].intent.as_ref().map(StripeId::as_str), Some(made.subscribed.payment_intent.as_str()));
    assert_eq!(invoices[0].subscription.as_ref().map(StripeId::as_str), Some(made.subscribed.subscription.as_str()));
    let since = Utc::now() - Duration::hours(24);
    let range = EventRange { since, until: None, handled_only: true, undelivered_only: false, after: None };
    let answer = stripe.answer(&Query::EventPage(range.clone())).await.expect("events");
    let Reply::EventPage { events, raw, next, .. } = answer else { panic!("{answer:?}") };
    let event = events.iter().find(|e| e.id.as_str() == made.subscribed.subscription_created).expect("the event");
    assert_eq!(event.subscription.as_ref().map(|s| s.id.as_str()), Some(made.subscribed.subscription.as_str()));
    assert!(raw.is_empty() && next.is_none() && events.is_sorted_by(|a, b| a.created >= b.created));
    let owed = EventRange { undelivered_only: true, ..range };
    let Reply::EventPage { events: owed, .. } = stripe.answer(&Query::EventPage(owed)).await.expect("events") else { panic!() };
    let listed = events.iter().filter(|e| e.pending_webhooks > 0).map(|e| &e.id);
    assert_eq!(owed.iter().map(|e| &e.id).collect::<Vec<_>>(), listed.collect::<Vec<_>>(), "those of which a delivery is owed");
}

#[tokio::test]
async fn search_finds_by_address_name_and_id() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    let (number, customer, subscription) = paying(&bench);
    let person = bench.population.person(number);
    for term in [person.email.as_str(), person.name.as_str(), customer.as_str(), subscription.as_str()] {
        let query = Query::FindInStripe { needle: NeedleText(term.to_string()), limit: 20 };
        let Reply::Hits { hits, .. } = stripe.answer(&query).await.expect("hits") else { panic!() };
        assert!(hits.iter().any(|h| h.customer.as_deref() == Some(customer.as_str())), "{term}: {hits:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_permission_say_what_to_do() {
    let bench = Bench::start(Options::default()).await;
    let fault = client(&bench, Some("sk_test_wrong")).ping().await.expect_err("a wrong key");
    assert_eq!(fault.kind, FaultKind::Auth);
    let key = bench.simulator.restricted_key(&["rak_customer_read"]);
    let stripe = client(&bench, Some(&key));
    let (_, customer, _) = paying(&bench);
    let fault = stripe.answer(&Query::SubscriptionsOf(id(&customer))).await.expect_err("not permitted");
    assert_eq!(fault.kind, FaultKind::Permission { missing: Some("rak_subscription_read".into()) }, "{fault}");
    let missing: Vec<_> = stripe.permissions().await.into_iter().filter(|c| c.result.is_err()).map(|c| c.reads).collect();
    assert!(missing.contains(&"subscriptions") && !missing.contains(&"customers"), "{missing:?}");
}

#[tokio::test]
async fn a_hung_stripe_costs_five_seconds_and_only_the_read_that_hangs() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    bench.simulator.faults().add(Rule::always("/v1/invoices", Effect::Hang));
    let (_, customer, _) = paying(&bench);
    let begun = Instant::now();
    let invoices = Query::InvoicesOf(id(&customer));
    let (hung, other) = tokio::join!(stripe.answer(&invoices), async {
        let found = subscriptions(&stripe, &customer).await;
        (found, begun.elapsed())
    });
    assert!(matches!(hung, Err(Fault { kind: FaultKind::Timeout, .. })), "{hung:?}");
    assert!(!other.0.is_empty() && other.1 < begun.elapsed() / 2, "the other read did not wait: {:?}", other.1);
}

#[tokio::test]
async fn garbage_resets_and_limits_are_faults_of_their_own_class() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    let cases = [
        (Effect::Garbage { status: 200 }, FaultKind::Schema),
        (Effect::Garbage { status: 502 }, FaultKind::Unreachable),
        (Effect::Reset, FaultKind::Unreachable),
        (Effect::status(429), FaultKind::Limit),
        (Effect::Truncate, FaultKind::Unreachable),
    ];
    for (effect, kind) in cases {
        let rule = bench.simulator.faults().add(Rule::always("/v1/balance", effect.clone()));
        assert_eq!(stripe.ping().await.expect_err("struck").kind, kind, "{effect:?}");
        bench.simulator.faults().remove(rule);
    }
    stripe.ping().await.expect("back again");
}

#[tokio::test]
async fn a_read_that_broke_once_is_tried_once_more() {
    let bench = Bench::start(Options::default()).await;
    let stripe = client(&bench, None);
    bench.simulator.faults().add(Rule::always("/v1/balance", Effect::Reset).when(When::First(1)));
    stripe.ping().await.expect("the second attempt answers");
}

#[tokio::test]
async fn a_hostile_name_is_harmless_when_it_arrives() {
    let bench = Bench::start(Options::default()).await;
    let (_, customer, _) = paying(&bench);
    bench.simulator.set_customer_name(&customer, "\x1b[31m\x1b]52;c;aGk=\x07\u{202E}evil");
    let found = customers(&client(&bench, None), Query::Customer(id(&customer))).await;
    let name = found[0].name.clone().expect("a name");
    assert!(!name.chars().any(nightdesk::domain::text::is_hostile), "{name:?}");
}

/// A Stripe that answers every question with this list.
async fn answering(list: Value) -> Stripe {
    let router = axum::Router::new().fallback(move || async move { axum::Json(list) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(axum::serve(listener, router).into_future());
    let config = Config::load(None, None, &|name| match name {
        "STRIPE_API_BASE" => Some(base.clone()),
        "STRIPE_SECRET_KEY" => Some("sk_test_x".into()),
        _ => None,
    });
    Stripe::new(&config.expect("enough")).expect("a key is given")
}

#[tokio::test]
async fn whoever_has_more_subscriptions_than_are_read_is_judged_by_none_of_them() {
    let ended = json!({ "id": "sub_1AbcdefGHIJ", "object": "subscription", "customer": "cus_AbcdefGH", "status": "canceled",
        "created": 1_700_000_000, "items": { "data": [] } });
    // Behind these three hundred the one that pays may stand.
    let stripe = answering(json!({ "object": "list", "has_more": true, "data": vec![&ended; 100] })).await;
    let fault = stripe.answer(&Query::SubscriptionsOf(id("cus_AbcdefGH"))).await.expect_err("not all of them");
    assert!(fault.kind == FaultKind::TooMany && fault.say.contains("more than 300 subscriptions"), "{fault}");
    let mut cut = ended.clone();
    cut["items"]["has_more"] = json!(true);
    let stripe = answering(json!({ "object": "list", "has_more": false, "data": [&ended, &cut] })).await;
    let fault = stripe.answer(&Query::SubscriptionsOf(id("cus_AbcdefGH"))).await.expect_err("an item may be missing");
    assert_eq!(fault.kind, FaultKind::Schema, "{fault}");
}

#[tokio::test]
async fn an_unreadable_subscription_is_a_fault_and_an_unreadable_event_leaves_a_gap() {
    let ended = json!({ "id": "sub_1AbcdefGHIJ", "object": "subscription", "customer": "cus_AbcdefGH", "status": "canceled",
        "created": 1_700_000_000, "items": { "data": [] } });
    let mut paying = ended.clone();
    paying["status"] = json!({ "word": "active" });
    let list = |data: Vec<&Value>| json!({ "object": "list", "has_more": false, "data": data });
    let stripe = answering(list(vec![&ended])).await;
    assert_eq!(subscriptions(&stripe, "cus_AbcdefGH").await.len(), 1);
    let stripe = answering(list(vec![&ended, &paying])).await;
    let fault = stripe.answer(&Query::SubscriptionsOf(id("cus_AbcdefGH"))).await.expect_err("the one that pays cannot be read");
    assert_eq!(fault.kind, FaultKind::Schema, "{fault}");

    let event = json!({ "id": "evt_1AbcdefGHIJ", "type": "customer.subscription.updated", "created": 1_700_000_000,
        "data": { "object": ended } });
    for (data, odd) in [(vec![&event], 0), (vec![&event, &ended], 1)] {
        let stripe = answering(list(data)).await;
        let range = EventRange { since: Utc::now(), until: None, handled_only: true, undelivered_only: false, after: None };
        let Reply::EventPage { events, raw, .. } = stripe.answer(&Query::EventPage(range)).await.expect("events") else { panic!() };
        assert_eq!((events.len(), raw.len()), (1, odd));
    }
}
