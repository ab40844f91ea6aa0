//! A write to the product's database: fields of one subscription row, by compare-and-set on everything that was shown.

use super::commit::{LIMIT, settle};
use super::connect::Session;
use super::fault::{self, Trouble};
use super::found::{self, ColumnFound, Found, is_time, key_cast, well_formed};
use super::lane::Lane;
use super::names::{ident, literal};
use super::records;
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::row::{Change, Field, Image, Value};
use crate::protocol::command::Outcome;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use std::sync::Arc;

/// The statement in the making: its text and the values to be bound.
#[derive(Default)]
struct Update {
    sets: Vec<String>,
    conditions: Vec<String>,
    values: Vec<Bound>,
}

/// A value in the type of its field, NULL included: a statement is prepared once, for one list of types.
enum Bound {
    Text(Option<String>),
    Time(Option<At>),
    Flag(Option<bool>),
}

/// Sets the fields: exactly one row changes, or none. Runs to its end once begun.
pub async fn set(lane: &Lane, config: Arc<Config>, subject: SubjectKey, shown: Image, changes: Vec<Change>) -> Outcome {
    let write =
        lane.run_to_the_end(move |session| Box::pin(async move { Ok(perform(session, &config, &subject, &shown, &changes).await) }));
    // A job that never began has changed nothing.
    write.await.unwrap_or_else(Outcome::NotDone)
}

async fn perform(session: &mut Session, config: &Config, subject: &SubjectKey, shown: &Image, changes: &[Change]) -> Outcome {
    let changed = tokio::time::timeout(LIMIT, change(session, config, subject, shown, changes)).await;
    settle(session, changed, format!("1 row, {} columns", changes.len())).await
}

/// Everything up to the commit.
async fn change(session: &mut Session, config: &Config, subject: &SubjectKey, shown: &Image, changes: &[Change]) -> Result<(), Trouble> {
    session.begin(false, "").await?;
    let found = found::of(session, &config.schema).await?;
    let refuse = |say: &str| Trouble::Fault(fault::new(FaultKind::Refused, say));
    if changes.is_empty() || shown.is_empty() {
        return Err(refuse("nothing to change, or nothing was shown to compare with"));
    }
    let kind = found.subscription.subject.key_type();
    let Some(key) = well_formed(kind, subject.as_str()) else { return Err(refuse("the profile's key is not of its column's type")) };
    let update = Update::of(&found, shown, changes)?;
    let place = update.values.len() + 1;
    let statement = format!(
        "UPDATE {} AS s SET {} WHERE {} = ${place}::text::{} AND {}",
        found.subscription.table.sql,
        update.sets.join(", "),
        found.subscription.subject.key("s"),
        key_cast(kind),
        update.conditions.join(" AND "),
    );
    let mut query = session.sql(statement);
    for value in &update.values {
        query = bind(query, value);
    }
    let changed = query.bind(key).execute(&mut session.conn).await?.rows_affected();
    match changed {
        1 => Ok(()),
        0 => {
            let say = differs(session, &found, subject, shown).await?;
            Err(fault::new(FaultKind::Conflict, say).into())
        }
        n => {
            Err(fault::new(FaultKind::Conflict, format!("{n} rows belong to this profile, and one was expected: nothing was changed"))
                .into())
        }
    }
}

impl Update {
    fn of(found: &Found, shown: &Image, changes: &[Change]) -> Result<Self, Trouble> {
        let mut update = Self::default();
        // Several values in one document are set inside one another: a column is assigned once.
        let mut documents: Vec<(ColumnFound, String)> = Vec::new();
        for change in changes {
            let column = found.subscription.required(change.field)?;
            update.set(change.field, column, &change.to, &mut documents)?;
        }
        if let Some(column) = found.subscription.field(Field::UpdatedAt).filter(|_| changes.iter().all(|c| c.field != Field::UpdatedAt)) {
            let now = if column.is_json() { "to_jsonb(now())".to_string() } else { stored(column, "now()") };
            update.assign(column, now, &mut documents);
        }
        for (column, value) in documents {
            update.sets.push(format!("{} = {value}::{}", ident(&column.name), column.sql_type));
        }
        for (field, value) in shown {
            let column = found.subscription.required(*field)?;
            let place = update.place(*field, value)?;
            let now = match field {
                f if is_time(*f) => column.time("s"),
                Field::CancelAtPeriodEnd => column.flag("s"),
                _ => column.text("s"),
            };
            update.conditions.push(format!("{now} IS NOT DISTINCT FROM {place}::{}", sql_type(*field)));
        }
        Ok(update)
    }

    /// Binds the value and gives its place in the text.
    fn place(&mut self, field: Field, value: &Value) -> Result<String, Fault> {
        let wrong = || fault::new(FaultKind::Refused, format!("the value for {} is of the wrong kind", field.contract_name()));
        self.values.push(match (field, value) {
            (f, Value::Time(at)) if is_time(f) => Bound::Time(Some(*at)),
            (f, Value::Null) if is_time(f) => Bound::Time(None),
            (Field::CancelAtPeriodEnd, Value::Bool(flag)) => Bound::Flag(Some(*flag)),
            (Field::CancelAtPeriodEnd, Value::Null) => Bound::Flag(None),
            (f, _) if is_time(f) || f == Field::CancelAtPeriodEnd => return Err(wrong()),
            (_, Value::Text(text)) => Bound::Text(Some(text.clone())),
            (_, Value::Null) => Bound::Text(None),
            _ => return Err(wrong()),
        });
        Ok(format!("${}", self.values.len()))
    }

    fn set(&mut self, field: Field, column: &ColumnFound, to: &Value, documents: &mut Vec<(ColumnFound, String)>) -> Result<(), Fault> {
        let place = self.place(field, to)?;
        let typed = format!("{place}::{}", sql_type(field));
        let value = if column.is_json() {
            format!("coalesce(to_jsonb({typed}), 'null'::jsonb)")
        } else if is_time(field) {
            stored(column, &typed)
        } else {
            // Through the type without its length: a text that is too long is refused, not cut.
            format!("{typed}::{}", column.sql_type)
        };
        self.assign(column, value, documents);
        Ok(())
    }

    fn assign(&mut self, column: &ColumnFound, value: String, documents: &mut Vec<(ColumnFound, String)>) {
        if !column.is_json() {
            self.sets.push(format!("{} = {value}", ident(&column.name)));
            return;
        }
        let path: Vec<String> = column.path.iter().map(|p| literal(p)).collect();
        let set = |document: &str| format!("jsonb_set({document}, ARRAY[{}]::text[], {value}, true)", path.join(", "));
        match documents.iter_mut().find(|(c, _)| c.name == column.name) {
            Some((_, document)) => *document = set(document),
            None => documents.push((column.clone(), set(&format!("coalesce(s.{}::jsonb, '{{}}'::jsonb)", ident(&column.name))))),
        }
    }
}

/// A `timestamptz` as the column stores it: UTC where it has no zone.
pub fn stored(column: &ColumnFound, time: &str) -> String {
    if column.sql_type == "timestamp with time zone" {
        time.to_string()
    } else {
        format!("({time} AT TIME ZONE 'UTC')::{}", column.sql_type)
    }
}

/// As what a field's value is bound.
fn sql_type(field: Field) -> &'static str {
    match field {
        f if is_time(f) => "timestamptz",
        Field::CancelAtPeriodEnd => "boolean",
        _ => "text",
    }
}

fn bind<'q>(query: Query<'q, Postgres, PgArguments>, value: &Bound) -> Query<'q, Postgres, PgArguments> {
    match value {
        Bound::Text(text) => query.bind(text.clone()),
        Bound::Time(at) => query.bind(*at),
        Bound::Flag(flag) => query.bind(*flag),
    }
}

/// What stands in the row now, where it is not what was shown.
async fn differs(session: &mut Session, found: &Found, subject: &SubjectKey, shown: &Image) -> Result<String, Trouble> {
    let kind = found.subscription.subject.key_type();
    let statement = format!(
        "SELECT {} FROM {} WHERE {} = $1::text::{}",
        records::columns(found),
        records::tables(found),
        found.subscription.subject.key("s"),
        key_cast(kind)
    );
    let key = well_formed(kind, subject.as_str()).unwrap_or_default();
    let row = session.sql(statement).bind(key).fetch_optional(&mut session.conn).await?;
    let Some(row) = row.map(|r| records::row(&r, found)).transpose()?.flatten() else {
        return Ok("the row is gone: nothing was changed".into());
    };
    let changed: Vec<String> = shown
        .iter()
        .filter_map(|(field, was)| {
            row.get(*field)
                .filter(|now| *now != was)
                .map(|now| format!("{} is {} now, was {}", field.label(), shown_as(now), shown_as(was)))
        })
        .collect();
    Ok(if changed.is_empty() {
        "the row was changed while we looked at it: nothing was changed by us".into()
    } else {
        format!("the row has changed since it was shown: {}; nothing was changed by us", changed.join(", "))
    })
}

/// A value in a sentence: ids masked, since sentences travel further than screens.
fn shown_as(value: &Value) -> String {
    match value {
        Value::Text(text) => mask::id(text),
        other => other.to_string(),
    }
}
