//! A private `PostgreSQL` cluster as its user sees it: start, addresses, stop; the processes belong to the supervisor.

mod binaries;
mod initdb;
mod server;
pub mod supervisor;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use binaries::{Binaries, NoBinaries, find as find_binaries};

/// The hidden subcommand under which the executable becomes the supervisor.
pub const SUPERVISE: &str = "__supervise-postgres";

/// The superuser that `initdb` makes; it has no password until the owner of the cluster sets one.
pub const SUPERUSER: &str = "postgres";

/// How long a stop may take before the caller goes on without it. The supervisor finishes on its own.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub max_connections: u16,
    /// Where the cluster's directory is made; `None`: in the temporary directory.
    pub parent: Option<PathBuf>,
    /// Further `-c name=value` settings of the server.
    pub settings: Vec<(String, String)>,
    /// The cluster becomes a streaming replica of this one; see [`Cluster::replica`].
    pub primary: Option<Primary>,
}

/// A cluster that can be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// The directory of its socket.
    directory: PathBuf,
    port: u16,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { max_connections: 100, parent: None, settings: Vec::new(), primary: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    NoBinaries(#[from] NoBinaries),
    #[error("the supervisor of the sandbox's PostgreSQL ({}) could not be started: {source}", executable.display())]
    Supervisor { executable: PathBuf, source: std::io::Error },
    #[error("the sandbox's PostgreSQL did not start: {0}")]
    Start(String),
}

/// A running cluster. Dropping it (or dying, however) lets go of the supervisor's pipe, and the cluster ends.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Child,
    pipe: Arc<Pipe>,
    started: Started,
    version: String,
    options: ClusterOptions,
}

/// Restarts a cluster, as long as its owner keeps it.
#[derive(Debug, Clone)]
pub struct Restarter(Weak<Pipe>);

/// The supervisor's standard input; without one, it was let go.
type Pipe = Mutex<Option<ChildStdin>>;

/// What the supervisor is told, one JSON line on its standard input, which then stays open: each further line asks for a restart, and
/// says for how many milliseconds there is to be no server.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    bin: PathBuf,
    version: String,
    parent: Option<PathBuf>,
    max_connections: u16,
    settings: Vec<(String, String)>,
    primary: Option<Primary>,
}

/// What the supervisor answers, one JSON line on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Started(Started),
    Failed(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Started {
    directory: PathBuf,
    port: u16,
    postmaster: u32,
}

impl Cluster {
    /// Starts a cluster and returns when it accepts connections. Blocks: call it where that is allowed.
    /// `executable` is a binary that answers to [`SUPERVISE`], normally this one.
    ///
    /// # Errors
    /// When there are no server binaries, or the server does not come up; the sentence holds the server's own words.
    pub fn start(options: &ClusterOptions, executable: &Path) -> Result<Self, ClusterError> {
        let binaries = find_binaries()?;
        let failed = |source| ClusterError::Supervisor { executable: executable.to_path_buf(), source };
        // Its own process group: Ctrl-C on the terminal must not stop Postgres before we let go of it.
        let mut supervisor = Command::new(executable)
            .arg(SUPERVISE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let order = Order {
            bin: binaries.dir,
            version: binaries.version.clone(),
            parent: options.parent.clone(),
            max_connections: options.max_connections,
            settings: options.settings.clone(),
            primary: options.primary.clone(),
        };
        let mut pipe = supervisor.stdin.take().expect("invariant: stdin was piped");
        let stdout = supervisor.stdout.take().expect("invariant: stdout was piped");
        let mut line = serde_json::to_string(&order).expect("invariant: an order is plain data");
        line.push('\n');
        let mut answer = String::new();
        let asked = pipe.write_all(line.as_bytes()).and_then(|()| BufReader::new(stdout).read_line(&mut answer));
        let answer = match asked {
            Ok(_) => serde_json::from_str(&answer).unwrap_or_else(|_| Answer::Failed("its supervisor ended without a word".into())),
            Err(error) => Answer::Failed(format!("its supervisor could not be reached: {error}")),
        };
        match answer {
            Answer::Started(started) => Ok(Self {
                supervisor,
                pipe: Arc::new(Mutex::new(Some(pipe))),
                started,
                version: binaries.version,
                options: options.clone(),
            }),
            Answer::Failed(reason) => {
                drop(pipe);
                // It has said its last word and is on its way out.
                let _ = supervisor.wait();
                Err(ClusterError::Start(reason))
            }
        }
    }

    /// The 0700 directory of everything that belongs to the cluster, its unix socket included. The supervisor removes
    /// it in the end, with whatever else was put there.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.started.directory
    }

    /// The loopback port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.started.port
    }

    /// The process id of the server that was first started, for tests that stop or freeze it.
    #[must_use]
    pub fn postmaster(&self) -> u32 {
        self.started.postmaster
    }

    /// The process id of the supervisor.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor.id()
    }

    /// The server's version as it prints it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A URL over loopback TCP, where a password is asked for.
    #[must_use]
    pub fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port())
    }

    /// What starts a streaming replica of this cluster: read-only, with the same databases, roles and passwords.
    #[must_use]
    pub fn replica(&self) -> ClusterOptions {
        let primary = Primary { directory: self.directory().to_path_buf(), port: self.port() };
        ClusterOptions { primary: Some(primary), ..self.options.clone() }
    }

    /// As [`Self::replica`], always that far behind.
    #[must_use]
    pub fn replica_behind(&self, lag: Duration) -> ClusterOptions {
        let mut options = self.replica();
        options.settings.push(("recovery_min_apply_delay".into(), format!("{}ms", lag.as_millis())));
        options
    }

    /// What restarts this cluster.
    #[must_use]
    pub fn restarter(&self) -> Restarter {
        Restarter(Arc::downgrade(&self.pipe))
    }

    /// Stops the cluster and waits until its processes and its directory are gone (at most 15 s).
    pub fn stop(mut self) {
        self.let_go();
        let patience = Instant::now() + STOP_PATIENCE;
        while Instant::now() < patience && matches!(self.supervisor.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn let_go(&mut self) {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Restarter {
    /// Has the server stopped at once, telling no session, and started again on the same port after a while. Returns before any of that.
    ///
    /// # Errors
    /// When the cluster is gone.
    pub fn restart(&self, down: Duration) -> std::io::Result<()> {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
        let pipe = self.0.upgrade().ok_or_else(gone)?;
        let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipe.as_mut().ok_or_else(gone)?, "{}", down.as_millis())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.let_go();
    }
}
