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
    desk.say(&text).await.declined(&["asks for no text", "--yes"]);
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

/// Calls that end without an answer: the arguments, the exit code, the kind in JSON, words of the sentence.
type Bad<'a> = (&'a [&'a str], i32, &'static str, &'a [&'a str]);

/// As text and as JSON: the same code and the same words, in one sentence.
async fn ends_as_the_table_says(desk: &Desk, calls: &[Bad<'_>]) {
    for (arguments, code, kind, words) in calls {
        let text = desk.say(arguments).await;
        assert_eq!(text.code, Some(*code), "{arguments:?}: {text:?}");
        assert!(words.iter().all(|w| text.err.contains(w)), "{words:?} of {arguments:?}: {text:?}");
        let said = desk.say(&[arguments, &["--json"][..]].concat()).await;
        assert_eq!(said.code, Some(*code), "{arguments:?}: {said:?}");
        // How far it came, where it came to anything, is one object too.
        assert!(said.out.is_empty() || serde_json::from_str::<Value>(&said.out).is_ok(), "{arguments:?}: {said:?}");
        let lines: Vec<&str> = said.err.lines().collect();
        let [line] = lines.as_slice() else { panic!("one line of {arguments:?}: {said:?}") };
        let error: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} of {arguments:?}: {said:?}"));
        assert_eq!(error["error"]["kind"], *kind, "{arguments:?}: {error}");
        let says = error["error"]["says"].as_str().unwrap();
        assert!(words.iter().all(|w| says.contains(w)), "{words:?} of {arguments:?}: {says}");
        assert!(!says.contains('\n') && !says.starts_with("error"), "{arguments:?}: {says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_without_an_answer_ends_by_one_table_and_says_why() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let nobody = "cus_1NobodyHasThisOne00";
    ends_as_the_table_says(
        &desk,
        &[
            (&["frobnicate"], 2, "usage", &["frobnicate"]),
            (&["runs", "abandon", "d41f"], 2, "usage", &["--reason"]),
            (&["run", "tier-update", "--customer", nobody], 2, "usage", &["--reason"]),
            (&["drill", "nonsense"], 2, "usage", &["nonsense"]),
            (&["find", ""], 2, "usage", &["an id, an e-mail address or a link"]),
            (
                &["run", "tier-update", "--customer", "a.b@nobody.example", "--dry-run"],
                2,
                "not_answered",
                &["neither the database nor Stripe"],
            ),
            (&["run", "quota-reset", "a.b@nobody.example", "--dry-run"], 2, "not_answered", &["No profile can be named"]),
            (&["run", "drift-fix", "--customer", "sub_1", "--dry-run"], 2, "not_answered", &["is not a customer's id"]),
            (&["replay", "--dry-run"], 2, "usage", &["say which events"]),
            (&["replay", "evt_nope", "--dry-run"], 2, "usage", &["is not an event's id"]),
            (&["replay", "evt_1NeverExisted0000000", "--dry-run"], 2, "not_answered", &["Stripe has no event", "this account"]),
            (&["replay", "--cause", "gremlins", "--dry-run"], 2, "usage", &["is no cause"]),
            (&["webhooks", "--since", "tomorrow"], 2, "usage", &["tomorrow"]),
            (&["drift", "--class", "gremlins"], 2, "usage", &["gremlins"]),
            (&["quota", "--threshold", "0"], 2, "usage", &["1 to 100"]),
            (&["quota", "--export", "near.xls"], 2, "usage", &[".csv"]),
            (&["runs", "resume", "zzzz", "--reason", "x"], 2, "not_answered", &["no run ends in"]),
            (&["runs", "undo", "zzzz", "--reason", "x"], 2, "not_answered", &["no run ends in"]),
            (&["runs", "abandon", "zzzz", "--reason", "x"], 2, "not_answered", &["no run ends in"]),
            (&["--config", "/nonexistent/x.toml", "status"], 2, "not_answered", &["/nonexistent/x.toml"]),
        ],
    )
    .await;

    for text in [nobody, "nobody@nowhere.invalid", "Nobody Of This Name"] {
        let said = desk.say(&["find", text, "--json"]).await;
        assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "both sources answered: {said:?}");
        assert_eq!(serde_json::from_str::<Value>(&said.out).expect("one value")["found"], false, "{said:?}");
        let said = desk.say(&["find", text]).await;
        assert!(said.code == Some(1) && said.out.contains("neither the database nor Stripe") && said.err.is_empty(), "{said:?}");
    }

    let label = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    let customer = label.expected.customer.as_str();
    ends_as_the_table_says(
        &desk,
        &[(&["run", "tier-update", "--customer", customer, "--reason", "x"], 2, "not_answered", &["--yes", "--dry-run"])],
    )
    .await;
    let run = desk.repair(customer, &[]).await.well()["run"].as_str().unwrap().to_string();
    let undo = desk.undo(&run).await.well()["run"].as_str().unwrap().to_string();
    ends_as_the_table_says(
        &desk,
        &[
            (&["runs", "resume", &run, "--reason", "x"], 1, "refused", &["is finished"]),
            (&["runs", "abandon", &run, "--reason", "x"], 1, "refused", &["is finished"]),
            (&["runs", "undo", &undo, "--yes", "--reason", "x"], 1, "refused", &["cannot be taken back"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_two_databases_share_no_runs() {
    let (one, other) = (Bench::start(Options::default()).await, Bench::start(Options::default()).await);
    let mut desk = Desk::of(&one);
    let label = one.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    let run = desk.repair(&label.expected.customer, &[]).await.well()["run"].as_str().unwrap().to_string();
    let elsewhere = Desk::of(&other).variables;
    let here = std::mem::replace(&mut desk.variables, elsewhere);
    let listed = desk.say(&["runs"]).await;
    assert!(listed.out.starts_with("no runs") && listed.err.contains("are told apart by their database"), "{listed:?}");
    desk.say(&["runs", "resume", &run, "--reason", "a test"]).await.refused(&["no run ends in"]);
    desk.variables = here;
    let listed = desk.say(&["runs"]).await;
    assert!(listed.out.contains(&run[run.len() - 4..]) && listed.err.is_empty(), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_runs_is_a_table_with_the_newest_first() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let empty = desk.say(&["runs"]).await;
    assert!(empty.code == Some(0) && empty.out.starts_with("no runs"), "{empty:?}");
    let mut begun = Vec::new();
    for label in bench.strike(Incident::PlaceholderCustomers, 2).await {
        begun.push(desk.repair(&label.expected.customer, &[]).await.well()["run"].as_str().unwrap().to_string());
    }
    begun.push(desk.undo(&begun[0]).await.well()["run"].as_str().unwrap().to_string());
    let listed = desk.say(&["runs"]).await;
    let lines: Vec<&str> = listed.out.lines().collect();
    let at = lines[0].find("state").expect("a heading");
    let tails: Vec<&str> = begun.iter().rev().map(|run| &run[run.len() - 4..]).collect();
    for (line, tail) in lines[1..4].iter().zip(&tails) {
        assert!(line.starts_with(tail) && !line[at..].starts_with(' ') && line[at - 2..at] == *"  ", "{}", listed.out);
    }
    assert!(lines[1].contains(&format!("takes back {}", tails[2])), "{}", listed.out);
}
