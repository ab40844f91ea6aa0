//! The reads of the protocol, each as the Stripe calls it takes.

use super::client::Stripe;
use super::decode;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::stripe::{Account, Customer, StripeEvent, Subscription};
use crate::protocol::query::{Query, Reply};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use stripe_billing::invoice::ListInvoice;
use stripe_billing::subscription::{ListSubscription, ListSubscriptionStatus, SearchSubscription};
use stripe_checkout::checkout_session::ListCheckoutSession;
use stripe_client_core::{RequestBuilder, StripeMethod};
use stripe_connect::account::RetrieveForMyAccountAccount;
use stripe_core::balance::RetrieveForMyAccountBalance;
use stripe_core::customer::{ListCustomer, RetrieveCustomer, SearchCustomer};
use stripe_core::event::ListEvent;
use stripe_misc::webhook_endpoint::ListWebhookEndpoint;
use stripe_product::price::ListPrice;
use stripe_product::product::{ListProduct, RetrieveProduct};
use stripe_types::{RangeBoundsTs, RangeQueryTs};

/// A permission that a read needs, and what Stripe said to it.
#[derive(Debug, Clone)]
pub struct PermissionCheck {
    /// What the console reads with it.
    pub reads: &'static str,
    pub result: Result<(), Fault>,
}

/// The largest page there is.
const PAGE: i64 = 100;
/// How many pages of events one scan reads; beyond, it says that it is not complete.
const EVENT_PAGES: usize = 5;
/// The events that can change a row.
const ROW_EVENTS: [&str; 4] =
    ["customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "invoice.payment_failed"];

#[derive(Serialize)]
struct Expand<'a> {
    expand: &'a [&'a str],
}

impl Stripe {
    /// Answers a query whose source is Stripe.
    ///
    /// # Errors
    /// The fault of the first call that the answer cannot do without.
    pub async fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        match query {
            Query::Account => self.account().await.map(Reply::Account),
            Query::FindInStripe { needle, limit } => self.find(needle, *limit).await,
            Query::Customer(id) => self.customer(id).await.map(Reply::Customers),
            Query::CustomerOf(id) => self.customer_of(id).await.map(Reply::Customers),
            Query::CustomersFor { email, subject } => self.customers_for(email.as_deref(), subject).await.map(Reply::Customers),
            Query::SubscriptionsOf(customer) => self.subscriptions_of(customer).await.map(Reply::Subscriptions),
            Query::SessionsOf(customer) => {
                let page = self.send(&ListCheckoutSession::new().customer(customer.as_str()).limit(PAGE)).await?;
                Ok(Reply::Sessions(decode::list(&page, decode::session)))
            }
            Query::InvoicesOf(customer) => {
                let request = ListInvoice::new().customer(customer.as_str()).limit(24).expand(vec!["data.payments".to_string()]);
                Ok(Reply::Invoices(decode::list(&self.send(&request).await?, decode::invoice)))
            }
            Query::EventsSince(at) => self.events_since(*at).await,
            Query::Shape | Query::FindInDatabase { .. } | Query::Records(_) | Query::RowsOf(_) | Query::Entitlement(_) | Query::Runs => {
                Err(Fault::new(Source::Stripe, FaultKind::Refused, "this question is not Stripe's"))
            }
        }
    }

    /// Whose key this is, and in which mode.
    ///
    /// # Errors
    /// [`FaultKind::Auth`] for a wrong key, and whatever else keeps Stripe from answering.
    pub async fn account(&self) -> Result<Account, Fault> {
        let (account, balance) = (RetrieveForMyAccountAccount::new(), RetrieveForMyAccountBalance::new());
        let (account, balance) = tokio::join!(self.send(&account), self.send(&balance));
        let (account, balance) = (account?, balance?);
        let id = account.get("id").and_then(decode::id).ok_or_else(|| unreadable("account"))?;
        let name = account.pointer("/settings/dashboard/display_name").or_else(|| account.pointer("/business_profile/name"));
        let name = name.and_then(Value::as_str).map_or_else(|| id.to_string(), crate::domain::text::clean);
        Ok(Account { id, name, livemode: decode::flag(&balance, "livemode") })
    }

    /// The cheapest read there is: does it answer?
    ///
    /// # Errors
    /// Whatever keeps Stripe from answering.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.send(&RetrieveForMyAccountBalance::new()).await.map(|_| ())
    }

    async fn customer(&self, id: &StripeId) -> Result<Vec<Customer>, Fault> {
        let found = absent_is_none(self.send(&RetrieveCustomer::new(id.as_str())).await)?;
        Ok(found.as_ref().and_then(decode::customer).into_iter().collect())
    }

    /// The way from an object to its customer is one call with the customer expanded; events and payments take a second.
    async fn customer_of(&self, id: &StripeId) -> Result<Vec<Customer>, Fault> {
        let (folder, expand): (&str, &[&str]) = match id.kind() {
            StripeKind::Customer => return self.customer(id).await,
            StripeKind::Subscription => ("subscriptions", &["customer"]),
            StripeKind::Invoice => ("invoices", &["customer"]),
            StripeKind::CheckoutSession => ("checkout/sessions", &["customer"]),
            StripeKind::PaymentIntent => ("payment_intents", &["customer"]),
            StripeKind::Charge => ("charges", &["customer"]),
            StripeKind::InvoicePayment => ("invoice_payments", &["invoice.customer"]),
            StripeKind::Event => ("events", &[]),
            StripeKind::Refund => ("refunds", &["charge.customer"]),
            StripeKind::Dispute => ("disputes", &["charge.customer"]),
            StripeKind::SubscriptionItem
            | StripeKind::Price
            | StripeKind::Product
            | StripeKind::WebhookEndpoint
            | StripeKind::Account
            | StripeKind::Request => return Ok(Vec::new()),
        };
        let mut request = RequestBuilder::new(StripeMethod::Get, format!("/{folder}/{id}"));
        if !expand.is_empty() {
            request = request.query(&Expand { expand });
        }
        let Some(object) = absent_is_none(self.send_raw(request).await)? else { return Ok(Vec::new()) };
        let holder = match id.kind() {
            StripeKind::InvoicePayment => object.get("invoice"),
            StripeKind::Event => object.pointer("/data/object"),
            StripeKind::Refund | StripeKind::Dispute => object.get("charge"),
            _ => Some(&object),
        };
        // The event of a customer is about the customer itself.
        let owner = holder.and_then(|h| h.get("customer").or_else(|| (h.get("object")?.as_str()? == "customer").then_some(h)));
        match owner {
            Some(expanded) if expanded.is_object() && id.kind() != StripeKind::Event => {
                Ok(decode::customer(expanded).into_iter().collect())
            }
            Some(reference) => match decode::id(reference).filter(|c| c.kind() == StripeKind::Customer) {
                Some(customer) => self.customer(&customer).await,
                None => Ok(Vec::new()),
            },
            None => Ok(Vec::new()),
        }
    }

    /// By e-mail (exact, immediate), and by metadata that names the profile (search, which may lag or be switched off: then it finds nothing).
    async fn customers_for(&self, email: Option<&str>, subject: &SubjectKey) -> Result<Vec<Customer>, Fault> {
        let by_email = async {
            let Some(email) = email else { return Ok::<_, Fault>(Vec::new()) };
            Ok(decode::list(&self.send(&ListCustomer::new().email(email).limit(10)).await?, decode::customer))
        };
        let clause = format!("metadata['profileId']:'{}'", escaped(subject.as_str()));
        let by_metadata = async {
            if subject.as_str().is_empty() {
                return (Vec::new(), Vec::new());
            }
            let (customers, subscriptions) = (SearchCustomer::new(&clause).limit(10), SearchSubscription::new(&clause).limit(10));
            let (customers, subscriptions) = tokio::join!(self.send(&customers), self.send(&subscriptions));
            let customers = customers.map(|page| decode::list(&page, decode::customer)).unwrap_or_default();
            let owners = subscriptions.map(|page| decode::list(&page, decode::customer_id)).unwrap_or_default();
            (customers, owners)
        };
        let (by_email, (by_metadata, owners)) = tokio::join!(by_email, by_metadata);
        let mut found: Vec<Customer> = by_email?;
        found.extend(by_metadata);
        for owner in owners {
            if !found.iter().any(|c| c.id == owner) {
                found.extend(self.customer(&owner).await?);
            }
        }
        let mut once: Vec<Customer> = Vec::new();
        for customer in found {
            if !once.iter().any(|c| c.id == customer.id) {
                once.push(customer);
            }
        }
        Ok(once)
    }

    async fn subscriptions_of(&self, customer: &StripeId) -> Result<Vec<Subscription>, Fault> {
        let request = ListSubscription::new().customer(customer.as_str()).status(ListSubscriptionStatus::All).limit(PAGE);
        let mut found = decode::list(&self.send(&request).await?, decode::subscription);
        for item in found.iter_mut().flat_map(|s| &mut s.items) {
            if let Some(product) = item.price.product.clone() {
                item.price.product_metadata = self.product_metadata(&product).await;
            }
        }
        Ok(found)
    }

    /// Empty where the product cannot be read: the price's own words then have to do, and an unmapped price writes nothing.
    async fn product_metadata(&self, product: &StripeId) -> crate::domain::stripe::Metadata {
        if let Some(known) = self.shared.products.lock().await.get(product) {
            return known.clone();
        }
        let Ok(object) = self.send(&RetrieveProduct::new(product.as_str())).await else { return Default::default() };
        let metadata = decode::metadata(&object);
        self.shared.products.lock().await.insert(product.clone(), metadata.clone());
        metadata
    }

    /// Background work: every page waits for its slot, and a 429 makes all of it wait longer.
    async fn events_since(&self, at: At) -> Result<Reply, Fault> {
        let bounds = RangeBoundsTs { gt: None, gte: Some(at.timestamp()), lt: None, lte: None };
        let mut events: Vec<StripeEvent> = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..EVENT_PAGES {
            self.shared.background.slot().await;
            let mut request =
                ListEvent::new().types(ROW_EVENTS.map(String::from).to_vec()).created(RangeQueryTs::Bounds(bounds)).limit(PAGE);
            if let Some(last) = cursor.take() {
                request = request.starting_after(last);
            }
            let page = match self.send(&request).await {
                Err(fault) if fault.kind == FaultKind::Limit => {
                    self.shared.background.back_off(Duration::from_secs(5)).await;
                    return Err(fault);
                }
                other => other?,
            };
            events.extend(decode::list(&page, decode::event));
            let last = page.get("data").and_then(Value::as_array).and_then(|d| d.last()).and_then(|e| e.get("id")).and_then(Value::as_str);
            match last.filter(|_| decode::flag(&page, "has_more")) {
                Some(last) => cursor = Some(last.to_string()),
                None => return Ok(Reply::Events { events, complete: true }),
            }
        }
        Ok(Reply::Events { events, complete: false })
    }

    /// Tries each kind of read that the console does, and says which of them the key may not.
    pub async fn permissions(&self) -> Vec<PermissionCheck> {
        let checks: [(&'static str, RequestBuilder); 11] = {
            use stripe_client_core::StripeRequest as _;
            [
                ("account", RetrieveForMyAccountAccount::new().build()),
                ("balance (the key's mode)", RetrieveForMyAccountBalance::new().build()),
                ("customers", ListCustomer::new().limit(1).build()),
                ("subscriptions", ListSubscription::new().limit(1).build()),
                ("prices", ListPrice::new().limit(1).build()),
                ("products", ListProduct::new().limit(1).build()),
                ("checkout sessions", ListCheckoutSession::new().limit(1).build()),
                ("invoices", ListInvoice::new().limit(1).build()),
                ("events", ListEvent::new().limit(1).build()),
                ("webhook endpoints", ListWebhookEndpoint::new().limit(1).build()),
                ("customer search", SearchCustomer::new("email:'nobody@nowhere.invalid'").limit(1).build()),
            ]
        };
        let mut results = Vec::new();
        for (reads, request) in checks {
            results.push(PermissionCheck { reads, result: self.send_raw(request).await.map(|_| ()) });
        }
        results
    }

    /// The URLs that Stripe delivers webhooks to, with `enabled` or `disabled`.
    ///
    /// # Errors
    /// Whatever keeps Stripe from answering.
    pub async fn webhook_endpoints(&self) -> Result<Vec<(String, String)>, Fault> {
        let page = self.send(&ListWebhookEndpoint::new().limit(PAGE)).await?;
        Ok(decode::list(&page, |v| Some((decode::text(v, "url")?, decode::text(v, "status")?))))
    }
}

/// What Stripe does not have is an answer, not a fault.
fn absent_is_none(result: Result<Value, Fault>) -> Result<Option<Value>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn unreadable(what: &str) -> Fault {
    Fault::new(Source::Stripe, FaultKind::Schema, format!("Stripe's {what} cannot be read: it has no id"))
}

/// A value inside a search clause's quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\'', r"\'")
}
