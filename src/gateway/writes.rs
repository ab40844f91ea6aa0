//! The way of every write: gate, journal, out, journal. Who carries a command out is somebody else's: a [`Performer`].

mod holds;
mod late;
mod runs;

use super::gate::Gate;
use super::journal::store::Store;
use super::journal::{Held, Journal};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::policy::Writes;
use crate::protocol::command::{Command, Outcome, Touched};
use crate::protocol::gate::Permit;
use crate::protocol::record::{Concluded, ConcludedDetail, Detail, Entry, IntendedDetail};
use crate::protocol::run::{Attempt, Perform, Performed, idempotency_key, short};
use holds::Leased;
use late::{Late, typed};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, broadcast};
use uuid::Uuid;

/// Carries a permitted command out, under its idempotency key.
pub trait Performer: Send + Sync + 'static {
    /// Bounded in time. An end that is not certain is [`Outcome::Unknown`].
    fn perform(&self, permit: &Permit, key: &str) -> impl Future<Output = Outcome> + Send;

    /// Writes were turned on: begins to fetch what only they need, and returns at once. Whatever needs it waits for it, and tells where it
    /// cannot be had.
    fn arm(&self) {}

    /// Writes are off: drops it.
    fn disarm(&self) {}
}

/// Notes about runs that wait to be heard.
const NOTES: usize = 64;

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
    /// What has happened and could not be journaled yet, oldest first.
    late: Mutex<VecDeque<Late>>,
    /// Somebody is at that.
    retrying: AtomicBool,
    notes: broadcast::Sender<(Uuid, String)>,
}

/// A run that this process holds open.
struct Open {
    held: Held,
    procedure: String,
    subject: Option<SubjectKey>,
    /// How it stands with the shared store; `None`: there is none.
    leased: Option<Leased>,
    /// The confirmation that its acts stand on: it was fresh when the first of them came.
    confirmed_at: Option<At>,
    attempts: Vec<Tried>,
}

/// An attempt, what it touches, and how it ended.
struct Tried {
    attempt: Attempt,
    touched: Option<Touched>,
    result: Option<Concluded>,
}

/// A write on its way, for as long as it lives: one that breaks off is not on its way for ever.
struct UnderWay<P>(Arc<Inner<P>>);

impl<P> UnderWay<P> {
    fn begin(inner: &Arc<Inner<P>>) -> Self {
        inner.under_way.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(inner))
    }
}

impl<P> Drop for UnderWay<P> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.landed.notify_waiters();
    }
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
        let (late, retrying, notes) = (Mutex::default(), AtomicBool::new(false), broadcast::channel(NOTES).0);
        Self { inner: Arc::new(Inner { gate, journal, store, performer, open, under_way, landed, late, retrying, notes }) }
    }

    /// Turns writes on: the reason is journaled, and only then they are.
    ///
    /// # Errors
    /// One sentence for the operator. Where it cannot be journaled, writes that were on are off: nothing more of them could be journaled.
    pub async fn turn_on(&self, reason: &str, now: At) -> Result<Writes, String> {
        let reason = typed(reason);
        let until = self.inner.gate.would_turn_on(&reason, now)?;
        let detail = Detail(serde_json::json!({ "reason": reason }));
        if let Err(fault) = self.journal(None, Entry::WritesTurnedOn { until }, detail).await {
            self.disarm();
            return Err(fault.say);
        }
        let writes = self.inner.gate.turn_on(&reason, now)?;
        self.inner.performer.arm();
        Ok(writes)
    }

    /// Turns writes off. They are off even where that cannot be journaled.
    ///
    /// # Errors
    /// Why it could not be journaled.
    pub async fn turn_off(&self) -> Result<(), Fault> {
        self.disarm();
        self.journal(None, Entry::WritesTurnedOff, Detail::none()).await
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

    /// Journals an entry that has no effect outside. The end of a run gives its locks back, journaled or not: what ended is in nobody's way,
    /// and its end is journaled as soon as that can be done.
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
        let happened = matches!(entry, Entry::Concluded { .. } | Entry::Verified { .. } | Entry::RunClosed { .. });
        let result = if happened {
            self.journal_late(subject.as_ref(), entry.clone(), detail).await
        } else {
            self.journal(subject.as_ref(), entry.clone(), detail).await
        };
        match &entry {
            Entry::Concluded { attempt, result: came_to } if result.is_ok() => {
                if let Some(run) = open.get_mut(&attempt.run) {
                    run.conclude(attempt, *came_to);
                }
            }
            Entry::RunClosed { run, .. } => {
                if let Some(Open { held, leased, .. }) = open.remove(run) {
                    drop(open);
                    self.let_go(*run, held, leased).await;
                }
            }
            _ => {}
        }
        result
    }

    /// Journals that personal data is about to be shown, under the person's key where it is one person's.
    ///
    /// # Errors
    /// [`Fault`]: then nothing may be shown.
    pub async fn reveal(&self, subject: Option<&SubjectKey>, detail: Detail) -> Result<(), Fault> {
        self.journal(subject, Entry::Revealed, detail).await
    }

    /// Gate, intent, effect, outcome. Runs to its end even if the caller goes away.
    pub async fn perform(&self, perform: Perform) -> Performed {
        let (lane, attempt) = (self.clone(), perform.attempt.clone());
        let under_way = UnderWay::begin(&self.inner);
        let target = perform.command.target();
        let task = tokio::spawn(async move {
            let performed = lane.perform_to_the_end(perform).await;
            drop(under_way);
            performed
        });
        task.await.unwrap_or_else(|_| {
            let say = "The task that performed it broke off";
            let fault = Fault::new(target, FaultKind::Refused, say);
            Performed { attempt, outcome: Outcome::Unknown(fault), unrecorded: Some(say.into()) }
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
        if let Err(fault) = self.journal(subject.as_ref(), entry, detail).await {
            self.give_one_back(attempt.run, taken).await;
            self.conclude(&attempt, Concluded::NotDone).await;
            return not_done(fault);
        }
        let outcome = self.inner.performer.perform(&permit, &key).await;
        let result = Concluded::from(&outcome);
        let entry = Entry::Concluded { attempt: attempt.clone(), result };
        let detail = Detail::of(&ConcludedDetail { outcome: outcome.clone() });
        let recorded = self.journal(subject.as_ref(), entry, detail).await;
        // Before it is concluded: the run's next act for the same subject takes both anew.
        self.give_one_back(attempt.run, taken).await;
        if outcome.was_turned_away() {
            self.forget(&attempt).await;
        } else {
            self.conclude(&attempt, result).await;
        }
        Performed { attempt, outcome, unrecorded: recorded.err().map(|fault| fault.say) }
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
        let settled = run.attempts.iter().all(|Tried { attempt: before, touched, result }| match result {
            // Of a run about several, each subject is a row of its own, and each session one.
            None | Some(Concluded::Unknown) => several && before.step != attempt.step && *touched != command.touches(),
            Some(Concluded::Done) => before.step != attempt.step,
            Some(Concluded::NotDone) => before.step != attempt.step || before.attempt < attempt.attempt,
        });
        if !settled {
            return Err(refused("A try before it is under way, or may have happened: it is read back first, and not repeated".into()));
        }
        let now = chrono::Utc::now();
        // A plan of many acts is confirmed once: what was fresh for its first act holds for the others, each of which compares the row that
        // it changes, or had it read a moment ago.
        let fresh = if run.confirmed_at == Some(confirmed_at) { now } else { confirmed_at };
        let permit = self.inner.gate.admit(command, Some(fresh), journal.is_ok(), now);
        let permit = permit.map_err(|denied| match &journal {
            Err(error) => Fault::new(command.target(), FaultKind::Denied, format!("{denied} ({error})")),
            Ok(()) => Fault::new(command.target(), FaultKind::Denied, denied.to_string()),
        })?;
        run.confirmed_at = Some(confirmed_at);
        run.attempts.push(Tried { attempt: attempt.clone(), touched: command.touches(), result: None });
        Ok(permit)
    }

    /// It was turned away for its rate: it may come again as the same try, under the same key.
    async fn forget(&self, attempt: &Attempt) {
        if let Some(run) = self.inner.open.lock().await.get_mut(&attempt.run) {
            run.attempts.retain(|t| t.attempt != *attempt);
        }
    }

    async fn conclude(&self, attempt: &Attempt, result: Concluded) {
        if let Some(run) = self.inner.open.lock().await.get_mut(&attempt.run) {
            run.conclude(attempt, result);
        }
    }
}

impl Open {
    fn conclude(&mut self, attempt: &Attempt, result: Concluded) {
        if let Some(tried) = self.attempts.iter_mut().find(|t| t.attempt == *attempt) {
            tried.result = Some(result);
        }
    }
}
