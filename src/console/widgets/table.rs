//! A plain table: columns with a width, a selection that keeps its place, a scroll that follows it.

use super::paint::{put, put_right, select};
use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use serde::{Deserialize, Serialize};

/// Where in a list the selection and the first visible row are. Kept by whoever owns the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub at: usize,
}

/// A column: its width in cells, and whether it is set against its right edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub title: &'static str,
    pub width: u16,
    pub right: bool,
}

impl Cursor {
    /// Moves by `by` rows within `len`.
    pub fn by(&mut self, by: isize, len: usize) {
        self.at = self.at.saturating_add_signed(by).min(len.saturating_sub(1));
    }

    /// Keeps within a list that has changed.
    pub fn clamp(&mut self, len: usize) {
        self.at = self.at.min(len.saturating_sub(1));
    }

    /// The first visible item of a list of `len` where `fit` items fit: the selection stays in sight, near the middle once scrolled.
    #[must_use]
    pub fn first(&self, len: usize, fit: usize) -> usize {
        if len <= fit || fit == 0 {
            return 0;
        }
        // Scrolls by half a page at a time: one repaint now and then instead of one per key.
        let half = (fit / 2).max(1);
        let page = if self.at < fit { 0 } else { (self.at - fit) / half + 1 };
        (page * half).min(len - fit)
    }
}

impl Column {
    #[must_use]
    pub const fn new(title: &'static str, width: u16) -> Self {
        Self { title, width, right: false }
    }

    #[must_use]
    pub const fn right(title: &'static str, width: u16) -> Self {
        Self { title, width, right: true }
    }
}

/// Draws a head (dim) and the rows that fit, the selected one marked and reversed. Cells are `(text, style)`.
pub fn draw(buf: &mut Buffer, theme: &Theme, area: Rect, columns: &[Column], rows: &[Vec<(String, Style)>], cursor: Option<Cursor>) {
    if area.height == 0 {
        return;
    }
    let titled = columns.iter().any(|c| !c.title.is_empty());
    let mut y = area.y;
    if titled {
        let titles: Vec<_> = columns.iter().map(|c| (c.title.to_string(), theme.dim())).collect();
        row(buf, theme, Rect { y, height: 1, ..area }, columns, &titles);
        y += 1;
    }
    let fit = usize::from(area.bottom().saturating_sub(y));
    let first = cursor.map_or(0, |c| c.first(rows.len(), fit));
    for (i, cells) in rows.iter().enumerate().skip(first).take(fit) {
        let line = Rect { y, height: 1, ..area };
        row(buf, theme, line, columns, cells);
        if cursor.is_some_and(|c| c.at == i) {
            put(buf, theme, area.x, y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
        y += 1;
    }
}

fn row(buf: &mut Buffer, theme: &Theme, area: Rect, columns: &[Column], cells: &[(String, Style)]) {
    let mut x = area.x + 1;
    for (column, (text, style)) in columns.iter().zip(cells) {
        let room = column.width.min(area.right().saturating_sub(x));
        if column.right {
            put_right(buf, theme, x + room, area.y, text, *style, room);
        } else {
            put(buf, theme, x, area.y, text, *style, room);
        }
        x = x.saturating_add(column.width + 2);
        if x >= area.right() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_is_always_in_sight() {
        for len in 0..40 {
            for fit in 1..12 {
                for at in 0..len {
                    let first = Cursor { at }.first(len, fit);
                    assert!(first <= at && at < first + fit && first + fit.min(len) <= len, "{at} of {len}, {fit} fit, from {first}");
                }
            }
        }
    }
}
