//! Procedure 1, manual tier update: what the runbook says about it, and what it asks. The facts it needs are in `facts`, the plan in `plan`.

mod facts;
mod plan;

use super::{Book, Procedure};
use crate::domain::At;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::Query;
use crate::protocol::run::{Inputs, Plan, Refusal};

/// Brings one subscription row in line with Stripe's truth, linking it first where it holds a placeholder.
pub struct TierUpdate;

impl Procedure for TierUpdate {
    fn id(&self) -> &'static str {
        "tier-update"
    }

    fn title(&self) -> &'static str {
        "Manual tier update"
    }

    fn section(&self) -> &'static str {
        "1"
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "manual tier update",
            "tier",
            "user paid but tier not updated in database",
            "paid but still free",
            "webhook fails",
            "webhook failed",
            "missed webhook",
            "placeholder customer",
            "link customer to profile",
            "upgrade",
            "downgrade",
            "wrong tier",
            "repair subscription row",
            "update database",
        ]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "UPDATE subscriptions SET tier = 'PRO', status = 'active', stripe_subscription_id = 'sub_xxxxx', \
                       billing_interval = 'monthly', current_period_start = NOW(), current_period_end = NOW() + INTERVAL '1 month' \
                       WHERE stripe_customer_id = 'cus_xxxxx';",
            differs: &[
                "finds the row by the profile: on a row that still holds a placeholder customer id, the book's UPDATE changes 0 rows and says nothing",
                "writes the tier that the price buys, not PRO for everybody",
                "copies the paid period from Stripe: NOW() and one month more is wrong by as much as the webhook is late, and by eleven months for a year",
                "writes the interval in the column's own words: where those are month and year, 'monthly' breaks the constraint or every reader",
                "changes the row only while it is as shown (compare-and-set), exactly one row or none: the book's overwrites whatever arrived meanwhile",
                "proves it by what the application enforces, and can take it back",
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
        facts::pin(inputs, answers)
    }
}
