//! An invoice is made, with its payment, intent and charge.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::cards::FAILING;
use super::super::resources::payment_intents::Payment;
use super::super::resources::{invoice_payments, invoices};
use super::super::state::State;
use super::super::timeline::Collection;
use super::payment_methods::create_payment_method;
use super::payments;

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
    let payment = state.fresh("inpay_1", 23);
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
    let open = json!({ "amount_remaining": b.amount, "billing_reason": reason, "currency": "eur", "customer": b.customer, "id": invoice });
    let intent = payments::intend(state, &open, b.at);
    let method = (!b.paid).then(|| create_payment_method(state, FAILING, b.at));
    let charge = payments::confirm(state, &intent, method.as_ref(), true, b.at).charge.unwrap_or_default();
    let first = reason == "subscription_create";
    let made = Payment { intent, charge, customer: who, amount: b.amount, created: b.at.timestamp(), paid: b.paid, first };
    state.insert(Collection::InvoicePayments, invoice_payments::render(&payment, &invoice, &made));
    state.belongs(&payment, b.customer);
    (invoice, payment, made.intent)
}
