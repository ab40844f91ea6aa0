//! A run of a procedure: its inputs, its plan, its steps. A run is what its journal says, so it survives the process.

use super::command::{Command, Outcome};
use crate::domain::At;
use crate::domain::facts::Handle;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::policy::Tier;
use crate::domain::row::Change;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the operator put in: the handle, and the decisions made on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub handle: Handle,
    /// The profile chosen where the evidence did not choose by itself.
    pub subject: Option<SubjectKey>,
    /// The subscription chosen where several are live.
    pub subscription: Option<StripeId>,
    /// The tier chosen where two items map to different ones.
    pub tier: Option<String>,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    Check,
    Decide,
    Act,
    Verify,
    Wait,
    Manual,
    Note,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    Pending,
    Running,
    Passed,
    Failed(String),
    Skipped(String),
    /// Sent, and nobody knows: a reconciling read comes next.
    Unknown(String),
}

/// One step. Acts carry their command, what is expected of it and how to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable within its procedure: `apply`, `row`, `entitlement`.
    pub id: String,
    pub kind: StepKind,
    /// A word or two for the line of steps.
    pub title: String,
    /// What it does or found, for people.
    pub say: String,
    pub state: StepState,
    /// Only in an act.
    pub command: Option<Command>,
    /// The command that takes it back, where there is one.
    pub undo: Option<Command>,
}

/// A choice that only the operator can make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `subject`, `subscription`, `tier`.
    pub id: String,
    pub question: String,
    pub options: Vec<Choice>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub value: String,
    pub say: String,
    /// Evidence and confidence.
    pub evidence: String,
}

/// The plan: what remains to be done, for review, dry run, audit and tests alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One line: `Copy five fields from Stripe to the row`.
    pub summary: String,
    pub subject: SubjectKey,
    /// Whom it is about, masked, for the title.
    pub who: String,
    /// The blast radius: customers, rows, money, calls.
    pub blast: String,
    /// The field diff, where the plan is one.
    pub diff: Vec<Change>,
    /// What was left alone and why; what was checked.
    pub notes: Vec<String>,
    pub evidence: Vec<String>,
    pub steps: Vec<Step>,
    /// The exact SQL and HTTP, for the evidence panel.
    pub machine: Vec<String>,
    /// What the operator must type; `None` where one key confirms.
    pub typed: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Nothing remains to be done: it is right already.
    AlreadyRight(String),
    /// Only the operator can decide.
    Decide(Decision),
    /// A fact is missing or forbids it.
    Because(String),
}

/// One attempt at a step: which run, which step, which try. Its key makes a repeated send harmless.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    pub run: Uuid,
    pub step: String,
    /// Grows only after the previous try is journaled as definitely not done.
    pub attempt: u32,
}

/// A command to perform, with all that the gate and the journal ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perform {
    pub attempt: Attempt,
    pub command: Command,
    /// What takes it back: journaled with the intent, so that a run can be undone after its process has died.
    pub undo: Option<Command>,
    /// The plan that holds it was confirmed at this time.
    pub confirmed_at: At,
}

/// What a run that takes another one back undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing {
    pub run: Uuid,
    /// The inverse of what that run did, as journaled with it.
    pub command: Command,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performed {
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// Where the outcome could not be journaled after the effect, the reason.
    pub unrecorded: Option<String>,
}

/// `nd-` and 40 hex digits of SHA-256 over run, step and try.
#[must_use]
pub fn idempotency_key(attempt: &Attempt) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", attempt.run, attempt.step, attempt.attempt));
    format!("nd-{}", &hex::encode(digest)[..40])
}

/// A run as people name it: the last four hex digits of its UUID, whose beginning is only the time.
#[must_use]
pub fn short(run: Uuid) -> String {
    let text = run.simple().to_string();
    text[text.len() - 4..].to_string()
}

impl Plan {
    /// The commands that would be performed, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<&Command> {
        self.steps
            .iter()
            .filter(|s| !matches!(s.state, StepState::Passed | StepState::Skipped(_)))
            .filter_map(|s| s.command.as_ref())
            .collect()
    }

    /// The highest tier among its commands.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.commands().iter().map(|c| c.tier()).max().unwrap_or(Tier::T0)
    }

    /// A fingerprint of the commands: a new confirmation is due only when this changes.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(&self.commands()).expect("invariant: commands are plain data");
        hex::encode(Sha256::digest(text))
    }
}

impl Step {
    /// A step that is still to come, and carries no command.
    #[must_use]
    pub fn new(id: &str, kind: StepKind, title: &str, say: impl Into<String>) -> Self {
        Self { id: id.into(), kind, title: title.into(), say: say.into(), state: StepState::Pending, command: None, undo: None }
    }

    #[must_use]
    pub fn in_state(self, state: StepState) -> Self {
        Self { state, ..self }
    }
}

impl Inputs {
    #[must_use]
    pub fn of(handle: Handle) -> Self {
        Self { handle, subject: None, subscription: None, tier: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_attempt_and_nothing_else() {
        let a = Attempt { run: Uuid::nil(), step: "apply".into(), attempt: 1 };
        let key = idempotency_key(&a);
        assert_eq!((key.len(), &key[..3]), (43, "nd-"));
        assert_eq!(key, idempotency_key(&a.clone()));
        assert_ne!(key, idempotency_key(&Attempt { attempt: 2, ..a }));
    }
}
