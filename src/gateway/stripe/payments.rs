//! What a customer paid and how it began: invoices with their payments, and checkout sessions.

use super::client::Lane;
use super::decode;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::stripe::{CheckoutSession, Invoice};
use stripe_billing::invoice::ListInvoice;
use stripe_checkout::checkout_session::ListCheckoutSession;

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
