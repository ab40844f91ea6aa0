//! The keys of the runbook pane: starting a section's procedure, opening a run, calling a contact.

use super::Model;
use super::book::{sections, text};
use super::model::Tab;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::protocol::key::Key;
use uuid::Uuid;

#[must_use]
pub fn bindings(m: &Model, cx: &Context) -> Vec<Binding> {
    let mut all = match m.tab {
        Tab::Book => vec![Binding::new(Action::Open, "start"), Binding::new(Action::Why, "whole text")],
        Tab::Runs => {
            let rows = m.rows(cx);
            let label = rows.get(m.at(cx)).map_or("open", |r| match (r.here, r.calls && r.own) {
                (true, _) => "open",
                (false, true) => "resume",
                (false, false) => "steps",
            });
            // What cannot be done is not offered below; the key still says why.
            if rows.is_empty() {
                vec![Binding::quiet(Action::Open).because("There is no run to open")]
            } else {
                vec![Binding::new(Action::Open, label), Binding::new(Action::Actions, "actions"), Binding::quiet(Action::Copy)]
            }
        }
        Tab::Contacts => {
            if contacts(cx) == 0 {
                vec![Binding::quiet(Action::Open).because("There is nobody to call")]
            } else {
                let calls = cx.env.is_some_and(|e| e.offers.escalate);
                vec![Binding::new(Action::Open, if calls { "call" } else { "copy a message" }), Binding::quiet(Action::Copy)]
            }
        }
    };
    all.push(Binding::new(Action::NextTab, "next tab"));
    all.push(Binding::quiet(Action::PreviousTab));
    all.push(Binding::quiet(Action::Refresh));
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    match action {
        Action::NextTab | Action::PreviousTab => return m.turn(action == Action::NextTab, cx),
        Action::Refresh => return m.entered(cx),
        _ => {}
    }
    match m.tab {
        Tab::Book => book(m, action),
        Tab::Runs => runs(m, action, cx),
        Tab::Contacts => people(m, action, cx),
    }
}

/// The pane has no text field.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

fn book(m: &mut Model, action: Action) -> Vec<Ask> {
    match action {
        // The list is short: pages scroll the text.
        Action::PageDown | Action::HalfDown => m.scroll = m.scroll.saturating_add(5),
        Action::PageUp | Action::HalfUp => m.scroll = m.scroll.saturating_sub(5),
        Action::Open => return m.selected().map(|(_, p)| Ask::StartFromBook(p.id().into())).into_iter().collect(),
        Action::Why => return why(m).into_iter().collect(),
        _ => {
            if let Some(by) = action.rows(1) {
                m.section.by(by, sections().len());
                m.scroll = 0;
            }
        }
    }
    Vec::new()
}

fn why(m: &Model) -> Option<Ask> {
    let (section, procedure) = m.selected()?;
    let lines = text(section, procedure).into_iter().map(|t| format!("{}  {}", t.lead, t.text)).collect();
    Some(Ask::Evidence { title: section.heading(), lines })
}

fn runs(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    let at = m.at(cx);
    let rows = m.rows(cx);
    if let Some(by) = action.rows(usize::from(cx.rows.saturating_sub(9))) {
        let to = at.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        m.run = rows.get(to).map(|r| r.run.run);
        return Vec::new();
    }
    let Some(row) = rows.get(at) else { return Vec::new() };
    let (run, own, calls, here) = (row.run.run, row.own, row.calls, row.here);
    match action {
        Action::Open if here || calls && own => vec![Ask::Resume(run)],
        Action::Open => vec![m.open(run)],
        Action::Actions => vec![Ask::Actions(actions(m, run, own, calls))],
        Action::Copy => {
            let mut items = vec![CopyItem::new("run id", run.to_string())];
            if calls && own {
                items.push(CopyItem::new("resume command", format!("nightdesk runs resume {run}")));
            }
            vec![Ask::Copy(items)]
        }
        _ => Vec::new(),
    }
}

/// Everything that could be done with this run; what cannot says why.
fn actions(m: &mut Model, run: Uuid, own: bool, calls: bool) -> Vec<ActionItem> {
    let mine = |does: Ask| {
        if !own {
            Err("it is another operator's: they go on with it, or give it up")
        } else if calls {
            Ok(does)
        } else {
            Err("nothing of it is left unfinished, or somebody works on it")
        }
    };
    let item = |letter, label: &str, does: Result<Ask, &str>| match does {
        Ok(ask) => ActionItem::new(letter, label, ask),
        Err(why) => ActionItem::impossible(letter, label, why),
    };
    let unknown = m.summary(run).and_then(|s| s.given_up(false).err());
    let give_up = match (mine(Ask::GiveUp(run)), unknown) {
        (Ok(_), Some(why)) => ActionItem::impossible('x', "give it up for good", why),
        (does, _) => item('x', "give it up for good", does),
    };
    vec![item('f', "go on with it", mine(Ask::Resume(run))), item('h', "its steps so far", Ok(m.open(run))), give_up]
}

fn people(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    if let Some(by) = action.rows(usize::from(cx.rows.saturating_sub(9))) {
        m.contact.by(by, contacts(cx));
        return Vec::new();
    }
    match action {
        Action::Open => vec![Ask::Escalate(m.contact.at)],
        Action::Copy => {
            let contact = cx.env.and_then(|e| e.contacts.get(m.contact.at));
            contact.map(|c| Ask::Copy(vec![CopyItem::new("contact", c.contact.clone())])).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn contacts(cx: &Context) -> usize {
    cx.env.map_or(0, |e| e.contacts.len())
}
