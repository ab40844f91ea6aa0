//! The plan of a tier update: the expected row against the real one as a field diff, its command, its proof, its words.

use super::facts::Facts;
use crate::domain::At;
use crate::domain::diagnosis::{SETTLING_SECONDS, changed_at, fix_words, is_paid};
use crate::domain::expected::{Expected, NoExpectation, expected};
use crate::domain::ids::is_placeholder;
use crate::domain::mask;
use crate::domain::row::{Change, Field, diff};
use crate::domain::stripe::Status;
use crate::domain::text::sentence;
use crate::domain::tiers::TierRules;
use crate::procedures::undo::inverse_of;
use crate::procedures::words::{Witness, count, how, machine, witness};
use crate::procedures::{ENTITLEMENT, ROW};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::{Environment, Writer};
use crate::protocol::run::{Choice, Decision, Inputs, Plan, Refusal, Step, StepKind, StepState};

pub(super) fn plan(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    let facts = Facts::of(inputs, answers, env)?;
    let due =
        expected(&facts.subscription, &env.tiers, &facts.shape, inputs.tier.as_deref()).map_err(|why| refusal(&why, &facts, &env.tiers))?;
    let changes = diff(&facts.row.image, &due.image);
    let proof = witness(&facts.entitlement, &due.tier, env);
    if proof == Witness::Waiting {
        return Err(Refusal::Because("What the app enforces has not been read yet.".into()));
    }
    if changes.is_empty() {
        return Err(right(&proof, &due.tier));
    }
    let linked = facts.row.text(Field::Customer) == Some(facts.subscription.customer.as_str());
    let subject = facts.record.subject.key.clone();
    let customer = facts.subscription.customer.to_string();
    let command = match env.writer {
        Writer::Sql => Command::SetSubscriptionRow { subject: subject.clone(), shown: facts.row.image.clone(), changes: changes.clone() },
        Writer::Http => Command::ResyncByHttp { subject: subject.clone(), customer },
        Writer::Command => Command::ResyncByCommand { subject: subject.clone(), customer },
    };
    let undo = facts.shape.updatable.then(|| inverse_of(&subject, &facts.row.image, &changes));
    Ok(Plan {
        summary: fix_words(&changes, linked),
        who: facts.record.subject.email.as_deref().map_or_else(|| mask::id(subject.as_str()), mask::email),
        blast: blast(&changes, env.writer, undo.is_some()),
        notes: notes(&facts, &due, &changes, &env.tiers, &proof, now),
        evidence: evidence(&facts, &due),
        afterwards: None,
        machine: machine(&command),
        steps: steps(&facts, inputs, &due, &proof, command, undo),
        subject: Some(subject),
        diff: changes,
        typed: None,
        pace: None,
    })
}

fn refusal(why: &NoExpectation, facts: &Facts, rules: &TierRules) -> Refusal {
    if !matches!(why, NoExpectation::TwoTiers(_)) {
        return Refusal::Because(sentence(&why.to_string()));
    }
    let mut options: Vec<Choice> = Vec::new();
    for item in &facts.subscription.items {
        let Some((tier, by)) = rules.tier_of(&item.price) else { continue };
        if !options.iter().any(|o| o.value == tier) {
            let evidence = format!("item {}, price {}, {}", item.id, item.price.id, by.say());
            options.push(Choice { say: tier.clone(), value: tier, evidence });
        }
    }
    let question = format!("The items of {} buy different tiers. Which one counts?", facts.subscription.id);
    Refusal::Decide(Decision { id: "tier".into(), question, options })
}

/// Nothing differs: what the application says decides whether that is the end of it.
fn right(proof: &Witness, tier: &str) -> Refusal {
    match proof {
        Witness::Agrees => Refusal::AlreadyRight(format!("The row equals Stripe, and the app enforces {tier}.")),
        Witness::NotSetUp => Refusal::AlreadyRight(format!("The row equals Stripe: {tier}. No app is set up to ask.")),
        Witness::Differs(what) => Refusal::Because(format!(
            "The row is right; the app answers {what}, not {tier}. It may cache: look at it before writing anything."
        )),
        Witness::Silent(why) => Refusal::Because(format!("The row is right; the app does not answer, so nothing proves it yet: {why}")),
        Witness::Waiting => Refusal::Because("What the app enforces has not been read yet.".into()),
    }
}

fn blast(changes: &[Change], writer: Writer, undoable: bool) -> String {
    let call = match writer {
        Writer::Sql => "1 statement",
        Writer::Http => "1 call to the app",
        Writer::Command => "1 command",
    };
    let back = if undoable { "can be undone" } else { "cannot be undone from here" };
    format!("1 customer · 1 row · {} · no money · {call} · {back}", count(changes.len(), "field"))
}

fn notes(facts: &Facts, due: &Expected, changes: &[Change], rules: &TierRules, proof: &Witness, now: At) -> Vec<String> {
    let mut notes = Vec::new();
    let subscription = &facts.subscription;
    let rank = |tier: &str| rules.ladder.iter().position(|t| t == tier);
    let served = facts.row.text(Field::Tier).unwrap_or("no tier");
    if rank(&due.tier) < rank(served) {
        notes.push(format!("This takes {served} away: Stripe's subscription is {}, and {} is due.", subscription.status, due.tier));
    }
    if !is_paid(subscription, facts.invoice.as_ref()) && subscription.status.is_live() {
        let invoice = facts.invoice.as_ref().map_or_else(|| "has no invoice".into(), |i| format!("last invoice is {}", i.status));
        notes.push(format!("Not paid: the {invoice}. The tier follows the subscription's status, {}.", subscription.status));
    }
    if let Some(held) = facts.row.text(Field::Customer).filter(|h| *h != subscription.customer.as_str()) {
        notes.push(if is_placeholder(held) {
            format!("The row holds {}, written at checkout and never replaced.", mask::id(held))
        } else {
            format!("The row holds another real customer id, {}; it is replaced.", mask::id(held))
        });
    }
    if let Some(behaviour) = &subscription.pause {
        notes.push(format!("Collection is paused at Stripe ({behaviour}); the status does not say so."));
    }
    notes.extend(due.left_alone.iter().map(|left| format!("Left alone: {left}.")));
    if changes.iter().any(|c| matches!(c.field, Field::PeriodStart | Field::PeriodEnd)) {
        let from_item = subscription.items.iter().any(|i| i.period.is_some());
        let place = if from_item { "the subscription's item" } else { "the subscription itself, an object of an old API version" };
        notes.push(format!("Paid period: from {place}."));
    }
    if changes.iter().any(|c| c.field == Field::Interval) {
        notes.push(format!("Interval: in the column's own words, found in its {}.", facts.shape.interval.found_in));
    }
    if (now - changed_at(subscription, due.item_of(subscription), facts.invoice.as_ref(), now)).num_seconds() < SETTLING_SECONDS {
        notes.push("It changed at Stripe within the last minute: the webhook may still be on its way.".into());
    }
    if let Witness::Silent(why) = proof {
        notes.push(format!("The app does not answer now, so the proof may have to wait: {why}"));
    }
    notes
}

fn evidence(facts: &Facts, due: &Expected) -> Vec<String> {
    let subscription = &facts.subscription;
    let mut lines = vec![format!("stripe: {} is {}", subscription.id, subscription.status)];
    if let Some(i) = &facts.invoice {
        lines.push(format!("stripe: invoice {} is {}, {} paid of {}", i.id, i.status, i.amount_paid, i.total));
    }
    if let Some(decided) = &due.item {
        lines.push(format!("stripe: price {} buys {} {}", decided.price, due.tier, decided.by.say()));
    }
    if facts.links.is_empty() {
        lines.push("link: chosen by the operator, no evidence at Stripe".into());
    }
    lines.extend(facts.links.iter().map(|l| format!("link: {} ({}, {})", l.by.say(), l.witness, l.by.confidence().word())));
    let held = facts.row.text(Field::Customer).unwrap_or("none");
    lines.push(format!("database: tier {}, customer {held}", facts.row.text(Field::Tier).unwrap_or("none")));
    if let Some(app) = facts.entitlement.value().and_then(Option::as_ref) {
        lines.push(format!("app: enforces {}", app.tier));
    }
    lines
}

fn steps(facts: &Facts, inputs: &Inputs, due: &Expected, proof: &Witness, command: Command, undo: Option<Command>) -> Vec<Step> {
    let subscription = &facts.subscription;
    let paid = if is_paid(subscription, facts.invoice.as_ref()) || subscription.status == Status::Canceled {
        StepState::Passed
    } else {
        StepState::Skipped("the last invoice is not paid; the status decides".into())
    };
    let link = facts.links.first().map_or_else(
        || "Chosen by the operator".to_string(),
        |l| format!("{} ({}, {})", sentence(l.by.say()).trim_end_matches('.'), l.witness, l.by.confidence().word()),
    );
    let check = |id: &str, title: &str, say: String| Step::new(id, StepKind::Check, title, say).in_state(StepState::Passed);
    let mut steps = vec![
        check("subject", "subject", format!("Profile {}", mask::id(facts.record.subject.key.as_str()))),
        check("paid", "active and paid", format!("{} is {}", subscription.id, subscription.status)).in_state(paid),
        check("link", "link", link),
    ];
    if facts.chosen || inputs.subscription.is_some() || inputs.tier.is_some() {
        steps.push(Step::new("decide", StepKind::Decide, "decide", "Chosen by the operator").in_state(StepState::Passed));
    }
    let mut apply = Step::new("apply", StepKind::Act, "apply", how(&command));
    apply.command = Some(command);
    apply.undo = undo;
    steps.push(apply);
    steps.push(Step::new(ROW, StepKind::Verify, "row", "The row equals Stripe"));
    let app = match proof {
        Witness::NotSetUp => StepState::Skipped("the application is not set up".into()),
        _ => StepState::Pending,
    };
    steps.push(Step::new(ENTITLEMENT, StepKind::Verify, "entitlement", format!("The app enforces {}", due.tier)).in_state(app));
    steps
}
