//! The mirror of Stripe that a sync engine keeps in schema `stripe` of the product's database: its copies, read as Stripe's objects. Only ever read.
//!
//! The layouts are those of Supabase's Stripe Sync Engine (<https://github.com/supabase/stripe-sync-engine>, its migrations): columns named
//! as Stripe's fields, with `updated_at` and later `last_synced_at`; and, newer, one document `raw_data` or `_raw_data` with columns
//! generated from it. It stamps what an event brought with the event's own time (`getSyncTimestamp`) and takes only what is newer than its
//! stamp (`upsertManyWithTimestampProtection`); `updated_at` is when the row was written, which says nothing about what state it holds.

mod copies;
mod find;
mod tables;

pub use find::find;
pub use tables::{MirrorReport, is_there, report};

use super::connect::Session;
use super::fault::Trouble;
use crate::config::Config;
use crate::domain::At;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mirror::{Mirror, Mirrored};
use crate::domain::money::group;
use crate::protocol::query::MirrorOf;
use copies::{Condition, Read};
use tables::Tables;

/// What the mirror has of these; `None` where there is none, or none that our role may read.
pub async fn read(session: &mut Session, config: &Config, of: &MirrorOf) -> Result<Option<Mirrored>, Trouble> {
    let Some(tables) = tables::of(session).await?.usable() else { return Ok(None) };
    let mut read = Read::new(&tables, config);
    match of {
        MirrorOf::Subscriptions(ids) => read.subscriptions(session, &Condition::ids(ids)).await?,
        MirrorOf::Customers { ids, subscriptions, email } => {
            read.subscriptions(session, &Condition::ids(subscriptions)).await?;
            let mut customers: Vec<StripeId> = ids.iter().filter(|i| i.kind() == StripeKind::Customer).cloned().collect();
            customers.extend(read.subscriptions.iter().map(|s| s.value.customer.clone()));
            customers.sort();
            customers.dedup();
            read.customers(session, &Condition::ids(&customers)).await?;
            if let Some(email) = email {
                read.customers(session, &Condition::email(email)).await?;
            }
            customers.extend(read.customers.iter().map(|c| c.value.id.clone()));
            customers.sort();
            customers.dedup();
            read.subscriptions(session, &Condition::of_customers(&customers)).await?;
        }
    }
    read.products(session).await?;
    // A copy that came in since is newer than what was found some seconds ago.
    let stamps = read.subscriptions.iter().filter_map(|s| s.as_of).chain(read.customers.iter().filter_map(|c| c.as_of));
    let newest = tables.newest(session).await?.map(|newest| stamps.fold(newest, At::max));
    let mut notes = tables.notes();
    notes.append(&mut read.notes);
    if read.odd > 0 {
        notes.push(format!("{} rows of it cannot be read as Stripe's objects", group(read.odd as u64)));
    }
    read.subscriptions.sort_by_key(|s| std::cmp::Reverse(s.value.created));
    Ok(Some(Mirrored { mirror: Mirror { newest, notes }, customers: read.customers, subscriptions: read.subscriptions, odd: read.odd }))
}

impl Tables {
    /// The tables, where the one that counts can be read.
    fn usable(self) -> Option<Self> {
        self.subscriptions.as_ref().is_ok_and(|t| t.lacks.is_empty()).then_some(self)
    }
}
