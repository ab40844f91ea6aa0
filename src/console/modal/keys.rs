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
        Modal::Writes { reason } => match key {
            Key::Enter if enter && !reason.is_empty() => {
                let reason = reason.text().trim().to_string();
                state.dialog = None;
                return vec![Effect::TurnWritesOn { reason }];
            }
            _ => {
                reason.key(key);
            }
        },
        Modal::Reveal { reason } => match key {
            Key::Enter if enter && !reason.is_empty() => {
                let reason = reason.text().trim().to_string();
                state.dialog = None;
                let (subject, screen) = state.in_view();
                let detail = Detail(serde_json::json!({ "reason": reason, "screen": screen }));
                return vec![Effect::Reveal { subject, detail }];
            }
            _ => {
                reason.key(key);
            }
        },
        Modal::LetBe { what, span, reason, count } => match key {
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
        },
        Modal::GiveUp { run, reason } => match key {
            Key::Enter if enter && !reason.is_empty() => {
                let effect = Effect::GiveUpRun { run: *run, by_hand: false, reason: reason.text().trim().to_string() };
                state.dialog = None;
                return vec![effect];
            }
            _ => {
                reason.key(key);
            }
        },
        Modal::Evidence { scroll, .. } | Modal::Session { scroll, .. } => scrolled(scroll, key),
        Modal::Help { filter, scroll } => {
            if filter.key(key) {
                *scroll = 0;
            } else {
                scrolled(scroll, key);
            }
        }
        Modal::Copy { items, at, copied } => {
            // Once copied, what moves is the text; long lines take several.
            *at = moved(*at, key, copied.as_ref().map_or(items.len(), |text| text.lines().count() + text.len() / 40));
            if key == Key::Enter
                && copied.is_none()
                && let Some(item) = items.get(*at)
            {
                let text = item.text.clone();
                (*copied, *at) = (Some(text.clone()), 0);
                if text.len() <= MOST_COPIED {
                    return vec![Effect::Copy { text }];
                }
                state.say("Too long for a clipboard over the terminal");
            }
        }
        // Letters that were on their way before anybody could read the menu were meant for something else.
        Modal::Actions { items } if shown => {
            let chosen = items.iter().find(|i| key == Key::Char(i.letter)).map(|i| i.does.clone());
            match chosen {
                Some(Ok(ask)) => {
                    state.dialog = None;
                    return fulfil::fulfil(state, vec![*ask], id);
                }
                Some(Err(reason)) => state.say(reason),
                None => {}
            }
        }
        Modal::Actions { .. } => {}
        Modal::Palette { query, at } => {
            if query.key(key) {
                *at = 0;
                return Vec::new();
            }
            let (text, at_now) = (query.text().to_string(), *at);
            let entries = palette::entries(state, &text);
            if key == Key::Enter && enter {
                return entries.into_iter().nth(at_now).map(|e| palette::go(state, e, id)).unwrap_or_default();
            }
            let moved = moved(at_now, key, entries.len());
            if let Some(dialog) = &mut state.dialog
                && let Modal::Palette { at, .. } = &mut dialog.modal
            {
                *at = moved;
            }
        }
        Modal::Tasks { at } => {
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
            if let Some(dialog) = &mut state.dialog
                && let Modal::Tasks { at } = &mut dialog.modal
            {
                *at = tasks.get(to).map(|t| t.run);
            }
        }
        Modal::Escalate { at } => {
            let len = state.world.env.as_ref().map_or(0, |e| e.contacts.len());
            *at = moved(*at, key, len);
            let chosen = *at;
            if key == Key::Enter {
                return super::escalate(state, chosen, id);
            }
        }
        Modal::Quit => {
            // Stale keys must not end the session either.
            if enter && key == Key::Char('y') {
                return vec![Effect::Quit];
            }
        }
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
