//! Incident `missed-webhooks`: linked customers checked out and paid, Stripe made its events, none of them ever arrived.

use super::check::Standing;
use super::ground::Turn;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::Billing;

pub const SPEC: Spec = Spec {
    name: "missed-webhooks",
    title: "customers paid, and the webhooks never arrived",
    background: 3,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    // Free customers whose row holds the right Stripe customer.
    let people = ground.pick(Incident::MissedWebhooks, turn.count, &|billing| billing == Billing::Free)?;
    Ok(people.into_iter().enumerate().map(|(index, number)| one(ground, number, turn, index)).collect())
}

fn one(ground: &Ground, number: u64, turn: Turn, index: usize) -> Label {
    let (profile, purchase) = (ground.key(number), turn.purchase(index));
    let made = ground.buys_unheard(number, &profile, purchase);
    Label {
        incident: Incident::MissedWebhooks,
        broke: "paid by a linked customer; no event about it was ever delivered".into(),
        at: purchase.at,
        cause: Cause::NotSent,
        truth: Some(Truth::Missing),
        check: Check::Row(ground.demanded(&profile, &made.subscribed.subscription, Standing::bought(purchase.price))),
        subject: Subject::of_checkout(number, profile, made, "client_reference_id"),
    }
}
