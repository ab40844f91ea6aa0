//! `--json` as the author of a script sees it: names and words that stay.

use crate::bench::{Bench, Options};
use crate::command::Desk;
use chrono::DateTime;
use nightdesk::sandbox::incidents::Incident;
use serde_json::{Value, json};

/// Every name in it, however deep, is in lower case.
#[track_caller]
fn plain_names(value: &Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                plain_names(value);
            }
        }
        Value::Array(all) => all.iter().for_each(plain_names),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_words_are_plain() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    let customer = label.expected.customer.as_str();

    let found = desk.say(&["find", customer, "--json"]).await.json();
    plain_names(&found);
    let d = &found["diagnosis"];
    assert_eq!((&d["word"], &d["class"], &d["cause"]), (&json!("fail"), &json!("paid_not_served"), &json!("placeholder")), "{d}");
    assert_eq!(d["fix"]["procedure"], "tier-update");

    let planned = desk.say(&["run", "tier-update", "--customer", customer, "--dry-run", "--json"]).await.well();
    plain_names(&planned);
    let plan = &planned["plan"];
    assert_eq!((&planned["state"], &plan["tier"], &plan["confirm"]), (&json!("planned"), &json!("t1"), &Value::Null));
    let changes = plan["changes"].as_array().unwrap();
    assert!(changes.contains(&json!({ "field": "tier", "from": "FREE", "to": label.expected.tier })), "{plan}");
    assert!(changes.iter().any(|c| c["field"] == "stripe_customer_id" && c["to"] == customer), "{plan}");
    let until = changes.iter().find(|c| c["field"] == "current_period_end").expect("it is paid until then");
    assert_eq!(DateTime::parse_from_rfc3339(until["to"].as_str().unwrap()).unwrap(), label.expected.period_end, "{until}");
    let apply = plan["steps"].as_array().unwrap().iter().find(|s| s["id"] == "apply").expect("the act");
    assert_eq!((&apply["kind"], &apply["state"]), (&json!("act"), &json!("pending")));

    let text = ["run", "tier-update", "--customer", customer, "--reason", "a test", "--confirm", "49", "--json"];
    desk.say(&text).await.refused(&["asks for no text", "--yes"]);
    assert!(!bench.ground.repaired(&label).await.unwrap());
    let done = desk.repair(customer, &[]).await.well();
    plain_names(&done);
    assert!(done["plan"]["steps"].as_array().unwrap().iter().all(|s| s["state"] == "passed" && s["why"].is_null()), "{done}");

    let runs = desk.say(&["runs", "--json"]).await.well();
    plain_names(&runs);
    assert!(DateTime::parse_from_rfc3339(runs[0]["opened"].as_str().unwrap()).is_ok() && runs[0]["state"] == "done", "{runs}");
    let status = desk.say(&["status", "--json"]).await.well();
    plain_names(&status);
    assert_eq!((&status["mode"], &status["sources"][1]["state"]), (&json!("test"), &json!("ok")), "{status}");
    let check = desk.say(&["check", "--json"]).await.well();
    plain_names(&check);
    assert!(check.as_array().unwrap().iter().all(|l| l["verdict"] == "ok"), "{check}");
}
