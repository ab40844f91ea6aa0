//! Customers whose names are written to harm a terminal: the bytes of every screen, of the clipboard and of the command line.

use super::{Console, QUIET, troubled, variables};
use crate::bench::executable;
use nightdesk::domain::text::is_hostile;
use std::collections::BTreeSet;
use std::process::Command;

/// Colour, cursor, title, clipboard (`evil`), alternate screen, bidirectional marks, an eight-bit CSI, a zero-width joiner.
const NAME: &str = "Mallory\x1b[35m\x1b[9;9H\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x07\x1b[?1049l\u{202E}live\u{2066}\u{9b}2J\u{200D}\r\nx";
const EMAIL: &str = "m\x1b[45mal\u{202E}lory@evil\x1b]52;c;ZXZpbA==\x07.com";

/// What is wrong with a stream of bytes: sequences that no part of ours writes, and characters that nobody may.
fn wrong(bytes: &[u8], allowed: &BTreeSet<&str>) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(|c: char| is_hostile(c) && c != '\r' && c != '\n') {
        rest = &rest[at..];
        let Some(sequence) = rest.strip_prefix("\x1b[") else {
            if let Some(payload) = rest.strip_prefix("\x1b]52;c;") {
                let end = payload.find('\x07').unwrap_or(0);
                if !payload[..end].chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c)) || &payload[..end] == "ZXZpbA==" {
                    found.push(format!("clipboard {:?}", &payload[..end]));
                }
                rest = &payload[end + 1..];
                continue;
            }
            found.push(format!("{:?}", rest.chars().take(12).collect::<String>()));
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
            continue;
        };
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        let (parameters, last) = (&sequence[..end], &sequence[end..=end]);
        let fine = match last {
            "m" => parameters.split(';').all(|p| allowed.contains(p)),
            "H" | "C" => parameters.chars().all(|c| c.is_ascii_digit() || c == ';'),
            "K" => parameters.is_empty(),
            "J" => parameters == "2",
            "h" | "l" => ["?1049", "?25", "?2004"].contains(&parameters),
            _ => false,
        };
        if !fine {
            found.push(format!("CSI {parameters}{last}"));
        }
        rest = &sequence[end + 1..];
    }
    found
}

/// Attributes and the four hues, and nothing else.
fn ours() -> BTreeSet<&'static str> {
    ["", "0", "1", "2", "4", "7", "31", "32", "33", "36", "39", "49"].into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hostile_customer_reaches_neither_cursor_nor_colour_nor_clipboard() {
    let (bench, labels) = troubled().await;
    let label = &labels[0];
    assert!(bench.simulator.set_customer_name(&label.expected.customer, NAME));
    assert!(bench.simulator.set_customer_email(&label.expected.customer, Some(EMAIL)));
    assert!(bench.simulator.set_metadata(&label.expected.subscription, &[("note", NAME), (NAME, "x")]));
    sqlx::query("UPDATE profiles SET data = data || jsonb_build_object('name', $1::text, 'email', $2::text) WHERE id = $3::uuid")
        .bind(NAME)
        .bind(EMAIL)
        .bind(&label.profile)
        .execute(&bench.admin)
        .await
        .unwrap();

    let mut console = Console::start(&variables(&bench), 120, 36, &[]);
    console.wait_for_findings();
    // Revealed, so that names are shown whole.
    console.send("i");
    console.wait_for("readable for 60 seconds");
    console.settled(QUIET);
    std::thread::sleep(std::time::Duration::from_millis(350));
    console.send("drill");
    console.cost("\r");
    console.wait_for("REVEALED");
    let mut seen = String::new();
    // The search, by name as an operator types it, and by id.
    console.cost("3");
    console.cost("Mallory");
    seen.push_str(&console.wait_until("both hits", |s| s.contains("2 customers") && s.contains("mallory")));
    console.cost("\x1b");
    console.paste(&label.expected.customer);
    console.settled(QUIET);
    seen.push_str(&console.wait_until("the hit", |s| s.contains("1 customer") && s.contains("mallory")));
    console.send("\r");
    // The customer, its tabs, its evidence, its subscription, and everything that can be copied.
    seen.push_str(&console.wait_for("App enforces"));
    console.wait_until("the verdict", |s| s.contains("FREE in the app"));
    for _ in 0..5 {
        console.cost("\t");
        seen.push_str(&console.screen());
    }
    for dialog in ["e", "a", "c"] {
        console.cost(dialog);
        seen.push_str(&console.screen());
        console.cost("\x1b");
    }
    for item in 0..8 {
        console.cost("c");
        for _ in 0..item {
            console.send("\x1b[B");
        }
        console.cost("\r");
        console.cost("\x1b");
    }
    console.cost("\r");
    console.wait_for("sub_");
    seen.push_str(&console.screen());
    console.cost("\x1b");
    // The review, and its evidence.
    console.send("f");
    console.wait_for("differs");
    seen.push_str(&console.screen());
    console.cost("e");
    seen.push_str(&console.screen());
    console.cost("\x1b");

    let raw = console.written(0);
    assert_eq!(wrong(&raw, &ours()), Vec::<String>::new(), "the screen was:\n{}", console.screen());
    assert!(seen.contains("mallory"), "it was on screen at all");
    assert!(String::from_utf8_lossy(&raw).contains("\x1b]52;c;"), "something was copied at all");

    let cli = |arguments: &[&str]| {
        let mut command = Command::new(executable());
        command.args(arguments).env_clear().env("LANG", "C.UTF-8").env("NIGHTDESK_STATE_DIR", console.state_dir());
        let output = command.envs(variables(&bench)).output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&all).into_owned(), wrong(&all, &BTreeSet::new()))
    };
    let customer = label.expected.customer.as_str();
    for arguments in [
        vec!["find", customer],
        vec!["find", customer, "--json"],
        vec!["find", "Mallory"],
        vec!["find", "Mallory", "--json"],
        vec!["run", "tier-update", "--customer", customer, "--dry-run", "--json"],
        vec!["run", "tier-update", "--customer", customer, "--yes", "--reason", "drill \x1b[35m"],
        vec!["runs"],
        vec!["runs", "--json"],
        vec!["find", NAME],
    ] {
        let (text, wrong) = cli(&arguments);
        assert!(!text.trim().is_empty(), "{arguments:?} prints something");
        assert_eq!(wrong, Vec::<String>::new(), "{arguments:?} printed {text:?}");
    }
}
