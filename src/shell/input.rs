//! What the terminal library reports, in the console's own words.

use crate::protocol::event::Event;
use crate::protocol::key::Key;
use crossterm::event::{Event as Said, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The events of one report. Alt and a letter are Esc and the letter: some multiplexers wait too long to tell them apart.
#[must_use]
pub fn events(said: Said) -> Vec<Event> {
    match said {
        Said::Key(key) if key.kind != KeyEventKind::Release => keys(key).into_iter().map(Event::Key).collect(),
        Said::Paste(text) => vec![Event::Pasted(text)],
        // Sizes come by a signal of our own, which is listened for before the first one is read.
        _ => Vec::new(),
    }
}

fn keys(event: KeyEvent) -> Vec<Key> {
    let key = match event.code {
        KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => Key::BackTab,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return Vec::new(),
    };
    if event.modifiers.contains(KeyModifiers::ALT) { vec![Key::Esc, key] } else { vec![key] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_translated() {
        let key = |code, modifiers| keys(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('L'), KeyModifiers::CONTROL), [Key::Ctrl('l')]);
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::ALT), [Key::Esc, Key::Char('x')]);
        assert_eq!(key(KeyCode::BackTab, KeyModifiers::SHIFT), [Key::BackTab]);
        assert_eq!(key(KeyCode::F(5), KeyModifiers::NONE), []);
    }
}
