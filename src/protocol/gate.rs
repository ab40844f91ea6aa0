//! The one gate: a permit can be had nowhere else, and journal and performer take nothing but a permit.

use super::command::Command;
use crate::domain::policy::{Denied, Standing, judge};

/// How old a confirmation may be when the first of its commands arrives, in minutes: the facts are fresh when it counts from.
pub const CONFIRMATION_MINUTES: i64 = 2;

/// Leave to perform exactly one command, now. Made by [`admit`] alone: its field is private.
#[derive(Debug)]
pub struct Permit {
    command: Command,
}

/// Judges the command by what stands at this moment.
///
/// # Errors
/// The first rule of [`crate::domain::policy`] that forbids it.
pub fn admit(command: &Command, standing: &Standing) -> Result<Permit, Denied> {
    judge(command.tier(), standing)?;
    Ok(Permit { command: command.clone() })
}

impl Permit {
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }
}
