//! The log: a file beside the journal, for what this process notes about itself. It names nobody, and no line of another crate gets in.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// At this length, in bytes, the file begins anew; the one before is kept.
const LONGEST: u64 = 1 << 20;

/// From now on notes go to `nightdesk.log` under `state`, which is made with the first of them, readable by us alone.
pub fn to_file(state: &Path) {
    // A second call in one process changes nothing.
    let _ = tracing::subscriber::set_global_default(subscriber(state));
}

fn subscriber(state: &Path) -> impl Subscriber + Send + Sync + use<> {
    let state = state.to_path_buf();
    // Notes are rare: each opens the file for itself, and one that cannot be written is lost.
    let writer = move || -> Box<dyn Write> { open(&state).map_or_else(|_| Box::new(io::sink()) as Box<dyn Write>, |file| Box::new(file)) };
    let lines = fmt::layer().with_ansi(false).with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(Targets::new().with_target(env!("CARGO_CRATE_NAME"), Level::INFO)))
}

fn open(state: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let path = state.join("nightdesk.log");
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LONGEST) {
        std::fs::rename(&path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn our_own_notes_are_kept_privately_and_nobody_elses() {
        let state = tempfile::tempdir().expect("a directory");
        let path = state.path().join("deep/nightdesk.log");
        tracing::subscriber::with_default(subscriber(&state.path().join("deep")), || {
            tracing::warn!(target: "sqlx::query", "somebody@example.com");
            assert!(!path.exists(), "made with the first note");
            tracing::warn!(class = "timeout", "no shared store");
            tracing::debug!("chatter");
        });
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.lines().count() == 1 && text.contains("no shared store") && text.contains("class=\"timeout\""), "{text}");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, vec![b'x'; usize::try_from(LONGEST).expect("small") + 1]).expect("long");
        tracing::subscriber::with_default(subscriber(&state.path().join("deep")), || tracing::warn!("again"));
        assert!(std::fs::metadata(&path).expect("there").len() < 1_000 && path.with_extension("log.old").exists());
    }
}
