//! The engine: a run as a pure state machine. Events in, effects out; it reads no clock, makes no ids and performs nothing.

use crate::domain::At;
use crate::domain::fault::Fault;
use crate::procedures::{Procedure, by_id};
use crate::protocol::answers::Answers;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::RunSummary;
use crate::protocol::run::{Attempt, Decision, Inputs, Performed, Plan, Undoing};
use crate::protocol::ticket::Ticket;
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
    /// When the effect was proven, or found wanting.
    pub ended: Option<At>,
    /// It stands in the journal, and this process holds its lock.
    opened: bool,
    goal: Goal,
    generation: u64,
    /// How many reads this generation has asked.
    asked: u16,
    confirmed: Option<Confirmation>,
    /// When to read again; `None` while reads are under way or nothing is waited for.
    next_read: Option<At>,
    /// When waiting for an effect to show ends.
    patience: Option<At>,
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
}

/// What the reads under way are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Goal {
    Review,
    Confirm,
    Reconcile,
    Verify,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Confirmation {
    digest: String,
    at: At,
}

/// How long a done run can be taken back with one key, in minutes.
pub const UNDO_MINUTES: i64 = 10;

impl Run {
    /// A new run: starts with reads, journals nothing before its plan is confirmed.
    #[must_use]
    pub fn draft(id: Uuid, procedure: &str, inputs: Inputs, now: At) -> (Run, Vec<Effect>) {
        todo!("{id}{procedure}{inputs:?}{now}")
    }

    /// Takes up a run that its journal shows unfinished: takes its lock ([`Effect::ResumeRun`]), then reads; never begins with a repeat.
    #[must_use]
    pub fn resume(summary: &RunSummary, now: At) -> (Run, Vec<Effect>) {
        todo!("{summary:?}{now}")
    }

    /// The run that takes this one back, through a review of its own. `None` where [`Run::can_undo`] says no.
    #[must_use]
    pub fn undo(&self, id: Uuid, now: At) -> Option<(Run, Vec<Effect>)> {
        todo!("{id}{now}")
    }

    /// A read was answered. Answers to older generations change nothing.
    pub fn replied(&mut self, ticket: &Ticket, query: &Query, result: &Result<Reply, Fault>, env: &Environment, now: At) -> Vec<Effect> {
        todo!("{ticket:?}{query:?}{result:?}{env:?}{now}")
    }

    /// The operator chose; an index that is not there changes nothing.
    pub fn decide(&mut self, index: usize, env: &Environment, now: At) -> Vec<Effect> {
        todo!("{index}{env:?}{now}")
    }

    /// The operator confirmed the plan under review. The facts are read again before anything is opened or sent.
    ///
    /// # Errors
    /// One sentence: there is nothing to confirm, or the typed text is not the one asked for.
    pub fn confirm(&mut self, typed: &str, now: At, env: &Environment) -> Result<Vec<Effect>, String> {
        todo!("{typed}{env:?}{now}")
    }

    /// The answer to [`Effect::OpenRun`] or [`Effect::ResumeRun`].
    pub fn opened(&mut self, result: &Result<(), Fault>, now: At) -> Vec<Effect> {
        todo!("{result:?}{now}")
    }

    pub fn performed(&mut self, performed: &Performed, env: &Environment, now: At) -> Vec<Effect> {
        todo!("{performed:?}{env:?}{now}")
    }

    /// Once a second: reads again what is being waited for.
    pub fn ticked(&mut self, now: At) -> Vec<Effect> {
        todo!("{now}")
    }

    /// The operator leaves. What may have been sent cannot be abandoned: such a run stays open, and is listed for later.
    pub fn abandon(&mut self, now: At) -> Vec<Effect> {
        todo!("{now}")
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Done(_) | Phase::Halted(_))
    }

    #[must_use]
    pub fn can_undo(&self, now: At) -> bool {
        todo!("{now}")
    }
}
