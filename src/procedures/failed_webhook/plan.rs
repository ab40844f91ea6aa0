//! The plan of a replay: for each subscription the act that can help, and the one in its place; oldest first, at a pace, behind a canary.

use super::facts::{Found, Lost, found};
use super::words;
use crate::domain::At;
use crate::domain::mask;
use crate::domain::webhooks::cause::Remedy;
use crate::procedures::words::{changed, count, first_enforced, how};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::{Environment, Writer};
use crate::protocol::run::{Expect, Inputs, Pace, Plan, Refusal, Step, StepKind, StepState, step_id};

/// How long the effect of a delivery may take, in seconds: Stripe waits no longer for an answer.
const PATIENCE_SECONDS: u32 = 30;
/// More than this share of acts to no effect is not chance, in percent.
const STOP_PERCENT: u32 = 20;
/// Rows are written so many a second where nothing goes through Stripe.
const WRITES_PER_SECOND: u32 = 5;

pub(super) fn plan(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    if inputs.selection.is_none() {
        return Err(Refusal::Because(
            "Say which events are meant: some by id, a cause, a time, or everything since the last effect.".into(),
        ));
    }
    plan_of(&found(inputs, answers, env, now)?, env)
}

/// The plan for what was found.
///
/// # Errors
/// [`Refusal`]: nothing is missing, or nothing that is missing can be repaired from here.
pub fn plan_of(found: &Found, env: &Environment) -> Result<Plan, Refusal> {
    if found.lost.is_empty() {
        return Err(nothing(found));
    }
    let steps = steps_of(found, env);
    let sent = words::Sent::of(&steps);
    let per_second = if sent.all() > 0 { env.offers.resends_per_s.max(1) } else { WRITES_PER_SECOND };
    let pace = Pace { canary: 1, per_second, stop_percent: STOP_PERCENT, patience_seconds: PATIENCE_SECONDS };
    let mut all = vec![
        check("cause", format!("{} without effect", count(found.lost.iter().map(|l| l.events.max(1)).sum(), "event"))),
        check("evidence", format!("{} compared with the newest state at Stripe", count(found.lost.len() + found.right, "row"))),
    ];
    all.extend(steps);
    all.push(Step::new("effects", StepKind::Verify, "effects", "Each row holds what Stripe says"));
    all.push(first_enforced(env));
    let who = match found.lost.as_slice() {
        [one] => mask::id(one.customer.as_str()),
        many => count(many.len(), "customer"),
    };
    let diff = if let [one] = found.lost.as_slice() { one.changes.clone() } else { Vec::new() };
    let mut plan = Plan {
        summary: words::summary(found, sent),
        subject: None,
        who,
        blast: words::blast(found, &all, pace),
        diff,
        notes: words::notes(found, sent, pace),
        afterwards: words::owed(found),
        evidence: words::evidence(found),
        machine: words::exactly(&all),
        steps: all,
        typed: None,
        pace: Some(pace),
    };
    plan.typed = plan.text_to_type();
    Ok(plan)
}

/// The acts, oldest first, each followed by the one in its place.
#[must_use]
pub fn steps_of(found: &Found, env: &Environment) -> Vec<Step> {
    let mut steps = Vec::new();
    for l in &found.lost {
        let expect = || Some(Expect::Row { subject: l.row.subject.clone(), image: l.due.image.clone() });
        let copy = copy(l, env);
        let mut instead = act(&step_id("apply", l.subscription.id.as_str()), "copy", copy, l);
        instead.expect = expect();
        if let Some((id, title, command)) = send(l, found, env) {
            let mut first = act(&id, title, command, l);
            first.expect = expect();
            instead.instead_of = Some(first.id.clone());
            steps.push(first);
        }
        steps.push(instead);
    }
    steps
}

fn act(id: &str, title: &str, command: Command, l: &Lost) -> Step {
    let does = if command.writes_a_row() { changed(&l.changes) } else { how(&command).to_string() };
    let say = format!("{}: {does}", mask::id(l.customer.as_str()));
    let shown = (!command.is_compare_and_set()).then(|| l.row.image.clone());
    Step { command: Some(command), subject: Some(l.row.subject.clone()), shown, ..Step::new(id, StepKind::Act, title, say) }
}

/// The event sent once more, where that can help.
fn send(l: &Lost, found: &Found, env: &Environment) -> Option<(String, &'static str, Command)> {
    let event = l.event.as_ref()?;
    let subject = Some(l.row.subject.clone());
    let by_us = || ("deliver", Command::DeliverEvent { event: event.id.clone(), subject: subject.clone() });
    let (title, command) = match (&l.remedy, &found.endpoint) {
        (Remedy::Resend, Some(to)) if to.enabled && to.subscribes_to(&event.kind) => {
            ("resend", Command::ResendEvent { event: event.id.clone(), endpoint: to.id.clone(), subject: subject.clone() })
        }
        (Remedy::Resend | Remedy::Deliver, _) if env.offers.deliver => by_us(),
        _ => return None,
    };
    // What somebody has sent already is sent by nobody again: what it did not bring is copied.
    let sent = ["resend", "deliver"].iter().any(|kind| found.before.contains_key(&step_id(kind, event.id.as_str())));
    (!sent).then(|| (step_id(title, event.id.as_str()), title, command))
}

/// Stripe's truth, written as this environment writes rows.
fn copy(l: &Lost, env: &Environment) -> Command {
    let (subject, customer) = (l.row.subject.clone(), l.customer.to_string());
    match env.writer {
        Writer::Sql => Command::SetSubscriptionRow { subject, shown: l.row.image.clone(), changes: l.changes.clone() },
        Writer::Http => Command::ResyncByHttp { subject, customer },
        Writer::Command => Command::ResyncByCommand { subject, customer },
    }
}

fn check(id: &str, say: String) -> Step {
    Step::new(id, StepKind::Check, id, say).in_state(StepState::Passed)
}

/// Nothing to send: because all is well, or because nothing of it can be mended from here.
fn nothing(found: &Found) -> Refusal {
    let left = words::skipped(found);
    if left.is_empty() {
        let young = if found.settling > 0 {
            format!("; {} younger than {} and left to settle", found.settling, words::allowance(found))
        } else {
            String::new()
        };
        let say = format!("Every effect is there: {} looked at{young}.", count(found.events.max(found.right), "event"));
        return Refusal::AlreadyRight(found.cut.map_or(say.clone(), |at| format!("{say} {}", words::cut(found, at))));
    }
    let offer = if found.skipped.is_empty() {
        "Name the customer instead: what Stripe says now can be copied to the row, however old the event is."
    } else {
        "Resending would change nothing."
    };
    Refusal::Because(format!("{} {offer}", left.join(" ")))
}
