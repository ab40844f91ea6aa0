//! Incident `missed-webhooks`: linked customers checked out and paid, Stripe made its events, none of them ever arrived.

use super::{Expected, Ground, Incident, Label, Purchase};
use crate::sandbox::population::{Billing, Population};
use crate::sandbox::stripe::NewCheckout;

/// Free customers whose row holds the right Stripe customer.
pub fn suits(population: &Population, number: u64) -> bool {
    population.billing(number) == Billing::Free
}

pub fn strike(ground: &Ground, number: u64, purchase: &Purchase) -> Label {
    let profile = ground.key(number);
    let made = ground.simulator.checkout(NewCheckout {
        number,
        price: purchase.price.to_string(),
        client_reference_id: Some(profile.clone()),
        metadata: Vec::new(),
        at: purchase.at,
        new_customer: false,
    });
    Label {
        incident: Incident::MissedWebhooks,
        number,
        profile,
        broke: "paid by a linked customer; no event about it was ever delivered",
        named_by: "client_reference_id",
        event: made.subscribed.subscription_created.clone(),
        expected: Expected::of(ground, purchase, &made),
    }
}
