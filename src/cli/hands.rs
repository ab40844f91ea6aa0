//! The gateway as the command line holds it: questions to the sources, and the one lane that writes.

use crate::config::Config;
use crate::domain::fault::Fault;
use crate::gateway::gate::Gate;
use crate::gateway::journal::store::Store;
use crate::gateway::journal::{Journal, state_dir};
use crate::gateway::sources::Sources;
use crate::gateway::stripe::Priority;
use crate::gateway::writes::WriteLane;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Detail, Entry};
use crate::protocol::run::{Perform, Performed};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub struct Hands {
    pub sources: Sources,
    pub env: Environment,
    gate: Arc<Gate>,
    lane: WriteLane<Sources>,
}

/// How long a write that is under way when the command ends is waited for.
const LAST_WRITE: Duration = Duration::from_secs(30);

impl Hands {
    /// Opens the journal and the sources; nothing is asked yet.
    ///
    /// # Errors
    /// The journal cannot be opened, or the shared store's address is none.
    pub async fn open(config: &Arc<Config>) -> Result<Self, String> {
        let journal = journal(config)?;
        let store = config.store_url.as_ref().map(|url| Store::of_url(url.expose())).transpose().map_err(|f| f.say)?;
        let gate = Arc::new(Gate::new(config.production));
        let sources = Sources::open(Arc::clone(config));
        let lane = WriteLane::new(Arc::clone(&gate), journal, store, sources.clone());
        Ok(Self { env: sources.environment(), sources, gate, lane })
    }

    pub async fn ask(&self, query: Query) -> Result<Reply, Fault> {
        match query {
            Query::Runs => self.lane.runs().await.map(Reply::Runs),
            query => self.sources.ask(query, Priority::Interactive).await,
        }
    }

    /// Turns writes on: asks Stripe first in which mode its key is, since a mixed world never writes.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub async fn turn_on(&self, reason: &str) -> Result<(), String> {
        match self.ask(Query::Account).await.map_err(|f| f.say)? {
            Reply::Account(account) => self.gate.account_known(account.livemode),
            other => return Err(format!("Stripe answered {other:?} when asked for the account")),
        }
        self.lane.turn_on(reason, super::drive::now()).await.map(|_| ())
    }

    pub async fn open_run(&self, run: Uuid, procedure: String, detail: Detail) -> Result<(), Fault> {
        self.lane.open_run(run, &procedure, detail).await
    }

    pub async fn resume_run(&self, run: Uuid) -> Result<(), Fault> {
        self.lane.resume_run(run).await
    }

    pub async fn record(&self, run: Option<Uuid>, entry: Entry, detail: Detail) -> Result<(), Fault> {
        self.lane.record(run, entry, detail).await
    }

    pub async fn perform(&self, perform: Perform) -> Performed {
        self.lane.perform(perform).await
    }

    /// Waits for a write that is under way, then closes the connections.
    pub async fn close(&self) {
        self.lane.settle(LAST_WRITE).await;
        self.sources.close().await;
    }
}

/// This operator's journal of this environment.
///
/// # Errors
/// One sentence that names the file.
pub fn journal(config: &Config) -> Result<Journal, String> {
    let key = config.subject_key.as_ref().map(|k| k.expose().as_bytes());
    Journal::open(&state_dir(), &config.name, &config.operator, key).map_err(|e| e.to_string())
}
