//! What resending cannot repair: refused with the reason, and the repair that works is what the plan does instead.

use crate::bench::{Bench, Options};
use crate::command::Desk;
use nightdesk::sandbox::incidents::Incident;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_placeholder_is_not_resent_but_linked() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    let plan = desk.say(&["replay", &label.event, "--dry-run", "--json"]).await.well();
    let plan = &plan["plan"];
    assert!(plan["summary"].as_str().unwrap().starts_with("Link the row"), "{plan:#}");
    assert!(plan["notes"].to_string().contains("not resent") && plan["notes"].to_string().contains("resending does not"), "{plan:#}");
    assert!(plan["confirm"].is_null(), "one row, one key");
    let done = desk.say(&["replay", &label.event, "--yes", "--reason", "a test", "--json"]).await.well();
    assert_eq!(done["state"], "done", "{done}");
    assert!(bench.ground.repaired(&label).await.unwrap());
    let retries = bench.simulator.requests().iter().filter(|r| r.path.ends_with("/retry")).count();
    assert_eq!(retries, 0, "nothing was resent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_stripe_no_longer_has_and_ids_that_are_none() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    for json in [&[][..], &["--json"]] {
        let gone = desk.say(&[&["replay", "evt_1GoneLongAgo00000000000", "--dry-run"], json].concat()).await;
        gone.refused(&["Stripe has no event evt_1GoneLongAgo00000000000", "30 days", "run tier-update --customer"]);
    }
    desk.say(&["replay", "evt_nope", "--dry-run"]).await.refused(&["`evt_nope` is not an event's id"]);
    desk.say(&["replay", "cus_1", "--dry-run"]).await.refused(&["is not an event's id"]);
    desk.say(&["replay", "--dry-run"]).await.refused(&["say which events"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_disabled_gets_nothing_and_the_rows_are_copied() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let labels = bench.strike(Incident::MissedWebhooks, 3).await;
    bench.simulator.set_endpoint_enabled(false);
    let plan = desk.say(&["replay", "--since", "2d", "--dry-run", "--json"]).await.well();
    assert!(plan["plan"]["notes"].to_string().contains("disabled"), "{plan:#}");
    let confirm = plan["plan"]["confirm"].as_str().unwrap();
    assert_eq!(confirm, "3", "{plan:#}");
    let done = desk.say(&["replay", "--since", "2d", "--confirm", confirm, "--reason", "a test", "--json"]).await.well();
    assert_eq!(done["state"], "done", "{done}");
    let mut steps = done["plan"]["steps"].as_array().unwrap().iter();
    assert!(steps.all(|s| s["kind"] != "verify" || s["state"] == "passed"), "what is done has nothing pending: {done}");
    for label in &labels {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_replayed_by_its_own_events_alone() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let theirs = bench.strike(Incident::PlaceholderCustomers, 2).await;
    let others = bench.strike(Incident::MissedWebhooks, 3).await;
    let listed = desk.say(&["webhooks", "--cause", "no row for customer", "--json"]).await.json();
    assert_eq!(listed["groups"].as_array().map(Vec::len), Some(1), "{listed:#}");
    for word in ["no_row_for_customer", "no row for customer"] {
        let plan = desk.say(&["replay", "--cause", word, "--dry-run", "--json"]).await.well();
        assert_eq!(plan["plan"]["confirm"], "2", "{plan:#}");
    }
    let done = desk.say(&["replay", "--cause", "no_row_for_customer", "--confirm", "2", "--reason", "a test", "--json"]).await.well();
    assert_eq!(done["state"], "done", "{done}");
    for label in &theirs {
        assert!(bench.ground.repaired(label).await.unwrap());
    }
    for label in &others {
        assert!(!bench.ground.repaired(label).await.unwrap(), "{} is of another cause", label.event);
    }
    let none = desk.say(&["replay", "--cause", "no_row_for_customer", "--since", "2h", "--dry-run", "--json"]).await.well();
    assert!(none["says"].as_str().unwrap().starts_with("No effect is missing for this cause"), "{none}");
    desk.say(&["replay", "--cause", "gremlins", "--dry-run"]).await.refused(&["is no cause"]);
}
