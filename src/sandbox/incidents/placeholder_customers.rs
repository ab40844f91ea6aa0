//! Incident `placeholder-customers`: the row still holds the placeholder written at checkout, so the delivered webhooks found no row.

use chrono::Duration;

use super::check::Standing;
use super::ground::Turn;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::Billing;
use crate::sandbox::stripe::NewCheckout;

pub const SPEC: Spec = Spec {
    name: "placeholder-customers",
    title: "customers paid, and their rows still hold a placeholder customer id",
    background: 3,
    usual: 14,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    // People who never reached Stripe: their row holds a placeholder.
    let people = ground.pick(Incident::PlaceholderCustomers, turn.count, &|billing| billing == Billing::Placeholder)?;
    let mut labels = Vec::with_capacity(people.len());
    for (index, number) in people.into_iter().enumerate() {
        labels.push(one(ground, number, turn, index).await);
    }
    Ok(labels)
}

async fn one(ground: &Ground, number: u64, turn: Turn, index: usize) -> Label {
    let (profile, purchase) = (ground.key(number), turn.purchase(index));
    // Most checkouts name the profile as Stripe suggests; every third only in its metadata.
    let (named_by, client_reference_id, metadata) = if index % 3 == 2 {
        ("metadata.profileId", None, vec![("profileId".to_string(), profile.clone())])
    } else {
        ("client_reference_id", Some(profile.clone()), Vec::new())
    };
    let made = ground.simulator().checkout(NewCheckout {
        number,
        price: purchase.price.to_string(),
        client_reference_id,
        metadata,
        at: purchase.at,
        new_customer: true,
    });
    for event in &made.events() {
        // Whatever the application answers: it finds no row for this customer.
        ground.hand_over(event, purchase.at + Duration::seconds(2)).await;
    }
    Label {
        incident: Incident::PlaceholderCustomers,
        broke: "paid by a customer whom the row does not name; the webhooks were delivered and found no row".into(),
        at: purchase.at,
        cause: Cause::NoRowForCustomer,
        truth: Some(Truth::Missing),
        check: Check::Row(ground.demanded(&profile, &made.subscribed.subscription, Standing::bought(purchase.price))),
        subject: Subject::of_checkout(number, profile, made, named_by),
    }
}
