//! What a customer paid and how it began: invoices with their payments, and checkout sessions; and how many payments of an hour succeed.

use super::client::Lane;
use super::decode;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::payments::Payments;
use crate::domain::stripe::{CheckoutSession, Invoice};
use serde::Serialize;
use std::collections::BTreeMap;
use stripe_billing::invoice::ListInvoice;
use stripe_checkout::checkout_session::ListCheckoutSession;
use stripe_client_core::{RequestBuilder, StripeMethod};

/// Pages of a hundred charges that are counted at most.
const CHARGE_PAGES: usize = 3;
/// Two years of monthly invoices.
const INVOICES: i64 = 24;

/// The newest invoices with their payments; empty where Stripe has no such customer.
pub async fn invoices(lane: Lane<'_>, customer: &StripeId) -> Result<Vec<Invoice>, Fault> {
    let request = ListInvoice::new().customer(customer.as_str()).limit(INVOICES).expand(vec!["data.payments".to_string()]);
    match lane.maybe(&request).await? {
        Some(answer) => decode::list(&answer, decode::invoice),
        None => Ok(Vec::new()),
    }
}

/// The newest hundred checkout sessions; empty where Stripe has no such customer.
pub async fn sessions(lane: Lane<'_>, customer: &StripeId) -> Result<Vec<CheckoutSession>, Fault> {
    match lane.maybe(&ListCheckoutSession::new().customer(customer.as_str()).limit(100)).await? {
        Some(answer) => decode::list(&answer, decode::session),
        None => Ok(Vec::new()),
    }
}

/// The parameters of a page of charges.
#[derive(Serialize)]
struct Charges<'a> {
    created: &'a BTreeMap<&'static str, i64>,
    limit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_after: Option<String>,
}

/// Charges of this time, counted by how they ended.
pub async fn between(lane: Lane<'_>, from: At, until: At) -> Result<Payments, Fault> {
    let created = BTreeMap::from([("gte", from.timestamp()), ("lt", until.timestamp())]);
    let mut counted = Payments::default();
    let mut after: Option<String> = None;
    for _ in 0..CHARGE_PAGES {
        let query = Charges { created: &created, limit: 100, starting_after: after.take() };
        let answer = lane.raw(&RequestBuilder::new(StripeMethod::Get, "/charges").query(&query)).await?;
        let charges = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let count = |status: &str| u32::try_from(charges.iter().filter(|c| c["status"] == status).count()).unwrap_or(u32::MAX);
        counted.succeeded = counted.succeeded.saturating_add(count("succeeded"));
        counted.failed = counted.failed.saturating_add(count("failed"));
        after = charges.last().and_then(|c| c["id"].as_str()).filter(|_| answer["has_more"] == true).map(String::from);
        if after.is_none() {
            counted.complete = true;
            break;
        }
    }
    Ok(counted)
}
