//! The gateway as the command line holds it: questions to the sources, and the one lane that writes.

use super::print::aside;
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::skew;
use crate::gateway::journal::{Journal, state_dir};
use crate::gateway::reader::Reader;
use crate::gateway::sources::Sources;
use crate::gateway::stripe::{Priority, Stripe};
use crate::protocol::desk::DeskWrite;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, Detail, Entry};
use crate::protocol::run::{Perform, Performed, idempotency_key};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

/// How long Stripe may take to say which mode its key opens, repetitions included.
const ANSWER: Duration = Duration::from_secs(10);

pub struct Hands {
    pub env: Environment,
    reader: Reader,
    /// What becomes of runs beside their steps, as far as nobody has asked for it yet.
    notes: Option<Mutex<broadcast::Receiver<(Uuid, String)>>>,
}

impl Hands {
    /// Opens the journal and the sources; nothing is asked yet.
    #[must_use]
    pub fn open(config: &Arc<Config>) -> Self {
        let reader = Reader::open(Arc::clone(config), &state_dir());
        let notes = reader.writes().ok().map(|lane| Mutex::new(lane.notes()));
        Self { env: reader.sources().environment(), reader, notes }
    }

    /// What has become of this run beside its steps since this was asked last.
    #[must_use]
    pub fn notes(&self, run: Uuid) -> Vec<String> {
        let Some(notes) = &self.notes else { return Vec::new() };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::iter::from_fn(|| notes.try_recv().ok());
        all.filter(|(of, _)| *of == run).map(|(_, say)| say).collect()
    }

    pub fn sources(&self) -> &Sources {
        self.reader.sources()
    }

    /// The time by Stripe's clock, by which what happens there is judged; by ours before Stripe has answered.
    #[must_use]
    pub fn stripe_now(&self) -> At {
        super::drive::now() + self.clock_ahead()
    }

    /// How far Stripe's clock is ahead of ours; zero before Stripe has answered.
    #[must_use]
    pub fn clock_ahead(&self) -> chrono::Duration {
        let ahead = self.sources().stripe().ok().and_then(Stripe::clock_ahead);
        skew::correction(ahead.unwrap_or(0))
    }

    /// The name under which the journal lies, where that is not the environment's own.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.reader.journal().ok().map(|j| j.environment().to_string()).filter(|place| *place != self.env.name)
    }

    /// This operator's journal of this environment.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn journal(&self) -> Result<&Journal, Fault> {
        self.reader.journal()
    }

    pub async fn ask(&self, query: Query) -> Result<Reply, Fault> {
        self.reader.ask(query).await
    }

    /// As [`Hands::ask`], from the background's budget.
    pub async fn ask_in_background(&self, query: Query) -> Result<Reply, Fault> {
        self.reader.ask_at(query, Priority::Background).await
    }

    /// Whether the journal can be written, and the shared store takes what is shipped.
    pub async fn poll_store(&self) -> Result<(), Fault> {
        self.reader.poll_store().await
    }

    /// Turns writes on: asks Stripe first in which mode its key is, since a mixed world never writes.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub async fn turn_on(&self, reason: &str) -> Result<(), String> {
        let silent = "Stripe does not answer: which mode its key opens is not known, and nothing is written without that";
        tokio::time::timeout(ANSWER, self.reader.learn_mode()).await.map_err(|_| silent)?.map_err(|f| f.say)?;
        self.reader.writes().map_err(|f| f.say)?.turn_on(reason, super::drive::now()).await.map(|_| ())
    }

    pub async fn open_run(&self, run: Uuid, procedure: String, detail: Detail) -> Result<(), Fault> {
        self.reader.writes()?.open_run(run, &procedure, detail).await
    }

    pub async fn resume_run(&self, run: Uuid) -> Result<(), Fault> {
        self.reader.writes()?.resume_run(run).await
    }

    pub async fn give_up_run(&self, run: Uuid, by_hand: bool, reason: &str) -> Result<Closed, Fault> {
        self.reader.writes()?.give_up_run(run, by_hand, reason).await
    }

    pub async fn record(&self, run: Option<Uuid>, entry: Entry, detail: Detail) -> Result<(), Fault> {
        self.reader.writes()?.record(run, entry, detail).await
    }

    /// Says something about causes or drift, for all consoles of the environment.
    ///
    /// # Errors
    /// One sentence: nobody would read it.
    pub async fn say(&self, write: &DeskWrite) -> Result<(), String> {
        self.reader.desk().map_err(|f| f.say)?.write(write).await.map(drop).map_err(|f| f.say)
    }

    /// Journals that personal data is about to leave the console unmasked.
    ///
    /// # Errors
    /// Why it cannot be journaled: then it does not leave.
    pub async fn reveal(&self, detail: Detail) -> Result<(), Fault> {
        self.reader.writes()?.reveal(None, detail).await
    }

    /// Performs it. What a configured command prints is told beside the answer, as it comes.
    pub async fn perform(&self, perform: Perform) -> Performed {
        let lane = match self.reader.writes() {
            Ok(lane) => lane,
            Err(fault) => {
                let outcome = crate::protocol::command::Outcome::NotDone(fault);
                return Performed { attempt: perform.attempt, outcome, unrecorded: None };
            }
        };
        let mut lines = self.reader.sources().hear(&idempotency_key(&perform.attempt));
        let performed = lane.perform(perform);
        tokio::pin!(performed);
        loop {
            tokio::select! {
                performed = &mut performed => {
                    while let Ok(line) = lines.try_recv() {
                        aside(&line);
                    }
                    return performed;
                }
                line = lines.recv() => if let Ok(line) = line {
                    aside(&line);
                }
            }
        }
    }

    /// Waits for a write that is under way, then closes the connections.
    pub async fn close(&self) {
        self.reader.close().await;
    }
}

/// This operator's journal of this environment.
///
/// # Errors
/// One sentence that names the file.
pub fn journal(config: &Config) -> Result<Journal, String> {
    Journal::of(&state_dir(), config).map_err(|e| e.to_string())
}
