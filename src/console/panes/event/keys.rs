//! The keys of the event's screen: its tabs, folding the payload, the customer behind it, copying.

use super::Model;
use super::compare;
use super::model::Tab;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::domain::facts::Handle;
use crate::domain::mask;
use crate::procedures::by_id;
use crate::procedures::survey::Survey;
use crate::protocol::key::Key;
use crate::protocol::run::{Inputs, Selection};

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let open = match m.tab {
        Tab::Differences => Binding::new(Action::Open, "customer").when(customer(m).map(|_| ())),
        Tab::Payload => Binding::new(Action::Open, "fold").when(match m.payload.value() {
            Some(Some(_)) => Ok(()),
            _ => Err("there is no payload".into()),
        }),
    };
    let mut all = vec![
        Binding::new(Action::Fix, "fix").when(fix(m).map(|_| ())),
        open,
        Binding::new(Action::NextTab, if m.tab == Tab::Payload { "differences" } else { "payload" }),
        Binding::quiet(Action::PreviousTab),
        Binding::new(Action::Why, "why"),
        Binding::new(Action::Actions, "actions"),
        Binding::quiet(Action::Copy),
        Binding::quiet(Action::Refresh),
        Binding::new(Action::Back, "back"),
    ];
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    let survey = cx.survey;
    let page = usize::from(cx.rows.saturating_sub(14)).max(1);
    if let Some(by) = action.rows(page) {
        match m.tab {
            Tab::Payload => {
                let len = m.payload_lines(cx.revealed).len();
                m.cursor.by(by, len);
            }
            Tab::Differences => {
                let last = compare::table(m, cx).len().saturating_sub(1);
                m.scroll = m.scroll.saturating_add_signed(by).min(last);
            }
        }
        return Vec::new();
    }
    match action {
        Action::NextTab | Action::PreviousTab => {
            m.tab = if m.tab == Tab::Payload { Tab::Differences } else { Tab::Payload };
            Vec::new()
        }
        Action::Open if m.tab == Tab::Payload => {
            let path = m.payload_lines(cx.revealed).into_iter().nth(m.cursor.at).and_then(|l| l.path);
            if let Some(path) = path
                && !m.turned.remove(&path)
            {
                m.turned.insert(path);
            }
            Vec::new()
        }
        Action::Open => vec![customer(m).unwrap_or_else(Ask::Say)],
        Action::Fix => vec![fix(m).unwrap_or_else(Ask::Say)],
        Action::Why => vec![why(m, survey)],
        Action::Actions => vec![Ask::Actions(actions(m, survey))],
        Action::Copy => vec![Ask::Copy(copies(m))],
        Action::Refresh => m.read(cx),
        Action::Back => vec![Ask::Back],
        _ => Vec::new(),
    }
}

/// This screen has no text field.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

fn customer(m: &Model) -> Result<Ask, String> {
    let line = m.line().ok_or("no event is open")?;
    line.customer.clone().map(|c| Ask::Open(Handle::Stripe(c))).ok_or_else(|| "this event names no customer".to_string())
}

fn fix(m: &Model) -> Result<Ask, String> {
    let line = m.line().ok_or("no event is open")?;
    if !line.verdict.is_failure() {
        return Err(format!("nothing to fix: this event is {}", line.verdict.word()));
    }
    let procedure = by_id("failed-webhook").ok_or("open the customer: each can be repaired on its own screen")?;
    Ok(Ask::Start { procedure: procedure.id().into(), inputs: Inputs::about(Selection::Events(vec![line.id.clone()])) })
}

fn why(m: &Model, survey: &Survey) -> Ask {
    let Some(line) = m.line() else { return Ask::Back };
    let mut lines = survey.judgement(&line.id).map(|j| [vec![j.because], j.evidence].concat()).unwrap_or_default();
    if line.pending {
        lines.push("Stripe still owes a delivery of it.".into());
    }
    Ask::Evidence { title: format!("{}: {}", mask::id(line.id.as_str()), line.verdict.word()), lines }
}

fn actions(m: &Model, survey: &Survey) -> Vec<ActionItem> {
    let item = |letter, label: &str, does: Result<Ask, String>| match does {
        Ok(ask) => ActionItem::new(letter, label, ask),
        Err(reason) => ActionItem::impossible(letter, label, reason),
    };
    vec![
        item('f', "review the recommended fix", fix(m)),
        item('o', "open the customer", customer(m)),
        ActionItem::new('e', "why: the evidence", why(m, survey)),
    ]
}

fn copies(m: &Model) -> Vec<CopyItem> {
    let mut items = Vec::new();
    if let Some(line) = m.line() {
        items.push(CopyItem::new("event id", line.id.as_str()));
        let ids = [("customer id", &line.customer), ("subscription id", &line.subscription), ("object id", &line.object)];
        items.extend(ids.iter().filter_map(|(label, id)| Some(CopyItem::new(*label, id.as_ref()?.as_str()))));
        items.dedup_by(|a, b| a.text == b.text);
        let url = format!("${{STRIPE_API_BASE:-https://api.stripe.com}}/v1/events/{}", line.id);
        items.push(CopyItem::new("curl for it", format!("curl -s -u \"$STRIPE_SECRET_KEY:\" \"{url}\"")));
    }
    if let Some(Some(value)) = m.payload.value() {
        let text = serde_json::to_string_pretty(&mask::json(value)).expect("invariant: JSON renders");
        items.push(CopyItem::new("payload as JSON, personal data masked", text));
    }
    items
}
