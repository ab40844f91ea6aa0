//! What the simulator's tasks share, and the log of requests. How a request is served is `server.rs`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::delivery::{DeliveryResult, DeliveryRules, Switchboard};
use super::faults::Faults;
use super::idempotency::Idempotency;
use super::keys::{KeyKind, Keys};
use super::limits::Limiter;
use super::state::State;

const ATTEMPTS_KEPT: usize = 10_000;
const REQUESTS_KEPT: usize = 10_000;

pub struct Shared {
    pub address: SocketAddr,
    pub account: String,
    pub seed: u64,
    pub clock: Clock,
    pub state: RwLock<State>,
    pub keys: Mutex<Keys>,
    pub limiter: Arc<Limiter>,
    pub faults: Faults,
    pub idempotency: Idempotency,
    pub delivery: Switchboard,
    pub delivery_rules: DeliveryRules,
    pub attempts: Mutex<VecDeque<DeliveryResult>>,
    pub requests: Mutex<VecDeque<Served>>,
    /// Something may be due earlier than the carrier thinks.
    pub wake: Notify,
    /// Nothing is due, and nothing is on its way.
    pub quiet: Notify,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    pub count: AtomicU64,
}

/// A request that came in, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Served {
    pub id: String,
    /// By the simulator's clock.
    pub at: DateTime<Utc>,
    pub method: String,
    pub path: String,
    pub idempotency_key: Option<String>,
    /// `None` where no key was given, or none that is known.
    pub key: Option<KeyKind>,
    /// What that key was called when it was made.
    pub key_name: Option<String>,
    /// `None` while, or because, no answer was given.
    pub status: Option<u16>,
    /// True once the endpoint did its work, whatever became of the answer.
    pub worked: bool,
    /// The object that the endpoint made, changed or read, once it succeeded.
    pub object: Option<String>,
}

impl Shared {
    /// Lets happen what is due by the simulator's time.
    pub fn settle(&self) {
        let now = self.clock.now();
        if self.state.read().unwrap_or_else(PoisonError::into_inner).is_due(now) {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.settle(now);
            self.dispatch(&mut state);
        }
    }

    /// Sends what an act left in the outbox on its way. What happened while the clock was moved is sent as of its own time.
    pub fn dispatch(&self, state: &mut State) {
        let (now, on) = (self.clock.now(), self.delivery.get().on);
        for (event, at) in std::mem::take(&mut state.outbox) {
            if on {
                state.ledger.send(&event, at.unwrap_or(now), now);
            }
        }
        self.wake.notify_one();
    }

    /// Puts an attempt on record.
    pub fn keep(&self, attempt: DeliveryResult) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() == ATTEMPTS_KEPT {
            attempts.pop_front();
        }
        attempts.push_back(attempt);
    }

    pub fn enter(&self, served: Served) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REQUESTS_KEPT {
            requests.pop_front();
        }
        requests.push_back(served);
    }

    pub fn log(&self, id: &str, change: impl FnOnce(&mut Served)) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = requests.iter_mut().rev().find(|r| r.id == id) {
            change(entry);
        }
    }
}
