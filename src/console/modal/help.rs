//! What help says: read off the key table and the screen.

use crate::console::keymap::{Action, Binding};
use crate::console::keys::{own_bindings, pane_bindings};
use crate::console::state::State;

/// The keys of this screen that match: keys, meaning, and why one is out of reach.
#[must_use]
pub fn lines(state: &State, filter: &str) -> Vec<(String, String, Option<String>)> {
    let pane = pane_bindings(state);
    let own = own_bindings(state);
    let mut seen = Vec::new();
    let mut lines = Vec::new();
    for binding in pane.iter().filter(|b| !b.action.moves()).chain(own.iter()).chain(pane.iter().filter(|b| b.action.moves())) {
        if seen.contains(&binding.action) {
            continue;
        }
        seen.push(binding.action);
        lines.push(line(binding));
    }
    let wanted = filter.trim().to_lowercase();
    lines.retain(|(keys, meaning, _)| wanted.is_empty() || meaning.to_lowercase().contains(&wanted) || *keys == wanted);
    lines
}

fn line(binding: &Binding) -> (String, String, Option<String>) {
    let row = binding.action.row();
    let keys = row.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    // Enter means another thing on every screen; all other keys mean what the table says.
    let meaning = if binding.action == Action::Open && !binding.label.is_empty() {
        format!("here: {}", binding.label)
    } else {
        row.meaning.to_string()
    };
    (keys, meaning, binding.enabled.clone().err())
}
