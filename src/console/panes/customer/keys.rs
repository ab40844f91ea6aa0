//! The keys of the customer pane: what is offered for this case, and what each does. None of them writes.

use super::Model;
use super::model::Tab;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::domain::diagnosis::{Diagnosis, Word};
use crate::domain::facts::Case;
use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::row::{SubscriptionRow, Value};
use crate::protocol::key::Key;
use crate::protocol::run::Inputs;

const RESET: &str = "reset user quota: empty counters that reset";

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let shown = m.shown();
    let some = shown.map(|_| ()).ok_or_else(|| "nothing has been read yet".to_string());
    let mut all = vec![
        Binding::new(Action::Fix, if resets(m) { "reset quota" } else { "fix" }).when(fix(m).map(|_| ())),
        Binding::new(Action::Actions, "actions").when(some.clone()),
        Binding::new(Action::Why, "why").when(some.clone()),
        Binding::new(Action::Copy, "copy").when(some),
        Binding::new(Action::Open, "subscription").when(detail(m).map(|_| ())),
        Binding::quiet(Action::Refresh),
        Binding::quiet(Action::NextTab),
        Binding::quiet(Action::PreviousTab),
        Binding::new(Action::Back, "back"),
    ];
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    match action {
        Action::MoveUp => scroll(m, -1, cx),
        Action::MoveDown => scroll(m, 1, cx),
        Action::Top => scroll(m, isize::MIN, cx),
        Action::Bottom => scroll(m, isize::MAX, cx),
        Action::PageUp | Action::HalfUp => scroll(m, -3, cx),
        Action::PageDown | Action::HalfDown => scroll(m, 3, cx),
        Action::NextTab => turn(m, 1),
        Action::PreviousTab => turn(m, Tab::ALL.len() - 1),
        Action::Refresh => return m.read(cx),
        Action::Fix => return fix(m).map_or_else(|reason| vec![Ask::Say(reason)], |ask| vec![ask]),
        Action::Open => return detail(m).map_or_else(|reason| vec![Ask::Say(reason)], |id| vec![Ask::OpenSubscription(id)]),
        Action::Why => return m.shown().map(|(case, d)| why(m, case, d, cx)).into_iter().collect(),
        Action::Actions => return vec![Ask::Actions(actions(m, cx))],
        Action::Copy => return m.shown().map(|(case, _)| Ask::Copy(copies(case, cx.revealed))).into_iter().collect(),
        Action::Back => return vec![Ask::Back],
        _ => {}
    }
    Vec::new()
}

/// This pane has no text field.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

/// Down is down on screen: the timeline rests at its end, the other tabs at their beginning.
fn scroll(m: &mut Model, by: isize, cx: &Context) {
    let by = if m.tab == Tab::Timeline { by.checked_neg().unwrap_or(isize::MAX) } else { by };
    m.scroll = m.scroll.saturating_add_signed(by).min(m.lines(cx).saturating_sub(1));
}

fn turn(m: &mut Model, by: usize) {
    let at = Tab::ALL.iter().position(|t| *t == m.tab).unwrap_or(0);
    m.tab = Tab::ALL[(at + by) % Tab::ALL.len()];
    m.scroll = 0;
}

/// The review of the recommended procedure, or why there is none.
fn fix(m: &Model) -> Result<Ask, String> {
    let (_, d) = m.shown().ok_or("nothing has been read yet")?;
    let handle = m.handle().ok_or("nobody is open")?;
    match (&d.fix, d.word) {
        (Some(f), _) => Ok(Ask::Start { procedure: f.procedure.clone(), inputs: Inputs::of(handle.clone()) }),
        (None, _) if resets(m) => reset(m),
        (None, Word::Ok) => Err("nothing to fix: the row is as Stripe demands".into()),
        (None, Word::Reading) => Err("still reading".into()),
        (None, Word::Settling) => Err("the webhook still has its minute".into()),
        (None, Word::Unknown) => Err("not on half the facts: a source is silent or may hide rows".into()),
        (None, _) => Err("nothing here can be copied from Stripe; e says why".into()),
    }
}

/// Whether a reset of counters is what the screen is about: the quota tab, something used, and nothing else to mend first.
fn resets(m: &Model) -> bool {
    let used = |case: &Case| case.record().is_some_and(|r| r.counters.iter().any(|c| c.used > 0));
    m.tab == Tab::Quota && m.shown().is_some_and(|(case, d)| d.fix.is_none() && d.word != Word::Reading && used(case))
}

/// The review of a reset; which features, it asks there.
fn reset(m: &Model) -> Result<Ask, String> {
    let known = m.shown().and_then(|(case, _)| case.record()).ok_or("no profile is known for this customer")?;
    if known.counters.is_empty() {
        return Err("they have no counter: nothing is used".into());
    }
    let handle = m.handle().ok_or("nobody is open")?;
    Ok(Ask::Start { procedure: "quota-reset".into(), inputs: Inputs::of(handle.clone()) })
}

/// The subscription in question, else the newest one.
fn detail(m: &Model) -> Result<StripeId, String> {
    let (case, _) = m.shown().ok_or("nothing has been read yet")?;
    let newest = || case.live_subscriptions().first().copied().or(case.subscriptions.value()?.first());
    case.subscription().or_else(newest).map(|s| s.id.clone()).ok_or_else(|| "Stripe has no subscription here".to_string())
}

fn why(m: &Model, case: &Case, d: &Diagnosis, cx: &Context) -> Ask {
    let mut lines: Vec<String> = d.reason.iter().cloned().collect();
    lines.extend(d.evidence.iter().cloned());
    let told = |l: &&crate::domain::link::Link| !d.evidence.iter().any(|e| e.contains(l.by.say()));
    lines.extend(case.links.iter().filter(told).map(|l| {
        format!("link: {} → {} ({}, {})", mask::id(l.customer.as_str()), mask::id(l.profile.as_str()), l.by.say(), l.by.confidence().word())
    }));
    if let Some(shape) = case.shape.value() {
        lines.push(format!("database: {}, {}; interval words from {}", shape.server, shape.database, shape.interval.found_in));
        lines.extend(shape.trust.reasons().iter().map(|r| format!("database: {r}")));
    }
    lines.extend(case.faults().iter().map(|f| format!("{}: {}", f.source.word(), f.say)));
    lines.extend(m.mirror_evidence(cx));
    lines.dedup();
    Ask::Evidence { title: d.sentence.clone(), lines }
}

fn actions(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let update = match (m.handle(), m.shown()) {
        (Some(handle), Some((case, _))) if case.record().is_some() || !case.links.is_empty() => ActionItem::new(
            't',
            "manual tier update: bring the row in line with Stripe",
            Ask::Start { procedure: "tier-update".into(), inputs: Inputs::of(handle.clone()) },
        ),
        _ => ActionItem::impossible('t', "manual tier update: bring the row in line with Stripe", "no profile is known for this customer"),
    };
    let detail = match detail(m) {
        Ok(id) => ActionItem::new('o', "subscription detail", Ask::OpenSubscription(id)),
        Err(reason) => ActionItem::impossible('o', "subscription detail", reason),
    };
    let reset = match reset(m) {
        Ok(ask) => ActionItem::new('z', RESET, ask),
        Err(reason) => ActionItem::impossible('z', RESET, reason),
    };
    let mut all = vec![update, reset, detail];
    if let Some((case, d)) = m.shown() {
        all.push(ActionItem::new('e', "why: the evidence", why(m, case, d, cx)));
    }
    all
}

fn copies(case: &Case, revealed: bool) -> Vec<CopyItem> {
    let mut items = Vec::new();
    let record = case.record();
    let customer = case.customer.value().and_then(Option::as_ref);
    items.extend(record.map(|r| CopyItem::new("profile id", r.subject.key.as_str())));
    items.extend(customer.map(|c| CopyItem::new("customer id", c.id.as_str())));
    items.extend(case.subscription().map(|s| CopyItem::new("subscription id", s.id.as_str())));
    if let Some(row) = record.and_then(|r| r.row.as_ref()) {
        items.push(CopyItem::new("row, line by line", row_text(row)));
        items.push(CopyItem::new("row as JSON", row_json(row)));
    }
    items.extend(customer.map(|c| {
        let url = format!("${{STRIPE_API_BASE:-https://api.stripe.com}}/v1/subscriptions?customer={}&status=all", c.id);
        CopyItem::new("curl, subscriptions", format!("curl -s -u \"$STRIPE_SECRET_KEY:\" \"{url}\""))
    }));
    if revealed {
        items.extend(record.and_then(|r| r.subject.email.as_ref()).map(|e| CopyItem::new("e-mail address", e)));
    }
    items
}

fn row_text(row: &SubscriptionRow) -> String {
    row.image.iter().map(|(f, v)| format!("{}: {v}", f.contract_name())).collect::<Vec<_>>().join("\n")
}

fn row_json(row: &SubscriptionRow) -> String {
    let value = |v: &Value| match v {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Text(t) => t.clone().into(),
        Value::Time(at) => at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into(),
    };
    let mut object = serde_json::Map::new();
    object.insert("profile_id".into(), row.subject.as_str().into());
    object.extend(row.image.iter().map(|(f, v)| (f.contract_name().to_string(), value(v))));
    serde_json::to_string_pretty(&serde_json::Value::Object(object)).expect("invariant: a map with text keys is JSON")
}
