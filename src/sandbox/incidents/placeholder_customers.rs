//! Incident `placeholder-customers`: the row still holds the placeholder written at checkout, so the delivered webhooks found no row.

use super::{Expected, Ground, Incident, Label, Purchase};
use crate::sandbox::population::{Billing, Population};
use crate::sandbox::stripe::NewCheckout;

/// People who never reached Stripe: their row holds a placeholder.
pub fn suits(population: &Population, number: u64) -> bool {
    population.billing(number) == Billing::Placeholder
}

pub async fn strike(ground: &Ground, number: u64, purchase: &Purchase, index: usize) -> Label {
    let profile = ground.key(number);
    // Most checkouts name the profile as Stripe suggests; every third only in its metadata.
    let (named_by, client_reference_id, metadata) = if index % 3 == 2 {
        ("metadata.profileId", None, vec![("profileId".to_string(), profile.clone())])
    } else {
        ("client_reference_id", Some(profile.clone()), Vec::new())
    };
    let made = ground.simulator.checkout(NewCheckout {
        number,
        price: purchase.price.to_string(),
        client_reference_id,
        metadata,
        at: purchase.at,
        new_customer: true,
    });
    for event in &made.events() {
        // Whatever the application answers: it finds no row for this customer.
        ground.simulator.deliver(event).await;
    }
    Label {
        incident: Incident::PlaceholderCustomers,
        number,
        profile,
        broke: "paid by a customer whom the row does not name; the webhooks were delivered and found no row",
        named_by,
        event: made.subscribed.subscription_created.clone(),
        expected: Expected::of(ground, purchase, &made),
    }
}
