//! Performs what the console wants done: reads by slot, writes in order, polls; tells what came of it as events. Nothing waits for anything else.

mod polls;
mod reads;
mod writes;

use super::journal;
use super::reader::Reader;
use super::sandbox;
use crate::config::Config;
use crate::protocol::effect::Effect;
use crate::protocol::event::Event;
use polls::Polls;
use reads::Reads;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Where effects come in and events go out.
pub struct Executor {
    reader: Reader,
    events: mpsc::Sender<Event>,
    inbox: Arc<Inbox>,
    reads: Reads,
    polls: Polls,
    writes: mpsc::Sender<Effect>,
    sandbox: Option<String>,
}

/// The console's side of the executor.
#[derive(Clone)]
pub struct Handle {
    inbox: Arc<Inbox>,
    reader: Reader,
    stop: CancellationToken,
}

/// What has been submitted and not been taken up. Reads of one slot replace each other here already.
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
        let writes = writes::start(&reader, &events, WRITES);
        let executor = Self {
            reader: reader.clone(),
            events: events.clone(),
            inbox: Arc::clone(&inbox),
            reads: Reads::default(),
            polls,
            writes,
            sandbox: config.sandbox_url.clone(),
        };
        tokio::spawn(executor.run(stop.clone()));
        Handle { inbox, reader, stop }
    }

    async fn run(mut self, stop: CancellationToken) {
        let environment = Box::new(self.reader.sources().environment());
        if self.events.send(Event::EnvironmentChanged(environment)).await.is_err() {
            return;
        }
        self.list_incidents();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.inbox.news.notified() => {}
            }
            let waiting = std::mem::take(&mut *self.inbox.lock());
            for effect in waiting {
                self.take(effect).await;
            }
        }
        self.reads.abort_all();
    }

    async fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Read { ticket, query } => self.reads.start(&self.reader, &self.events, ticket, query),
            Effect::Refresh => self.polls.now(),
            Effect::StartIncident { name } => self.start_incident(name),
            // Their order counts: opened before confirmed before performed.
            write @ (Effect::TurnWritesOn { .. }
            | Effect::TurnWritesOff
            | Effect::OpenRun { .. }
            | Effect::ResumeRun { .. }
            | Effect::Perform(_)
            | Effect::Reveal { .. }
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

    fn start_incident(&self, name: String) {
        let Some(base) = self.sandbox.clone() else { return };
        let events = self.events.clone();
        tokio::spawn(async move {
            let result = sandbox::start(&base, &name).await;
            // Nobody listens any more: the console is closing.
            let _ = events.send(Event::IncidentStarted { name, result }).await;
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

    /// Stops reading and polling, lets a write that is under way settle for a moment, closes the connections. At most two seconds,
    /// much less where nothing hangs.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.reader.close().await;
    }
}

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Effect>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
