//! `PgBouncer`'s admin console: its pools, over a held connection of their own. It answers when the server behind it is full.

use super::connect::address;
use super::fault;
use crate::config::Config;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::sessions::{CONSOLE, Label, PoolerPool};
use crate::domain::text::clean;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection, Row, ValueRef};
use std::time::Duration;
use tokio::sync::Mutex;

pub struct Pooler {
    options: PgConnectOptions,
    held: Mutex<Option<PgConnection>>,
}

/// For connecting and asking together.
const LIMIT: Duration = Duration::from_secs(3);

impl Pooler {
    /// The configured one; nothing is connected yet.
    ///
    /// # Errors
    /// A sentence where its address is none.
    pub fn of(config: &Config) -> Result<Option<Self>, Fault> {
        let Some(url) = &config.pooler_url else { return Ok(None) };
        // Settings in the startup packet that it would have to carry to a server are refused.
        let options = address("pooler_url", url.expose())?.extra_float_digits(None).statement_cache_capacity(0);
        let options = options.application_name(&format!("{CONSOLE}pooler")).disable_statement_logging();
        Ok(Some(Self { options, held: Mutex::new(None) }))
    }

    /// Its pools, those of its own console left out.
    ///
    /// # Errors
    /// Why it does not tell.
    pub async fn pools(&self) -> Result<Vec<PoolerPool>, Fault> {
        let mut held = self.held.lock().await;
        // One that fails is not used again.
        let kept = held.take();
        let (connection, pools) = tokio::time::timeout(LIMIT, self.ask(kept)).await.map_err(|_| late())??;
        *held = Some(connection);
        Ok(pools)
    }

    pub async fn close(&self) {
        if let Some(connection) = self.held.lock().await.take() {
            // It is told goodbye where it listens; where it does not, the socket closes all the same.
            let _ = tokio::time::timeout(Duration::from_millis(300), connection.close()).await;
        }
    }

    async fn ask(&self, kept: Option<PgConnection>) -> Result<(PgConnection, Vec<PoolerPool>), Fault> {
        if let Some(mut connection) = kept {
            // One that was closed meanwhile is opened again.
            if let Ok(pools) = show(&mut connection).await {
                return Ok((connection, pools));
            }
        }
        let mut connection = self.options.connect().await.map_err(|e| named(&fault::connecting(&e, &self.options)))?;
        let pools = show(&mut connection).await.map_err(|e| named(&fault::statement(&e)))?;
        Ok((connection, pools))
    }
}

pub fn not_set_up() -> Fault {
    fault::new(
        FaultKind::NotSetUp,
        "no pooler is configured: set pooler_url to PgBouncer's admin console, postgres://stats@host:6432/pgbouncer",
    )
}

/// Its console knows the simple protocol only, and every value is text.
async fn show(connection: &mut PgConnection) -> Result<Vec<PoolerPool>, sqlx::Error> {
    let rows = sqlx::raw_sql("SHOW POOLS").fetch_all(connection).await?;
    Ok(rows.iter().map(pool).filter(|p| &*p.database != "pgbouncer").collect())
}

/// By the columns' names: which there are, and where, changes with the version.
fn pool(row: &PgRow) -> PoolerPool {
    let text = |name: &str| row.try_get_raw(name).ok().filter(|v| !v.is_null()).and_then(|v| v.as_str().ok()).unwrap_or_default();
    let label = |name: &str| Label::from(clean(text(name)).as_str());
    let count = |name: &str| text(name).parse::<u32>().unwrap_or(0);
    PoolerPool {
        database: label("database"),
        user: label("user"),
        cl_active: count("cl_active"),
        cl_waiting: count("cl_waiting"),
        sv_active: count("sv_active"),
        sv_idle: count("sv_idle"),
        maxwait_ms: u64::from(count("maxwait")) * 1000 + u64::from(count("maxwait_us")) / 1000,
        mode: label("pool_mode"),
    }
}

fn late() -> Fault {
    fault::new(FaultKind::Timeout, "PgBouncer's admin console did not answer in time")
}

/// The faults' words are the database's: here it is the address of the admin console that is wrong.
fn named(fault: &Fault) -> Fault {
    fault::new(fault.kind.clone(), format!("PgBouncer's admin console (pooler_url): {}", fault.say.replace("database_url", "pooler_url")))
}
