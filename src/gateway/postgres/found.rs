//! The schema map checked against the catalogue: which tables and columns are really there, of which types, and how each is read in SQL.

use super::connect::Session;
use super::fault::{self, Trouble};
use super::names::{ident, literal, table};
use crate::config::schema::{Column, CounterMap, EventMap, LimitMap, SchemaMap, SubjectMap, SubscriptionMap};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::row::Field;
use crate::domain::shape::KeyType;
use sqlx::Row;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The four contracts as this database keeps them.
#[derive(Debug)]
pub struct Found {
    pub subject: SubjectFound,
    pub subscription: SubscriptionFound,
    /// `None`: this database has no such table, and the map does not insist.
    pub counter: Option<CounterFound>,
    pub limit: Option<LimitFound>,
    /// `None` also where our role may not read it: it is evidence, and nothing rests on it.
    pub event: Option<EventFound>,
}

#[derive(Debug)]
pub struct SubjectFound {
    pub table: TableFound,
    pub key: ColumnFound,
    pub email: Option<ColumnFound>,
    pub name: Option<ColumnFound>,
    pub created_at: Option<ColumnFound>,
    /// The first columns of the table's indexes, as the server writes them.
    pub indexes: Vec<String>,
}

#[derive(Debug)]
pub struct SubscriptionFound {
    pub table: TableFound,
    pub subject: ColumnFound,
    /// The mapped fields, in the order in which they are read.
    pub fields: Vec<(Field, ColumnFound)>,
}

#[derive(Debug)]
pub struct CounterFound {
    pub table: TableFound,
    pub subject: ColumnFound,
    pub feature: ColumnFound,
    pub used: ColumnFound,
    pub period_start: Option<ColumnFound>,
    pub period_end: Option<ColumnFound>,
}

#[derive(Debug)]
pub struct LimitFound {
    pub table: TableFound,
    pub tier: ColumnFound,
    pub feature: ColumnFound,
    pub value: ColumnFound,
}

/// The application's own record of events.
#[derive(Debug)]
pub struct EventFound {
    pub table: TableFound,
    pub id: ColumnFound,
    pub processed: Option<ColumnFound>,
    pub processed_at: Option<ColumnFound>,
}

/// A table that is there.
#[derive(Debug, Clone)]
pub struct TableFound {
    /// As the map calls it, for sentences.
    pub name: String,
    /// Quoted, for statements.
    pub sql: String,
    pub oid: i64,
    /// Rows may be hidden from our role.
    pub row_security: bool,
    /// The planner's estimate; negative where it has none.
    pub rows: f64,
}

/// A column that is there, and the place in its document where the map names one.
#[derive(Debug, Clone)]
pub struct ColumnFound {
    pub name: String,
    pub path: Vec<String>,
    /// The server's own name for the type, safe in a cast.
    pub sql_type: String,
    pub readable: bool,
    pub updatable: bool,
    /// Compares byte by byte, so that a prefix is a range.
    pub byte_ordered: bool,
}

/// One row of the catalogue's answer.
struct Catalogue {
    tables: Vec<Option<TableFound>>,
    columns: BTreeMap<(usize, String), ColumnFound>,
}

const CATALOGUE: &str = "
SELECT (w.i - 1)::int4 AS i, c.oid::int8 AS oid, coalesce(row_security_active(c.oid), false) AS row_security, c.reltuples::float8 AS rows,
       a.attname::text AS name, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL) AS type,
       coalesce(has_column_privilege(c.oid, a.attnum, 'SELECT'), false) AS readable,
       coalesce(has_column_privilege(c.oid, a.attnum, 'UPDATE'), false) AS updatable,
       coalesce(l.collname IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8', 'ucs_basic')
                OR (l.collname = 'default' AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c'
                    AND d.datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')), false) AS byte_ordered
FROM unnest($1::text[]) WITH ORDINALITY AS w(name, i)
LEFT JOIN pg_class c ON c.oid = to_regclass(w.name)
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_database d ON d.datname = current_database()";

const INDEXES: &str = "
SELECT pg_get_indexdef(i.indexrelid, 1, true) AS first FROM pg_index i
WHERE i.indrelid = $1::int8::oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL";

/// The map as it was checked on this connection, or checked now.
///
/// # Errors
/// [`FaultKind::Schema`] naming table, column and the key in the configuration.
pub async fn of(session: &mut Session, map: &SchemaMap) -> Result<Arc<Found>, Trouble> {
    if let Some(found) = &session.found {
        return Ok(Arc::clone(found));
    }
    read(session, map).await
}

/// Checks the map against the catalogue as it is now.
///
/// # Errors
/// As [`of`].
pub async fn read(session: &mut Session, map: &SchemaMap) -> Result<Arc<Found>, Trouble> {
    session.found = None;
    let catalogue = catalogue(session, map).await?;
    let mut subject = catalogue.subject(&map.subject)?;
    let found = session.sql(INDEXES.into()).bind(subject.table.oid).fetch_all(&mut session.conn).await?;
    subject.indexes = found.iter().map(|r| r.try_get("first")).collect::<Result<_, _>>()?;
    let found = Arc::new(Found {
        subject,
        subscription: catalogue.subscription(&map.subscription)?,
        counter: catalogue.counter(&map.counter)?,
        limit: catalogue.limit(&map.limit)?,
        event: catalogue.event(&map.event)?,
    });
    session.found = Some(Arc::clone(&found));
    Ok(found)
}

async fn catalogue(session: &mut Session, map: &SchemaMap) -> Result<Catalogue, Trouble> {
    let names: Vec<&String> = vec![&map.subject.table, &map.subscription.table, &map.counter.table, &map.limit.table, &map.event.table];
    let quoted: Vec<String> = names.iter().map(|n| table(n)).collect();
    let rows = session.sql(CATALOGUE.into()).bind(quoted).fetch_all(&mut session.conn).await?;
    let mut catalogue = Catalogue { tables: vec![None; names.len()], columns: BTreeMap::new() };
    for row in rows {
        let i = usize::try_from(row.try_get::<i32, _>("i")?).expect("invariant: counted from 1");
        let Some(oid) = row.try_get::<Option<i64>, _>("oid")? else { continue };
        let (row_security, rows) = (row.try_get("row_security")?, row.try_get("rows")?);
        catalogue.tables[i].get_or_insert_with(|| TableFound { name: names[i].clone(), sql: table(names[i]), oid, row_security, rows });
        let Some(name) = row.try_get::<Option<String>, _>("name")? else { continue };
        let column = ColumnFound {
            name: name.clone(),
            path: Vec::new(),
            sql_type: row.try_get("type")?,
            readable: row.try_get("readable")?,
            updatable: row.try_get("updatable")?,
            byte_ordered: row.try_get("byte_ordered")?,
        };
        catalogue.columns.insert((i, name), column);
    }
    Ok(catalogue)
}

const SUBJECT: usize = 0;
const SUBSCRIPTION: usize = 1;
const COUNTER: usize = 2;
const LIMIT: usize = 3;
const EVENT: usize = 4;
const CONTRACTS: [&str; 5] = ["subject", "subscription", "counter", "limit", "event"];

impl Catalogue {
    fn table(&self, i: usize, name: &str) -> Result<TableFound, Fault> {
        self.tables[i].clone().ok_or_else(|| {
            let contract = CONTRACTS[i];
            let say = format!(
                "there is no table {name} that we can see: name the right one under [schema.{contract}] table, or set the search_path"
            );
            fault::new(FaultKind::Schema, say)
        })
    }

    /// The plain column of that name, which the key `contract.key` asks for.
    fn plain(&self, i: usize, key: &str, name: &str) -> Result<ColumnFound, Fault> {
        let column = self.columns.get(&(i, name.to_string()));
        column.cloned().ok_or_else(|| {
            let (contract, table) = (CONTRACTS[i], self.tables[i].as_ref().map_or("?", |t| &t.name));
            let say = format!(
                "{table}.{name} is not there: name the right column under [schema.{contract}] {key}, or write false where there is none"
            );
            fault::new(FaultKind::Schema, say)
        })
    }

    fn mapped(&self, i: usize, key: &str, column: &Column) -> Result<Option<ColumnFound>, Fault> {
        Ok(match column {
            Column::Off => None,
            Column::Plain(name) => Some(self.plain(i, key, name)?),
            Column::Json { column, path } => {
                let document = self.plain(i, key, column)?;
                if !matches!(document.sql_type.as_str(), "json" | "jsonb") {
                    let (contract, table) = (CONTRACTS[i], self.tables[i].as_ref().map_or("?", |t| &t.name));
                    let say =
                        format!("{table}.{column} is {}, and [schema.{contract}] {key} looks for a JSON document there", document.sql_type);
                    return Err(fault::new(FaultKind::Schema, say));
                }
                Some(ColumnFound { path: path.clone(), ..document })
            }
        })
    }

    /// A mapped time: a column of a type that holds one, or a text in a document.
    fn time(&self, i: usize, key: &str, column: &Column) -> Result<Option<ColumnFound>, Fault> {
        let found = self.mapped(i, key, column)?;
        match &found {
            Some(c) if c.path.is_empty() && !c.sql_type.starts_with("timestamp") && c.sql_type != "date" => {
                let (contract, table) = (CONTRACTS[i], self.tables[i].as_ref().map_or("?", |t| &t.name));
                let say = format!("{table}.{} is {}, and [schema.{contract}] {key} needs a time", c.name, c.sql_type);
                Err(fault::new(FaultKind::Schema, say))
            }
            _ => Ok(found),
        }
    }

    /// Where the map says nothing: a column of that name, else the same key in a document called `data`, else nothing.
    fn found_or(&self, i: usize, key: &str, given: Option<&Column>) -> Result<Option<ColumnFound>, Fault> {
        if let Some(column) = given {
            return self.mapped(i, key, column);
        }
        if let Some(column) = self.columns.get(&(i, key.to_string())) {
            return Ok(Some(column.clone()));
        }
        let document = self.columns.get(&(i, "data".to_string())).filter(|c| matches!(c.sql_type.as_str(), "json" | "jsonb"));
        Ok(document.map(|d| ColumnFound { path: vec![key.to_string()], ..d.clone() }))
    }

    fn subject(&self, map: &SubjectMap) -> Result<SubjectFound, Fault> {
        Ok(SubjectFound {
            table: self.table(SUBJECT, &map.table)?,
            key: self.plain(SUBJECT, "key", &map.key)?,
            email: self.found_or(SUBJECT, "email", map.email.as_ref())?,
            name: self.found_or(SUBJECT, "name", map.name.as_ref())?,
            created_at: self.time(SUBJECT, "created_at", &map.created_at)?,
            indexes: Vec::new(),
        })
    }

    fn subscription(&self, map: &SubscriptionMap) -> Result<SubscriptionFound, Fault> {
        let table = self.table(SUBSCRIPTION, &map.table)?;
        let mut fields = Vec::new();
        for field in Field::ALL {
            let column = match field {
                Field::Tier => &map.tier,
                Field::Customer => &map.stripe_customer_id,
                Field::Subscription => &map.stripe_subscription_id,
                Field::Status => &map.status,
                Field::Interval => &map.billing_interval,
                Field::PeriodStart => &map.current_period_start,
                Field::PeriodEnd => &map.current_period_end,
                Field::CancelAt => &map.cancel_at,
                Field::CancelAtPeriodEnd => &map.cancel_at_period_end,
                Field::UpdatedAt => &map.updated_at,
            };
            let name = field.contract_name();
            let found = if is_time(field) { self.time(SUBSCRIPTION, name, column)? } else { self.mapped(SUBSCRIPTION, name, column)? };
            fields.extend(found.map(|f| (field, f)));
        }
        Ok(SubscriptionFound { table, subject: self.plain(SUBSCRIPTION, "subject", &map.subject)?, fields })
    }

    fn counter(&self, map: &CounterMap) -> Result<Option<CounterFound>, Fault> {
        if self.tables[COUNTER].is_none() && map.table == CounterMap::default().table {
            return Ok(None);
        }
        Ok(Some(CounterFound {
            table: self.table(COUNTER, &map.table)?,
            subject: self.plain(COUNTER, "subject", &map.subject)?,
            feature: self.plain(COUNTER, "feature", &map.feature)?,
            used: self.plain(COUNTER, "used", &map.used)?,
            period_start: self.time(COUNTER, "period_start", &map.period_start)?,
            period_end: self.time(COUNTER, "period_end", &map.period_end)?,
        }))
    }

    fn limit(&self, map: &LimitMap) -> Result<Option<LimitFound>, Fault> {
        if self.tables[LIMIT].is_none() && map.table == LimitMap::default().table {
            return Ok(None);
        }
        Ok(Some(LimitFound {
            table: self.table(LIMIT, &map.table)?,
            tier: self.plain(LIMIT, "tier", &map.tier)?,
            feature: self.plain(LIMIT, "feature", &map.feature)?,
            value: self.plain(LIMIT, "value", &map.value)?,
        }))
    }

    /// What is not as the default map has it is simply not there: only a map that was written insists.
    fn event(&self, map: &EventMap) -> Result<Option<EventFound>, Fault> {
        let usual = *map == EventMap::default();
        if usual && (self.tables[EVENT].is_none() || !self.columns.contains_key(&(EVENT, map.stripe_event_id.clone()))) {
            return Ok(None);
        }
        let column = |key: &str, column: &Column| self.mapped(EVENT, key, column).or_else(|f| if usual { Ok(None) } else { Err(f) });
        let found = EventFound {
            table: self.table(EVENT, &map.table)?,
            id: self.plain(EVENT, "stripe_event_id", &map.stripe_event_id)?,
            processed: column("processed", &map.processed)?,
            processed_at: column("processed_at", &map.processed_at)?,
        };
        let all = [Some(&found.id), found.processed.as_ref(), found.processed_at.as_ref()];
        let readable = all.into_iter().flatten().all(|c| c.readable) && !found.table.row_security;
        Ok(readable.then_some(found))
    }
}

/// Whether the field is a point in time.
pub fn is_time(field: Field) -> bool {
    matches!(field, Field::PeriodStart | Field::PeriodEnd | Field::CancelAt | Field::UpdatedAt)
}

impl SubscriptionFound {
    pub fn field(&self, field: Field) -> Option<&ColumnFound> {
        self.fields.iter().find(|(f, _)| *f == field).map(|(_, c)| c)
    }

    /// The field's column, or a sentence that it is not mapped.
    pub fn required(&self, field: Field) -> Result<&ColumnFound, Fault> {
        self.field(field).ok_or_else(|| {
            let say = format!("[schema.subscription] {} is off, and this needs it", field.contract_name());
            fault::new(FaultKind::Schema, say)
        })
    }
}

impl ColumnFound {
    fn bare(&self, alias: &str) -> String {
        let column = ident(&self.name);
        if alias.is_empty() { column } else { format!("{alias}.{column}") }
    }

    /// The value as text.
    pub fn text(&self, alias: &str) -> String {
        match self.path.as_slice() {
            [] => format!("{}::text", self.bare(alias)),
            // Written as people write it, so that an index on the expression serves.
            [one] => format!("({} ->> {})", self.bare(alias), literal(one)),
            path => format!("({} #>> ARRAY[{}]::text[])", self.bare(alias), path.iter().map(|p| literal(p)).collect::<Vec<_>>().join(", ")),
        }
    }

    /// The value as text that can be compared with a bound text by the column's own index.
    pub fn comparable(&self, alias: &str) -> String {
        let indexable = self.path.is_empty() && matches!(self.sql_type.as_str(), "text" | "character varying");
        if indexable { self.bare(alias) } else { self.text(alias) }
    }

    /// The value as `timestamptz`: what has no zone holds UTC.
    pub fn time(&self, alias: &str) -> String {
        match self.sql_type.as_str() {
            _ if !self.path.is_empty() => format!("{}::timestamptz", self.text(alias)),
            "timestamp with time zone" => self.bare(alias),
            _ => format!("({}::timestamp AT TIME ZONE 'UTC')", self.bare(alias)),
        }
    }

    pub fn flag(&self, alias: &str) -> String {
        if self.path.is_empty() { format!("{}::boolean", self.bare(alias)) } else { format!("{}::boolean", self.text(alias)) }
    }

    /// As what kind of key it is written and compared.
    pub fn key_type(&self) -> KeyType {
        match self.sql_type.as_str() {
            "uuid" => KeyType::Uuid,
            "bigint" | "integer" | "smallint" => KeyType::BigInt,
            _ => KeyType::Text,
        }
    }

    /// The key as it is compared: bare where its type has an index to offer.
    pub fn key(&self, alias: &str) -> String {
        if self.key_type() == KeyType::Text { self.comparable(alias) } else { self.bare(alias) }
    }

    pub fn is_json(&self) -> bool {
        !self.path.is_empty()
    }
}

/// The type that a list of keys is cast to.
pub fn key_cast(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Uuid => "uuid",
        KeyType::BigInt => "int8",
        KeyType::Text => "text",
    }
}

/// The key in the form its column compares; `None` where it cannot be one: then it finds nothing.
pub fn well_formed(kind: KeyType, key: &str) -> Option<String> {
    match kind {
        KeyType::Uuid => uuid::Uuid::try_parse(key).ok().map(|u| u.to_string()),
        KeyType::BigInt => key.parse::<i64>().ok().map(|n| n.to_string()),
        KeyType::Text => (!key.contains('\0')).then(|| key.to_string()),
    }
}

/// The condition that two columns hold the same key, whatever their types.
pub fn same_key(a: &ColumnFound, a_alias: &str, b: &ColumnFound, b_alias: &str) -> String {
    if a.key_type() == b.key_type() && a.key_type() != KeyType::Text {
        format!("{} = {}", a.key(a_alias), b.key(b_alias))
    } else {
        format!("{} = {}", a.text(a_alias), b.text(b_alias))
    }
}
