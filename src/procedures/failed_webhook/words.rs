//! What the plan of a replay says: its sentence, its size, what was checked and left alone, what it rests on.

use super::facts::{Found, Lost};
use crate::domain::mask;
use crate::domain::row::{Field, Value};
use crate::domain::text::sentence;
use crate::domain::webhooks::cause::{Cause, Remedy};
use crate::procedures::words::{count, day, machine};
use crate::protocol::command::Command;
use crate::protocol::run::{Pace, Step};
use std::collections::BTreeMap;

/// So many are listed one by one; more are counted.
const LISTED: usize = 12;

pub fn summary(found: &Found, sent: usize) -> String {
    let n = found.lost.len();
    let copied = n - sent;
    match (sent, copied, found.lost.first()) {
        (1, 0, Some(one)) => {
            format!("Resend {}, the newest of its subscription", one.event.as_ref().map_or("the event", |t| t.id.as_str()))
        }
        (0, 1, Some(one)) => {
            let link = if one.unlinked { "Link the row, then copy" } else { "Copy" };
            format!("{link} {} from Stripe", count(one.changes.len(), "field"))
        }
        (sent, 0, _) => format!("Resend {}, one for each subscription", count(sent, "event")),
        (0, copied, _) => format!("Copy {} from Stripe", count(copied, "row")),
        (sent, copied, _) => format!("Resend {}, copy {} from Stripe", count(sent, "event"), count(copied, "row")),
    }
}

pub fn blast(found: &Found, steps: &[Step], pace: Pace) -> String {
    let n = found.lost.len();
    let calls = |is: fn(&Command) -> bool, first: bool| {
        steps.iter().filter(|s| s.instead_of.is_none() == first).filter_map(|s| s.command.as_ref()).filter(|c| is(c)).count()
    };
    let resends = calls(|c| matches!(c, Command::ResendEvent { .. }), true);
    let deliveries = calls(|c| matches!(c, Command::DeliverEvent { .. }), true);
    let writes = n - resends - deliveries;
    let mut parts = vec![count(n, "customer")];
    parts.extend((resends > 0).then(|| format!("{} at Stripe", count(resends, "call"))));
    parts.extend((deliveries > 0).then(|| if deliveries == 1 { "1 delivery".into() } else { format!("{deliveries} deliveries") }));
    parts.extend((writes > 0).then(|| format!("{} written", count(writes, "row"))));
    parts.push("no money".into());
    let seconds = (n as u64).div_ceil(u64::from(pace.per_second.max(1)));
    parts.push(if n == 1 { "a few seconds".into() } else { format!("{} a second, about {}", pace.per_second, duration(seconds)) });
    parts.push("cannot be undone from here".into());
    parts.join(" · ")
}

fn duration(seconds: u64) -> String {
    if seconds < 120 { format!("{} s", seconds.max(1)) } else { format!("{} min", seconds.div_ceil(60)) }
}

pub fn notes(found: &Found, sent: usize, pace: Pace) -> Vec<String> {
    let mut notes = Vec::new();
    let n = found.lost.len();
    let events: usize = found.lost.iter().map(|l| l.events).sum();
    if events > n {
        notes.push(format!(
            "{events} events are {} of subscriptions: of each only the newest counts, oldest subscription first.",
            count(n, "change")
        ));
    }
    if n > 1 {
        notes.push(format!(
            "One goes first, and its effect is read before the rest. It stops when more than {} % come to nothing.",
            pace.stop_percent
        ));
    }
    if sent > 0 {
        notes.push(format!("What has no effect within {} s is copied from Stripe instead; nothing is sent twice.", pace.patience_seconds));
    }
    let refused = found.lost.iter().filter(|l| l.event.is_some() && !matches!(l.remedy, Remedy::Resend | Remedy::Deliver));
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    refused.for_each(|l| *why.entry(l.helps.as_str()).or_default() += 1);
    notes.extend(why.iter().map(|(helps, n)| format!("{} not resent: {helps}", if n == &1 { "1 is".into() } else { format!("{n} are") })));
    if found.right > 0 {
        notes.push(format!(
            "{} as due already and left alone.",
            if found.right == 1 { "1 row is".into() } else { format!("{} rows are", found.right) }
        ));
    }
    if found.settling > 0 {
        notes.push(format!(
            "{} younger than {} and left to settle.",
            if found.settling == 1 { "1 is".into() } else { format!("{} are", found.settling) },
            allowance(found)
        ));
    }
    notes.extend(skipped(found));
    if found.unreadable > 0 {
        notes.push(format!("{} of Stripe's list could not be read as events.", count(found.unreadable, "element")));
    }
    if found.cut {
        notes.push("There are more events than were looked at: run it again for the older ones.".into());
    }
    notes
}

/// What effects are given to come.
pub fn allowance(found: &Found) -> String {
    if found.allowance_seconds == 60 { "a minute".into() } else { format!("{} s", found.allowance_seconds) }
}

/// What is left out, with the reasons, the most frequent first.
pub fn skipped(found: &Found) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (whose, why) in &found.skipped {
        by_reason.entry(why).or_default().push(whose);
    }
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
    let mut lines: Vec<String> = reasons
        .into_iter()
        .take(LISTED)
        .map(|(why, all)| {
            let whose: Vec<String> = all.iter().take(3).map(|id| mask::id(id)).collect();
            let more = if all.len() > 3 { ", …" } else { "" };
            format!("Skipped, {} ({}{more}): {}", all.len(), whose.join(", "), sentence(why))
        })
        .collect();
    if let Some(first) = found.gone.first() {
        lines.push(format!("{}: Stripe keeps events for 30 days and no longer has {}.", count(found.gone.len(), "event"), first));
    }
    if let Some(first) = found.unmet.first() {
        lines.push(format!(
            "{} not found among the events at Stripe that can change a row, {first} the first of them.",
            count(found.unmet.len(), "event")
        ));
    }
    lines
}

pub fn evidence(found: &Found) -> Vec<String> {
    let mut by_cause: BTreeMap<(Cause, &str), usize> = BTreeMap::new();
    for l in &found.lost {
        *by_cause.entry((l.cause, l.because.as_str())).or_default() += 1;
    }
    let mut lines: Vec<String> =
        by_cause.iter().take(LISTED).map(|((cause, because), n)| format!("{}, {n}: {because}", cause.word())).collect();
    lines.extend(found.lost.iter().take(LISTED).map(one));
    if found.lost.len() > LISTED {
        lines.push(format!("and {} more", found.lost.len() - LISTED));
    }
    if let Some(endpoint) = &found.endpoint {
        lines.push(format!("stripe: endpoint {} is {}", endpoint.id, if endpoint.enabled { "enabled" } else { "disabled" }));
    }
    lines
}

fn one(l: &Lost) -> String {
    let event = l.event.as_ref().map(|t| format!("{} of {}: ", t.id, day(t.at))).unwrap_or_default();
    let first = l.changes.iter().find(|c| c.field == Field::Tier).or(l.changes.first());
    let what = first.map(|c| format!("{} is {}, {} is due", c.field.label(), shown(&c.from), shown(&c.to))).unwrap_or_default();
    format!("{event}{} {what}", mask::id(l.customer.as_str()))
}

fn shown(value: &Value) -> String {
    value.as_text().map_or_else(|| value.to_string(), |t| if t.contains('_') { mask::id(t) } else { t.to_string() })
}

/// The first few commands as they would be typed.
pub fn exactly(steps: &[Step]) -> Vec<String> {
    let mut acts = steps.iter().filter_map(|s| s.command.as_ref().map(|c| (s, c)));
    let mut lines = Vec::new();
    for (step, command) in acts.by_ref().take(4) {
        if step.instead_of.is_some() {
            lines.push("-- only if that has no effect:".into());
        }
        lines.extend(machine(command));
    }
    let more = acts.count();
    if more > 0 {
        lines.push(format!("-- and {more} more of these kinds"));
    }
    lines
}
