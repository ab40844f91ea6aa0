//! The end of a write: committed, rolled back, or nobody knows. What is written is its caller's.

use super::connect::Session;
use super::fault::{self, Trouble};
use crate::protocol::command::Outcome;
use std::time::Duration;
use tokio::time::error::Elapsed;

/// From the first statement to the last before the commit, and for the commit itself.
pub const LIMIT: Duration = Duration::from_secs(6);

/// Ends the transaction by what came of its statements within [`LIMIT`]; `note` is said of a change that was committed.
pub async fn settle(session: &mut Session, changed: Result<Result<(), Trouble>, Elapsed>, note: String) -> Outcome {
    match changed {
        Ok(Ok(())) => {}
        Ok(Err(trouble)) => {
            if trouble.outdates_the_map() {
                session.found = None;
            }
            // Nothing was committed, whatever became of the rest.
            if trouble.ends_connection() || session.rollback().await.is_err() {
                session.broken = true;
            }
            return Outcome::NotDone(trouble.into_fault());
        }
        Err(_) => {
            // Without a commit the server rolls back when the connection goes.
            session.broken = true;
            return Outcome::NotDone(fault::timeout());
        }
    }
    match tokio::time::timeout(LIMIT, session.commit()).await {
        Ok(Ok(())) => Outcome::done(note),
        Ok(Err(error)) => {
            session.broken = true;
            match &error {
                // The server itself says that it did not commit.
                sqlx::Error::Database(e) if !e.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("08")) => {
                    Outcome::NotDone(fault::statement(&error))
                }
                _ => Outcome::Unknown(fault::statement(&error)),
            }
        }
        Err(_) => {
            session.broken = true;
            Outcome::Unknown(fault::timeout())
        }
    }
}
