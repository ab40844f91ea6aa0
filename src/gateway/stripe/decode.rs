//! Stripe's JSON, of whatever API version, into the domain's objects: element by element, so that one odd object stays one.

use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mask;
use crate::domain::money::Money;
use crate::domain::stripe::{
    CheckoutSession, Customer, Interval, Invoice, Item, Metadata, Payment, Period, Price, Status, StripeEvent, Subscription, named_profile,
};
use crate::domain::text::clean;
use crate::domain::webhooks::feed::RawEvent;
use serde_json::Value;

/// So much of an element that cannot be read is shown, in characters.
const RAW_AT_MOST: usize = 2_000;

/// The elements of a list that can be read, and how many cannot.
///
/// # Errors
/// [`FaultKind::Schema`] where the answer is no list, or nothing in it can be read.
pub fn readable<T>(answer: &Value, decode: impl Fn(&Value) -> Option<T>) -> Result<(Vec<T>, usize), Fault> {
    let Some(elements) = answer["data"].as_array() else {
        return Err(Fault::new(Source::Stripe, FaultKind::Schema, "Stripe's answer is not the list that was asked for"));
    };
    let decoded: Vec<T> = elements.iter().filter_map(decode).collect();
    let odd = elements.len() - decoded.len();
    if odd > 0 {
        tracing::warn!(odd, of = elements.len(), kind = std::any::type_name::<T>(), "objects that cannot be read");
    }
    if decoded.is_empty() && odd > 0 {
        return Err(Fault::new(Source::Stripe, FaultKind::Schema, format!("none of the {odd} objects of Stripe's answer can be read")));
    }
    Ok((decoded, odd))
}

/// The elements that can be read, and beside them the others as they are.
///
/// # Errors
/// [`FaultKind::Schema`] where the answer is no list.
pub fn beside<T>(answer: &Value, decode: impl Fn(&Value) -> Option<T>) -> Result<(Vec<T>, Vec<RawEvent>), Fault> {
    let Some(elements) = answer["data"].as_array() else {
        return Err(Fault::new(Source::Stripe, FaultKind::Schema, "Stripe's answer is not the list that was asked for"));
    };
    let (mut decoded, mut raw) = (Vec::with_capacity(elements.len()), Vec::new());
    for element in elements {
        match decode(element) {
            Some(object) => decoded.push(object),
            None => raw.push(RawEvent {
                id: element["id"].as_str().map(clean),
                text: clean(&mask::json(element).to_string()).chars().take(RAW_AT_MOST).collect(),
            }),
        }
    }
    Ok((decoded, raw))
}

/// The last element of the page where another page follows. By its id alone: one that cannot be read may be the last.
pub fn next(answer: &Value) -> Option<StripeId> {
    let last = answer["data"].as_array().and_then(|d| d.last()).and_then(|v| v["id"].as_str());
    last.filter(|_| answer["has_more"] == true).and_then(|id| StripeId::parse(id).ok())
}

/// The elements that can be read, where one that is missing misleads nobody.
///
/// # Errors
/// As [`readable`].
pub fn list<T>(answer: &Value, decode: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Fault> {
    readable(answer, decode).map(|(decoded, _)| decoded)
}

/// Every element, for what is decided upon: the one that is left out may be the one that counts.
///
/// # Errors
/// [`FaultKind::Schema`] where the answer is no list, or anything in it cannot be read.
pub fn all<T>(answer: &Value, decode: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Fault> {
    let (decoded, odd) = readable(answer, decode)?;
    if odd > 0 {
        let say = format!("{odd} of {} objects of Stripe's answer cannot be read, and any of them may decide", decoded.len() + odd);
        return Err(Fault::new(Source::Stripe, FaultKind::Schema, say));
    }
    Ok(decoded)
}

/// One object, or a sentence that it cannot be read.
///
/// # Errors
/// [`FaultKind::Schema`].
pub fn one<T>(value: &Value, decode: impl Fn(&Value) -> Option<T>) -> Result<T, Fault> {
    decode(value).ok_or_else(|| Fault::new(Source::Stripe, FaultKind::Schema, "Stripe's object lacks what every object of its kind has"))
}

/// An id, of an object that is expanded or not.
pub fn id(value: &Value) -> Option<StripeId> {
    StripeId::parse(value.as_str().or_else(|| value["id"].as_str())?).ok()
}

fn id_of(kind: StripeKind, value: &Value) -> Option<StripeId> {
    id(value).filter(|id| id.kind() == kind)
}

fn time(value: &Value) -> Option<At> {
    At::from_timestamp(value.as_i64()?, 0)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(clean).filter(|t| !t.is_empty())
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

pub fn metadata(value: &Value) -> Metadata {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(k, v)| Some((clean(k), clean(v.as_str()?)))).collect()
}

fn period(value: &Value) -> Option<Period> {
    Some(Period { start: time(&value["current_period_start"])?, end: time(&value["current_period_end"])? })
}

/// A customer, deleted ones included: of those only the id is left.
pub fn customer(value: &Value) -> Option<Customer> {
    Some(Customer {
        id: id_of(StripeKind::Customer, value)?,
        deleted: flag(&value["deleted"]),
        email: text(&value["email"]),
        name: text(&value["name"]),
        created: time(&value["created"]).unwrap_or_default(),
        livemode: flag(&value["livemode"]),
        metadata: metadata(&value["metadata"]),
    })
}

fn price(value: &Value) -> Option<Price> {
    let recurring = &value["recurring"];
    let interval = recurring["interval"].as_str().or_else(|| value["interval"].as_str()).and_then(|word| match word {
        "day" => Some(Interval::Day),
        "week" => Some(Interval::Week),
        "month" => Some(Interval::Month),
        "year" => Some(Interval::Year),
        _ => None,
    });
    let count = recurring["interval_count"].as_u64().or_else(|| value["interval_count"].as_u64());
    let currency = value["currency"].as_str().unwrap_or_default();
    // Plans, the prices of old, call it `amount`.
    let amount = value["unit_amount"].as_i64().or_else(|| value["amount"].as_i64());
    Some(Price {
        id: plan_or_price(value)?,
        lookup_key: text(&value["lookup_key"]),
        interval,
        interval_count: count.and_then(|c| u32::try_from(c).ok()).unwrap_or(1),
        unit_amount: amount.map(|minor| Money::new(minor, currency)),
        product: id_of(StripeKind::Product, &value["product"]),
        metadata: metadata(&value["metadata"]),
        product_metadata: metadata(&value["product"]["metadata"]),
    })
}

/// Plans may have ids of the merchant's own choosing; those name no price of ours, and are kept under a price's prefix.
fn plan_or_price(value: &Value) -> Option<StripeId> {
    let text = value["id"].as_str()?;
    if let Some(id) = StripeId::of(StripeKind::Price, text) {
        return Some(id);
    }
    let kept: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(80).collect();
    StripeId::of(StripeKind::Price, &format!("plan_{kept}"))
}

fn item(value: &Value) -> Option<Item> {
    let sold = if value["price"].is_object() { &value["price"] } else { &value["plan"] };
    Some(Item {
        id: id_of(StripeKind::SubscriptionItem, value)?,
        price: price(sold)?,
        quantity: value["quantity"].as_u64().unwrap_or(1),
        period: period(value),
    })
}

pub fn subscription(value: &Value) -> Option<Subscription> {
    let items = value["items"]["data"].as_array();
    let decoded: Vec<Item> = items.into_iter().flatten().filter_map(item).collect();
    // With one of several items unread, the deciding one may be missing.
    if items.is_some_and(|all| all.len() != decoded.len()) || value["items"]["has_more"] == true {
        return None;
    }
    Some(Subscription {
        id: id_of(StripeKind::Subscription, value)?,
        customer: id_of(StripeKind::Customer, &value["customer"])?,
        status: Status::from(clean(value["status"].as_str()?)),
        items: decoded,
        period: period(value),
        created: time(&value["created"])?,
        cancel_at: time(&value["cancel_at"]),
        cancel_at_period_end: flag(&value["cancel_at_period_end"]),
        canceled_at: time(&value["canceled_at"]),
        ended_at: time(&value["ended_at"]),
        trial_end: time(&value["trial_end"]),
        pause: text(&value["pause_collection"]["behavior"]),
        schedule: id(&value["schedule"]),
        metadata: metadata(&value["metadata"]),
        latest_invoice: id_of(StripeKind::Invoice, &value["latest_invoice"]),
    })
}

/// The subscription that an invoice is for, in the shape of today or of before.
pub fn invoice_subscription(value: &Value) -> Option<StripeId> {
    let now = &value["parent"]["subscription_details"]["subscription"];
    id_of(StripeKind::Subscription, now).or_else(|| id_of(StripeKind::Subscription, &value["subscription"]))
}

pub fn invoice(value: &Value) -> Option<Invoice> {
    let currency = value["currency"].as_str()?;
    let money = |v: &Value| Money::new(v.as_i64().unwrap_or(0), currency);
    let payments = value["payments"]["data"].as_array();
    let mut payments: Vec<Payment> = payments.into_iter().flatten().filter_map(payment).collect();
    let paid_at = time(&value["status_transitions"]["paid_at"]);
    // Before payments had objects of their own, the invoice named its one intent.
    if let Some(intent) = id_of(StripeKind::PaymentIntent, &value["payment_intent"]).filter(|_| payments.is_empty()) {
        let status = if value["status"] == "paid" { "paid" } else { "open" };
        payments.push(Payment {
            id: intent.clone(),
            intent: Some(intent),
            status: status.into(),
            amount: money(&value["amount_paid"]),
            paid_at,
        });
    }
    Some(Invoice {
        id: id_of(StripeKind::Invoice, value)?,
        customer: id_of(StripeKind::Customer, &value["customer"]),
        subscription: invoice_subscription(value),
        status: text(&value["status"]).unwrap_or_else(|| "draft".into()),
        total: money(&value["total"]),
        amount_paid: money(&value["amount_paid"]),
        created: time(&value["created"])?,
        paid_at,
        payments,
    })
}

fn payment(value: &Value) -> Option<Payment> {
    let currency = value["currency"].as_str()?;
    let amount = value["amount_paid"].as_i64().or_else(|| value["amount_requested"].as_i64()).unwrap_or(0);
    Some(Payment {
        id: id_of(StripeKind::InvoicePayment, value)?,
        intent: id_of(StripeKind::PaymentIntent, &value["payment"]["payment_intent"]),
        status: text(&value["status"])?,
        amount: Money::new(amount, currency),
        paid_at: time(&value["status_transitions"]["paid_at"]),
    })
}

pub fn session(value: &Value) -> Option<CheckoutSession> {
    Some(CheckoutSession {
        id: id_of(StripeKind::CheckoutSession, value)?,
        customer: id_of(StripeKind::Customer, &value["customer"]),
        subscription: id_of(StripeKind::Subscription, &value["subscription"]),
        client_reference_id: text(&value["client_reference_id"]),
        metadata: metadata(&value["metadata"]),
        status: text(&value["status"]).unwrap_or_default(),
        payment_status: text(&value["payment_status"]).unwrap_or_default(),
        created: time(&value["created"])?,
    })
}

pub fn event(value: &Value) -> Option<StripeEvent> {
    let object = &value["data"]["object"];
    let kind = object["object"].as_str();
    let about = id(object);
    Some(StripeEvent {
        id: id_of(StripeKind::Event, value)?,
        kind: text(&value["type"])?,
        created: time(&value["created"])?,
        customer: if kind == Some("customer") { about.clone() } else { id_of(StripeKind::Customer, &object["customer"]) },
        subscription_id: match kind {
            Some("subscription") => id_of(StripeKind::Subscription, object),
            Some("invoice") => invoice_subscription(object),
            _ => None,
        },
        object: about,
        subscription: (kind == Some("subscription")).then(|| subscription(object)).flatten().map(Box::new),
        previous: (kind == Some("subscription")).then(|| previous(&value["data"])).flatten().map(Box::new),
        profile: named_profile(&metadata(&object["metadata"])),
        api_version: text(&value["api_version"]),
        pending_webhooks: value["pending_webhooks"].as_u64().unwrap_or(0),
        livemode: value["livemode"] == true,
    })
}

/// The subscription with what its event says was different before. Attributes come whole, items as the list they were.
fn previous(data: &Value) -> Option<Subscription> {
    let was = data["previous_attributes"].as_object()?;
    let mut object = data["object"].clone();
    for (name, value) in was {
        overlay(&mut object[name], value);
    }
    subscription(&object)
}

/// Objects are laid over one another, everything else replaces what is there.
fn overlay(now: &mut Value, was: &Value) {
    match (now.as_object_mut(), was.as_object()) {
        (Some(now), Some(was)) => was.iter().for_each(|(name, value)| overlay(now.entry(name.clone()).or_insert(Value::Null), value)),
        _ => *now = was.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn old_subscription() -> Value {
        json!({
            "id": "sub_1AbcdefGHIJ", "object": "subscription", "customer": { "id": "cus_AbcdefGH", "object": "customer" },
            "status": "active", "created": 1_700_000_000, "current_period_start": 1_700_000_000, "current_period_end": 1_702_592_000,
            "items": { "data": [{ "id": "si_1", "plan": { "id": "gold", "interval": "month", "amount": 4900, "currency": "eur" } }] },
            "metadata": { "profileId": "\u{202E}evil" }
        })
    }

    #[test]
    fn an_old_shape_is_read_with_its_own_period_and_plan() {
        let s = subscription(&old_subscription()).expect("readable");
        assert_eq!(s.period.map(|p| p.end.timestamp()), Some(1_702_592_000));
        assert_eq!(s.items[0].period, None);
        assert_eq!(s.items[0].price.interval, Some(Interval::Month));
        assert_eq!(s.customer.as_str(), "cus_AbcdefGH");
        assert!(!s.metadata["profileId"].contains('\u{202E}'));
    }

    #[test]
    fn one_undecodable_element_stays_one() {
        let answer = json!({ "data": [{ "id": "sub_broken99" }, old_subscription(), null], "url": "/v1/subscriptions" });
        assert_eq!(list(&answer, subscription).expect("one is readable").len(), 1);
        assert_eq!(all(&answer, subscription).expect_err("two are not").kind, FaultKind::Schema);
        assert_eq!(all(&json!({ "data": [old_subscription()] }), subscription).expect("it is").len(), 1);
        let none = json!({ "data": [{ "id": 7 }] });
        assert_eq!(list(&none, subscription).expect_err("nothing is").kind, FaultKind::Schema);
        assert!(list(&json!({ "data": [] }), subscription).expect("an empty list is an answer").is_empty());
        assert!(list(&json!([]), subscription).is_err());
    }

    #[test]
    fn an_invoice_names_its_subscription_in_both_shapes() {
        let new = json!({ "parent": { "subscription_details": { "subscription": "sub_1AbcdefGHIJ" } } });
        let old = json!({ "subscription": { "id": "sub_1AbcdefGHIJ" } });
        assert_eq!(invoice_subscription(&new), invoice_subscription(&old));
        assert!(invoice_subscription(&new).is_some());
    }

    #[test]
    fn a_failed_payment_names_customer_and_subscription() {
        let about = json!({ "id": "in_1AbcdefGHIJ", "object": "invoice", "customer": "cus_AbcdefGH",
            "parent": { "subscription_details": { "subscription": "sub_1AbcdefGHIJ" } } });
        let failed = event(&json!({ "id": "evt_1AbcdefGHIJ", "type": "invoice.payment_failed", "created": 1_700_000_000,
            "data": { "object": about } }));
        let failed = failed.expect("readable");
        assert_eq!(failed.subscription_id.as_ref().map(StripeId::as_str), Some("sub_1AbcdefGHIJ"));
        assert_eq!(failed.customer.as_ref().map(StripeId::as_str), Some("cus_AbcdefGH"));
        assert!(failed.subscription.is_none(), "an invoice carries no snapshot");
    }

    #[test]
    fn an_update_says_what_was_before() {
        let mut object = old_subscription();
        object["object"] = json!("subscription");
        let was = json!({ "status": "trialing", "current_period_end": 1_700_900_000, "cancel_at": null });
        let update = event(&json!({ "id": "evt_1AbcdefGHIJ", "type": "customer.subscription.updated", "created": 1_700_000_000,
            "data": { "object": object, "previous_attributes": was } }));
        let update = update.expect("readable");
        let (now, before) = (update.subscription.expect("a snapshot"), update.previous.expect("and the one before"));
        assert_eq!((now.status, before.status), (Status::Active, Status::Trialing));
        assert_eq!(before.period.map(|p| p.end.timestamp()), Some(1_700_900_000));
        assert_eq!(now.items, before.items);
    }

    #[test]
    fn a_subscription_that_cannot_be_read_is_still_named_by_its_event() {
        let odd = json!({ "id": "evt_1AbcdefGHIJ", "type": "customer.subscription.updated", "created": 1_700_000_000,
            "data": { "object": { "id": "sub_1AbcdefGHIJ", "object": "subscription", "customer": "cus_AbcdefGH" } } });
        let odd = event(&odd).expect("readable");
        assert!(odd.subscription.is_none() && odd.subscription_id.is_some() && odd.customer.is_some(), "{odd:?}");
    }
}
