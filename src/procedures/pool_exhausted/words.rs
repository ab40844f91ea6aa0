//! What the plan of ending sessions says: what is freed, what their applications will see, what the runbook would do, whom it leaves.

use super::choose::{Chosen, Target};
use crate::domain::age;
use crate::domain::sessions::{Activity, Blocking, Rules, Session, State, book_hits, explain};
use crate::domain::text::{capitalised, sentence};
use crate::procedures::words::{count, machine};
use crate::protocol::command::Command;
use crate::protocol::run::{Expect, Inputs, Plan};
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// So many are told one by one.
const LISTED: usize = 12;
/// The exact statement stands there for so many.
const EXACT: usize = 3;
/// The limit of the runbook's query, in minutes.
const BOOK_MINUTES: i64 = 10;

/// `report-worker`, or `report-worker, 2 others`.
pub fn whose(targets: &[Target]) -> String {
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    targets.iter().for_each(|t| *by_name.entry(t.session.name()).or_default() += 1);
    let most = by_name.iter().max_by_key(|(_, n)| **n).map(|(name, _)| name.clone()).unwrap_or_default();
    match by_name.len() {
        0 | 1 => most,
        n => format!("{most} and {} more", n - 1),
    }
}

pub fn summary(targets: &[Target]) -> String {
    let n = count(targets.len(), "session");
    let doing = match targets.iter().map(|t| t.shown.state).collect::<Vec<_>>().as_slice() {
        all if all.iter().all(|s| s.sits_in_transaction()) => {
            if targets.len() == 1 {
                ", which sits idle in a transaction"
            } else {
                ", which sit idle in a transaction"
            }
        }
        all if all.iter().all(|s| *s == State::Idle) => ", idle in a pool",
        _ => "",
    };
    format!("End {n} of {}{doing}", whose(targets))
}

pub fn blast(targets: &[Target], activity: &Activity) -> String {
    let pids: Vec<i32> = targets.iter().map(|t| t.session.pid).collect();
    let freed = Blocking::of(activity).freed_by(&pids).len();
    let waiting = if freed == 1 { "1 that waits goes on".into() } else { format!("{freed} that wait go on") };
    let room = &activity.room;
    let mut parts = vec![count(targets.len(), "connection")];
    parts.extend((freed > 0).then_some(waiting));
    parts.push(format!("{} of {} taken now", room.used, room.usable()));
    parts.push("no money".into());
    parts.push("cannot be undone".into());
    parts.join(" · ")
}

/// What was looked at, in the order in which it matters.
pub fn notes(found: &Chosen, inputs: &Inputs, activity: &Activity, rules: &Rules) -> Vec<String> {
    let mut notes = vec![explain(activity, rules).sentence];
    notes.push(book(activity, rules));
    notes.extend(effects(&found.targets));
    notes.extend(left(found, inputs));
    notes.extend(activity.caveats());
    notes
}

/// What the applications will see.
fn effects(targets: &[Target]) -> Vec<String> {
    let mut out = Vec::new();
    let some = |is: fn(State) -> bool| targets.iter().filter(|t| is(t.shown.state)).map(|t| t.session).collect::<Vec<_>>();
    let (open, working, idle) = (some(State::sits_in_transaction), some(|s| s == State::Active), some(|s| s == State::Idle));
    if !open.is_empty() {
        out.push(format!(
            "At its next statement {} finds the connection gone (57P01), and what its transaction wrote is rolled back. A Node process that \
             handles no error of that client ends with it.",
            names(&open)
        ));
    }
    if !working.is_empty() {
        out.push(format!(
            "{} of {} at work: the statement fails with 57P01, and is rolled back.",
            count(working.len(), "session"),
            names(&working)
        ));
    }
    if !idle.is_empty() {
        out.push(format!(
            "WARNING: {} of {}: healthy, and a Node process whose pool has no error handler (pool.on('error')) exits when its idle \
             connection is ended.",
            count(idle.len(), "idle connection"),
            names(&idle)
        ));
    }
    out
}

/// `3 sessions ended, 4 that waited go on.`: how many of those that a confirmed plan was to end are gone, and who went on by it.
pub fn achieved(confirmed: &Plan, after: &Activity) -> Option<String> {
    let to_end = confirmed.steps.iter().filter_map(|s| match s.command {
        Some(Command::EndSession { session, .. }) => Some(session),
        _ => None,
    });
    let ended = to_end.filter(|session| after.find(*session).is_none()).count();
    if ended == 0 {
        return None;
    }
    let waited = confirmed.steps.iter().find_map(|s| match &s.expect {
        Some(Expect::Freed { sessions }) => Some(sessions.as_slice()),
        _ => None,
    });
    let (waited, blocking) = (waited.unwrap_or_default(), Blocking::of(after));
    let wait_still = waited.iter().filter(|s| after.find(**s).is_some() && blocking.is_blocked(s.pid)).count();
    let went_on = match (waited.len() - wait_still, wait_still) {
        (0, 0) => String::new(),
        (0, still) => format!(", {still} that waited wait still"),
        (1, 0) => ", 1 that waited goes on".into(),
        (n, 0) => format!(", {n} that waited go on"),
        (n, still) => format!(", {n} of {} that waited go on", n + still),
    };
    Some(format!("{} ended{went_on}.", count(ended, "session")))
}

/// Whom it leaves, and why. What this run has ended did not end by itself.
pub fn left(found: &Chosen, inputs: &Inputs) -> Vec<String> {
    let mut out = Vec::new();
    let mut why: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    found.spared.iter().for_each(|(s, spared)| why.entry(spared.to_string()).or_default().push(s.pid));
    for (why, pids) in why {
        out.push(sentence(&format!("Left alone, {}: {why}", processes(&pids))));
    }
    if !found.moved.is_empty() {
        let (has, was) = if found.moved.len() == 1 { ("has", "it was") } else { ("have", "they were") };
        out.push(format!(
            "{} {has} done something since {was} shown, and {}.",
            capitalised(&processes(&found.moved)),
            alone(found.moved.len())
        ));
    }
    match (found.gone.saturating_sub(inputs.ended), inputs.acted) {
        (0, _) => {}
        // A signal of which nobody heard may have ended them, too.
        (1, Some(_)) => out.push("1 more session that was shown is gone.".into()),
        (n, Some(_)) => out.push(format!("{n} more sessions that were shown are gone.")),
        (n, None) => {
            let by = if n == 1 { "itself" } else { "themselves" };
            out.push(format!("{} ended by {by} since.", capitalised(&count(n, "session"))));
        }
    }
    out
}

fn alone(n: usize) -> &'static str {
    if n == 1 { "is left alone" } else { "are left alone" }
}

/// The runbook's query beside it; where its ten minutes have not passed for anybody yet, what it would do then.
fn book(activity: &Activity, rules: &Rules) -> String {
    let now = book_hits(activity, rules);
    if !now.hits.is_empty() {
        return now.sentence();
    }
    let later = Activity { at: activity.at + TimeDelta::minutes(BOOK_MINUTES) + TimeDelta::seconds(1), ..activity.clone() };
    let then = book_hits(&later, rules);
    if then.hits.is_empty() {
        return now.sentence();
    }
    format!("{} Ten minutes from now it would end {} healthy ones, if they stay idle.", now.sentence(), then.healthy)
}

/// Each session, the first of many.
pub fn evidence(targets: &[Target], activity: &Activity, text: impl Fn(&Session) -> Option<String>) -> Vec<String> {
    let blocking = Blocking::of(activity);
    let line = |t: &Target| {
        let s = t.session;
        let waits = match blocking.victims(s.pid) {
            0 => String::new(),
            1 => ", 1 waits for it".into(),
            n => format!(", {n} wait for it"),
        };
        let age = |s: &Session| s.age_in_state(activity.at).map_or("an unknown time".into(), |a| age::words(a.num_seconds()));
        let ran = text(s).filter(|t| !t.is_empty()).map(|t| format!("; last: {t}")).unwrap_or_default();
        format!("process {}: {}, {} for {}{waits}{ran}", s.pid, who(s), t.shown.state.word(), age(s))
    };
    let mut out: Vec<String> = targets.iter().take(LISTED).map(line).collect();
    out.extend((targets.len() > LISTED).then(|| format!("and {} more", targets.len() - LISTED)));
    out
}

/// The statements, for the first few.
pub fn exactly<'a>(commands: impl Iterator<Item = &'a Command>, all: usize) -> Vec<String> {
    let mut lines: Vec<String> = commands.take(EXACT).flat_map(machine).collect();
    lines.extend((all > EXACT).then(|| format!("-- and {} more of the same kind", all - EXACT)));
    lines
}

/// `report-worker, role app, 10.0.0.3`: no person's name.
pub fn who(s: &Session) -> String {
    let client = s.client.as_deref().unwrap_or("local");
    match (&s.role, s.application.is_empty()) {
        (Some(role), false) => format!("{}, role {role}, {client}", s.application),
        _ => format!("{}, {client}", s.name()),
    }
}

fn names(sessions: &[&Session]) -> String {
    let mut names: Vec<String> = sessions.iter().map(|s| s.name()).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

fn processes(pids: &[i32]) -> String {
    let some: Vec<String> = pids.iter().take(LISTED).map(ToString::to_string).collect();
    let more = if pids.len() > LISTED { format!(" and {} more", pids.len() - LISTED) } else { String::new() };
    let noun = if pids.len() == 1 { "process" } else { "processes" };
    format!("{noun} {}{more}", some.join(", "))
}
