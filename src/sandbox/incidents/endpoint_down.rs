//! Incident `endpoint-down`: webhooks reach nobody, because the application is down or because a proxy answers 502 in its place.

use super::ground::Turn;
use super::happenings::{cast, root, unheard};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec};

pub const SPEC: Spec = Spec {
    name: "endpoint-down",
    title: "the webhook path refuses connections, or answers 502 while /health is fine",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::EndpointDown;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    // The seed decides which of the two it is the first time; after that they take turns.
    let cut = !(ground.population().seed() + turn.before as u64).is_multiple_of(2);
    let broke = if cut {
        ground.app().restart().await?;
        ground.app().cut_webhooks().await;
        "the proxy in front answers 502 to webhooks"
    } else {
        ground.app().halt().await?;
        "the application is down"
    };
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::EndpointDown, broke)];
    labels.extend(unheard(ground, parts, INCIDENT, turn, Cause::EndpointDown, "an event was sent and reached nobody").await);
    Ok(labels)
}

async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    Ok(ground.app().restart().await?)
}
