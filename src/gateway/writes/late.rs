//! The journal as the lane writes it: what is to be kept without anybody's address, and what could not be recorded when it happened, which
//! is recorded as soon as that can be done. What a record means is not its concern.

use super::{Performer, WriteLane};
use crate::domain::fault::Fault;
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::text::clean;
use crate::protocol::record::{Detail, Entry};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

/// A record that the journal has not taken yet.
#[derive(Debug)]
pub(super) struct Late {
    subject: Option<SubjectKey>,
    entry: Entry,
    detail: Detail,
}

/// Between two tries at what could not be recorded.
const AGAIN: Duration = Duration::from_secs(2);
/// The fields of a payload that hold what an operator typed.
const TYPED: [&str; 2] = ["reason", "words"];

impl<P: Performer> WriteLane<P> {
    /// Hears what becomes of runs beside their own steps, from here on: which run, and a clause about it.
    #[must_use]
    pub fn notes(&self) -> broadcast::Receiver<(Uuid, String)> {
        self.inner.notes.subscribe()
    }

    pub(super) fn note(&self, run: Uuid, say: &str) {
        // Nobody may listen: the journal has what counts.
        let _ = self.inner.notes.send((run, say.to_string()));
    }

    /// Appends a record behind those that could not be appended when they were due.
    pub(super) async fn journal(&self, subject: Option<&SubjectKey>, entry: Entry, detail: Detail) -> Result<(), Fault> {
        let mut late = self.inner.late.lock().await;
        self.catch_up(&mut late).await?;
        self.inner.journal.append(subject, entry, without_addresses(detail)).await?;
        Ok(())
    }

    /// The same for what has happened already: where it cannot be recorded now, it is tried again until it can.
    pub(super) async fn journal_late(&self, subject: Option<&SubjectKey>, entry: Entry, detail: Detail) -> Result<(), Fault> {
        let result = self.journal(subject, entry.clone(), detail.clone()).await;
        if let Err(fault) = &result {
            if let Entry::RunClosed { run, .. } = &entry {
                self.note(*run, &format!("unrecorded: its end could not be journaled, which is tried again ({})", fault.say));
            }
            self.inner.late.lock().await.push_back(Late { subject: subject.cloned(), entry, detail });
            self.try_again();
        }
        result
    }

    /// Whether the end of this run is among what is still to be recorded.
    pub(super) async fn is_closed_unrecorded(&self, run: Uuid) -> bool {
        let closes = |l: &Late| matches!(l.entry, Entry::RunClosed { run: closed, .. } if closed == run);
        self.inner.late.lock().await.iter().any(closes)
    }

    /// Records what could not be recorded when it happened.
    ///
    /// # Errors
    /// [`Fault`]: the journal still takes nothing.
    pub async fn record_late(&self) -> Result<(), Fault> {
        self.catch_up(&mut *self.inner.late.lock().await).await
    }

    async fn catch_up(&self, late: &mut VecDeque<Late>) -> Result<(), Fault> {
        while let Some(Late { subject, entry, detail }) = late.front() {
            self.inner.journal.append(subject.as_ref(), entry.clone(), without_addresses(detail.clone())).await?;
            if let Entry::RunClosed { run, .. } = entry {
                self.note(*run, "its end is journaled by now");
            }
            late.pop_front();
        }
        Ok(())
    }

    fn try_again(&self) {
        if self.inner.retrying.swap(true, Ordering::SeqCst) {
            return;
        }
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(AGAIN).await;
                let Some(inner) = inner.upgrade() else { return };
                let lane = Self { inner };
                let mut late = lane.inner.late.lock().await;
                if lane.catch_up(&mut late).await.is_ok() {
                    // Under the lock: whatever comes later finds nobody trying, and begins anew.
                    lane.inner.retrying.store(false, Ordering::SeqCst);
                    return;
                }
            }
        });
    }
}

/// What an operator typed, as it is kept and shown: nobody's address stands in it.
pub(super) fn typed(text: &str) -> String {
    mask::addresses(&clean(text.trim()))
}

/// One place for all that is typed, whatever it was typed into.
fn without_addresses(mut detail: Detail) -> Detail {
    for field in TYPED {
        if let Some(Value::String(text)) = detail.0.get_mut(field) {
            *text = typed(text);
        }
    }
    detail
}
