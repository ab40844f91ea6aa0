//! Redaction jobs, a public preview: their shape, and the endpoints that make, validate, run and cancel them. The work is an act.

use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::fields;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "privacy/redaction_jobs",
        permission: "rak_redaction_job_read",
        params: &["ending_before", "expand[]", "limit", "starting_after", "status"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "privacy/redaction_jobs",
        permission: "rak_redaction_job_write",
        params: &[
            "expand[]",
            "objects.charges[]",
            "objects.checkout_sessions[]",
            "objects.customers[]",
            "objects.identity_verification_sessions[]",
            "objects.invoices[]",
            "objects.issuing_cardholders[]",
            "objects.issuing_cards[]",
            "objects.payment_intents[]",
            "objects.radar_value_list_items[]",
            "objects.setup_intents[]",
            "validation_behavior",
        ],
        run: Run::Write(create),
    },
    Route {
        method: "GET",
        path: "privacy/redaction_jobs/{id}",
        permission: "rak_redaction_job_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
    Route {
        method: "POST",
        path: "privacy/redaction_jobs/{id}",
        permission: "rak_redaction_job_write",
        params: &["expand[]", "validation_behavior"],
        run: Run::Write(update),
    },
    Route {
        method: "POST",
        path: "privacy/redaction_jobs/{id}/validate",
        permission: "rak_redaction_job_write",
        params: &["expand[]"],
        run: Run::Write(validate),
    },
    Route {
        method: "POST",
        path: "privacy/redaction_jobs/{id}/run",
        permission: "rak_redaction_job_write",
        params: &["expand[]"],
        run: Run::Write(start),
    },
    Route {
        method: "POST",
        path: "privacy/redaction_jobs/{id}/cancel",
        permission: "rak_redaction_job_write",
        params: &["expand[]"],
        run: Run::Write(cancel),
    },
    Route {
        method: "GET",
        path: "privacy/redaction_jobs/{id}/validation_errors",
        permission: "rak_redaction_job_read",
        params: &["ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(validation_errors),
    },
];

/// The parameter, and the `object` of what it names; of some kinds the sandbox has none.
const KINDS: [(&str, &str); 10] = [
    ("charges", "charge"),
    ("checkout_sessions", "checkout.session"),
    ("customers", "customer"),
    ("identity_verification_sessions", "identity.verification_session"),
    ("invoices", "invoice"),
    ("issuing_cardholders", "issuing.cardholder"),
    ("issuing_cards", "issuing.card"),
    ("payment_intents", "payment_intent"),
    ("radar_value_list_items", "radar.value_list_item"),
    ("setup_intents", "setup_intent"),
];
const STATUSES: [&str; 8] = ["canceled", "canceling", "created", "failed", "ready", "redacting", "succeeded", "validating"];
/// Ids in one job.
const MOST: usize = 10;

/// A job that was just made.
pub fn render(id: &str, created: i64, objects: Value, behavior: &str) -> Value {
    json!({
        "id": id,
        "object": "privacy.redaction_job",
        "created": created,
        "livemode": false,
        "objects": objects,
        "status": "created",
        "validation_behavior": behavior
    })
}

pub fn validation_error(id: &str, code: &str, object: &Value, sentence: &str) -> Value {
    json!({
        "id": id,
        "object": "privacy.redaction_job_validation_error",
        "code": code,
        "erroring_object": { "id": object["id"], "object_type": object["object"] },
        "message": sentence
    })
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let behavior = behavior(call)?.unwrap_or("error").to_string();
    let mut shown = Map::new();
    let mut roots = Vec::new();
    for (name, object) in KINDS {
        let given = call.params.list(&format!("objects.{name}"));
        for (at, id) in given.iter().enumerate() {
            // A deleted customer still has payments: this is how they are forgotten too.
            if state.get(id).is_none_or(|found| found["object"] != object) {
                return Err(Failure::missing_in(&format!("objects[{name}][{at}]"), object, id));
            }
            roots.push((*id).to_string());
        }
        shown.insert(name.to_string(), if given.is_empty() { Value::Null } else { json!(given) });
    }
    // The client's types name no such list in the answer.
    shown.remove("issuing_cards");
    match roots.len() {
        0 => return Err(Failure::missing_parameter("objects")),
        1..=MOST => {}
        many => {
            let sentence = format!("A redaction job can have at most {MOST} object identifiers; you provided {many}.");
            return Err(Failure::new(400, sentence).param("objects"));
        }
    }
    let id = acts::create_redaction_job(state, Value::Object(shown), roots, &behavior, call.now);
    answer(state, call, &id)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    in_status(state, call, "updated", &["created", "validating", "ready", "failed"])?;
    if let Some(behavior) = behavior(call)? {
        state.change(&call.id, |job| {
            job.insert("validation_behavior".into(), json!(behavior));
        });
    }
    answer(state, call, &call.id)
}

fn validate(state: &mut State, call: &Call) -> Result<Value, Failure> {
    in_status(state, call, "validated", &["failed"])?;
    acts::validate_redaction_job(state, &call.id, call.now);
    answer(state, call, &call.id)
}

fn start(state: &mut State, call: &Call) -> Result<Value, Failure> {
    in_status(state, call, "run", &["ready"])?;
    acts::run_redaction_job(state, &call.id, call.now);
    answer(state, call, &call.id)
}

fn cancel(state: &mut State, call: &Call) -> Result<Value, Failure> {
    in_status(state, call, "canceled", &["ready", "failed"])?;
    acts::cancel_redaction_job(state, &call.id, call.now);
    answer(state, call, &call.id)
}

fn in_status(state: &State, call: &Call, done: &str, statuses: &[&str]) -> Result<(), Failure> {
    let job = found(state, call)?;
    let status = job["status"].as_str().unwrap_or_default();
    if statuses.contains(&status) {
        return Ok(());
    }
    let only = statuses.join(", ");
    Err(Failure::new(400, format!("This redaction job cannot be {done} because it has a status of {status}. It must be: {only}.")))
}

fn behavior(call: &Call) -> Result<Option<&str>, Failure> {
    match call.params.text("validation_behavior") {
        Some(word) if !["error", "fix"].contains(&word) => {
            Err(Failure::new(400, "Invalid validation_behavior: must be one of error or fix").param("validation_behavior"))
        }
        other => Ok(other),
    }
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let status = fields::one_of(&call.params, "status", &STATUSES)?;
    Listing {
        url: "/v1/privacy/redaction_jobs",
        noun: "redaction job",
        collection: Collection::RedactionJobs,
        customer: None,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Only(Vec::new()),
        keep: &|v| status.is_none_or(|s| v["status"] == s),
    }
    .page(state, call)
}

fn validation_errors(state: &State, call: &Call) -> Result<Value, Failure> {
    found(state, call)?;
    let url = format!("/v1/privacy/redaction_jobs/{}/validation_errors", call.id);
    listing::small(state, call, &url, "redaction job validation error", state.redactions.errors(&call.id).to_vec())
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    found(state, call)?;
    answer(state, call, &call.id)
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "privacy.redaction_job").ok_or_else(|| Failure::missing("redaction job", &call.id))
}

fn answer(state: &State, call: &Call, id: &str) -> Result<Value, Failure> {
    expand::one(state, call, state.get(id).unwrap_or_default())
}
