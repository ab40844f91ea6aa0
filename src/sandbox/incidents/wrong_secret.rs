//! Incident `wrong-secret`: the application was started with another webhook secret than its endpoint's, and verifies nothing any more.

use super::ground::Turn;
use super::happenings::{cast, root, unheeded};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec};
use crate::sandbox::population::ids::{digits, mix};

pub const SPEC: Spec = Spec {
    name: "wrong-secret",
    title: "the application verifies webhooks with another secret than the endpoint's",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::WrongSecret;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    let other = format!("whsec_{}", digits(mix(ground.population().seed(), 0x0DD), 32));
    ground.app().configure(|s| s.webhook_secret = other);
    ground.app().restart().await?;
    let broke = "an event was delivered and its signature refused";
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::BadSignature, "started with the secret of another endpoint")];
    labels.extend(unheeded(ground, parts, INCIDENT, turn, Cause::BadSignature, broke).await);
    Ok(labels)
}

/// The right secret in the configuration, and a restart.
async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    let right = ground.simulator().webhook_secret();
    ground.app().configure(|s| s.webhook_secret = right);
    Ok(ground.app().restart().await?)
}
