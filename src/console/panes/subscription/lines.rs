//! The subscription as lines: Stripe's side with what the row holds next to it.

use super::Model;
use crate::console::context::Context;
use crate::console::widgets::format::moment;
use crate::console::widgets::paint::wrap;
use crate::domain::At;
use crate::domain::expected::expected;
use crate::domain::facts::Case;
use crate::domain::findings::{monthly, whole};
use crate::domain::mask;
use crate::domain::row::{Field, Value, same};
use crate::domain::stripe::{Item, Subscription, names_profile};
use crate::domain::tiers::TierRules;

/// How wide running text may be on the narrowest screen.
const ROOM: u16 = 58;

/// A line: label, Stripe's word, the row's where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub label: String,
    pub stripe: String,
    pub row: Option<String>,
    pub differs: bool,
}

fn line(label: &str, stripe: impl Into<String>) -> Line {
    Line { label: label.into(), stripe: stripe.into(), row: None, differs: false }
}

/// Everything about it, the fields that the row mirrors first.
#[must_use]
pub fn lines(m: &Model, cx: &Context) -> Vec<Line> {
    let (Some(case), Some(s), Some(env)) = (&m.case, m.subscription(), cx.env) else { return Vec::new() };
    let mut all = mirrored(case, s, &env.tiers, cx.now);
    all.push(line("", ""));
    for (i, item) in s.items.iter().enumerate() {
        all.push(line(if i == 0 { "items" } else { "" }, item_words(item)));
        all.push(line("", format!("  {}", tier_words(item, &env.tiers))));
        if let Some(p) = item.period {
            all.push(line("", format!("  {} to {}", moment(p.start, cx.now), moment(p.end, cx.now))));
        }
    }
    if let Some(p) = s.period {
        all.push(line("period", format!("{} to {}, on the subscription itself", moment(p.start, cx.now), moment(p.end, cx.now))));
    }
    all.extend(monthly(s).map(|m| line("bills", format!("{}/mo", whole(&m)))));
    all.extend(s.trial_end.map(|at| line("trial ends", moment(at, cx.now))));
    all.push(line("created", moment(s.created, cx.now)));
    all.extend(s.canceled_at.map(|at| line("canceled", moment(at, cx.now))));
    all.extend(s.ended_at.map(|at| line("ended", moment(at, cx.now))));
    all.extend(payment(case, s, cx.now));
    all.push(line("schedule", s.schedule.as_ref().map_or_else(|| "none".to_string(), |i| mask::id(i.as_str()))));
    all.push(line(
        "collection",
        s.pause.as_ref().map_or_else(|| "as usual".to_string(), |b| format!("paused ({b}), whatever the status says")),
    ));
    for (i, (key, value)) in s.metadata.iter().enumerate() {
        all.push(line(
            if i == 0 { "metadata" } else { "" },
            format!("{key} = {}", if cx.revealed { value.clone() } else { discreet(key, value, &env.tiers) }),
        ));
    }
    all
}

fn mirrored(case: &Case, s: &Subscription, rules: &TierRules, now: At) -> Vec<Line> {
    let row = case.record().and_then(|r| r.row.as_ref());
    let demanded = case.shape.value().map(|shape| expected(s, rules, shape, None));
    let image = demanded.as_ref().and_then(|d| d.as_ref().ok()).map(|e| &e.image);
    let shown = |field: Field, v: &Value| match v {
        Value::Time(at) => moment(*at, now),
        Value::Text(t) if matches!(field, Field::Customer | Field::Subscription) => mask::id(t),
        v => v.to_string(),
    };
    let mut all = Vec::new();
    for field in Field::ALL.into_iter().filter(|f| *f != Field::UpdatedAt) {
        let wanted = image.and_then(|i| i.get(&field));
        let held = row.and_then(|r| r.get(field));
        let stripe = match wanted {
            Some(v) => shown(field, v),
            None if image.is_some() && field != Field::Status => "left as it is".into(),
            None => own(s, field).map_or_else(|| "open".into(), |v| shown(field, &v)),
        };
        all.push(Line {
            label: field.label().into(),
            stripe,
            row: Some(held.map_or_else(|| if row.is_some() { "not mapped".into() } else { String::new() }, |v| shown(field, v))),
            differs: wanted.zip(held).is_some_and(|(w, h)| !same(w, h)),
        });
    }
    match demanded {
        Some(Err(why)) => {
            let text = wrap(&why.to_string(), ROOM);
            all.extend(text.into_iter().enumerate().map(|(i, part)| line(if i == 0 { "why open" } else { "" }, part)));
        }
        Some(Ok(e)) => all.extend(e.left_alone.iter().map(|l| line("left alone", l.clone()))),
        None => {}
    }
    all
}

/// The field as Stripe's object has it, where no demand on the row can be made.
fn own(s: &Subscription, field: Field) -> Option<Value> {
    let period = s.period_of(None);
    Some(match field {
        Field::Customer => Value::text(s.customer.as_str()),
        Field::Subscription => Value::text(s.id.as_str()),
        Field::Status => Value::text(s.status.word()),
        Field::PeriodStart => Value::time(period.map(|p| p.start)),
        Field::PeriodEnd => Value::time(period.map(|p| p.end)),
        Field::CancelAt => Value::time(s.cancel_at),
        Field::CancelAtPeriodEnd => Value::Bool(s.cancel_at_period_end),
        Field::Tier | Field::Interval | Field::UpdatedAt => return None,
    })
}

fn tier_words(item: &Item, rules: &TierRules) -> String {
    rules.tier_of(&item.price).map_or_else(|| "mapped to no tier".to_string(), |(tier, by)| format!("buys {tier} {}", by.say()))
}

fn item_words(item: &Item) -> String {
    let p = &item.price;
    let every = match (p.interval, p.interval_count) {
        (None, _) => String::new(),
        (Some(i), 0 | 1) => format!(" a {}", i.word()),
        (Some(i), n) => format!(" every {n} {}s", i.word()),
    };
    let amount = p.unit_amount.as_ref().map(|m| format!("  {m}{every}")).unwrap_or_default();
    let quantity = if item.quantity == 1 { String::new() } else { format!("  × {}", item.quantity) };
    format!("{}{amount}{quantity}", p.id)
}

fn payment(case: &Case, s: &Subscription, now: At) -> Vec<Line> {
    let Some(i) = case.latest_invoice(s) else {
        let say = if case.invoices.is_waiting() {
            "…"
        } else if case.invoices.fault().is_some() {
            "no answer"
        } else {
            "none"
        };
        return vec![line("last invoice", say)];
    };
    let mut all = vec![line("last invoice", format!("{}  {} {}, {}", mask::id(i.id.as_str()), i.total, i.status, moment(i.created, now)))];
    all.extend(i.payments.iter().map(|p| {
        let id = p.intent.as_ref().unwrap_or(&p.id);
        line("payment", format!("{}  {} {}", mask::id(id.as_str()), p.amount, p.status))
    }));
    all
}

/// Metadata may hold anything. What is needed here stays readable: the tier, a price, an id by its ends; all else may be somebody's.
fn discreet(key: &str, value: &str, rules: &TierRules) -> String {
    if value.contains('@') {
        return mask::email(value);
    }
    let word = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let thing = ["price_", "prod_"].iter().any(|p| value.starts_with(p)) || rules.ladder.iter().any(|t| t == value);
    if word && (thing || key == rules.metadata_key || matches!(value, "true" | "false")) {
        return value.chars().take(40).collect();
    }
    if word && (value.len() > 12 || names_profile(key)) { mask::id(value) } else { mask::name(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_somebodys_is_masked_and_what_is_needed_stays() {
        let rules = TierRules::default();
        for (key, value, shown) in [
            ("contact", "Jane Doe", "J•••"),
            ("firstName", "Jane", "J•••"),
            ("phone", "+41 79 555 01 02", "+•••"),
            ("mail", "jane.doe@acme.com", "j•••@a•••.com"),
            ("profileId", "7f3a5b7c-0000-4000-8000-000000000011", "7f3a…11"),
            ("userId", "4711", "4711"),
            ("tier", "GOLD", "GOLD"),
            ("plan", "PRO", "PRO"),
            ("upgraded_from", "price_basic_month", "price_basic_month"),
            ("trial", "true", "true"),
            ("tier", "Jane Doe", "J•••"),
        ] {
            assert_eq!(discreet(key, value, &rules), shown, "{key} = {value}");
        }
    }
}
