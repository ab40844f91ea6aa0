//! The account behind the key, its mode, and what `nightdesk check` asks of Stripe.

use super::client::Lane;
use super::decode;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::stripe::Account;
use crate::domain::text::clean;
use crate::domain::webhooks::endpoint::Endpoint;
use serde_json::Value;
use std::collections::BTreeMap;
use stripe_billing::invoice::ListInvoice;
use stripe_billing::subscription::ListSubscription;
use stripe_checkout::checkout_session::ListCheckoutSession;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_connect::account::RetrieveForMyAccountAccount;
use stripe_core::balance::RetrieveForMyAccountBalance;
use stripe_core::customer::{ListCustomer, SearchCustomer};
use stripe_core::event::ListEvent;
use stripe_misc::webhook_endpoint::ListWebhookEndpoint;
use stripe_product::price::ListPrice;
use stripe_product::product::ListProduct;

/// One kind of read that the console does, and whether the key may.
#[derive(Debug, Clone)]
pub struct PermissionCheck {
    /// What is read: `subscriptions`.
    pub reads: &'static str,
    /// [`FaultKind::Permission`] names what is missing.
    pub result: Result<(), Fault>,
}

/// The account's name, and its mode from the balance: the account itself does not tell.
///
/// # Errors
/// The first read's fault; without the permission to read the account it goes by the name of its key's mode.
pub async fn account(lane: Lane<'_>) -> Result<Account, Fault> {
    let livemode = livemode(lane).await?;
    let answer = match RetrieveForMyAccountAccount::new().send(&lane).await {
        Ok(account) => {
            let shown = account.settings.and_then(|s| s.dashboard.display_name);
            let name = shown.or_else(|| account.business_profile.and_then(|b| b.name));
            (account.id.to_string(), name)
        }
        Err(failed) if matches!(failed.0.kind, FaultKind::Permission { .. } | FaultKind::Schema) => (String::new(), None),
        Err(failed) => return Err(failed.0),
    };
    let nameless = || Fault::new(Source::Stripe, FaultKind::Schema, "Stripe's account has no id that is one");
    let id = if answer.0.is_empty() { "acct_unknown".to_string() } else { answer.0 };
    Ok(Account {
        id: StripeId::parse(&id).map_err(|_| nameless())?,
        name: answer.1.filter(|n| !n.trim().is_empty()).map_or_else(|| id.clone(), |n| clean(&n)),
        livemode,
    })
}

/// The mode that Stripe says the key works in; the key's own word where it may not read the balance.
///
/// # Errors
/// The read's fault.
pub async fn livemode(lane: Lane<'_>) -> Result<bool, Fault> {
    match RetrieveForMyAccountBalance::new().send(&lane).await {
        Ok(balance) => Ok(balance.livemode),
        Err(failed) => match (&failed.0.kind, lane.client.claims_livemode()) {
            (FaultKind::Permission { .. }, Some(claimed)) => Ok(claimed),
            _ => Err(failed.0),
        },
    }
}

/// Tries each kind of read once.
pub async fn permissions(lane: Lane<'_>) -> Vec<PermissionCheck> {
    // The library's crates for these are large, and one look each is all that is needed.
    let plain = |folder: &str| RequestBuilder::new(StripeMethod::Get, format!("/{folder}")).query(&BTreeMap::from([("limit", 1)]));
    let tries: [(&'static str, RequestBuilder); 13] = [
        ("account", RetrieveForMyAccountAccount::new().build()),
        ("balance (the key's mode)", RetrieveForMyAccountBalance::new().build()),
        ("customers", ListCustomer::new().limit(1).build()),
        ("customer search", SearchCustomer::new("email:'nobody@nowhere.invalid'").limit(1).build()),
        ("subscriptions", ListSubscription::new().limit(1).build()),
        ("invoices", ListInvoice::new().limit(1).build()),
        ("payment intents", plain("payment_intents")),
        ("charges", plain("charges")),
        ("checkout sessions", ListCheckoutSession::new().limit(1).build()),
        ("prices", ListPrice::new().limit(1).build()),
        ("products", ListProduct::new().limit(1).build()),
        ("events", ListEvent::new().limit(1).build()),
        ("webhook endpoints", ListWebhookEndpoint::new().limit(1).build()),
    ];
    let one =
        async |(reads, request): &(&'static str, RequestBuilder)| PermissionCheck { reads, result: lane.raw(request).await.map(drop) };
    futures_util::future::join_all(tries.iter().map(one)).await
}

/// The webhook endpoints as they are registered.
///
/// # Errors
/// The read's fault.
pub async fn endpoints(lane: Lane<'_>) -> Result<Vec<Endpoint>, Fault> {
    let answer = lane.json(&ListWebhookEndpoint::new().limit(100)).await?;
    decode::list(&answer, endpoint)
}

fn endpoint(value: &Value) -> Option<Endpoint> {
    let events = value["enabled_events"].as_array().into_iter().flatten();
    Some(Endpoint {
        id: StripeId::of(StripeKind::WebhookEndpoint, value["id"].as_str()?)?,
        url: clean(value["url"].as_str()?),
        enabled: value["status"] == "enabled",
        api_version: value["api_version"].as_str().map(clean),
        events: events.filter_map(|e| e.as_str().map(clean)).collect(),
        livemode: value["livemode"] == true,
    })
}
