//! What panes ask for, turned into effects, screens and dialogs; and the one door to the engine's runs.

use super::ask::{Ask, CopyItem};
use super::modal::{Dialog, Modal, escalate, masked};
use super::panes::{customer, event};
use super::screen::Screen;
use super::state::State;
use super::widgets::form::TextField;
use crate::domain::At;
use crate::domain::facts::Handle;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::policy::Mode;
use crate::procedures::engine::Run;
use crate::procedures::{Begins, by_id};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::Query;
use crate::protocol::run::{Inputs, Selection, short};
use crate::protocol::ticket::Slot;
use uuid::Uuid;

/// The procedure that writes counters.
pub const RESETS: &str = "quota-reset";

/// Fulfils these wishes in order. `id` names whatever they begin; at most one of them begins a run.
pub fn fulfil(state: &mut State, asks: Vec<Ask>, id: Uuid) -> Vec<Effect> {
    asks.into_iter().flat_map(|ask| one(state, ask, id)).collect()
}

fn one(state: &mut State, ask: Ask, id: Uuid) -> Vec<Effect> {
    match ask {
        Ask::Read { slot, query } => vec![state.tickets.read(slot, query)],
        Ask::Cancel(slot) => {
            state.tickets.cancel(slot);
            Vec::new()
        }
        Ask::Open(handle) => open_customer(state, handle, id),
        Ask::OpenSubscription(subscription) => open_subscription(state, subscription, id),
        Ask::OpenEvent(event) => open_event(state, &event, id),
        Ask::Probe => {
            state.webhooks.probe(state.world.tick);
            vec![state.tickets.read(Slot::Probe, Query::Probe)]
        }
        Ask::Range { hours } => {
            let now = state.world.now;
            state.world.survey.set_range(hours, now);
            entered(state, id)
        }
        Ask::MarkShown => {
            state.webhooks.mark_shown(&state.world.context());
            Vec::new()
        }
        Ask::Unmark => {
            state.webhooks.events.unmark();
            Vec::new()
        }
        Ask::Near(filter) => {
            let asks = state.quota.look(&filter, &state.world.context());
            fulfil(state, asks, id)
        }
        Ask::Export { format, threshold, filter } => {
            let file = state.tasks.exports.begin(id, format, state.world.now);
            state.say(format!("Writing {file}, : tasks"));
            vec![Effect::Export { export: id, file, format, threshold, filter }]
        }
        Ask::CancelExport(export) => vec![Effect::CancelExport { export }],
        Ask::Search(text) => search(state, &text, id),
        Ask::Hits { title, hits } => {
            // The list stays as it was found: what is repaired meanwhile still stands in it.
            let as_of = super::widgets::format::clock(state.world.now);
            let asks = state.customers.fill(format!("{title}, as of {as_of}"), hits);
            state.screens.go(Screen::Customers);
            fulfil(state, asks, id)
        }
        Ask::Start { procedure, inputs } => begin(state, &procedure, inputs, id),
        Ask::Drift(order) => {
            let asks = state.world.drift.order(order, state.world.stripe_now());
            fulfil(state, asks, id)
        }
        Ask::StartFromBook(procedure) => start(state, &procedure, id),
        Ask::Escalate(contact) => escalate(state, contact, id),
        Ask::Resume(run) => resume(state, run),
        Ask::GiveUp(run) => dialog(state, Modal::GiveUp { run, reason: TextField::default() }),
        Ask::Survey => {
            state.world.survey.hurry(state.world.tick);
            state.world.survey_ticked(&mut state.tickets)
        }
        Ask::GoOn(id_of_run) => run(state, id_of_run, id, |r, _, now| r.go_on_after_pause(now)),
        Ask::Stop(id_of_run) => run(state, id_of_run, id, |r, _, now| r.cancel(now)),
        Ask::LetBe(what) => dialog(state, Modal::let_be(what)),
        Ask::Desk(write) => vec![Effect::Desk(write)],
        Ask::Say(text) => {
            state.say(text);
            Vec::new()
        }
        Ask::Copy(mut items) => {
            items.push(CopyItem::new("screen, masked", masked(state)));
            dialog(state, Modal::Copy { items, at: 0, copied: None })
        }
        Ask::Session { of, title, lines } => dialog(state, Modal::Session { of, title, lines, scroll: 0 }),
        Ask::Evidence { title, lines } => dialog(state, Modal::Evidence { title, lines, scroll: 0 }),
        Ask::Actions(items) => dialog(state, Modal::Actions { items }),
        Ask::Sessions => {
            state.world.pool.hurry();
            entered(state, id)
        }
        Ask::Pool => {
            state.screens.open(Screen::Pool);
            entered(state, id)
        }
        Ask::Renewed => {
            state.screens.open(Screen::Quota);
            let asks = state.quota.look_at_renewed(&state.world.context());
            fulfil(state, asks, id)
        }
        Ask::Back => back(state, id),
    }
}

/// The review of this procedure; or the run of it that is under way, where only one can be.
fn begin(state: &mut State, procedure: &str, mut inputs: Inputs, id: Uuid) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(open) = going_on(state, procedure) {
        // What is chosen one by one is another matter; everything else the run that goes on offers by itself.
        let chosen = matches!(inputs.selection, Some(Selection::Sessions { .. }));
        let left = if chosen { run(state, open, id, |r, _, now| r.leave_watch(now)) } else { Vec::new() };
        if left.is_empty() {
            state.dialog = None;
            state.screens.open(Screen::Run(open));
            return Vec::new();
        }
        effects = left;
    }
    if by_id(procedure).is_some_and(|p| p.begins() != Begins::WithCustomer) && inputs.allowance_seconds.is_none() {
        // What was learned about how long effects take counts wherever it is begun.
        inputs.allowance_seconds = u32::try_from(state.world.survey.allowance().num_seconds()).ok();
    }
    if let (Some(procedure), Some(env), Mode::Test) = (by_id(procedure), &state.world.env, state.world.mode()) {
        inputs = procedure.on_test(inputs, env);
    }
    let (run, reads) = Run::draft(id, procedure, inputs);
    let of_its_kind = state.tasks.runs.iter().find(|r| r.run.procedure == procedure && r.run.is_open() && !r.is_draft()).map(|r| r.run.id);
    show_run(state, run);
    if let Some(open) = of_its_kind {
        state.say(format!(
            "Run {} of this kind is not finished: what it sent is not sent again; : {} goes on with it",
            short(open),
            short(open)
        ));
    }
    effects.extend(reads);
    effects
}

/// The run of this procedure that is under way here, where only one at a time can be.
fn going_on(state: &State, procedure: &str) -> Option<Uuid> {
    by_id(procedure).filter(|p| p.is_staged())?;
    state.tasks.runs.iter().find(|r| r.run.procedure == procedure && r.run.is_open() && !r.is_draft()).map(|r| r.run.id)
}

/// A procedure by its name: about the customer on screen, or, with nobody there, by way of finding one.
pub fn start(state: &mut State, procedure: &str, id: Uuid) -> Vec<Effect> {
    let begins = by_id(procedure).map_or(Begins::WithCustomer, |p| p.begins());
    let on_screen = matches!(state.screens.top(), Screen::Customer | Screen::Subscription).then(|| state.customer.handle().cloned());
    let at_stripe = || state.customer.case().and_then(|c| c.customer.value().cloned().flatten()).map(|c| c.id);
    let inputs = match (begins, on_screen.flatten()) {
        (Begins::AtOnce, _) => Some(Inputs::default()),
        (Begins::WithCustomer, Some(handle)) => Some(Inputs::of(handle)),
        (Begins::WithEvents, Some(_)) => at_stripe().map(|c| Inputs::about(Selection::Customers(vec![c]))),
        (_, None) => None,
    };
    if let Some(inputs) = inputs {
        return fulfil(state, vec![Ask::Start { procedure: procedure.into(), inputs }], id);
    }
    let (pane, choose) = match begins {
        Begins::WithEvents => (Screen::Webhooks, "choose a cause or events, then f"),
        _ => (Screen::Customers, "find the customer, then f"),
    };
    state.screens.go(pane);
    let effects = entered(state, id);
    let title = by_id(procedure).map_or(procedure, |p| p.title());
    state.say(format!("{title}: {choose}"));
    effects
}

/// Puts a dialog over the screen.
pub fn dialog(state: &mut State, modal: Modal) -> Vec<Effect> {
    state.dialog = Some(Dialog::new(modal));
    Vec::new()
}

/// The customers pane, looking this up.
pub fn search(state: &mut State, text: &str, id: Uuid) -> Vec<Effect> {
    state.dialog = None;
    state.screens.go(Screen::Customers);
    let asks = state.customers.search(text, &state.world.context());
    fulfil(state, asks, id)
}

/// One screen back. At Home nothing is behind: it asks before quitting.
pub fn back(state: &mut State, id: Uuid) -> Vec<Effect> {
    let left = state.screens.top();
    if !state.screens.back() {
        return dialog(state, Modal::Quit);
    }
    let mut effects = Vec::new();
    if let Screen::Run(run) = left {
        effects.extend(leave_run(state, run));
    }
    effects.extend(entered(state, id));
    effects
}

/// The screen on top has come into view.
pub fn entered(state: &mut State, id: Uuid) -> Vec<Effect> {
    let cx = state.world.context();
    let asks = match state.screens.top() {
        Screen::Home => state.home.entered(&cx),
        Screen::Webhooks => state.webhooks.entered(&cx),
        Screen::Event => state.event.entered(&cx),
        Screen::Customers => state.customers.entered(&cx),
        Screen::Customer => state.customer.entered(&cx),
        Screen::Subscription => state.subscription.entered(&cx),
        Screen::Quota => state.quota.entered(&cx),
        Screen::Pool => {
            let mut asks = state.world.pool.ticked(true, state.world.tick);
            asks.extend(state.pool.looked(&state.world.context()));
            asks
        }
        Screen::Runbook => state.runbook.entered(&cx),
        Screen::Run(_) => Vec::new(),
    };
    fulfil(state, asks, id)
}

fn open_customer(state: &mut State, handle: Handle, id: Uuid) -> Vec<Effect> {
    state.dialog = None;
    // Answers about the customer before are nobody's any more.
    state.tickets.cancel_where(|slot| matches!(slot, Slot::Case(_)));
    state.customer = customer::Model::of(handle);
    state.screens.open(Screen::Customer);
    state.remember_customer();
    entered(state, id)
}

fn open_subscription(state: &mut State, subscription: StripeId, id: Uuid) -> Vec<Effect> {
    let Some(case) = state.customer.case() else { return Vec::new() };
    state.subscription.show(case, subscription);
    state.screens.open(Screen::Subscription);
    entered(state, id)
}

fn open_event(state: &mut State, event: &StripeId, id: Uuid) -> Vec<Effect> {
    let Some(line) = state.world.survey.lines().iter().find(|l| l.id == *event).cloned() else {
        state.say("That event is not in the range that is listed");
        return Vec::new();
    };
    state.dialog = None;
    // Answers about the event before are nobody's any more.
    state.tickets.cancel_where(|slot| matches!(slot, Slot::Event(_)));
    state.event = event::Model::of(line);
    state.screens.open(Screen::Event);
    entered(state, id)
}

/// Puts a run on screen.
pub fn show_run(state: &mut State, run: Run) {
    let id = run.id;
    state.dialog = None;
    state.tasks.add(run);
    state.screens.open(Screen::Run(id));
}

/// Shows the run if it is open here, otherwise takes it up from the journal.
pub fn resume(state: &mut State, run: Uuid) -> Vec<Effect> {
    state.dialog = None;
    if state.tasks.get(run).is_some() {
        state.screens.open(Screen::Run(run));
        return Vec::new();
    }
    let Some(summary) = state.tasks.unfinished.iter().find(|u| u.run == run) else {
        state.say("That run is finished, or its journal is elsewhere");
        return Vec::new();
    };
    if summary.held {
        state.say("Another console holds that run open");
        return Vec::new();
    }
    let (run, effects) = Run::resume(summary);
    show_run(state, run);
    effects
}

/// The review that would take back the last run that can be.
pub fn undo(state: &mut State, id: Uuid) -> Vec<Effect> {
    let now = state.world.now;
    let here = if let Screen::Run(run) = state.screens.top() { state.tasks.get(run) } else { None };
    let run = here.filter(|r| r.run.can_undo(now)).or_else(|| state.tasks.undoable(now));
    let Some((undo, effects)) = run.and_then(|r| r.run.undo(id, now)) else {
        state.say("Nothing here can be undone");
        return Vec::new();
    };
    show_run(state, undo);
    effects
}

/// Leaving never stops a run silently. Only one that has not been confirmed is let go of: nothing of it was sent.
pub fn leave_run(state: &mut State, id: Uuid) -> Vec<Effect> {
    let Some(model) = state.tasks.get_mut(id) else { return Vec::new() };
    if !model.is_draft() {
        return Vec::new();
    }
    let effects = model.run.abandon();
    // While its lock is being taken it cannot be given up yet: `opened` does it.
    if !model.run.is_open() {
        state.tasks.remove(id);
    }
    effects
}

/// A run was opened or taken up, or not. One that the operator has left meanwhile, with nothing confirmed, is let go of again.
pub fn opened(state: &mut State, run: Uuid, result: &Result<(), Fault>, id: Uuid) -> Vec<Effect> {
    let mut effects = self::run(state, run, id, |r, _, now| r.opened(result, now));
    if !state.screens.holds(Screen::Run(run)) {
        effects.extend(leave_run(state, run));
    }
    effects
}

/// Something is to be known about a run, whatever it is doing.
pub fn noted(state: &mut State, run: Uuid, say: &str) -> Vec<Effect> {
    match state.tasks.get_mut(run) {
        Some(model) => model.run.noted(say),
        // It was left or forgotten: the words are not.
        None => state.say(format!("Run {}: {say}", short(run))),
    }
    Vec::new()
}

/// Hands an event to the engine, and tells the other screens when that has ended the run.
pub fn run(state: &mut State, run: Uuid, id: Uuid, f: impl FnOnce(&mut Run, &Environment, At) -> Vec<Effect>) -> Vec<Effect> {
    let (now, ahead) = (state.world.now, state.world.survey.clock_ahead());
    let (Some(model), Some(env)) = (state.tasks.get_mut(run), state.world.env.as_ref()) else { return Vec::new() };
    model.run.hear_clock(ahead);
    let was_open = model.run.is_open();
    let mut effects = f(&mut model.run, env, now);
    model.follow();
    if effects.iter().any(|e| matches!(e, Effect::Perform(_))) {
        let commands = model.run.plan.iter().flat_map(|p| &p.steps).filter_map(|s| s.command.as_ref());
        state.world.survey.at_work(run, commands, now);
    }
    if was_open && !model.run.is_open() {
        // What it wrote is compared again at once: what no longer differs is no finding any more.
        let written = model.run.touched();
        let counters = model.run.procedure == RESETS;
        effects.push(state.tickets.read(Slot::Runs, Query::Runs));
        state.world.survey.written(written.iter().filter_map(|(_, customer)| customer.as_ref()));
        let mut asks = state.world.drift.look_again(&written, false, state.world.stripe_now());
        if counters && !written.is_empty() {
            asks.extend(counters_written(state));
        }
        let cx = state.world.context();
        asks.extend(state.home.entered(&cx));
        if state.customer.handle().is_some() {
            asks.extend(state.customer.entered(&cx));
        }
        effects.extend(fulfil(state, asks, id));
    }
    effects
}

/// Counters were written, by whomever: the quota pane and Home look at them again.
pub fn counters_written(state: &mut State) -> Vec<Ask> {
    state.home.counters_written();
    state.quota.written(&state.world.context())
}
