//! The answers that have arrived, each by its question. What follows from them is `reading`'s, what stands in for them `stand_in`'s.

mod reading;
mod stand_in;

pub use reading::{assemble, next_reads};
pub use stand_in::{StandIn, stand_in, whom};

use super::query::{Locator, Query, Reply};
use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::row::{Record, Subject, SubscriptionRow};
use crate::domain::shape::Shape;
use crate::domain::stripe::{CheckoutSession, Customer, Invoice, Subscription};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Answers by the question that got them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    // Shared, since a run's state is copied whenever a key may be the first of a paste, and a list of events is long.
    #[serde(with = "pairs")]
    given: BTreeMap<Query, Arc<Known<Reply>>>,
}

impl Answers {
    /// The question is on its way; until it is answered it is not asked again.
    pub fn asked(&mut self, query: Query) {
        self.given.entry(query).or_insert_with(|| Arc::new(Known::Waiting));
    }

    pub fn put(&mut self, query: Query, result: Result<Reply, Fault>, at: At) {
        let known = match result {
            Ok(value) => Known::Is { value, at },
            Err(fault) => Known::Failed(fault),
        };
        self.given.insert(query, Arc::new(known));
    }

    #[must_use]
    pub fn get(&self, query: &Query) -> Option<&Known<Reply>> {
        self.given.get(query).map(AsRef::as_ref)
    }

    /// Everything that was asked, with what came of it.
    pub fn all(&self) -> impl Iterator<Item = (&Query, &Known<Reply>)> {
        self.given.iter().map(|(q, k)| (q, k.as_ref()))
    }

    /// Questions that are asked and not answered.
    pub fn outstanding(&self) -> impl Iterator<Item = &Query> {
        self.given.iter().filter(|(_, k)| k.is_waiting()).map(|(q, _)| q)
    }

    /// Why questions got no answer.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.given.values().filter_map(|k| k.fault())
    }

    fn known<T>(&self, query: &Query, take: impl Fn(&Reply) -> Option<T>) -> Known<T> {
        match self.get(query) {
            None | Some(Known::Waiting) => Known::Waiting,
            Some(Known::Failed(f)) => Known::Failed(f.clone()),
            // An answer of another kind would be a mistake of ours; it is shown as one, and nothing is concluded from it.
            Some(Known::Is { value, at }) => match take(value) {
                Some(value) => Known::Is { value, at: *at },
                None => Known::Failed(Fault::new(query.source(), FaultKind::Schema, "The answer does not fit the question")),
            },
        }
    }

    fn shape(&self) -> Known<Shape> {
        self.known(&Query::Shape, |r| if let Reply::Shape(s) = r { Some((**s).clone()) } else { None })
    }

    fn records(&self, locator: Locator) -> Known<Vec<Record>> {
        self.known(&Query::Records(locator), |r| if let Reply::Records(v) = r { Some(v.clone()) } else { None })
    }

    fn rows(&self, of: Vec<StripeId>) -> Known<Vec<(SubscriptionRow, Subject)>> {
        self.known(&Query::RowsOf(of), |r| if let Reply::Rows(v) = r { Some(v.clone()) } else { None })
    }

    fn customers(&self, query: &Query) -> Known<Vec<Customer>> {
        self.known(query, |r| if let Reply::Customers(v) = r { Some(v.clone()) } else { None })
    }

    fn subscriptions(&self, of: &StripeId) -> Known<Vec<Subscription>> {
        self.known(&Query::SubscriptionsOf(of.clone()), |r| if let Reply::Subscriptions(v) = r { Some(v.clone()) } else { None })
    }

    fn sessions(&self, of: &StripeId) -> Known<Vec<CheckoutSession>> {
        self.known(&Query::SessionsOf(of.clone()), |r| if let Reply::Sessions(v) = r { Some(v.clone()) } else { None })
    }

    fn invoices(&self, of: &StripeId) -> Known<Vec<Invoice>> {
        self.known(&Query::InvoicesOf(of.clone()), |r| if let Reply::Invoices(v) = r { Some(v.clone()) } else { None })
    }

    fn entitlement(&self, of: &SubjectKey) -> Known<Option<Entitlement>> {
        self.known(&Query::Entitlement(of.clone()), |r| if let Reply::Entitlement(v) = r { Some(v.clone()) } else { None })
    }
}

/// JSON has no maps keyed by structures.
mod pairs {
    use super::{Arc, BTreeMap, Known, Query, Reply};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Query, Arc<Known<Reply>>>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map.iter().map(|(query, known)| (query, known.as_ref())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Query, Arc<Known<Reply>>>, D::Error> {
        let pairs = Vec::<(Query, Known<Reply>)>::deserialize(d)?;
        Ok(pairs.into_iter().map(|(query, known)| (query, Arc::new(known))).collect())
    }
}
