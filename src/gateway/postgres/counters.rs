//! One subject's counters: read, set to nothing, and given back, each by compare-and-set on all that were shown. Chooses none.

use super::commit::{LIMIT, settle};
use super::connect::Session;
use super::fault::{self, Trouble};
use super::found::{self, ColumnFound, CounterFound, key_cast, well_formed};
use super::lane::Lane;
use super::names::ident;
use super::subscription_row::stored;
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::FaultKind;
use crate::domain::ids::SubjectKey;
use crate::domain::quota::CounterSheet;
use crate::domain::row::Counter;
use crate::domain::text::clean;
use crate::protocol::command::Outcome;
use sqlx::Row;
use std::sync::Arc;

/// What is to become of counters.
#[derive(Debug, Clone)]
pub enum Write {
    /// Nothing used, where they are as shown.
    Reset(Vec<Counter>),
    /// As they were, where nobody has counted since their reset.
    Restore(Vec<Counter>),
}

/// More features than this are no subject's.
const AT_MOST: usize = 500;

/// The subject's counters; `None` where this database has none.
pub async fn read(session: &mut Session, config: &Config, subject: &SubjectKey) -> Result<Option<CounterSheet>, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let Some(counter) = &found.counter else { return Ok(None) };
    let counters = match well_formed(counter.subject.key_type(), subject.as_str()) {
        Some(key) => of(session, counter, &key).await?,
        None => Vec::new(),
    };
    let writable = counter.used.updatable && !counter.table.row_security;
    Ok(Some(CounterSheet { counters, writable, configured: config.quota.resets.clone() }))
}

/// Writes them: all, or none. Runs to its end once begun.
pub async fn write(lane: &Lane, config: Arc<Config>, subject: SubjectKey, write: Write) -> Outcome {
    let job = lane.run_to_the_end(move |session| {
        Box::pin(async move {
            let note = match &write {
                Write::Reset(counters) => format!("{} counters set to 0", counters.len()),
                Write::Restore(counters) => format!("{} counters hold again what they held", counters.len()),
            };
            let changed = tokio::time::timeout(LIMIT, change(session, &config, &subject, &write)).await;
            Ok(settle(session, changed, note).await)
        })
    });
    // A job that never began has changed nothing.
    job.await.unwrap_or_else(Outcome::NotDone)
}

async fn of(session: &mut Session, counter: &CounterFound, key: &str) -> Result<Vec<Counter>, Trouble> {
    let time = |c: &Option<ColumnFound>| c.as_ref().map_or("NULL::timestamptz".into(), |c| c.time("c"));
    let statement = format!(
        "SELECT {} AS feature, {}::bigint AS used, {} AS starts, {} AS ends FROM {} AS c WHERE {} = $1::text::{} ORDER BY 1 LIMIT {AT_MOST}",
        counter.feature.text("c"),
        counter.used.text("c"),
        time(&counter.period_start),
        time(&counter.period_end),
        counter.table.sql,
        counter.subject.key("c"),
        key_cast(counter.subject.key_type()),
    );
    let rows = session.sql(statement).bind(key).fetch_all(&mut session.conn).await?;
    let mut counters = Vec::with_capacity(rows.len());
    for row in rows {
        counters.push(Counter {
            feature: clean(&row.try_get::<Option<String>, _>("feature")?.unwrap_or_default()),
            used: row.try_get::<Option<i64>, _>("used")?.unwrap_or(0),
            period_start: row.try_get("starts")?,
            period_end: row.try_get("ends")?,
        });
    }
    Ok(counters)
}

/// Everything up to the commit.
async fn change(session: &mut Session, config: &Config, subject: &SubjectKey, write: &Write) -> Result<(), Trouble> {
    session.begin(false, "").await?;
    let found = found::of(session, &config.schema).await?;
    let refuse = |say: &str| Trouble::Fault(fault::new(FaultKind::Refused, say));
    let Some(counter) = &found.counter else { return Err(refuse("no counters are mapped: see [schema.counter]")) };
    let (Write::Reset(counters) | Write::Restore(counters)) = write;
    if counters.is_empty() {
        return Err(refuse("no counter was named"));
    }
    let kind = counter.subject.key_type();
    let Some(key) = well_formed(kind, subject.as_str()) else { return Err(refuse("the profile's key is not of its column's type")) };
    let text: Vec<&str> = counters.iter().map(|c| c.feature.as_str()).collect();
    let used: Vec<i64> = counters.iter().map(|c| c.used).collect();
    let starts: Vec<Option<At>> = counters.iter().map(|c| c.period_start).collect();
    let ends: Vec<Option<At>> = counters.iter().map(|c| c.period_end).collect();
    let (sets, guard) = match write {
        Write::Reset(_) => ("0".to_string(), as_shown(counter)),
        Write::Restore(_) => ("w.used".to_string(), format!("{}::bigint = 0", counter.used.text("c"))),
    };
    let mut sets = vec![format!("{} = {sets}::{}", ident(&counter.used.name), counter.used.sql_type)];
    if matches!(write, Write::Restore(_)) {
        // A new period that the application opened goes with the reset that is taken back.
        let times = [(&counter.period_start, "w.starts"), (&counter.period_end, "w.ends")];
        let plain = times.into_iter().filter_map(|(c, value)| c.as_ref().filter(|c| !c.is_json() && c.updatable).map(|c| (c, value)));
        sets.extend(plain.map(|(c, value)| format!("{} = {}", ident(&c.name), stored(c, value))));
    }
    let statement = format!(
        "UPDATE {} AS c SET {} FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) AS w(feature, used, starts, ends)
         WHERE {} = $1::text::{} AND {} = w.feature AND {guard}",
        counter.table.sql,
        sets.join(", "),
        counter.subject.key("c"),
        key_cast(kind),
        counter.feature.text("c"),
    );
    let query = session.sql(statement).bind(&key).bind(text).bind(used).bind(starts).bind(ends);
    let changed = query.execute(&mut session.conn).await?.rows_affected();
    if changed == counters.len() as u64 {
        return Ok(());
    }
    let now = of(session, counter, &key).await?;
    Err(fault::new(FaultKind::Conflict, differs(write, &now)).into())
}

/// The condition that the counter is as it was shown.
fn as_shown(counter: &CounterFound) -> String {
    let mut all = vec![format!("{}::bigint = w.used", counter.used.text("c"))];
    for (column, shown) in [(&counter.period_start, "w.starts"), (&counter.period_end, "w.ends")] {
        all.extend(column.as_ref().map(|c| format!("{} IS NOT DISTINCT FROM {shown}", c.time("c"))));
    }
    all.join(" AND ")
}

/// What stands in the way, by the first counter that is not as it has to be.
fn differs(write: &Write, now: &[Counter]) -> String {
    let (Write::Reset(counters) | Write::Restore(counters)) = write;
    for was in counters {
        let Some(is) = now.iter().find(|c| c.feature == was.feature) else {
            return format!("the counter of {} is gone: nothing was changed", was.feature);
        };
        match write {
            Write::Reset(_) if is != was => {
                let period = if is.used == was.used { " in another period" } else { "" };
                return format!("{} stands at {} now{period}, was shown at {}: nothing was changed", was.feature, is.used, was.used);
            }
            Write::Restore(_) if is.used != 0 => {
                return format!(
                    "{} was used {} since the reset: giving back the old count would lose that; nothing was changed",
                    was.feature, is.used
                );
            }
            _ => {}
        }
    }
    "the counters were changed while we looked at them: nothing was changed by us".into()
}
