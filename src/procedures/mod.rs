//! The runbook as code: one file per procedure, each a pure plan over facts, and the one engine that runs them all.

mod drift_fix;
pub mod drift_scan;
mod endpoint_down;
pub mod engine;
pub mod escalate;
pub mod failed_webhook;
pub mod pool_exhausted;
mod quota_reset;
mod shared;
pub mod survey;
mod tier_update;
mod undo;
mod words;

use crate::domain::At;
use crate::domain::tiers::TierRules;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Plan, Refusal};

/// A procedure of the runbook. It knows which facts it needs and what follows from them; it performs nothing.
pub trait Procedure: Sync {
    /// `tier-update`: the command line's and the journal's name for it.
    fn id(&self) -> &'static str;
    fn title(&self) -> &'static str;
    /// The runbook's section.
    fn section(&self) -> &'static str;
    /// The runbook's words and synonyms, lower case, for the palette.
    fn words(&self) -> &'static [&'static str];
    fn book(&self) -> Book;
    /// What is still to be asked. Empty and nothing outstanding: the facts are complete.
    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query>;
    /// The same, where how far to look depends on which tier is due.
    fn reads_under(&self, _rules: &TierRules, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        self.reads(inputs, answers)
    }
    /// The steps that remain; what is done already comes as passed. Pure: review, dry run, audit and tests share it.
    ///
    /// # Errors
    /// [`Refusal`]: why there is nothing to confirm.
    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal>;
    /// The inputs with everything filled in that the facts have decided, so that a run finds the same people again after its own
    /// effect has changed what the handle leads to.
    fn pin(&self, inputs: &Inputs, answers: &Answers) -> Inputs;
    /// What it keeps of an answer: of a long list it may need little, and a run holds all of it until it ends.
    fn keeps(&self, reply: Reply) -> Reply {
        reply
    }
    /// What has to be chosen before it can begin.
    fn begins(&self) -> Begins {
        Begins::WithCustomer
    }
    /// The inputs of a run on TEST: what is asked about only for the sake of LIVE is answered.
    fn on_test(&self, inputs: Inputs, _env: &Environment) -> Inputs {
        inputs
    }
    /// Whether it is planned again after its acts, and what then remains is reviewed anew.
    fn is_staged(&self) -> bool {
        false
    }
    /// What the acts of a confirmed plan have come to, by the facts after them: said before what remains.
    fn achieved(&self, _confirmed: &Plan, _after: &Answers) -> Option<String> {
        None
    }
}

/// What a procedure begins with, where it is asked for by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Somebody it is about.
    WithCustomer,
    /// Events, or a cause of theirs.
    WithEvents,
    /// Nothing: it finds out by itself.
    AtOnce,
}

/// What the runbook says, and where this procedure does otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Book {
    pub sentence: &'static str,
    /// One difference a line.
    pub differs: &'static [&'static str],
}

/// The verify step that reads the row back.
pub const ROW: &str = "row";
/// The verify step that asks the application what it enforces.
pub const ENTITLEMENT: &str = "entitlement";

/// Every procedure of the runbook, in its order.
pub static ALL: &[&dyn Procedure] = &[
    &endpoint_down::EndpointDown,
    &pool_exhausted::PoolExhausted,
    &tier_update::TierUpdate,
    &quota_reset::QuotaReset,
    &failed_webhook::FailedWebhook,
    &drift_fix::DriftFix,
];

#[must_use]
pub fn by_id(id: &str) -> Option<&'static dyn Procedure> {
    let escalate: &dyn Procedure = &escalate::Escalate;
    ALL.iter().copied().chain([escalate]).find(|p| p.id() == id)
}

/// What the procedure of that name keeps of an answer.
#[must_use]
pub fn kept(id: &str, reply: Reply) -> Reply {
    match by_id(id) {
        Some(procedure) => procedure.keeps(reply),
        None => reply,
    }
}
