//! Incident `clock-skew`: the clock of the application's machine is ten minutes off, and every signature is too old or from the future.

use chrono::TimeDelta;

use super::ground::Turn;
use super::happenings::{cast, root, unheeded};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec};

pub const SPEC: Spec = Spec {
    name: "clock-skew",
    title: "the application's clock is ten minutes off: signatures are outside the tolerance",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::ClockSkew;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    // The seed decides whether it is ahead or behind.
    let off = TimeDelta::minutes(if ground.population().seed().is_multiple_of(2) { 10 } else { -10 });
    ground.app().configure(|s| s.clock_off = off);
    ground.app().restart().await?;
    let broke = "an event was delivered and its signature found too old, or from the future";
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::ClockSkew, "the application's clock is ten minutes off")];
    labels.extend(unheeded(ground, parts, INCIDENT, turn, Cause::ClockSkew, broke).await);
    Ok(labels)
}

/// The clock is put right, and the process started again.
async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    ground.app().configure(|s| s.clock_off = TimeDelta::zero());
    Ok(ground.app().restart().await?)
}
