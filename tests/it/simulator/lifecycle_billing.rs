//! The life of subscriptions and invoices, driven over HTTP and by the clock, and held against the events Stripe documents.

mod changes;
mod invoices;
mod refusals;
mod subscriptions;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::bench::{Bench, Reply};
use crate::contract::conform::{assert_none, conform};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A simulator on which everything that happens is told once.
struct Story {
    bench: Bench,
    told: Option<String>,
}

/// What happened in one step, oldest first.
struct Told(Vec<Value>);

impl Story {
    async fn new() -> Self {
        Self::among(120).await
    }

    /// Among so many people.
    async fn among(people: u64) -> Self {
        let bench = Bench::new(people).await;
        let told = bench.get("/v1/events?limit=1").await.ids().first().cloned();
        Self { bench, told }
    }

    async fn post(&self, path: &str, form: &str) -> Reply {
        self.bench.post(&format!("/v1/{path}"), form, None).await
    }

    /// Posts what has to succeed and to be in the contract's shape.
    async fn make(&self, path: &str, form: &str) -> Value {
        let reply = self.post(path, form).await;
        assert_eq!(reply.status, 200, "POST {path} {form}: {}", reply.text);
        shaped(reply.json())
    }

    async fn delete(&self, path: &str, form: &str) -> Reply {
        self.bench.send(self.bench.request(Method::DELETE, &format!("/v1/{path}")).body(form.to_string())).await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.bench.get(&format!("/v1/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json()
    }

    fn pass(&self, time: Duration) {
        self.bench.sim.advance(time);
    }

    /// A customer with this test card as their default.
    async fn customer(&self, card: &str) -> String {
        let customer = text(&self.make("customers", "name=Ada&email=ada%40example.com").await["id"]);
        let method = self.make(&format!("payment_methods/{card}/attach"), &format!("customer={customer}")).await;
        let form = format!("invoice_settings[default_payment_method]={}", text(&method["id"]));
        self.make(&format!("customers/{customer}"), &form).await;
        customer
    }

    /// Their default becomes another card.
    async fn change_card(&self, customer: &str, card: &str) -> String {
        let method = text(&self.make(&format!("payment_methods/{card}/attach"), &format!("customer={customer}")).await["id"]);
        self.make(&format!("customers/{customer}"), &format!("invoice_settings[default_payment_method]={method}")).await;
        method
    }

    /// An active subscription by the month, with its events told.
    async fn subscribed(&mut self, card: &str) -> (String, String) {
        let customer = self.customer(card).await;
        let made = self.make("subscriptions", &format!("customer={customer}&items[0][price]=price_pro_month")).await;
        assert_eq!(made["status"], "active");
        self.told().await;
        (customer, text(&made["id"]))
    }

    /// What happened since the last time.
    async fn told(&mut self) -> Told {
        let mut events = Vec::new();
        loop {
            let beyond = self.told.as_ref().map(|id| format!("&ending_before={id}")).unwrap_or_default();
            let page = self.get(&format!("events?limit=100{beyond}")).await;
            let mut some = page["data"].as_array().expect("a list").clone();
            some.reverse();
            if let Some(newest) = some.last() {
                self.told = Some(text(&newest["id"]));
            }
            events.extend(some);
            if page["has_more"] != true {
                break;
            }
        }
        for event in &events {
            shaped(event["data"]["object"].clone());
        }
        Told(events)
    }
}

impl Told {
    fn types(&self) -> Vec<&str> {
        self.0.iter().map(|e| e["type"].as_str().expect("a type")).collect()
    }

    /// The types in no order, each with how often it came.
    #[track_caller]
    fn are(&self, expected: &[&str]) {
        let count = |types: Vec<&str>| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            types.into_iter().for_each(|t| *counts.entry(t.to_string()).or_default() += 1);
            counts
        };
        assert_eq!(count(self.types()), count(expected.to_vec()), "in this order: {:?}", self.types());
    }

    /// These came one after the other, whatever came between them.
    #[track_caller]
    fn in_order(&self, expected: &[&str]) {
        let mut rest = expected.iter();
        let mut next = rest.next();
        for kind in self.types() {
            if next == Some(&kind) {
                next = rest.next();
            }
        }
        assert_eq!(next, None, "in order in {:?}", self.types());
    }

    #[track_caller]
    fn of(&self, kind: &str) -> &Value {
        self.0.iter().find(|e| e["type"] == kind).unwrap_or_else(|| panic!("{kind} in {:?}", self.types()))
    }

    #[track_caller]
    fn object(&self, kind: &str) -> &Value {
        &self.of(kind)["data"]["object"]
    }

    #[track_caller]
    fn previous(&self, kind: &str) -> &Value {
        &self.of(kind)["data"]["previous_attributes"]
    }
}

/// What a payment that goes through tells besides its invoice's events.
const PAYMENT: [&str; 3] = ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"];
/// What an invoice that is paid tells once it is final.
const PAID: [&str; 3] = ["invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"];

fn all(parts: &[&[&'static str]]) -> Vec<&'static str> {
    parts.concat()
}

#[track_caller]
fn shaped(object: Value) -> Value {
    if let Some(kind) = object["object"].as_str() {
        assert_none(conform(kind, &object));
    }
    object
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_string()
}

#[track_caller]
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a number: {value}"))
}
