//! Runs: opened, taken up again, given up, listed; and whether an unfinished one stands in the way of a new one. It performs nothing.

use super::holds::family;
use super::{Open, Performer, Tried, WriteLane};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::protocol::command::Outcome;
use crate::protocol::record::{Closed, Concluded, Detail, Entry, GivenUpDetail, OpenedDetail, RunState, RunSummary};
use crate::protocol::run::{Attempt, short};
use uuid::Uuid;

impl<P: Performer> WriteLane<P> {
    /// Opens a run: its locks, its lease where there is a shared store, its first record.
    ///
    /// # Errors
    /// [`Fault`]: another run is open for the subject, one about several was left unfinished, or the journal cannot be written.
    /// Nothing is open then.
    pub async fn open_run(&self, run: Uuid, procedure: &str, detail: Detail) -> Result<(), Fault> {
        let subject = serde_json::from_value::<OpenedDetail>(detail.0.clone()).ok().and_then(|d| d.subject);
        let (held, lease) = self.take(run, procedure, subject.as_ref()).await?;
        if subject.is_none()
            && let Err(fault) = self.nothing_left_of(procedure).await
        {
            self.give_back(run, held, &lease).await;
            return Err(fault);
        }
        let entry = Entry::RunOpened { run, procedure: procedure.to_string() };
        if let Err(fault) = self.journal(subject.as_ref(), entry, detail).await {
            self.give_back(run, held, &lease).await;
            return Err(fault);
        }
        let procedure = procedure.to_string();
        let open = Open { held, procedure, subject, leased: None, confirmed_at: None, attempts: Vec::new() };
        self.inner.open.lock().await.insert(run, open);
        self.keep_leased(run, lease).await;
        Ok(())
    }

    /// Takes up a run that the journal shows unfinished.
    ///
    /// # Errors
    /// [`Fault`]: it is open elsewhere, finished, or not in this journal.
    pub async fn resume_run(&self, run: Uuid) -> Result<(), Fault> {
        let RunSummary { subject, procedure, .. } = self.inner.journal.run(run).await?.ok_or_else(|| unknown(run))?;
        let (held, lease) = self.take(run, &procedure, subject.as_ref()).await?;
        // Read again under the lock: its last holder may have gone on until a moment ago.
        let again = self.inner.journal.run(run).await.map_err(Fault::from);
        let unfinished = again.and_then(|found| {
            let summary = found.ok_or_else(|| unknown(run))?;
            let finished = || Fault::new(Source::Store, FaultKind::Conflict, format!("Run {} is finished", short(run)));
            if summary.is_finished() { Err(finished()) } else { Ok(summary) }
        });
        let summary = match unfinished {
            Ok(summary) => summary,
            Err(fault) => {
                self.give_back(run, held, &lease).await;
                return Err(fault);
            }
        };
        let of = |i: usize| summary.commands.get(i).and_then(Option::as_ref).and_then(|(c, _)| c.touches());
        let tried = |(i, (attempt, outcome)): (usize, &(Attempt, Option<Outcome>))| Tried {
            attempt: attempt.clone(),
            touched: of(i),
            result: outcome.as_ref().map(Concluded::from),
        };
        let kept = |(_, (_, outcome)): &(usize, &(Attempt, Option<Outcome>))| !outcome.as_ref().is_some_and(Outcome::was_turned_away);
        let attempts = summary.attempts.iter().enumerate().filter(kept).map(tried).collect();
        self.inner.open.lock().await.insert(run, Open { held, procedure, subject, leased: None, confirmed_at: None, attempts });
        self.keep_leased(run, lease).await;
        Ok(())
    }

    /// Gives a run up for good that was left unfinished, or waits here: under its lock, journaled with the reason. Nothing is sent, so no
    /// gate is asked.
    ///
    /// # Errors
    /// [`Fault`]: it is open elsewhere or finished, what it sent is not known and nobody has seen to it, or the journal cannot be written.
    pub async fn give_up_run(&self, run: Uuid, by_hand: bool, reason: &str) -> Result<Closed, Fault> {
        let refused = |say: String| Fault::new(Source::Store, FaultKind::Refused, say);
        if reason.trim().is_empty() {
            return Err(refused("say why it is given up: the reason is journaled".into()));
        }
        let summary = self.inner.journal.run(run).await?.ok_or_else(|| unknown(run))?;
        // Before its lock: a finished run says so, whoever holds what.
        let how = summary.given_up(by_hand).map_err(refused)?;
        if self.inner.open.lock().await.contains_key(&run) {
            // It waits here, under locks that it has already, and its end gives them back.
            let detail = Detail::of(&GivenUpDetail { reason: reason.to_string() });
            self.record(Some(run), Entry::RunClosed { run, how }, detail).await?;
            return Ok(how);
        }
        let (held, lease) = self.take(run, &summary.procedure, summary.subject.as_ref()).await?;
        let closed = self.close_given_up(run, by_hand, reason).await;
        self.give_back(run, held, &lease).await;
        closed
    }

    /// Read again under the lock: its last holder may have gone on until a moment ago.
    async fn close_given_up(&self, run: Uuid, by_hand: bool, reason: &str) -> Result<Closed, Fault> {
        let summary = self.inner.journal.run(run).await?.ok_or_else(|| unknown(run))?;
        let how = summary.given_up(by_hand).map_err(|say| Fault::new(Source::Store, FaultKind::Refused, say))?;
        let detail = Detail::of(&GivenUpDetail { reason: reason.to_string() });
        self.journal(summary.subject.as_ref(), Entry::RunClosed { run, how }, detail).await?;
        Ok(how)
    }

    /// The runs of this operator and environment.
    ///
    /// # Errors
    /// [`Fault`] where the journal cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, Fault> {
        Ok(self.inner.journal.runs().await?)
    }

    /// A run about several whose process died may have sent what a new one would send again: what it did is known to itself alone.
    pub(super) async fn nothing_left_of(&self, procedure: &str) -> Result<(), Fault> {
        // One that sent nothing has nothing to repeat, and one whose inputs are gone from the journal cannot be gone on with.
        let left = |r: &&RunSummary| {
            // A second call for help does no harm, and help must be there to be called.
            let of_many = r.subject.is_none() && r.undoes.is_none() && r.inputs.is_some() && r.procedure != "escalate";
            of_many && matches!(r.state, RunState::Unknown | RunState::Acted) && family(&r.procedure) == family(procedure)
        };
        for RunSummary { run, procedure, .. } in self.inner.journal.runs().await?.iter().filter(left) {
            // It ended here, and only the journal does not know that yet.
            if self.is_closed_unrecorded(*run).await {
                continue;
            }
            let run = short(*run);
            let say = format!(
                "Run {run} ({procedure}) is not finished: go on with it first (nightdesk runs resume {run}), or give it up (nightdesk \
                 runs abandon {run})"
            );
            return Err(Fault::new(Source::Store, FaultKind::Conflict, say));
        }
        Ok(())
    }
}

fn unknown(run: Uuid) -> Fault {
    Fault::new(Source::Store, FaultKind::NotFound, format!("Run {} is not in this journal", short(run)))
}
