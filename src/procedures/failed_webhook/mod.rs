//! Procedure 4, failed webhooks: what the runbook says about them, and what it asks. Which events are meant is `events`'s, what became of them `facts`'s, the plan `plan`'s.

mod events;
mod facts;
mod link;
mod look;
mod plan;
mod prices;
#[cfg(test)]
mod tests;
mod witness;
mod words;

use super::{Begins, Book, Procedure};
use crate::domain::At;
use crate::domain::tiers::TierRules;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Plan, Refusal};

pub use facts::{Found, found};
pub use plan::{plan_of, steps_of};

/// Brings the missing effects of events about, by whatever can: a resend, or a copy of what Stripe says now.
pub struct FailedWebhook;

impl Procedure for FailedWebhook {
    fn id(&self) -> &'static str {
        "failed-webhook"
    }

    fn title(&self) -> &'static str {
        "Investigate failed webhook"
    }

    fn section(&self) -> &'static str {
        "4"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "investigate failed webhook",
            "stripe webhook failed",
            "500 error in dashboard",
            "retry webhook",
            "send test webhook",
            "replay events",
            "resend event",
            "replay failed events",
            "backfill missed webhooks",
            "missed events",
            "invalid signature",
            "webhook error",
        ]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "Retry webhook: Stripe Dashboard → Event → \"Send test webhook\". Should process successfully now.",
            differs: &[
                "\"Send test webhook\" sends a sample with made-up ids and replays nothing: the event itself is sent once more",
                "looks for the effect in the row: a handler that answers 200 to its own errors shows no failed event in the dashboard",
                "resends only what resending can repair; what it cannot is linked or copied from Stripe, or left with the reason",
                "sends the newest state of each subscription: the older events behind it would bring older values",
                "sends one first and reads its effect before the rest, at a rate that the application bears",
                "counts effects in the database, not answers of the endpoint; what one delivery did not settle is copied from Stripe",
            ],
        }
    }

    fn begins(&self) -> Begins {
        Begins::WithEvents
    }

    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        facts::reads(inputs, answers, None)
    }

    fn reads_under(&self, rules: &TierRules, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        facts::reads(inputs, answers, Some(rules))
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        plan::plan(inputs, answers, env, now)
    }

    fn keeps(&self, reply: Reply) -> Reply {
        events::lightened(reply)
    }

    fn pin(&self, inputs: &Inputs, answers: &Answers) -> Inputs {
        events::pin(inputs, answers)
    }
}
