//! Several processes at one customer: while one lives nobody takes its run, and however many begin, the row is changed once.

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

use super::{Scene, ended};
use crate::bench::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_process_lives_is_taken_by_nobody() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let child = seat.begin(label);
    until("it is about to write, or has", async || seat.lines().len() >= 4).await;
    let pid = Pid::from_raw(child.id().cast_signed());
    let gate = seat.locked();
    send(pid, Signal::SIGSTOP).unwrap();
    drop(gate);
    // Stopped, it is alive: its run is its own.
    let runs = seat.runs().await;
    if runs[0]["state"] != "done" {
        assert_eq!(runs[0]["held"], true, "{runs:?}");
        let refused = seat.resume(runs[0]["short"].as_str().unwrap()).await;
        assert!(refused.code == 1 && refused.said.contains("worked on by another process"), "{}", refused.said);
        let other = seat.repair(label).await;
        assert!(other.code == 1 && other.said.contains("Another run is open") || other.said.contains("done: "), "{}", other.said);
    }
    send(pid, Signal::SIGCONT).unwrap();
    let first = ended(child).await;
    assert!(first.code == 0, "{}", first.said);
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_operator_change_the_row_once() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let (one, two) = tokio::join!(seat.repair(label), seat.repair(label));
    assert!(one.code == 0 || two.code == 0, "{}\n{}", one.said, two.said);
    for end in [&one, &two] {
        assert!(end.code == 0 || end.said.to_lowercase().contains("another run is open for this customer"), "{}", end.said);
    }
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_who_share_nothing_change_the_row_once() {
    let scene = Scene::start(1).await;
    let (ada, ben, label) = (scene.seat("ada"), scene.seat("ben"), &scene.labels[0]);
    let (one, two) = tokio::join!(ada.repair(label), ben.repair(label));
    assert!(one.code == 0 || two.code == 0, "{}\n{}", one.said, two.said);
    assert_eq!(scene.changes(label).await, 1);
    for seat in [&ada, &ben] {
        let audit = seat.run(&["audit", "verify"]).await;
        assert_eq!(audit.code, 0, "{}", audit.said);
        assert!(seat.runs().await.iter().all(|r| r["state"] != "unknown"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_twice_at_once_one_of_them_finishes_it() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    seat.cut_at(4, label, async |_| until("the row was changed", async || scene.changes(label).await == 1).await).await;
    let (run, _) = seat.the_run().await;
    let (one, two) = tokio::join!(seat.resume(&run), seat.resume(&run));
    assert!((one.code == 0) != (two.code == 0), "{}\n{}", one.said, two.said);
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_has_locked_is_left_alone() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let mut other = scene.bench.admin.begin().await.unwrap();
    let sql = "SELECT 1 FROM subscriptions WHERE profile_id = $1::uuid FOR UPDATE";
    sqlx::query(sql).bind(&label.profile).execute(&mut *other).await.unwrap();
    let refused = seat.repair(label).await;
    assert!(refused.code == 1 && refused.said.contains("locked by another session"), "{}", refused.said);
    assert_eq!(seat.the_run().await.1, "abandoned", "nothing is left open");
    other.rollback().await.unwrap();
    assert_eq!(scene.changes(label).await, 0);
    let repaired = seat.repair(label).await;
    assert_eq!(repaired.code, 0, "{}", repaired.said);
    assert_eq!(scene.changes(label).await, 1);
}
