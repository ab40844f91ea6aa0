//! Emergency 1, webhook endpoint down: what the runbook says about it, and what it asks. What the probe's answers ask for is `look`'s, the plan `plan`'s.

mod look;
mod plan;
#[cfg(test)]
mod tests;

use super::failed_webhook::FailedWebhook;
use super::{Begins, Book, Procedure};
use crate::domain::At;
use crate::domain::tiers::TierRules;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Plan, Refusal, Selection};

/// Finds out what stands at the endpoint, brings it back, and then every effect that is missing since.
pub struct EndpointDown;

/// What the operator said about the probe: the word under which it is kept with the run's inputs.
const PROBE: &str = "probe";
/// The probe may be sent.
const SEND: &str = "send";
/// Without it, the log and the rows have to do.
const LEAVE: &str = "leave";

impl Procedure for EndpointDown {
    fn id(&self) -> &'static str {
        "endpoint-down"
    }

    fn title(&self) -> &'static str {
        "Webhook endpoint down"
    }

    fn section(&self) -> &'static str {
        "E1"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "emergency",
            "webhook endpoint down",
            "all payments failing",
            "100% webhook failures",
            "subscription upgraded but features not working",
            "check application status",
            "restart application server",
            "webhook secret",
            "backfill missed webhooks",
            "probe endpoint",
            "nothing is applied",
        ]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "Check webhook endpoint specifically: curl -X POST … -H \"stripe-signature: test\". Should return 401. If endpoint is \
                       down: restart application server. Backfill missed webhooks: manually replay failed events (click \"Send test webhook\").",
            differs: &[
                "/health answers 200 from memory and proves nothing but the process; /ready touches the database, and is asked too",
                "a bad signature gets 400 from Stripe's libraries: a 401 may come from something in front, and 200 from a handler that swallows its errors",
                "\"set\" is not \"right\": a secret of another endpoint refuses every event, and the application looks well",
                "restarts only what is down; where the probe shows a healthy endpoint it says so and goes on with the backfill",
                "the backfill is everything without its effect since the last one that has it, not the failed ones of 24 hours",
                "\"Send test webhook\" sends a sample with made-up ids; here the events themselves, one first, and what they do not settle is copied from Stripe",
            ],
        }
    }

    fn begins(&self) -> Begins {
        Begins::AtOnce
    }

    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        with_probe(FailedWebhook.reads(&backfill(inputs), answers), inputs, answers)
    }

    fn reads_under(&self, rules: &TierRules, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        with_probe(FailedWebhook.reads_under(rules, &backfill(inputs), answers), inputs, answers)
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        plan::plan(inputs, answers, env, now)
    }

    fn keeps(&self, reply: Reply) -> Reply {
        FailedWebhook.keeps(reply)
    }

    fn pin(&self, inputs: &Inputs, answers: &Answers) -> Inputs {
        FailedWebhook.pin(&backfill(inputs), answers)
    }

    fn on_test(&self, mut inputs: Inputs, env: &Environment) -> Inputs {
        // Where there is no URL to probe, whether to go on without it stays a question.
        if env.webhook_url.is_some() {
            inputs.attested.entry(PROBE.into()).or_insert_with(|| SEND.into());
        }
        inputs
    }

    fn is_staged(&self) -> bool {
        true
    }
}

/// The probe is sent once, and where that was agreed to.
fn with_probe(mut wanted: Vec<Query>, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
    if inputs.attested.get(PROBE).is_some_and(|said| said == SEND) && answers.get(&Query::Probe).is_none() {
        wanted.push(Query::Probe);
    }
    wanted
}

/// The same run as a replay sees it: where nothing narrower was asked for, everything since the last effect.
fn backfill(inputs: &Inputs) -> Inputs {
    let mut inputs = inputs.clone();
    inputs.selection.get_or_insert(Selection::SinceLastApplied);
    inputs
}
