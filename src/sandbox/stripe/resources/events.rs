//! Events: their shape, list (thirty days), retrieval, and sending one again.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::delivery::{Parcel, Why};
use super::super::endpoint::matches_type;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::previous;
use super::super::route::{Call, Route, Run};
use super::super::state::{API_VERSION, Cause, EVENT_HORIZON_SECONDS, State};
use super::super::timeline::{Collection, EVENT_TYPES, People};
use super::{customers, invoices, sessions, subscriptions};
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::{Kind, Place};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "events",
        permission: "rak_event_read",
        params: &["created<>", "delivery_success", "ending_before", "expand[]", "limit", "starting_after", "type", "types[]"],
        run: Run::Read(list),
    },
    Route { method: "GET", path: "events/{id}", permission: "rak_event_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "events/{id}/retry",
        permission: "rak_webhook_write",
        params: &["expand[]", "for_stripecli", "webhook_endpoint"],
        run: Run::Write(retry),
    },
];

/// An event that nobody was told of yet.
pub fn render(id: &str, kind: &str, at: DateTime<Utc>, object: Value, previous: Option<Value>, cause: Option<&Cause>) -> Value {
    let mut data = json!({ "object": null });
    data["object"] = object;
    if let Some(previous) = previous {
        data["previous_attributes"] = previous;
    }
    let mut event = json!({
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": at.timestamp(),
        "data": null,
        "livemode": false,
        "pending_webhooks": 0,
        "request": { "id": cause.map(|c| &c.request), "idempotency_key": cause.and_then(|c| c.idempotency_key.as_ref()) },
        "type": kind
    });
    event["data"] = data;
    event
}

/// An event of the population, with the object as it stood then. All of them were delivered long ago.
pub fn of_person(state: &State, person: &Person, place: Place) -> Option<Value> {
    let billing = state.population.billing(person.number);
    if place.which > 7 || Collection::Events.ordinals(billing, place.cycle) & (1 << place.which) == 0 {
        return None;
    }
    let kind = EVENT_TYPES[usize::from(place.which)];
    let id = state.population.id_at(Kind::Event, place);
    let Some(paid) = person.plan.as_ref() else {
        return Some(render(&id, kind, state.population.joined(person.number), customers::of_person(person), None, None));
    };
    let at = paid.interval.after(paid.started, u32::from(place.cycle));
    let subscription = |over| subscriptions::as_of(state, person, paid, place.cycle.min(paid.cycle), over);
    let mut earlier = None;
    let object = match kind {
        "customer.created" => customers::of_person(person),
        "checkout.session.completed" => sessions::of_person(state, person)?,
        "customer.subscription.created" => subscription(false),
        "customer.subscription.updated" => {
            let before = subscriptions::as_of(state, person, paid, place.cycle - 1, false);
            let now = subscription(false);
            let mut changes = match (&before, &now) {
                (Value::Object(before), Value::Object(now)) => previous::attributes(before, now),
                _ => Map::new(),
            };
            if paid.status == "past_due" && place.cycle == paid.cycle {
                changes.insert("status".to_string(), json!("active"));
            }
            earlier = Some(Value::Object(changes));
            now
        }
        "customer.subscription.deleted" => subscription(true),
        _ => invoices::as_of(state, person, place.cycle, at.timestamp())?,
    };
    Some(render(&id, kind, at, object, earlier, None))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let one = call.params.text("type").map(str::to_string);
    let many = call.params.list("types");
    if many.len() > 20 {
        return Err(Failure::new(400, "You may pass up to 20 event types in the types parameter.").param("types"));
    }
    if one.is_some() && !many.is_empty() {
        return Err(Failure::new(400, "You may only specify one of these parameters: type, types.").param("type"));
    }
    if let Some(wild) = many.iter().find(|t| t.contains('*')) {
        return Err(Failure::new(400, format!("Wildcards are not allowed in types (you passed {wild}); use type.")).param("types"));
    }
    let success = call.params.boolean("delivery_success")?;
    let wants = |kind: &str| match &one {
        Some(pattern) => matches_type(pattern, kind),
        None => many.is_empty() || many.contains(&kind),
    };
    let mut ordinals = 0;
    for (bit, kind) in EVENT_TYPES.iter().enumerate() {
        if wants(kind) {
            ordinals |= 1 << bit;
        }
    }
    // What the population has was delivered, and is of a few types only.
    let people = if success != Some(false) && ordinals != 0 { People::Where(&|_, _| true) } else { People::Only(Vec::new()) };
    Listing {
        url: "/v1/events",
        noun: "event",
        collection: Collection::Events,
        customer: None,
        floor: call.now.timestamp() - EVENT_HORIZON_SECONDS,
        ordinals,
        people,
        keep: &|v| {
            v["type"].as_str().is_some_and(wants) && success.is_none_or(|s| v["id"].as_str().is_some_and(|id| state.is_delivered(id) == s))
        },
    }
    .page(state, call)
}

fn recent(state: &State, call: &Call) -> Option<Value> {
    let event = state.live(&call.id, "event")?;
    (event["created"].as_i64()? >= call.now.timestamp() - EVENT_HORIZON_SECONDS).then_some(event)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let event = recent(state, call).ok_or_else(|| Failure::missing("event", &call.id))?;
    expand::one(state, call, event)
}

fn retry(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let event = recent(state, call).ok_or_else(|| Failure::missing("notification", &call.id))?;
    let listening = call.params.boolean("for_stripecli")? == Some(true);
    let Some(id) = call.params.text("webhook_endpoint").filter(|_| !listening) else {
        // It would go to command lines that listen, of which there are none here.
        return if listening { expand::one(state, call, event) } else { Err(Failure::missing_parameter("webhook_endpoint")) };
    };
    let refused = |status: u16, text: String| Failure::new(status, text).param("webhook_endpoint");
    let missing = || refused(404, format!("No such webhook endpoint: '{id}'")).code("resource_missing");
    let endpoint = state.endpoints.iter().find(|e| e.id == id).ok_or_else(missing)?;
    if !endpoint.enabled {
        return Err(refused(400, format!("The webhook endpoint '{id}' is disabled.")));
    }
    // Sending again reaches only who was to get it the first time; subscribing later does not help.
    let owed = match state.ledger.debts(&call.id) {
        Some(debts) => debts.iter().any(|d| d.endpoint == id),
        None => {
            endpoint.created <= event["created"].as_i64().unwrap_or_default()
                && endpoint.subscribes(event["type"].as_str().unwrap_or_default())
        }
    };
    if !owed {
        let text =
            format!("The webhook endpoint '{id}' is not subscribed to events of type '{}'.", event["type"].as_str().unwrap_or_default());
        return Err(refused(404, text));
    }
    let (event_id, endpoint) = (call.id.clone(), id.to_string());
    state.ledger.post(Parcel { event: event_id, endpoint, why: Why::Resent, due: call.now, posted: call.now, ruled: false });
    expand::one(state, call, event)
}
