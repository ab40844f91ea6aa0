//! A webhook endpoint as it is registered in Stripe, and what it should be.

use crate::domain::ids::StripeId;
use serde::{Deserialize, Serialize};

/// A webhook endpoint as it is registered in Stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: StripeId,
    pub url: String,
    pub enabled: bool,
    /// `None`: the account's default.
    pub api_version: Option<String>,
    /// What it is subscribed to; `*` is everything.
    pub events: Vec<String>,
    pub livemode: bool,
}

/// The types that the application acts upon: only these change a row.
pub const HANDLED: &[&str] =
    &["customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "invoice.payment_failed"];

impl Endpoint {
    /// Whether it is the one for this URL, whatever its trailing slash.
    #[must_use]
    pub fn is_for(&self, url: &str) -> bool {
        self.url.trim_end_matches('/') == url.trim_end_matches('/')
    }

    #[must_use]
    pub fn subscribes_to(&self, kind: &str) -> bool {
        self.events.iter().any(|e| e == "*" || e == kind)
    }

    /// The handled types that it does not get.
    #[must_use]
    pub fn lacks(&self) -> Vec<&'static str> {
        HANDLED.iter().copied().filter(|kind| !self.subscribes_to(kind)).collect()
    }
}
