//! Logs that commands print: begun once, begun anew, ended with all that they started; none of them holds anything up.

use super::{ago, ask, logs, pino, search};
use crate::bench::until;
use nightdesk::config::LogSource;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::webhooks::log::LogSearch;
use nightdesk::gateway::logs::Logs;
use std::path::Path;
use std::time::{Duration, Instant};

fn shell(script: &str) -> Logs {
    logs(vec![LogSource::Command(["sh", "-c", script].map(str::to_string).to_vec())])
}

fn quoted(line: &str) -> String {
    format!("printf '%s\\n' '{}'", line.trim_end())
}

fn alive(pid: &str) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z"))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().filter(|t| t.ends_with('\n'))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_prints_is_searched_and_it_ends_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let out = quoted(&pino(ago(3), 50, "Webhook error: out"));
    let err = quoted(&pino(ago(2), 50, "Webhook error: err"));
    let logs = shell(&format!("{out}; {err} >&2; sleep 1000 & echo $! $$ > {}; wait", pids.display()));
    logs.poll().await.expect("it runs");
    let found = ask(&logs, search("webhook", ago(10), 9)).await.unwrap();
    assert_eq!(found.texts(), ["Webhook error: err", "Webhook error: out"], "docker gives the container's standard error on its own");
    assert!(found.lines[0].source.starts_with("sh -c printf"), "{}", found.lines[0].source);

    until("the script wrote its processes", async || read(&pids).is_some()).await;
    let pids = read(&pids).unwrap();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert!(pids.len() == 2 && pids.iter().all(|p| alive(p)), "{pids:?}");
    logs.close().await;
    until("both have ended", async || pids.iter().all(|p| !alive(p))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_logs_ends_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    let logs = shell(&format!("echo $$ > {}; exec sleep 1000", path.display()));
    logs.poll().await.expect("it runs");
    until("it runs", async || read(&path).is_some()).await;
    let pid = read(&path).unwrap();
    assert!(alive(&pid));
    drop(logs);
    until("it has ended", async || !alive(&pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_says_why() {
    let failing = shell("echo 'Error: No such container: api, token=abcdefgh12' >&2; echo more >&2; exit 3");
    let fault = failing.poll().await.expect_err("it ended with 3");
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.say.contains("exit status: 3: Error: No such container: api, token=•••") && !fault.say.contains("more"), "{fault}");
    let missing = logs(vec![LogSource::Command(vec!["/nonexistent/docker".into(), "logs".into()])]);
    let fault = ask(&missing, LogSearch::everything(ago(1), 1)).await.expect_err("no such program");
    assert!(fault.say.starts_with("/nonexistent/docker logs: it could not be run"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_prints_or_never_stops_printing_holds_nobody_up() {
    let began = Instant::now();
    let silent = shell("exec sleep 1000");
    let found = ask(&silent, search("x", ago(1), 1)).await.unwrap();
    assert!(found.lines.is_empty() && began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let began = Instant::now();
    silent.poll().await.expect("it runs");
    assert!(began.elapsed() < Duration::from_secs(1), "only the first question waits: {:?}", began.elapsed());

    let began = Instant::now();
    let loud = shell("exec yes 'Webhook error: again and again and again'");
    for _ in 0..3 {
        let found = ask(&loud, search("webhook", ago(1), 5)).await.unwrap();
        assert_eq!(found.lines.len(), 5, "{found:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// By how many minutes ago no line is lacking.
fn reach(found: &super::Lines) -> Option<i64> {
    found.covers.map(|at| (chrono::Utc::now() - at).num_minutes())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_prints_its_last_lines_reaches_back_no_further_than_they_do() {
    let lines = [20, 10].map(|m| quoted(&pino(ago(m), 50, "Webhook error: one of the last"))).join("; ");
    let tail = shell(&format!("{lines}; exec sleep 1000"));
    let found = ask(&tail, search("webhook", ago(60), 9)).await.unwrap();
    assert_eq!((found.lines.len(), reach(&found), found.complete), (2, Some(20), false), "{found:?}");
    assert!(found.note.as_ref().is_some_and(|n| n.contains("begins at")), "{found:?}");
    let found = ask(&tail, search("webhook", ago(15), 9)).await.unwrap();
    assert_eq!((found.lines.len(), reach(&found), found.complete), (1, Some(15), true), "{found:?}");

    let silent = shell("exec sleep 1000");
    let found = ask(&silent, search("webhook", ago(60), 9)).await.unwrap();
    assert_eq!((found.lines.len(), reach(&found)), (0, Some(0)), "nothing is known of before it was started: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_runs_that_do_not_meet_lines_may_be_lacking() {
    let dir = tempfile::tempdir().unwrap();
    let again = dir.path().join("again");
    let (old, new) = (quoted(&pino(ago(30), 50, "Webhook error: old")), quoted(&pino(ago(5), 50, "Webhook error: new")));
    let logs = shell(&format!("if [ -e {0} ]; then {new}; exec sleep 1000; else {old}; touch {0}; fi", again.display()));
    let found = ask(&logs, search("webhook", ago(60), 9)).await.unwrap();
    assert_eq!((found.texts(), reach(&found)), (vec!["Webhook error: old"], Some(30)));
    until("it was begun anew", async || ask(&logs, search("webhook", ago(60), 9)).await.is_ok_and(|f| f.lines.len() == 2)).await;
    let found = ask(&logs, search("webhook", ago(60), 9)).await.unwrap();
    assert_eq!(reach(&found), Some(5), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_is_begun_anew_and_says_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let old = quoted(&pino(ago(5), 50, "Webhook error: history"));
    let logs = shell(&format!("{old}; echo x >> {}; exec sleep 0.05", runs.display()));
    assert_eq!(ask(&logs, search("webhook", ago(10), 9)).await.unwrap().texts(), ["Webhook error: history"]);
    until("it was begun anew", async || std::fs::read_to_string(&runs).is_ok_and(|t| t.lines().count() >= 2)).await;
    logs.poll().await.expect("it ended well");
    assert_eq!(ask(&logs, search("webhook", ago(10), 9)).await.unwrap().texts(), ["Webhook error: history"]);
}
