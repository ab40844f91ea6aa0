//! What the subscription pane shows: one subscription of a case, next to its row. It reads nothing itself.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::facts::Case;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::stripe::Subscription;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) case: Option<Case>,
    id: Option<StripeId>,
    pub(super) scroll: usize,
}

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

    /// Shows this subscription of the case; called anew whenever the case has learned something.
    pub fn show(&mut self, case: Case, id: StripeId) {
        if self.id.as_ref() != Some(&id) {
            self.scroll = 0;
        }
        self.case = Some(case);
        self.id = Some(id);
    }

    /// The subscription on screen.
    #[must_use]
    pub fn id(&self) -> Option<&StripeId> {
        self.id.as_ref()
    }

    /// The object, as far as the case has it.
    #[must_use]
    pub fn subscription(&self) -> Option<&Subscription> {
        self.case.as_ref()?.subscriptions.value()?.iter().find(|s| Some(&s.id) == self.id.as_ref())
    }

    /// All subscriptions of the case, newest first: what Tab goes through.
    #[must_use]
    pub fn siblings(&self) -> Vec<&StripeId> {
        self.case.as_ref().and_then(|c| c.subscriptions.value()).into_iter().flatten().map(|s| &s.id).collect()
    }

    /// The sibling this many places on, round the list.
    pub(super) fn turn(&mut self, by: usize) {
        let all = self.siblings();
        let at = all.iter().position(|id| Some(*id) == self.id.as_ref());
        let next = at.and_then(|at| all.get((at + by) % all.len())).map(|id| (*id).clone());
        if let Some(next) = next {
            self.id = Some(next);
            self.scroll = 0;
        }
    }
}
