//! Performs what the console wants done: reads by slot, writes in order, polls; tells what came of it as events. Nothing waits for anything else.

mod exports;
mod polls;
mod reads;
mod writes;

use super::journal;
use super::reader::Reader;
use super::sandbox;
use crate::config::Config;
use crate::protocol::effect::Effect;
use crate::protocol::event::Event;
use exports::{Exports, Order};
use polls::Polls;
use reads::Reads;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where effects come in and events go out.
pub struct Executor {
    reader: Reader,
    events: mpsc::Sender<Event>,
    inbox: Arc<Inbox>,
    reads: Reads,
    exports: Exports,
    polls: Polls,
    writes: mpsc::Sender<Effect>,
    writing: JoinHandle<()>,
    sandbox: Option<String>,
}

/// The console's side of the executor.
#[derive(Clone)]
pub struct Handle {
    inbox: Arc<Inbox>,
    reader: Reader,
    stop: CancellationToken,
    /// Cancelled when the executor has ended.
    ended: CancellationToken,
}

/// What has been submitted and not been taken up. It stays short: of the reads of one slot and of refreshes only the last waits,
/// and everything else is decided by a person, or follows from such a decision in a few steps.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<VecDeque<Effect>>,
    news: Notify,
}

/// Writes that wait their turn. An operator confirms them one by one: there are never so many.
const WRITES: usize = 64;

impl Executor {
    /// Opens the environment and begins to poll; the journal lies in the usual state directory. Needs a runtime.
    #[must_use]
    pub fn start(config: Arc<Config>, events: mpsc::Sender<Event>) -> Handle {
        Self::start_in(config, events, &journal::state_dir())
    }

    /// As [`Executor::start`], with the journal under `state`.
    #[must_use]
    pub fn start_in(config: Arc<Config>, events: mpsc::Sender<Event>, state: &Path) -> Handle {
        let reader = Reader::open(Arc::clone(&config), state);
        let (inbox, stop) = (Arc::new(Inbox::default()), CancellationToken::new());
        let polls = polls::start(&reader, &events, &stop);
        let (writes, writing) = writes::start(&reader, &events, WRITES);
        let executor = Self {
            reader: reader.clone(),
            events: events.clone(),
            inbox: Arc::clone(&inbox),
            reads: Reads::default(),
            exports: Exports::default(),
            polls,
            writes,
            writing,
            sandbox: config.sandbox_url.clone(),
        };
        let (stopping, ended) = (stop.clone(), CancellationToken::new());
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            executor.run(stopping).await;
            drop(end);
        });
        Handle { inbox, reader, stop, ended }
    }

    async fn run(mut self, stop: CancellationToken) {
        let environment = Box::new(self.reader.sources().environment());
        if self.events.send(Event::EnvironmentChanged(environment)).await.is_ok() {
            self.list_incidents();
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.inbox.news.notified() => {}
                }
                for effect in self.inbox.empty() {
                    self.take(effect).await;
                }
            }
        }
        self.end().await;
    }

    /// Nothing more is read. What was submitted to be written or recorded before the end still is.
    async fn end(mut self) {
        self.reads.abort_all();
        self.exports.cancel_all();
        for effect in self.inbox.empty() {
            if !matches!(
                effect,
                Effect::Read { .. } | Effect::Refresh | Effect::StartIncident { .. } | Effect::EndIncident { .. } | Effect::Export { .. }
            ) {
                self.take(effect).await;
            }
        }
        drop(self.writes);
        // One that panicked has nothing left to wait for.
        let _ = self.writing.await;
    }

    async fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Read { ticket, query } => self.reads.start(&self.reader, &self.events, ticket, query),
            Effect::Refresh => self.polls.now(),
            Effect::Export { export, file, format, threshold, filter } => {
                self.exports.start(&self.reader, &self.events, Order { export, file, format, threshold, filter });
            }
            Effect::CancelExport { export } => self.exports.cancel(export),
            Effect::StartIncident { name } => self.incident(name, false),
            Effect::EndIncident { name } => self.incident(name, true),
            // Their order counts: opened before confirmed before performed.
            write @ (Effect::TurnWritesOn { .. }
            | Effect::TurnWritesOff
            | Effect::OpenRun { .. }
            | Effect::ResumeRun { .. }
            | Effect::GiveUpRun { .. }
            | Effect::Perform(_)
            | Effect::Reveal { .. }
            | Effect::Desk(_)
            | Effect::Record { .. }) => {
                // Only when its task has ended with the process is nobody there to take it.
                let _ = self.writes.send(write).await;
            }
            // The terminal's, not ours.
            Effect::Copy { .. } | Effect::Redraw | Effect::Suspend | Effect::Quit => {}
        }
    }

    fn list_incidents(&self) {
        let Some(base) = self.sandbox.clone() else { return };
        let events = self.events.clone();
        tokio::spawn(async move {
            match sandbox::incidents(&base).await {
                Ok(known) => drop(events.send(Event::IncidentsKnown(known)).await),
                Err(fault) => tracing::warn!(class = fault.class(), "the sandbox's incidents"),
            }
        });
    }

    /// Starts it, or ends it.
    fn incident(&self, name: String, end: bool) {
        let Some(base) = self.sandbox.clone() else { return };
        let events = self.events.clone();
        tokio::spawn(async move {
            let result = if end { sandbox::end(&base, &name).await } else { sandbox::start(&base, &name).await };
            // Nobody listens any more: the console is closing.
            let _ = events.send(Event::IncidentWent { name, result }).await;
        });
    }
}

impl Handle {
    /// Takes the effect and returns at once. A read whose slot has one waiting replaces it.
    pub fn submit(&self, effect: Effect) {
        let mut waiting = self.inbox.lock();
        if let Effect::Read { ticket, .. } = &effect {
            let slot = ticket.slot;
            waiting.retain(|e| !matches!(e, Effect::Read { ticket, .. } if ticket.slot == slot));
        } else if effect == Effect::Refresh {
            waiting.retain(|e| *e != Effect::Refresh);
        }
        waiting.push_back(effect);
        drop(waiting);
        self.inbox.news.notify_one();
    }

    /// The same environment, for somebody who asks and waits.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Stops reading and polling, lets what was submitted to be written or recorded settle for a moment, closes the connections. At
    /// most [`CLOSING`](super::reader::CLOSING), much less where nothing hangs.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.reader.close_after(self.ended.cancelled()).await;
    }
}

impl Inbox {
    fn empty(&self) -> VecDeque<Effect> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Effect>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
