//! `nightdesk webhooks` on a served system: what each incident looks like by effect, in both manners, and its exit codes.

use crate::bench::{Bench, Options};
use crate::command::{Desk, Said};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Incident, Label, Truth};
use std::collections::BTreeSet;

async fn bench(manner: Manner) -> Bench {
    Bench::start(Options { manner, customers: 600, ..Options::default() }).await
}

/// The events that the command calls a failure, and those that the labels do, among the labelled ones.
#[track_caller]
fn compared(said: &Said, labels: &[Label]) -> (BTreeSet<String>, BTreeSet<String>) {
    let json = said.json();
    let events = json["events"].as_array().expect("they are listed");
    let failed = events.iter().filter(|e| matches!(e["verdict"].as_str(), Some("missing" | "contradicted")));
    let failed: BTreeSet<String> = failed.filter_map(|e| e["id"].as_str().map(String::from)).collect();
    let hurt = labels.iter().filter(|l| matches!(l.truth, Some(Truth::Missing | Truth::Contradicted)));
    (failed, hurt.filter_map(|l| l.subject.event.clone()).collect())
}

async fn found(manner: Manner, incident: Incident, cause: Option<&str>) {
    let bench = bench(manner).await;
    let labels = bench.ground.strike(incident, 5).await.expect("it strikes");
    let desk = Desk::of(&bench);
    // What happened just now settles first.
    let mut said = desk.say(&["webhooks", "--events", "--json"]).await;
    for _ in 0..40 {
        let (failed, hurt) = compared(&said, &labels);
        if failed.is_superset(&hurt) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        said = desk.say(&["webhooks", "--events", "--json"]).await;
    }
    let (failed, hurt) = compared(&said, &labels);
    assert!(!hurt.is_empty() && failed.is_superset(&hurt), "{incident:?} {manner:?}: {failed:?} lacks some of {hurt:?}\n{}", said.out);
    assert_eq!(said.code, Some(1), "{said:?}");
    if let Some(cause) = cause {
        let json = said.json();
        assert_eq!(json["groups"][0]["cause"], cause, "{}", said.out);
    }
    let text = desk.say(&["webhooks"]).await;
    assert!(text.out.contains("FAIL"), "{text:?}");
    assert!(!text.out.contains('@'), "no addresses: {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_webhooks_and_placeholders_are_found_by_effect() {
    found(Manner::Swallowing, Incident::MissedWebhooks, None).await;
    found(Manner::Swallowing, Incident::PlaceholderCustomers, Some("no_row_for_customer")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_found_in_both_manners() {
    found(Manner::Swallowing, Incident::WrongSecret, None).await;
    found(Manner::Honest, Incident::WrongSecret, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_system_ends_well_and_bad_words_are_named() {
    let bench = bench(Manner::Swallowing).await;
    bench.ground.strike(Incident::Healthy, 5).await.expect("healthy days");
    let desk = Desk::of(&bench);
    let said = desk.say(&["webhooks", "--since", "30d", "--events", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let json = said.json();
    assert_eq!(json["complete"], true, "{json}");
    assert!(json["events"].as_array().expect("a list").len() > 10, "{json}");
    for (arguments, word) in [
        (["--since", "yesterday"], "yesterday"),
        (["--since", "31d"], "30 days"),
        (["--cause", "gremlins"], "bad signature"),
        (["--verdict", "fine"], "superseded"),
    ] {
        let said = desk.say(&["webhooks", arguments[0], arguments[1]]).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(word) && said.err.lines().count() == 1, "{said:?}");
    }
}
