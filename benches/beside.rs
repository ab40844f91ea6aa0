//! What watching a thousand sessions costs in a terminal of 200x50: the console, and whatever programs are named beside it, one after the
//! other over the same sessions with the same meter. `cargo bench --bench beside -- pg_top pg_activity` (names or paths of what is installed).

#![allow(dead_code, reason = "the terminal is shared with the integration tests, which use more of it")]

#[path = "served/crowd.rs"]
mod crowd;
mod served;
#[path = "../tests/it/terminal.rs"]
mod terminal;

use nightdesk::sandbox::cluster::Cluster;
use nightdesk::sandbox::schema::roles;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::path::Path;
use std::time::{Duration, Instant};
use terminal::Terminal;

/// After its start a program is left alone so long before it is measured.
const WARM: Duration = Duration::from_secs(8);
/// So long it is measured.
const WINDOW: Duration = Duration::from_secs(60);
/// So often every program looks.
const REFRESH: Duration = Duration::from_secs(2);
/// So often a start is timed; the median is told.
const STARTS: usize = 5;

/// A program that watches sessions.
struct Watcher {
    name: String,
    argv: Vec<String>,
    variables: Vec<(String, String)>,
    /// Keys that lead to the sessions, given at the start.
    keys: &'static str,
    /// The role that it comes in as: the server's time is counted by it.
    role: String,
}

#[tokio::main]
async fn main() {
    let (cluster, passwords, mut admin) = crowd::server().await;
    let state = tempfile::tempdir().expect("a directory");

    let mut watchers = vec![Watcher {
        name: "nightdesk".into(),
        argv: vec![env!("CARGO_BIN_EXE_nightdesk").into()],
        variables: vec![
            ("DATABASE_URL".into(), cluster.url(roles::CONSOLE, &passwords.console, "postgres")),
            ("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()),
        ],
        keys: "5",
        role: roles::CONSOLE.into(),
    }];
    for (n, program) in std::env::args().skip(1).filter(|a| !a.starts_with('-')).enumerate() {
        let role = format!("watcher_{n}");
        run(&mut admin, &format!("CREATE ROLE {role} LOGIN PASSWORD '{}'; GRANT pg_monitor TO {role}", passwords.console)).await;
        watchers.push(other(&program, role, &cluster, &passwords.console));
    }

    let empty = tokio::task::block_in_place(|| memory_of(&watchers[0]));
    let still = crowd::gather(&cluster, false).await;
    tokio::task::block_in_place(|| unchanging(&watchers[0]));
    drop(still);
    // A server does not notice while a statement runs that nobody waits for it any more.
    run(&mut admin, &format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{}'", roles::APP)).await;
    let _restless = crowd::gather(&cluster, true).await;
    println!("                    first content   bytes/s   processor s/min   memory MiB   server ms/refresh");
    for watcher in &watchers {
        let starts = tokio::task::block_in_place(|| starts(watcher));
        let (mut terminal, _) = tokio::task::block_in_place(|| shown(watcher));
        tokio::time::sleep(WARM).await;
        let steady = measured(&mut terminal, &mut admin, watcher, None).await;
        let scrolled = measured(&mut terminal, &mut admin, watcher, Some("j")).await;
        println!(
            "{:<18} {:>10.0} ms {:>9.0} {:>17.2} {:>12.1} {:>19.2}",
            watcher.name, starts, steady.bytes, steady.processor, steady.memory, steady.server
        );
        println!(
            "  two keys a second              {:>9.0} {:>17.2}   asked {:.0} times, {:.0} are due",
            scrolled.bytes,
            scrolled.processor,
            scrolled.calls,
            WINDOW.as_secs_f64() / REFRESH.as_secs_f64()
        );
        if watcher.name == "nightdesk" {
            println!("  above an empty console {:>30.1} MiB more", steady.memory - empty);
        }
    }
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stopped");
}

/// How the programs that are known are told where to look and how often.
fn other(program: &str, role: String, cluster: &Cluster, password: &str) -> Watcher {
    let name = Path::new(program).file_name().expect("a program's name").to_string_lossy().into_owned();
    let port = cluster.port().to_string();
    let reach = ["-h", "127.0.0.1", "-p", &port, "-U", &role, "-d", "postgres"];
    let pace = match name.as_str() {
        "pg_top" => ["-s", "2"],
        "pg_activity" => ["--refresh", "2"],
        other => panic!("{other}: only how pg_top and pg_activity are called is known"),
    };
    let argv = [program].iter().chain(&reach).chain(&pace).map(ToString::to_string).collect();
    Watcher { name, argv, variables: vec![("PGPASSWORD".into(), password.into())], keys: "", role }
}

/// Starts it and waits until sessions are on the screen; how long that took.
fn shown(watcher: &Watcher) -> (Terminal, Duration) {
    let argv: Vec<&str> = watcher.argv.iter().map(String::as_str).collect();
    let began = Instant::now();
    let mut terminal = Terminal::run(200, 50, &argv, &watcher.variables);
    terminal.send(watcher.keys);
    terminal.wait_until("sessions", |screen| screen.matches("idle").count() + screen.matches("app ").count() > 10);
    (terminal, began.elapsed())
}

/// The median of several starts to the first content, in milliseconds.
fn starts(watcher: &Watcher) -> f64 {
    let mut took: Vec<Duration> = (0..STARTS).map(|_| shown(watcher).1).collect();
    took.sort_unstable();
    took[STARTS / 2].as_secs_f64() * 1_000.0
}

/// What the console holds, in MiB, where there is hardly a session to show.
fn memory_of(watcher: &Watcher) -> f64 {
    let argv: Vec<&str> = watcher.argv.iter().map(String::as_str).collect();
    let mut terminal = Terminal::run(200, 50, &argv, &watcher.variables);
    terminal.send(watcher.keys);
    terminal.wait_for("connections are taken");
    std::thread::sleep(WARM);
    served::memory(pid(&terminal)).0
}

/// What is written while nothing changes on the server.
fn unchanging(watcher: &Watcher) {
    let (terminal, _) = shown(watcher);
    // Every age is past its first minute then, and steps once a minute.
    std::thread::sleep(Duration::from_secs(70));
    let (mut written, mut bursts, began) = (terminal.bytes(), 0, Instant::now());
    let from = written;
    while began.elapsed() < WINDOW {
        let now = terminal.settled(Duration::from_millis(100));
        bursts += u32::from(now != written);
        written = now;
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("unchanging server: {} bytes in {} s, in {bursts} bursts", written - from, WINDOW.as_secs());
}

struct Measured {
    bytes: f64,
    processor: f64,
    memory: f64,
    server: f64,
    calls: f64,
}

async fn measured(terminal: &mut Terminal, admin: &mut PgConnection, watcher: &Watcher, key: Option<&str>) -> Measured {
    run(admin, "SELECT pg_stat_statements_reset()").await;
    let pid = pid(terminal);
    let (bytes, used, began) = (terminal.bytes(), served::processor(pid), Instant::now());
    while began.elapsed() < WINDOW {
        if let Some(key) = key {
            terminal.send(key);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let sql = "SELECT coalesce(sum(s.total_exec_time), 0), coalesce(max(s.calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
                WHERE r.rolname = $1";
    let row = sqlx::query(sql).bind(&watcher.role).fetch_one(admin).await.expect("it was measured");
    let (total, calls): (f64, i64) = (row.get(0), row.get(1));
    Measured {
        bytes: (terminal.bytes() - bytes) as f64 / seconds,
        processor: (served::processor(pid).saturating_sub(used)).as_secs_f64() * 60.0 / seconds,
        memory: served::memory(pid).0,
        server: total / (seconds / REFRESH.as_secs_f64()),
        calls: calls as f64,
    }
}

fn pid(terminal: &Terminal) -> u32 {
    u32::try_from(terminal.pid()).expect("a pid")
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.expect("done");
}
