//! Disputes: their shape, and the endpoints that show, answer and close them. What the bank does is an act.

use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::refunds;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "disputes",
        permission: "rak_dispute_read",
        params: &["charge", "created<>", "ending_before", "expand[]", "limit", "payment_intent", "starting_after"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "disputes/{id}", permission: "rak_dispute_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "disputes/{id}",
        permission: "rak_dispute_write",
        params: &[
            "evidence.access_activity_log",
            "evidence.billing_address",
            "evidence.cancellation_policy",
            "evidence.cancellation_policy_disclosure",
            "evidence.cancellation_rebuttal",
            "evidence.customer_communication",
            "evidence.customer_email_address",
            "evidence.customer_name",
            "evidence.customer_purchase_ip",
            "evidence.customer_signature",
            "evidence.duplicate_charge_documentation",
            "evidence.duplicate_charge_explanation",
            "evidence.duplicate_charge_id",
            "evidence.product_description",
            "evidence.receipt",
            "evidence.refund_policy",
            "evidence.refund_policy_disclosure",
            "evidence.refund_refusal_explanation",
            "evidence.service_date",
            "evidence.service_documentation",
            "evidence.shipping_address",
            "evidence.shipping_carrier",
            "evidence.shipping_date",
            "evidence.shipping_documentation",
            "evidence.shipping_tracking_number",
            "evidence.uncategorized_file",
            "evidence.uncategorized_text",
            "expand[]",
            "metadata{}",
            "submit",
        ],
        run: Run::Write(update),
    },
    Route { method: "POST", path: "disputes/{id}/close", permission: "rak_dispute_write", params: &["expand[]"], run: Run::Write(close) },
];

const TEXTS: [&str; 18] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
];
/// Named by the id of an uploaded file. There are no uploads here.
const FILES: [&str; 9] = [
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
];
/// Characters in one text, and in all of them.
const LONGEST: usize = 20_000;
const LONGEST_TOGETHER: usize = 150_000;

pub struct Facts<'a> {
    pub id: &'a str,
    pub charge: &'a Value,
    pub amount: i64,
    pub created: i64,
    /// Unix seconds.
    pub due_by: i64,
    pub reason: &'a str,
    pub inquiry: bool,
}

pub fn render(f: Facts) -> Value {
    let mut evidence: Map<String, Value> = TEXTS.iter().chain(&FILES).map(|name| ((*name).to_string(), Value::Null)).collect();
    // What Stripe knows already.
    evidence.insert("customer_email_address".into(), f.charge["billing_details"]["email"].clone());
    evidence.insert("customer_name".into(), f.charge["billing_details"]["name"].clone());
    evidence.insert("enhanced_evidence".into(), json!({}));
    let card = &f.charge["payment_method_details"]["card"];
    json!({
        "id": f.id,
        "object": "dispute",
        "amount": f.amount,
        "balance_transactions": [],
        "charge": f.charge["id"],
        "created": f.created,
        "currency": f.charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": evidence,
        "evidence_details": {
            "due_by": f.due_by,
            "enhanced_eligibility": {},
            "has_evidence": false,
            "past_due": false,
            "submission_count": 0
        },
        "is_charge_refundable": f.inquiry,
        "livemode": false,
        "metadata": {},
        "network_reason_code": network_code(f.reason),
        "payment_intent": f.charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"].as_str().unwrap_or("visa"),
                "case_type": if f.inquiry { "inquiry" } else { "chargeback" },
                "network": card["network"].as_str().unwrap_or("visa"),
                "network_reason_code": network_code(f.reason)
            },
            "type": "card"
        },
        "reason": f.reason,
        "status": if f.inquiry { "warning_needs_response" } else { "needs_response" }
    })
}

/// The card network's number for Stripe's word.
fn network_code(reason: &str) -> &'static str {
    match reason {
        "credit_not_processed" => "13.7",
        "duplicate" => "12.6.1",
        "product_not_received" => "13.1",
        "product_unacceptable" => "13.3",
        "subscription_canceled" => "13.2",
        "unrecognized" => "10.4",
        _ => "83",
    }
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let owner = refunds::owner(state, call)?;
    Listing {
        url: "/v1/disputes",
        noun: "dispute",
        collection: Collection::Disputes,
        customer: owner,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Only(Vec::new()),
        keep: &|v| ["charge", "payment_intent"].iter().all(|name| call.params.text(name).is_none_or(|id| v[*name] == id)),
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let dispute = found(state, call)?;
    expand::one(state, call, dispute)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let dispute = found(state, call)?;
    // Unless it is told not to, the real API sends everything to the bank at once, for good.
    let submit = p.boolean("submit")?.unwrap_or(true);
    let evidence = given(call)?;
    check_length(&dispute, &evidence)?;
    let staged = dispute["evidence_details"]["has_evidence"] == true;
    let touches = !evidence.is_empty() || (submit && staged) || p.text("submit") == Some("true");
    if touches {
        check_open(&dispute)?;
    }
    let change = |dispute: &mut Map<String, Value>| {
        if !evidence.is_empty() {
            dispute["evidence_details"]["has_evidence"] = json!(true);
        }
        for (name, text) in &evidence {
            dispute["evidence"][name.as_str()] = text.clone();
        }
        acts::merge_metadata(dispute, p.map("metadata"), p.text("metadata"));
    };
    if touches && submit {
        acts::submit_evidence(state, &call.id, change, call.now);
    } else {
        acts::change_with_event(state, &call.id, "charge.dispute.updated", call.now, change);
    }
    retrieve(state, call)
}

fn close(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let dispute = found(state, call)?;
    match dispute["status"].as_str() {
        Some("needs_response" | "warning_needs_response") => {}
        _ => check_open(&dispute)?,
    }
    acts::close_dispute(state, &call.id, call.now);
    retrieve(state, call)
}

/// The evidence of a request; an empty text takes a piece away.
fn given(call: &Call) -> Result<Map<String, Value>, Failure> {
    let mut evidence = Map::new();
    for name in TEXTS {
        let Some(text) = call.params.text(&format!("evidence.{name}")) else { continue };
        if text.chars().count() > LONGEST {
            let shown: String = text.chars().take(4).collect();
            let sentence = format!("Invalid string: {shown}...; must be at most {LONGEST} characters");
            return Err(Failure::new(400, sentence).param(&format!("evidence[{name}]")));
        }
        evidence.insert(name.to_string(), if text.is_empty() { Value::Null } else { json!(text) });
    }
    for name in FILES {
        match call.params.text(&format!("evidence.{name}")) {
            Some("") => {
                evidence.insert(name.to_string(), Value::Null);
            }
            Some(id) => return Err(Failure::missing_in(&format!("evidence[{name}]"), "file upload", id)),
            None => {}
        }
    }
    Ok(evidence)
}

fn check_length(dispute: &Value, evidence: &Map<String, Value>) -> Result<(), Failure> {
    let text = |name: &str| evidence.get(name).unwrap_or(&dispute["evidence"][name]).as_str().unwrap_or_default().chars().count();
    let together: usize = TEXTS.iter().map(|name| text(name)).sum();
    if together <= LONGEST_TOGETHER {
        return Ok(());
    }
    let sentence =
        format!("The combined character count of all evidence fields is limited to {LONGEST_TOGETHER}; yours has {together} characters.");
    Err(Failure::new(400, sentence).param("evidence"))
}

/// Only what waits for an answer takes one.
fn check_open(dispute: &Value) -> Result<(), Failure> {
    match dispute["status"].as_str().unwrap_or_default() {
        "needs_response" | "warning_needs_response" => Ok(()),
        "under_review" | "warning_under_review" => {
            Err(Failure::new(400, "The evidence for this dispute has already been submitted and can no longer be changed."))
        }
        _ => Err(Failure::new(400, "This dispute is already closed.")),
    }
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "dispute").ok_or_else(|| Failure::missing("dispute", &call.id))
}
