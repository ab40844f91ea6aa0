//! The paste rule for terminals that send no brackets: keys faster than fingers are one paste, and a paste acts on nothing.

use super::guard::PASTE_MS;
use super::keys;
use super::state::State;
use crate::protocol::effect::Effect;
use crate::protocol::event::Stamped;
use crate::protocol::key::Key;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Keys that may turn out to be a paste. The first three act at once; the fourth puts the state back to before the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    keys: String,
    last: u64,
    /// The state before the first of `keys`, kept up with everything that is not a key.
    before: Option<Box<State>>,
    /// It is a paste, still being received.
    collecting: bool,
    /// `y` was pressed in this run's review: it counts once nothing has followed it as fast as a paste would.
    armed: Option<(Uuid, u64)>,
}

/// So many printable keys in a row are a paste.
const PASTE_KEYS: usize = 4;

/// What time alone has decided by this event: a burst is over, a `y` stands alone. That nothing followed the `y` is only known
/// by an event that is no key: keys that came in together may be handled far apart on a machine that is busy.
pub fn settle(state: &mut State, by_key: bool) -> Vec<Effect> {
    let tick = state.world.tick;
    let quiet = tick > state.burst.last + PASTE_MS;
    if !quiet {
        return Vec::new();
    }
    let burst = std::mem::take(&mut state.burst);
    if burst.collecting {
        return keys::paste(state, &burst.keys);
    }
    match burst.armed {
        Some((run, at)) if tick > at + PASTE_MS && !by_key => keys::confirm(state, run),
        armed => {
            state.burst.armed = armed;
            Vec::new()
        }
    }
}

/// A `y` that will count if it stays alone; one that came right behind other keys is not.
pub fn arm(state: &mut State, run: Uuid) {
    if state.burst.keys.chars().count() == 1 {
        state.burst.armed = Some((run, state.world.tick));
    }
}

/// Whether the key belongs to a paste: then it has been dealt with, and means nothing else.
pub fn swallows(state: &mut State, key: Key) -> Option<Vec<Effect>> {
    let tick = state.world.tick;
    state.burst.armed = None;
    let Key::Char(c) = key else {
        if state.burst.collecting && matches!(key, Key::Enter | Key::Tab) {
            state.burst.last = tick;
            return Some(Vec::new());
        }
        // Any other key ends what was coming in, and then means what it says.
        let burst = std::mem::take(&mut state.burst);
        if burst.collecting {
            let mut effects = keys::paste(state, &burst.keys);
            effects.extend(keys::press(state, key, Uuid::nil()));
            return Some(effects);
        }
        return None;
    };
    if state.burst.keys.is_empty() {
        // In a text field fast keys are just text.
        if state.is_editing() {
            return None;
        }
        let before = Box::new(state.clone());
        state.burst = Burst { keys: c.to_string(), last: tick, before: Some(before), ..Burst::default() };
        return None;
    }
    state.burst.keys.push(c);
    state.burst.last = tick;
    if state.burst.collecting {
        return Some(Vec::new());
    }
    // A key held down repeats itself as fast; no id is one letter over and over.
    let repeated = state.burst.keys.chars().all(|k| k == c);
    if repeated || state.burst.keys.chars().count() < PASTE_KEYS {
        return None;
    }
    let burst = std::mem::take(&mut state.burst);
    let before = burst.before.expect("invariant: a burst begins with a copy of the state");
    let world = state.world.clone();
    let exports: Vec<Uuid> = state.tasks.exports.iter().map(|e| e.id).collect();
    let mut tickets = std::mem::take(&mut state.tickets);
    *state = *before;
    state.world = world;
    let mut effects = tickets.back_to(std::mem::take(&mut state.tickets));
    state.tickets = tickets;
    // A file that the first keys began is nobody's.
    effects.extend(exports.into_iter().filter(|e| state.tasks.exports.get(*e).is_none()).map(|export| Effect::CancelExport { export }));
    state.burst = Burst { keys: burst.keys, last: tick, collecting: true, ..Burst::default() };
    Some(effects)
}

/// Keeps the state that a paste would go back to up with the world: only the keys are to be undone.
pub fn keep_up(state: &mut State, stamped: Stamped) {
    if let Some(mut before) = state.burst.before.take() {
        super::update(&mut before, stamped);
        state.burst.before = Some(before);
    }
}
