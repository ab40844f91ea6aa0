//! What is possible with a cause, an event or an endpoint: the fix, the evidence, the menu, what can be copied.

use super::events::Row;
use super::model::{Model, Tab};
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::domain::facts::Handle;
use crate::domain::mask;
use crate::domain::webhooks::endpoint::{Endpoint, HANDLED};
use crate::domain::webhooks::feed::{Group, Line};
use crate::procedures::survey::Survey;

const NOTHING: &str = "nothing is selected";

/// The review of the recommended procedure, or why there is none.
pub fn fix(m: &Model, survey: &Survey) -> Result<Ask, String> {
    match m.tab {
        Tab::Causes => Err(m.group(survey).map_or(NOTHING.into(), |g| g.helps.clone())),
        Tab::Events => m.line(survey).ok_or(NOTHING.to_string()).and_then(fix_of),
        Tab::Endpoints => Err("an endpoint is mended in Stripe's dashboard".into()),
    }
}

/// The review for one event: its customer's row, copied from Stripe.
pub fn fix_of(line: &Line) -> Result<Ask, String> {
    if !line.verdict.is_failure() {
        return Err(format!("nothing to fix: this event is {}", line.verdict.word()));
    }
    Err("no procedure repairs it yet".into())
}

/// The evidence behind what is selected.
pub fn why(m: &Model, survey: &Survey) -> Option<Ask> {
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
        Tab::Endpoints => selected_endpoint(m).map(why_endpoint),
    }
}

/// Everything that could be done here; what cannot says why.
pub fn actions(m: &Model, survey: &Survey) -> Vec<ActionItem> {
    let mut all = vec![match fix(m, survey) {
        Ok(ask) => ActionItem::new('f', "review the recommended fix", ask),
        Err(reason) => ActionItem::impossible('f', "review the recommended fix", reason),
    }];
    let line = if m.tab == Tab::Events { m.line(survey) } else { None };
    all.push(match line.and_then(|l| l.customer.clone()) {
        Some(customer) => ActionItem::new('o', "open the customer", Ask::Open(Handle::Stripe(customer))),
        None => ActionItem::impossible('o', "open the customer", "select an event that names one"),
    });
    all.push(match why(m, survey) {
        Some(ask) => ActionItem::new('e', "why: the evidence", ask),
        None => ActionItem::impossible('e', "why: the evidence", NOTHING),
    });
    for (letter, hours, words) in [('d', 24, "the last 24 hours"), ('s', 168, "the last 7 days"), ('m', 720, "the last 30 days")] {
        let label = format!("look at {words}");
        all.push(if survey.hours() == hours {
            ActionItem::impossible(letter, label, "that is what is shown")
        } else {
            ActionItem::new(letter, label, Ask::Range { hours })
        });
    }
    all
}

pub fn copies(m: &Model, survey: &Survey) -> Option<Vec<CopyItem>> {
    match m.tab {
        Tab::Causes => m.group(survey).map(copies_of_group),
        Tab::Events => match m.events.selected(survey.lines(), survey.raw())? {
            Row::Event(line) => Some(copies_of(line, &marked(m))),
            Row::Raw(raw) => Some(vec![CopyItem::new("what Stripe sent, as shown", raw.text.clone())]),
            Row::Bucket(_, line) => Some(vec![CopyItem::new("type of the newest", line.kind.to_string())]),
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

fn why_endpoint(e: &Endpoint) -> Ask {
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
    Ask::Evidence { title: mask::id(e.id.as_str()), lines }
}
