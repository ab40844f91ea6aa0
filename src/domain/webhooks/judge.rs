//! The verdict engine: where a row stands in the course of its subscription, and what that makes of each event. By effect, never by HTTP status.

use super::demand::{Demand, Due};
use super::endpoint::HANDLED;
use super::verdict::{Judgement, Verdict};
use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::Known;
use crate::domain::ids::{StripeId, SubjectKey, is_placeholder};
use crate::domain::mask;
use crate::domain::row::{Change, Field, SubscriptionRow, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Status, StripeEvent, Subscription};
use crate::domain::text::sentence;
use crate::domain::tiers::TierRules;
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// The row of `stripe_events` for an event: what the application itself noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub event: StripeId,
    /// `None` where no column says so.
    pub processed: Option<bool>,
    pub processed_at: Option<At>,
}

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

/// Everything about one event, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub event: &'a StripeEvent,
    /// The subscription that it is about, as Stripe has it now.
    pub current: &'a Known<Option<Subscription>>,
    /// The row that holds the event's customer.
    pub row: &'a Known<Option<SubscriptionRow>>,
    /// What the application enforces for the row's profile; waiting where nobody asked.
    pub entitlement: &'a Known<Option<Entitlement>>,
    /// The profile that the evidence names; waiting where nobody asked.
    pub subject: &'a Known<Option<SubjectKey>>,
    pub received: Option<&'a Received>,
    /// The row names another subscription of this customer, and that one has not ended.
    pub follows_live: bool,
}

/// The verdict on one event. `lag`: what effects are given to come, replica lag included.
#[must_use]
pub fn judge(facts: &Facts, rules: &TierRules, shape: &Shape, lag: Duration, now: At) -> Judgement {
    let event = facts.event;
    if !HANDLED.contains(&event.kind.as_str()) {
        return plain(Verdict::UnhandledType, format!("The application does not act upon {}.", event.kind));
    }
    let faults = [facts.row.fault(), facts.current.fault()];
    if let Some(fault) = faults.into_iter().flatten().next() {
        return plain(Verdict::Unknown, format!("Cannot tell: {}", sentence(&fault.say)));
    }
    let snapshot = event.subscription.as_deref();
    let customer = snapshot.map(|s| &s.customer).or(event.customer.as_ref());
    let subscription = snapshot.map(|s| &s.id).or(event.subscription_id.as_ref());
    let (Some(customer), Some(subscription)) = (customer, subscription) else {
        return plain(Verdict::NoSubject, "The event names no customer and subscription.".into());
    };
    let Known::Is { value: row, at: row_at } = facts.row else {
        return plain(Verdict::Unknown, "The row has not been read yet.".into());
    };
    let own = snapshot.map(|s| Demand::of(s, rules));
    let before = event.previous.as_deref().map(|s| Demand::of(s, rules));
    let current = facts.current.value().and_then(Option::as_ref).map(|s| Demand::of(s, rules));
    let states: Vec<&Demand> = own.iter().collect();
    let course = Course {
        customer,
        subscription,
        states: &states,
        before: before.as_ref(),
        current: current.as_ref(),
        follows_live: facts.follows_live,
    };
    let Some(stand) = course.stand(row.as_ref(), rules, shape) else {
        return plain(Verdict::Unknown, "What the event demands is not known: the subscription has not been read.".into());
    };
    let mut verdict = course.verdict(stand, 0);
    let mut because = says(&course, stand, verdict, row.as_ref());
    if verdict.is_failure() {
        if let Some(reason) = shape.trust.reasons().first() {
            (verdict, because) = (Verdict::Unknown, format!("Nothing can be called missing: {}", sentence(reason)));
        } else if *row_at - event.created < lag {
            (verdict, because) = (Verdict::Settling, format!("Younger than {} s, given time.", lag.num_seconds()));
        } else if facts.subject.value().is_some_and(Option::is_none) && row.is_none() {
            (verdict, because) = (Verdict::NoSubject, "No profile can be named for its customer.".into());
        }
    }
    let enforced = facts.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.as_str());
    let due = course.due().and_then(Demand::tier);
    if let (Verdict::Applied | Verdict::Superseded, Some(enforced), Some(due)) = (verdict, enforced, due)
        && !matches!(stand, Stand::Elsewhere | Stand::NothingDue)
        && !enforced.eq_ignore_ascii_case(due)
        && now - event.created >= lag
    {
        (verdict, because) = (Verdict::Contradicted, format!("The row says {due}, and the application enforces {enforced}."));
    }
    let mut evidence = evidence(&course, row.as_ref());
    evidence.extend(enforced.map(|tier| format!("app: enforces {tier}")));
    evidence.extend(facts.received.map(Received::says));
    evidence.push(delivery(event.pending_webhooks > 0));
    Judgement { verdict, because, evidence, differs: changes(&course, row.as_ref(), shape) }
}

/// What the row would have to change to hold what is due.
#[must_use]
pub fn changes(course: &Course, row: Option<&SubscriptionRow>, shape: &Shape) -> Vec<Change> {
    let due = course.due().zip(row);
    due.map_or_else(Vec::new, |(d, row)| diff(&row.image, &d.image(course.customer, course.subscription, shape)))
}

/// Why, in one sentence.
#[must_use]
pub fn says(course: &Course, stand: Stand, verdict: Verdict, row: Option<&SubscriptionRow>) -> String {
    match stand {
        Stand::At(_) | Stand::Current => match verdict {
            Verdict::Applied => "The row holds what the event demands.".into(),
            Verdict::Superseded => "The row holds something newer.".into(),
            Verdict::Unknown => match course.due().map(|d| &d.tier) {
                Some(Due::Open(why)) => sentence(&why.to_string()),
                _ => "Which tier is due is open.".into(),
            },
            _ => "The row is still as before the event.".into(),
        },
        Stand::NothingDue => "Nothing is due, and no row holds the customer.".into(),
        Stand::Elsewhere => "The row follows another subscription of this customer, and this one demands nothing any more.".into(),
        Stand::Absent => "No row holds the customer.".into(),
        Stand::Unlinked => "The row holds the customer, and not the subscription.".into(),
        Stand::Before => "The row is still as before the event.".into(),
        Stand::Neither if course.follows_live => "The row follows another live subscription of this customer; which counts is open.".into(),
        Stand::Neither if verdict == Verdict::Superseded => "A later event is due by now.".into(),
        Stand::Neither => match row.and_then(|r| r.text(Field::Tier)) {
            Some(tier) => format!("The row is linked and holds neither what is due nor what was before; its tier is {tier}."),
            None => "The row is linked and holds neither what is due nor what was before.".into(),
        },
    }
}

/// What the verdict rests on, a line each.
#[must_use]
pub fn evidence(course: &Course, row: Option<&SubscriptionRow>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(due) = course.due() {
        let asked = if course.current.is_some() { "asked" } else { "by its newest event" };
        let tier = due.tier().unwrap_or("a tier that is open");
        lines.push(format!("stripe: {} is {} and demands {tier} ({asked})", mask::id(course.subscription.as_str()), due.status));
    }
    lines.push(match row {
        None => format!("database: no row holds {}", mask::id(course.customer.as_str())),
        Some(row) => {
            let text = |field| row.text(field).unwrap_or("none");
            let held = text(Field::Customer);
            let held = if is_placeholder(held) { held.to_string() } else { mask::id(held) };
            format!("database: tier {}, status {}, customer {held}", text(Field::Tier), text(Field::Status))
        }
    });
    lines
}

/// What Stripe says about its deliveries: evidence, never the verdict.
#[must_use]
pub fn delivery(pending: bool) -> String {
    if pending { "stripe: a delivery failed or is still owed" } else { "stripe: every delivery was answered with success" }.into()
}

impl Received {
    /// One line of evidence.
    #[must_use]
    pub fn says(&self) -> String {
        match (self.processed, self.processed_at) {
            (Some(false), _) => "database: the application noted the event, and not that it was processed".into(),
            (_, Some(at)) => format!("database: the application noted it as processed at {}", at.format("%H:%M:%SZ")),
            (Some(true), None) => "database: the application noted it as processed".into(),
            (None, None) => "database: the application noted the event".into(),
        }
    }
}

fn plain(verdict: Verdict, because: String) -> Judgement {
    Judgement { verdict, because, evidence: Vec::new(), differs: Vec::new() }
}
