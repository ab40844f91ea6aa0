//! What was written during a drill, as the database itself records it: by triggers of the superuser's, independent of any console.
//! It judges nothing; [`judge`] does.

pub mod judge;
mod net;
mod sessions;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{FromRow, PgPool};

pub use net::{Net, net};
pub use sessions::{Killed, Sessions};

/// A recorded write of one row (of a whole table for `TRUNCATE`), by a session of neither the application nor the sandbox.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Write {
    pub at: DateTime<Utc>,
    /// The role that logged in, whatever it became later.
    pub role: String,
    /// The session's `application_name`.
    pub application: String,
    pub relation: String,
    /// `INSERT`, `UPDATE`, `DELETE` or `TRUNCATE`.
    pub operation: String,
    /// The columns by which rows of this table are told apart; none where it has no key.
    pub keys: Vec<String>,
    /// What was written in one transaction has one of these.
    pub transaction: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// The record of one database.
#[derive(Debug)]
pub struct Watch {
    pool: PgPool,
    /// The number of the last write that is nobody's business.
    since: i64,
}

impl Watch {
    /// Makes the record in a filled database. `superuser` must own nothing of the application's: its sessions are not recorded
    /// where they come over the socket under the sandbox's own name.
    ///
    /// # Errors
    /// The database's.
    pub async fn install(superuser: PgConnectOptions) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(superuser);
        sqlx::raw_sql(include_str!("../../../assets/sandbox/watch.sql")).execute(&pool).await?;
        Ok(Self { pool, since: 0 })
    }

    /// From here on writes count.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let (last,): (i64,) = sqlx::query_as("SELECT coalesce(max(number), 0) FROM drill.writes").fetch_one(&self.pool).await?;
        self.since = last;
        Ok(())
    }

    /// What was written since [`Self::begin`] and committed, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn writes(&self) -> Result<Vec<Write>, sqlx::Error> {
        sqlx::query_as("SELECT at, role, application, relation, operation, keys, transaction, before, after FROM drill.writes WHERE number > $1 ORDER BY number")
            .bind(self.since)
            .fetch_all(&self.pool)
            .await
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}
