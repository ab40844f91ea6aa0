//! How a case is read: which questions follow from which answers, and what they add up to. Pure, and in any order of arrival,
//! so that the screen and the procedures see the same case.

use super::Answers;
use crate::domain::At;
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::link::{Link, disowned, links, preselected};
use crate::domain::row::{Field, Record, Subject, SubscriptionRow};
use crate::domain::stripe::{CheckoutSession, Customer, Subscription, named_profile};
use crate::domain::text::capitalised;
use crate::protocol::query::{Locator, Query};
use std::collections::{BTreeMap, BTreeSet};

/// How many Stripe customers a case follows: more than this share an e-mail only by accident.
const CUSTOMERS_FOLLOWED: usize = 5;
/// Stripe calls of one case that may be under way at once.
const STRIPE_AT_ONCE: usize = 6;
/// How often a profile that the evidence names may lead to further Stripe customers. Two suffice; the bound is against loops.
const PASSES: usize = 3;

/// The questions this case needs now that have not been asked yet. Empty and nothing outstanding: the case is complete.
#[must_use]
pub fn next_reads(handle: &Handle, chosen: Option<&SubjectKey>, answers: &Answers) -> Vec<Query> {
    let mut reading = Reading { answers, handle, chosen, wanted: vec![Query::Shape] };
    reading.case();
    let mut wanted = reading.wanted;
    let of_stripe = |q: &Query| q.source() == Source::Stripe;
    let mut free = STRIPE_AT_ONCE.saturating_sub(answers.outstanding().filter(|q| of_stripe(q)).count());
    wanted.retain(|q| {
        if answers.get(q).is_some() {
            return false;
        }
        let admitted = !of_stripe(q) || free > 0;
        free -= usize::from(of_stripe(q) && free > 0);
        admitted
    });
    wanted
}

/// The case as far as the answers carry it.
#[must_use]
pub fn assemble(handle: &Handle, chosen: Option<&SubjectKey>, answers: &Answers) -> Case {
    Reading { answers, handle, chosen, wanted: Vec::new() }.case()
}

struct Reading<'a> {
    answers: &'a Answers,
    handle: &'a Handle,
    /// The profile that the operator has chosen, where they have.
    chosen: Option<&'a SubjectKey>,
    wanted: Vec<Query>,
}

/// The Stripe side as far as it has answered. `settled` says whether anything may still be added.
struct StripeSide {
    customers: Vec<Customer>,
    settled: Known<()>,
    subscriptions: Known<Vec<Subscription>>,
    /// What has arrived of them, however incomplete: evidence is used as it comes.
    seen: Vec<Subscription>,
    sessions: Vec<CheckoutSession>,
    sessions_waiting: bool,
    sessions_unread: Option<Fault>,
    /// When Stripe last answered anything of this.
    heard: At,
}

/// The profile in question with the evidence for it.
struct ProfileSide {
    record: Known<Option<Record>>,
    /// Every record that was read, those which only stand as evidence included.
    all: Vec<Record>,
    links: Vec<Link>,
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
        let named = self.named_customer();
        let mut records = self.by_handle(named.as_ref());
        let mut pass = 1;
        let (mut stripe, customer, profile) = loop {
            let stripe = self.stripe_side(&records, named.as_ref());
            let customer = question_customer(&stripe, &stripe.seen, named.as_ref(), &records);
            let profile = self.profile(&records, &stripe, &customer);
            let found = profile.record.value().and_then(Option::as_ref);
            // A profile that only the evidence names may hold another customer id, and own other customers: look again from there.
            match (found, &mut records) {
                (Some(new), Known::Is { value, .. }) if pass < PASSES && !value.iter().any(|r| r.subject.key == new.subject.key) => {
                    value.push(new.clone());
                    pass += 1;
                }
                _ => break (stripe, customer, profile),
            }
        };
        let (customer, others) = self.without_others(&mut stripe, customer, &profile, named.as_ref(), &records);
        let invoices = match (customer.value(), named.as_ref().and_then(Known::value)) {
            (Some(Some(c)), _) => {
                self.want(Query::InvoicesOf(c.id.clone()));
                self.answers.invoices(&c.id)
            }
            // Asked for along with the customer itself, so that the whole answer takes one round trip less.
            (None, Some(Some(id))) if customer.is_waiting() => {
                self.want(Query::InvoicesOf(id.clone()));
                Known::Waiting
            }
            _ => customer.map(|_| Vec::new()),
        };
        let entitlement = match profile.record.value() {
            Some(Some(r)) => {
                self.want(Query::Entitlement(r.subject.key.clone()));
                self.answers.entitlement(&r.subject.key)
            }
            _ => profile.record.map(|_| None),
        };
        let question = customer.value().and_then(Option::as_ref).map(|c| c.id.clone());
        stripe.customers.sort_by_key(|c| std::cmp::Reverse(Some(&c.id) == question.as_ref()));
        Case {
            handle: self.handle.clone(),
            shape: self.answers.shape(),
            record: profile.record,
            customer,
            customers: stripe.customers,
            subscriptions: stripe.subscriptions,
            sessions: stripe.sessions,
            sessions_unread: stripe.sessions_unread,
            invoices,
            entitlement,
            others,
            links: profile.links,
        }
    }

    /// The Stripe customer that the handle itself names; `None` where it names none.
    fn named_customer(&mut self) -> Option<Known<Option<StripeId>>> {
        let Handle::Stripe(id) = self.handle.clone() else { return None };
        if id.kind() == StripeKind::Customer {
            return Some(Known::Is { value: Some(id), at: At::default() });
        }
        let query = Query::CustomerOf(id);
        self.want(query.clone());
        Some(self.answers.customers(&query).map(|v| v.first().map(|c| c.id.clone())))
    }

    /// The profiles of the database that the handle leads to.
    fn by_handle(&mut self, named: Option<&Known<Option<StripeId>>>) -> Known<Vec<Record>> {
        match self.handle.clone() {
            Handle::Subject(key) => self.records(Locator::Subjects(vec![key])),
            Handle::Placeholder(id) => self.records(Locator::CustomerId(id)),
            Handle::Email(email) => self.records(Locator::Email(email)),
            Handle::Stripe(id) => {
                // The row may know the subscription while Stripe is silent.
                let own = (id.kind() == StripeKind::Subscription).then(|| self.records(Locator::SubscriptionId(id.to_string())));
                let owners = match named {
                    Some(Known::Is { value: Some(customer), .. }) => self.records(Locator::CustomerId(customer.to_string())),
                    Some(other) => other.map(|_| Vec::new()),
                    None => Known::Waiting,
                };
                match (own, owners) {
                    (None, owners) => owners,
                    (Some(Known::Is { mut value, at }), Known::Is { value: more, .. }) => {
                        let new = more.into_iter().filter(|m| !value.iter().any(|r| r.subject.key == m.subject.key)).collect::<Vec<_>>();
                        value.extend(new);
                        Known::Is { value, at }
                    }
                    (Some(Known::Is { value, at }), _) if !value.is_empty() => Known::Is { value, at },
                    (Some(_), owners) => owners,
                }
            }
        }
    }

    /// Stripe's customers of the case with what hangs on them: the named one, the row's, those that e-mail and metadata lead to.
    fn stripe_side(&mut self, records: &Known<Vec<Record>>, named: Option<&Known<Option<StripeId>>>) -> StripeSide {
        let mut direct: Vec<StripeId> = named.and_then(Known::value).cloned().flatten().into_iter().collect();
        let mut questions: Vec<Query> = match self.handle {
            // The owner's answer is the customer itself: it is not asked for again.
            Handle::Stripe(id) if id.kind() != StripeKind::Customer => vec![Query::CustomerOf(id.clone())],
            _ => direct.iter().cloned().map(Query::Customer).collect(),
        };
        let known = records.value().map_or(&[][..], Vec::as_slice);
        for held in known.iter().filter_map(|r| r.row.as_ref()).filter_map(|r| r.text(Field::Customer)) {
            if let Some(id) = StripeId::of(StripeKind::Customer, held).filter(|id| !direct.contains(id)) {
                questions.push(Query::Customer(id.clone()));
                direct.push(id);
            }
        }
        questions.extend(known.iter().map(|r| Query::CustomersFor { email: r.subject.email.clone(), subject: r.subject.key.clone() }));
        if records.value().is_some_and(Vec::is_empty) {
            match self.handle {
                Handle::Email(e) => questions.push(Query::CustomersFor { email: Some(e.clone()), subject: SubjectKey(String::new()) }),
                // Stripe may still name a profile that the database no longer has.
                Handle::Subject(key) => questions.push(Query::CustomersFor { email: None, subject: key.clone() }),
                Handle::Stripe(_) | Handle::Placeholder(_) => {}
            }
        }
        let mut customers: Vec<Customer> = Vec::new();
        let mut heard = At::default();
        let mut settled = match (named, records) {
            (Some(Known::Waiting), _) => Known::Waiting,
            (Some(Known::Failed(f)), _) => Known::Failed(f.clone()),
            // Who else may own a customer is the database's to say; without it the named customer stands alone.
            (Some(Known::Is { value: Some(_), .. }), Known::Failed(_)) => Known::Is { value: (), at: At::default() },
            (_, records) => records.map(|_| ()),
        };
        for question in questions {
            self.want(question.clone());
            match self.answers.customers(&question) {
                Known::Is { value, at } => {
                    settled = and(settled, Known::Is { value: (), at });
                    heard = heard.max(at);
                    let new = value.into_iter().filter(|c| !customers.iter().any(|k| k.id == c.id)).collect::<Vec<_>>();
                    customers.extend(new);
                }
                Known::Waiting => settled = and(settled, Known::Waiting),
                Known::Failed(f) => settled = and(settled, Known::Failed(f)),
            }
        }
        // What is asked for by id is followed at once; ids that Stripe turns out not to know are dropped again.
        let mut followed: Vec<StripeId> = customers.iter().map(|c| c.id.clone()).collect();
        // Stripe lists ten at most: a list that long is cut off here all the same.
        let cut = (followed.len() > CUSTOMERS_FOLLOWED).then(too_many);
        if settled.is_waiting() {
            followed.extend(direct.into_iter().filter(|d| !customers.iter().any(|c| c.id == *d)));
        }
        followed.truncate(CUSTOMERS_FOLLOWED);
        let mut side = self.hanging_on(customers, &followed, settled, heard);
        if let Some(fault) = cut {
            // Whoever is named by id is followed, whoever else there is; otherwise nothing is concluded from some of them.
            if named.and_then(Known::value).and_then(Option::as_ref).is_none() {
                side.subscriptions = Known::Failed(fault.clone());
            }
            side.sessions_unread.get_or_insert(fault);
        }
        side
    }

    fn hanging_on(&mut self, customers: Vec<Customer>, followed: &[StripeId], settled: Known<()>, heard: At) -> StripeSide {
        let (mut seen, mut sessions, mut sessions_waiting, mut sessions_unread) = (Vec::new(), Vec::new(), false, None);
        let mut state = settled.clone();
        for id in followed {
            self.want(Query::SubscriptionsOf(id.clone()));
            self.want(Query::SessionsOf(id.clone()));
            match self.answers.subscriptions(id) {
                Known::Is { value, at } => {
                    seen.extend(value);
                    state = and(state, Known::Is { value: (), at });
                }
                Known::Waiting => state = and(state, Known::Waiting),
                Known::Failed(f) => state = and(state, Known::Failed(f)),
            }
            match self.answers.sessions(id) {
                Known::Is { value, .. } => sessions.extend(value),
                Known::Waiting => sessions_waiting = true,
                // Sessions are evidence for the link only; without them the weaker evidence is shown, and chosen by hand.
                Known::Failed(fault) => sessions_unread = Some(fault),
            }
        }
        seen.sort_by_key(|s: &Subscription| std::cmp::Reverse(s.created));
        let subscriptions = state.map(|()| seen.clone());
        StripeSide { customers, settled, subscriptions, seen, sessions, sessions_waiting, sessions_unread, heard }
    }

    /// The profile in question, the evidence for it, and the records that the evidence leads to.
    fn profile(&mut self, records: &Known<Vec<Record>>, stripe: &StripeSide, customer: &Known<Option<Customer>>) -> ProfileSide {
        let nothing =
            |record| ProfileSide { record, all: Vec::new(), links: links(&[], &stripe.customers, &stripe.seen, &stripe.sessions) };
        let mut all = match records {
            Known::Is { value, .. } => value.clone(),
            Known::Waiting => return nothing(Known::Waiting),
            Known::Failed(f) => return nothing(Known::Failed(f.clone())),
        };
        let mut profiles: Vec<SubjectKey> = stripe.sessions.iter().filter_map(CheckoutSession::profile).collect();
        profiles.extend(stripe.seen.iter().filter_map(|s| named_profile(&s.metadata)));
        profiles.extend(stripe.customers.iter().filter_map(|c| named_profile(&c.metadata)));
        profiles.extend(self.chosen.cloned());
        profiles.sort();
        profiles.dedup();
        profiles.retain(|p| !all.iter().any(|r| r.subject.key == *p));
        let mut state = Known::Is { value: (), at: At::default() };
        let mut take = |found: Known<Vec<Record>>, all: &mut Vec<Record>| match found {
            Known::Is { value, .. } => {
                let new = value.into_iter().filter(|m| !all.iter().any(|r| r.subject.key == m.subject.key)).collect::<Vec<_>>();
                all.extend(new);
            }
            Known::Waiting => state = and(state.clone(), Known::Waiting),
            Known::Failed(f) => state = and(state.clone(), Known::Failed(f)),
        };
        let nobody_yet = all.is_empty();
        if !profiles.is_empty() {
            let found = self.records(Locator::Subjects(profiles));
            take(found, &mut all);
        }
        if nobody_yet && all.is_empty() && !stripe.sessions_waiting {
            for email in stripe.customers.iter().filter_map(|c| c.email.clone()).take(1) {
                let found = self.records(Locator::Email(email));
                take(found, &mut all);
            }
        }
        take(self.holders(&all, stripe), &mut all);
        let links = links(&all, &stripe.customers, &stripe.seen, &stripe.sessions);
        if let Known::Failed(f) = state {
            return ProfileSide { record: Known::Failed(f), all, links };
        }
        let by_handle = records.value().map_or(&[][..], Vec::as_slice);
        let key = self.question_profile(by_handle, &all, &links, customer);
        let record = records.map(|_| key.and_then(|k| all.iter().find(|r| r.subject.key == k).cloned()));
        // While somebody may still be named, "nobody" is not an answer yet.
        let undecided = stripe.subscriptions.is_waiting() || stripe.sessions_waiting || state.is_waiting();
        let by_evidence = matches!(self.handle, Handle::Stripe(_) | Handle::Email(_));
        let record = match (record, &stripe.subscriptions) {
            (Known::Is { value: None, .. }, _) if undecided => Known::Waiting,
            // Whose it is, only Stripe's objects may say: without them nobody is not an answer either.
            (Known::Is { value: None, .. }, Known::Failed(f)) if by_evidence => Known::Failed(f.clone()),
            (record, _) => record,
        };
        ProfileSide { record, all, links }
    }

    /// The rows that hold customers found by e-mail or metadata: a customer that another row holds is another profile's.
    fn holders(&mut self, all: &[Record], stripe: &StripeSide) -> Known<Vec<Record>> {
        let held: Vec<&str> = all.iter().filter_map(|r| r.row.as_ref()).filter_map(|r| r.text(Field::Customer)).collect();
        let asked_for = |id: &StripeId| matches!(self.handle, Handle::Stripe(h) if h == id);
        let mut loose: Vec<StripeId> = stripe.customers.iter().map(|c| c.id.clone()).collect();
        loose.retain(|id| !held.contains(&id.as_str()) && !asked_for(id));
        loose.sort();
        loose.truncate(CUSTOMERS_FOLLOWED);
        if loose.is_empty() || stripe.settled.is_waiting() {
            return Known::Is { value: Vec::new(), at: At::default() };
        }
        self.want(Query::RowsOf(loose.clone()));
        self.answers.rows(loose).map(|rows| {
            let record = |(row, subject): &(SubscriptionRow, Subject)| Record {
                subject: subject.clone(),
                row: Some(row.clone()),
                counters: Vec::new(),
                limits: BTreeMap::new(),
            };
            rows.iter().map(record).collect()
        })
    }

    fn question_profile(
        &self,
        by_handle: &[Record],
        all: &[Record],
        links: &[Link],
        customer: &Known<Option<Customer>>,
    ) -> Option<SubjectKey> {
        if let Some(chosen) = self.chosen {
            return Some(chosen.clone());
        }
        if let Handle::Subject(key) = self.handle {
            return Some(key.clone());
        }
        let only = match by_handle {
            [one] => Some(one.subject.key.clone()),
            _ => None,
        };
        // What names a profile that no longer exists disputes nothing.
        let living: Vec<Link> = links.iter().filter(|l| all.iter().any(|r| r.subject.key == l.profile)).cloned().collect();
        match customer.value() {
            Some(Some(c)) => preselected(&living, &c.id).map(|l| l.profile.clone()).or_else(|| {
                // A row found by what the handle says about it stands, where this customer's evidence does not name somebody else.
                let names_others = living.iter().any(|l| l.customer == c.id && Some(&l.profile) != only.as_ref());
                only.filter(|_| matches!(self.handle, Handle::Placeholder(_) | Handle::Email(_)) && !names_others)
            }),
            // Stripe is silent or knows nobody: the row that was found is shown.
            _ => only,
        }
    }

    /// Takes out the subscriptions of customers that the evidence gives to another profile, and looks again for the customer in question.
    fn without_others(
        &self,
        stripe: &mut StripeSide,
        customer: Known<Option<Customer>>,
        profile: &ProfileSide,
        named: Option<&Known<Option<StripeId>>>,
        records: &Known<Vec<Record>>,
    ) -> (Known<Option<Customer>>, BTreeSet<StripeId>) {
        let Some(Some(record)) = profile.record.value() else { return (customer, BTreeSet::new()) };
        let named_id = named.and_then(Known::value).and_then(Option::as_ref);
        let mut others = disowned(&record.subject.key, &profile.all, &stripe.customers, &stripe.seen, &stripe.sessions);
        others.retain(|c| Some(c) != named_id);
        if others.is_empty() {
            return (customer, others);
        }
        let own = |all: &[Subscription]| all.iter().filter(|s| !others.contains(&s.customer)).cloned().collect::<Vec<_>>();
        stripe.seen = own(&stripe.seen);
        stripe.subscriptions = stripe.subscriptions.map(|all| own(all));
        let all = std::mem::take(&mut stripe.customers);
        let (theirs, ours) = all.into_iter().partition(|c| others.contains(&c.id));
        stripe.customers = ours;
        let question = question_customer(stripe, &stripe.seen, named, records);
        let theirs: Vec<Customer> = theirs;
        stripe.customers.extend(theirs);
        (question, others)
    }
}

/// The customer in question: the named one, else the one with a live subscription, else the row's, else the first found.
fn question_customer(
    stripe: &StripeSide,
    subscriptions: &[Subscription],
    named: Option<&Known<Option<StripeId>>>,
    records: &Known<Vec<Record>>,
) -> Known<Option<Customer>> {
    let all = &stripe.customers;
    let named = named.and_then(Known::value).and_then(Option::as_ref);
    if let Some(found) = named.and_then(|n| all.iter().find(|c| c.id == *n)) {
        // Shown as soon as it is there: nothing that is still to come takes its place.
        return Known::Is { value: Some(found.clone()), at: stripe.heard };
    }
    stripe.settled.map(|()| {
        let live = subscriptions.iter().find(|s| s.status.is_live()).map(|s| &s.customer);
        let held = records.value().into_iter().flatten().filter_map(|r| r.row.as_ref()).find_map(|r| r.text(Field::Customer));
        live.and_then(|l| all.iter().find(|c| c.id == *l))
            .or_else(|| held.and_then(|h| all.iter().find(|c| c.id.as_str() == h)))
            .or_else(|| all.first())
            .cloned()
    })
}

fn too_many() -> Fault {
    let say = format!("more than {CUSTOMERS_FOLLOWED} customers share this address; open one by its id");
    Fault::new(Source::Stripe, FaultKind::TooMany, capitalised(&say))
}

/// Both: a fault outweighs waiting, waiting outweighs an answer, and of two answers the older one dates the whole.
fn and(a: Known<()>, b: Known<()>) -> Known<()> {
    match (a, b) {
        (Known::Failed(f), _) | (_, Known::Failed(f)) => Known::Failed(f),
        (Known::Waiting, _) | (_, Known::Waiting) => Known::Waiting,
        (Known::Is { at: a, .. }, Known::Is { at: b, .. }) => {
            let epoch = At::default();
            let at = if a == epoch || b == epoch { a.max(b) } else { a.min(b) };
            Known::Is { value: (), at }
        }
    }
}
