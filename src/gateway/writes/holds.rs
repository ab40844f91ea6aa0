//! What runs and their single acts keep others off: locks in the journal's directory, leases in the shared store. What a run did is not its concern.

use super::{Performer, WriteLane};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::gateway::journal::store::Store;
use crate::gateway::journal::{Held, JournalError};
use crate::protocol::record::{Detail, Entry, UnleasedDetail};
use crate::protocol::run::{Attempt, short};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What one act of a run about several keeps others off, for as long as it lasts.
pub(super) struct One {
    held: Held,
    leased: Option<SubjectKey>,
}

/// How an open run stands with the shared store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leased {
    /// When its lease was taken or renewed last; `None`: nothing keeps other consoles off.
    since: Option<Instant>,
    /// That nothing does was told and journaled.
    told: bool,
}

/// How the asking for a lease ended.
pub(super) enum Lease {
    Taken,
    /// There is no store that could give one.
    NoStore,
    /// It did not answer, which must not stand in the way of a repair; why.
    Silent(String),
    Of {
        operator: String,
        run: Uuid,
    },
}

/// How soon a lease is asked for again that could not be had.
const AGAIN: Duration = Duration::from_secs(10);

impl<P: Performer> WriteLane<P> {
    /// Renews the lease of the act's run, or asks for it again where it could not be had so far.
    pub(super) async fn renew(&self, attempt: &Attempt) -> Result<(), Fault> {
        let open = self.inner.open.lock().await;
        let leased = open.get(&attempt.run).filter(|o| o.leased.is_some()).map(|o| (o.procedure.clone(), o.subject.clone()));
        drop(open);
        if let Some((procedure, subject)) = leased {
            // Not the customer of this one act: everything that the run still has to do stands on it.
            let lapsed =
                |fault: Fault| Fault { kind: FaultKind::Denied, say: format!("The hold on this run has lapsed: {}", fault.say), ..fault };
            let lease = self.lease_of_run(attempt.run, &procedure, subject.as_ref()).await.map_err(lapsed)?;
            self.stands(attempt.run, &lease).await;
        }
        Ok(())
    }

    /// A run was opened or taken up with this answer: its lease is kept for as long as it is open here, or asked for until it is there. A
    /// pause or a watch lasts longer than a lease.
    pub(super) async fn keep_leased(&self, run: Uuid, lease: Lease) {
        let Some(every) = self.inner.store.as_ref().map(Store::renews_every) else { return };
        if matches!(lease, Lease::NoStore) {
            return;
        }
        if let Some(open) = self.inner.open.lock().await.get_mut(&run) {
            open.leased = Some(Leased::default());
        }
        self.stands(run, &lease).await;
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let mut pause = if matches!(lease, Lease::Taken) { every } else { every.min(AGAIN) };
            loop {
                tokio::time::sleep(pause).await;
                let Some(inner) = inner.upgrade() else { return };
                let lane = Self { inner };
                let open = lane.inner.open.lock().await.get(&run).map(|o| (o.procedure.clone(), o.subject.clone()));
                let Some((procedure, subject)) = open else { return };
                // Where somebody else has it by now, the run's next act is told so.
                let lease = lane.lease_of_run(run, &procedure, subject.as_ref()).await;
                pause = if matches!(lease, Ok(Lease::Taken)) { every } else { every.min(AGAIN) };
                // It may have ended meanwhile, and given back what this has just taken.
                if !lane.inner.open.lock().await.contains_key(&run) {
                    return lane.release_lease(run).await;
                }
                if let Ok(lease) = lease {
                    lane.stands(run, &lease).await;
                }
            }
        });
    }

    /// Keeps how the run stands with the store by now; that it has no lease is told and journaled once, until it has one again.
    async fn stands(&self, run: Uuid, lease: &Lease) {
        let lasts = self.inner.store.as_ref().map(Store::lasts).unwrap_or_default();
        let mut open = self.inner.open.lock().await;
        let Some(leased) = open.get_mut(&run).and_then(|o| o.leased.as_mut()) else { return };
        match lease {
            Lease::Taken => {
                let late = std::mem::take(&mut leased.told);
                leased.since = Some(Instant::now());
                drop(open);
                if late {
                    self.note(run, "the shared store gives its lease from here on");
                }
            }
            // What was renewed a while ago still holds.
            Lease::Silent(why) if leased.since.is_none_or(|s| s.elapsed() >= lasts) => {
                leased.since = None;
                drop(open);
                self.go_without(run, why).await;
            }
            _ => {}
        }
    }

    /// Tells and journals, once, that the run acts without a lease.
    async fn go_without(&self, run: Uuid, why: &str) {
        let mut open = self.inner.open.lock().await;
        let Some(one) = open.get_mut(&run) else { return };
        let leased = one.leased.get_or_insert_default();
        if std::mem::replace(&mut leased.told, true) {
            return;
        }
        let subject = one.subject.clone();
        drop(open);
        let why = format!("no lease: {why}");
        self.note(run, &why);
        // Where the journal takes nothing, nothing is performed either.
        let _ = self.journal(subject.as_ref(), Entry::Unleased { run }, Detail::of(&UnleasedDetail { why })).await;
    }

    /// The subject's own lock and lease, where the run is about several.
    pub(super) async fn take_one_of_many(&self, attempt: &Attempt, subject: Option<&SubjectKey>) -> Result<Option<One>, Fault> {
        let several = self.inner.open.lock().await.get(&attempt.run).is_some_and(|o| o.subject.is_none());
        let Some(subject) = subject.filter(|_| several) else { return Ok(None) };
        let held = self.inner.journal.hold_subject(subject).await?;
        match self.lease(attempt.run, subject).await {
            Lease::Taken => Ok(Some(One { held, leased: Some(subject.clone()) })),
            Lease::NoStore => Ok(Some(One { held, leased: None })),
            Lease::Silent(why) => {
                self.go_without(attempt.run, &why).await;
                Ok(Some(One { held, leased: None }))
            }
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

    /// The locks of a run, and how the shared store answered for it.
    pub(super) async fn take(&self, run: Uuid, procedure: &str, subject: Option<&SubjectKey>) -> Result<(Held, Lease), Fault> {
        let scope = scope(procedure, subject);
        let held = match self.inner.journal.hold(run, Some(&scope)).await {
            Err(JournalError::SubjectHeld) if subject.is_none() => {
                return Err(Fault::new(Source::Store, FaultKind::Conflict, self.in_the_way(procedure).await));
            }
            held => held?,
        };
        match self.lease_of_run(run, procedure, subject).await {
            Ok(lease) => Ok((held, lease)),
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
    pub(super) async fn give_back(&self, run: Uuid, held: Held, lease: &Lease) {
        held.release();
        self.give_lease_back(run, matches!(lease, Lease::Taken), matches!(lease, Lease::Silent(_))).await;
    }

    /// The locks and the lease of a run that is over.
    pub(super) async fn let_go(&self, run: Uuid, held: Held, leased: Option<Leased>) {
        held.release();
        self.give_lease_back(run, leased.is_some_and(|l| l.since.is_some()), leased.is_some_and(|l| l.since.is_none())).await;
    }

    /// `in_doubt`: a store that did not answer may have given one all the same, and nobody waits for it twice.
    async fn give_lease_back(&self, run: Uuid, taken: bool, in_doubt: bool) {
        if taken {
            self.release_lease(run).await;
        } else if in_doubt {
            let lane = self.clone();
            tokio::spawn(async move { lane.release_lease(run).await });
        }
    }

    /// Takes or renews the lease on what a run keeps others off: never [`Lease::Of`], which is a conflict.
    async fn lease_of_run(&self, run: Uuid, procedure: &str, subject: Option<&SubjectKey>) -> Result<Lease, Fault> {
        match self.lease(run, &scope(procedure, subject)).await {
            Lease::Of { operator, run } => {
                let what = if subject.is_some() { " for this customer" } else { ", and only one of its kind goes on at a time" };
                let say = format!("{operator} has run {} open{what}", short(run));
                Err(Fault::new(Source::Store, FaultKind::Conflict, say))
            }
            lease => Ok(lease),
        }
    }

    /// Takes or renews one lease.
    async fn lease(&self, run: Uuid, subject: &SubjectKey) -> Lease {
        let Some(store) = &self.inner.store else { return Lease::NoStore };
        let journal = &self.inner.journal;
        match store.lease(journal.environment(), &journal.subject_hash(subject), run, journal.operator()).await {
            Ok(None) => Lease::Taken,
            Ok(Some((run, operator))) => Lease::Of { operator, run },
            // One that was never made is none.
            Err(fault) if fault.kind == FaultKind::NotSetUp => Lease::NoStore,
            Err(fault) if matches!(fault.kind, FaultKind::Timeout | FaultKind::Unreachable) => {
                Lease::Silent("the shared store did not answer".into())
            }
            Err(fault) => Lease::Silent(fault.say),
        }
    }

    async fn release_lease(&self, run: Uuid) {
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
