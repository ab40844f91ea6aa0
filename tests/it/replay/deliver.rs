//! Events that Stripe does not send, delivered by us: over HTTP to the sample application, signed anew, where policy allows.

use crate::bench::{Bench, Options, Payer};
use crate::command::Desk;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::Incident;
use serde_json::Value;

const ALLOWED: &str = "[policy]\ndeliver = true\n[stripe]\nresends_per_s = 20\nbackground_per_s = 20\n";

/// Nothing was sent, since the endpoint is off at Stripe.
async fn unsent(manner: Manner) -> (Bench, Vec<Payer>) {
    let bench = Bench::start(Options { manner, ..Options::default() }).await;
    let labels = bench.strike(Incident::MissedWebhooks, 3).await;
    bench.simulator.set_endpoint_enabled(false);
    (bench, labels)
}

async fn replay(desk: &Desk, summary: &str) -> Value {
    let plan = desk.say(&["replay", "--since", "2d", "--dry-run", "--json"]).await.well();
    assert_eq!(plan["plan"]["summary"], summary, "{plan:#}");
    desk.say(&["replay", "--since", "2d", "--confirm", "3", "--reason", "a test", "--json"]).await.well()
}

async fn repaired(bench: &Bench, labels: &[Payer]) {
    for label in labels {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
    assert!(!bench.simulator.requests().iter().any(|r| r.path.ends_with("/retry")), "Stripe was asked to send nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_runs_for_what_stripe_does_not_send() {
    let (bench, labels) = unsent(Manner::Honest).await;
    let desk = Desk::of(&bench).configured(ALLOWED);
    // The events are older than a signature may be: what is accepted was signed now.
    let done = replay(&desk, "Deliver 3 events ourselves, one for each subscription").await;
    assert_eq!((done["state"].as_str(), done["progress"]["instead"].as_u64()), (Some("done"), Some(0)), "{done}");
    repaired(&bench, &labels).await;
    let log = std::fs::read_to_string(&bench.log).unwrap();
    for label in &labels {
        assert!(log.contains(&label.event), "its handler had {}: {log}", label.event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_refuses_is_copied() {
    let (bench, labels) = unsent(Manner::Honest).await;
    let desk = Desk::of(&bench).but("STRIPE_WEBHOOK_SECRET", "whsec_of_another_endpoint").configured(ALLOWED);
    let done = replay(&desk, "Deliver 3 events ourselves, one for each subscription").await;
    assert_eq!((done["state"].as_str(), done["progress"]["instead"].as_u64()), (Some("done"), Some(3)), "{done}");
    repaired(&bench, &labels).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_of_policy_nothing_is_delivered() {
    let (bench, labels) = unsent(Manner::Swallowing).await;
    let desk = Desk::of(&bench);
    assert_eq!(replay(&desk, "Copy 3 rows from Stripe").await["state"], "done");
    repaired(&bench, &labels).await;
    let log = std::fs::read_to_string(&bench.log).unwrap_or_default();
    assert!(!labels.iter().any(|l| log.contains(&l.event)), "{log}");
}
