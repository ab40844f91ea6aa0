//! What this database looks like and how far its rows can be trusted: words, types, hidden rows, replicas.

use super::connect::Session;
use super::fault::Trouble;
use super::found::{self, ColumnFound, Found, TableFound};
use super::mirror;
use crate::config::schema::SchemaMap;
use crate::domain::money::group;
use crate::domain::row::Field;
use crate::domain::shape::{IntervalWords, Shape, Trust};
use crate::domain::text::clean;
use sqlx::Row;
use std::collections::BTreeSet;

const SERVER: &str = "
SELECT current_setting('server_version') AS version, current_database()::text AS database, pg_is_in_recovery() AS replica,
       extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS lag";

/// The constraints and enum labels that limit a column.
const ADMITTED: &str = "
SELECT 'constraint' AS place, pg_get_constraintdef(k.oid) AS words FROM pg_constraint k
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'c' AND cardinality(k.conkey) = 1 AND k.conrelid = $1::int8::oid AND a.attname = $2
UNION ALL
SELECT 'enum', e.enumlabel::text FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid
WHERE a.attrelid = $1::int8::oid AND a.attname = $2";

/// Fewer visible rows than half of what the planner counted, in a table of at least this many, are too few.
const ENOUGH_TO_COUNT: f64 = 100.0;
const COUNTED: f64 = 2_000.0;

/// The words of a column and where they were found.
type Words = Option<(&'static str, BTreeSet<String>)>;

pub async fn read(session: &mut Session, map: &SchemaMap) -> Result<Shape, Trouble> {
    let found = found::read(session, map).await?;
    let server = session.sql(SERVER.into()).fetch_one(&mut session.conn).await?;
    let version: String = server.try_get("version")?;
    let rows = &found.subscription;
    let interval = match rows.field(Field::Interval) {
        Some(column) => interval_words(words(session, &rows.table, column, true).await?),
        None => IntervalWords::stripes_own(),
    };
    let status_words = match rows.field(Field::Status) {
        Some(column) => words(session, &rows.table, column, false).await?.map(|(_, words)| words),
        None => None,
    };
    let mut reasons = Vec::new();
    let replica: bool = server.try_get("replica")?;
    let lag: Option<f64> = if replica { server.try_get("lag")? } else { None };
    if replica {
        reasons.push(match lag {
            Some(lag) => format!("this is a read replica, {lag:.0} s behind the last change it has seen"),
            None => "this is a read replica, and how far behind it is cannot be told".into(),
        });
    }
    for table in [Some(&found.subject.table), Some(&rows.table), found.counter.as_ref().map(|c| &c.table)].into_iter().flatten() {
        reasons.extend(hidden(session, table).await?);
    }
    Ok(Shape {
        server: format!("PostgreSQL {}", clean(version.split(' ').next().unwrap_or_default())),
        database: clean(&server.try_get::<String, _>("database")?),
        profiles_in_json: found.subject.email.as_ref().is_some_and(ColumnFound::is_json),
        naive_timestamps: naive(&found),
        key: found.subject.key.key_type(),
        interval,
        status_words,
        plan_features: found.limit.is_some(),
        mirror: mirror::is_there(session).await?,
        updatable: rows.fields.iter().all(|(_, c)| c.updatable),
        trust: if reasons.is_empty() { Trust::Full } else { Trust::Limited(reasons) },
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age in seconds; what is out of range saturates")]
        replica_lag: lag.map(|seconds| seconds.ceil() as u32),
    })
}

fn naive(found: &Found) -> bool {
    let period = found.subscription.field(Field::PeriodEnd).or_else(|| found.subscription.field(Field::PeriodStart));
    period.is_some_and(|c| !c.is_json() && c.sql_type == "timestamp without time zone")
}

/// Whether rows of the table may be hidden from us.
async fn hidden(session: &mut Session, table: &TableFound) -> Result<Option<String>, Trouble> {
    if table.row_security {
        return Ok(Some(format!("row-level security is active for our role on {}: rows may be hidden", table.name)));
    }
    if table.rows < ENOUGH_TO_COUNT {
        return Ok(None);
    }
    let count = format!("SELECT count(*) AS n FROM (SELECT 1 FROM {} LIMIT {COUNTED}) AS few", table.sql);
    let visible: i64 = session.sql(count).fetch_one(&mut session.conn).await?.try_get("n")?;
    #[expect(clippy::cast_precision_loss, reason = "at most two thousand")]
    let few = (visible as f64) < table.rows.min(COUNTED) / 2.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive estimate, for people")]
    let estimate = group(table.rows as u64);
    Ok(few.then(|| {
        format!("only {visible} of about {estimate} rows of {} are visible to our role; if none are hidden, ANALYZE it", table.name)
    }))
}

/// The words that the column admits: by constraint, by enum, else (if asked) those that its rows use.
async fn words(session: &mut Session, table: &TableFound, column: &ColumnFound, from_rows: bool) -> Result<Words, Trouble> {
    if !column.is_json() {
        let rows = session.sql(ADMITTED.into()).bind(table.oid).bind(&column.name).fetch_all(&mut session.conn).await?;
        for place in ["constraint", "enum"] {
            let mut found = BTreeSet::new();
            for row in rows.iter().filter(|r| r.try_get::<&str, _>("place").is_ok_and(|p| p == place)) {
                let text: String = row.try_get("words")?;
                if place == "enum" {
                    found.insert(clean(&text));
                } else {
                    found.extend(listed(&text));
                }
            }
            if !found.is_empty() {
                return Ok(Some((place, found)));
            }
        }
    }
    if !from_rows {
        return Ok(None);
    }
    let value = column.text("s");
    let used = format!(
        "SELECT DISTINCT few.word FROM (SELECT {value} AS word FROM {} AS s WHERE {value} IS NOT NULL LIMIT 2000) AS few LIMIT 20",
        table.sql
    );
    let rows = session.sql(used).fetch_all(&mut session.conn).await?;
    let found: BTreeSet<String> = rows.iter().filter_map(|r| r.try_get::<String, _>("word").ok()).map(|w| clean(&w)).collect();
    Ok((!found.is_empty()).then_some(("rows", found)))
}

/// The texts that a constraint lists; none where it is no list of admitted words.
fn listed(definition: &str) -> BTreeSet<String> {
    let negative = [" <> ", " !~", " ~ ", " NOT ", " ~~ "].iter().any(|n| definition.contains(n));
    if negative || !definition.contains(" = ") {
        return BTreeSet::new();
    }
    // Quotes inside a word come doubled; no interval or status has one.
    definition.split('\'').skip(1).step_by(2).filter(|w| !w.is_empty()).map(clean).collect()
}

fn interval_words(words: Words) -> IntervalWords {
    let Some((place, words)) = words else { return IntervalWords::stripes_own() };
    let word = |starts: &[&str]| {
        words.iter().find(|w| starts.iter().any(|s| w.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s)))).cloned()
    };
    IntervalWords { month: word(&["month"]), year: word(&["year", "annual"]), found_in: place.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_the_constraint_as_the_server_prints_it() {
        let def = "CHECK (((billing_interval)::text = ANY ((ARRAY['monthly'::character varying, 'yearly'::character varying])::text[])))";
        let words = interval_words(Some(("constraint", listed(def))));
        assert_eq!((words.month.as_deref(), words.year.as_deref()), (Some("monthly"), Some("yearly")));
        assert!(listed("CHECK (((tier)::text <> ''::text))").is_empty(), "what is forbidden is not what is admitted");
        assert!(listed("CHECK (((id)::text ~~ 'cus\\_%'::text))").is_empty());
    }
}
