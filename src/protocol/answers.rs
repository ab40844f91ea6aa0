//! The answers that have arrived, and what is still to be asked: how a case is read, source by source, by screen and procedures alike.

use super::query::{Locator, Query, Reply};
use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::Fault;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::link::{Link, LinkedBy, links, preselected};
use crate::domain::row::{Field, Record};
use crate::domain::shape::Shape;
use crate::domain::stripe::{CheckoutSession, Customer, Invoice, Subscription, named_profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Answers by the question that got them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    #[serde(with = "pairs")]
    given: BTreeMap<Query, Known<Reply>>,
}

/// How many Stripe customers a case follows: more than this share an e-mail only by accident.
const CUSTOMERS_FOLLOWED: usize = 5;

impl Answers {
    /// The question is on its way; until it is answered it is not asked again.
    pub fn asked(&mut self, query: Query) {
        self.given.entry(query).or_insert(Known::Waiting);
    }

    pub fn put(&mut self, query: Query, result: Result<Reply, Fault>, at: At) {
        let known = match result {
            Ok(value) => Known::Is { value, at },
            Err(fault) => Known::Failed(fault),
        };
        self.given.insert(query, known);
    }

    #[must_use]
    pub fn get(&self, query: &Query) -> Option<&Known<Reply>> {
        self.given.get(query)
    }

    /// Questions that are asked and not answered.
    pub fn outstanding(&self) -> impl Iterator<Item = &Query> {
        self.given.iter().filter(|(_, k)| k.is_waiting()).map(|(q, _)| q)
    }

    /// Why questions got no answer.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.given.values().filter_map(Known::fault)
    }

    fn known<T>(&self, query: &Query, take: impl Fn(&Reply) -> Option<T>) -> Known<T> {
        match self.given.get(query) {
            None | Some(Known::Waiting) => Known::Waiting,
            Some(Known::Failed(f)) => Known::Failed(f.clone()),
            Some(Known::Is { value, at }) => {
                Known::Is { value: take(value).expect("invariant: the executor answers a query in its own kind"), at: *at }
            }
        }
    }

    fn shape(&self) -> Known<Shape> {
        self.known(&Query::Shape, |r| if let Reply::Shape(s) = r { Some((**s).clone()) } else { None })
    }

    fn records(&self, locator: Locator) -> Known<Vec<Record>> {
        self.known(&Query::Records(locator), |r| if let Reply::Records(v) = r { Some(v.clone()) } else { None })
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

/// The reading of one case: pure, so that what is asked next follows from what has been answered, in any order of arrival.
struct Reading<'a> {
    answers: &'a Answers,
    handle: &'a Handle,
    /// The profile that the operator has chosen, where they have.
    chosen: Option<&'a SubjectKey>,
    wanted: Vec<Query>,
}

/// The questions this case needs now that have not been asked yet. Empty and nothing outstanding: the case is complete.
#[must_use]
pub fn next_reads(handle: &Handle, chosen: Option<&SubjectKey>, answers: &Answers) -> Vec<Query> {
    let mut reading = Reading { answers, handle, chosen, wanted: vec![Query::Shape] };
    reading.case();
    let mut wanted = reading.wanted;
    wanted.retain(|q| answers.get(q).is_none());
    wanted.dedup();
    wanted
}

/// The case as far as the answers carry it.
#[must_use]
pub fn assemble(handle: &Handle, chosen: Option<&SubjectKey>, answers: &Answers) -> Case {
    Reading { answers, handle, chosen, wanted: Vec::new() }.case()
}

impl Reading<'_> {
    fn want(&mut self, query: Query) {
        if !self.wanted.contains(&query) {
            self.wanted.push(query);
        }
    }

    fn records(&mut self, locator: Locator) -> Known<Vec<Record>> {
        self.want(Query::Records(locator.clone()));
        self.answers.records(locator)
    }

    fn case(&mut self) -> Case {
        let (mut records, named) = self.by_handle();
        let mut customers = self.stripe_customers(&records, named.as_ref());
        let mut subscriptions = Vec::new();
        let mut sessions = Vec::new();
        let mut unanswered = None;
        let followed: Vec<StripeId> = customers.value().into_iter().flatten().map(|c| c.id.clone()).take(CUSTOMERS_FOLLOWED).collect();
        for id in &followed {
            self.want(Query::SubscriptionsOf(id.clone()));
            self.want(Query::SessionsOf(id.clone()));
            match self.answers.subscriptions(id) {
                Known::Is { value, at } => subscriptions.push((value, at)),
                Known::Waiting => unanswered = unanswered.or(Some(Known::Waiting)),
                Known::Failed(f) => unanswered = Some(Known::Failed(f)),
            }
            match self.answers.sessions(id) {
                Known::Is { value, .. } => sessions.extend(value),
                Known::Waiting => unanswered = unanswered.or(Some(Known::Waiting)),
                // Sessions are evidence for the link only; without them the weaker evidence is shown, and chosen by hand.
                Known::Failed(_) => {}
            }
        }
        let subscriptions: Known<Vec<Subscription>> = match (unanswered, &customers) {
            (Some(u), _) => u,
            (None, Known::Is { at, .. }) => {
                let at = subscriptions.iter().map(|(_, at)| *at).min().unwrap_or(*at);
                let mut all: Vec<_> = subscriptions.into_iter().flat_map(|(v, _)| v).collect();
                all.sort_by_key(|s| std::cmp::Reverse(s.created));
                Known::Is { value: all, at }
            }
            (None, Known::Waiting) => Known::Waiting,
            (None, Known::Failed(f)) => Known::Failed(f.clone()),
        };
        let customer = question_customer(&customers, &subscriptions, named.as_ref(), &records);
        if let Known::Is { value, .. } = &mut customers {
            value.sort_by_key(|c| std::cmp::Reverse(Some(&c.id) == customer.value().and_then(|c| c.as_ref()).map(|c| &c.id)));
        }
        let (record, links) = self.profile(&mut records, &customers, &subscriptions, &sessions, &customer);
        let invoices = match customer.value() {
            Some(Some(c)) => {
                self.want(Query::InvoicesOf(c.id.clone()));
                self.answers.invoices(&c.id)
            }
            Some(None) => customer.map(|_| Vec::new()),
            None => customer.map(|_| Vec::new()),
        };
        let entitlement = match record.value() {
            Some(Some(r)) => {
                self.want(Query::Entitlement(r.subject.key.clone()));
                self.answers.entitlement(&r.subject.key)
            }
            _ => record.map(|_| None),
        };
        Case {
            handle: self.handle.clone(),
            shape: self.answers.shape(),
            record,
            customer,
            customers: customers.value().cloned().unwrap_or_default(),
            subscriptions,
            sessions,
            invoices,
            events: Known::Waiting,
            entitlement,
            links,
        }
    }

    /// What the handle itself leads to: profiles of the database, and a Stripe customer where it names one.
    fn by_handle(&mut self) -> (Known<Vec<Record>>, Option<Known<Option<StripeId>>>) {
        match self.handle.clone() {
            Handle::Subject(key) => (self.records(Locator::Subjects(vec![key])), None),
            Handle::Placeholder(id) => (self.records(Locator::CustomerId(id)), None),
            Handle::Email(email) => (self.records(Locator::Email(email)), None),
            Handle::Stripe(id) if id.kind() == StripeKind::Customer => {
                let records = self.records(Locator::CustomerId(id.to_string()));
                let at = At::default();
                (records, Some(Known::Is { value: Some(id), at }))
            }
            Handle::Stripe(id) => {
                let query = Query::CustomerOf(id.clone());
                self.want(query.clone());
                let owner = self.answers.customers(&query).map(|v| v.first().map(|c| c.id.clone()));
                let records = match owner.value() {
                    Some(Some(customer)) => self.records(Locator::CustomerId(customer.to_string())),
                    _ => owner.map(|_| Vec::new()),
                };
                (records, Some(owner))
            }
        }
    }

    /// The Stripe customers of the case: the named one, else the row's, else those that e-mail and metadata lead to.
    fn stripe_customers(&mut self, records: &Known<Vec<Record>>, named: Option<&Known<Option<StripeId>>>) -> Known<Vec<Customer>> {
        let mut found: Vec<Customer> = Vec::new();
        let mut latest = At::default();
        let mut direct = Vec::new();
        match named {
            Some(Known::Waiting) => return Known::Waiting,
            Some(Known::Failed(f)) => return Known::Failed(f.clone()),
            Some(Known::Is { value, .. }) => direct.extend(value.clone()),
            None => {}
        }
        let records = match records {
            Known::Is { value, at } => {
                latest = latest.max(*at);
                value.clone()
            }
            // The named customer can be read while the database is still silent.
            _ if !direct.is_empty() => Vec::new(),
            Known::Waiting => return Known::Waiting,
            Known::Failed(f) => return Known::Failed(f.clone()),
        };
        let rows = records.iter().filter_map(|r| r.row.as_ref());
        direct.extend(rows.filter_map(|r| r.text(Field::Customer)).filter_map(|t| StripeId::of(StripeKind::Customer, t)));
        direct.dedup();
        let mut queries: Vec<Query> = direct.into_iter().map(Query::Customer).collect();
        queries.extend(records.iter().map(|r| Query::CustomersFor { email: r.subject.email.clone(), subject: r.subject.key.clone() }));
        if let (Handle::Email(email), true) = (self.handle, records.is_empty()) {
            queries.push(Query::CustomersFor { email: Some(email.clone()), subject: SubjectKey(String::new()) });
        }
        for query in queries {
            self.want(query.clone());
            match self.answers.customers(&query) {
                Known::Is { value, at } => {
                    latest = latest.max(at);
                    for customer in value {
                        if !found.iter().any(|c| c.id == customer.id) {
                            found.push(customer);
                        }
                    }
                }
                Known::Waiting => return Known::Waiting,
                Known::Failed(f) => return Known::Failed(f),
            }
        }
        Known::Is { value: found, at: latest }
    }

    /// The profile in question with the evidence for it, and the records that the evidence leads to.
    fn profile(
        &mut self,
        records: &mut Known<Vec<Record>>,
        customers: &Known<Vec<Customer>>,
        subscriptions: &Known<Vec<Subscription>>,
        sessions: &[CheckoutSession],
        customer: &Known<Option<Customer>>,
    ) -> (Known<Option<Record>>, Vec<Link>) {
        let empty = (Vec::new(), Vec::new());
        let customers = customers.value().unwrap_or(&empty.0);
        let subscriptions_known = subscriptions.value().unwrap_or(&empty.1);
        let mut profiles: Vec<SubjectKey> = sessions.iter().filter_map(CheckoutSession::profile).collect();
        profiles.extend(subscriptions_known.iter().filter_map(|s| named_profile(&s.metadata)));
        profiles.extend(customers.iter().filter_map(|c| named_profile(&c.metadata)));
        profiles.extend(self.chosen.cloned());
        profiles.sort();
        profiles.dedup();
        let mut all = records.value().cloned().unwrap_or_default();
        profiles.retain(|p| !all.iter().any(|r| r.subject.key == *p));
        let mut more = Vec::new();
        if !profiles.is_empty() {
            more.push(self.records(Locator::Subjects(profiles)));
        } else if all.is_empty() && records.value().is_some() {
            for email in customers.iter().filter_map(|c| c.email.clone()).take(1) {
                more.push(self.records(Locator::Email(email)));
            }
        }
        for found in more {
            match found {
                Known::Is { value, .. } => all.extend(value),
                Known::Waiting => return (Known::Waiting, Vec::new()),
                Known::Failed(f) => return (Known::Failed(f), Vec::new()),
            }
        }
        let links = links(&all, customers, subscriptions_known, sessions);
        let key = match (self.chosen, self.handle) {
            (Some(chosen), _) => Some(chosen.clone()),
            (None, Handle::Subject(key)) => Some(key.clone()),
            (None, _) => customer
                .value()
                .and_then(Option::as_ref)
                .and_then(|c| preselected(&links, &c.id))
                .map(|l| l.profile.clone())
                // A row found by what the handle says about it, where no Stripe customer disputes it.
                .or_else(|| match (records.value().map(Vec::as_slice), self.handle) {
                    (Some([one]), Handle::Placeholder(_) | Handle::Email(_)) => Some(one.subject.key.clone()),
                    (Some([one]), _) if links.iter().any(|l| l.by == LinkedBy::Row) => Some(one.subject.key.clone()),
                    _ => None,
                }),
        };
        let record = records.map(|_| key.and_then(|k| all.into_iter().find(|r| r.subject.key == k)));
        // While Stripe may still name somebody, "nobody" is not an answer yet.
        let undecided = record.value().is_some_and(Option::is_none) && subscriptions.is_waiting();
        (if undecided { Known::Waiting } else { record }, links)
    }
}

/// The customer in question: the named one, else the one with a live subscription, else the row's, else the first found.
fn question_customer(
    customers: &Known<Vec<Customer>>,
    subscriptions: &Known<Vec<Subscription>>,
    named: Option<&Known<Option<StripeId>>>,
    records: &Known<Vec<Record>>,
) -> Known<Option<Customer>> {
    customers.map(|all| {
        let named = named.and_then(Known::value).and_then(Option::as_ref);
        let live = subscriptions.value().into_iter().flatten().find(|s| s.status.is_live()).map(|s| &s.customer);
        let held = records.value().into_iter().flatten().filter_map(|r| r.row.as_ref()).find_map(|r| r.text(Field::Customer));
        named
            .and_then(|n| all.iter().find(|c| c.id == *n))
            .or_else(|| live.and_then(|l| all.iter().find(|c| c.id == *l)))
            .or_else(|| held.and_then(|h| all.iter().find(|c| c.id.as_str() == h)))
            .or_else(|| all.first())
            .cloned()
    })
}

/// JSON has no maps keyed by structures.
mod pairs {
    use super::{BTreeMap, Known, Query, Reply};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Query, Known<Reply>>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Query, Known<Reply>>, D::Error> {
        Ok(Vec::<(Query, Known<Reply>)>::deserialize(d)?.into_iter().collect())
    }
}
