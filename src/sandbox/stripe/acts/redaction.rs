//! What was redacted cannot be changed any more. The jobs that redact are not here.
use serde_json::Value;

use super::super::failure::Failure;
use super::super::state::State;

pub fn check_not_redacted(_state: &State, _object: &Value) -> Result<(), Failure> {
    Ok(())
}
