//! Is the chain whole: every hash, every link, every payload that is still there, and the head that was seen last.

use super::format::{self, genesis};
use super::{Head, JournalError, Places, file, payloads};
use std::path::Path;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Sound records, from the first on.
    pub records: u64,
    /// The last of them.
    pub head: Option<Head>,
    /// Payloads that records name and that were removed: allowed, and counted.
    pub removed: u64,
    /// The first thing that is wrong.
    pub broken: Option<Break>,
}

/// Where and how a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The line in the file, from 1; 0 where the file as a whole is meant.
    pub line: u64,
    pub what: String,
}

impl Verification {
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.broken.is_none()
    }
}

pub(super) fn verify(places: &Places) -> Result<Verification, JournalError> {
    // Before the lines: what is appended meanwhile is then only more than was seen, and never missing. Payloads after them: they are
    // written first.
    let anchors = [read_anchor(&places.anchor)?, read_anchor(&places.lost())?];
    let lines = file::lines(&places.chain)?;
    let payloads = payloads::read(&places.payloads)?;
    let mut found = Verification { records: 0, head: None, removed: 0, broken: None };
    let mut missing: Vec<Head> = anchors.into_iter().flatten().collect();
    for (number, line) in (1u64..).zip(&lines) {
        let broken = |what: String| Some(Break { line: number, what });
        let record = match format::parse(line) {
            Ok(record) => record,
            Err(why) => {
                found.broken = broken(why.to_string());
                return Ok(found);
            }
        };
        let due = found.head.as_ref().map_or_else(|| (1, genesis(record.body.chain)), |h| (h.seq + 1, h.hash.clone()));
        if record.body.seq != due.0 {
            found.broken =
                broken(format!("record {} stands where {} is due: one is missing, or the order was changed", record.body.seq, due.0));
            return Ok(found);
        }
        if record.body.prev != due.1 {
            found.broken = broken(format!("record {} does not follow from the one before it", record.body.seq));
            return Ok(found);
        }
        match record.body.payload.as_ref().map(|hash| payloads.get(hash)) {
            Some(None) => found.removed += 1,
            Some(Some(payload)) if !payload.holds() => {
                found.broken = broken(format!("what stands beside record {} was altered", record.body.seq));
                return Ok(found);
            }
            _ => {}
        }
        let head = Head { chain: record.body.chain, seq: record.body.seq, hash: record.hash };
        missing.retain(|seen| *seen != head);
        found.records += 1;
        found.head = Some(head);
    }
    if let Some(seen) = missing.first() {
        let what = format!("record {}, which was seen here before, is not in it any more: it was cut or rewritten", seen.seq);
        found.broken = Some(Break { line: 0, what });
    }
    Ok(found)
}

/// Remembers the head, so that a chain which is cut or rewritten later is found out. `last`: the record that stood before it.
pub(super) fn anchor(places: &Places, last: Option<&Head>, head: &Head) -> Result<(), JournalError> {
    let path = &places.anchor;
    if let Some(seen) = read_anchor(path)? {
        let follows = last.is_some_and(|l| l.seq > seen.seq || *l == seen);
        // The record that was seen is gone: going on must not cover that up.
        if !follows && !places.lost().exists() {
            std::fs::rename(path, places.lost()).map_err(|e| JournalError::io("write", path, e))?;
        }
    }
    let text = serde_json::to_string(head).expect("invariant: a head is plain data");
    // Not synced: an anchor that is some records old still tells.
    file::replace_unsynced(path, text.as_bytes())
}

fn read_anchor(path: &Path) -> Result<Option<Head>, JournalError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(JournalError::io("read", path, e)),
    }
}
