//! The sheet about one of the database's sessions, kept up to date with every reading. What it says is the pane's.

use super::{Dialog, Modal};
use crate::console::context::Context;
use crate::console::panes::pool;

/// What stands in front once the session is gone.
const ENDED: &str = "It has ended; this is what it was when it was last read:";

/// Takes in the sessions as they were just read; while they are frozen, those.
pub fn renew(dialog: &mut Option<Dialog>, pane: &pool::Model, cx: &Context) {
    let Some(Modal::Session { of, lines, .. }) = dialog.as_mut().map(|d| &mut d.modal) else { return };
    match pane.about(*of, cx) {
        Some(now) => *lines = now,
        None if lines.first().is_some_and(|first| first == ENDED) => {}
        None => lines.insert(0, ENDED.into()),
    }
}
