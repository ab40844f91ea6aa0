//! What help and escalation say: read off the key table, the environment and the screen.

use super::Modal;
use crate::console::ask::CopyItem;
use crate::console::keymap::{Action, Binding};
use crate::console::keys::{own_bindings, pane_bindings};
use crate::console::screen::Screen;
use crate::console::state::State;
use crate::console::widgets::format::clock;

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
    let meaning = if binding.action == Action::Open && !binding.label.is_empty() { binding.label.clone() } else { row.meaning.to_string() };
    (keys, meaning, binding.enabled.clone().err())
}

/// The message to this contact, filled in with where and what, ready to be copied.
#[must_use]
pub fn escalation(state: &State, contact: usize) -> Option<Modal> {
    let env = state.world.env.as_ref()?;
    let contact = env.contacts.get(contact)?;
    let account = state.world.account.as_ref().map_or("account unknown", |a| &a.name);
    let subject = match state.screens.top() {
        Screen::Customer | Screen::Subscription => format!(" Customer: {}.", state.customer.title()),
        Screen::Run(id) => state.tasks.get(id).map(|r| format!(" Run {} of {}.", r.run.id, r.run.procedure)).unwrap_or_default(),
        Screen::Event => state.event.line().map(|l| format!(" Event {}, {}.", l.id, l.verdict.word())).unwrap_or_default(),
        Screen::Home | Screen::Webhooks | Screen::Customers => String::new(),
    };
    let text = format!(
        "{}: {} on {} ({account}), {}.{subject} On call: {}.",
        contact.contact,
        contact.issue,
        env.name,
        clock(state.world.now),
        env.operator
    );
    let items = vec![CopyItem::new("message", text), CopyItem::new("contact", contact.contact.clone())];
    Some(Modal::Copy { items, at: 0, copied: None })
}
