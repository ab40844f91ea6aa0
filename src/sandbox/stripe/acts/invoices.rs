//! An invoice is made, with its payment, intent and charge.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::resources::payment_intents::{self, Payment};
use super::super::resources::{charges, invoice_payments, invoices};
use super::super::state::State;
use super::super::timeline::Collection;

/// What an invoice bills.
pub struct Bill<'a> {
    pub customer: &'a str,
    pub subscription: &'a str,
    pub item: &'a str,
    pub price: &'a Value,
    pub amount: i64,
    pub period: (i64, i64),
    pub at: DateTime<Utc>,
    pub paid: bool,
    pub metadata: &'a Value,
}

/// Returns the ids of the invoice, its payment and the payment intent.
pub fn make_invoice(state: &mut State, b: Bill, reason: &str) -> (String, String, String) {
    let (invoice, line) = (state.fresh("in_1", 23), state.fresh("il_1", 23));
    let (payment, intent) = (state.fresh("inpay_1", 23), state.fresh("pi_3", 23));
    let who = state.get(b.customer).unwrap_or_default();
    let sequence = who["next_invoice_sequence"].as_i64().unwrap_or(2);
    let object = invoices::render(invoices::Facts {
        id: &invoice,
        line: &line,
        number: format!("{}-{sequence:04}", who["invoice_prefix"].as_str().unwrap_or_default()),
        customer: &who,
        subscription: b.subscription,
        item: b.item,
        price: b.price,
        amount: b.amount,
        period: b.period,
        created: b.at.timestamp(),
        paid: b.paid,
        reason,
        metadata: b.metadata.clone(),
    });
    state.insert(Collection::Invoices, object);
    // An intent and its charge share their digits at Stripe too.
    let charge = intent.replacen("pi_", "ch_", 1);
    let first = reason == "subscription_create";
    let made = Payment { intent, charge, customer: who, amount: b.amount, created: b.at.timestamp(), paid: b.paid, first };
    state.insert(Collection::InvoicePayments, invoice_payments::render(&payment, &invoice, &made));
    state.belongs(&payment, b.customer);
    state.insert(Collection::PaymentIntents, payment_intents::render(&made));
    state.insert(Collection::Charges, charges::render(&made));
    (invoice, payment, made.intent)
}
