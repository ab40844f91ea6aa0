//! Incident `slow-application`: the handler answers just before Stripe stops waiting, or after; what it writes arrives late all the same.

use super::ground::Turn;
use super::happenings::{cast, perform, root};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec, Truth};

pub const SPEC: Spec = Spec {
    name: "slow-application",
    title: "the webhook handler answers just before Stripe's time-out, or after it",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::SlowApplication;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    let patience = ground.simulator().delivery_timeout();
    ground.app().configure(|s| s.handler_takes = Some([patience * 3 / 4, patience * 5 / 4]));
    ground.app().restart().await?;
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::TimeOut, "the handler takes about as long as Stripe waits")];
    for (index, part) in parts.into_iter().enumerate() {
        // Just now: what was sent earlier has arrived by now, however slowly.
        let happening = perform(ground, part, turn, index, turn.present);
        labels.push(happening.label(ground, INCIDENT, Cause::TimeOut, Truth::Late, "the effect of an event comes late, by itself"));
        happening.events.iter().for_each(|event| ground.simulator().send(event));
    }
    Ok(labels)
}

/// The slow step is switched off. What is under way ends with the process, and Stripe tries it again.
async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    ground.app().configure(|s| s.handler_takes = None);
    Ok(ground.app().restart().await?)
}
