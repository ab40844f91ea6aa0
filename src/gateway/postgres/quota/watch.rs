//! What the database's owner keeps for questions about limits: a table of counters near theirs, or a column beside each counter, with
//! an index. Found in the catalogue, never made here.

use super::super::connect::Session;
use super::super::fault::Trouble;
use super::super::found::{ColumnFound, Found};
use super::super::names::table;
use crate::domain::quota::Threshold;
use sqlx::Row;
use std::sync::Arc;

/// An index over what is paid for and how much of each limit is used.
#[derive(Debug)]
pub struct WatchFound {
    pub name: String,
    /// Quoted, for statements.
    pub sql: String,
    pub key: ColumnFound,
    pub feature: ColumnFound,
    pub tier: Option<ColumnFound>,
    pub period_end: Option<ColumnFound>,
    /// Every counter from so many thousandths of its limit on is in it.
    pub least: i64,
}

const COLUMNS: &str = "
SELECT a.attname::text AS name, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL) AS type,
       coalesce(has_column_privilege(a.attrelid, a.attnum, 'SELECT'), false) AS readable
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

/// How far down the index reaches: by its own condition, and by what the table admits at all.
const REACH: &str = "
SELECT pg_get_expr(i.indpred, i.indrelid) AS only, (i.indrelid = $2::int8::oid) AS whole,
       (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = i.indrelid AND k.contype = 'c'
        AND pg_get_constraintdef(k.oid) LIKE '%permille >= %' LIMIT 1) AS admits
FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indisready
 AND pg_get_indexdef(i.indexrelid, 1, true) = 'claim' AND pg_get_indexdef(i.indexrelid, 2, true) = 'permille'";

impl WatchFound {
    #[must_use]
    pub fn reaches(&self, threshold: Threshold) -> bool {
        self.least <= i64::from(threshold.percent()) * 10
    }
}

/// What there is on this connection's server: looked up once, or each time as long as there is none, since that costs a thousandth of
/// the scan that it would spare.
pub async fn of(session: &mut Session, found: &Found, name: &str) -> Result<Option<Arc<WatchFound>>, Trouble> {
    if let Some(watch) = &session.watch {
        return Ok(Some(Arc::clone(watch)));
    }
    let Some(counter) = &found.counter else { return Ok(None) };
    // Beside the counters, unless the name says where.
    let beside = counter.table.name.rsplit_once('.').filter(|_| !name.contains('.')).map(|(schema, _)| format!("{schema}.{name}"));
    for candidate in [beside.unwrap_or_else(|| name.to_string()), counter.table.name.clone()] {
        if let Some(watch) = look(session, found, &candidate).await? {
            let watch = Arc::new(watch);
            session.watch = Some(Arc::clone(&watch));
            return Ok(Some(watch));
        }
    }
    Ok(None)
}

async fn look(session: &mut Session, found: &Found, name: &str) -> Result<Option<WatchFound>, Trouble> {
    let Some(counter) = &found.counter else { return Ok(None) };
    let sql = table(name);
    let rows = session.sql(REACH.into()).bind(&sql).bind(counter.table.oid).fetch_all(&mut session.conn).await?;
    let mut least: Option<i64> = None;
    for row in rows {
        let (only, admits): (Option<String>, Option<String>) = (row.try_get("only")?, row.try_get("admits")?);
        let reach = match (only.as_deref(), row.try_get::<bool, _>("whole")?) {
            // An index over all counters reaches all the way; one over a table of its own, only as far as that says of itself.
            (None, true) => Some(0),
            (None, false) => admits.as_deref().and_then(from),
            (Some(only), whole) => from(only).filter(|n| whole || admits.as_deref().and_then(from).is_some_and(|a| a <= *n)),
        };
        least = [least, reach].into_iter().flatten().min();
    }
    let Some(least) = least else { return Ok(None) };
    let rows = session.sql(COLUMNS.into()).bind(&sql).fetch_all(&mut session.conn).await?;
    let mut columns = Vec::new();
    for row in rows {
        columns.push(ColumnFound {
            name: row.try_get("name")?,
            path: Vec::new(),
            sql_type: row.try_get("type")?,
            readable: row.try_get("readable")?,
            updatable: false,
            byte_ordered: false,
        });
    }
    let column = |name: &str| columns.iter().find(|c| c.name == name && c.readable).cloned();
    let (Some(key), Some(feature)) = (column(&counter.subject.name), column(&counter.feature.name)) else { return Ok(None) };
    if column("permille").is_none() || column("claim").is_none() {
        return Ok(None);
    }
    let end = counter.period_end.as_ref().filter(|c| !c.is_json()).and_then(|c| column(&c.name)).or_else(|| column("period_end"));
    let timed = end.filter(|c| c.sql_type.starts_with("timestamp"));
    Ok(Some(WatchFound { name: name.to_string(), sql, key, feature, tier: column("tier"), period_end: timed, least }))
}

/// The number in `permille >= 500`, as the server prints a condition; `None` for any other condition.
fn from(condition: &str) -> Option<i64> {
    let plain: String = condition.replace("CHECK", "").replace("::integer", "").chars().filter(|c| !matches!(c, '(' | ')' | ' ')).collect();
    plain.strip_prefix("permille>=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_floor_says_how_far_an_index_reaches() {
        assert_eq!(from("(permille >= 500)"), Some(500));
        assert_eq!(from("CHECK ((permille >= 500))"), Some(500));
        assert_eq!(from("((permille >= 500) AND (feature = 'x'::text))"), None);
        assert_eq!(from("(permille > 500)"), None);
    }
}
