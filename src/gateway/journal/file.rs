//! The chain's file: appending under a lock, the torn tail of a crash, reading all lines. What a line means is [`super::format`]'s.

use super::JournalError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Other processes hold the lock for one append; a stopped one must not stop us for ever.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// So many bytes tell whether the file is still the one that was read.
const TAIL: u64 = 128;

/// Opens for reading and appending, made if missing, readable by us alone.
pub fn open(path: &Path) -> Result<File, JournalError> {
    let made = !path.exists();
    let file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(|e| JournalError::io("open", path, e))?;
    if made {
        sync_dir(path)?;
    }
    Ok(file)
}

/// Makes the directory and those above it, ours alone.
pub fn make_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| JournalError::io("make", path, e))
}

/// A new name in a directory is only safe once the directory is.
fn sync_dir(path: &Path) -> Result<(), JournalError> {
    let Some(dir) = path.parent() else { return Ok(()) };
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| JournalError::io("sync", dir, e))
}

/// Waits for the exclusive lock of this file; it ends with the file.
pub fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path.to_path_buf())),
            Err(TryLockError::Error(e)) => return Err(JournalError::io("lock", path, e)),
        }
    }
}

/// The last whole line, if any. What stands behind the last line break was being written when a process or the machine died:
/// nothing was done on the strength of it, so it is kept aside in `torn` and cut off. Needs the lock.
pub fn last_line(file: &mut File, path: &Path, torn: &Path) -> Result<Option<String>, JournalError> {
    let io = |e| JournalError::io("read", path, e);
    let length = file.seek(SeekFrom::End(0)).map_err(io)?;
    let mut window = 64 * 1024;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        let mut bytes = Vec::new();
        file.take_from(length - from, &mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map(|at| at + 1);
        let complete = match whole {
            Some(end) => {
                bytes[..end - 1].iter().rposition(|b| *b == b'\n').map(|at| at + 1).or((from == 0).then_some(0)).map(|start| (start, end))
            }
            None => None,
        };
        if complete.is_none() && from > 0 {
            window *= 4;
            continue;
        }
        let end = whole.unwrap_or(0);
        if end < bytes.len() {
            keep_aside(&bytes[end..], from + end as u64, torn)?;
            file.set_len(from + end as u64).and_then(|()| file.sync_all()).map_err(io)?;
        }
        return Ok(complete.map(|(start, end)| String::from_utf8_lossy(&bytes[start..end - 1]).into_owned()));
    }
}

trait TakeFrom {
    fn take_from(&mut self, count: u64, into: &mut Vec<u8>) -> std::io::Result<()>;
}

impl TakeFrom for File {
    fn take_from(&mut self, count: u64, into: &mut Vec<u8>) -> std::io::Result<()> {
        Read::by_ref(self).take(count).read_to_end(into).map(|_| ())
    }
}

fn keep_aside(bytes: &[u8], offset: u64, torn: &Path) -> Result<(), JournalError> {
    let mut aside = open(torn)?;
    let head = format!("-- {} bytes torn off at {offset}\n", bytes.len());
    let write = aside.write_all(head.as_bytes()).and_then(|()| aside.write_all(bytes)).and_then(|()| aside.write_all(b"\n"));
    write.and_then(|()| aside.sync_all()).map_err(|e| JournalError::io("write", torn, e))
}

/// Appends one line and returns once it is on the disk.
pub fn append_line(file: &mut File, path: &Path, line: &str) -> Result<(), JournalError> {
    let text = format!("{line}\n");
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| JournalError::io("write", path, e))
}

/// All whole lines; none where there is no file. A torn tail is left out.
pub fn lines(path: &Path) -> Result<Vec<String>, JournalError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(JournalError::io("read", path, e)),
    };
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    Ok(bytes[..end].split_inclusive(|b| *b == b'\n').map(|l| String::from_utf8_lossy(&l[..l.len() - 1]).into_owned()).collect())
}

/// How far a file that only grows has been read. Another file in its place, or one that was shortened or written anew, begins anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    inode: u64,
    offset: u64,
    /// Of the last bytes before it: records end in their hash, and no two end alike.
    tail: u64,
}

/// The whole lines behind the mark and the mark behind them; `true`: the file is another one, and these are all of its lines.
pub fn lines_since(path: &Path, mark: Mark) -> Result<(Vec<String>, Mark, bool), JournalError> {
    lines_of(path, mark, usize::MAX)
}

/// As [`lines_since`], at most `limit` lines; the mark stands behind the last of them.
pub fn lines_of(path: &Path, mark: Mark, limit: usize) -> Result<(Vec<String>, Mark, bool), JournalError> {
    let io = |e| JournalError::io("read", path, e);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Mark::default(), true)),
        Err(e) => return Err(io(e)),
    };
    let about = file.metadata().map_err(io)?;
    let same = about.ino() == mark.inode && about.len() >= mark.offset && tail(&mut file, mark.offset).map_err(io)? == mark.tail;
    let mut offset = if same { mark.offset } else { 0 };
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let (mut reader, mut lines) = (BufReader::new(&mut file), Vec::new());
    while lines.len() < limit {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).map_err(io)?;
        // What has no end yet is being written, or was torn off.
        if line.pop() != Some(b'\n') {
            break;
        }
        offset += read as u64;
        lines.push(String::from_utf8_lossy(&line).into_owned());
    }
    let mark = Mark { inode: about.ino(), offset, tail: tail(&mut file, offset).map_err(io)? };
    Ok((lines, mark, !same))
}

/// A fingerprint of the last bytes before this place.
fn tail(file: &mut File, offset: u64) -> std::io::Result<u64> {
    let length = offset.min(TAIL);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset - length))?;
    file.take_from(length, &mut bytes)?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Opens and locks, where others may put another file in its place.
pub fn open_locked(path: &Path) -> Result<File, JournalError> {
    loop {
        let file = open(path)?;
        lock(&file, path)?;
        let io = |e| JournalError::io("read", path, e);
        let ours = file.metadata().map_err(io)?.ino();
        if std::fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
            return Ok(file);
        }
    }
}

/// Replaces a file as a whole: either the old content or the new one is there, never a part.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    put(path, content, true)?;
    sync_dir(path)
}

/// As [`replace`], without waiting for the disk: after a crash of the machine the old content may be back.
pub fn replace_unsynced(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    put(path, content, false)
}

fn put(path: &Path, content: &[u8], synced: bool) -> Result<(), JournalError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        if synced {
            file.sync_all()?;
        }
        std::fs::rename(&fresh, path)
    };
    write().map_err(|e| JournalError::io("replace", path, e))
}
