//! The search through one text: where the range begins is found by halving, the lines in it from either end; what is not needed is not read.

use super::MOST_LINES;
use super::entry::{self, Entry};
use super::needles::Needles;
use super::parse;
use super::text::{STEP, Text, Window, line_begin, line_end};
use crate::domain::At;
use crate::domain::webhooks::log::{LogLine, LogSearch};
use chrono::TimeDelta;
use std::io;
use std::time::Instant;

/// What is looked for, in a form that is made once for all texts.
pub struct Wanted<'a> {
    pub search: &'a LogSearch,
    pub needles: &'a Needles,
    /// Which of the logs: stands in each line.
    pub source: &'a str,
    pub now: At,
    /// When to stop and say how far it came.
    pub until: Instant,
}

/// What one text gave.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order asked for.
    pub lines: Vec<LogLine>,
    /// The first time in the text, where it has any.
    pub begins: Option<At>,
    /// Whether the whole range was looked through.
    pub whole: bool,
    /// More lines would have fitted the search than its limit lets through.
    pub more: bool,
    /// Why lines may be lacking all the same, in one sentence.
    pub note: Option<String>,
}

impl Found {
    /// From when on no line is lacking; `None` where some may be anywhere.
    pub fn covers(&self, search: &LogSearch) -> Option<At> {
        let from = self.begins.map_or(search.since, |begins| begins.max(search.since));
        if self.note.is_some() {
            return None;
        }
        if self.whole && !self.more {
            return Some(from);
        }
        // Of those that were cut off all are there that are younger than the oldest that was kept.
        let oldest = self.lines.iter().filter_map(|l| l.at).min()?;
        (!search.oldest_first).then(|| oldest.max(from))
    }
}

/// Processes write at the same time: lines stand out of order by this much.
const DISORDER: TimeDelta = TimeDelta::minutes(2);
/// Where no line begins within this, the text is no log there.
const FARTHEST: u64 = 32 * 1024 * 1024;
/// An entry is looked for within so much on either side of what was found.
const AROUND: u64 = 512 * 1024;
/// Where so many lines carry no time, others will not either.
const AHEAD: usize = 1_000;
/// What is read whole, whatever is wanted.
const SMALL: u64 = 8 * 1024 * 1024;
/// Halving goes on down to this: what remains is read.
const FINE: u64 = 64 * 1024;

/// Looks through the text.
///
/// # Errors
/// The file's.
pub fn hunt(text: &dyn Text, wanted: &Wanted) -> io::Result<Found> {
    let begins = first_time(text, 0, text.length().min(FINE * 16), wanted.now)?;
    let mut found = Found { begins, whole: true, ..Found::default() };
    let from = match begins {
        // So little is read whole: then its order does not matter.
        _ if text.length() <= SMALL => 0,
        Some(at) if at < wanted.search.since - DISORDER => since(text, wanted)?,
        // It begins within the range, or has no times to halve by.
        _ => 0,
    };
    if wanted.search.oldest_first {
        forward(text, from, wanted, &mut found)?
    } else {
        backward(text, from, wanted, &mut found)?
    }
    Ok(found)
}

/// Where to begin: behind it no line is older than the range, but for those out of order.
fn since(text: &dyn Text, wanted: &Wanted) -> io::Result<u64> {
    let target = wanted.search.since - DISORDER;
    let (mut low, mut high) = (0, text.length());
    while high - low > FINE && Instant::now() < wanted.until {
        let middle = low + (high - low) / 2;
        match first_time(text, middle, high, wanted.now)? {
            Some(at) if at < target => low = middle,
            // What has no time may be within: then more is read than had to be.
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first time of a line that begins behind `from`.
fn first_time(text: &dyn Text, from: u64, to: u64, now: At) -> io::Result<Option<At>> {
    let (mut size, mut at) = (FINE, from);
    let ceiling = to.min(from.saturating_add(FARTHEST));
    while at < ceiling {
        let window = Window::read(text, at, (at + size).min(text.length()))?;
        let mut rest = window.bytes.as_slice();
        if at > 0 {
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                at += window.bytes.len().max(1) as u64;
                size = (size * 4).min(FARTHEST / 4);
                continue;
            };
            rest = &rest[end + 1..];
        }
        if let Some(time) = rest.split(|b| *b == b'\n').take(AHEAD).find_map(|line| parse::time_of(line, now)) {
            return Ok(Some(time));
        }
        // The last byte again, so that a line break at the very end is seen.
        at += window.bytes.len().saturating_sub(1).max(1) as u64;
        size = (size * 4).min(FARTHEST / 4);
        if window.last {
            break;
        }
    }
    Ok(None)
}

fn backward(text: &dyn Text, from: u64, wanted: &Wanted, found: &mut Found) -> io::Result<()> {
    // What begins here or later has been looked at.
    let mut done = text.length();
    let mut to = text.length();
    while to > from {
        let begin = to.saturating_sub(STEP).max(from);
        let window = block(text, begin, to, wanted)?;
        if window.bytes.is_empty() {
            // It shrank meanwhile.
            to = begin;
            continue;
        }
        for at in hits(&window, to, wanted.needles).into_iter().rev() {
            let place = window.from + at as u64;
            if place >= done {
                continue;
            }
            let (line, begin, _) = entry_at(text, &window, at, wanted)?;
            done = begin.min(place);
            if !take(line, text, wanted, found) || !in_time(wanted, found, false) {
                return Ok(());
            }
        }
        to = begin;
        if !in_time(wanted, found, to <= from) {
            return Ok(());
        }
    }
    Ok(())
}

fn forward(text: &dyn Text, from: u64, wanted: &Wanted, found: &mut Found) -> io::Result<()> {
    // What ends here or earlier has been looked at.
    let mut done = from;
    let mut begin = from;
    while begin < text.length() {
        let to = (begin + STEP).min(text.length());
        let window = block(text, begin, to, wanted)?;
        if window.bytes.is_empty() {
            return Ok(());
        }
        for at in hits(&window, to, wanted.needles) {
            let place = window.from + at as u64;
            if place < done {
                continue;
            }
            let (line, _, end) = entry_at(text, &window, at, wanted)?;
            done = end.max(place + 1);
            if !take(line, text, wanted, found) || !in_time(wanted, found, false) {
                return Ok(());
            }
        }
        begin = to.max(done.min(text.length()));
        if !in_time(wanted, found, begin >= text.length()) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether there is time to go on; where it was through anyway, nothing is lacking.
fn in_time(wanted: &Wanted, found: &mut Found, through: bool) -> bool {
    let goes_on = through || Instant::now() < wanted.until;
    found.whole &= goes_on;
    goes_on
}

/// The bytes from `begin` to `to`, and so many more that no word is cut in two at the end.
fn block(text: &dyn Text, begin: u64, to: u64, wanted: &Wanted) -> io::Result<Window> {
    Window::read(text, begin, to + wanted.needles.longest().saturating_sub(1) as u64)
}

/// One place in each line that holds a word, or in every line; only those before `to`.
fn hits(window: &Window, to: u64, needles: &Needles) -> Vec<usize> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(hit) = needles.find(&window.bytes, at) {
        if window.from + hit as u64 >= to {
            break;
        }
        let end = window.bytes[hit..].iter().position(|b| *b == b'\n').map_or(window.bytes.len(), |n| hit + n);
        // An empty line says nothing.
        if !needles.is_empty() || end > hit {
            out.push(hit);
        }
        at = end + 1;
        if at >= window.bytes.len() {
            break;
        }
    }
    out
}

/// The entry around the byte at `at` of the window, and the places where it begins and ends.
fn entry_at(text: &dyn Text, window: &Window, at: usize, wanted: &Wanted) -> io::Result<(LogLine, u64, u64)> {
    let of = |window: &Window, entry: Entry| {
        let line = parse::line(&window.bytes[entry.begin..entry.end], entry.inherited, wanted.source, wanted.now);
        (line, window.from + entry.begin as u64, window.from + entry.end as u64)
    };
    if let Some(entry) = entry::around(window, at, wanted.now) {
        return Ok(of(window, entry));
    }
    let place = window.from + at as u64;
    let wider = Window::read(text, place.saturating_sub(AROUND), place + AROUND)?;
    let inner = usize::try_from(place - wider.from).expect("invariant: it is within the window");
    if inner < wider.bytes.len()
        && let Some(entry) = entry::around(&wider, inner, wanted.now)
    {
        return Ok(of(&wider, entry));
    }
    // A line that long is its beginning: time and level stand there.
    let begin = line_begin(text, place, FARTHEST)?;
    let end = line_end(text, place, FARTHEST)?;
    let head = Window::read(text, begin, end.min(begin + parse::MOST as u64))?;
    Ok((parse::line(&head.bytes, None, wanted.source, wanted.now), begin, end))
}

/// Keeps the line where it is wanted; whether to go on.
fn take(line: LogLine, text: &dyn Text, wanted: &Wanted, found: &mut Found) -> bool {
    let search = wanted.search;
    // Of a small one the lines need not stand in order.
    found.begins = match (found.begins, line.at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, _) => a,
    };
    let old = line.at.is_some_and(|at| at < search.since);
    let low = matches!((line.level, search.at_least), (Some(level), Some(least)) if level < least);
    if old || low || line.text.is_empty() {
        return true;
    }
    // Of a small one all are taken, and the limit cuts when they are in order.
    let most = if text.length() <= SMALL { MOST_LINES } else { search.limit };
    if found.lines.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
        found.more = true;
        return false;
    }
    found.lines.push(line);
    true
}
