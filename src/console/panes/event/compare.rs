//! The event's own object, the object as Stripe has it now and the row, field by field.

use super::Model;
use crate::console::context::Context;
use crate::console::widgets::format::moment;
use crate::domain::At;
use crate::domain::expected::expected;
use crate::domain::mask;
use crate::domain::row::{Field, Image, Value, same};
use crate::domain::stripe::Subscription;

/// A field as the three have it; empty where one has no word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fieldwise {
    pub label: &'static str,
    pub event: String,
    pub stripe: String,
    pub row: String,
    /// The row is not as Stripe demands now.
    pub differs: bool,
    /// Stripe demands something else now than the event did.
    pub moved_on: bool,
}

/// The table, fields that nobody has a word for left out. Empty until something of it is known.
#[must_use]
pub fn table(m: &Model, cx: &Context) -> Vec<Fieldwise> {
    let Some(env) = cx.env else { return Vec::new() };
    let demanded = |s: &Subscription| -> Option<Image> { expected(s, &env.tiers, m.shape.value()?, None).ok().map(|e| e.image) };
    let event = m.snapshot.value().and_then(Option::as_ref).and_then(demanded);
    let stripe = m.subscription.value().and_then(Option::as_ref).and_then(demanded);
    let row = m.row.value().and_then(Option::as_ref).map(|r| &r.image);
    if event.is_none() && stripe.is_none() && row.is_none() {
        return Vec::new();
    }
    let shown = |image: Option<&Image>, field: Field| image.and_then(|i| i.get(&field)).map(|v| word(field, v, cx.now)).unwrap_or_default();
    Field::ALL
        .into_iter()
        .filter(|f| *f != Field::UpdatedAt)
        .map(|field| {
            let value = |image: Option<&Image>| image.and_then(|i| i.get(&field)).cloned();
            let unlike = |a: Option<Value>, b: Option<Value>| a.zip(b).is_some_and(|(a, b)| !same(&a, &b));
            Fieldwise {
                label: field.label(),
                event: shown(event.as_ref(), field),
                stripe: shown(stripe.as_ref(), field),
                row: shown(row, field),
                differs: unlike(value(stripe.as_ref().or(event.as_ref())), value(row)),
                moved_on: unlike(value(event.as_ref()), value(stripe.as_ref())),
            }
        })
        .filter(|f| !(f.event.is_empty() && f.stripe.is_empty() && f.row.is_empty()))
        .collect()
}

fn word(field: Field, value: &Value, now: At) -> String {
    match value {
        Value::Time(at) => moment(*at, now),
        Value::Text(text) if matches!(field, Field::Customer | Field::Subscription) => mask::id(text),
        value => value.to_string(),
    }
}
