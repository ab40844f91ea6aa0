//! The keys of this pane: what is offered now, and what each does to the model.

use super::Model;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::protocol::key::Key;

#[must_use]
pub fn bindings(_m: &Model, _cx: &Context) -> Vec<Binding> {
    Vec::new()
}

pub fn act(_m: &mut Model, _action: Action, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

/// A key while a text field of this pane has the focus.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}
