//! The handle on a running simulator: start, stop, keys, limits, clock. Webhooks and what happens in the business stand beside it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::connection::{CuttableListener, Cutter};
use super::delivery::{self, DeliveryRules, Switchboard};
use super::faults::Faults;
use super::idempotency::Idempotency;
use super::keys::Keys;
use super::limits::{Limiter, Limits};
use super::server;
use super::shared::{Served, Shared};
use super::state::{ProfileReference, State};
use super::timeline::Collection;
use crate::sandbox::population::Population;

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
    pub(super) shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// Whether what this handle causes is sent only on request.
    sends_nothing: bool,
}

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
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            account: state.account.clone(),
            seed,
            clock: Clock::default(),
            state: RwLock::new(state),
            keys: Mutex::new(Keys::new(seed)),
            limiter: Arc::new(Limiter::default()),
            faults: Faults::default(),
            idempotency: Idempotency::default(),
            delivery: Switchboard::default(),
            delivery_rules: DeliveryRules::default(),
            attempts: Mutex::new(VecDeque::new()),
            requests: Mutex::new(VecDeque::new()),
            wake: Notify::new(),
            quiet: Notify::new(),
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
        let carrying = tokio::spawn(delivery::carry(shared.clone()));
        let simulator = Self { shared, tasks: Arc::new(Mutex::new(vec![serving, carrying])), sends_nothing: false };
        if let Some(url) = options.webhook_url {
            simulator.set_webhook_url(url);
        }
        Ok(simulator)
    }

    /// A handle on the same simulator: what happens by it is owed as ever, and sent only on request.
    #[must_use]
    pub fn without_sending(self) -> Self {
        Self { sends_nothing: true, ..self }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    pub fn secret_key(&self) -> String {
        self.keys(|k| k.secret().to_string())
    }

    /// A key that may do nothing with objects, as web pages carry it.
    pub fn publishable_key(&self) -> String {
        self.keys(|k| k.publishable())
    }

    /// Makes and registers a restricted key with these permissions (`rak_customer_read`, …), called `restricted`.
    pub fn restricted_key(&self, permissions: &[&str]) -> String {
        self.named_key("restricted", Some(permissions))
    }

    /// Makes and registers a key; requests are logged under its name. Without permissions it is a secret key that may do everything.
    pub fn named_key(&self, name: &str, permissions: Option<&[&str]>) -> String {
        self.keys(|k| k.add(name, permissions))
    }

    pub fn limits(&self) -> Limits {
        self.shared.limiter.get()
    }

    /// Rate limits and locked objects. None at the start.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limiter.set(limits);
    }

    pub fn account(&self) -> String {
        self.shared.account.clone()
    }

    /// How old a customer must be before search finds it (60 s at the start).
    pub fn set_search_lag(&self, lag: Duration) {
        self.act(|state| state.search_lag = i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    }

    /// How the population's sessions and subscriptions name their profile (`client_reference_id`, `metadata.profileId`).
    pub fn set_profile_reference(&self, reference: ProfileReference) {
        self.act(|state| state.reference = reference);
    }

    /// The simulator's time, which every request and every deadline goes by.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// Moves the simulator's time forward; what falls due on the way happens now, each thing at its own time.
    /// A step past a century is not taken. Deliveries that fall due are sent in the background; [`Self::deliveries_done`] waits for them.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(chrono::Duration::from_std(by).unwrap_or(chrono::Duration::MAX));
        self.shared.settle();
        self.shared.wake.notify_one();
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

    /// Events that were made and are not among these, oldest first. The population's past is told by events that were never made.
    pub fn events_beyond(&self, known: &HashSet<String>) -> Vec<Value> {
        self.read(|state| {
            let mut ids = state.made_ids(Collection::Events);
            ids.retain(|id| !known.contains(id));
            ids.iter().rev().filter_map(|id| state.get(id)).collect()
        })
    }

    /// The ids of customers and subscriptions that were made since the start.
    pub fn made_customers_and_subscriptions(&self) -> Vec<String> {
        self.read(|state| [Collection::Customers, Collection::Subscriptions].into_iter().flat_map(|c| state.made_ids(c)).collect())
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
        let others = state.outbox.len();
        let result = with(&mut state);
        if self.sends_nothing {
            state.outbox.truncate(others);
        }
        self.shared.dispatch(&mut state);
        result
    }
}
