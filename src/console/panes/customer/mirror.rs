//! The mirror of Stripe in the database, shown in Stripe's place while Stripe is silent. Nothing is concluded from it, and nothing written by it.

use super::model::Model;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::format::age;
use crate::domain::At;
use crate::domain::age::words;
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::{FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mirror::Mirrored;
use crate::domain::row::Field;
use crate::protocol::freshness::Health;
use crate::protocol::query::{MirrorOf, Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

/// What was asked of the mirror in this reading, and what it answered last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub asked: bool,
    pub answer: Option<Box<Mirrored>>,
}

/// The case as the mirror has Stripe's side of it.
pub struct InPlace {
    pub case: Case,
    /// How old the mirror is, for the head of its column.
    pub state: String,
    pub stale: bool,
    /// What is shown, and what it is good for.
    pub says: String,
}

/// So long Stripe may take, in milliseconds, before the mirror is looked into.
const PATIENCE: u64 = 1_000;

impl Model {
    /// The question to the mirror, once a reading, where Stripe is silent and it is known whom to ask for.
    pub(super) fn ask_mirror(&mut self, cx: &Context) -> Option<Ask> {
        let case = self.case()?;
        let there = case.shape.value().is_some_and(|s| s.mirror) || cx.survey.has_mirror();
        if self.mirror.asked || !there || !self.is_stripe_silent(cx) {
            return None;
        }
        let of = whom(&case)?;
        self.mirror.asked = true;
        Some(Ask::Read { slot: self.slot(), query: Query::Mirrored(of) })
    }

    fn is_stripe_silent(&self, cx: &Context) -> bool {
        let (waiting, waited) = self.waiting(cx.tick);
        let waiting = waiting.contains(&Source::Stripe);
        let known_silent = matches!(cx.health(Source::Stripe), Health::Down | Health::Limit | Health::Auth);
        self.has_failed_at_stripe(|f| f.kind != FaultKind::NotFound) || (waiting && (waited >= PATIENCE || known_silent))
    }

    pub(super) fn mirrored(&mut self, reply: Option<&Reply>) {
        self.mirror.answer = match reply {
            Some(Reply::Mirrored(answer)) => answer.clone(),
            _ => None,
        };
    }

    /// The case with the mirror's copies where Stripe's answers are missing; `None` where none is needed or there is none.
    pub(super) fn in_place(&self, case: &Case, cx: &Context) -> Option<InPlace> {
        let (found, now) = (self.mirror.answer.as_ref()?, cx.now);
        let (no_customer, no_subscriptions) = (case.customer.value().is_none(), case.subscriptions.value().is_none());
        if !no_customer && !no_subscriptions {
            return None;
        }
        let mut shown = case.clone();
        let at = found.mirror.newest.unwrap_or(now);
        let held = case.record().and_then(|r| r.row.as_ref()).and_then(|r| r.text(Field::Customer));
        let named = |id: &StripeId| Some(id.as_str()) == held || case.handle == Handle::Stripe(id.clone());
        let live = |id: &StripeId| found.subscriptions.iter().any(|s| s.value.customer == *id && s.value.status.is_live());
        let all = || found.customers.iter().map(|c| &c.value);
        let customer = all().find(|c| named(&c.id)).or_else(|| all().find(|c| live(&c.id))).or_else(|| all().next());
        if let Some(customer) = customer.filter(|_| no_customer) {
            shown.customer = Known::Is { value: Some(customer.clone()), at };
        }
        let whose = shown.customer.value().and_then(Option::as_ref).map(|c| c.id.clone());
        let theirs = found.subscriptions.iter().map(|s| &s.value).filter(|s| whose.as_ref().is_none_or(|c| s.customer == *c));
        let theirs: Vec<_> = theirs.cloned().collect();
        if theirs.is_empty() && customer.is_none() {
            return None;
        }
        if no_subscriptions {
            shown.subscriptions = Known::Is { value: theirs, at };
        }
        // The survey may have seen an event that the copy does not hold.
        let behind = found.subscriptions.iter().any(|s| {
            let newest = cx.survey.newest_event(&s.value.id);
            s.as_of.is_none_or(|of| newest.is_some_and(|at| of < at))
        });
        let stale = found.mirror.is_stale(now) || behind;
        let age = found.mirror.age(now).map_or_else(|| "of unknown age".into(), |a| format!("{} old", age(a.num_seconds())));
        let good_for = match (stale, behind) {
            (false, _) => "writes wait for Stripe",
            (true, true) => "behind, not believed",
            (true, false) => "not believed",
        };
        let says = format!("Stripe's column: mirror in Postgres, {age}; {good_for}.");
        let word = if behind { "BEHIND" } else { "STALE" };
        let state = if stale { format!("{word} {}", age.trim_end_matches(" old")) } else { age };
        Some(InPlace { case: shown, state, stale, says })
    }

    /// The mirror's lines among the evidence.
    pub(super) fn mirror_evidence(&self, now: At) -> Vec<String> {
        let Some(found) = &self.mirror.answer else { return Vec::new() };
        let old = found.mirror.age(now).map_or_else(|| "of unknown age".into(), |old| format!("{} old", words(old.num_seconds())));
        let mut lines =
            vec![format!("mirror of Stripe in Postgres: {old}; shown where Stripe is silent, and nothing is concluded from it")];
        lines.extend(found.subscriptions.iter().map(|s| {
            let as_of = s.as_of.map_or_else(|| "of an unknown time".into(), |at| format!("as of {}", at.format("%-d %b %H:%M:%SZ")));
            format!("mirror: {} {}, {as_of}", crate::domain::mask::id(s.value.id.as_str()), s.value.status)
        }));
        lines.extend(found.mirror.notes.iter().map(|n| format!("mirror: {n}")));
        lines
    }

    fn slot(&mut self) -> Slot {
        self.next_slot = self.next_slot.wrapping_add(1);
        Slot::Case(self.next_slot)
    }
}

/// Whom to look for: by the ids that handle and row hold, else by the address. `None` while that is not known.
fn whom(case: &Case) -> Option<MirrorOf> {
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
    Some(MirrorOf::Customers { ids, subscriptions, email })
}
