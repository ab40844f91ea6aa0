//! A log in a file: searched where it lies, its rotated predecessors with it, and followed, so that what a rotation takes away is still known.

use super::hunt::{Found, Wanted, hunt};
use super::ring::{Lines, ROOM, Ring};
use super::text::Opened;
use crate::domain::fault::{Fault, FaultKind, Source};
use nix::fcntl::OFlag;
use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// One configured file.
pub struct FileLog {
    pub path: PathBuf,
    pub name: String,
    follower: Mutex<Follower>,
}

/// Reads what is new, whatever becomes of the file meanwhile.
#[derive(Debug, Default)]
pub struct Follower {
    open: Option<Followed>,
    lines: Lines,
    ring: Ring,
    /// The file was replaced or cut off since this began: the ring may know what no file does.
    turned: bool,
}

#[derive(Debug)]
struct Followed {
    file: File,
    identity: (u64, u64),
    /// Up to here it has been read.
    offset: u64,
    /// The bytes before that: where they differ, it was cut off and written anew.
    tail: Vec<u8>,
}

const TAIL: u64 = 64;
/// So many rotated files are looked into at most.
const PREDECESSORS: usize = 8;
/// Whoever stays quiet for longer than this after rotating has nothing of the range in the file before.
const LATE: Duration = Duration::from_secs(60);

impl FileLog {
    #[must_use]
    pub fn new(path: PathBuf, name: String) -> Self {
        Self { path, name, follower: Mutex::default() }
    }

    /// Opens it as it is now.
    ///
    /// # Errors
    /// Not there, not readable, or no regular file.
    pub fn open(&self) -> Result<Opened, Fault> {
        open(&self.path).map(|(file, meta)| Opened { file, length: meta.len() }).map_err(|e| self.fault(&e))
    }

    /// Reads what came since the last time, at most the last four megabytes of it.
    ///
    /// # Errors
    /// As [`FileLog::open`].
    pub fn follow(&self) -> Result<(), Fault> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        follower.step(&self.path).map_err(|e| self.fault(&e))
    }

    /// Looks through the file and, where it begins within the range, through what was rotated away.
    ///
    /// # Errors
    /// As [`FileLog::open`], where nothing older helps out either.
    pub fn search(&self, wanted: &Wanted) -> Result<Found, Fault> {
        let limit = usize::try_from(wanted.search.limit).unwrap_or(usize::MAX);
        let since = wanted.search.since;
        let current = self.open();
        let mut parts = Vec::new();
        let mut failed = None;
        match current {
            Ok(text) => parts.push(hunt(&text, wanted).map_err(|e| self.fault(&e))?),
            Err(fault) => failed = Some(fault),
        }
        let covered = |parts: &[Found]| parts.last().is_some_and(|f| f.begins.is_some_and(|at| at <= since));
        let enough = |parts: &[Found]| !wanted.search.oldest_first && parts.iter().map(|f| f.lines.len()).sum::<usize>() >= limit;
        let earliest = SystemTime::from(since) - LATE;
        for path in predecessors(&self.path, earliest) {
            if covered(&parts) || enough(&parts) {
                break;
            }
            // Rotated on meanwhile, or nobody's to read: the others still say what they know.
            if let Ok((file, meta)) = open(&path)
                && let Ok(found) = hunt(&Opened { file, length: meta.len() }, wanted)
            {
                parts.push(found);
            }
        }
        if !covered(&parts) && !enough(&parts) {
            parts.extend(self.remembered(wanted));
        }
        match (parts.is_empty(), failed) {
            (true, Some(fault)) => Err(fault),
            _ => Ok(joined(parts, wanted)),
        }
    }

    /// What was read before the file was replaced or cut off.
    fn remembered(&self, wanted: &Wanted) -> Option<Found> {
        let text = {
            let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
            follower.turned.then(|| follower.ring.copy())?
        };
        hunt(&text, wanted).ok()
    }

    pub fn fault(&self, error: &io::Error) -> Fault {
        let path = self.path.display();
        let (kind, say) = match error.kind() {
            io::ErrorKind::NotFound => (FaultKind::NotFound, format!("{path} is not there: check [[env.NAME.logs]] file, or APP_LOG")),
            io::ErrorKind::PermissionDenied => {
                (FaultKind::Permission { missing: None }, format!("{path} may not be read by this user: give read permission on it"))
            }
            _ => (FaultKind::Refused, format!("{path} could not be read: {error}")),
        };
        Fault::new(Source::Log, kind, say)
    }
}

/// Without waiting for a writer, as a named pipe would have it.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() {
        return Ok((file, meta));
    }
    let what =
        if meta.is_dir() { "it is a directory" } else { "it is no regular file: read it with a command, such as [\"cat\", \"…\"]" };
    Err(io::Error::other(what))
}

/// Rotated files that were still written to within the range, the youngest first; compressed ones are left alone.
fn predecessors(path: &Path, earliest: SystemTime) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else { return Vec::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let rotated = |other: &str| {
        let rest = other.strip_prefix(name)?.strip_prefix(['.', '-', '_'])?;
        let counted = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b"-_.T".contains(&b));
        (counted || matches!(rest, "old" | "prev" | "bak")).then_some(())
    };
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().and_then(rotated).is_some())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .filter(|(modified, _)| *modified >= earliest)
        .collect();
    found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    found.into_iter().take(PREDECESSORS).map(|(_, path)| path).collect()
}

/// Everything together, each line once: a copy that was rotated away and what was remembered of it are the same lines.
pub fn joined(parts: Vec<Found>, wanted: &Wanted) -> Found {
    let limit = usize::try_from(wanted.search.limit).unwrap_or(usize::MAX);
    let mut all = Found { whole: true, ..Found::default() };
    let mut known = HashSet::new();
    for (n, part) in parts.into_iter().enumerate() {
        all.whole &= part.whole;
        all.more |= part.more;
        all.begins = match (all.begins, part.begins) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let new: Vec<_> = part.lines.into_iter().filter(|l| n == 0 || !known.contains(&(l.at, l.text.clone()))).collect();
        known.extend(new.iter().map(|l| (l.at, l.text.clone())));
        all.lines.extend(new);
    }
    in_order(&mut all.lines, wanted.search.oldest_first);
    all.more |= all.lines.len() > limit;
    all.lines.truncate(limit);
    all
}

/// Sorts by time, those without one at the end, otherwise as they stood.
pub fn in_order(lines: &mut [crate::domain::webhooks::log::LogLine], oldest_first: bool) {
    lines.sort_by(|a, b| match (a.at, b.at) {
        (Some(a), Some(b)) if oldest_first => a.cmp(&b),
        (Some(a), Some(b)) => b.cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

impl Follower {
    fn step(&mut self, path: &Path) -> io::Result<()> {
        let opened = open(path);
        let identity = opened.as_ref().ok().map(|(_, meta)| (meta.dev(), meta.ino()));
        if let Some(open) = &mut self.open
            && identity != Some(open.identity)
        {
            // Renamed or removed: what was written to it until then is still there.
            read_on(open, &mut self.lines, &mut self.ring)?;
            let ring = &mut self.ring;
            self.lines.flush(|line| ring.push(line));
            (self.open, self.turned) = (None, true);
        }
        let (file, meta) = opened?;
        match &mut self.open {
            Some(open) => {
                if meta.len() < open.offset || !same_tail(open)? {
                    let ring = &mut self.ring;
                    self.lines.flush(|line| ring.push(line));
                    (open.offset, open.tail, self.turned) = (0, Vec::new(), true);
                }
                read_on(open, &mut self.lines, &mut self.ring)
            }
            None => {
                let mut open = Followed { file, identity: (meta.dev(), meta.ino()), offset: 0, tail: Vec::new() };
                read_on(&mut open, &mut self.lines, &mut self.ring)?;
                self.open = Some(open);
                Ok(())
            }
        }
    }
}

fn same_tail(open: &Followed) -> io::Result<bool> {
    let mut now = vec![0; open.tail.len()];
    let from = open.offset - open.tail.len() as u64;
    let filled = open.file.read_at(&mut now, from)?;
    Ok(now[..filled] == open.tail[..])
}

/// Reads to the end; where more came than is remembered, only the last of it.
fn read_on(open: &mut Followed, lines: &mut Lines, ring: &mut Ring) -> io::Result<()> {
    let length = open.file.metadata()?.len();
    if length - open.offset.min(length) > ROOM as u64 {
        open.offset = length - ROOM as u64;
        *lines = Lines::default();
    }
    let mut buffer = vec![0; 256 * 1024];
    let end = length;
    while open.offset < end {
        let most = usize::try_from((end - open.offset).min(buffer.len() as u64)).expect("invariant: it fits the buffer");
        let filled = open.file.read_at(&mut buffer[..most], open.offset)?;
        if filled == 0 {
            break;
        }
        lines.feed(&buffer[..filled], |line| ring.push(line));
        open.offset += filled as u64;
    }
    let from = open.offset.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(open.offset - from).expect("invariant: at most the tail's length")];
    let filled = open.file.read_at(&mut tail, from)?;
    tail.truncate(filled);
    open.tail = tail;
    Ok(())
}
