//! Writes to our own store, and what follows from them in order. They come from panes, touch nothing of production, and are audited.

use crate::domain::At;
use crate::domain::desk::{Accepted, DeskState, Muted, Taken};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::drift::Class;
use serde::{Deserialize, Serialize};

/// What an operator says about a cause, or about drift. Closed: nothing else is ever written to our own store by a pane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "write", rename_all = "kebab-case")]
pub enum DeskWrite {
    /// The operator looks after it from now on; `since`: the oldest event failing for it.
    TakeCause {
        cause: Cause,
        since: At,
    },
    /// Nobody has it any more.
    DropCause {
        cause: Cause,
    },
    MuteCause {
        cause: Cause,
        until: At,
        reason: String,
    },
    Unmute {
        cause: Cause,
    },
    /// This drift is known, and let be until then.
    AcceptDrift {
        customer: StripeId,
        class: Class,
        until: At,
        reason: String,
    },
    RevokeAccept {
        customer: StripeId,
        class: Class,
    },
}

impl DeskWrite {
    /// Its name in the journal.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            DeskWrite::TakeCause { .. } => "take-cause",
            DeskWrite::DropCause { .. } => "drop-cause",
            DeskWrite::MuteCause { .. } => "mute-cause",
            DeskWrite::Unmute { .. } => "unmute",
            DeskWrite::AcceptDrift { .. } => "accept-drift",
            DeskWrite::RevokeAccept { .. } => "revoke-accept",
        }
    }

    /// Whom it names, where it names somebody.
    #[must_use]
    pub fn customer(&self) -> Option<&StripeId> {
        match self {
            DeskWrite::AcceptDrift { customer, .. } | DeskWrite::RevokeAccept { customer, .. } => Some(customer),
            _ => None,
        }
    }

    /// What the desk holds after this write by this operator; the last one counts.
    pub fn apply(self, desk: &mut DeskState, by: &str, at: At) {
        let by = by.to_string();
        match self {
            DeskWrite::TakeCause { cause, since } => drop(desk.taken.insert(cause, Taken { by, at, since })),
            DeskWrite::DropCause { cause } => drop(desk.taken.remove(&cause)),
            DeskWrite::MuteCause { cause, until, reason } => drop(desk.muted.insert(cause, Muted { by, at, until, reason })),
            DeskWrite::Unmute { cause } => drop(desk.muted.remove(&cause)),
            DeskWrite::AcceptDrift { customer, class, until, reason } => {
                desk.accepted.retain(|a| a.customer != customer || a.class != class);
                desk.accepted.push(Accepted { customer, class, by, at, until, reason });
            }
            DeskWrite::RevokeAccept { customer, class } => desk.accepted.retain(|a| a.customer != customer || a.class != class),
        }
    }
}
