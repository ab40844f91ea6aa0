//! One environment opened: its sources, its gate, its journal and the lane of its writes. What the executor and the command line share.

use super::gate::Gate;
use super::journal::store::Store;
use super::journal::{Desk, Journal, Shipped, Shipping, ship, team_recorded, team_runs};
use super::sources::Sources;
use super::stripe::Priority;
use super::writes::WriteLane;
use crate::config::Config;
use crate::domain::fault::{Fault, Source};
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::Recorded;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The outside of one environment. Clones share everything.
#[derive(Clone)]
pub struct Reader {
    sources: Sources,
    gate: Arc<Gate>,
    journal: Result<Journal, Fault>,
    lane: Result<WriteLane<Sources>, Fault>,
    store: Option<Store>,
    desk: Result<Desk, Fault>,
    shipped: Option<watch::Receiver<Shipped>>,
    stop: CancellationToken,
}

/// How long a write that is under way is waited for at the end; what is not settled then is found unknown at the next start.
const SETTLE: Duration = Duration::from_millis(800);
/// How long the records that were written last have to reach the shared store at the end; what does not is shipped next time.
const LAST_SHIPMENT: Duration = Duration::from_millis(1200);
/// How long the shared store is told goodbye: one that does not answer is left without.
const GOODBYE: Duration = Duration::from_millis(500);
/// Longer than [`Reader::close_after`] nobody has to wait: what it waits for is bounded, each by itself.
pub const CLOSING: Duration = Duration::from_millis(2_600);

impl Reader {
    /// Opens connections in the background and the journal under `state`; needs a runtime. A journal that cannot be
    /// opened forbids writes and nothing else.
    #[must_use]
    pub fn open(config: Arc<Config>, state: &Path) -> Self {
        let sources = Sources::open(Arc::clone(&config));
        let gate = Arc::new(Gate::new(config.production));
        let journal = Journal::of(state, &config).map_err(Fault::from);
        let stop = CancellationToken::new();
        let store = store(&config);
        let mut shipped = None;
        let lane = journal.clone().map(|journal| {
            if let Some(store) = &store {
                let (shipping, state) = Shipping::new(journal.clone(), store.clone());
                shipped = Some(state);
                tokio::spawn(shipping.run(stop.clone()));
            }
            WriteLane::new(Arc::clone(&gate), journal, store.clone(), sources.clone())
        });
        let desk = journal.clone().map(|journal| Desk::new(journal, store.clone()));
        Self { sources, gate, journal, lane, store, desk, shipped, stop }
    }

    /// Asks any source.
    ///
    /// # Errors
    /// The source's fault, time-outs among them.
    pub async fn ask(&self, query: Query) -> Result<Reply, Fault> {
        self.ask_at(query, Priority::Interactive).await
    }

    /// As [`Reader::ask`], with the word for whom it is asked.
    ///
    /// # Errors
    /// As there.
    pub async fn ask_at(&self, query: Query, priority: Priority) -> Result<Reply, Fault> {
        match query {
            Query::Runs => self.writes()?.runs().await.map(Reply::Runs),
            Query::TeamRuns => match &self.store {
                Some(store) => team_runs(self.journal()?, store).await.map(Reply::Runs),
                None => Ok(Reply::Runs(Vec::new())),
            },
            Query::Recorded(run) => self.recorded(run).await.map(Reply::Recorded),
            Query::Probe => self.sources.probe(self.journal()?).await,
            Query::Desk => self.desk()?.state().await.map(Reply::Desk),
            query => self.sources.ask(query, priority).await,
        }
    }

    /// What this journal has of a run, or else the shared store.
    async fn recorded(&self, run: Uuid) -> Result<Vec<Recorded>, Fault> {
        let journal = self.journal()?;
        let own = journal.recorded(run).await?;
        match &self.store {
            Some(store) if own.is_empty() => team_recorded(journal, store, run).await,
            _ => Ok(own),
        }
    }

    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The lane that every write goes through.
    ///
    /// # Errors
    /// Why there is none: the journal cannot be opened.
    pub fn writes(&self) -> Result<&WriteLane<Sources>, Fault> {
        self.lane.as_ref().map_err(Clone::clone)
    }

    /// # Errors
    /// Why it cannot be opened.
    pub fn journal(&self) -> Result<&Journal, Fault> {
        self.journal.as_ref().map_err(Clone::clone)
    }

    /// Where causes are taken and muted, and drift is accepted.
    ///
    /// # Errors
    /// Why there is none: the journal cannot be opened.
    pub fn desk(&self) -> Result<Desk, Fault> {
        self.desk.clone()
    }

    /// The shared store, where one is set up.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Whether the journal takes records, and the shared store gets them.
    ///
    /// # Errors
    /// Why not.
    pub async fn poll_store(&self) -> Result<(), Fault> {
        self.journal()?.ready().await.map_err(Fault::from)?;
        match self.shipped.as_ref().map(|s| s.borrow().clone()) {
            Some(Shipped::Waiting(fault)) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Asks Stripe which mode the key opens, and tells the gate: without that nothing is written.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub async fn learn_mode(&self) -> Result<bool, Fault> {
        let livemode = self.sources.stripe()?.ping().await?;
        self.gate.account_known(livemode);
        Ok(livemode)
    }

    /// Lets a write that is under way settle, ships what was journaled last, then closes all connections; together at most two and a half seconds.
    pub async fn close(&self) {
        self.close_after(std::future::ready(())).await;
    }

    /// As [`Reader::close`], once `last` is through; in the same time.
    pub async fn close_after(&self, last: impl Future<Output = ()>) {
        let settled = async {
            last.await;
            if let Ok(lane) = &self.lane {
                lane.settle(SETTLE).await;
                // What it still does not take is found unfinished at the next start.
                let _ = lane.record_late().await;
            }
        };
        // What has not settled goes on for as long as the process does.
        let _ = tokio::time::timeout(SETTLE, settled).await;
        self.stop.cancel();
        let store = async {
            if let Some(store) = &self.store {
                let waiting = self.shipped.as_ref().is_some_and(|s| matches!(*s.borrow(), Shipped::Waiting(_)));
                if let (Ok(journal), false) = (&self.journal, waiting) {
                    let _ = tokio::time::timeout(LAST_SHIPMENT, ship(journal, store)).await;
                }
                let _ = tokio::time::timeout(GOODBYE, store.close()).await;
            }
        };
        tokio::join!(self.sources.close(), store);
    }
}

/// The shared store; one whose address cannot be read is left out.
fn store(config: &Config) -> Option<Store> {
    match Store::of(config)? {
        Ok(store) => Some(store),
        Err(fault) => {
            tracing::warn!(class = fault.class(), source = Source::Store.word(), "no shared store");
            None
        }
    }
}
