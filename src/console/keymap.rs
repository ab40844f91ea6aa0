//! The one key table: what each key means everywhere. Dispatch, footer, help, palette and the README come from it.

use crate::protocol::key::Key;
use serde::{Deserialize, Serialize};

/// What a key means. A pane offers some of these; the console itself handles the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    MoveUp,
    MoveDown,
    Top,
    Bottom,
    PageUp,
    PageDown,
    HalfUp,
    HalfDown,
    Open,
    Back,
    NextTab,
    PreviousTab,
    GoHome,
    GoWebhooks,
    GoCustomers,
    GoPool,
    GoRunbook,
    Filter,
    Sort,
    Group,
    Mark,
    Palette,
    Help,
    Writes,
    Escalate,
    Fix,
    Actions,
    Why,
    Copy,
    Undo,
    Refresh,
    Reveal,
    Confirm,
    Freeze,
    Redraw,
    Suspend,
    Cancel,
}

/// A row of the table. The first key is the one that footer and help show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub keys: &'static [Key],
    pub action: Action,
    /// The meaning, for help and README.
    pub meaning: &'static str,
}

/// An action that is offered now, under the key that the table gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub key: Key,
    pub action: Action,
    /// A word or two for the footer; empty keeps it out of there.
    pub label: String,
    /// Why it cannot be used at the moment.
    pub enabled: Result<(), String>,
}

const fn row(keys: &'static [Key], action: Action, meaning: &'static str) -> Row {
    Row { keys, action, meaning }
}

/// Every key of the console, text fields aside. One letter, one meaning, everywhere.
pub const TABLE: &[Row] = &[
    row(&[Key::Up, Key::Char('k')], Action::MoveUp, "move up"),
    row(&[Key::Down, Key::Char('j')], Action::MoveDown, "move down"),
    row(&[Key::Char('g'), Key::Home], Action::Top, "to the top"),
    row(&[Key::Char('G'), Key::End], Action::Bottom, "to the bottom"),
    row(&[Key::PageUp], Action::PageUp, "a page up"),
    row(&[Key::PageDown], Action::PageDown, "a page down"),
    row(&[Key::Ctrl('u')], Action::HalfUp, "half a page up"),
    row(&[Key::Ctrl('d')], Action::HalfDown, "half a page down"),
    row(&[Key::Enter], Action::Open, "open"),
    row(&[Key::Esc, Key::Char('q')], Action::Back, "back; at Home asks before quitting"),
    row(&[Key::Tab], Action::NextTab, "next tab or section"),
    row(&[Key::BackTab], Action::PreviousTab, "previous tab or section"),
    row(&[Key::Char('1')], Action::GoHome, "Home"),
    row(&[Key::Char('2')], Action::GoWebhooks, "Webhooks"),
    row(&[Key::Char('3')], Action::GoCustomers, "Customers"),
    row(&[Key::Char('5')], Action::GoPool, "Pool"),
    row(&[Key::Char('6')], Action::GoRunbook, "Runbook"),
    row(&[Key::Char('/')], Action::Filter, "search, or filter: text, field:value, >n, !not"),
    row(&[Key::Char('s')], Action::Sort, "sort: the next order"),
    row(&[Key::Char('v')], Action::Group, "view the list by type, customer, verdict, application, or one by one"),
    row(&[Key::Char(' ')], Action::Mark, "mark, or take the mark back"),
    row(&[Key::Char(':')], Action::Palette, "palette: panes, procedures, customers, tasks; also any id"),
    row(&[Key::Char('?')], Action::Help, "keys of this screen"),
    row(&[Key::Char('w')], Action::Writes, "writes on (asks for a reason, 15 minutes) or off"),
    row(&[Key::Char('!')], Action::Escalate, "escalate: whom to call"),
    row(&[Key::Char('f')], Action::Fix, "review the recommended fix; never acts"),
    row(&[Key::Char('a')], Action::Actions, "every action possible here"),
    row(&[Key::Char('e')], Action::Why, "why: the evidence behind the sentence"),
    row(&[Key::Char('c')], Action::Copy, "copy: ids, row, JSON, curl, the screen (masked)"),
    row(&[Key::Char('u')], Action::Undo, "undo the last reversible action, shown first"),
    row(&[Key::Char('r'), Key::Ctrl('r')], Action::Refresh, "refresh now"),
    row(&[Key::Char('i')], Action::Reveal, "reveal personal data for 60 s (reason, audited)"),
    row(&[Key::Char('y')], Action::Confirm, "confirm, in a review only"),
    row(&[Key::Char('p')], Action::Freeze, "pause a run of many acts, which asks before it goes on; freeze the pool, or go on"),
    row(&[Key::Ctrl('l')], Action::Redraw, "redraw"),
    row(&[Key::Ctrl('z')], Action::Suspend, "suspend"),
    row(&[Key::Ctrl('c')], Action::Cancel, "cancel what is being read, or close the dialog"),
];

/// What the key means, wherever it is pressed outside a text field.
#[must_use]
pub fn meaning(key: Key) -> Option<Action> {
    TABLE.iter().find(|r| r.keys.contains(&key)).map(|r| r.action)
}

/// The table as Markdown: what the README prints, and a test compares.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| Key | Meaning |\n|---|---|\n");
    for row in TABLE {
        let keys = row.keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" ");
        out.push_str(&format!("| {keys} | {} |\n", row.meaning));
    }
    out
}

impl Action {
    /// Its row in the table.
    #[must_use]
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|r| r.action == self).expect("invariant: every action has a row, a test sees to it")
    }

    /// The key that footer and help show for it.
    #[must_use]
    pub fn key(self) -> Key {
        self.row().keys[0]
    }

    #[must_use]
    pub fn moves(self) -> bool {
        self <= Action::HalfDown
    }
}

impl Action {
    /// By how many rows it moves in a list of which `page` fit; `None` where it moves nothing.
    #[must_use]
    pub fn rows(self, page: usize) -> Option<isize> {
        let page = isize::try_from(page).unwrap_or(isize::MAX).max(1);
        Some(match self {
            Action::MoveUp => -1,
            Action::MoveDown => 1,
            Action::Top => isize::MIN,
            Action::Bottom => isize::MAX,
            Action::PageUp => -page,
            Action::PageDown => page,
            Action::HalfUp => -(page / 2).max(1),
            Action::HalfDown => (page / 2).max(1),
            _ => return None,
        })
    }
}

impl Binding {
    /// Offered, under this label in the footer.
    pub fn new(action: Action, label: impl Into<String>) -> Self {
        Self { key: action.key(), action, label: label.into(), enabled: Ok(()) }
    }

    /// Offered, and not worth a place in the footer.
    #[must_use]
    pub fn quiet(action: Action) -> Self {
        Self::new(action, "")
    }

    /// The eight ways to move through a list.
    #[must_use]
    pub fn moves() -> Vec<Self> {
        TABLE.iter().filter(|r| r.action.moves()).map(|r| Self::quiet(r.action)).collect()
    }

    /// Not possible now, for this reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.enabled = Err(reason.into());
        self
    }

    /// Possible or not, as the condition says.
    #[must_use]
    pub fn when(mut self, enabled: Result<(), String>) -> Self {
        self.enabled = enabled;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_means_one_thing() {
        let mut seen = BTreeSet::new();
        for row in TABLE {
            assert!(!row.keys.is_empty(), "{:?}", row.action);
            assert_eq!(row.action.row(), row, "one row per action");
            for key in row.keys {
                assert!(seen.insert(*key), "{key} stands twice");
            }
        }
    }

    #[test]
    fn keys_that_terminals_and_multiplexers_take_are_never_bound() {
        for c in ['a', 'b', 's', 'q', 'w', 't', '\\'] {
            assert_eq!(meaning(Key::Ctrl(c)), None, "^{c}");
        }
        // `G` is the one capital: the bottom, as everywhere.
        for c in ('A'..='Z').filter(|c| *c != 'G') {
            assert_eq!(meaning(Key::Char(c)), None, "{c}");
        }
    }
}
