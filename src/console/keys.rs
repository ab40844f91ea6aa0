//! What a key does, by what has the focus: a dialog, a text field, the screen, the console itself. Read off the key table.

use super::ask::Ask;
use super::keymap::{Action, Binding, meaning};
use super::modal::{self, Modal};
use super::panes::{customer, customers, event, home, pool, quota, run, runbook, subscription, webhooks};
use super::screen::Screen;
use super::state::State;
use super::widgets::form::TextField;
use super::{burst, fulfil};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::needle::Needle;
use crate::domain::policy::{Denied, Mode, Writes};
use crate::procedures::engine::Phase;
use crate::protocol::effect::Effect;
use crate::protocol::key::Key;
use crate::protocol::ticket::Slot;
use uuid::Uuid;

/// A key that is no part of a paste.
pub fn press(state: &mut State, key: Key, id: Uuid) -> Vec<Effect> {
    match key {
        Key::Ctrl('l') => return vec![Effect::Redraw],
        Key::Ctrl('z') => return vec![Effect::Suspend],
        Key::Ctrl('c') => return cancel(state, id),
        _ => {}
    }
    if state.dialog.is_some() {
        return modal::press(state, key, id);
    }
    state.said = None;
    if state.is_editing() {
        return edit(state, key, id);
    }
    let Some(action) = meaning(key) else { return Vec::new() };
    let offered = pane_bindings(state).into_iter().chain(own_bindings(state)).find(|b| b.action == action);
    match offered.map(|b| b.enabled) {
        None => Vec::new(),
        Some(Err(reason)) => {
            state.say(reason);
            Vec::new()
        }
        Some(Ok(())) => act(state, action, id),
    }
}

/// Text that came in at once: looked up, and nothing else.
pub fn paste(state: &mut State, text: &str) -> Vec<Effect> {
    let tick = state.world.tick;
    if let Some(dialog) = &mut state.dialog
        && let Some(field) = dialog.modal.field()
    {
        field.insert(text);
        dialog.typed(tick);
        return Vec::new();
    }
    if text.trim().is_empty() {
        return Vec::new();
    }
    if matches!(state.screens.top(), Screen::Customers) && state.customers.is_editing() {
        let asks = state.customers.search(text.trim(), &state.world.context());
        return fulfil::fulfil(state, asks, Uuid::nil());
    }
    if beside_a_field(state, text) {
        return Vec::new();
    }
    fulfil::search(state, text.trim(), Uuid::nil())
}

/// Words that came in over a run with a field, whatever has the focus there. What was done by hand goes into its field, where only Enter
/// says it; what confirms is taken from nowhere but the keys in its field. An id or an address is looked up, as on every screen.
fn beside_a_field(state: &mut State, text: &str) -> bool {
    let Screen::Run(run) = state.screens.top() else { return false };
    let tick = state.world.tick;
    let cx = state.world.context();
    let Some(model) = state.tasks.get(run).filter(|r| r.has_field(&cx)) else { return false };
    if model.manual().is_some() {
        state.dialog = None;
        if let Some(model) = state.tasks.get_mut(run) {
            model.aside = false;
            // Words on words: what came in has lost the blank before it.
            if !model.typed.is_empty() && !model.typed.text().ends_with(' ') {
                model.typed.key(Key::Char(' '));
            }
            model.typed.insert(text);
            model.typed_at(tick);
        }
        return true;
    }
    let names = !matches!(Needle::parse(text), None | Some(Needle::Words(_) | Needle::Number(_)));
    if !names {
        state.say("Not taken: what confirms is typed in its field, tab goes there");
    }
    !names
}

/// The screen's own bindings, in the order of the footer.
#[must_use]
pub fn pane_bindings(state: &State) -> Vec<Binding> {
    // Before there is an environment no screen has anything to act on.
    if state.world.env.is_none() {
        return Vec::new();
    }
    let cx = state.world.context();
    match state.screens.top() {
        Screen::Home => home::bindings(&state.home, &cx),
        Screen::Webhooks => webhooks::bindings(&state.webhooks, &cx),
        Screen::Event => event::bindings(&state.event, &cx),
        Screen::Customers => customers::bindings(&state.customers, &cx),
        Screen::Customer => customer::bindings(&state.customer, &cx),
        Screen::Subscription => subscription::bindings(&state.subscription, &cx),
        Screen::Quota => quota::bindings(&state.quota, &cx),
        Screen::Pool => pool::bindings(&state.pool, &cx),
        Screen::Runbook => runbook::bindings(&state.runbook, &cx),
        Screen::Run(id) => state.tasks.get(id).map(|r| run::bindings(r, &cx)).unwrap_or_default(),
    }
}

/// What the console offers on every screen.
#[must_use]
pub fn own_bindings(state: &State) -> Vec<Binding> {
    let connected = if state.world.env.is_some() { Ok(()) } else { Err("Not connected yet".to_string()) };
    let writes = match (&state.world.writes, state.world.mode()) {
        (Writes::On { .. }, _) | (_, Mode::Live | Mode::Test) => connected.clone(),
        (_, Mode::Mixed) => Err(Denied::Mixed.to_string()),
        (_, Mode::Unknown) => Err(Denied::ModeUnknown.to_string()),
    };
    let undo = if state.tasks.undoable(state.world.now).is_some() { Ok(()) } else { Err("Nothing here can be undone".to_string()) };
    let contacts = state.world.env.as_ref().is_some_and(|e| !e.contacts.is_empty());
    let escalate = if contacts { Ok(()) } else { Err("No contacts are configured".to_string()) };
    vec![
        Binding::new(Action::Palette, "or paste an id").when(connected.clone()),
        Binding::new(Action::Escalate, "escalate").when(escalate),
        Binding::new(Action::Back, if state.screens.top() == Screen::Home { "quit" } else { "back" }),
        Binding::new(Action::Writes, "").when(writes),
        Binding::new(Action::Undo, "").when(undo),
        Binding::new(Action::Reveal, "").when(connected.clone()),
        Binding::new(Action::Refresh, "").when(connected),
        Binding::quiet(Action::GoHome),
        Binding::quiet(Action::GoWebhooks),
        Binding::quiet(Action::GoCustomers),
        Binding::quiet(Action::GoQuota),
        Binding::quiet(Action::GoPool),
        Binding::quiet(Action::GoRunbook),
        Binding::quiet(Action::Help),
        Binding::quiet(Action::Redraw),
        Binding::quiet(Action::Suspend),
        Binding::quiet(Action::Cancel),
    ]
}

/// Does what an enabled key means.
pub fn act(state: &mut State, action: Action, id: Uuid) -> Vec<Effect> {
    // A run's confirmations and choices go to the engine; everything else a screen offers, it does itself.
    if let Screen::Run(run) = state.screens.top() {
        match action {
            Action::Confirm => {
                if state.tasks.get(run).is_some_and(|r| r.is_settled(state.world.tick)) {
                    burst::arm(state, run);
                }
                return Vec::new();
            }
            Action::Open => return choose(state, run, id),
            // Going on starts writes again, so that is a menu's to ask; stopping is nobody's harm.
            Action::Freeze if state.tasks.get(run).is_some_and(|r| !r.run.is_paused()) => {
                return fulfil::run(state, run, id, |r, _, now| {
                    r.pause(now);
                    Vec::new()
                });
            }
            _ => {}
        }
    }
    let ours = own_bindings(state).iter().any(|b| b.action == action);
    let theirs = pane_bindings(state).iter().any(|b| b.action == action);
    // A screen may have its own way back and its own reading anew; whatever else the console does, it does alike everywhere.
    if theirs && (!ours || matches!(action, Action::Back | Action::Refresh)) {
        let cx = state.world.context();
        let asks = match state.screens.top() {
            Screen::Home => home::act(&mut state.home, action, &cx),
            Screen::Webhooks => webhooks::act(&mut state.webhooks, action, &cx),
            Screen::Event => event::act(&mut state.event, action, &cx),
            Screen::Customers => customers::act(&mut state.customers, action, &cx),
            Screen::Customer => customer::act(&mut state.customer, action, &cx),
            Screen::Subscription => subscription::act(&mut state.subscription, action, &cx),
            Screen::Quota => quota::act(&mut state.quota, action, &cx),
            Screen::Pool => pool::act(&mut state.pool, action, &cx),
            Screen::Runbook => runbook::act(&mut state.runbook, action, &cx),
            Screen::Run(run) => state.tasks.get_mut(run).map(|r| run::act(r, action, &cx)).unwrap_or_default(),
        };
        let mut effects = fulfil::fulfil(state, asks, id);
        if action == Action::Refresh {
            // Also what happened behind the newest that is known; a list that is still being read is not begun again.
            if matches!(state.screens.top(), Screen::Home | Screen::Webhooks) && state.world.survey.progress().complete {
                state.world.survey.read_anew();
            }
            effects.push(Effect::Refresh);
        }
        return effects;
    }
    own(state, action, id)
}

fn own(state: &mut State, action: Action, id: Uuid) -> Vec<Effect> {
    match action {
        Action::Back => fulfil::back(state, id),
        Action::GoHome | Action::GoWebhooks | Action::GoCustomers | Action::GoQuota | Action::GoPool | Action::GoRunbook => {
            state.screens.go(match action {
                Action::GoHome => Screen::Home,
                Action::GoWebhooks => Screen::Webhooks,
                Action::GoCustomers => Screen::Customers,
                Action::GoQuota => Screen::Quota,
                Action::GoPool => Screen::Pool,
                _ => Screen::Runbook,
            });
            let effects = fulfil::entered(state, id);
            if action == Action::GoCustomers {
                state.customers.focus();
            }
            effects
        }
        Action::Palette => fulfil::dialog(state, Modal::Palette { query: TextField::default(), at: 0 }),
        Action::Help => fulfil::dialog(state, Modal::Help { filter: TextField::default(), scroll: 0 }),
        Action::Escalate => fulfil::dialog(state, Modal::Escalate { at: 0 }),
        Action::Writes if state.world.writes != Writes::Off => vec![Effect::TurnWritesOff],
        Action::Writes => fulfil::dialog(state, Modal::Writes { reason: TextField::default() }),
        Action::Reveal if state.world.revealed_until.is_some() => {
            state.world.revealed_until = None;
            Vec::new()
        }
        Action::Reveal => fulfil::dialog(state, Modal::Reveal { reason: TextField::default() }),
        Action::Undo => fulfil::undo(state, id),
        Action::Refresh => {
            state.say("Reading everything again");
            let mut effects = vec![Effect::Refresh];
            effects.extend(fulfil::entered(state, id));
            effects
        }
        _ => Vec::new(),
    }
}

fn edit(state: &mut State, key: Key, id: Uuid) -> Vec<Effect> {
    let cx = state.world.context();
    let asks = match state.screens.top() {
        Screen::Home => home::edit(&mut state.home, key, &cx),
        Screen::Webhooks => webhooks::edit(&mut state.webhooks, key, &cx),
        Screen::Event => event::edit(&mut state.event, key, &cx),
        Screen::Customers => customers::edit(&mut state.customers, key, &cx),
        Screen::Customer => customer::edit(&mut state.customer, key, &cx),
        Screen::Subscription => subscription::edit(&mut state.subscription, key, &cx),
        Screen::Quota => quota::edit(&mut state.quota, key, &cx),
        Screen::Pool => pool::edit(&mut state.pool, key, &cx),
        Screen::Runbook => runbook::edit(&mut state.runbook, key, &cx),
        Screen::Run(run) => match key {
            Key::Esc => return fulfil::back(state, id),
            Key::Enter => return confirm_typed(state, run),
            _ => state.tasks.get_mut(run).map(|r| run::edit(r, key, &cx)).unwrap_or_default(),
        },
    };
    fulfil::fulfil(state, asks, id)
}

/// A lone `y` in a review that has been on screen long enough.
pub fn confirm(state: &mut State, run: Uuid) -> Vec<Effect> {
    if state.dialog.is_some() || state.screens.top() != Screen::Run(run) {
        return Vec::new();
    }
    confirmed(state, run, "")
}

/// Enter after the text that a plan asks for: an incomplete one does nothing.
fn confirm_typed(state: &mut State, run: Uuid) -> Vec<Effect> {
    let tick = state.world.tick;
    let Some(model) = state.tasks.get(run) else { return Vec::new() };
    if model.is_settled(tick) && !model.takes_enter(tick) {
        state.say("That Enter came in as fast as a paste: press it again");
        return Vec::new();
    }
    if model.manual().is_some() && model.is_settled(tick) {
        return attested(state, run);
    }
    let complete = model.run.plan.as_ref().and_then(|p| p.typed.as_deref()) == Some(model.typed.text().trim());
    if !complete || !model.is_settled(tick) {
        return Vec::new();
    }
    let typed = model.typed.text().trim().to_string();
    confirmed(state, run, &typed)
}

/// Enter after the operator's words about a step done by hand.
fn attested(state: &mut State, run: Uuid) -> Vec<Effect> {
    let now = state.world.now;
    let Some(model) = state.tasks.get_mut(run) else { return Vec::new() };
    let words = model.typed.text().trim().to_string();
    match model.run.attest(&words, now) {
        Ok(effects) => {
            model.follow();
            model.confirmed();
            effects
        }
        Err(reason) => {
            state.say(reason);
            Vec::new()
        }
    }
}

fn confirmed(state: &mut State, run: Uuid, typed: &str) -> Vec<Effect> {
    let cx = state.world.context();
    let Some(model) = state.tasks.get_mut(run) else { return Vec::new() };
    let result = model.may_confirm(&cx).and_then(|()| model.run.confirm(typed, cx.now));
    match result {
        Ok(effects) => {
            model.follow();
            model.confirmed();
            effects
        }
        Err(reason) => {
            state.say(reason);
            Vec::new()
        }
    }
}

/// Enter on a run: the option under the cursor, where it asks.
fn choose(state: &mut State, run: Uuid, id: Uuid) -> Vec<Effect> {
    let Some(model) = state.tasks.get(run).filter(|r| r.is_settled(state.world.tick)) else { return Vec::new() };
    let marked = model.marked.clone();
    match (model.choice, &model.run.phase) {
        (_, Phase::Deciding(_)) if !marked.is_empty() => fulfil::run(state, run, id, |r, env, now| r.decide_several(&marked, env, now)),
        (Some(choice), Phase::Deciding(_)) => fulfil::run(state, run, id, |r, env, now| r.decide(choice, env, now)),
        (None, Phase::Deciding(_)) => {
            state.say("No answer is chosen yet: j and k go to one");
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// `^C`: closes the dialog, otherwise gives up what is being read.
fn cancel(state: &mut State, id: Uuid) -> Vec<Effect> {
    if state.dialog.take().is_some() {
        return Vec::new();
    }
    let screen = state.screens.top();
    let mut given_up = state.tickets.cancel_where(|slot| match slot {
        Slot::SearchDatabase | Slot::SearchStripe | Slot::SearchMirror => screen == Screen::Customers,
        Slot::Case(_) => matches!(screen, Screen::Customer | Screen::Subscription),
        Slot::Quota(_) => screen == Screen::Quota,
        Slot::Book(_) => screen == Screen::Runbook,
        Slot::Endpoints | Slot::Probe => screen == Screen::Webhooks,
        Slot::Event(_) => screen == Screen::Event,
        Slot::Survey(_) => matches!(screen, Screen::Home | Screen::Webhooks),
        Slot::Runs => screen == Screen::Home,
        Slot::TeamRuns | Slot::Run(..) | Slot::Bulk(..) | Slot::Drift(_) | Slot::Desk | Slot::Beside(_) | Slot::Log => false,
        Slot::Activity | Slot::SessionText | Slot::Pooler => screen == Screen::Pool,
    });
    if given_up.is_empty() {
        state.say("Nothing is being read; q leaves");
        return Vec::new();
    }
    let mut asks = Vec::new();
    let mut effects = Vec::new();
    for (_, query) in given_up.extract_if(.., |(slot, _)| matches!(slot, Slot::Survey(_))) {
        let result = Err(Fault::new(query.source(), FaultKind::Timeout, "given up with ^C"));
        effects.extend(state.world.survey_replied(&query, &result, &mut state.tickets));
    }
    for (slot, query) in given_up.extract_if(.., |(slot, _)| matches!(slot, Slot::Activity | Slot::Pooler)) {
        state.world.watched(slot, &Err(Fault::new(query.source(), FaultKind::Timeout, "given up with ^C")));
    }
    let cx = state.world.context();
    while let Some((slot, query)) = given_up.pop() {
        let result = Err(Fault::new(query.source(), FaultKind::Timeout, "given up with ^C"));
        let follow = match slot {
            Slot::SearchDatabase | Slot::SearchStripe | Slot::SearchMirror => state.customers.replied(slot, &query, &result, &cx),
            Slot::Case(_) => state.customer.replied(slot, &query, &result, &cx),
            Slot::Quota(_) => state.quota.replied(slot, &query, &result, &cx),
            Slot::Book(_) => state.runbook.replied(slot, &query, &result, &cx),
            Slot::Endpoints | Slot::Probe => {
                state.webhooks.replied(&query, &result);
                Vec::new()
            }
            Slot::Event(_) => state.event.replied(slot, &query, &result, &cx),
            Slot::Runs => {
                state.home.replied(slot, &query, &result, &cx);
                Vec::new()
            }
            Slot::Survey(_) | Slot::Run(..) | Slot::Bulk(..) | Slot::Drift(_) | Slot::Desk | Slot::Beside(_) | Slot::Log => Vec::new(),
            Slot::Activity | Slot::SessionText | Slot::Pooler | Slot::TeamRuns => Vec::new(),
        };
        for ask in follow {
            match ask {
                // What follows from an answer that never came is given up as well: a pane that asked waits for an answer.
                Ask::Read { slot, query } => given_up.push((slot, query)),
                other => asks.push(other),
            }
        }
    }
    effects.extend(fulfil::fulfil(state, asks, id));
    effects
}
