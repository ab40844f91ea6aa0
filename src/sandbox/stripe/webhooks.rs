//! The handle's part about webhooks: endpoints, their secrets, and when what is delivered. The endpoints' API is `resources`.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Map;

use super::delivery::{self, DeliveryResult, DeliveryRules, DeliverySettings, Notice, Schedule};
use super::endpoint::{Endpoint, NewEndpoint};
use super::handle::Simulator;
use super::state::API_VERSION;
use crate::sandbox::population::ids::{digits, mix};

/// What the application's endpoint is subscribed to at the start.
pub const ENDPOINT_EVENTS: [&str; 6] = [
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.payment_failed",
];

/// The application's endpoint is older than all that happened in the population.
const ENDPOINT_AGE_DAYS: i64 = 800;

impl Simulator {
    /// The signing secret of the application's endpoint, the newest; the same before and after the URL is known.
    pub fn webhook_secret(&self) -> String {
        let first = || format!("whsec_{}", digits(mix(self.shared.seed, 0x3EC2), 32));
        self.read(|state| state.endpoints.first().map_or_else(first, |e| e.secret().to_string()))
    }

    /// Registers the application's endpoint, or moves it.
    pub fn set_webhook_url(&self, url: String) {
        let secret = self.webhook_secret();
        self.act(|state| {
            if let Some(endpoint) = state.endpoints.first_mut() {
                endpoint.url = url;
                return;
            }
            let endpoint = NewEndpoint {
                id: state.fresh("we_1", 23),
                url,
                secret,
                events: ENDPOINT_EVENTS.map(str::to_string).to_vec(),
                created: (state.population.born() - TimeDelta::days(ENDPOINT_AGE_DAYS)).timestamp(),
                api_version: Some(API_VERSION.to_string()),
                description: Some("The product's own endpoint".to_string()),
                metadata: Map::new(),
            };
            state.endpoints.push(Endpoint::new(endpoint));
        });
    }

    /// The id of the application's endpoint, once it is registered.
    pub fn webhook_endpoint(&self) -> Option<String> {
        self.read(|state| state.endpoints.first().map(|e| e.id.clone()))
    }

    /// The newest signing secret of an endpoint.
    pub fn endpoint_secret(&self, endpoint: &str) -> Option<String> {
        self.read(|state| state.endpoints.iter().find(|e| e.id == endpoint).map(|e| e.secret().to_string()))
    }

    /// Gives an endpoint a new secret, as the Dashboard does; until the old one ends, both sign. `None`: no such endpoint.
    pub fn rotate_secret(&self, endpoint: &str, old_lasts: Duration) -> Option<String> {
        let until = self.now() + TimeDelta::from_std(old_lasts).unwrap_or(TimeDelta::days(1));
        self.act(|state| state.rotate_secret(endpoint, until))
    }

    /// All endpoints. A disabled endpoint gets nothing; events made meanwhile are never owed to it.
    pub fn set_endpoint_enabled(&self, on: bool) {
        self.act(|state| state.endpoints.iter_mut().for_each(|e| e.enable(on)));
    }

    /// Subscribes the application's endpoint to these types and to no others; events made before are owed as they were.
    pub fn subscribe(&self, events: &[&str]) {
        self.act(|state| {
            if let Some(endpoint) = state.endpoints.first_mut() {
                endpoint.events = events.iter().map(ToString::to_string).collect();
            }
        });
    }

    /// Which endpoints are enabled, by id.
    pub fn enabled_endpoints(&self) -> BTreeSet<String> {
        self.read(|state| state.endpoints.iter().filter(|e| e.enabled).map(|e| e.id.clone()).collect())
    }

    /// Automatic delivery of the events made from now on. Off at the start.
    pub fn set_deliveries(&self, on: bool) {
        self.shared.delivery.change(|s| s.on = on);
    }

    /// Whether events are delivered automatically.
    pub fn deliveries(&self) -> bool {
        self.shared.delivery.get().on
    }

    /// How undelivered events are tried again: as in a sandbox account at the start.
    pub fn set_retry_schedule(&self, schedule: Schedule) {
        self.shared.delivery.change(|s| s.schedule = schedule);
    }

    /// How long an endpoint may take to answer (30 s at the start).
    pub fn set_delivery_timeout(&self, timeout: Duration) {
        self.shared.delivery.change(|s| s.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    }

    /// How long an endpoint may take to answer.
    pub fn delivery_timeout(&self) -> Duration {
        Duration::from_millis(self.shared.delivery.get().timeout_ms)
    }

    /// All that deliveries go by.
    pub fn delivery_settings(&self) -> DeliverySettings {
        self.shared.delivery.get()
    }

    pub fn set_delivery_settings(&self, settings: DeliverySettings) {
        self.shared.delivery.change(|s| *s = settings);
    }

    /// Which deliveries are lost, late, out of order or made twice.
    pub fn delivery_rules(&self) -> &DeliveryRules {
        &self.shared.delivery_rules
    }

    /// Posts an event, signed, to the endpoints that want it, and waits for the answer. Works with automatic delivery off.
    pub async fn deliver(&self, event_id: &str) -> DeliveryResult {
        delivery::deliver(&self.shared, event_id).await
    }

    /// Waits until nothing is due and nothing is on its way; retries of the future are not waited for.
    pub async fn deliveries_done(&self) {
        loop {
            let quiet = self.shared.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            self.shared.settle();
            let now = self.now();
            if self.read(|state| state.ledger.is_quiet(now)) || self.shared.stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = quiet => {}
                () = self.shared.stop.cancelled() => {}
            }
        }
    }

    /// All delivery attempts so far (the last 10,000), oldest first.
    pub fn attempts(&self) -> Vec<DeliveryResult> {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What the account's owner was told by e-mail, oldest first.
    pub fn notices(&self) -> Vec<Notice> {
        self.read(|state| state.notices.clone())
    }
}
