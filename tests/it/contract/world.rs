//! A simulator to ask, and the objects a request needs to exist before it can be made, each made over the API. Which request needs what is
//! not here.

use std::collections::HashMap;
use std::sync::LazyLock;

use nightdesk::sandbox::stripe::endpoints;
use reqwest::Method;
use serde_json::Value;

use super::table::{Type, table};

use crate::simulator::bench::{Bench, Reply};

pub struct World {
    pub bench: Bench,
}

/// A payment that needs no page to return to.
pub const BY_CARD: &str = "automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never";

/// Sending an event again: no client library has it, so that the contract does not either.
const RETRY: &str = "POST /v1/events/{id}/retry";

/// What the contract has and the simulator does not, and why.
const UNSERVED: [(&str, &str); 3] = [
    ("GET /v1/customers/{id}/payment_methods/{sub}", "the payment method itself is served, under its own path"),
    ("POST /v1/charges", "payments are made through payment intents"),
    ("POST /v1/charges/{id}/capture", "payments are captured through payment intents"),
];

/// An endpoint the simulator serves.
#[derive(Debug, Clone)]
pub struct Served {
    pub method: Method,
    /// `/v1/customers/{id}`.
    pub path: String,
    /// Patterns: `limit`, `expand[]`, `metadata{}`, `created<>`, `items[].price`, `details.comment`.
    pub params: &'static [&'static str],
}

impl Served {
    /// Everything the contract has but what is listed as unserved: an endpoint that went missing is missed here.
    pub fn all() -> Vec<Self> {
        let mut served: HashMap<String, Self> = served().map(|s| (s.name(), s)).collect();
        let unserved = |name: &str| UNSERVED.iter().any(|(n, _)| *n == name);
        let promised = table().endpoints.keys().map(String::as_str).filter(|name| !unserved(name)).chain([RETRY]);
        promised.map(|name| served.remove(name).unwrap_or_else(|| panic!("{name} is not served"))).collect()
    }

    /// As the table calls it.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it is this endpoint that answers there. Searches stand before what `{id}` takes, as the simulator has them.
    pub fn name_matches(&self, method: &str, path: &str) -> bool {
        let same = |(ours, theirs): (&str, &str)| ours == theirs || (ours == "{id}" && !theirs.is_empty());
        self.method == *method
            && self.path.split('/').count() == path.split('/').count()
            && self.path.split('/').zip(path.split('/')).all(same)
    }

    pub fn takes(&self, name: &str) -> bool {
        self.params.iter().any(|pattern| pattern.split(['[', '{', '<', '.']).next() == Some(name))
    }

    /// What the contract says it answers.
    pub fn returns(&self) -> &'static [Type] {
        static EVENT: LazyLock<Vec<Type>> = LazyLock::new(|| vec![Type::Shape("Event".into())]);
        if self.name() == RETRY {
            return &EVENT;
        }
        &table().endpoints.get(&self.name()).unwrap_or_else(|| panic!("{} is not in the table", self.name())).returns
    }

    pub fn by_id(&self) -> bool {
        self.path.contains("{id}")
    }

    /// The path of its collection: `/v1/customers` of `/v1/customers/{id}`.
    pub fn collection(&self) -> &str {
        self.path.split("/{id}").next().expect("a first part")
    }
}

fn served() -> impl Iterator<Item = Served> {
    endpoints().map(|(method, path, params)| Served { method: method.parse().expect("a method"), path: format!("/v1/{path}"), params })
}

#[test]
fn what_is_served_is_the_contract_but_for_what_is_listed() {
    let all: Vec<String> = Served::all().iter().map(Served::name).collect();
    let beyond: Vec<String> = served().map(|s| s.name()).filter(|name| !all.contains(name)).collect();
    assert!(beyond.is_empty(), "served, and not in the contract: {beyond:?}");
    for (name, why) in UNSERVED {
        assert!(table().endpoints.contains_key(name), "{name} is not in the contract: nobody need explain that {why}");
    }
}

impl World {
    pub async fn new() -> Self {
        let bench = Bench::new(120).await;
        // Nobody listens there, and nothing is sent: automatic delivery is off.
        bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
        Self { bench }
    }

    /// Sends a form, in the query for GET and in the body otherwise.
    pub async fn call(&self, method: &Method, path: &str, form: &str, key: Option<&str>) -> Reply {
        let request = match *method {
            Method::GET if form.is_empty() => self.bench.request(method.clone(), path),
            Method::GET => self.bench.request(method.clone(), &format!("{path}?{form}")),
            _ => {
                self.bench.request(method.clone(), path).header("Content-Type", "application/x-www-form-urlencoded").body(form.to_string())
            }
        };
        self.bench.send(key.iter().fold(request, |r, k| r.header("Idempotency-Key", *k))).await
    }

    /// Posts what has to succeed, and returns the object.
    pub async fn make(&self, path: &str, form: &str) -> Value {
        let reply = self.call(&Method::POST, path, form, None).await;
        assert_eq!(reply.status, 200, "POST {path} {form}: {}", reply.text);
        reply.json()
    }

    pub async fn make_id(&self, path: &str, form: &str) -> String {
        id(&self.make(path, form).await)
    }

    /// The first element of a list.
    pub async fn first(&self, list: &str) -> String {
        let reply = self.bench.get(list).await;
        assert_eq!(reply.status, 200, "{list}: {}", reply.text);
        reply.ids().first().unwrap_or_else(|| panic!("{list} has elements")).clone()
    }

    pub async fn customer(&self) -> String {
        self.make_id("/v1/customers", "name=Ada&email=ada%40example.com").await
    }

    pub async fn product(&self) -> String {
        self.make_id("/v1/products", "name=Archive").await
    }

    pub async fn price(&self) -> String {
        let product = self.product().await;
        self.make_id("/v1/prices", &format!("product={product}&currency=eur&unit_amount=700&recurring[interval]=month")).await
    }

    /// A customer who can pay, and the payment method.
    pub async fn payer(&self) -> (String, String) {
        let customer = self.customer().await;
        let method = self.make_id("/v1/payment_methods/pm_card_visa/attach", &format!("customer={customer}")).await;
        (customer, method)
    }

    pub async fn subscription(&self) -> String {
        let ((customer, method), price) = (self.payer().await, self.price().await);
        self.make_id("/v1/subscriptions", &format!("customer={customer}&items[0][price]={price}&default_payment_method={method}")).await
    }

    pub async fn draft(&self) -> String {
        let (customer, method) = self.payer().await;
        self.make_id("/v1/invoices", &format!("customer={customer}&default_payment_method={method}")).await
    }

    pub async fn invoice_item(&self) -> String {
        self.make_id("/v1/invoiceitems", &format!("customer={}&amount=500&currency=eur", self.customer().await)).await
    }

    /// A customer for whom something waits to be billed.
    pub async fn billed(&self) -> String {
        let customer = self.customer().await;
        self.make("/v1/invoiceitems", &format!("customer={customer}&amount=500&currency=eur")).await;
        customer
    }

    pub async fn open_invoice(&self) -> String {
        let subscription = self.subscription().await;
        self.bench.sim.fail_renewal(&subscription, chrono::Utc::now()).expect("the subscription exists");
        self.first(&format!("/v1/invoices?subscription={subscription}&status=open")).await
    }

    /// A payment intent with this test payment method, and what else its form says.
    pub async fn intent(&self, method: &str, more: &str) -> Value {
        self.make("/v1/payment_intents", &format!("amount=1500&currency=eur&payment_method={method}&{BY_CARD}{more}")).await
    }

    /// A payment that went through.
    pub async fn paid(&self, method: &str) -> Value {
        self.intent(method, "&confirm=true").await
    }

    pub async fn refund(&self) -> String {
        let intent = id(&self.paid("pm_card_visa").await);
        self.make_id("/v1/refunds", &format!("payment_intent={intent}&amount=500")).await
    }

    pub async fn dispute(&self) -> String {
        let intent = id(&self.paid("pm_card_createDispute").await);
        // The bank takes a moment.
        self.bench.sim.advance(std::time::Duration::from_secs(60));
        self.first(&format!("/v1/disputes?payment_intent={intent}")).await
    }

    pub async fn endpoint(&self) -> String {
        self.make_id("/v1/webhook_endpoints", "url=http%3A%2F%2F127.0.0.1%3A9%2Fhook&enabled_events[]=*").await
    }

    /// A session nobody has paid yet.
    pub async fn session(&self) -> String {
        let price = self.price().await;
        self.make_id(
            "/v1/checkout/sessions",
            &format!(
                "mode=subscription&line_items[0][price]={price}&line_items[0][quantity]=1&success_url=https%3A%2F%2Fexample.com%2Fdone"
            ),
        )
        .await
    }

    /// A job that is ready, or failed: this customer still pays.
    pub async fn redaction_job(&self, customer: &str) -> String {
        let job = self.make_id("/v1/privacy/redaction_jobs", &format!("objects[customers][]={customer}")).await;
        self.bench.sim.advance(std::time::Duration::from_secs(60));
        job
    }

    /// A job that failed.
    pub async fn failed_job(&self) -> String {
        let customer = self.bench.paying("active").customer.expect("who pays has one");
        self.redaction_job(&customer).await
    }

    /// One of everything that only requests make, so that no list is empty.
    pub async fn furnish(&self) {
        self.refund().await;
        self.dispute().await;
        self.failed_job().await;
        self.endpoint().await;
    }
}

pub fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("an id: {object}")).to_string()
}
