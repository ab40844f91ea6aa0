//! The guard in front of a confirmation: keys count only once the dialog has been on screen long enough to be read.

use serde::{Deserialize, Serialize};

/// How long after being painted a dialog still drops keys, in milliseconds: what is in flight was meant for the screen before.
pub const SETTLE_MS: u64 = 300;
/// Printable keys closer together than this were not typed by hand, in milliseconds.
pub const PASTE_MS: u64 = 30;

/// When a dialog was first painted. Shut until then, and for [`SETTLE_MS`] after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    painted: Option<u64>,
}

impl Guard {
    pub fn painted(&mut self, tick: u64) {
        self.painted.get_or_insert(tick);
    }

    #[must_use]
    pub fn lets_through(&self, tick: u64) -> bool {
        self.painted.is_some_and(|p| tick >= p + SETTLE_MS)
    }
}
