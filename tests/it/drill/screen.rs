//! A drill with its screen: what is said before, the console on it, and the report when it is left.

use std::time::Duration;

use crate::bench;
use crate::terminal::Terminal;

#[test]
fn a_drill_is_briefed_walked_through_and_reported_on_one_terminal() {
    let state = tempfile::tempdir().unwrap();
    let variables = vec![
        ("NIGHTDESK_STATE_DIR".to_string(), state.path().to_string_lossy().into_owned()),
        ("NIGHTDESK_OPERATOR".to_string(), "test".to_string()),
        ("TMPDIR".to_string(), bench::home().to_string_lossy().into_owned()),
    ];
    let script = r#""$0" drill placeholder-customers --seed 11 --customers 300 --count 1; echo "code $?""#;
    let mut terminal = Terminal::run(100, 40, &["sh", "-c", script, env!("CARGO_BIN_EXE_nightdesk")], &variables);
    let briefing = terminal.wait_for("The clock starts when you press enter");
    assert!(briefing.contains("nobody says what") && !briefing.contains("laceholder"), "{briefing}");
    terminal.send("\n");
    terminal.wait_for("Placeholder id in the row");
    terminal.wait_until("looked at", |s| !s.contains("looking closer"));
    terminal.settled(Duration::from_millis(250));
    // In a drill the palette starts nothing that the report would have to count.
    terminal.send(":");
    terminal.wait_for("Manual tier update");
    for letter in "drift".chars() {
        terminal.send(&letter.to_string());
        std::thread::sleep(Duration::from_millis(40));
    }
    let palette = terminal.wait_for("drift");
    terminal.settled(Duration::from_millis(250));
    assert!(!palette.contains("incident") && !terminal.screen().contains("incident"), "{palette}");
    terminal.send("\x1b");
    terminal.settled(Duration::from_millis(250));
    // There is only one: straight to the customer.
    terminal.send("\r");
    terminal.wait_for("FREE in the app");
    terminal.settled(Duration::from_millis(250));
    terminal.send("f");
    terminal.wait_for("differs");
    terminal.settled(Duration::from_millis(400));
    terminal.send("w");
    terminal.wait_for("reason");
    terminal.settled(Duration::from_millis(250));
    for letter in "drill".chars() {
        terminal.send(&letter.to_string());
        std::thread::sleep(Duration::from_millis(40));
    }
    terminal.send("\r");
    terminal.settled(Duration::from_millis(500));
    terminal.send("y");
    terminal.wait_until("done", |s| s.contains("done") || s.contains("Done"));
    for _ in 0..4 {
        terminal.settled(Duration::from_millis(250));
        if terminal.screen().contains("Leave the console?") {
            break;
        }
        terminal.send("q");
    }
    terminal.wait_for("Leave the console?");
    std::thread::sleep(Duration::from_millis(400));
    terminal.send("y");
    let report = terminal.wait_for("code ");
    assert!(report.contains("The drill is over after") && report.contains("It was placeholder-customers"), "{report}");
    assert!(report.contains("1 broken, 1 found, 1 repaired, 0 missed") && report.contains("Nothing wrong was written."), "{report}");
    assert!(report.contains("code 0"), "{report}");
}
