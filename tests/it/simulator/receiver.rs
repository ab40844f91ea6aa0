//! A small webhook endpoint: what arrived at it, and what it answers next.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

#[derive(Clone, Default)]
pub struct Receiver(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    got: Vec<Got>,
    answer: (u16, String),
}

/// One delivery.
#[derive(Debug, Clone)]
pub struct Got {
    pub signature: String,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

impl Receiver {
    /// Listens, and says where; it answers 200 until told otherwise.
    pub async fn start(&self) -> String {
        self.answer(200, "ok");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/webhooks/stripe", listener.local_addr().expect("bound"));
        let here = self.clone();
        let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
            let signature = headers["stripe-signature"].to_str().expect("text").to_string();
            let mut inside = here.0.lock().expect("whole");
            inside.got.push(Got { signature, body });
            let (status, text) = inside.answer.clone();
            (StatusCode::from_u16(status).expect("a status"), text)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    pub fn answer(&self, status: u16, text: &str) {
        self.0.lock().expect("whole").answer = (status, text.to_string());
    }

    pub fn got(&self) -> Vec<Got> {
        self.0.lock().expect("whole").got.clone()
    }

    /// The ids of the events that arrived, in order.
    pub fn ids(&self) -> Vec<String> {
        self.got().iter().map(|g| g.json()["id"].as_str().expect("an id").to_string()).collect()
    }
}
