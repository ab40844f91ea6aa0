//! The mirror of Stripe in the database, shown in Stripe's place while Stripe is silent. Nothing is concluded from it, and nothing written by it.

use super::model::Model;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::format::age;
use crate::domain::facts::Case;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::link::LinkedBy;
use crate::domain::mirror::Mirrored;
use crate::protocol::answers::{Answers, StandIn, stand_in, whom};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

/// What was asked of the mirror in this reading, and what it answered last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub asked: bool,
    pub answer: Option<Box<Mirrored>>,
    /// What was asked of the other sources because of what the mirror says.
    beside: Answers,
    /// The case with the mirror's copies in the place of what Stripe owes.
    case: Option<Box<Case>>,
    /// By what the copies name the profile, where nothing else does.
    by: Option<LinkedBy>,
}

/// The case as the mirror has Stripe's side of it.
pub struct InPlace<'a> {
    pub case: &'a Case,
    /// It knows them: its copies stand in Stripe's column.
    pub knows: bool,
    /// How old the mirror is, for the head of its column.
    pub state: String,
    pub stale: bool,
    /// What is shown, and what it is good for.
    pub says: String,
}

/// So long Stripe may take, in milliseconds, before the mirror is looked into.
const PATIENCE: u64 = 1_000;

impl Model {
    /// The question to the mirror, once a reading, where Stripe is silent and it is known whom to ask for; then what the mirror leads to.
    pub(super) fn ask_mirror(&mut self, cx: &Context) -> Vec<Ask> {
        let Some(case) = self.current() else { return Vec::new() };
        let there = case.shape.value().is_some_and(|s| s.mirror) || cx.survey.has_mirror();
        if !there || !self.is_stripe_silent(cx) {
            return Vec::new();
        }
        if self.mirror.asked {
            return self.ask_beside(cx);
        }
        let Some(of) = whom(case) else { return Vec::new() };
        self.mirror.asked = true;
        vec![Ask::Read { slot: self.slot(), query: Query::Mirrored(of) }]
    }

    /// What the copies lead to outside of Stripe: a profile that they name, what the application enforces for it.
    fn ask_beside(&mut self, cx: &Context) -> Vec<Ask> {
        let wants = self.stand_in(cx);
        let ask = |query: Query| {
            self.mirror.beside.asked(query.clone());
            Ask::Read { slot: self.slot(), query }
        };
        wants.into_iter().map(ask).collect()
    }

    fn is_stripe_silent(&self, cx: &Context) -> bool {
        let (waiting, waited) = self.waiting(cx.tick);
        let waiting = waiting.contains(&Source::Stripe);
        let known_silent = matches!(cx.health(Source::Stripe), Health::Down | Health::Limit | Health::Auth);
        self.has_failed_at_stripe(|f| f.kind != FaultKind::NotFound) || (waiting && (waited >= PATIENCE || known_silent))
    }

    /// An answer of the mirror, or to what it led to. Whether it was one.
    pub(super) fn mirrored(&mut self, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> bool {
        if matches!(query, Query::Mirrored(_)) {
            self.mirror.answer = match result {
                Ok(Reply::Mirrored(answer)) => answer.clone(),
                _ => None,
            };
        } else if self.mirror.beside.get(query).is_some() {
            self.mirror.beside.put(query.clone(), result.clone(), cx.now);
        } else {
            return false;
        }
        self.stand_in(cx);
        true
    }

    /// A new reading begins: the mirror is asked anew, and shows what it said until it has answered.
    pub(super) fn forget_mirror(&mut self) {
        (self.mirror.asked, self.mirror.beside) = (false, Answers::default());
    }

    /// Puts the case together once more; what is still to be asked for it. One that is complete is not given up for one that is being read.
    fn stand_in(&mut self, cx: &Context) -> Vec<Query> {
        let (Some(found), Some(handle)) = (self.mirror.answer.as_deref(), self.handle()) else {
            (self.mirror.case, self.mirror.by) = (None, None);
            return Vec::new();
        };
        let StandIn { case, by, wants } = stand_in(handle, self.answers(), &self.mirror.beside, found, cx.now);
        if self.mirror.case.is_none() || !(case.record.is_waiting() || case.shape.is_waiting()) {
            (self.mirror.case, self.mirror.by) = (Some(Box::new(case)), by);
        }
        wants
    }

    /// The case with the mirror's copies where Stripe's answers are missing; `None` where none is needed or there is none.
    pub(super) fn in_place(&self, case: &Case, cx: &Context) -> Option<InPlace<'_>> {
        let (found, shown) = (self.mirror.answer.as_ref()?, self.mirror.case.as_deref()?);
        if case.customer.value().is_some() && case.subscriptions.value().is_some() {
            return None;
        }
        let now = cx.stripe_now();
        let knows = !found.customers.is_empty() || !found.subscriptions.is_empty();
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
        let word = if behind { "BEHIND" } else { "STALE" };
        // Only the copies say whose it is.
        let led = self.mirror.by.filter(|_| case.record().is_none() && shown.record().is_some());
        let whose = led.map(|by| format!(" Whose it is: {} ({}).", by.say(), by.confidence().word())).unwrap_or_default();
        let says = if knows {
            format!("Stripe's column: mirror in Postgres, {age}; {good_for}.{whose}")
        } else {
            format!("Stripe's mirror in Postgres, {age}, holds nothing of them: that is not known.")
        };
        let state = if stale { format!("{word} {}", age.trim_end_matches(" old")) } else { age };
        Some(InPlace { case: shown, knows, state, stale, says })
    }

    /// The mirror's lines among the evidence.
    pub(super) fn mirror_evidence(&self, cx: &Context) -> Vec<String> {
        let Some(found) = &self.mirror.answer else { return Vec::new() };
        let old = found.mirror.age_said(cx.stripe_now());
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
