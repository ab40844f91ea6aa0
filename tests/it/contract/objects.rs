//! What comes back: single objects, pages, search results, expanded and deleted forms, events. What goes in is elsewhere.

use reqwest::Method;
use serde_json::Value;

use super::conform::{Violation, assert_none, conform, conform_to};
use super::table::{Type, table};
use super::world::{Served, World};

#[tokio::test]
async fn everything_read_is_what_its_endpoint_returns() {
    let world = World::new().await;
    world.furnish().await;
    let mut found = Vec::new();
    for served in Served::all().into_iter().filter(|s| s.method == Method::GET) {
        let case = world.case(&served).await;
        let more = if served.takes("limit") { "limit=100" } else { "" };
        let form = [case.form.as_str(), more].join("&");
        let reply = world.call(&served.method, &case.path, form.trim_matches('&'), None).await;
        assert_eq!(reply.status, 200, "{} {form}: {}", served.name(), reply.text);
        if reply.json().get("has_more").is_some() {
            assert!(reply.json()["data"].as_array().is_some_and(|d| !d.is_empty()), "{} {form} shows something", served.name());
        }
        found.extend(conform_to(&served.name(), served.returns(), &reply.json()));
    }
    assert_none(found);
}

#[tokio::test]
async fn everything_written_is_answered_and_told_in_events() {
    let world = World::new().await;
    let mut found = Vec::new();
    for served in Served::all().into_iter().filter(|s| s.method != Method::GET) {
        let case = world.case(&served).await;
        let reply = world.call(&served.method, &case.path, &case.form, None).await;
        assert_eq!(reply.status, 200, "{} {}: {}", served.name(), case.form, reply.text);
        found.extend(conform_to(&served.name(), served.returns(), &reply.json()));
        if served.method == Method::DELETE && served.path != "/v1/subscriptions/{id}" {
            let (gone, read) = (world.bench.get(&case.path).await, &table().endpoints[&format!("GET {}", served.path)]);
            match read.returns.iter().any(|t| matches!(t, Type::Shape(name) if name.starts_with("Deleted"))) {
                true => assert_eq!(gone.json(), reply.json(), "{}: what is deleted can be read as such", served.path),
                false => gone.refused(404, "resource_missing", "No such"),
            }
        }
    }
    let mut cursor = String::new();
    loop {
        let page = world.bench.get(&format!("/v1/events?limit=100{cursor}")).await.json();
        for event in page["data"].as_array().expect("a list") {
            found.extend(conform("event", event));
            cursor = format!("&starting_after={}", event["id"].as_str().expect("an id"));
        }
        if page["has_more"] != true {
            break;
        }
    }
    assert_none(found);
}

#[tokio::test]
async fn whatever_can_be_expanded_is_and_keeps_its_shape() {
    let world = World::new().await;
    world.furnish().await;
    let mut found = Vec::new();
    for served in Served::all().into_iter().filter(|s| s.method == Method::GET) {
        let case = world.case(&served).await;
        let plain = world.call(&served.method, &case.path, &case.form, None).await.json();
        let mut paths = Vec::new();
        expandable(served.returns(), &plain, "", 5, &mut paths);
        for path in paths {
            let form = format!("{}&expand[]={path}", case.form);
            let reply = world.call(&served.method, &case.path, form.trim_start_matches('&'), None).await;
            let name = format!("{} expand={path}", served.name());
            if reply.status != 200 {
                found.push(Violation { path: name, place: String::new(), what: reply.text });
                continue;
            }
            let reached = at(&reply.json(), &path);
            if !reached.iter().any(Value::is_object) {
                found.push(Violation { path: name.clone(), place: String::new(), what: "is still an id".into() });
            }
            found.extend(conform_to(&name, served.returns(), &reply.json()));
        }
        if served.takes("expand") {
            let data = if plain["data"].is_array() { "data." } else { "" };
            let form = format!("{}&expand[]={data}wishes", case.form);
            let refused = world.call(&served.method, &case.path, form.trim_start_matches('&'), None).await;
            if plain["data"].as_array().is_none_or(|d| !d.is_empty()) {
                refused.refused(400, "", "cannot be expanded");
            }
        }
    }
    assert_none(found);
}

/// The paths, as `expand[]` names them, of the ids in a value that may stand for an object the table describes,
/// with fewer parts than `depth`.
fn expandable(types: &[Type], value: &Value, path: &str, depth: usize, into: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    for kind in types {
        match (kind, value) {
            (Type::Id(names), Value::String(_)) if !into.iter().any(|p| p == path) && names.iter().any(|n| table().shape(n).is_some()) => {
                into.push(path.to_string());
            }
            (Type::Shape(name), Value::Object(object)) if name != "Event" => {
                for field in table().shape(name).unwrap_or_default() {
                    if let Some(inner) = object.get(&field.name) {
                        expandable(&field.types, inner, &below(&field.name), depth - 1, into);
                    }
                }
            }
            (Type::List(of) | Type::Search(of), Value::Object(page)) => {
                for element in page.get("data").and_then(Value::as_array).into_iter().flatten() {
                    expandable(of, element, &below("data"), depth - 1, into);
                }
            }
            (Type::Array(of), Value::Array(elements)) => elements.iter().for_each(|e| expandable(of, e, path, depth, into)),
            _ => {}
        }
    }
}

/// What stands at an expansion's path, in every element of the lists on the way.
fn at(value: &Value, path: &str) -> Vec<Value> {
    let mut found = vec![value.clone()];
    for part in path.split('.') {
        found = found.iter().flat_map(|v| v[part].as_array().cloned().unwrap_or_else(|| vec![v[part].clone()])).collect();
    }
    found
}
