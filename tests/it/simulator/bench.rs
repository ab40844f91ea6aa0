//! A running simulator, a client for it, and what a test asks of an answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use nightdesk::sandbox::population::{PRICE_PRO_MONTH, Person, Population};
use nightdesk::sandbox::stripe::{CheckedOut, NewCheckout, Simulator, SimulatorOptions};
use reqwest::Method;
use serde_json::Value;
use stripe_client_core::{StripeMethod, StripeRequest};

pub struct Bench {
    pub sim: Simulator,
    pub people: Arc<Population>,
    pub http: reqwest::Client,
    pub key: String,
}

impl Bench {
    pub async fn new(customers: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let people = Arc::new(Population::new(42, customers, Utc::now()));
        let sim = Simulator::start(SimulatorOptions::new(people.clone())).await.expect("starts");
        let key = sim.secret_key();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { sim, people, http, key }
    }

    pub fn born(&self) -> DateTime<Utc> {
        self.people.born()
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.sim.base_url())).bearer_auth(&self.key)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.expect("a body") }
    }

    /// Sends what the client library built, and decodes the answer into what it promises.
    pub async fn ask<R: StripeRequest>(&self, request: R) -> R::Output
    where
        R::Output: miniserde::Deserialize,
    {
        let built = request.build();
        let method = match built.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let query = built.query.map(|q| format!("?{q}")).unwrap_or_default();
        let request = self.request(method, &format!("/v1{}{query}", built.path)).body(built.body.unwrap_or_default());
        let reply = self.send(request).await;
        miniserde::json::from_str(&reply.text).unwrap_or_else(|_| panic!("{} {query}: {}", built.path, reply.text))
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, form: &str, key: Option<&str>) -> Reply {
        let mut request = self.request(Method::POST, path).body(form.to_string());
        request = request.header("Content-Type", "application/x-www-form-urlencoded");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.send(request).await
    }

    pub fn paying(&self, status: &str) -> Person {
        let found = (0..self.people.len()).map(|n| self.people.person(n)).find(|p| p.plan.as_ref().is_some_and(|x| x.status == status));
        found.unwrap_or_else(|| panic!("somebody is {status}"))
    }

    pub fn checkout(&self, number: u64, new_customer: bool) -> CheckedOut {
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
    pub async fn walk(&self, path: &str) -> Vec<String> {
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

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    pub fn ids(&self) -> Vec<String> {
        let body = self.json();
        let data = body["data"].as_array().unwrap_or_else(|| panic!("a list: {body}"));
        data.iter().map(|v| v["id"].as_str().expect("an id").to_string()).collect()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str, message: &str) {
        let error = &self.json()["error"];
        assert_eq!(self.status, status, "{error}");
        assert_eq!(error["code"].as_str().unwrap_or_default(), code, "{error}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains(message)), "{error}");
    }
}
