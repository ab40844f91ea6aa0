//! What follows when the facts are in: review, dispatch, reconciliation, proof, end. The reading itself is [`super::gather`]'s.

use super::reconcile::{Seen, seen};
use super::{Goal, Hold, PATIENCE_SECONDS, Phase, Run, Try};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::procedures::{ENTITLEMENT, ROW};
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, Concluded, ConcludedDetail, Detail, Entry, OpenedDetail};
use crate::protocol::run::{Expect, Perform, Ran, Refusal, Step, StepKind, StepState};
use chrono::Duration;

/// How long after "nobody knows" a write may still take effect, in seconds: 6 s for the change, 2 s in which the server keeps a
/// transaction open that nobody goes on with, 5 s for a statement, and a margin. Only after that does a row that is still as before
/// prove that the write did not happen.
pub(super) const SETTLED_AFTER_SECONDS: i64 = 15;
/// Between two reads of something that is being waited for, in seconds.
const READ_EVERY_SECONDS: i64 = 1;
/// The same while a source is down.
const RETRY_SECONDS: i64 = 3;
/// The same for a try that no reading has settled so far.
const DOUBT_SECONDS: i64 = 15;

impl Run {
    /// Every question is answered.
    pub(super) fn gathered(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        match self.goal {
            Goal::Review => self.review(env, now),
            Goal::Confirm => self.confirm_again(env, now),
            Goal::Reconcile => self.reconcile(env, now),
            Goal::Verify => self.prove(env, now),
            Goal::Effects => self.effects_read(env, now),
            Goal::Settle => self.settle_doubts(now),
        }
    }

    fn review(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        match self.planned(env, now) {
            Ok(plan) => {
                let plan = self.remaining(plan);
                if plan.waits().is_some() {
                    return self.watch(plan, now);
                }
                if plan.next_manual().is_some_and(|s| self.inputs.attested.contains_key(&s.id)) {
                    let changed = format!("Asked again at {}, and nothing has changed:", now.format("%H:%MZ"));
                    self.note = Some(format!("{changed} {}", plan.summary));
                }
                let nothing_left = plan.commands().is_empty() && plan.next_manual().is_none();
                let summary = plan.summary.clone();
                self.many = plan.subject.is_none();
                if plan.pace.is_some() {
                    self.inputs.until.get_or_insert(self.at_stripe(now));
                }
                let is_started = plan.pace.is_none() && self.has_run_a_command();
                self.plan = Some(plan);
                if nothing_left && is_started {
                    return self.wait_for_the_start(&summary, now);
                }
                if nothing_left {
                    let say = format!("Everything was sent once, and nothing is sent twice; still missing: {summary}");
                    self.phase = Phase::Halted(say);
                    self.ended = Some(now);
                    return self.leave_journal(Closed::Halted);
                }
                self.phase = Phase::Review;
                Vec::new()
            }
            Err(Refusal::Decide(decision)) => {
                self.phase = Phase::Deciding(decision);
                Vec::new()
            }
            Err(Refusal::AlreadyRight(say)) => {
                let acted = self.tries.iter().any(|t| matches!(t.outcome, Some(Outcome::Done { .. })));
                // Of many acts everything was read anew: what was left alone turned out to be right.
                if acted && self.plan.as_ref().is_some_and(|p| p.steps.iter().any(|s| matches!(s.expect, Some(Expect::Row { .. })))) {
                    self.rows_proven();
                }
                self.phase = Phase::Done(say);
                self.ended = acted.then_some(now);
                self.leave_journal(if acted { Closed::Done } else { Closed::Abandoned })
            }
            Err(Refusal::Because(say)) if self.hold == Hold::Held && self.source_fault().is_some() => self.wait(say, now),
            Err(Refusal::Because(say)) => {
                self.phase = Phase::Halted(say);
                self.leave_journal(Closed::Halted)
            }
        }
    }

    /// The command was run, and is not run twice: what it set going may not be up yet.
    fn wait_for_the_start(&mut self, missing: &str, now: At) -> Vec<Effect> {
        self.goal = Goal::Verify;
        self.mark_acts(&StepState::Passed);
        self.phase = Phase::Waiting(format!("The command was run, and is not run twice; it shows no effect yet: {missing}"));
        self.patience = Some(now + self.patience_for_proof());
        self.next_read = Some(now + Duration::seconds(RETRY_SECONDS));
        Vec::new()
    }

    /// The plan computed again at the moment of confirming: only the one that was reviewed goes on.
    fn confirm_again(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        let confirmation = self.confirmed.as_mut().expect("invariant: confirming follows a confirmation");
        confirmation.at = now;
        let confirmed = confirmation.digest.clone();
        match self.planned(env, now).map(|p| self.remaining(p)) {
            Ok(plan) if plan.digest() == confirmed || self.is_part_of_the_reviewed(&plan) => {
                let detail = OpenedDetail {
                    inputs: self.pinned(),
                    subject: plan.subject.clone(),
                    who: plan.who.clone(),
                    undoes: self.undoing.clone(),
                };
                if plan.pace.is_some() {
                    let reviewed = self.plan.as_ref().map_or(0, |p| p.first_acts().count());
                    self.spared = reviewed.saturating_sub(plan.first_acts().count());
                }
                self.plan = Some(plan);
                self.phase = Phase::Running;
                if self.hold == Hold::Held {
                    return self.send(now);
                }
                self.hold = Hold::Asked;
                vec![Effect::OpenRun { run: self.id, procedure: self.procedure.clone(), detail: Detail::of(&detail) }]
            }
            Ok(plan) => {
                self.plan = Some(plan);
                self.back_to_review("The world changed since the review: this is the plan now. Nothing was sent.".into());
                Vec::new()
            }
            Err(Refusal::Because(say)) if self.source_fault().is_some() => {
                self.back_to_review(format!("Nothing was sent: the facts could not be read again. {say}"));
                Vec::new()
            }
            Err(_) => {
                self.confirmed = None;
                self.goal = Goal::Review;
                self.note = Some("The world changed since the review. Nothing was sent.".into());
                self.review(env, now)
            }
        }
    }

    pub(super) fn back_to_review(&mut self, note: String) {
        self.note = Some(note);
        self.confirmed = None;
        self.goal = Goal::Review;
        self.phase = Phase::Review;
    }

    /// Journals the confirmation and dispatches the plan's first act.
    pub(super) fn send(&mut self, now: At) -> Vec<Effect> {
        let (Some(plan), Some(confirmed)) = (self.plan.as_ref(), self.confirmed.take()) else {
            return Vec::new();
        };
        if plan.pace.is_some() {
            return self.begin(&confirmed, now);
        }
        let open = |s: &&Step| !matches!(s.state, StepState::Passed | StepState::Skipped(_));
        let step = plan.steps.iter().filter(open).find(|s| s.command.is_some()).expect("invariant: a plan under review has an act").clone();
        let command = step.command.expect("invariant: an act carries its command");
        let attempt = self.next_attempt(&step.id);
        let record = Effect::Record {
            run: Some(self.id),
            entry: Entry::Confirmed { run: self.id, plan: confirmed.digest },
            detail: Detail::of(plan),
        };
        let undo = step.undo;
        let mut effects = self.recorded_again();
        self.tries.push(Try {
            attempt: attempt.clone(),
            command: Some(command.clone()),
            undo: undo.clone(),
            outcome: None,
            unrecorded: false,
        });
        self.sent = Some(now);
        self.phase = Phase::Running;
        self.mark_acts(&StepState::Running);
        effects.extend([record, Effect::Perform(Box::new(Perform { attempt, command, undo, confirmed_at: confirmed.at }))]);
        effects
    }

    /// The outcomes that could not be journaled when they came: the journal has to know them before anything follows from them.
    pub(super) fn recorded_again(&self) -> Vec<Effect> {
        self.tries.iter().filter(|t| t.unrecorded).filter_map(|t| Some(self.concluded(t, t.outcome.as_ref()?))).collect()
    }

    pub(super) fn concluded(&self, of: &Try, outcome: &Outcome) -> Effect {
        let entry = Entry::Concluded { attempt: of.attempt.clone(), result: Concluded::from(outcome) };
        Effect::Record { run: Some(self.id), entry, detail: Detail::of(&ConcludedDetail { outcome: outcome.clone() }) }
    }

    pub(super) fn doubt(&mut self, say: String) {
        self.mark_acts(&StepState::Unknown(say.clone()));
        self.phase = Phase::Unknown(say);
    }

    /// Reads what became of a try that nobody answered for.
    fn reconcile(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        let Some(last) = self.tries.last() else { return self.review(env, now) };
        let settled = self.sent.is_none_or(|sent| now - sent >= Duration::seconds(SETTLED_AFTER_SECONDS));
        let compare_and_set = last.command.as_ref().is_some_and(Command::is_compare_and_set);
        match seen(last, &self.answers) {
            Seen::Applied => {
                let mut effects = vec![self.conclude(Outcome::done("read back: the row holds what was sent".into()))];
                self.goal = Goal::Verify;
                effects.extend(self.enter_verify(env, now));
                effects
            }
            Seen::AsBefore if compare_and_set && settled => {
                let fault = Fault::new(Source::Database, FaultKind::Timeout, "read back: the row is as it was before");
                let mut effects = vec![self.conclude(Outcome::NotDone(fault))];
                self.note_also("The last try did not happen: the row is as it was before. Confirm to try again.");
                self.goal = Goal::Review;
                self.phase = Phase::Gathering;
                effects.extend(self.go_on(env, now));
                effects
            }
            Seen::AsBefore if compare_and_set || self.patience_left(now) => {
                self.next_read = Some(now + Duration::seconds(READ_EVERY_SECONDS));
                Vec::new()
            }
            Seen::AsBefore => {
                let what = if matches!(last.command, Some(Command::ResetEntitlement { .. })) {
                    "the reset happened; the counters are"
                } else {
                    "the resync happened; the row is"
                };
                self.halt(format!("Nobody knows whether {what} as before. Look at the application, then start again."), now)
            }
            Seen::Unread(say) => {
                self.next_read = Some(now + Duration::seconds(RETRY_SECONDS));
                self.doubt(format!("It is not known whether the write happened, and the row cannot be read: {say}"));
                Vec::new()
            }
            Seen::Other(what) => self.halt(
                format!("The row holds neither what was sent nor what was there before: {what}. Look at it before writing again."),
                now,
            ),
            Seen::CannotTell => {
                self.goal = Goal::Verify;
                self.enter_verify(env, now)
            }
        }
    }

    /// A try was answered as done: reads everything again for the proof.
    pub(super) fn verify(&mut self, now: At) -> Vec<Effect> {
        self.goal = Goal::Verify;
        self.phase = Phase::Verifying;
        self.acted = Some(now);
        self.patience = Some(now + self.patience_for_proof());
        self.mark_acts(&StepState::Passed);
        self.mark_proofs(|_| StepState::Running);
        self.gather()
    }

    /// The same with the row just read: asks only for the rest. What nobody answered for stays in doubt, with the words that came.
    fn enter_verify(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        if !self.is_in_doubt() {
            self.phase = Phase::Verifying;
        }
        self.acted = Some(now);
        self.patience = Some(now + self.patience_for_proof());
        self.mark_proofs(|_| StepState::Running);
        self.go_on(env, now)
    }

    /// Row, then entitlement: proven, or read again until patience ends.
    fn prove(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        let refusal = match self.planned(env, now) {
            Err(Refusal::AlreadyRight(say)) => return self.proven(&say, env, now),
            Err(Refusal::Because(say)) => say,
            Err(Refusal::Decide(decision)) if self.is_staged() => return self.ask_on(decision),
            Err(Refusal::Decide(decision)) => format!("The facts are no longer clear: {}", decision.question),
            Ok(plan) if self.is_next_stage(&plan) => return self.next_stage(plan),
            Ok(plan) if plan.waits().is_some() => return self.watch(plan, now),
            Ok(plan) if plan.diff.is_empty() => format!("{}, and this still remains: {}", self.as_answered(), plan.summary),
            Ok(plan) => {
                let fields: Vec<_> = plan.diff.iter().map(|c| c.field.label()).collect();
                format!("{}, and the row still differs from what is due in {}.", self.as_answered(), fields.join(", "))
            }
        };
        if self.patience_left(now) {
            // Every look at an endpoint is a probe of it.
            let every = if self.has_run_a_command() { RETRY_SECONDS } else { READ_EVERY_SECONDS };
            self.next_read = Some(now + Duration::seconds(every));
            return Vec::new();
        }
        // Without the database or Stripe nothing can be said about the row: wait. The application is only the last witness.
        if self.answers.faults().any(|f| !matches!(f.source, Source::Application | Source::Store)) {
            return self.wait(refusal, now);
        }
        self.halt(refusal, now)
    }

    fn proven(&mut self, say: &str, env: &Environment, now: At) -> Vec<Effect> {
        let mut effects = self.recorded_again();
        // Of a command that failed nothing is proven: it may be others that have brought about what it was run for.
        if self.tries.last().is_some_and(|t| t.is_open() && t.ran() == Ran::No) {
            effects.push(self.conclude(Outcome::done("read back: the row is as it should be".into())));
        }
        if self.many {
            let proofs = self.plan.iter().flat_map(|p| &p.steps).filter(|s| s.kind == StepKind::Verify);
            effects.extend(proofs.filter(|s| !matches!(s.state, StepState::Skipped(_))).map(|s| self.verified(&s.id, true)));
        } else {
            effects.push(self.verified(ROW, true));
            // Not every procedure asks the application again once the rows are right.
            let heard = |(query, known): (&Query, &Known<Reply>)| matches!((query, known), (Query::Entitlement(_), Known::Is { .. }));
            if env.set_up.contains(&Source::Application) && self.answers.all().any(heard) {
                effects.push(self.verified(ENTITLEMENT, true));
            }
        }
        self.mark_acts(&StepState::Passed);
        self.mark_proofs(|_| StepState::Passed);
        effects.push(self.close(Closed::Done));
        if let Some(undoing) = &self.undoing {
            let entry = Entry::RunClosed { run: undoing.run, how: Closed::Undone };
            effects.push(Effect::Record { run: Some(undoing.run), entry, detail: Detail::none() });
        }
        self.ended = Some(now);
        self.phase = Phase::Done(say.to_string());
        effects
    }

    /// Ends it short of its goal, with what was proven on the way. Where nobody knows what became of the last try it stays open,
    /// and reads on now and then: a closed run would let the next one send the same again.
    pub(super) fn halt(&mut self, say: String, now: At) -> Vec<Effect> {
        if self.is_in_doubt() {
            self.next_read = Some(now + Duration::seconds(DOUBT_SECONDS));
            self.doubt(say);
            return Vec::new();
        }
        let mut effects = self.recorded_again();
        if self.goal == Goal::Verify && self.many {
            // A run about many, or of a command, has no row of its own: its acts have their verdicts, but for a command that was answered.
            if let Some(id) = self.tries.last().filter(|t| t.ran() == Ran::Done).map(|t| t.attempt.step.clone()) {
                effects.push(self.verified(&id, false));
            }
            self.mark_proofs(|_| StepState::Failed(say.clone()));
        } else if self.goal == Goal::Verify {
            let row_holds = self.tries.last().is_some_and(|t| seen(t, &self.answers) == Seen::Applied);
            effects.push(self.verified(ROW, row_holds));
            if row_holds {
                effects.push(self.verified(ENTITLEMENT, false));
            }
            self.mark_proofs(|id| if id == ROW && row_holds { StepState::Passed } else { StepState::Failed(say.clone()) });
        }
        effects.push(self.close(Closed::Halted));
        self.ended = Some(now);
        self.phase = Phase::Halted(say);
        effects
    }

    fn wait(&mut self, say: String, now: At) -> Vec<Effect> {
        self.phase = Phase::Waiting(say);
        self.next_read = Some(now + Duration::seconds(RETRY_SECONDS));
        // When the source is back, what is read then has its full time to show the effect.
        self.patience = Some(now + Duration::seconds(RETRY_SECONDS + PATIENCE_SECONDS));
        Vec::new()
    }

    /// Ends a run that did nothing; drafts have nothing in the journal to end.
    fn leave_journal(&mut self, how: Closed) -> Vec<Effect> {
        let mut effects = self.recorded_again();
        if self.hold == Hold::Held {
            effects.push(self.close(how));
        }
        effects
    }

    /// What is known of the last try by its answer alone.
    fn as_answered(&self) -> String {
        match self.tries.last().map(|t| &t.outcome) {
            Some(Some(Outcome::Unknown(fault))) => format!("Nobody knows how far it came ({})", fault.say.trim_end_matches('.')),
            Some(Some(done @ Outcome::Done { note, .. })) if done.is_unheard() => format!("Nobody knows how far it came ({note})"),
            Some(None) => "Nobody knows how far it came".into(),
            _ => "It was answered as done".into(),
        }
    }

    /// The last try was sent, and nobody knows what became of it.
    fn is_in_doubt(&self) -> bool {
        self.tries.last().is_some_and(|t| matches!(t.outcome, None | Some(Outcome::Unknown(_))))
    }

    fn source_fault(&self) -> Option<&Fault> {
        self.answers.faults().find(|f| f.source != Source::Store)
    }

    fn patience_left(&self, now: At) -> bool {
        self.patience.is_some_and(|p| now < p)
    }

    fn conclude(&mut self, outcome: Outcome) -> Effect {
        let last = self.tries.last_mut().expect("invariant: a try is concluded after it was made");
        last.outcome = Some(outcome.clone());
        self.concluded(self.tries.last().expect("invariant: just seen"), &outcome)
    }

    pub(super) fn verified(&self, step: &str, holds: bool) -> Effect {
        let entry = Entry::Verified { run: self.id, step: step.to_string(), holds };
        Effect::Record { run: Some(self.id), entry, detail: Detail::none() }
    }

    pub(super) fn close(&self, how: Closed) -> Effect {
        Effect::Record { run: Some(self.id), entry: Entry::RunClosed { run: self.id, how }, detail: Detail::none() }
    }

    fn mark_acts(&mut self, state: &StepState) {
        for step in
            self.plan.iter_mut().flat_map(|p| &mut p.steps).filter(|s| s.kind == StepKind::Act && !matches!(s.state, StepState::Skipped(_)))
        {
            step.state = state.clone();
        }
    }

    pub(super) fn mark_proofs(&mut self, state: impl Fn(&str) -> StepState) {
        let proofs = self.plan.iter_mut().flat_map(|p| &mut p.steps).filter(|s| s.kind == StepKind::Verify);
        for step in proofs.filter(|s| !matches!(s.state, StepState::Skipped(_))) {
            step.state = state(&step.id);
        }
    }
}
