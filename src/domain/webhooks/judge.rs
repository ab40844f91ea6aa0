//! The verdict engine: what the row, Stripe's own word and the application make of each event of a subscription. By effect, never by HTTP status.

use super::course::{Course, Stand};
use super::demand::{Demand, Due};
use super::endpoint::HANDLED;
use super::verdict::{Judgement, Verdict};
use crate::domain::At;
use crate::domain::ids::{StripeId, is_placeholder};
use crate::domain::mask;
use crate::domain::row::{Change, Field, SubscriptionRow, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::StripeEvent;
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

/// One event of a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    pub at: At,
    /// The place of the state that it is judged by; past the last one: by what Stripe says now.
    pub state: usize,
}

/// What the verdicts on a subscription's events rest on, besides its course.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The row that holds the customer.
    pub row: Option<&'a SubscriptionRow>,
    /// When it was asked for: what came later may be missing in it.
    pub row_at: At,
    /// When the newest event happened.
    pub newest: At,
    /// When the newest snapshot was taken.
    pub last_state: Option<At>,
    /// A snapshot tells what came of every event, or Stripe was asked since.
    pub told: bool,
    /// Stripe was asked for the subscription since its newest event, whatever it said.
    pub asked: bool,
    /// The tier that the application enforces for the row's profile; `None` where nobody asked, or the row was written since.
    pub enforced: Option<&'a str>,
    /// The whole case was read after the newest event, and nothing is wrong with it; nobody has written the row since.
    pub cleared: bool,
    /// The whole case was read, and no profile can be named.
    pub nobody: bool,
}

/// What became of a subscription's events, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Fine,
    /// The row has not been compared with them yet.
    Unread,
    Settling,
    /// Rows may be hidden or late, or the tier is open.
    Doubted,
    /// As failing, and nobody's: no profile can be named.
    Nobody,
    /// Event and row differ; Stripe is still to be asked for the subscription itself.
    Suspect,
    Failing,
}

/// The judgement on a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// `None`: nothing tells what is due.
    pub stand: Option<Stand>,
    pub outcome: Outcome,
    /// Of the events, in the order in which they were handed in.
    pub verdicts: Vec<Verdict>,
}

/// What can be said of an event before any row is looked at: [`Verdict::Unknown`] where a row decides.
#[must_use]
pub fn at_sight(event: &StripeEvent) -> Verdict {
    match (HANDLED.contains(&event.kind.as_str()), event.names()) {
        (false, _) => Verdict::UnhandledType,
        (true, (Some(_), Some(_))) => Verdict::Unknown,
        (true, _) => Verdict::NoSubject,
    }
}

/// The verdicts on all events of a course. `allowance`: what effects are given to come, replica lag included.
#[must_use]
pub fn judge(course: &Course, events: &[Happened], facts: &Facts, rules: &TierRules, shape: &Shape, allowance: Duration) -> Ruling {
    let is_young = |at: At| facts.row_at - at < allowance;
    let Some(stand) = course.stand(facts.row, rules, shape) else {
        // Nothing tells what is due: Stripe has to be asked, where it has not said that there is nothing.
        let (verdict, outcome) = match (is_young(facts.newest), facts.asked) {
            (true, _) => (Verdict::Settling, Outcome::Settling),
            (_, true) => (Verdict::NoSubject, Outcome::Fine),
            _ => (Verdict::Unknown, Outcome::Suspect),
        };
        return Ruling { stand: None, outcome, verdicts: vec![verdict; events.len()] };
    };
    let otherwise = course.enforced_otherwise(stand, facts.enforced);
    let one = |happened: &Happened| {
        let verdict = course.verdict(stand, happened.state);
        if !verdict.is_failure() {
            return match verdict {
                Verdict::Unknown => (verdict, Outcome::Doubted),
                // The row is right, and not what is enforced: the newest effect has not come.
                Verdict::Applied | Verdict::Superseded if otherwise && happened.at == facts.newest && !is_young(happened.at) => {
                    (Verdict::Contradicted, if facts.asked { Outcome::Failing } else { Outcome::Suspect })
                }
                _ => (verdict, Outcome::Fine),
            };
        }
        if facts.cleared {
            (Verdict::Superseded, Outcome::Fine)
        } else if is_young(happened.at) {
            (Verdict::Settling, Outcome::Settling)
        } else if !shape.trust.reasons().is_empty() {
            (Verdict::Unknown, Outcome::Doubted)
        } else if facts.row.is_none() && facts.nobody {
            (Verdict::NoSubject, Outcome::Nobody)
        } else {
            (verdict, if facts.asked { Outcome::Failing } else { Outcome::Suspect })
        }
    };
    let judged: Vec<(Verdict, Outcome)> = events.iter().map(one).collect();
    let mut outcome = judged.iter().map(|(_, o)| *o).max().unwrap_or(Outcome::Fine);
    // An event that no snapshot covers is not applied because an older one is.
    if !facts.told && outcome == Outcome::Fine && !facts.cleared {
        outcome = if is_young(facts.newest) { Outcome::Settling } else { Outcome::Suspect };
    }
    let is_open = |at: At| !facts.told && facts.last_state.is_none_or(|last| at > last);
    let verdicts = judged.iter().zip(events).map(|((verdict, _), happened)| match outcome {
        Outcome::Settling if is_open(happened.at) => Verdict::Settling,
        Outcome::Suspect if is_open(happened.at) => Verdict::Unknown,
        _ => *verdict,
    });
    Ruling { stand: Some(stand), outcome, verdicts: verdicts.collect() }
}

/// Why an event has its verdict, and what that rests on.
#[must_use]
pub fn explain(
    course: &Course,
    ruled: (Option<Stand>, Outcome),
    verdict: Verdict,
    facts: &Facts,
    shape: &Shape,
    allowance: Duration,
) -> Judgement {
    let (stand, outcome) = ruled;
    let reasons = shape.trust.reasons();
    let because = match (verdict, stand) {
        (Verdict::Settling, _) => format!("Younger than {} s when the row was read, given time.", allowance.num_seconds()),
        (Verdict::Unknown, _) if outcome == Outcome::Suspect => "The row differs; Stripe is being asked for the subscription.".into(),
        (Verdict::Unknown, _) if outcome == Outcome::Doubted && !reasons.is_empty() => {
            format!("Nothing can be called missing: {}", sentence(&reasons[0]))
        }
        (Verdict::NoSubject, _) => "No profile can be named for its customer.".into(),
        (_, Some(stand)) => says(course, stand, verdict, facts),
        (_, None) => "What the event demands is not known.".into(),
    };
    // Rows that are right are not kept: there is nothing more to say about them.
    if outcome == Outcome::Fine && facts.row.is_none() {
        return plain(verdict, because);
    }
    Judgement { verdict, because, evidence: evidence(course, facts), differs: changes(course, facts.row, shape) }
}

/// Why an event was judged at sight.
#[must_use]
pub fn says_at_sight(verdict: Verdict, kind: &str) -> String {
    match verdict {
        Verdict::UnhandledType => format!("The application does not act upon {kind}."),
        _ => "The event names no customer and subscription.".into(),
    }
}

/// A verdict with nothing beside it.
#[must_use]
pub fn plain(verdict: Verdict, because: String) -> Judgement {
    Judgement { verdict, because, evidence: Vec::new(), differs: Vec::new() }
}

/// What Stripe says about its deliveries: evidence, never the verdict.
#[must_use]
pub fn delivery(pending: bool) -> String {
    if pending { "stripe: a delivery failed or is still owed" } else { "stripe: every delivery was answered with success" }.into()
}

impl Course<'_> {
    /// The row holds what is due, and the application enforces something else.
    fn enforced_otherwise(&self, stand: Stand, enforced: Option<&str>) -> bool {
        let due = self.due().and_then(Demand::tier).filter(|_| matches!(stand, Stand::At(_) | Stand::Current));
        due.zip(enforced).is_some_and(|(due, enforced)| !enforced.eq_ignore_ascii_case(due))
    }
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

/// What the row would have to change to hold what is due.
fn changes(course: &Course, row: Option<&SubscriptionRow>, shape: &Shape) -> Vec<Change> {
    let due = course.due().zip(row);
    due.map_or_else(Vec::new, |(d, row)| diff(&row.image, &d.image(course.customer, course.subscription, shape)))
}

fn says(course: &Course, stand: Stand, verdict: Verdict, facts: &Facts) -> String {
    let due = course.due().and_then(Demand::tier);
    let held = facts.row.and_then(|r| r.text(Field::Tier));
    let says = match stand {
        Stand::At(_) | Stand::Current => match verdict {
            Verdict::Applied => "The row holds what the event demands.".into(),
            Verdict::Superseded => "The row holds something newer.".into(),
            Verdict::Unknown => match course.due().map(|d| &d.tier) {
                Some(Due::Open(why)) => sentence(&why.to_string()),
                _ => "Which tier is due is open.".into(),
            },
            Verdict::Contradicted => {
                let enforced = facts.enforced.unwrap_or("something else");
                return format!("The row says {}, and the application enforces {enforced}.", held.or(due).unwrap_or("what is due"));
            }
            _ => "The row is still as before the event.".into(),
        },
        Stand::NothingDue => "Nothing is due, and no row holds the customer.".into(),
        Stand::Elsewhere => "The row follows another subscription of this customer, and this one demands nothing any more.".into(),
        Stand::Absent => "No row holds the customer.".into(),
        Stand::Unlinked => "The row holds the customer, and not the subscription.".into(),
        Stand::Before => "The row is still as before the event.".into(),
        Stand::Neither if course.follows_live => "The row follows another live subscription of this customer; which counts is open.".into(),
        Stand::Neither if verdict == Verdict::Superseded => "A later event is due by now.".into(),
        Stand::Neither => match held {
            Some(tier) => format!("The row is linked and holds neither what is due nor what was before; its tier is {tier}."),
            None => "The row is linked and holds neither what is due nor what was before.".into(),
        },
    };
    match served_all_the_same(course, verdict, facts) {
        Some(tier) => format!("{says} The application enforces {tier} all the same."),
        None => says,
    }
}

/// The tier that is due and that the application enforces although the row holds another one, or none.
fn served_all_the_same<'a>(course: &Course, verdict: Verdict, facts: &Facts<'a>) -> Option<&'a str> {
    let due = course.due().and_then(Demand::tier)?;
    let held = facts.row.and_then(|r| r.text(Field::Tier));
    let enforced = facts.enforced.filter(|e| verdict.is_failure() && e.eq_ignore_ascii_case(due))?;
    held.is_none_or(|held| !held.eq_ignore_ascii_case(due)).then_some(enforced)
}

/// What the verdict rests on, a line each.
fn evidence(course: &Course, facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(due) = course.due() {
        let asked = if course.current.is_some() { "asked" } else { "by its newest event" };
        let tier = due.tier().unwrap_or("a tier that is open");
        lines.push(format!("stripe: {} is {} and demands {tier} ({asked})", mask::id(course.subscription.as_str()), due.status));
    }
    lines.push(match facts.row {
        None => format!("database: no row holds {}", mask::id(course.customer.as_str())),
        Some(row) => {
            let text = |field| row.text(field).unwrap_or("none");
            let held = text(Field::Customer);
            let held = if is_placeholder(held) { held.to_string() } else { mask::id(held) };
            format!("database: tier {}, status {}, customer {held}", text(Field::Tier), text(Field::Status))
        }
    });
    lines.extend(facts.enforced.map(|tier| format!("app: enforces {tier}")));
    lines
}
