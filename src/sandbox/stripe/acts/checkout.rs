//! Checkout: a finished one made up at once, or an open session paid for by its customer, or left to expire.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::cards::{Behaviour, Decline};
use super::super::failure::Failure;
use super::super::resources::{invoice_items, payment_methods, sessions};
use super::super::state::State;
use super::super::timeline::Collection;
use super::beginning::{Beginning, NewItem, NewSubscription, announce_beginning, begin};
use super::collection::Tender;
use super::customers::create_customer;
use super::invoices::add_invoice_item;
use super::payment_methods::{attach_payment_method, check_attachable};
use super::payments::{NewPayment, Outcome, authenticate, pay};
use super::subscriptions::{Subscribed, announce, catalog_price, make_subscription};

/// A finished checkout to be made up.
#[derive(Debug, Clone)]
pub struct NewCheckout {
    /// Whose checkout: a person's number.
    pub number: u64,
    pub price: String,
    pub client_reference_id: Option<String>,
    /// Stands on the session and on the subscription.
    pub metadata: Vec<(String, String)>,
    pub at: DateTime<Utc>,
    /// True: the person gets another Stripe customer, although there may be one already.
    pub new_customer: bool,
}

/// The ids a checkout left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOut {
    pub customer: String,
    pub session: String,
    pub subscribed: Subscribed,
    pub customer_created: Option<String>,
    pub session_completed: String,
}

impl CheckedOut {
    /// The events in the order they happened.
    pub fn events(&self) -> Vec<String> {
        let s = &self.subscribed;
        self.customer_created.iter().chain([&self.session_completed, &s.subscription_created, &s.invoice_paid]).cloned().collect()
    }
}

/// Who pays in an open session, and with what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Payer<'a> {
    /// A payment method or a shared test card; `None`: `pm_card_visa`.
    pub payment_method: Option<&'a str>,
    /// What is typed in where the session names nobody.
    pub email: Option<&'a str>,
    pub name: Option<&'a str>,
}

pub fn checkout(state: &mut State, c: &NewCheckout) -> CheckedOut {
    let person = state.population.person(c.number);
    let own = state.linked.get(&c.number).cloned().or_else(|| person.customer.clone()).filter(|_| !c.new_customer);
    let mut customer_created = None;
    let customer = own.unwrap_or_else(|| {
        let (id, event) = create_customer(state, &person.name, Some(&person.email), c.at);
        state.linked.insert(c.number, id.clone());
        customer_created = Some(event);
        id
    });
    let metadata: Value = c.metadata.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>().into();
    let mut made = make_subscription(state, &customer, &c.price, metadata.clone(), c.at);
    let (price, amount, _) = catalog_price(state, &c.price);
    let session = sessions::render(sessions::Facts {
        id: &state.fresh("cs_test_a1", 56),
        customer: &state.get(&customer).unwrap_or_default(),
        subscription: &made.subscription,
        invoice: &made.invoice,
        amount,
        created: c.at.timestamp(),
        client_reference_id: c.client_reference_id.as_deref(),
        metadata,
    });
    let line = sessions::line_item(state, &made.item.replacen("si_", "li_1", 1), &price, 1);
    state.line_items.insert(session["id"].as_str().unwrap_or_default().to_string(), vec![line]);
    let session_completed = state.emit("checkout.session.completed", c.at, &session, None);
    let session = state.insert(Collection::Sessions, session);
    announce(state, &mut made, c.at);
    CheckedOut { customer, session, subscribed: made, customer_created, session_completed }
}

/// The customer pays: everything a paid checkout makes, with its events. An authentication that the bank asks for succeeds.
///
/// # Errors
/// There is no such open session (404, 400); the card is declined (402), after which the session is open as before.
pub fn complete_checkout(state: &mut State, id: &str, payer: Payer, at: DateTime<Utc>) -> Result<(), Failure> {
    let session = state.live(id, "checkout.session").ok_or_else(|| Failure::missing("checkout.session", id))?;
    if session["status"] != "open" {
        let status = session["status"].as_str().unwrap_or_default();
        return Err(Failure::new(400, format!("This Checkout Session cannot be paid any more: it has a status of {status}.")));
    }
    let method = payment_methods::named(state, "payment_method", payer.payment_method.unwrap_or("pm_card_visa"), at)?;
    let free = session["payment_status"] == "no_payment_required";
    if let Some(decline) = declines(&method, free) {
        return Err(decline.failure());
    }
    let card = method["id"].as_str().unwrap_or_default();
    let customer = match session["customer"].as_str() {
        Some(id) if state.live(id, "customer").is_none() => return Err(Failure::missing_in("customer", "customer", id)),
        Some(id) => Some(id.to_string()),
        None if session["customer_creation"] == "always" => {
            check_attachable(state, card)?;
            let email = session["customer_email"].as_str().or(payer.email).unwrap_or("jenny.rosen@example.com");
            Some(create_customer(state, payer.name.unwrap_or("Jenny Rosen"), Some(email), at).0)
        }
        None => None,
    };
    if let Some(customer) = customer.as_deref().filter(|customer| method["customer"] != *customer) {
        attach_payment_method(state, card, customer, at)?;
    }
    let method = state.get(card).unwrap_or_default();
    let intentions = state.intentions.remove(id).unwrap_or_default();
    let who = customer.as_deref().and_then(|c| state.get(c)).unwrap_or_default();
    let mut made = Map::new();
    made.insert("customer".into(), json!(customer));
    made.insert("payment_status".into(), json!(if free { "no_payment_required" } else { "paid" }));
    made.insert("status".into(), json!("complete"));
    made.insert("url".into(), Value::Null);
    made.insert(
        "customer_details".into(),
        json!({
            "address": null,
            "business_name": null,
            "email": who["email"].as_str().or(session["customer_email"].as_str()).or(payer.email),
            "individual_name": null,
            "name": who["name"].as_str().or(payer.name),
            "phone": null,
            "tax_exempt": "none",
            "tax_ids": []
        }),
    );
    if session["mode"] == "payment" {
        if !free {
            made.insert("payment_intent".into(), json!(pay_once(state, &session, customer.as_deref(), &method, &intentions, at)));
        }
        finish(state, id, made, at);
        return Ok(());
    }
    let begun = begin_subscription(state, id, &customer.unwrap_or_default(), card, &intentions, at);
    made.insert("subscription".into(), json!(begun.subscription));
    made.insert("invoice".into(), json!(begun.invoice));
    finish(state, id, made, at);
    announce_beginning(state, &begun, at);
    Ok(())
}

/// Returns the intent's id.
fn pay_once(state: &mut State, session: &Value, customer: Option<&str>, method: &Value, intentions: &Value, at: DateTime<Utc>) -> String {
    let new = NewPayment {
        amount: session["amount_total"].as_i64().unwrap_or_default(),
        currency: session["currency"].as_str().unwrap_or_default(),
        customer,
        method: Some(method),
        description: intentions["description"].as_str(),
        metadata: intentions["metadata"].clone(),
        off_session: false,
    };
    let paid = pay(state, new, at);
    if paid.outcome == Outcome::RequiresAction {
        authenticate(state, &paid.intent, true, at);
    }
    paid.intent
}

/// What is sold once beside the subscription stands on its first invoice.
fn begin_subscription(state: &mut State, session: &str, customer: &str, card: &str, intentions: &Value, at: DateTime<Utc>) -> Beginning {
    let mut items = Vec::new();
    for line in state.line_items.get(session).cloned().unwrap_or_default() {
        let (price, quantity) = (line["price"].clone(), line["quantity"].as_i64().unwrap_or(1));
        if price["type"] == "recurring" {
            items.push(NewItem { price, quantity, metadata: json!({}) });
            continue;
        }
        let facts = invoice_items::Facts {
            id: &state.fresh("ii_1", 23),
            customer,
            amount: line["amount_total"].as_i64().unwrap_or_default(),
            currency: line["currency"].as_str().unwrap_or_default(),
            description: line["description"].as_str(),
            date: at.timestamp(),
            period: (at.timestamp(), at.timestamp()),
            price: Some(&price),
            quantity,
            subscription: None,
            proration: false,
            metadata: json!({}),
        };
        add_invoice_item(state, invoice_items::render(facts), None, at);
    }
    let mut new = NewSubscription::of(customer, items);
    new.metadata = intentions["metadata"].clone();
    new.description = intentions["description"].as_str().map(str::to_string);
    new.trial_end = intentions["trial_end"].as_i64();
    new.default_payment_method = Some(card.to_string());
    new.tender = Tender::Present(card.to_string());
    begin(state, new, at)
}

/// An open session is given up, by request or by its time.
pub fn expire_checkout(state: &mut State, id: &str, at: DateTime<Utc>) {
    if state.live(id, "checkout.session").is_none_or(|session| session["status"] != "open") {
        return;
    }
    state.intentions.remove(id);
    state.change(id, |session| {
        session.insert("status".into(), json!("expired"));
        session.insert("url".into(), Value::Null);
    });
    let session = state.get(id).unwrap_or_default();
    state.emit("checkout.session.expired", at, &session, None);
}

fn finish(state: &mut State, id: &str, made: Map<String, Value>, at: DateTime<Utc>) {
    if let Some(customer) = made["customer"].as_str() {
        state.belongs(id, customer);
    }
    state.change(id, |session| session.extend(made));
    let session = state.get(id).unwrap_or_default();
    state.emit("checkout.session.completed", at, &session, None);
}

/// Why the card is declined while its owner looks on, if it is. Where nothing is paid yet it only has to be one that can be kept.
fn declines(method: &Value, free: bool) -> Option<Decline> {
    match payment_methods::behaviour(method) {
        Behaviour::Declines(decline) => Some(decline),
        Behaviour::DeclinesLater(decline) if !free => Some(decline),
        Behaviour::Authenticates { then, .. } if !free => then,
        _ => None,
    }
}
