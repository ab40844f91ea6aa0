//! Incident `dispute`: banks took payments back, or ask about them; a note of the office's says how each is to be settled.

use super::check::Standing;
use super::ground::Turn;
use super::people::outlasts;
use super::requests::euros;
use super::settled::{Settled, Wanted};
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject};
use crate::sandbox::population::Billing;
use crate::sandbox::population::ids::Kind;

pub const SPEC: Spec = Spec {
    name: "dispute",
    title: "payments are disputed, and some are only inquired about",
    background: 0,
    usual: 4,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

/// A kind of dispute: what the bank says, and what the office wants done about it.
struct Case {
    reason: &'static str,
    inquiry: bool,
    wanted: Wanted,
    note: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        reason: "product_not_received",
        inquiry: false,
        wanted: Wanted::Answered,
        note: "They use it every day, the sessions of last week prove it. Please answer the dispute with that, in time. They stay our \
               customer: leave the subscription as it is.",
    },
    Case {
        reason: "fraudulent",
        inquiry: false,
        wanted: Wanted::Accepted,
        note: "The card was stolen, the real owner has called us. Please accept the dispute, do not refund on top of it, and end the \
               subscription now.",
    },
    Case {
        reason: "general",
        inquiry: true,
        wanted: Wanted::Refunded,
        note: "The bank only asks so far. Let us not wait until it becomes a dispute: please give the whole payment back, and end the \
               subscription now.",
    },
    Case {
        reason: "duplicate",
        inquiry: true,
        wanted: Wanted::Answered,
        note: "The bank only asks so far. There is one payment per month and no second one: please answer with the invoices. They stay \
               our customer.",
    },
];

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let suits =
        |billing| matches!(billing, Billing::Paid(c) if c.status == "active" && !c.cancel_at_period_end && outlasts(c, turn.present));
    let people = ground.pick(Incident::Dispute, turn.count, &suits)?;
    Ok(people.into_iter().enumerate().map(|(index, number)| one(ground, number, turn, index)).collect())
}

fn one(ground: &Ground, number: u64, turn: Turn, index: usize) -> Label {
    let case = &CASES[index % CASES.len()];
    let person = ground.population().person(number);
    let plan = person.plan.clone().expect("invariant: only people who pay suit");
    let charge = ground.population().id(Kind::Charge, number, plan.cycle);
    let dispute = ground
        .simulator()
        .open_dispute(&charge, case.reason, case.inquiry, turn.present)
        .expect("invariant: what was paid can be disputed");
    let amount = ground.simulator().object(&dispute).and_then(|d| d["amount"].as_i64()).expect("invariant: a dispute is about money");
    let what = if case.inquiry { "inquiry" } else { "dispute" };
    let customer = person.customer.clone().unwrap_or_default();
    let text =
        format!("{} ({customer}) has a {what} over {}, reason {}: {dispute}.\n\n{}", person.name, euros(amount), case.reason, case.note);
    ground.ask(Incident::Dispute, turn.present, "Billing office <billing@example.com>".into(), &format!("A {what}: {}", case.reason), text);
    let profile = ground.key(number);
    let row = ground.demanded(&profile, &plan.subscription, Standing::active(plan.tier.word()));
    let row = if case.wanted == Wanted::Answered { row } else { row.ended() };
    Label {
        incident: Incident::Dispute,
        broke: format!("{what} over {} ({}), to be {}", euros(amount), case.reason, case.wanted.word()).into(),
        at: turn.present,
        cause: Cause::AskedFor,
        truth: None,
        check: Check::Dispute(Box::new(Settled { dispute, charge, amount, wanted: case.wanted, row })),
        subject: Subject { number: Some(number), profile: Some(profile), customer: Some(customer), ..Subject::default() },
    }
}
