//! Logs in files: searched from the end, whatever is in them and whatever becomes of them.

use super::{ago, ask, logs, pino, search};
use chrono::{DateTime, TimeDelta, Utc};
use nightdesk::config::LogSource;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::webhooks::log::{Level, LogSearch};
use nightdesk::domain::webhooks::saying::{Saying, saying};
use nightdesk::gateway::logs::Logs;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
    path: PathBuf,
    logs: Logs,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let logs = logs(vec![LogSource::File(path.clone())]);
        Self { dir, path, logs }
    }

    fn with(text: &str) -> Self {
        let place = Self::new();
        place.append(text);
        place
    }

    fn append(&self, text: &str) {
        append(&self.path, text);
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn the_newest_come_first_and_the_range_and_the_level_are_kept() {
    let mut text = String::new();
    for minute in (1..=120).rev() {
        text += &pino(ago(minute), 30, &format!("Webhook processed {minute}"));
        text += &pino(ago(minute), 50, &format!("Webhook error: {minute}"));
        text += &pino(ago(minute), 30, "GET /health");
    }
    let place = Place::with(&text);
    let found = ask(&place.logs, search("WEBHOOK ERROR", ago(60), 3)).await.unwrap();
    assert_eq!(found.texts(), ["Webhook error: 1", "Webhook error: 2", "Webhook error: 3"]);
    assert!(!found.complete && found.note.as_deref() == Some("these are the last 3"), "{found:?}");

    let all = ask(&place.logs, search("webhook error", ago(60), 500)).await.unwrap();
    assert!(all.complete && (59..=60).contains(&all.lines.len()), "{}", all.lines.len());
    assert!(all.lines.is_sorted_by_key(|l| std::cmp::Reverse(l.at)));
    let first = ask(&place.logs, LogSearch { oldest_first: true, ..search("webhook error", ago(60), 1) }).await.unwrap();
    assert_eq!(first.lines[0], *all.lines.last().unwrap(), "when it began");

    assert_eq!(found.covers, found.lines[2].at, "between those that were cut off nothing is lacking");
    assert!(all.covers.is_some_and(|at| at < all.lines.last().unwrap().at.unwrap()) && first.covers.is_none());

    let warned = ask(&place.logs, LogSearch::warnings(ago(60), 500)).await.unwrap();
    assert_eq!(warned.lines, all.lines, "what went well is left out");
    assert!(warned.lines.iter().all(|l| l.level == Some(Level::Error) && saying(&l.text) == Some(Saying::Failed) && l.source == "app.log"));
    let everything = ask(&place.logs, LogSearch::everything(ago(1_000), 5_000)).await.unwrap();
    assert_eq!(everything.lines.len(), 360);
    assert_eq!(everything.covers, everything.lines.last().unwrap().at, "it begins there");
    assert!(everything.note.as_deref().is_some_and(|n| n.starts_with("app.log begins at ")), "{:?}", everything.note);
}

/// A file that is long and nearly empty: every megabyte begins with lines, and the rest is a hole.
fn sparse(path: &Path, megabytes: u64, from: DateTime<Utc>, step: TimeDelta) {
    let file = File::create(path).unwrap();
    for n in 0..megabytes {
        let at = from + step * i32::try_from(n).unwrap();
        let text = format!("\n{}{}", pino(at, 30, "GET /health"), pino(at, 50, &format!("Webhook error: {n}")));
        file.write_all_at(text.as_bytes(), n << 20).unwrap();
    }
    file.set_len(megabytes << 20).unwrap();
}

#[tokio::test]
async fn a_large_file_is_searched_without_reading_it_whole() {
    let place = Place::new();
    // A day in 400 MB: the last hour is in the last seventeen.
    let step = TimeDelta::seconds(216);
    sparse(&place.path, 400, Utc::now() - step * 400, step);
    let found = ask(&place.logs, search("webhook error", ago(60), 500)).await.unwrap();
    // Read whole, this takes several times what a question may.
    assert!(found.complete, "{:?}", found.note);
    let numbers: Vec<&str> = found.texts();
    assert!((16..=17).contains(&numbers.len()) && numbers[0] == "Webhook error: 399", "{numbers:?}");
    let first = ask(&place.logs, LogSearch { oldest_first: true, ..search("webhook error", ago(60), 1) }).await.unwrap();
    assert_eq!(first.texts(), [*numbers.last().unwrap()]);
}

/// Run by hand: it writes five gigabytes. `cargo test --release --test it five_gigabytes -- --ignored --nocapture`
#[tokio::test]
#[ignore = "writes five gigabytes"]
async fn the_last_hour_of_five_gigabytes_takes_less_than_a_second() {
    let place = Place::new();
    let (lines, begin) = (25_000_000_i64, Utc::now() - TimeDelta::hours(24));
    {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(&place.path).unwrap());
        let filler = "x".repeat(130);
        for n in 0..lines {
            let at = (begin + TimeDelta::milliseconds(n * 86_400_000 / lines)).timestamp_millis();
            let message = if n % 100_000 == 0 { "Webhook error: Profile not found" } else { "request completed" };
            writeln!(file, "{{\"level\":30,\"time\":{at},\"pid\":1,\"about\":\"{filler}\",\"msg\":\"{message}\"}}").unwrap();
        }
    }
    let length = fs::metadata(&place.path).unwrap().len();
    let began = Instant::now();
    let first = ask(&place.logs, LogSearch { oldest_first: true, ..search("profile not found", ago(60), 1) }).await.unwrap();
    let (took_first, began) = (began.elapsed(), Instant::now());
    let all = ask(&place.logs, search("profile not found", ago(60), 500)).await.unwrap();
    let took_all = began.elapsed();
    println!("{} MB: the last hour's first match {took_first:?}, all {} of them {took_all:?}", length / 1_000_000, all.lines.len());
    assert!(length > 5_000_000_000 && took_first < Duration::from_secs(1), "{took_first:?}");
    assert!(all.complete && first.lines[0] == *all.lines.last().unwrap(), "{:?}", all.note);
}

#[tokio::test]
async fn what_was_rotated_away_is_still_searched() {
    let place = Place::with(&pino(ago(40), 50, "Webhook error: a"));
    place.logs.poll().await.unwrap();
    place.append(&pino(ago(30), 50, "Webhook error: b"));
    let rotated = place.dir.path().join("app.log.1");
    fs::rename(&place.path, &rotated).unwrap();
    fs::write(place.dir.path().join("app.log.2.gz"), pino(ago(50), 50, "Webhook error: compressed")).unwrap();
    fs::write(place.dir.path().join("app.log.swp"), pino(ago(50), 50, "Webhook error: another")).unwrap();

    // Not made anew yet.
    let found = ask(&place.logs, search("webhook", ago(45), 9)).await.unwrap();
    assert_eq!(found.texts(), ["Webhook error: b", "Webhook error: a"]);
    let fault = place.logs.poll().await.expect_err("it is away");
    assert!(fault.kind == FaultKind::NotFound && fault.say.contains("app.log is not there"), "{fault}");

    place.append(&pino(ago(20), 50, "Webhook error: c"));
    place.logs.poll().await.unwrap();
    let found = ask(&place.logs, search("webhook", ago(45), 9)).await.unwrap();
    assert_eq!(found.texts(), ["Webhook error: c", "Webhook error: b", "Webhook error: a"], "each once");

    // Compressed or removed at once: what was followed is remembered.
    fs::remove_file(&rotated).unwrap();
    let found = ask(&place.logs, search("webhook", ago(45), 9)).await.unwrap();
    assert_eq!(found.texts(), ["Webhook error: c", "Webhook error: b", "Webhook error: a"]);
    place.append(&pino(ago(10), 50, "Webhook error: d"));
    assert_eq!(ask(&place.logs, search("webhook", ago(15), 9)).await.unwrap().texts(), ["Webhook error: d"]);
}

#[tokio::test]
async fn a_file_that_is_cut_off_goes_on() {
    let place = Place::with(&pino(ago(40), 50, "Webhook error: a"));
    place.logs.poll().await.unwrap();
    fs::copy(&place.path, place.dir.path().join("app.log-20261122")).unwrap();
    File::create(&place.path).unwrap();
    place.append(&pino(ago(30), 50, "Webhook error: a longer line than the one that stood there before it"));
    place.logs.poll().await.unwrap();
    let found = ask(&place.logs, search("webhook", ago(45), 9)).await.unwrap();
    assert_eq!(found.lines.len(), 2, "each once: {:?}", found.texts());
    fs::remove_file(place.dir.path().join("app.log-20261122")).unwrap();
    assert_eq!(ask(&place.logs, search("webhook", ago(45), 9)).await.unwrap().lines.len(), 2, "remembered");
}

#[tokio::test]
async fn lines_that_nobody_should_write_harm_nothing() {
    let mut text = pino(ago(9), 50, "Webhook error: before").into_bytes();
    text.extend(
        format!("{{\"level\":50,\"time\":{},\"msg\":\"Webhook error: {}\"}}\n", ago(8).timestamp_millis(), "y".repeat(10_000_000)).bytes(),
    );
    text.extend((0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
    text.extend(b"\nwebhook \x1b[2J\x1b]52;c;aGk=\x07 \xff\xfe\n");
    text.extend(pino(ago(7), 50, "Webhook error: key sk_live_51Habcdefghijk of jane.doe@acme.com").bytes());
    text.extend(pino(ago(6), 50, "Webhook error: no line break").trim_end().bytes());
    let place = Place::new();
    fs::write(&place.path, &text).unwrap();
    let found = ask(&place.logs, search("webhook", ago(30), 50)).await.unwrap();
    let texts = found.texts();
    assert_eq!(texts[0], "Webhook error: no line break");
    assert_eq!(texts[1], "Webhook error: key sk_live_••• of j•••@a•••.com");
    assert!(texts.contains(&"Webhook error: before"), "{:?}", texts.iter().map(|t| &t[..t.floor_char_boundary(60)]).collect::<Vec<_>>());
    let long = found.lines.iter().find(|l| l.text.contains("yyyy")).expect("the long one");
    assert!(long.text.len() < 2_100 && long.text.ends_with('…') && long.at.is_some(), "{}", long.text.len());
    for line in &found.lines {
        assert!(!line.text.chars().any(nightdesk::domain::text::is_hostile), "{:?}", line.text);
    }
    place.logs.poll().await.unwrap();
}

#[tokio::test]
async fn what_is_no_log_is_refused_in_one_sentence() {
    let place = Place::new();
    let fault = ask(&place.logs, search("x", ago(1), 1)).await.expect_err("nothing there");
    assert!(fault.kind == FaultKind::NotFound && fault.say.contains("APP_LOG"), "{fault}");
    fs::create_dir(&place.path).unwrap();
    let fault = place.logs.poll().await.expect_err("a directory");
    assert!(fault.say.contains("it is a directory"), "{fault}");
    fs::remove_dir(&place.path).unwrap();
    nix::unistd::mkfifo(&place.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let began = Instant::now();
    let fault = ask(&place.logs, search("x", ago(1), 1)).await.expect_err("a pipe");
    assert!(fault.say.contains("read it with a command") && began.elapsed() < Duration::from_secs(2), "{fault}");
    fs::remove_file(&place.path).unwrap();
    place.append(&pino(Utc::now(), 30, "x"));
    place.logs.poll().await.expect("it appeared");
    assert_eq!(ask(&place.logs, search("x", ago(1), 1)).await.unwrap().lines.len(), 1);
}

#[tokio::test]
async fn one_log_that_cannot_be_read_leaves_the_others() {
    let place = Place::with("2026-11-22 02:41:07 hello\n");
    let both = logs(vec![LogSource::File(place.path.clone()), LogSource::File(place.dir.path().join("gone.log"))]);
    let found = ask(&both, LogSearch::everything(DateTime::default(), 9)).await.unwrap();
    assert!(found.texts() == ["hello"] && found.note.as_deref().is_some_and(|n| n.contains("gone.log is not there")), "{found:?}");
    assert!(!found.complete && found.covers.is_none());
}
