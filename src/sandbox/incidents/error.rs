//! Why an incident did not happen, or could not be ended or looked at.

use std::io;

use super::Incident;
use crate::sandbox::app::AppError;

#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    #[error("{} found only {found} of {wanted} customers it can still break: start the sandbox with more customers", incident.name())]
    NobodyLeft { incident: Incident, found: usize, wanted: usize },
    #[error("{} needs an application that takes webhooks: end the incident that is under way first", .0.name())]
    Unwell(Incident),
    #[error("{} has nothing that can be ended: what it broke is repaired one by one", .0.name())]
    NothingToLift(Incident),
    #[error("{} needs a whole sandbox around it: start one with `nightdesk sandbox`", .0.name())]
    NoHouse(Incident),
    #[error("the incident could not start the console: {0}")]
    Console(io::Error),
    #[error("the console that was to be killed came to no unfinished run: try again when the machine is less busy")]
    NoRun,
    #[error("the supervisor of the sandbox's PostgreSQL could not be told to restart it: {0}")]
    Supervisor(io::Error),
    #[error("the incident could not reach the sandbox's database: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    App(#[from] AppError),
}
