//! What goes in: parameters the contract knows, those it requires, and those nobody knows.

use reqwest::Method;

use super::conform::conform;
use super::table::{Field, Type, table};
use super::world::{Served, World};
use crate::simulator::bench::Reply;

/// What Stripe's command line sends to have an event sent again; no client library knows the endpoint.
const RETRY: [&str; 4] = ["account", "expand[]", "for_stripecli", "webhook_endpoint"];

fn known(served: &Served) -> Option<&'static [Field]> {
    (served.path != "/v1/events/{id}/retry").then(|| table().params(&served.name()))
}

#[track_caller]
fn assert_error(reply: &Reply, at: &str) {
    assert_eq!(conform("error", &reply.json()), [], "{at}: {}", reply.text);
}

/// What keeps a pattern from being one of the contract's parameters.
fn strangeness(fields: &[Field], pattern: &str) -> Option<String> {
    let end = pattern.find(['[', '{', '<', '.']).unwrap_or(pattern.len());
    let (name, rest) = pattern.split_at(end);
    let Some(field) = fields.iter().find(|f| f.name == name) else { return Some(format!("{name} is not in the contract")) };
    inside(&field.types, rest).map(|what| format!("{pattern}: {what}"))
}

fn inside(types: &[Type], rest: &str) -> Option<String> {
    let within = |shape: fn(&Type) -> Option<&[Type]>| types.iter().find_map(shape);
    let shapes = || types.iter().filter_map(|t| if let Type::Shape(name) = t { table().shape(name) } else { None });
    if rest.is_empty() {
        let scalar = |t: &Type| !matches!(t, Type::Array(_) | Type::Map(_) | Type::Shape(_) | Type::Opaque | Type::Null);
        // An empty text takes an object away; that alone makes it no text.
        let scalar = types.iter().any(|t| scalar(t) && *t != Type::Word(String::new()));
        return (!scalar).then(|| "is no single value".to_string());
    }
    if let Some(rest) = rest.strip_prefix("[]") {
        let Some(of) = within(|t| if let Type::Array(of) = t { Some(of) } else { None }) else { return Some("is no list".into()) };
        return inside(of, rest);
    }
    if rest == "{}" {
        return within(|t| if let Type::Map(of) = t { Some(of) } else { None }).is_none().then(|| "is no map".into());
    }
    if rest == "<>" {
        return shapes().all(|s| s.iter().all(|f| f.name != "gte")).then(|| "is no range".into());
    }
    if types.contains(&Type::Opaque) {
        return None;
    }
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let tried: Vec<Option<String>> = shapes().map(|fields| strangeness(fields, rest)).collect();
    match tried.iter().any(Option::is_none) {
        true => None,
        false => Some(tried.into_iter().flatten().next().unwrap_or_else(|| "is no object".into())),
    }
}

#[test]
fn every_parameter_taken_is_in_the_contract() {
    let mut strange = Vec::new();
    for served in Served::all() {
        let Some(fields) = known(&served) else {
            strange.extend(served.params.iter().filter(|p| !RETRY.contains(p)).map(|p| format!("{}: {p}", served.name())));
            continue;
        };
        let wrong = served.params.iter().filter_map(|p| strangeness(fields, p));
        strange.extend(wrong.map(|what| format!("{}: {what}", served.name())));
        let untaken = fields.iter().filter(|f| !f.optional && !served.takes(&f.name));
        strange.extend(untaken.map(|f| format!("{}: {} is required, and not taken", served.name(), f.name)));
    }
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

/// The sandbox says of these that it does not model them; a parameter that is taken from now on has to leave the list.
#[test]
fn what_the_contract_has_and_nobody_takes_is_listed() {
    let mut lines = Vec::new();
    for served in Served::all() {
        let untaken = known(&served).unwrap_or_default().iter().map(|f| f.name.as_str()).filter(|name| !served.takes(name));
        let names: Vec<_> = untaken.collect();
        if !names.is_empty() {
            lines.push(format!("{}: {}\n", served.name().replace("/v1/", ""), names.join(" ")));
        }
    }
    lines.sort();
    let listed = include_str!("../../../assets/sandbox/unmodelled.txt");
    assert!(lines.concat() == listed, "assets/sandbox/unmodelled.txt has to read:\n{}", lines.concat());
}

#[tokio::test]
async fn what_is_not_modelled_is_refused_in_other_words() {
    let world = World::new().await;
    let reply = world.bench.post("/v1/customers", "tax[validate_location]=deferred", None).await;
    assert_error(&reply, "tax");
    let error = &reply.json()["error"];
    assert_eq!((reply.status, error["code"].as_str(), error["param"].as_str()), (400, None, Some("tax")));
    assert!(error["message"].as_str().is_some_and(|m| m.starts_with("The sandbox's Stripe does not model")), "{error}");
}

#[test]
fn strange_parameters_are_seen() {
    let fields = table().params("POST /v1/subscriptions");
    for good in ["customer", "items[].price", "items[].price_data.recurring.interval", "metadata{}", "expand[]", "trial_end"] {
        assert_eq!(strangeness(fields, good), None, "{good}");
    }
    for bad in ["colour", "items", "items[]", "items.price", "items[].colour", "customer[]", "metadata", "customer{}", "items[].price<>"] {
        assert!(strangeness(fields, bad).is_some(), "{bad}");
    }
    assert_eq!(strangeness(table().params("GET /v1/events"), "created<>"), None);
}

#[tokio::test]
async fn unknown_parameters_are_refused_everywhere() {
    let world = World::new().await;
    for served in Served::all() {
        let case = world.case(&served).await;
        let inside = served.params.iter().filter_map(|pattern| {
            let (outer, _) = pattern.rsplit_once('.')?;
            Some(format!("{}[wishes]=1", sent(outer)))
        });
        let wrong = ["wishes=1", "wishes[a][0]=1", "Expand[]=data"].map(str::to_string);
        for wrong in wrong.into_iter().chain(inside) {
            let form = if case.form.is_empty() { wrong.clone() } else { format!("{}&{wrong}", case.form) };
            let reply = world.call(&served.method, &case.path, &form, None).await;
            let whole = wrong.ends_with("[wishes]=1");
            let name = if whole { wrong.trim_end_matches("=1") } else { wrong.split(['=', '[']).next().expect("a name") };
            assert_eq!(reply.status, 400, "{} {form}: {}", served.name(), reply.text);
            reply.refused(400, "parameter_unknown", &format!("Received unknown parameter: {name}"));
            assert_error(&reply, &served.name());
        }
        let done = world.call(&served.method, &case.path, &case.form, None).await;
        assert_eq!(done.status, 200, "the refused requests did nothing to {}: {}", served.name(), done.text);
    }
}

/// A pattern as it is sent, first elements for lists: `items[].price` is `items[0][price]`.
fn sent(pattern: &str) -> String {
    let mut parts = pattern.split('.').map(|part| part.split_once("[]").map_or((part, ""), |(name, _)| (name, "[0]")));
    let (first, at) = parts.next().expect("a name");
    parts.fold(format!("{first}{at}"), |all, (name, at)| format!("{all}[{name}]{at}"))
}

/// The types of what a pattern ends in.
fn ends<'t>(fields: &'t [Field], pattern: &str) -> Option<&'t [Type]> {
    let end = pattern.find(['[', '{', '<', '.']).unwrap_or(pattern.len());
    let (name, rest) = pattern.split_at(end);
    let mut types = fields.iter().find(|f| f.name == name)?.types.as_slice();
    let (listed, rest) = rest.strip_prefix("[]").map_or((false, rest), |rest| (true, rest));
    if listed {
        types = types.iter().find_map(|t| if let Type::Array(of) = t { Some(of) } else { None })?;
    }
    match rest.strip_prefix('.') {
        None => rest.is_empty().then_some(types),
        Some(rest) => types.iter().find_map(|t| if let Type::Shape(name) = t { ends(table().shape(name)?, rest) } else { None }),
    }
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused() {
    let world = World::new().await;
    let mut taken = Vec::new();
    for served in Served::all() {
        let Some(fields) = known(&served) else { continue };
        let case = world.case(&served).await;
        for pattern in served.params {
            let free = |t: &Type| {
                !matches!(t, Type::Integer | Type::Number | Type::Boolean | Type::Decimal | Type::Word(_) | Type::Enum(_) | Type::Null)
            };
            let Some(types) = ends(fields, pattern).filter(|types| !types.iter().any(free)) else { continue };
            let key = sent(pattern);
            let kept = case.form.split('&').filter(|pair| pair.split('=').next() != Some(&key));
            let form = kept.chain([format!("{key}=wrong%21").as_str()]).collect::<Vec<_>>().join("&");
            let reply = world.call(&served.method, &case.path, form.trim_start_matches('&'), None).await;
            if reply.status != 400 {
                taken.push(format!("{} takes {form} for {types:?}: {}", served.name(), reply.status));
            } else {
                assert_error(&reply, &served.name());
            }
        }
    }
    assert!(taken.is_empty(), "{}:\n{}", taken.len(), taken.join("\n"));
}

#[tokio::test]
async fn required_parameters_are_missed() {
    let world = World::new().await;
    let mut asked = 0;
    for served in Served::all() {
        let required = known(&served).into_iter().flatten().filter(|f| !f.optional);
        for field in required {
            let case = world.case(&served).await;
            let kept: Vec<&str> = case.form.split('&').filter(|pair| pair.split(['=', '[']).next() != Some(&field.name)).collect();
            assert_ne!(kept.join("&"), case.form, "the case of {} sends {}", served.name(), field.name);
            let reply = world.call(&served.method, &case.path, &kept.join("&"), None).await;
            assert_eq!(reply.status, 400, "{} without {}: {}", served.name(), field.name, reply.text);
            reply.refused(400, "parameter_missing", &format!("Missing required param: {}", field.name));
            assert_error(&reply, &served.name());
            asked += 1;
        }
    }
    assert!(asked >= 2, "some endpoints require something");
}

#[tokio::test]
async fn unknown_ids_paths_and_methods_are_refused() {
    let world = World::new().await;
    for served in Served::all().into_iter().filter(Served::by_id) {
        let case = world.case(&served).await;
        for id in ["nobody", "cus_%F0%9F%92%B8", "acct_1", "..", "%00", "%2e%2e%2fcustomers"] {
            let path = served.path.replace("{id}", id);
            // A client resolves `..` itself.
            if id == ".." {
                continue;
            }
            let reply = world.call(&served.method, &path, &case.form, None).await;
            assert_eq!(reply.status, 404, "{} of {id}: {}", served.name(), reply.text);
            reply.refused(404, "resource_missing", "No such ");
            assert_error(&reply, &served.name());
        }
    }
    for (method, path) in [
        (Method::GET, "/v1/wishes"),
        (Method::GET, "/v1/customers/"),
        (Method::POST, "/v1/account/reject"),
        (Method::DELETE, "/v1/customers"),
        (Method::PUT, "/v1/customers"),
        (Method::PATCH, "/v1/balance"),
        (Method::GET, "/"),
        (Method::GET, "/v2/customers"),
    ] {
        let reply = world.call(&method, path, "", None).await;
        reply.refused(404, "", &format!("Unrecognized request URL ({method}: {path})"));
        assert_error(&reply, path);
    }
}
