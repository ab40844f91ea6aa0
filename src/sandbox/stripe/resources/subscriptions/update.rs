//! `POST /v1/subscriptions/{id}`: items, end, trial, pause, and all that is only written down; and what Stripe refuses about them.

use serde_json::{Map, Value, json};

use super::super::super::acts::{self, Change, Proration, Tender};
use super::super::super::failure::Failure;
use super::super::super::form::Params;
use super::super::super::route::Call;
use super::super::super::state::State;
use super::super::fields;
use super::create::{check_pays, days_until_due};
use super::{items, timestamp};

const DAY: i64 = 86_400;

pub const PARAMS: &[&str] = &[
    "billing_cycle_anchor.type",
    "cancel_at",
    "cancel_at_period_end",
    "cancellation_details.comment",
    "cancellation_details.feedback",
    "collection_method",
    "days_until_due",
    "default_payment_method",
    "description",
    "expand[]",
    "items[].deleted",
    "items[].id",
    "items[].metadata{}",
    "items[].price",
    "items[].quantity",
    "metadata{}",
    "off_session",
    "pause_collection.behavior",
    "pause_collection.resumes_at",
    "payment_behavior",
    "payment_settings.save_default_payment_method",
    "proration_behavior",
    "proration_date",
    "trial_end",
    "trial_settings.end_behavior.missing_payment_method",
];

const FEEDBACK: [&str; 8] =
    ["customer_service", "low_quality", "missing_features", "other", "switched_service", "too_complex", "too_expensive", "unused"];

/// How the change asks its invoices to be paid, and what of a period is charged back.
pub struct Terms {
    pub proration: Proration,
    pub proration_date: i64,
    pub attempt: bool,
    pub error_if_incomplete: bool,
    pub off_session: bool,
}

pub fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let found = state.live(&call.id, "subscription").ok_or_else(|| Failure::missing("subscription", &call.id))?;
    check_alive(p, &found)?;
    let ends = p.text("cancel_at_period_end").is_some() || p.text("cancel_at").is_some();
    if ends {
        check_unscheduled(&found)?;
    }
    let terms = terms(state, call, &found)?;
    let changes = items::changes(state, p, &found)?;
    let restart = fields::one_of(p, "billing_cycle_anchor.type", &["now", "unchanged"])? == Some("now");
    let ending = ending(p, call, &found)?;
    let trial = trial(p, call)?;
    let pause = pause(p, call)?;
    check_feedback(p)?;
    fields::one_of(p, "payment_settings.save_default_payment_method", &["off", "on_subscription"])?;
    let missing = "trial_settings.end_behavior.missing_payment_method";
    fields::one_of(p, missing, &["cancel", "create_invoice", "pause"])?;
    let sent = if p.text("collection_method").is_some() || found["collection_method"] != "send_invoice" {
        Some(days_until_due(call)?)
    } else {
        fields::within(p, "days_until_due", 1, 365)?.map(Some)
    };
    let method = super::method_of(state, p, "default_payment_method", found["customer"].as_str().unwrap_or_default())?;
    let now = call.now;
    let ends_trial = trial == Some(Trial::Now) && found["status"] == "trialing";
    if terms.error_if_incomplete && (ends_trial || terms.proration == Proration::Invoice || restart) {
        let on_file = method.clone().or_else(|| acts::on_file(state, &found));
        check_pays(&on_file.and_then(|id| state.get(&id)).ok_or_else(acts::no_method)?, terms.off_session)?;
    }
    // A trial that ends within three days is warned of now, and not at a time that has passed.
    let short = match trial {
        Some(Trial::Until(end)) if end - now.timestamp() < 3 * DAY => {
            state.forestall(end - 3 * DAY, &call.id);
            true
        }
        _ => ends_trial,
    };
    let fields = |s: &mut Map<String, Value>| {
        apply(s, p);
        if let Some(method) = &method {
            s.insert("default_payment_method".into(), json!(method));
        } else if p.text("default_payment_method") == Some("") {
            s.insert("default_payment_method".into(), Value::Null);
        }
        if let Some(days) = sent.filter(|_| p.text("collection_method").is_some() || p.text("days_until_due").is_some()) {
            s.insert("collection_method".into(), json!(if days.is_some() { "send_invoice" } else { "charge_automatically" }));
            s.insert("days_until_due".into(), json!(days));
        }
        if let Some(pause) = pause {
            s.insert("pause_collection".into(), pause);
        }
        match ending {
            Some(Ending::PeriodEnd(on)) => acts::set_cancel_at_period_end(s, on, now),
            Some(Ending::At(when)) => {
                s.insert("cancel_at_period_end".into(), json!(false));
                acts::set_cancel_at(s, json!(when), now);
            }
            None => {}
        }
        if let Some(Trial::Until(end)) = trial {
            put_on_trial(s, end, now.timestamp());
        }
    };
    let change = Change {
        items: changes,
        proration: terms.proration,
        proration_date: terms.proration_date,
        restart,
        attempt: terms.attempt,
        fields,
    };
    acts::change_subscription(state, &call.id, change, now);
    if short {
        let object = state.get(&call.id).unwrap_or_default();
        state.emit("customer.subscription.trial_will_end", now, &object, None);
    }
    if ends_trial && let Some(invoice) = acts::begin_period(state, &call.id, "subscription_update", "active", now) {
        acts::finalize_invoice(state, &invoice, now);
        let due = state.get(&invoice).is_some_and(|v| v["status"] == "open");
        if terms.attempt || !due {
            acts::settle_invoice(state, &invoice, &Tender::OnFile, terms.off_session, now);
        }
    }
    super::retrieve(state, call)
}

/// `proration_behavior`, `proration_date`, `payment_behavior` and `off_session`, wherever they stand.
pub fn terms(state: &State, call: &Call, subscription: &Value) -> Result<Terms, Failure> {
    let p = &call.params;
    let behaviors = ["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"];
    let behavior = fields::one_of(p, "payment_behavior", &behaviors)?;
    if behavior == Some("pending_if_incomplete") {
        let text =
            "This account does not hold updates back until they are paid: pass another payment_behavior than `pending_if_incomplete`.";
        return Err(Failure::new(400, text).param("payment_behavior"));
    }
    let proration = match fields::one_of(p, "proration_behavior", &["always_invoice", "create_prorations", "none"])? {
        Some("always_invoice") => Proration::Invoice,
        Some("none") => Proration::None,
        _ => Proration::Create,
    };
    let moment = p.integer("proration_date")?;
    let items = subscription["items"]["data"].as_array().into_iter().flatten();
    let within = |item: &Value, at: i64| {
        item["current_period_start"].as_i64().is_some_and(|s| s <= at) && item["current_period_end"].as_i64().is_some_and(|e| at <= e)
    };
    if moment.is_some_and(|at| !items.into_iter().any(|item| within(item, at))) {
        let text = "Cannot prorate outside of the current period of the subscription.";
        return Err(Failure::new(400, text).param("proration_date"));
    }
    let terms = Terms {
        proration,
        proration_date: moment.unwrap_or(call.now.timestamp()),
        attempt: behavior != Some("default_incomplete"),
        error_if_incomplete: behavior == Some("error_if_incomplete"),
        off_session: p.boolean("off_session")? == Some(true),
    };
    if terms.error_if_incomplete && terms.proration == Proration::Invoice && !p.each("items").is_empty() {
        let on_file = acts::on_file(state, subscription).and_then(|id| state.get(&id));
        check_pays(&on_file.ok_or_else(acts::no_method)?, terms.off_session)?;
    }
    Ok(terms)
}

/// Refuses changes to what has ended; metadata and the reasons given may still be written down.
pub fn check_alive(params: &Params, subscription: &Value) -> Result<(), Failure> {
    if !acts::is_over(subscription) || params.names().all(|name| ["cancellation_details", "expand", "metadata"].contains(&name)) {
        return Ok(());
    }
    let text = "A canceled subscription can only update its cancellation_details and metadata.";
    Err(Failure::new(400, text).code("invalid_canceled_subscription_fields"))
}

/// A schedule has the say about the end.
pub fn check_unscheduled(subscription: &Value) -> Result<(), Failure> {
    match subscription["schedule"].as_str() {
        None => Ok(()),
        Some(schedule) => {
            let text = format!(
                "The subscription is managed by the subscription schedule `{schedule}`, and updating any cancelation behavior directly is not allowed. Please update the schedule instead."
            );
            Err(Failure::new(400, text))
        }
    }
}

/// `cancellation_details[feedback]` is one of a few words.
pub fn check_feedback(params: &Params) -> Result<(), Failure> {
    match params.text("cancellation_details.feedback") {
        Some("") | None => Ok(()),
        Some(_) => fields::one_of(params, "cancellation_details.feedback", &FEEDBACK).map(|_| ()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    PeriodEnd(bool),
    /// Unix seconds; `None` takes an end away.
    At(Option<i64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    Now,
    Until(i64),
}

fn ending(p: &Params, call: &Call, found: &Value) -> Result<Option<Ending>, Failure> {
    let at_period_end = p.boolean("cancel_at_period_end")?;
    let ends = || found["items"]["data"].as_array().into_iter().flatten().filter_map(|i| i["current_period_end"].as_i64());
    let at = match p.text("cancel_at") {
        None => return Ok(at_period_end.map(Ending::PeriodEnd)),
        Some("") => None,
        Some("min_period_end") => ends().min(),
        Some("max_period_end") => ends().max(),
        Some(_) => timestamp(p, "cancel_at", call.now)?,
    };
    if at_period_end == Some(true) {
        return Err(Failure::new(400, "You may only specify one of these parameters: cancel_at, cancel_at_period_end.").param("cancel_at"));
    }
    Ok(Some(Ending::At(at)))
}

fn trial(p: &Params, call: &Call) -> Result<Option<Trial>, Failure> {
    match p.text("trial_end") {
        None => Ok(None),
        Some("now") => Ok(Some(Trial::Now)),
        Some(_) => Ok(timestamp(p, "trial_end", call.now)?.map(Trial::Until)),
    }
}

/// The new value of `pause_collection`, if there is one.
fn pause(p: &Params, call: &Call) -> Result<Option<Value>, Failure> {
    if p.text("pause_collection") == Some("") {
        return Ok(Some(Value::Null));
    }
    if p.map("pause_collection").is_none() {
        return Ok(None);
    }
    let behavior = fields::one_of(p, "pause_collection.behavior", &["keep_as_draft", "mark_uncollectible", "void"])?;
    let behavior = behavior.ok_or_else(|| Failure::missing_parameter("pause_collection[behavior]"))?;
    let resumes_at = timestamp(p, "pause_collection.resumes_at", call.now)?;
    Ok(Some(json!({ "behavior": behavior, "resumes_at": resumes_at })))
}

fn put_on_trial(s: &mut Map<String, Value>, end: i64, now: i64) {
    if s["status"] != "trialing" {
        s.insert("trial_start".into(), json!(now));
        s.insert("status".into(), json!("trialing"));
    }
    s.insert("trial_end".into(), json!(end));
    s.insert("billing_cycle_anchor".into(), json!(end));
    for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
        item["current_period_end"] = json!(end);
    }
}

fn apply(s: &mut Map<String, Value>, p: &Params) {
    fields::text(s, p, "description");
    fields::text(s, p, "cancellation_details.comment");
    fields::text(s, p, "cancellation_details.feedback");
    fields::text(s, p, "payment_settings.save_default_payment_method");
    fields::text(s, p, "trial_settings.end_behavior.missing_payment_method");
    acts::merge_metadata(s, p.map("metadata"), p.text("metadata"));
}
