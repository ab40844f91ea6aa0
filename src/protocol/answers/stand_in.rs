//! A mirror's copies in the place of answers that Stripe owes, so that a case can be shown while it is silent. Concludes nothing from it.

use super::{Answers, assemble, next_reads};
use crate::domain::At;
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::link::LinkedBy;
use crate::domain::mirror::Mirrored;
use crate::domain::row::Field;
use crate::domain::stripe::named_profile;
use crate::protocol::query::{MirrorOf, Query, Reply};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A profile that the copies name may lead to further questions; the bound is against loops.
const ROUNDS: usize = 8;

/// Whom to look for in the mirror: by the ids that handle and row hold, else by the address. `None` while that is not known.
#[must_use]
pub fn whom(case: &Case) -> Option<MirrorOf> {
    let row = case.record().and_then(|r| r.row.as_ref());
    let held = |field, kind| row.and_then(|r| r.text(field)).and_then(|t| StripeId::of(kind, t));
    let mut ids: Vec<StripeId> = held(Field::Customer, StripeKind::Customer).into_iter().collect();
    let mut subscriptions: Vec<StripeId> = held(Field::Subscription, StripeKind::Subscription).into_iter().collect();
    let mut email = case.record().and_then(|r| r.subject.email.clone());
    match &case.handle {
        Handle::Stripe(id) if id.kind() == StripeKind::Customer => ids.push(id.clone()),
        Handle::Stripe(id) if id.kind() == StripeKind::Subscription => subscriptions.push(id.clone()),
        Handle::Email(address) => email = Some(address.clone()),
        Handle::Stripe(_) | Handle::Subject(_) | Handle::Placeholder(_) => {}
    }
    let named = !ids.is_empty() || !subscriptions.is_empty();
    let email = email.filter(|_| !named);
    if !named && (email.is_none() || case.record.is_waiting()) {
        return None;
    }
    ids.dedup();
    subscriptions.dedup();
    Some(MirrorOf::Customers { ids, subscriptions, email })
}

/// A case in which a mirror speaks for Stripe.
pub struct StandIn {
    pub case: Case,
    /// By what the copies name the profile, where nothing else does: shown, and never certain.
    pub by: Option<LinkedBy>,
    /// What the other sources are still to be asked because of what the mirror says.
    pub wants: Vec<Query>,
}

/// The case with the mirror's copies in the place of what Stripe has not answered; `beside`: what was asked of other sources because of
/// what the mirror says. What the mirror cannot know either has failed: nobody waits for it.
#[must_use]
pub fn stand_in(handle: &Handle, answers: &Answers, beside: &Answers, found: &Mirrored, at: At) -> StandIn {
    let mut all = answers.clone();
    for (query, known) in &beside.given {
        let answered = all.get(query).is_some_and(|k| matches!(k, Known::Is { .. }));
        if !answered {
            all.given.insert(query.clone(), Arc::clone(known));
        }
    }
    fill(handle, None, &mut all, found, at);
    let mut case = assemble(handle, None, &all);
    let likely = likely(&case);
    let chosen = likely.as_ref().map(|(profile, _)| profile);
    if chosen.is_some() {
        fill(handle, chosen, &mut all, found, at);
        case = assemble(handle, chosen, &all);
    }
    let wants = next_reads(handle, chosen, &all).into_iter().filter(|query| query.source() != Source::Stripe).collect();
    StandIn { case, by: likely.map(|(_, by)| by), wants }
}

/// The one profile that the strongest evidence names, where no profile is certain.
fn likely(case: &Case) -> Option<(SubjectKey, LinkedBy)> {
    let strongest = case.links.first().filter(|_| case.record().is_none())?;
    let mut as_strong = case.links.iter().filter(|l| l.by == strongest.by);
    as_strong.all(|l| l.profile == strongest.profile).then(|| (strongest.profile.clone(), strongest.by))
}

/// Answers what Stripe owes by the mirror, and what follows from it.
fn fill(handle: &Handle, chosen: Option<&SubjectKey>, all: &mut Answers, found: &Mirrored, at: At) {
    let mut said = BTreeSet::new();
    for _ in 0..ROUNDS {
        let owed = |(query, known): (&Query, &Known<Reply>)| (!matches!(known, Known::Is { .. })).then(|| query.clone());
        let mut owing: Vec<Query> = all.all().filter_map(owed).collect();
        owing.extend(next_reads(handle, chosen, all));
        owing.retain(|query| query.source() == Source::Stripe && said.insert(query.clone()));
        if owing.is_empty() {
            return;
        }
        for query in owing {
            match of_mirror(&query, found) {
                Some(reply) => all.put(query, Ok(reply), at),
                None if all.get(&query).is_none_or(Known::is_waiting) => {
                    let silent = Fault::new(Source::Stripe, FaultKind::Timeout, "Stripe has not answered, and its mirror does not hold it");
                    all.put(query, Err(silent), at);
                }
                None => {}
            }
        }
    }
}

/// The mirror's answer to a question that is Stripe's. `None`: it does not hold that.
fn of_mirror(query: &Query, found: &Mirrored) -> Option<Reply> {
    let customers = || found.customers.iter().map(|c| &c.value);
    let subscriptions = || found.subscriptions.iter().map(|s| &s.value);
    match query {
        Query::Customer(id) => customers().find(|c| c.id == *id).map(|c| Reply::Customers(vec![c.clone()])),
        Query::CustomerOf(id) => {
            let of = subscriptions().find(|s| s.id == *id)?;
            customers().find(|c| c.id == of.customer).map(|c| Reply::Customers(vec![c.clone()]))
        }
        Query::CustomersFor { email, subject } => {
            let theirs: Vec<_> = customers()
                .filter(|c| {
                    let same = email.as_deref().zip(c.email.as_deref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
                    same || named_profile(&c.metadata).as_ref() == Some(subject)
                })
                .cloned()
                .collect();
            // It gave whom it was asked for; where that is nobody, it may not have been asked for these.
            (!found.customers.is_empty()).then_some(Reply::Customers(theirs))
        }
        Query::SubscriptionsOf(id) => {
            let theirs: Vec<_> = subscriptions().filter(|s| s.customer == *id).cloned().collect();
            let known = !theirs.is_empty() || customers().any(|c| c.id == *id);
            known.then_some(Reply::Subscriptions(theirs))
        }
        Query::Subscription(id) => subscriptions().find(|s| s.id == *id).map(|s| Reply::Subscriptions(vec![s.clone()])),
        _ => None,
    }
}
