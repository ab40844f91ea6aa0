//! The console's own life: sizes, suspending, redrawing, and every way out.

use super::{Console, QUIET, busy, troubled, variables};
use crate::terminal::Terminal;
use nightdesk::sandbox::stripe::{Effect, Rule};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// An exit may take a second; the rest is for a machine that does other things too.
const GONE: Duration = Duration::from_secs(3);

/// Nothing to connect to that anybody listens on: a console that only waits.
fn nowhere() -> Vec<(String, String)> {
    vec![("DATABASE_URL".into(), "postgres://nobody:x@127.0.0.1:1/none".into())]
}

fn is_restored(terminal: &Terminal) -> bool {
    terminal.look(|s| !s.alternate_screen() && !s.hide_cursor() && !s.bracketed_paste())
}

/// A shell that starts the console and then says how the terminal stands.
fn in_a_shell(script: &str, variables: &[(String, String)]) -> Terminal {
    Terminal::run(80, 24, &["sh", "-c", script, env!("CARGO_BIN_EXE_nightdesk")], variables)
}

#[test]
fn a_window_that_is_too_small_says_so_and_grows_again() {
    let console = Console::start(&nowhere(), 40, 10, &[]);
    console.wait_for("needs 60x20, has 40x10");
    console.resize(80, 24);
    console.wait_for("1 Home");
    console.resize(59, 24);
    console.wait_for("has 59x24");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_selection_and_a_dialog_outlive_every_size() {
    let (_bench, _, mut console) = busy(80, 24, &[], &[]).await;
    console.cost("\x1b[B");
    let selected = |c: &Console| c.screen().lines().find(|l| l.starts_with('›')).map(|l| l.trim_end()[..40].to_string());
    let before = selected(&console).expect("a selection");
    for (columns, rows) in [(60, 20), (120, 36), (40, 10), (200, 60), (80, 24)] {
        console.resize(columns, rows);
        if columns >= 60 {
            console.wait_until("the same selection", |_| selected(&console).as_ref() == Some(&before));
        } else {
            console.wait_for("needs 60x20");
        }
    }
    console.send(":");
    console.wait_for("Go to");
    // Not so fast that it is a paste.
    console.settled(QUIET);
    console.send("cust");
    console.settled(QUIET);
    console.resize(100, 30);
    console.wait_until("the dialog and its text", |s| s.contains("Go to") && s.contains("cust"));
}

#[test]
fn what_is_on_screen_is_painted_anew_on_request() {
    let mut console = Console::start(&nowhere(), 80, 24, &[]);
    console.wait_for("1 Home");
    let before = console.settled(QUIET);
    console.send("\x0c");
    console.wait_until("a new screen", |_| String::from_utf8_lossy(&console.written(before)).contains("\x1b[2J"));
    console.settled(QUIET);
    assert!(String::from_utf8_lossy(&console.written(before)).contains("1 Home"));
}

#[test]
fn q_and_sigterm_restore_the_terminal_within_a_second() {
    for how in ["q", "SIGTERM", "SIGHUP"] {
        let state = tempfile::tempdir().unwrap();
        let mut variables = nowhere();
        variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
        let mut terminal = in_a_shell(r#""$0"; echo "code $?"; stty -a"#, &variables);
        terminal.wait_for("1 Home");
        terminal.settled(QUIET);
        assert!(!is_restored(&terminal));
        if how == "q" {
            terminal.send("q");
            terminal.wait_for("Leave the console?");
            std::thread::sleep(Duration::from_millis(350));
            terminal.send("y");
        } else {
            let child = children_of(terminal.pid());
            let signal = if how == "SIGTERM" { Signal::SIGTERM } else { Signal::SIGHUP };
            nix::sys::signal::kill(child, signal).unwrap();
        }
        let asked = Instant::now();
        let screen = terminal.wait_until(how, |s| s.contains("icanon") && s.contains("echo"));
        let took = asked.elapsed();
        eprintln!("{how}: gone after {took:?}");
        assert!(took < GONE, "{how} took {took:?}");
        assert!(is_restored(&terminal), "{how}");
        assert!(!screen.contains("-icanon") && !screen.contains("-echo "), "{how}:\n{screen}");
        assert_eq!(terminal.ended_within(GONE), Some(0));
        let leaves = String::from_utf8_lossy(&terminal.written(0)).matches("\x1b[?1049l").count();
        assert_eq!(leaves, 1, "restored once");
    }
}

fn children_of(parent: i32) -> nix::unistd::Pid {
    let listed = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let child = text.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<i32>().ok());
        let (pid, ppid) = (numbers.next()?, numbers.next()?);
        (ppid == parent).then_some(pid)
    });
    nix::unistd::Pid::from_raw(child.expect("the shell has a child"))
}

#[test]
fn suspended_and_continued() {
    let state = tempfile::tempdir().unwrap();
    let mut variables = nowhere();
    variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
    let mut terminal = in_a_shell(r#"set -m; "$0"; stty -a; echo "it is stopped"; read -r go; fg; echo "code $?""#, &variables);
    terminal.wait_for("1 Home");
    terminal.settled(QUIET);
    terminal.send("\x1a");
    let screen = terminal.wait_for("it is stopped");
    assert!(is_restored(&terminal) && !screen.contains("-icanon"), "{screen}");
    terminal.send("go\n");
    terminal.wait_until("the console again", |s| s.contains("1 Home") && s.contains("3 Customers") && !s.contains("it is stopped"));
    terminal.settled(QUIET);
    terminal.send("?");
    terminal.wait_for("Keys of this screen");
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let mut console = Console::start(&nowhere(), 80, 24, &[]);
    console.wait_for("1 Home");
    console.settled(QUIET);
    let asked = console.hang_up();
    assert!(console.ended_within(GONE).is_some(), "still there after {:?}", asked.elapsed());
}

#[test]
fn a_terminal_that_takes_no_bytes_does_not_keep_the_process() {
    let mut console = Console::start(&nowhere(), 200, 60, &[]);
    console.wait_for("1 Home");
    console.settled(QUIET);
    console.stop_reading();
    // Many screens: more than any terminal's buffer holds.
    for _ in 0..400 {
        console.send("\x0c");
        std::thread::sleep(Duration::from_millis(2));
    }
    let asked = Instant::now();
    console.signal(Signal::SIGTERM);
    assert!(console.ended_within(GONE).is_some(), "still there after {:?}", asked.elapsed());
}

#[test]
fn an_output_that_is_gone_ends_it() {
    // Keys come from one terminal, the screen goes to another, and that one goes away.
    let other = nix::pty::openpty(None, None).unwrap();
    let name = nix::unistd::ttyname(&other.slave).unwrap();
    let mut variables = nowhere();
    let state = tempfile::tempdir().unwrap();
    variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
    let script = format!(r#""$0" > {}; echo "code $?""#, name.display());
    let mut terminal = in_a_shell(&script, &variables);
    let mut byte = [0u8; 1];
    nix::unistd::read(&other.master, &mut byte).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(other);
    terminal.send("?");
    terminal.wait_for("code ");
}

/// Run by [`a_panic_restores_the_terminal`] in a terminal: a console beside which a task panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "only in a terminal of its own"]
async fn panicking_console() {
    use nightdesk::console::State;
    use nightdesk::console::widgets::theme::Theme;
    let (effects, _outbound) = tokio::sync::mpsc::channel(8);
    let (_events, inbound) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        panic!("a task of the gateway broke");
    });
    let _ = nightdesk::shell::run(State::new(Theme::default(), chrono::Utc::now()), effects, inbound).await;
}

#[test]
fn a_panic_restores_the_terminal() {
    let this = std::env::current_exe().unwrap();
    let argv = [this.to_str().unwrap(), "--exact", "pty::life::panicking_console", "--ignored", "--nocapture", "--test-threads=1"];
    let mut terminal = Terminal::run(100, 30, &argv, &[]);
    terminal.wait_for("1 Home");
    let screen = terminal.wait_for("a task of the gateway broke");
    assert!(is_restored(&terminal), "{screen}");
    assert!(terminal.ended_within(GONE).is_some(), "it goes on beside a broken part:\n{}", terminal.screen());
    assert!(is_restored(&terminal));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_frame_waits_for_nobody() {
    let (bench, _) = troubled().await;
    bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    let started = Instant::now();
    let console = Console::start(&variables(&bench), 80, 24, &[]);
    console.wait_for("1 Home");
    eprintln!("first byte after {:?}", console.first_byte().map(|t| t - started));
    let first = String::from_utf8_lossy(&console.written(0)).into_owned();
    assert!(first.contains("nightdesk") && first.contains("Home"), "{first:?}");
}
