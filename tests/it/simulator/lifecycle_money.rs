//! The life of money: payments, refunds, disputes and redaction, driven over HTTP and held against the documented events.

mod disputes;
mod payments;
mod redaction;
mod refunds;

use std::time::Duration;

use serde_json::Value;

use super::bench::{Bench, Reply};
use crate::contract::conform::conform;

/// A simulator on which everything that happens is told from its start.
struct Tale {
    bench: Bench,
    /// The newest event that was told already.
    told: Option<String>,
}

impl Tale {
    async fn new() -> Self {
        let bench = Bench::new(120).await;
        let newest = bench.get("/v1/events?limit=1").await.ids();
        Self { bench, told: newest.first().cloned() }
    }

    async fn post(&self, path: &str, form: &str) -> Reply {
        self.bench.post(&format!("/v1/{path}"), form, None).await
    }

    /// Posts what has to succeed.
    #[track_caller]
    fn make(&self, path: &str, form: &str) -> impl Future<Output = Value> {
        let (path, form) = (path.to_string(), form.to_string());
        async move {
            let reply = self.post(&path, &form).await;
            assert_eq!(reply.status, 200, "POST {path} {form}: {}", reply.text);
            conforming(reply.json())
        }
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.bench.get(&format!("/v1/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        conforming(reply.json())
    }

    /// A confirmed payment of 50 euros with one of the test cards.
    async fn pay(&self, card: &str) -> Value {
        self.make("payment_intents", &format!("amount=5000&currency=eur&payment_method={card}&confirm=true")).await
    }

    /// The charge of a payment that went through, with the events of paying told.
    async fn charge(&mut self, card: &str) -> String {
        let intent = self.pay(card).await;
        self.pass(Duration::from_secs(2));
        self.events().await;
        intent["latest_charge"].as_str().expect("a charge").to_string()
    }

    fn pass(&self, time: Duration) {
        self.bench.sim.advance(time);
    }

    /// What happened since the last time, oldest first.
    async fn events(&mut self) -> Vec<Value> {
        let beyond = self.told.as_ref().map(|id| format!("&ending_before={id}")).unwrap_or_default();
        let page = self.get(&format!("events?limit=100{beyond}")).await;
        let mut events = page["data"].as_array().expect("a list").clone();
        if let Some(newest) = events.first() {
            self.told = newest["id"].as_str().map(str::to_string);
        }
        events.reverse();
        events
    }

    /// The types of what happened since the last time, oldest first.
    async fn types(&mut self) -> Vec<String> {
        self.events().await.iter().map(|e| e["type"].as_str().expect("a type").to_string()).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Holds an object, or each of a list, against the contract.
fn conforming(answer: Value) -> Value {
    for object in answer["data"].as_array().unwrap_or(&vec![answer.clone()]) {
        let kind = text(&object["object"]);
        assert_eq!(conform(&kind, object), [], "{object}");
    }
    answer
}

/// In any order, where Stripe documents none.
fn sorted<S: Into<String>>(types: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut types: Vec<String> = types.into_iter().map(Into::into).collect();
    types.sort();
    types
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}")).to_string()
}

/// What an account in euros has: available, and pending.
async fn balance(tale: &Tale) -> (i64, i64) {
    let balance = tale.get("balance").await;
    let euros = |part: &str| balance[part][0]["amount"].as_i64().expect("an amount");
    (euros("available"), euros("pending"))
}
