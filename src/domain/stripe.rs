//! Stripe's objects as far as the rules need them, whatever API version they were rendered in.

use super::At;
use super::ids::{StripeId, SubjectKey};
use super::money::Money;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

pub type Metadata = BTreeMap<String, String>;

/// A subscription's status, in Stripe's words. Open: what is not known keeps its own word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    Active,
    Trialing,
    PastDue,
    Incomplete,
    IncompleteExpired,
    Unpaid,
    Paused,
    Canceled,
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub start: At,
    pub end: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub id: StripeId,
    /// Deleted customers keep their id and nothing else.
    pub deleted: bool,
    pub email: Option<String>,
    pub name: Option<String>,
    pub created: At,
    pub livemode: bool,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub id: StripeId,
    pub lookup_key: Option<String>,
    /// `None` for one-time prices.
    pub interval: Option<Interval>,
    /// Every how many intervals; 1 where Stripe says nothing.
    pub interval_count: u32,
    pub unit_amount: Option<Money>,
    pub product: Option<StripeId>,
    pub metadata: Metadata,
    /// Empty where the product was not expanded.
    pub product_metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub id: StripeId,
    pub price: Price,
    pub quantity: u64,
    /// On the item since API version 2025-03-31; before, only on the subscription.
    pub period: Option<Period>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: StripeId,
    pub customer: StripeId,
    pub status: Status,
    pub items: Vec<Item>,
    /// The subscription's own period, as objects of old API versions carry it.
    pub period: Option<Period>,
    pub created: At,
    pub cancel_at: Option<At>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<At>,
    pub ended_at: Option<At>,
    pub trial_end: Option<At>,
    /// `pause_collection.behavior`: invoices are not collected, whatever the status says.
    pub pause: Option<String>,
    pub schedule: Option<StripeId>,
    pub metadata: Metadata,
    pub latest_invoice: Option<StripeId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    pub id: StripeId,
    pub customer: Option<StripeId>,
    /// `parent.subscription_details.subscription`, in old shapes `subscription`.
    pub subscription: Option<StripeId>,
    /// `draft`, `open`, `paid`, `void`, `uncollectible`.
    pub status: String,
    pub total: Money,
    pub amount_paid: Money,
    pub created: At,
    pub paid_at: Option<At>,
    pub payments: Vec<Payment>,
}

/// An invoice's payment: the way from an invoice to what could be refunded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: StripeId,
    pub intent: Option<StripeId>,
    /// `open`, `paid`, `canceled`.
    pub status: String,
    pub amount: Money,
    pub paid_at: Option<At>,
}

/// A completed or abandoned checkout: the witness that names which profile paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutSession {
    pub id: StripeId,
    pub customer: Option<StripeId>,
    pub subscription: Option<StripeId>,
    pub client_reference_id: Option<String>,
    pub metadata: Metadata,
    /// `open`, `complete`, `expired`.
    pub status: String,
    /// `paid`, `unpaid`, `no_payment_required`.
    pub payment_status: String,
    pub created: At,
}

/// One of Stripe's events, as far as the timeline needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeEvent {
    pub id: StripeId,
    /// `customer.subscription.created`, …
    pub kind: String,
    pub created: At,
    /// The id of the object the event is about.
    pub object: Option<StripeId>,
    pub customer: Option<StripeId>,
    /// The subscription it is about: the object itself, or what its invoice bills for.
    pub subscription_id: Option<StripeId>,
    /// The subscription in `data.object`, where the event carries one and it can be read.
    pub subscription: Option<Box<Subscription>>,
    /// The same before the change, where the event says what changed and it can be read.
    pub previous: Option<Box<Subscription>>,
    /// The profile that the object's metadata names.
    pub profile: Option<SubjectKey>,
    /// The version that the object is rendered at.
    pub api_version: Option<String>,
    /// Deliveries that have not been answered with success: evidence only.
    pub pending_webhooks: u64,
    pub livemode: bool,
}

/// Which account a key opens, and in which mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: StripeId,
    pub name: String,
    pub livemode: bool,
}

impl StripeEvent {
    /// The customer and the subscription that it is about.
    #[must_use]
    pub fn names(&self) -> (Option<&StripeId>, Option<&StripeId>) {
        let snapshot = self.subscription.as_deref();
        let customer = snapshot.map(|s| &s.customer).or(self.customer.as_ref());
        (customer, snapshot.map(|s| &s.id).or(self.subscription_id.as_ref()))
    }
}

impl Status {
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Status::Active => "active",
            Status::Trialing => "trialing",
            Status::PastDue => "past_due",
            Status::Incomplete => "incomplete",
            Status::IncompleteExpired => "incomplete_expired",
            Status::Unpaid => "unpaid",
            Status::Paused => "paused",
            Status::Canceled => "canceled",
            Status::Other(word) => word,
        }
    }

    /// The word as a sentence has it: `past due`.
    #[must_use]
    pub fn spoken(&self) -> String {
        self.word().replace('_', " ")
    }

    /// Not ended: it may still change, bill or come back.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self, Status::Canceled | Status::IncompleteExpired)
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        match word.as_str() {
            "active" => Status::Active,
            "trialing" => Status::Trialing,
            "past_due" => Status::PastDue,
            "incomplete" => Status::Incomplete,
            "incomplete_expired" => Status::IncompleteExpired,
            "unpaid" => Status::Unpaid,
            "paused" => Status::Paused,
            "canceled" => Status::Canceled,
            _ => Status::Other(word),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.word().to_string()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Interval {
    /// Stripe's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Interval::Day => "day",
            Interval::Week => "week",
            Interval::Month => "month",
            Interval::Year => "year",
        }
    }
}

impl Subscription {
    /// The paid period: of that item, else from the earliest start to the latest end of all items, else the subscription's own.
    #[must_use]
    pub fn period_of(&self, item: Option<&Item>) -> Option<Period> {
        if let Some(period) = item.and_then(|i| i.period) {
            return Some(period);
        }
        let over_items =
            self.items.iter().filter_map(|i| i.period).reduce(|a, b| Period { start: a.start.min(b.start), end: a.end.max(b.end) });
        over_items.or(self.period)
    }

    /// The invoice that decides whether it is paid: the one it names itself, else its newest among these.
    #[must_use]
    pub fn latest_among<'a>(&self, invoices: &'a [Invoice]) -> Option<&'a Invoice> {
        let named = invoices.iter().find(|i| self.latest_invoice.as_ref() == Some(&i.id));
        named.or_else(|| invoices.iter().filter(|i| i.subscription.as_ref() == Some(&self.id)).max_by_key(|i| i.created))
    }
}

/// The keys under which applications write a profile's id into metadata.
const PROFILE_KEYS: &[&str] = &["profileId", "profile_id", "profileid", "userId", "user_id"];

/// Whether applications write a profile's id under this key.
#[must_use]
pub fn names_profile(key: &str) -> bool {
    PROFILE_KEYS.contains(&key)
}

/// The profile that this metadata names, if any.
#[must_use]
pub fn named_profile(metadata: &Metadata) -> Option<SubjectKey> {
    PROFILE_KEYS.iter().find_map(|k| metadata.get(*k)).map(|v| v.trim()).filter(|v| !v.is_empty()).map(|v| SubjectKey(v.to_string()))
}

impl CheckoutSession {
    /// The profile it names: `client_reference_id` first, then its metadata.
    #[must_use]
    pub fn profile(&self) -> Option<SubjectKey> {
        let reference = self.client_reference_id.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(|r| SubjectKey(r.to_string()));
        reference.or_else(|| named_profile(&self.metadata))
    }
}
