//! Polls: each source in a task of its own, at its own interval, so that one that hangs turns stale alone.

use crate::domain::fault::{Fault, FaultKind, Source};
use crate::gateway::reader::Reader;
use crate::protocol::event::Event;
use crate::protocol::freshness::interval;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// The polls that run.
pub struct Polls {
    nudges: Vec<Arc<Notify>>,
}

impl Polls {
    /// Every source is asked again now.
    pub fn now(&self) {
        for nudge in &self.nudges {
            nudge.notify_one();
        }
    }
}

/// A source may take this long to say that it is there.
const LIMIT: Duration = Duration::from_secs(5);

/// Begins to poll what is configured.
pub fn start(reader: &Reader, events: &mpsc::Sender<Event>, stop: &CancellationToken) -> Polls {
    let mut polls = Polls { nudges: Vec::new() };
    for source in reader.sources().environment().set_up {
        let nudge = Arc::new(Notify::new());
        polls.nudges.push(Arc::clone(&nudge));
        let (reader, events, stop) = (reader.clone(), events.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = poll(source, &reader, &events, &nudge) => {}
            }
        });
    }
    polls
}

async fn poll(source: Source, reader: &Reader, events: &mpsc::Sender<Event>, nudge: &Notify) {
    let every = Duration::from_secs(u64::try_from(interval(source)).unwrap_or(5));
    let mut account_told = false;
    loop {
        let result = bounded(source, ask(source, reader)).await;
        if source == Source::Stripe && result.is_ok() && !account_told {
            account_told = learn(reader, events).await;
        }
        if events.send(Event::SourceReported { source, result }).await.is_err() {
            return;
        }
        // A refresh asks at once; what comes while an answer is awaited is answered by it and once more.
        let _ = tokio::time::timeout(every, nudge.notified()).await;
    }
}

async fn ask(source: Source, reader: &Reader) -> Result<(), Fault> {
    let sources = reader.sources();
    match source {
        Source::Database => sources.database()?.poll().await,
        Source::Stripe => reader.learn_mode().await.map(drop),
        Source::Application => sources.application()?.ready().await,
        Source::Store => reader.poll_store().await,
        Source::Log => sources.logs()?.poll().await,
    }
}

async fn bounded(source: Source, poll: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
    let late = |_| Err(Fault::new(source, FaultKind::Timeout, format!("{} did not answer in time", source.word())));
    tokio::time::timeout(LIMIT, poll).await.unwrap_or_else(late)
}

/// Tells which account and mode the key opens; whether that was known. The poll itself goes on telling the gate the mode.
async fn learn(reader: &Reader, events: &mpsc::Sender<Event>) -> bool {
    let Ok(stripe) = reader.sources().stripe() else { return false };
    let Ok(Ok(account)) = tokio::time::timeout(LIMIT, stripe.account()).await else { return false };
    let database = reader.sources().database().map(|d| d.name().to_string()).unwrap_or_default();
    let known = Event::AccountKnown { name: account.name, livemode: account.livemode, database };
    events.send(known).await.is_ok()
}
