//! `nightdesk sandbox --serve` as a child process, and the end of processes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bench;

/// `nightdesk sandbox --serve`, ready.
pub struct Served {
    pub child: Child,
    pub environment: Vec<(String, String)>,
    pub postmaster: u32,
}

impl Served {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// With these variables beside the caller's own.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(bench::executable())
            .args(["sandbox", "--serve"])
            .args(arguments)
            .process_group(0)
            .env("TMPDIR", bench::home())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut environment = Vec::new();
        let mut ready = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line == "# ready" {
                ready = true;
                break;
            }
            let (name, value) = line.strip_prefix("export ").and_then(|l| l.split_once('=')).unwrap();
            environment.push((name.to_string(), value.trim_matches('\'').to_string()));
        }
        assert!(ready, "it said ready");
        let mut served = Self { child, environment, postmaster: 0 };
        let pid = std::fs::read_to_string(served.directory().join("data/postmaster.pid")).unwrap();
        served.postmaster = pid.lines().next().unwrap().parse().unwrap();
        served
    }

    pub fn get(&self, name: &str) -> &str {
        &self.environment.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} was exported")).1
    }

    pub fn directory(&self) -> PathBuf {
        PathBuf::from(self.get("APP_LOG")).parent().unwrap().to_path_buf()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// A zombie whose parent has not looked yet counts as gone.
pub fn alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) if cfg!(target_os = "linux") => false,
        Err(_) => kill(Pid::from_raw(pid.cast_signed()), None).is_ok(),
    }
}

/// Polls until the directory and the process are gone.
pub fn gone(directory: &Path, pid: u32) {
    let patience = Instant::now() + Duration::from_secs(10);
    while directory.exists() || alive(pid) {
        assert!(Instant::now() < patience, "still there: {}, process {pid}", directory.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
