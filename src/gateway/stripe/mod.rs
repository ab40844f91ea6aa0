//! The Stripe account: its reads, one file per subject, over a client of our own. Judges nothing of what it reads.

mod account;
mod client;
mod customers;
pub(in crate::gateway) mod decode;
mod events;
mod fault;
mod find;
mod payments;
mod resend;
mod subscriptions;

pub use account::PermissionCheck;
pub use client::Priority;

use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::stripe::{Account, Metadata};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::protocol::query::{Query, Reply};
use client::{Client, Lane};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The way to Stripe. Clones share connections, budget and what is remembered of products.
#[derive(Clone)]
pub struct Stripe {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    tiers: TierRules,
    products: Mutex<HashMap<StripeId, (Metadata, Instant)>>,
}

impl Stripe {
    /// Opens no connection before the first read.
    ///
    /// # Errors
    /// Where no key is configured.
    pub fn new(config: &Config) -> Result<Self, Fault> {
        let inner = Inner { client: Client::of(config)?, tiers: config.tiers.clone(), products: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers one of Stripe's queries for somebody who waits. Dropping the future drops the request.
    ///
    /// # Errors
    /// The fault of the way, or the one that Stripe's answer names.
    pub async fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        self.answer_at(query, Priority::Interactive).await
    }

    /// As [`Stripe::answer`], from the background's budget where nobody waits.
    ///
    /// # Errors
    /// As there.
    pub async fn answer_at(&self, query: &Query, priority: Priority) -> Result<Reply, Fault> {
        let lane = self.lane(priority);
        match query {
            Query::Account => account::account(lane).await.map(Reply::Account),
            Query::FindInStripe { needle, limit } => match needle.needle() {
                Some(needle) => find::find(lane, &needle, *limit).await,
                None => Ok(Reply::Hits { hits: Vec::new(), truncated: false }),
            },
            Query::Customer(id) => customers::by_id(lane, id).await.map(|c| Reply::Customers(c.into_iter().collect())),
            Query::CustomerOf(id) => customers::owner(lane, id).await.map(|c| Reply::Customers(c.into_iter().collect())),
            Query::CustomersFor { email, subject } => customers::of_profile(lane, email.as_deref(), subject).await.map(Reply::Customers),
            Query::SubscriptionsOf(id) => subscriptions::of_customer(self, lane, id).await.map(Reply::Subscriptions),
            Query::SessionsOf(id) => payments::sessions(lane, id).await.map(Reply::Sessions),
            Query::InvoicesOf(id) => payments::invoices(lane, id).await.map(Reply::Invoices),
            Query::EventPage(range) => events::page(lane, range).await,
            Query::Event(id) => events::whole(lane, id).await.map(Reply::Event),
            Query::Subscription(id) => subscriptions::by_id(self, lane, id).await.map(|s| Reply::Subscriptions(s.into_iter().collect())),
            Query::SubscriptionPage(range) => subscriptions::page(self, lane, range).await,
            Query::Endpoints => account::endpoints(lane).await.map(Reply::Endpoints),
            Query::Payments { from, until } => payments::between(lane, *from, *until).await.map(Reply::Payments),
            other => unreachable!("invariant: {:?} is routed to another source", other.source()),
        }
    }

    /// The account behind the key, and its mode.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub async fn account(&self) -> Result<Account, Fault> {
        account::account(self.lane(Priority::Interactive)).await
    }

    /// Whether Stripe answers this key, and in which mode (`true`: live).
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<bool, Fault> {
        // Not from the budget: behind a long scan a source that answers would look stale.
        account::livemode(self.lane(Priority::Interactive)).await
    }

    /// Tries each kind of read that the console does, and says which of them the key may not.
    pub async fn permissions(&self) -> Vec<PermissionCheck> {
        account::permissions(self.lane(Priority::Interactive)).await
    }

    /// The webhook endpoints as they are registered.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn webhook_endpoints(&self) -> Result<Vec<Endpoint>, Fault> {
        account::endpoints(self.lane(Priority::Interactive)).await
    }

    /// The mode that the key's own prefix claims (`true`: live); `None` for a key of no known kind.
    #[must_use]
    pub fn key_livemode(&self) -> Option<bool> {
        self.inner.client.claims_livemode()
    }

    fn lane(&self, priority: Priority) -> Lane<'_> {
        Lane { client: &self.inner.client, priority }
    }

    fn tiers(&self) -> &TierRules {
        &self.inner.tiers
    }

    fn products(&self) -> &Mutex<HashMap<StripeId, (Metadata, Instant)>> {
        &self.inner.products
    }
}
