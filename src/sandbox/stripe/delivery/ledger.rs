//! Who has yet to take what: for each event the endpoints it is owed to, and for each endpoint what is sent to it when. It sends nothing.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::Schedule;

/// How many deliveries one endpoint gets at a time; a slow one keeps nobody else waiting.
const AT_ONCE: usize = 4;

/// Debts by event, queues by endpoint. Nothing that is owed is ever dropped for want of room: a debt is two ids and a number.
#[derive(Default)]
pub struct Ledger {
    debts: HashMap<String, Vec<Debt>>,
    queues: BTreeMap<String, Queue>,
    entries: u64,
}

/// One event that one endpoint was subscribed to when it happened.
#[derive(Debug, Clone)]
pub struct Debt {
    pub endpoint: String,
    pub taken: bool,
    /// Whether any attempt failed, sent again on request included.
    pub failed: bool,
    /// Automatic ones.
    attempts: usize,
}

/// Why an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// By itself: the first time, or again after a failure.
    Automatic,
    /// Asked for.
    Resent,
    /// A rule wanted it twice.
    Duplicate,
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone)]
pub struct Parcel {
    pub event: String,
    pub endpoint: String,
    pub why: Why,
    pub due: DateTime<Utc>,
    /// When it was put into the queue.
    pub posted: DateTime<Utc>,
    /// Whether the rules for deliveries had their say.
    pub ruled: bool,
}

#[derive(Default)]
struct Queue {
    due: BTreeMap<(DateTime<Utc>, u64), Parcel>,
    flying: usize,
}

impl Ledger {
    /// An event happened that these endpoints want.
    pub fn owe(&mut self, event: &str, endpoints: Vec<String>) {
        let debts = endpoints.into_iter().map(|endpoint| Debt { endpoint, taken: false, failed: false, attempts: 0 });
        self.debts.insert(event.to_string(), debts.collect());
    }

    /// Whom an event was owed to when it happened; `None`: it is older than the simulator.
    pub fn debts(&self, event: &str) -> Option<&[Debt]> {
        self.debts.get(event).map(Vec::as_slice)
    }

    /// Sends an event to everyone it is owed to.
    pub fn send(&mut self, event: &str, due: DateTime<Utc>, now: DateTime<Utc>) {
        let owed: Vec<String> = self.debts(event).into_iter().flatten().map(|d| d.endpoint.clone()).collect();
        for endpoint in owed {
            self.post(Parcel { event: event.to_string(), endpoint, why: Why::Automatic, due, posted: now, ruled: false });
        }
    }

    pub fn post(&mut self, parcel: Parcel) {
        self.entries += 1;
        self.queues.entry(parcel.endpoint.clone()).or_default().due.insert((parcel.due, self.entries), parcel);
    }

    /// Takes what is due first, of the endpoints that can take more; it flies until [`Self::landed`].
    pub fn take(&mut self, now: DateTime<Utc>) -> Option<Parcel> {
        let free = self.queues.values_mut().filter(|q| q.flying < AT_ONCE);
        let first = free.filter_map(|q| Some((*q.due.first_key_value()?.0, q))).min_by_key(|(key, _)| *key);
        let (_, queue) = first.filter(|((due, _), _)| *due <= now)?;
        queue.flying += 1;
        queue.due.pop_first().map(|(_, parcel)| parcel)
    }

    pub fn landed(&mut self, endpoint: &str) {
        if let Some(queue) = self.queues.get_mut(endpoint) {
            queue.flying = queue.flying.saturating_sub(1);
        }
    }

    /// When something can be taken next; what waits for an endpoint to be free is not counted.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        let free = self.queues.values().filter(|q| q.flying < AT_ONCE);
        free.filter_map(|q| q.due.first_key_value()).map(|((due, _), _)| *due).min()
    }

    /// Nothing is due, and nothing is on its way.
    pub fn is_quiet(&self, now: DateTime<Utc>) -> bool {
        self.queues.values().all(|q| q.flying == 0 && q.due.first_key_value().is_none_or(|((due, _), _)| *due > now))
    }

    /// How an attempt ended. Returns when the next one follows, which is then in the queue.
    pub fn attempted(
        &mut self,
        parcel: &Parcel,
        delivered: bool,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
        schedule: Schedule,
    ) -> Option<DateTime<Utc>> {
        let debt = self.debts.get_mut(&parcel.event)?.iter_mut().find(|d| d.endpoint == parcel.endpoint)?;
        debt.taken |= delivered;
        debt.failed |= !delivered;
        // Sending again by hand neither ends nor prolongs the automatic retries: those go on until one of them is taken.
        if parcel.why != Why::Automatic {
            return None;
        }
        debt.attempts += 1;
        let due = at + schedule.pause(debt.attempts).filter(|_| !delivered)?;
        self.post(Parcel { due, posted: now, ruled: false, ..parcel.clone() });
        Some(due)
    }

    /// An endpoint is gone, and all that was owed to it.
    pub fn forget(&mut self, endpoint: &str) {
        self.queues.remove(endpoint);
        for debts in self.debts.values_mut() {
            debts.retain(|d| d.endpoint != endpoint);
        }
    }
}
