//! The events of a range as lists show them: compact lines, newest first, each with its verdict, and the groups that share a cause.

use super::cause::{Cause, Remedy};
use super::verdict::Verdict;
use crate::domain::At;
use crate::domain::ids::StripeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One event. Kept small: a hundred thousand of these are held at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub id: StripeId,
    /// `customer.subscription.updated`; one text shared by all events of the type.
    pub kind: Arc<str>,
    pub at: At,
    /// The object it is about.
    pub object: Option<StripeId>,
    pub customer: Option<StripeId>,
    pub subscription: Option<StripeId>,
    /// Stripe still owes a delivery of it, as far as it has said by now: evidence, never the verdict.
    pub pending: bool,
    pub verdict: Verdict,
    /// Only where the effect is missing or contradicted.
    pub cause: Option<Cause>,
}

/// An element of Stripe's list that could not be read as an event: shown as it is, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawEvent {
    pub id: Option<String>,
    /// Its JSON, personal data masked, cleaned and cut.
    pub text: String,
}

/// Events whose effects are missing for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub cause: Cause,
    /// What is known about it in one sentence; for an unknown cause the raw text.
    pub because: String,
    /// What helps, in one sentence.
    pub helps: String,
    pub remedy: Remedy,
    /// The events, newest first.
    pub events: Vec<StripeId>,
    pub customers: usize,
    pub first: At,
    pub last: At,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
}
