//! Incident `webhook-500`: the database refuses the handler's update, because a migration took the application's right to make it.

use sqlx::AssertSqlSafe;

use super::ground::Turn;
use super::happenings::{cast, root, unheeded};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec};

pub const SPEC: Spec = Spec {
    name: "webhook-500",
    title: "the webhook handler fails to update the database: 500, or 200 and {\"ok\":false}",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::Webhook500;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    grant(ground, "REVOKE", "FROM").await?;
    let mut labels = vec![root(ground, INCIDENT, turn, Cause::DatabaseError, "the application may no longer update its subscriptions")];
    let broke = "an event was delivered and the handler's update refused by the database";
    labels.extend(unheeded(ground, parts, INCIDENT, turn, Cause::DatabaseError, broke).await);
    Ok(labels)
}

async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    grant(ground, "GRANT", "TO").await
}

/// The owner of a table can lose a right to it as anybody else, and the console's role keeps its own.
async fn grant(ground: &Ground, verb: &str, preposition: &str) -> Result<(), IncidentError> {
    let (table, role) = (ground.shape().names().subscriptions, ground.app().database().get_username());
    sqlx::raw_sql(AssertSqlSafe(format!("{verb} UPDATE ON {table} {preposition} {role}"))).execute(ground.pool()).await?;
    Ok(())
}
