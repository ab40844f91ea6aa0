//! The roles of the sandbox's cluster, their passwords, and new databases for them; the grants stand with the tables.

use rand::distr::{Alphanumeric, SampleString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::sandbox::cluster::{Cluster, SUPERUSER};

/// The sample application's role, the owner of its tables.
pub const APP: &str = "app";
/// The console's role.
pub const CONSOLE: &str = "nightdesk";

/// What is run first in a new database, by the superuser.
pub(super) const PREPARE_DATABASE: &str =
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE, USAGE ON SCHEMA public TO app; SET ROLE app";

/// The passwords of one cluster, random per start.
#[derive(Clone)]
pub struct Roles {
    pub superuser: String,
    pub app: String,
    pub console: String,
}

/// The one database of a fresh cluster that nothing is ever copied from.
const HALL: &str = "template1";

/// Makes the roles in a fresh cluster.
///
/// # Errors
/// The database's.
pub async fn create(cluster: &Cluster) -> Result<Roles, sqlx::Error> {
    let password = || Alphanumeric.sample_string(&mut rand::rng(), 24);
    let roles = Roles { superuser: password(), app: password(), console: password() };
    let mut connection = superuser(cluster, HALL).connect().await?;
    // The passwords are letters and digits of our own making: nothing to escape.
    let sql = format!(
        "ALTER ROLE {SUPERUSER} PASSWORD '{}';
         CREATE ROLE {APP} LOGIN PASSWORD '{}';
         CREATE ROLE {CONSOLE} LOGIN PASSWORD '{}';
         GRANT pg_monitor, pg_signal_backend TO {CONSOLE}",
        roles.superuser, roles.app, roles.console
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(roles)
}

/// Makes a database, empty or as a copy of `template`, in which the console's role can create nothing.
///
/// # Errors
/// The database's; a template that somebody is connected to cannot be copied.
pub async fn create_database(cluster: &Cluster, name: &str, template: Option<&str>) -> Result<(), sqlx::Error> {
    let mut connection = superuser(cluster, HALL).connect().await?;
    let template = template.unwrap_or("template0");
    let create = format!("CREATE DATABASE {name} OWNER {APP} TEMPLATE {template}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
    let close = format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC");
    sqlx::raw_sql(AssertSqlSafe(close)).execute(&mut connection).await?;
    connection.close().await
}

/// Gives the database that every fresh cluster has anyway a new name and owner: quicker than making one.
///
/// # Errors
/// The database's.
pub async fn adopt_database(cluster: &Cluster, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = superuser(cluster, HALL).connect().await?;
    let sql = format!(
        "ALTER DATABASE postgres RENAME TO {name}; ALTER DATABASE {name} OWNER TO {APP}; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// How to connect as the superuser: over the socket, where no password is asked for.
#[must_use]
pub fn superuser(cluster: &Cluster, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(cluster.directory())
        .port(cluster.port())
        .username(SUPERUSER)
        .database(database)
        .application_name("sandbox")
}
