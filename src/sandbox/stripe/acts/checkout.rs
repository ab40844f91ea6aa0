//! A finished checkout: customer, subscription, invoice, payment and session in one.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::super::resources::sessions;
use super::super::state::State;
use super::super::timeline::Collection;
use super::customers::create_customer;
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
    let session = sessions::render(sessions::Facts {
        id: &state.fresh("cs_test_a1", 56),
        customer: &state.get(&customer).unwrap_or_default(),
        subscription: &made.subscription,
        invoice: &made.invoice,
        amount: catalog_price(state, &c.price).1,
        created: c.at.timestamp(),
        client_reference_id: c.client_reference_id.as_deref(),
        metadata,
    });
    let session_completed = state.emit("checkout.session.completed", c.at, &session, None);
    let session = state.insert(Collection::Sessions, session);
    announce(state, &mut made, c.at);
    CheckedOut { customer, session, subscribed: made, customer_created, session_completed }
}
