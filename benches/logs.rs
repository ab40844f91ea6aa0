//! What the first match of the last hour takes in a large log: a day of JSON lines, written for it and removed after.
//! `cargo bench --bench logs`; `-- 5000` for so many megabytes.

use chrono::{TimeDelta, Utc};
use nightdesk::config::{Config, LogSource};
use nightdesk::domain::webhooks::log::LogSearch;
use nightdesk::gateway::logs::Logs;
use nightdesk::protocol::query::{Query, Reply};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const MEGABYTES: u64 = 500;
/// Length of one line, its end included.
const LINE: u64 = 200;
/// One line in so many is what is looked for.
const RARE: u64 = 20_000;

#[tokio::main]
async fn main() {
    let megabytes = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(MEGABYTES);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.log");
    let lines = megabytes * 1_000_000 / LINE;
    write(&path, lines);
    let length = std::fs::metadata(&path).expect("written").len();
    println!("{} MB, {lines} lines, one in {RARE} of them looked for", length / 1_000_000);
    let nobody = |name: &str| (name == "APP_URL").then(|| "http://127.0.0.1:1".to_string());
    let mut config = Config::load(None, None, &nobody).expect("a configuration");
    config.logs = vec![LogSource::File(path)];
    let logs = Logs::new(&config).expect("a log is set up");
    let search = |limit, oldest_first| LogSearch {
        needles: vec!["profile not found".into()],
        at_least: None,
        since: Utc::now() - TimeDelta::hours(1),
        limit,
        oldest_first,
    };
    for (what, limit, oldest_first) in
        [("newest match", 1, false), ("first match of the hour", 1, true), ("every match of the hour", 500, false)]
    {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let began = Instant::now();
            let answer = logs.answer(&Query::Logs(search(limit, oldest_first))).await.expect("an answer");
            times.push(began.elapsed());
            let Reply::Logs { lines, note, .. } = answer else { panic!("{answer:?}") };
            found = lines.len();
            assert!(found > 0, "{note:?}");
        }
        let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
        let worst = times.iter().max().copied().unwrap_or_default();
        println!("{what:<24} {found:>4} lines, {:>7.1} ms the first time, {:>7.1} ms at most", ms(times[0]), ms(worst));
    }
}

/// A day's requests, a few of them failed.
fn write(path: &Path, lines: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let begin = (Utc::now() - TimeDelta::hours(24)).timestamp_millis();
    let filler = "x".repeat(121);
    for n in 0..lines {
        let at = begin + i64::try_from(n * 86_400_000 / lines).expect("a day");
        let message = if n % RARE == 0 { "Webhook error: Profile not found" } else { "request completed" };
        writeln!(file, "{{\"level\":30,\"time\":{at},\"pid\":1,\"about\":\"{filler}\",\"msg\":\"{message}\"}}").expect("written");
    }
    file.flush().expect("written");
}
