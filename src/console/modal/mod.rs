//! Dialogs over the screen: what each holds, and what its keys do.

mod escalate;
mod export;
mod help;
mod keys;
mod log;
mod palette;
mod screen;
mod session;
mod tasks;
mod view;
mod words;

pub use escalate::escalate;
use export::open as export;
pub use keys::press;
pub use log::replied as log_replied;
pub use screen::masked;
pub use session::renew as session;
pub use view::{draw, hints};

use super::ask::{ActionItem, CopyItem, LetBe};
use super::guard::{Guard, PASTE_MS};
use super::widgets::form::TextField;
use crate::domain::sessions::SessionId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A dialog and since when it has been on screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dialog {
    pub modal: Modal,
    pub guard: Guard,
    /// When the last character came in: an Enter right behind it belongs to a paste.
    last_typed: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Modal {
    /// Why writes are to be turned on.
    Writes {
        reason: TextField,
    },
    /// Why personal data is to be shown.
    Reveal {
        reason: TextField,
    },
    /// Why a cause is to be muted, or drift accepted, and for how long: the place among [`SPANS`].
    LetBe {
        what: LetBe,
        span: usize,
        reason: TextField,
        /// Of several the number has to be typed, after the reason.
        #[serde(default)]
        count: Option<TextField>,
    },
    /// Why a run that was left unfinished is given up.
    GiveUp {
        run: Uuid,
        reason: TextField,
    },
    /// What a sentence rests on.
    Evidence {
        title: String,
        lines: Vec<String>,
        scroll: u16,
    },
    /// One of the database's sessions, as it was last read.
    Session {
        of: SessionId,
        title: String,
        lines: Vec<String>,
        scroll: u16,
    },
    /// What can be copied; once something was, its text to copy by hand, since no terminal says whether it took it.
    Copy {
        items: Vec<CopyItem>,
        at: usize,
        copied: Option<String>,
    },
    /// Everything possible here.
    Actions {
        items: Vec<ActionItem>,
    },
    /// The keys of this screen.
    Help {
        filter: TextField,
        scroll: u16,
    },
    Palette {
        query: TextField,
        at: usize,
    },
    /// The drawer of running tasks. The selection is a run, so that a list that changes moves nothing under the cursor.
    Tasks {
        at: Option<Uuid>,
    },
    /// Whom to call.
    Escalate {
        at: usize,
    },
    Quit,
}

/// How long something can be let be, in minutes: from half an hour to ninety days.
const SPANS: [i64; 10] = [30, 60, 120, 240, 480, 1_440, 4_320, 10_080, 43_200, 129_600];
/// An hour, for what is being worked on; thirty days, for what is known.
const USUAL: (usize, usize) = (1, 8);

impl Dialog {
    #[must_use]
    pub fn new(modal: Modal) -> Self {
        Self { modal, guard: Guard::default(), last_typed: None }
    }

    pub fn typed(&mut self, tick: u64) {
        self.last_typed = Some(tick);
    }

    /// Enter was meant for this dialog: it was on screen, and the key did not come in with a paste.
    #[must_use]
    pub fn takes_enter(&self, tick: u64) -> bool {
        self.guard.lets_through(tick) && self.last_typed.is_none_or(|t| tick > t + PASTE_MS)
    }
}

impl Modal {
    /// Asks why, and until when.
    #[must_use]
    pub fn let_be(what: LetBe) -> Self {
        let span = if matches!(what, LetBe::Cause(_)) { USUAL.0 } else { USUAL.1 };
        Modal::LetBe { what, span, reason: TextField::default(), count: None }
    }

    /// Its text field, where it has one.
    pub fn field(&mut self) -> Option<&mut TextField> {
        match self {
            Modal::Writes { reason: field }
            | Modal::Reveal { reason: field }
            | Modal::LetBe { count: Some(field), .. }
            | Modal::LetBe { reason: field, .. }
            | Modal::GiveUp { reason: field, .. }
            | Modal::Help { filter: field, .. }
            | Modal::Palette { query: field, .. } => Some(field),
            _ => None,
        }
    }

    #[must_use]
    pub fn has_field(&self) -> bool {
        matches!(
            self,
            Modal::Writes { .. }
                | Modal::Reveal { .. }
                | Modal::LetBe { .. }
                | Modal::GiveUp { .. }
                | Modal::Help { .. }
                | Modal::Palette { .. }
        )
    }
}
