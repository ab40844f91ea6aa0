//! The handle on a running simulator: start, stop, keys, webhooks, and what happens in the business.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::connection::{CuttableListener, Cutter};
use super::delivery::{self, DeliveryResult};
use super::endpoint::Endpoint;
use super::faults::Faults;
use super::idempotency::Idempotency;
use super::keys::Keys;
use super::server::{self, Served, Shared};
use super::state::{ProfileReference, State};
use crate::sandbox::population::Population;
use crate::sandbox::population::ids::{digits, mix};

/// What the simulator starts with.
pub struct SimulatorOptions {
    pub population: Arc<Population>,
    /// The application's webhook endpoint, if it is known already.
    pub webhook_url: Option<String>,
    /// Loopback; port 0 takes a free one.
    pub bind: SocketAddr,
}

/// A handle on a running simulator; clones are the same simulator.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What the application's endpoint is subscribed to.
const ENDPOINT_EVENTS: [&str; 6] = [
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.payment_failed",
];

/// Events that wait for their delivery; beyond that they stay undelivered.
const QUEUE: usize = 10_000;

impl SimulatorOptions {
    pub fn new(population: Arc<Population>) -> Self {
        Self { population, webhook_url: None, bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
    }
}

impl Simulator {
    /// Binds and serves until [`Self::stop`].
    ///
    /// # Errors
    /// The address is taken, or is not on loopback; the HTTP client for deliveries cannot be made.
    pub async fn start(options: SimulatorOptions) -> io::Result<Self> {
        if !options.bind.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the Stripe simulator serves loopback addresses only"));
        }
        // The client is built for TLS too and wants a provider; another part of the process may have installed one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().map_err(io::Error::other)?;
        let listener = TcpListener::bind(options.bind).await?;
        let seed = options.population.seed();
        let mut state = State::new(options.population);
        state.base_url = format!("http://{}", listener.local_addr()?);
        let (parcels, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            account: state.account.clone(),
            seed,
            clock: Clock::default(),
            state: RwLock::new(state),
            keys: Mutex::new(Keys::new(seed)),
            faults: Faults::default(),
            idempotency: Idempotency::default(),
            attempts: Mutex::new(VecDeque::new()),
            requests: Mutex::new(VecDeque::new()),
            deliveries: AtomicBool::new(false),
            delivery_ms: AtomicU64::new(u64::try_from(delivery::PATIENCE.as_millis()).unwrap_or(u64::MAX)),
            parcels,
            http,
            stop: CancellationToken::new(),
            count: AtomicU64::new(0),
        });
        let router = Router::new().fallback(server::handle).with_state(shared.clone());
        let service = router.into_make_service_with_connect_info::<Cutter>();
        let stop = shared.stop.clone();
        let serving = tokio::spawn(async move {
            // Serving ends by cancellation only: the listener takes care of its own errors.
            let _ = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(stop.cancelled_owned()).await;
        });
        let carrying = tokio::spawn(delivery::carry(shared.clone(), queue));
        let simulator = Self { shared, tasks: Arc::new(Mutex::new(vec![serving, carrying])) };
        if let Some(url) = options.webhook_url {
            simulator.set_webhook_url(url);
        }
        Ok(simulator)
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    pub fn secret_key(&self) -> String {
        self.keys(|k| k.secret().to_string())
    }

    /// Makes and registers a restricted key with these permissions (`rak_customer_read`, …).
    pub fn restricted_key(&self, permissions: &[&str]) -> String {
        self.keys(|k| k.add_restricted(permissions))
    }

    pub fn account(&self) -> String {
        self.shared.account.clone()
    }

    /// The signing secret of the application's endpoint; the same before and after the URL is known.
    pub fn webhook_secret(&self) -> String {
        format!("whsec_{}", digits(mix(self.shared.seed, 0x3EC2), 32))
    }

    /// Registers the application's endpoint, or moves it.
    pub fn set_webhook_url(&self, url: String) {
        let secret = self.webhook_secret();
        self.act(|state| {
            if let Some(endpoint) = state.endpoints.first_mut() {
                endpoint.url = url;
                return;
            }
            let id = state.fresh("we_1", 23);
            let events = ENDPOINT_EVENTS.map(str::to_string).to_vec();
            let created = state.population.born().timestamp();
            state.endpoints.push(Endpoint { id, url, secret, enabled: true, events, created });
        });
    }

    /// The id of the application's endpoint, once it is registered.
    pub fn webhook_endpoint(&self) -> Option<String> {
        self.read(|state| state.endpoints.first().map(|e| e.id.clone()))
    }

    /// A disabled endpoint gets nothing; events made meanwhile are never owed to it.
    pub fn set_endpoint_enabled(&self, on: bool) {
        self.act(|state| state.endpoints.iter_mut().for_each(|e| e.enabled = on));
    }

    /// Automatic delivery of the events made from now on. Off at the start.
    pub fn set_deliveries(&self, on: bool) {
        self.shared.deliveries.store(on, Ordering::Relaxed);
    }

    /// Whether events are delivered automatically.
    pub fn deliveries(&self) -> bool {
        self.shared.deliveries.load(Ordering::Relaxed)
    }

    /// How long an endpoint may take to answer (30 s at the start).
    pub fn set_delivery_timeout(&self, timeout: Duration) {
        self.shared.delivery_ms.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long an endpoint may take to answer.
    pub fn delivery_timeout(&self) -> Duration {
        self.shared.delivery_timeout()
    }

    /// How old a customer must be before search finds it (60 s at the start).
    pub fn set_search_lag(&self, lag: Duration) {
        self.act(|state| state.search_lag = i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    }

    /// How the population's sessions and subscriptions name their profile (`client_reference_id`, `metadata.profileId`).
    pub fn set_profile_reference(&self, reference: ProfileReference) {
        self.act(|state| state.reference = reference);
    }

    /// Posts an event, signed, to the endpoints that want it, and waits for the answer. Works with automatic delivery off.
    pub async fn deliver(&self, event_id: &str) -> DeliveryResult {
        delivery::deliver(&self.shared, event_id, None).await
    }

    /// The simulator's time, which every request and every deadline goes by.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// Moves the simulator's time forward; what falls due on the way happens now, each thing at its own time.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(chrono::Duration::from_std(by).unwrap_or(chrono::Duration::MAX));
        self.shared.settle();
    }

    /// All delivery attempts so far (the last 10,000), oldest first.
    pub fn attempts(&self) -> Vec<DeliveryResult> {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// All API requests so far (the last 10,000), oldest first.
    pub fn requests(&self) -> Vec<Served> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// An object as the API shows it, unexpanded.
    pub fn object(&self, id: &str) -> Option<Value> {
        self.read(|state| state.get(id))
    }

    /// Stops serving: requests that hang are cut, connections closed, deliveries dropped.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A task that panicked is stopped too.
            let _ = task.await;
        }
    }

    fn keys<T>(&self, with: impl FnOnce(&mut Keys) -> T) -> T {
        with(&mut self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn act<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let result = with(&mut state);
        self.shared.dispatch(&mut state);
        result
    }
}
