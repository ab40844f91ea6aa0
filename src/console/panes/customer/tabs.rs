//! The tabs under the truth table as data: what happened when, how much is used of what, what was billed.

use super::Model;
use super::model::Tab;
use crate::console::context::Context;
use crate::console::widgets::format::moment;
use crate::domain::At;
use crate::domain::facts::Case;
use crate::domain::fault::Source;
use crate::domain::mask;
use crate::domain::quota::{QuotaState, quota_lines};
use crate::domain::row::{Field, Value};

/// A line of a tab: when or which, who says so, what, and an id at the right edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub lead: String,
    pub source: &'static str,
    pub text: String,
    pub id: String,
    /// It deserves a second look.
    pub marked: bool,
}

impl Model {
    /// How many lines the current tab has.
    #[must_use]
    pub fn lines(&self, cx: &Context) -> usize {
        let case = self.shown().map(|(case, _)| self.in_place(case, cx).map_or(case, |m| m.case));
        case.map_or(0, |case| entries(case, self.tab, cx.now).len())
    }
}

#[must_use]
pub fn entries(case: &Case, tab: Tab, now: At) -> Vec<Entry> {
    match tab {
        Tab::Timeline => timeline(case, now),
        Tab::Quota => quota(case, now),
        Tab::Invoices => invoices(case, now),
    }
}

/// What the tab says where it has no lines.
#[must_use]
pub fn empty(case: &Case, tab: Tab) -> &'static str {
    let waiting = match tab {
        Tab::Timeline => case.subscriptions.is_waiting() || case.record.is_waiting(),
        Tab::Quota => case.record.is_waiting(),
        Tab::Invoices => case.invoices.is_waiting(),
    };
    if waiting {
        return "Reading…";
    }
    match tab {
        Tab::Timeline if case.subscriptions.fault().is_some() => "Stripe did not answer.",
        Tab::Timeline => "Neither the database nor Stripe dates anything about them.",
        Tab::Quota if case.record.fault().is_some_and(|f| f.source == Source::Stripe) => "Whose counters these would be is not known.",
        Tab::Quota if case.record.fault().is_some() => "The database did not answer.",
        Tab::Quota => "No counter, no limit, and nothing enforced is known for them.",
        Tab::Invoices if case.invoices.fault().is_some() => "Stripe did not answer.",
        Tab::Invoices => "Stripe has never billed them.",
    }
}

/// Oldest first, from the moments that the objects themselves carry.
fn timeline(case: &Case, now: At) -> Vec<Entry> {
    let mut all: Vec<(At, &'static str, String, String)> = Vec::new();
    let id = |i: &crate::domain::ids::StripeId| mask::id(i.as_str());
    for c in &case.customers {
        all.push((c.created, "stripe", "customer created".into(), id(&c.id)));
    }
    for s in case.sessions.iter().filter(|s| s.status == "complete") {
        let names = s.profile().map(|p| format!(", names profile {}", mask::id(p.as_str()))).unwrap_or_default();
        all.push((s.created, "stripe", format!("checkout{names}"), id(&s.id)));
    }
    for s in case.subscriptions.value().into_iter().flatten() {
        let what = s.items.iter().map(|i| i.price.id.as_str()).collect::<Vec<_>>().join(", ");
        all.push((s.created, "stripe", format!("subscription created, {what}"), id(&s.id)));
        let ended = s.ended_at.filter(|at| *at <= now);
        if let Some(at) = s.canceled_at.filter(|at| Some(*at) != ended) {
            all.push((at, "stripe", "cancellation asked for".into(), id(&s.id)));
        }
        if let Some(at) = ended {
            all.push((at, "stripe", "subscription ended".into(), id(&s.id)));
        }
    }
    for i in case.invoices.value().into_iter().flatten() {
        match i.paid_at {
            Some(at) => all.push((at, "stripe", format!("invoice paid, {}", i.amount_paid), id(&i.id))),
            None => all.push((i.created, "stripe", format!("invoice {}, {}", i.status, i.total), id(&i.id))),
        }
    }
    if let Some(record) = case.record() {
        let profile = mask::id(record.subject.key.as_str());
        all.extend(record.subject.created_at.map(|at| (at, "db", "profile created".to_string(), profile.clone())));
        if let Some(Value::Time(at)) = record.row.as_ref().and_then(|r| r.get(Field::UpdatedAt)) {
            let tier = record.row.as_ref().and_then(|r| r.text(Field::Tier)).unwrap_or("no tier");
            all.push((*at, "db", format!("row last changed, it says {tier}"), profile));
        }
    }
    all.sort_by_key(|(at, ..)| *at);
    all.into_iter().map(|(at, source, text, id)| Entry { lead: when(at, now), source, text, id, marked: false }).collect()
}

/// To the second today, to the minute before.
fn when(at: At, now: At) -> String {
    if at.date_naive() == now.date_naive() { at.format("%H:%M:%S").to_string() } else { moment(at, now).trim_end_matches('Z').to_string() }
}

fn quota(case: &Case, now: At) -> Vec<Entry> {
    let Some(record) = case.record() else { return Vec::new() };
    let app = case.entitlement.value().and_then(Option::as_ref);
    let lines = quota_lines(&record.counters, &record.limits, app, now);
    let entry = |l: crate::domain::quota::QuotaLine| {
        let of = match l.limit {
            Some(n) if n > 0 => format!("{} of {n}", l.used),
            _ => format!("{} used", l.used),
        };
        let plan = l.plan_differs.map(|p| format!(", the plan says {p}")).unwrap_or_default();
        let resets = l.resets.map(|at| format!("resets {}", moment(at, now))).unwrap_or_default();
        let marked = matches!(l.state, QuotaState::Near | QuotaState::Blocked);
        Entry {
            lead: l.feature,
            source: if app.is_some() { "app" } else { "db" },
            text: format!("{of}  {}{plan}", l.state.word()),
            id: resets,
            marked,
        }
    };
    lines.into_iter().map(entry).collect()
}

/// Newest first.
fn invoices(case: &Case, now: At) -> Vec<Entry> {
    let mut all: Vec<_> = case.invoices.value().into_iter().flatten().collect();
    all.sort_by_key(|i| std::cmp::Reverse(i.created));
    let entry = |i: &crate::domain::stripe::Invoice| {
        let payment = i.payments.iter().max_by_key(|p| p.paid_at);
        let intent = payment.and_then(|p| p.intent.as_ref()).map(|id| format!(", by {}", mask::id(id.as_str()))).unwrap_or_default();
        let figure = if i.status == "paid" { i.amount_paid.to_string() } else { i.total.to_string() };
        let marked = matches!(i.status.as_str(), "open" | "uncollectible");
        Entry {
            lead: when(i.created, now),
            source: "stripe",
            text: format!("{figure} {}{intent}", i.status),
            id: mask::id(i.id.as_str()),
            marked,
        }
    };
    all.into_iter().map(entry).collect()
}
