//! The last lines of a stream, in so much memory and no more.

use std::collections::VecDeque;

/// Whole lines, oldest first; the oldest go when there is no room.
#[derive(Debug, Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
}

/// Cuts a stream into lines, however it arrives; of an endless one the beginning stays.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// The rest of a line that was too long is still coming.
    skipping: bool,
}

/// So many bytes of a stream are remembered.
pub const ROOM: usize = 4 * 1024 * 1024;
/// So much of one line is.
const LONGEST: usize = 64 * 1024;

impl Ring {
    pub fn push(&mut self, line: &[u8]) {
        let needed = line.len() + 1;
        while self.bytes.len() + needed > ROOM {
            let Some(end) = self.bytes.iter().position(|b| *b == b'\n') else {
                self.bytes.clear();
                break;
            };
            // A good part at once: every line that goes alone would move the beginning each time.
            let least = end.max(ROOM / 16).min(self.bytes.len() - 1);
            let end = self.bytes.iter().skip(least).position(|b| *b == b'\n').map_or(self.bytes.len(), |n| least + n + 1);
            self.bytes.drain(..end);
        }
        self.bytes.extend(line);
        self.bytes.push_back(b'\n');
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is remembered.
    pub fn copy(&self) -> Vec<u8> {
        let (front, back) = self.bytes.as_slices();
        [front, back].concat()
    }
}

impl Lines {
    /// Tells each line that `chunk` completes.
    pub fn feed(&mut self, chunk: &[u8], mut line: impl FnMut(&[u8])) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.keep(&rest[..end]);
            line(&self.partial);
            self.partial.clear();
            self.skipping = false;
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    /// Tells what has no line break, and forgets it: nothing more comes.
    pub fn flush(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
        }
        *self = Self::default();
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = LONGEST - self.partial.len();
        self.partial.extend(&bytes[..bytes.len().min(room)]);
        self.skipping = bytes.len() > room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_lines_stay() {
        let mut ring = Ring::default();
        for n in 0..200_000 {
            ring.push(format!("line {n} {}", "x".repeat(40)).as_bytes());
        }
        let text = String::from_utf8(ring.copy()).unwrap();
        assert!(text.len() <= ROOM && text.len() > ROOM / 2);
        assert!(text.starts_with("line ") && text.contains("line 199999 ") && text.ends_with("x\n"), "{}", &text[..80]);
    }

    #[test]
    fn lines_are_whole_however_they_arrive_and_endless_ones_end() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for chunk in ["ab", "c\nd", "\n", "\nlast"] {
            lines.feed(chunk.as_bytes(), |l| seen.push(String::from_utf8_lossy(l).into_owned()));
        }
        assert_eq!(seen, ["abc", "d", ""]);
        for _ in 0..1_000 {
            lines.feed(&[b'y'; 10_000], |_| panic!("no line yet"));
        }
        assert!(lines.partial.len() <= LONGEST);
        lines.feed(b"z\nnext\n", |l| seen.push(l.len().to_string()));
        assert_eq!(seen[3..], [LONGEST.to_string(), "4".to_string()]);
        lines.feed(b"tail", |_| panic!("no line yet"));
        lines.flush(|l| seen.push(String::from_utf8_lossy(l).into_owned()));
        assert_eq!(seen[5], "tail");
    }
}
