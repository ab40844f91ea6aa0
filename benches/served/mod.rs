//! What benches of the whole program share: a sandbox in a process of its own, and what a process costs. It measures nothing.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The sandbox's process; it ends with this one.
pub struct Sandbox {
    process: Child,
    pub variables: HashMap<String, String>,
}

impl Sandbox {
    /// Serves so many customers, with these arguments besides; returns once it is ready.
    pub fn start(customers: u64, arguments: &[&str]) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_nightdesk"))
            .args(["sandbox", "--serve", "--customers", &customers.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        // From here on whatever ends this ends the process, and waits for it.
        let mut sandbox = Self { process, variables: HashMap::new() };
        let out = sandbox.process.stdout.take().expect("its words");
        for line in BufReader::new(out).lines() {
            let line = line.expect("a line");
            if line == "# ready" {
                return sandbox;
            }
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|l| l.split_once('=')) {
                sandbox.variables.insert(name.to_string(), value.trim_matches('\'').to_string());
            }
        }
        panic!("the sandbox ended before it was ready");
    }

    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("the sandbox says no {name}"))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Its own end takes the cluster with it.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).expect("a pid"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

/// What a process holds in memory and the most it ever held, in MiB; zeros where the system does not say.
pub fn memory(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Processor time that a process has used.
pub fn processor(pid: u32) -> Duration {
    let nanoseconds = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(tasks.filter_map(nanoseconds).sum())
}

/// Waits until it holds, looking often.
///
/// # Panics
/// Where it does not within `patience`.
pub fn wait(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}
