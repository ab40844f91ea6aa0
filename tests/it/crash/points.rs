//! kill -9 at every point of a repair: before, between and after its journal's records, before its effect, and while it commits.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::{Scene, Seat, Stage, kill};
use crate::bench::{Payer, until};

/// What an undisturbed repair journals, in its order.
const RECORDS: [&str; 8] = ["writes-turned-on", "run-opened", "confirmed", "intended", "concluded", "verified", "verified", "run-closed"];

/// What is known about the run when so many records are there. `unleased`: so many of them say, behind its first, that it has no lease.
fn state_after(records: usize, unleased: usize) -> Option<&'static str> {
    match if records > 2 { records.saturating_sub(unleased).max(2) } else { records } {
        0 | 1 => None,
        2 | 3 => Some("open"),
        4 => Some("unknown"),
        5..=7 => Some("unverified"),
        _ => Some("done"),
    }
}

/// Starts again after a kill, with so many records there: the run is listed, taken up and finished; nothing happens twice.
async fn goes_on(scene: &Scene, seat: &Seat, label: &Payer, records: usize) {
    goes_on_behind(scene, seat, label, records, 0).await;
}

async fn goes_on_behind(scene: &Scene, seat: &Seat, label: &Payer, records: usize, unleased: usize) {
    let Some(state) = state_after(records, unleased) else {
        assert!(seat.runs().await.is_empty(), "nothing was begun");
        assert_eq!(scene.changes(label).await, 0);
        let again = seat.repair(label).await;
        assert_eq!(again.code, 0, "{}", again.said);
        return scene.repaired_once(label, seat).await;
    };
    let (run, listed) = seat.the_run().await;
    assert_eq!(listed, state, "after {records} records");
    if state != "done" {
        let resumed = seat.resume(&run).await;
        assert!(resumed.code == 0 && resumed.said.contains("done: "), "after {records} records: {}", resumed.said);
    }
    scene.repaired_once(label, seat).await;
    assert_eq!(seat.the_run().await.1, "done");
    let before = seat.records().len();
    let twice = seat.resume(&run).await;
    assert!(twice.code == 1 && twice.said.contains("is finished"), "{}", twice.said);
    let anew = seat.repair(label).await;
    assert!(anew.said.contains("done: "), "there is nothing left to do: {}", anew.said);
    assert_eq!(seat.records().len(), before, "and nothing to journal");
    scene.repaired_once(label, seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undisturbed_repair_has_these_points() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let ended = seat.repair(label).await;
    assert_eq!(ended.code, 0, "{}", ended.said);
    let told: Vec<String> = seat.records().iter().map(|r| r["entry"]["entry"].as_str().unwrap().to_string()).collect();
    assert_eq!(told, RECORDS);
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_record_it_goes_on_and_does_nothing_twice() {
    let scene = Scene::start(40).await;
    killed_after_any_record(&scene, 0, |scene| scene.seat("ada")).await;
}

/// Kills a repair with 0, 1, … 8 records in the journal, and `unleased` more where a store does not answer, each on a machine of its own,
/// and starts again.
pub(super) async fn killed_after_any_record(scene: &Scene, unleased: usize, seat: impl Fn(&Scene) -> Seat) {
    let mut labels = scene.labels.iter();
    let mut missing: BTreeSet<usize> = (0..=RECORDS.len() + unleased).collect();
    // A binary that is quicker than the gate is killed at a later point, which is one of them as well.
    for round in 1.. {
        assert!(round <= 8, "never killed with {missing:?} records in the journal");
        let tries: Vec<(usize, &Payer)> = missing.iter().copied().zip(labels.by_ref()).collect();
        let hit: Vec<usize> = stream::iter(tries)
            .map(async |(n, label)| {
                let seat = seat(scene);
                let records = seat.cut_at(n, label, async |_| {}).await;
                println!("killed with {records} records in the journal, aimed at {n}");
                goes_on_behind(scene, &seat, label, records, unleased).await;
                records
            })
            .buffer_unordered(5)
            .collect()
            .await;
        missing.retain(|n| !hit.contains(n));
        if missing.is_empty() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_row_is_changed_and_nobody_noted_it() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let records = seat.cut_at(4, label, async |_| until("the row was changed", async || scene.changes(label).await == 1).await).await;
    assert_eq!(records, 4);
    goes_on(&scene, &seat, label, records).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_row_is_changed() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let mut barrier = scene.hold(Stage::Update, label).await;
    let child = seat.begin(label);
    barrier.reached().await;
    kill(child).await;
    barrier.release().await;
    goes_on(&scene, &seat, label, 4).await;
    let results: Vec<_> = seat.records().into_iter().filter(|r| r["entry"]["entry"] == "concluded").collect();
    assert_eq!(results.len(), 2, "the first try is known not to have happened, the second did");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_commits_and_the_commit_comes_before_the_start() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let mut barrier = scene.hold(Stage::Commit, label).await;
    let child = seat.begin(label);
    barrier.reached().await;
    kill(child).await;
    assert_eq!(scene.changes(label).await, 0);
    barrier.release().await;
    until("the commit came through", async || scene.changes(label).await == 1).await;
    goes_on(&scene, &seat, label, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_commits_and_the_commit_comes_after_the_start() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let mut barrier = scene.hold(Stage::Commit, label).await;
    let child = seat.begin(label);
    barrier.reached().await;
    kill(child).await;
    let (run, state) = seat.the_run().await;
    assert_eq!(state, "unknown");
    let begun = seat.records().len();
    let (resumed, ()) = tokio::join!(seat.resume(&run), async {
        until("the run was taken up", async || seat.records().len() > begun).await;
        // It has read the row as it was before, once at least.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        barrier.release().await;
    });
    assert!(resumed.code == 0 && resumed.said.contains("done: "), "{}", resumed.said);
    scene.repaired_once(label, &seat).await;
}

/// Statement and commit each take nearly as long as they may: that the row is as before proves nothing meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_slow_commit_after_a_slow_statement() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let (mut update, mut commit) = (scene.hold(Stage::Update, label).await, scene.hold(Stage::Commit, label).await);
    let child = seat.begin(label);
    update.reached().await;
    let since = Instant::now();
    let after = async |seconds: f32| tokio::time::sleep_until((since + Duration::from_secs_f32(seconds)).into()).await;
    after(4.4).await;
    update.release().await;
    commit.reached().await;
    // The server looks every five seconds whether anybody still listens: somebody does.
    after(5.3).await;
    kill(child).await;
    let (run, state) = seat.the_run().await;
    assert_eq!(state, "unknown");
    let (resumed, ()) = tokio::join!(seat.resume(&run), async {
        after(8.8).await;
        assert_eq!(scene.changes(label).await, 0);
        commit.release().await;
        until("the commit came through", async || scene.changes(label).await == 1).await;
    });
    assert!(resumed.code == 0 && resumed.said.contains("done: "), "{}", resumed.said);
    scene.repaired_once(label, &seat).await;
    let tries = seat.records().iter().filter(|r| r["entry"]["entry"] == "intended").count();
    assert_eq!(tries, 1, "it was waited for, not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_half_written_is_cut_off() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    let records = seat.cut_at(4, label, async |_| until("the row was changed", async || scene.changes(label).await == 1).await).await;
    let mut file = seat.locked();
    file.write_all(b"{\"v\":1,\"chain\":\"7f3a").unwrap();
    drop(file);
    goes_on(&scene, &seat, label, records).await;
}

/// At moments that nobody chose: between a record and its payload, in the middle of an append, on the way to the database.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on_and_does_nothing_twice() {
    let scene = Scene::start(12).await;
    stream::iter(scene.labels.iter().enumerate())
        .map(async |(i, label)| {
            let seat = scene.seat("ada");
            let child = seat.begin_until(label, || true, || seat.journal().with_file_name("payloads.jsonl").exists()).await;
            tokio::time::sleep(Duration::from_millis(4 * u64::try_from(i).unwrap())).await;
            kill(child).await;
            let records = seat.lines().len();
            goes_on(&scene, &seat, label, records).await;
        })
        .buffer_unordered(3)
        .collect::<Vec<()>>()
        .await;
}
