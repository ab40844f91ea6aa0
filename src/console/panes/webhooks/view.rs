//! How the webhooks pane looks: the tabs with what they cover, the causes, the endpoints. The list of events is drawn in `list`.

use super::model::{Model, Tab, standing};
use super::{view_drift, view_endpoints, view_list};
use crate::console::context::Context;
use crate::console::widgets::format::{clock, count, moment};
use crate::console::widgets::paint::{fit, put, put_right, select, width, wrap};
use crate::console::widgets::panel::{self, Head, Panel};
use crate::console::widgets::theme::Theme;
use crate::domain::desk::Standing;
use crate::domain::fault::Source;
use crate::domain::webhooks::feed::Group;
use crate::domain::{At, age};
use crate::procedures::survey::Survey;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where sentences begin.
pub const TEXT: u16 = 7;
/// So many lines of a cause's sentence are shown.
const BECAUSE_LINES: usize = 3;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let survey = cx.survey;
    if area.height < 4 {
        return;
    }
    head(m, cx, area, buf, theme);
    let body = Rect { y: area.y + 2, height: area.height - 2, ..area };
    match m.tab {
        Tab::Causes => causes(m, survey, cx, body, buf, theme),
        Tab::Events => view_list::draw(m, cx, body, buf, theme),
        Tab::Drift => view_drift::draw(m, cx, body, buf, theme),
        Tab::Endpoints => view_endpoints::draw(m, cx, body, buf, theme),
    }
}

fn head(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let doubt = [Source::Stripe, Source::Database].into_iter().find_map(|s| panel::doubt(cx.sources.get(&s)?, cx.now));
    let head = Head { titles: &Tab::ALL.map(Tab::title), current: m.tab as usize, doubt, covered: covered(m, cx) };
    panel::head(buf, theme, area, head);
}

/// What the tab covers, the most telling first.
fn covered(m: &Model, cx: &Context) -> Vec<String> {
    let survey = cx.survey;
    if let (Tab::Endpoints, at) = (m.tab, m.endpoints.at()) {
        return at.map(|at| format!("as of {}", clock(at))).into_iter().collect();
    }
    if m.tab == Tab::Drift {
        return view_drift::covered(m, cx);
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
        // A filter stays when one leaves and comes back, so it is named wherever the list is.
        (Tab::Events, false) if !m.events.field.is_empty() => {
            let passing = crate::domain::money::group(m.events.passing() as u64);
            format!("filtered: {passing} of {}", count(events, "event", "events"))
        }
        (_, false) => count(events, "event", "events"),
        (_, true) => String::new(),
    });
    parts.push(format!("in {}", range(survey.hours())));
    if let Some(partial) = partial(survey) {
        parts.push(partial);
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// `24 h`, `7 days`.
pub fn range(hours: i64) -> String {
    if hours <= 48 { format!("{hours} h") } else { age::words(hours * 3_600) }
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
    let room = below_room(area);
    let area = not_grouped(survey, area, buf, theme);
    let below: Vec<Vec<Below>> = groups.iter().map(|g| below(g, cx, area.width, room, theme)).collect();
    stacked(buf, theme, area, &below, m.causes.at, |i, line, buf| cause(&groups[i], cx, line, buf, theme));
}

/// That some of what fails stands in no row yet; the room below that.
fn not_grouped(survey: &Survey, area: Rect, buf: &mut Buffer, theme: &Theme) -> Rect {
    let Some(some) = survey.not_grouped() else { return area };
    let lines = wrap(&format!("Of those without effect {some}."), below_room(area));
    let mut y = area.y;
    for line in &lines {
        put(buf, theme, area.x + TEXT, y, line, theme.dim(), below_room(area));
        y += 1;
    }
    Rect { y: y + 1, height: area.height.saturating_sub(y + 1 - area.y), ..area }
}

/// A line below the first of a row.
pub type Below = (String, Style);

/// The columns that such a line has.
pub fn below_room(area: Rect) -> u16 {
    area.width.saturating_sub(TEXT + 1)
}

/// Rows of a first line, drawn by `one`, and the lines below it. Gaps between them as long as all fit; the selected one is always whole.
pub fn stacked(
    buf: &mut Buffer,
    theme: &Theme,
    area: Rect,
    below: &[Vec<Below>],
    at: usize,
    mut one: impl FnMut(usize, Rect, &mut Buffer),
) {
    let Some(at) = below.len().checked_sub(1).map(|last| at.min(last)) else { return };
    let rows = usize::from(area.height);
    let heights: Vec<usize> = below.iter().map(|b| 1 + b.len()).collect();
    let gap = usize::from(heights.iter().sum::<usize>() + heights.len().saturating_sub(1) <= rows);
    // Scrolled by whole rows, no further than the selected one needs.
    let mut first = 0;
    while first < at && heights[first..=at].iter().map(|h| h + gap).sum::<usize>() > rows + gap {
        first += 1;
    }
    let mut y = area.y;
    for i in first..below.len() {
        let whole = usize::from(area.bottom() - y) >= heights[i];
        if y >= area.bottom() || (i > at && !whole) {
            put_right(buf, theme, area.right() - 1, area.bottom() - 1, &format!("{} more", below.len() - i), theme.dim(), 12);
            return;
        }
        let line = Rect { y, height: 1, ..area };
        one(i, line, buf);
        for (y, (text, style)) in (y + 1..area.bottom()).zip(&below[i]) {
            put(buf, theme, area.x + TEXT, y, text, *style, below_room(area));
        }
        if i == at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
        y = y.saturating_add(u16::try_from(heights[i] + gap).unwrap_or(u16::MAX)).min(area.bottom());
    }
}

/// Who has it, the sentence where the first line has no room for it, and what helps: all of it, since it decides.
fn below(g: &Group, cx: &Context, columns: u16, room: u16, theme: &Theme) -> Vec<Below> {
    let muted = cx.desk.and_then(|d| d.muted(g.cause, cx.now));
    let standing = match (muted, cx.desk.map(|d| standing(d, g.cause, cx.survey))) {
        (Some(m), _) => format!("muted by {} until {}: {}", m.by, when(m.until, cx.now), m.reason),
        (None, Some(Standing::Taken(t))) => format!("{} has it.", t.by),
        (None, Some(Standing::Reopened(t))) => format!("{} had it, new ones failed since.", t.by),
        _ => String::new(),
    };
    let mut lines: Vec<Below> = Vec::new();
    if !standing.is_empty() {
        lines.extend(wrap(&standing, room).into_iter().map(|l| (l, theme.plain())));
    }
    if !fits_above(g, cx, columns) && !g.because.is_empty() {
        let mut because = wrap(&g.because, room);
        // The raw text of what is unknown can be as long as it likes: all of it is behind `e`.
        if because.len() > BECAUSE_LINES {
            because.truncate(BECAUSE_LINES);
            if let Some(last) = because.last_mut() {
                *last = fit(&format!("{last} {}", theme.cut()), room, theme);
            }
        }
        lines.extend(because.into_iter().map(|l| (l, theme.dim())));
    }
    if !g.helps.is_empty() {
        lines.extend(wrap(&g.helps, room).into_iter().map(|l| (l, theme.dim())));
    }
    lines
}

/// `1 event  1 customer  last 02:44Z`.
fn size(g: &Group, cx: &Context) -> String {
    let people = if g.customers == 0 { String::new() } else { format!("{}  ", count(g.customers, "customer", "customers")) };
    format!("{}  {people}last {}", count(g.events.len(), "event", "events"), when(g.last, cx.now))
}

/// The sentence stands on the first line only where there is room for all of it.
fn fits_above(g: &Group, cx: &Context, columns: u16) -> bool {
    let taken = TEXT + width(g.cause.word()) + 2 + 2 + width(&size(g, cx)) + 1;
    width(&g.because) <= columns.saturating_sub(taken)
}

fn cause(g: &Group, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let muted = cx.desk.and_then(|d| d.muted(g.cause, cx.now));
    let (word, style) = if muted.is_some() { ("mute", theme.dim()) } else { ("FAIL", theme.fail()) };
    put(buf, theme, area.x + 1, area.y, word, style, 5);
    let end = put_right(buf, theme, area.right() - 1, area.y, &size(g, cx), theme.plain(), area.width / 2 + 10);
    let start = area.x + TEXT;
    let at = put(buf, theme, start, area.y, g.cause.word(), theme.plain(), end.saturating_sub(start + 1));
    if fits_above(g, cx, area.width) {
        put(buf, theme, at + 2, area.y, &g.because, theme.dim(), end.saturating_sub(at + 2));
    }
}

/// `03:11Z` today, with the day before.
pub fn when(at: At, now: At) -> String {
    if at.date_naive() == now.date_naive() { clock(at) } else { moment(at, now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows called `0`, `1`, … with so many lines below each, in an area of this height, the one at `at` selected.
    fn shown(below: &[usize], height: u16, at: usize) -> Vec<String> {
        let theme = Theme::mono();
        let area = Rect::new(0, 0, 24, height);
        let mut buf = Buffer::empty(area);
        let lines: Vec<Vec<Below>> =
            below.iter().enumerate().map(|(i, n)| (0..*n).map(|l| (format!("{i} says {l}"), theme.plain())).collect()).collect();
        stacked(&mut buf, &theme, area, &lines, at, |i, line, buf| {
            put(buf, &theme, line.x + 1, line.y, &format!("row {i}"), theme.plain(), 10);
        });
        let rows = buf.content.chunks(24).map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
        rows.map(|r| r.trim_end().to_string()).collect()
    }

    #[test]
    fn rows_stand_apart_while_there_is_room() {
        assert_eq!(shown(&[1, 0], 5, 0), ["›row 0", "       0 says 0", "", " row 1", ""]);
        assert_eq!(shown(&[1, 0], 3, 1), [" row 0", "       0 says 0", "›row 1"]);
    }

    #[test]
    fn the_selected_row_is_whole_and_what_is_left_out_is_counted() {
        let screen = shown(&[2, 2, 2], 7, 0);
        assert_eq!(screen[..3], ["›row 0", "       0 says 0", "       0 says 1"]);
        assert!(screen[6].ends_with("1 more"), "{screen:?}");
        let last = shown(&[2, 2, 2], 7, 2);
        assert_eq!(last[..6], [" row 1", "       1 says 0", "       1 says 1", "›row 2", "       2 says 0", "       2 says 1"]);
        // Longer than the screen: its beginning, and nothing outside.
        assert_eq!(shown(&[9], 3, 0), ["›row 0", "       0 says 0", "       0 says 1"]);
        assert!(shown(&[], 3, 0).iter().all(String::is_empty));
    }
}
