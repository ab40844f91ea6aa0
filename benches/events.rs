//! What a hundred thousand events cost the console, as it runs: the binary in a terminal, Stripe, Postgres and the application in another
//! process. `cargo bench --bench events`; `-- 40000 20` for so many customers, and so many requests a second to Stripe.

#![allow(dead_code, reason = "the terminal is shared with the integration tests, which use more of it")]

mod served;
#[path = "../tests/it/terminal.rs"]
mod terminal;

use served::Sandbox;
use std::io::Write;
use std::time::{Duration, Instant};
use terminal::Terminal;

/// Who bring about a hundred thousand events of handled types in thirty days.
const CUSTOMERS: u64 = 400_000;
/// Listing is asked of Stripe page by page, in the background's budget.
const LISTED_WITHIN: Duration = Duration::from_secs(1_200);
/// What is looked at, as the menu calls it.
const RANGE: &str = "look at the last 30 days";
/// So long the console is watched while nobody does anything.
const IDLE: Duration = Duration::from_secs(60);

fn main() {
    let mut numbers = std::env::args().filter_map(|a| a.parse::<u64>().ok());
    let customers = numbers.next().unwrap_or(CUSTOMERS);
    let sandbox = Sandbox::start(customers, &[]);
    let state = tempfile::tempdir().expect("a directory");
    if let Some(rate) = numbers.next() {
        // Beside what the sandbox wrote there.
        let mut file = std::fs::OpenOptions::new().append(true).open(sandbox.variable("NIGHTDESK_CONFIG")).expect("the configuration");
        writeln!(file, "\n[stripe]\nbackground_per_s = {rate}").expect("written");
    }
    let mut variables: Vec<(String, String)> = sandbox.variables.clone().into_iter().collect();
    variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
    let mut console = Terminal::start(120, 36, &[], &variables);
    let pid = u32::try_from(console.pid()).expect("a pid");
    console.wait_for("Home");
    console.send("2");
    console.wait_for("Causes");
    console.send("\t");
    console.send("a");
    console.wait_for(RANGE);
    // What has just opened takes no key yet.
    std::thread::sleep(Duration::from_secs(1));
    // The menu's letter for it, as it stands on the screen.
    let screen = console.screen();
    let letter = screen.lines().find(|l| l.contains(RANGE)).and_then(|l| l.split_whitespace().next()).expect("a letter before it");
    console.send(letter);
    let began = Instant::now();
    served::wait("the reading of thirty days", LISTED_WITHIN, || headline(&console.screen()).contains("so far"));
    let (mut most, mut told) = (0.0_f64, Instant::now());
    served::wait("all events of thirty days", LISTED_WITHIN, || {
        let screen = console.screen();
        most = most.max(served::memory(pid).0);
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            eprintln!("{:>6.0} s  {}", began.elapsed().as_secs_f64(), headline(&screen));
        }
        screen.contains("events in 30 days") && !screen.contains("so far") && !screen.contains("to compare")
    });
    let listed = began.elapsed();
    println!("{}", headline(&console.screen()));
    println!("listed and compared within {:.0} s of the key", listed.as_secs_f64());
    println!("memory             {:.0} MiB now, {:.0} MiB at most", served::memory(pid).0, served::memory(pid).1);

    idle(&console, pid);
    keys(&mut console, "filter", "/", "cus_7 !type:invoice verdict:applied >1h", "\x1b");
    keys(&mut console, "filter, one word", "/", "updated", "\x1b");
    keys(&mut console, "sort", "", "sssss", "");
    keys(&mut console, "group", "", "vvvv", "");
    keys(&mut console, "move", "", "jjjjkkkk", "");
    let (now, peak) = served::memory(pid);
    println!("memory             {now:.0} MiB now, {peak:.0} MiB at most");
}

/// Types the keys one by one, each when the one before has been painted, and prints what the first byte and the whole answer took.
fn keys(console: &mut Terminal, what: &str, before: &str, typed: &str, after: &str) {
    let quiet = Duration::from_millis(150);
    if !before.is_empty() {
        console.settled(quiet);
        console.send(before);
        std::thread::sleep(quiet);
    }
    let mut first = Vec::new();
    for key in typed.chars() {
        let from = console.settled(quiet);
        let sent = Instant::now();
        console.send(&key.to_string());
        while console.bytes() == from && sent.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_micros(200));
        }
        first.push((sent.elapsed(), first.len() + 1));
    }
    if !after.is_empty() {
        console.send(after);
    }
    first.sort_unstable();
    let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
    println!(
        "{what:<18} key to bytes: median {:>5.1} ms, worst {:>5.1} ms of {} keys: the {}th",
        ms(first[first.len() / 2].0),
        ms(first[first.len() - 1].0),
        first.len(),
        first[first.len() - 1].1
    );
}

/// What it costs while nobody does anything.
fn idle(console: &Terminal, pid: u32) {
    console.settled(Duration::from_millis(500));
    let (bytes, used, began) = (console.bytes(), served::processor(pid), Instant::now());
    std::thread::sleep(IDLE);
    let seconds = began.elapsed().as_secs_f64();
    let used = served::processor(pid).saturating_sub(used).as_secs_f64();
    let written = (console.bytes() - bytes) as f64;
    println!("idle               {:.0} bytes/s, {:.1} % of a processor, over {seconds:.0} s", written / seconds, 100.0 * used / seconds);
}

fn headline(screen: &str) -> String {
    screen.lines().find(|l| l.contains("in 30 days")).unwrap_or("").trim().to_string()
}
