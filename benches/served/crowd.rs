//! A thousand sessions of a dozen services, as benches need them. It measures nothing.

use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::schema::roles::{self, Roles};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;

pub const SESSIONS: usize = 1_000;

/// Ten rows that blocked sessions queue for.
const TABLE: &str = "CREATE TABLE stock (id int PRIMARY KEY); GRANT ALL ON stock TO app; INSERT INTO stock SELECT generate_series(1, 10)";

/// A server with room for them that counts its statements, its roles' passwords, and a superuser's connection.
pub async fn server() -> (Cluster, Roles, PgConnection) {
    let settings = vec![("shared_preload_libraries".to_string(), "pg_stat_statements".to_string())];
    let options = ClusterOptions { max_connections: 1_100, settings, ..ClusterOptions::default() };
    let executable = Path::new(env!("CARGO_BIN_EXE_nightdesk"));
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, executable)).await.expect("a task").expect("a cluster");
    let passwords = roles::create(&cluster).await.expect("roles");
    let mut admin = roles::superuser(&cluster, "postgres").connect().await.expect("a superuser");
    sqlx::raw_sql("CREATE EXTENSION pg_stat_statements").execute(&mut admin).await.expect("made");
    sqlx::raw_sql(TABLE).execute(&mut admin).await.expect("made");
    (cluster, passwords, admin)
}

/// The sessions; each ends when its task is dropped.
pub struct Crowd(Vec<JoinHandle<()>>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for session in &self.0 {
            session.abort();
        }
    }
}

/// Three in five idle, three in twenty at work, as many idle in a transaction, one in ten waiting for a row. Where they are `restless`, those at
/// work go from one statement to the next; else nothing changes.
pub async fn gather(cluster: &Cluster, restless: bool) -> Crowd {
    let mut held = Vec::new();
    for n in 0..SESSIONS {
        let options = PgConnectOptions::new_without_pgpass().socket(cluster.directory()).port(cluster.port()).username(roles::APP);
        let options = options.database("postgres").application_name(&format!("service-{}", n % 12));
        let mut connection = options.connect().await.expect("a slot");
        let row = 1 + n / 20 % 10;
        let naps = ["0.2", "1", "3", "8", "30"];
        held.push(tokio::spawn(async move {
            let sql = match n % 20 {
                0..12 => "SELECT 1".to_string(),
                12..15 if restless => {
                    for nap in naps.iter().cycle().skip(n % naps.len()) {
                        let sql = format!("SELECT pg_sleep({nap}), {n} AS request");
                        if sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.is_err() {
                            return;
                        }
                    }
                    return;
                }
                12..15 => "SELECT pg_sleep(6000)".into(),
                // The first of each row holds it.
                15 => format!("BEGIN; SELECT id FROM stock WHERE id = {row} FOR UPDATE SKIP LOCKED"),
                16..18 => "BEGIN; SELECT 1".into(),
                _ => format!("BEGIN; UPDATE stock SET id = id WHERE id = {row}"),
            };
            let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
            std::future::pending::<()>().await;
        }));
    }
    // Until each has said what it has to say.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Crowd(held)
}
