//! Webhook endpoints: list, retrieval, creation, update, deletion. Their secrets are shown once, by the answer to the creation.

use std::str::FromStr;

use serde_json::{Map, Value, json};
use stripe_misc::webhook_endpoint::CreateWebhookEndpointEnabledEvents as EventName;

use super::super::acts::merge_metadata;
use super::super::endpoint::{Endpoint, NewEndpoint};
use super::super::expand;
use super::super::failure::Failure;
use super::super::form::Params;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "webhook_endpoints",
        permission: "rak_webhook_read",
        params: &["ending_before", "expand[]", "limit", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "webhook_endpoints",
        permission: "rak_webhook_write",
        params: &["api_version", "description", "enabled_events[]", "expand[]", "metadata{}", "url"],
        run: Run::Write(create),
    },
    Route {
        method: "GET",
        path: "webhook_endpoints/{id}",
        permission: "rak_webhook_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
    Route {
        method: "POST",
        path: "webhook_endpoints/{id}",
        permission: "rak_webhook_write",
        params: &["description", "disabled", "enabled_events[]", "expand[]", "metadata{}", "url"],
        run: Run::Write(update),
    },
    Route { method: "DELETE", path: "webhook_endpoints/{id}", permission: "rak_webhook_write", params: &[], run: Run::Write(delete) },
];

/// How many endpoints an account may have in test mode.
const MOST: usize = 16;

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let all = state.endpoints.iter().rev().map(Endpoint::object).collect();
    listing::small(state, call, "/v1/webhook_endpoints", "webhook endpoint", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "webhook_endpoint").ok_or_else(|| Failure::missing("webhook endpoint", &call.id))?;
    expand::one(state, call, found)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let url = url(call.params.required("url")?)?;
    let events = events(&call.params)?.ok_or_else(|| Failure::missing_parameter("enabled_events"))?;
    if state.endpoints.len() >= MOST {
        return Err(Failure::new(400, format!("You have reached the maximum of {MOST} test webhook endpoints.")));
    }
    let mut object = Map::from_iter([("metadata".to_string(), json!({}))]);
    merge_metadata(&mut object, call.params.map("metadata"), call.params.text("metadata"));
    let endpoint = Endpoint::new(NewEndpoint {
        id: state.fresh("we_1", 23),
        url,
        secret: state.fresh("whsec_", 32),
        events,
        created: call.now.timestamp(),
        api_version: call.params.text("api_version").map(version).transpose()?,
        description: call.params.text("description").filter(|d| !d.is_empty()).map(str::to_string),
        metadata: object["metadata"].as_object().cloned().unwrap_or_default(),
    });
    let mut answer = expand::one(state, call, endpoint.object())?;
    answer["secret"] = json!(endpoint.secret());
    state.endpoints.push(endpoint);
    Ok(answer)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let (url, events) = (call.params.text("url").map(url).transpose()?, events(&call.params)?);
    let disabled = call.params.boolean("disabled")?;
    let found = state.endpoints.iter_mut().find(|e| e.id == call.id);
    let endpoint = found.ok_or_else(|| Failure::missing("webhook endpoint", &call.id))?;
    if let Some(url) = url {
        endpoint.url = url;
    }
    if let Some(events) = events {
        endpoint.events = events;
    }
    if let Some(text) = call.params.text("description") {
        endpoint.description = Some(text.to_string()).filter(|d| !d.is_empty());
    }
    let mut object = Map::from_iter([("metadata".to_string(), json!(endpoint.metadata))]);
    merge_metadata(&mut object, call.params.map("metadata"), call.params.text("metadata"));
    endpoint.metadata = object["metadata"].as_object().cloned().unwrap_or_default();
    if let Some(disabled) = disabled {
        endpoint.enable(!disabled);
    }
    retrieve(state, call)
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = state.endpoints.iter().position(|e| e.id == call.id);
    let endpoint = state.endpoints.remove(found.ok_or_else(|| Failure::missing("webhook endpoint", &call.id))?);
    state.ledger.forget(&endpoint.id);
    Ok(json!({ "id": endpoint.id, "object": "webhook_endpoint", "deleted": true }))
}

/// Any scheme and host will do, although the real API wants public ones: what is not on loopback simply gets nothing.
fn url(text: &str) -> Result<String, Failure> {
    let refused = |why: &str| Failure::new(400, format!("Invalid URL: {why}")).code("url_invalid").param("url");
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_string()),
        Ok(_) => Err(refused("The URL must be an HTTP or HTTPS URL.")),
        Err(_) if !text.contains("://") => Err(refused("An explicit scheme (such as https) must be provided.")),
        Err(_) => Err(refused("Not a valid URL.")),
    }
}

/// The event types named: each one there is, or `*` for all. Patterns as in `charge.*` are for lists of events only.
fn events(params: &Params) -> Result<Option<Vec<String>>, Failure> {
    if params.text("enabled_events") == Some("") {
        return Err(Failure::empty_parameter("enabled_events"));
    }
    let names = params.list("enabled_events");
    for (at, name) in names.iter().enumerate() {
        if matches!(EventName::from_str(name), Ok(EventName::Unknown(_)) | Err(_)) {
            let message =
                format!("Invalid enabled_events[{at}]: '{name}' is not an event type; see https://stripe.com/docs/api/events/types.");
            return Err(Failure::new(400, message).param(&format!("enabled_events[{at}]")));
        }
    }
    Ok((!names.is_empty()).then(|| names.into_iter().map(str::to_string).collect()))
}

fn version(text: &str) -> Result<String, Failure> {
    let dated = text.get(..10).is_some_and(|d| chrono::NaiveDate::parse_from_str(d, "%Y-%m-%d").is_ok());
    match dated {
        true => Ok(text.to_string()),
        false => Err(Failure::new(400, format!("Invalid Stripe API version: {text}")).param("api_version")),
    }
}
