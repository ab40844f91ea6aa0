//! The desk: what operators say about causes and drift, in the shared store where there is one, else in a file of this machine; and
//! the runs that other operators have shipped there. What it means is the domain's.

use super::file::{self, Mark};
use super::runs::{self, Fold};
use super::store::{Heard, Store};
use super::{Inner, Journal, JournalError, format};
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ids::SubjectKey;
use crate::protocol::desk::DeskWrite;
use crate::protocol::record::{Detail, Entry, Recorded, RunSummary};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Where it is kept, and how it is audited.
#[derive(Debug, Clone)]
pub struct Desk {
    journal: Journal,
    store: Option<Store>,
    /// What was read so far. It is asked for every few seconds, and its whole past is not.
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    here: Option<(Mark, DeskState)>,
    shared: Option<(Heard, DeskState)>,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    at: At,
    operator: String,
    #[serde(flatten)]
    write: DeskWrite,
}

/// The finished runs of others that are listed.
const FINISHED_OF_OTHERS: u8 = 20;

impl Desk {
    #[must_use]
    pub fn new(journal: Journal, store: Option<Store>) -> Self {
        Self { journal, store, known: Arc::default() }
    }

    /// What stands on it now. A store that was never migrated is none: then this machine's file counts.
    ///
    /// # Errors
    /// [`Fault`] where neither can be read.
    pub async fn state(&self) -> Result<DeskState, Fault> {
        let Some(store) = &self.store else { return self.here().await };
        let mut known = self.known.lock().await;
        let (before, desk) = known.shared.take().unwrap_or_default();
        match follow(store, self.journal.environment(), before, desk).await {
            Ok((heard, desk)) => {
                known.shared = Some((heard, desk.clone()));
                Ok(DeskState { shared: true, ..desk })
            }
            Err(fault) if fault.kind == FaultKind::NotSetUp => {
                drop(known);
                self.here().await
            }
            Err(fault) => Err(fault),
        }
    }

    /// Journals the write, then stores it; what stands on the desk after it.
    ///
    /// # Errors
    /// [`Fault`]: nothing was stored. Where consoles share a store and it does not answer, nothing is noted here instead: the
    /// others would not see it.
    pub async fn write(&self, write: &DeskWrite) -> Result<DeskState, Fault> {
        // By the customer's own key, so that what names them is removed with them.
        let about = write.customer().map(|c| SubjectKey(c.to_string()));
        self.journal.append(about.as_ref(), Entry::DeskWrite { write: write.name().into() }, Detail::of(write)).await?;
        let json = serde_json::to_string(write).expect("invariant: a write is plain data");
        let stored = match &self.store {
            Some(store) => store.say(self.journal.environment(), self.journal.operator(), &json).await,
            None => Err(Fault::new(crate::domain::fault::Source::Store, FaultKind::NotSetUp, "no shared store")),
        };
        match stored {
            Ok(()) => {}
            Err(fault) if fault.kind == FaultKind::NotSetUp => {
                let write = write.clone();
                self.journal.blocking(move |inner| inner.say(write)).await?;
            }
            Err(fault) => return Err(fault),
        }
        self.state().await
    }

    async fn here(&self) -> Result<DeskState, Fault> {
        let mut known = self.known.lock().await;
        let (mark, before) = known.here.take().unwrap_or_default();
        let (lines, mark, anew) = self.journal.blocking(move |inner| file::lines_since(&inner.places.desk, mark)).await?;
        let mut desk = if anew { DeskState::default() } else { before };
        // A line that cannot be read is of a newer program: it says nothing to this one.
        for said in lines.iter().filter_map(|l| serde_json::from_str::<Said>(l).ok()) {
            said.write.apply(&mut desk, &said.operator, said.at);
        }
        known.here = Some((mark, desk.clone()));
        Ok(desk)
    }
}

/// What the store says since it was heard last. Where something was removed, or came in between, everything anew.
async fn follow(store: &Store, environment: &str, before: Heard, mut desk: DeskState) -> Result<(Heard, DeskState), Fault> {
    let (rows, mut heard) = store.desk(environment, before).await?;
    let rows = if heard.follows(&before, rows.len()) {
        rows
    } else {
        desk = DeskState::default();
        let (rows, anew) = store.desk(environment, Heard::default()).await?;
        heard = anew;
        rows
    };
    for (at, by, write) in rows {
        if let Ok(write) = serde_json::from_str::<DeskWrite>(&write) {
            write.apply(&mut desk, &by, at);
        }
    }
    Ok((heard, desk))
}

impl Inner {
    fn say(&self, write: DeskWrite) -> Result<(), JournalError> {
        let path = &self.places.desk;
        let mut file = file::open_locked(path)?;
        file::last_line(&mut file, path, &self.places.torn)?;
        let said = Said { at: chrono::Utc::now(), operator: self.operator.clone(), write };
        file::append_line(&mut file, path, &serde_json::to_string(&said).expect("invariant: a write is plain data"))
    }

    /// Removes what was said about this customer, by whomever. How much that was.
    pub(super) fn unsay(&self, customer: &SubjectKey) -> Result<usize, JournalError> {
        let path = &self.places.desk;
        if !path.exists() {
            return Ok(0);
        }
        let _locked = file::open_locked(path)?;
        let lines = file::lines(path)?;
        let theirs = |line: &&String| {
            serde_json::from_str::<Said>(line).is_ok_and(|s| s.write.customer().is_some_and(|c| c.as_str() == customer.as_str()))
        };
        let (gone, kept): (Vec<_>, Vec<_>) = lines.iter().partition(theirs);
        if !gone.is_empty() {
            let text: String = kept.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
            file::replace(path, text.as_bytes())?;
        }
        Ok(gone.len())
    }
}

/// The runs of other operators that their records in the store tell of: unfinished ones first. What names people stays with them.
///
/// # Errors
/// [`Fault`] where the store cannot be read; one that was never migrated has none.
pub async fn team_runs(journal: &Journal, store: &Store) -> Result<Vec<RunSummary>, Fault> {
    let (records, leased) = of_others(journal, store).await?;
    let mut fold = Fold::default();
    records.iter().for_each(|record| fold.take(record, None));
    let mut found: Vec<RunSummary> = fold.all().cloned().collect();
    for run in found.iter_mut().filter(|r| !r.is_finished()) {
        run.held = leased.contains(&run.run);
    }
    runs::sort(&mut found, FINISHED_OF_OTHERS.into());
    Ok(found)
}

/// What the store has of another operator's run, oldest first; empty where it has nothing.
///
/// # Errors
/// As [`team_runs`].
pub async fn team_recorded(journal: &Journal, store: &Store, run: Uuid) -> Result<Vec<Recorded>, Fault> {
    let (records, _) = of_others(journal, store).await?;
    Ok(runs::recorded(records.into_iter().filter(|b| b.entry.run() == Some(run)), &HashMap::new()))
}

async fn of_others(journal: &Journal, store: &Store) -> Result<(Vec<format::Body>, Vec<Uuid>), Fault> {
    match store.of_others(journal.environment(), journal.operator(), FINISHED_OF_OTHERS.into()).await {
        Ok((records, leased)) => Ok((records.iter().filter_map(|r| format::parse(r).ok()).map(|l| l.body).collect(), leased)),
        Err(fault) if fault.kind == FaultKind::NotSetUp => Ok((Vec::new(), Vec::new())),
        Err(fault) => Err(fault),
    }
}
