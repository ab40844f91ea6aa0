//! `POST /v1/subscriptions`: what a request has to say, and what it is refused for. What then happens is `acts`.

use serde_json::Value;

use super::super::super::acts::{self, NewSubscription};
use super::super::super::cards::{Behaviour, Decline};
use super::super::super::expand;
use super::super::super::failure::Failure;
use super::super::super::route::Call;
use super::super::super::state::State;
use super::super::invoices::lines;
use super::super::{fields, payment_methods};
use super::{items, timestamp};

const DAY: i64 = 86_400;

pub const PARAMS: &[&str] = &[
    "billing_mode.type",
    "cancel_at",
    "cancel_at_period_end",
    "collection_method",
    "currency",
    "customer",
    "days_until_due",
    "default_payment_method",
    "description",
    "expand[]",
    "items[].metadata{}",
    "items[].price",
    "items[].quantity",
    "metadata{}",
    "off_session",
    "payment_behavior",
    "payment_settings.save_default_payment_method",
    "trial_end",
    "trial_period_days",
    "trial_settings.end_behavior.missing_payment_method",
];

pub fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let customer = fields::required(p, "customer")?;
    let who = state.live(customer, "customer").ok_or_else(|| Failure::missing_in("customer", "customer", customer))?;
    let items = items::new(state, p)?;
    let currency = items[0].price["currency"].clone();
    if p.text("currency").is_some_and(|c| currency != c.to_lowercase()) {
        let text = format!("The price specified only supports `{}`.", currency.as_str().unwrap_or_default());
        return Err(Failure::new(400, text).param("items[0][price]"));
    }
    if !who["currency"].is_null() && who["currency"] != currency {
        let text = format!(
            "You cannot combine currencies on a single customer. This customer has an active subscription, subscription schedule, discount, quote, or invoice item with currency {}.",
            who["currency"].as_str().unwrap_or_default()
        );
        return Err(Failure::new(400, text));
    }
    fields::one_of(p, "billing_mode.type", &["flexible"])?;
    let behavior = fields::one_of(p, "payment_behavior", &["allow_incomplete", "default_incomplete", "error_if_incomplete"])?;
    let save = fields::one_of(p, "payment_settings.save_default_payment_method", &["off", "on_subscription"])?;
    let missing = "trial_settings.end_behavior.missing_payment_method";
    let missing = fields::one_of(p, missing, &["cancel", "create_invoice", "pause"])?;
    let mut new = NewSubscription::of(customer, items);
    new.days_until_due = days_until_due(call)?;
    new.default_payment_method = super::method_of(state, p, "default_payment_method", customer)?;
    new.trial_end = trial_end(call)?;
    new.cancel_at_period_end = p.boolean("cancel_at_period_end")? == Some(true);
    new.cancel_at = timestamp(p, "cancel_at", call.now)?;
    if new.cancel_at.is_some() && new.cancel_at_period_end {
        return Err(Failure::new(400, "You may only specify one of these parameters: cancel_at, cancel_at_period_end.").param("cancel_at"));
    }
    new.off_session = p.boolean("off_session")? == Some(true);
    new.description = p.text("description").filter(|text| !text.is_empty()).map(str::to_string);
    new.metadata = acts::fresh_metadata(p.map("metadata"));
    new.wait_for_payment = behavior == Some("default_incomplete");
    new.save_method = save == Some("on_subscription");
    new.missing_payment_method = match missing {
        Some("cancel") => "cancel",
        Some("pause") => "pause",
        _ => "create_invoice",
    };
    let due: i64 = new.items.iter().map(|item| lines::price_amount(&item.price, item.quantity)).sum();
    let charges = due > 0 && new.trial_end.is_none() && new.days_until_due.is_none() && !new.wait_for_payment;
    if charges {
        let on_file = new.default_payment_method.clone().or_else(|| acts::of_customer(state, customer));
        let method = on_file.and_then(|id| state.get(&id)).ok_or_else(acts::no_method)?;
        if behavior == Some("error_if_incomplete") {
            check_pays(&method, new.off_session)?;
        }
    }
    let begun = acts::begin(state, new, call.now);
    acts::announce_beginning(state, &begun, call.now);
    expand::one(state, call, state.get(&begun.subscription).unwrap_or_default())
}

/// Refuses what could only begin unpaid.
pub fn check_pays(method: &Value, off_session: bool) -> Result<(), Failure> {
    match payment_methods::behaviour(method) {
        Behaviour::Declines(why) | Behaviour::DeclinesLater(why) => Err(why.failure()),
        Behaviour::Authenticates { off_session: true, .. } if off_session => Err(Decline::AUTHENTICATION_REQUIRED.failure()),
        Behaviour::Authenticates { .. } if !off_session => {
            let text = "Payment for this subscription requires additional user action before it can be completed successfully. Payment can be completed using the PaymentIntent associated with `subscription.latest_invoice`. For more details see: https://stripe.com/docs/billing/subscriptions/overview#requires-action";
            let mut failure = Failure::new(402, text).code("subscription_payment_intent_requires_action");
            failure.kind = "card_error";
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// `collection_method` and `days_until_due` together: the days, where it is sent.
pub fn days_until_due(call: &Call) -> Result<Option<i64>, Failure> {
    let p = &call.params;
    let method = fields::one_of(p, "collection_method", &["charge_automatically", "send_invoice"])?;
    let days = fields::within(p, "days_until_due", 1, 365)?;
    match (method, days) {
        (Some("send_invoice"), None) => {
            Err(Failure::new(400, "If creating a subscription with `collection_method=send_invoice`, you must specify `days_until_due`."))
        }
        (Some("send_invoice"), days) => Ok(days),
        (_, Some(_)) => {
            Err(Failure::new(400, "You can only specify `days_until_due` if collection method is `send_invoice`.").param("days_until_due"))
        }
        _ => Ok(None),
    }
}

fn trial_end(call: &Call) -> Result<Option<i64>, Failure> {
    let p = &call.params;
    let days = fields::within(p, "trial_period_days", 0, 730)?;
    let end = match p.text("trial_end") {
        Some("now") => None,
        _ => timestamp(p, "trial_end", call.now)?,
    };
    if days.is_some() && p.text("trial_end").is_some() {
        return Err(Failure::new(400, "You may only specify one of these parameters: trial_end, trial_period_days.").param("trial_end"));
    }
    Ok(end.or(days.filter(|days| *days > 0).map(|days| call.now.timestamp() + days * DAY)))
}
