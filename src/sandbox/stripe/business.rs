//! The handle's other half: what happens in the business when a test or an incident says so. Serving and settings are `handle.rs`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::acts::{self, AfterRetries, CheckedOut, NewCheckout, NewDispute, Payer, Subscribed};
use super::handle::Simulator;

impl Simulator {
    /// A finished checkout: customer if needed, active subscription, paid invoice, payment, session, and their events.
    /// It delivers nothing itself; with automatic delivery on, the events are sent in the background.
    ///
    /// # Panics
    /// If the price is not in the catalogue.
    pub fn checkout(&self, c: NewCheckout) -> CheckedOut {
        self.act(|state| acts::checkout(state, &c))
    }

    /// As [`Self::checkout`], while all endpoints were disabled: its events are owed to nobody, now and later.
    ///
    /// # Panics
    /// If the price is not in the catalogue.
    pub fn checkout_unheard(&self, c: NewCheckout) -> CheckedOut {
        self.act(|state| {
            let endpoints = std::mem::take(&mut state.endpoints);
            let made = acts::checkout(state, &c);
            state.endpoints = endpoints;
            made
        })
    }

    /// The customer pays in an open checkout session. Errors are what they would see: the sentence that refuses.
    ///
    /// # Errors
    /// There is no such open session, or the card is declined.
    pub fn complete_checkout(&self, session: &str, payer: Payer) -> Result<(), String> {
        let now = self.now();
        self.act(|state| acts::complete_checkout(state, session, payer, now)).map_err(|refusal| refusal.message)
    }

    /// A customer without a person behind it: the second one with somebody's address, for example.
    pub fn add_customer(&self, name: &str, email: Option<&str>, at: DateTime<Utc>) -> String {
        self.act(|state| acts::create_customer(state, name, email, at).0)
    }

    /// A further paid subscription of a customer, with `customer.subscription.created` and `invoice.paid`.
    ///
    /// # Panics
    /// If the price is not in the catalogue.
    pub fn add_subscription(&self, customer: &str, price: &str, at: DateTime<Utc>) -> Subscribed {
        self.act(|state| acts::subscribe(state, customer, price, at))
    }

    /// A further item of a subscription. Returns its id and the event's, `None` where there is no such subscription.
    ///
    /// # Panics
    /// If the price is not in the catalogue.
    pub fn add_item(&self, subscription: &str, price: &str, at: DateTime<Utc>) -> Option<(String, String)> {
        self.act(|state| {
            let (item, event) = acts::add_item(state, subscription, price, at);
            event.map(|event| (item, event))
        })
    }

    /// The first item moves to another price. Returns the event's id.
    ///
    /// # Panics
    /// If the price is not in the catalogue.
    pub fn change_price(&self, subscription: &str, price: &str, at: DateTime<Utc>) -> Option<String> {
        self.act(|state| acts::change_price(state, subscription, price, at))
    }

    /// The next period begins and is paid. Returns `invoice.paid` and `customer.subscription.updated`.
    pub fn renew(&self, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
        self.act(|state| acts::renew(state, subscription, at))
    }

    /// The next period begins and the card is declined. Returns `invoice.payment_failed` and `customer.subscription.updated`.
    pub fn fail_renewal(&self, subscription: &str, at: DateTime<Utc>) -> Option<(String, String)> {
        self.act(|state| acts::fail_renewal(state, subscription, at))
    }

    /// Stripe's status word changes. Returns the event's id; `None` where nothing changed.
    pub fn set_status(&self, subscription: &str, status: &str, at: DateTime<Utc>) -> Option<String> {
        self.act(|state| acts::set_status(state, subscription, status, at))
    }

    /// Ends at the period's end, or goes on after all. Returns the event's id; `None` where nothing changed.
    pub fn cancel_at_period_end(&self, subscription: &str, on: bool, at: DateTime<Utc>) -> Option<String> {
        self.act(|state| {
            acts::change_with_event(state, subscription, "customer.subscription.updated", at, |s| {
                acts::set_cancel_at_period_end(s, on, at);
            })
        })
    }

    /// Ends at once. Returns the event's id; `None` if it had ended already, or there is no such subscription.
    pub fn cancel_subscription(&self, subscription: &str, at: DateTime<Utc>) -> Option<String> {
        self.act(|state| acts::cancel_subscription(state, subscription, at, None))
    }

    /// What becomes of a subscription when the last retry of an invoice is declined, too (it is canceled at the start).
    pub fn set_after_retries(&self, after: AfterRetries) {
        self.act(|state| state.after_retries = after);
    }

    /// Puts a subscription under a schedule (`sub_sched_…`), or takes it away. False: there is no such subscription.
    pub fn set_schedule(&self, subscription: &str, schedule: Option<&str>) -> bool {
        self.set(subscription, "schedule", json!(schedule))
    }

    /// Deletes a customer, which ends their subscriptions. Returns the events in order.
    pub fn delete_customer(&self, customer: &str, at: DateTime<Utc>) -> Vec<String> {
        self.act(|state| acts::delete_customer(state, customer, at))
    }

    /// A customer's bank takes a payment back, or only asks about it (`inquiry`). `reason` is Stripe's word: `fraudulent`,
    /// `product_not_received`, … The answer is due on the ninth day. Returns the dispute's id; `None` where the charge was never paid,
    /// went back as a whole, or is disputed already.
    pub fn open_dispute(&self, charge: &str, reason: &str, inquiry: bool, at: DateTime<Utc>) -> Option<String> {
        self.act(|state| acts::open_dispute(state, NewDispute { charge, reason, inquiry }, at))
    }

    /// An inquiry becomes a chargeback. False: it is no open inquiry.
    pub fn escalate_inquiry(&self, dispute: &str, at: DateTime<Utc>) -> bool {
        self.act(|state| acts::escalate_inquiry(state, dispute, at))
    }

    /// The customer authenticates a payment that waits for it, or fails to. False: no payment waits for that.
    pub fn authenticate(&self, intent: &str, succeeds: bool, at: DateTime<Utc>) -> bool {
        self.act(|state| {
            let paid = acts::authenticate(state, intent, succeeds, at);
            paid.inspect(|paid| acts::intent_attempted(state, paid, at)).is_some()
        })
    }

    /// The customer has to say where the money of a pending refund should go. False: it is no pending refund.
    pub fn ask_customer_about_refund(&self, refund: &str, at: DateTime<Utc>) -> bool {
        self.act(|state| acts::ask_customer(state, refund, at))
    }

    /// Renames without an event. False: there is no such customer.
    pub fn set_customer_name(&self, customer: &str, name: &str) -> bool {
        self.set(customer, "name", json!(name))
    }

    /// Changes the address without an event; `None` takes it away. False: there is no such customer.
    pub fn set_customer_email(&self, customer: &str, email: Option<&str>) -> bool {
        self.set(customer, "email", json!(email))
    }

    /// Replaces an object's metadata without an event. False: there is no such object.
    pub fn set_metadata(&self, id: &str, metadata: &[(&str, &str)]) -> bool {
        let map: serde_json::Map<String, Value> = metadata.iter().map(|(k, v)| ((*k).to_string(), json!(v))).collect();
        self.set(id, "metadata", Value::Object(map))
    }

    fn set(&self, id: &str, field: &str, value: Value) -> bool {
        self.act(|state| {
            let known = state.get(id).is_some_and(|v| v.get("deleted").is_none());
            if known {
                state.change(id, |object| {
                    object.insert(field.to_string(), value);
                });
            }
            known
        })
    }
}
