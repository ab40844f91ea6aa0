//! Incident `stripe-down`: Stripe's API answers errors or nothing for a while; the webhooks before it arrived, and nothing is to be repaired.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::check::Passing;
use super::ground::Turn;
use super::happenings::{cast, perform};
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::stripe::{Effect, Rule, Simulator, When};

pub const SPEC: Spec = Spec {
    name: "stripe-down",
    title: "Stripe's API answers 500 or nothing for a while",
    background: 0,
    usual: 5,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    // What is kept up goes in any case.
    lift: Some(|_| Box::pin(async { Ok(()) })),
};

const INCIDENT: Incident = Incident::StripeDown;

/// How long it lasts if nobody ends it.
const LASTS: Duration = Duration::from_mins(5);

/// The share of requests that get no answer at all; the others get an error.
const SILENT: f64 = 0.3;

/// The rules of an outage, taken out of force when it ends.
struct Outage {
    rules: [u64; 2],
    simulator: Simulator,
}

/// Ends the outage when it is no longer kept up.
struct KeptUp(Arc<Outage>);

impl Outage {
    fn end(&self) {
        for rule in self.rules {
            self.simulator.faults().remove(rule);
        }
    }
}

impl Drop for KeptUp {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    ground.must_be_well(INCIDENT).await?;
    let parts = cast(ground, INCIDENT, turn)?;
    let mut labels = vec![Label {
        incident: INCIDENT,
        broke: "Stripe's API fails".into(),
        at: turn.present,
        cause: Cause::StripeDown,
        truth: None,
        subject: Subject::default(),
        check: Check::Passes(Passing::StripeDown),
    }];
    for (index, part) in parts.into_iter().enumerate() {
        let at = turn.purchase(index).at;
        let happening = perform(ground, part, turn, index, at);
        for event in &happening.events {
            ground.hand_over(event, at + chrono::Duration::seconds(2)).await;
        }
        labels.push(happening.label(ground, INCIDENT, Cause::None, Truth::Fine, "delivered and applied before Stripe failed"));
    }
    let simulator = ground.simulator().clone();
    let silent = simulator.faults().add(Rule::always("/v1", Effect::Hang).when(When::Share(SILENT)));
    let failing = simulator.faults().add(Rule::always("/v1", Effect::status(500)));
    let outage = Arc::new(Outage { rules: [silent, failing], simulator });
    let by_itself = Arc::clone(&outage);
    let mut over = JoinSet::new();
    over.spawn(async move {
        tokio::time::sleep(LASTS).await;
        by_itself.end();
    });
    ground.keep(INCIDENT, KeptUp(outage));
    ground.keep(INCIDENT, over);
    Ok(labels)
}
