//! How the subcommands print: answers to standard output, why there is none to standard error; quietly to nobody once the reader has gone.

use serde_json::json;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Nothing can be printed any more: the reader has gone, or the disk is full.
static OVER: AtomicBool = AtomicBool::new(false);

/// Prints this. A run goes on to its end whether or not anybody reads along, so a closed pipe (`| head`) is no error.
pub fn text(what: Arguments<'_>) {
    if OVER.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(what).and_then(|()| out.flush()) {
        OVER.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("nightdesk: the output could not be written: {error}");
        }
    }
}

/// Why a command ends without the answer that was asked for; the word that `--json` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The command line itself is wrong.
    Usage,
    /// Bad input, an unusable configuration, or a source that does not answer.
    NotAnswered,
    /// It was understood and looked at, and is not done.
    Refused,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Why::Usage => "usage",
            Why::NotAnswered => "not_answered",
            Why::Refused => "refused",
        }
    }
}

/// Whether this process was asked for JSON. Read off the arguments, since a command line that is wrong is told in JSON too.
#[must_use]
pub fn as_json() -> bool {
    std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json")
}

/// Says why there is no answer: one sentence, or one object on one line: `{"error":{"kind":"refused","says":"…"}}`.
pub fn complaint(why: Why, says: &str) {
    if as_json() {
        told(&json!({ "error": { "kind": why.word(), "says": says } }).to_string());
    } else {
        told(&format!("nightdesk: {says}"));
    }
}

/// Something beside the answer, for whoever waits: how far it came. Not beside JSON, where it would have to be read.
pub fn aside(says: &str) {
    if !as_json() {
        told(says);
    }
}

fn told(line: &str) {
    // Where nobody reads that either, the exit code says it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
