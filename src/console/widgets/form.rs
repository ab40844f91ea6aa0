//! Text fields: the usual editing keys over tui-input, and how a field is drawn.

use super::paint::{put, width};
use super::theme::Theme;
use crate::domain::text::clean;
use crate::protocol::key::Key;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::{Deserialize, Serialize};
use tui_input::{Input, InputRequest};

/// One line of text being typed. Longer input than [`TextField::MOST`] characters is dropped.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TextField {
    input: Input,
}

impl TextField {
    /// A name, an id, a reason: nothing typed here is longer.
    pub const MOST: usize = 400;

    #[must_use]
    pub fn with(text: &str) -> Self {
        Self { input: Input::new(clean(text).chars().take(Self::MOST).collect()) }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        self.input.value()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text().trim().is_empty()
    }

    pub fn set(&mut self, text: &str) {
        *self = Self::with(text);
    }

    pub fn clear(&mut self) {
        self.input.reset();
    }

    /// Puts text in at the cursor: a paste.
    pub fn insert(&mut self, text: &str) {
        for c in clean(text.trim()).chars() {
            self.key(Key::Char(c));
        }
    }

    /// Applies an editing key. Returns whether the text changed; keys that are no editing keys change nothing.
    pub fn key(&mut self, key: Key) -> bool {
        let request = match key {
            Key::Char(c) => {
                if self.text().chars().count() >= Self::MOST {
                    return false;
                }
                InputRequest::InsertChar(clean(&c.to_string()).chars().next().unwrap_or(' '))
            }
            Key::Backspace | Key::Ctrl('h') => InputRequest::DeletePrevChar,
            Key::Delete | Key::Ctrl('d') => InputRequest::DeleteNextChar,
            Key::Left | Key::Ctrl('b') => InputRequest::GoToPrevChar,
            Key::Right | Key::Ctrl('f') => InputRequest::GoToNextChar,
            Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
            Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
            Key::Ctrl('w') => InputRequest::DeletePrevWord,
            Key::Ctrl('u') => InputRequest::DeleteFromStart,
            Key::Ctrl('k') => InputRequest::DeleteTillEnd,
            Key::Ctrl('y') => InputRequest::Yank,
            _ => return false,
        };
        self.input.handle(request).is_some_and(|c| c.value)
    }

    /// Draws the text into the area's first row, with a reversed cell for the cursor where it has the focus.
    pub fn draw(&self, buf: &mut Buffer, theme: &Theme, area: Rect, focused: bool) {
        let room = area.width.saturating_sub(1);
        let skip = self.input.visual_scroll(usize::from(room));
        let mut text = String::new();
        let mut skipped = 0;
        for c in self.text().chars() {
            let w = usize::from(width(&c.to_string()));
            if skipped < skip {
                skipped += w;
            } else if width(&text) + u16::try_from(w).unwrap_or(1) <= room {
                text.push(c);
            } else {
                break;
            }
        }
        put(buf, theme, area.x, area.y, &text, theme.plain(), area.width);
        if focused {
            let at = u16::try_from(self.input.visual_cursor().saturating_sub(skip)).unwrap_or(0).min(room);
            let cell = Rect::new(area.x + at, area.y, 1, 1).intersection(buf.area);
            buf.set_style(cell, theme.selected());
        }
    }
}

/// Equal as far as anyone can see: text and cursor.
impl PartialEq for TextField {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.input.cursor() == other.input.cursor()
    }
}

impl Eq for TextField {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_take_text_and_the_usual_keys() {
        let mut f = TextField::default();
        f.insert(" cus_Q\x1b1 ");
        assert_eq!(f.text(), "cus_Q\u{FFFD}1");
        f.key(Key::Ctrl('u'));
        assert_eq!(f.text(), "");
        assert!(!f.key(Key::Enter) && !f.key(Key::Up));
        f.insert(&"x".repeat(1_000));
        assert_eq!(f.text().chars().count(), TextField::MOST);
    }
}
