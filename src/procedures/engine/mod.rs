//! The engine: a run as a pure state machine. Events in, effects out; it reads no clock, makes no ids and performs nothing.

mod acts;
mod advance;
mod attest;
pub mod bulk;
mod decide;
mod effects;
mod gather;
mod looks;
mod notes;
pub(super) mod reconcile;
mod touched;

use crate::domain::At;
use crate::domain::fault::{Fault, Source};
use crate::procedures::{by_id, kept};
use crate::protocol::answers::Answers;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, RunState, RunSummary};
use crate::protocol::run::{Attempt, Decision, Inputs, Performed, Plan, Undoing};
use crate::protocol::ticket::Ticket;
use bulk::Bulk;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One run of a procedure, from its first read to its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: Uuid,
    pub procedure: String,
    pub inputs: Inputs,
    pub phase: Phase,
    /// The plan under review or being performed; its steps carry their states.
    pub plan: Option<Plan>,
    /// What the operator should know about how it came here: the world changed, a try was not done, an outcome could not be journaled.
    pub note: Option<String>,
    /// The facts as last read.
    pub answers: Answers,
    /// Every try so far, oldest first.
    pub tries: Vec<Try>,
    /// What it takes back, where it is an undo.
    pub undoing: Option<Undoing>,
    /// How far the acts of a plan with a pace came.
    pub bulk: Option<Bulk>,
    /// When the effect was proven, or found wanting.
    pub ended: Option<At>,
    /// Whether it stands in the journal and this process holds its lock.
    hold: Hold,
    goal: Goal,
    generation: u64,
    /// How many reads this generation has asked.
    asked: u16,
    confirmed: Option<Confirmation>,
    /// When the last try was dispatched, or, once nobody knows what became of it, when that was known.
    sent: Option<At>,
    /// When to read again; `None` while reads are under way or nothing is waited for.
    next_read: Option<At>,
    /// When waiting for an effect to show ends.
    patience: Option<At>,
    /// It is about several: tries of several subjects may be open at once.
    many: bool,
    /// What is to be journaled as attested once the run is open: step and words.
    attesting: Option<(String, String)>,
    /// When it did something last, or was told of it.
    acted: Option<At>,
    /// Acts that were reviewed and needed nothing any more when it was confirmed.
    #[serde(default)]
    spared: usize,
    /// What was noted of it beside its steps.
    #[serde(default)]
    remarks: Vec<String>,
    /// By how many seconds Stripe's clock is ahead of this machine's: what happened there is as old as Stripe's says.
    #[serde(default)]
    ahead: i64,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Reading the facts; nothing is journaled before the plan is confirmed.
    Gathering,
    Deciding(Decision),
    /// The plan waits for its confirmation.
    Review,
    /// A write is on its way.
    Running,
    /// It is done; row and entitlement are being read.
    Verifying,
    /// Proven, or right already; how.
    Done(String),
    /// It goes no further; why, and what to do.
    Halted(String),
    /// Sent, and nobody knows: it reads until it can tell, and repeats nothing.
    Unknown(String),
    /// A source has to answer first; it reads again by itself.
    Waiting(String),
}

/// One try at an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    pub attempt: Attempt,
    /// `None` where its payload was removed from the journal.
    pub command: Option<Command>,
    pub undo: Option<Command>,
    /// `None` while it is under way.
    pub outcome: Option<Outcome>,
    /// The journal could not take the outcome when it came.
    pub unrecorded: bool,
}

impl Try {
    /// Nobody knows yet what became of it.
    fn is_open(&self) -> bool {
        matches!(self.outcome, None | Some(Outcome::Unknown(_)))
    }

    /// It was taken by somebody who brings the effect later, or not.
    fn was_passed_on(&self) -> bool {
        let by_event = matches!(self.command, Some(Command::ResendEvent { .. } | Command::DeliverEvent { .. }));
        by_event && matches!(self.outcome, Some(Outcome::Done { .. }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Hold {
    /// A draft: nothing of it is journaled.
    None,
    Asked,
    Held,
}

/// What the reads under way are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Goal {
    Review,
    Confirm,
    Reconcile,
    Verify,
    /// The effects of acts of a plan with a pace.
    Effects,
    /// What became of tries that another process left behind, of a run about many.
    Settle,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Confirmation {
    digest: String,
    /// When the operator said so; from when the facts read after that have shown the same plan, that time: it is as fresh as they are.
    at: At,
}

/// A try, and a proof, are given this long to show their effect, in seconds.
const PATIENCE_SECONDS: i64 = 10;
/// The same for what a command set going: an application that starts takes its time until it answers.
pub(super) const START_SECONDS: i64 = 120;
/// How long a done run can be taken back with one key, in minutes.
pub const UNDO_MINUTES: i64 = 10;

impl Run {
    fn new(id: Uuid, procedure: &str, inputs: Inputs, undoing: Option<Undoing>) -> Self {
        Self {
            id,
            procedure: procedure.to_string(),
            inputs,
            phase: Phase::Gathering,
            plan: None,
            note: None,
            answers: Answers::default(),
            tries: Vec::new(),
            undoing,
            bulk: None,
            ended: None,
            hold: Hold::None,
            goal: Goal::Review,
            generation: 0,
            asked: 0,
            confirmed: None,
            sent: None,
            next_read: None,
            patience: None,
            many: false,
            attesting: None,
            acted: None,
            spared: 0,
            remarks: Vec::new(),
            ahead: 0,
        }
    }

    /// A new run: starts with reads, journals nothing before its plan is confirmed.
    #[must_use]
    pub fn draft(id: Uuid, procedure: &str, inputs: Inputs) -> (Run, Vec<Effect>) {
        let mut run = Run::new(id, procedure, inputs, None);
        if by_id(procedure).is_none() {
            run.phase = Phase::Halted(format!("There is no procedure `{procedure}`."));
            return (run, Vec::new());
        }
        let effects = run.gather();
        (run, effects)
    }

    /// Takes up a run that its journal shows unfinished: takes its lock ([`Effect::ResumeRun`]), then reads; never begins with a repeat.
    #[must_use]
    pub fn resume(summary: &RunSummary) -> (Run, Vec<Effect>) {
        let inputs = summary.inputs.clone();
        let known = inputs.is_some() && by_id(&summary.procedure).is_some();
        let mut run = Run::new(summary.run, &summary.procedure, inputs.unwrap_or_default(), summary.undoes.clone());
        run.tries = summary
            .attempts
            .iter()
            .zip(summary.commands.iter().cloned().chain(std::iter::repeat(None)))
            .map(|((attempt, outcome), commands)| {
                let (command, undo) = commands.map_or((None, None), |(c, u)| (Some(c), u));
                Try { attempt: attempt.clone(), command, undo, outcome: outcome.clone(), unrecorded: false }
            })
            .collect();
        run.sent = Some(summary.last);
        run.acted = summary.sent().next().map(|_| summary.last);
        match summary.state {
            RunState::Closed(_) => run.phase = Phase::Halted("This run is finished; there is nothing to go on with.".into()),
            _ if !known => run.phase = Phase::Halted("Its inputs were removed from the journal: settle it by hand, or abandon it.".into()),
            _ if summary.subject.is_none() && summary.undoes.is_none() && summary.who.is_some() => {
                run.many = true;
                if run.tries.iter().any(|t| t.is_open() || t.was_passed_on()) {
                    run.goal = Goal::Settle;
                    let say = "It was interrupted with writes on their way: what it sent last is given its time, and read first.";
                    run.phase = Phase::Unknown(say.into());
                }
            }
            RunState::Open => {}
            RunState::Unknown => {
                run.goal = Goal::Reconcile;
                run.phase = Phase::Unknown("It was interrupted while a write was on its way; the row is read first.".into());
            }
            RunState::Acted => {
                run.goal = Goal::Verify;
                run.phase = Phase::Verifying;
            }
        }
        if !run.is_open() {
            return (run, Vec::new());
        }
        run.hold = Hold::Asked;
        let effects = vec![Effect::ResumeRun { run: run.id }];
        (run, effects)
    }

    /// The run that takes this one back, through a review of its own. `None` where [`Run::can_undo`] says no.
    #[must_use]
    pub fn undo(&self, id: Uuid, now: At) -> Option<(Run, Vec<Effect>)> {
        if !self.can_undo(now) {
            return None;
        }
        let command = self.tries.last()?.undo.clone()?;
        let mut run = Run::new(id, &self.procedure, self.inputs.clone(), Some(Undoing { run: self.id, command }));
        let effects = run.gather();
        Some((run, effects))
    }

    /// As [`Run::undo`], from what is journaled: for a run of another process, or of long ago.
    ///
    /// # Errors
    /// Why it cannot be taken back: one sentence.
    pub fn take_back(summary: &RunSummary, id: Uuid) -> Result<(Run, Vec<Effect>), &'static str> {
        match summary.state {
            RunState::Closed(Closed::Done | Closed::Halted | Closed::HandedOver) => {}
            RunState::Closed(Closed::Undone) => return Err("it was taken back already"),
            RunState::Closed(Closed::Abandoned) => return Err("nothing was done in it"),
            RunState::Open | RunState::Unknown | RunState::Acted => return Err("it is not finished: `nightdesk runs resume` comes first"),
        }
        if summary.undoes.is_some() {
            return Err("it is an undo itself: run the procedure again instead");
        }
        let ends_sessions = |(command, _): &(Command, Option<Command>)| matches!(command, Command::EndSession { .. });
        if summary.sent().next().is_some() && summary.commands.iter().flatten().any(ends_sessions) {
            return Err("it ended sessions, and nothing brings a session back");
        }
        if summary.attempts.iter().filter(|(_, o)| matches!(o, Some(Outcome::Done { .. }))).count() > 1 {
            return Err("several acts were done in it, and one undo takes back one: the journal holds what each row was before");
        }
        if !matches!(summary.attempts.last(), Some((_, Some(Outcome::Done { .. })))) {
            return Err("nothing was done in it");
        }
        let undo = summary.commands.last().cloned().flatten().and_then(|(_, undo)| undo);
        let (Some(command), Some(inputs)) = (undo, summary.inputs.clone()) else {
            return Err("the journal holds nothing that takes it back, or no longer does");
        };
        let mut run = Run::new(id, &summary.procedure, inputs, Some(Undoing { run: summary.run, command }));
        let effects = run.gather();
        Ok((run, effects))
    }

    /// A read was answered. Answers to older generations change nothing.
    pub fn replied(&mut self, ticket: Ticket, query: &Query, result: &Result<Reply, Fault>, env: &Environment, now: At) -> Vec<Effect> {
        let expected = ticket.generation == self.generation && self.answers.outstanding().any(|q| q == query);
        if !expected || !self.is_open() {
            return Vec::new();
        }
        self.answers.put(query.clone(), result.clone().map(|reply| kept(&self.procedure, reply)), now);
        self.go_on(env, now)
    }

    /// The operator confirmed the plan under review. The facts are read again before anything is opened or sent.
    ///
    /// # Errors
    /// One sentence: there is nothing to confirm, or the typed text is not the one asked for.
    pub fn confirm(&mut self, typed: &str, now: At) -> Result<Vec<Effect>, String> {
        let (Phase::Review, Some(plan)) = (&self.phase, &self.plan) else {
            return Err("There is no plan under review.".into());
        };
        if let Some(step) = plan.next_manual() {
            return Err(format!("`{}` is done by hand first; say so when it is done.", step.title));
        }
        if let Some(text) = plan.typed.as_deref().filter(|t| *t != typed) {
            return Err(format!("Type `{text}` to confirm."));
        }
        self.confirmed = Some(Confirmation { digest: plan.digest(), at: now });
        if plan.pace.is_some() {
            // What the selection leads to changes with every act: the run goes on with what was reviewed.
            self.inputs = self.pinned();
        }
        self.goal = Goal::Confirm;
        self.phase = Phase::Gathering;
        self.note = None;
        Ok(self.gather())
    }

    /// The answer to [`Effect::OpenRun`] or [`Effect::ResumeRun`].
    pub fn opened(&mut self, result: &Result<(), Fault>, now: At) -> Vec<Effect> {
        if self.hold != Hold::Asked {
            return Vec::new();
        }
        match (result, self.goal) {
            (Ok(()), Goal::Confirm) => {
                self.hold = Hold::Held;
                self.inputs = self.pinned();
                self.send(now)
            }
            (Ok(()), _) if self.attesting.is_some() => {
                self.hold = Hold::Held;
                self.inputs = self.pinned();
                self.attested(now)
            }
            (Ok(()), _) => {
                self.hold = Hold::Held;
                self.patience = Some(now + self.patience_for_proof());
                let mut effects = self.gather();
                // A command that was cut short touches no row: there is nothing to read about it.
                if self.goal == Goal::Settle && self.answers.outstanding().next().is_none() {
                    effects.extend(self.settle_doubts(now));
                }
                effects
            }
            (Err(fault), Goal::Confirm) => {
                self.hold = Hold::None;
                self.back_to_review(format!("Nothing was sent: {}", fault.say));
                // Whoever was first may have changed what the review rests on.
                self.phase = Phase::Gathering;
                self.gather()
            }
            (Err(fault), _) => {
                self.hold = Hold::None;
                self.phase = Phase::Halted(format!("Not taken up: {}", fault.say));
                Vec::new()
            }
        }
    }

    /// A write ended, or nobody knows whether it did.
    pub fn performed(&mut self, performed: &Performed, now: At) -> Vec<Effect> {
        if self.bulk.is_some() {
            return self.performed_in_bulk(performed, now);
        }
        let awaited = self.tries.last().is_some_and(|t| t.attempt == performed.attempt && t.outcome.is_none());
        if !awaited || self.phase != Phase::Running {
            return Vec::new();
        }
        if let Some(reason) = &performed.unrecorded {
            self.note_also(&format!("Its outcome could not be journaled: {reason}"));
        } else if !matches!(&performed.outcome, Outcome::NotDone(fault) if fault.source == Source::Store) {
            // The journal took this one, and before it what it was handed again.
            self.tries.iter_mut().for_each(|t| t.unrecorded = false);
        }
        let last = self.tries.last_mut().expect("invariant: the awaited try is the last");
        last.outcome = Some(performed.outcome.clone());
        last.unrecorded = performed.unrecorded.is_some();
        match &performed.outcome {
            Outcome::Done { .. } => self.verify(now),
            Outcome::NotDone(fault) => {
                self.note_also(&format!("Not done: {}", fault.say));
                self.confirmed = None;
                self.goal = Goal::Review;
                self.phase = Phase::Gathering;
                self.gather()
            }
            // No reading tells whether a message arrived, and a second one does no harm.
            Outcome::Unknown(fault) if matches!(last.command, Some(Command::Escalate { .. })) => {
                let why = fault.say.trim_end_matches('.').to_string();
                self.unheard(&why, now)
            }
            Outcome::Unknown(fault) => {
                self.goal = Goal::Reconcile;
                self.sent = Some(now);
                self.patience = Some(now + chrono::Duration::seconds(PATIENCE_SECONDS));
                let why = fault.say.trim_end_matches('.');
                let say = if self.has_run_a_command() {
                    format!("Nobody knows how far it came: {why}. Whether it helped is being read; it is not run twice.")
                } else {
                    format!("Sent, and no answer: {why}. The row is read before anything else.")
                };
                self.doubt(say);
                self.gather()
            }
        }
    }

    /// How far Stripe's clock is ahead of this machine's, as far as it is known now.
    pub fn hear_clock(&mut self, ahead: chrono::Duration) {
        self.ahead = ahead.num_seconds();
    }

    /// The time by Stripe's clock.
    fn at_stripe(&self, now: At) -> At {
        now + chrono::Duration::seconds(self.ahead)
    }

    /// How long what was done last may take to show.
    fn patience_for_proof(&self) -> chrono::Duration {
        chrono::Duration::seconds(if self.has_run_a_command() { START_SECONDS } else { PATIENCE_SECONDS })
    }

    /// What it did last, as far as anybody knows, was to run a configured command.
    fn has_run_a_command(&self) -> bool {
        let last = self.tries.last().filter(|t| !matches!(t.outcome, Some(Outcome::NotDone(_))));
        last.is_some_and(|t| matches!(t.command, Some(Command::RunHook { .. })))
    }

    /// Ends a run whose message may have been sent.
    fn unheard(&mut self, why: &str, now: At) -> Vec<Effect> {
        self.phase = Phase::Halted(format!("Nobody knows whether it was sent: {why}. Call them, or send it again."));
        self.ended = Some(now);
        let mut effects = self.recorded_again();
        effects.push(self.close(Closed::Halted));
        effects
    }

    /// Once a second: reads again what is being waited for.
    pub fn ticked(&mut self, now: At) -> Vec<Effect> {
        if self.bulk.is_some() && self.phase == Phase::Running {
            return self.work(now);
        }
        match self.next_read {
            Some(due) if due <= now && self.is_open() => self.gather(),
            _ => Vec::new(),
        }
    }

    /// The operator leaves. What may have been sent cannot be abandoned: such a run stays open, and is listed for later.
    pub fn abandon(&mut self) -> Vec<Effect> {
        let nothing_sent = self.tries.iter().all(|t| matches!(t.outcome, Some(Outcome::NotDone(_))));
        if !self.is_open() || !nothing_sent || self.hold == Hold::Asked {
            return Vec::new();
        }
        let effects = if self.hold == Hold::Held { vec![self.close(Closed::Abandoned)] } else { Vec::new() };
        self.phase = Phase::Halted("Left; nothing was done.".into());
        effects
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Done(_) | Phase::Halted(_))
    }

    /// Whether one key may still take it back: its last try was done, it can be inverted, and it ended no longer ago than [`UNDO_MINUTES`].
    #[must_use]
    pub fn can_undo(&self, now: At) -> bool {
        let done = self.tries.last().is_some_and(|t| t.undo.is_some() && matches!(t.outcome, Some(Outcome::Done { .. })));
        let recent = self.ended.is_some_and(|e| now - e <= chrono::Duration::minutes(UNDO_MINUTES));
        // One review of an undo puts one row back.
        let one = self.tries.iter().filter(|t| matches!(t.outcome, Some(Outcome::Done { .. }))).count() == 1;
        done && recent && one && self.undoing.is_none() && !self.is_open()
    }

    /// Which try a new one would be: grows only over tries that are journaled as not done. What was turned away for its rate is the same
    /// try once more: it keeps its key.
    fn next_attempt(&self, step: &str) -> Attempt {
        let attempt = match self.tries.iter().rfind(|t| t.attempt.step == step) {
            None => 1,
            Some(last) if last.outcome.as_ref().is_some_and(Outcome::was_turned_away) => last.attempt.attempt,
            Some(last) => last.attempt.attempt + 1,
        };
        Attempt { run: self.id, step: step.to_string(), attempt }
    }
}
