//! Incident `deploy`: a new version of the application fails on subscriptions in today's shape; events before it are fine, after it missing.

use chrono::{DateTime, Duration, Utc};

use super::ground::Turn;
use super::happenings::{Act, Happening, cast, perform, root};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec, Truth};
use crate::sandbox::app::{Deploy, Flaw};

pub const SPEC: Spec = Spec {
    name: "deploy",
    title: "a new version of the application broke the subscription handler",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| Box::pin(lift(ground))),
};

const INCIDENT: Incident = Incident::Deploy;

/// How long ago the new version started.
const DEPLOYED_MINUTES: i64 = 45;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    ground.must_be_well(INCIDENT).await?;
    let parts = cast(ground, INCIDENT, turn)?;
    let deployed = turn.present - Duration::minutes(DEPLOYED_MINUTES);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (index, part) in parts.into_iter().enumerate() {
        let nth = i64::try_from(index / 3).expect("invariant: a few");
        // Of three one came before the deploy, and two after it, some seconds apart.
        let (list, minutes, seconds) = match index % 3 {
            2 => (&mut before, DEPLOYED_MINUTES + 4 + 9 * nth, 0),
            other => (&mut after, 3 + 8 * nth % 40, 13 * i64::from(other == 1)),
        };
        let at = turn.present - Duration::minutes(minutes) - Duration::seconds(seconds);
        list.push(perform(ground, part, turn, index, at));
    }
    hand_over(ground, &before).await;
    ground
        .app()
        .deploy(Deploy {
            version: "2026.11.3",
            at: Some(deployed),
            author: "m.okafor",
            changed: "Rewrite the webhook handlers: subscriptions are read as one object, invoices as before".into(),
            flaw: Some(Flaw::PeriodFromSubscription),
        })
        .await?;
    hand_over(ground, &after).await;
    // An honest failure was tried again meanwhile, and failed again.
    ground.simulator().deliveries_done().await;
    let mut labels = vec![Label { at: deployed, ..root(ground, INCIDENT, turn, Cause::BrokenVersion, "version 2026.11.3 was deployed") }];
    for (happening, late) in before.iter().map(|h| (h, false)).chain(after.iter().map(|h| (h, true))) {
        labels.push(match (late, happening.act) {
            (false, _) => happening.label(ground, INCIDENT, Cause::None, Truth::Fine, "delivered and applied before the new version"),
            // Another handler, which the new version left alone.
            (true, Act::LeaveNow) => {
                happening.label(ground, INCIDENT, Cause::None, Truth::Fine, "delivered and applied by the new version")
            }
            (true, _) => {
                happening.label(ground, INCIDENT, Cause::BrokenVersion, Truth::Missing, "the new version failed on a delivered event")
            }
        });
    }
    Ok(labels)
}

async fn hand_over(ground: &Ground, happened: &[Happening]) {
    let mut events: Vec<(DateTime<Utc>, &String)> = happened.iter().flat_map(|h| h.events.iter().map(|e| (h.at, e))).collect();
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        ground.hand_over(event, at + Duration::seconds(2)).await;
    }
}

/// The version before, again.
async fn lift(ground: &Ground) -> Result<(), IncidentError> {
    ground.app().roll_back().await?;
    Ok(())
}
