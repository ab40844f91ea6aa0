//! The desk: what operators say about causes and drift, in the shared store where there is one, else in a file of this machine; and
//! the runs that other operators have shipped there. What it means is the domain's.

use super::file;
use super::store::Store;
use super::{Inner, Journal, JournalError, format, runs};
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ids::SubjectKey;
use crate::protocol::desk::DeskWrite;
use crate::protocol::record::{Detail, Entry, Recorded, RunSummary};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// Where it is kept, and how it is audited.
#[derive(Debug, Clone)]
pub struct Desk {
    journal: Journal,
    store: Option<Store>,
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
const FINISHED_OF_OTHERS: usize = 20;

impl Desk {
    #[must_use]
    pub fn new(journal: Journal, store: Option<Store>) -> Self {
        Self { journal, store }
    }

    /// What stands on it now. A store that was never migrated is none: then this machine's file counts.
    ///
    /// # Errors
    /// [`Fault`] where neither can be read.
    pub async fn state(&self) -> Result<DeskState, Fault> {
        let Some(store) = &self.store else { return self.here().await };
        match store.desk(self.journal.environment()).await {
            Ok(rows) => {
                let said = rows.into_iter().filter_map(|(at, by, write)| Some((at, by, serde_json::from_str(&write).ok()?)));
                Ok(DeskState { shared: true, ..fold(said) })
            }
            Err(fault) if fault.kind == FaultKind::NotSetUp => self.here().await,
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
        let lines = self.journal.blocking(|inner| file::lines(&inner.places.desk)).await?;
        // A line that cannot be read is of a newer program: it says nothing to this one.
        let said = lines.iter().filter_map(|l| serde_json::from_str::<Said>(l).ok());
        Ok(fold(said.map(|s| (s.at, s.operator, s.write))))
    }
}

impl Inner {
    fn say(&self, write: DeskWrite) -> Result<(), JournalError> {
        let path = &self.places.desk;
        let mut file = file::open(path)?;
        file::lock(&file, path)?;
        file::last_line(&mut file, path, &self.places.torn)?;
        let said = Said { at: chrono::Utc::now(), operator: self.operator.clone(), write };
        file::append_line(&mut file, path, &serde_json::to_string(&said).expect("invariant: a write is plain data"))
    }
}

fn fold(said: impl Iterator<Item = (At, String, DeskWrite)>) -> DeskState {
    let mut desk = DeskState::default();
    for (at, by, write) in said {
        write.apply(&mut desk, &by, at);
    }
    desk
}

/// The runs of other operators that their records in the store tell of: unfinished ones first. What names people stays with them.
///
/// # Errors
/// [`Fault`] where the store cannot be read; one that was never migrated has none.
pub async fn team_runs(journal: &Journal, store: &Store) -> Result<Vec<RunSummary>, Fault> {
    let (records, leased) = of_others(journal, store).await?;
    let mut found = runs::fold(records.into_iter(), &HashMap::new());
    for run in found.iter_mut().filter(|r| !r.is_finished()) {
        run.held = leased.contains(&run.run);
    }
    runs::sort(&mut found, FINISHED_OF_OTHERS);
    Ok(found)
}

/// What the store has of another operator's run, oldest first; empty where it has nothing.
///
/// # Errors
/// As [`team_runs`].
pub async fn team_recorded(journal: &Journal, store: &Store, run: Uuid) -> Result<Vec<Recorded>, Fault> {
    let (records, _) = of_others(journal, store).await?;
    Ok(runs::recorded(records.into_iter(), run, &HashMap::new()))
}

async fn of_others(journal: &Journal, store: &Store) -> Result<(Vec<format::Body>, Vec<Uuid>), Fault> {
    match store.of_others(journal.environment(), journal.operator()).await {
        Ok((records, leased)) => Ok((records.iter().filter_map(|r| format::parse(r).ok()).map(|l| l.body).collect(), leased)),
        Err(fault) if fault.kind == FaultKind::NotSetUp => Ok((Vec::new(), Vec::new())),
        Err(fault) => Err(fault),
    }
}
