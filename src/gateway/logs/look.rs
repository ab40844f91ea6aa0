//! What can be told about a log by looking at its end: which format, how old its last line is, whether its clock is ours.

use super::command::CommandLog;
use super::file::FileLog;
use super::text::{Text, Window};
use super::{json, parse};
use crate::domain::At;
use crate::domain::fault::Fault;
use chrono::{DateTime, TimeDelta, Utc};

/// A log as it was found.
#[derive(Debug, Clone)]
pub struct Look {
    pub name: String,
    pub seen: Result<Seen, Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub format: Format,
    /// The time of its last line.
    pub last: Option<At>,
    /// By how many seconds its clock is ahead of ours; negative: behind. `None` where that cannot be told.
    pub skew: Option<i64>,
    /// Of a file.
    pub bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Plain,
    /// Text without times: how old a line is cannot be told.
    Untimed,
    NotText,
    Empty,
}

/// So much of the end is looked at.
const END: u64 = 64 * 1024;

impl Format {
    /// The words in a report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Format::Json => "JSON lines",
            Format::Plain => "plain text with times",
            Format::Untimed => "plain text without times",
            Format::NotText => "not text",
            Format::Empty => "empty so far",
        }
    }
}

impl Seen {
    /// Only that its clock is ahead of ours is certain without knowing when the line was written.
    #[must_use]
    pub fn without_writing_time(self) -> Self {
        Self { skew: self.skew.filter(|s| *s > 0), ..self }
    }
}

pub fn file(log: &FileLog, now: At) -> Result<Seen, Fault> {
    let text = log.open()?;
    let modified = text.file.metadata().and_then(|m| m.modified()).ok().map(DateTime::<Utc>::from);
    let from = text.length().saturating_sub(END);
    let window = Window::read(&text, from, text.length()).map_err(|e| log.fault(&e))?;
    Ok(Seen { bytes: Some(text.length()), ..seen(&window.bytes, from > 0, modified, now) })
}

pub fn command(log: &CommandLog) -> Result<Seen, Fault> {
    log.health()?;
    let heard = log.heard();
    let from = heard.text.len().saturating_sub(usize::try_from(END).unwrap_or(usize::MAX));
    Ok(seen(&heard.text[from..], from > 0, heard.live, Utc::now()))
}

/// `written`: when the last line was written, by our clock.
fn seen(end: &[u8], cut: bool, written: Option<At>, now: At) -> Seen {
    let mut lines: Vec<&[u8]> = end.split(|b| *b == b'\n').filter(|l| !l.iter().all(u8::is_ascii_whitespace)).collect();
    if cut && lines.len() > 1 {
        // Half a line.
        lines.remove(0);
    }
    let text = String::from_utf8_lossy(end);
    let odd = text.chars().filter(|c| *c == '\u{FFFD}' || (c.is_control() && !c.is_whitespace() && *c != '\x1b')).count();
    let json = lines.iter().filter(|l| is_json(l, now)).count();
    let last = lines.iter().rev().find_map(|l| parse::time_of(l, now));
    let format = if lines.is_empty() {
        Format::Empty
    } else if odd * 10 > text.chars().count() {
        Format::NotText
    } else if json * 2 >= lines.len() {
        Format::Json
    } else if last.is_some() {
        Format::Plain
    } else {
        Format::Untimed
    };
    let ahead = last.filter(|at| *at > now + TimeDelta::seconds(5)).map(|at| at - now);
    let skew = ahead.or_else(|| last.zip(written).map(|(at, written)| at - written)).map(|d| d.num_seconds());
    Seen { format, last, skew, bytes: None }
}

fn is_json(line: &[u8], now: At) -> bool {
    let text = String::from_utf8_lossy(&line[..line.len().min(parse::MOST)]);
    let (_, rest) = super::entry::without_prefix(&text, now);
    rest.starts_with('{') && (json::read(rest, now).is_some() || line.len() > parse::MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn format_age_and_clock_are_told_from_the_end() {
        let now = Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap();
        let look = |text: &str, written: Option<i64>| {
            let seen = seen(text.as_bytes(), false, written.map(|s| now + TimeDelta::seconds(s)), now);
            (seen.format, seen.last.map(|at| (at - now).num_seconds()), seen.skew)
        };
        let pino = format!("{{\"time\":{},\"msg\":\"a\"}}\n", now.timestamp_millis() - 40_000);
        assert_eq!(look(&pino, Some(-40)), (Format::Json, Some(-40), Some(0)));
        assert_eq!(look("2026-11-22T03:10:00Z a\n", None), (Format::Plain, Some(600), Some(600)), "its clock is ahead");
        assert_eq!(look("2026-11-22T02:50:00Z a\n", Some(0)), (Format::Plain, Some(-600), Some(-600)), "its clock is behind");
        assert_eq!(look("hello\nworld\n", Some(0)), (Format::Untimed, None, None));
        assert_eq!(look("\0\x01\x02\u{FFFD}\0\0\0", Some(0)).0, Format::NotText);
        assert_eq!(look("\n", None).0, Format::Empty);
    }
}
