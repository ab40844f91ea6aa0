//! What this pane knows and shows.

use crate::console::ask::Ask;
use crate::console::context::Context;
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
}
