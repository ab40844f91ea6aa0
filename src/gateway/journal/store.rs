//! The shared store: where records of all consoles come together, and leases keep two of them off one subject. Never in the way of a
//! repair: without it the local journal does. Its schema is `migrations/`'s.

use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::gateway::postgres;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Connections of its own to the shared store, opened when first needed.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    /// Another one for leases: however slow something is to be read, no lease waits for it.
    leases: PgPool,
    /// When it was last asked for a lease and did not answer, and how. What is slow to be read says nothing about leases.
    silent: Silence,
    /// The same of what is read for lists, which are asked for every few seconds.
    unread: Silence,
    lease: Duration,
}

/// When somebody did not answer, and how; `None` once they have answered again.
type Silence = Arc<Mutex<Option<(Instant, Fault)>>>;

/// Something wrong in the store's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreBreak {
    pub seq: i64,
    pub problem: String,
}

/// A lease is renewed while its run is open, and with every try; it outlives a hung console by this.
const LEASE: Duration = Duration::from_mins(10);
/// A store that does not answer in this time is left out.
const PATIENCE: Duration = Duration::from_secs(2);
/// For reading all of it, or hashing it anew.
const VERIFYING: Duration = Duration::from_secs(8);
/// So long after a silence nobody who only wants a lease waits for it again.
const SILENCE: Duration = Duration::from_secs(5);

/// How a transaction begins: the limits at the server are ours, in milliseconds, and end with it.
const QUICK: &str = "BEGIN; SET LOCAL statement_timeout = 2000; SET LOCAL lock_timeout = 1500; \
                     SET LOCAL idle_in_transaction_session_timeout = 2000; SET LOCAL timezone = 'UTC'";
/// The same for reading all of it.
const WHOLE: &str = "BEGIN; SET LOCAL statement_timeout = 8000; SET LOCAL lock_timeout = 1500; \
                     SET LOCAL idle_in_transaction_session_timeout = 8000; SET LOCAL timezone = 'UTC'";

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How far the desk has been heard, with how many words there are and how many of them were not removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    seq: i64,
    said: i64,
    kept: i64,
}

impl Heard {
    /// Nothing happened since `before` but that so many words more were said.
    #[must_use]
    pub fn follows(&self, before: &Heard, more: usize) -> bool {
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        self.said - before.said == more && self.kept - before.kept == more
    }
}

impl Store {
    /// No I/O yet.
    #[must_use]
    pub fn new(options: PgConnectOptions) -> Self {
        // What a pooler would have to carry from client to client is left out: it refuses that, and nothing here needs it.
        let options = options.extra_float_digits(None).statement_cache_capacity(0).disable_statement_logging();
        let one = || {
            let pool = PgPoolOptions::new().max_connections(1).min_connections(0).acquire_timeout(PATIENCE);
            pool.idle_timeout(Duration::from_secs(60)).connect_lazy_with(options.clone())
        };
        Self { pool: one(), leases: one(), silent: Arc::default(), unread: Arc::default(), lease: LEASE }
    }

    /// With leases that last so long.
    #[must_use]
    pub fn leasing_for(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// How often a lease is to be renewed, so that it does not run out even where one renewal fails.
    #[must_use]
    pub fn renews_every(&self) -> Duration {
        self.lease / 3
    }

    /// How long a lease lasts that is not renewed.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.lease
    }

    /// The environment's: at its own address, else in the product's database. Subjects must be called the same by all consoles,
    /// so there is none without a key that they share.
    ///
    /// # Errors
    /// As [`Store::of_url`].
    pub fn of(config: &Config) -> Option<Result<Self, Fault>> {
        config.subject_key.as_ref()?;
        let url = config.store_url.as_ref().or(config.database_url.as_ref())?;
        Some(address("The store's address", url.expose()).map(|o| Self::new(o.application_name(&postgres::name(&config.operator)))))
    }

    /// # Errors
    /// [`Fault`] of [`Source::Store`] for a URL that cannot be read.
    pub fn of_url(url: &str) -> Result<Self, Fault> {
        address("The store's address", url).map(Self::new)
    }

    /// The number of the newest record of this journal that is in the store; 0 before the first.
    pub(super) async fn shipped(&self, environment: &str, operator: &str, chain: Uuid) -> Result<u64, Fault> {
        let sql = "SELECT coalesce(max(local_seq), 0) FROM nightdesk.audit WHERE environment = $1 AND operator = $2 AND chain = $3";
        let query = sqlx::query(sql).bind(environment.to_string()).bind(operator.to_string()).bind(chain).persistent(false);
        let row = in_time(within(&self.pool, QUICK, async |tx| query.fetch_one(tx).await)).await?;
        let newest: i64 = row.try_get(0).map_err(|e| fault(&e))?;
        Ok(newest.unsigned_abs())
    }

    /// What the store holds of this journal, by number.
    pub(super) async fn records(&self, environment: &str, operator: &str, chain: Uuid) -> Result<Vec<(u64, String)>, Fault> {
        let sql =
            "SELECT local_seq, record FROM nightdesk.audit WHERE environment = $1 AND operator = $2 AND chain = $3 ORDER BY local_seq";
        let query = sqlx::query_as(sql).bind(environment.to_string()).bind(operator.to_string()).bind(chain).persistent(false);
        let rows: Vec<(i64, String)> = whole(within(&self.pool, WHOLE, async |tx| query.fetch_all(tx).await)).await?;
        Ok(rows.into_iter().map(|(seq, record)| (seq.unsigned_abs(), record)).collect())
    }

    /// Ships these lines in one transaction; those that are there already change nothing.
    pub(super) async fn ship(&self, lines: &[String]) -> Result<(), Fault> {
        let shipping = within(&self.pool, QUICK, async |tx| {
            for line in lines {
                sqlx::query("SELECT nightdesk.audit_append($1)").bind(line).persistent(false).execute(&mut *tx).await?;
            }
            Ok(())
        });
        in_time(shipping).await
    }

    /// Takes or renews the lease on a subject (by its keyed hash) for a run. `Some(run, operator)`: somebody else has it.
    ///
    /// # Errors
    /// [`Fault`] where the store cannot be reached, is not migrated, or lets us do nothing: then there is no lease to respect. For a few
    /// seconds after a silence it is not asked again.
    pub async fn lease(&self, environment: &str, subject: &str, run: Uuid, operator: &str) -> Result<Option<(Uuid, String)>, Fault> {
        answered_lately(&self.silent)?;
        let taken = match in_time(self.take(&self.leases, environment, subject, run, operator)).await {
            // A server that is full for a second connection may have left us the first.
            Err(fault) if fault.kind == FaultKind::Full => in_time(self.take(&self.pool, environment, subject, run, operator)).await,
            taken => taken,
        };
        heard(&self.silent, &taken);
        taken
    }

    async fn take(
        &self,
        pool: &PgPool,
        environment: &str,
        subject: &str,
        run: Uuid,
        operator: &str,
    ) -> Result<Option<(Uuid, String)>, sqlx::Error> {
        let lease = format!("{} milliseconds", self.lease.as_millis());
        let take = "INSERT INTO nightdesk.lease AS l (environment, subject, run, operator, until) \
                    VALUES ($1, $2, $3, $4, now() + $5::interval) \
                    ON CONFLICT (environment, subject) DO UPDATE SET run = $3, operator = $4, until = now() + $5::interval \
                    WHERE l.run = $3 OR l.until < now()";
        let look = "SELECT run, operator FROM nightdesk.lease WHERE environment = $1 AND subject = $2";
        within(pool, QUICK, async |tx| {
            let took = sqlx::query(take).bind(environment).bind(subject).bind(run).bind(operator).bind(&lease).persistent(false);
            if took.execute(&mut *tx).await?.rows_affected() == 1 {
                return Ok(None);
            }
            let held = sqlx::query(look).bind(environment).bind(subject).persistent(false).fetch_optional(&mut *tx).await?;
            held.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
        })
        .await
    }

    /// Gives the run's lease on that subject (by its keyed hash) back; without one, all of its leases.
    ///
    /// # Errors
    /// As [`Store::lease`]; the lease then runs out by itself.
    pub async fn release(&self, environment: &str, run: Uuid, subject: Option<&str>) -> Result<(), Fault> {
        let sql = "DELETE FROM nightdesk.lease WHERE environment = $1 AND run = $2 AND ($3::text IS NULL OR subject = $3)";
        let query = sqlx::query(sql).bind(environment.to_string()).bind(run).bind(subject.map(str::to_string)).persistent(false);
        in_time(within(&self.leases, QUICK, async |tx| query.execute(tx).await.map(drop))).await
    }

    /// What every console of the environment has said about causes and drift since then, oldest first: when, who, and the write as JSON;
    /// and how far that reaches.
    ///
    /// # Errors
    /// [`Fault`] where the store cannot be read, or was not migrated.
    pub(super) async fn desk(&self, environment: &str, since: Heard) -> Result<(Vec<(At, String, String)>, Heard), Fault> {
        answered_lately(&self.unread)?;
        let sql = "SELECT seq, at, operator, write::text FROM nightdesk.desk WHERE environment = $1 AND seq > $2 AND write IS NOT NULL ORDER BY seq";
        let all = "SELECT count(*), count(write) FROM nightdesk.desk WHERE environment = $1";
        let reading = within(&self.pool, QUICK, async |tx| {
            let rows: Vec<(i64, At, String, String)> =
                sqlx::query_as(sql).bind(environment).bind(since.seq).persistent(false).fetch_all(&mut *tx).await?;
            let (said, kept) = sqlx::query_as(all).bind(environment).persistent(false).fetch_one(&mut *tx).await?;
            Ok((rows, said, kept))
        });
        let read = in_time(reading).await;
        heard(&self.unread, &read);
        let (rows, said, kept) = read?;
        let seq = rows.last().map_or(since.seq, |r| r.0);
        Ok((rows.into_iter().map(|(_, at, by, write)| (at, by, write)).collect(), Heard { seq, said, kept }))
    }

    /// Says one thing more.
    ///
    /// # Errors
    /// As [`Store::desk`]; then nothing was said.
    pub(super) async fn say(&self, environment: &str, operator: &str, write: &str) -> Result<(), Fault> {
        let sql = "SELECT nightdesk.desk_append($1, $2, $3::jsonb)";
        let query = sqlx::query(sql).bind(environment.to_string()).bind(operator.to_string()).bind(write.to_string()).persistent(false);
        in_time(within(&self.pool, QUICK, async |tx| query.execute(tx).await.map(drop))).await
    }

    /// All records of other operators' runs, oldest first: of those that have no end, however old, of those that were handed over, and of
    /// the `finished` that ended last. And the runs that hold a lease.
    ///
    /// # Errors
    /// [`Fault`] where the store cannot be read.
    pub(super) async fn of_others(&self, environment: &str, operator: &str, finished: i64) -> Result<(Vec<String>, Vec<Uuid>), Fault> {
        answered_lately(&self.unread)?;
        let leased = "SELECT run FROM nightdesk.lease WHERE environment = $1 AND until > now()";
        let reading = within(&self.pool, QUICK, async |tx| {
            // Made by an older program, or not granted yet: then all records are gone through.
            let listed: bool = sqlx::query_scalar(RUNS_ARE_LISTED).persistent(false).fetch_one(&mut *tx).await?;
            let sql = if listed { RUNS_OF_OTHERS } else { RUNS_OF_OTHERS_UNLISTED };
            let records = sqlx::query_scalar(sql).bind(environment).bind(operator).bind(finished).persistent(false);
            let records = records.fetch_all(&mut *tx).await?;
            let leased = sqlx::query_scalar(leased).bind(environment).persistent(false).fetch_all(&mut *tx).await?;
            Ok((records, leased))
        });
        let read = in_time(reading).await;
        heard(&self.unread, &read);
        read
    }

    /// Whether it lists runs, as the newest schema does: without that colleagues' runs are looked for among all records.
    ///
    /// # Errors
    /// [`Fault`] where the store cannot be read.
    pub async fn lists_runs(&self) -> Result<bool, Fault> {
        let query = sqlx::query_scalar(RUNS_ARE_LISTED).persistent(false);
        in_time(within(&self.pool, QUICK, async |tx| query.fetch_one(tx).await)).await
    }

    /// Verifies the store's whole chain; the first twenty problems.
    ///
    /// # Errors
    /// [`Fault`] where the store cannot be read within eight seconds.
    pub async fn verify(&self) -> Result<Vec<StoreBreak>, Fault> {
        let rows = whole(within(&self.pool, WHOLE, async |tx| sqlx::query(VERIFY).persistent(false).fetch_all(tx).await)).await?;
        let broken = |row: &sqlx::postgres::PgRow| Ok(StoreBreak { seq: row.try_get(0)?, problem: row.try_get(1)? });
        rows.iter().map(broken).collect::<Result<_, sqlx::Error>>().map_err(|e| fault(&e))
    }

    /// Closes its connection.
    pub async fn close(&self) {
        tokio::join!(self.pool.close(), self.leases.close());
    }
}

fn answered_lately(silence: &Silence) -> Result<(), Fault> {
    match &*silence.lock().unwrap_or_else(PoisonError::into_inner) {
        Some((since, fault)) if since.elapsed() < SILENCE => Err(fault.clone()),
        _ => Ok(()),
    }
}

/// Keeps whether they answered.
fn heard<T>(silence: &Silence, result: &Result<T, Fault>) {
    let fault = result.as_ref().err().filter(|f| matches!(f.kind, FaultKind::Timeout | FaultKind::Unreachable));
    *silence.lock().unwrap_or_else(PoisonError::into_inner) = fault.map(|f| (Instant::now(), f.clone()));
}

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|e| fault(&e)),
        Err(_) => {
            Err(Fault::new(Source::Store, FaultKind::Timeout, "The shared store does not answer; records are kept here and shipped later"))
        }
    }
}

/// Applies the migrations as an administrator, and grants the console's role what it needs. Returns how many were new.
///
/// # Errors
/// [`Fault`] of [`Source::Store`]: what failed, in words.
pub async fn migrate(admin_url: &str, console_role: Option<&str>) -> Result<usize, Fault> {
    let options = address("admin_url", admin_url)?;
    let mut admin = PgConnection::connect_with(&options).await.map_err(|e| fault(&e))?;
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    // Somebody else's database: not even the migrations' own table may land in `public`.
    migrator.create_schema("nightdesk");
    migrator.dangerous_set_table_name("nightdesk._sqlx_migrations");
    let before = applied(&mut admin).await;
    migrator.run(&mut admin).await.map_err(|e| refused(&e))?;
    let fresh = MIGRATIONS.iter().filter(|m| !before.contains(&m.version)).count();
    if let Some(role) = console_role {
        let role = quoted(role);
        let grants = format!(
            "GRANT USAGE ON SCHEMA nightdesk TO {role}; \
             GRANT SELECT ON nightdesk.audit, nightdesk.audit_head TO {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON nightdesk.lease TO {role}; \
             GRANT SELECT ON nightdesk.desk, nightdesk.audit_run TO {role}; \
             GRANT EXECUTE ON FUNCTION nightdesk.desk_append(text, text, jsonb) TO {role}; \
             GRANT EXECUTE ON FUNCTION nightdesk.audit_append(text) TO {role}; \
             GRANT EXECUTE ON FUNCTION nightdesk.audit_digest(bytea, bigint, timestamptz, name, text) TO {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut admin).await.map_err(|e| fault(&e))?;
    }
    let _ = admin.close().await;
    Ok(fresh)
}

/// As the product's database is reached: with a verified certificate where it is remote.
fn address(what: &str, url: &str) -> Result<PgConnectOptions, Fault> {
    postgres::address(what, url).map_err(|fault| Fault { source: Source::Store, ..fault })
}

async fn applied(admin: &mut PgConnection) -> Vec<i64> {
    // No table yet: none is applied.
    let rows = sqlx::query_scalar("SELECT version FROM nightdesk._sqlx_migrations").persistent(false).fetch_all(admin).await;
    rows.unwrap_or_default()
}

/// A read of the whole chain, or of all of one journal's.
async fn whole<T>(reading: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(VERIFYING, reading).await {
        Ok(done) => done.map_err(|e| fault(&e)),
        Err(_) => Err(Fault::new(Source::Store, FaultKind::Timeout, "The shared store does not answer")),
    }
}

/// One transaction for every piece of work, with its own limits: behind a pooler nothing else is safe. The server ends what we have
/// stopped waiting for.
async fn within<T>(
    pool: &PgPool,
    begin: &'static str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut tx = pool.begin_with(begin).await?;
    let done = work(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn refused(error: &MigrateError) -> Fault {
    match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => fault(e),
        MigrateError::VersionMissing(_) => {
            let say = "The shared store was made by a newer program, and is left as it is: run that one's `nightdesk migrate`";
            Fault::new(Source::Store, FaultKind::Schema, say)
        }
        other => Fault::new(Source::Store, FaultKind::Schema, format!("The migrations could not be applied: {other}")),
    }
}

fn fault(error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let (kind, say) = match (code.as_deref(), error) {
        (Some("42501"), _) => (
            FaultKind::Permission { missing: Some("schema nightdesk".into()) },
            "The console's role may not use the shared store: `nightdesk migrate` grants it".to_string(),
        ),
        (Some("3F000" | "42P01" | "42883"), _) => {
            (FaultKind::NotSetUp, "The shared store is not set up in this database: `nightdesk migrate` does that".into())
        }
        (Some("28P01" | "28000"), _) => (FaultKind::Auth, "The shared store refuses our credentials".into()),
        // Our own limits.
        (Some("57014" | "55P03" | "25P03"), _) => (FaultKind::Timeout, "The shared store does not answer in time".into()),
        (Some("53300"), _) => (FaultKind::Full, "The shared store's server has no free connection".into()),
        (Some(_), e) => (FaultKind::Refused, format!("The shared store refuses: {}", e.as_database_error().map_or("", |d| d.message()))),
        (None, sqlx::Error::PoolTimedOut) => (FaultKind::Timeout, "The shared store does not answer".into()),
        (None, _) => (FaultKind::Unreachable, "The shared store cannot be reached".into()),
    };
    Fault::new(Source::Store, kind, say)
}

/// Whether the store lists runs, and lets us read the list.
const RUNS_ARE_LISTED: &str = "SELECT coalesce(has_table_privilege(to_regclass('nightdesk.audit_run'), 'SELECT'), false)";

/// The wanted runs by their list, operator by operator, their records by its index: what is read grows with what is wanted, and not with
/// what was ever recorded.
pub const RUNS_OF_OTHERS: &str = r#"
WITH RECURSIVE operators AS (
  (SELECT operator FROM nightdesk.audit_run WHERE environment = $1 ORDER BY operator LIMIT 1)
  UNION ALL
  SELECT (SELECT r.operator FROM nightdesk.audit_run r WHERE r.environment = $1 AND r.operator > o.operator ORDER BY r.operator LIMIT 1)
  FROM operators o WHERE o.operator IS NOT NULL
), others AS MATERIALIZED (
  SELECT operator FROM operators WHERE operator IS NOT NULL AND operator <> $2
), finished AS (
  SELECT r.run FROM others o CROSS JOIN LATERAL (
    SELECT run, closed FROM nightdesk.audit_run
    WHERE environment = $1 AND operator = o.operator AND closed IS NOT NULL AND NOT handed_over ORDER BY closed DESC LIMIT $3) r
  ORDER BY r.closed DESC LIMIT $3
), wanted AS MATERIALIZED (
  SELECT run FROM finished
  UNION ALL
  SELECT r.run FROM others o CROSS JOIN LATERAL (
    SELECT run FROM nightdesk.audit_run WHERE environment = $1 AND operator = o.operator AND (closed IS NULL OR handed_over) OFFSET 0) r
)
SELECT a.record FROM wanted w CROSS JOIN LATERAL (
  SELECT seq, record FROM nightdesk.audit
  WHERE strpos(record, '"run":"') > 0 AND substr(record, strpos(record, '"run":"') + 7, 36) = w.run
    AND environment = $1 AND operator <> $2 OFFSET 0) a
ORDER BY a.seq"#;

/// The same where runs are not listed. A record is searched as text: within a JSON string no quotation mark stands unescaped, and to parse
/// them all would cost far more. What is called `run-…` begins or ends a run.
const RUNS_OF_OTHERS_UNLISTED: &str = r#"
WITH ends AS MATERIALIZED (
  SELECT seq, record, substr(record, strpos(record, '"run":"') + 7, 36) AS run, strpos(record, '{"entry":"run-closed"') > 0 AS closes
  FROM nightdesk.audit
  WHERE environment = $1 AND operator <> $2 AND strpos(record, '{"entry":"run-') > 0
), runs AS (
  SELECT run, min(seq) FILTER (WHERE NOT closes) AS opened, max(seq) FILTER (WHERE closes) AS closed,
         bool_or(closes AND strpos(record, '"how":"handed-over"') > 0) AS handed_over
  FROM ends GROUP BY run
), ranked AS (
  SELECT *, row_number() OVER (ORDER BY closed DESC NULLS LAST) AS nth FROM runs WHERE opened IS NOT NULL
), wanted AS MATERIALIZED (
  SELECT run, opened FROM ranked WHERE closed IS NULL OR handed_over OR nth <= $3
)
SELECT a.record FROM nightdesk.audit a JOIN wanted w ON w.run = substr(a.record, strpos(a.record, '"run":"') + 7, 36)
WHERE a.environment = $1 AND a.operator <> $2 AND a.seq >= (SELECT min(opened) FROM wanted) ORDER BY a.seq"#;

const VERIFY: &str = "\
SELECT seq, CASE WHEN seq <> coalesce(lag_seq, 0) + 1 THEN 'gap or reorder'
                 WHEN prev_hash <> coalesce(lag_hash, sha256(convert_to('nightdesk audit v1', 'UTF8'))) THEN 'chain broken'
                 ELSE 'content altered' END AS problem
FROM (SELECT a.seq, a.prev_hash, a.hash, lag(a.seq) OVER w AS lag_seq, lag(a.hash) OVER w AS lag_hash,
             nightdesk.audit_digest(a.prev_hash, a.seq, a.at, a.db_role, a.record) AS calc
      FROM nightdesk.audit a WINDOW w AS (ORDER BY a.seq)) x
WHERE seq <> coalesce(lag_seq, 0) + 1 OR hash <> calc
   OR prev_hash <> coalesce(lag_hash, sha256(convert_to('nightdesk audit v1', 'UTF8')))
UNION ALL
SELECT h.seq, 'head does not match the last row' FROM nightdesk.audit_head h
WHERE h.seq <> (SELECT coalesce(max(seq), 0) FROM nightdesk.audit)
   OR (h.seq > 0 AND h.hash IS DISTINCT FROM (SELECT hash FROM nightdesk.audit WHERE seq = h.seq))
ORDER BY 1 LIMIT 20";
