//! Configured commands: the one that restarts the application, its output told line by line; the one that lists deploys; and what fetches
//! a credential that is kept elsewhere.

use super::command::{self, CommandError};
use super::logs::redact;
use crate::config::Hooks;
use crate::config::secret::{Credential, Kept, SecretRef};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::webhooks::deploy::{self, Deploy};
use crate::protocol::command::Outcome;
use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::broadcast;

/// How long the list of deploys and a kept credential may take.
const READ: Duration = Duration::from_secs(5);
/// Far more than anybody's list of deploys, in bytes.
const DEPLOYS: usize = 256 << 10;
/// Far more than any credential, in bytes.
const CREDENTIAL: usize = 64 << 10;
/// A line is cut here, in characters.
const LINE: usize = 300;
/// So many lines are told to the screen; the rest is only counted.
const LINES: usize = 500;
/// So many of the last lines stand in the outcome.
const KEPT: usize = 5;
/// After the end of a command its output is waited for so long: what it left running may hold the pipe for ever.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// The command of that name.
///
/// # Errors
/// None is configured, or there is no hook of that name that changes anything.
pub fn argv<'a>(hooks: &'a Hooks, name: &str) -> Result<&'a [String], Fault> {
    let configured = if name == "restart_app" { hooks.restart_app.as_deref() } else { None };
    let say = || format!("no command is configured for it: set [hooks] {name}");
    configured.ok_or_else(|| Fault::new(Source::Application, FaultKind::NotSetUp, say()))
}

/// The command that calls this contact.
///
/// # Errors
/// None is configured.
pub fn calling(hooks: &Hooks, contact: &str) -> Result<Vec<String>, Fault> {
    let missing = || Fault::new(Source::Application, FaultKind::NotSetUp, "no command is configured for it: set [hooks] escalate");
    let argv = hooks.escalate.as_ref().ok_or_else(missing)?;
    Ok(argv.iter().map(|a| a.replace("{contact}", contact)).collect())
}

/// What was deployed, newest first.
///
/// # Errors
/// No command is configured, or it failed, or nothing that it printed is a deploy.
pub async fn deploys(hooks: &Hooks) -> Result<Vec<Deploy>, Fault> {
    let fault = |kind, say: String| Fault::new(Source::Application, kind, say);
    let missing = "what was deployed is told by a command, and none is configured: [hooks] deploys";
    let argv = hooks.deploys.as_ref().ok_or_else(|| fault(FaultKind::NotSetUp, missing.into()))?;
    let output = command::read(argv, READ, DEPLOYS).await.map_err(|error| fault(kind(&error), format!("[hooks] deploys: {error}")))?;
    let output = String::from_utf8_lossy(&output);
    let say = "[hooks] deploys: none of its lines names a time and a version: print JSON lines with `at` and `version`, or `TIME VERSION`";
    deploy::parse(&output).ok_or_else(|| fault(FaultKind::Schema, say.into()))
}

/// Fetches a credential that is kept elsewhere. Without a terminal: the screen is somebody else's.
///
/// # Errors
/// Why it cannot be had, with its key in the file.
pub async fn fetch(kept: &Kept, source: Source) -> Result<Credential, Fault> {
    let fault = |why: String| Fault::new(source, FaultKind::Auth, why);
    let SecretRef::Command { command } = &kept.from else {
        return kept.resolve().map_err(|error| fault(error.to_string()));
    };
    let output = command::read(command, READ, CREDENTIAL).await.map_err(|error| fault(format!("{}: {error}", kept.what)))?;
    match std::str::from_utf8(&output).map(str::trim) {
        Ok("") => Err(fault(format!("{}: the command answered nothing", kept.what))),
        Ok(text) => Ok(Credential::new(text.to_string())),
        Err(_) => Err(fault(format!("{}: the command answered something that is not text", kept.what))),
    }
}

/// Runs the command once, hands it `input` and tells its lines as they come. Not repeated; one that takes longer than `limit` goes on, and
/// how it ends is not told.
pub async fn run(argv: &[String], input: Option<&str>, limit: Duration, key: &str, lines: &broadcast::Sender<String>) -> Outcome {
    let refused = |kind, say: String| Fault::new(Source::Application, kind, say);
    let Some((program, arguments)) = argv.split_first() else {
        return Outcome::NotDone(refused(FaultKind::NotSetUp, "the command is empty".into()));
    };
    let name = command::name(program);
    let spawned = Command::new(program)
        .args(arguments)
        .env("NIGHTDESK_IDEMPOTENCY_KEY", key)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C and a hang-up end us, not what was begun.
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Outcome::NotDone(refused(FaultKind::Refused, format!("{name} could not be run: {error}"))),
    };
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input.map(str::to_string)) {
        // A task of its own: a command that never reads is not to hold us up, and one that does not want it all says so by how it ends.
        tokio::spawn(async move {
            pipe.write_all(text.as_bytes()).await?;
            // A last line without an end is lost on whoever reads line by line.
            if text.ends_with('\n') { Ok(()) } else { pipe.write_all(b"\n").await }
        });
    }
    let said = Arc::new(Said { lines: lines.clone(), last: Mutex::default() });
    // Tasks of their own: what a daemon that was started inherits must be read for as long as we live, or it dies of a broken pipe.
    let out = child.stdout.take().map(|pipe| tokio::spawn(follow(pipe, Arc::clone(&said))));
    let err = child.stderr.take().map(|pipe| tokio::spawn(follow(pipe, Arc::clone(&said))));
    let ended = tokio::time::timeout(limit, child.wait()).await;
    if ended.is_ok() {
        let both = async {
            for reader in [out, err].into_iter().flatten() {
                let _ = reader.await;
            }
        };
        let _ = tokio::time::timeout(AFTERWARDS, both).await;
    }
    let words = said.last_words();
    match ended {
        Ok(Ok(status)) if status.success() => Outcome::done(format!("`{name}` succeeded{words}")),
        Ok(Ok(status)) => {
            Outcome::Unknown(refused(FaultKind::Refused, format!("`{name}` failed with {status}; how far it came is unknown{words}")))
        }
        Ok(Err(error)) => Outcome::Unknown(refused(FaultKind::Refused, format!("`{name}` was lost: {error}"))),
        Err(_) => {
            let say = format!("`{name}` has not ended after {} s, and goes on{words}", limit.as_secs());
            Outcome::Unknown(refused(FaultKind::Timeout, say))
        }
    }
}

/// Who listens to a command's lines, and the last of them.
struct Said {
    lines: broadcast::Sender<String>,
    last: Mutex<(usize, VecDeque<String>)>,
}

impl Said {
    fn tell(&self, line: &[u8]) {
        let line = redact::said(&String::from_utf8_lossy(line), LINE);
        if line.is_empty() {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.0 += 1;
        if last.0 <= LINES {
            // Nobody may be listening.
            let _ = self.lines.send(line.clone());
        }
        last.1.push_back(line);
        if last.1.len() > KEPT {
            last.1.pop_front();
        }
    }

    fn last_words(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = last.1.iter().map(String::as_str).collect();
        if words.is_empty() { String::new() } else { format!(": {}", words.join(" · ")) }
    }
}

async fn follow(mut pipe: impl AsyncRead + Unpin, said: Arc<Said>) {
    let (mut buffer, mut line) = ([0; 4096], Vec::new());
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return said.tell(&line),
            Ok(n) => {
                for byte in &buffer[..n] {
                    match byte {
                        b'\n' => said.tell(&std::mem::take(&mut line)),
                        // A line without an end is cut, and its rest dropped.
                        byte if line.len() < 4 * LINE => line.push(*byte),
                        _ => {}
                    }
                }
            }
        }
    }
}

fn kind(error: &CommandError) -> FaultKind {
    match error {
        CommandError::Late { .. } => FaultKind::Timeout,
        CommandError::Empty => FaultKind::NotSetUp,
        CommandError::NotRun { .. } | CommandError::TooMuch { .. } | CommandError::Badly { .. } => FaultKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_restart_is_told_line_by_line_and_its_end_is_never_guessed() {
        let (lines, mut heard) = broadcast::channel(64);
        let limit = Duration::from_secs(20);
        let done = run(&sh("echo stopping; echo $NIGHTDESK_IDEMPOTENCY_KEY >&2; printf started"), None, limit, "nd-1", &lines).await;
        let Outcome::Done { note, .. } = &done else { panic!("{done:?}") };
        for word in ["stopping", "nd-1", "started"] {
            assert!(note.contains(word), "{note}");
            assert!(heard.recv().await.is_ok());
        }
        let failed = run(&sh("echo no such unit; exit 5"), None, limit, "nd-1", &lines).await;
        assert!(matches!(&failed, Outcome::Unknown(f) if f.say.contains("exit status: 5") && f.say.contains("no such unit")), "{failed:?}");
        let absent = run(&["/nonexistent/restart".to_string()], None, limit, "nd-1", &lines).await;
        assert!(matches!(&absent, Outcome::NotDone(_)), "{absent:?}");
        let slow = run(&sh("echo begun; sleep 5"), None, Duration::from_millis(500), "nd-1", &lines).await;
        assert!(matches!(&slow, Outcome::Unknown(f) if f.kind == FaultKind::Timeout && f.say.contains("begun")), "{slow:?}");
    }

    #[tokio::test]
    async fn who_is_called_is_an_argument_and_the_message_comes_on_standard_input() {
        let (lines, _) = broadcast::channel(64);
        let mut hooks = Hooks::default();
        assert!(calling(&hooks, "the rota").is_err_and(|f| f.say.contains("[hooks] escalate")));
        hooks.escalate = Some(["sh", "-c", "echo \"to $0: $(cat)\"", "{contact}"].iter().map(ToString::to_string).collect());
        let argv = calling(&hooks, "the rota; rm -rf x").expect("configured");
        let done = run(&argv, Some("FAIL $(id)\nline two"), Duration::from_secs(20), "nd-1", &lines).await;
        let Outcome::Done { note, .. } = &done else { panic!("{done:?}") };
        assert!(note.contains("to the rota; rm -rf x: FAIL $(id)") && note.contains("line two"), "no shell reads it: {note}");
        let deaf = run(&sh("exec 0<&-; exit 0"), Some(&"x".repeat(1 << 20)), Duration::from_secs(20), "nd-1", &lines).await;
        assert!(matches!(deaf, Outcome::Done { .. }), "{deaf:?}");
    }

    #[tokio::test]
    async fn what_a_restart_leaves_running_does_not_hold_it_up() {
        let (lines, _) = broadcast::channel(64);
        let begun = tokio::time::Instant::now();
        let done = run(&sh("sleep 4 & echo up"), None, Duration::from_secs(20), "nd-1", &lines).await;
        assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("up")), "{done:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn deploys_are_read_or_refused_in_one_sentence() {
        let hooks = |script: &str| Hooks { deploys: Some(sh(script)), ..Hooks::default() };
        let told = deploys(&hooks("echo '2026-11-22T02:38:00Z v413 by ada'")).await.expect("a deploy");
        assert_eq!((told.len(), told[0].version.as_str()), (1, "v413"));
        assert_eq!(deploys(&hooks("true")).await, Ok(Vec::new()));
        let odd = deploys(&hooks("echo nonsense")).await.expect_err("no deploy");
        assert!(odd.kind == FaultKind::Schema && odd.say.contains("`at` and `version`"), "{odd}");
        assert_eq!(deploys(&hooks("exit 1")).await.expect_err("it failed").kind, FaultKind::Refused);
        assert_eq!(deploys(&Hooks::default()).await.expect_err("none").kind, FaultKind::NotSetUp);
    }

    #[tokio::test]
    async fn a_kept_credential_is_fetched_without_a_terminal() {
        let kept = |script: &str| Kept::new("stripe_write_key", SecretRef::Command { command: sh(script) }, &|_| None);
        let asked = fetch(&kept("read answer || echo sk_test_x"), Source::Stripe).await.expect("standard input is empty");
        assert_eq!(asked.expose(), "sk_test_x");
        for (script, words) in [("exit 2", "ended with exit status: 2"), ("true", "answered nothing"), ("printf '\\377'", "not text")] {
            let fault = fetch(&kept(script), Source::Stripe).await.expect_err(script);
            assert!(fault.say.starts_with("stripe_write_key: ") && fault.say.contains(words), "{fault}");
        }
    }
}
