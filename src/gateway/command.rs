//! Configured commands that are only read: argv, run without a terminal, bounded in time and output. What they print means nothing here.

use super::logs::redact;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Why a command gave nothing. Arguments are not named: they may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("{program} could not be run: {error}")]
    NotRun { program: String, error: io::Error },
    #[error("{program} has not ended after {seconds} s")]
    Late { program: String, seconds: u64 },
    #[error("{program} prints more than {most} bytes")]
    TooMuch { program: String, most: usize },
    #[error("{program} ended with {status}{}", said(.complaint))]
    Badly { program: String, status: ExitStatus, complaint: String },
}

/// So much of a complaint is kept, in bytes.
const COMPLAINT: usize = 1 << 10;

/// What the command prints, at most `most` bytes. One that takes longer than `limit` or prints more is killed, with what it started.
///
/// # Errors
/// [`CommandError`].
pub async fn read(argv: &[String], limit: Duration, most: usize) -> Result<Vec<u8>, CommandError> {
    let (program, arguments) = argv.split_first().ok_or(CommandError::Empty)?;
    let program = || name(program);
    let mut child = Command::new(&argv[0])
        .args(arguments)
        // Whoever asks has the screen; a command that asks back would write into it.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CommandError::NotRun { program: program(), error })?;
    let _group = Group(child.id());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let both = async {
        let (out, err) = tokio::join!(upto(out, most), upto(err, COMPLAINT));
        match out {
            Some(out) => child.wait().await.map(|status| Some((status, out, err.unwrap_or_default()))),
            None => Ok(None),
        }
    };
    let late = |_| CommandError::Late { program: program(), seconds: limit.as_secs() };
    let ended = tokio::time::timeout(limit, both).await.map_err(late)?;
    match ended.map_err(|error| CommandError::NotRun { program: program(), error })? {
        Some((status, out, _)) if status.success() => Ok(out),
        Some((status, _, err)) => Err(CommandError::Badly { program: program(), status, complaint: first_line(&err) }),
        None => Err(CommandError::TooMuch { program: program(), most }),
    }
}

/// The program without its path.
pub fn name(program: &str) -> String {
    crate::domain::text::clean(program.rsplit('/').next().unwrap_or(program))
}

/// All of it; `None` where there is more. What is more of a complaint is nobody's loss.
async fn upto(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let Some(pipe) = pipe else { return Some(all) };
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    // A pipe that breaks has said what it had to say.
    let _ = pipe.take(limit).read_to_end(&mut all).await;
    (all.len() <= most).then_some(all)
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    redact::said(line, COMPLAINT)
}

fn said(complaint: &str) -> String {
    if complaint.is_empty() { String::new() } else { format!(": {complaint}") }
}

/// The process group of a command; ends with whoever reads it.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Gone already is what is wanted.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].iter().map(ToString::to_string).collect()
    }

    async fn said(argv: &[String]) -> Result<String, String> {
        let read = read(argv, Duration::from_secs(2), 100).await;
        read.map(|out| String::from_utf8_lossy(&out).into_owned()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn what_a_command_does_wrong_is_one_sentence() {
        assert_eq!(said(&sh("echo hello")).await.as_deref(), Ok("hello\n"));
        assert_eq!(said(&sh("echo no such vault >&2; exit 3")).await, Err("sh ended with exit status: 3: no such vault".into()));
        assert_eq!(said(&sh("yes")).await, Err("sh prints more than 100 bytes".into()));
        assert_eq!(said(&sh("sleep 60")).await, Err("sh has not ended after 2 s".into()));
        assert!(said(&["/nonexistent/x".to_string()]).await.is_err_and(|e| e.starts_with("x could not be run")));
        assert_eq!(said(&[]).await, Err("the command is empty".into()));
    }

    #[tokio::test]
    async fn what_it_started_ends_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        assert!(said(&sh(&script)).await.is_err());
        let pid: i32 = std::fs::read_to_string(file).expect("written").trim().parse().expect("a number");
        for _ in 0..200 {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie is waited for by whoever adopts it.
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{pid} is still there");
    }
}
