//! What is possible with a cause, an event or an endpoint: the fix, the evidence, the menu, what can be copied.

use super::drift;
use super::events::Row;
use super::model::{Model, REVIEWED_AT_ONCE, Tab, standing};
use crate::console::ask::{ActionItem, Ask, CopyItem, LetBe};
use crate::console::context::Context;
use crate::console::drift::Order;
use crate::domain::desk::Standing;
use crate::domain::facts::Handle;
use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::policy::Mode;
use crate::domain::row::{Field, Value};
use crate::domain::webhooks::cause::Remedy;
use crate::domain::webhooks::drift::{Class, Drifted};
use crate::domain::webhooks::endpoint::{Endpoint, HANDLED};
use crate::domain::webhooks::feed::{Group, Line};
use crate::domain::webhooks::probe::path;
use crate::procedures::by_id;
use crate::procedures::drift_scan::{self, Scan};
use crate::protocol::desk::DeskWrite;
use crate::protocol::run::{Inputs, Selection};

const NOTHING: &str = "nothing is selected";
const ALL_THERE: &str = "nothing that is shown lacks its effect";
/// How far back one can look, in hours.
const RANGES: [(char, i64, &str); 3] = [('d', 24, "the last 24 hours"), ('h', 168, "the last 7 days"), ('z', 720, "the last 30 days")];
const MUTE: &str = "mute it: why, and until when";

/// The review of the recommended procedure, or why there is none.
pub fn fix(m: &Model, cx: &Context) -> Result<Ask, String> {
    match m.tab {
        Tab::Causes | Tab::Events => replay(Selection::Events(events_to_fix(m, cx)?.to_vec())),
        Tab::Drift => fix_drift(m, cx),
        Tab::Endpoints => fix_endpoint(m, cx),
    }
}

/// Whether there is one. Asked at every key, so that thousands of events are not copied for it.
pub fn can_fix(m: &Model, cx: &Context) -> Result<(), String> {
    match m.tab {
        Tab::Causes | Tab::Events => events_to_fix(m, cx).map(|_| ()),
        Tab::Drift | Tab::Endpoints => fix(m, cx).map(|_| ()),
    }
}

/// Those that the row of a cause counts, whatever another reading of the same time would come to; those that are marked; where none is, the one
/// under the cursor.
fn events_to_fix<'a>(m: &'a Model, cx: &Context<'a>) -> Result<&'a [StripeId], String> {
    if m.tab == Tab::Causes {
        let g = m.group(cx.survey).ok_or(NOTHING)?;
        return match &g.remedy {
            Remedy::Skip(why) => Err(why.clone()),
            _ => at_once(&g.events),
        };
    }
    let (marked, lacking) = (m.events.marked.len(), m.events.lacking());
    match (marked, m.events.selected(cx.survey.lines(), cx.survey.raw())) {
        (0, Some(Row::Event(l))) if l.verdict.is_failure() => Ok(std::slice::from_ref(&l.id)),
        (0, Some(Row::Event(l))) => Err(format!("nothing to fix: this event is {}", l.verdict.word())),
        (0, Some(Row::Bucket(..))) => Err("enter narrows to these events; the menu, a, has all that are shown".into()),
        (0, Some(Row::Raw(_)) | None) => Err(NOTHING.into()),
        (1, _) if lacking.is_empty() => Err("nothing to fix: the marked event lacks no effect".into()),
        (n, _) if lacking.is_empty() => Err(format!("nothing to fix: none of the {n} marked lacks its effect")),
        _ => at_once(lacking),
    }
}

/// As many as one review holds.
fn at_once(events: &[StripeId]) -> Result<&[StripeId], String> {
    let most = group(REVIEWED_AT_ONCE as u64);
    if events.len() > REVIEWED_AT_ONCE {
        return Err(format!("a review holds {most} events by name: narrow it, or take everything of a time from the menu, a"));
    }
    Ok(events)
}

/// What the operator has to hear beside the review that this opens.
pub fn left_out(m: &Model) -> Option<String> {
    let (marked, lacking) = (m.events.marked.len(), m.events.lacking().len());
    let some = m.tab == Tab::Events && lacking > 0 && lacking < marked;
    some.then(|| format!("{} of the {marked} marked lack no effect, and are left out", marked - lacking))
}

/// Everything that the filter lets through and whose effect is missing.
fn fix_shown(m: &Model, cx: &Context) -> Result<Ask, String> {
    let shown: Vec<StripeId> = m.events.lacking_shown(cx.survey.lines()).take(REVIEWED_AT_ONCE + 1).cloned().collect();
    if shown.is_empty() {
        return Err(ALL_THERE.into());
    }
    at_once(&shown).and_then(|shown| replay(Selection::Events(shown.to_vec())))
}

/// Everything of the time that is shown: found anew by the review itself, however much it is.
fn fix_range(cx: &Context) -> Result<Ask, String> {
    replay(Selection::Window { from: cx.survey.range(cx.stripe_now()), until: None })
}

fn replay(selection: Selection) -> Result<Ask, String> {
    start("failed-webhook", Inputs::about(selection)).ok_or_else(|| "open the customer: each can be repaired on its own screen".into())
}

/// The emergency: what stands at the application's endpoint, and what is missing since.
fn fix_endpoint(m: &Model, cx: &Context) -> Result<Ask, String> {
    if m.endpoints.value().is_none() {
        return Err("the endpoints are not read yet".into());
    }
    let ours = cx.env.and_then(|e| e.webhook_url.as_deref());
    if let (Some(e), Some(url)) = (selected_endpoint(m), ours)
        && path(&e.url) != path(url)
    {
        return Err(format!("this endpoint is not the application's: webhook_url names {}", path(url)));
    }
    start("endpoint-down", Inputs::about(Selection::SinceLastApplied)).ok_or_else(|| "no procedure mends it".to_string())
}

/// One is repaired by itself, several under one confirmation.
fn fix_drift(m: &Model, cx: &Context) -> Result<Ask, String> {
    let marked = m.drift.marked(cx.drift);
    if !marked.is_empty() {
        let nobody = || "a marked row names no Stripe customer: take its mark back, and open it by itself".to_string();
        let marked: Vec<StripeId> = marked.into_iter().map(|d| d.customer.clone()).collect::<Option<_>>().ok_or_else(nobody)?;
        let several = start("drift-fix", Inputs::about(Selection::Customers(marked)));
        return several.ok_or_else(|| "one at a time: take the marks back".to_string());
    }
    match m.drift.selected(cx.drift) {
        Some(drift::Row::Subject(d)) if has_no_source(d) => {
            Err("Stripe has no subscription to copy from: enter opens the customer, who may have paid under another address".into())
        }
        // Whom to link, which subscription counts or which tier it buys: the procedure finds it out, asks, or says what it lacks.
        Some(drift::Row::Subject(d)) => {
            let handle = handle(d).ok_or("nobody can be named here")?;
            start("tier-update", Inputs::of(handle)).ok_or_else(|| "no procedure repairs it".to_string())
        }
        Some(drift::Row::Class(_)) => Err("enter lists them; space marks several".into()),
        None => Err(NOTHING.into()),
    }
}

/// Its review, where there is such a procedure.
fn start(procedure: &str, inputs: Inputs) -> Option<Ask> {
    by_id(procedure).map(|p| Ask::Start { procedure: p.id().into(), inputs })
}

/// The row stands alone: nothing at Stripe says what it should hold.
fn has_no_source(d: &Drifted) -> bool {
    matches!(d.class, Class::OrphanRow | Class::ServedNotPaid) && d.differs.is_empty() && d.monthly.is_none()
}

/// Where the case of one who has drifted begins.
pub fn handle(d: &Drifted) -> Option<Handle> {
    d.customer.clone().map(Handle::Stripe).or_else(|| d.subject.clone().map(Handle::Subject))
}

/// The evidence behind what is selected.
pub fn why(m: &Model, cx: &Context) -> Option<Ask> {
    let survey = cx.survey;
    match m.tab {
        Tab::Causes => m.group(survey).map(why_group),
        Tab::Events => match m.events.selected(survey.lines(), survey.raw())? {
            Row::Event(line) => {
                let lines = survey.judgement(&line.id).map(|j| [vec![j.because], j.evidence].concat()).unwrap_or_default();
                Some(Ask::Evidence { title: format!("{}: {}", mask::id(line.id.as_str()), line.verdict.word()), lines })
            }
            Row::Raw(raw) => {
                let lines = vec!["An element of Stripe's list that is no event as we know them:".into(), raw.text.clone()];
                Some(Ask::Evidence { title: "An event that cannot be read".into(), lines })
            }
            Row::Bucket(..) => None,
        },
        Tab::Drift => match m.drift.selected(cx.drift)? {
            drift::Row::Class(g) => Some(Ask::Evidence {
                title: g.class.word().into(),
                lines: g.named.iter().map(|d| format!("{}  {}", mask::id(d.key()), d.sentence)).collect(),
            }),
            drift::Row::Subject(d) => Some(why_drifted(d)),
        },
        Tab::Endpoints => selected_endpoint(m).map(|e| why_endpoint(e, m, cx)),
    }
}

/// Everything that could be done here; what cannot says why.
pub fn actions(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let label = match m.events.lacking().len() {
        n if m.tab == Tab::Events && n > 0 => format!("review the fix of the {} marked", group(n as u64)),
        _ => "review the recommended fix".into(),
    };
    let mut all = vec![item('f', &label, fix(m, cx))];
    all.push(item('e', "why: the evidence", why(m, cx).ok_or_else(|| NOTHING.to_string())));
    match m.tab {
        Tab::Causes => all.extend(desk(m, cx)),
        Tab::Events => {
            let customer = m.line(cx.survey).and_then(|l| l.customer.clone());
            let open = customer.map(|c| Ask::Open(Handle::Stripe(c))).ok_or_else(|| "select an event that names one".to_string());
            all.push(item('o', "open the customer", open));
            all.extend(several(m, cx));
        }
        Tab::Drift => all.extend(compare(m, cx)),
        Tab::Endpoints => all.push(item('p', "probe the endpoint: forged requests, nothing is changed", probe(m, cx))),
    }
    if matches!(m.tab, Tab::Causes | Tab::Events) {
        let shown = RANGES.iter().find(|(_, hours, _)| *hours == cx.survey.hours()).map_or("the range", |(_, _, words)| words);
        all.push(item('b', &format!("review everything without effect of {shown}"), fix_range(cx)));
        for (letter, hours, words) in RANGES {
            let range = if cx.survey.hours() == hours { Err("that is what is shown".to_string()) } else { Ok(Ask::Range { hours }) };
            all.push(item(letter, &format!("look at {words}"), range));
        }
    }
    all
}

/// What can be done with all that the filter lets through at once.
fn several(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let n = m.events.lacking_shown(cx.survey.lines()).count();
    let mark = match n {
        0 => Err(ALL_THERE.to_string()),
        n if n > REVIEWED_AT_ONCE => Err(format!("more than {}: narrow the filter first", group(REVIEWED_AT_ONCE as u64))),
        _ => Ok(Ask::MarkShown),
    };
    let all = group(n as u64);
    let mut items = vec![
        item('l', &format!("review the fix of all {all} shown that lack their effect"), fix_shown(m, cx)),
        item('m', &format!("mark all {all} shown that lack their effect"), mark),
    ];
    if !m.events.marked.is_empty() {
        items.push(item('n', "take every mark back", Ok(Ask::Unmark)));
    }
    items
}

fn item(letter: char, label: &str, does: Result<Ask, String>) -> ActionItem {
    match does {
        Ok(ask) => ActionItem::new(letter, label, ask),
        Err(reason) => ActionItem::impossible(letter, label, reason),
    }
}

/// What operators say to each other about a cause.
fn desk(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let (Some(g), Some(desk)) = (m.group(cx.survey), cx.desk) else {
        let why = || Err(if cx.desk.is_none() { "owners and mutes are not read yet" } else { NOTHING }.to_string());
        return vec![item('t', "take it: others see who has it", why()), item('m', MUTE, why())];
    };
    let me = cx.env.map_or("", |e| e.operator.as_str());
    // One takes a cause, however many ways there are to mend what it did.
    let first = cx.survey.groups().iter().filter(|other| other.cause == g.cause).map(|other| other.first).min().unwrap_or(g.first);
    let taken = match standing(desk, g.cause, cx.survey) {
        Standing::Taken(t) if t.by == me => item('t', "give it back", Ok(Ask::Desk(DeskWrite::DropCause { cause: g.cause }))),
        _ => item('t', "take it: others see who has it", Ok(Ask::Desk(DeskWrite::TakeCause { cause: g.cause, since: first }))),
    };
    let muted = match desk.muted(g.cause, cx.now) {
        Some(_) => item('m', "unmute it", Ok(Ask::Desk(DeskWrite::Unmute { cause: g.cause }))),
        None => item('m', MUTE, Ok(Ask::LetBe(LetBe::Cause(g.cause)))),
    };
    vec![taken, muted]
}

/// The comparison, and what may stay as it is.
fn compare(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let busy = cx.drift.is_some_and(Scan::is_under_way);
    let paused = cx.drift.is_some_and(|s| *s.standing() == drift_scan::Standing::Paused);
    let idle = |order| if busy { Err("one is under way".to_string()) } else { Ok(Ask::Drift(order)) };
    let going = |order| if busy { Ok(Ask::Drift(order)) } else { Err("none is under way".to_string()) };
    let mut all = vec![
        item('n', "compare the whole account anew", idle(Order::Account)),
        item('d', "compare whoever changed in the last 24 hours", idle(Order::Hours(24))),
        if paused {
            item('p', "go on comparing", Ok(Ask::Drift(Order::Resume)))
        } else {
            item('p', "pause the comparison", going(Order::Pause))
        },
        item('x', "stop the comparison", going(Order::Cancel)),
    ];
    let marked = m.drift.marked(cx.drift);
    if !marked.is_empty() {
        let nobody = || "a marked row names no Stripe customer: take its mark back".to_string();
        let named: Option<Vec<(StripeId, Class)>> = marked.iter().map(|d| Some((d.customer.clone()?, d.class))).collect();
        let label = format!("accept the {} marked: why, and until when", marked.len());
        all.push(item('b', &label, named.map(|named| Ask::LetBe(LetBe::Marked(named))).ok_or_else(nobody)));
    }
    if let Some(drift::Row::Subject(d)) = m.drift.selected(cx.drift) {
        if marked.is_empty() {
            all.push(accept(d, cx));
        }
        all.push(item('o', "open the customer", handle(d).map(Ask::Open).ok_or_else(|| "nobody can be named here".to_string())));
    }
    all
}

/// The one under the cursor, where none is marked: let be, or no longer.
fn accept(d: &Drifted, cx: &Context) -> ActionItem {
    let customer = d.customer.clone().ok_or_else(|| "this row names no customer".to_string());
    if d.customer.as_ref().and_then(|c| cx.desk?.accepted(c, d.class, cx.now)).is_some() {
        let revoke = customer.map(|customer| Ask::Desk(DeskWrite::RevokeAccept { customer, class: d.class }));
        return item('b', "no longer accept it", revoke);
    }
    let label = d.customer.as_ref().map_or_else(|| "accept it".into(), |c| format!("accept {}", mask::id(c.as_str())));
    let accept = customer.map(|customer| Ask::LetBe(LetBe::Drift { customer, class: d.class }));
    item('b', &format!("{label}: why, and until when"), accept)
}

/// The probe; against a LIVE endpoint it is asked for once.
fn probe(m: &Model, cx: &Context) -> Result<Ask, String> {
    if m.probing.is_some() {
        return Err("a probe is under way".into());
    }
    if cx.mode == Mode::Test || m.probed.value().is_some() {
        return Ok(Ask::Probe);
    }
    Ok(Ask::Actions(vec![ActionItem::new('y', "send the probe to the LIVE endpoint", Ask::Probe)]))
}

pub fn copies(m: &Model, cx: &Context) -> Option<Vec<CopyItem>> {
    let survey = cx.survey;
    match m.tab {
        Tab::Causes => m.group(survey).map(copies_of_group),
        Tab::Events => match m.events.selected(survey.lines(), survey.raw())? {
            Row::Event(line) => Some(copies_of(line, &marked(m))),
            Row::Raw(raw) => Some(vec![CopyItem::new("what Stripe sent, as shown", raw.text.clone())]),
            Row::Bucket(_, line) => Some(vec![CopyItem::new("type of the newest", line.kind.to_string())]),
        },
        Tab::Drift => match m.drift.selected(cx.drift)? {
            drift::Row::Class(g) => {
                let ids: Vec<&str> = g.named.iter().map(|d| d.key()).collect();
                Some(vec![CopyItem::new("ids", ids.join("\n"))])
            }
            drift::Row::Subject(d) => {
                let mut items = vec![CopyItem::new("sentence", &d.sentence)];
                items.extend(d.customer.as_ref().map(|c| CopyItem::new("customer id", c.as_str())));
                items.extend(d.subject.as_ref().map(|s| CopyItem::new("profile id", s.as_str())));
                Some(items)
            }
        },
        Tab::Endpoints => selected_endpoint(m).map(|e| {
            let types = CopyItem::new("the types it lacks", e.lacks().join("\n"));
            let all = vec![CopyItem::new("endpoint id", e.id.as_str()), CopyItem::new("URL", &e.url), types];
            all.into_iter().filter(|i| !i.text.is_empty()).collect()
        }),
    }
}

/// The ids of an event, and a request for it.
pub fn copies_of(line: &Line, marked: &[String]) -> Vec<CopyItem> {
    let mut items = vec![CopyItem::new("event id", line.id.as_str())];
    let ids = [("customer id", &line.customer), ("subscription id", &line.subscription), ("object id", &line.object)];
    items.extend(ids.iter().filter_map(|(label, id)| Some(CopyItem::new(*label, id.as_ref()?.as_str()))));
    items.dedup_by(|a, b| a.text == b.text);
    if !marked.is_empty() {
        items.push(CopyItem::new("ids of the marked events", marked.join("\n")));
    }
    let url = format!("${{STRIPE_API_BASE:-https://api.stripe.com}}/v1/events/{}", line.id);
    items.push(CopyItem::new("curl for it", format!("curl -s -u \"$STRIPE_SECRET_KEY:\" \"{url}\"")));
    items
}

fn marked(m: &Model) -> Vec<String> {
    m.events.marked.iter().map(ToString::to_string).collect()
}

fn why_group(g: &Group) -> Ask {
    let mut lines = vec![g.because.clone(), g.helps.clone()];
    lines.extend(g.evidence.clone());
    lines.retain(|l| !l.is_empty());
    Ask::Evidence { title: g.cause.word().into(), lines }
}

fn copies_of_group(g: &Group) -> Vec<CopyItem> {
    let ids: Vec<&str> = g.events.iter().map(crate::domain::ids::StripeId::as_str).collect();
    vec![
        CopyItem::new("sentence", format!("{}: {} {}", g.cause.word(), g.because, g.helps)),
        CopyItem::new("event ids", ids.join("\n")),
        CopyItem::new("command that lists them", format!("nightdesk webhooks --events --cause {:?}", g.cause.word())),
    ]
}

pub fn selected_endpoint(m: &Model) -> Option<&Endpoint> {
    m.endpoints.value()?.get(m.endpoint.at)
}

fn why_drifted(d: &Drifted) -> Ask {
    let mut lines = vec![d.sentence.clone()];
    let shown = |field: Field, v: &Value| match field {
        Field::Customer | Field::Subscription => mask::id(&v.to_string()),
        _ => v.to_string(),
    };
    lines.extend(
        d.differs.iter().map(|c| format!("{}: {} in the row, {} due", c.field.label(), shown(c.field, &c.from), shown(c.field, &c.to))),
    );
    Ask::Evidence { title: d.class.word().into(), lines }
}

fn why_endpoint(e: &Endpoint, m: &Model, cx: &Context) -> Ask {
    let mut lines = vec![
        e.url.clone(),
        if e.enabled { "Enabled in Stripe.".into() } else { "Disabled in Stripe: it gets nothing until it is enabled there.".into() },
    ];
    let lacks = e.lacks();
    lines.push(format!("The application acts on {} types: {}.", HANDLED.len(), HANDLED.join(", ")));
    lines.push(if lacks.is_empty() { "It gets them all.".into() } else { format!("It does not get: {}.", lacks.join(", ")) });
    lines.push(match &e.api_version {
        Some(version) => format!("Objects are rendered at {version}."),
        None => "Objects are rendered at the account's default version.".into(),
    });
    if let Some(a) = m.assessment(cx).filter(|_| m.probed.value().is_some_and(|p| e.is_for(&p.url))) {
        lines.extend(
            a.found.iter().map(|f| format!("probe: {}{}", f.sentence, f.helps.as_ref().map(|h| format!(" {h}")).unwrap_or_default())),
        );
        lines.extend(
            a.lines.iter().map(|l| {
                format!("{}: {}{}", l.shot.word(), l.came, if l.says.is_empty() { String::new() } else { format!(", {}", l.says) })
            }),
        );
    }
    lines.extend(m.probed.fault().map(|f| format!("probe: {}", f.say)));
    Ask::Evidence { title: mask::id(e.id.as_str()), lines }
}
