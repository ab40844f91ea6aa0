//! The journal: what was done, by whom, in a chain of records on this machine, before anything is done. Asynchronous at its edge,
//! blocking files behind it. The form is [`format`]'s; the shared store, to which records are shipped, is [`store`]'s.

mod desk;
mod file;
mod format;
mod known;
mod locks;
mod payloads;
mod place;
mod runs;
mod scan;
mod shipping;
pub mod store;
mod verify;

pub use desk::{Desk, team_recorded, team_runs};
pub use format::{Body, Line, genesis};
pub use scan::{Compared, NotTakenUp};
pub use shipping::{Shipped, Shipping, compare, ship};
pub use verify::{Break, Verification};

use crate::config::Config;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::text::capitalised;
use crate::protocol::record::{Detail, Entry, Recorded, RunSummary};
use file::Mark;
use hmac::{Hmac, KeyInit, Mac};
use known::Known;
use locks::Lock;
use payloads::Payload;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// The journal of one operator in one environment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    places: Places,
    operator: String,
    environment: String,
    key: Vec<u8>,
    /// Runs that this very process holds open.
    own: Mutex<HashSet<Uuid>>,
    appended: Notify,
    /// What was read so far. It is asked for every few seconds, and its whole past is not.
    known: Mutex<Known>,
    /// Behind which record reading for the store stands.
    shipped: Mutex<Option<(u64, Mark)>>,
}

/// Where everything lies.
#[derive(Debug, Clone)]
struct Places {
    chain: PathBuf,
    payloads: PathBuf,
    anchor: PathBuf,
    torn: PathBuf,
    locks: PathBuf,
    /// What is said about causes and drift, where no shared store has it: one for all operators of the environment.
    desk: PathBuf,
}

impl Places {
    /// An anchor whose record has gone missing.
    fn lost(&self) -> PathBuf {
        self.anchor.with_file_name("anchor-lost.json")
    }
}

/// The newest record that was written or seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub chain: Uuid,
    pub seq: u64,
    pub hash: String,
}

/// A run held open: its lock and its subject's, which die with this process.
#[derive(Debug)]
pub struct Held {
    run: Option<Uuid>,
    locks: Vec<Lock>,
    journal: Journal,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("another process has been holding {path} for seconds; is it stopped?", path = .0.display())]
    Locked(PathBuf),
    #[error("the last record of {path} is broken ({why}): look at it with `nightdesk audit verify`, and move the file aside to begin a new chain", path = path.display())]
    Broken { path: PathBuf, why: format::Malformed },
    #[error("this run is open in another console or command")]
    RunHeld,
    #[error("another run is open for this customer")]
    SubjectHeld,
    #[error("the journal's task was stopped")]
    Stopped,
}

impl JournalError {
    fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        let kind = match error {
            JournalError::RunHeld | JournalError::SubjectHeld => FaultKind::Conflict,
            _ => FaultKind::Journal,
        };
        Fault::new(Source::Store, kind, capitalised(&error.to_string()))
    }
}

/// The state directory: `NIGHTDESK_STATE_DIR`, else `nightdesk` under `XDG_STATE_HOME`, else under `~/.local/state`.
#[must_use]
pub fn state_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("NIGHTDESK_STATE_DIR").unwrap_or_else(|| {
        let home = set("HOME").unwrap_or_else(|| PathBuf::from("/"));
        set("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")).join("nightdesk")
    })
}

impl Journal {
    /// Opens the journal under `state`, and makes its directories. `subject_key`: the environment's secret by which subjects are
    /// hashed; without one, a key is made in the state directory. Blocking, a few milliseconds.
    ///
    /// # Errors
    /// [`JournalError`] where the directory cannot be made or the key not be read.
    pub fn open(state: &Path, environment: &str, operator: &str, subject_key: Option<&[u8]>) -> Result<Self, JournalError> {
        let dir = state.join(file_name(environment)).join(file_name(operator));
        let locks = state.join(file_name(environment)).join("locks");
        file::make_dir(&dir)?;
        file::make_dir(&locks)?;
        let key = match subject_key {
            Some(key) => key.to_vec(),
            None => made_key(&state.join("subject.key"))?,
        };
        let places = Places {
            chain: dir.join("journal.jsonl"),
            payloads: dir.join("payloads.jsonl"),
            anchor: dir.join("anchor.json"),
            torn: dir.join("torn.txt"),
            desk: locks.with_file_name("desk.jsonl"),
            locks,
        };
        let (operator, environment) = (operator.into(), environment.into());
        let (own, appended, known, shipped) = (Mutex::default(), Notify::new(), Mutex::default(), Mutex::default());
        let inner = Inner { places, operator, environment, key, own, appended, known, shipped };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The journal of this configuration's environment and operator. Environments that nobody named are told apart by their database.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn of(state: &Path, config: &Config) -> Result<Self, JournalError> {
        let key = config.subject_key.as_ref().map(|k| k.expose().as_bytes());
        let environment = match &config.unnamed {
            Some(database) => place::of(state, &config.name, database)?,
            None => config.name.clone(),
        };
        Self::open(state, &environment, &config.operator, key)
    }

    #[must_use]
    pub fn operator(&self) -> &str {
        &self.inner.operator
    }

    #[must_use]
    pub fn environment(&self) -> &str {
        &self.inner.environment
    }

    /// The chain's file, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.places.chain
    }

    /// The keyed hash by which records name a subject.
    #[must_use]
    pub fn subject_hash(&self, subject: &SubjectKey) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.inner.key).expect("invariant: HMAC takes keys of any length");
        mac.update(subject.as_str().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// Appends a record, and returns once it is on the disk. What names a person goes into `detail`.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing may be done that the record was to announce.
    pub async fn append(&self, subject: Option<&SubjectKey>, entry: Entry, detail: Detail) -> Result<Head, JournalError> {
        let subject = subject.map(|s| self.subject_hash(s));
        let head = self.blocking(move |inner| inner.append(subject, entry, &detail)).await?;
        self.inner.appended.notify_one();
        Ok(head)
    }

    /// Whether a record could be appended now: the file opens, locks, and ends in a sound record.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), JournalError> {
        self.blocking(|inner| inner.tail().map(drop)).await
    }

    /// All runs: unfinished ones first, newest first in both halves; of the finished ones the newest twenty.
    ///
    /// # Errors
    /// [`JournalError`] where the files cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        self.blocking(Inner::runs).await
    }

    /// One run, however long ago it ended.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub async fn run(&self, id: Uuid) -> Result<Option<RunSummary>, JournalError> {
        self.blocking(move |inner| inner.run(id)).await
    }

    /// What is recorded of one run, oldest first; empty where it is not in this journal.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub async fn recorded(&self, run: Uuid) -> Result<Vec<Recorded>, JournalError> {
        self.blocking(move |inner| {
            let lines = file::lines(&inner.places.chain)?;
            let payloads = payloads::read(&inner.places.payloads)?;
            let bodies = lines.iter().filter_map(|l| format::parse(l).ok()).map(|l| l.body);
            Ok(runs::recorded(bodies.filter(|b| b.entry.run() == Some(run)), &payloads))
        })
        .await
    }

    /// The newest records, whatever they are about, oldest first.
    ///
    /// # Errors
    /// As [`Journal::runs`].
    pub async fn newest(&self, count: usize) -> Result<Vec<Recorded>, JournalError> {
        self.blocking(move |inner| {
            let lines = file::lines(&inner.places.chain)?;
            let payloads = payloads::read(&inner.places.payloads)?;
            let newest = lines[lines.len().saturating_sub(count)..].iter().filter_map(|l| format::parse(l).ok());
            Ok(runs::recorded(newest.map(|l| l.body), &payloads))
        })
        .await
    }

    /// Reads the whole chain: hashes, order, payloads, and the head that was seen last.
    ///
    /// # Errors
    /// [`JournalError`] where the files cannot be read; what is wrong with the chain is in the report.
    pub async fn verify(&self) -> Result<Verification, JournalError> {
        self.blocking(|inner| verify::verify(&inner.places)).await
    }

    /// Takes the lock of a run, and of its subject: one open run per subject.
    ///
    /// # Errors
    /// [`JournalError::RunHeld`] or [`JournalError::SubjectHeld`] where somebody has it.
    pub async fn hold(&self, run: Uuid, subject: Option<&SubjectKey>) -> Result<Held, JournalError> {
        let subject = subject.map(|s| self.subject_hash(s));
        let locks = self
            .blocking(move |inner| {
                let own = locks::take(&inner.run_lock(run))?.ok_or(JournalError::RunHeld)?;
                let mut taken = vec![own];
                if let Some(subject) = subject {
                    match locks::take(&inner.subject_lock(&subject))? {
                        Some(lock) => taken.push(lock),
                        None => {
                            taken.pop().into_iter().for_each(Lock::release);
                            return Err(JournalError::SubjectHeld);
                        }
                    }
                }
                Ok(taken)
            })
            .await?;
        self.own().insert(run);
        Ok(Held { run: Some(run), locks, journal: self.clone() })
    }

    /// Takes the lock of a subject alone, for one act of a run about several.
    ///
    /// # Errors
    /// [`JournalError::SubjectHeld`] where somebody has it.
    pub async fn hold_subject(&self, subject: &SubjectKey) -> Result<Held, JournalError> {
        let subject = self.subject_hash(subject);
        let lock = self.blocking(move |inner| locks::take(&inner.subject_lock(&subject))).await?;
        Ok(Held { run: None, locks: vec![lock.ok_or(JournalError::SubjectHeld)?], journal: self.clone() })
    }

    /// Removes every payload about this subject, and what was said about it on this machine's desk. The chain stays whole. How many were
    /// removed.
    ///
    /// # Errors
    /// [`JournalError`] where the file cannot be rewritten.
    pub async fn forget(&self, subject: &SubjectKey) -> Result<usize, JournalError> {
        let (hash, subject) = (self.subject_hash(subject), subject.clone());
        self.blocking(move |inner| {
            let chain = file::open(&inner.places.chain)?;
            file::lock(&chain, &inner.places.chain)?;
            Ok(payloads::forget(&inner.places.payloads, &hash)? + inner.unsay(&subject)?)
        })
        .await
    }

    /// The records after that one, as they stand in the file, at most `limit`. Read from where the last reading ended, if that is there.
    pub(super) async fn after(&self, seq: u64, limit: usize) -> Result<Vec<(Line, String)>, JournalError> {
        self.blocking(move |inner| inner.after(seq, limit)).await
    }

    /// The chain's newest record; `None` before the first.
    ///
    /// # Errors
    /// [`JournalError`] where the file cannot be read, or ends in something that is no record.
    pub async fn head(&self) -> Result<Option<Head>, JournalError> {
        self.blocking(|inner| {
            let (_, last) = inner.tail()?;
            Ok(last.map(|l| Head { chain: l.body.chain, seq: l.body.seq, hash: l.hash }))
        })
        .await
    }

    /// Returns when a record was appended by this process.
    pub(super) async fn appended(&self) {
        self.inner.appended.notified().await;
    }

    fn own(&self) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
        self.inner.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|_| JournalError::Stopped)?
    }
}

impl Inner {
    /// The chain's file under its lock, and its last record.
    fn tail(&self) -> Result<(std::fs::File, Option<Line>), JournalError> {
        let Places { chain, torn, .. } = &self.places;
        let mut file = file::open(chain)?;
        file::lock(&file, chain)?;
        let last = file::last_line(&mut file, chain, torn)?;
        let parsed = last.map(|l| format::parse(&l)).transpose();
        let last = parsed.map_err(|why| JournalError::Broken { path: chain.clone(), why })?;
        Ok((file, last))
    }

    fn append(&self, subject: Option<String>, entry: Entry, detail: &Detail) -> Result<Head, JournalError> {
        let (mut file, last) = self.tail()?;
        let chain = last.as_ref().map_or_else(Uuid::new_v4, |l| l.body.chain);
        let payload = (!detail.0.is_null()).then(|| Payload::new(detail, subject.clone()));
        if let Some(payload) = &payload {
            payloads::append(&self.places.payloads, &self.places.torn, payload)?;
        }
        let before = last.as_ref().map(|l| Head { chain, seq: l.body.seq, hash: l.hash.clone() });
        let body = Body {
            v: format::VERSION,
            chain,
            seq: last.as_ref().map_or(1, |l| l.body.seq + 1),
            at: chrono::Utc::now(),
            operator: self.operator.clone(),
            environment: self.environment.clone(),
            subject,
            entry,
            payload: payload.map(|p| p.hash),
            prev: last.map_or_else(|| genesis(chain), |l| l.hash),
        };
        let (line, hash) = format::render(&body);
        file::append_line(&mut file, &self.places.chain, &line)?;
        let head = Head { chain, seq: body.seq, hash };
        verify::anchor(&self.places, before.as_ref(), &head)?;
        Ok(head)
    }

    fn subject_lock(&self, hash: &str) -> PathBuf {
        self.places.locks.join(format!("subject-{}", &hash[..32]))
    }

    fn run_lock(&self, run: Uuid) -> PathBuf {
        self.places.locks.join(format!("run-{run}"))
    }
}

impl Held {
    /// The run is over: its locks go.
    pub fn release(mut self) {
        self.locks.drain(..).for_each(Lock::release);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(run) = &self.run {
            self.journal.own().remove(run);
        }
    }
}

/// How many finished runs a list shows.
const FINISHED_LISTED: usize = 20;

/// A name that is safe as a file's: letters, digits, `-`, `_` and inner dots stay, everything else becomes its hex code.
fn file_name(name: &str) -> String {
    let safe = |i: usize, b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') || (b == b'.' && i > 0);
    name.bytes().enumerate().map(|(i, b)| if safe(i, b) { char::from(b).to_string() } else { format!("%{b:02x}") }).collect()
}

/// The key kept in this file; made by the first process that comes.
fn made_key(path: &Path) -> Result<Vec<u8>, JournalError> {
    let io = |doing| move |e| JournalError::io(doing, path, e);
    let mut file = file::open(path)?;
    file::lock(&file, path)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(io("read"))?;
    if let Ok(key) = hex::decode(text.trim())
        && key.len() == 32
    {
        return Ok(key);
    }
    let key = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    file.set_len(0).map_err(io("write"))?;
    file::append_line(&mut file, path, &hex::encode(&key))?;
    Ok(key)
}
