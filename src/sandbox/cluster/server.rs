//! One `postgres` process: its arguments, readiness and end; knows nothing of directories' lives.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tokio::process::{Child, Command};

use super::{Order, initdb};

const LOG: &str = "postgres.log";
const READY_WITHIN: Duration = Duration::from_secs(20);
const PATIENCE: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(2)),  // fast: sessions are told
    (Signal::SIGQUIT, Duration::from_secs(8)), // immediate: after five seconds the server kills its own
    (Signal::SIGKILL, Duration::from_secs(2)),
];

/// A running server; its end is up to its owner.
pub struct Server {
    child: Child,
    pid: u32,
    pub port: u16,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns when the server has ended by itself.
    pub async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Immediate shutdown: no session is told, and the next start recovers.
    pub async fn stop_at_once(&mut self) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGQUIT);
        if tokio::time::timeout(PATIENCE[1].1, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Fast shutdown, then ever less polite ones.
    pub async fn stop(&mut self) {
        let pid = Pid::from_raw(self.pid.cast_signed());
        for (signal, patience) in PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            // A frozen server would never hear the signal.
            let _ = kill(pid, signal);
            let _ = kill(pid, Signal::SIGCONT);
            if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
                return;
            }
        }
    }
}

/// Starts the server on `home/data` and returns when it accepts connections. A port that somebody else took between our
/// choice and the server's is a reason to choose again.
///
/// # Errors
/// The server's own last words.
pub async fn start(order: &Order, home: &Path, account: Option<&User>) -> Result<Server, String> {
    let mut last = String::new();
    for _ in 0..5 {
        // The words of an attempt before are not this one's.
        let _ = fs::remove_file(home.join(LOG));
        let port = free_port().map_err(|e| format!("no free loopback port: {e}"))?;
        match attempt(order, home, account, port).await {
            Ok(server) => return Ok(server),
            Err(said) if said.contains("in use") || said.contains("create any TCP/IP sockets") => last = said,
            Err(said) => return Err(said),
        }
    }
    Err(last)
}

/// Starts the server again on the port it had; whoever took the port meanwhile may let it go again.
///
/// # Errors
/// The server's own last words.
pub async fn start_again(order: &Order, home: &Path, account: Option<&User>, port: u16) -> Result<Server, String> {
    let mut last = String::new();
    for _ in 0..20 {
        match attempt(order, home, account, port).await {
            Ok(server) => return Ok(server),
            Err(said) => last = said,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(last)
}

async fn attempt(order: &Order, home: &Path, account: Option<&User>, port: u16) -> Result<Server, String> {
    let data = home.join("data");
    let log = home.join(LOG);
    // After a restart the log goes on.
    let file = File::options().create(true).append(true).open(&log).map_err(|e| e.to_string())?;
    let both = file.try_clone().map_err(|e| e.to_string())?;
    let mut command = initdb::command(&order.bin.join("postgres"), home, account);
    command.arg("-D").arg(&data).stdout(Stdio::from(file)).stderr(Stdio::from(both));
    for (name, value) in settings(order, home, port) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let mut child = Command::from(command).spawn().map_err(|e| format!("postgres could not be run: {e}"))?;
    let pid = child.id().expect("invariant: a child that was not waited for has an id");
    let patience = Instant::now() + READY_WITHIN;
    loop {
        if ready(&data) {
            return Ok(Server { child, pid, port });
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return Err(last_words(&log));
        }
        if Instant::now() > patience {
            let _ = child.kill().await;
            return Err(format!("it was not ready within {} s: {}", READY_WITHIN.as_secs(), last_words(&log)));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Nothing here has to survive a crash of the machine, so nothing waits for the disk.
fn settings(order: &Order, home: &Path, port: u16) -> Vec<(String, String)> {
    let fixed = [
        ("listen_addresses", "127.0.0.1".to_string()),
        ("port", port.to_string()),
        ("unix_socket_directories", home.display().to_string()),
        ("unix_socket_permissions", "0700".into()),
        ("max_connections", order.max_connections.to_string()),
        // What is committed is handed to the system: it survives a crash of the server, which an incident is.
        ("fsync", "off".into()),
        ("full_page_writes", "off".into()),
        ("shared_buffers", "64MB".into()),
        ("max_wal_size", "1GB".into()),
        // Beside the data, so that a killed server leaves nothing elsewhere.
        ("dynamic_shared_memory_type", "mmap".into()),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        // Whose session a line is about: a drill reads there which ones were ended.
        ("log_line_prefix", "%m [%p %s] %q%u@%d %a ".into()),
    ];
    let mut out: Vec<_> = fixed.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    out.extend(order.settings.iter().cloned());
    out
}

/// The eighth line of the pid file is the server's own word on its state.
fn ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready"))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn last_words(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|l| l.contains("FATAL")).or_else(|| text.lines().last()).unwrap_or("it said nothing");
    // Without the time stamp and the process id in front.
    line.split_once("] ").map_or(line, |(_, rest)| rest).trim().to_string()
}
