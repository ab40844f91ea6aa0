//! An unfinished run as the console's screen finds it: listed at Home, taken up with one key, looked at before anything is written.

use std::path::Path;

use super::{Scene, Seat};
use crate::bench::until;
use crate::terminal::Terminal;

/// The console with the cursor on the unfinished run.
fn at_the_run(seat: &Seat, run: &str) -> Terminal {
    let mut terminal = Terminal::start(120, 36, &[], &seat.told());
    terminal.wait_for(&format!("Your run {run} stopped"));
    // Findings are sorted by weight: others may stand above.
    for _ in 0..10 {
        if terminal.screen().contains("resume") {
            shown("home.txt", &terminal);
            return terminal;
        }
        terminal.send("j");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the cursor never stood on the run:\n{}", terminal.screen());
}

fn shown(what: &str, terminal: &Terminal) {
    if let Some(directory) = std::env::var_os("NIGHTDESK_TEST_SCREENS") {
        std::fs::write(Path::new(&directory).join(what), terminal.screen()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_effect_happened_ends_without_writes_on() {
    let scene = Scene::start(1).await;
    let (seat, label) = (scene.seat("ada"), &scene.labels[0]);
    seat.cut_at(4, label, async |_| until("the row was changed", async || scene.changes(label).await == 1).await).await;
    let (run, _) = seat.the_run().await;
    let mut terminal = at_the_run(&seat, &run);
    terminal.send("\r");
    let screen = terminal.wait_for("DONE");
    shown("effect-happened.txt", &terminal);
    assert!(screen.contains("READ-ONLY") || !screen.contains("WRITES ON"), "{screen}");
    until("its end is journaled", async || seat.records().last().unwrap()["entry"]["entry"] == "run-closed").await;
    scene.repaired_once(label, &seat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_sent_nothing_asks_again() {
    let scene = Scene::start(2).await;
    for label in &scene.labels {
        let seat = scene.seat("ada");
        let records = seat.cut_at(3, label, async |_| {}).await;
        let (run, state) = seat.the_run().await;
        if state != "open" {
            assert!(records > 3);
            continue;
        }
        let mut terminal = at_the_run(&seat, &run);
        terminal.send("\r");
        terminal.wait_for("turns writes on");
        shown("nothing-sent.txt", &terminal);
        assert_eq!(scene.changes(label).await, 0);
        terminal.send("w");
        terminal.wait_for("Why? The reason is journaled");
        shown("reason.txt", &terminal);
        std::thread::sleep(std::time::Duration::from_millis(400));
        terminal.send("ticket 4411");
        std::thread::sleep(std::time::Duration::from_millis(400));
        terminal.send("\r");
        terminal.wait_for("does it. Nothing has been sent yet");
        std::thread::sleep(std::time::Duration::from_millis(600));
        terminal.send("y");
        terminal.wait_for("DONE");
        shown("sent-after-all.txt", &terminal);
        until("its end is journaled", async || seat.records().last().unwrap()["entry"]["entry"] == "run-closed").await;
        scene.repaired_once(label, &seat).await;
        return;
    }
    panic!("it was always quicker than the gate");
}
