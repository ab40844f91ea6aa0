//! The paste rule for terminals that send no brackets: keys faster than fingers are one paste, and a paste acts on nothing.
//!
//! Which of the two it is only shows afterwards. So what the first keys change on screen is changed at once and taken back, and what
//! they would do outside is held back until nothing has followed them.

use super::guard::PASTE_MS;
use super::keys;
use super::state::State;
use crate::protocol::effect::Effect;
use crate::protocol::event::Stamped;
use crate::protocol::key::Key;
use crate::protocol::query::Query;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Keys that may turn out to be a paste. The first three act on screen at once; the fourth puts the state back to before the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    keys: String,
    last: u64,
    /// The state before the first of `keys`, kept up with everything that is not a key.
    before: Option<Box<State>>,
    /// What the keys so far would do outside, in its order.
    #[serde(default)]
    held: Vec<Effect>,
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
    if !quiet || (by_key && !state.burst.held.is_empty()) {
        return Vec::new();
    }
    let burst = std::mem::take(&mut state.burst);
    if burst.collecting {
        return keys::paste(state, &burst.keys);
    }
    let mut effects = burst.held;
    match burst.armed {
        Some((run, at)) if tick > at + PASTE_MS && !by_key => effects.extend(keys::confirm(state, run)),
        armed => state.burst.armed = armed,
    }
    effects
}

/// What a key that may be part of a paste does: reads go out, and what others would notice waits for what follows.
pub fn hold_back(state: &mut State, effects: Vec<Effect>) -> Vec<Effect> {
    if state.burst.keys.is_empty() {
        return effects;
    }
    let (held, free) = effects.into_iter().partition(is_noticed);
    state.burst.held.extend::<Vec<Effect>>(held);
    free
}

/// Whether it leaves a trace outside this process, other than a read.
fn is_noticed(effect: &Effect) -> bool {
    match effect {
        // A probe sends forged events.
        Effect::Read { query, .. } => *query == Query::Probe,
        Effect::Refresh | Effect::Copy { .. } | Effect::Redraw | Effect::Suspend => false,
        Effect::TurnWritesOn { .. }
        | Effect::TurnWritesOff
        | Effect::OpenRun { .. }
        | Effect::ResumeRun { .. }
        | Effect::GiveUpRun { .. }
        | Effect::Perform(_)
        | Effect::Reveal { .. }
        | Effect::Record { .. }
        | Effect::Desk(_)
        | Effect::Export { .. }
        | Effect::CancelExport { .. }
        | Effect::StartIncident { .. }
        | Effect::EndIncident { .. }
        | Effect::Quit => true,
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
        if !state.burst.held.is_empty() && matches!(key, Key::Enter | Key::Tab) {
            return Some(taken_back(state));
        }
        // Any other key ends what was coming in, and then means what it says.
        let burst = std::mem::take(&mut state.burst);
        let mut effects = if burst.collecting { keys::paste(state, &burst.keys) } else { burst.held };
        if !burst.collecting && effects.is_empty() {
            return None;
        }
        effects.extend(keys::press(state, key, Uuid::nil()));
        return Some(effects);
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
    Some(taken_back(state))
}

/// It is a paste: the state as it was before its first key, with all that has been learned since, and nothing of what was held back.
fn taken_back(state: &mut State) -> Vec<Effect> {
    let tick = state.world.tick;
    let burst = std::mem::take(&mut state.burst);
    let before = burst.before.expect("invariant: a burst begins with a copy of the state");
    let world = state.world.clone();
    let mut tickets = std::mem::take(&mut state.tickets);
    *state = *before;
    state.world = world;
    let effects = tickets.back_to(std::mem::take(&mut state.tickets));
    state.tickets = tickets;
    state.burst = Burst { keys: burst.keys, last: tick, collecting: true, ..Burst::default() };
    effects
}

/// Keeps the state that a paste would go back to up with the world: only the keys are to be undone.
pub fn keep_up(state: &mut State, stamped: Stamped) {
    if let Some(mut before) = state.burst.before.take() {
        super::update(&mut before, stamped);
        state.burst.before = Some(before);
    }
}
