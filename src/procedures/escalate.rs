//! Calling somebody: the message that the operator has read goes through the configured command. It is no section of the runbook; every section may
//! end in it.

use super::words::{how, machine};
use super::{Begins, Book, Procedure};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, RunState, RunSummary};
use crate::protocol::run::{Inputs, Plan, Refusal, Step, StepKind};
use chrono::Duration;

/// Tells a contact what is wrong.
pub struct Escalate;

/// The step that sends it, under which its command's answer is kept among the inputs: there is no other proof.
pub const SENT: &str = "send";
/// Who was called by this console's operator lately is worth a word.
const LATELY: Duration = Duration::hours(1);

impl Procedure for Escalate {
    fn id(&self) -> &'static str {
        "escalate"
    }

    fn title(&self) -> &'static str {
        "Escalate"
    }

    fn section(&self) -> &'static str {
        "contacts"
    }

    fn words(&self) -> &'static [&'static str] {
        &["escalate", "contacts", "call somebody"]
    }

    fn book(&self) -> Book {
        Book { sentence: "", differs: &[] }
    }

    fn begins(&self) -> Begins {
        Begins::AtOnce
    }

    /// Who was called already.
    fn reads(&self, _inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        if answers.get(&Query::Runs).is_none() { vec![Query::Runs] } else { Vec::new() }
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        let message = inputs.message.as_ref().ok_or_else(|| Refusal::Because("Choose whom to call: ! on any screen.".into()))?;
        if let Some(note) = inputs.attested.get(SENT) {
            return Err(Refusal::AlreadyRight(format!("Sent to {}: {note}.", message.to)));
        }
        if !env.offers.escalate {
            return Err(Refusal::Because("No command is configured that calls anybody: set [hooks] escalate.".into()));
        }
        let command = Command::Escalate { to: message.to.clone(), text: message.text.clone() };
        let steps = vec![
            Step { command: Some(command.clone()), ..Step::new(SENT, StepKind::Act, "send", how(&command)) },
            Step::new("answer", StepKind::Verify, "answered", "The command succeeds; whether they read it only they can say"),
        ];
        Ok(Plan {
            summary: format!("Call {}: {}", message.to, message.issue),
            subject: None,
            who: message.issue.clone(),
            blast: "one message, as it stands here; nothing of the product is touched".into(),
            diff: Vec::new(),
            notes: called(answers, now),
            evidence: message.text.lines().map(str::to_string).collect(),
            afterwards: None,
            machine: machine(&command),
            steps,
            typed: None,
            pace: None,
        })
    }

    fn pin(&self, inputs: &Inputs, _answers: &Answers) -> Inputs {
        inputs.clone()
    }
}

/// Who was called in the last hour.
fn called(answers: &Answers, now: At) -> Vec<String> {
    let Some(Known::Is { value: Reply::Runs(runs), .. }) = answers.get(&Query::Runs) else { return Vec::new() };
    let lately = |r: &&RunSummary| r.procedure == "escalate" && r.state == RunState::Closed(Closed::Done) && now - r.last <= LATELY;
    let told = |r: &RunSummary| {
        let issue = r.who.as_deref().unwrap_or("somebody");
        format!("called {} min ago: {issue}", (now - r.last).num_minutes().max(0))
    };
    runs.iter().filter(lately).map(told).collect()
}
