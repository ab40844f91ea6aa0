//! The search at Stripe: ids by retrieval, addresses by list and then search, words by search.

use super::client::Lane;
use super::customers::{self, quoted};
use crate::domain::facts::Handle;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::needle::Needle;
use crate::domain::stripe::{Customer, named_profile};
use crate::protocol::query::{Hit, Reply};

/// Stripe refuses to search for less.
const SHORTEST: usize = 3;

pub async fn find(lane: Lane<'_>, needle: &Needle, limit: u32) -> Result<Reply, Fault> {
    let mut more = false;
    let hits = match needle {
        Needle::Stripe(id) => by_id(lane, id).await?,
        Needle::Email(email) => by_email(lane, email, limit, &mut more).await?,
        Needle::Words(words) => by_words(lane, words, limit).await?,
        Needle::Uuid(key) => {
            let found = customers::search(lane, &format!("metadata['profileId']:'{}'", quoted(key)), limit).await?;
            found.iter().map(|c| hit(c, Handle::Stripe(c.id.clone()), 0)).collect()
        }
        // Placeholders are unknown to Stripe, and it finds nothing by the beginning of an id.
        Needle::StripePrefix { .. } | Needle::Placeholder(_) | Needle::UuidPrefix(_) | Needle::Number(_) => Vec::new(),
    };
    let truncated = more || hits.len() >= limit as usize;
    Ok(Reply::Hits { hits, truncated })
}

async fn by_id(lane: Lane<'_>, id: &StripeId) -> Result<Vec<Hit>, Fault> {
    let found = if id.kind() == StripeKind::Customer { customers::by_id(lane, id).await? } else { customers::owner(lane, id).await? };
    Ok(found.map(|c| hit(&c, Handle::Stripe(id.clone()), 0)).into_iter().collect())
}

async fn by_email(lane: Lane<'_>, email: &str, limit: u32, more: &mut bool) -> Result<Vec<Hit>, Fault> {
    let exact;
    (exact, *more) = customers::with_email(lane, email).await?;
    if !exact.is_empty() {
        return Ok(exact.iter().map(|c| hit(c, Handle::Stripe(c.id.clone()), 0)).collect());
    }
    let found = customers::search(lane, &format!("email:'{}'", quoted(email)), limit).await?;
    Ok(found.iter().map(|c| hit(c, Handle::Stripe(c.id.clone()), 1)).collect())
}

async fn by_words(lane: Lane<'_>, words: &str, limit: u32) -> Result<Vec<Hit>, Fault> {
    if words.chars().count() < SHORTEST {
        return Ok(Vec::new());
    }
    let text = quoted(words);
    // Two queries: Stripe takes one field or all clauses together, not either of two.
    let (name, email) = (format!("name~'{text}'"), format!("email~'{text}'"));
    let (by_name, by_email) = tokio::join!(customers::search(lane, &name, limit), customers::search(lane, &email, limit));
    let mut all = by_name?;
    for customer in by_email? {
        if !all.iter().any(|c| c.id == customer.id) {
            all.push(customer);
        }
    }
    let lower = words.to_lowercase();
    let begins = |text: Option<&String>| text.is_some_and(|t| t.to_lowercase().starts_with(&lower));
    let mut hits: Vec<Hit> = all
        .iter()
        .map(|c| {
            let rank = if begins(c.name.as_ref()) || begins(c.email.as_ref()) { 1 } else { 2 };
            hit(c, Handle::Stripe(c.id.clone()), rank)
        })
        .collect();
    hits.sort_by_key(|h| h.rank);
    hits.truncate(limit as usize);
    Ok(hits)
}

fn hit(customer: &Customer, handle: Handle, rank: u8) -> Hit {
    let kind = match &handle {
        Handle::Stripe(id) => kind_word(id.kind()),
        _ => "customer",
    };
    Hit {
        source: Source::Stripe,
        handle,
        name: customer.name.clone(),
        email: customer.email.clone(),
        subject: named_profile(&customer.metadata),
        customer: Some(customer.id.to_string()),
        note: if customer.deleted { "deleted customer".into() } else { kind.to_string() },
        rank,
    }
}

fn kind_word(kind: StripeKind) -> &'static str {
    match kind {
        StripeKind::Customer => "customer",
        StripeKind::Subscription => "subscription",
        StripeKind::SubscriptionItem => "subscription item",
        StripeKind::Price => "price",
        StripeKind::Product => "product",
        StripeKind::Invoice => "invoice",
        StripeKind::InvoicePayment => "invoice payment",
        StripeKind::PaymentIntent => "payment",
        StripeKind::Charge => "charge",
        StripeKind::CheckoutSession => "checkout session",
        StripeKind::Event => "event",
        StripeKind::WebhookEndpoint => "webhook endpoint",
        StripeKind::Refund => "refund",
        StripeKind::Dispute => "dispute",
        StripeKind::Account => "account",
        StripeKind::Request => "request",
    }
}
