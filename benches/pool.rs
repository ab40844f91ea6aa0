//! What one refresh of a thousand sessions costs the server and the wire, beside the queries that `pg_activity` asks. `cargo bench --bench pool`.

#[path = "served/crowd.rs"]
mod crowd;

use nightdesk::config::Config;
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::schema::roles;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: u32 = 40;

/// What `pg_activity` 3.6 asks per refresh of its running view on a server since 13: its list, without idle sessions, and the counts of its head.
const THEIR_LIST: &str = "
SELECT a.pid AS pid, a.backend_xmin AS xmin, a.application_name AS application_name, a.datname AS database, a.client_addr AS client,
       EXTRACT(epoch FROM (NOW() - a.query_start)) AS duration, a.wait_event AS wait, a.usename AS user, a.state AS state,
       a.query AS query, pg_catalog.pg_encoding_to_char(b.encoding) AS encoding, coalesce(a.leader_pid, a.pid) AS query_leader_pid,
       (a.backend_type = 'background worker' OR a.backend_type = 'parallel worker') AS is_parallel_worker
  FROM pg_stat_activity a LEFT OUTER JOIN pg_database b ON a.datid = b.oid
 WHERE a.state <> 'idle' AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY EXTRACT(epoch FROM (NOW() - a.query_start)) DESC";
const THEIR_COUNTS: &str = "
SELECT count(*) AS total, sum(CASE WHEN state = 'active' THEN 1 ELSE 0 END) AS active, sum(CASE WHEN state = 'idle' THEN 1 ELSE 0 END) AS idle,
       sum(CASE WHEN state = 'idle in transaction' THEN 1 ELSE 0 END) AS idle_in_transaction,
       sum(CASE WHEN state = 'idle in transaction aborted' THEN 1 ELSE 0 END) AS aborted,
       sum(CASE WHEN wait_event_type = 'Lock' THEN 1 ELSE 0 END) AS waiting, current_setting('max_connections')::int AS most
  FROM pg_stat_activity WHERE backend_type = 'client backend'";

#[tokio::main]
async fn main() {
    let (cluster, passwords, mut admin) = crowd::server().await;
    let crowd = crowd::gather(&cluster, false).await;

    let (port, received) = counted(cluster.port()).await;
    let url = format!("postgres://{}:{}@127.0.0.1:{port}/postgres", roles::CONSOLE, passwords.console);
    let lookup = |name: &str| (name == "DATABASE_URL").then(|| url.clone());
    let config = Config::load(None, None, &lookup).expect("a configuration");
    let database = Database::start(Arc::new(config)).expect("an address").expect("configured");
    let Ok(Reply::Activity(first)) = database.ask(Query::Activity).await else { panic!("the sessions") };
    let blocked = first.sessions.iter().filter(|s| !s.blocked_by.is_empty()).count();
    println!("{} sessions, {blocked} of them blocked", first.sessions.len());

    run(&mut admin, "SELECT pg_stat_statements_reset()").await;
    let mut theirs = cluster
        .url(roles::CONSOLE, &passwords.console, "postgres")
        .parse::<PgConnectOptions>()
        .expect("an address")
        .connect()
        .await
        .expect("theirs");
    let (mut wall, before) = (Vec::new(), received.load(Ordering::Relaxed));
    for _ in 0..ROUNDS {
        // In turn, so that whatever else the machine does meets both.
        let begun = Instant::now();
        database.ask(Query::Activity).await.expect("the sessions");
        wall.push(begun.elapsed());
        for text in [THEIR_LIST, THEIR_COUNTS] {
            sqlx::raw_sql(text).fetch_all(&mut theirs).await.expect("their rows");
        }
    }
    let bytes = (received.load(Ordering::Relaxed) - before) / u64::from(ROUNDS);
    wall.sort();
    let ours = server(&mut admin, "%AS blocked_by%").await;
    let list = server(&mut admin, "%query_leader_pid%").await;
    let counts = server(&mut admin, "%AS aborted%").await;
    println!("server, per refresh       mean      least");
    println!("ours, idle ones too    {:6.2} ms  {:6.2} ms", ours.0, ours.1);
    println!(
        "pg_activity            {:6.2} ms  {:6.2} ms   (its list {:.2}, its counts {:.2})",
        list.0 + counts.0,
        list.1 + counts.1,
        list.0,
        counts.0
    );
    println!("ours / theirs          {:6.2}     {:6.2}", ours.0 / (list.0 + counts.0), ours.1 / (list.1 + counts.1));
    println!("asked to decoded       {:6.2} ms median, {:.0} KiB over the wire", ms(wall[wall.len() / 2]), bytes as f64 / 1024.0);
    database.close().await;
    drop(crowd);
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stopped");
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.expect("done");
}

/// Mean and least execution time of a statement, in milliseconds, by the server's own measure.
async fn server(admin: &mut PgConnection, like: &str) -> (f64, f64) {
    let sql = "SELECT mean_exec_time, min_exec_time FROM pg_stat_statements WHERE query LIKE $1 AND query NOT LIKE '%pg_stat_statements%'";
    let row = sqlx::query(sql).bind(like).fetch_one(admin).await.expect("it was measured");
    (row.get(0), row.get(1))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A port that leads to the server's, and how many bytes have come back through it.
async fn counted(to: u16) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", to)).await.expect("the server");
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(pass(from_client, to_server, Arc::default()));
            tokio::spawn(pass(from_server, to_client, Arc::clone(&counting)));
        }
    });
    (port, count)
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: Arc<AtomicU64>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(n as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
