//! Disputes are opened. What becomes of them is not here yet.
use chrono::{DateTime, Utc};

use super::super::state::State;

pub fn open_by_card(_state: &mut State, _charge: &str, _at: DateTime<Utc>) {}
