//! What the application really enforces for a subject, as it says itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The application's own answer: the best witness that a repair worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    pub tier: String,
    pub features: BTreeMap<String, FeatureUse>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUse {
    /// `-1` unlimited, `0` not in the plan.
    pub value: i64,
    pub used: Option<i64>,
    /// Whether it resets with each period; `None` where it does not say.
    #[serde(default)]
    pub resets: Option<bool>,
}
