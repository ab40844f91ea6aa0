//! The client: sends what async-stripe's request types describe, and keeps what its own client drops: status, headers, raw answers.

use super::budget::Budget;
use super::fault::{classify, transport};
use crate::config::Config;
use crate::config::secret::Credential;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::StripeId;
use crate::domain::stripe::Metadata;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use tokio::sync::{Mutex, Semaphore};

/// A handle on one account, cheap to clone. It opens no connection before the first read.
#[derive(Clone)]
pub struct Stripe {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    http: reqwest::Client,
    base: String,
    key: Credential,
    /// Six calls at once: what a person waits for is quick, and what production has left stays production's.
    at_once: Semaphore,
    pub(super) background: Budget,
    /// Product metadata by product, since a list of subscriptions cannot expand that deep. It changes about never.
    pub(super) products: Mutex<HashMap<StripeId, Metadata>>,
}

const CALLS_AT_ONCE: usize = 6;
/// How long one attempt may take. A hung Stripe costs this, and only the reads that need it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Stripe {
    /// # Errors
    /// [`FaultKind::NotSetUp`] without a key.
    pub fn new(config: &Config) -> Result<Self, Fault> {
        let not_set_up = |say: &str| Fault::new(Source::Stripe, FaultKind::NotSetUp, say);
        let key = config
            .stripe_key
            .clone()
            .ok_or_else(|| not_set_up("Stripe is not set up: give stripe_key in the configuration, or STRIPE_SECRET_KEY"))?;
        // Another provider may have been installed first; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(Duration::from_secs(3))
            .user_agent(concat!("nightdesk/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&config.stripe_base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| not_set_up(&format!("no HTTP client could be made: {e}")))?;
        let shared = Shared {
            http,
            base: config.stripe_base.clone(),
            key,
            at_once: Semaphore::new(CALLS_AT_ONCE),
            background: Budget::per_second(config.stripe_background_per_s),
            products: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sends a request as the crate built it.
    pub(super) async fn send(&self, request: &impl StripeRequest) -> Result<Value, Fault> {
        self.send_raw(request.build()).await
    }

    /// Sends a request for which the crate has no type, or none that is worth its build time. Reads only: they may be repeated,
    /// and are, once, where the line or the server failed rather than the request.
    pub(super) async fn send_raw(&self, request: RequestBuilder) -> Result<Value, Fault> {
        debug_assert!(matches!(request.method, StripeMethod::Get), "this client reads");
        let _turn = self.shared.at_once.acquire().await.expect("invariant: the semaphore is never closed");
        match self.attempt(&request).await {
            Err((_, true)) => self.attempt(&request).await.map_err(|(fault, _)| fault),
            other => other.map_err(|(fault, _)| fault),
        }
    }

    /// One attempt; with the fault, whether another one may help.
    async fn attempt(&self, request: &RequestBuilder) -> Result<Value, (Fault, bool)> {
        let query = request.query.as_deref().filter(|q| !q.is_empty()).map(|q| format!("?{q}")).unwrap_or_default();
        let url = format!("{}/v1{}{query}", self.shared.base, request.path);
        let answer = self
            .shared
            .http
            .get(url)
            .bearer_auth(self.shared.key.expose())
            .header("Stripe-Version", stripe_shared::version::VERSION.as_str())
            .send()
            .await
            .map_err(|e| transport(&e))?;
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let (request_id, should_retry) = (header("request-id"), header("stripe-should-retry"));
        let bytes = answer.bytes().await.map_err(|e| transport(&e))?;
        if status == 200 {
            return serde_json::from_slice(&bytes).map_err(|_| {
                let say = "Stripe answered something that is not JSON; a proxy may stand between";
                (Fault::new(Source::Stripe, FaultKind::Schema, say), false)
            });
        }
        let retry = should_retry.map_or(status >= 500, |s| s == "true");
        Err((classify(status, &bytes, request_id.as_deref()), retry))
    }
}

fn is_loopback(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|p| url.starts_with(p))
}
