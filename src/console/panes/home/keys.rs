//! The keys of Home: what is offered for the finding under the cursor, and what each does.

use super::Model;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::domain::facts::Handle;
use crate::domain::fault::Source;
use crate::domain::findings::{About, Finding, Judged};
use crate::procedures::by_id;
use crate::protocol::key::Key;
use crate::protocol::query::Hit;
use crate::protocol::run::{Inputs, Selection};

const NOTHING: &str = "there is no finding to act on";

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let some = m.selected().map(|_| ()).ok_or_else(|| NOTHING.to_string());
    let label = match m.selected().map(|f| &f.about) {
        Some(About::Customers(c)) if c.len() > 1 => "list them",
        Some(About::Run(_)) => "resume",
        Some(About::Webhooks { .. }) => "list them",
        Some(About::Source(_) | About::Sight) => "why",
        _ => "open",
    };
    let mut all = vec![
        Binding::new(Action::Open, label).when(some.clone()),
        Binding::new(Action::Fix, "fix").when(fix(m).map(|_| ())),
        Binding::new(Action::Why, "why").when(some.clone()),
        Binding::new(Action::Actions, "actions").when(some.clone()),
        Binding::quiet(Action::Copy).when(some),
        Binding::quiet(Action::Refresh),
    ];
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    if action == Action::Refresh {
        return m.entered(cx);
    }
    let (page, len) = (m.per_page(cx), m.findings.len());
    if let Some(by) = action.rows(page) {
        m.cursor.by(by, len);
        m.moved = true;
        return Vec::new();
    }
    let Some(finding) = m.selected() else { return Vec::new() };
    match action {
        Action::Open => open(m, finding),
        Action::Why => vec![why(finding)],
        Action::Fix => fix(m).map_or_else(|reason| vec![Ask::Say(reason)], |ask| vec![ask]),
        Action::Actions => vec![Ask::Actions(actions(m, finding))],
        Action::Copy => vec![Ask::Copy(copies(m, finding))],
        _ => Vec::new(),
    }
}

/// Home has no text field.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

fn open(m: &Model, finding: &Finding) -> Vec<Ask> {
    match &finding.about {
        About::Customers(ids) if ids.len() == 1 => vec![Ask::Open(Handle::Stripe(ids[0].clone()))],
        About::Customers(_) | About::Webhooks { .. } => vec![list(m, finding)],
        About::Run(run) => vec![Ask::Resume(*run)],
        About::Source(_) | About::Sight => vec![why(finding)],
    }
}

fn list(m: &Model, finding: &Finding) -> Ask {
    let hits = m.customers_of(finding).into_iter().map(hit).collect();
    Ask::Hits { title: finding.sentence.clone(), hits }
}

fn hit(j: &Judged) -> Hit {
    Hit {
        source: Source::Stripe,
        handle: Handle::Stripe(j.customer.clone()),
        name: j.subject.as_ref().and_then(|s| s.name.clone()),
        email: j.email.clone().or_else(|| j.subject.as_ref().and_then(|s| s.email.clone())),
        subject: j.subject.as_ref().map(|s| s.key.clone()),
        customer: Some(j.customer.to_string()),
        note: j.note(),
        rank: 0,
    }
}

fn why(finding: &Finding) -> Ask {
    let mut lines = vec![finding.reason.clone()];
    lines.extend(finding.evidence.clone());
    Ask::Evidence { title: finding.sentence.clone(), lines }
}

/// The review of the one customer's recommended procedure; for several, the list comes first.
fn fix(m: &Model) -> Result<Ask, String> {
    let finding = m.selected().ok_or(NOTHING)?;
    match &finding.about {
        About::Run(run) => Ok(Ask::Resume(*run)),
        About::Customers(_) => match m.customers_of(finding).as_slice() {
            [one] => one.diagnosis.fix.as_ref().map_or_else(
                || Err("nothing is recommended here; open the customer".to_string()),
                |f| Ok(Ask::Start { procedure: f.procedure.clone(), inputs: Inputs::of(Handle::Stripe(one.customer.clone())) }),
            ),
            _ => Err("one at a time: enter lists them".to_string()),
        },
        About::Webhooks { .. } => replay(),
        About::Source(_) | About::Sight => Err("nothing here mends a source; e says what it answered".to_string()),
    }
}

/// The review of the procedure that brings about everything since the last event that was applied.
fn replay() -> Result<Ask, String> {
    let procedure = by_id("failed-webhook").ok_or("enter lists the customers; each can be repaired on its own screen")?;
    Ok(Ask::Start { procedure: procedure.id().into(), inputs: Inputs::about(Selection::SinceLastApplied) })
}

fn actions(m: &Model, finding: &Finding) -> Vec<ActionItem> {
    let fix = match fix(m) {
        Ok(ask) => ActionItem::new('f', "review the recommended fix", ask),
        Err(reason) => ActionItem::impossible('f', "review the recommended fix", reason),
    };
    let list = match &finding.about {
        About::Customers(_) | About::Webhooks { .. } => ActionItem::new('l', "list the customers", list(m, finding)),
        _ => ActionItem::impossible('l', "list the customers", "this finding is about no customers"),
    };
    vec![fix, list, ActionItem::new('e', "why", why(finding))]
}

fn copies(m: &Model, finding: &Finding) -> Vec<CopyItem> {
    let mut items = vec![CopyItem::new("sentence", format!("{} {}. {}", finding.word.shown(), finding.sentence, finding.reason))];
    let ids: Vec<_> = m.customers_of(finding).iter().map(|j| j.customer.to_string()).collect();
    if !ids.is_empty() {
        items.push(CopyItem::new("Stripe customer ids", ids.join("\n")));
    }
    if let About::Run(run) = &finding.about {
        items.push(CopyItem::new("resume command", format!("nightdesk runs resume {run}")));
    }
    items
}
