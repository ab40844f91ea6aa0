//! The DDL that would make questions about limits a matter of milliseconds, for the database's owner to read and run: never run here.

mod size;

use super::super::connect::Session;
use super::super::fault::{self, Trouble};
use super::super::found::{self, ColumnFound, CounterFound, Found, same_key};
use super::super::names::{ident, literal};
use super::claim::{self, Renewal};
use super::{Limit, limits};
use crate::config::Config;
use crate::domain::fault::FaultKind;
use crate::domain::money::group;
use crate::domain::quota::Claim;
use crate::domain::row::Field;
use size::Size;
use sqlx::Row;

/// From so many thousandths of a limit on counters are watched: thresholds below half of a limit are read from the plain tables.
const LEAST: i64 = 500;

/// What a column is called and how it is declared, as the server has it.
struct Declared {
    name: String,
    kind: String,
}

const DECLARED: &str = "
SELECT format_type(atttypid, atttypmod) AS kind FROM pg_attribute WHERE attrelid = $1::int8::oid AND attname = $2";

const COUNTED: &str =
    "SELECT greatest(reltuples, 0)::float8 AS rows, pg_table_size(oid)::float8 AS bytes, pg_indexes_size(oid)::float8 AS indexes,
       relnamespace::regnamespace::text AS place, current_user::text AS role
FROM pg_class WHERE oid = $1::int8::oid";

/// Both ways as SQL with their sizes and write prices in comments.
///
/// # Errors
/// No counters, no tier, or no limits to watch them against: one sentence.
pub async fn print(session: &mut Session, config: &Config) -> Result<String, Trouble> {
    let found = found::read(session, &config.schema).await?;
    let refuse = |say: &str| Trouble::Fault(fault::new(FaultKind::NotSetUp, say));
    let Some(counter) = &found.counter else { return Err(refuse("no table of counters is mapped: see [schema.counter]")) };
    let tier = found.subscription.required(Field::Tier)?.clone();
    if tier.is_json() {
        return Err(refuse("the tier stands inside a JSON document: no trigger can name it as a column"));
    }
    let (all, _) = limits(session, config, &found).await?;
    if all.is_empty() {
        return Err(refuse("no limits are known: neither a table of limits nor [limits.TIER] in the configuration"));
    }
    let key = declared(session, counter.table.oid, &counter.subject.name).await?;
    let feature = declared(session, counter.table.oid, &counter.feature.name).await?;
    let end = match counter.period_end.as_ref().filter(|c| !c.is_json()) {
        Some(c) => Some(declared(session, counter.table.oid, &c.name).await?),
        None => None,
    };
    let size = session.sql(COUNTED.into()).bind(counter.table.oid).fetch_one(&mut session.conn).await?;
    let known = Size::unknown(size.try_get("rows")?, size.try_get("bytes")?, size.try_get("indexes")?);
    let path = format!("{}, public, pg_temp", size.try_get::<String, _>("place")?);
    let role = ident(&size.try_get::<String, _>("role")?);
    let watch = Watch {
        path,
        role,
        found: &found,
        counter,
        tier: &tier,
        key,
        feature,
        end,
        all,
        free: config.tiers.free(),
        name: &config.quota.watch,
        renewal: Renewal::of(&found, counter),
    };
    let size = watch.sized(session, known).await?;
    Ok(watch.text(&size))
}

async fn declared(session: &mut Session, table: i64, name: &str) -> Result<Declared, Trouble> {
    let row = session.sql(DECLARED.into()).bind(table).bind(name).fetch_one(&mut session.conn).await?;
    Ok(Declared { name: ident(name), kind: row.try_get("kind")? })
}

struct Watch<'a> {
    found: &'a Found,
    counter: &'a CounterFound,
    tier: &'a ColumnFound,
    key: Declared,
    feature: Declared,
    end: Option<Declared>,
    all: Vec<Limit>,
    free: &'a str,
    name: &'a str,
    renewal: Option<Renewal>,
    /// Where the functions look for tables, whoever's write calls them.
    path: String,
    /// Ours.
    role: String,
}

impl Watch<'_> {
    fn text(&self, size: &Size) -> String {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive estimate, for people")]
        let whole = |n: f64| group(n.ceil() as u64);
        let mib = |bytes: f64| format!("{} MiB", whole(bytes / 1_048_576.0));
        let far = if size.sampled {
            format!("for the {} counters that are that far now, by a sample", whole(size.watched))
        } else {
            "if an eighth of all counters is that far: no sample of them could be read".into()
        };
        let table = &self.counter.table.name;
        format!(
            "-- Two ways to find who is near a limit in milliseconds, for the owner of the database to choose from. The console runs
-- neither, and needs neither: it uses what it finds. Choose ONE.
--   A  a table of its own: for counters that are written often. Keeps their updates in place (HOT).
--   B  columns beside each counter: for counters that are written rarely. Rewrites {table} once, under an exclusive lock.
-- {table} holds about {} counters in {}.

-- == A: a table of the counters from half of their limit on ==
-- Size: about {} {far}.
-- Price: a trigger on each write of a counter, measured as 22 % fewer updates a second; updates stay in place. When limits change, run the
-- part from \"fill\" on again.
{}
-- == B: the share used beside each counter ==
-- Size: about {} more, since the fill writes every counter anew; what the former rows took is free for later ones. Price: every update of
-- a counter changes an index entry, so that none stays in place: measured as 22 % fewer updates a second, and more work for vacuum. Adding
-- the columns rewrites the table under an exclusive lock.
{}",
            whole(size.rows),
            mib(size.bytes),
            mib(size.of_its_own()),
            self.table_of_its_own(),
            mib(size.beside_each()),
            self.beside_each_counter(),
        )
    }

    /// Where the limits stand: the product's own table, or constants.
    fn limits(&self) -> String {
        match &self.found.limit {
            Some(l) => format!(
                "(SELECT {} AS tier, {} AS feature, {}::bigint AS value FROM {} AS l)",
                l.tier.text("l"),
                l.feature.text("l"),
                l.value.text("l"),
                l.table.sql
            ),
            None => {
                let rows: Vec<String> =
                    self.all.iter().map(|l| format!("({}, {}, {}::bigint)", literal(&l.tier), literal(&l.feature), l.value)).collect();
                format!("(SELECT * FROM (VALUES {}) AS v(tier, feature, value))", rows.join(", "))
            }
        }
    }

    /// Whoever is erased is erased here too; keys of another type than the profile's go with their counters alone.
    fn goes_with_the_profile(&self) -> String {
        let subject = &self.found.subject;
        if subject.key.sql_type != self.counter.subject.sql_type {
            return String::new();
        }
        format!(" REFERENCES {} ({}) ON DELETE CASCADE", subject.table.sql, ident(&subject.key.name))
    }

    /// The counters of one subject, or of all, as they belong into the table.
    fn watched(&self, only: &str) -> String {
        let (c, s) = (self.counter, &self.found.subscription);
        let (used, end) = (format!("c.{}", ident(&c.used.name)), self.end.as_ref().map(|e| format!(", c.{}", e.name)).unwrap_or_default());
        format!(
            "SELECT c.{key}, c.{feature}, l.tier, {claim}, least({used}::bigint * 1000 / l.value, 2000000000)::integer{end}
    FROM {counters} AS c LEFT JOIN {rows} AS s ON {same}
    JOIN {limits} AS l ON l.tier = coalesce({tier}, {free}) AND l.feature = {feature_text} AND l.value > 0
    WHERE {used}::bigint * 1000 >= l.value * {LEAST}{only}",
            key = self.key.name,
            feature = self.feature.name,
            counters = c.table.sql,
            rows = s.table.sql,
            same = same_key(&s.subject, "s", &c.subject, "c"),
            limits = self.limits(),
            tier = self.tier.text("s"),
            free = literal(self.free),
            feature_text = c.feature.text("c"),
            claim = claim::rank(&format!("l.tier = {}", literal(self.free)), self.renewal.as_ref(), "c", "s"),
        )
    }

    fn table_of_its_own(&self) -> String {
        let (c, s) = (self.counter, &self.found.subscription);
        let watch = beside(self.name, &c.table.name);
        let named = |what: &str| beside(&format!("{}_{what}", bare(self.name)), &c.table.name);
        let (key, feature) = (&self.key, &self.feature);
        let end_column = self.end.as_ref().map(|e| format!(", {} {}", e.name, e.kind)).unwrap_or_default();
        let end_name = self.end.as_ref().map(|e| format!(", {}", e.name)).unwrap_or_default();
        let include = self.end.as_ref().map(|e| format!(" INCLUDE ({})", e.name)).unwrap_or_default();
        let columns = format!("{}, {}, tier, claim, permille{end_name}", key.name, feature.name);
        let mut changed = vec![ident(&c.used.name)];
        changed.extend(self.end.as_ref().map(|e| e.name.clone()));
        changed.extend(self.renewal.as_ref().map(|r| ident(&r.starts.name)));
        format!(
            "BEGIN;
CREATE TABLE {watch} (
  {key_name} {key_kind} NOT NULL{goes}, {feature_name} {feature_kind} NOT NULL,
  tier text NOT NULL, claim smallint NOT NULL, permille integer NOT NULL CHECK (permille >= {LEAST}){end_column}, PRIMARY KEY ({key_name}, {feature_name}));
CREATE INDEX ON {watch} (claim DESC, permille DESC, {key_name} DESC, {feature_name} DESC){include};
CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM {watch} AS w WHERE w.{key_name} = OLD.{key_name} AND w.{feature_name} = OLD.{feature_name};
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO {watch} ({columns}) {one}
    ON CONFLICT ({key_name}, {feature_name}) DO UPDATE SET tier = excluded.tier, claim = excluded.claim, permille = excluded.permille{set_end};
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION {moved}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $$
BEGIN
  DELETE FROM {watch} AS w WHERE {same_w};
  INSERT INTO {watch} ({columns}) {theirs};
  RETURN NULL;
END $$;
CREATE TRIGGER {trigger} AFTER INSERT OR DELETE OR UPDATE OF {changed} ON {counters} FOR EACH ROW EXECUTE FUNCTION {note}();
CREATE TRIGGER {trigger_moved} AFTER INSERT OR UPDATE OF {paid_for} ON {rows} FOR EACH ROW EXECUTE FUNCTION {moved}();
-- fill
LOCK TABLE {counters} IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM {watch};
INSERT INTO {watch} ({columns}) {everybody};
GRANT SELECT ON {watch} TO {role};
COMMIT;
VACUUM ANALYZE {watch};
",
            key_name = key.name,
            key_kind = key.kind,
            feature_name = feature.name,
            feature_kind = feature.kind,
            goes = self.goes_with_the_profile(),
            note = named("note"),
            moved = named("moved"),
            path = self.path,
            role = self.role,
            one = self.watched(&format!(
                "\n      AND c.{key} = NEW.{key} AND c.{feature} = NEW.{feature}",
                key = key.name,
                feature = feature.name
            )),
            theirs = self.watched(&format!("\n      AND {}", same_key(&c.subject, "c", &s.subject, "NEW"))),
            same_w = same_key(&c.subject, "w", &s.subject, "NEW"),
            everybody = self.watched(""),
            set_end = self.end.as_ref().map(|e| format!(", {0} = excluded.{0}", e.name)).unwrap_or_default(),
            trigger = ident(&format!("{}_note", bare(self.name))),
            trigger_moved = ident(&format!("{}_moved", bare(self.name))),
            changed = changed.join(", "),
            counters = c.table.sql,
            paid_for = self.paid_for(),
            rows = s.table.sql,
        )
    }

    /// The columns of the subscription row that decide a limit and a claim.
    fn paid_for(&self) -> String {
        let mut columns = vec![ident(&self.tier.name)];
        columns.extend(self.renewal.iter().flat_map(|r| [ident(&r.from.name), ident(&r.to.name)]));
        columns.join(", ")
    }

    fn beside_each_counter(&self) -> String {
        let (c, s) = (self.counter, &self.found.subscription);
        let named = |what: &str| beside(&format!("{}_{what}", bare(&c.table.name)), &c.table.name);
        let include = self.end.as_ref().map(|e| format!(" INCLUDE ({})", e.name)).unwrap_or_default();
        let (key, feature, used) = (&self.key.name, &self.feature.name, ident(&c.used.name));
        let path = &self.path;
        let coalesced = |alias: &str| format!("coalesce({}, {})", self.tier.text(alias), literal(self.free));
        let free = literal(self.free);
        // Whoever has no row of their own pays nothing.
        let of_new = format!(
            "SELECT coalesce(max({tier}), {free}), coalesce(max({claim}), {none}) INTO NEW.tier, NEW.claim FROM {rows} AS s WHERE {same}",
            tier = self.tier.text("s"),
            claim = claim::rank(&format!("{} = {free}", self.tier.text("s")), self.renewal.as_ref(), "NEW", "s"),
            none = Claim::Free.rank(),
            rows = s.table.sql,
            same = same_key(&s.subject, "s", &c.subject, "NEW"),
        );
        let periods = self.renewal.as_ref().map(|r| format!(" OR UPDATE OF {}, {}", ident(&r.starts.name), ident(&r.ends.name)));
        format!(
            "BEGIN;
ALTER TABLE {counters} ADD COLUMN tier text, ADD COLUMN limit_value bigint, ADD COLUMN claim smallint, ADD COLUMN permille integer GENERATED ALWAYS AS
  (CASE WHEN limit_value > 0 THEN least({used}::bigint * 1000 / limit_value, 2000000000)::integer END) STORED;
CREATE FUNCTION {begun}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $$
BEGIN
  {of_new};
  NEW.limit_value := (SELECT l.value FROM {limits} AS l WHERE l.tier = NEW.tier AND l.feature = {feature_text});
  RETURN NEW;
END $$;
CREATE FUNCTION {moved}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $$
BEGIN
  UPDATE {counters} AS c SET tier = {tier_new}, claim = {claim_new},
    limit_value = (SELECT l.value FROM {limits} AS l WHERE l.tier = {tier_new} AND l.feature = {feature_c})
  WHERE {same_new};
  RETURN NULL;
END $$;
CREATE TRIGGER {trigger_begun} BEFORE INSERT{periods} ON {counters} FOR EACH ROW EXECUTE FUNCTION {begun}();
CREATE TRIGGER {trigger_moved} AFTER INSERT OR UPDATE OF {paid_for} ON {rows} FOR EACH ROW EXECUTE FUNCTION {moved}();
-- fill: again when limits change
UPDATE {counters} AS c SET tier = n.tier, claim = n.claim, limit_value = (SELECT l.value FROM {limits} AS l WHERE l.tier = n.tier AND l.feature = {feature_c})
  FROM (SELECT k.{key} AS k, k.{feature} AS f, coalesce({tier_s}, {free}) AS tier, {claim_k} AS claim
  FROM {counters} AS k LEFT JOIN {rows} AS s ON {same_k}) AS n
  WHERE c.{key} = n.k AND c.{feature} = n.f;
CREATE INDEX ON {counters} (claim DESC, permille DESC, {key} DESC, {feature} DESC){include} WHERE permille >= {LEAST};
GRANT SELECT (tier, claim, permille) ON {counters} TO {role};
COMMIT;
VACUUM ANALYZE {counters};
",
            counters = c.table.sql,
            role = self.role,
            begun = named("begun"),
            moved = named("moved"),
            limits = self.limits(),
            feature_text = c.feature.text("NEW"),
            feature_c = c.feature.text("c"),
            tier_new = coalesced("NEW"),
            tier_s = self.tier.text("s"),
            claim_new = claim::rank(&format!("{} = {free}", coalesced("NEW")), self.renewal.as_ref(), "c", "NEW"),
            claim_k = claim::rank(&format!("{} = {free}", coalesced("s")), self.renewal.as_ref(), "k", "s"),
            periods = periods.unwrap_or_default(),
            same_new = same_key(&c.subject, "c", &s.subject, "NEW"),
            same_k = same_key(&s.subject, "s", &c.subject, "k"),
            trigger_begun = ident(&format!("{}_begun", bare(&c.table.name))),
            trigger_moved = ident(&format!("{}_moved", bare(&c.table.name))),
            paid_for = self.paid_for(),
            rows = s.table.sql,
        )
    }
}

/// The table's name without its schema.
fn bare(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, bare)| bare)
}

/// The name, quoted, in the schema of that table unless it says another.
fn beside(name: &str, of: &str) -> String {
    match (name.rsplit_once('.'), of.rsplit_once('.')) {
        (Some((schema, name)), _) => format!("{}.{}", ident(schema), ident(name)),
        (None, Some((schema, _))) => format!("{}.{}", ident(schema), ident(name)),
        (None, None) => ident(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_table_stands_in_its_schema() {
        assert_eq!((beside("q", "app.rate_limits"), beside("q", "rate_limits")), ("\"app\".\"q\"".into(), "\"q\"".into()));
        assert_eq!((bare("app.rate_limits"), bare("rate_limits")), ("rate_limits", "rate_limits"));
    }
}
