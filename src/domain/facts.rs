//! The case of one customer: everything known about them from all sources, each part with what is still unknown about it.

use super::At;
use super::entitlement::Entitlement;
use super::fault::Fault;
use super::ids::{StripeId, SubjectKey};
use super::link::Link;
use super::needle::Needle;
use super::row::Record;
use super::shape::Shape;
use super::stripe::{CheckoutSession, Customer, Invoice, Status, Subscription};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A value that a source gives, has yet to give, or could not give. "There is none" is a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known<T> {
    /// Asked or about to be; no answer yet.
    #[default]
    Waiting,
    Is {
        value: T,
        /// When the source answered.
        at: At,
    },
    Failed(Fault),
}

/// What the operator holds in hand: where a case begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Handle {
    Subject(SubjectKey),
    /// A Stripe id of any kind that leads to a customer.
    Stripe(StripeId),
    /// A placeholder customer id: only a row can hold it.
    Placeholder(String),
    /// Exact, as typed.
    Email(String),
}

/// One customer's case. Assembled anew from the answers that have arrived, so it is never half updated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub handle: Handle,
    pub shape: Known<Shape>,
    /// The profile in question: the handle's own, or the one that the evidence names. `None`: no profile can be named.
    pub record: Known<Option<Record>>,
    /// The Stripe customer in question: the live one where there are several. `None`: Stripe has none.
    pub customer: Known<Option<Customer>>,
    /// Every Stripe customer that was found for this case, the one in question included.
    pub customers: Vec<Customer>,
    /// All subscriptions of those customers, newest first, ended ones included.
    pub subscriptions: Known<Vec<Subscription>>,
    pub sessions: Vec<CheckoutSession>,
    /// Why some of them could not be read: then the evidence for the link is not all there is.
    pub sessions_unread: Option<Fault>,
    pub invoices: Known<Vec<Invoice>>,
    pub entitlement: Known<Option<Entitlement>>,
    /// Those of the customers that the evidence gives to another profile; their subscriptions are not in the list.
    pub others: BTreeSet<StripeId>,
    /// What ties these Stripe customers to profiles, strongest first.
    pub links: Vec<Link>,
}

impl Handle {
    /// The handle that a search term is, where it names exactly one thing by itself.
    #[must_use]
    pub fn named_by(needle: &Needle) -> Option<Self> {
        match needle {
            Needle::Stripe(id) => Some(Handle::Stripe(id.clone())),
            Needle::Placeholder(id) => Some(Handle::Placeholder(id.clone())),
            Needle::Uuid(key) => Some(Handle::Subject(SubjectKey(key.clone()))),
            Needle::Email(address) => Some(Handle::Email(address.clone())),
            Needle::StripePrefix { .. } | Needle::UuidPrefix(_) | Needle::Number(_) | Needle::Words(_) => None,
        }
    }
}

/// Those of these that have not ended, as [`Case::live_subscriptions`] counts them.
#[must_use]
pub fn live_among(subscriptions: &[Subscription]) -> Vec<&Subscription> {
    let live: Vec<_> = subscriptions.iter().filter(|s| s.status.is_live()).collect();
    let begun: Vec<_> = live.iter().filter(|s| s.status != Status::Incomplete).copied().collect();
    if begun.is_empty() { live } else { begun }
}

/// The one of these, newest first, that a row is to follow; `held`: the id that the row holds. As [`Case::subscription`] chooses.
#[must_use]
pub fn in_question<'a>(subscriptions: &'a [Subscription], held: Option<&str>) -> Option<&'a Subscription> {
    match live_among(subscriptions).as_slice() {
        [one] => Some(one),
        [] => subscriptions.iter().find(|s| Some(s.id.as_str()) == held).or_else(|| subscriptions.first()),
        _ => None,
    }
}

impl<T> Known<T> {
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Known::Is { value, .. } => Some(value),
            _ => None,
        }
    }

    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Known::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self, Known::Waiting)
    }

    /// When the value was read.
    #[must_use]
    pub fn at(&self) -> Option<At> {
        match self {
            Known::Is { at, .. } => Some(*at),
            _ => None,
        }
    }

    pub fn map<U>(&self, f: impl FnOnce(&T) -> U) -> Known<U> {
        match self {
            Known::Waiting => Known::Waiting,
            Known::Is { value, at } => Known::Is { value: f(value), at: *at },
            Known::Failed(fault) => Known::Failed(fault.clone()),
        }
    }
}

impl Case {
    /// The record, where the database has answered and there is one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.value().and_then(Option::as_ref)
    }

    /// Subscriptions that have not ended, newest first. One whose first payment never came counts only where there is no other:
    /// Stripe lets it expire within a day, and an abandoned checkout beside a paid subscription asks for no decision.
    #[must_use]
    pub fn live_subscriptions(&self) -> Vec<&Subscription> {
        live_among(self.subscriptions.value().map_or(&[], Vec::as_slice))
    }

    /// The subscription in question: the one live one, else the one whose id the row holds, else the newest ended one.
    /// `None` where there is none, or where several are live and nobody has chosen.
    #[must_use]
    pub fn subscription(&self) -> Option<&Subscription> {
        let held = self.record().and_then(|r| r.row.as_ref()).and_then(|r| r.text(super::row::Field::Subscription));
        in_question(self.subscriptions.value()?, held)
    }

    /// The invoice that decides whether the subscription is paid.
    #[must_use]
    pub fn latest_invoice(&self, subscription: &Subscription) -> Option<&Invoice> {
        subscription.latest_among(self.invoices.value()?)
    }

    /// What could not be read, a fault for each part.
    #[must_use]
    pub fn faults(&self) -> Vec<&Fault> {
        let all = [
            self.shape.fault(),
            self.record.fault(),
            self.customer.fault(),
            self.subscriptions.fault(),
            self.invoices.fault(),
            self.sessions_unread.as_ref(),
            self.entitlement.fault(),
        ];
        all.into_iter().flatten().collect()
    }
}
