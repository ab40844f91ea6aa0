//! The hang-up watch: a terminal that goes away ends the process within a second, also when SIGHUP is ignored or the screen hangs.

use super::terminal::restore;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long the process has to end in good order before it is ended.
const GRACE: Duration = Duration::from_millis(700);

/// Says when the terminal is gone or the process is asked to end.
pub struct Gone(mpsc::Receiver<()>);

impl Gone {
    /// Returns once it has happened; then never again.
    pub async fn recv(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts watching.
///
/// # Errors
/// Signals or threads cannot be had.
pub fn hang_up() -> std::io::Result<Gone> {
    let (tell, told) = mpsc::channel(4);
    // The terminal library's reader spins at end of file, so somebody else has to notice. This thread sleeps in the kernel until then.
    let from_terminal = tell.clone();
    std::thread::Builder::new().name("hang-up".into()).spawn(move || {
        let stdin = std::io::stdin();
        loop {
            let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(0) => {}
                _ => break,
            }
        }
        let _ = from_terminal.try_send(());
        end(129);
    })?;
    for (kind, code) in [(SignalKind::hangup(), 129), (SignalKind::terminate(), 143)] {
        let mut asked = signal(kind)?;
        let tell = tell.clone();
        tokio::spawn(async move {
            if asked.recv().await.is_some() {
                let _ = tell.try_send(());
                std::thread::spawn(move || end(code));
            }
        });
    }
    Ok(Gone(told))
}

/// Ends the process after the grace, whatever it is busy with; a terminal that takes no bytes does not hold it up either.
pub fn end(code: i32) {
    std::thread::sleep(GRACE);
    std::thread::spawn(restore);
    std::thread::sleep(Duration::from_millis(100));
    std::process::exit(code);
}
