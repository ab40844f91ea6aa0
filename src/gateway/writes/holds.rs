//! What runs and their single acts keep others off: locks in the journal's directory, leases in the shared store. What a run did is not its concern.

use super::{Performer, WriteLane};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::gateway::journal::store::Store;
use crate::gateway::journal::{Held, JournalError};
use crate::protocol::run::{Attempt, short};
use std::sync::Arc;
use uuid::Uuid;

/// What one act of a run about several keeps others off, for as long as it lasts.
pub(super) struct One {
    held: Held,
    leased: Option<SubjectKey>,
}

/// How the asking for a lease ended.
enum Lease {
    Taken,
    /// There is none, or it does not answer, which must not stand in the way of a repair.
    NoStore,
    Of {
        operator: String,
        run: Uuid,
    },
}

impl<P: Performer> WriteLane<P> {
    pub(super) async fn renew(&self, attempt: &Attempt) -> Result<(), Fault> {
        let open = self.inner.open.lock().await;
        let leased = open.get(&attempt.run).filter(|o| o.leased).map(|o| (o.procedure.clone(), o.subject.clone()));
        drop(open);
        if let Some((procedure, subject)) = leased {
            // Not the customer of this one act: everything that the run still has to do stands on it.
            let lapsed =
                |fault: Fault| Fault { kind: FaultKind::Denied, say: format!("The hold on this run has lapsed: {}", fault.say), ..fault };
            self.lease_of_run(attempt.run, &procedure, subject.as_ref()).await.map_err(lapsed)?;
        }
        Ok(())
    }

    /// Renews the lease of a run for as long as it is open here: a pause or a watch lasts longer than a lease.
    pub(super) fn keep_leased(&self, run: Uuid) {
        let Some(every) = self.inner.store.as_ref().map(Store::renews_every) else { return };
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(inner) = inner.upgrade() else { return };
                let lane = Self { inner };
                let open = lane.inner.open.lock().await.get(&run).map(|o| (o.procedure.clone(), o.subject.clone()));
                let Some((procedure, subject)) = open else { return };
                // Where somebody else has it by now, the run's next act is told so.
                let _ = lane.lease_of_run(run, &procedure, subject.as_ref()).await;
                // It may have ended meanwhile, and given back what this has just taken.
                if !lane.inner.open.lock().await.contains_key(&run) {
                    return lane.release_lease(run).await;
                }
            }
        });
    }

    /// The subject's own lock and lease, where the run is about several.
    pub(super) async fn take_one_of_many(&self, attempt: &Attempt, subject: Option<&SubjectKey>) -> Result<Option<One>, Fault> {
        let several = self.inner.open.lock().await.get(&attempt.run).is_some_and(|o| o.subject.is_none());
        let Some(subject) = subject.filter(|_| several) else { return Ok(None) };
        let held = self.inner.journal.hold_subject(subject).await?;
        match self.lease(attempt.run, subject).await {
            Lease::Taken => Ok(Some(One { held, leased: Some(subject.clone()) })),
            Lease::NoStore => Ok(Some(One { held, leased: None })),
            Lease::Of { operator, run } => {
                held.release();
                let say = format!("{operator} has run {} open for this customer", short(run));
                Err(Fault::new(Source::Store, FaultKind::Conflict, say))
            }
        }
    }

    pub(super) async fn give_one_back(&self, run: Uuid, taken: Option<One>) {
        let Some(One { held, leased }) = taken else { return };
        held.release();
        if let (Some(store), Some(subject)) = (&self.inner.store, leased) {
            let journal = &self.inner.journal;
            // It runs out by itself where this fails.
            let _ = store.release(journal.environment(), run, Some(&journal.subject_hash(&subject))).await;
        }
    }

    /// The locks of a run, and whether it has the shared store's lease too.
    pub(super) async fn take(&self, run: Uuid, procedure: &str, subject: Option<&SubjectKey>) -> Result<(Held, bool), Fault> {
        let scope = scope(procedure, subject);
        let held = match self.inner.journal.hold(run, Some(&scope)).await {
            Err(JournalError::SubjectHeld) if subject.is_none() => {
                return Err(Fault::new(Source::Store, FaultKind::Conflict, self.in_the_way(procedure).await));
            }
            held => held?,
        };
        match self.lease_of_run(run, procedure, subject).await {
            Ok(leased) => Ok((held, leased)),
            Err(fault) => {
                held.release();
                Err(fault)
            }
        }
    }

    /// Which run keeps others of its kind off, and whose it is, as far as this journal tells.
    async fn in_the_way(&self, procedure: &str) -> String {
        let runs = self.inner.journal.runs().await.unwrap_or_default();
        let open = runs.iter().find(|r| r.held && !r.is_finished() && r.subject.is_none() && family(&r.procedure) == family(procedure));
        let which = open.map_or("Another run".into(), |r| format!("Run {} of {}", short(r.run), r.operator));
        format!("{which} is open, and only one of its kind goes on at a time: go on with that one, or let it end")
    }

    /// What was taken for a run that is not open after all: nobody else is to be kept waiting for it.
    pub(super) async fn give_back(&self, run: Uuid, held: Held, leased: bool) {
        held.release();
        if leased {
            self.release_lease(run).await;
        }
    }

    /// Takes or renews the lease on what a run keeps others off. Whether there is one.
    async fn lease_of_run(&self, run: Uuid, procedure: &str, subject: Option<&SubjectKey>) -> Result<bool, Fault> {
        match self.lease(run, &scope(procedure, subject)).await {
            Lease::Taken => Ok(true),
            Lease::NoStore => Ok(false),
            Lease::Of { operator, run } => {
                let what = if subject.is_some() { " for this customer" } else { ", and only one of its kind goes on at a time" };
                let say = format!("{operator} has run {} open{what}", short(run));
                Err(Fault::new(Source::Store, FaultKind::Conflict, say))
            }
        }
    }

    /// Takes or renews one lease.
    async fn lease(&self, run: Uuid, subject: &SubjectKey) -> Lease {
        let Some(store) = &self.inner.store else { return Lease::NoStore };
        let journal = &self.inner.journal;
        match store.lease(journal.environment(), &journal.subject_hash(subject), run, journal.operator()).await {
            Ok(None) => Lease::Taken,
            Ok(Some((run, operator))) => Lease::Of { operator, run },
            Err(_) => Lease::NoStore,
        }
    }

    pub(super) async fn release_lease(&self, run: Uuid) {
        if let Some(store) = &self.inner.store {
            // It runs out by itself where this fails.
            let _ = store.release(self.inner.journal.environment(), run, None).await;
        }
    }
}

/// What a run keeps others off: its customer, or, where it is about several, the procedure itself.
fn scope(procedure: &str, subject: Option<&SubjectKey>) -> SubjectKey {
    subject.cloned().unwrap_or_else(|| SubjectKey(format!("every subject of {}", family(procedure))))
}

/// Procedures that keep each other off. Two of them send events once more: side by side they would send the same ones.
pub(super) fn family(procedure: &str) -> &str {
    match procedure {
        "failed-webhook" | "endpoint-down" => "webhooks",
        other => other,
    }
}
