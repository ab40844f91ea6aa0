//! The line drops: within a second the process and its connections are gone, also where no signal reaches it, and its sandbox after it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::Scene;
use crate::bench::{self, until};
use crate::sandbox::served::alive;
use crate::terminal::Terminal;

/// Started as it is; with SIGHUP ignored; with SIGHUP blocked, where this system's `env` can do that.
fn wrappers() -> Vec<Vec<&'static str>> {
    let mut all = vec![vec![], vec!["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""]];
    let blocks = std::process::Command::new("env").args(["--block-signal=HUP", "true"]).output();
    if blocks.is_ok_and(|o| o.status.success()) {
        all.push(vec!["env", "--block-signal=HUP"]);
    }
    all
}

fn start(wrapper: &[&str], arguments: &[&str], variables: &[(String, String)]) -> Terminal {
    let binary = bench::executable().to_str().unwrap();
    let argv: Vec<&str> = wrapper.iter().copied().chain([binary]).chain(arguments.iter().copied()).collect();
    Terminal::run(100, 30, &argv, variables)
}

async fn connections(admin: &PgPool, operator: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nightdesk:' || $1";
    sqlx::query_scalar(sql).bind(operator).fetch_one(admin).await.unwrap()
}

/// Hangs up; when that was, and how long the process took to end.
fn hang_up(terminal: &mut Terminal) -> (Instant, Duration) {
    let since = terminal.hang_up();
    assert!(terminal.ended_within(Duration::from_secs(5)).is_some(), "it is still there after five seconds");
    (since, since.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_and_its_connections_are_gone_within_a_second() {
    let scene = Scene::start(1).await;
    for (i, wrapper) in wrappers().into_iter().enumerate() {
        let operator = ["ada", "ben", "cleo"][i];
        let seat = scene.seat(operator);
        let mut terminal = start(&wrapper, &[], &seat.told());
        let admin = &scene.bench.admin;
        until("its three connections are open", async || connections(admin, operator).await == 3).await;
        terminal.wait_for("Home");
        let (since, took) = hang_up(&mut terminal);
        until("its connections are gone", async || connections(admin, operator).await == 0).await;
        let all = since.elapsed();
        println!("{wrapper:?}: the process took {took:?}, its connections {all:?}");
        assert!(took < Duration::from_secs(1) && all < Duration::from_millis(1_200), "{wrapper:?}: {took:?}, {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_goes_with_its_console() {
    for wrapper in wrappers() {
        let home = tempfile::Builder::new().prefix("nd").tempdir_in(bench::home()).unwrap();
        // The server's account must be able to pass.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let state = tempfile::tempdir().unwrap();
        let variables = [("TMPDIR", home.path()), ("NIGHTDESK_STATE_DIR", state.path())];
        let variables = variables.map(|(n, p)| (n.to_string(), p.to_string_lossy().into_owned()));
        let mut terminal = start(&wrapper, &["sandbox", "--customers", "200"], &variables);
        until("its cluster runs", async || postmaster(home.path()).is_some()).await;
        terminal.wait_until("the findings of the default start", |s| s.contains("paid"));
        let (directory, pid) = postmaster(home.path()).unwrap();
        let (since, took) = hang_up(&mut terminal);
        until("its cluster is gone", async || !alive(pid) && !directory.exists()).await;
        println!("{wrapper:?}: the process took {took:?}, its cluster {:?}", since.elapsed());
        assert!(took < Duration::from_secs(1), "{wrapper:?}: {took:?}");
    }
}

/// The directory of the one cluster under there, and its first process.
fn postmaster(home: &Path) -> Option<(PathBuf, u32)> {
    let directory = std::fs::read_dir(home).ok()?.flatten().map(|e| e.path()).find(|p| p.join("data/postmaster.pid").exists())?;
    let text = std::fs::read_to_string(directory.join("data/postmaster.pid")).ok()?;
    Some((directory, text.lines().next()?.parse().ok()?))
}
