//! Long runs that are over, as a console holds them and as its journal lists them. They are made, never performed.

use crate::fixtures::now;
use nightdesk::console::panes::run::Model;
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::procedures::engine::{Phase, Run, Try};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::record::{Closed, RunState, RunSummary};
use nightdesk::protocol::run::{Attempt, Inputs, Plan, Selection, Step, StepKind, StepState, step_id};
use uuid::Uuid;

fn event(n: usize) -> StripeId {
    StripeId::parse(&format!("evt_Number{n:010}")).expect("an id")
}

fn command(n: usize) -> Command {
    let event = event(n);
    let endpoint = StripeId::parse("we_Main00000001").expect("an id");
    Command::ResendEvent { event, endpoint, subject: Some(SubjectKey(format!("{n:08x}-0000-4000-8000-{n:012}"))) }
}

fn attempt(run: Uuid, n: usize) -> Attempt {
    Attempt { run, step: step_id("resend", &n.to_string()), attempt: 1 }
}

fn done() -> Option<Outcome> {
    Some(Outcome::done("queued by Stripe, answered 200".into()))
}

/// A run of so many acts, all of them done.
pub fn finished(id: u128, acts: usize) -> Model {
    let (mut run, _) = Run::draft(Uuid::from_u128(id), "failed-webhook", Inputs::default());
    let step = |n: usize| {
        let act = Step::new(&step_id("resend", &n.to_string()), StepKind::Act, "resend", "send it once more");
        Step { command: Some(command(n)), ..act.in_state(StepState::Passed) }
    };
    run.plan = Some(Plan {
        summary: format!("Send {acts} events once more"),
        subject: None,
        who: format!("{acts} customers"),
        blast: String::new(),
        diff: Vec::new(),
        notes: Vec::new(),
        afterwards: None,
        evidence: Vec::new(),
        machine: Vec::new(),
        steps: (0..acts).map(step).collect(),
        typed: None,
        pace: None,
    });
    let sent = |n| Try { attempt: attempt(run.id, n), command: Some(command(n)), undo: None, outcome: done(), unrecorded: false };
    run.tries = (0..acts).map(sent).collect();
    run.phase = Phase::Done(format!("{acts} of {acts} effects applied."));
    run.ended = Some(now());
    Model::of(run)
}

/// The same as the journal lists it.
pub fn listed(id: u128, acts: usize) -> RunSummary {
    let run = Uuid::from_u128(id);
    RunSummary {
        run,
        procedure: "failed-webhook".into(),
        operator: "oncall".into(),
        opened: now(),
        last: now(),
        inputs: Some(Inputs::about(Selection::Events((0..acts).map(event).collect()))),
        who: Some(format!("{acts} customers")),
        state: RunState::Closed(Closed::Done),
        attempts: (0..acts).map(|n| (attempt(run, n), done())).collect(),
        commands: (0..acts).map(|n| Some((command(n), None))).collect(),
        subject: None,
        undoes: None,
        proven: Vec::new(),
        held: false,
    }
}
