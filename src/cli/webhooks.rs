//! `nightdesk webhooks`: which of Stripe's events have no effect in the database, by cause, and the events themselves.

use super::drive::now;
use super::hands::Hands;
use super::{End, print_json};
use crate::domain::At;
use crate::domain::money::group;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::feed::{Group, Line, RawEvent};
use crate::domain::webhooks::verdict::Verdict;
use crate::procedures::survey::{DAYS_AT_MOST, Moment, Survey};
use chrono::{Duration, NaiveDate};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// How far back is looked where nothing else is said; also by a replay of what is listed.
pub const SINCE: &str = "24h";

#[derive(Debug, Args)]
pub struct WebhooksArgs {
    /// How far back: hours or days (24h, 7d), or a date (2026-11-20, or with its time in RFC 3339). At most 30 days.
    #[arg(long, value_name = "WHEN", default_value = SINCE)]
    pub since: String,
    /// List the events too, not only their causes.
    #[arg(long)]
    pub events: bool,
    /// Only events of this cause, in the words of the list; lists them.
    #[arg(long, value_name = "WORD")]
    pub cause: Option<String>,
    /// Only events with this verdict: applied, superseded, settling, missing, contradicted, not handled, no subject, unknown; lists them.
    #[arg(long, value_name = "WORD")]
    pub verdict: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    since: At,
    /// The list reaches back so far, and every row could be read.
    complete: bool,
    counts: BTreeMap<&'static str, usize>,
    last_applied: Option<At>,
    /// Since when nothing is applied; `null`: something is, as far as can be told.
    silence: Option<ShownSilence>,
    /// What only consoles have put right since the application was last seen at work; `null`: it is at work, as far as can be told.
    copied: Option<ShownCopied>,
    groups: Vec<ShownGroup<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<ShownEvent<'a>>>,
    /// Elements of Stripe's list that could not be read as events, with what they are, masked.
    unreadable: &'a [RawEvent],
    /// By how many seconds Stripe's clock is ahead of this machine's; events are judged by Stripe's.
    clock_ahead: i64,
}

#[derive(Serialize)]
struct ShownSilence {
    since: At,
    /// It may be longer.
    at_least: bool,
    /// Events since then, and how many of them have no effect.
    events: usize,
    failed: usize,
    customers: usize,
    /// When the application was last seen to apply one.
    last: Option<At>,
    cause: Cause,
}

#[derive(Serialize)]
struct ShownCopied {
    since: At,
    events: usize,
    customers: usize,
    /// When the application was last seen to apply one.
    last: Option<At>,
    cause: Cause,
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    cause: Cause,
    because: &'a str,
    helps: &'a str,
    events: usize,
    customers: usize,
    first: At,
    last: At,
    evidence: &'a [String],
}

#[derive(Serialize)]
struct ShownEvent<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    at: At,
    object: Option<&'a str>,
    customer: Option<&'a str>,
    subscription: Option<&'a str>,
    verdict: Verdict,
    cause: Option<Cause>,
    /// Deliveries that Stripe still owes.
    pending: bool,
    because: String,
}

/// Enough for half a million failures.
const ROUNDS: u32 = 250;

/// Reads the range to its end and says what has no effect.
///
/// # Errors
/// Bad input, or a source that does not answer: one sentence.
pub async fn run(hands: &Hands, args: &WebhooksArgs) -> Result<End, String> {
    let Asked { since, cause, verdict } = match asked(args) {
        Ok(asked) => asked,
        Err(why) => return Ok(End::Wrong(why)),
    };
    let hours = (now() - since).num_minutes().div_euclid(60) + 1;
    let survey = read(hands, hours).await;
    if let Some(fault) = survey.fault() {
        return Err(fault.say.clone());
    }
    let chosen = |l: &&Line| l.at >= since && cause.is_none_or(|c| l.cause == Some(c)) && verdict.is_none_or(|v| l.verdict == v);
    let lines: Vec<&Line> = survey.lines().iter().filter(chosen).collect();
    let groups: Vec<&Group> = survey.groups().iter().filter(|g| cause.is_none_or(|c| g.cause == c)).collect();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    lines.iter().for_each(|l| *counts.entry(l.verdict.word()).or_default() += 1);
    let listed = args.events || cause.is_some() || verdict.is_some();
    if args.json {
        print_json(&Answer {
            since,
            complete: survey.is_complete(),
            counts,
            last_applied: survey.last_applied(),
            silence: silence(&survey),
            copied: survey.copied().map(|c| ShownCopied {
                since: c.since,
                events: c.events.len(),
                customers: c.customers,
                last: c.last,
                cause: c.cause.unwrap_or(Cause::Unknown),
            }),
            groups: groups.iter().map(|g| shown(g)).collect(),
            events: listed.then(|| lines.iter().map(|l| event(&survey, l)).collect()),
            unreadable: survey.raw(),
            clock_ahead: survey.clock_ahead().num_seconds(),
        });
    } else {
        print(&survey, &groups, &counts, since, listed.then_some(lines.as_slice()));
        if lines.is_empty() && (cause.is_some() || verdict.is_some()) {
            println!("No event is so; without the narrowing, all of them are told.");
        }
    }
    let failed = lines.iter().any(|l| l.verdict.is_failure());
    Ok(if failed || survey.copied().is_some() { End::Badly } else { End::Well })
}

/// What the arguments ask for.
struct Asked {
    since: At,
    cause: Option<Cause>,
    verdict: Option<Verdict>,
}

fn asked(args: &WebhooksArgs) -> Result<Asked, String> {
    Ok(Asked {
        since: since(&args.since, now())?,
        cause: args.cause.as_deref().map(cause).transpose()?,
        verdict: args.verdict.as_deref().map(verdict).transpose()?,
    })
}

/// Asks on until nothing is left to ask.
pub async fn read(hands: &Hands, hours: i64) -> Survey {
    let begun = Instant::now();
    let sources = BTreeMap::new();
    let mut survey = Survey::default();
    survey.set_range(hours, now());
    let mut pending = FuturesUnordered::new();
    let moment = || {
        let tick = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        Moment { now: now(), tick, env: &hands.env, sources: &sources }
    };
    let ask = |query: crate::protocol::query::Query| async move {
        let result = hands.ask(query.clone()).await;
        (query, result)
    };
    let mut shown = 0;
    // What explains the failures is asked for once they are known, so the last word comes with another tick; and where they are very many,
    // some thousand are looked at with each.
    for round in 0..ROUNDS {
        if round >= 3 && survey.progress().beyond == 0 {
            break;
        }
        pending.extend(survey.ticked(&moment()).into_iter().map(ask));
        while let Some((query, result)) = pending.next().await {
            pending.extend(survey.replied(&query, &result, &moment()).into_iter().map(ask));
            let pages = survey.progress().pages;
            if pages >= shown + 20 {
                shown = pages;
                eprintln!("{} events read", group(survey.lines().len() as u64));
            }
        }
    }
    survey
}

fn print(survey: &Survey, groups: &[&Group], counts: &BTreeMap<&'static str, usize>, since: At, lines: Option<&[&Line]>) {
    let count = |word: Verdict| counts.get(word.word()).copied().unwrap_or(0);
    let all: usize = counts.values().sum();
    let parts: Vec<String> = counts.iter().map(|(word, n)| format!("{} {word}", group(*n as u64))).collect();
    println!(
        "{} since {}: {}",
        plural(all, "event"),
        since.format("%Y-%m-%d %H:%MZ"),
        if parts.is_empty() { "none".into() } else { parts.join(", ") }
    );
    if !survey.is_whole() {
        println!("The list is not complete: Stripe did not give all of it.");
    }
    if !survey.raw().is_empty() {
        let how = if lines.is_some() { "below as it is" } else { "--events shows it" };
        println!("Not read, since they are no events as we know them: {} of Stripe's list; {how}.", plural(survey.raw().len(), "element"));
    }
    if let Some(doubt) = survey.doubt() {
        println!("{}: {}", doubt.sentence, doubt.reason);
    }
    if let Some(clock) = survey.clock_finding() {
        println!("{}. Events are judged by Stripe's.", clock.sentence);
    }
    if let Some(silence) = survey.silence_finding() {
        println!();
        println!("FAIL  {}, {}", silence.sentence, silence.size);
        println!("      {}", silence.reason);
    }
    if let Some(copied) = survey.copied_finding() {
        println!();
        println!("WARN  {}, {}", copied.sentence, copied.size);
        println!("      {}", copied.reason);
    }
    if let Some(some) = survey.not_grouped() {
        println!();
        println!("Of those without effect {some}.");
    }
    for g in groups {
        println!();
        println!(
            "FAIL  {}: {}, {}, last {}",
            g.cause.word(),
            plural(g.events.len(), "event"),
            plural(g.customers, "customer"),
            g.last.format("%-d %b %H:%MZ")
        );
        println!("      {}", g.because);
        println!("      {}", g.helps);
    }
    if all > 0 && groups.is_empty() && count(Verdict::Missing) + count(Verdict::Contradicted) == 0 && survey.doubt().is_none() {
        let how = if survey.copied().is_some() { ", some of it by copying alone" } else { "" };
        println!("Every event that can be judged has its effect{how}.");
    }
    let Some(lines) = lines else { return };
    println!();
    for raw in survey.raw() {
        println!("cannot be read  {}", raw.text);
    }
    for l in lines {
        let cause = l.cause.map_or("", Cause::word);
        let object = l.subscription.as_ref().or(l.object.as_ref()).map_or("", |o| o.as_str());
        println!("{}  {:<12} {:<30} {}  {object}  {cause}", l.at.format("%Y-%m-%d %H:%M:%SZ"), l.verdict.word(), l.kind, l.id);
    }
}

fn silence(survey: &Survey) -> Option<ShownSilence> {
    let s = survey.series().silence.as_ref()?;
    let cause = survey.silence_cause()?;
    let (since, at_least, last) = (s.since, s.at_least, s.last);
    Some(ShownSilence { since, at_least, events: s.received, failed: s.failed, customers: s.customers.len(), last, cause })
}

fn shown(g: &Group) -> ShownGroup<'_> {
    ShownGroup {
        cause: g.cause,
        because: &g.because,
        helps: &g.helps,
        events: g.events.len(),
        customers: g.customers,
        first: g.first,
        last: g.last,
        evidence: &g.evidence,
    }
}

fn event<'a>(survey: &Survey, l: &'a Line) -> ShownEvent<'a> {
    ShownEvent {
        id: l.id.as_str(),
        kind: &l.kind,
        at: l.at,
        object: l.object.as_ref().map(|i| i.as_str()),
        customer: l.customer.as_ref().map(|i| i.as_str()),
        subscription: l.subscription.as_ref().map(|i| i.as_str()),
        verdict: l.verdict,
        cause: l.cause,
        pending: l.pending,
        because: survey.because(l),
    }
}

fn plural(n: usize, of: &str) -> String {
    format!("{} {of}{}", group(n as u64), if n == 1 { "" } else { "s" })
}

/// The point in time that `--since` names.
pub fn since(text: &str, now: At) -> Result<At, String> {
    let bad = || format!("`{text}` is no time to look back to: give hours or days (24h, 7d), or a date (2026-11-20)");
    let unit = |letter: char| text.strip_suffix(letter).and_then(|n| n.parse::<i64>().ok()).filter(|n| (1..=9_999).contains(n));
    let at = if let Some(hours) = unit('h') {
        now - Duration::hours(hours)
    } else if let Some(days) = unit('d') {
        now - Duration::days(days)
    } else if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        at.to_utc()
    } else {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| bad())?;
        date.and_hms_opt(0, 0, 0).ok_or_else(bad)?.and_utc()
    };
    if at >= now {
        return Err(format!("`{text}` is not over yet: give a time that is past"));
    }
    if now - at > Duration::days(DAYS_AT_MOST) {
        return Err(format!("`{text}` is longer ago than Stripe keeps events: at most {DAYS_AT_MOST} days"));
    }
    Ok(at)
}

fn verdict(text: &str) -> Result<Verdict, String> {
    const ALL: [Verdict; 8] = [
        Verdict::Applied,
        Verdict::Superseded,
        Verdict::Settling,
        Verdict::Missing,
        Verdict::Contradicted,
        Verdict::UnhandledType,
        Verdict::NoSubject,
        Verdict::Unknown,
    ];
    let wanted = word(text);
    let found = ALL.into_iter().find(|v| word(v.word()) == wanted);
    found.ok_or_else(|| format!("`{text}` is no verdict: one of {}", ALL.map(Verdict::word).join(", ")))
}

/// A cause by the words of the list, or by the name that JSON has for it.
///
/// # Errors
/// One sentence with all there are.
pub fn cause(text: &str) -> Result<Cause, String> {
    let wanted = word(text);
    let found = Cause::ALL
        .into_iter()
        .find(|c| word(c.word()) == wanted || serde_json::to_value(c).is_ok_and(|v| v.as_str().map(word) == Some(wanted.clone())));
    found.ok_or_else(|| format!("`{text}` is no cause: one of {}", Cause::ALL.map(Cause::word).join(", ")))
}

fn word(text: &str) -> String {
    text.trim().to_lowercase().replace(['-', '_'], " ")
}
