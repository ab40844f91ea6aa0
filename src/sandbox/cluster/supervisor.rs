//! The supervisor: the process that starts a cluster, keeps it while its pipe is open, and removes every trace when the
//! pipe ends, however the process at the other end died.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::{User, chown, geteuid};
use rand::distr::{Alphanumeric, SampleString};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::server::{self, Server};
use super::{Answer, Order, Started, initdb};

/// Directories of clusters start with this; a dead supervisor's one is removed by the next.
const PREFIX: &str = "nightdesk-pg-";
/// Held locked as long as the supervisor lives.
const LOCK: &str = "supervised";
/// macOS admits 104 bytes for a socket's path, Linux 108, the closing zero included; the name of the socket takes 20.
const LONGEST_DIRECTORY: usize = 104 - 1 - 20;

/// Runs the supervisor: reads one order, answers one line, keeps the cluster until standard input ends or a signal comes.
#[must_use]
pub fn supervise() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return ExitCode::FAILURE };
    let code = runtime.block_on(run());
    // A read of standard input cannot be interrupted, and nobody waits for it any more.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    let order: Order = match input.read_line(&mut line).await.ok().and_then(|_| serde_json::from_str(&line).ok()) {
        Some(order) => order,
        None => return ExitCode::FAILURE,
    };
    let directory = match directory(order.parent.clone().unwrap_or_else(std::env::temp_dir)) {
        Ok(directory) => directory,
        Err(error) => return answer(&Answer::Failed(format!("no private directory could be made: {error}"))),
    };
    // Dropped last, whatever happens.
    let home = Home { path: directory };
    sweep(&home.path);
    let account = match account() {
        Ok(account) => account,
        Err(reason) => return answer(&Answer::Failed(reason)),
    };
    let _lock = match prepare(&home.path, account.as_ref()) {
        Ok(lock) => lock,
        Err(error) => return answer(&Answer::Failed(format!("{} could not be prepared: {error}", home.path.display()))),
    };
    let mut server = match start(&order, &home.path, account.as_ref()).await {
        Ok(server) => server,
        Err(reason) => return answer(&Answer::Failed(reason)),
    };
    let started = Started { directory: home.path.clone(), port: server.port, postmaster: server.pid() };
    if answer(&Answer::Started(started)) == ExitCode::SUCCESS {
        keep(&mut server, input, &order, &home.path, account.as_ref()).await;
    }
    server.stop().await;
    ExitCode::SUCCESS
}

/// Returns when the cluster is no longer wanted, or no longer there.
async fn keep(server: &mut Server, input: BufReader<tokio::io::Stdin>, order: &Order, home: &Path, account: Option<&User>) {
    let mut signals = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        signals.extend(signal(kind));
    }
    let mut asked_to_end = futures_util::future::select_all(signals.iter_mut().map(|s| Box::pin(s.recv())));
    let mut lines = input.lines();
    loop {
        let down = tokio::select! {
            line = lines.next_line() => match line.ok().flatten().and_then(|line| line.parse().ok()) {
                Some(millis) => Duration::from_millis(millis),
                None => return,
            },
            _ = &mut asked_to_end => return,
            () = server.ended() => return,
        };
        server.stop_at_once().await;
        tokio::select! {
            () = tokio::time::sleep(down) => {}
            _ = &mut asked_to_end => return,
        }
        match server::start_again(order, home, account, server.port).await {
            Ok(again) => *server = again,
            Err(_) => return,
        }
    }
}

fn answer(answer: &Answer) -> ExitCode {
    let mut line = serde_json::to_string(answer).expect("invariant: an answer is plain data");
    line.push('\n');
    let mut out = io::stdout().lock();
    let said = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From the primary of a replica; else from a cached directory where there is one, else from `initdb`, whose result is
/// kept for the next start.
async fn start(order: &Order, home: &Path, account: Option<&User>) -> Result<Server, String> {
    let data = home.join("data");
    if let Some(primary) = &order.primary {
        initdb::replicate(&order.bin, home, &data, account, primary)?;
        return server::start(order, home, account).await;
    }
    let cache = initdb::cache(&order.version, &order.bin);
    if let Some(cache) = cache.as_deref().filter(|c| c.is_dir()) {
        if initdb::copy(cache, &data, account).is_ok()
            && let Ok(server) = server::start(order, home, account).await
        {
            return Ok(server);
        }
        // A copy that does not start is no good to anybody. (Another supervisor may be reading it: then it makes its own.)
        let _ = fs::remove_dir_all(cache);
        let _ = fs::remove_dir_all(&data);
    }
    initdb::run(&order.bin, home, &data, account)?;
    if let Some(cache) = &cache {
        initdb::keep(&data, cache);
    }
    server::start(order, home, account).await
}

/// The account to drop to: Postgres refuses to run as root. `None` when we are not root.
fn account() -> Result<Option<User>, String> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Ok(Some(user)) = User::from_name(name) {
            return Ok(Some(user));
        }
    }
    Err("PostgreSQL does not run as root, and this system has neither a user postgres nor a user nobody to run it as".into())
}

/// A new 0700 directory with a name short enough for a socket.
fn directory(wanted: PathBuf) -> io::Result<PathBuf> {
    let parent = parent(wanted);
    loop {
        let path = parent.join(format!("{PREFIX}{}", Alphanumeric.sample_string(&mut rand::rng(), 10)));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
}

/// The wanted directory, or `/tmp` where its name is too long or another account could not pass through it.
fn parent(wanted: PathBuf) -> PathBuf {
    let named = fs::canonicalize(&wanted).unwrap_or(wanted);
    let short = named.as_os_str().len() + 1 + PREFIX.len() + 10 <= LONGEST_DIRECTORY;
    let open = named.ancestors().all(|a| fs::metadata(a).is_ok_and(|m| m.permissions().mode() & 0o001 != 0));
    if short && (open || !geteuid().is_root()) { named } else { PathBuf::from("/tmp") }
}

fn prepare(home: &Path, account: Option<&User>) -> io::Result<File> {
    let lock = File::create(home.join(LOCK))?;
    lock.lock()?;
    if let Some(user) = account {
        chown(home, Some(user.uid), Some(user.gid))?;
    }
    Ok(lock)
}

/// Removes what supervisors left behind that were killed themselves: their lock is free. A server that still runs there
/// notices within a minute that its files are gone, and ends.
fn sweep(own: &Path) {
    let Some(entries) = own.parent().and_then(|p| fs::read_dir(p).ok()) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path == own || !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        // A young one may be about to take its lock.
        let old =
            lock.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok()).is_some_and(|age| age > Duration::from_mins(1));
        if old && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Removes the directory when dropped.
struct Home {
    path: PathBuf,
}

impl Drop for Home {
    fn drop(&mut self) {
        // A process that is just ending may still write a last file.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
