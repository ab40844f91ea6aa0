//! How the webhooks pane looks: the tabs with what they cover, the causes, the endpoints. The list of events is drawn in `list`.

use super::model::{Model, Tab};
use super::{list, view_drift, view_endpoints};
use crate::console::context::Context;
use crate::console::widgets::format::{clock, count, moment};
use crate::console::widgets::paint::{put, put_right, select, width};
use crate::console::widgets::panel::{self, Panel, stale};
use crate::console::widgets::theme::Theme;
use crate::domain::At;
use crate::domain::desk::Standing;
use crate::domain::fault::Source;
use crate::domain::webhooks::feed::Group;
use crate::procedures::survey::Survey;
use crate::protocol::freshness::Health;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Where sentences begin.
pub const TEXT: u16 = 7;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let survey = cx.survey;
    if area.height < 4 {
        return;
    }
    head(m, cx, area, buf, theme);
    let body = Rect { y: area.y + 2, height: area.height - 2, ..area };
    match m.tab {
        Tab::Causes => causes(m, survey, cx, body, buf, theme),
        Tab::Events => list::draw(m, cx, body, buf, theme),
        Tab::Drift => view_drift::draw(m, cx, body, buf, theme),
        Tab::Endpoints => view_endpoints::draw(m, cx, body, buf, theme),
    }
}

/// The tabs, and at the right what the current one covers and how sure that is.
fn head(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let mut x = area.x;
    for tab in Tab::ALL {
        let here = tab == m.tab;
        let (mark, style) = if here { (theme.pointer(), theme.bold()) } else { (" ", theme.dim()) };
        x = put(buf, theme, x, area.y, &format!("{mark}{}", tab.title()), style, area.width) + 2;
    }
    let room = area.right().saturating_sub(x + 2);
    let end = area.right().saturating_sub(1);
    let doubt = doubt(cx);
    let end = match &doubt {
        Some(text) => put_right(buf, theme, end, area.y, text, theme.warn(), room).saturating_sub(2),
        None => end,
    };
    let room = end.saturating_sub(x);
    put_right(buf, theme, end, area.y, &covered(m, cx, theme), theme.dim(), room);
}

/// Why what is shown may be old: in words, with its age.
fn doubt(cx: &Context) -> Option<String> {
    [Source::Stripe, Source::Database].into_iter().find_map(|source| {
        let age = cx.sources.get(&source).map_or(0, |f| f.age(cx.now));
        match cx.health(source) {
            Health::Stale | Health::Down => Some(format!("{} {}", source.word(), stale(age))),
            Health::Auth => Some(format!("{} AUTH", source.word())),
            Health::Limit => Some(format!("{} LIMIT", source.word())),
            Health::Full => Some(format!("{} FULL", source.word())),
            Health::Ok | Health::Connecting | Health::NotSetUp => None,
        }
    })
}

fn covered(m: &Model, cx: &Context, theme: &Theme) -> String {
    let survey = cx.survey;
    let dot = format!(" {} ", theme.dot());
    if let (Tab::Endpoints, at) = (m.tab, m.endpoints.at()) {
        return at.map_or_else(String::new, |at| format!("as of {}", clock(at)));
    }
    if m.tab == Tab::Drift {
        return view_drift::covered(m, cx).join(&dot);
    }
    let mut parts = Vec::new();
    if m.tab == Tab::Events && m.events.waiting() > 0 {
        parts.push(format!("{} new, g shows them", m.events.waiting()));
    }
    if m.tab == Tab::Events && !m.events.marked.is_empty() {
        parts.push(format!("{} marked", m.events.marked.len()));
    }
    let events = survey.lines().len();
    parts.push(match (m.tab, survey.lines().is_empty()) {
        (Tab::Events, false) if m.events.passing() + m.events.waiting() < events => {
            format!("{} of {}", crate::domain::money::group(m.events.passing() as u64), count(events, "event", "events"))
        }
        (_, false) => count(events, "event", "events"),
        (_, true) => String::new(),
    });
    parts.push(format!("in {}", range(survey.hours())));
    if let Some(partial) = partial(survey) {
        parts.push(partial);
    }
    parts.retain(|p| !p.is_empty());
    parts.join(&dot)
}

/// `24 h`, `7 days`.
pub fn range(hours: i64) -> String {
    if hours <= 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

/// How much of the range has been read, while it is not all of it.
fn partial(survey: &Survey) -> Option<String> {
    let p = survey.progress();
    if !p.complete && p.pages > 0 {
        return Some(format!("{} so far", count(usize::try_from(p.pages).unwrap_or(usize::MAX), "page", "pages")));
    }
    (p.rows_left > 0).then(|| format!("{} to compare", count(p.rows_left, "row", "rows")))
}

/// The states in which there is no list: being read, failed, empty. Whether one of them was drawn.
pub fn no_rows(survey: &Survey, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme, empty: &str) {
    let (read_any, complete) = (survey.progress().pages > 0, survey.progress().complete);
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    let what = format!("Reading what Stripe sent in {}, and the rows it should be in", range(survey.hours()));
    match survey.fault() {
        Some(fault) if !complete => {
            let still = "Customers can be opened by any id; what other sources know is shown.";
            panel::draw(buf, theme, text, &Panel::Failed { fault, still });
        }
        _ if complete => {
            panel::draw(buf, theme, text, &Panel::Empty(empty));
        }
        _ if !read_any || survey.lines().is_empty() => {
            panel::draw(
                buf,
                theme,
                text,
                &Panel::Reading { what: &what, waited_ms: survey.began().map_or(0, |t| cx.tick.saturating_sub(t)) },
            );
        }
        _ => {
            put(buf, theme, area.x + TEXT, area.y, "Nothing found so far.", theme.plain(), area.width - TEXT - 1);
        }
    }
}

fn causes(m: &Model, survey: &Survey, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let groups = survey.groups();
    if groups.is_empty() {
        let events = count(survey.lines().len(), "event", "events");
        let empty = format!("No effect is missing: {events} in {} looked at. The menu, a, has a wider range.", range(survey.hours()));
        no_rows(survey, cx, area, buf, theme, &empty);
        return;
    }
    two_lined(buf, theme, area, groups.len(), m.causes.at, |i, line, buf| cause(&groups[i], cx, line, buf, theme));
}

/// Rows of two lines with a gap between them as long as all fit, without one where they do not, scrolled where even that is too much.
pub fn two_lined(buf: &mut Buffer, theme: &Theme, area: Rect, all: usize, at: usize, mut one: impl FnMut(usize, Rect, &mut Buffer)) {
    let rows = usize::from(area.height);
    let step = if all * 3 <= rows + 1 { 3 } else { 2 };
    let fit = if step == 3 { all } else { (rows / 2).max(1) };
    let first = crate::console::widgets::table::Cursor { at }.first(all, fit);
    for i in (first..all).take(fit) {
        let line = Rect { y: area.y + u16::try_from((i - first) * step).unwrap_or(0), height: 2, ..area };
        one(i, line, buf);
        if i == at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, Rect { height: 1, ..line });
        }
    }
    if first + fit < all {
        put_right(buf, theme, area.right() - 1, area.bottom() - 1, &format!("{} more", all - first - fit), theme.dim(), 12);
    }
}

fn cause(g: &Group, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let muted = cx.desk.and_then(|d| d.muted(g.cause, cx.now));
    let (word, style) = if muted.is_some() { ("mute", theme.dim()) } else { ("FAIL", theme.fail()) };
    put(buf, theme, area.x + 1, area.y, word, style, 5);
    let people = if g.customers == 0 { String::new() } else { format!("{}  ", count(g.customers, "customer", "customers")) };
    let size = format!("{}  {people}last {}", count(g.events.len(), "event", "events"), when(g.last, cx.now));
    let end = put_right(buf, theme, area.right() - 1, area.y, &size, theme.plain(), area.width / 2 + 10);
    let start = area.x + TEXT;
    let at = put(buf, theme, start, area.y, g.cause.word(), theme.plain(), end.saturating_sub(start + 1));
    // The sentence only where there is room for it: half a sentence says less than none.
    let room = end.saturating_sub(at + 4);
    if width(&g.because) <= room {
        put(buf, theme, at + 2, area.y, &g.because, theme.dim(), room);
    }
    let standing = match (muted, cx.desk.map(|d| d.standing(g.cause, Some(g.first)))) {
        (Some(m), _) => format!("muted by {} until {}: {}. ", m.by, when(m.until, cx.now), m.reason),
        (None, Some(Standing::Taken(t))) => format!("{} has it. ", t.by),
        (None, Some(Standing::Reopened(t))) => format!("{} had it, new ones failed since. ", t.by),
        _ => String::new(),
    };
    // Of what is unknown the raw text is all there is.
    let below = if g.helps.is_empty() { &g.because } else { &g.helps };
    let at = put(buf, theme, start, area.y + 1, &standing, theme.plain(), area.right().saturating_sub(start + 1));
    put(buf, theme, at, area.y + 1, below, theme.dim(), area.right().saturating_sub(at + 1));
}

/// `03:11Z` today, with the day before.
pub fn when(at: At, now: At) -> String {
    if at.date_naive() == now.date_naive() { clock(at) } else { moment(at, now) }
}
