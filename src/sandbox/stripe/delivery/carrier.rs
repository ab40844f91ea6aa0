//! The carrier: takes from the ledger what is due, has it sent, and writes down what became of it. It also keeps the simulator's agenda.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::task::JoinSet;

use super::super::endpoint::Endpoint;
use super::super::shared::Shared;
use super::super::state::{API_VERSION, State};
use super::attempt::attempt;
use super::{DeliveryEffect, DeliveryResult, Notice, Parcel, Why};

/// How long it sleeps at most: the machine may have been asleep itself, which no timer notices.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What a rule does to an attempt that is made.
type Loss = Option<DeliveryEffect>;

/// Delivers what is due, a few at once for each endpoint and in no guaranteed order, until the simulator stops.
/// It sleeps until something is due or somebody knocks: waiting costs nothing.
pub async fn carry(shared: Arc<Shared>) {
    let mut running = JoinSet::new();
    loop {
        let due = shared.clone();
        // Much may be due after a step of the clock: others are served meanwhile. A deed that panicked is over, the rest goes on.
        let _ = tokio::task::spawn_blocking(move || due.settle()).await;
        while let Some((parcel, loss)) = take(&shared) {
            let shared = shared.clone();
            running.spawn(async move { carry_one(&shared, parcel, loss).await });
        }
        if running.is_empty() {
            shared.quiet.notify_waiters();
        }
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = shared.wake.notified() => {}
            Some(_) = running.join_next() => {}
            () = tokio::time::sleep(until_next(&shared)) => {}
        }
    }
}

/// Delivers an event at once to every endpoint that wants it, as if sent again by hand. Returns the last attempt.
pub async fn deliver(shared: &Shared, event: &str) -> DeliveryResult {
    let now = shared.clock.now();
    let targets: Vec<String> = {
        let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = state.live(event, "event") else {
            return DeliveryResult::unsent(event, "", now, "there is no such event");
        };
        let kind = found["type"].as_str().unwrap_or_default();
        state.endpoints.iter().filter(|e| e.wants(kind)).map(|e| e.id.clone()).collect()
    };
    let mut last = DeliveryResult::unsent(event, "", now, "no enabled webhook endpoint wants this event");
    for endpoint in targets {
        let parcel = Parcel { event: event.to_string(), endpoint, why: Why::Resent, due: now, posted: now, ruled: true };
        let result = send(shared, &parcel, None).await;
        last = record(shared, &parcel, result, false);
    }
    last
}

async fn carry_one(shared: &Shared, parcel: Parcel, loss: Loss) {
    let result = send(shared, &parcel, loss).await;
    record(shared, &parcel, result, true);
}

/// The next parcel that is to be sent now, and what a rule does to it.
fn take(shared: &Shared) -> Option<(Parcel, Loss)> {
    let now = shared.clock.now();
    shared.state.read().unwrap_or_else(PoisonError::into_inner).ledger.next_due().filter(|due| *due <= now)?;
    let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut parcel = state.ledger.take(now)?;
        if !state.endpoints.iter().any(|e| e.id == parcel.endpoint && e.enabled) {
            // Disabled when its turn comes: this event is not tried again, even if the endpoint comes back.
            state.ledger.landed(&parcel.endpoint);
            continue;
        }
        if parcel.ruled || parcel.why == Why::Duplicate {
            return Some((parcel, None));
        }
        parcel.ruled = true;
        let kind = state.get(&parcel.event).and_then(|e| Some(e["type"].as_str()?.to_string())).unwrap_or_default();
        let Some(effect) = shared.delivery_rules.strike(&kind, &parcel.endpoint) else { return Some((parcel, None)) };
        if let Some(lateness) = effect.lateness() {
            parcel.due += lateness;
            state.ledger.landed(&parcel.endpoint);
            state.ledger.post(parcel);
            continue;
        }
        if let DeliveryEffect::Duplicate { times } = effect {
            for _ in 0..times {
                state.ledger.post(Parcel { why: Why::Duplicate, ..parcel.clone() });
            }
        }
        return Some((parcel, Some(effect)));
    }
}

async fn send(shared: &Shared, parcel: &Parcel, loss: Loss) -> DeliveryResult {
    let at = due_time(shared, parcel);
    let unsent = |why| DeliveryResult::unsent(&parcel.event, &parcel.endpoint, at, why);
    if loss == Some(DeliveryEffect::Drop) {
        return unsent("lost on the way");
    }
    let found = {
        let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
        state.endpoints.iter().find(|e| e.id == parcel.endpoint).cloned().zip(payload(&state, parcel))
    };
    let Some((endpoint, payload)) = found else { return unsent("the endpoint is gone") };
    let result = attempt(shared, &parcel.event, &endpoint, payload, at).await;
    if loss == Some(DeliveryEffect::LoseAnswer) {
        return DeliveryResult { ms: result.ms, ..unsent("the answer was lost on the way") };
    }
    result
}

/// The event as this endpoint gets it. Its `api_version` is the one the endpoint is pinned to; the shapes are those of the only
/// version there is.
fn payload(state: &State, parcel: &Parcel) -> Option<String> {
    let mut event = state.live(&parcel.event, "event")?;
    let endpoint = state.endpoints.iter().find(|e| e.id == parcel.endpoint)?;
    event["api_version"] = json!(endpoint.api_version.as_deref().unwrap_or(API_VERSION));
    // Indented, as Stripe sends it: who parses and prints it again before verifying is found out.
    serde_json::to_string_pretty(&event).ok()
}

/// The simulator's time of an attempt: now, or, where the clock was moved past it, the time it was due and what it then waited.
fn due_time(shared: &Shared, parcel: &Parcel) -> DateTime<Utc> {
    let reached = shared.clock.reached(parcel.due).max(parcel.posted);
    parcel.due + (shared.clock.now() - reached)
}

/// Writes down what became of an attempt; `flown`: it came from the ledger, which gets its place back.
fn record(shared: &Shared, parcel: &Parcel, mut result: DeliveryResult, flown: bool) -> DeliveryResult {
    let (delivered, settings) = (result.delivered(), shared.delivery.get());
    let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
    if flown {
        state.ledger.landed(&parcel.endpoint);
    }
    let threshold = settings.auto_disable_days.map(|days| TimeDelta::days(i64::from(days)));
    result.next_retry_at = state.ledger.attempted(parcel, delivered, result.at, shared.clock.now(), settings.schedule);
    let State { endpoints, notices, .. } = &mut *state;
    if let Some(endpoint) = endpoints.iter_mut().find(|e| e.id == parcel.endpoint) {
        notices.extend(judge(endpoint, delivered, result.at, threshold));
    }
    // Within the lock, so that nobody finds the delivery over and its attempt missing.
    shared.keep(result.clone());
    result
}

/// An endpoint that fails for days is warned about half-way and then disabled, as Stripe does; after how many days is not published.
fn judge(endpoint: &mut Endpoint, delivered: bool, at: DateTime<Utc>, threshold: Option<TimeDelta>) -> Option<Notice> {
    if delivered {
        endpoint.failing_since = None;
        endpoint.warned = false;
        return None;
    }
    let since = *endpoint.failing_since.get_or_insert(at);
    let threshold = threshold?;
    let days = (at - since).num_days();
    let text = if at - since >= threshold && endpoint.enabled {
        endpoint.enabled = false;
        format!("The webhook endpoint {} failed for {days} days and was disabled.", endpoint.url)
    } else if at - since >= threshold / 2 && !endpoint.warned {
        endpoint.warned = true;
        format!("The webhook endpoint {} has been failing for {days} days; if that goes on, it will be disabled.", endpoint.url)
    } else {
        return None;
    };
    Some(Notice { at, endpoint: endpoint.id.clone(), text })
}

fn until_next(shared: &Shared) -> Duration {
    let next = shared.state.read().unwrap_or_else(PoisonError::into_inner).next_due();
    let Some(next) = next else { return LONGEST_SLEEP };
    (next - shared.clock.now()).to_std().unwrap_or_default().min(LONGEST_SLEEP)
}
