//! The course of one subscription as its snapshots tell it, where a row stands in it, and what that makes of each event. Which of them count is `judge`'s.

use super::demand::{Demand, Due};
use super::verdict::Verdict;
use crate::domain::ids::StripeId;
use crate::domain::row::{Change, Field, SubscriptionRow, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::Status;
use crate::domain::tiers::TierRules;
use serde::{Deserialize, Serialize};

/// The course of one subscription, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    pub customer: &'a StripeId,
    pub subscription: &'a StripeId,
    /// What each snapshot demands, oldest first; the last one is what is due, unless Stripe was asked since.
    pub states: &'a [&'a Demand],
    /// What was due before the first of them, where its event says so.
    pub before: Option<&'a Demand>,
    /// What Stripe says when asked for the subscription itself.
    pub current: Option<&'a Demand>,
    /// The row names another subscription of this customer, and that one has not ended.
    pub follows_live: bool,
}

/// Where the row stands in that course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// It holds what this state demands.
    At(usize),
    /// It holds what Stripe's object demands now, which no snapshot did.
    Current,
    /// No row holds the customer, and nothing is due.
    NothingDue,
    /// Nothing is due of it any more: it follows another subscription.
    Elsewhere,
    /// No row holds the customer.
    Absent,
    /// It holds the customer and not the subscription.
    Unlinked,
    /// It is as it was before the first of the snapshots.
    Before,
    /// It is linked, and differs from all of them.
    Neither,
}

impl Course<'_> {
    /// What is due now. `None` where nothing at all is known of the subscription.
    #[must_use]
    pub fn due(&self) -> Option<&Demand> {
        self.current.or(self.states.last().copied())
    }

    /// Where the row stands; `None` where nothing is known to compare it with.
    #[must_use]
    pub fn stand(&self, row: Option<&SubscriptionRow>, rules: &TierRules, shape: &Shape) -> Option<Stand> {
        let due = self.due()?;
        let Some(row) = row else {
            // Nothing is due, and nobody has it: nobody is hurt.
            return Some(if due.tier() == Some(rules.free()) { Stand::NothingDue } else { Stand::Absent });
        };
        let holds = |d: &Demand| d.is_in(row, self.customer, self.subscription, shape);
        // The newest that fits: a change that was taken back leaves the row as two states demand it.
        let of_states = |states: &[&Demand]| states.iter().rposition(|d| holds(d)).map(Stand::At);
        if let Some(current) = self.current {
            match self.states.last() {
                Some(last) if *last == current => {}
                _ if holds(current) => return Some(Stand::Current),
                _ => {}
            }
        }
        if let Some(stand) = of_states(self.states) {
            return Some(stand);
        }
        let names = row.get(Field::Subscription).map(|v| v.as_text());
        if let Some(named) = names.filter(|n| *n != Some(self.subscription.as_str())) {
            return Some(match named {
                Some(_) if !due.binds() => Stand::Elsewhere,
                Some(_) if self.follows_live => Stand::Neither,
                // The subscription was there before these events: a row that names another is not as it was before them.
                Some(_) if self.before.is_some() => Stand::Neither,
                _ => Stand::Unlinked,
            });
        }
        let before = self.before.is_some_and(holds) || self.was_before(due, row, rules, shape);
        Some(if before { Stand::Before } else { Stand::Neither })
    }

    /// What no event says and everybody knows: what ends or fails was served before. Only what is due differently is compared.
    fn was_before(&self, due: &Demand, row: &SubscriptionRow, rules: &TierRules, shape: &Shape) -> bool {
        // Where an event tells what was due before, that is what it would have to be like.
        let told = self.states.iter().any(|d| *d != due && d.binds());
        if told || !matches!(due.status, Status::Canceled | Status::PastDue | Status::Unpaid) {
            return false;
        }
        let image = due.image(self.customer, self.subscription, shape);
        let changes = diff(&row.image, &image);
        let served = |c: &Change| match c.field {
            Field::Status => c.from.as_text().is_some_and(|w| rules.keeps_tier.contains(&Status::from(w.to_string()))),
            Field::Tier => c.from.as_text().is_some_and(|t| t != rules.free()),
            // What is canceled at once was going to go on; what is canceled in the end was going to.
            Field::CancelAt | Field::CancelAtPeriodEnd => due.status == Status::Canceled,
            _ => false,
        };
        !changes.is_empty() && changes.iter().all(served)
    }

    /// What that makes of an event whose own snapshot is the state `own`; an event without one is judged by the state in force.
    #[must_use]
    pub fn verdict(&self, stand: Stand, own: usize) -> Verdict {
        let same = |k: usize| self.states.get(own).zip(self.states.get(k)).is_some_and(|(a, b)| a == b);
        match stand {
            Stand::At(k) if own == k || same(k) => self.decided(k, Verdict::Applied),
            Stand::At(k) if own < k => Verdict::Superseded,
            Stand::At(_) | Stand::Absent | Stand::Unlinked | Stand::Before => Verdict::Missing,
            Stand::Current => match (self.current, self.states.get(own)) {
                (Some(current), Some(state)) if current != *state => Verdict::Superseded,
                _ => Verdict::Applied,
            },
            Stand::NothingDue => Verdict::Applied,
            Stand::Elsewhere => Verdict::Superseded,
            // Only the newest is due; what came before it cannot be told any more.
            Stand::Neither if own + 1 >= self.states.len() || same(self.states.len() - 1) => Verdict::Contradicted,
            Stand::Neither => Verdict::Superseded,
        }
    }

    /// A row that holds everything but a tier that nobody can name is not known to be right.
    fn decided(&self, k: usize, verdict: Verdict) -> Verdict {
        if self.states.get(k).is_some_and(|d| matches!(d.tier, Due::Open(_))) { Verdict::Unknown } else { verdict }
    }
}
