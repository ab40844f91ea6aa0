//! Use against limits over all subjects: a page of who is near, the totals, use by tier. Chooses the statement by what the database
//! offers; judges nothing.

mod claim;
mod ddl;
mod plain;
mod tiers;
mod watch;

pub use ddl::print as ddl;
pub use watch::WatchFound;

use super::connect::Session;
use super::fault::{self, Trouble};
use super::found::{self, ColumnFound, CounterFound, Found, key_cast, same_key, well_formed};
use super::names::literal;
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::FaultKind;
use crate::domain::ids::SubjectKey;
use crate::domain::quota::{Claim, NearKey, NearPage, NearRow, PAGE, QuotaFilter, QuotaState, QuotaTotal, ServedBy, Threshold};
use crate::domain::row::Field;
use crate::domain::text::clean;
use crate::protocol::query::{Query, Reply};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// More limits than this are no price list, and from a part of them nobody is told to be near one.
const LIMITS_AT_MOST: usize = 2_000;

/// More names of tiers or features than this no sentence lists.
const WORDS_AT_MOST: usize = 50;

/// A table of counters up to so many rows is read from end to end before anybody notices.
const SMALL: f64 = 50_000.0;
/// What Home may cost the server each time, in milliseconds: where that is not enough it is told nothing.
const GLANCE: u32 = 250;

/// What a tier may use of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    tier: String,
    feature: String,
    value: i64,
}

/// What every statement about use rests on, read once per question.
struct Ground<'a> {
    found: &'a Found,
    counter: &'a CounterFound,
    limits: Vec<Limit>,
    /// The tier of whoever has no subscription row.
    free: &'a str,
    /// The server's clock.
    now: At,
}

/// Whose counters a statement is about.
#[derive(Debug, Clone)]
struct Scope {
    tier: Option<String>,
    feature: Option<String>,
    /// Everybody but those who pay nothing.
    paying: bool,
}

impl From<&QuotaFilter> for Scope {
    fn from(filter: &QuotaFilter) -> Self {
        Self { tier: filter.tier.clone(), feature: filter.feature.clone(), paying: false }
    }
}

/// Answers a question about use, within the time that a scan may take. Home's glance gets a moment, and `None` where that is not enough.
pub async fn answer(session: &mut Session, config: &Config, query: &Query) -> Result<Reply, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let glance = *query == Query::Unreset;
    let Some(counter) = &found.counter else {
        let say = "this database has no table of counters: name it under [schema.counter] in the configuration";
        return if glance { Ok(Reply::Unreset(None)) } else { Err(fault::new(FaultKind::NotSetUp, say).into()) };
    };
    let watch = watch::of(session, &found, &config.quota.watch).await?;
    let (limit, workers) = if glance { (u128::from(GLANCE), 0) } else { (config.quota.limit.as_millis(), config.quota.workers) };
    let settings = format!(
        "SET LOCAL statement_timeout = {limit}; SET LOCAL max_parallel_workers_per_gather = {workers}; SET LOCAL jit = off;
         SET LOCAL work_mem = '32MB'"
    );
    let result = if session.pooled {
        sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut session.conn).await?;
        asked(session, config, &found, counter, watch, query).await
    } else {
        session.begin(true, &settings).await?;
        let result = asked(session, config, &found, counter, watch, query).await;
        session.finish(result).await
    };
    match result {
        // It was not cheap after all.
        Err(Trouble::Sql(sqlx::Error::Database(e))) if glance && e.code().as_deref() == Some("57014") => Ok(Reply::Unreset(None)),
        result => result,
    }
}

async fn asked(
    session: &mut Session,
    config: &Config,
    found: &Found,
    counter: &CounterFound,
    watch: Option<Arc<WatchFound>>,
    query: &Query,
) -> Result<Reply, Trouble> {
    let (limits, now) = limits(session, config, found).await?;
    let ground = Ground { found, counter, limits, free: config.tiers.free(), now };
    match query {
        Query::NearLimit { threshold, filter, after } => {
            let watch = watch.filter(|w| w.reaches(*threshold));
            let page = ground.page(session, *threshold, &filter.into(), after.as_ref(), watch.as_deref()).await?;
            if page.rows.is_empty() && page.limits_known {
                ground.meant(session, &config.tiers.ladder, filter).await?;
            }
            Ok(Reply::NearLimit(page))
        }
        Query::QuotaTotals { threshold, filter } => {
            let watch = watch.filter(|w| w.reaches(*threshold) && w.tier.is_some());
            ground.totals(session, *threshold, &filter.into(), watch.as_deref()).await.map(Reply::QuotaTotals)
        }
        Query::TierUsage(filter) => {
            let uses = ground.by_tier(session, &filter.into()).await?;
            if uses.is_empty() {
                ground.meant(session, &config.tiers.ladder, filter).await?;
            }
            Ok(Reply::TierUsage(uses))
        }
        Query::Unreset => {
            let watch = watch.filter(|w| w.reaches(Threshold::ALL));
            // Without periods on both sides nobody can be told to have renewed.
            if (watch.is_none() && counter.table.rows > SMALL) || claim::Renewal::of(found, counter).is_none() {
                return Ok(Reply::Unreset(None));
            }
            let whose = Scope { tier: None, feature: None, paying: true };
            let mut page = ground.page(session, Threshold::ALL, &whose, None, watch.as_deref()).await?;
            let read = page.rows.len();
            page.rows.retain(|r| r.claim == Claim::Renewed);
            page.next = page.next.filter(|_| page.rows.len() == read);
            Ok(Reply::Unreset(Some(page)))
        }
        other => unreachable!("invariant: {other:?} is not about use"),
    }
}

/// Every limit there is, from the database's table or else the configuration, and the server's time.
async fn limits(session: &mut Session, config: &Config, found: &Found) -> Result<(Vec<Limit>, At), Trouble> {
    let Some(l) = &found.limit else {
        let now = session.sql("SELECT now() AS now".into()).fetch_one(&mut session.conn).await?.try_get("now")?;
        let configured = config.limits.iter().flat_map(|(tier, of)| of.iter().map(move |(feature, value)| (tier, feature, value)));
        let limit =
            |(tier, feature, value): (&String, &String, &i64)| Limit { tier: tier.clone(), feature: feature.clone(), value: *value };
        return Ok((configured.map(limit).collect(), now));
    };
    // Of tables without a word about a limit the time comes all the same.
    let statement = format!(
        "SELECT n.now, l.tier, l.feature, l.value FROM (SELECT now() AS now) AS n LEFT JOIN
         (SELECT {} AS tier, {} AS feature, {}::bigint AS value FROM {} AS l WHERE l.{} IS NOT NULL LIMIT {}) AS l ON true",
        l.tier.text("l"),
        l.feature.text("l"),
        l.value.text("l"),
        l.table.sql,
        super::names::ident(&l.value.name),
        LIMITS_AT_MOST + 1,
    );
    let rows = session.sql(statement).fetch_all(&mut session.conn).await?;
    if rows.len() > LIMITS_AT_MOST {
        let say = format!(
            "{} has more than {LIMITS_AT_MOST} limits, which is no price list: name the table of the tiers' limits under [schema.limit]",
            l.table.sql
        );
        return Err(fault::new(FaultKind::TooMany, say).into());
    }
    let mut limits = Vec::new();
    let mut now = At::default();
    for row in rows {
        now = row.try_get("now")?;
        let (tier, feature): (Option<String>, Option<String>) = (row.try_get("tier")?, row.try_get("feature")?);
        if let (Some(tier), Some(feature), Some(value)) = (tier, feature, row.try_get("value")?) {
            let limit = Limit { tier, feature, value };
            limits.push(limit);
        }
    }
    // One per tier and feature is the contract. Of two for the same the lower one counts, in whatever order they came.
    limits.sort_by(|a: &Limit, b| (&a.tier, &a.feature, a.value).cmp(&(&b.tier, &b.feature, b.value)));
    limits.dedup_by(|b, a| (&a.tier, &a.feature) == (&b.tier, &b.feature));
    Ok((limits, now))
}

impl Ground<'_> {
    /// The limits that somebody of this filter can come near, none twice.
    fn finite<'a>(&'a self, filter: &'a Scope) -> impl Iterator<Item = &'a Limit> {
        self.within(filter).filter(|l| l.value > 0)
    }

    fn within<'a>(&'a self, filter: &'a Scope) -> impl Iterator<Item = &'a Limit> {
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let among = |l: &Limit| !(filter.paying && l.tier == self.free);
        self.limits.iter().filter(move |l| is(&filter.tier, &l.tier) && is(&filter.feature, &l.feature) && among(l))
    }

    /// Where nothing was found: whether there is such a tier and such a feature at all. Nobody near an unknown word would read as good news.
    async fn meant(&self, session: &mut Session, ladder: &[String], filter: &QuotaFilter) -> Result<(), Trouble> {
        if let Some(tier) = &filter.tier {
            let known = self.limits.iter().map(|l| &l.tier).chain(ladder).cloned().collect();
            let rows =
                format!("SELECT DISTINCT {} AS word FROM {} AS s LIMIT {WORDS_AT_MOST}", self.tier(), self.found.subscription.table.sql);
            self.among(session, "tier", tier, known, rows).await?;
        }
        if let Some(feature) = &filter.feature {
            let known = self.limits.iter().map(|l| l.feature.clone()).collect();
            let (word, table) = (self.counter.feature.text("c"), &self.counter.table.sql);
            let rows = format!("SELECT DISTINCT {word} AS word FROM {table} AS c LIMIT {WORDS_AT_MOST}");
            self.among(session, "feature", feature, known, rows).await?;
        }
        Ok(())
    }

    /// Whether the word is known, or else stands in a row; `rows` is a scan, which no known word costs.
    async fn among(&self, session: &mut Session, what: &str, word: &str, known: BTreeSet<String>, rows: String) -> Result<(), Trouble> {
        if known.contains(word) {
            return Ok(());
        }
        let mut known = known;
        for row in session.sql(rows).fetch_all(&mut session.conn).await? {
            known.extend(row.try_get::<Option<String>, _>("word")?);
        }
        if known.contains(word) {
            return Ok(());
        }
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        Err(fault::new(FaultKind::NotFound, format!("`{word}` is no {what}: one of {known}")).into())
    }

    /// The tier of row `s`, in the words of the limits.
    fn tier(&self) -> String {
        let tier = self.found.subscription.field(Field::Tier).map_or("NULL::text".into(), |c| c.text("s"));
        format!("coalesce({tier}, {})", literal(self.free))
    }

    /// `used` of counter `c` in its own type where that counts, so that it is compared without a cast per row.
    fn used(&self) -> String {
        match self.counter.used.sql_type.as_str() {
            "smallint" | "integer" | "bigint" | "numeric" => format!("c.{}", super::names::ident(&self.counter.used.name)),
            _ => format!("{}::numeric", self.counter.used.text("c")),
        }
    }

    /// The condition that the period of a row has not passed; the clock inlined, so that millions are compared in the column's own type.
    fn lives(&self, end: Option<&ColumnFound>, alias: &str) -> String {
        let now = self.now.format("%Y-%m-%d %H:%M:%S%.6f");
        running(end, alias, &format!("'{now}'::timestamp"), &format!("'{now}+00'::timestamptz"))
    }

    /// The same by the server's clock, for a few rows: a statement that never changes is planned once.
    fn lives_now(end: Option<&ColumnFound>, alias: &str) -> String {
        running(end, alias, "(now() AT TIME ZONE 'UTC')", "now()")
    }

    /// The subscription row beside a counter, by `c`'s key.
    fn join_row(&self) -> String {
        let row = &self.found.subscription;
        format!("LEFT JOIN {} AS s ON {}", row.table.sql, same_key(&row.subject, "s", &self.counter.subject, "c"))
    }

    /// The page, by the owner's index where there is one that reaches so far down.
    async fn page(
        &self,
        session: &mut Session,
        threshold: Threshold,
        filter: &Scope,
        after: Option<&NearKey>,
        watch: Option<&WatchFound>,
    ) -> Result<NearPage, Trouble> {
        let limits_known = !self.limits.is_empty();
        let by = watch.map_or(ServedBy::Tables, |w| ServedBy::Watch(clean(&w.name)));
        if self.finite(filter).next().is_none() {
            return Ok(NearPage { rows: Vec::new(), next: None, by, limits_known });
        }
        let kind = self.counter.subject.key_type();
        // A key of another type than the column's was never on a page: then it is the first.
        let after = after.and_then(|a| Some((a.claim, a.permille, well_formed(kind, a.subject.as_str())?, a.feature.clone())));
        let bound = format!("($1::smallint, $2::bigint, $3::text::{}, $4::text)", key_cast(kind));
        let beyond = |order: &str| after.as_ref().map(|_| format!(" AND ({order}) < {bound}")).unwrap_or_default();
        // Those who pay come first, are fewer, and have limits that fewer reach: whoever is found among them spares the look at all others,
        // who begin a page of their own.
        let mut parts = match &filter.tier {
            None if watch.is_none() && !filter.paying => {
                let paying = Scope { paying: true, ..filter.clone() };
                let free = Scope { tier: Some(self.free.to_string()), ..filter.clone() };
                if after.as_ref().is_some_and(|a| a.0 == Claim::Free) { vec![free] } else { vec![paying, free] }
            }
            _ => vec![filter.clone()],
        };
        parts.retain(|part| self.finite(part).next().is_some());
        let mut parts = parts.into_iter();
        let mut read = Vec::new();
        while read.is_empty()
            && let Some(part) = parts.next()
        {
            let statement = match watch {
                Some(watch) => self.page_of_watch(watch, threshold, &part, after.as_ref().map(|a| a.0), &beyond),
                None => self.page_of_tables(threshold, &part, &beyond),
            };
            let mut query = session.sql(statement);
            if let Some((claim, permille, key, feature)) = &after {
                query = query.bind(claim.rank()).bind(*permille).bind(key).bind(feature);
            }
            read.extend(query.fetch_all(&mut session.conn).await?);
        }
        let full = read.len() == usize::from(PAGE);
        let next = match read.last().filter(|_| full || parts.next().is_some()) {
            Some(last) => {
                let (subject, feature) = (SubjectKey(last.try_get("key")?), last.try_get("feature")?);
                Some(if full {
                    NearKey { claim: Claim::of_rank(last.try_get("rank")?), permille: last.try_get("permille")?, subject, feature }
                } else {
                    // Above everybody who pays nothing, whatever stands behind it.
                    NearKey { claim: Claim::Free, permille: i64::MAX, subject, feature }
                })
            }
            None => None,
        };
        let mut rows = Vec::with_capacity(read.len());
        for row in &read {
            rows.extend(near(row, threshold)?);
        }
        Ok(NearPage { rows, next, by, limits_known })
    }

    async fn totals(
        &self,
        session: &mut Session,
        threshold: Threshold,
        filter: &Scope,
        watch: Option<&WatchFound>,
    ) -> Result<Vec<QuotaTotal>, Trouble> {
        if self.finite(filter).next().is_none() {
            return Ok(Vec::new());
        }
        let statement = match watch {
            Some(watch) => self.totals_from_watch(watch, threshold, filter),
            None => self.totals_of_tables(threshold, filter),
        };
        let rows = session.sql(statement).fetch_all(&mut session.conn).await?;
        let total = |row: &PgRow| -> Result<QuotaTotal, sqlx::Error> {
            Ok(QuotaTotal {
                tier: clean(row.try_get("tier")?),
                feature: clean(row.try_get("feature")?),
                near: row.try_get("near")?,
                blocked: row.try_get("blocked")?,
            })
        };
        Ok(rows.iter().map(total).collect::<Result<_, _>>()?)
    }
}

fn running(end: Option<&ColumnFound>, alias: &str, utc: &str, now: &str) -> String {
    let Some(end) = end else { return "true".into() };
    let bare = format!("{alias}.{}", super::names::ident(&end.name));
    match end.sql_type.as_str() {
        "timestamp without time zone" if !end.is_json() => format!("({bare} IS NULL OR {bare} > {utc})"),
        "timestamp with time zone" if !end.is_json() => format!("({bare} IS NULL OR {bare} > {now})"),
        _ => format!("({time} IS NULL OR {time} > {now})", time = end.time(alias)),
    }
}

/// The row, where it is still near by what the tables say now: an owner's index may lag.
fn near(row: &PgRow, threshold: Threshold) -> Result<Option<NearRow>, sqlx::Error> {
    let text = |name: &str| -> Result<Option<String>, sqlx::Error> {
        Ok(row.try_get::<Option<String>, _>(name)?.map(|t| clean(&t)).filter(|t| !t.is_empty()))
    };
    let (used, limit): (Option<i64>, Option<i64>) = (row.try_get("used")?, row.try_get("value")?);
    let (Some(used), Some(limit), true) = (used, limit, row.try_get::<Option<bool>, _>("lives")?.unwrap_or(false)) else { return Ok(None) };
    let state = QuotaState::at(used, Some(limit), threshold);
    if !matches!(state, QuotaState::Near | QuotaState::Blocked) {
        return Ok(None);
    }
    Ok(Some(NearRow {
        subject: SubjectKey(text("key")?.unwrap_or_default()),
        email: text("email")?,
        name: text("name")?,
        tier: text("tier")?.unwrap_or_default(),
        claim: Claim::of_rank(row.try_get("claim")?),
        feature: text("feature")?.unwrap_or_default(),
        used,
        limit,
        resets: row.try_get("ends")?,
        state,
    }))
}
