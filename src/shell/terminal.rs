//! The terminal: set up once, restored once, on whatever way out.

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raw mode, the alternate screen, bracketed paste, no cursor. Restored when dropped, on a panic, and by [`restore`].
pub struct Terminal {
    _private: (),
}

/// Alternate screen, cleared; cursor hidden; bracketed paste on.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[m\x1b[2J";
const LEAVE: &[u8] = b"\x1b[m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// The exit code of a panic, as the standard library has it.
const PANICKED: i32 = 101;

static ENTERED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

impl Terminal {
    /// # Errors
    /// There is no terminal, or it cannot be set up.
    pub fn enter() -> std::io::Result<Self> {
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                restore();
                report(info);
                // A task that panicked leaves the others running; a console with a broken part does not go on.
                std::thread::spawn(|| super::watch::end(PANICKED));
            }));
        });
        enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        let mut terminal = Self { _private: () };
        terminal.write(ENTER)?;
        Ok(terminal)
    }

    /// One write, so that a frame never arrives in pieces of its own making.
    ///
    /// # Errors
    /// The terminal is gone, or has been given back: then it shows why.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if !ENTERED.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("the console has ended"));
        }
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Gives the terminal back to the shell that started us, and takes it again when that continues us.
    ///
    /// # Errors
    /// The terminal cannot be set up again.
    pub fn suspend(&mut self) -> std::io::Result<()> {
        restore();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
        enable_raw_mode()?;
        ENTERED.store(true, Ordering::SeqCst);
        self.write(ENTER)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was. Does so once; a terminal that is gone does not matter any more.
pub fn restore() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(LEAVE);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}
