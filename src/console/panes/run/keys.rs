//! The keys of a run's screen. Confirming and deciding go through the engine, and so are offered here and done by the console.

use super::Model;
use super::view::message;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::procedures::by_id;
use crate::procedures::engine::Phase;
use crate::procedures::pool_exhausted::{NO_SETTING, SETTING};
use crate::protocol::key::Key;

#[must_use]
pub fn bindings(m: &Model, cx: &Context) -> Vec<Binding> {
    if m.is_editing(cx) {
        // Letters are text here: nothing is offered that would only be typed.
        let enter = if m.manual().is_some() { "says so" } else { "sends" };
        return vec![
            Binding::new(Action::Open, enter).when(m.may_confirm(cx)),
            Binding::new(Action::NextTab, "why, copy: out of the field"),
        ];
    }
    let mut keys = Vec::new();
    match &m.run.phase {
        Phase::Review if m.has_field(cx) => {
            keys.push(Binding::new(Action::NextTab, "back to the field"));
            keys.push(Binding::quiet(Action::PreviousTab));
        }
        Phase::Running if m.run.bulk.is_some() => {
            keys.push(Binding::new(Action::Freeze, if m.run.is_paused() { "go on" } else { "pause" }));
            keys.push(Binding::new(Action::Actions, "actions"));
        }
        Phase::Review => {
            let writes_are_on = cx.writes_are_on();
            if !writes_are_on {
                keys.push(Binding::new(Action::Writes, "writes on"));
            }
            if m.run.plan.as_ref().is_some_and(|p| p.typed.is_none()) {
                // Offered below once it would do something; before that the key says why not.
                let apply = if writes_are_on { Binding::new(Action::Confirm, "apply") } else { Binding::quiet(Action::Confirm) };
                keys.push(apply.when(m.may_confirm(cx)));
            }
        }
        Phase::Deciding(d) => {
            if d.takes_several() {
                keys.push(Binding::new(Action::Mark, "mark").when(m.markable().map(|_| ())));
            }
            let chosen = if m.choice.is_some() || !m.marked.is_empty() {
                Ok(())
            } else {
                Err("No answer is chosen yet: j and k go to one".to_string())
            };
            keys.push(Binding::new(Action::Open, "choose").when(chosen));
        }
        Phase::Waiting(_) if m.run.is_watching() => keys.push(Binding::new(Action::Actions, "actions")),
        Phase::Done(_) if m.run.can_undo(cx.now) => keys.push(Binding::new(Action::Undo, "undo")),
        _ => {}
    }
    if m.may_be_given_up() {
        keys.push(Binding::new(Action::Actions, "actions"));
    }
    keys.push(Binding::new(Action::Why, "why"));
    keys.push(Binding::new(Action::Copy, "copy"));
    keys.extend(Binding::moves());
    keys
}

pub fn act(m: &mut Model, action: Action, _cx: &Context) -> Vec<Ask> {
    let last = if let Phase::Deciding(d) = &m.run.phase { Some(d.options.len().saturating_sub(1)) } else { None };
    match (action, last) {
        (Action::MoveDown, Some(last)) => m.choice = Some(m.choice.map_or(0, |c| (c + 1).min(last))),
        (Action::MoveUp, Some(_)) => m.choice = Some(m.choice.map_or(0, |c| c.saturating_sub(1))),
        (Action::Top, Some(_)) => m.choice = Some(0),
        (Action::Bottom, Some(last)) => m.choice = Some(last),
        (Action::Mark, Some(_)) => match m.markable() {
            Ok(at) if m.marked.remove(&at) => {}
            Ok(at) => {
                m.marked.insert(at);
            }
            Err(why) => return vec![Ask::Say(why)],
        },
        (Action::MoveDown, None) => m.scroll = m.scroll.saturating_add(1),
        (Action::MoveUp, None) => m.scroll = m.scroll.saturating_sub(1),
        (Action::PageDown | Action::HalfDown, None) => m.scroll = m.scroll.saturating_add(8),
        (Action::PageUp | Action::HalfUp, None) => m.scroll = m.scroll.saturating_sub(8),
        (Action::Top, None) => m.scroll = 0,
        (Action::NextTab | Action::PreviousTab, _) => m.aside = false,
        (Action::Freeze | Action::Actions, _) => return vec![Ask::Actions(actions(m))],
        (Action::Why, _) => return vec![why(m)],
        (Action::Copy, _) => return vec![Ask::Copy(copies(m))],
        _ => {}
    }
    Vec::new()
}

/// What can be done with a run of many acts while it goes on, and with one that waits for an answer.
fn actions(m: &Model) -> Vec<ActionItem> {
    let id = m.run.id;
    if m.may_be_given_up() {
        return vec![ActionItem::new('x', "give it up for good", Ask::GiveUp(id)), ActionItem::new('e', "why", why(m))];
    }
    if m.run.is_watching() {
        return vec![ActionItem::new('x', "end the watch here", Ask::Stop(id)), ActionItem::new('e', "why", why(m))];
    }
    let go_on = if m.run.is_paused() {
        ActionItem::new('p', "go on with what remains", Ask::GoOn(id))
    } else {
        ActionItem::impossible('p', "go on with what remains", "it is not paused")
    };
    let cancelled = m.run.progress().is_some_and(|p| p.cancelled);
    let cancel = if cancelled {
        ActionItem::impossible('x', "cancel: begin nothing more", "it is cancelled already")
    } else {
        ActionItem::new('x', "cancel: begin nothing more", Ask::Stop(id))
    };
    vec![go_on, cancel, ActionItem::new('e', "why", why(m))]
}

/// A key while the confirming text is typed. Enter is not one of them: the console looks at it first.
pub fn edit(m: &mut Model, key: Key, cx: &Context) -> Vec<Ask> {
    match key {
        Key::Tab | Key::BackTab => m.aside = true,
        // What edits no text moves the plan above it.
        Key::Down => m.scroll = m.scroll.saturating_add(1),
        Key::Up => m.scroll = m.scroll.saturating_sub(1),
        Key::PageDown => m.scroll = m.scroll.saturating_add(8),
        Key::PageUp => m.scroll = m.scroll.saturating_sub(8),
        key => {
            m.typed.key(key);
            m.typed_at(cx.tick);
        }
    }
    Vec::new()
}

/// What the plan rests on, what the runbook says, and the exact SQL and HTTP that would be sent.
fn why(m: &Model) -> Ask {
    let mut lines = Vec::new();
    let mut section = |title: &str, text: Vec<String>| {
        if text.is_empty() {
            return;
        }
        if !lines.is_empty() {
            lines.push(String::new());
        }
        if !title.is_empty() {
            lines.push(title.to_string());
        }
        lines.extend(text);
    };
    if let Some(plan) = &m.run.plan {
        section("", plan.evidence.clone());
        section("Checked:", plan.notes.clone());
        section("What is sent:", plan.machine.clone());
    }
    if let Some(book) = by_id(&m.run.procedure).map(|p| p.book())
        && !book.sentence.is_empty()
    {
        section("The runbook:", vec![book.sentence.to_string()]);
        section("Differs:", book.differs.iter().map(ToString::to_string).collect());
    }
    if lines.is_empty() {
        lines.push("Nothing has been read yet.".into());
    }
    Ask::Evidence { title: "Why".into(), lines }
}

fn copies(m: &Model) -> Vec<CopyItem> {
    let mut items = vec![CopyItem::new("run id", m.run.id.to_string())];
    if let Phase::Deciding(decision) = &m.run.phase {
        let settings = decision.options.iter().filter(|o| decision.id == SETTING && o.value != NO_SETTING);
        items.extend(settings.map(|o| CopyItem::new(o.say.clone(), o.evidence.clone())));
    }
    if let Some(plan) = &m.run.plan {
        items.extend(plan.subject.as_ref().map(|s| CopyItem::new("subject key", s.to_string())));
        items.extend(message(plan).map(|text| CopyItem::new("the message", text)));
        if !plan.machine.is_empty() {
            items.push(CopyItem::new("SQL and HTTP", plan.machine.join("\n")));
        }
        if let Ok(json) = serde_json::to_string_pretty(plan) {
            items.push(CopyItem::new("plan as JSON", json));
        }
    }
    if let Some(procedure) = by_id(&m.run.procedure) {
        items.push(CopyItem::new("the runbook's sentence", procedure.book().sentence));
    }
    items
}
