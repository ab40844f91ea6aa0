//! What Stripe tries again by itself after a replay: an older state over the newest, told before and after.

use crate::bench::{Bench, Options, Payer};
use crate::command::Desk;
use chrono::{Duration, Utc};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Incident, Label};
use sqlx::AssertSqlSafe;

const SAYS: &str = "Stripe still tries 1 older event of these by itself";

/// Three changes without effect, and one of the three is changed once more, to no effect either.
async fn changed_twice(manner: Manner) -> (Bench, Desk, Payer) {
    let bench = Bench::start(Options { manner, ..Options::default() }).await;
    let labels = bench.ground.strike(Incident::Webhook500, 3).await.expect("there are enough");
    let bought = |l: &&Label| l.subject.event_type.as_deref() == Some("customer.subscription.created");
    let payer = Payer::of(labels.iter().find(bought).expect("somebody checked out").clone());
    let at = Utc::now() - Duration::minutes(3);
    let later = bench.simulator.cancel_at_period_end(&payer.expected.subscription, true, at).expect("it goes on");
    bench.simulator.deliver(&later).await;
    bench.ground.lift(Incident::Webhook500).await.expect("lifted");
    let desk = Desk::of(&bench).configured("[stripe]\nresends_per_s = 20\nbackground_per_s = 50\n");
    (bench, desk, payer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_event_that_stripe_still_owes_is_told_with_the_review_and_the_result() {
    let (bench, desk, payer) = changed_twice(Manner::Honest).await;
    let plan = desk.say(&["replay", "--since", "1d", "--dry-run", "--json"]).await.well();
    assert!(plan["plan"]["notes"].to_string().contains(SAYS), "{plan:#}");
    let confirm = plan["plan"]["confirm"].as_str().expect("a count").to_string();
    let done = desk.say(&["replay", "--since", "1d", "--confirm", &confirm, "--reason", "a test", "--json"]).await.well();
    assert!(done["state"] == "done" && done["note"].as_str().is_some_and(|n| n.contains(SAYS)), "{done:#}");
    assert_eq!(desk.say(&["drift", "--json"]).await.code, Some(0), "right for now");
    // What was said comes true: the older one is taken, and its state stands over the newest.
    let ends = format!("SELECT cancel_at_period_end FROM subscriptions WHERE stripe_customer_id = '{}'", payer.expected.customer);
    let ends = async || sqlx::query_scalar::<_, bool>(AssertSqlSafe(ends.as_str())).fetch_one(&bench.admin).await.unwrap();
    assert!(ends().await, "the newest state");
    bench.simulator.deliver(&payer.event).await;
    assert!(!ends().await, "the older one");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_answer_was_200_nothing_is_owed_and_nothing_said() {
    let (_bench, desk, _) = changed_twice(Manner::Swallowing).await;
    let plan = desk.say(&["replay", "--since", "1d", "--dry-run"]).await;
    assert!(plan.code == Some(0) && plan.out.contains("Resend") && !plan.out.contains("Stripe still tries"), "{plan:?}");
}
