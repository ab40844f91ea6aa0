//! Which profile a Stripe customer belongs to: the evidence, how far it carries, and when it may choose by itself.

use super::ids::{StripeId, SubjectKey};
use super::row::Record;
use super::stripe::{CheckoutSession, Customer, Subscription, named_profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One piece of evidence that ties a Stripe customer to a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub profile: SubjectKey,
    pub customer: StripeId,
    pub by: LinkedBy,
    /// The object that says so, for the evidence panel.
    pub witness: String,
}

/// The kinds of evidence, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkedBy {
    /// The row holds this customer's id already.
    Row,
    /// A completed Checkout Session names the profile.
    CheckoutSession,
    SubscriptionMetadata,
    CustomerMetadata,
    /// The same e-mail address: people share and change these.
    Email,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Confidence {
    Weak,
    Likely,
    Certain,
}

impl LinkedBy {
    #[must_use]
    pub fn confidence(self) -> Confidence {
        match self {
            LinkedBy::Row | LinkedBy::CheckoutSession => Confidence::Certain,
            LinkedBy::SubscriptionMetadata | LinkedBy::CustomerMetadata => Confidence::Likely,
            LinkedBy::Email => Confidence::Weak,
        }
    }

    #[must_use]
    pub fn say(self) -> &'static str {
        match self {
            LinkedBy::Row => "the row holds this id",
            LinkedBy::CheckoutSession => "checkout session names the profile",
            LinkedBy::SubscriptionMetadata => "subscription metadata names the profile",
            LinkedBy::CustomerMetadata => "customer metadata names the profile",
            LinkedBy::Email => "same e-mail address",
        }
    }
}

impl Confidence {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Confidence::Weak => "weak",
            Confidence::Likely => "likely",
            Confidence::Certain => "certain",
        }
    }
}

/// All evidence in these objects, strongest first, each profile and customer once by its strongest.
#[must_use]
pub fn links(records: &[Record], customers: &[Customer], subscriptions: &[Subscription], sessions: &[CheckoutSession]) -> Vec<Link> {
    let mut found = Vec::new();
    for record in records {
        if let Some(customer) = held(record).and_then(|t| StripeId::parse(t).ok()) {
            found.push(Link { profile: record.subject.key.clone(), witness: customer.to_string(), customer, by: LinkedBy::Row });
        }
    }
    for session in sessions.iter().filter(|s| s.status == "complete") {
        if let (Some(customer), Some(profile)) = (session.customer.clone(), session.profile()) {
            found.push(Link { profile, customer, by: LinkedBy::CheckoutSession, witness: session.id.to_string() });
        }
    }
    for subscription in subscriptions {
        if let Some(profile) = named_profile(&subscription.metadata) {
            let (customer, witness) = (subscription.customer.clone(), subscription.id.to_string());
            found.push(Link { profile, customer, by: LinkedBy::SubscriptionMetadata, witness });
        }
    }
    for customer in customers {
        if let Some(profile) = named_profile(&customer.metadata) {
            found.push(Link { profile, customer: customer.id.clone(), by: LinkedBy::CustomerMetadata, witness: customer.id.to_string() });
        }
        for record in records {
            let same = customer.email.as_deref().zip(record.subject.email.as_deref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
            if same {
                let (profile, witness) = (record.subject.key.clone(), customer.id.to_string());
                found.push(Link { profile, customer: customer.id.clone(), by: LinkedBy::Email, witness });
            }
        }
    }
    found.sort_by_key(|l| l.by);
    let mut once: Vec<Link> = Vec::new();
    for link in found {
        if !once.iter().any(|l| l.profile == link.profile && l.customer == link.customer) {
            once.push(link);
        }
    }
    once
}

/// The link that may be chosen without asking: exactly one completed Checkout Session's worth of profile for this customer,
/// and no other checkout that names somebody else. Everything weaker is an explicit choice.
#[must_use]
pub fn preselected<'a>(links: &'a [Link], customer: &StripeId) -> Option<&'a Link> {
    let mut sessions = links.iter().filter(|l| &l.customer == customer && l.by <= LinkedBy::CheckoutSession);
    let first = sessions.next()?;
    sessions.all(|l| l.profile == first.profile).then_some(first)
}

/// The customers among these that belong to another profile than this one: a completed checkout names somebody else who exists,
/// else somebody else's row holds the id, else metadata names somebody else who exists. An e-mail address takes nothing away.
#[must_use]
pub fn disowned(
    profile: &SubjectKey,
    records: &[Record],
    customers: &[Customer],
    subscriptions: &[Subscription],
    sessions: &[CheckoutSession],
) -> BTreeSet<StripeId> {
    let exists = |key: &SubjectKey| records.iter().any(|r| r.subject.key == *key);
    let holder = |id: &StripeId| records.iter().find(|r| held(r) == Some(id.as_str())).map(|r| &r.subject.key);
    let belongs_elsewhere = |customer: &Customer| {
        let of_customer = sessions.iter().filter(|s| s.status == "complete" && s.customer.as_ref() == Some(&customer.id));
        let by_checkout: Vec<_> = of_customer.filter_map(CheckoutSession::profile).filter(exists).collect();
        if !by_checkout.is_empty() {
            return !by_checkout.contains(profile);
        }
        if let Some(holder) = holder(&customer.id) {
            return holder != profile;
        }
        let theirs = subscriptions.iter().filter(|s| s.customer == customer.id).filter_map(|s| named_profile(&s.metadata));
        let by_metadata: Vec<_> = theirs.chain(named_profile(&customer.metadata)).filter(exists).collect();
        !by_metadata.is_empty() && !by_metadata.contains(profile)
    };
    customers.iter().filter(|c| belongs_elsewhere(c)).map(|c| c.id.clone()).collect()
}

/// The Stripe customer id that the profile's row holds.
fn held(record: &Record) -> Option<&str> {
    record.row.as_ref().and_then(|r| r.text(super::row::Field::Customer))
}
