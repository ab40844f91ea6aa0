//! Deploys of the application as its record names them: which version since when. Who keeps the record is the configuration's.

use crate::domain::At;
use serde::{Deserialize, Serialize};

/// A version of the application that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    pub at: At,
    pub version: String,
    /// Whoever started it, where the record says.
    pub by: Option<String>,
}
