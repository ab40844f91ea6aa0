//! The mirror's rows decoded into Stripe's objects, each with the time it is of. Judges none of them.

use super::tables::{Table, Tables};
use crate::config::Config;
use crate::domain::At;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mirror::Copied;
use crate::domain::stripe::{Customer, Metadata, Subscription};
use crate::gateway::postgres::connect::Session;
use crate::gateway::postgres::fault::Trouble;
use crate::gateway::stripe::decode;
use serde_json::Value;
use sqlx::Row;
use std::collections::BTreeMap;

/// So many copies are read by one statement at most.
const AT_MOST: usize = 500;

/// A condition over the copies `s`, with the list of texts that is its `$1`.
pub struct Condition {
    field: &'static str,
    lowered: bool,
    values: Vec<String>,
}

/// What has been read so far.
pub struct Read<'a> {
    tables: &'a Tables,
    config: &'a Config,
    pub customers: Vec<Copied<Customer>>,
    pub subscriptions: Vec<Copied<Subscription>>,
    pub odd: usize,
    pub notes: Vec<String>,
}

impl Condition {
    pub fn ids(ids: &[StripeId]) -> Self {
        Self { field: "id", lowered: false, values: ids.iter().map(StripeId::to_string).collect() }
    }

    pub fn of_customers(ids: &[StripeId]) -> Self {
        Self { field: "customer", ..Self::ids(ids) }
    }

    pub fn email(address: &str) -> Self {
        Self { field: "email", lowered: true, values: vec![address.to_lowercase()] }
    }

    fn sql(&self, table: &Table) -> String {
        let field = table.field(self.field);
        if self.lowered { format!("lower({field}) = ANY ($1::text[])") } else { format!("{field} = ANY ($1::text[])") }
    }
}

impl<'a> Read<'a> {
    pub fn new(tables: &'a Tables, config: &'a Config) -> Self {
        Self { tables, config, customers: Vec::new(), subscriptions: Vec::new(), odd: 0, notes: Vec::new() }
    }

    pub async fn subscriptions(&mut self, session: &mut Session, condition: &Condition) -> Result<(), Trouble> {
        let Ok(table) = &self.tables.subscriptions else { return Ok(()) };
        for (document, as_of) in self.documents(session, table, condition).await? {
            match subscription(&document) {
                Some(value) if self.subscriptions.iter().any(|s| s.value.id == value.id) => {}
                Some(value) => self.subscriptions.push(Copied { value, as_of, livemode: document["livemode"].as_bool() }),
                None => self.odd += 1,
            }
        }
        Ok(())
    }

    pub async fn customers(&mut self, session: &mut Session, condition: &Condition) -> Result<(), Trouble> {
        let Some(table) = self.tables.customers.as_ref().ok().filter(|t| t.lacks.is_empty()) else { return Ok(()) };
        for (document, as_of) in self.documents(session, table, condition).await? {
            match decode::customer(&document) {
                Some(value) if self.customers.iter().any(|c| c.value.id == value.id) => {}
                Some(value) => self.customers.push(Copied { value, as_of, livemode: document["livemode"].as_bool() }),
                None => self.odd += 1,
            }
        }
        Ok(())
    }

    /// The metadata of products whose word counts. A subscription whose product is not in the mirror is of no known state: its tier
    /// would be open here and decided at Stripe.
    pub async fn products(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let rules = &self.config.tiers;
        let undecided = |s: &Subscription| {
            let open = s.items.iter().map(|i| &i.price).filter(|p| rules.tier_of(p).is_none());
            open.filter_map(|p| p.product.clone()).collect::<Vec<_>>()
        };
        let mut wanted: Vec<StripeId> = self.subscriptions.iter().flat_map(|s| undecided(&s.value)).collect();
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut known: BTreeMap<StripeId, Metadata> = BTreeMap::new();
        if let Some(table) = self.tables.products.as_ref().ok().filter(|t| t.lacks.is_empty()) {
            for (document, _) in self.documents(session, table, &Condition::ids(&wanted)).await? {
                let id = document["id"].as_str().and_then(|id| StripeId::of(StripeKind::Product, id));
                known.extend(id.map(|id| (id, decode::metadata(&document["metadata"]))));
            }
        }
        for copy in &mut self.subscriptions {
            for item in &mut copy.value.items {
                let price = &mut item.price;
                if rules.tier_of(price).is_some() {
                    continue;
                }
                match price.product.as_ref().map(|p| known.get(p)) {
                    Some(Some(metadata)) => price.product_metadata.clone_from(metadata),
                    Some(None) => copy.as_of = None,
                    None => {}
                }
            }
        }
        Ok(())
    }

    async fn documents(&self, session: &mut Session, table: &Table, condition: &Condition) -> Result<Vec<(Value, Option<At>)>, Trouble> {
        if condition.values.is_empty() || condition.values.iter().any(|v| v.contains('\0')) {
            return Ok(Vec::new());
        }
        if table.is_too_large_for(condition.field).is_some() {
            return Ok(Vec::new());
        }
        documents(session, table, &condition.sql(table), &condition.values, AT_MOST).await
    }
}

/// Copies under a condition whose `$1` is this list. What is no JSON comes as `null`.
pub async fn documents(
    session: &mut Session,
    table: &Table,
    condition: &str,
    values: &[String],
    at_most: usize,
) -> Result<Vec<(Value, Option<At>)>, Trouble> {
    let statement = table.statement(condition, at_most);
    let rows = session.sql(statement).bind(values).fetch_all(&mut session.conn).await?;
    let decoded = rows.iter().map(|row| {
        let text: Option<String> = row.try_get("document")?;
        let document = text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or(Value::Null);
        Ok((document, row.try_get("stamp")?))
    });
    decoded.collect::<Result<_, sqlx::Error>>().map_err(Trouble::from)
}

/// A subscription whose items are not there is none: what it sells would be unknown.
fn subscription(document: &Value) -> Option<Subscription> {
    document["items"]["data"].as_array()?;
    decode::subscription(document)
}
