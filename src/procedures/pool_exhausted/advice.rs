//! Settings that keep a pool from running out again, each with its sum, to be copied: none of them is run from here.

use super::{NO_SETTING, SETTING};
use crate::domain::sessions::{Activity, Rules, Sums};
use crate::procedures::words::count;
use crate::protocol::run::{Choice, Decision, Inputs, Selection};
use std::collections::BTreeSet;

/// How long a session may sit idle in a transaction, as the setting has it.
const TIMEOUT: &str = "60s";
/// Of the connections that ordinary roles can get, this share stays free for others: one in ten, five at least.
const KEPT: u32 = 10;
const KEPT_AT_LEAST: u32 = 5;

/// A setting to copy.
pub struct Advice {
    pub value: &'static str,
    pub say: String,
    pub copy: String,
}

/// What would help, the surest first.
pub fn advice(activity: &Activity, rules: &Rules, inputs: &Inputs) -> Vec<Advice> {
    let sums = Sums::of(activity, rules).and_again(activity, ended(inputs));
    let kept = (sums.usable / KEPT).max(KEPT_AT_LEAST).min(sums.usable);
    let room = sums.usable - kept;
    let roles = roles(inputs);
    let each = u32::try_from(roles.len()).unwrap_or(1).max(1);
    let statements = |what: &str| roles.iter().map(|r| format!("ALTER ROLE {} {what};", quoted(r))).collect::<Vec<_>>().join(" ");
    let mut out = Vec::new();
    if !roles.is_empty() {
        out.push(Advice {
            value: "timeout",
            say: format!("The server ends what sits idle in a transaction for {TIMEOUT}: nothing leaks for longer"),
            copy: statements(&format!("SET idle_in_transaction_session_timeout = '{TIMEOUT}'")),
        });
        if room >= each {
            out.push(Advice {
                value: "limit",
                say: format!("The role gets no more than its share: {kept} of {} connections stay free for others", sums.usable),
                copy: statements(&format!("CONNECTION LIMIT {}", room / each)),
            });
        }
    }
    if let Some(max) = room.checked_div(sums.pools) {
        let max = max.max(1);
        let fits = if max * sums.pools <= room {
            format!(
                "{} × {max} = {} of {}, with {} left free",
                count(sums.pools as usize, "pool"),
                max * sums.pools,
                sums.usable,
                sums.usable - max * sums.pools
            )
        } else {
            format!("{} do not fit into {} at all: put a pooler in front", count(sums.pools as usize, "pool"), sums.usable)
        };
        let now = format!("now {}", sums.product(1));
        out.push(Advice {
            value: "pool",
            say: format!("The application's pools fit the server: {fits}; {now}"),
            copy: format!("max: {max}, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000"),
        });
    }
    out
}

/// Whether one of them was set: only then there is something to restart for.
pub fn decision(question: String, advice: Vec<Advice>) -> Decision {
    let option = |value: &str, say: String, evidence: String| Choice { value: value.into(), say, evidence };
    let mut options = vec![option(NO_SETTING, "No setting was changed".into(), "nothing is restarted; ten minutes' watch".into())];
    options.extend(advice.into_iter().map(|a| option(a.value, a.say, a.copy)));
    Decision { id: SETTING.into(), question, options }
}

/// Application and role of what was ended.
fn ended(inputs: &Inputs) -> impl Iterator<Item = (&str, &str)> {
    let these = match &inputs.selection {
        Some(Selection::Sessions { these, .. }) => these.as_slice(),
        _ => &[],
    };
    these.iter().map(|s| (s.application.as_str(), s.role.as_str()))
}

/// The roles of what was ended.
fn roles(inputs: &Inputs) -> BTreeSet<String> {
    match &inputs.selection {
        Some(Selection::Sessions { these, .. }) => these.iter().map(|s| s.role.clone()).filter(|r| !r.is_empty()).collect(),
        _ => BTreeSet::new(),
    }
}

/// As an identifier: quoted where it has to be.
fn quoted(name: &str) -> String {
    let plain =
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
