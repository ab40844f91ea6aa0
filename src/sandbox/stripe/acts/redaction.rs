//! Redaction jobs: what a job reaches, what stands in its way, and how personal data is taken out for good. Requests are `resources/redaction_jobs.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::form::Bounds;
use super::super::resources::redaction_jobs;
use super::super::state::State;
use super::super::timeline::{Collection, Direction, People, Selection};
use super::{cancel_intent, cancel_subscription, detach_payment_method, disputes};

/// What jobs were given and found, and what they did.
#[derive(Default)]
pub struct Redactions {
    jobs: HashMap<String, Job>,
    done: HashSet<String>,
}

struct Job {
    roots: Vec<String>,
    errors: Vec<Value>,
}

/// Why an object cannot be redacted, in Stripe's words, and what the job itself can do about it.
struct Obstacle {
    sentence: &'static str,
    fix: Option<fn(&mut State, &str, DateTime<Utc>)>,
}

const STARTS_SECONDS: i64 = 1;
const VALIDATES_SECONDS: i64 = 5;
const REDACTS_SECONDS: i64 = 60;
/// Payments may still be disputed, and are kept for that long.
const KEPT_DAYS: i64 = 90;
/// Stripe's placeholder.
const REDACTED: &str = "[redacted]";
/// Which fields are about a person, however deep they stand.
const PERSONAL: [&str; 17] = [
    "address",
    "billing_details",
    "client_reference_id",
    "customer_address",
    "customer_details",
    "customer_email",
    "customer_name",
    "customer_phone",
    "customer_shipping",
    "email",
    "email_sent_to",
    "evidence",
    "instructions_email",
    "metadata",
    "phone",
    "receipt_email",
    "shipping",
];
/// Which fields of a person's objects are about the person, too; elsewhere they say what a thing is.
const OWN: [&str; 2] = ["description", "name"];
/// What is sold is nobody's.
const GOODS: [&str; 3] = ["plan", "price", "product"];

impl Redactions {
    /// What the last validation of a job found.
    pub fn errors(&self, job: &str) -> &[Value] {
        self.jobs.get(job).map_or(&[], |j| &j.errors)
    }
}

/// # Errors
/// The object was redacted: nothing can be done with it any more (400).
pub fn check_not_redacted(state: &State, object: &Value) -> Result<(), Failure> {
    match object["id"].as_str().filter(|id| is_redacted(state, id)) {
        Some(id) => Err(Failure::new(400, format!("'{id}' has been redacted. Redacted objects can't be updated or used."))),
        None => Ok(()),
    }
}

pub fn is_redacted(state: &State, id: &str) -> bool {
    state.redactions.done.contains(id)
}

/// Makes a job for these objects; it begins to validate by itself. `behavior` is `error` or `fix`.
pub fn create_redaction_job(state: &mut State, objects: Value, roots: Vec<String>, behavior: &str, at: DateTime<Utc>) -> String {
    let id = state.fresh("prj_1", 23);
    state.redactions.jobs.insert(id.clone(), Job { roots, errors: Vec::new() });
    let made = redaction_jobs::render(&id, at.timestamp(), objects, behavior);
    state.emit("privacy.redaction_job.created", at, &made, None);
    state.insert(Collection::RedactionJobs, made);
    state.later(at + Duration::seconds(STARTS_SECONDS), start, &id);
    id
}

/// Looks at a job's objects (again).
pub fn validate_redaction_job(state: &mut State, id: &str, at: DateTime<Utc>) {
    set_status(state, id, "validating");
    state.later(at + Duration::seconds(VALIDATES_SECONDS), finish_validation, id);
}

/// Begins to redact; there is no way back.
pub fn run_redaction_job(state: &mut State, id: &str, at: DateTime<Utc>) {
    set_status(state, id, "redacting");
    state.later(at + Duration::seconds(REDACTS_SECONDS), finish, id);
}

pub fn cancel_redaction_job(state: &mut State, id: &str, at: DateTime<Utc>) {
    set_status(state, id, "canceling");
    state.later(at + Duration::seconds(STARTS_SECONDS), finish_canceling, id);
}

fn start(state: &mut State, id: &str, at: DateTime<Utc>) {
    validate_redaction_job(state, id, at);
}

fn finish_validation(state: &mut State, id: &str, at: DateTime<Utc>) {
    let Some(job) = state.get(id) else { return };
    let fixes = job["validation_behavior"] == "fix";
    let mut errors = Vec::new();
    for object in reached(state, id) {
        let name = object["id"].as_str().unwrap_or_default();
        let (code, sentence) = match obstacle(state, &object, at) {
            Some(found) if !(fixes && found.fix.is_some()) => ("invalid_state", found.sentence),
            _ if is_locked(state, id, name) => ("locked_by_other_job", "The object is currently used in another redaction job."),
            _ => continue,
        };
        let error = state.fresh("prjve_1", 23);
        errors.push(redaction_jobs::validation_error(&error, code, &object, sentence));
    }
    let passed = errors.is_empty();
    if let Some(job) = state.redactions.jobs.get_mut(id) {
        job.errors = errors;
    }
    set_status(state, id, if passed { "ready" } else { "failed" });
    announce(state, id, if passed { "privacy.redaction_job.ready" } else { "privacy.redaction_job.validation_error" }, at);
}

fn finish(state: &mut State, id: &str, at: DateTime<Utc>) {
    for object in reached(state, id) {
        if let Some(fix) = obstacle(state, &object, at).and_then(|o| o.fix) {
            fix(state, object["id"].as_str().unwrap_or_default(), at);
        }
    }
    // Fixing has changed them, and said so in events that are redacted with them.
    let objects = reached(state, id);
    let names: BTreeSet<String> = objects.iter().filter_map(|o| o["id"].as_str()).map(str::to_string).collect();
    for mut object in objects {
        let name = object["id"].as_str().unwrap_or_default().to_string();
        redact(&mut object, true);
        state.replace(&name, object);
        state.redactions.done.insert(name);
    }
    for mut event in events_about(state, &names) {
        let name = event["id"].as_str().unwrap_or_default().to_string();
        redact(&mut event["data"]["object"], true);
        if event["data"].get("previous_attributes").is_some() {
            redact(&mut event["data"]["previous_attributes"], true);
        }
        state.replace(&name, event);
    }
    set_status(state, id, "succeeded");
    announce(state, id, "privacy.redaction_job.succeeded", at);
}

fn finish_canceling(state: &mut State, id: &str, at: DateTime<Utc>) {
    set_status(state, id, "canceled");
    announce(state, id, "privacy.redaction_job.canceled", at);
}

fn set_status(state: &mut State, id: &str, status: &str) {
    state.change(id, |job| {
        job.insert("status".into(), json!(status));
    });
}

fn announce(state: &mut State, id: &str, kind: &str, at: DateTime<Utc>) {
    if let Some(job) = state.get(id) {
        state.emit(kind, at, &job, None);
    }
}

/// Whether another job that is not over was given the same object.
fn is_locked(state: &State, job: &str, object: &str) -> bool {
    state.redactions.jobs.iter().any(|(other, found)| {
        let at_work = || state.get(other).is_some_and(|o| ["ready", "redacting"].iter().any(|status| o["status"] == *status));
        other != job && found.roots.iter().any(|root| root == object) && at_work()
    })
}

fn obstacle(state: &State, object: &Value, now: DateTime<Utc>) -> Option<Obstacle> {
    let id = object["id"].as_str()?;
    if is_redacted(state, id) {
        return None;
    }
    let status = object["status"].as_str().unwrap_or_default();
    let in_the_way = |sentence, fix| Some(Obstacle { sentence, fix });
    match object["object"].as_str()? {
        "payment_intent" if !["succeeded", "canceled"].contains(&status) => in_the_way(
            "PaymentIntent is not finalized. Confirm or cancel the payment intent.",
            Some(|state, id, at| cancel_intent(state, id, None, at)),
        ),
        "charge" if disputes::is_disputed(state, id) => in_the_way("Charge has an open dispute. Wait until the dispute is closed.", None),
        "charge" if status == "succeeded" && object["created"].as_i64() > Some((now - Duration::days(KEPT_DAYS)).timestamp()) => {
            in_the_way("Charge was created less than 90 days ago. Wait until the charge is 90 days old.", None)
        }
        "subscription" if !["canceled", "incomplete_expired"].contains(&status) => in_the_way(
            "Subscription is not canceled. Cancel the subscription.",
            Some(|state, id, at| {
                cancel_subscription(state, id, at, None);
            }),
        ),
        "invoice" if ["draft", "open"].contains(&status) => {
            in_the_way("Invoice is not finalized. Delete the draft, or pay or void the invoice.", None)
        }
        // Nobody can pay with what a deleted customer left behind.
        "payment_method" if object["customer"].as_str().is_some_and(|c| state.live(c, "customer").is_some()) => in_the_way(
            "PaymentMethod is attached to a customer. Detach the payment method.",
            Some(|state, id, at| {
                detach_payment_method(state, id, at);
            }),
        ),
        _ => None,
    }
}

/// The job's objects and everything that belongs to them.
fn reached(state: &State, job: &str) -> Vec<Value> {
    let mut open = state.redactions.jobs.get(job).map(|j| j.roots.clone()).unwrap_or_default();
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut objects = Vec::new();
    while let Some(id) = open.pop() {
        let Some(object) = state.get(&id).filter(|_| !found.contains(&id)) else { continue };
        let of = |collection, owner: &str| state.of_customer(collection, owner, Bounds::ALL).into_iter().map(|(_, id)| id);
        match object["object"].as_str().unwrap_or_default() {
            "customer" => {
                for collection in [
                    Collection::Subscriptions,
                    Collection::Sessions,
                    Collection::Invoices,
                    Collection::PaymentIntents,
                    Collection::Charges,
                    Collection::PaymentMethods,
                    Collection::Refunds,
                    Collection::Disputes,
                    Collection::InvoiceItems,
                ] {
                    open.extend(of(collection, &id));
                }
            }
            "payment_intent" => {
                open.extend(of(Collection::Charges, &id));
                open.extend(object["latest_charge"].as_str().map(str::to_string));
                open.extend(used_once(state, &object));
            }
            "charge" => {
                open.extend(of(Collection::Refunds, &id).chain(of(Collection::Disputes, &id)));
                open.extend(object["payment_intent"].as_str().map(str::to_string));
                open.extend(object["balance_transaction"].as_str().map(str::to_string));
                open.extend(used_once(state, &object));
            }
            // Their description repeats that of the charge.
            "refund" => {
                let both = [&object["balance_transaction"], &object["failure_balance_transaction"]];
                open.extend(both.into_iter().filter_map(Value::as_str).map(str::to_string));
            }
            "invoice" => {
                let theirs = of(Collection::InvoicePayments, object["customer"].as_str().unwrap_or_default());
                let payments = theirs.filter_map(|p| state.get(&p)).filter(|p| p["invoice"] == id.as_str());
                open.extend(payments.filter_map(|p| p["payment"]["payment_intent"].as_str().map(str::to_string)));
            }
            "checkout.session" => open.extend(object["payment_intent"].as_str().map(str::to_string)),
            _ => {}
        }
        found.insert(id);
        objects.push(object);
    }
    objects
}

/// The payment method that paid and was never saved to a customer.
fn used_once(state: &State, payment: &Value) -> Option<String> {
    let method = payment["payment_method"].as_str()?;
    state.get(method).filter(|m| m["customer"].is_null()).map(|_| method.to_string())
}

fn events_about(state: &State, names: &BTreeSet<String>) -> Vec<Value> {
    let selection = Selection {
        bounds: Bounds::ALL,
        direction: Direction::OldestFirst,
        beyond: None,
        ordinals: u8::MAX,
        people: People::Only(names.iter().filter_map(|id| state.population.customer_number(id)).collect()),
    };
    let all = state.walk(Collection::Events, selection).filter_map(|(_, id)| state.get(&id));
    all.filter(|e| e["data"]["object"]["id"].as_str().is_some_and(|id| names.contains(id))).collect()
}

/// Takes out what is about a person, in a value and all within it. `own`: it is one of the person's objects, or of its earlier values.
fn redact(value: &mut Value, own: bool) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let kind = value["object"].as_str();
                if PERSONAL.contains(&name.as_str()) || (own && OWN.contains(&name.as_str())) {
                    blank(value);
                } else if kind.is_none_or(|kind| !GOODS.contains(&kind)) {
                    let own = kind.is_some();
                    redact(value, own);
                }
            }
        }
        Value::Array(all) => {
            for value in all {
                let own = value["object"].is_string();
                redact(value, own);
            }
        }
        _ => {}
    }
}

fn blank(value: &mut Value) {
    match value {
        Value::String(text) => REDACTED.clone_into(text),
        Value::Object(map) => map.values_mut().for_each(blank),
        Value::Array(all) => all.iter_mut().for_each(blank),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
