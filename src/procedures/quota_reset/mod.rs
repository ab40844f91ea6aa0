//! Procedure 2, reset quota: what the runbook says about it, and what it asks. The facts it needs are in `facts`, the plan in `plan`.

mod facts;
mod plan;
#[cfg(test)]
mod tests;
pub(super) mod undo;

use super::{Book, Procedure};
use crate::domain::At;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::Query;
use crate::protocol::run::{Inputs, Plan, Refusal};

/// Empties one subject's counters: of one feature, of some, or of all that reset; never a stock's.
pub struct QuotaReset;

impl Procedure for QuotaReset {
    fn id(&self) -> &'static str {
        "quota-reset"
    }

    fn title(&self) -> &'static str {
        "Reset user quota"
    }

    fn section(&self) -> &'static str {
        "2"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "reset user quota",
            "support request",
            "user accidentally used all quota",
            "quota exceeded",
            "rate limit",
            "rate_limits",
            "limit reached",
            "usage counter",
            "blocked by quota",
            "429",
            "entitlements reset",
            "reset counters",
        ]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "Option A: via admin API: curl -X POST …/admin/licensing/entitlements/PROFILE_ID/reset. Option B: via database: \
                       DELETE FROM rate_limits WHERE profile_id = 'PROFILE_ID'; verify: SELECT * FROM rate_limits … should return 0 rows.",
            differs: &[
                "resets one feature, some, or all that reset: the book's two options know only all",
                "leaves stocks alone, seats for one: the DELETE empties them too, and what is there is then counted as free",
                "sets used to 0 and keeps the row with its period; the DELETE forgets when the period ends",
                "\"0 rows\" proves nothing: the admin API deletes no row, it opens a new period; asks what the application enforces now",
                "changes the counters only while they are as shown (compare-and-set), all of them or none",
                "keeps the former counts in the journal, and can give them back where nobody has counted since",
            ],
        }
    }

    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        facts::reads(inputs, answers)
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        plan::plan(inputs, answers, env, now)
    }

    fn pin(&self, inputs: &Inputs, answers: &Answers) -> Inputs {
        plan::pin(inputs, answers)
    }
}
