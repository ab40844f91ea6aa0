//! The way of every write: gate, journal, out, journal. Who carries a command out is somebody else's: a [`Performer`].

use super::gate::Gate;
use super::journal::store::Store;
use super::journal::{Held, Journal, JournalError};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::policy::Writes;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::gate::Permit;
use crate::protocol::record::{Concluded, ConcludedDetail, Detail, Entry, IntendedDetail, OpenedDetail, RunState, RunSummary};
use crate::protocol::run::{Attempt, Perform, Performed, idempotency_key, short};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

/// Carries a permitted command out, under its idempotency key.
pub trait Performer: Send + Sync + 'static {
    /// Bounded in time. An end that is not certain is [`Outcome::Unknown`].
    fn perform(&self, permit: &Permit, key: &str) -> impl Future<Output = Outcome> + Send;

    /// Writes are about to be turned on: fetches what only they need. What cannot be had is told by the command that needs it.
    fn arm(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Writes are off: drops it.
    fn disarm(&self) {}
}

/// The lane that every write goes through. Cheap to clone.
pub struct WriteLane<P> {
    inner: Arc<Inner<P>>,
}

struct Inner<P> {
    gate: Arc<Gate>,
    journal: Journal,
    store: Option<Store>,
    performer: P,
    open: Mutex<HashMap<Uuid, Open>>,
    under_way: AtomicUsize,
    landed: Notify,
}

/// A run that this process holds open.
struct Open {
    held: Held,
    procedure: String,
    subject: Option<SubjectKey>,
    /// The shared store keeps other consoles off the subject.
    leased: bool,
    /// The confirmation that its acts stand on: it was fresh when the first of them came.
    confirmed_at: Option<At>,
    attempts: Vec<Tried>,
}

/// What one act of a run about several keeps others off, for as long as it lasts.
struct One {
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

/// An attempt, whom it touches, and how it ended.
struct Tried {
    attempt: Attempt,
    subject: Option<SubjectKey>,
    result: Option<Concluded>,
}

impl<P> Clone for WriteLane<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<P: Performer> WriteLane<P> {
    #[must_use]
    pub fn new(gate: Arc<Gate>, journal: Journal, store: Option<Store>, performer: P) -> Self {
        let (open, under_way, landed) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Self { inner: Arc::new(Inner { gate, journal, store, performer, open, under_way, landed }) }
    }

    /// Turns writes on, journaled with the reason.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub async fn turn_on(&self, reason: &str, now: At) -> Result<Writes, String> {
        let writes = self.inner.gate.turn_on(reason, now)?;
        self.inner.performer.arm().await;
        if let Writes::On { until, reason } = &writes {
            let detail = Detail(serde_json::json!({ "reason": reason }));
            if let Err(error) = self.inner.journal.append(None, Entry::WritesTurnedOn { until: *until }, detail).await {
                self.disarm();
                return Err(Fault::from(error).say);
            }
        }
        Ok(writes)
    }

    /// Turns writes off. They are off even where that cannot be journaled.
    ///
    /// # Errors
    /// Why it could not be journaled.
    pub async fn turn_off(&self) -> Result<(), Fault> {
        self.disarm();
        self.inner.journal.append(None, Entry::WritesTurnedOff, Detail::none()).await?;
        Ok(())
    }

    /// Writes are off, and what only they need is dropped.
    fn disarm(&self) {
        self.inner.gate.turn_off();
        self.lapse();
    }

    /// The gate's lease has run out: drops what only writes need.
    pub fn lapse(&self) {
        self.inner.performer.disarm();
    }

    /// Opens a run: its locks, its lease where there is a shared store, its first record.
    ///
    /// # Errors
    /// [`Fault`]: another run is open for the subject, one about several was left unfinished, or the journal cannot be written.
    /// Nothing is open then.
    pub async fn open_run(&self, run: Uuid, procedure: &str, detail: Detail) -> Result<(), Fault> {
        let subject = serde_json::from_value::<OpenedDetail>(detail.0.clone()).ok().and_then(|d| d.subject);
        let (held, leased) = self.take(run, procedure, subject.as_ref()).await?;
        if subject.is_none()
            && let Err(fault) = self.nothing_left_of(procedure).await
        {
            self.give_back(run, held, leased).await;
            return Err(fault);
        }
        let entry = Entry::RunOpened { run, procedure: procedure.to_string() };
        if let Err(error) = self.inner.journal.append(subject.as_ref(), entry, detail).await {
            self.give_back(run, held, leased).await;
            return Err(error.into());
        }
        self.inner
            .open
            .lock()
            .await
            .insert(run, Open { held, procedure: procedure.to_string(), subject, leased, confirmed_at: None, attempts: Vec::new() });
        Ok(())
    }

    /// Takes up a run that the journal shows unfinished.
    ///
    /// # Errors
    /// [`Fault`]: it is open elsewhere, finished, or not in this journal.
    pub async fn resume_run(&self, run: Uuid) -> Result<(), Fault> {
        let unknown = || Fault::new(Source::Store, FaultKind::NotFound, format!("Run {} is not in this journal", short(run)));
        let RunSummary { subject, procedure, .. } = self.inner.journal.run(run).await?.ok_or_else(unknown)?;
        let (held, leased) = self.take(run, &procedure, subject.as_ref()).await?;
        // Read again under the lock: its last holder may have gone on until a moment ago.
        let again = self.inner.journal.run(run).await.map_err(Fault::from);
        let unfinished = again.and_then(|found| {
            let summary = found.ok_or_else(unknown)?;
            let finished = || Fault::new(Source::Store, FaultKind::Conflict, format!("Run {} is finished", short(run)));
            if summary.is_finished() { Err(finished()) } else { Ok(summary) }
        });
        let summary = match unfinished {
            Ok(summary) => summary,
            Err(fault) => {
                self.give_back(run, held, leased).await;
                return Err(fault);
            }
        };
        let of = |i: usize| summary.commands.get(i).and_then(Option::as_ref).and_then(|(c, _)| c.subject().cloned());
        let tried = |(i, (attempt, outcome)): (usize, &(Attempt, Option<Outcome>))| Tried {
            attempt: attempt.clone(),
            subject: of(i),
            result: outcome.as_ref().map(Concluded::from),
        };
        let attempts = summary.attempts.iter().enumerate().map(tried).collect();
        self.inner.open.lock().await.insert(run, Open { held, procedure, subject, leased, confirmed_at: None, attempts });
        Ok(())
    }

    /// Journals an entry that has no effect outside. The end of a run gives its locks back.
    ///
    /// # Errors
    /// [`Fault`]: the journal cannot be written, or the entry is not one that may be recorded by itself.
    pub async fn record(&self, run: Option<Uuid>, entry: Entry, detail: Detail) -> Result<(), Fault> {
        if matches!(entry, Entry::Intended { .. } | Entry::RunOpened { .. }) {
            let say = "An intent is journaled where it is performed, and nowhere else";
            return Err(Fault::new(Source::Store, FaultKind::Refused, say));
        }
        let mut open = self.inner.open.lock().await;
        let subject = run.and_then(|r| open.get(&r)).and_then(|o| o.subject.clone());
        self.inner.journal.append(subject.as_ref(), entry.clone(), detail).await?;
        match &entry {
            Entry::Concluded { attempt, result } => {
                if let Some(run) = open.get_mut(&attempt.run) {
                    run.conclude(attempt, *result);
                }
            }
            Entry::RunClosed { run, .. } => {
                if let Some(closed) = open.remove(run) {
                    closed.held.release();
                    drop(open);
                    if closed.leased {
                        self.release_lease(*run).await;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Journals that personal data is about to be shown, under the person's key where it is one person's.
    ///
    /// # Errors
    /// [`Fault`]: then nothing may be shown.
    pub async fn reveal(&self, subject: Option<&SubjectKey>, detail: Detail) -> Result<(), Fault> {
        self.inner.journal.append(subject, Entry::Revealed, detail).await?;
        Ok(())
    }

    /// Gate, intent, effect, outcome. Runs to its end even if the caller goes away.
    pub async fn perform(&self, perform: Perform) -> Performed {
        let (lane, attempt) = (self.clone(), perform.attempt.clone());
        self.inner.under_way.fetch_add(1, Ordering::SeqCst);
        let target = perform.command.target();
        let task = tokio::spawn(async move {
            let performed = lane.perform_to_the_end(perform).await;
            lane.inner.under_way.fetch_sub(1, Ordering::SeqCst);
            lane.inner.landed.notify_waiters();
            performed
        });
        task.await.unwrap_or_else(|_| {
            let fault = Fault::new(target, FaultKind::Refused, "The task that performed it broke off");
            Performed { attempt, outcome: Outcome::Unknown(fault), unrecorded: None }
        })
    }

    /// Waits until no write is under way, at most so long. Whether none is.
    pub async fn settle(&self, patience: Duration) -> bool {
        let idle = async {
            loop {
                let landed = self.inner.landed.notified();
                if self.inner.under_way.load(Ordering::SeqCst) == 0 {
                    return;
                }
                landed.await;
            }
        };
        tokio::time::timeout(patience, idle).await.is_ok()
    }

    /// The runs of this operator and environment.
    ///
    /// # Errors
    /// [`Fault`] where the journal cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, Fault> {
        Ok(self.inner.journal.runs().await?)
    }

    async fn perform_to_the_end(&self, perform: Perform) -> Performed {
        let Perform { attempt, command, undo, confirmed_at } = perform;
        let not_done = |fault| Performed { attempt: attempt.clone(), outcome: Outcome::NotDone(fault), unrecorded: None };
        if let Err(fault) = self.renew(&attempt).await {
            return not_done(fault);
        }
        let permit = match self.admit(&attempt, &command, confirmed_at).await {
            Ok(permit) => permit,
            Err(fault) => return not_done(fault),
        };
        let key = idempotency_key(&attempt);
        let subject = command.subject().cloned();
        // A run about several holds the lock of each only while it touches them: another run's customer is left to it.
        let taken = match self.take_one_of_many(&attempt, subject.as_ref()).await {
            Ok(taken) => taken,
            Err(fault) => {
                self.conclude(&attempt, Concluded::NotDone).await;
                return not_done(fault);
            }
        };
        let entry = Entry::Intended { attempt: attempt.clone(), command: command.name().to_string(), key: key.clone() };
        let detail = Detail::of(&IntendedDetail { command, undo });
        if let Err(error) = self.inner.journal.append(subject.as_ref(), entry, detail).await {
            self.give_one_back(attempt.run, taken).await;
            self.conclude(&attempt, Concluded::NotDone).await;
            return not_done(error.into());
        }
        let outcome = self.inner.performer.perform(&permit, &key).await;
        let result = Concluded::from(&outcome);
        let entry = Entry::Concluded { attempt: attempt.clone(), result };
        let detail = Detail::of(&ConcludedDetail { outcome: outcome.clone() });
        let recorded = self.inner.journal.append(subject.as_ref(), entry, detail).await;
        // Before it is concluded: the run's next act for the same subject takes both anew.
        self.give_one_back(attempt.run, taken).await;
        self.conclude(&attempt, result).await;
        Performed { attempt, outcome, unrecorded: recorded.err().map(|e| e.to_string()) }
    }

    async fn renew(&self, attempt: &Attempt) -> Result<(), Fault> {
        let open = self.inner.open.lock().await;
        let leased = open.get(&attempt.run).filter(|o| o.leased).map(|o| (o.procedure.clone(), o.subject.clone()));
        drop(open);
        if let Some((procedure, subject)) = leased {
            self.lease_of_run(attempt.run, &procedure, subject.as_ref()).await?;
        }
        Ok(())
    }

    /// Leave for this attempt: its run is open here, nothing of it is under way, and no try before it may have happened.
    async fn admit(&self, attempt: &Attempt, command: &Command, confirmed_at: At) -> Result<Permit, Fault> {
        let refused = |say: String| Fault::new(command.target(), FaultKind::Refused, say);
        let journal = self.inner.journal.ready().await;
        let mut open = self.inner.open.lock().await;
        let run = open.get_mut(&attempt.run).ok_or_else(|| refused(format!("Run {} is not open here", short(attempt.run))))?;
        if run.subject.as_ref().zip(command.subject()).is_some_and(|(of_run, of_command)| of_run != of_command) {
            return Err(refused("The command is about another customer than its run".into()));
        }
        let several = run.subject.is_none();
        let settled = run.attempts.iter().all(|Tried { attempt: before, subject, result }| match result {
            // Of a run about several, each subject is a row of its own.
            None | Some(Concluded::Unknown) => several && before.step != attempt.step && subject.as_ref() != command.subject(),
            Some(Concluded::Done) => before.step != attempt.step,
            Some(Concluded::NotDone) => before.step != attempt.step || before.attempt < attempt.attempt,
        });
        if !settled {
            return Err(refused("A try before it is under way, or may have happened: it is read back first, and not repeated".into()));
        }
        let now = chrono::Utc::now();
        // A plan of many acts is confirmed once: what was fresh for its first act holds for the others.
        let fresh = if run.confirmed_at == Some(confirmed_at) { now } else { confirmed_at };
        let permit = self.inner.gate.admit(command, Some(fresh), journal.is_ok(), now);
        let permit = permit.map_err(|denied| match &journal {
            Err(error) => Fault::new(command.target(), FaultKind::Denied, format!("{denied} ({error})")),
            Ok(()) => Fault::new(command.target(), FaultKind::Denied, denied.to_string()),
        })?;
        run.confirmed_at = Some(confirmed_at);
        run.attempts.push(Tried { attempt: attempt.clone(), subject: command.subject().cloned(), result: None });
        Ok(permit)
    }

    async fn conclude(&self, attempt: &Attempt, result: Concluded) {
        if let Some(run) = self.inner.open.lock().await.get_mut(&attempt.run) {
            run.conclude(attempt, result);
        }
    }

    /// The subject's own lock and lease, where the run is about several.
    async fn take_one_of_many(&self, attempt: &Attempt, subject: Option<&SubjectKey>) -> Result<Option<One>, Fault> {
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

    async fn give_one_back(&self, run: Uuid, taken: Option<One>) {
        let Some(One { held, leased }) = taken else { return };
        held.release();
        if let (Some(store), Some(subject)) = (&self.inner.store, leased) {
            let journal = &self.inner.journal;
            // It runs out by itself where this fails.
            let _ = store.release(journal.environment(), run, Some(&journal.subject_hash(&subject))).await;
        }
    }

    /// A run about several whose process died may have sent what a new one would send again: what it did is known to itself alone.
    async fn nothing_left_of(&self, procedure: &str) -> Result<(), Fault> {
        // One that sent nothing has nothing to repeat, and one whose inputs are gone from the journal cannot be gone on with.
        let left = |r: &&RunSummary| {
            let of_many = r.subject.is_none() && r.undoes.is_none() && r.inputs.is_some();
            of_many && matches!(r.state, RunState::Unknown | RunState::Acted) && family(&r.procedure) == family(procedure)
        };
        match self.inner.journal.runs().await?.iter().find(left) {
            Some(RunSummary { run, procedure, .. }) => {
                let run = short(*run);
                let say = format!("Run {run} ({procedure}) is not finished: go on with it first (nightdesk runs resume {run})");
                Err(Fault::new(Source::Store, FaultKind::Conflict, say))
            }
            None => Ok(()),
        }
    }

    /// The locks of a run, and whether it has the shared store's lease too.
    async fn take(&self, run: Uuid, procedure: &str, subject: Option<&SubjectKey>) -> Result<(Held, bool), Fault> {
        let scope = scope(procedure, subject);
        let held = match self.inner.journal.hold(run, Some(&scope)).await {
            Err(JournalError::SubjectHeld) if subject.is_none() => {
                let say = "Another run of this kind is open: go on with that one, or let it end";
                return Err(Fault::new(Source::Store, FaultKind::Conflict, say));
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

    /// What was taken for a run that is not open after all: nobody else is to be kept waiting for it.
    async fn give_back(&self, run: Uuid, held: Held, leased: bool) {
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
fn family(procedure: &str) -> &str {
    match procedure {
        "failed-webhook" | "endpoint-down" => "webhooks",
        other => other,
    }
}

impl Open {
    fn conclude(&mut self, attempt: &Attempt, result: Concluded) {
        if let Some(tried) = self.attempts.iter_mut().find(|t| t.attempt == *attempt) {
            tried.result = Some(result);
        }
    }
}
