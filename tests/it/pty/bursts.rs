//! Fifty bursts of keys through a real terminal, as lag and pastes without brackets deliver them: nothing is written.

use super::{QUIET, busy};
use sqlx::Row;
use std::time::Duration;

/// A small generator of its own: the same bursts every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn one<'a>(&mut self, of: &'a [String]) -> &'a str {
        &of[usize::try_from(self.roll(of.len() as u64)).expect("small")]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_bursts_write_nothing() {
    let (bench, labels, mut console) = busy(80, 24, &[], &[]).await;
    let label = &labels[0];
    let row = async || {
        let sql = "SELECT row_to_json(s)::text AS row FROM subscriptions s WHERE profile_id = $1::uuid";
        sqlx::query(sql).bind(&label.profile).fetch_one(&bench.admin).await.unwrap().get::<String, _>("row")
    };
    let before = row().await;
    // Where a repair is one key away: a review of a customer that can be repaired, and writes on.
    let to_the_review = |console: &mut super::Console| {
        for _ in 0..6 {
            console.send("\x1b");
            console.settled(Duration::from_millis(60));
        }
        if console.screen().contains("Leave the console?") {
            console.cost("\x1b");
        }
        console.paste(&label.expected.customer);
        console.settled(QUIET);
        console.cost("\r");
        console.wait_until("the verdict", |s| s.contains("FREE in the app"));
        console.send("f");
        console.wait_for("done otherwise here");
    };
    to_the_review(&mut console);
    std::thread::sleep(Duration::from_millis(350));
    console.send("w");
    console.wait_for("Why?");
    std::thread::sleep(Duration::from_millis(350));
    console.send("drill");
    console.settled(QUIET);
    console.send("\r");
    console.wait_for("WRITES 15 min");

    let texts: Vec<String> = [
        label.expected.customer.as_str(),
        label.expected.subscription.as_str(),
        label.profile.as_str(),
        "yvonne@acme.com",
        "yyzz1234",
        "fay@acme.com",
        "ayay\ry",
        "wy\ryw",
        "fyfy\r",
        "y@y.y",
        "uyuy\r",
        "https://dashboard.stripe.com/test/customers/cus_Qyf",
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for burst in 0..50 {
        if !console.screen().contains("done otherwise here") {
            to_the_review(&mut console);
        }
        std::thread::sleep(Duration::from_millis(dice.roll(800)));
        console.send(dice.one(&texts));
        std::thread::sleep(Duration::from_millis(dice.roll(120)));
        assert_eq!(row().await, before, "burst {burst} changed the row; the screen is\n{}", console.screen());
    }
    console.settled(QUIET);
    assert_eq!(row().await, before);
    let journal = journaled(&console.state_dir());
    for entry in ["opened", "confirmed", "intent", "outcome"] {
        let written = journal.iter().filter(|line| line.contains(&format!("\"{entry}\""))).count();
        assert_eq!(written, 0, "{journal:#?}");
    }
}

/// All lines of all journals under a state directory.
fn journaled(state: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(state)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                lines.extend(std::fs::read_to_string(entry.path()).unwrap_or_default().lines().map(str::to_string));
            }
        }
    }
    lines
}
