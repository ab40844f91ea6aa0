//! Webhook deliveries: signed posts to the endpoints, each attempt on record. When to try again is decided by whoever asks.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::endpoint::{Endpoint, signature};
use super::server::Shared;

/// How much of an endpoint's answer is kept.
const BODY_KEPT: usize = 1_024;
const ATTEMPTS_KEPT: usize = 10_000;
const AT_ONCE: usize = 4;

/// One attempt to deliver one event to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryResult {
    pub event: String,
    pub endpoint: String,
    pub at: DateTime<Utc>,
    /// `None`: there was no answer; `error` says why.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub ms: u64,
    /// The first kilobyte of the answer.
    pub body: String,
}

impl DeliveryResult {
    /// Only 2xx counts as delivered; a redirect does not.
    pub fn delivered(&self) -> bool {
        self.status.is_some_and(|s| (200..300).contains(&s))
    }
}

/// An event on its way: to one endpoint, or to all that want it.
#[derive(Debug)]
pub struct Parcel {
    pub event: String,
    pub endpoint: Option<String>,
}

/// Delivers what is posted, a few at once and in no guaranteed order, until the simulator stops.
pub async fn carry(shared: Arc<Shared>, mut parcels: mpsc::Receiver<Parcel>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    loop {
        let parcel = tokio::select! {
            () = shared.stop.cancelled() => break,
            parcel = parcels.recv() => parcel,
        };
        let Some(parcel) = parcel else { break };
        let permit = tokio::select! {
            () = shared.stop.cancelled() => break,
            permit = permits.clone().acquire_owned() => permit,
        };
        let shared = shared.clone();
        running.spawn(async move {
            let _held = permit;
            deliver(&shared, &parcel.event, parcel.endpoint.as_deref()).await;
        });
        while running.try_join_next().is_some() {}
    }
}

/// Delivers an event to the endpoint named, or to every endpoint that wants it. Returns the last attempt.
pub async fn deliver(shared: &Shared, event: &str, endpoint: Option<&str>) -> DeliveryResult {
    let (payload, targets) = {
        let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let payload = state.live(event, "event");
        let kind = payload.as_ref().and_then(|e| e["type"].as_str()).unwrap_or_default().to_string();
        let wanted = |e: &&Endpoint| endpoint.map_or_else(|| e.wants(&kind), |id| e.id == id);
        let targets: Vec<Endpoint> = state.endpoints.iter().filter(wanted).cloned().collect();
        (payload, targets)
    };
    let nowhere = |why: &str| DeliveryResult {
        event: event.to_string(),
        endpoint: endpoint.unwrap_or_default().to_string(),
        at: Utc::now(),
        status: None,
        error: Some(why.to_string()),
        ms: 0,
        body: String::new(),
    };
    let Some(payload) = payload else { return nowhere("there is no such event") };
    let payload = payload.to_string();
    let mut last = nowhere("no enabled webhook endpoint wants this event");
    for target in targets {
        last = attempt(shared, event, &target, &payload).await;
        record(shared, &last);
    }
    last
}

async fn attempt(shared: &Shared, event: &str, endpoint: &Endpoint, payload: &str) -> DeliveryResult {
    let at = Utc::now();
    let mut result = DeliveryResult {
        event: event.to_string(),
        endpoint: endpoint.id.clone(),
        at,
        status: None,
        error: None,
        ms: 0,
        body: String::new(),
    };
    if !is_loopback(&endpoint.url) {
        result.error = Some("the sandbox delivers to loopback addresses only".to_string());
        return result;
    }
    let began = Instant::now();
    let request = shared
        .http
        .post(&endpoint.url)
        .timeout(shared.delivery_timeout())
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("Stripe-Signature", signature(&endpoint.secret, at.timestamp(), payload))
        .body(payload.to_string());
    match request.send().await {
        Ok(mut response) => {
            result.status = Some(response.status().as_u16());
            let mut body = Vec::new();
            while body.len() < BODY_KEPT {
                match response.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => break,
                    Err(e) => {
                        result.error = Some(e.without_url().to_string());
                        break;
                    }
                }
            }
            body.truncate(BODY_KEPT);
            result.body = String::from_utf8_lossy(&body).into_owned();
        }
        Err(e) if e.is_timeout() => result.error = Some("timed out".to_string()),
        Err(e) if e.is_connect() => result.error = Some("could not connect".to_string()),
        Err(e) => result.error = Some(e.without_url().to_string()),
    }
    result.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    result
}

fn record(shared: &Shared, result: &DeliveryResult) {
    if result.delivered() {
        shared.state.write().unwrap_or_else(PoisonError::into_inner).delivered(&result.event, &result.endpoint);
    }
    let mut attempts = shared.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    if attempts.len() == ATTEMPTS_KEPT {
        attempts.pop_front();
    }
    attempts.push_back(result.clone());
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The time Stripe gives an endpoint to answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_machine() {
        for (url, here) in [
            ("http://127.0.0.1:3001/webhooks/stripe", true),
            ("http://localhost/x", true),
            ("http://[::1]:9/x", true),
            ("https://example.com/x", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1/", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), here, "{url}");
        }
    }
}
