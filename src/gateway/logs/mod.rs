//! The application's logs: files and commands, searched from the end and followed. What their lines mean is the domain's.

mod command;
mod entry;
mod file;
mod hunt;
mod json;
mod look;
mod needles;
mod parse;
pub(super) mod redact;
mod ring;
mod text;
mod time;

pub use look::{Format, Look, Seen};

use crate::config::{Config, LogSource};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::webhooks::log::{LogLine, LogSearch};
use crate::protocol::query::{Query, Reply};
use chrono::Utc;
use command::CommandLog;
use file::FileLog;
use hunt::{Found, Wanted};
use needles::Needles;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The ways to the configured logs. Clones share everything; the commands end with the last of them.
#[derive(Clone)]
pub struct Logs {
    all: Arc<Vec<Log>>,
    /// Where Stripe is simulated so is the past: lines of last week are written today.
    simulated: bool,
    stop: CancellationToken,
    _guard: Arc<DropGuard>,
}

struct Log {
    kind: Kind,
    /// Searches under way: where a disk hangs, no more than these hang with it.
    room: Arc<Semaphore>,
}

#[derive(Clone)]
enum Kind {
    File(Arc<FileLog>),
    Command(CommandLog),
}

/// A question takes at most this long; then it is answered with what was found so far.
const SEARCH: Duration = Duration::from_secs(2);
/// Beyond that the disk hangs.
const HANGS: Duration = Duration::from_millis(2_700);
const AT_ONCE: usize = 2;
/// No question gets more lines, whatever its limit.
const MOST_LINES: u32 = 5_000;

impl Logs {
    /// `None` where none is configured. Nothing is opened or started before the first question.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        if config.logs.is_empty() {
            return None;
        }
        let stop = CancellationToken::new();
        let all = config.logs.iter().zip(names(&config.logs)).map(|(source, name)| {
            let kind = match source {
                LogSource::File(path) => Kind::File(Arc::new(FileLog::new(path.clone(), name))),
                LogSource::Command(argv) => Kind::Command(CommandLog::new(argv.clone(), name, stop.child_token())),
            };
            Log { kind, room: Arc::new(Semaphore::new(AT_ONCE)) }
        });
        let all = Arc::new(all.collect());
        let simulated = config.stripe_base.starts_with("http://127.") || config.stripe_base.starts_with("http://localhost");
        Some(Self { all, simulated, _guard: Arc::new(stop.clone().drop_guard()), stop })
    }

    /// Answers a query whose source is the log.
    ///
    /// # Errors
    /// None of the logs can be read: why the first cannot.
    pub async fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        match query {
            Query::Logs(search) => self.search(search).await,
            other => unreachable!("invariant: {:?} is routed to another source", other.source()),
        }
    }

    /// Whether each of them can be read; files are read on.
    ///
    /// # Errors
    /// Why the first that cannot be read cannot.
    pub async fn poll(&self) -> Result<(), Fault> {
        let asked = self.all.iter().map(|log| async {
            match &log.kind {
                Kind::Command(command) => {
                    command.settled().await;
                    command.health()
                }
                Kind::File(file) => {
                    let file = Arc::clone(file);
                    log.blocking(move || file.follow()).await
                }
            }
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }

    /// What `nightdesk check` and `nightdesk status` say about each.
    pub async fn look(&self) -> Vec<Look> {
        let asked = self.all.iter().map(|log| async {
            let seen = match &log.kind {
                Kind::Command(command) => {
                    command.settled().await;
                    look::command(command)
                }
                Kind::File(file) => {
                    let file = Arc::clone(file);
                    log.blocking(move || look::file(&file, Utc::now())).await
                }
            };
            let seen = seen.map(|s| if self.simulated { s.without_writing_time() } else { s });
            Look { name: log.kind.name().to_string(), seen }
        });
        futures_util::future::join_all(asked).await
    }

    /// Ends the commands; at most half a second.
    pub async fn close(&self) {
        self.stop.cancel();
        let commands: Vec<&CommandLog> =
            self.all.iter().filter_map(|l| if let Kind::Command(c) = &l.kind { Some(c) } else { None }).collect();
        let ended = futures_util::future::join_all(commands.into_iter().map(CommandLog::ended));
        // One that does not end is killed when its task is dropped.
        let _ = tokio::time::timeout(Duration::from_millis(500), ended).await;
    }

    async fn search(&self, search: &LogSearch) -> Result<Reply, Fault> {
        let search = Arc::new(LogSearch { limit: search.limit.clamp(1, MOST_LINES), ..search.clone() });
        let needles = Arc::new(Needles::new(&search.needles));
        let until = Instant::now() + SEARCH;
        let asked = self.all.iter().map(|log| {
            let (kind, search, needles) = (log.kind.clone(), Arc::clone(&search), Arc::clone(&needles));
            async move {
                if let Kind::Command(command) = &kind {
                    command.settled().await;
                }
                let name = kind.name().to_string();
                let found = log.blocking(move || {
                    // What waited for a command's history has its time for itself.
                    let until = until.max(Instant::now() + SEARCH / 4);
                    let wanted = Wanted { search: &search, needles: &needles, source: kind.name(), now: Utc::now(), until };
                    match &kind {
                        Kind::File(file) => file.search(&wanted),
                        Kind::Command(command) => command.search(&wanted),
                    }
                });
                (name, found.await)
            }
        });
        together(&search, futures_util::future::join_all(asked).await)
    }
}

impl Log {
    /// Does it where it may take its time; gives up on it where the disk hangs.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
        let hangs =
            || Fault::new(Source::Log, FaultKind::Timeout, format!("{} could not be read in time: its disk hangs", self.kind.name()));
        let done = async {
            let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| hangs())?;
            let task = tokio::task::spawn_blocking(move || {
                let _room = room;
                work()
            });
            task.await.map_err(|_| hangs())?
        };
        tokio::time::timeout(HANGS, done).await.unwrap_or_else(|_| Err(hangs()))
    }
}

impl Kind {
    fn name(&self) -> &str {
        match self {
            Kind::File(file) => &file.name,
            Kind::Command(command) => &command.name,
        }
    }
}

/// One answer out of those of all logs.
fn together(search: &LogSearch, found: Vec<(String, Result<Found, Fault>)>) -> Result<Reply, Fault> {
    let (mut lines, mut notes, mut first_fault, mut answered): (Vec<LogLine>, Vec<String>, _, bool) = (Vec::new(), Vec::new(), None, false);
    let mut more = false;
    let mut covers = Some(search.since);
    for (name, found) in found {
        match found {
            Ok(found) => {
                answered = true;
                more |= found.more;
                covers = covers.zip(found.covers(search)).map(|(a, b)| a.max(b));
                notes.extend(found.note.clone().or_else(|| shortcoming(&name, &found, search)));
                lines.extend(found.lines);
            }
            Err(fault) => {
                notes.push(fault.say.clone());
                covers = None;
                first_fault.get_or_insert(fault);
            }
        }
    }
    if let (false, Some(fault)) = (answered, first_fault) {
        return Err(fault);
    }
    file::in_order(&mut lines, search.oldest_first);
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    if more || lines.len() > limit {
        let which = if search.oldest_first { "first" } else { "last" };
        notes.push(format!("these are the {which} {limit}"));
    }
    if lines.len() > limit {
        lines.truncate(limit);
        covers = covers.zip(lines.last().and_then(|l| l.at)).map(|(a, b)| a.max(b)).filter(|_| !search.oldest_first);
    }
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Reply::Logs { lines, complete: note.is_none(), covers, note })
}

/// Why a log's lines may not be all.
fn shortcoming(name: &str, found: &Found, search: &LogSearch) -> Option<String> {
    let clock = |at: At| at.format("%d %b %H:%MZ").to_string();
    if !found.whole {
        let reached = if search.oldest_first { found.lines.last() } else { found.lines.iter().rev().find(|l| l.at.is_some()) };
        return Some(match reached.and_then(|l| l.at) {
            Some(at) => format!("{name} is too large to be looked through in time, beyond {}", clock(at)),
            None => format!("{name} is too large to be looked through in time"),
        });
    }
    // A limit that was reached explains itself.
    let short = found.begins.filter(|at| *at > search.since && !found.more)?;
    Some(format!("{name} begins at {}", clock(short)))
}

/// What each log is called: a file by its name, or by its path where two have the same; a command by its words.
fn names(sources: &[LogSource]) -> Vec<String> {
    let short = |source: &LogSource| match source {
        LogSource::File(path) => path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned()),
        LogSource::Command(argv) => {
            let words = redact::redact(&argv.join(" "));
            if words.chars().count() <= 40 { words } else { words.chars().take(39).chain(['…']).collect() }
        }
    };
    let all: Vec<String> = sources.iter().map(short).collect();
    let names = sources.iter().zip(&all).map(|(source, name)| match source {
        LogSource::File(path) if all.iter().filter(|n| *n == name).count() > 1 => path.display().to_string(),
        _ => name.clone(),
    });
    names.map(|n| crate::domain::text::clean(&n)).collect()
}
