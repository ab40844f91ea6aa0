//! How the subcommands print: to standard output, and quietly to nobody once its reader has gone. What they print is theirs.

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
