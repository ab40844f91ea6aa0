//! The keys of the quota pane: moving, filtering, opening a customer, the review of a reset, the list as a file. None of them writes to production.

use super::model::{Model, Tab, Wanted};
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::console::widgets::format::clock;
use crate::domain::export::Format;
use crate::domain::facts::Handle;
use crate::domain::filter::quoted;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::quota::{NearRow, ServedBy, Threshold};
use crate::protocol::key::Key;
use crate::protocol::run::{Features, Inputs};

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    if m.is_editing() {
        return vec![Binding::new(Action::Open, "ask"), Binding::new(Action::Back, "drop it")];
    }
    let some = || (m.selected().is_some()).then_some(()).ok_or_else(|| "nobody is selected".to_string());
    let mut all = match m.tab {
        Tab::Near => vec![
            Binding::new(Action::Open, "customer").when(some()),
            Binding::new(Action::Fix, "reset").when(fix(m).map(|_| ())),
            Binding::new(Action::Filter, "filter"),
            Binding::new(Action::Actions, "actions, export"),
            Binding::quiet(Action::Copy).when(some()),
        ],
        Tab::ByTier => vec![
            Binding::new(Action::Open, "who").when(who(m).map(|_| ())),
            Binding::new(Action::Filter, "filter"),
            Binding::quiet(Action::Fix).when(fix(m).map(|_| ())),
            Binding::quiet(Action::Actions),
        ],
    };
    all.push(Binding::quiet(Action::Why).when(has_read(m)));
    all.extend([Binding::new(Action::NextTab, "next tab"), Binding::quiet(Action::PreviousTab)]);
    all.extend([Binding::quiet(Action::Refresh), Binding::new(Action::Back, "back")]);
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    if let Some(by) = action.rows(usize::from(cx.rows.saturating_sub(11))) {
        return moved(m, by, cx);
    }
    match action {
        Action::NextTab | Action::PreviousTab => {
            m.tab = if m.tab == Tab::Near { Tab::ByTier } else { Tab::Near };
            m.entered(cx)
        }
        Action::Open if m.tab == Tab::Near => m.selected().map(|r| Ask::Open(Handle::Subject(r.subject.clone()))).into_iter().collect(),
        Action::Open => match who(m) {
            Ok(filter) => {
                m.tab = Tab::Near;
                let asks = m.look(&filter, cx);
                if asks.is_empty() { m.entered(cx) } else { asks }
            }
            Err(why) => vec![Ask::Say(why)],
        },
        Action::Fix => vec![fix(m).unwrap_or_else(Ask::Say)],
        Action::Filter => {
            // What is typed next is a further word of the filter.
            let given = m.field.text().trim_end().to_string();
            if !given.is_empty() {
                m.field.set(&format!("{given} "));
            }
            m.focused = true;
            Vec::new()
        }
        Action::Why => vec![why(m, cx)],
        Action::Actions => vec![Ask::Actions(actions(m, cx))],
        Action::Copy => m.selected().map(|r| Ask::Copy(copies(m, r, cx.revealed))).into_iter().collect(),
        Action::Refresh => m.read(cx),
        Action::Back => vec![Ask::Back],
        _ => Vec::new(),
    }
}

/// A key while the filter has the focus: letters narrow what has been read at once, Enter asks the database.
pub fn edit(m: &mut Model, key: Key, cx: &Context) -> Vec<Ask> {
    match key {
        Key::Enter | Key::Tab | Key::BackTab => {
            if let Some(mistake) = m.mistake() {
                return vec![Ask::Say(mistake)];
            }
            m.focused = false;
            m.apply(cx)
        }
        Key::Esc => m.look("", cx),
        Key::Down => moved(m, 1, cx),
        Key::Up => moved(m, -1, cx),
        key => {
            if m.field.key(key) {
                (m.cursor.at, m.tier.at) = (0, 0);
            }
            Vec::new()
        }
    }
}

fn moved(m: &mut Model, by: isize, cx: &Context) -> Vec<Ask> {
    if m.tab == Tab::ByTier {
        let len = m.uses().len();
        m.tier.by(by, len);
        return Vec::new();
    }
    let len = m.rows().len();
    m.cursor.by(by, len);
    if by > 0 { m.more(cx) } else { Vec::new() }
}

/// The review of a reset of this counter alone.
fn fix(m: &Model) -> Result<Ask, String> {
    if m.tab == Tab::ByTier {
        return Err("a reset is one customer's: enter lists who is near".into());
    }
    let row = m.selected().ok_or("nobody is selected")?;
    let features = Some(Features::These(vec![row.feature.clone()]));
    let inputs = Inputs { features, ..Inputs::of(Handle::Subject(row.subject.clone())) };
    Ok(Ask::Start { procedure: "quota-reset".into(), inputs })
}

/// The filter that lists who stands behind a line of use.
fn who(m: &Model) -> Result<String, String> {
    let uses = m.uses();
    let line = uses.get(m.tier.at).ok_or("nothing is selected")?;
    if line.limit.is_none_or(|l| l <= 0) {
        return Err("there is no limit here that anybody could be near".into());
    }
    Ok(filter_of(Some(&line.tier), Some(&line.feature), m.wanted.threshold))
}

fn filter_of(tier: Option<&str>, feature: Option<&str>, threshold: Threshold) -> String {
    let mut all = Vec::new();
    all.extend(tier.map(|t| format!("tier:{}", quoted(t))));
    all.extend(feature.map(|f| format!("feature:{}", quoted(f))));
    if threshold != Threshold::default() {
        all.push(format!("from:{}", threshold.percent()));
    }
    all.join(" ")
}

fn has_read(m: &Model) -> Result<(), String> {
    let read = if m.tab == Tab::Near { m.list.is_some() } else { m.usage.value().is_some() };
    read.then_some(()).ok_or_else(|| "nothing has been read yet".into())
}

/// What the lists rest on.
fn why(m: &Model, cx: &Context) -> Ask {
    let mut lines: Vec<String> = cx.survey.doubt().map(|d| d.evidence).unwrap_or_default();
    if m.tab == Tab::ByTier {
        lines.extend(m.usage.at().map(|at| format!("read at {}; r reads anew", clock(at))));
        lines.push("Everybody of a tier counts: who has no counter, or one whose period is over, uses nothing.".into());
        lines.push("blocked: who has used as much as the limit allows".into());
        return Ask::Evidence { title: "Use by tier".into(), lines };
    }
    if let Some(list) = &m.list {
        let how = match &list.by {
            ServedBy::Tables => {
                "found in the plain tables, from end to end; nightdesk check --ddl quota prints what would make it quick".into()
            }
            ServedBy::Watch(name) => format!("found by {name}, which the owner of the database keeps"),
        };
        lines.extend([how, format!("read at {}; r reads anew", clock(list.at))]);
    }
    lines.push(format!("from {} of a limit on; NEAR below it, BLOCKED from it on", m.wanted.threshold));
    lines.push("First who renewed and was not reset (claim:renewed), then who pays, then who does not; in each the fullest first.".into());
    lines.push("Left out: no limit, not in the plan, and counters whose period is over, for they limit nobody.".into());
    let totals = m.totals.value().into_iter().flatten();
    let figure = |n: i64| group(u64::try_from(n).unwrap_or(0));
    lines.extend(totals.map(|t| format!("{} {}: {} blocked, {} near", t.tier, t.feature, figure(t.blocked), figure(t.near))));
    lines.extend(m.totals.fault().map(|f| format!("totals: {}", f.say)));
    Ask::Evidence { title: "Near the limit".into(), lines }
}

fn actions(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let item = |letter, label: String, does: Result<Ask, String>| match does {
        Ok(ask) => ActionItem::new(letter, label, ask),
        Err(reason) => ActionItem::impossible(letter, label, reason),
    };
    let Wanted { threshold, filter } = m.wanted.clone();
    let (tier, feature) = (filter.tier.as_deref(), filter.feature.as_deref());
    let mut all = vec![item('f', "reset this counter: its review".into(), fix(m))];
    all.push(item('e', "why: what this rests on".into(), has_read(m).map(|()| why(m, cx))));
    if m.tab == Tab::ByTier {
        return all;
    }
    let selected = m.selected();
    let row = || selected.ok_or_else(|| "nobody is selected".to_string());
    all.push(item('o', "open the customer".into(), row().map(|r| Ask::Open(Handle::Subject(r.subject.clone())))));
    let only = |what: Option<&str>, of: &str| {
        format!("only {of} {}", what.unwrap_or("of the selected row")).replace("only tier of", "only the tier of")
    };
    let of_tier = row().map(|r| Ask::Near(filter_of(Some(&r.tier), feature, threshold)));
    all.push(item('t', only(selected.map(|r| r.tier.as_str()), "tier"), of_tier));
    let of_feature = row().map(|r| Ask::Near(filter_of(tier, Some(&r.feature), threshold)));
    all.push(item('x', only(selected.map(|r| r.feature.as_str()), "feature"), of_feature));
    for (letter, percent, words) in [('h', 50, "from half of a limit on"), ('n', 80, "from 80% on"), ('b', 100, "only who is blocked")] {
        let does = match Threshold::new(percent) {
            Some(other) if other != threshold => Ok(Ask::Near(filter_of(tier, feature, other))),
            _ => Err("that is what is shown".to_string()),
        };
        all.push(item(letter, words.into(), does));
    }
    let all_shown = if m.field.is_empty() { Err("there is no filter".to_string()) } else { Ok(Ask::Near(String::new())) };
    all.push(item('d', "drop the filter".into(), all_shown));
    let whole = scope(&m.wanted);
    // A filter on what has been read is not the file's: it says how much it holds instead.
    let what = match m.all().filter(|_| m.narrows_what_was_read()) {
        Some(n) => whole.replacen("all", &format!("all {}", group(n as u64)), 1) + &format!(", not just the {} shown,", m.rows().len()),
        None if m.narrows_what_was_read() => format!("{whole}, not just the {} shown,", m.rows().len()),
        None => whole,
    };
    for (letter, format, word) in [('v', Format::Csv, "CSV"), ('j', Format::Json, "JSON"), ('l', Format::JsonLines, "JSON lines")] {
        let export = Ask::Export { format, threshold, filter: filter.clone() };
        all.push(item(letter, format!("write {what} to a file, {word}, masked"), Ok(export)));
    }
    all
}

/// Whom the database is asked for, in words.
#[must_use]
pub(super) fn scope(wanted: &Wanted) -> String {
    format!("all from {}{}", wanted.threshold, narrowed(wanted))
}

/// The tier and the feature that are asked for, in brackets.
#[must_use]
pub(super) fn narrowed(wanted: &Wanted) -> String {
    let of: Vec<&str> = [&wanted.filter.tier, &wanted.filter.feature].into_iter().flatten().map(String::as_str).collect();
    if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) }
}

fn copies(m: &Model, row: &NearRow, revealed: bool) -> Vec<CopyItem> {
    let mut items = vec![CopyItem::new("profile id", row.subject.as_str())];
    items.push(CopyItem::new("row", line(row)));
    let mut command = format!("nightdesk quota --threshold {}", m.wanted.threshold.percent());
    let word = |flag: &str, value: &Option<String>| {
        value.as_ref().map(|v| format!(" --{flag} '{}'", v.replace('\'', "'\\''"))).unwrap_or_default()
    };
    command.push_str(&word("tier", &m.wanted.filter.tier));
    command.push_str(&word("feature", &m.wanted.filter.feature));
    items.push(CopyItem::new("command that lists them", command));
    if revealed {
        items.extend(row.email.as_ref().map(|e| CopyItem::new("e-mail address", e)));
    }
    items
}

fn line(row: &NearRow) -> String {
    let who = row.email.as_deref().map(mask::email).or_else(|| row.name.as_deref().map(mask::name)).unwrap_or_default();
    format!("{who} {} {} {} of {} ({}%) {}", row.tier, row.feature, row.used, row.limit, row.percent(), row.state.word()).trim().to_string()
}
