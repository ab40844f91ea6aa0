//! The application's logs, in real files and from real commands.

mod command_line;
mod commands;
mod console;
mod files;

use chrono::{DateTime, TimeDelta, Utc};
use nightdesk::config::{Config, LogSource};
use nightdesk::domain::fault::Fault;
use nightdesk::domain::webhooks::log::{LogLine, LogSearch};
use nightdesk::gateway::logs::Logs;
use nightdesk::protocol::query::{Query, Reply};

/// An answer.
#[derive(Debug)]
struct Lines {
    lines: Vec<LogLine>,
    complete: bool,
    covers: Option<DateTime<Utc>>,
    note: Option<String>,
}

impl Lines {
    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|l| l.text.as_str()).collect()
    }
}

fn logs(sources: Vec<LogSource>) -> Logs {
    let given = |name: &str| (name == "APP_URL").then(|| "http://127.0.0.1:1".to_string());
    let mut config = Config::load(None, None, &given).expect("enough");
    config.logs = sources;
    Logs::new(&config).expect("they are configured")
}

async fn ask(logs: &Logs, search: LogSearch) -> Result<Lines, Fault> {
    match logs.answer(&Query::Logs(search)).await? {
        Reply::Logs { lines, complete, covers, note } => Ok(Lines { lines, complete, covers, note }),
        other => panic!("{other:?}"),
    }
}

fn search(needle: &str, since: DateTime<Utc>, limit: u32) -> LogSearch {
    LogSearch { needles: vec![needle.into()], ..LogSearch::everything(since, limit) }
}

fn ago(minutes: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::minutes(minutes)
}

/// A line as pino writes it.
fn pino(at: DateTime<Utc>, level: u8, message: &str) -> String {
    serde_json::json!({ "level": level, "time": at.timestamp_millis(), "msg": message }).to_string() + "\n"
}
