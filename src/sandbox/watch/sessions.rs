//! Which database sessions were ended by somebody, as the server's log tells it; who did it, the server does not say.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A session that was terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Killed {
    /// The backend's process id.
    pub pid: u32,
    pub role: String,
    pub application: String,
}

/// What was read from one server's log so far.
#[derive(Debug)]
pub struct Sessions {
    log: PathBuf,
    killed: BTreeMap<u32, Killed>,
    /// Sessions that ended before anybody counted.
    before: HashSet<u32>,
}

/// The server's words when a session ends because somebody asked for it.
const ENDED: &str = "FATAL:  terminating connection due to administrator command";
/// From here to the next start sessions end because the server does.
const STOPPING: [&str; 2] = ["LOG:  received fast shutdown request", "LOG:  received smart shutdown request"];
const STARTED: &str = "LOG:  database system is ready to accept connections";

impl Sessions {
    /// `log` must have lines that begin as `%m [%p] %q%u@%d %a ` makes them.
    #[must_use]
    pub fn new(log: PathBuf) -> Self {
        Self { log, killed: BTreeMap::new(), before: HashSet::new() }
    }

    /// From here on sessions count that end.
    pub fn begin(&mut self) {
        self.before.extend(read(&self.log).into_iter().map(|k| k.pid));
        self.killed.clear();
    }

    /// Everything so far. To be asked now and then: a server that is started again begins its log anew.
    pub fn killed(&mut self) -> Vec<Killed> {
        for killed in read(&self.log).into_iter().filter(|k| !self.before.contains(&k.pid)) {
            self.killed.insert(killed.pid, killed);
        }
        self.killed.values().cloned().collect()
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
    let pid = head.rsplit_once('[')?.1.parse().ok()?;
    let (role, rest) = rest.split_once('@')?;
    let application = rest.strip_suffix(ENDED)?.split_once(' ').map_or("", |(_, name)| name.trim_end());
    Some(Killed { pid, role: role.to_string(), application: application.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_that_somebody_ended_count() {
        let text = "2026-11-22 17:00:00.000 UTC [10] LOG:  database system is ready to accept connections
2026-11-22 17:00:01.000 UTC [41] app@app api FATAL:  terminating connection due to administrator command
2026-11-22 17:00:01.500 UTC [42] nightdesk@app  FATAL:  terminating connection due to administrator command
2026-11-22 17:00:02.000 UTC [43] app@app api ERROR:  canceling statement due to user request
2026-11-22 17:00:03.000 UTC [10] LOG:  received fast shutdown request
2026-11-22 17:00:03.100 UTC [44] app@app api FATAL:  terminating connection due to administrator command";
        let killed = parse(text);
        let expected = [
            Killed { pid: 41, role: "app".into(), application: "api".into() },
            Killed { pid: 42, role: "nightdesk".into(), application: String::new() },
        ];
        assert_eq!(killed, expected);
    }
}
