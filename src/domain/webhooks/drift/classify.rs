//! Which class of drift Stripe's side and the row come to. Reads nothing; chooses by the same rules as a diagnosis and a repair.

use super::{Class, Drifted, Judgement};
use crate::domain::At;
use crate::domain::diagnosis::{Moment, SETTLING_SECONDS, changed_at};
use crate::domain::expected::{NoExpectation, expected, tier_due};
use crate::domain::facts::{Case, in_question, live_among};
use crate::domain::findings::monthly;
use crate::domain::ids::{StripeId, SubjectKey, is_placeholder};
use crate::domain::mask;
use crate::domain::row::{Change, Field, SubscriptionRow, Value, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Status, Subscription};
use crate::domain::text::{capitalised, sentence};
use crate::domain::tiers::TierRules;

/// What is known about one customer: Stripe's side, and then the row.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// `None`: the row holds no id that Stripe could know.
    pub customer: Option<&'a StripeId>,
    /// All of theirs, newest first, ended ones included.
    pub subscriptions: &'a [Subscription],
    pub row: Option<&'a SubscriptionRow>,
    /// The profile, where one is known that has no row.
    pub subject: Option<&'a SubjectKey>,
    /// When Stripe's side was read; the row was read after it.
    pub read_at: At,
}

impl<'a> Side<'a> {
    /// As a case has them that was begun with this customer. `None`: Stripe has not answered.
    #[must_use]
    pub fn of(case: &'a Case, customer: Option<&'a StripeId>, read_at: At) -> Option<Self> {
        let named = case.customer.value().and_then(Option::as_ref).map(|c| &c.id);
        let record = case.record();
        Some(Self {
            customer: named.or(customer),
            subscriptions: case.subscriptions.value()?,
            row: record.and_then(|r| r.row.as_ref()),
            subject: record.map(|r| &r.subject.key),
            read_at,
        })
    }
}

/// How far one subscription of a customer, seen by itself beside the row, decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// Another subscription speaks for this row.
    Agrees,
    /// The row follows this one: it decides.
    Decides,
    /// All of the customer's have to be read.
    NeedsAll,
}

/// Periods that differ by no more than this are one period, in seconds.
const PERIOD_SLACK: i64 = 3_600;
/// How far the clocks of Stripe's reader and of the database may be apart, in seconds.
const CLOCKS: i64 = 5;

/// What one page's subscription says to the row that holds its customer.
#[must_use]
pub fn glance(subscription: &Subscription, row: &SubscriptionRow, rules: &TierRules) -> Glance {
    let counts = subscription.status.is_live() && subscription.status != Status::Incomplete;
    match row.text(Field::Subscription) {
        Some(held) if held == subscription.id.as_str() => Glance::Decides,
        _ if counts => Glance::NeedsAll,
        Some(_) => Glance::Agrees,
        None if row.text(Field::Tier) == Some(rules.free()) => Glance::Agrees,
        None => Glance::NeedsAll,
    }
}

/// The worst class that applies to them at that moment.
#[must_use]
pub fn classify(side: &Side, rules: &TierRules, shape: &Shape, moment: impl Into<Moment>) -> Judgement {
    let moment = moment.into();
    let now = moment.now;
    let Some(found) = disagreement(side, rules, shape) else { return Judgement::Agrees };
    if let Some(reason) = shape.trust.reasons().first() {
        return Judgement::Unknown(reason.clone());
    }
    let newest = live_among(side.subscriptions).into_iter().chain(side.subscriptions.first());
    if newest.map(|s| changed_at(s, None, None, now)).any(|at| moment.is_young(at)) || row_is_newer(side, now) {
        return Judgement::Settling;
    }
    Judgement::Drifted(Box::new(found))
}

/// The class that a whole case comes to, however young the difference is: what a scan calls it once that has settled. `None`: they agree, or
/// not all of it is known.
#[must_use]
pub fn class_of(case: &Case, customer: &StripeId, rules: &TierRules) -> Option<Class> {
    let side = Side::of(case, Some(customer), At::default())?;
    disagreement(&side, rules, case.shape.value()?).map(|d| d.class)
}

/// The row was written after Stripe's side was read: it may follow something that this reading has not seen.
fn row_is_newer(side: &Side, now: At) -> bool {
    let Some(Value::Time(written)) = side.row.and_then(|r| r.get(Field::UpdatedAt)) else { return false };
    // A time from the future is another zone's, and says nothing.
    (*written - side.read_at).num_seconds() >= -CLOCKS && (*written - now).num_seconds() <= SETTLING_SECONDS
}

fn disagreement(side: &Side, rules: &TierRules, shape: &Shape) -> Option<Drifted> {
    let live = live_among(side.subscriptions);
    let Some(row) = side.row else { return without_row(side, &live, rules) };
    let served = row.text(Field::Tier).unwrap_or("no tier");
    let held = row.text(Field::Subscription);
    let drifted = |class, sentence: String, differs, of: Option<&Subscription>| {
        let subject = Some(row.subject.clone());
        Some(Drifted { class, customer: side.customer.cloned(), subject, sentence, differs, monthly: of.and_then(monthly) })
    };
    if live.len() > 1 {
        let (class, say) = several(&live, served, rules);
        return drifted(class, say, Vec::new(), live.first().copied());
    }
    let Some(subscription) = in_question(side.subscriptions, held) else {
        if served != rules.free() {
            return drifted(Class::ServedNotPaid, format!("Served {served}, and Stripe has no subscription for them"), Vec::new(), None);
        }
        let unknown = held?;
        return drifted(Class::OrphanRow, format!("The row names {}, which Stripe does not have", mask::id(unknown)), Vec::new(), None);
    };
    let demanded = match expected(subscription, rules, shape, None) {
        Ok(demanded) => demanded,
        Err(why) => {
            let class = if matches!(why, NoExpectation::IntervalOutsideWords(_)) { Class::Interval } else { Class::UnknownPrice };
            return drifted(class, sentence(&why.to_string()), Vec::new(), Some(subscription));
        }
    };
    let differs: Vec<Change> = diff(&row.image, &demanded.image).into_iter().filter(matters).collect();
    let (class, say) = of_changes(&differs, subscription, served, &demanded.tier, rules)?;
    drifted(class, say, differs, Some(subscription))
}

fn without_row(side: &Side, live: &[&Subscription], rules: &TierRules) -> Option<Drifted> {
    // Nothing is due, and nobody has it: nobody is hurt.
    let due = live.iter().find(|s| tier_due(s, rules).is_ok_and(|tier| tier != rules.free()) || tier_due(s, rules).is_err())?;
    let (class, say) = match side.subject {
        Some(_) => (Class::PaidNotServed, format!("{} at Stripe, and their profile has no row", capitalised(&due.status.spoken()))),
        None => (Class::OrphanCustomer, format!("{} at Stripe, and no profile can be named", capitalised(&due.status.spoken()))),
    };
    Some(Drifted {
        class,
        customer: side.customer.cloned(),
        subject: side.subject.cloned(),
        sentence: say,
        differs: Vec::new(),
        monthly: monthly(due),
    })
}

/// Several are live: whoever is served less than the least of them, or more than the most, is that in the first place.
fn several(live: &[&Subscription], served: &str, rules: &TierRules) -> (Class, String) {
    let rank = |tier: &str| rules.ladder.iter().position(|t| t == tier);
    let dues: Option<Vec<usize>> = live.iter().map(|s| tier_due(s, rules).ok().and_then(|t| rank(&t))).collect();
    let n = live.len();
    if let (Some(dues), Some(served_rank)) = (dues, rank(served)) {
        if served_rank == 0 && dues.iter().all(|d| *d > 0) {
            return (Class::PaidNotServed, format!("{n} live subscriptions at Stripe, served {served}"));
        }
        if served_rank > 0 && dues.iter().all(|d| *d == 0) {
            return (Class::ServedNotPaid, format!("Served {served}, and none of {n} subscriptions buys it"));
        }
    }
    (Class::SeveralLive, format!("{n} live subscriptions at Stripe for one profile"))
}

/// Small differences of a period are rounding, and a row's own stamp is nobody's demand.
fn matters(change: &Change) -> bool {
    match (change.field, &change.from, &change.to) {
        (Field::PeriodStart | Field::PeriodEnd, Value::Time(a), Value::Time(b)) => (*a - *b).num_seconds().abs() > PERIOD_SLACK,
        (field, ..) => field != Field::UpdatedAt,
    }
}

/// The worst of these changes, in words.
fn of_changes(changes: &[Change], subscription: &Subscription, served: &str, due: &str, rules: &TierRules) -> Option<(Class, String)> {
    let of = |fields: &[Field]| changes.iter().find(|c| fields.contains(&c.field));
    let status = &subscription.status;
    if of(&[Field::Tier]).is_some() {
        let class = match (due == rules.free(), served == rules.free()) {
            (false, true) => Class::PaidNotServed,
            (true, false) => Class::ServedNotPaid,
            _ => Class::WrongTier,
        };
        return Some((class, tier_words(class, changes, status, served, due)));
    }
    if let Some(c) = of(&[Field::Customer]) {
        return Some((Class::Unlinked, format!("The row holds {}, so webhooks find nobody", held(&c.from))));
    }
    if let Some(c) = of(&[Field::Subscription]) {
        return Some((Class::Unlinked, format!("The row names {}, and Stripe bills {}", held(&c.from), held(&c.to))));
    }
    if let Some(c) = of(&[Field::Status]) {
        return Some((Class::WrongStatus, format!("{} in the row, {} at Stripe", capitalised(&spoken(&c.from)), spoken(&c.to))));
    }
    if let Some(c) = of(&[Field::PeriodEnd]).or_else(|| of(&[Field::PeriodStart])) {
        let label = capitalised(c.field.label());
        return Some((Class::Period, format!("{label} {} in the row, {} at Stripe", day_beside(&c.from, &c.to), day(&c.to))));
    }
    if let Some(c) = of(&[Field::CancelAtPeriodEnd]).or_else(|| of(&[Field::CancelAt])) {
        let ends = matches!(c.to, Value::Bool(true) | Value::Time(_));
        let say = if ends {
            "It is to be canceled at Stripe, and the row says otherwise"
        } else {
            "The row says canceled to come, and Stripe does not"
        };
        return Some((Class::CancelFlags, say.into()));
    }
    of(&[Field::Interval]).map(|c| (Class::Interval, format!("Billed by the {} at Stripe, {} in the row", c.to, c.from)))
}

fn tier_words(class: Class, changes: &[Change], status: &Status, served: &str, due: &str) -> String {
    let placeholder = changes.iter().any(|c| c.field == Field::Customer && c.from.as_text().is_some_and(is_placeholder));
    let why = if placeholder { "; placeholder id" } else { "" };
    let status = status.spoken();
    match class {
        Class::PaidNotServed => format!("{due} at Stripe ({status}), served {served}{why}"),
        Class::ServedNotPaid => format!("Served {served}, and Stripe's {status} subscription buys {due}"),
        _ => format!("Served {served}, and Stripe's {status} subscription buys {due}{why}"),
    }
}

/// A status as a sentence has it: `past due`.
fn spoken(status: &Value) -> String {
    status.to_string().replace('_', " ")
}

fn held(value: &Value) -> String {
    value.as_text().map_or_else(|| "no id".to_string(), mask::id)
}

/// The day, with its year only where that is another than the one beside it.
fn day_beside(value: &Value, other: &Value) -> String {
    match (value, other) {
        (Value::Time(a), Value::Time(b)) if a.format("%Y").to_string() == b.format("%Y").to_string() => a.format("%-d %b").to_string(),
        _ => day(value),
    }
}

fn day(value: &Value) -> String {
    match value {
        Value::Time(at) => at.format("%-d %b %Y").to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};

    #[test]
    fn sentences_have_words_of_people_and_no_more_of_a_date_than_tells() {
        assert_eq!(spoken(&Value::text("past_due")), "past due");
        let at = |y, m, d| Value::Time(Utc.with_ymd_and_hms(y, m, d, 0, 0, 0).single().expect("a day"));
        assert_eq!(day_beside(&at(2026, 11, 12), &at(2026, 12, 12)), "12 Nov");
        assert_eq!(day_beside(&at(2026, 12, 12), &at(2027, 1, 12)), "12 Dec 2026");
    }
}
