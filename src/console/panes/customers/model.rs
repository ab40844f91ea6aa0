//! What this pane knows and shows.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::fault::Fault;

use crate::protocol::query::{Hit, Query, Reply};
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

    /// Looks this text up: typed in the palette, or pasted anywhere.
    pub fn search(&mut self, _text: &str, _cx: &Context) -> Vec<Ask> {
        Vec::new()
    }

    /// Shows these instead of a search.
    pub fn fill(&mut self, _title: String, _hits: Vec<Hit>) {}
}
