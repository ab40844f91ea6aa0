//! A log's bytes, in a file or in memory, read in windows: never more of it at once than a search needs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where bytes can be read at any place. What shrinks while it is read answers less.
pub trait Text {
    fn length(&self) -> u64;
    /// As many bytes as there are from `from` on, at most the buffer's length.
    ///
    /// # Errors
    /// The file's.
    fn fill(&self, buffer: &mut [u8], from: u64) -> io::Result<usize>;
}

/// A file as long as it was when it was opened.
pub struct Opened {
    pub file: File,
    pub length: u64,
}

/// A part of a text.
pub struct Window {
    /// Where it begins in the text.
    pub from: u64,
    pub bytes: Vec<u8>,
    /// Whether the text goes no further.
    pub last: bool,
}

impl Text for Opened {
    fn length(&self) -> u64 {
        self.length
    }

    fn fill(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

impl Text for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn fill(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.len());
        let length = buffer.len().min(self.len() - from);
        buffer[..length].copy_from_slice(&self[from..from + length]);
        Ok(length)
    }
}

impl Window {
    /// The part from `from` to `to`, as far as there is one.
    ///
    /// # Errors
    /// The text's.
    pub fn read(text: &dyn Text, from: u64, to: u64) -> io::Result<Self> {
        let to = to.min(text.length()).max(from);
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
        let filled = text.fill(&mut bytes, from)?;
        bytes.truncate(filled);
        Ok(Self { from, last: from + filled as u64 >= text.length() || filled == 0, bytes })
    }

    /// Whether it begins where the text begins.
    pub fn first(&self) -> bool {
        self.from == 0
    }

    /// The line that holds the byte at `at`, as a range without its line break; `None` where it may go on outside.
    pub fn line(&self, at: usize) -> Option<(usize, usize)> {
        let begin = match self.bytes[..at].iter().rposition(|b| *b == b'\n') {
            Some(before) => before + 1,
            None if self.first() => 0,
            None => return None,
        };
        let end = match self.bytes[at..].iter().position(|b| *b == b'\n') {
            Some(length) => at + length,
            None if self.last => self.bytes.len(),
            None => return None,
        };
        Some((begin, end))
    }
}

/// Where the line begins that holds `at`, looked for at most `far` bytes back.
///
/// # Errors
/// The text's.
pub fn line_begin(text: &dyn Text, at: u64, far: u64) -> io::Result<u64> {
    let floor = at.saturating_sub(far);
    let mut end = at;
    while end > floor {
        let from = end.saturating_sub(STEP).max(floor);
        let window = Window::read(text, from, end)?;
        if let Some(before) = window.bytes.iter().rposition(|b| *b == b'\n') {
            return Ok(from + before as u64 + 1);
        }
        end = from;
    }
    Ok(floor)
}

/// Where the line ends that holds `at`, looked for at most `far` bytes on.
///
/// # Errors
/// The text's.
pub fn line_end(text: &dyn Text, at: u64, far: u64) -> io::Result<u64> {
    let ceiling = at.saturating_add(far).min(text.length());
    let mut from = at;
    while from < ceiling {
        let window = Window::read(text, from, (from + STEP).min(ceiling))?;
        if let Some(length) = window.bytes.iter().position(|b| *b == b'\n') {
            return Ok(from + length as u64);
        }
        if window.bytes.is_empty() {
            break;
        }
        from += window.bytes.len() as u64;
    }
    Ok(ceiling)
}

/// How much is read at once.
pub const STEP: u64 = 256 * 1024;
