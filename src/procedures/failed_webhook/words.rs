//! What the plan of a replay says: its sentence, its size, what was checked and left alone, what it rests on.

use super::facts::{Found, Lost};
use crate::domain::mask;
use crate::domain::row::{Field, Value};
use crate::domain::text::sentence;
use crate::domain::webhooks::cause::{Cause, Remedy};
use crate::domain::{At, age};
use crate::procedures::words::{count, day, machine};
use crate::protocol::command::Command;
use crate::protocol::run::{Pace, Step, step_id};
use std::collections::{BTreeMap, BTreeSet};

/// So many are listed one by one; more are counted.
const LISTED: usize = 12;
/// So many causes have a line of their own in the review; all of them stand in the evidence.
const CAUSES_NAMED: usize = 4;

/// How many events a plan sends, by whom.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub by_stripe: usize,
    pub by_us: usize,
}

impl Sent {
    pub fn of(steps: &[Step]) -> Self {
        let many = |is: fn(&Command) -> bool| steps.iter().filter(|s| s.command.as_ref().is_some_and(is)).count();
        Self { by_stripe: many(|c| matches!(c, Command::ResendEvent { .. })), by_us: many(|c| matches!(c, Command::DeliverEvent { .. })) }
    }

    pub fn all(self) -> usize {
        self.by_stripe + self.by_us
    }
}

pub fn summary(found: &Found, sent: Sent) -> String {
    let n = found.lost.len();
    let copied = n - sent.all();
    let event = |one: &Lost| one.event.as_ref().map_or("the event".to_string(), |t| t.id.to_string());
    match (sent.by_stripe, copied, found.lost.first()) {
        (0, 0, Some(one)) if n == 1 => format!("Deliver {} ourselves, signed anew", event(one)),
        (0, 0, _) => format!("Deliver {} ourselves, one for each subscription", count(n, "event")),
        _ if sent.by_us > 0 => {
            let resent = (sent.by_stripe > 0).then(|| format!("Resend {}", count(sent.by_stripe, "event")));
            let delivered = format!("deliver {} ourselves", count(sent.by_us, "event"));
            let copy = (copied > 0).then(|| format!("copy {} from Stripe", count(copied, "row")));
            sentence_of(resent.into_iter().chain([delivered]).chain(copy))
        }
        (1, 0, Some(one)) => format!("Resend {}, the newest of its subscription", event(one)),
        (0, 1, Some(one)) => {
            let link = if one.unlinked { "Link the row, then copy" } else { "Copy" };
            format!("{link} {} from Stripe", count(one.changes.len(), "field"))
        }
        (sent, 0, _) => format!("Resend {}, one for each subscription", count(sent, "event")),
        (0, copied, _) => format!("Copy {} from Stripe", count(copied, "row")),
        (sent, copied, _) => format!("Resend {}, copy {} from Stripe", count(sent, "event"), count(copied, "row")),
    }
}

fn sentence_of(parts: impl Iterator<Item = String>) -> String {
    capital(&parts.collect::<Vec<_>>().join(", "))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
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
    let least = if writes < n { "at least " } else { "" };
    parts.extend((writes > 0).then(|| format!("{least}{} written", count(writes, "row"))));
    parts.push("no money".into());
    let seconds = (n as u64).div_ceil(u64::from(pace.per_second.max(1))).max(1);
    let took = |seconds: u64| age::words(i64::try_from(seconds).unwrap_or(i64::MAX));
    let sends = resends + deliveries > 0;
    // Where nothing that is sent has an effect, each of the two stages waits for it, then copies and reads again.
    let at_most = (2 * seconds + 4 * u64::from(pace.patience_seconds)).next_multiple_of(60);
    parts.push(match (n, sends) {
        (1, _) => "a few seconds".into(),
        (_, false) => format!("{} a second, about {}", pace.per_second, took(seconds)),
        (_, true) => format!("{} a second, {} to {}", pace.per_second, took(seconds), took(at_most)),
    });
    parts.push("cannot be undone from here".into());
    parts.join(" · ")
}

pub fn notes(found: &Found, sent: Sent, pace: Pace) -> Vec<String> {
    let mut notes = causes(found);
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
    if sent.all() > 0 {
        notes.push(format!("What has no effect within {} s is copied from Stripe instead; nothing is sent twice.", pace.patience_seconds));
    }
    let refused = found.lost.iter().filter(|l| l.event.is_some() && !matches!(l.remedy, Remedy::Resend | Remedy::Deliver));
    let mut why: BTreeMap<&str, usize> = BTreeMap::new();
    refused.for_each(|l| *why.entry(l.helps.as_str()).or_default() += 1);
    notes.extend(why.iter().map(|(helps, n)| format!("{} not resent: {helps}", if n == &1 { "1 is".into() } else { format!("{n} are") })));
    let by_us = found.lost.iter().filter(|l| sent.by_us > 0 && l.remedy == Remedy::Deliver).map(|l| l.helps.as_str());
    notes.extend(by_us.collect::<BTreeSet<_>>().into_iter().map(String::from));
    let again = found.lost.iter().filter_map(|l| sent_before(found, l)).fold(BTreeMap::<&str, usize>::new(), |mut all, run| {
        *all.entry(run).or_default() += 1;
        all
    });
    notes.extend(again.iter().map(|(run, n)| {
        let were = if *n == 1 { "1 event was".to_string() } else { format!("{n} events were") };
        format!("{were} sent by {run} already, and had no effect: copied, not sent again.")
    }));
    notes.extend(owed(found));
    notes.extend(found.unfinished.iter().cloned());
    if found.right > 0 {
        notes.push(format!(
            "{} already right and left alone.",
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
    notes.extend(found.cut.map(|at| cut(found, at)));
    notes
}

/// What Stripe may still bring by itself, after everything here is done.
pub fn owed(found: &Found) -> Option<String> {
    let say = match found.lost.iter().map(|l| l.owed).sum() {
        0 => return None,
        1 => "Stripe still tries 1 older event of these by itself, for up to three days. It can bring an older state back".to_string(),
        n => format!(
            "Stripe still tries {} of these by itself, for up to three days. Each can bring an older state back",
            count(n, "older event")
        ),
    };
    Some(format!("{say}; `nightdesk drift` shows it."))
}

/// Where nothing was applied since: what pane and command line say of it, that resending does not help, may be so still.
const ON_TRIAL: &str = "sent on trial, copied from Stripe where that has no effect";

/// Why, how many, and what is done about it, where there are several.
fn causes(found: &Found) -> Vec<String> {
    let mut by_cause: BTreeMap<(Cause, bool, &str), (usize, &str)> = BTreeMap::new();
    for l in found.lost.iter().filter(|l| l.event.is_some()) {
        let act = if l.on_trial { ON_TRIAL } else { l.remedy.say() };
        by_cause.entry((l.cause, l.unsent, act)).or_insert((0, because(l))).0 += 1;
    }
    if found.lost.len() == 1 {
        return Vec::new();
    }
    let mut all: Vec<_> = by_cause.into_iter().collect();
    all.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    let line = |((cause, unsent, act), (n, because)): ((Cause, bool, &str), (usize, &str))| {
        format!("{}, {}: {act}. {}", capital(heading(cause, unsent)), count(n, "customer"), sentence(because))
    };
    all.into_iter().take(CAUSES_NAMED).map(line).collect()
}

/// What stands before those of one cause: of what was never sent, nothing was refused.
fn heading(cause: Cause, unsent: bool) -> &'static str {
    if unsent { "never sent, as it seems" } else { cause.word() }
}

fn because(l: &Lost) -> &str {
    if l.unsent {
        "Stripe owes nobody a delivery of them, as it does of those that were refused; what it does not send is copied"
    } else {
        &l.because
    }
}

/// How far the list was followed, where it goes on.
pub fn cut(found: &Found, at: At) -> String {
    format!(
        "Only the newest {} were looked at, back to {}: older ones are not in this plan. The drift scan of the whole account finds whose \
         rows differ, however old the event.",
        count(found.events, "event"),
        day(at)
    )
}

/// Whose run has sent this one's event already.
fn sent_before<'a>(found: &'a Found, l: &Lost) -> Option<&'a str> {
    let event = l.event.as_ref()?;
    ["resend", "deliver"].iter().find_map(|kind| found.before.get(&step_id(kind, event.id.as_str()))).map(String::as_str)
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
        lines.push(format!(
            "{} that Stripe does not have, {first} the first: older than 30 days, or of another account or mode.",
            count(found.gone.len(), "event")
        ));
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
    let mut by_cause: BTreeMap<(Cause, bool, &str), usize> = BTreeMap::new();
    for l in &found.lost {
        *by_cause.entry((l.cause, l.unsent, because(l))).or_default() += 1;
    }
    let line = |((cause, unsent, because), n): (&(Cause, bool, &str), &usize)| format!("{}, {n}: {because}", heading(*cause, *unsent));
    let mut lines: Vec<String> = by_cause.iter().take(LISTED).map(line).collect();
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
