//! The states every panel can be in, drawn alike everywhere: being read, empty, partial, stale, failed, truncated.

use super::format::exact_age;
use super::paint::{put, put_right, width, wrap};
use super::theme::Theme;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind};
use crate::protocol::freshness::{Freshness, Health};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Something else than rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Panel<'a> {
    /// What is being read from where, since so many milliseconds.
    Reading { what: &'a str, waited_ms: u64 },
    /// What was looked at, range and filter, and how to widen: one sentence.
    Empty(&'a str),
    /// The cause, and what still works.
    Failed { fault: &'a Fault, still: &'a str },
}

/// Draws it at the top of the area, indented by a column. Returns the number of rows used.
pub fn draw(buf: &mut Buffer, theme: &Theme, area: Rect, panel: &Panel) -> u16 {
    let mut lines: Vec<(String, Style)> = Vec::new();
    match panel {
        Panel::Reading { what, waited_ms } => lines.push((reading(what, *waited_ms), theme.dim())),
        Panel::Empty(sentence) => lines.push(((*sentence).to_string(), theme.plain())),
        Panel::Failed { fault, still } => {
            lines.push((told(fault), theme.warn()));
            if !still.is_empty() {
                lines.push(((*still).to_string(), theme.dim()));
            }
            lines.push(("r reads again".to_string(), theme.dim()));
        }
    }
    let mut y = area.y;
    for (text, style) in lines {
        for line in wrap(&text, area.width.saturating_sub(2)) {
            if y >= area.bottom() {
                return y - area.y;
            }
            put(buf, theme, area.x + 1, y, &line, style, area.width.saturating_sub(2));
            y += 1;
        }
    }
    y - area.y
}

/// What stands above a pane that has tabs of its own.
pub struct Head<'a> {
    pub titles: &'a [&'a str],
    pub current: usize,
    /// Why what is shown may be old, in words.
    pub doubt: Option<String>,
    /// What the current tab covers, the most telling first; what there is no room for is left out whole, the last first.
    pub covered: Vec<String>,
}

/// Draws the tabs and, at the right, what the current one covers and how sure that is.
pub fn head(buf: &mut Buffer, theme: &Theme, area: Rect, head: Head) {
    let mut x = area.x;
    for (i, title) in head.titles.iter().enumerate() {
        let (mark, style) = if i == head.current { (theme.pointer(), theme.bold()) } else { (" ", theme.dim()) };
        x = put(buf, theme, x, area.y, &format!("{mark}{title}"), style, area.width) + 2;
    }
    let mut end = area.right().saturating_sub(1);
    if let Some(doubt) = &head.doubt {
        end = put_right(buf, theme, end, area.y, doubt, theme.warn(), end.saturating_sub(x)).saturating_sub(2);
    }
    let room = end.saturating_sub(x);
    let mut parts = head.covered;
    let dot = format!(" {} ", theme.dot());
    let said = loop {
        // `1,204 events in 24 h` is one thing, and may still lose its end.
        let said = parts.join(&dot).replace(&format!("{dot}in "), " in ");
        if width(&said) <= room || parts.len() < 2 {
            break said;
        }
        parts.pop();
    };
    put_right(buf, theme, end, area.y, &said, theme.dim(), room);
}

/// Why what a source told may be old or is missing: `stripe STALE 42s`, `db LIMIT`.
#[must_use]
pub fn doubt(freshness: &Freshness, now: At) -> Option<String> {
    let word = freshness.source.word();
    match freshness.health(now) {
        Health::Stale | Health::Down => Some(format!("{word} {}", stale(freshness.age(now)))),
        Health::Auth => Some(format!("{word} AUTH")),
        Health::Limit => Some(format!("{word} LIMIT")),
        Health::Full => Some(format!("{word} FULL")),
        Health::Ok | Health::Connecting | Health::NotSetUp => None,
    }
}

/// `Reading the customer from stripe…`, from one second on with the seconds.
#[must_use]
pub fn reading(what: &str, waited_ms: u64) -> String {
    if waited_ms < 1_000 { format!("{what}…") } else { format!("{what}… {}s", waited_ms / 1_000) }
}

/// `stripe auth: …`, `db permission (customers.read): …`: the source, the class, and what is wrong.
#[must_use]
pub fn told(fault: &Fault) -> String {
    let (source, say) = (fault.source.word(), &fault.say);
    match &fault.kind {
        FaultKind::Permission { missing: Some(missing) } => format!("{source} permission ({missing}): {say}"),
        // Its sentence begins with the class.
        FaultKind::Full => format!("{source}: {say}"),
        _ => format!("{source} {}: {say}", fault.class()),
    }
}

/// The end of a title whose rows are old: `STALE 42s`.
#[must_use]
pub fn stale(seconds: i64) -> String {
    format!("STALE {}", exact_age(seconds))
}

/// `9 of 14 pages`.
#[must_use]
pub fn partial(have: usize, of: usize, unit: &str) -> String {
    format!("{have} of {of} {unit}")
}

/// `500 of 8,120, narrow with /`.
#[must_use]
pub fn truncated(shown: usize, of: Option<usize>) -> String {
    let figure = |n: usize| crate::domain::money::group(n as u64);
    match of {
        Some(of) => format!("{} of {}, narrow with /", figure(shown), figure(of)),
        None => format!("the first {}, narrow with /", figure(shown)),
    }
}
