//! How the list of events looks: the filter, then a row an event, a group or an element that could not be read.

use super::events::Row;
use super::index::{By, FIELDS, Sort};
use super::model::Model;
use super::view::{no_rows, range};
use crate::console::context::Context;
use crate::console::widgets::format::{count, moment};
use crate::console::widgets::paint::{put, put_right, select};
use crate::console::widgets::theme::Theme;
use crate::domain::At;
use crate::domain::mask;
use crate::domain::webhooks::feed::Line;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where the filter's text begins.
const LABEL: u16 = 9;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let survey = cx.survey;
    let body = if filter_line(m, area, buf, theme) { Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area } } else { area };
    let (lines, raw, events) = (survey.lines(), survey.raw(), &m.events);
    if events.len() == 0 && events.stranger().is_some() {
        return;
    }
    if events.len() == 0 {
        let filtered = if events.field.is_empty() { "" } else { " that the filter lets through" };
        let widen = if events.field.is_empty() { "The menu, a, has a wider range." } else { "Esc drops the filter." };
        let empty = format!("No event in {}{filtered}. {widen}", range(survey.hours()));
        no_rows(survey, cx, body, buf, theme, &empty);
        return;
    }
    let fit = usize::from(body.height);
    let cursor = events.cursor();
    let first = cursor.first(events.len(), fit);
    for at in (first..events.len()).take(fit) {
        let Some(row) = events.row(at, lines, raw) else { break };
        let line = Rect { y: body.y + u16::try_from(at - first).unwrap_or(0), height: 1, ..body };
        match row {
            Row::Event(l) => event(l, events.marked.contains(&l.id), cx.now, line, buf, theme),
            Row::Bucket(bucket, l) => {
                let name = bucket_name(l, events.by);
                put(buf, theme, line.x + 2, line.y, &name, theme.plain(), 40);
                let failing = if bucket.failing == 0 { String::new() } else { format!("{} missing  ", bucket.failing) };
                let size = format!("{failing}{}  last {}", count(bucket.events, "event", "events"), time(l.at, cx.now));
                put_right(buf, theme, line.right() - 1, line.y, &size, theme.plain(), line.width / 2);
            }
            Row::Raw(r) => {
                let end = put(buf, theme, line.x + 2, line.y, "cannot be read", theme.warn(), 14);
                put(buf, theme, end + 2, line.y, &r.text, theme.plain(), line.right().saturating_sub(end + 3));
            }
        }
        if at == cursor.at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
    }
}

/// The filter and the order, where they are not what one starts with. Whether there is such a line.
fn filter_line(m: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) -> bool {
    let events = &m.events;
    let mut order = Vec::new();
    if events.sort != Sort::Newest {
        order.push(events.sort.word().to_string());
    }
    order.extend(events.by.map(|by| format!("grouped by {}", by.field())));
    if !events.focused && events.field.is_empty() && order.is_empty() {
        return false;
    }
    let end = put_right(buf, theme, area.right() - 1, area.y, &order.join(", "), theme.dim(), 40);
    if events.focused || !events.field.is_empty() {
        put(buf, theme, area.x + 1, area.y, "filter", theme.dim(), LABEL);
        let room = Rect { x: area.x + LABEL, width: end.saturating_sub(area.x + LABEL + 1), height: 1, y: area.y };
        events.field.draw(buf, theme, room, events.focused);
    }
    if let Some(stranger) = events.stranger() {
        // All of them have room at eighty columns.
        let say = format!("no field {stranger}: {}", FIELDS.join(" "));
        put(buf, theme, area.x + 1, area.y + 1, &say, theme.warn(), area.width.saturating_sub(2));
    } else if events.focused && events.field.is_empty() {
        let say = "text, field:value, !not, >2h older, <30m younger; fields as in type: verdict:";
        put(buf, theme, area.x + LABEL, area.y + 1, say, theme.dim(), area.width.saturating_sub(LABEL + 1));
    }
    true
}

fn bucket_name(line: &Line, by: Option<By>) -> String {
    match by {
        Some(By::Customer) => line.customer.as_ref().map_or_else(|| "no customer".into(), |c| mask::id(c.as_str())),
        Some(By::Verdict) => line.verdict.word().to_string(),
        Some(By::Kind) | None => line.kind.to_string(),
    }
}

/// Columns: when, what, whose, verdict, which object.
fn event(l: &Line, marked: bool, now: At, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let wide = area.width >= 100;
    let kind: &str = if wide { &l.kind } else { l.kind.strip_prefix("customer.").unwrap_or(&l.kind) };
    let customer = l.customer.as_ref().map(|c| mask::id(c.as_str())).unwrap_or_default();
    let object = l.object.as_ref().or(l.subscription.as_ref()).map(|o| mask::id(o.as_str())).unwrap_or_default();
    let verdict = match (l.cause.filter(|_| wide), l.verdict.word()) {
        (Some(cause), word) => format!("{word}, {}", cause.word()),
        (None, word) => word.to_string(),
    };
    let style = if l.verdict.is_failure() { theme.warn() } else { theme.plain() };
    let cells: [(&str, Style, u16); 5] = [
        (&time(l.at, now), theme.dim(), 12),
        (kind, theme.plain(), if wide { 32 } else { 24 }),
        (&customer, theme.plain(), if wide { 14 } else { 11 }),
        (&verdict, style, if wide { 36 } else { 12 }),
        (&object, theme.dim(), 13),
    ];
    if marked {
        put(buf, theme, area.x + 1, area.y, theme.current(), theme.bold(), 1);
    }
    let mut x = area.x + 2;
    for (text, style, room) in cells {
        if x >= area.right() {
            break;
        }
        put(buf, theme, x, area.y, text, style, room.min(area.right() - x));
        x = x.saturating_add(room + 1);
    }
}

/// To the second today, to the minute before.
fn time(at: At, now: At) -> String {
    if at.date_naive() == now.date_naive() { at.format("%H:%M:%S").to_string() } else { moment(at, now).trim_end_matches('Z').to_string() }
}
