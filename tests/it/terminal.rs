//! The real binary in a pseudo-terminal: keys in, the rendered screen and the bytes that drew it out.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a screen may take before a test gives up on it; far above what any of them needs.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Arc<Mutex<Box<dyn Write + Send>>>>,
    /// It holds the terminal open, too.
    reader: Option<std::thread::JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    first_byte: Option<Instant>,
    last_byte: Option<Instant>,
    /// Nobody takes what the program writes: it piles up in the terminal.
    deaf: bool,
    /// The line is about to drop: nothing more is read.
    leaving: bool,
}

impl Terminal {
    /// Starts `nightdesk` with these arguments and variables at `columns`×`rows`. Nothing of the caller's environment that the
    /// console would read is passed on.
    pub fn start(columns: u16, rows: u16, arguments: &[&str], variables: &[(String, String)]) -> Self {
        let argv: Vec<&str> = std::iter::once(env!("CARGO_BIN_EXE_nightdesk")).chain(arguments.iter().copied()).collect();
        Self::run(columns, rows, &argv, variables)
    }

    /// The same for any program: a shell around `nightdesk`, for one.
    pub fn run(columns: u16, rows: u16, argv: &[&str], variables: &[(String, String)]) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("a pty");
        let mut command = CommandBuilder::new(argv[0]);
        command.env_clear();
        for keep in ["PATH", "HOME", "TMPDIR", "USER"] {
            if let Ok(value) = std::env::var(keep) {
                command.env(keep, value);
            }
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for (name, value) in variables {
            command.env(name, value);
        }
        command.args(&argv[1..]);
        let child = pair.slave.spawn_command(command).expect("nightdesk starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let keys = Arc::new(Mutex::new(pair.master.take_writer().expect("a writer")));
        let answers = Arc::downgrade(&keys);
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(rows, columns, 0),
            raw: Vec::new(),
            first_byte: None,
            last_byte: None,
            deaf: false,
            leaving: false,
        }));
        let sink = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0u8; 8192];
            while let Ok(n) = output.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                let mut seen = sink.lock().expect("not poisoned");
                let now = Instant::now();
                seen.first_byte.get_or_insert(now);
                seen.last_byte = Some(now);
                seen.raw.extend_from_slice(&buffer[..n]);
                seen.parser.process(&buffer[..n]);
                // A terminal says where its cursor is when it is asked; some programs wait for that.
                if buffer[..n].windows(4).any(|asked| asked == b"\x1b[6n") {
                    let (row, column) = seen.parser.screen().cursor_position();
                    if let Some(keys) = answers.upgrade() {
                        let _ = write!(keys.lock().expect("not poisoned"), "\x1b[{};{}R", row + 1, column + 1);
                    }
                }
                while seen.deaf {
                    drop(seen);
                    std::thread::sleep(Duration::from_millis(20));
                    seen = sink.lock().expect("not poisoned");
                }
                if seen.leaving {
                    break;
                }
            }
        });
        Self { child, master: Some(pair.master), keys: Some(keys), reader: Some(reader), seen }
    }

    pub fn screen(&self) -> String {
        self.seen.lock().expect("not poisoned").parser.screen().contents()
    }

    /// Every byte the program has written so far.
    pub fn bytes(&self) -> usize {
        self.seen.lock().expect("not poisoned").raw.len()
    }

    /// What the program wrote after its first `from` bytes, as it wrote it.
    pub fn written(&self, from: usize) -> Vec<u8> {
        self.seen.lock().expect("not poisoned").raw[from..].to_vec()
    }

    /// Waits until the program has written nothing for `quiet`; the number of bytes it had written by then.
    pub fn settled(&self, quiet: Duration) -> usize {
        let start = Instant::now();
        loop {
            let last = self.seen.lock().expect("not poisoned").last_byte;
            if last.is_some_and(|t| t.max(start).elapsed() >= quiet) {
                return self.bytes();
            }
            assert!(start.elapsed() < PATIENCE, "it never stops writing");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Looks at the terminal's own state: modes, colours, the cursor.
    pub fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        at(self.seen.lock().expect("not poisoned").parser.screen())
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen.lock().expect("not poisoned").parser.screen_mut().set_size(rows, columns);
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().expect("the terminal is open").resize(size).expect("a terminal can be resized");
    }

    /// From here on nobody takes what the program writes.
    pub fn stop_reading(&self) {
        self.seen.lock().expect("not poisoned").deaf = true;
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("it runs");
    }

    pub fn first_byte(&self) -> Option<Instant> {
        self.seen.lock().expect("not poisoned").first_byte
    }

    pub fn send(&mut self, keys: &str) {
        let mut writer = self.keys.as_ref().expect("the terminal is open").lock().expect("not poisoned");
        writer.write_all(keys.as_bytes()).expect("the terminal takes keys");
        writer.flush().expect("the terminal takes keys");
    }

    /// As a terminal with bracketed paste sends it.
    pub fn paste(&mut self, text: &str) {
        self.send(&format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Waits until the screen shows the text.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("`{text}`"), |screen| screen.contains(text))
    }

    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "never saw {what}; the screen was:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.process_id().expect("it runs")).expect("a pid")
    }

    /// Takes the terminal away, as a dropped line does; the moment at which it was gone.
    pub fn hang_up(&mut self) -> Instant {
        self.seen.lock().expect("not poisoned").leaving = true;
        let master = self.master.take().expect("the terminal is open");
        let mut size = master.get_size().expect("a terminal has a size");
        // Its reader holds it open until something is written once more: a new size makes the program do that.
        size.cols -= 1;
        master.resize(size).expect("a terminal can be resized");
        self.reader.take().expect("it reads").join().expect("the reader ends");
        self.keys = None;
        drop(master);
        Instant::now()
    }

    /// Waits for the process to end; `None` when it is still there after `patience`.
    pub fn ended_within(&mut self, patience: Duration) -> Option<u32> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return Some(status.exit_code());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.seen.lock().expect("not poisoned").deaf = false;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
