//! A webhook endpoint: where events go, which ones, and with which secret they are signed.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::state::API_VERSION;

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    pub secret: String,
    pub enabled: bool,
    /// Names, `prefix.*`, or `*`.
    pub events: Vec<String>,
    /// Unix seconds.
    pub created: i64,
}

impl Endpoint {
    pub fn wants(&self, kind: &str) -> bool {
        self.enabled && self.subscribes(kind)
    }

    pub fn subscribes(&self, kind: &str) -> bool {
        self.events.iter().any(|pattern| matches_type(pattern, kind))
    }

    pub fn object(&self) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": null,
            "created": self.created,
            "description": "The product's own endpoint",
            "enabled_events": self.events,
            "livemode": false,
            "metadata": {},
            "status": if self.enabled { "enabled" } else { "disabled" },
            "url": self.url
        })
    }
}

/// `charge.*` matches `charge.refunded` and `charge.dispute.created`; `*` matches everything.
pub fn matches_type(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

/// The value of `Stripe-Signature`: the key is the whole `whsec_…` text, the message `{at}.{payload}`.
pub fn signature(secret: &str, at: i64, payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: HMAC takes a key of any length");
    mac.update(format!("{at}.{payload}").as_bytes());
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}
