//! Stripe's JSON into the domain's objects, element by element, new shapes and old: one object that cannot be read never hides the others.

use crate::domain::At;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::money::Money;
use crate::domain::stripe::{
    CheckoutSession, Customer, Interval, Invoice, Item, Metadata, Payment, Period, Price, Status, StripeEvent, Subscription,
};
use crate::domain::text::clean;
use serde_json::Value;

/// The elements of a list or search result that can be read, in Stripe's order.
pub(super) fn list<T>(page: &Value, decode: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    page.get("data").and_then(Value::as_array).into_iter().flatten().filter_map(decode).collect()
}

pub(super) fn customer(v: &Value) -> Option<Customer> {
    Some(Customer {
        id: id(v.get("id")?)?,
        deleted: flag(v, "deleted"),
        email: text(v, "email"),
        name: text(v, "name"),
        created: time(v, "created").unwrap_or_default(),
        livemode: flag(v, "livemode"),
        metadata: metadata(v),
    })
}

pub(super) fn subscription(v: &Value) -> Option<Subscription> {
    Some(Subscription {
        id: id(v.get("id")?)?,
        customer: id(v.get("customer")?)?,
        status: Status::from(text(v, "status")?),
        items: v.pointer("/items/data").and_then(Value::as_array).into_iter().flatten().filter_map(item).collect(),
        period: period(v),
        created: time(v, "created")?,
        cancel_at: time(v, "cancel_at"),
        cancel_at_period_end: flag(v, "cancel_at_period_end"),
        canceled_at: time(v, "canceled_at"),
        ended_at: time(v, "ended_at"),
        trial_end: time(v, "trial_end"),
        pause: v.pointer("/pause_collection/behavior").and_then(Value::as_str).map(clean),
        // A schedule's id has a prefix of its own that leads nowhere here: it is a mark, not a way.
        schedule: v.get("schedule").filter(|s| !s.is_null()).and_then(id),
        metadata: metadata(v),
        latest_invoice: v.get("latest_invoice").and_then(id),
    })
}

fn item(v: &Value) -> Option<Item> {
    Some(Item {
        id: id(v.get("id")?)?,
        price: price(v.get("price")?)?,
        quantity: v.get("quantity").and_then(Value::as_u64).unwrap_or(1),
        period: period(v),
    })
}

pub(super) fn price(v: &Value) -> Option<Price> {
    let currency = text(v, "currency").unwrap_or_default();
    Some(Price {
        id: id(v.get("id")?)?,
        lookup_key: text(v, "lookup_key"),
        interval: v.pointer("/recurring/interval").and_then(Value::as_str).and_then(interval),
        interval_count: v.pointer("/recurring/interval_count").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        unit_amount: v.get("unit_amount").and_then(Value::as_i64).map(|minor| Money::new(minor, &currency)),
        product: v.get("product").and_then(id),
        metadata: metadata(v),
        product_metadata: v.get("product").map(metadata).unwrap_or_default(),
    })
}

pub(super) fn invoice(v: &Value) -> Option<Invoice> {
    let currency = text(v, "currency")?;
    let amount = |key: &str| Money::new(v.get(key).and_then(Value::as_i64).unwrap_or_default(), &currency);
    let subscription = v.pointer("/parent/subscription_details/subscription").or_else(|| v.get("subscription"));
    Some(Invoice {
        id: id(v.get("id")?)?,
        customer: v.get("customer").and_then(id),
        subscription: subscription.and_then(id),
        status: text(v, "status").unwrap_or_else(|| "draft".into()),
        total: amount("total"),
        amount_paid: amount("amount_paid"),
        created: time(v, "created")?,
        paid_at: v.get("status_transitions").and_then(|t| time(t, "paid_at")),
        payments: v
            .pointer("/payments/data")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|p| payment(p, &currency))
            .collect(),
    })
}

fn payment(v: &Value, currency: &str) -> Option<Payment> {
    let paid = v.get("amount_paid").and_then(Value::as_i64).or_else(|| v.get("amount_requested").and_then(Value::as_i64));
    Some(Payment {
        id: id(v.get("id")?)?,
        intent: v.pointer("/payment/payment_intent").and_then(id),
        status: text(v, "status")?,
        amount: Money::new(paid.unwrap_or_default(), currency),
        paid_at: v.get("status_transitions").and_then(|t| time(t, "paid_at")),
    })
}

pub(super) fn session(v: &Value) -> Option<CheckoutSession> {
    Some(CheckoutSession {
        id: id(v.get("id")?)?,
        customer: v.get("customer").and_then(id),
        subscription: v.get("subscription").and_then(id),
        client_reference_id: text(v, "client_reference_id"),
        metadata: metadata(v),
        status: text(v, "status").unwrap_or_default(),
        payment_status: text(v, "payment_status").unwrap_or_default(),
        created: time(v, "created")?,
    })
}

pub(super) fn event(v: &Value) -> Option<StripeEvent> {
    let object = v.pointer("/data/object")?;
    let kind = text(v, "type")?;
    let is_subscription = kind.starts_with("customer.subscription.");
    Some(StripeEvent {
        id: id(v.get("id")?)?,
        created: time(v, "created")?,
        pending_webhooks: v.get("pending_webhooks").and_then(Value::as_u64).unwrap_or_default(),
        object: object.get("id").and_then(id),
        customer: object.get("customer").and_then(id),
        subscription: if is_subscription { subscription(object).map(Box::new) } else { None },
        kind,
    })
}

/// The id itself, or of the object that was expanded in its place.
pub(super) fn id(v: &Value) -> Option<StripeId> {
    let text = v.as_str().or_else(|| v.get("id").and_then(Value::as_str))?;
    StripeId::parse(text).ok()
}

pub(super) fn customer_id(v: &Value) -> Option<StripeId> {
    v.get("customer").and_then(id).filter(|c| c.kind() == StripeKind::Customer)
}

pub(super) fn metadata(v: &Value) -> Metadata {
    let pairs = v.get("metadata").and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(k, v)| v.as_str().map(|v| (clean(k), clean(v)))).collect()
}

pub(super) fn text(v: &Value, key: &str) -> Option<String> {
    v.get(key).and_then(Value::as_str).map(clean)
}

pub(super) fn flag(v: &Value, key: &str) -> bool {
    v.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn time(v: &Value, key: &str) -> Option<At> {
    v.get(key).and_then(Value::as_i64).and_then(|s| At::from_timestamp(s, 0))
}

fn period(v: &Value) -> Option<Period> {
    Some(Period { start: time(v, "current_period_start")?, end: time(v, "current_period_end")? })
}

fn interval(word: &str) -> Option<Interval> {
    match word {
        "day" => Some(Interval::Day),
        "week" => Some(Interval::Week),
        "month" => Some(Interval::Month),
        "year" => Some(Interval::Year),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn periods_are_found_on_items_and_in_old_shapes_on_the_subscription() {
        let old = json!({"id":"sub_1abcdefgh","customer":"cus_abcdefgh1","status":"active","created":1_700_000_000,
            "current_period_start":1_700_000_000,"current_period_end":1_702_592_000,
            "items":{"data":[{"id":"si_1abc","price":{"id":"price_1abc","currency":"eur","recurring":{"interval":"month"}}}]}});
        let s = subscription(&old).expect("an old shape");
        assert!(s.items[0].period.is_none() && s.period_of(s.items.first()).is_some());
        assert_eq!((s.items[0].price.interval, s.items[0].quantity), (Some(Interval::Month), 1));
    }

    #[test]
    fn one_unreadable_element_hides_no_other() {
        let page = json!({"data":[{"id":"cus_abcdefgh1","created":1},{"id":42},{"object":"alien"},{"id":"cus_abcdefgh2","name":"\u{1b}[31mEve","created":2}]});
        let found = list(&page, customer);
        assert_eq!(found.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["cus_abcdefgh1", "cus_abcdefgh2"]);
        assert_eq!(found[1].name.as_deref(), Some("\u{FFFD}[31mEve"));
    }
}
