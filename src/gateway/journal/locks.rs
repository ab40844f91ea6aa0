//! Locks that die with their process: a run that is open, a subject that is being written to.

use super::JournalError;
use super::file;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A lock held. Given back by [`Lock::release`], or by the end of the process; dropping it gives it back too.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Takes the lock, or says that somebody has it.
pub fn take(path: &Path) -> Result<Option<Lock>, JournalError> {
    for _ in 0..50 {
        let file = file::open(path)?;
        match file.try_lock() {
            // Its holder may have removed the name between our opening and our locking it: then the lock guards nothing.
            Ok(()) if same_file(&file, path) => return Ok(Some(Lock { file, path: path.to_path_buf() })),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if held(path)? => return Ok(None),
            // Somebody only looked.
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
            Err(TryLockError::Error(e)) => return Err(JournalError::io("lock", path, e)),
        }
    }
    Ok(None)
}

/// Whether somebody has it right now.
pub fn held(path: &Path) -> Result<bool, JournalError> {
    let Ok(file) = File::open(path) else { return Ok(false) };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(JournalError::io("look at", path, e)),
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}

impl Lock {
    /// Gives it back and removes its file, so that none are left behind by what is finished.
    pub fn release(self) {
        // Without the name the lock is only a leftover; failing to remove it harms nobody.
        let _ = std::fs::remove_file(&self.path);
        drop(self.file);
    }
}
