//! Labels: what one incident did to one subject, in words and ids that stay; it judges nothing.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Check, Expected, Incident};
use crate::sandbox::stripe::CheckedOut;

/// What one incident did to one subject, and when that counts as repaired.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    pub incident: Incident,
    /// What was done, in one sentence.
    pub broke: Cow<'static, str>,
    /// Since when it is so.
    pub at: DateTime<Utc>,
    pub cause: Cause,
    /// What is true of the subject's row until somebody repairs it; `None` where the label is about no row.
    pub truth: Option<Truth>,
    #[serde(flatten)]
    pub subject: Subject,
    pub check: Check,
}

/// What a label is about, as far as it applies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The person's number in the population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The key of the profile, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The event that demands the row, and did not get it where the truth is not `fine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Cow<'static, str>>,
    /// Where Stripe names the profile, where only that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_by: Option<&'static str>,
    /// What is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<&'static str>,
    /// The webhook endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// What is true of a row, seen from the event that the label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// The event's effect is not there: the row is as it was before, or does not name the customer.
    Missing,
    /// The row names the customer and holds what neither the event nor the time before it says.
    Contradicted,
    /// The row is right.
    Fine,
    /// The row is right, and later than the event's own snapshot.
    Superseded,
    /// The effect is on its way and comes by itself.
    Late,
}

/// Why it is so: what the incident stands for, whatever else it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing is wrong.
    None,
    /// The events were never sent.
    NotSent,
    /// The row holds a placeholder customer id: the handler finds no row.
    NoRowForCustomer,
    /// The application verifies with another secret than the endpoint's.
    BadSignature,
    /// Nothing listens, or a proxy answers that nothing does.
    EndpointDown,
    /// The answer comes after Stripe has stopped waiting.
    TimeOut,
    /// The application's clock is off by more than a signature may be old.
    ClockSkew,
    /// Stripe sends nothing to the endpoint.
    EndpointDisabled,
    /// Stripe does not send this type of event to the endpoint.
    NotSubscribed,
    /// Stripe sends to a path that nobody serves.
    WrongPath,
    /// Stripe sends to a URL that redirects.
    Redirect,
    /// The database refuses the handler's update.
    DatabaseError,
    /// A new version of the application fails on the event.
    BrokenVersion,
    /// Stripe's API does not answer.
    StripeDown,
    /// An older object was applied after a newer one.
    OlderObjectLast,
    /// What had been applied was lost again: written over, or restored from before.
    EffectLost,
    /// Nothing failed: somebody wants it so.
    AskedFor,
    /// Somebody wrote the row by hand.
    WrittenByHand,
    /// A transaction was left open: it holds locks and a connection.
    LeakedTransaction,
    /// The job that opens new periods did not run.
    ResetNotRun,
    /// A repair was cut short between its intent and its outcome.
    RunCutShort,
    /// The database server was restarted.
    DatabaseRestart,
}

impl Subject {
    /// Whoever paid in that checkout, and the event that demands their row.
    pub(super) fn of_checkout(number: u64, profile: String, made: CheckedOut, named_by: &'static str) -> Self {
        Self {
            number: Some(number),
            profile: Some(profile),
            customer: Some(made.customer),
            event: Some(made.subscribed.subscription_created),
            event_type: Some("customer.subscription.created".into()),
            named_by: Some(named_by),
            ..Self::default()
        }
    }
}

impl Label {
    /// What the row must hold, where the label is about a row.
    #[must_use]
    pub fn expected(&self) -> Option<&Expected> {
        match &self.check {
            Check::Row(expected) | Check::Run { row: expected, .. } => Some(expected),
            _ => None,
        }
    }

    /// Whether there is something to repair at all: what comes by itself needs nobody.
    #[must_use]
    pub fn hurts(&self) -> bool {
        !self.passes() && !matches!(self.truth, Some(Truth::Fine | Truth::Superseded))
    }

    /// Whether it is over by itself, sooner or later.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.truth == Some(Truth::Late) || matches!(self.check, Check::Passes(_))
    }
}
