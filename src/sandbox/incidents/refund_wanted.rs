//! Incident `refund-wanted`: customers ask for their money back and to be let go; nothing has failed, somebody has to do it.

use chrono::Duration;

use super::check::Standing;
use super::ground::Turn;
use super::requests::{euros, sender};
use super::settled::Refunded;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject};
use crate::sandbox::population::ids::Kind;
use crate::sandbox::population::{Billing, Interval};

pub const SPEC: Spec = Spec {
    name: "refund-wanted",
    title: "customers want a payment back and their subscription ended",
    background: 0,
    usual: 3,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

/// How old the payment may be that somebody wants back.
const RECENT_DAYS: i64 = 14;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let recent = turn.present - Duration::days(RECENT_DAYS);
    // They paid once before at least: which payment it is has to be looked at.
    let suits = |billing| {
        matches!(billing, Billing::Paid(c) if c.status == "active" && !c.cancel_at_period_end && c.cycle > 0 && c.period_start > recent
            && c.interval == Interval::Month)
    };
    let people = ground.pick(Incident::RefundWanted, turn.count, &suits)?;
    Ok(people.into_iter().enumerate().map(|(index, number)| one(ground, number, turn, index)).collect())
}

fn one(ground: &Ground, number: u64, turn: Turn, index: usize) -> Label {
    let person = ground.population().person(number);
    let plan = person.plan.clone().expect("invariant: only people who pay suit");
    let charge = ground.population().id(Kind::Charge, number, plan.cycle);
    let paid = ground.simulator().object(&charge).and_then(|c| c["amount"].as_i64()).expect("invariant: a paid period has a charge");
    // Every third has used it for a while and asks for half.
    let (amount, share) = if index % 3 == 2 { (paid / 2, "half of it, since I did use it for a while,") } else { (paid, "that payment") };
    let at = turn.present - Duration::minutes(25 + 11 * i64::try_from(index % 12).expect("invariant: below twelve"));
    let text = format!(
        "Hello,\n\nyou charged me {} on {}. I had meant to cancel before that and forgot. Please give me back {share} ({}) and end my \
         subscription right away; I do not need the rest of the month.\n\nThank you\n{}",
        euros(paid),
        plan.period_start.format("%-d %B"),
        euros(amount),
        person.name
    );
    ground.ask(Incident::RefundWanted, at, sender(&person), "Refund, please", text);
    let profile = ground.key(number);
    Label {
        incident: Incident::RefundWanted,
        broke: format!("asked for {} of the payment of {} and for the end of the subscription", euros(amount), euros(paid)).into(),
        at,
        cause: Cause::AskedFor,
        truth: None,
        check: Check::Refund(Box::new(Refunded {
            payment_intent: plan.payment_intent.clone(),
            charge,
            amount,
            row: ground.demanded(&profile, &plan.subscription, Standing::active(plan.tier.word())).ended(),
        })),
        subject: Subject { number: Some(number), profile: Some(profile), customer: person.customer.clone(), ..Subject::default() },
    }
}
