//! Words that plans share: a command as a person would type it, in the contracts' names, and the proof by the application.

use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::Known;
use crate::domain::fault::{FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::row::{Change, Counter, Field, Value};
use crate::procedures::ENTITLEMENT;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::run::{Step, StepKind, StepState};

/// So many characters of what changes in a row are said.
const SAID: usize = 44;

/// What the application says about a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    Agrees,
    /// It is not configured here.
    NotSetUp,
    /// It answered otherwise; what.
    Differs(String),
    /// It did not answer; why.
    Silent(String),
    Waiting,
}

pub fn witness(entitlement: &Known<Option<Entitlement>>, tier: &str, env: &Environment) -> Witness {
    match entitlement {
        _ if !env.set_up.contains(&Source::Application) => Witness::NotSetUp,
        Known::Failed(f) if f.kind == FaultKind::NotSetUp => Witness::NotSetUp,
        Known::Is { value: Some(e), .. } if e.tier == tier => Witness::Agrees,
        Known::Is { value: Some(e), .. } => Witness::Differs(e.tier.clone()),
        Known::Is { value: None, .. } => Witness::Differs("that it does not know this profile".into()),
        Known::Failed(f) => Witness::Silent(f.say.clone()),
        Known::Waiting => Witness::Waiting,
    }
}

/// The proof by the application of the first of many: the others are proven by their rows alone.
pub fn first_enforced(env: &Environment) -> Step {
    let step = Step::new(ENTITLEMENT, StepKind::Verify, "entitlement", "The app enforces the first one's tier");
    if env.set_up.contains(&Source::Application) {
        return step;
    }
    step.in_state(StepState::Skipped("the application is not set up".into()))
}

/// The command as the console would have to be imitated by hand, a line each. Tables and columns by the contracts' names.
pub fn machine(command: &Command) -> Vec<String> {
    match command {
        Command::SetSubscriptionRow { subject, shown, changes } => {
            let sets: Vec<_> = changes.iter().map(|c| format!("{} = {}", c.field.contract_name(), literal(&c.to))).collect();
            let mut sets = sets.join(", ");
            if shown.contains_key(&Field::UpdatedAt) {
                sets.push_str(", updated_at = now()");
            }
            let guards = shown.iter().map(|(f, v)| format!("   AND {} IS NOT DISTINCT FROM {}", f.contract_name(), literal(v)));
            let mut lines = vec!["BEGIN;".to_string(), format!("UPDATE subscriptions SET {sets}")];
            lines.push(format!(" WHERE profile_id = {}", literal(&Value::text(subject.as_str()))));
            lines.extend(guards);
            lines.push("-- exactly one row, or ROLLBACK".into());
            lines.push("COMMIT;".into());
            lines
        }
        Command::ResyncByHttp { subject, customer } => vec![format!("POST <resync endpoint>  profile {subject}  customer {customer}")],
        Command::ResyncByCommand { subject, customer } => vec![format!("<resync command>  profile {subject}  customer {customer}")],
        Command::ResetEntitlement { subject } => vec![format!("POST <application>/admin/licensing/entitlements/{subject}/reset")],
        Command::ResetCounters { subject, shown } => counters(subject, shown, true),
        Command::RestoreCounters { subject, counters: former } => counters(subject, former, false),
        Command::ResendEvent { event, endpoint, .. } => vec![format!("POST /v1/events/{event}/retry  webhook_endpoint={endpoint}")],
        Command::DeliverEvent { event, .. } => vec![format!("POST <webhook endpoint>  {event} as Stripe stores it, signed anew")],
        Command::RunHook { hook } => vec![format!("<command configured as {hook}>")],
        Command::Escalate { to, .. } => vec![format!("<command configured as escalate>  {to}, the message on standard input")],
        Command::EndSession { session, who, states, since, at_least_ms, .. } => {
            let time = |at: At| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let states: Vec<_> = states.iter().map(|s| format!("'{}'", s.word())).collect();
            vec![
                format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity  -- {who}"),
                format!(" WHERE pid = {} AND backend_start = '{}'", session.pid, time(session.began())),
                format!("   AND backend_type = 'client backend' AND state IN ({})", states.join(", ")),
                since.map_or_else(
                    || "-- since when was not kept: no signal is sent".into(),
                    |since| format!("   AND state_change = '{}'", time(since)),
                ),
                format!("   AND clock_timestamp() - state_change >= interval '{at_least_ms} ms';"),
                "-- not a console's, not a superuser's, and in no database but the chosen ones".into(),
            ]
        }
    }
}

/// What an act does, in a sentence.
pub fn how(command: &Command) -> &'static str {
    match command {
        Command::SetSubscriptionRow { .. } => "Copy the fields, if the row is still as shown: exactly one row, or none",
        Command::ResyncByHttp { .. } => "Ask the application to bring the row in line with Stripe",
        Command::ResyncByCommand { .. } => "Run the configured resync for this customer",
        Command::ResetEntitlement { .. } => "The application resets every feature that resets, and opens a new period",
        Command::ResetCounters { .. } => "Set the counters to 0, if each is still as shown: all of them, or none",
        Command::RestoreCounters { .. } => "Give the counters back what they held, if nobody has counted since: all of them, or none",
        Command::ResendEvent { .. } => "Stripe sends the event once more",
        Command::DeliverEvent { .. } => "The event goes to the endpoint as Stripe stores it, signed anew",
        Command::RunHook { .. } => "Run the configured command",
        Command::Escalate { .. } => "Hand the message to the configured command",
        Command::EndSession { .. } => {
            "End the session, if it still is the one that was shown and does what it did: one signal, then it is watched until it is gone"
        }
    }
}

/// The statements for counters, one each; `reset`: to nothing, else back to what they held.
fn counters(subject: &SubjectKey, all: &[Counter], reset: bool) -> Vec<String> {
    let time = |at: Option<At>| literal(&Value::time(at));
    let whose = literal(&Value::text(subject.as_str()));
    let mut lines = vec!["BEGIN;".to_string()];
    for c in all {
        let feature = literal(&Value::text(&c.feature));
        let (start, end) = (time(c.period_start), time(c.period_end));
        lines.push(if reset {
            "UPDATE rate_limits SET used = 0".into()
        } else {
            format!("UPDATE rate_limits SET used = {}, period_start = {start}, period_end = {end}", c.used)
        });
        lines.push(format!(" WHERE profile_id = {whose} AND feature = {feature}"));
        lines.push(if reset {
            format!("   AND used = {} AND period_start IS NOT DISTINCT FROM {start} AND period_end IS NOT DISTINCT FROM {end};", c.used)
        } else {
            "   AND used = 0;".into()
        });
    }
    lines.push("-- exactly one row each, or ROLLBACK".into());
    lines.push("COMMIT;".into());
    lines
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Text(t) => format!("'{}'", t.replace('\'', "''")),
        Value::Time(at) => format!("'{}'", at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        Value::Bool(b) => b.to_string(),
    }
}

/// `tier FREE → PRO, paid until none → 22 Dec 2026, 3 more`: what changes in a row, within a line.
pub fn changed(changes: &[Change]) -> String {
    let told = |c: &Change| format!("{} {} → {}", c.field.label(), brief(&c.from), brief(&c.to));
    let mut said = String::new();
    for (i, change) in changes.iter().enumerate() {
        let told = told(change);
        if i > 0 && said.chars().count() + told.chars().count() > SAID {
            said.push_str(&format!(", {} more", changes.len() - i));
            break;
        }
        said.push_str(if i > 0 { ", " } else { "" });
        said.push_str(&told);
    }
    said
}

/// Ids masked, times by their day.
fn brief(value: &Value) -> String {
    match value {
        Value::Text(text) if text.contains('_') => mask::id(text),
        Value::Time(at) => at.format("%-d %b %Y").to_string(),
        other => other.to_string(),
    }
}

/// `1 field`, `5 fields`, thousands grouped.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", group(n as u64)) }
}

pub fn day(at: At) -> String {
    at.format("%-d %b %Y %H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_said_within_a_line() {
        let change = |field, from: &str, to: &str| {
            let value = |text: &str| if text == "none" { Value::Null } else { Value::text(text) };
            Change { field, from: value(from), to: value(to) }
        };
        let all = [
            change(Field::Tier, "FREE", "PRO"),
            change(Field::Subscription, "none", "sub_1PabcdefGH2x"),
            change(Field::Status, "active", "past_due"),
            change(Field::Interval, "month", "year"),
        ];
        assert_eq!(changed(&all[..1]), "tier FREE → PRO");
        assert_eq!(changed(&all[..2]), "tier FREE → PRO, subscription none → sub_1…2x");
        assert_eq!(changed(&all), "tier FREE → PRO, subscription none → sub_1…2x, 2 more");
    }
}
