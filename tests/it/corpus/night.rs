//! One night of the corpus: a town in which every incident about webhooks happened at an hour of its own, and one is still under way.

use chrono::{DateTime, Duration, Utc};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Ground, Incident, Label};
use nightdesk::sandbox::stripe::Schedule;
use nightdesk::sandbox::{Sandbox, SandboxOptions};

use super::look::A_MONTH;
use super::seeds;
use crate::bench;

/// Enough people of every kind for all of it.
const TOWN: u64 = 1_400;
/// Subjects of each incident.
const EACH: usize = 12;

pub struct Night {
    pub sandbox: Sandbox,
    pub labels: Vec<Label>,
}

/// How many hours ago each happened: nobody's deliveries stand in the same minutes of the log as somebody else's. Healthy days come first,
/// with disorder and duplicates; what has nothing to do with webhooks stands among the rest. Of the incidents that are left out, two have no
/// events (`pool-exhausted`, `database-restart`), and one is `missed-webhooks` with a console killed beside it (`half-done-run`).
const PAST: &[(Incident, i64, usize)] = &[
    (Incident::Healthy, 48, 40),
    (Incident::Drift, 0, 18),
    (Incident::RefundWanted, 30, 3),
    (Incident::Dispute, 29, 3),
    (Incident::EraseRequest, 28, 3),
    (Incident::QuotaSpent, 28, 3),
    (Incident::MissedWebhooks, 26, EACH),
    (Incident::PlaceholderCustomers, 24, EACH),
    (Incident::WrongSecret, 21, EACH),
    (Incident::Webhook500, 18, EACH),
    (Incident::Deploy, 15, 15),
    (Incident::EndpointDown, 12, EACH),
    (Incident::ClockSkew, 9, EACH),
    (Incident::StripeDown, 6, 5),
];

pub async fn night(seed: u64, manner: Manner) -> Night {
    let options = SandboxOptions { seed, customers: TOWN, manner, background: false, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    let ground = sandbox.ground();
    let born = ground.population().born();
    // What is tried again is tried now, at this night's end, and would stand among what comes last.
    sandbox.simulator().set_retry_schedule(Schedule::Never);
    for (incident, hours, count) in PAST {
        strike(ground, *incident, *count, born - Duration::hours(*hours)).await;
        // What it left broken is put right, and no row is.
        let _ = ground.lift(*incident).await;
    }
    sandbox.simulator().set_retry_schedule(Schedule::Live);
    match under_way(seed, manner) {
        // Just now: what it writes comes late, and nobody may miss it yet.
        Incident::SlowApplication => drop(ground.strike(Incident::SlowApplication, EACH).await.unwrap()),
        other => strike(ground, other, EACH, born).await,
    }
    // Stripe's list reaches a month back: what is older is in nobody's list.
    let oldest = (Utc::now() - Duration::hours(A_MONTH)).timestamp();
    let created = |event: &str| sandbox.simulator().object(event).and_then(|e| e["created"].as_i64()).unwrap_or_default();
    let mut labels = ground.all_labels();
    labels.retain(|l| l.subject.event.as_deref().is_none_or(|event| created(event) > oldest));
    Night { labels, sandbox }
}

async fn strike(ground: &Ground, incident: Incident, count: usize, at: DateTime<Utc>) {
    ground.strike_at(incident, count, at).await.unwrap_or_else(|e| panic!("{incident:?}: {e}"));
}

/// What is still broken when somebody looks: the endpoint's registration in one manner, which seeds vary, and each of three in the other.
fn under_way(seed: u64, manner: Manner) -> Incident {
    let nth = [seeds::TUNED, seeds::HELD_OUT].iter().find_map(|half| half.iter().position(|s| *s == seed)).unwrap_or_default();
    match manner {
        Manner::Swallowing => Incident::Misregistered,
        Manner::Honest => [Incident::EndpointDown, Incident::WrongSecret, Incident::SlowApplication][nth % 3],
    }
}
