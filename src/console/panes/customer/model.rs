//! What this pane knows and shows.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::facts::{Case, Handle};
use crate::domain::fault::Fault;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {}

impl Model {
    /// The pane comes on screen, or the environment has just been connected.
    pub fn entered(&mut self, _cx: &Context) -> Vec<Ask> {
        Vec::new()
    }

    /// An answer to one of its reads: only those that are still wanted arrive.
    pub fn replied(&mut self, _slot: Slot, _query: &Query, _result: &Result<Reply, Fault>, _cx: &Context) -> Vec<Ask> {
        Vec::new()
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, _cx: &Context) -> Vec<Ask> {
        Vec::new()
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        false
    }

    /// A fresh model of the case that this handle leads to; `entered` begins the reading.
    #[must_use]
    pub fn of(_handle: Handle) -> Self {
        Self::default()
    }

    /// Whose case it is; `None` before one was opened.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        None
    }

    /// The case as far as it is known.
    #[must_use]
    pub fn case(&self) -> Option<Case> {
        None
    }

    /// A masked name for titles and lists of recent subjects.
    #[must_use]
    pub fn title(&self) -> String {
        String::new()
    }
}
