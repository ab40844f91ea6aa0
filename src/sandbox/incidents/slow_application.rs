//! Incident `slow-application`: the handler answers just before Stripe stops waiting, or after; what it writes arrives late all the same.

use tokio::task::JoinSet;

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

/// How many events are on their way at once; each waits for its answer.
const SENDERS: usize = 4;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    let patience = ground.simulator().delivery_timeout();
    ground.app().configure(|s| s.handler_takes = Some([patience * 9 / 10, patience * 12 / 10]));
    ground.app().restart().await?;
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::TimeOut, "the handler takes about as long as Stripe waits")];
    let mut events = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        // Just now: what was sent earlier has arrived by now, however slowly.
        let happening = perform(ground, part, turn, index, turn.present);
        labels.push(happening.label(ground, INCIDENT, Cause::TimeOut, Truth::Late, "the effect of an event comes late, by itself"));
        events.extend(happening.events);
    }
    let mut sending = JoinSet::new();
    for sender in 0..SENDERS {
        let mine: Vec<String> = events.iter().skip(sender).step_by(SENDERS).cloned().collect();
        let simulator = ground.simulator().clone();
        sending.spawn(async move {
            for event in mine {
                simulator.deliver(&event).await;
            }
        });
    }
    ground.keep(INCIDENT, sending);
    Ok(labels)
}

/// The slow step is switched off. What was under way ends with the process, and Stripe sends it again.
async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    ground.app().configure(|s| s.handler_takes = None);
    ground.app().restart().await?;
    for event in ground.labels(INCIDENT).into_iter().filter_map(|l| l.subject.event) {
        ground.simulator().deliver(&event).await;
    }
    Ok(())
}
