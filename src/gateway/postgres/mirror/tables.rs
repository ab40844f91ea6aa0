//! Which tables of a mirror are there, of which layout, what our role may read of them, and how old the newest copy is. Reads no copy.

use crate::domain::At;
use crate::domain::money::group;
use crate::gateway::postgres::check::Privilege;
use crate::gateway::postgres::connect::Session;
use crate::gateway::postgres::fault::Trouble;
use crate::gateway::postgres::names::{ident, literal};
use sqlx::Row;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The schema that the sync engine writes to.
pub const SCHEMA: &str = "stripe";

/// What a subscription is read from; the first five are what makes it one.
const SUBSCRIPTION: [&str; 17] = [
    "id",
    "customer",
    "status",
    "items",
    "created",
    "metadata",
    "cancel_at",
    "cancel_at_period_end",
    "canceled_at",
    "ended_at",
    "trial_end",
    "pause_collection",
    "schedule",
    "latest_invoice",
    "livemode",
    "current_period_start",
    "current_period_end",
];
const SUBSCRIPTION_NEEDS: usize = 5;
const CUSTOMER: [&str; 7] = ["id", "email", "name", "metadata", "created", "livemode", "deleted"];
const PRODUCT: [&str; 2] = ["id", "metadata"];
/// Tables that are looked into for the newest copy only.
const ALSO: [&str; 3] = ["invoices", "charges", "payment_intents"];
/// A table of more pages than this (50 MB) is not read from end to end.
const LARGE: i32 = 6_400;
/// The newest stamp is looked for again after this: without an index it is a scan of every table, and each question to the mirror needs it.
const NEWEST_KEPT: Duration = Duration::from_secs(15);

/// The mirror's tables as they were found.
pub struct Tables {
    pub subscriptions: Result<Table, Unusable>,
    pub customers: Result<Table, Unusable>,
    pub products: Result<Table, Unusable>,
    others: Vec<Table>,
}

/// A table that is there.
pub struct Table {
    /// Within the schema.
    pub name: &'static str,
    /// Quoted, for statements.
    pub sql: String,
    /// The object as one JSON value, over the alias `s`.
    document: String,
    /// The document's column, where there is one.
    raw: Option<String>,
    columns: BTreeMap<String, Column>,
    /// Since when a copy holds what it holds.
    stamp: Option<String>,
    /// When a row was last written, where nothing better is there.
    written: Option<String>,
    pages: i32,
    rows: f64,
    /// Columns that it needs and our role may not read, or that are not there.
    pub lacks: Vec<String>,
}

#[derive(Clone)]
struct Column {
    kind: String,
    readable: bool,
    indexed: bool,
}

/// Why a table is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("there is no table {SCHEMA}.{0}")]
    Absent(&'static str),
    /// What stands behind a foreign table or a view may be Stripe itself: asking it would be a request that nobody counted.
    #[error("{SCHEMA}.{0} is no table of its own: what it shows may be fetched from Stripe, so it is left alone")]
    NotATable(&'static str),
}

/// What `nightdesk check` says about the mirror.
#[derive(Debug, Clone)]
pub struct MirrorReport {
    /// Whether copies can be read; else `says` has the reason.
    pub usable: bool,
    pub newest: Option<At>,
    pub says: Vec<String>,
    pub needed: Vec<Privilege>,
}

// By the catalogue: `to_regclass` is an error where the schema may not be used.
const CATALOGUE: &str = "
SELECT c.relname::text AS name, c.relkind::text AS kind, c.relpages AS pages, c.reltuples::float8 AS rows,
       has_schema_privilege(n.oid, 'USAGE') AS open, a.attname::text AS attribute, format_type(a.atttypid, NULL) AS type,
       has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable,
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL
               AND i.indkey[0] = a.attnum) AS indexed
FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND a.attnum > 0 AND NOT a.attisdropped";

/// Looks the tables up.
pub async fn of(session: &mut Session) -> Result<Tables, Trouble> {
    let all = ["subscriptions", "customers", "products"].into_iter().chain(ALSO);
    let names: Vec<String> = all.map(str::to_string).collect();
    let rows = session.sql(CATALOGUE.into()).bind(SCHEMA).bind(names).fetch_all(&mut session.conn).await?;
    let mut found: BTreeMap<String, Shell> = BTreeMap::new();
    for row in &rows {
        let shell = match found.entry(row.try_get("name")?) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Shell {
                kind: row.try_get("kind")?,
                pages: row.try_get("pages")?,
                rows: row.try_get("rows")?,
                open: row.try_get("open")?,
                columns: BTreeMap::new(),
            }),
        };
        let column = Column { kind: row.try_get("type")?, readable: row.try_get("readable")?, indexed: row.try_get("indexed")? };
        shell.columns.insert(row.try_get("attribute")?, column);
    }
    let mut take = |name, fields: &[&str], needs| table(name, found.remove(name), fields, needs);
    let subscriptions = take("subscriptions", &SUBSCRIPTION, SUBSCRIPTION_NEEDS);
    let customers = take("customers", &CUSTOMER, 1);
    let products = take("products", &PRODUCT, 2);
    let others = ALSO.into_iter().filter_map(|name| take(name, &["id"], 1).ok()).collect();
    Ok(Tables { subscriptions, customers, products, others })
}

/// A table as the catalogue has it.
struct Shell {
    kind: String,
    pages: i32,
    rows: f64,
    open: bool,
    columns: BTreeMap<String, Column>,
}

fn table(name: &'static str, shell: Option<Shell>, fields: &[&str], needs: usize) -> Result<Table, Unusable> {
    let Some(shell) = shell else { return Err(Unusable::Absent(name)) };
    if !matches!(shell.kind.as_str(), "r" | "p" | "m") {
        return Err(Unusable::NotATable(name));
    }
    let is_document = |c: &Column| matches!(c.kind.as_str(), "json" | "jsonb");
    let raw = ["_raw_data", "raw_data"].into_iter().find(|n| shell.columns.get(*n).is_some_and(is_document)).map(str::to_string);
    let readable = |n: &str| shell.open && shell.columns.get(n).is_some_and(|c| c.readable);
    let mut lacks = Vec::new();
    let document = if let Some(raw) = &raw {
        if !readable(raw) {
            lacks.push(raw.clone());
        }
        format!("s.{}::jsonb", ident(raw))
    } else {
        let column = |n: &str| if n == "id" && !shell.columns.contains_key("id") { "_id".to_string() } else { n.to_string() };
        lacks.extend(fields.iter().take(needs).map(|n| column(n)).filter(|n| !readable(n)));
        let there = fields.iter().filter(|n| readable(&column(n)));
        let pairs: Vec<String> = there.map(|n| format!("{}, s.{}", literal(n), ident(&column(n)))).collect();
        format!("jsonb_build_object({})", pairs.join(", "))
    };
    let is_time = |n: &&str| shell.columns.get(*n).is_some_and(|c| c.kind == "timestamp with time zone") && readable(n);
    let first = |names: [&'static str; 2]| names.into_iter().find(is_time).map(str::to_string);
    Ok(Table {
        name,
        sql: format!("{}.{}", ident(SCHEMA), ident(name)),
        document,
        raw,
        stamp: first(["_last_synced_at", "last_synced_at"]),
        written: first(["_updated_at", "updated_at"]),
        columns: shell.columns,
        pages: shell.pages,
        rows: shell.rows,
        lacks,
    })
}

impl Table {
    /// The statement for copies under a condition over `s`, at most so many, in the order of their ids.
    pub fn statement(&self, condition: &str, at_most: usize) -> String {
        let stamp = self.stamp.as_ref().map_or("NULL::timestamptz".to_string(), |c| format!("s.{}", ident(c)));
        let id = self.field("id");
        format!(
            "SELECT ({})::text AS document, {stamp} AS stamp FROM {} AS s WHERE {condition} ORDER BY {id} LIMIT {at_most}",
            self.document, self.sql
        )
    }

    /// A field as text to compare: its column, so that its index serves; where it has none, out of the document.
    pub fn field(&self, name: &str) -> String {
        let column = [name.to_string(), format!("_{name}")].into_iter().find(|n| self.columns.get(n).is_some_and(|c| c.readable));
        match (column, &self.raw) {
            (Some(column), _) => format!("s.{}", ident(&column)),
            (None, Some(raw)) => format!("(s.{} ->> {})", ident(raw), literal(name)),
            (None, None) => "NULL::text".into(),
        }
    }

    /// Why it is not looked through by that field, where it is not: it is large, and no index serves.
    pub fn is_too_large_for(&self, field: &str) -> Option<String> {
        let indexed = self.columns.get(field).is_some_and(|c| c.indexed);
        (self.pages > LARGE && !indexed).then(|| {
            format!(
                "{SCHEMA}.{} has about {} rows and no index on {field}: it is not looked through by that",
                self.name,
                // A positive estimate, for people.
                group(format!("{:.0}", self.rows.max(0.0)).parse().unwrap_or(0))
            )
        })
    }
}

impl Tables {
    /// What keeps the mirror from answering in full.
    pub fn notes(&self) -> Vec<String> {
        let missing = [&self.customers, &self.products].into_iter().filter_map(|t| match t {
            Ok(t) if t.lacks.is_empty() => None,
            Ok(t) => Some(format!("our role may not read {SCHEMA}.{}", t.name)),
            Err(why) => Some(why.to_string()),
        });
        let mut notes: Vec<String> = missing.collect();
        if let Ok(t) = &self.subscriptions
            && t.stamp.is_none()
        {
            notes.push("it does not say which state its copies are of (no last_synced_at): shown, and never judged by".into());
        }
        notes
    }

    /// The newest stamp of all copies, as it was some seconds ago at most. Of a table that is large and has no index on it nothing is asked.
    pub async fn newest(&self, session: &mut Session) -> Result<Option<At>, Trouble> {
        if let Some((newest, _)) = session.newest_copy.filter(|(_, asked)| asked.elapsed() < NEWEST_KEPT) {
            return Ok(Some(newest));
        }
        let newest = self.ask_newest(session).await?;
        session.newest_copy = newest.map(|newest| (newest, Instant::now()));
        Ok(newest)
    }

    async fn ask_newest(&self, session: &mut Session) -> Result<Option<At>, Trouble> {
        let main = [&self.subscriptions, &self.customers, &self.products].into_iter().filter_map(|t| t.as_ref().ok());
        // Where the copies themselves have no stamp, when rows were written is the mirror's age: that is shown and not judged by.
        let stamped = self.subscriptions.as_ref().is_ok_and(|t| t.stamp.is_some());
        let column = |t: &Table| if stamped { t.stamp.clone() } else { t.written.clone() };
        let parts: Vec<String> = main
            .chain(&self.others)
            .filter_map(|t| Some((t, column(t)?)))
            .filter(|(t, c)| t.is_too_large_for(c).is_none())
            .map(|(t, c)| format!("(SELECT max(s.{}) FROM {} AS s)", ident(&c), t.sql))
            .collect();
        if parts.is_empty() {
            return Ok(None);
        }
        // NULLs are left out by it.
        let statement = format!("SELECT greatest({}) AS newest", parts.join(", "));
        Ok(session.sql(statement).fetch_one(&mut session.conn).await?.try_get("newest")?)
    }
}

/// Whether a mirror that our role may read is there.
pub async fn is_there(session: &mut Session) -> Result<bool, Trouble> {
    Ok(of(session).await?.subscriptions.is_ok_and(|t| t.lacks.is_empty()))
}

/// The mirror as our role sees it; `None` where there is nothing like one.
pub async fn report(session: &mut Session) -> Result<Option<MirrorReport>, Trouble> {
    let tables = of(session).await?;
    let open = match &tables.subscriptions {
        Err(Unusable::Absent(_)) => return Ok(None),
        Err(why) => return Ok(Some(MirrorReport { usable: false, newest: None, says: vec![why.to_string()], needed: Vec::new() })),
        Ok(t) => t.lacks.is_empty(),
    };
    let mut needed = Vec::new();
    for (table, fields) in [(&tables.subscriptions, &SUBSCRIPTION[..]), (&tables.customers, &CUSTOMER), (&tables.products, &PRODUCT)] {
        let Ok(t) = table else { continue };
        let stamps = ["_raw_data", "raw_data", "_id", "_last_synced_at", "last_synced_at", "_updated_at", "updated_at"];
        let there = fields.iter().chain(&stamps).filter(|n| t.columns.contains_key(**n));
        needed.extend(there.map(|n| Privilege { privilege: "SELECT", table: format!("{SCHEMA}.{}", t.name), column: (*n).to_string() }));
    }
    let mut says = tables.notes();
    if let Ok(t) = &tables.subscriptions
        && !open
    {
        let unknown: Vec<&str> = t.lacks.iter().filter(|n| !t.columns.contains_key(*n)).map(String::as_str).collect();
        says = vec![match unknown.as_slice() {
            [] => format!("our role may not read {SCHEMA}.subscriptions: `nightdesk check --grants` prints the statements"),
            names => format!("{SCHEMA}.subscriptions lacks {}: it is no mirror of a layout that is known here", names.join(", ")),
        }];
    }
    let newest = if open { tables.newest(session).await? } else { None };
    Ok(Some(MirrorReport { usable: open, newest, says, needed }))
}
