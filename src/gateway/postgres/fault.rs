//! What Postgres's errors mean to an operator: class and one sentence. Row values never get into it.

use crate::domain::fault::{Fault, FaultKind, Source};
use sqlx::Error;
use sqlx::postgres::PgConnectOptions;

/// Why a job on a connection failed.
#[derive(Debug)]
pub enum Trouble {
    Sql(Error),
    /// Found out by ourselves, with its sentence.
    Fault(Fault),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Sql(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl Trouble {
    pub fn into_fault(self) -> Fault {
        match self {
            Trouble::Sql(error) => statement(&error),
            Trouble::Fault(fault) => fault,
        }
    }

    /// Whether the server found something other than the map was checked against: an object that is gone, or of another type.
    pub fn outdates_the_map(&self) -> bool {
        matches!(self, Trouble::Sql(Error::Database(e)) if e.code().is_some_and(|c| c.starts_with("42")))
    }

    /// Whether the connection is of no more use.
    pub fn ends_connection(&self) -> bool {
        match self {
            Trouble::Sql(Error::Database(e)) => {
                // Cached plans that no longer fit (0A000) live as long as their connection.
                e.code().is_some_and(|c| c.starts_with("57P") || c.starts_with("08") || c == "0A000" || c == "25P03")
            }
            Trouble::Sql(Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed) => true,
            _ => false,
        }
    }
}

pub fn new(kind: FaultKind, say: impl Into<String>) -> Fault {
    Fault::new(Source::Database, kind, say)
}

pub fn timeout() -> Fault {
    new(FaultKind::Timeout, "Postgres did not answer in time")
}

/// What the server says, without the values that some messages carry behind a colon or in quotes.
fn words(message: &str) -> &str {
    message.split([':', '"']).next().unwrap_or_default().trim()
}

/// A statement's failure.
pub fn statement(error: &Error) -> Fault {
    let Error::Database(e) = error else { return transport(error) };
    let code = e.code().unwrap_or_default().into_owned();
    let message = e.message();
    match code.as_str() {
        "42501" => {
            let what = message.strip_prefix("permission denied for ").unwrap_or("an object");
            let say = format!("our role may not use {what}: grant it, `nightdesk check --grants` prints the statement");
            new(FaultKind::Permission { missing: Some(what.to_string()) }, say)
        }
        "42P01" | "42703" | "42883" | "42804" => {
            new(FaultKind::Schema, format!("the schema is not what the map says: {message}; see [schema] in the configuration"))
        }
        "57014" => new(FaultKind::Timeout, "Postgres cancelled the statement at its time limit"),
        "55P03" => new(FaultKind::Timeout, "locked by another session: look at the sessions, or try again"),
        "53300" => new(FaultKind::Full, "Postgres has no free connection slot for us"),
        "25006" => new(FaultKind::Refused, "this connection is read-only: database_url points at a replica, or the server forbids writes"),
        c if c.starts_with("57P") || c.starts_with("08") => {
            new(FaultKind::Unreachable, format!("Postgres ended the connection ({})", words(message)))
        }
        c if c.starts_with("23") => {
            let by = e.constraint().map(|c| format!(" by the constraint {c}")).unwrap_or_default();
            new(FaultKind::Refused, format!("the database refused the values{by}"))
        }
        c => new(FaultKind::Refused, format!("Postgres answered {c}: {}", words(message))),
    }
}

fn transport(error: &Error) -> Fault {
    match error {
        Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => timeout(),
        Error::Io(e) => new(FaultKind::Unreachable, format!("the connection to Postgres is gone ({})", e.kind())),
        Error::Tls(e) => new(FaultKind::Tls, format!("TLS with Postgres failed: {e}")),
        Error::ColumnDecode { index, .. } => {
            new(FaultKind::Schema, format!("column {index} of the answer has not the type its contract asks for"))
        }
        Error::Configuration(e) => new(FaultKind::NotSetUp, format!("database_url: {e}")),
        _ => new(FaultKind::Unreachable, "the connection to Postgres broke in the middle of an answer"),
    }
}

/// A connection's failure to come up.
pub fn connecting(error: &Error, options: &PgConnectOptions) -> Fault {
    let place = match options.get_socket() {
        Some(path) => path.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    match error {
        Error::Database(e) => {
            let code = e.code().unwrap_or_default().into_owned();
            let user = options.get_username();
            match code.as_str() {
                "28P01" => new(FaultKind::Auth, format!("Postgres at {place} refuses the password of {user}: check database_url")),
                c if c.starts_with("28") => {
                    let why = words(e.message());
                    new(FaultKind::Auth, format!("Postgres at {place} does not let {user} in ({why}): check database_url and pg_hba.conf"))
                }
                "3D000" => {
                    let name = options.get_database().unwrap_or(user);
                    new(FaultKind::Schema, format!("there is no database {name} at {place}: check database_url"))
                }
                "53300" => {
                    let hint = "rescue_url would be a way in for us";
                    new(FaultKind::Full, format!("server full, trying again: Postgres at {place} has no free slot for {user}; {hint}"))
                }
                "57P03" => new(FaultKind::Unreachable, format!("Postgres at {place} is starting up or shutting down")),
                _ => statement(error),
            }
        }
        Error::Io(e) => new(FaultKind::Unreachable, format!("nobody answers for Postgres at {place} ({})", e.kind())),
        Error::Tls(e) => {
            let hint = "a remote server is asked for a verified certificate unless database_url names another sslmode";
            new(FaultKind::Tls, format!("TLS with Postgres at {place} failed ({e}): {hint}"))
        }
        other => transport(other),
    }
}
