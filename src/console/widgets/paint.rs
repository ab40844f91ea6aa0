//! The only way text gets into a cell: cleaned, cut to its room, in the glyphs the terminal has. The second line of defence behind the gateway.

use super::theme::{Glyphs, Theme};
use crate::domain::text::is_hostile;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Writes `text` at `x`, `y`, at most `room` columns wide, cut with `…` where it is longer. Returns the column after it.
/// Nothing outside the buffer is touched.
pub fn put(buf: &mut Buffer, theme: &Theme, x: u16, y: u16, text: &str, style: Style, room: u16) -> u16 {
    let area = buf.area;
    if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() || room == 0 {
        return x;
    }
    let room = room.min(area.right() - x);
    let text = fit(&shown(text, theme), room, theme);
    buf.set_stringn(x, y, &text, usize::from(room), style).0
}

/// The same, ending right before the column `end`; returns the column where it begins.
pub fn put_right(buf: &mut Buffer, theme: &Theme, end: u16, y: u16, text: &str, style: Style, room: u16) -> u16 {
    let text = fit(&shown(text, theme), room, theme);
    let start = end.saturating_sub(width(&text));
    put(buf, theme, start, y, &text, style, room);
    start
}

/// Several pieces one after another within one room; returns the column after the last.
pub fn put_spans(buf: &mut Buffer, theme: &Theme, x: u16, y: u16, spans: &[(&str, Style)], room: u16) -> u16 {
    let end = x.saturating_add(room);
    let mut at = x;
    for (text, style) in spans {
        if at >= end {
            break;
        }
        at = put(buf, theme, at, y, text, *style, end - at);
    }
    at
}

/// A dim rule across the area's width.
pub fn rule(buf: &mut Buffer, theme: &Theme, area: Rect, y: u16) {
    let line = theme.rule().repeat(usize::from(area.width));
    put(buf, theme, area.x, y, &line, theme.dim(), area.width);
}

/// A rule with titles in it, the current one marked; `right` stands at its end: `─ Timeline ── Quota ───── tab ──`.
pub fn tabs(buf: &mut Buffer, theme: &Theme, area: Rect, y: u16, titles: &[&str], current: usize, right: &str) {
    rule(buf, theme, area, y);
    let mut x = area.x + 1;
    // Where there is no room for the rule between them, they stand side by side: none is cut away.
    let apart = titles.iter().map(|t| width(t) + 4).sum::<u16>() <= area.width;
    let (after, gap) = if apart { (" ", 2) } else { ("", 0) };
    for (i, title) in titles.iter().enumerate() {
        let here = i == current;
        let style = if here { theme.bold() } else { theme.plain() };
        let text = format!("{}{title}{after}", if here && titles.len() > 1 { theme.pointer() } else { " " });
        x = put(buf, theme, x, y, &text, style, area.right().saturating_sub(x)) + gap;
    }
    if !apart {
        put(buf, theme, x, y, " ", theme.plain(), 1);
    }
    if !right.is_empty() {
        put_right(buf, theme, area.right().saturating_sub(2), y, &format!(" {right} "), theme.dim(), 30);
    }
}

/// Reverses the style of a row, for the selection.
pub fn select(buf: &mut Buffer, theme: &Theme, area: Rect) {
    buf.set_style(area.intersection(buf.area), theme.selected());
}

/// Columns that the text takes once shown.
#[must_use]
pub fn width(text: &str) -> u16 {
    u16::try_from(UnicodeWidthStr::width(text)).unwrap_or(u16::MAX)
}

/// The text within `room` columns, cut on the right with `…`.
#[must_use]
pub fn fit(text: &str, room: u16, theme: &Theme) -> String {
    if width(text) <= room {
        return text.to_string();
    }
    let room = usize::from(room.saturating_sub(1));
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > room {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push_str(theme.cut());
    out
}

/// The text broken at spaces into lines of at most `room` columns; words that are longer are cut.
#[must_use]
pub fn wrap(text: &str, room: u16) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        if !line.is_empty() && width(&line) + 1 + width(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        while width(word) > room && room > 0 {
            let (mut at, mut used) = (0, 0);
            for (i, c) in word.char_indices() {
                used += u16::try_from(c.width().unwrap_or(0)).unwrap_or(0);
                if used > room && i > 0 {
                    break;
                }
                at = i + c.len_utf8();
            }
            lines.push(word[..at].to_string());
            word = &word[at..];
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Hostile characters replaced, and the console's own glyphs in ASCII where the terminal has no others.
fn shown(text: &str, theme: &Theme) -> String {
    let ascii = theme.glyphs == Glyphs::Ascii;
    if !ascii && !text.chars().any(is_hostile) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => out.push(' '),
            c if is_hostile(c) => out.push(if ascii { '?' } else { '\u{FFFD}' }),
            c if !ascii || c.is_ascii() => out.push(c),
            '…' => out.push('~'),
            '·' | '•' => out.push('.'),
            '→' => out.push_str("->"),
            '≠' => out.push_str("!="),
            '“' | '”' => out.push('"'),
            '‘' | '’' => out.push('\''),
            '–' | '—' | '─' => out.push('-'),
            '×' | '✓' => out.push('x'),
            '›' => out.push('>'),
            '●' => out.push('*'),
            '○' => out.push('o'),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, room: u16, theme: Theme) -> String {
        let mut buf = Buffer::empty(Rect::new(0, 0, 20, 1));
        put(&mut buf, &theme, 0, 0, text, Style::new(), room);
        buf.content.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_string()
    }

    #[test]
    fn nothing_hostile_reaches_a_cell() {
        let shown = line("a\x1b[2Jb\u{202E}c", 20, Theme::mono());
        assert!(!shown.chars().any(is_hostile), "{shown:?}");
    }

    #[test]
    fn long_text_is_cut_and_wide_text_stays_in_its_room() {
        assert_eq!(line("abcdefgh", 5, Theme::mono()), "abcd…");
        assert_eq!(line("abcdefgh", 5, Theme { glyphs: Glyphs::Ascii, ..Theme::mono() }), "abcd~");
        assert!(width(&fit("李小龍李小龍", 5, &Theme::mono())) <= 5);
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
    }
}
