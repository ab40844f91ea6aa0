//! What comes back: single objects, pages, search results, expanded and deleted forms, events. What goes in is elsewhere.

use reqwest::Method;
use serde_json::Value;

use super::conform::{Violation, conform, conform_to};
use super::table::{Type, table};
use super::world::{Served, World};

/// Sending an event again is no part of any client library: its one answer is the event.
fn returned(served: &Served) -> &'static [Type] {
    static EVENT: std::sync::LazyLock<Vec<Type>> = std::sync::LazyLock::new(|| vec![Type::Shape("Event".into())]);
    match served.path.as_str() {
        "/v1/events/{id}/retry" => &EVENT,
        _ => &table().endpoints.get(&served.name()).unwrap_or_else(|| panic!("{} is not in the table", served.name())).returns,
    }
}

#[track_caller]
fn assert_none(found: &[Violation]) {
    let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    lines.sort();
    lines.dedup();
    assert!(lines.is_empty(), "{} violations:\n  {}", lines.len(), lines.join("\n  "));
}

/// `data[3].` and `data[7].` are the same finding.
fn merged(found: impl IntoIterator<Item = Violation>) -> Vec<Violation> {
    found.into_iter().map(|v| Violation { path: without_positions(&v.path), what: v.what }).collect()
}

fn without_positions(path: &str) -> String {
    let mut out = String::new();
    for part in path.split_inclusive('[') {
        match part.split_once(']') {
            Some((digits, rest)) if digits.chars().all(|c| c.is_ascii_digit()) => out.extend([".]", rest]),
            _ => out.push_str(part),
        }
    }
    out
}

#[tokio::test]
async fn every_answer_is_what_its_endpoint_returns() {
    let world = World::new().await;
    let mut found = Vec::new();
    for served in Served::all() {
        let case = world.case(&served).await;
        let form = match (served.params.contains(&"limit"), case.form.is_empty()) {
            (true, true) => "limit=100".to_string(),
            (true, false) => format!("{}&limit=100", case.form),
            (false, _) => case.form,
        };
        let reply = world.call(&served.method, &case.path, &form, None).await;
        assert_eq!(reply.status, 200, "{} {form}: {}", served.name(), reply.text);
        found.extend(conform_to(&served.name(), returned(&served), &reply.json()));
        if served.method == Method::DELETE && served.path != "/v1/subscriptions/{id}" {
            let gone = world.bench.get(&case.path).await;
            match served.path.as_str() {
                "/v1/customers/{id}" => assert_eq!(gone.json(), reply.json(), "a deleted customer can be read"),
                _ => gone.refused(404, "resource_missing", "No such"),
            }
        }
    }
    // What all of that made has told its story in events.
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
    assert_none(&merged(found));
}

#[tokio::test]
async fn whatever_can_be_expanded_is_and_keeps_its_shape() {
    let world = World::new().await;
    let mut found = Vec::new();
    for served in Served::all().into_iter().filter(|s| s.method == Method::GET) {
        let case = world.case(&served).await;
        let plain = world.call(&served.method, &case.path, &case.form, None).await.json();
        let mut paths = Vec::new();
        expandable(returned(&served), &plain, "", 4, &mut paths);
        for (path, wrapped) in paths {
            let form = format!("{}&expand[]={path}", case.form);
            let reply = world.call(&served.method, &case.path, form.trim_start_matches('&'), None).await;
            let name = format!("{} expand={path}", served.name());
            if reply.status != 200 {
                found.push(Violation { path: name, what: reply.text });
                continue;
            }
            let reached = at(&reply.json(), &path);
            if !wrapped && !reached.iter().any(Value::is_object) {
                found.push(Violation { path: name.clone(), what: "is still an id".into() });
            }
            found.extend(conform_to(&name, returned(&served), &reply.json()));
        }
        if served.params.contains(&"expand") {
            let data = if plain["data"].is_array() { "data." } else { "" };
            let form = format!("{}&expand[]={data}wishes", case.form);
            let refused = world.call(&served.method, &case.path, form.trim_start_matches('&'), None).await;
            if plain["data"].as_array().is_none_or(|d| !d.is_empty()) {
                refused.refused(400, "", "cannot be expanded");
            }
        }
    }
    assert_none(&merged(found));
}

/// The paths, as `expand[]` names them, of the ids in a value that may stand for an object the table describes. The flag: the path leads
/// to a list that is only sent when asked for.
fn expandable(types: &[Type], value: &Value, path: &str, depth: usize, into: &mut Vec<(String, bool)>) {
    if depth == 0 {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    for kind in types {
        match (kind, value) {
            (Type::Id(names), Value::String(_)) if names.iter().any(|n| table().shape(n).is_some()) => {
                if !into.iter().any(|(p, _)| p == path) {
                    into.push((path.to_string(), false));
                }
            }
            (Type::Shape(name), Value::Object(object)) if name != "Event" => {
                for field in table().shape(name).unwrap_or_default() {
                    if let Some(inner) = object.get(&field.name) {
                        expandable(&field.types, inner, &below(&field.name), depth - 1, into);
                    }
                }
            }
            (Type::List(of) | Type::Search(of), Value::Object(page)) => {
                for element in page["data"].as_array().into_iter().flatten() {
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
