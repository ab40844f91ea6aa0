//! What goes in: parameters the contract knows, those it requires, and those nobody knows.

use reqwest::Method;

use super::conform::conform;
use super::table::{Field, table};
use super::world::{Served, World};
use crate::simulator::bench::Reply;

/// What Stripe's command line sends to have an event sent again; no client library knows the endpoint.
const RETRY: [&str; 4] = ["account", "expand", "for_stripecli", "webhook_endpoint"];

fn known(served: &Served) -> Option<&'static [Field]> {
    (served.path != "/v1/events/{id}/retry").then(|| table().params(&served.name()))
}

#[track_caller]
fn assert_error(reply: &Reply, at: &str) {
    assert_eq!(conform("error", &reply.json()), [], "{at}: {}", reply.text);
}

#[test]
fn every_parameter_taken_is_in_the_contract() {
    let mut strange = Vec::new();
    for served in Served::all() {
        for name in served.params {
            let contracted = match known(&served) {
                Some(fields) => fields.iter().any(|f| f.name == *name),
                None => RETRY.contains(name),
            };
            if !contracted {
                strange.push(format!("{}: {name}", served.name()));
            }
        }
        for required in known(&served).into_iter().flatten().filter(|f| !f.optional) {
            if !served.params.contains(&required.name.as_str()) {
                strange.push(format!("{}: {} is required, and not taken", served.name(), required.name));
            }
        }
    }
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

#[tokio::test]
async fn unknown_parameters_are_refused_everywhere() {
    let world = World::new().await;
    for served in Served::all() {
        let case = world.case(&served).await;
        for wrong in ["wishes=1", "wishes[a][0]=1", "Expand[]=data"] {
            let form = if case.form.is_empty() { wrong.to_string() } else { format!("{}&{wrong}", case.form) };
            let reply = world.call(&served.method, &case.path, &form, None).await;
            let name = wrong.split(['=', '[']).next().expect("a name");
            assert_eq!(reply.status, 400, "{} {form}: {}", served.name(), reply.text);
            reply.refused(400, "parameter_unknown", &format!("Received unknown parameter: {name}"));
            assert_error(&reply, &served.name());
        }
        let done = world.call(&served.method, &case.path, &case.form, None).await;
        assert_eq!(done.status, 200, "the refused requests did nothing to {}: {}", served.name(), done.text);
    }
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
