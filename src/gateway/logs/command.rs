//! A log that a command prints: started once, its last lines kept in memory, begun anew when it ends, ended with all its children.

use super::file::joined;
use super::hunt::{Found, Wanted, hunt};
use super::parse;
use super::redact::redact;
use super::ring::{Lines, Ring};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::text::clean;
use chrono::Utc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// One configured command. Clones share it.
#[derive(Clone)]
pub struct CommandLog {
    pub name: String,
    argv: Arc<Vec<String>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    begin: Once,
    state: Mutex<State>,
    /// Something came, or it ended.
    news: Notify,
    /// Cancelled when nothing of it runs any more.
    ended: CancellationToken,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// What the run at hand printed, and the one before it: a command that begins anew tells much of it again.
    current: Ring,
    former: Ring,
    /// What it said on standard error first, in this run.
    complaint: Option<String>,
    begun: Option<Instant>,
    /// When the first run was started.
    started: Option<At>,
    last: Option<(Instant, At)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    NotBegun,
    Running,
    /// It ended by itself and well: it prints what there is, and does not follow.
    Ended,
    Failed(String),
}

/// What is known about it besides its lines.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it printed last, where that was not its history all at once.
    pub live: Option<At>,
    pub text: Vec<u8>,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run that lasted this long was no mistake of its configuration: the next comes soon.
const STEADY: Duration = Duration::from_secs(60);
/// So much at once, then a pause: output at full speed takes no core away.
const BURST: usize = 1024 * 1024;
const BREATH: Duration = Duration::from_millis(40);
/// Somebody who asks right after the start waits for its history: until it is quiet, but no longer than this.
const HISTORY: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_millis(200);
/// One that has run for so long has not failed, whether it prints or not.
const STANDS: Duration = Duration::from_secs(3);
/// Between being asked to end and being ended.
const GRACE: Duration = Duration::from_millis(300);

impl CommandLog {
    #[must_use]
    pub fn new(argv: Vec<String>, name: String, stop: CancellationToken) -> Self {
        let shared = Shared { begin: Once::new(), state: Mutex::default(), news: Notify::new(), ended: CancellationToken::new() };
        Self { name, argv: Arc::new(argv), shared: Arc::new(shared), stop }
    }

    /// Starts it, the first time; needs a runtime.
    pub fn begin(&self) {
        self.shared.begin.call_once(|| {
            {
                let mut state = self.state();
                (state.begun, state.started) = (Some(Instant::now()), Some(Utc::now()));
            }
            let (own, ended) = (self.clone(), self.shared.ended.clone().drop_guard());
            tokio::spawn(async move {
                own.run().await;
                drop(ended);
            });
        });
    }

    /// Waits for its history, where it was started just now.
    pub async fn settled(&self) {
        self.begin();
        loop {
            let mut news = std::pin::pin!(self.shared.news.notified());
            // From here on nothing is missed.
            news.as_mut().enable();
            let now = Instant::now();
            let wait = {
                let state = self.state();
                let until = state.begun.map_or(now, |b| b + HISTORY);
                match (&state.phase, state.last) {
                    (Phase::Ended | Phase::Failed(_), _) => return,
                    (_, Some((last, _))) => until.min(last + QUIET),
                    (_, None) => until,
                }
            };
            if wait <= now {
                return;
            }
            let _ = tokio::time::timeout(wait - now, news).await;
        }
    }

    /// Waits until nothing of it runs, once it was told to stop.
    pub async fn ended(&self) {
        if self.shared.begin.is_completed() {
            self.shared.ended.cancelled().await;
        }
    }

    /// Whether it runs, or ended well.
    ///
    /// # Errors
    /// Why not, with what it said first on standard error.
    pub fn health(&self) -> Result<(), Fault> {
        match &self.state().phase {
            Phase::Failed(why) => Err(Fault::new(Source::Log, FaultKind::Unreachable, format!("{}: {why}", self.name))),
            _ => Ok(()),
        }
    }

    /// Looks through what it printed.
    ///
    /// # Errors
    /// It failed, and printed nothing.
    pub fn search(&self, wanted: &Wanted) -> Result<Found, Fault> {
        let (former, current, started) = {
            let state = self.state();
            (state.former.copy(), state.current.copy(), state.started)
        };
        if former.is_empty() && current.is_empty() {
            self.health()?;
        }
        let texts = [&current, &former];
        let parts: Vec<Found> = texts.into_iter().filter(|t| !t.is_empty()).filter_map(|t| hunt(t, wanted).ok()).collect();
        let begins: Vec<Option<At>> = parts.iter().map(|p| p.begins).collect();
        let mut found = joined(parts, wanted);
        found.note = self.health().err().map(|fault| fault.say);
        // It may print its last lines only: before the first of them, or before it was started where none says when it was written,
        // everything may be lacking; and between two runs what neither of them printed.
        found.begins = match begins.as_slice() {
            [Some(current), Some(former_begins)] if last_time(&former, wanted.now).is_none_or(|last| last < *current) => {
                Some((*current).max(*former_begins))
            }
            _ => found.begins.or(started),
        };
        Ok(found)
    }

    /// What it printed last.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let state = self.state();
        let history = |(at, when): (Instant, At)| state.begun.is_some_and(|b| at > b + HISTORY + Duration::from_secs(1)).then_some(when);
        let ring = if state.current.is_empty() { &state.former } else { &state.current };
        Heard { live: state.last.and_then(history), text: ring.copy() }
    }

    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            {
                let mut state = self.state();
                if !state.current.is_empty() {
                    state.former = std::mem::take(&mut state.current);
                }
                (state.complaint, state.begun) = (None, Some(begun));
                // A failure is told until the next run has said something else.
                if state.phase == Phase::NotBegun {
                    state.phase = Phase::Running;
                }
            }
            let ended = self.once().await;
            if self.stop.is_cancelled() {
                return;
            }
            self.state().phase = ended;
            self.shared.news.notify_waiters();
            pause = if begun.elapsed() >= STEADY { FIRST_PAUSE } else { pause };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One run, from its start to its end.
    async fn once(&self) -> Phase {
        let Some((program, arguments)) = self.argv.split_first() else { return Phase::Failed("the command is empty".into()) };
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // It and whatever it starts are ended together.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return Phase::Failed(format!("it could not be run: {error}")),
        };
        let group = Group::of(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            tokio::join!(
                async {
                    if let Some(out) = out {
                        self.read(out, false).await
                    }
                },
                async {
                    if let Some(err) = err {
                        self.read(err, true).await
                    }
                },
            );
        };
        let mut reading = std::pin::pin!(reading);
        let mut over = false;
        let mut stands = std::pin::pin!(tokio::time::sleep(STANDS));
        let mut standing = false;
        let ended = loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    group.end(Signal::SIGTERM);
                    let _ = tokio::time::timeout(GRACE, child.wait()).await;
                    return Phase::Ended;
                }
                ended = child.wait() => break ended,
                () = &mut reading, if !over => over = true,
                () = &mut stands, if !standing => {
                    standing = true;
                    self.state().phase = Phase::Running;
                }
            }
        };
        if !over {
            // What it printed last is still in the pipes; a child of its own may keep them open for ever.
            let _ = tokio::time::timeout(GRACE, reading).await;
        }
        drop(group);
        match ended {
            Ok(status) if status.success() => Phase::Ended,
            Ok(status) => Phase::Failed(self.complaint(status)),
            Err(error) => Phase::Failed(format!("it was lost: {error}")),
        }
    }

    fn complaint(&self, status: ExitStatus) -> String {
        match &self.state().complaint {
            Some(said) => format!("{status}: {said}"),
            None => format!("it ended with {status} and said nothing on standard error"),
        }
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin, complaints: bool) {
        let (mut buffer, mut lines, mut burst) = (vec![0; 64 * 1024], Lines::default(), 0);
        loop {
            let filled = match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(filled) => filled,
            };
            {
                let mut state = self.state();
                lines.feed(&buffer[..filled], |line| state.take(line, complaints));
                state.last = Some((Instant::now(), Utc::now()));
            }
            self.shared.news.notify_waiters();
            burst += filled;
            if burst >= BURST {
                burst = 0;
                tokio::time::sleep(BREATH).await;
            }
        }
        let mut state = self.state();
        lines.flush(|line| state.take(line, complaints));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, line: &[u8], complaint: bool) {
        if complaint && self.complaint.is_none() && !line.iter().all(u8::is_ascii_whitespace) {
            let said: String = String::from_utf8_lossy(line).chars().take(200).collect();
            self.complaint = Some(redact(clean(&said).trim()));
        }
        // `docker logs` gives the container's standard error on its own.
        self.current.push(line);
        if !complaint {
            self.phase = Phase::Running;
        }
    }
}

/// The time of the last line that has one.
fn last_time(text: &[u8], now: At) -> Option<At> {
    text.rsplit(|b| *b == b'\n').find_map(|line| parse::time_of(line, now))
}

/// The processes of one run; dropping it ends them.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn end(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // Nobody left is as good.
            let _ = killpg(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
    }
}
