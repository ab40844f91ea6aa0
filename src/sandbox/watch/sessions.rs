//! Which database sessions were ended by somebody, as the server's log tells it; who did it, the server does not say.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

/// A session that was terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Killed {
    /// The backend's process id.
    pub pid: u32,
    /// When the session began, in whole seconds: tells it from another one with the same process id.
    pub started: DateTime<Utc>,
    pub role: String,
    pub application: String,
}

/// What was read from one server's log so far.
#[derive(Debug)]
pub struct Sessions {
    log: PathBuf,
    killed: BTreeMap<Backend, Killed>,
    /// Sessions that ended before anybody counted.
    before: HashSet<Backend>,
}

/// What tells a session from all others: its process id, and its start.
type Backend = (u32, DateTime<Utc>);

/// The server's words when a session ends because somebody asked for it.
const ENDED: &str = "FATAL:  terminating connection due to administrator command";
/// From here to the next start sessions end because the server does.
const STOPPING: [&str; 2] = ["LOG:  received fast shutdown request", "LOG:  received smart shutdown request"];
const STARTED: &str = "LOG:  database system is ready to accept connections";

impl Sessions {
    /// `log` must have lines that begin as `%m [%p %s] %q%u@%d %a ` makes them, in UTC.
    #[must_use]
    pub fn new(log: PathBuf) -> Self {
        Self { log, killed: BTreeMap::new(), before: HashSet::new() }
    }

    /// From here on sessions count that end.
    pub fn begin(&mut self) {
        self.before.extend(read(&self.log).into_iter().map(|k| k.backend()));
        self.killed.clear();
    }

    /// Everything so far. To be asked now and then: a server that is started again begins its log anew.
    pub fn killed(&mut self) -> Vec<Killed> {
        for killed in read(&self.log).into_iter().filter(|k| !self.before.contains(&k.backend())) {
            self.killed.insert(killed.backend(), killed);
        }
        self.killed.values().cloned().collect()
    }
}

impl Killed {
    fn backend(&self) -> Backend {
        (self.pid, self.started)
    }
}

fn read(log: &Path) -> Vec<Killed> {
    // The log of a server on its way up is not there yet.
    parse(&String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()))
}

fn parse(text: &str) -> Vec<Killed> {
    let mut stopping = false;
    let mut out = Vec::new();
    for line in text.lines() {
        if STOPPING.iter().any(|s| line.contains(s)) {
            stopping = true;
        } else if line.contains(STARTED) {
            stopping = false;
        } else if !stopping && line.ends_with(ENDED) {
            out.extend(session(line));
        }
    }
    out
}

fn session(line: &str) -> Option<Killed> {
    let (head, rest) = line.split_once("] ")?;
    let (pid, started) = head.rsplit_once('[')?.1.split_once(' ')?;
    let (pid, started) = (pid.parse().ok()?, NaiveDateTime::parse_from_str(started, "%Y-%m-%d %H:%M:%S UTC").ok()?.and_utc());
    let (role, rest) = rest.split_once('@')?;
    let application = rest.strip_suffix(ENDED)?.split_once(' ').map_or("", |(_, name)| name.trim_end());
    Some(Killed { pid, started, role: role.to_string(), application: application.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2026-11-22 17:00:00.000 UTC [10 2026-11-22 17:00:00 UTC] LOG:  database system is ready to accept connections
2026-11-22 17:00:01.000 UTC [41 2026-11-22 17:00:01 UTC] app@app api FATAL:  terminating connection due to administrator command
2026-11-22 17:00:01.500 UTC [42 2026-11-22 17:00:01 UTC] nightdesk@app  FATAL:  terminating connection due to administrator command
2026-11-22 17:00:02.000 UTC [43 2026-11-22 17:00:01 UTC] app@app api ERROR:  canceling statement due to user request
2026-11-22 17:00:03.000 UTC [10 2026-11-22 17:00:00 UTC] LOG:  received fast shutdown request
2026-11-22 17:00:03.100 UTC [44 2026-11-22 17:00:01 UTC] app@app api FATAL:  terminating connection due to administrator command
";

    fn second(seconds: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_366_800 + i64::from(seconds), 0).unwrap()
    }

    #[test]
    fn only_sessions_that_somebody_ended_count() {
        let expected = [
            Killed { pid: 41, started: second(1), role: "app".into(), application: "api".into() },
            Killed { pid: 42, started: second(1), role: "nightdesk".into(), application: String::new() },
        ];
        assert_eq!(parse(TEXT), expected);
    }

    #[test]
    fn a_process_id_that_comes_again_is_another_session() {
        let log = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(log.path(), TEXT).unwrap();
        let mut sessions = Sessions::new(log.path().to_path_buf());
        sessions.begin();
        assert_eq!(sessions.killed(), []);
        let again = "2026-11-22 17:00:04.000 UTC [10 2026-11-22 17:00:04 UTC] LOG:  database system is ready to accept connections
2026-11-22 17:00:06.000 UTC [41 2026-11-22 17:00:05 UTC] app@app api FATAL:  terminating connection due to administrator command
";
        std::fs::write(log.path(), format!("{TEXT}{again}")).unwrap();
        assert_eq!(sessions.killed(), [Killed { pid: 41, started: second(5), role: "app".into(), application: "api".into() }]);
    }
}
