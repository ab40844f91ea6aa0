//! Search at Stripe: exact reads where the term allows one, Stripe's own search otherwise.

use super::client::Stripe;
use super::decode;
use super::reads::escaped;
use crate::domain::facts::Handle;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeKind;
use crate::domain::needle::Needle;
use crate::domain::stripe::{Customer, named_profile};
use crate::protocol::query::{Hit, NeedleText, Query, Reply};
use stripe_core::customer::{ListCustomer, SearchCustomer};

/// Stripe's substring search takes no shorter terms.
const SHORTEST: usize = 3;

impl Stripe {
    pub(super) async fn find(&self, needle: &NeedleText, limit: u32) -> Result<Reply, Fault> {
        let Some(needle) = needle.needle() else { return Ok(hits(Vec::new(), limit)) };
        let found = match &needle {
            Needle::Stripe(id) => {
                let query = if id.kind() == StripeKind::Customer { Query::Customer(id.clone()) } else { Query::CustomerOf(id.clone()) };
                // Boxed: answering that query is what called this.
                let Reply::Customers(found) = Box::pin(self.answer(&query)).await? else { return Ok(hits(Vec::new(), limit)) };
                found.into_iter().map(|c| hit(c, 0)).collect()
            }
            Needle::Email(email) => {
                let exact = decode::list(&self.send(&ListCustomer::new().email(email.as_str()).limit(10)).await?, decode::customer);
                match exact.is_empty() {
                    true => self.search(&format!("email~'{}'", escaped(email)), limit, 2).await?,
                    false => exact.into_iter().map(|c| hit(c, 0)).collect(),
                }
            }
            Needle::Words(words) if words.chars().count() >= SHORTEST => {
                let term = escaped(words);
                let (by_name, by_email) = (format!("name~'{term}'"), format!("email~'{term}'"));
                let (by_name, by_email) = tokio::try_join!(self.search(&by_name, limit, 2), self.search(&by_email, limit, 2))?;
                let mut found = by_name;
                let more: Vec<_> = by_email.into_iter().filter(|h| !found.iter().any(|f| f.handle == h.handle)).collect();
                found.extend(more);
                found
            }
            Needle::Uuid(key) => self.search(&format!("metadata['profileId']:'{}'", escaped(key)), limit, 0).await?,
            // Stripe looks nothing up by a piece of an id, and never heard of placeholders.
            Needle::StripePrefix { .. } | Needle::Placeholder(_) | Needle::UuidPrefix(_) | Needle::Number(_) | Needle::Words(_) => {
                Vec::new()
            }
        };
        Ok(hits(found, limit))
    }

    async fn search(&self, clause: &str, limit: u32, rank: u8) -> Result<Vec<Hit>, Fault> {
        let request = SearchCustomer::new(clause).limit(i64::from(limit.clamp(1, 99)) + 1);
        Ok(decode::list(&self.send(&request).await?, decode::customer).into_iter().map(|c| hit(c, rank)).collect())
    }
}

fn hits(mut hits: Vec<Hit>, limit: u32) -> Reply {
    let most = limit as usize;
    let truncated = hits.len() > most;
    hits.truncate(most);
    Reply::Hits { hits, truncated }
}

fn hit(customer: Customer, rank: u8) -> Hit {
    Hit {
        source: Source::Stripe,
        subject: named_profile(&customer.metadata),
        customer: Some(customer.id.to_string()),
        handle: Handle::Stripe(customer.id),
        name: customer.name,
        email: customer.email,
        note: if customer.deleted { "deleted customer".into() } else { "customer".into() },
        rank,
    }
}
