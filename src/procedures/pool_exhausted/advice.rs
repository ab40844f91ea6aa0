//! Settings that keep a pool from running out again, each with its sum, to be copied: none of them is run from here.

use super::{NO_SETTING, SETTING};
use crate::domain::sessions::{Activity, Raising, Rules, Sums, explain};
use crate::procedures::words::count;
use crate::protocol::run::{Choice, Decision, Inputs, Selection, ShownSession};
use std::collections::BTreeSet;

/// How long a session may sit idle in a transaction, as the setting has it.
const TIMEOUT: &str = "60s";
/// Of the connections that ordinary roles can get, this share stays free for others: one in ten, five at least.
const KEPT: u32 = 10;
const KEPT_AT_LEAST: u32 = 5;
/// How long an application's pool keeps an idle connection, and waits for one, in milliseconds.
const DEADLINES: &str = "idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000";

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
    let roles = roles(inputs, |_| true);
    let leaking = roles_that_leaked(inputs);
    let each = u32::try_from(roles.len()).unwrap_or(1).max(1);
    let statements =
        |of: &BTreeSet<String>, what: &str| of.iter().map(|r| format!("ALTER ROLE {} {what};", quoted(r))).collect::<Vec<_>>().join(" ");
    let mut out = Vec::new();
    if !leaking.is_empty() {
        out.push(Advice {
            value: "timeout",
            say: format!("The server ends what sits idle in a transaction for {TIMEOUT}: nothing leaks for longer"),
            copy: statements(&leaking, &format!("SET idle_in_transaction_session_timeout = '{TIMEOUT}'")),
        });
    }
    if !roles.is_empty() && room >= each {
        out.push(Advice {
            value: "limit",
            say: format!("The role gets no more than its share: {kept} of {} connections stay free for others", sums.usable),
            copy: statements(&roles, &format!("CONNECTION LIMIT {}", room / each)),
        });
    }
    if let Some(fitting) = room.checked_div(sums.pools) {
        // Connections that a leak or a lock held were not too few: more of them would be held as well.
        let raises = leaking.is_empty() && explain(activity, rules).raising == Raising::Helps;
        let larger = (sums.size * 2).min(fitting);
        out.push(match sums.fits(1) {
            true if raises && larger > sums.size => resized(&sums, larger, room),
            true => left_alone(&sums),
            false => resized(&sums, fitting.max(1), room),
        });
    }
    out
}

/// The pools fit as they are: what they are told is to let go, and not to wait for ever.
fn left_alone(sums: &Sums) -> Advice {
    Advice {
        value: "pool",
        say: format!(
            "The application's pools fit ({}): leave max as it is. They close what is idle for 30 s, and who waits for a connection gets an \
             error after 2 s",
            sums.product(1)
        ),
        copy: DEADLINES.into(),
    }
}

fn resized(sums: &Sums, max: u32, room: u32) -> Advice {
    let pools = count(sums.pools as usize, "pool");
    let fits = if max * sums.pools <= room {
        format!("{pools} × {max} = {} of {}, with {} left free", max * sums.pools, sums.usable, sums.usable - max * sums.pools)
    } else {
        format!("{pools} do not fit into {} at all: put a pooler in front", sums.usable)
    };
    Advice {
        value: "pool",
        say: format!("The application's pools fit the server: {fits}; now {}", sums.product(1)),
        copy: format!("max: {max}, {DEADLINES}"),
    }
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

/// The roles of what was ended, of all of it or of some.
fn roles(inputs: &Inputs, of: impl Fn(&ShownSession) -> bool) -> BTreeSet<String> {
    match &inputs.selection {
        Some(Selection::Sessions { these, .. }) => {
            these.iter().filter(|s| of(s)).map(|s| s.role.clone()).filter(|r| !r.is_empty()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The roles whose sessions sat idle in a transaction: no other has that to be limited.
fn roles_that_leaked(inputs: &Inputs) -> BTreeSet<String> {
    roles(inputs, |s| s.state.sits_in_transaction())
}

/// As an identifier: quoted where it has to be.
fn quoted(name: &str) -> String {
    let plain =
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
