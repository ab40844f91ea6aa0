//! Profiles with their row, counters and limits, each record from one statement and so from one snapshot.

use super::compare;
use super::connect::Session;
use super::fault::Trouble;
use super::found::{self, CounterFound, Found, LimitFound, is_time, key_cast, same_key, well_formed};
use crate::config::Config;
use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::row::{Counter, Field, Image, Record, Subject, SubscriptionRow, Value};
use crate::domain::text::clean;
use crate::protocol::query::{Locator, Reply};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

/// More profiles than this are no answer to a question about one customer.
const AT_MOST: usize = 20;
/// So many customer ids go into one statement.
const PAGE: usize = 500;
/// So many rows make a page of all of them: a few milliseconds of the server's time.
const ROW_PAGE: usize = 500;

/// The columns of subject and row, for [`subject`] and [`row`] to decode.
pub fn columns(found: &Found) -> String {
    let subject = &found.subject;
    let text = |c: &Option<found::ColumnFound>| c.as_ref().map_or("NULL::text".into(), |c| c.text("p"));
    let mut list = vec![
        format!("{} AS subject_key", subject.key.text("p")),
        format!("{} AS subject_email", text(&subject.email)),
        format!("{} AS subject_name", text(&subject.name)),
        format!("{} AS subject_created", subject.created_at.as_ref().map_or("NULL::timestamptz".into(), |c| c.time("p"))),
        format!("{} AS row_key", found.subscription.subject.text("s")),
    ];
    for (field, column) in &found.subscription.fields {
        let value = match field {
            f if is_time(*f) => column.time("s"),
            Field::CancelAtPeriodEnd => column.flag("s"),
            _ => column.text("s"),
        };
        list.push(format!("{value} AS {}", label(*field)));
    }
    list.join(", ")
}

/// Subject and row side by side; a profile without a row stays.
pub fn tables(found: &Found) -> String {
    let join = same_key(&found.subscription.subject, "s", &found.subject.key, "p");
    format!("{} AS p LEFT JOIN {} AS s ON {join}", found.subject.table.sql, found.subscription.table.sql)
}

fn label(field: Field) -> String {
    format!("f_{}", field.contract_name())
}

fn counters(found: &Found, c: &CounterFound) -> String {
    let micros = |time: &Option<found::ColumnFound>| {
        time.as_ref().map_or("NULL::bigint".into(), |t| format!("(extract(epoch FROM {}) * 1000000)::bigint", t.time("c")))
    };
    format!(
        "(SELECT json_agg(json_build_object('feature', {}, 'used', {}::bigint, 'start', {}, 'end', {}) ORDER BY {}) FROM {} AS c WHERE {})::text",
        c.feature.text("c"),
        c.used.text("c"),
        micros(&c.period_start),
        micros(&c.period_end),
        c.feature.text("c"),
        c.table.sql,
        same_key(&c.subject, "c", &found.subject.key, "p"),
    )
}

fn limits(found: &Found, l: &LimitFound) -> String {
    let Some(tier) = found.subscription.field(Field::Tier) else { return "NULL::text".into() };
    format!(
        "(SELECT json_object_agg({}, {}::bigint) FROM {} AS l WHERE {} = {})::text",
        l.feature.text("l"),
        l.value.text("l"),
        l.table.sql,
        l.tier.text("l"),
        tier.text("s"),
    )
}

/// The statement for records; `condition` takes one list of texts as its parameter.
fn statement(found: &Found, condition: &str) -> String {
    format!(
        "SELECT {}, {} AS counters, {} AS limits FROM {} WHERE {condition} LIMIT {AT_MOST}",
        columns(found),
        found.counter.as_ref().map_or("NULL::text".into(), |c| counters(found, c)),
        found.limit.as_ref().map_or("NULL::text".into(), |l| limits(found, l)),
        tables(found),
    )
}

/// The records of that locator, at most 20; none where a key is not of the column's type.
pub async fn read(session: &mut Session, config: &Config, locator: &Locator) -> Result<Vec<Record>, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let (condition, wanted) = match locator {
        Locator::Subjects(keys) => {
            let kind = found.subject.key.key_type();
            let keys: Vec<String> = keys.iter().filter_map(|k| well_formed(kind, k.as_str())).collect();
            (format!("{} = ANY ($1::text[]::{}[])", found.subject.key.key("p"), key_cast(kind)), keys)
        }
        Locator::CustomerId(id) => {
            (format!("{} = ANY ($1::text[])", found.subscription.required(Field::Customer)?.comparable("s")), vec![id.clone()])
        }
        Locator::SubscriptionId(id) => {
            (format!("{} = ANY ($1::text[])", found.subscription.required(Field::Subscription)?.comparable("s")), vec![id.clone()])
        }
        Locator::Email(email) => {
            let Some(condition) = compare::email_is(&found) else { return Ok(Vec::new()) };
            let key = found.subject.key.key("");
            let inner = format!("SELECT {key} FROM {} WHERE {condition} LIMIT {AT_MOST}", found.subject.table.sql);
            (format!("{} IN ({inner})", found.subject.key.key("p")), compare::spellings(email))
        }
    };
    if wanted.is_empty() || wanted.iter().any(|w| w.contains('\0')) {
        return Ok(Vec::new());
    }
    let rows = session.sql(statement(&found, &condition)).bind(wanted).fetch_all(&mut session.conn).await?;
    let mut records: Vec<Record> = Vec::new();
    for row in &rows {
        let record = record(row, &found, config)?;
        // One row per subject is the contract; where a table breaks it, the write will refuse, and the first is shown.
        if !records.iter().any(|r| r.subject.key == record.subject.key) {
            records.push(record);
        }
    }
    Ok(records)
}

/// The rows of those Stripe customers with their profiles, in pages.
pub async fn rows_of(session: &mut Session, config: &Config, customers: &[StripeId]) -> Result<Vec<(SubscriptionRow, Subject)>, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let held = found.subscription.required(Field::Customer)?.comparable("s");
    let statement = format!("SELECT {} FROM {} WHERE {held} = ANY ($1::text[])", columns(&found), tables(&found));
    let mut out = Vec::new();
    for page in customers.chunks(PAGE) {
        let ids: Vec<&str> = page.iter().map(StripeId::as_str).collect();
        let rows = session.sql(statement.clone()).bind(ids).fetch_all(&mut session.conn).await?;
        for row in &rows {
            if let Some(found_row) = self::row(row, &found)? {
                out.push((found_row, subject(row)?));
            }
        }
    }
    Ok(out)
}

/// The rows that hold one of these subscriptions, or belong to one of these profiles.
pub async fn rows_naming(
    session: &mut Session,
    config: &Config,
    subscriptions: &[StripeId],
    subjects: &[SubjectKey],
) -> Result<Vec<(SubscriptionRow, Subject)>, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let kind = found.subscription.subject.key_type();
    let keys: Vec<String> = subjects.iter().filter_map(|k| well_formed(kind, k.as_str())).collect();
    let mut searches = vec![(format!("{} = ANY ($1::text[]::{}[])", found.subscription.subject.key("s"), key_cast(kind)), keys)];
    // What the map leaves out nobody can be found by.
    if let Some(column) = found.subscription.field(Field::Subscription) {
        searches.push((format!("{} = ANY ($1::text[])", column.comparable("s")), subscriptions.iter().map(StripeId::to_string).collect()));
    }
    let mut out = Vec::new();
    for (condition, values) in searches.into_iter().filter(|(_, values)| !values.is_empty()) {
        let statement = format!("SELECT {} FROM {} WHERE {condition} LIMIT {PAGE}", columns(&found), tables(&found));
        let rows = session.sql(statement).bind(values).fetch_all(&mut session.conn).await?;
        for row in &rows {
            if let Some(found_row) = self::row(row, &found)? {
                out.push((found_row, subject(row)?));
            }
        }
    }
    Ok(out)
}

/// One page of all rows, in the order of their key.
pub async fn row_page(session: &mut Session, config: &Config, after: Option<&SubjectKey>) -> Result<Reply, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let (table, key) = (&found.subscription.table.sql, &found.subscription.subject);
    let kind = key.key_type();
    let last = after.and_then(|k| well_formed(kind, k.as_str()));
    let beyond = last.as_ref().map(|_| format!("WHERE {} > $1::text::{}", key.key("s"), key_cast(kind))).unwrap_or_default();
    let statement = format!(
        "SELECT {} FROM (SELECT * FROM {table} AS s {beyond} ORDER BY {} LIMIT {ROW_PAGE}) AS s LEFT JOIN {} AS p ON {}",
        columns(&found),
        key.key("s"),
        found.subject.table.sql,
        same_key(key, "s", &found.subject.key, "p"),
    );
    let statement = format!("{statement} ORDER BY {}", key.key("s"));
    let query = session.sql(statement);
    let query = match last {
        Some(last) => query.bind(last),
        None => query,
    };
    let read = query.fetch_all(&mut session.conn).await?;
    let mut rows = Vec::with_capacity(read.len());
    for row in &read {
        rows.extend(self::row(row, &found)?);
    }
    let next = rows.last().filter(|_| read.len() == ROW_PAGE).map(|r| r.subject.clone());
    Ok(Reply::RowPage { rows, next })
}

pub fn subject(row: &PgRow) -> Result<Subject, sqlx::Error> {
    let text = |name: &str| -> Result<Option<String>, sqlx::Error> { Ok(row.try_get::<Option<String>, _>(name)?.map(|t| clean(&t))) };
    Ok(Subject {
        key: SubjectKey(text("subject_key")?.unwrap_or_default()),
        email: text("subject_email")?.filter(|e| !e.is_empty()),
        name: text("subject_name")?.filter(|n| !n.is_empty()),
        created_at: row.try_get("subject_created")?,
    })
}

pub fn row(row: &PgRow, found: &Found) -> Result<Option<SubscriptionRow>, sqlx::Error> {
    let Some(key) = row.try_get::<Option<String>, _>("row_key")? else { return Ok(None) };
    let mut image = Image::new();
    for (field, _) in &found.subscription.fields {
        let name = label(*field);
        let value = match field {
            f if is_time(*f) => Value::time(row.try_get::<Option<At>, _>(name.as_str())?),
            Field::CancelAtPeriodEnd => row.try_get::<Option<bool>, _>(name.as_str())?.map_or(Value::Null, Value::Bool),
            _ => row.try_get::<Option<String>, _>(name.as_str())?.map_or(Value::Null, |t| Value::text(clean(&t))),
        };
        image.insert(*field, value);
    }
    Ok(Some(SubscriptionRow { subject: SubjectKey(clean(&key)), image }))
}

#[derive(serde::Deserialize)]
struct CounterRow {
    feature: Option<String>,
    used: Option<i64>,
    start: Option<i64>,
    end: Option<i64>,
}

fn record(pg: &PgRow, found: &Found, config: &Config) -> Result<Record, sqlx::Error> {
    let decode = |e: serde_json::Error| sqlx::Error::Decode(Box::new(e));
    let row = row(pg, found)?;
    let counters: Option<String> = pg.try_get("counters")?;
    let counters: Vec<CounterRow> = counters.map_or(Ok(Vec::new()), |t| serde_json::from_str(&t)).map_err(decode)?;
    let limits: Option<String> = pg.try_get("limits")?;
    let limits: BTreeMap<String, Option<i64>> = limits.map_or(Ok(BTreeMap::new()), |t| serde_json::from_str(&t)).map_err(decode)?;
    let mut limits: BTreeMap<String, i64> = limits.into_iter().filter_map(|(f, v)| Some((clean(&f), v?))).collect();
    if found.limit.is_none() {
        let tier = row.as_ref().and_then(|r| r.text(Field::Tier)).unwrap_or(config.tiers.free());
        limits = config.limits.get(tier).cloned().unwrap_or_default();
    }
    let counters = counters.into_iter().map(|c| Counter {
        feature: clean(&c.feature.unwrap_or_default()),
        used: c.used.unwrap_or(0),
        period_start: c.start.and_then(At::from_timestamp_micros),
        period_end: c.end.and_then(At::from_timestamp_micros),
    });
    Ok(Record { subject: subject(pg)?, row, counters: counters.collect(), limits })
}
