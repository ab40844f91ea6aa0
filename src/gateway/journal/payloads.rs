//! What stands beside the chain: ids, before-values, evidence, free text. May be removed, and no record breaks.

use super::JournalError;
use super::file;
use crate::protocol::record::Detail;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use uuid::Uuid;

/// A payload as it stands in its file. The detail is text, so that its bytes are hashed as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub hash: String,
    /// Keyed hash of whom it is about: by this it is found when they are to be forgotten.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// Without it, a removed payload of few possible values could be guessed from its hash.
    pub salt: String,
    pub detail: String,
}

impl Payload {
    pub fn new(detail: &Detail, subject: Option<String>) -> Self {
        let salt = hex::encode(Uuid::new_v4().as_bytes());
        let detail = detail.0.to_string();
        Self { hash: hash(&salt, &detail), subject, salt, detail }
    }

    /// Whether it still is what its hash says.
    pub fn holds(&self) -> bool {
        hash(&self.salt, &self.detail) == self.hash
    }

    pub fn parse<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_str(&self.detail).ok()
    }
}

fn hash(salt: &str, detail: &str) -> String {
    hex::encode(Sha256::new().chain_update(salt).chain_update(detail).finalize())
}

/// Appends; the caller holds the chain's lock.
pub fn append(path: &Path, torn: &Path, payload: &Payload) -> Result<(), JournalError> {
    let mut file = file::open(path)?;
    file::last_line(&mut file, path, torn)?;
    let line = serde_json::to_string(payload).expect("invariant: a payload is plain data");
    file::append_line(&mut file, path, &line)
}

/// All payloads by their hash. A line that cannot be read is as good as removed.
pub fn read(path: &Path) -> Result<HashMap<String, Payload>, JournalError> {
    Ok(parse(&file::lines(path)?).collect())
}

/// Those that stand in these lines.
pub fn parse(lines: &[String]) -> impl Iterator<Item = (String, Payload)> {
    lines.iter().filter_map(|l| serde_json::from_str::<Payload>(l).ok()).map(|p| (p.hash.clone(), p))
}

/// Removes what is about this subject; the caller holds the chain's lock. How many were removed.
pub fn forget(path: &Path, subject: &str) -> Result<usize, JournalError> {
    let lines = file::lines(path)?;
    let theirs = |line: &&String| serde_json::from_str::<Payload>(line).is_ok_and(|p| p.subject.as_deref() == Some(subject));
    let (gone, kept): (Vec<_>, Vec<_>) = lines.iter().partition(theirs);
    if !gone.is_empty() {
        let text: String = kept.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
        file::replace(path, text.as_bytes())?;
    }
    Ok(gone.len())
}
