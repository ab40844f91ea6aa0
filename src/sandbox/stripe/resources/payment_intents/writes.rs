//! Payment intents are made, changed, confirmed, captured and canceled: what each takes, and when it is refused.

use serde_json::{Map, Value, json};

use super::super::super::acts::{self, Outcome, Paid};
use super::super::super::expand;
use super::super::super::failure::Failure;
use super::super::super::form::Params;
use super::super::super::route::Call;
use super::super::super::state::State;
use super::super::{customers, payment_methods};
use super::{Facts, fresh};

/// The currencies that amounts of 50 and more are taken in.
const CURRENCIES: [&str; 8] = ["aud", "cad", "chf", "dkk", "eur", "gbp", "sek", "usd"];
const SMALLEST: i64 = 50;
const LARGEST: i64 = 99_999_999;
const CONFIRMABLE: [&str; 3] = ["requires_payment_method", "requires_confirmation", "requires_action"];
const CANCELABLE: [&str; 5] = ["requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing"];

pub fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let given = p.integer("amount")?.ok_or_else(|| Failure::missing_parameter("amount"))?;
    let currency = currency(p)?.ok_or_else(|| Failure::missing_parameter("currency"))?;
    check_amount("amount", given, &currency)?;
    let customer = customers::check_parameter(state, call)?;
    check_words(p)?;
    let confirms = p.boolean("confirm")?.unwrap_or(false);
    if p.text("off_session").is_some_and(|o| o != "false") && !confirms {
        return Err(Failure::new(400, "You can only set `off_session` when `confirm` is true.").param("off_session"));
    }
    p.boolean("error_on_requires_action")?;
    p.boolean("use_stripe_sdk")?;
    let automatic = automatic(p)?;
    let method = p.text("payment_method").map(|id| usable(state, id, customer.as_deref(), call)).transpose()?;
    if confirms && method.is_none() {
        return Err(no_method(&Value::Null));
    }
    let id = state.fresh("pi_3", 23);
    let mut intent = fresh(Facts {
        id: &id,
        amount: given,
        currency: &currency,
        customer: customer.as_deref(),
        created: call.now.timestamp(),
        description: None,
        metadata: json!({}),
        payment_method: method.as_ref().and_then(|m| m["id"].as_str()),
        capture_method: p.text("capture_method").unwrap_or("automatic_async"),
        setup_future_usage: None,
        order_reference: None,
    });
    intent["automatic_payment_methods"] = automatic;
    if let Some(object) = intent.as_object_mut() {
        apply(object, p);
    }
    acts::insert_intent(state, intent, call.now);
    if let Some(method) = method.filter(|_| confirms) {
        attempt(state, call, &id, &method)?;
    }
    answer(state, call, &id)
}

pub fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let intent = found(state, call)?;
    let p = &call.params;
    let currency = currency(p)?.or_else(|| intent["currency"].as_str().map(str::to_string)).unwrap_or_default();
    let given = p.integer("amount")?;
    if let Some(given) = given {
        check_amount("amount", given, &currency)?;
    }
    let customer = customers::check_parameter(state, call)?.or_else(|| intent["customer"].as_str().map(str::to_string));
    check_words(p)?;
    for name in ["amount", "currency", "customer", "payment_method", "capture_method", "setup_future_usage"] {
        let status = status(&intent);
        if p.text(name).is_some() && !CONFIRMABLE.contains(&status) {
            let sentence = format!(
                "This PaymentIntent's {name} could not be updated because it has a status of {status}. You may only update the {name} of a PaymentIntent with one of the following statuses: requires_payment_method, requires_confirmation, requires_action."
            );
            return Err(unexpected(&intent, sentence).param(name));
        }
    }
    let method = p.text("payment_method").map(|id| usable(state, id, customer.as_deref(), call)).transpose()?;
    // There is no event for this: an intent's life is told by its statuses.
    state.change(&call.id, |intent| {
        if let Some(given) = given {
            intent.insert("amount".into(), json!(given));
        }
        intent.insert("currency".into(), json!(currency));
        intent.insert("customer".into(), json!(customer));
        if let Some(method) = &method {
            intent.insert("payment_method".into(), method["id"].clone());
            intent.insert("status".into(), json!("requires_confirmation"));
        }
        apply(intent, p);
    });
    answer(state, call, &call.id)
}

pub fn confirm(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let intent = found(state, call)?;
    let p = &call.params;
    match status(&intent) {
        "succeeded" => {
            let sentence = "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.";
            return Err(unexpected(&intent, sentence));
        }
        status if !CONFIRMABLE.contains(&status) => {
            let sentence = format!(
                "You cannot confirm this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action."
            );
            return Err(unexpected(&intent, sentence));
        }
        _ => {}
    }
    check_words(p)?;
    p.boolean("error_on_requires_action")?;
    p.boolean("use_stripe_sdk")?;
    let id = p.text("payment_method").or(intent["payment_method"].as_str()).ok_or_else(|| no_method(&intent))?;
    let method = usable(state, id, intent["customer"].as_str(), call)?;
    state.change(&call.id, |intent| apply(intent, p));
    attempt(state, call, &call.id, &method)?;
    answer(state, call, &call.id)
}

pub fn capture(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let intent = found(state, call)?;
    let status = status(&intent);
    if status != "requires_capture" {
        let sentence = format!(
            "This PaymentIntent could not be captured because it has a status of {status}. Only a PaymentIntent with one of the following statuses may be captured: requires_capture."
        );
        return Err(unexpected(&intent, sentence));
    }
    let reserved = intent["amount_capturable"].as_i64().unwrap_or_default();
    let wanted = call.params.integer("amount_to_capture")?.unwrap_or(reserved);
    if wanted < 1 {
        return Err(Failure::invalid_integer("amount_to_capture", "This value must be greater than or equal to 1."));
    }
    if wanted > reserved {
        let sentence =
            format!("The remaining amount you can capture for this PaymentIntent is {reserved}, and you tried to capture {wanted}.");
        return Err(Failure::new(400, sentence).code("amount_too_large").param("amount_to_capture"));
    }
    state.change(&call.id, |intent| apply(intent, &call.params));
    acts::capture(state, &call.id, wanted, call.now);
    answer(state, call, &call.id)
}

pub fn cancel(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let intent = found(state, call)?;
    let status = status(&intent);
    if !CANCELABLE.contains(&status) {
        let sentence = format!(
            "You cannot cancel this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one of the following statuses may be canceled: {}.",
            CANCELABLE.join(", ")
        );
        return Err(unexpected(&intent, sentence));
    }
    let reason = call.params.text("cancellation_reason");
    one_of("cancellation_reason", reason, &["duplicate", "fraudulent", "requested_by_customer", "abandoned"])?;
    acts::cancel_intent(state, &call.id, reason, call.now);
    answer(state, call, &call.id)
}

/// Asks the bank; a card that is declined is an error of the request, too.
fn attempt(state: &mut State, call: &Call, id: &str, method: &Value) -> Result<(), Failure> {
    let off_session = call.params.text("off_session").is_some_and(|o| o != "false");
    let paid = acts::confirm(state, id, Some(method), off_session, call.now);
    acts::intent_attempted(state, &paid, call.now);
    let Paid { charge, outcome, .. } = paid;
    let refuse = call.params.boolean("error_on_requires_action")? == Some(true);
    match outcome {
        Outcome::Declined(why) => {
            let mut failure = why.failure().with("payment_intent", state.get(id).unwrap_or_default());
            if let Some(charge) = charge {
                failure = failure.with("charge", charge);
            }
            Err(failure.with("payment_method", method.clone()))
        }
        Outcome::RequiresAction if refuse => {
            acts::authenticate(state, id, false, call.now);
            let mut failure = Failure::new(402, "This payment required an authentication action to complete, but `error_on_requires_action` was set. When you're ready, you can upgrade your integration to handle actions.").code("authentication_required");
            failure.kind = "card_error";
            Err(failure.with("payment_intent", state.get(id).unwrap_or_default()))
        }
        Outcome::RequiresAction => Ok(()),
        Outcome::Succeeded | Outcome::RequiresCapture => {
            save_or_spend(state, call, id, method);
            Ok(())
        }
    }
}

/// A payment method of nobody's is good for one payment, unless that payment saves it.
fn save_or_spend(state: &mut State, call: &Call, intent: &str, method: &Value) {
    let Some(name) = method["id"].as_str().filter(|_| method["customer"].is_null()) else { return };
    let intent = state.get(intent).unwrap_or_default();
    match intent["customer"].as_str().filter(|_| intent["setup_future_usage"].is_string()) {
        // What has just paid is not declined: nothing else can go wrong here.
        Some(customer) => acts::attach_payment_method(state, name, customer, call.now).unwrap_or_default(),
        None => state.spend(name),
    }
}

/// The payment method of that id, if this customer may pay with it.
fn usable(state: &mut State, id: &str, customer: Option<&str>, call: &Call) -> Result<Value, Failure> {
    let method = payment_methods::named(state, "payment_method", id, call.now)?;
    match (method["customer"].as_str(), customer) {
        (Some(_), None) => Err(Failure::new(
            400,
            "The payment method you provided is attached to a customer so for security purposes you must provide the customer in the request.",
        )
        .param("payment_method")),
        (Some(theirs), Some(ours)) if theirs != ours => {
            Err(Failure::new(400, format!("The provided PaymentMethod ({id}) belongs to a different Customer.")).param("payment_method"))
        }
        (None, _) if state.is_spent(id) => Err(Failure::new(
            400,
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        )
        .param("payment_method")),
        _ => Ok(method),
    }
}

/// The parameters that are what the intent then says.
fn apply(intent: &mut Map<String, Value>, p: &Params) {
    for name in ["description", "receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix"] {
        if let Some(text) = p.text(name) {
            intent.insert(name.into(), if text.is_empty() { Value::Null } else { json!(text) });
        }
    }
    for name in ["capture_method", "confirmation_method"] {
        if let Some(word) = p.text(name) {
            intent.insert(name.into(), json!(word));
        }
    }
    for name in ["customer_reference", "order_reference"] {
        if let Some(text) = p.text(&format!("payment_details.{name}")) {
            intent["payment_details"][name] = json!(text);
        }
    }
    acts::merge_metadata(intent, p.map("metadata"), p.text("metadata"));
}

fn automatic(p: &Params) -> Result<Value, Failure> {
    let types = p.list("allowed_payment_method_types");
    if let Some(other) = types.iter().find(|t| **t != "card") {
        let sentence = format!("The payment method type provided: {other} is invalid. This account takes cards only.");
        return Err(Failure::new(400, sentence).param("allowed_payment_method_types"));
    }
    let redirects = p.text("automatic_payment_methods.allow_redirects");
    one_of("automatic_payment_methods[allow_redirects]", redirects, &["always", "never"])?;
    let enabled = p.boolean("automatic_payment_methods.enabled")?.unwrap_or(types.is_empty());
    Ok(if enabled { json!({ "allow_redirects": redirects.unwrap_or("always"), "enabled": true }) } else { Value::Null })
}

fn check_words(p: &Params) -> Result<(), Failure> {
    one_of("capture_method", p.text("capture_method"), &["automatic", "automatic_async", "manual"])?;
    one_of("confirmation_method", p.text("confirmation_method"), &["automatic", "manual"])?;
    one_of("setup_future_usage", p.text("setup_future_usage").filter(|s| !s.is_empty()), &["off_session", "on_session"])?;
    one_of("off_session", p.text("off_session"), &["true", "false", "one_off", "recurring"])
}

fn one_of(name: &str, given: Option<&str>, words: &[&str]) -> Result<(), Failure> {
    match (given, words.split_last()) {
        (Some(word), Some((last, first))) if !words.contains(&word) => {
            Err(Failure::new(400, format!("Invalid {name}: must be one of {}, or {last}", first.join(", "))).param(name))
        }
        _ => Ok(()),
    }
}

fn currency(p: &Params) -> Result<Option<String>, Failure> {
    let Some(text) = p.text("currency") else { return Ok(None) };
    let lower = text.to_ascii_lowercase();
    if CURRENCIES.contains(&lower.as_str()) {
        return Ok(Some(lower));
    }
    let sentence = format!("Invalid currency: {lower}. Stripe currently supports these currencies: {}", CURRENCIES.join(", "));
    Err(Failure::new(400, sentence).param("currency"))
}

fn check_amount(name: &str, amount: i64, currency: &str) -> Result<(), Failure> {
    match amount {
        ..1 => Err(Failure::invalid_integer(name, "This value must be greater than or equal to 1.")),
        1..SMALLEST => {
            Err(Failure::new(400, format!("Amount must be at least {}", money(SMALLEST, currency))).code("amount_too_small").param(name))
        }
        SMALLEST..=LARGEST => Ok(()),
        _ => {
            Err(Failure::new(400, format!("Amount must be no more than {}", money(LARGEST, currency))).code("amount_too_large").param(name))
        }
    }
}

/// As error messages write an amount: `€5.00`.
pub fn money(amount: i64, currency: &str) -> String {
    let sign = match currency {
        "eur" => "€",
        "gbp" => "£",
        "usd" => "$",
        _ => "",
    };
    let number = format!("{}.{:02}", amount / 100, amount % 100);
    if sign.is_empty() { format!("{number} {currency}") } else { format!("{sign}{number}") }
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    let intent = state.live(&call.id, "payment_intent").ok_or_else(|| Failure::missing("payment_intent", &call.id))?;
    acts::check_not_redacted(state, &intent)?;
    Ok(intent)
}

fn status(intent: &Value) -> &str {
    intent["status"].as_str().unwrap_or_default()
}

fn unexpected(intent: &Value, sentence: impl Into<String>) -> Failure {
    let failure = Failure::new(400, sentence).code("payment_intent_unexpected_state");
    if intent.is_null() { failure } else { failure.with("payment_intent", intent.clone()) }
}

fn no_method(intent: &Value) -> Failure {
    unexpected(
        intent,
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.",
    )
}

fn answer(state: &State, call: &Call, id: &str) -> Result<Value, Failure> {
    expand::one(state, call, state.get(id).unwrap_or_default())
}
