//! A wrong secret in an ordinary sandbox, its usual background included: since when, whom it hurts, why; and nothing left once it is healed
//! and replayed.

use crate::bench;
use crate::command::Desk;
use chrono::{DateTime, Duration, Utc};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Incident, Label};
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;

async fn said(desk: &Desk) -> Value {
    desk.say(&["webhooks", "--events", "--json"]).await.json()
}

async fn night(manner: Manner) {
    let options = SandboxOptions { manner, incidents: vec![Incident::WrongSecret], ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.expect("a sandbox");
    let desk = Desk::with(sandbox.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    // Those whose row can be found: of them nothing is applied, whether their events were refused or never sent.
    let labels: Vec<Label> = sandbox.ground().all_labels().into_iter().filter(Label::hurts).collect();
    let people = labels.iter().filter(|l| l.subject.profile.is_some());
    let linked: Vec<&Label> = people.filter(|l| l.incident != Incident::PlaceholderCustomers).collect();
    assert!(linked.len() == 14 + 3 && labels.len() > linked.len() + 1, "the usual background is there");

    let before = said(&desk).await;
    let silence = &before["silence"];
    let since: DateTime<Utc> = silence["since"].as_str().unwrap_or_else(|| panic!("{before:#}")).parse().expect("a time");
    let first = linked.iter().map(|l| l.at).min().expect("some");
    assert!((since - first).abs() < Duration::minutes(2), "since {since}, and the first was hurt at {first}: {silence}");
    assert_eq!((silence["customers"].as_u64(), silence["at_least"].as_bool()), (Some(linked.len() as u64), Some(false)), "{silence}");
    assert_eq!(silence["cause"], "bad_signature", "{silence}");
    let text = desk.say(&["webhooks"]).await.out;
    assert!(text.contains("FAIL  Nothing Stripe sent was applied since ") && text.contains(" hurt"), "{text}");
    let owed = before["events"].as_array().expect("listed").iter().filter(|e| e["pending"] == true).count();
    assert_eq!(owed > 0, manner == Manner::Honest, "by status only an honest application shows it");

    sandbox.ground().lift(Incident::WrongSecret).await.expect("the right secret again");
    let replay = ["replay", "--since-last-applied", "--json"];
    let plan = desk.say(&[&replay[..], &["--dry-run"]].concat()).await.well();
    let confirm = plan["plan"]["confirm"].as_str().unwrap_or_else(|| panic!("{plan:#}")).to_string();
    let done = desk.say(&[&replay[..], &["--confirm", &confirm, "--reason", "a test"]].concat()).await.well();
    assert_eq!(done["state"], "done", "{done:#}");
    let after = said(&desk).await;
    assert_eq!((&after["silence"], after["groups"].as_array().map(Vec::len)), (&Value::Null, Some(0)), "{:#}", after["groups"]);
    for label in labels {
        assert!(sandbox.ground().repaired(&label).await.expect("an answer"), "{label:?}");
    }
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_swallows_its_errors() {
    night(Manner::Swallowing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_answers_honestly() {
    night(Manner::Honest).await;
}
