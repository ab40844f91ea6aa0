//! What the screen costs on a slow line: bytes for the first frame, for a move, for a dialog, for another pane, for nothing at all.

use super::{Console, QUIET, busy};
use std::time::Duration;

/// The costs at one size: first frame of an environment, a whole screen anew, a move, the dearest dialog, the dearest change of pane.
struct Costs {
    first: usize,
    whole: usize,
    moved: usize,
    dialog: usize,
    pane: usize,
}

async fn costs(columns: u16, rows: u16) -> Costs {
    let (bench, labels, mut console) = busy(columns, rows, &[], &[]).await;
    let first = {
        let other = Console::start(&super::variables(&bench), columns, rows, &[]);
        other.wait_for("Home");
        other.bytes()
    };
    let whole = console.cost("\x0c");
    let mut moved = 0;
    for key in ["\x1b[B", "\x1b[A", "j", "k"] {
        moved = moved.max(console.cost(key));
    }
    let mut dialog = 0;
    for key in ["w", "?", ":", "a", "e", "c", "q"] {
        let cost = console.cost(key);
        eprintln!("{columns}x{rows}: dialog {key} {cost} bytes");
        dialog = dialog.max(cost);
        console.cost("\x1b");
        console.wait_until("Home again", |s| s.contains(super::LINKED));
    }
    let mut pane = console.cost("3");
    pane = pane.max(console.cost("\x1b"));
    console.paste(&labels[0].expected.customer);
    console.wait_for("enter");
    console.settled(QUIET);
    pane = pane.max(console.cost("\r"));
    console.wait_for("paid");
    pane = pane.max(console.cost("\x1b"));
    eprintln!("{columns}x{rows}: first frame {first}, whole screen {whole}, move {moved}, dialog {dialog}, pane {pane} bytes");
    Costs { first, whole, moved, dialog, pane }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_screen_of_80x24_is_cheap() {
    let c = costs(80, 24).await;
    assert!(c.first <= 4 * 1024 && c.whole <= 4 * 1024, "a frame: {} and {}", c.first, c.whole);
    assert!(c.moved <= 400, "moving the selection: {}", c.moved);
    assert!(c.dialog <= 2 * 1024, "a dialog: {}", c.dialog);
    assert!(c.pane <= 5 * 1024, "another pane: {}", c.pane);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_screen_of_120x36_is_cheap() {
    let c = costs(120, 36).await;
    assert!(c.first <= 7 * 1024 && c.whole <= 7 * 1024, "a frame: {} and {}", c.first, c.whole);
    assert!(c.moved <= 450, "moving the selection: {}", c.moved);
    assert!(c.dialog <= 2 * 1024, "a dialog: {}", c.dialog);
    assert!(c.pane <= 5 * 1024, "another pane: {}", c.pane);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_idle_screen_says_only_how_old_things_are() {
    let (_bench, _, console) = busy(80, 24, &[], &[]).await;
    // Findings of one rank may stand otherwise while they are read, for five seconds after it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    console.settled(Duration::from_secs(1));
    let (before, screen) = (console.bytes(), console.screen());
    let seconds = 15;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let spent = console.bytes() - before;
    eprintln!("idle: {spent} bytes in {seconds} s: {:?}", String::from_utf8_lossy(&console.written(before)));
    assert!(spent as u64 <= 60 * seconds, "{spent} bytes in {seconds} s");
    // Nothing but figures: the clock, ages, and the charts, whose columns are of so many minutes each.
    let figure = |c: &char| c.is_ascii_digit() || ('▁'..='█').contains(c) || c.is_whitespace();
    let words = |screen: &str| screen.chars().filter(|c| !figure(c)).collect::<String>();
    let now = console.screen();
    assert_eq!(words(&now), words(&screen), "before:\n{screen}\nnow:\n{now}");
}
