//! Drift: where a subscription at Stripe and the row in the database disagree, in one class per subject.

mod classify;
mod found;

pub use classify::{Glance, Side, class_of, classify, glance};
pub use found::{Found, Group, KEPT, finding};

use crate::domain::diagnosis::Word;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::money::Money;
use crate::domain::row::Change;
use serde::{Deserialize, Serialize};

/// How Stripe and the database disagree about one subject. The worst that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    PaidNotServed,
    ServedNotPaid,
    SeveralLive,
    WrongTier,
    Unlinked,
    /// A customer at Stripe, and no profile.
    OrphanCustomer,
    /// A row, and nothing at Stripe.
    OrphanRow,
    UnknownPrice,
    WrongStatus,
    /// Off by more than an hour.
    Period,
    CancelFlags,
    /// An interval in words that the column does not have.
    Interval,
}

/// What Stripe's side and the row say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    Agrees,
    /// One of the two has changed just now: the other may be about to.
    Settling,
    /// They differ, and the row may not be what is there: the reason.
    Unknown(String),
    Drifted(Box<Drifted>),
}

/// One subject that has drifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    pub class: Class,
    /// `None`: the row holds no id that Stripe could know.
    pub customer: Option<StripeId>,
    /// `None`: no profile can be named.
    pub subject: Option<SubjectKey>,
    /// One line, ids in it masked.
    pub sentence: String,
    /// What the row would have to become; empty where nothing can be demanded of it.
    pub differs: Vec<Change>,
    /// What the subscription bills per month.
    pub monthly: Option<Money>,
}

impl Drifted {
    /// By what it is known: the profile, else the customer.
    #[must_use]
    pub fn key(&self) -> &str {
        self.subject.as_ref().map(SubjectKey::as_str).or(self.customer.as_ref().map(StripeId::as_str)).unwrap_or_default()
    }
}

impl Class {
    /// Worst first.
    pub const ALL: [Class; 12] = [
        Class::PaidNotServed,
        Class::ServedNotPaid,
        Class::SeveralLive,
        Class::WrongTier,
        Class::Unlinked,
        Class::OrphanCustomer,
        Class::OrphanRow,
        Class::UnknownPrice,
        Class::WrongStatus,
        Class::Period,
        Class::CancelFlags,
        Class::Interval,
    ];

    /// How bad it is, wherever it is shown: somebody pays and is not served, or is served and does not pay; or a row is wrong and nobody is
    /// hurt by it yet.
    #[must_use]
    pub fn severity(self) -> Word {
        match self {
            Class::PaidNotServed | Class::ServedNotPaid | Class::OrphanCustomer => Word::Fail,
            Class::SeveralLive
            | Class::WrongTier
            | Class::Unlinked
            | Class::OrphanRow
            | Class::UnknownPrice
            | Class::WrongStatus
            | Class::Period
            | Class::CancelFlags
            | Class::Interval => Word::Warn,
        }
    }

    /// As scripts read and write it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Class::PaidNotServed => "paid_not_served",
            Class::ServedNotPaid => "served_not_paid",
            Class::SeveralLive => "several_live",
            Class::WrongTier => "wrong_tier",
            Class::Unlinked => "unlinked",
            Class::OrphanCustomer => "orphan_customer",
            Class::OrphanRow => "orphan_row",
            Class::UnknownPrice => "unknown_price",
            Class::WrongStatus => "wrong_status",
            Class::Period => "period",
            Class::CancelFlags => "cancel_flags",
            Class::Interval => "interval",
        }
    }

    /// The words in lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Class::PaidNotServed => "paid, not served",
            Class::ServedNotPaid => "served, not paid",
            Class::SeveralLive => "several live subscriptions",
            Class::WrongTier => "wrong tier",
            Class::Unlinked => "unlinked",
            Class::OrphanCustomer => "orphan customer",
            Class::OrphanRow => "orphan row",
            Class::UnknownPrice => "unknown price",
            Class::WrongStatus => "wrong status",
            Class::Period => "period off",
            Class::CancelFlags => "cancel flags",
            Class::Interval => "billing interval",
        }
    }
}
