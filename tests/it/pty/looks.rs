//! Terminals that can do less: no colour, no characters but ASCII. The bytes themselves are looked at.

use super::{Console, QUIET, busy};
use crate::bench::Payer;

/// Through every screen and dialog there is, up to a review.
fn tour(console: &mut Console, label: &Payer) {
    for key in ["e", "a", "c", "?", ":", "w", "q"] {
        console.cost(key);
        console.cost("\x1b");
    }
    console.paste(&label.expected.customer);
    console.settled(QUIET);
    console.cost("\r");
    console.wait_until("the verdict", |s| s.contains("FREE in the app"));
    for _ in 0..5 {
        console.cost("\t");
    }
    console.cost("\r");
    console.wait_for("sub_");
    console.cost("\x1b");
    console.send("f");
    console.wait_for("done otherwise here");
    console.cost("e");
    console.cost("\x1b");
}

/// The parameters of every colour or attribute sequence, one by one.
fn attributes(raw: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(raw);
    let mut found = Vec::new();
    for part in text.split("\x1b[").skip(1) {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        if part[end..].starts_with('m') {
            found.extend(part[..end].split(';').map(str::to_string));
        }
    }
    found
}

/// Bold, dim, underlined, reversed, and back.
const PLAIN: [&str; 6] = ["", "0", "1", "2", "4", "7"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_colour_there_is_none() {
    for (arguments, extra) in [(&[][..], &[("NO_COLOR", "1")][..]), (&["--color=never"], &[])] {
        let (_bench, labels, mut console) = busy(80, 24, arguments, extra).await;
        tour(&mut console, &labels[0]);
        let used = attributes(&console.written(0));
        let coloured: Vec<_> = used.iter().filter(|a| !PLAIN.contains(&a.as_str())).collect();
        assert!(!used.is_empty() && coloured.is_empty(), "{arguments:?} {extra:?}: {coloured:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_only_ascii_is_understood_only_ascii_is_written() {
    for (arguments, extra) in [(&["--ascii"][..], &[][..]), (&[], &[("LANG", "C")])] {
        let (_bench, labels, mut console) = busy(80, 24, arguments, extra).await;
        tour(&mut console, &labels[0]);
        let raw = console.written(0);
        let odd: Vec<_> = String::from_utf8_lossy(&raw).chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "{arguments:?} {extra:?}: {odd:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_hues_are_enough_for_any_screen() {
    let (_bench, labels, mut console) = busy(80, 24, &[], &[]).await;
    tour(&mut console, &labels[0]);
    let hues: std::collections::BTreeSet<String> =
        attributes(&console.written(0)).into_iter().filter(|a| !PLAIN.contains(&a.as_str()) && a != "39" && a != "49").collect();
    assert!(hues.iter().all(|h| ["31", "32", "33", "36"].contains(&h.as_str())), "{hues:?}");
}
