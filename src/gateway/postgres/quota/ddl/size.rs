//! How large what the DDL makes would become, from a sample of the counters as they are now: it reads, and makes nothing.

use super::super::super::connect::Session;
use super::super::super::fault::Trouble;
use super::super::super::names::{ident, literal};
use super::{LEAST, Watch, same_key};
use sqlx::Row;

/// About so much of the table is read for a sample, in bytes.
const SAMPLE: f64 = 8.0 * 1_048_576.0;
/// Where no sample could be taken: so many of the counters are that far, with so many bytes each in the table with its two indexes, and in
/// the one index beside the counters.
const SHARE: f64 = 0.125;
const WATCHED: f64 = 230.0;
const ENTRY: f64 = 60.0;
/// An index that is filled in no order has pages this full, one that is built over what is there this.
const FILLED: f64 = 0.69;
const BUILT: f64 = 0.9;
/// What the new columns add to each counter, in bytes.
const COLUMNS: f64 = 24.0;

/// The table of counters as it is, and how many of them are watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub rows: f64,
    pub bytes: f64,
    indexes: f64,
    pub watched: f64,
    /// Of each that is watched: in the table with its two indexes; in the index beside the counters.
    each: f64,
    entry: f64,
    /// A sample says so; `false`: nothing but experience.
    pub sampled: bool,
}

impl Size {
    /// Of a table with its indexes, about which nothing else is known.
    pub fn unknown(rows: f64, bytes: f64, indexes: f64) -> Self {
        Self { rows, bytes, indexes, watched: rows * SHARE, each: WATCHED, entry: ENTRY / BUILT, sampled: false }
    }

    /// The table of its own, with its indexes.
    pub fn of_its_own(&self) -> f64 {
        self.watched * self.each
    }

    /// What the columns beside each counter come to: the fill writes every counter anew, and its index entries with it, and the room of
    /// the former ones stays the table's.
    pub fn beside_each(&self) -> f64 {
        self.bytes + self.rows * COLUMNS + self.indexes + self.watched * self.entry
    }
}

impl Watch<'_> {
    /// The size by a sample. A table that none can be taken of (a view, one that takes too long) is told by what is known of it.
    pub(super) async fn sized(&self, session: &mut Session, known: Size) -> Result<Size, Trouble> {
        let percent = if known.bytes > SAMPLE { 100.0 * SAMPLE / known.bytes } else { 100.0 };
        let row = match session.sql(self.sample(percent)).fetch_one(&mut session.conn).await {
            Ok(row) => row,
            Err(sqlx::Error::Database(_)) => return Ok(known),
            Err(other) => return Err(other.into()),
        };
        let (seen, watched): (f64, f64) = (row.try_get("seen")?, row.try_get("watched")?);
        let rows = seen * 100.0 / percent;
        let of_each: (Option<f64>, Option<f64>, Option<f64>) = (row.try_get("heap")?, row.try_get("key")?, row.try_get("entry")?);
        let (each, entry) = match of_each {
            (Some(heap), Some(key), Some(entry)) => (heap + (key + entry) / FILLED, entry / BUILT),
            _ => (known.each, known.entry),
        };
        Ok(Size { rows, watched: watched * 100.0 / percent, each, entry, sampled: true, ..known })
    }

    /// Counters of so many percent of the table's pages: all of them, those that are watched, and what each of these takes as the server
    /// lays it out, its pointer in the page included.
    fn sample(&self, percent: f64) -> String {
        let (c, s) = (self.counter, &self.found.subscription);
        let (key, feature) = (format!("pg_column_size(c.{})", self.key.name), format!("pg_column_size(c.{})", self.feature.name));
        let up = |size: &str, to: u8| format!("(({size}) + {}) / {to} * {to}", to - 1);
        let timed = |size: &str| if self.end.is_some() { format!("{} + 8", up(size, 8)) } else { size.to_string() };
        let pair = format!("{key} + {feature}");
        // A text that short has one byte before it.
        let claim = format!("{} + 2", up(&format!("{pair} + 1 + octet_length(l.tier)"), 2));
        let heap = timed(&format!("{} + 4", up(&claim, 4)));
        let entry = timed(&format!("8 + {pair}"));
        format!(
            "SELECT count(*)::float8 AS seen, (count(*) FILTER (WHERE {near}))::float8 AS watched,
                    (avg(28 + {heap}) FILTER (WHERE {near}))::float8 AS heap,
                    (avg(12 + {key_alone}) FILTER (WHERE {near}))::float8 AS key,
                    (avg(12 + {entry}) FILTER (WHERE {near}))::float8 AS entry
             FROM {counters} AS c TABLESAMPLE SYSTEM ({percent}) LEFT JOIN {rows} AS s ON {same}
             LEFT JOIN {limits} AS l ON l.tier = coalesce({tier}, {free}) AND l.feature = {feature_text} AND l.value > 0",
            near = format!("c.{}::bigint * 1000 >= l.value * {LEAST}", ident(&c.used.name)),
            heap = up(&heap, 8),
            key_alone = up(&pair, 8),
            entry = up(&entry, 8),
            counters = c.table.sql,
            rows = s.table.sql,
            same = same_key(&s.subject, "s", &c.subject, "c"),
            limits = self.limits(),
            tier = self.tier.text("s"),
            free = literal(self.free),
            feature_text = c.feature.text("c"),
        )
    }
}
