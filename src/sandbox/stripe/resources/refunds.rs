//! Refunds: their shape, and the endpoints that make, change, cancel and show them. What follows from one is an act.

use serde_json::{Map, Value, json};

use super::super::acts::{self, NewRefund};
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::payment_intents::money;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "refunds",
        permission: "rak_charge_read",
        params: &["charge", "created<>", "ending_before", "expand[]", "limit", "payment_intent", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "refunds",
        permission: "rak_charge_write",
        params: &["amount", "charge", "expand[]", "instructions_email", "metadata{}", "payment_intent", "reason"],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "refunds/{id}", permission: "rak_charge_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "refunds/{id}",
        permission: "rak_charge_write",
        params: &["expand[]", "metadata{}"],
        run: Run::Write(update),
    },
    Route { method: "POST", path: "refunds/{id}/cancel", permission: "rak_charge_write", params: &["expand[]"], run: Run::Write(cancel) },
];

pub struct Facts<'a> {
    pub id: &'a str,
    pub charge: &'a Value,
    pub amount: i64,
    pub created: i64,
    pub metadata: Value,
    pub reason: Option<&'a str>,
    pub instructions_email: Option<&'a str>,
    /// `pending` or `succeeded`.
    pub status: &'a str,
    /// The balance transaction's id.
    pub transaction: &'a str,
}

pub fn render(f: Facts) -> Value {
    let mut refund = json!({
        "id": f.id,
        "object": "refund",
        "amount": f.amount,
        "balance_transaction": f.transaction,
        "charge": f.charge["id"],
        "created": f.created,
        "currency": f.charge["currency"],
        "customer": f.charge["customer"],
        "customer_account": null,
        "destination_details": {
            "card": { "reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund" },
            "type": "card"
        },
        "metadata": f.metadata,
        "payment_intent": f.charge["payment_intent"],
        "payment_method": f.charge["payment_method"],
        "reason": f.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": f.status,
        "transfer_reversal": null
    });
    if let Some(email) = f.instructions_email {
        refund["instructions_email"] = json!(email);
    }
    if f.status == "pending" {
        refund["pending_reason"] = json!("processing");
    }
    refund
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let charge = charge_of(state, call)?;
    let reason = p.text("reason");
    if reason.is_some_and(|r| !["duplicate", "fraudulent", "requested_by_customer"].contains(&r)) {
        let sentence = "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer";
        return Err(Failure::new(400, sentence).param("reason"));
    }
    let amount = refundable(state, &charge, p.integer("amount")?)?;
    let mut holder = Map::from_iter([("metadata".to_string(), json!({}))]);
    acts::merge_metadata(&mut holder, p.map("metadata"), p.text("metadata"));
    let new = NewRefund {
        charge: &charge,
        amount,
        reason,
        metadata: holder.remove("metadata").unwrap_or_default(),
        instructions_email: p.text("instructions_email"),
    };
    let id = acts::refund(state, new, call.now);
    answer(state, call, &id)
}

/// The charge that a refund is asked of.
fn charge_of(state: &State, call: &Call) -> Result<Value, Failure> {
    match (call.params.text("charge"), call.params.text("payment_intent")) {
        (None, None) => {
            Err(Failure::new(400, "One of the following params should be provided for this request: payment_intent or charge."))
        }
        (Some(_), Some(_)) => {
            Err(Failure::new(400, "You may only specify one of these parameters: charge, payment_intent.").param("payment_intent"))
        }
        (Some(id), None) => state.live(id, "charge").ok_or_else(|| Failure::missing_in("charge", "charge", id)),
        (None, Some(id)) => {
            let intent = state.live(id, "payment_intent").ok_or_else(|| Failure::missing_in("payment_intent", "payment_intent", id))?;
            let charge = intent["latest_charge"].as_str().and_then(|c| state.live(c, "charge"));
            charge.filter(|c| c["status"] == "succeeded").ok_or_else(|| {
                Failure::new(400, format!("This PaymentIntent ({id}) does not have a successful charge to refund."))
                    .code("payment_intent_unexpected_state")
                    .param("payment_intent")
            })
        }
    }
}

/// How much will go back: what is asked for, or all there is.
fn refundable(state: &State, charge: &Value, wanted: Option<i64>) -> Result<i64, Failure> {
    let id = charge["id"].as_str().unwrap_or_default();
    let number = |name: &str| charge[name].as_i64().unwrap_or_default();
    let (whole, back) = (number("amount"), number("amount_refunded"));
    acts::check_not_redacted(state, charge)?;
    if charge["status"] != "succeeded" {
        let sentence = format!("Charge {id} failed; there is nothing to refund.");
        return Err(Failure::new(400, sentence).code("charge_not_refundable").param("charge"));
    }
    if charge["captured"] != true {
        let sentence = format!("Charge {id} has not been captured. Cancel its PaymentIntent to let go of the money.");
        return Err(Failure::new(400, sentence).code("charge_not_refundable").param("charge"));
    }
    if acts::is_charged_back(state, id) {
        let sentence = format!("Charge {id} has been charged back; cannot issue a refund.");
        return Err(Failure::new(400, sentence).code("charge_disputed"));
    }
    if back >= whole {
        return Err(Failure::new(400, format!("Charge {id} has already been refunded.")).code("charge_already_refunded"));
    }
    let amount = wanted.unwrap_or(whole - back);
    if amount < 1 {
        return Err(Failure::invalid_integer("amount", "This value must be greater than or equal to 1."));
    }
    if amount > whole - back {
        let currency = charge["currency"].as_str().unwrap_or_default();
        let of = if back == 0 { "charge amount" } else { "unrefunded amount on charge" };
        let sentence = format!("Refund amount ({}) is greater than {of} ({})", money(amount, currency), money(whole - back, currency));
        return Err(Failure::new(400, sentence).param("amount"));
    }
    Ok(amount)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    found(state, call)?;
    acts::update_refund(state, &call.id, call.now, |refund| {
        acts::merge_metadata(refund, call.params.map("metadata"), call.params.text("metadata"));
    });
    answer(state, call, &call.id)
}

fn cancel(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let refund = found(state, call)?;
    let status = refund["status"].as_str().unwrap_or_default();
    if status != "requires_action" {
        let sentence = format!(
            "You cannot cancel this refund because it has a status of {status}. Only a refund with the status requires_action can be canceled."
        );
        return Err(Failure::new(400, sentence));
    }
    acts::cancel_refund(state, &call.id, call.now);
    answer(state, call, &call.id)
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let owner = owner(state, call)?;
    Listing {
        url: "/v1/refunds",
        noun: "refund",
        collection: Collection::Refunds,
        customer: owner,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Only(Vec::new()),
        keep: &|v| ["charge", "payment_intent"].iter().all(|name| call.params.text(name).is_none_or(|id| v[*name] == id)),
    }
    .page(state, call)
}

/// The charge or intent that a list is asked for, if it is there: refunds and disputes stand under both.
pub fn owner(state: &State, call: &Call) -> Result<Option<String>, Failure> {
    let mut owner = None;
    for name in ["payment_intent", "charge"] {
        if let Some(id) = call.params.text(name) {
            state.live(id, name).ok_or_else(|| Failure::missing_in(name, name, id))?;
            owner = Some(id.to_string());
        }
    }
    Ok(owner)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let refund = found(state, call)?;
    expand::one(state, call, refund)
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "refund").ok_or_else(|| Failure::missing("refund", &call.id))
}

fn answer(state: &State, call: &Call, id: &str) -> Result<Value, Failure> {
    expand::one(state, call, state.get(id).unwrap_or_default())
}
