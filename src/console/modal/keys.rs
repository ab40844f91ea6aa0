//! What a key does in a dialog.

use super::{Modal, SPANS, palette, tasks};
use crate::console::fulfil;
use crate::console::state::State;
use crate::console::widgets::form::TextField;
use crate::domain::mask;
use crate::protocol::effect::Effect;
use crate::protocol::key::Key;
use crate::protocol::record::Detail;
use crate::protocol::run::short;
use chrono::Duration;
use uuid::Uuid;

/// More than this is not sent to a clipboard: terminals drop longer sequences, some of them with noise. In bytes.
pub const MOST_COPIED: usize = 74_994;

pub fn press(state: &mut State, key: Key, id: Uuid) -> Vec<Effect> {
    let tick = state.world.tick;
    let Some(dialog) = &mut state.dialog else { return Vec::new() };
    let enter = dialog.takes_enter(tick);
    let shown = dialog.guard.lets_through(tick);
    let closes = key == Key::Esc || (key == Key::Char('q') && !dialog.modal.has_field());
    if closes {
        state.dialog = None;
        return Vec::new();
    }
    if let (Key::Char(_), true) = (key, dialog.modal.has_field()) {
        dialog.typed(tick);
    }
    match &mut dialog.modal {
        Modal::Writes { .. } | Modal::Reveal { .. } | Modal::GiveUp { .. } => reasoned(state, key, enter),
        Modal::LetBe { .. } => let_be(state, key, enter),
        Modal::Evidence { scroll, .. } | Modal::Session { scroll, .. } => {
            scrolled(scroll, key);
            Vec::new()
        }
        Modal::Help { filter, scroll } => {
            if filter.key(key) {
                *scroll = 0;
            } else {
                scrolled(scroll, key);
            }
            Vec::new()
        }
        Modal::Copy { .. } => copy(state, key),
        // Letters that were on their way before anybody could read the menu were meant for something else.
        Modal::Actions { .. } if !shown => Vec::new(),
        Modal::Actions { .. } => action(state, key, id),
        Modal::Palette { .. } => in_palette(state, key, enter, id),
        Modal::Tasks { .. } => in_drawer(state, key, shown),
        Modal::Escalate { at } => {
            let len = state.world.env.as_ref().map_or(0, |e| e.contacts.len());
            *at = moved(*at, key, len);
            let chosen = *at;
            if key == Key::Enter { super::escalate(state, chosen, id) } else { Vec::new() }
        }
        // Stale keys must not end the session either.
        Modal::Quit if enter && key == Key::Char('y') => vec![Effect::Quit],
        Modal::Quit => Vec::new(),
    }
}

/// What asks for a reason, and for nothing else.
fn reasoned(state: &mut State, key: Key, enter: bool) -> Vec<Effect> {
    let Some(dialog) = &mut state.dialog else { return Vec::new() };
    let (Modal::Writes { reason: field } | Modal::Reveal { reason: field } | Modal::GiveUp { reason: field, .. }) = &mut dialog.modal
    else {
        return Vec::new();
    };
    if key != Key::Enter || !enter || field.is_empty() {
        field.key(key);
        return Vec::new();
    }
    let reason = field.text().trim().to_string();
    let effect = match dialog.modal {
        Modal::GiveUp { run, .. } => Effect::GiveUpRun { run, by_hand: false, reason },
        Modal::Reveal { .. } => {
            let (subject, screen) = state.in_view();
            Effect::Reveal { subject, detail: Detail(serde_json::json!({ "reason": reason, "screen": screen })) }
        }
        _ => Effect::TurnWritesOn { reason },
    };
    state.dialog = None;
    vec![effect]
}

/// Why and until when something is let be; of several also how many they are.
fn let_be(state: &mut State, key: Key, enter: bool) -> Vec<Effect> {
    let Some(dialog) = &mut state.dialog else { return Vec::new() };
    let Modal::LetBe { what, span, reason, count } = &mut dialog.modal else { return Vec::new() };
    match key {
        Key::Up => *span = (*span + 1).min(SPANS.len() - 1),
        Key::Down => *span = span.saturating_sub(1),
        Key::Enter if enter && !reason.is_empty() => {
            let typed = count.as_ref().and_then(|field| field.text().trim().parse::<usize>().ok());
            match what.count() {
                Some(_) if count.is_none() => *count = Some(TextField::default()),
                Some(n) if typed != Some(n) => state.say(format!("Type {n}, as many as are marked")),
                several => {
                    let until = state.world.now + Duration::minutes(SPANS[*span]);
                    let writes = what.clone().until(until, &mask::addresses(reason.text().trim()));
                    if several.is_some() {
                        state.webhooks.unmark();
                    }
                    state.dialog = None;
                    return writes.into_iter().map(Effect::Desk).collect();
                }
            }
        }
        _ => {
            count.as_mut().unwrap_or(reason).key(key);
        }
    }
    Vec::new()
}

fn copy(state: &mut State, key: Key) -> Vec<Effect> {
    let Some(dialog) = &mut state.dialog else { return Vec::new() };
    let Modal::Copy { items, at, copied } = &mut dialog.modal else { return Vec::new() };
    // Once copied, what moves is the text; long lines take several.
    *at = moved(*at, key, copied.as_ref().map_or(items.len(), |text| text.lines().count() + text.len() / 40));
    if key != Key::Enter || copied.is_some() {
        return Vec::new();
    }
    let Some(text) = items.get(*at).map(|item| item.text.clone()) else { return Vec::new() };
    (*copied, *at) = (Some(text.clone()), 0);
    if text.len() <= MOST_COPIED {
        return vec![Effect::Copy { text }];
    }
    state.say("Too long for a clipboard over the terminal");
    Vec::new()
}

fn action(state: &mut State, key: Key, id: Uuid) -> Vec<Effect> {
    let Some(Modal::Actions { items }) = state.dialog.as_ref().map(|d| &d.modal) else { return Vec::new() };
    match items.iter().find(|i| key == Key::Char(i.letter)).map(|i| i.does.clone()) {
        Some(Ok(ask)) => {
            state.dialog = None;
            fulfil::fulfil(state, vec![*ask], id)
        }
        Some(Err(reason)) => {
            state.say(reason);
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn in_palette(state: &mut State, key: Key, enter: bool, id: Uuid) -> Vec<Effect> {
    let Some(dialog) = &mut state.dialog else { return Vec::new() };
    let Modal::Palette { query, at } = &mut dialog.modal else { return Vec::new() };
    if query.key(key) {
        *at = 0;
        return Vec::new();
    }
    let (text, chosen) = (query.text().to_string(), *at);
    let entries = palette::entries(state, &text);
    if key == Key::Enter && enter {
        return entries.into_iter().nth(chosen).map(|e| palette::go(state, e, id)).unwrap_or_default();
    }
    let to = moved(chosen, key, entries.len());
    if let Some(Modal::Palette { at, .. }) = state.dialog.as_mut().map(|d| &mut d.modal) {
        *at = to;
    }
    Vec::new()
}

fn in_drawer(state: &mut State, key: Key, shown: bool) -> Vec<Effect> {
    let Some(Modal::Tasks { at }) = state.dialog.as_ref().map(|d| &d.modal) else { return Vec::new() };
    let chosen = *at;
    let tasks = tasks::tasks(state);
    let place = tasks.iter().position(|t| Some(t.run) == chosen);
    if key == Key::Enter && shown {
        if let Some(export) = chosen.and_then(|id| state.tasks.exports.get(id)) {
            return super::export(state, export.id);
        }
        return match place.map(|i| &tasks[i]) {
            Some(task) if task.held.is_none() => fulfil::resume(state, task.run),
            Some(task) => {
                state.say(format!("Run {}: {}", short(task.run), task.held.unwrap_or_default()));
                Vec::new()
            }
            None => Vec::new(),
        };
    }
    // What was selected may have ended meanwhile: then the first key selects the first again.
    let to = place.map_or(0, |i| moved(i, key, tasks.len()));
    if let Some(Modal::Tasks { at }) = state.dialog.as_mut().map(|d| &mut d.modal) {
        *at = tasks.get(to).map(|t| t.run);
    }
    Vec::new()
}

fn scrolled(scroll: &mut u16, key: Key) {
    *scroll = match key {
        Key::Down | Key::Char('j') => scroll.saturating_add(1),
        Key::Up | Key::Char('k') => scroll.saturating_sub(1),
        Key::PageDown | Key::Ctrl('d') => scroll.saturating_add(10),
        Key::PageUp | Key::Ctrl('u') => scroll.saturating_sub(10),
        Key::Home | Key::Char('g') => 0,
        _ => *scroll,
    };
}

fn moved(at: usize, key: Key, len: usize) -> usize {
    let at = match key {
        Key::Down | Key::Char('j') | Key::Tab => at + 1,
        Key::Up | Key::Char('k') | Key::BackTab => at.saturating_sub(1),
        Key::Home => 0,
        Key::End => len,
        _ => at,
    };
    at.min(len.saturating_sub(1))
}
