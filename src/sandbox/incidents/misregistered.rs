//! Incident `misregistered`: the endpoint at Stripe is disabled, not subscribed, at a path that nobody serves, or at one that redirects.

use super::ground::Turn;
use super::happenings::{cast, root, unheard};
use super::{Cause, Ground, Incident, IncidentError, Label, Spec};
use crate::sandbox::stripe::ENDPOINT_EVENTS;

pub const SPEC: Spec = Spec {
    name: "misregistered",
    title: "the endpoint at Stripe is disabled, not subscribed, or registered with a URL that is not the application's",
    background: 0,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: Some(|ground| {
        Box::pin(async move {
            lift(ground);
            Ok(())
        })
    }),
};

const INCIDENT: Incident = Incident::Misregistered;

/// What is left of the subscription where somebody took too much away.
const PAYMENTS_ONLY: [&str; 3] = ["checkout.session.completed", "invoice.paid", "invoice.payment_failed"];

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let parts = cast(ground, INCIDENT, turn)?;
    let (stripe, url) = (ground.simulator(), ground.app().webhook_url());
    // The seed decides which of the four it is the first time; after that they take turns.
    let (cause, broke) = match (ground.population().seed() + turn.before as u64) % 4 {
        0 => {
            stripe.set_endpoint_enabled(false);
            (Cause::EndpointDisabled, "the endpoint was disabled")
        }
        1 => {
            stripe.subscribe(&PAYMENTS_ONLY);
            (Cause::NotSubscribed, "the endpoint was unsubscribed from what happens to subscriptions")
        }
        2 => {
            stripe.set_webhook_url(url.replace("/webhooks/", "/webhook/"));
            (Cause::WrongPath, "the endpoint was moved to a path that nobody serves")
        }
        _ => {
            stripe.set_webhook_url(format!("{url}/"));
            (Cause::Redirect, "the endpoint was moved to a URL that redirects")
        }
    };
    let mut labels = vec![root(ground, INCIDENT, turn, cause, broke)];
    labels.extend(unheard(ground, parts, INCIDENT, turn, cause, "an event happened and did not reach the application").await);
    Ok(labels)
}

/// The endpoint as it was: enabled, subscribed to everything that the application handles, at the application's URL.
fn lift(ground: &Ground) {
    let stripe = ground.simulator();
    stripe.set_endpoint_enabled(true);
    stripe.subscribe(&ENDPOINT_EVENTS);
    stripe.set_webhook_url(ground.app().webhook_url());
}
