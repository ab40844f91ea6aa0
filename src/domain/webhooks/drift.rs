//! Drift: where a subscription at Stripe and the row in the database disagree, in one class per subject.

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

impl Class {
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
            Class::Interval => "interval's words",
        }
    }
}
