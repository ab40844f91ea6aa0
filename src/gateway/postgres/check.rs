//! What `nightdesk check` looks at in the database: version, way in, privileges, trust. Finds, and leaves the judgement to the caller.

use super::connect::Session;
use super::fault::Trouble;
use super::found::{self, ColumnFound, Found, TableFound};
use super::mirror::{self, MirrorReport};
use super::shape;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::shape::Shape;
use crate::domain::text::clean;
use sqlx::Row;

/// The database as our role sees it.
#[derive(Debug, Clone)]
pub struct DatabaseReport {
    /// `15.18`.
    pub version: String,
    pub version_num: i32,
    pub database: String,
    pub role: String,
    pub superuser: bool,
    /// A pooler stands between us and the server.
    pub pooler: bool,
    pub replica: bool,
    /// Contract tables on which row-level security hides rows from our role.
    pub row_security: Vec<String>,
    /// What the contracts need and our role lacks.
    pub missing: Vec<Privilege>,
    /// All that the contracts need, whether our role has it or not.
    pub needed: Vec<Privilege>,
    /// Other roles' sessions are visible in full (`pg_read_all_stats`).
    pub sees_sessions: bool,
    /// Sessions may be cancelled and ended (`pg_signal_backend`).
    pub signals_sessions: bool,
    /// The shape, or why the map does not fit.
    pub shape: Result<Shape, Fault>,
    /// The mirror of Stripe, where there is one.
    pub mirror: Option<MirrorReport>,
}

/// A privilege on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// `SELECT` or `UPDATE`.
    pub privilege: &'static str,
    /// As the map calls it.
    pub table: String,
    pub column: String,
}

const ROLE: &str = "
SELECT current_setting('server_version') AS version, current_database()::text AS database, current_user::text AS role,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser, pg_is_in_recovery() AS replica,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees, pg_has_role('pg_signal_backend', 'USAGE') AS signals";

pub async fn report(session: &mut Session, config: &Config) -> Result<DatabaseReport, Trouble> {
    let row = session.sql(ROLE.into()).fetch_one(&mut session.conn).await?;
    let version: String = row.try_get("version")?;
    let mut report = DatabaseReport {
        version: clean(version.split(' ').next().unwrap_or_default()),
        version_num: session.version,
        database: clean(&row.try_get::<String, _>("database")?),
        role: clean(&row.try_get::<String, _>("role")?),
        superuser: row.try_get::<Option<bool>, _>("superuser")?.unwrap_or(false),
        pooler: session.pooled,
        replica: row.try_get("replica")?,
        row_security: Vec::new(),
        missing: Vec::new(),
        needed: Vec::new(),
        sees_sessions: row.try_get("sees")?,
        signals_sessions: row.try_get("signals")?,
        shape: Err(super::fault::timeout()),
        mirror: mirror::report(session).await?,
    };
    // Privileges come from the catalogue alone: they are told even where no row can be read.
    match found::read(session, &config.schema).await {
        Ok(found) => {
            report.row_security = tables(&found).into_iter().filter(|t| t.row_security).map(|t| t.name.clone()).collect();
            let all = needed(&found);
            report.missing = all.iter().filter(|(_, held)| !held).map(|(p, _)| p.clone()).collect();
            report.needed = all.into_iter().map(|(p, _)| p).collect();
        }
        Err(Trouble::Fault(fault)) => {
            report.shape = Err(fault);
            return Ok(report);
        }
        Err(other) => return Err(other),
    }
    report.shape = match shape::read(session, &config.schema).await {
        Ok(shape) => Ok(shape),
        Err(trouble) if trouble.ends_connection() => return Err(trouble),
        Err(trouble) => Err(trouble.into_fault()),
    };
    Ok(report)
}

fn tables(found: &Found) -> Vec<&TableFound> {
    let optional = [found.counter.as_ref().map(|c| &c.table), found.limit.as_ref().map(|l| &l.table)];
    [&found.subject.table, &found.subscription.table].into_iter().chain(optional.into_iter().flatten()).collect()
}

/// Every privilege that the contracts need, each once, and whether our role has it.
fn needed(found: &Found) -> Vec<(Privilege, bool)> {
    let mut read: Vec<(&TableFound, &ColumnFound)> = Vec::new();
    let s = &found.subject;
    read.extend([Some(&s.key), s.email.as_ref(), s.name.as_ref(), s.created_at.as_ref()].into_iter().flatten().map(|c| (&s.table, c)));
    let rows = &found.subscription;
    read.push((&rows.table, &rows.subject));
    read.extend(rows.fields.iter().map(|(_, c)| (&rows.table, c)));
    if let Some(c) = &found.counter {
        let columns = [Some(&c.subject), Some(&c.feature), Some(&c.used), c.period_start.as_ref(), c.period_end.as_ref()];
        read.extend(columns.into_iter().flatten().map(|column| (&c.table, column)));
    }
    if let Some(l) = &found.limit {
        read.extend([&l.tier, &l.feature, &l.value].map(|column| (&l.table, column)));
    }
    let privilege = |privilege, table: &TableFound, column: &ColumnFound| Privilege {
        privilege,
        table: table.name.clone(),
        column: column.name.clone(),
    };
    let mut all: Vec<(Privilege, bool)> = read.iter().map(|(t, c)| (privilege("SELECT", t, c), c.readable)).collect();
    all.extend(rows.fields.iter().map(|(_, c)| (privilege("UPDATE", &rows.table, c), c.updatable)));
    if let Some(c) = &found.counter {
        // A reset sets what is used to nothing; taking one back that the application did gives the period back too.
        let written = [Some(&c.used), c.period_start.as_ref(), c.period_end.as_ref()];
        all.extend(written.into_iter().flatten().map(|column| (privilege("UPDATE", &c.table, column), column.updatable)));
    }
    // Several values may stand in one document.
    let mut seen = Vec::new();
    all.retain(|(p, _)| {
        !seen.contains(p) && {
            seen.push(p.clone());
            true
        }
    });
    all
}
