//! How one connection is made: its settings, what kind of server or pooler answers, and its orderly end. Runs no query of its own subject.

use super::activity::Ground;
use super::fault::{self, Trouble};
use super::found::Found;
use super::quota::WatchFound;
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::sessions::CONSOLE;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Postgres, Row};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The poll, and cancelling our own reads.
    Activity,
    Reads,
    Writes,
}

/// Whom to connect to.
#[derive(Debug, Clone)]
pub struct Access {
    pub options: PgConnectOptions,
    /// Where to go while the server is full for everybody else.
    pub rescue: Option<PgConnectOptions>,
    /// `nightdesk:<operator>`.
    pub name: String,
}

/// An open connection and what was found out about it.
pub struct Session {
    pub conn: PgConnection,
    pub pid: i32,
    /// `server_version_num`.
    pub version: i32,
    /// Something between us and the server hands out other people's backends: every statement in a transaction, unprepared.
    pub pooled: bool,
    /// Left in the middle of something: not to be used again.
    pub broken: bool,
    /// The map checked against the catalogue, once per connection: a failover or another role finds its own.
    pub found: Option<Arc<Found>>,
    /// What its server tells of sessions, and the names behind their numbers.
    pub ground: Option<Arc<Ground>>,
    /// What the owner keeps for questions about limits, once it was found.
    pub watch: Option<Arc<WatchFound>>,
    /// The newest stamp of the mirror of Stripe, and when it was asked for.
    pub newest_copy: Option<(At, Instant)>,
}

/// How long opening may take, TLS and authentication included.
const OPENING: Duration = Duration::from_secs(3);

/// Time limits in milliseconds; the server enforces them where ours cannot.
pub const READ_LIMIT: u64 = 3_000;
pub const WRITE_LIMIT: u64 = 5_000;
const LOCK_LIMIT: u64 = 500;
/// How long the server lets a transaction of ours stand idle. A write that has lost us is rolled back soon: whoever reads the row
/// back afterwards must not see it change once more.
const IDLE_READ_LIMIT: u64 = 10_000;
const IDLE_WRITE_LIMIT: u64 = 2_000;

const WHO: &str = "SELECT pg_backend_pid() AS pid, current_setting('server_version_num')::int4 AS version,
    current_setting('nightdesk.nonce', true) AS nonce";

/// Since 14 the server notices a client that went away in the middle of a statement. Not every platform can.
const NOTICE_DEAD_CLIENTS: &str = "SET client_connection_check_interval = 5000";

impl Access {
    /// # Errors
    /// A sentence where an address is not one.
    pub fn of(config: &Config) -> Result<Self, Fault> {
        let Some(url) = &config.database_url else {
            return Err(fault::new(crate::domain::fault::FaultKind::NotSetUp, "no database_url is configured"));
        };
        Ok(Self {
            options: address("database_url", url.expose())?,
            rescue: config.rescue_url.as_ref().map(|u| address("rescue_url", u.expose())).transpose()?,
            name: name(&config.operator),
        })
    }

    /// The database's name as the address gives it, before anybody has connected.
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or(self.options.get_username())
    }

    /// Opens a connection for that use, through the rescue address where the server is full.
    ///
    /// # Errors
    /// What the server or the way to it says.
    pub async fn open(&self, purpose: Use) -> Result<Session, Fault> {
        match self.open_at(&self.options, purpose).await {
            Err(full) if full.kind == crate::domain::fault::FaultKind::Full => match &self.rescue {
                Some(rescue) => self.open_at(rescue, purpose).await,
                None => Err(full),
            },
            other => other,
        }
    }

    async fn open_at(&self, options: &PgConnectOptions, purpose: Use) -> Result<Session, Fault> {
        match tokio::time::timeout(OPENING, self.connect(options, purpose)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(fault::connecting(&error, options)),
            Err(_) => Err(fault::timeout()),
        }
    }

    async fn connect(&self, options: &PgConnectOptions, purpose: Use) -> Result<Session, sqlx::Error> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let options = options.clone().application_name(&self.name).disable_statement_logging();
        let opened = options.clone().options(settings(purpose, &nonce)).connect().await;
        let mut conn = match opened {
            // A pooler refuses settings that it would have to carry from client to client.
            Err(sqlx::Error::Database(e)) if e.message().contains("unsupported startup parameter") => {
                options.clone().extra_float_digits(None).statement_cache_capacity(0).connect().await?
            }
            other => other?,
        };
        // The simple protocol: the one way to ask that is safe whoever answers.
        let row: PgRow = sqlx::raw_sql(WHO).fetch_one(&mut conn).await?;
        let pooled = row.try_get::<Option<String>, _>("nonce")?.is_none_or(|n| n != nonce);
        let (pid, version) = (row.try_get("pid")?, row.try_get("version")?);
        if !pooled && version >= 140_000 {
            // Refused on systems that cannot poll a socket: then a dead client is noticed at the end of its statement, as ever.
            let _ = sqlx::raw_sql(NOTICE_DEAD_CLIENTS).execute(&mut conn).await;
        }
        Ok(Session { conn, pid, version, pooled, broken: false, found: None, ground: None, watch: None, newest_copy: None })
    }
}

impl Session {
    /// A statement of our own text, in the manner that this connection allows.
    pub fn sql<'q>(&self, text: String) -> Query<'q, Postgres, PgArguments> {
        // Only identifiers from the checked map and constants of this module get into statements; values are bound.
        sqlx::query(AssertSqlSafe(text)).persistent(!self.pooled)
    }

    /// Whether the server answers on it within `limit`. Sends no statement.
    pub async fn is_alive(&mut self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.conn.ping()).await, Ok(Ok(())))
    }

    /// Begins a transaction with these settings, over the simple protocol.
    pub async fn begin(&mut self, read_only: bool, settings: &str) -> Result<(), sqlx::Error> {
        let mode = if read_only { "READ ONLY" } else { "READ WRITE" };
        let (limit, idle) = if read_only { (READ_LIMIT, IDLE_READ_LIMIT) } else { (WRITE_LIMIT, IDLE_WRITE_LIMIT) };
        let local = format!(
            "BEGIN {mode}; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {LOCK_LIMIT};
             SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL timezone = 'UTC'; {settings}"
        );
        sqlx::raw_sql(AssertSqlSafe(local)).execute(&mut self.conn).await.map(drop)
    }

    pub async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut self.conn).await.map(drop)
    }

    pub async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.conn).await.map(drop)
    }

    /// Ends a read's transaction: committed where it went well, else rolled back, and the first failure counts.
    pub async fn finish<T>(&mut self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        match result {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(trouble) => {
                if !trouble.ends_connection() {
                    self.rollback().await?;
                }
                Err(trouble)
            }
        }
    }

    pub async fn close(self) {
        // The server is told goodbye where it listens; where it does not, the socket closes all the same.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.conn.close()).await;
    }
}

/// What the startup packet asks for. Keepalives of both ends are the server's business here: the driver sets none.
fn settings(purpose: Use, nonce: &str) -> Vec<(&'static str, String)> {
    let (limit, idle) = if purpose == Use::Writes { (WRITE_LIMIT, IDLE_WRITE_LIMIT) } else { (READ_LIMIT, IDLE_READ_LIMIT) };
    let mut settings = vec![
        ("statement_timeout", limit.to_string()),
        ("lock_timeout", LOCK_LIMIT.to_string()),
        ("idle_in_transaction_session_timeout", idle.to_string()),
        ("timezone", "UTC".into()),
        ("tcp_keepalives_idle", "30".into()),
        ("tcp_keepalives_interval", "10".into()),
        ("tcp_keepalives_count", "3".into()),
        ("nightdesk.nonce", nonce.into()),
    ];
    if purpose != Use::Writes {
        settings.push(("default_transaction_read_only", "on".into()));
    }
    settings
}

/// The address that stands under `what` in the configuration; a remote server is asked for a verified certificate unless the address
/// says otherwise.
///
/// # Errors
/// A sentence where it is none.
pub fn address(what: &str, url: &str) -> Result<PgConnectOptions, Fault> {
    let not_one = |why: &dyn std::fmt::Display| {
        let say = format!("{what} is not a Postgres address such as postgres://user@host:5432/database: {why}");
        fault::new(crate::domain::fault::FaultKind::NotSetUp, say)
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(not_one(&"it must begin with postgres://"));
    }
    let options = PgConnectOptions::from_str(url).map_err(|e| not_one(&e))?;
    // In the settings only: a password may hold any word.
    let said = url.split_once('?').is_some_and(|(_, settings)| settings.contains("sslmode=") || settings.contains("ssl-mode="));
    let said = said || std::env::var_os("PGSSLMODE").is_some();
    let host = options.get_host();
    let local = options.get_socket().is_some() || host.starts_with('/') || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
    Ok(if said || local { options } else { options.ssl_mode(PgSslMode::VerifyFull) })
}

/// How a connection of this operator's console calls itself: by this consoles know each other, and end no session of one.
#[must_use]
pub fn name(operator: &str) -> String {
    let operator: String = operator.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    format!("{CONSOLE}{operator}")
}

/// The role that an address names; `None` where it is no address.
#[must_use]
pub fn role(url: &str) -> Option<String> {
    address("the address", url).ok().map(|options| options.get_username().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_server_has_to_prove_who_it_is() {
        let mode = |url: &str| format!("{:?}", address("database_url", url).expect("an address").get_ssl_mode());
        let verified = format!("{:?}", PgSslMode::VerifyFull);
        assert_eq!(mode("postgres://u@db.example/x"), verified);
        assert_eq!(mode("postgres://u:sslmode=off@db.example/x"), verified, "that is a password");
        for url in ["postgres://u@db.example/x?sslmode=require", "postgres://u@localhost/x", "postgres://u@%2Ftmp/x"] {
            assert_ne!(mode(url), verified, "{url}");
        }
    }

    #[test]
    fn a_role_is_read_as_the_driver_reads_it() {
        assert_eq!(role("postgres://night%20desk:p%40ss@localhost/x").as_deref(), Some("night desk"));
        assert_eq!(role("mysql://u@localhost/x"), None);
    }
}
