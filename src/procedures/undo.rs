//! Taking a repair back: the plan of an undo. It goes through its own review, and refuses where the row is not as we left it.

use super::engine::reconcile::row_of;
use super::words::{Witness, count, machine, witness};
use super::{ENTITLEMENT, ROW};
use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::Known;
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::row::{Change, Field, Image, Record, diff, same};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Locator, Query, Reply};
use crate::protocol::run::{Plan, Refusal, Step, StepKind, StepState};

/// What an undo has to know: the row, and what the application enforces.
pub(super) fn reads(command: &Command, answers: &Answers) -> Vec<Query> {
    let mut wanted: Vec<Query> = Vec::new();
    if let Some(subject) = command.subject() {
        wanted.extend([Query::Records(Locator::Subjects(vec![subject.clone()])), Query::Entitlement(subject.clone())]);
    }
    wanted.retain(|q| answers.get(q).is_none());
    wanted
}

/// The plan that takes `command`'s changes back, on the row as it is now. `acted`: this undo has sent something already.
pub(super) fn plan(command: &Command, acted: bool, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    if let Command::RestoreCounters { subject, counters } = command {
        return super::quota_reset::undo::plan(subject, counters, acted, answers, env, now);
    }
    let Command::SetSubscriptionRow { subject, shown: left, changes } = command else {
        return Err(Refusal::Because("Another writer's work cannot be taken back from here.".into()));
    };
    let row = row_of(command, answers).map_err(Refusal::Because)?;
    let row = row.ok_or_else(|| Refusal::Because("The row is gone; there is nothing to take back.".into()))?;
    let wanted: Image = changes.iter().map(|c| (c.field, c.to.clone())).collect();
    let changes = diff(row, &wanted);
    let tier = wanted.get(&Field::Tier).or_else(|| row.get(&Field::Tier)).and_then(|t| t.as_text()).unwrap_or_default().to_string();
    let proof = witness(&entitlement(subject, answers), &tier, env);
    if changes.is_empty() {
        return Err(right(&proof, &tier, acted));
    }
    if let Some(change) = since(row, left) {
        return Err(Refusal::Because(format!("The row changed since: {change}. Taking the repair back would overwrite that.")));
    }
    if proof == Witness::Waiting {
        return Err(Refusal::Because("What the app enforces has not been read yet.".into()));
    }
    let who = record(subject, answers).and_then(|r| r.subject.email.as_deref().map(mask::email));
    let command = Command::SetSubscriptionRow { subject: subject.clone(), shown: row.clone(), changes: changes.clone() };
    Ok(Plan {
        summary: format!("Put {} back as they were", count(changes.len(), "field")),
        subject: Some(subject.clone()),
        who: who.unwrap_or_else(|| mask::id(subject.as_str())),
        blast: format!("1 customer · 1 row · {} · no money", count(changes.len(), "field")),
        evidence: vec!["database: the row is as the repair left it".into()],
        afterwards: None,
        notes: vec![format!("This makes them {tier} again.")],
        steps: steps(&command, &tier, &proof),
        machine: machine(&command),
        diff: changes,
        typed: None,
        pace: None,
    })
}

/// The row is as it was before the repair, by us or by somebody else; whether that is proven by the application too.
fn right(proof: &Witness, tier: &str, acted: bool) -> Refusal {
    let done = if acted { "Taken back" } else { "Nothing to take back" };
    match proof {
        Witness::Agrees => Refusal::AlreadyRight(format!("{done}: the row is as it was before, and the app enforces {tier}.")),
        Witness::NotSetUp => Refusal::AlreadyRight(format!("{done}: the row is as it was before. No app is set up to ask.")),
        Witness::Differs(what) => {
            Refusal::Because(format!("The row is as it was before; the app answers {what}, not {tier}. It may cache."))
        }
        Witness::Silent(why) => Refusal::Because(format!("The row is as it was before; the app does not answer: {why}")),
        Witness::Waiting => Refusal::Because("What the app enforces has not been read yet.".into()),
    }
}

/// What differs from the row as we left it. Its time of update is the database's own business.
fn since(row: &Image, left: &Image) -> Option<String> {
    let odd = left.iter().filter(|(f, _)| **f != Field::UpdatedAt).find(|(f, v)| row.get(f).is_none_or(|now| !same(now, v)))?;
    Some(match row.get(odd.0) {
        Some(now) => format!("{} is {now}, and was left as {}", odd.0.label(), odd.1),
        None => format!("{} cannot be read", odd.0.label()),
    })
}

fn steps(command: &Command, tier: &str, proof: &Witness) -> Vec<Step> {
    let mut apply = Step::new("undo", StepKind::Act, "undo", "Put the fields back, if the row is still as shown");
    apply.command = Some(command.clone());
    let row = Step::new(ROW, StepKind::Verify, "row", "The row holds what it held before");
    let mut app = Step::new(ENTITLEMENT, StepKind::Verify, "entitlement", format!("The app enforces {tier}"));
    if *proof == Witness::NotSetUp {
        app.state = StepState::Skipped("the application is not set up".into());
    }
    vec![apply, row, app]
}

fn record<'a>(subject: &SubjectKey, answers: &'a Answers) -> Option<&'a Record> {
    match answers.get(&Query::Records(Locator::Subjects(vec![subject.clone()]))) {
        Some(Known::Is { value: Reply::Records(records), .. }) => records.iter().find(|r| r.subject.key == *subject),
        _ => None,
    }
}

fn entitlement(subject: &SubjectKey, answers: &Answers) -> Known<Option<Entitlement>> {
    match answers.get(&Query::Entitlement(subject.clone())) {
        Some(Known::Is { value: Reply::Entitlement(e), at }) => Known::Is { value: e.clone(), at: *at },
        Some(Known::Failed(fault)) => Known::Failed(fault.clone()),
        _ => Known::Waiting,
    }
}

/// The command that takes `changes` back from the row they leave behind.
pub(super) fn inverse_of(subject: &SubjectKey, shown: &Image, changes: &[Change]) -> Command {
    let mut left = shown.clone();
    left.remove(&Field::UpdatedAt);
    left.extend(changes.iter().map(|c| (c.field, c.to.clone())));
    let back = super::engine::reconcile::inverse(changes);
    Command::SetSubscriptionRow { subject: subject.clone(), shown: left, changes: back }
}
