//! Canceling, pausing and resuming a subscription by request.

use serde_json::{Value, json};

use super::super::super::acts::{self, Ending, Tender};
use super::super::super::failure::Failure;
use super::super::super::route::Call;
use super::super::super::state::State;
use super::super::fields;
use super::update::{check_feedback, check_unscheduled};

pub fn cancel(state: &mut State, call: &Call) -> Result<Value, Failure> {
    // A second cancellation finds nothing, as at Stripe.
    let found = state.live(&call.id, "subscription").filter(|v| !acts::is_over(v));
    let found = found.ok_or_else(|| Failure::missing("subscription", &call.id))?;
    check_unscheduled(&found)?;
    check_feedback(&call.params)?;
    let ending = Ending {
        details: call.params.map("cancellation_details"),
        prorate: call.params.boolean("prorate")? == Some(true),
        invoice_now: call.params.boolean("invoice_now")? == Some(true),
        ..Ending::now("cancellation_requested")
    };
    acts::end(state, &call.id, call.now, ending);
    super::retrieve(state, call)
}

pub fn pause(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "subscription").ok_or_else(|| Failure::missing("subscription", &call.id))?;
    fields::one_of(&call.params, "type", &["subscription"])?;
    if !["active", "past_due", "trialing", "unpaid"].iter().any(|s| found["status"] == *s) {
        let status = found["status"].as_str().unwrap_or_default();
        return Err(Failure::new(400, format!("You cannot pause a subscription with the status `{status}`.")));
    }
    acts::pause(state, &call.id, "pause_requested", call.now);
    super::retrieve(state, call)
}

/// A new billing cycle begins with an invoice; the subscription goes on once that is paid.
pub fn resume(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let found = state.live(&call.id, "subscription").ok_or_else(|| Failure::missing("subscription", &call.id))?;
    if fields::one_of(p, "billing_cycle_anchor.type", &["now", "unchanged"])? == Some("unchanged") {
        let text = "This account resumes subscriptions with a new billing cycle only: pass billing_cycle_anchor[type]=now.";
        return Err(Failure::new(400, text).param("billing_cycle_anchor"));
    }
    if found["status"] != "paused" {
        let status = found["status"].as_str().unwrap_or_default();
        let text = format!("You can only resume subscriptions with the status `paused`. This subscription has the status `{status}`.");
        return Err(Failure::new(400, text));
    }
    let invoice = acts::begin_period(state, &call.id, "subscription_update", "paused", call.now);
    if let Some(invoice) = invoice.filter(|id| state.get(id).is_some_and(|v| v["status"] == "draft")) {
        acts::finalize_invoice(state, &invoice, call.now);
        acts::settle_invoice(state, &invoice, &Tender::OnFile, false, call.now);
    }
    super::retrieve(state, call)
}

/// Why a subscription is paused, as it stands on it.
pub fn paused_because(why: &str, at: i64) -> Value {
    json!({ "paused": { "subscription": { "type": why }, "transitioned_at": at, "type": "subscription" } })
}
