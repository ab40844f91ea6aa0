//! The journal: the chain, what breaks it and what must not, locks, recovery from every prefix, and the shared store.

mod chain;
mod lane;
mod listed;
mod recovery;
mod store;

use crate::world::subject;
use nightdesk::gateway::journal::Journal;
use nightdesk::protocol::record::{Detail, Entry};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

pub fn journal(state: &Path) -> Journal {
    Journal::open(state, "test", "ada", None).expect("a journal")
}

pub fn place(state: &Path, file: &str) -> PathBuf {
    state.join("test/ada").join(file)
}

pub async fn with_records(count: usize) -> (TempDir, Journal) {
    let state = tempdir().unwrap();
    let journal = journal(state.path());
    for n in 0..count {
        let detail = Detail(json!({ "reason": format!("jane@acme.com {n}") }));
        journal.append(Some(&subject()), Entry::Revealed, detail).await.unwrap();
    }
    (state, journal)
}

pub async fn broken(journal: &Journal) -> String {
    let found = journal.verify().await.unwrap();
    found.broken.map(|b| format!("{}: {}", b.line, b.what)).expect("it is broken")
}

pub fn edit(path: &Path, change: impl FnOnce(Vec<String>) -> Vec<String>) {
    let lines = fs::read_to_string(path).unwrap().lines().map(String::from).collect();
    let text: String = change(lines).iter().flat_map(|l| [l.as_str(), "\n"]).collect();
    fs::write(path, text).unwrap();
}
