//! A webhook endpoint: where events go, which ones, and with which secrets they are signed.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// What is wanted of a new endpoint.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    pub id: String,
    pub url: String,
    pub secret: String,
    /// Names, `prefix.*`, or `*`.
    pub events: Vec<String>,
    /// Unix seconds.
    pub created: i64,
    /// `None`: the account's own version.
    pub api_version: Option<String>,
    pub description: Option<String>,
    pub metadata: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    pub enabled: bool,
    pub events: Vec<String>,
    pub created: i64,
    pub api_version: Option<String>,
    pub description: Option<String>,
    pub metadata: Map<String, Value>,
    /// The first failure since the last success, by the simulator's clock.
    pub failing_since: Option<DateTime<Utc>>,
    pub warned: bool,
    /// The newest last.
    secrets: Vec<Secret>,
}

#[derive(Debug, Clone)]
struct Secret {
    text: String,
    /// `None`: until it is replaced.
    until: Option<DateTime<Utc>>,
}

impl Endpoint {
    pub fn new(new: NewEndpoint) -> Self {
        Self {
            id: new.id,
            url: new.url,
            enabled: true,
            events: new.events,
            created: new.created,
            api_version: new.api_version,
            description: new.description,
            metadata: new.metadata,
            failing_since: None,
            warned: false,
            secrets: vec![Secret { text: new.secret, until: None }],
        }
    }

    pub fn wants(&self, kind: &str) -> bool {
        self.enabled && self.subscribes(kind)
    }

    pub fn subscribes(&self, kind: &str) -> bool {
        self.events.iter().any(|pattern| matches_type(pattern, kind))
    }

    /// Turning it on again forgets how long it failed.
    pub fn enable(&mut self, on: bool) {
        if on && !self.enabled {
            self.failing_since = None;
            self.warned = false;
        }
        self.enabled = on;
    }

    /// The secrets in force, the newest first: two while a replaced one has not expired.
    pub fn secrets(&self, now: DateTime<Utc>) -> Vec<&str> {
        self.secrets.iter().rev().filter(|s| s.until.is_none_or(|until| now < until)).map(|s| s.text.as_str()).collect()
    }

    /// The newest secret.
    pub fn secret(&self) -> &str {
        self.secrets.last().map_or("", |s| s.text.as_str())
    }

    /// A new secret; the one before it stays in force until then, any older one ends.
    pub fn rotate(&mut self, secret: String, old_until: DateTime<Utc>) {
        let mut old = self.secrets.pop();
        if let Some(old) = &mut old {
            old.until = Some(old_until);
        }
        self.secrets = old.into_iter().chain([Secret { text: secret, until: None }]).collect();
    }

    pub fn object(&self) -> Value {
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": self.api_version,
            "application": null,
            "created": self.created,
            "description": self.description,
            "enabled_events": self.events,
            "livemode": false,
            "metadata": self.metadata,
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
    format!("t={at},v1={}", mac(secret, at, payload))
}

/// As test mode sends it: one `v1` for each secret in force, and a `v0` that fits none, which receivers must ignore.
pub fn header(secrets: &[&str], at: i64, payload: &str) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        header.push_str(&format!(",v1={}", mac(secret, at, payload)));
    }
    header.push_str(&format!(",v0={}", mac("v0", at, payload)));
    header
}

fn mac(secret: &str, at: i64, payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: HMAC takes a key of any length");
    mac.update(format!("{at}.{payload}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}
