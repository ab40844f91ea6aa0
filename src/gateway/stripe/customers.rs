//! Customers at Stripe: by id, by what belongs to them, by address and by the metadata that names a profile.

use super::client::Lane;
use super::decode;
use crate::domain::fault::Fault;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::stripe::Customer;
use crate::gateway::http::segment;
use serde_json::Value;
use stripe_billing::invoice::RetrieveInvoice;
use stripe_billing::invoice_payment::{
    ListInvoicePayment, ListInvoicePaymentPayment, ListInvoicePaymentPaymentType, RetrieveInvoicePayment,
};
use stripe_billing::subscription::{RetrieveSubscription, SearchSubscription};
use stripe_checkout::checkout_session::RetrieveCheckoutSession;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::customer::{ListCustomer, RetrieveCustomer, SearchCustomer};
use stripe_core::event::RetrieveEvent;

/// So many customers with one address are read.
const SAME_ADDRESS: i64 = 10;

/// The customer, a deleted one included.
pub async fn by_id(lane: Lane<'_>, id: &StripeId) -> Result<Option<Customer>, Fault> {
    let found = lane.maybe(&RetrieveCustomer::new(id.as_str())).await?;
    found.map(|value| decode::one(&value, decode::customer)).transpose()
}

/// The customer that an object of any kind belongs to; `None` where there is no such object, or it belongs to nobody.
pub async fn owner(lane: Lane<'_>, id: &StripeId) -> Result<Option<Customer>, Fault> {
    match owner_id(lane, id).await? {
        Some(customer) => by_id(lane, &customer).await,
        None => Ok(None),
    }
}

async fn owner_id(lane: Lane<'_>, id: &StripeId) -> Result<Option<StripeId>, Fault> {
    // At most from a refund to its charge to its customer, or from an item to its subscription.
    let mut next = id.clone();
    for _ in 0..4 {
        let Some(object) = object(lane, &next).await? else { return Ok(None) };
        let of = |name: &str| decode::id(&object[name]);
        let customer = of("customer").filter(|c| c.kind() == StripeKind::Customer);
        if customer.is_some() {
            return Ok(customer);
        }
        let further = match next.kind() {
            StripeKind::Customer => return Ok(Some(next)),
            StripeKind::SubscriptionItem => of("subscription"),
            StripeKind::InvoicePayment => of("invoice"),
            StripeKind::PaymentIntent => invoice_of(lane, &next).await?,
            StripeKind::Charge => of("payment_intent"),
            StripeKind::Refund | StripeKind::Dispute => of("charge").or_else(|| of("payment_intent")),
            StripeKind::Event => {
                let about = &object["data"]["object"];
                decode::id(&about["customer"]).or_else(|| decode::id(about))
            }
            _ => None,
        };
        match further {
            Some(further) if further.kind() == StripeKind::Customer => return Ok(Some(further)),
            Some(further) if further != next => next = further,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The object itself; `None` where Stripe has none, or it is of a kind that belongs to no customer.
async fn object(lane: Lane<'_>, id: &StripeId) -> Result<Option<Value>, Fault> {
    let text = id.as_str();
    // The library's crates for these are large, and one retrieval each is all that is needed.
    let plain = |folder: &str| RequestBuilder::new(StripeMethod::Get, format!("/{folder}/{}", segment(text)));
    let request = match id.kind() {
        StripeKind::Customer => return Ok(Some(Value::Null)),
        StripeKind::Subscription => RetrieveSubscription::new(text).build(),
        StripeKind::Invoice => RetrieveInvoice::new(text).build(),
        StripeKind::InvoicePayment => RetrieveInvoicePayment::new(text).build(),
        StripeKind::CheckoutSession => RetrieveCheckoutSession::new(text).build(),
        StripeKind::Event => RetrieveEvent::new(text).build(),
        StripeKind::SubscriptionItem => plain("subscription_items"),
        StripeKind::PaymentIntent => plain("payment_intents"),
        StripeKind::Charge => plain("charges"),
        StripeKind::Refund => plain("refunds"),
        StripeKind::Dispute => plain("disputes"),
        StripeKind::Price | StripeKind::Product | StripeKind::WebhookEndpoint | StripeKind::Account | StripeKind::Request => {
            return Ok(None);
        }
    };
    lane.maybe_raw(&request).await
}

async fn invoice_of(lane: Lane<'_>, intent: &StripeId) -> Result<Option<StripeId>, Fault> {
    let mut payment = ListInvoicePaymentPayment::new(ListInvoicePaymentPaymentType::PaymentIntent);
    payment.payment_intent = Some(intent.to_string());
    let found = lane.maybe(&ListInvoicePayment::new().payment(payment).limit(1)).await?;
    Ok(found.and_then(|list| decode::id(&list["data"][0]["invoice"])))
}

/// Customers that a profile may own: with its address, and with metadata that names it. Search lags behind and may be refused
/// to a key: then the address alone counts.
pub async fn of_profile(lane: Lane<'_>, email: Option<&str>, subject: &SubjectKey) -> Result<Vec<Customer>, Fault> {
    let by_email = async {
        match email {
            // More than these nobody follows: whoever asks says so.
            Some(email) => with_email(lane, email).await.map(|(found, _)| found),
            None => Ok(Vec::new()),
        }
    };
    let by_metadata = async {
        if subject.as_str().is_empty() {
            return Vec::new();
        }
        named_in_metadata(lane, &format!("metadata['profileId']:'{}'", quoted(subject.as_str()))).await
    };
    let (by_email, mut all) = tokio::join!(by_email, by_metadata);
    for customer in by_email? {
        if !all.iter().any(|c| c.id == customer.id) {
            all.push(customer);
        }
    }
    Ok(all)
}

/// Customers whose own metadata, or whose subscriptions', names the profile; none where the search is refused.
async fn named_in_metadata(lane: Lane<'_>, query: &str) -> Vec<Customer> {
    let subscriptions = SearchSubscription::new(query).limit(10);
    let (customers, subscriptions) = tokio::join!(search(lane, query, 10), lane.json(&subscriptions));
    let mut found = customers.unwrap_or_else(|fault| {
        tracing::info!(class = fault.class(), "customer search by metadata");
        Vec::new()
    });
    let owner = |v: &Value| decode::id(&v["customer"]).filter(|c| c.kind() == StripeKind::Customer);
    for id in subscriptions.and_then(|page| decode::list(&page, owner)).unwrap_or_default() {
        if found.iter().any(|c| c.id == id) {
            continue;
        }
        // What cannot be read is no evidence; the other ways are still open.
        found.extend(by_id(lane, &id).await.ok().flatten());
    }
    found
}

/// The newest customers with exactly this address, and whether there are more: immediate, and case-sensitive.
pub async fn with_email(lane: Lane<'_>, email: &str) -> Result<(Vec<Customer>, bool), Fault> {
    let answer = lane.json(&ListCustomer::new().email(email).limit(SAME_ADDRESS)).await?;
    Ok((decode::list(&answer, decode::customer)?, answer["has_more"] == true))
}

/// What a search query finds; it may lag a minute behind.
pub async fn search(lane: Lane<'_>, query: &str, limit: u32) -> Result<Vec<Customer>, Fault> {
    let answer = lane.json(&SearchCustomer::new(query).limit(i64::from(limit.clamp(1, 100)))).await?;
    decode::list(&answer, decode::customer)
}

/// The text as it stands between single quotes in a search query.
pub fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect::<String>().replace('\\', "\\\\").replace('\'', "\\'")
}
