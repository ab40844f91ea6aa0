//! One attempt: a signed post to one endpoint, and what came back. What follows from it is decided elsewhere.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::super::endpoint::{self, Endpoint};
use super::super::shared::Shared;
use super::DeliveryResult;

/// How much of an endpoint's answer is kept.
const BODY_KEPT: usize = 1_024;

/// `at` is the simulator's time, for the record; the signature bears the machine's.
pub async fn attempt(shared: &Shared, event: &str, endpoint: &Endpoint, payload: String, at: DateTime<Utc>) -> DeliveryResult {
    let mut result = DeliveryResult::unsent(event, &endpoint.id, at, "the sandbox delivers to loopback addresses only");
    if !is_loopback(&endpoint.url) {
        return result;
    }
    result.error = None;
    let began = Instant::now();
    let signature = endpoint::header(&endpoint.secrets(shared.clock.now()), Utc::now().timestamp(), &payload);
    let request = shared
        .http
        .post(&endpoint.url)
        .timeout(Duration::from_millis(shared.delivery.get().timeout_ms))
        .header("Accept", "*/*; q=0.5, application/xml")
        .header("Cache-Control", "no-cache")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("Stripe-Signature", signature)
        .body(payload);
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

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

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
