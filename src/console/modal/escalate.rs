//! Calling somebody: the message says who calls from where, what is wrong since when, and the ids, filled in from the screen. No personal data.

use super::{Dialog, Modal};
use crate::console::ask::Ask;
use crate::console::fulfil::fulfil;
use crate::console::screen::Screen;
use crate::console::state::State;
use crate::console::tasks::word;
use crate::console::widgets::format::{exact_age, moment};
use crate::domain::facts::Handle;
use crate::domain::findings::{About, Finding};
use crate::domain::mask;
use crate::procedures::engine::Phase;
use crate::protocol::effect::Effect;
use crate::protocol::freshness::Health;
use crate::protocol::run::{Inputs, Message, short};
use uuid::Uuid;

/// So many ids of customers stand in a message.
const IDS: usize = 5;

/// Shows the message to this contact: for review where a command sends it, otherwise on the clipboard too.
pub fn escalate(state: &mut State, contact: usize, id: Uuid) -> Vec<Effect> {
    let Some(env) = state.world.env.as_ref() else { return Vec::new() };
    let Some(contact) = env.contacts.get(contact) else { return Vec::new() };
    let text = text(state, &contact.issue, &contact.contact);
    if env.offers.escalate {
        let message = Message { issue: contact.issue.clone(), to: contact.contact.clone(), text };
        let inputs = Inputs { message: Some(message), ..Inputs::default() };
        return fulfil(state, vec![Ask::Start { procedure: "escalate".into(), inputs }], id);
    }
    state.dialog = Some(Dialog::new(Modal::Copy { items: Vec::new(), at: 0, copied: Some(text.clone()) }));
    vec![Effect::Copy { text }]
}

fn text(state: &State, issue: &str, contact: &str) -> String {
    let world = &state.world;
    let env = world.env.as_ref();
    let (name, operator) = env.map_or(("", ""), |e| (e.name.as_str(), e.operator.as_str()));
    let account = world.account.as_ref().map_or_else(|| "account unknown".into(), |a| format!("{}, {}", a.name, a.database));
    let mut lines = vec![
        format!("To {contact}: {issue}"),
        format!("{} {name} ({account}), {}. On call: {operator}.", world.mode().word(), moment(world.now, world.now)),
    ];
    lines.extend(on_screen(state).iter().map(|l| mask::addresses(l)));
    let down = world
        .sources
        .values()
        .filter(|f| f.set_up && matches!(f.health(world.now), Health::Down | Health::Auth | Health::Limit | Health::Full));
    for source in down {
        let reason = source.last_fault.as_ref().map_or("no answer", |f| f.say.as_str());
        let line = format!("{} for {}: {reason}", source.source.word(), exact_age(source.age(world.now)));
        lines.push(mask::addresses(&line));
    }
    lines.join("\n")
}

/// What the screen is about.
fn on_screen(state: &State) -> Vec<String> {
    match state.screens.top() {
        Screen::Customer | Screen::Subscription => customer(state),
        Screen::Run(id) => run(state, id),
        _ => state.home.selected().map_or_else(|| vec!["No finding: the console sees nothing wrong so far.".into()], |f| finding(f, state)),
    }
}

fn finding(finding: &Finding, state: &State) -> Vec<String> {
    let size = if finding.size.is_empty() { String::new() } else { format!(" ({})", finding.size) };
    let mut lines = vec![format!("{} {}{size}", finding.word.shown(), finding.sentence), finding.reason.clone()];
    if let About::Customers(ids) | About::Webhooks { customers: ids, .. } = &finding.about {
        let shown: Vec<&str> = ids.iter().take(IDS).map(crate::domain::ids::StripeId::as_str).collect();
        let more = if ids.len() > IDS { format!(" and {} more", ids.len() - IDS) } else { String::new() };
        lines.push(format!("Customers at Stripe: {}{more}", shown.join(", ")));
        if let Some(since) = state.home.since(finding) {
            lines.push(format!("Since {}", moment(since, state.world.now)));
        }
    }
    if let About::Run(run) = &finding.about {
        lines.push(format!("Run {run}"));
    }
    lines
}

fn customer(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((_, diagnosis)) = state.customer.shown() {
        lines.push(format!("{} {}", diagnosis.word.shown(), diagnosis.sentence));
        lines.extend(diagnosis.reason.clone());
        lines.extend(diagnosis.since.map(|since| format!("Since {}", moment(since, state.world.now))));
    }
    let case = state.customer.case();
    let profile = case.as_ref().and_then(|c| c.record()).map(|r| format!("profile {}", r.subject.key));
    let stripe = case.as_ref().and_then(|c| c.customer.value()).and_then(Option::as_ref).map(|c| c.id.to_string());
    let subscription = case.as_ref().and_then(|c| c.subscription()).map(|s| s.id.to_string());
    let ids: Vec<String> = profile.into_iter().chain(stripe).chain(subscription).collect();
    match (ids.is_empty(), state.customer.handle()) {
        (false, _) => lines.push(ids.join(", ")),
        // An address is no id.
        (true, Some(Handle::Subject(key))) => lines.push(format!("profile {key}")),
        (true, Some(Handle::Stripe(id))) => lines.push(id.to_string()),
        (true, _) => {}
    }
    lines
}

fn run(state: &State, id: uuid::Uuid) -> Vec<String> {
    let Some(model) = state.tasks.get(id) else { return Vec::new() };
    let mut lines = vec![format!("Run {} ({id}) of {}: {}", short(id), model.run.procedure, word(&model.run))];
    if let Phase::Halted(why) | Phase::Unknown(why) | Phase::Waiting(why) = &model.run.phase {
        lines.push(why.clone());
    }
    lines.extend(model.run.plan.as_ref().and_then(|p| p.subject.as_ref()).map(|s| format!("profile {s}")));
    lines
}
