//! Emergency 2, pool exhausted: what the runbook says about it, and what it asks. Whom it ends is `choose`'s, the plan `plan`'s, the settings to copy `advice`'s.

mod advice;
mod choose;
mod plan;
#[cfg(test)]
mod tests;
mod words;

use super::{Begins, Book, Procedure};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::sessions::{Activity, Rules, SessionId};
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Plan, Refusal, Selection};

pub use choose::shown;

/// Ends the sessions that leak, one first; says what keeps it from coming back; watches whether it stays well.
pub struct PoolExhausted;

pub use crate::protocol::record::SETTING;
/// No setting was changed: then nothing has to be restarted.
pub const NO_SETTING: &str = "none";
const RESTART: &str = "restart";
/// What the operator says of a restart of which nobody else knows.
const RESTARTED: &str = "restarted";
/// Statements are asked for of so many sessions at most.
const TEXTS: usize = 200;

impl Procedure for PoolExhausted {
    fn id(&self) -> &'static str {
        "pool-exhausted"
    }

    fn title(&self) -> &'static str {
        "Connection pool exhausted"
    }

    fn section(&self) -> &'static str {
        "E2"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "emergency",
            "database connection pool exhausted",
            "connection pool exhausted",
            "api returns 500 errors",
            "check active connections",
            "kill idle connections",
            "increase pool size",
            "restart application",
            "pg_terminate_backend",
            "pg_stat_activity",
            "too many connections",
            "remaining connection slots are reserved",
            "timeout exceeded when trying to connect",
            "idle in transaction",
            "blocked",
            "locks",
        ]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "Kill idle connections: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle' AND query_start < \
                       NOW() - INTERVAL '10 minutes'. Increase pool size in application: max: 20. Restart application to apply changes.",
            differs: &[
                "idle connections are healthy, what a pool is for; the ones that hurt sit idle in a transaction, which that query leaves alone",
                "query_start is when the last statement began, not since when it is idle: a session idle for a moment is ended too",
                "the query also ends replicas' and change feeds' connections and this console's, and breaks off at a superuser's",
                "ending a pool's idle connections ends a Node process whose pool has no error handler",
                "each session is ended by process id and start, only if it still does what was shown; one first, then the rest",
                "max: 20 is pools × 20: where that is more than the server has, it makes it worse; the sum stands in the review",
                "a restart only where a setting was changed; then ten minutes' watch, since what leaks leaks again",
            ],
        }
    }

    fn begins(&self) -> Begins {
        Begins::AtOnce
    }

    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        let mut wanted = vec![Query::Activity];
        if let Ok(activity) = activity(answers) {
            // The size of pools makes no difference to who is ended.
            let mut ids: Vec<SessionId> =
                choose::chosen(activity, &Rules::default(), inputs).targets.iter().map(|t| t.shown.session).collect();
            ids.truncate(TEXTS);
            wanted.extend((!ids.is_empty()).then_some(Query::SessionTexts(ids)));
        }
        wanted.retain(|q| answers.get(q).is_none());
        wanted
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        plan::plan(inputs, answers, env, now)
    }

    /// The sessions as they were reviewed: what has moved on since is not ended any more.
    fn pin(&self, inputs: &Inputs, answers: &Answers) -> Inputs {
        let Ok(activity) = activity(answers) else { return inputs.clone() };
        let found = choose::chosen(activity, &Rules::default(), inputs);
        let (mut these, chosen) = match &inputs.selection {
            Some(Selection::Sessions { these, chosen }) => (these.clone(), *chosen),
            _ => (Vec::new(), false),
        };
        for target in found.targets {
            if !these.contains(&target.shown) {
                these.push(target.shown);
            }
        }
        Inputs { selection: Some(Selection::Sessions { these, chosen }), ..inputs.clone() }
    }

    fn is_staged(&self) -> bool {
        true
    }

    fn achieved(&self, confirmed: &Plan, after: &Answers) -> Option<String> {
        activity(after).ok().and_then(|activity| words::achieved(confirmed, activity))
    }
}

/// The sessions as they were read.
///
/// # Errors
/// [`Refusal`]: they could not be, and why.
fn activity(answers: &Answers) -> Result<&Activity, Refusal> {
    match answers.get(&Query::Activity) {
        Some(Known::Is { value: Reply::Activity(activity), .. }) => Ok(activity),
        Some(Known::Failed(fault)) => Err(Refusal::Because(fault.say.clone())),
        _ => Err(Refusal::Because("The sessions have not been read yet.".into())),
    }
}
