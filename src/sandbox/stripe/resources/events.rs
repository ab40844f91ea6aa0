//! Events: their shape, list (thirty days), retrieval, and sending one again.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::endpoint::matches_type;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::{API_VERSION, EVENT_HORIZON_SECONDS, State};
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

pub fn render(id: &str, kind: &str, at: DateTime<Utc>, object: Value, previous: Option<Value>, pending: usize) -> Value {
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
        "pending_webhooks": pending,
        "request": { "id": null, "idempotency_key": null },
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
        return Some(render(&id, kind, state.population.joined(person.number), customers::of_person(person), None, 0));
    };
    let at = paid.interval.after(paid.started, u32::from(place.cycle));
    let subscription = |over| subscriptions::as_of(state, person, paid, place.cycle.min(paid.cycle), over);
    let mut previous = None;
    let object = match kind {
        "customer.created" => customers::of_person(person),
        "checkout.session.completed" => sessions::of_person(state, person)?,
        "customer.subscription.created" => subscription(false),
        "customer.subscription.updated" => {
            let before = subscriptions::as_of(state, person, paid, place.cycle - 1, false);
            let mut changes = json!({ "items": before["items"], "latest_invoice": before["latest_invoice"] });
            if paid.status == "past_due" && place.cycle == paid.cycle {
                changes["status"] = json!("active");
            }
            previous = Some(changes);
            subscription(false)
        }
        "customer.subscription.deleted" => subscription(true),
        _ => invoices::as_of(state, person, place.cycle, at.timestamp())?,
    };
    Some(render(&id, kind, at, object, previous, 0))
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
        keep: &|v| v["type"].as_str().is_some_and(wants) && success.is_none_or(|s| (v["pending_webhooks"] == 0) == s),
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
    let Some(id) = call.params.text("webhook_endpoint") else {
        // Without an endpoint the event goes to listening command lines only, of which there are none here.
        return expand::one(state, call, event);
    };
    let kind = event["type"].as_str().unwrap_or_default().to_string();
    let endpoint =
        state.endpoints.iter().find(|e| e.id == id).ok_or_else(|| Failure::missing_in("webhook_endpoint", "webhook endpoint", id))?;
    if !endpoint.enabled {
        return Err(Failure::new(400, format!("The webhook endpoint '{id}' is disabled.")).param("webhook_endpoint"));
    }
    if !endpoint.subscribes(&kind) {
        let text = format!("The webhook endpoint '{id}' is not subscribed to events of type '{kind}'.");
        return Err(Failure::new(400, text).param("webhook_endpoint"));
    }
    state.resends.push((call.id.clone(), id.to_string()));
    expand::one(state, call, event)
}
