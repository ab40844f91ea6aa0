//! How the event's screen looks: what it is and what became of it, then the differences or the payload.

use super::Model;
use super::compare::{Fieldwise, table};
use super::model::Tab;
use crate::console::context::Context;
use crate::console::widgets::format::moment;
use crate::console::widgets::paint::{put, put_right, select, tabs, width, wrap};
use crate::console::widgets::panel::{self, Panel, told};
use crate::console::widgets::theme::Theme;
use crate::domain::facts::Known;
use crate::domain::mask;
use crate::domain::row::Field;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Where sentences begin.
const TEXT: u16 = 7;
const EVENT: u16 = 21;
/// So many lines of why: the whole stands behind `e`.
const BECAUSE: usize = 3;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let survey = cx.survey;
    let Some(line) = m.line().filter(|_| area.height >= 6) else { return };
    let dot = format!("  {}  ", theme.dot());
    let title = [line.kind.to_string(), mask::id(line.id.as_str())].join(&dot);
    let end = put_right(buf, theme, area.right() - 1, area.y, &moment(line.at, cx.now), theme.dim(), 24);
    put(buf, theme, area.x + 1, area.y, &title, theme.bold(), end.saturating_sub(area.x + 3));
    // The verdict, and why.
    let mut y = area.y + 2;
    let style = if line.verdict.is_failure() { theme.warn() } else { theme.plain() };
    let at = put(buf, theme, area.x + TEXT, y, line.verdict.word(), style, 14);
    if let Some(cause) = line.cause {
        put(buf, theme, at + 2, y, cause.word(), theme.plain(), area.right().saturating_sub(at + 3));
    }
    y += 1;
    let because = survey.judgement(&line.id).map(|j| j.because).unwrap_or_default();
    for text in wrap(&because, area.width.saturating_sub(TEXT + 1)).into_iter().take(BECAUSE).filter(|t| !t.is_empty()) {
        put(buf, theme, area.x + TEXT, y, &text, theme.dim(), area.width.saturating_sub(TEXT + 1));
        y += 1;
    }
    y += 1;
    let titles: Vec<&str> = Tab::ALL.iter().map(|t| t.title()).collect();
    tabs(buf, theme, area, y, &titles, Tab::ALL.iter().position(|t| *t == m.tab).unwrap_or(0), "tab");
    let body = Rect { y: y + 1, height: area.bottom().saturating_sub(y + 1), ..area };
    match m.tab {
        Tab::Differences => differences(m, cx, body, buf, theme),
        Tab::Payload => payload(m, cx, body, buf, theme),
    }
}

fn differences(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    let rows = table(m, cx);
    if rows.is_empty() {
        match (m.fault(), m.is_read()) {
            (Some(fault), _) => {
                panel::draw(
                    buf,
                    theme,
                    text,
                    &Panel::Failed { fault, still: "The payload and the evidence are shown as far as they were read." },
                );
            }
            (None, true) => {
                panel::draw(buf, theme, text, &Panel::Empty("It concerns no subscription that is known, so there is nothing to compare."));
            }
            (None, false) => {
                let what = "Reading the event, its subscription as it is now, and the row";
                panel::draw(buf, theme, text, &Panel::Reading { what, waited_ms: m.waited(cx) });
            }
        }
        return;
    }
    let room = (area.width.saturating_sub(EVENT + 1)) / 3;
    let columns = [area.x + EVENT, area.x + EVENT + room, area.x + EVENT + 2 * room];
    for (x, title) in columns.into_iter().zip(["The event said", "Stripe says now", "The row holds"]) {
        put(buf, theme, x, area.y, title, theme.dim(), room - 2);
    }
    let top = area.y + 1;
    let note = note(m).map(|n| wrap(&n, area.width.saturating_sub(TEXT + 1))).unwrap_or_default();
    let bottom = area.bottom().saturating_sub(u16::try_from(note.len()).unwrap_or(0)).max(top);
    for (y, line) in (bottom..area.bottom()).zip(&note) {
        put(buf, theme, area.x + TEXT, y, line, theme.warn(), area.width.saturating_sub(TEXT + 1));
    }
    let fit = usize::from(bottom - top);
    for (y, row) in (top..).zip(rows.iter().skip(m.scroll.min(rows.len().saturating_sub(fit))).take(fit)) {
        fieldwise(row, columns, room, Rect { y, height: 1, ..area }, buf, theme);
    }
}

/// What the table does not say by itself.
fn note(m: &Model) -> Option<String> {
    if let Some(fault) = m.fault() {
        return Some(told(fault));
    }
    if let (Some(by), Known::Is { value: Some(row), .. }) = (m.linked_by, &m.row) {
        let held = row.text(Field::Customer).map_or_else(|| "no customer".to_string(), mask::id);
        return Some(format!("No row holds this customer. This one is theirs, and holds {held}: {}.", by.say()));
    }
    match (&m.row, &m.subscription) {
        (Known::Is { value: None, .. }, _) => Some("No row holds this customer or this subscription.".into()),
        (_, Known::Is { value: None, .. }) => Some("Stripe has no such subscription any more.".into()),
        _ => None,
    }
}

fn fieldwise(f: &Fieldwise, columns: [u16; 3], room: u16, area: Rect, buf: &mut Buffer, theme: &Theme) {
    put(buf, theme, area.x + TEXT, area.y, f.label, theme.dim(), EVENT - TEXT - 1);
    for (x, text) in columns.into_iter().zip([&f.event, &f.stripe, &f.row]) {
        put(buf, theme, x, area.y, text, theme.plain(), room.saturating_sub(3));
    }
    let mark = theme.differs();
    for (x, marked) in [(columns[1], f.moved_on), (columns[2], f.differs)] {
        if marked {
            put(buf, theme, x - 1 - width(mark), area.y, mark, theme.warn(), 2);
        }
    }
}

fn payload(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    match &m.payload {
        Known::Waiting => {
            panel::draw(buf, theme, text, &Panel::Reading { what: "Reading the event from Stripe", waited_ms: m.waited(cx) });
            return;
        }
        Known::Failed(fault) => {
            panel::draw(buf, theme, text, &Panel::Failed { fault, still: "What it demanded stands under Differences." });
            return;
        }
        Known::Is { value: None, .. } => {
            let say = if m.is_old(cx) {
                "Stripe keeps events for 30 days, and this one is older. Its effect can still be had from the subscription as it is now."
            } else {
                "Stripe no longer has this event. Its effect can still be had from the subscription as it is now."
            };
            panel::draw(buf, theme, text, &Panel::Empty(say));
            return;
        }
        Known::Is { .. } => {}
    }
    let lines = m.payload_lines(cx.revealed);
    let fit = usize::from(area.height);
    let mut cursor = m.cursor;
    cursor.clamp(lines.len());
    let first = cursor.first(lines.len(), fit);
    for (i, line) in lines.iter().enumerate().skip(first).take(fit) {
        let y = area.y + u16::try_from(i - first).unwrap_or(0);
        let x = area.x + 2 + (line.depth * 2).min(area.width / 2);
        let fold = line.path.is_some() && line.text.len() > 1;
        let at = put(buf, theme, x, y, &line.key, theme.dim(), area.right().saturating_sub(x + 1));
        put(buf, theme, at, y, &line.text, if fold { theme.bold() } else { theme.plain() }, area.right().saturating_sub(at + 1));
        if i == cursor.at {
            put(buf, theme, area.x, y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, Rect { y, height: 1, ..area });
        }
    }
}
