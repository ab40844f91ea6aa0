//! The keys of Home: what is offered for the finding under the cursor, and what each does.

use super::Model;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::domain::facts::Handle;
use crate::domain::fault::Source;
use crate::domain::findings::{About, Finding, Judged, whole};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::drift::Drifted;
use crate::procedures::by_id;
use crate::protocol::key::Key;
use crate::protocol::query::Hit;
use crate::protocol::run::{Inputs, Selection};
use std::collections::HashSet;

/// As many customers as one review of drift holds.
const FIXED_AT_ONCE: usize = 500;
/// So many whose cases are not read are listed.
const LISTED: usize = 500;
const NOTHING: &str = "there is no finding to act on";

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let some = m.selected().map(|_| ()).ok_or_else(|| NOTHING.to_string());
    let label = match m.selected().map(|f| &f.about) {
        Some(About::Customers(c)) if c.len() > 1 => "list them",
        Some(About::Run(_)) => "resume",
        Some(About::Webhooks { .. }) => "list them",
        Some(About::Pool) => "who holds them",
        Some(About::Quota) => "list them",
        Some(About::Source(_) | About::Endpoint | About::Payments | About::Sight | About::Clock | About::Lag) => "why",
        _ => "open",
    };
    if m.selected().is_none() {
        // A quiet night offers nothing that does nothing; the keys still say why.
        let silent = [Action::Open, Action::Fix, Action::Why, Action::Actions, Action::Copy].map(|a| Binding::quiet(a).because(NOTHING));
        return silent.into_iter().chain([Binding::quiet(Action::Refresh)]).chain(Binding::moves()).collect();
    }
    // Where Enter and the evidence are one, the footer has it once; where nothing can be mended from here, the key only says so.
    let (why, fix) = (if label == "why" { "" } else { "why" }, fix(m).map(|_| ()));
    let mut all = vec![
        Binding::new(Action::Open, label).when(some.clone()),
        Binding::new(Action::Fix, if fix.is_ok() { "fix" } else { "" }).when(fix),
        Binding::new(Action::Why, why).when(some.clone()),
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
        Action::Why => vec![why(m, finding)],
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
        About::Pool => vec![Ask::Pool],
        About::Quota => vec![Ask::Renewed],
        About::Source(_) | About::Endpoint | About::Payments | About::Sight | About::Clock | About::Lag => vec![why(m, finding)],
    }
}

fn list(m: &Model, finding: &Finding) -> Ask {
    let mut hits: Vec<Hit> = m.customers_of(finding).into_iter().map(hit).collect();
    // The list stays as it is once it is open: whose case is not read yet is in it too.
    if let About::Webhooks { customers, .. } = &finding.about {
        let read: HashSet<StripeId> = m.customers_of(finding).into_iter().map(|j| j.customer.clone()).collect();
        hits.extend(customers.iter().filter(|c| !read.contains(*c)).take(LISTED).map(hit_of_nobody));
    }
    if let (About::Customers(ids), true) = (&finding.about, hits.is_empty()) {
        hits.extend(m.drifted_of(ids).into_iter().filter_map(hit_of_drift));
    }
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

fn hit_of_nobody(customer: &StripeId) -> Hit {
    Hit {
        source: Source::Stripe,
        handle: Handle::Stripe(customer.clone()),
        name: None,
        email: None,
        subject: None,
        customer: Some(customer.to_string()),
        note: "not read yet".into(),
        rank: 0,
    }
}

fn hit_of_drift(d: &Drifted) -> Option<Hit> {
    let customer = d.customer.clone()?;
    let money = d.monthly.as_ref().map(|m| format!("{}/mo · ", whole(m))).unwrap_or_default();
    Some(Hit {
        source: Source::Stripe,
        customer: Some(customer.to_string()),
        handle: Handle::Stripe(customer),
        name: None,
        email: None,
        subject: d.subject.clone(),
        note: format!("{money}{}", d.class.word()),
        rank: 0,
    })
}

fn why(m: &Model, finding: &Finding) -> Ask {
    let mut lines = vec![finding.reason.clone()];
    let of_survey = matches!(finding.about, About::Webhooks { .. } | About::Customers(_) | About::Endpoint);
    let looking = m.looking.filter(|_| of_survey);
    lines.extend(looking.map(|(read, of)| format!("It is still looking, {read} of {of} cases read: this may say more when opened again.")));
    lines.extend(finding.evidence.clone());
    Ask::Evidence { title: finding.sentence.clone(), lines }
}

/// The review of what is recommended, for the one customer or for all of them.
fn fix(m: &Model) -> Result<Ask, String> {
    let finding = m.selected().ok_or(NOTHING)?;
    match &finding.about {
        About::Run(run) => Ok(Ask::Resume(*run)),
        About::Customers(ids) => match m.customers_of(finding).as_slice() {
            [] => Ok(fix_drift(ids)),
            [one] => one.diagnosis.fix.as_ref().map_or_else(
                || Err("nothing is recommended here; open the customer".to_string()),
                |f| Ok(Ask::Start { procedure: f.procedure.clone(), inputs: Inputs::of(Handle::Stripe(one.customer.clone())) }),
            ),
            several => fix_several(several),
        },
        About::Endpoint => begin("endpoint-down"),
        About::Webhooks { .. } if m.endpoint => begin("endpoint-down"),
        About::Webhooks { .. } => begin("failed-webhook"),
        About::Payments => Err("nothing here mends a declined payment; e has the figures, ! calls somebody".to_string()),
        About::Pool => Ok(Ask::Start { procedure: "pool-exhausted".into(), inputs: Inputs::default() }),
        About::Quota => Err("a reset is one customer's: enter lists them, and f resets there".to_string()),
        About::Lag => Err("nothing here makes the webhook handler quicker; e has the figures, ! calls somebody".to_string()),
        About::Clock => Err("set this machine's clock; nothing here does that".to_string()),
        About::Source(_) | About::Sight => Err("nothing here mends a source; e says what it answered".to_string()),
    }
}

/// One review for all of them who can be helped: linked and copied as each needs it.
fn fix_several(judged: &[&Judged]) -> Result<Ask, String> {
    let these: Vec<_> = judged.iter().filter(|j| j.diagnosis.fix.is_some()).map(|j| j.customer.clone()).take(FIXED_AT_ONCE).collect();
    if these.is_empty() {
        return Err("nothing is recommended for these; enter lists them".to_string());
    }
    Ok(Ask::Start { procedure: "failed-webhook".into(), inputs: Inputs::about(Selection::Customers(these)) })
}

/// Whom only the drift scan has looked at: one by the procedure for one, several under one review.
fn fix_drift(customers: &[StripeId]) -> Ask {
    match customers {
        [one] => Ask::Start { procedure: "tier-update".into(), inputs: Inputs::of(Handle::Stripe(one.clone())) },
        several => {
            let these = several.iter().take(FIXED_AT_ONCE).cloned().collect();
            Ask::Start { procedure: "drift-fix".into(), inputs: Inputs::about(Selection::Customers(these)) }
        }
    }
}

/// The review of this procedure about everything since the last event that was applied.
fn begin(procedure: &str) -> Result<Ask, String> {
    let procedure = by_id(procedure).ok_or("enter lists the customers; each can be repaired on its own screen")?;
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
    vec![fix, list, ActionItem::new('e', "why", why(m, finding))]
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
