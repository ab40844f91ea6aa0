//! One event in, effects out. This file routes and nothing else.

use super::screen::Screen;
use super::state::State;
use super::world::{Account, Start};
use super::{acted, burst, fulfil, keys, modal};
use crate::domain::diagnosis::Moment;
use crate::domain::fault::Fault;
use crate::domain::ids::SubjectKey;
use crate::domain::policy::Writes;
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::event::{Event, Stamped};
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::short;
use crate::protocol::ticket::{Slot, Ticket};
use uuid::Uuid;

/// How long personal data stays unmasked, in seconds.
const REVEAL_SECONDS: i64 = 60;

/// Handles one event. Total: every event is fine in every state. It reads no clock, makes no ids and performs nothing.
pub fn update(state: &mut State, stamped: Stamped) -> Vec<Effect> {
    state.world.advance(stamped.at, stamped.tick);
    let mut effects = burst::settle(state, matches!(stamped.event, Event::Key(_)));
    if let Event::Key(key) = stamped.event {
        effects.extend(burst::swallows(state, key).unwrap_or_else(|| {
            let done = keys::press(state, key, stamped.id);
            burst::hold_back(state, done)
        }));
    } else {
        effects.extend(happened(state, stamped.event.clone(), stamped.id));
        burst::keep_up(state, stamped);
    }
    mask_others(state);
    state.world.going = state.tasks.going();
    effects
}

fn happened(state: &mut State, event: Event, id: Uuid) -> Vec<Effect> {
    match event {
        Event::Key(_) => Vec::new(),
        Event::Pasted(text) => keys::paste(state, &text),
        Event::Resized { columns, rows } => {
            (state.world.columns, state.world.rows) = (columns, rows);
            Vec::new()
        }
        // Time alone has decided what the keys were: `settle` above.
        Event::KeysPaused => Vec::new(),
        Event::Ticked => ticked(state, id),
        Event::Painted => {
            painted(state);
            Vec::new()
        }
        Event::EnvironmentChanged(env) => connected(state, *env, id),
        Event::Starting(what) => {
            state.world.start = Start::Starting(what);
            Vec::new()
        }
        Event::StartFailed(why) => {
            state.world.start = Start::Failed(why);
            Vec::new()
        }
        Event::ReplyArrived { ticket, query, result } => replied(state, &ticket, &query, &result, id),
        Event::SourceReported { source, result } => {
            state.world.reported(source, result.as_ref().err());
            Vec::new()
        }
        Event::AccountKnown { name, livemode, database } => {
            state.world.account = Some(Account { name, livemode, database });
            Vec::new()
        }
        Event::WritesChanged(writes) => {
            writes_changed(state, writes);
            Vec::new()
        }
        Event::WritesRefused(why) => {
            state.world.writes = Writes::Off;
            state.say(why);
            Vec::new()
        }
        Event::RunOpened { run, result } => fulfil::opened(state, run, &result, id),
        Event::RunGivenUp { run, result } => given_up(state, run, result.err().as_ref(), id),
        Event::Performed(performed) => fulfil::run(state, performed.attempt.run, id, |r, _, now| r.performed(&performed, now)),
        Event::RunNoted { run, say } => fulfil::noted(state, run, &say),
        Event::HookSaid { run, line } => {
            if let Some(run) = state.tasks.get_mut(run) {
                run.hear(line);
            }
            Vec::new()
        }
        Event::Revealed { subject } => {
            revealed(state, subject);
            Vec::new()
        }
        Event::DeskWritten { write: _, result } => {
            match result {
                Ok(desk) => state.world.desk = Some(desk),
                Err(fault) => state.say(format!("Not noted: {}", fault.say)),
            }
            Vec::new()
        }
        Event::RecordFailed(fault) => {
            // What cannot be audited is not shown.
            state.world.revealed_until = None;
            state.say(format!("Not journaled: {}", fault.say));
            Vec::new()
        }
        Event::ExportWent { export, rows } => {
            state.tasks.exports.went(export, rows);
            Vec::new()
        }
        Event::ExportEnded { export, result } => {
            if let Some(said) = state.tasks.exports.ended(export, result) {
                state.say(said);
            }
            Vec::new()
        }
        Event::IncidentWent { name, result } => {
            if result.is_ok() {
                // It makes a past as well, which a reading that has gone by it would not see.
                state.world.survey.read_anew();
            }
            state.say(result.map_or_else(|f| format!("{name}: {}", f.say), |said| format!("{name}: {said}")));
            Vec::new()
        }
        Event::IncidentsKnown(incidents) => {
            state.world.incidents = incidents;
            Vec::new()
        }
        Event::HungUp => vec![Effect::Quit],
    }
}

fn connected(state: &mut State, env: Environment, id: Uuid) -> Vec<Effect> {
    state.world.connected(env);
    let mut effects = vec![state.tickets.read(Slot::Runs, Query::Runs)];
    effects.extend(state.world.survey_ticked(&mut state.tickets));
    let asks = state.home.entered(&state.world.context());
    effects.extend(fulfil::fulfil(state, asks, id));
    effects
}

/// The journal has that nothing more is sent of it, or it could not be written.
fn given_up(state: &mut State, run: Uuid, fault: Option<&Fault>, id: Uuid) -> Vec<Effect> {
    if let (None, Some(model)) = (fault, state.tasks.get_mut(run)) {
        model.run.given_up();
        model.follow();
    }
    state.say(fault.map_or_else(
        || format!("Run {} is given up; the journal has the reason", short(run)),
        |fault| format!("Not given up: {}", fault.say),
    ));
    let mut effects = vec![state.tickets.read(Slot::Runs, Query::Runs)];
    effects.extend(fulfil::entered(state, id));
    effects
}

/// The journal has it: shown for a minute, unless somebody else has come on screen since it was asked for.
fn revealed(state: &mut State, subject: Option<SubjectKey>) {
    if state.in_view().0 == subject {
        state.world.revealed_until = Some(state.world.now + chrono::Duration::seconds(REVEAL_SECONDS));
        state.world.revealed_of = subject;
    } else {
        state.say("Still masked: somebody else is on screen by now");
    }
}

/// What is journaled as one person's reveals nobody else.
fn mask_others(state: &mut State) {
    if state.world.revealed_until.is_some() && state.world.revealed_of.is_some() && state.in_view().0 != state.world.revealed_of {
        state.world.revealed_until = None;
    }
}

fn ticked(state: &mut State, id: Uuid) -> Vec<Effect> {
    state.forget_what_was_said();
    if let Writes::On { until, .. } = &state.world.writes
        && *until <= state.world.now
    {
        writes_changed(state, Writes::Off);
    }
    let mut effects = state.world.survey_ticked(&mut state.tickets);
    let top = state.screens.top();
    let mut asks = Vec::new();
    if state.world.env.is_some() {
        asks.extend(state.world.pool.ticked(top == Screen::Pool, state.world.tick));
    }
    let cx = state.world.context();
    asks.extend(state.home.ticked(&cx));
    asks.extend(state.webhooks.ticked(top == Screen::Webhooks, &cx));
    asks.extend(state.event.ticked(top == Screen::Event, &cx));
    asks.extend(state.customers.ticked(&cx));
    asks.extend(state.customer.ticked(&cx));
    asks.extend(state.subscription.ticked(&cx));
    asks.extend(state.quota.ticked(top == Screen::Quota, &cx));
    if state.screens.top() == Screen::Runbook {
        asks.extend(state.runbook.ticked(&cx));
    }
    asks.extend(state.world.drift.ticked(Moment { now: state.world.stripe_now(), allowance: state.world.survey.allowance() }));
    effects.extend(fulfil::fulfil(state, asks, id));
    if state.world.wants_desk() {
        effects.push(state.tickets.read(Slot::Desk, Query::Desk));
    }
    for draft in state.tasks.old_drafts() {
        if !state.screens.holds(Screen::Run(draft)) {
            effects.extend(fulfil::leave_run(state, draft));
        }
    }
    // What is over waits for nothing, and is not touched: it may be shared.
    let runs: Vec<Uuid> = state.tasks.runs.iter().filter(|r| r.run.is_open()).map(|r| r.run.id).collect();
    for run in runs {
        effects.extend(fulfil::run(state, run, id, |r, _, now| r.ticked(now)));
    }
    effects
}

fn journal_told(state: &mut State, whose: acted::Whose, result: &Result<Reply, Fault>, id: Uuid) -> Vec<Effect> {
    match result {
        Ok(Reply::Runs(runs)) => acted::heard(state, whose, runs, id),
        _ => Vec::new(),
    }
}

fn painted(state: &mut State) {
    let tick = state.world.tick;
    // On a terminal that is too small nobody has read anything; leaving is still possible.
    let unseen = super::frame::is_too_small(state.world.columns, state.world.rows);
    match (&mut state.dialog, state.screens.top()) {
        (Some(dialog), _) if unseen && dialog.modal != super::modal::Modal::Quit => {}
        (None, _) if unseen => {}
        (Some(dialog), _) => dialog.guard.painted(tick),
        (None, Screen::Run(id)) => {
            if let Some(run) = state.tasks.get_mut(id) {
                run.painted(tick);
            }
        }
        _ => {}
    }
}

fn writes_changed(state: &mut State, writes: Writes) {
    let was_on = state.world.writes != Writes::Off;
    match &writes {
        Writes::On { until, .. } => {
            let text = format!("Writes are on until {}", super::widgets::format::clock(*until));
            state.say(text);
        }
        Writes::Off if was_on => state.say("Writes are off"),
        Writes::Off => {}
    }
    state.world.writes = writes;
}

/// How the endpoints are registered, and what one answered to a probe, is one and the same whoever asked: a run's answer is news to the screens.
fn overhear(state: &mut State, query: &Query, result: &Result<Reply, Fault>) {
    match (query, result) {
        (Query::Endpoints, Ok(Reply::Endpoints(endpoints))) => {
            let at = state.world.stripe_now();
            state.world.survey.registered(endpoints, at);
            state.home.heard(endpoints, &state.world.context());
            if let Some(said) = state.webhooks.heard(endpoints, state.world.now) {
                state.say(said);
            }
        }
        (Query::Probe, Ok(Reply::Probed(probed))) => {
            state.world.survey.probed(probed.clone(), state.world.now);
            state.webhooks.heard_probe(probed, state.world.now);
        }
        _ => {}
    }
}

fn replied(state: &mut State, ticket: &Ticket, query: &Query, result: &Result<Reply, Fault>, id: Uuid) -> Vec<Effect> {
    // The desk says nothing about the journal, which the poll of its source is about; and a probe that found nobody, or a list of deploys,
    // is an answer, and none of the application's.
    if ticket.slot != Slot::Desk && !matches!(query, Query::Probe | Query::Deploys) {
        state.world.answered(query.source(), result.as_ref().err());
    }
    // Runs keep their own generations: they outlive screens.
    if let Slot::Run(run, _) | Slot::Bulk(run, _) = ticket.slot {
        if state.tasks.get(run).is_some() {
            overhear(state, query, result);
        }
        return fulfil::run(state, run, id, |r, env, now| r.replied(*ticket, query, result, env, now));
    }
    if !state.tickets.arrived(ticket) {
        return Vec::new();
    }
    overhear(state, query, result);
    let mut effects = Vec::new();
    if matches!(ticket.slot, Slot::Survey(_)) {
        effects = state.world.survey_replied(query, result, &mut state.tickets);
    }
    if let Slot::Drift(slot) = ticket.slot {
        let rules = state.world.env.as_ref().map(|e| e.tiers.clone()).unwrap_or_default();
        let now = state.world.stripe_now();
        let asks = state.world.drift.replied(slot, query, result, &rules, now);
        return fulfil::fulfil(state, asks, id);
    }
    if ticket.slot == Slot::Log {
        super::modal::log_replied(state, result);
        return Vec::new();
    }
    state.world.watched(ticket.slot, result);
    let cx = state.world.context();
    let asks = match ticket.slot {
        Slot::SearchDatabase | Slot::SearchStripe | Slot::SearchMirror => state.customers.replied(ticket.slot, query, result, &cx),
        Slot::Case(_) => state.customer.replied(ticket.slot, query, result, &cx),
        Slot::Endpoints | Slot::Probe => {
            state.webhooks.replied(query, result);
            Vec::new()
        }
        Slot::Event(_) => state.event.replied(ticket.slot, query, result, &cx),
        Slot::Survey(_) => {
            state.home.looked(&cx);
            if state.screens.top() == Screen::Webhooks {
                state.webhooks.sync(&cx);
            }
            Vec::new()
        }
        Slot::Runs => {
            if let Ok(reply) = result {
                state.tasks.told(reply);
            }
            state.home.replied(ticket.slot, query, result, &cx);
            return journal_told(state, acted::Whose::Own, result, id);
        }
        Slot::TeamRuns => return journal_told(state, acted::Whose::Team, result, id),
        Slot::Desk => {
            if let Ok(Reply::Desk(desk)) = result {
                state.world.desk = Some(desk.clone());
            }
            Vec::new()
        }
        Slot::Quota(_) => state.quota.replied(ticket.slot, query, result, &cx),
        Slot::Book(_) => state.runbook.replied(ticket.slot, query, result, &cx),
        Slot::Beside(_) => {
            state.home.replied(ticket.slot, query, result, &cx);
            Vec::new()
        }
        Slot::Run(..) | Slot::Bulk(..) | Slot::Drift(_) | Slot::Log => Vec::new(),
        Slot::Activity => {
            state.home.looked(&cx);
            modal::session(&mut state.dialog, &state.pool, &cx);
            if state.screens.top() == Screen::Pool { state.pool.looked(&cx) } else { Vec::new() }
        }
        Slot::SessionText => {
            state.pool.told(query, result, &cx);
            modal::session(&mut state.dialog, &state.pool, &cx);
            Vec::new()
        }
        Slot::Pooler => Vec::new(),
    };
    if matches!(ticket.slot, Slot::Case(_)) {
        state.remember_customer();
        if let (Some(case), Some(id)) = (state.customer.case(), state.subscription.id().cloned()) {
            state.subscription.show(case, id);
        }
    }
    effects.extend(fulfil::fulfil(state, asks, id));
    effects
}
