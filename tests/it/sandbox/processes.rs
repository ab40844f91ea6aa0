//! Clusters and whole sandboxes as processes: side by side, killed, frozen, and without a trace afterwards.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nightdesk::config::Config;
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::schema::roles::superuser;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::served::{Served, alive, gone, signal};
use crate::bench::{self, http, until};

fn options() -> ClusterOptions {
    ClusterOptions { parent: Some(bench::home()), ..ClusterOptions::default() }
}

#[test]
fn two_clusters_run_side_by_side_and_stop_without_a_trace() {
    let start = || Cluster::start(&options(), bench::executable()).unwrap();
    let (one, two) = (start(), start());
    assert_ne!(one.port(), two.port());
    let traces = [&one, &two].map(|c| (c.directory().to_path_buf(), c.postmaster()));
    one.stop();
    assert!(!traces[0].0.exists() && !alive(traces[0].1));
    assert!(traces[1].0.exists() && alive(traces[1].1), "the other one goes on");
    drop(two);
    gone(&traces[1].0, traces[1].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_follows_and_refuses_writes() {
    let start = |options: ClusterOptions| tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap());
    let primary = start(options()).await.unwrap();
    let replica = start(primary.replica()).await.unwrap();
    let mut there = superuser(&primary, "postgres").connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE news (a int)").execute(&mut there).await.unwrap();
    let mut here = superuser(&replica, "postgres").connect().await.unwrap();
    until("the table arrived", async || sqlx::raw_sql("SELECT a FROM news").execute(&mut here).await.is_ok()).await;
    let (recovering,): (bool,) = sqlx::query_as("SELECT pg_is_in_recovery()").fetch_one(&mut here).await.unwrap();
    assert!(recovering);
    assert!(sqlx::raw_sql("INSERT INTO news VALUES (1)").execute(&mut here).await.is_err());
    for cluster in [replica, primary] {
        let directory = cluster.directory().to_path_buf();
        tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
        assert!(!directory.exists());
    }
}

#[test]
fn a_server_that_was_frozen_is_stopped_all_the_same() {
    let cluster = Cluster::start(&options(), bench::executable()).unwrap();
    let (directory, postmaster) = (cluster.directory().to_path_buf(), cluster.postmaster());
    signal(postmaster, Signal::SIGSTOP);
    cluster.stop();
    assert!(!directory.exists() && !alive(postmaster));
}

#[test]
fn a_server_that_died_takes_its_supervisor_along() {
    let cluster = Cluster::start(&options(), bench::executable()).unwrap();
    let directory = cluster.directory().to_path_buf();
    signal(cluster.postmaster(), Signal::SIGQUIT);
    gone(&directory, cluster.postmaster());
    cluster.stop();
}

#[test]
fn what_a_killed_supervisor_left_is_removed_by_the_next() {
    let parent = tempfile::Builder::new().prefix("nd").tempdir_in(bench::home()).unwrap();
    // The server's account must be able to pass.
    std::fs::set_permissions(parent.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = ClusterOptions { parent: Some(parent.path().to_path_buf()), ..ClusterOptions::default() };
    let orphan = Cluster::start(&options, bench::executable()).unwrap();
    signal(orphan.supervisor(), Signal::SIGKILL);
    signal(orphan.postmaster(), Signal::SIGKILL);
    let lock = std::fs::File::options().write(true).open(orphan.directory().join("supervised")).unwrap();
    lock.set_modified(std::time::SystemTime::now() - Duration::from_mins(2)).unwrap();
    let left = orphan.directory().to_path_buf();
    orphan.stop();
    assert!(left.exists(), "nobody was there to remove it");
    let next = Cluster::start(&options, bench::executable()).unwrap();
    assert!(!left.exists() && next.directory().exists());
    next.stop();
}

#[test]
fn without_a_server_one_sentence_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let out = Command::new(bench::executable()).args(["sandbox", "--serve"]).env("NIGHTDESK_PG_BIN", empty.path()).output().unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("NIGHTDESK_PG_BIN") && said.contains("14 to 18"), "{said}");
}

#[test]
fn it_serves_until_it_is_asked_to_end() {
    for asked in [Signal::SIGTERM, Signal::SIGINT] {
        let mut served = Served::start(&["--customers", "200"]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(served.get("DATABASE_URL")).await.unwrap();
            let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM profiles").fetch_one(&mut connection).await.unwrap();
            assert_eq!(count, 200);
            for path in ["/health", "/ready"] {
                let answer = http().get(format!("{}{path}", served.get("APP_URL"))).send().await.unwrap();
                assert!(answer.status().is_success(), "{path}");
            }
        });
        // As a terminal does it: to the whole group, in which the server must not be.
        let group = |pid: u32| getpgid(Some(Pid::from_raw(pid.cast_signed()))).unwrap();
        assert_ne!(group(served.child.id()), group(served.postmaster));
        killpg(group(served.child.id()), asked).unwrap();
        assert!(served.child.wait().unwrap().success());
        assert!(!served.directory().exists() && !alive(served.postmaster), "{asked}: gone before the program was");
    }
}

#[test]
fn killed_with_9_it_leaves_no_process_and_no_directory() {
    let mut served = Served::start(&["--customers", "200"]);
    signal(served.child.id(), Signal::SIGKILL);
    served.child.wait().unwrap();
    gone(&served.directory(), served.postmaster);
}

#[test]
fn a_second_sandbox_runs_beside_the_first() {
    let (one, two) = (Served::start(&["--customers", "200"]), Served::start(&["--customers", "200", "--schema", "renamed"]));
    assert_ne!(one.get("DATABASE_URL"), two.get("DATABASE_URL"));
    let config = std::fs::read_to_string(two.get("NIGHTDESK_CONFIG")).unwrap();
    assert!(config.contains("memberships"), "{config}");
    let config_of = |served: &Served| {
        let variables = |name: &str| served.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        Config::load(Some(&PathBuf::from(served.get("NIGHTDESK_CONFIG"))), None, &variables).unwrap()
    };
    let usual = config_of(&one);
    assert_eq!(usual.schema.subscription.table, "subscriptions");
    assert!(usual.hooks.restart_app.is_some() && usual.hooks.deploys.is_some() && usual.policy.signed_probe, "{usual:?}");
    let config = config_of(&two);
    assert_eq!(config.schema.subscription.table, "memberships");
    assert_eq!(config.stripe_base, two.get("STRIPE_API_BASE"));
}
