//! How the customers pane looks: the field, what is being asked or went wrong, the list.

use super::Model;
use super::hits::Found;
use super::model::Side;
use super::named::Nameless;
use crate::console::context::Context;
use crate::console::widgets::format::count;
use crate::console::widgets::paint::{put, put_right, wrap};
use crate::console::widgets::panel::{reading, told};
use crate::console::widgets::table::{self, Column};
use crate::console::widgets::theme::Theme;
use crate::domain::fault::Source;
use crate::domain::mask;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

const LABEL: u16 = 9;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let rows = m.rows();
    match &m.list {
        Some((title, _)) => {
            put(buf, theme, area.x + 1, area.y, title, theme.bold(), area.width.saturating_sub(2));
        }
        None => {
            put(buf, theme, area.x + 1, area.y, "search", theme.dim(), LABEL);
            let field = Rect { x: area.x + LABEL, width: area.width.saturating_sub(LABEL + 16), height: 1, ..area };
            m.field.draw(buf, theme, field, m.focused);
        }
    }
    if !rows.is_empty() && m.list.is_none() {
        put_right(buf, theme, area.right() - 1, area.y, &count(rows.len(), "customer", "customers"), theme.dim(), 15);
    }
    let mut y = area.y + 1;
    for (line, style) in state(m, cx, &rows, theme) {
        for part in wrap(&line, area.width - LABEL - 1) {
            put(buf, theme, area.x + LABEL, y, &part, style, area.width - LABEL - 1);
            y += 1;
        }
    }
    y += 1;
    if rows.is_empty() || y >= area.bottom() {
        return;
    }
    let columns = columns(area.width, m.list.is_some());
    let cells: Vec<_> = rows.iter().map(|f| cells(f, m, cx, theme)).collect();
    table::draw(buf, theme, Rect { y, height: area.bottom() - y, ..area }, &columns, &cells, Some(m.cursor));
}

/// What stands between the field and the list: one line for each thing worth knowing.
fn state(m: &Model, cx: &Context, rows: &[Found], theme: &Theme) -> Vec<(String, Style)> {
    if m.list.is_some() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let text = m.field.text().trim();
    if text.chars().count() < 2 {
        let say = "An e-mail address, a name, a profile id, any Stripe id or dashboard link; two characters suffice.";
        return vec![(say.to_string(), theme.dim())];
    }
    let (waiting, waited) = m.waiting(cx.tick);
    if !waiting.is_empty() {
        let names: Vec<_> = waiting.iter().map(|s| s.word()).collect();
        lines.push((reading(&format!("Reading {}", names.join(" and ")), waited), theme.dim()));
    }
    let mut failed = Vec::new();
    for (source, side) in m.sides() {
        match side {
            Side::Failed(fault) => {
                failed.push(source);
                lines.push((told(fault), theme.warn()));
            }
            Side::Ready { hits, truncated: true } => {
                lines.push((format!("{}: the first {}; more characters narrow it", source.word(), hits.len()), theme.dim()));
            }
            _ => {}
        }
    }
    if !m.mirror.is_empty() && !matches!(m.stripe, Side::Ready { .. }) {
        lines.push(("What stands for Stripe here is its mirror in Postgres, as old as its rows say.".to_string(), theme.dim()));
    }
    if rows.is_empty() && waiting.is_empty() && failed.len() < 2 {
        let looked = match failed.first() {
            Some(Source::Stripe) => "in the database; Stripe was not looked at",
            Some(_) => "at Stripe; the database was not looked at",
            None => "in the database or at Stripe",
        };
        lines.push((format!("Nobody found by id, address or name, {looked}."), theme.plain()));
        lines.push(("Fewer characters widen it; Stripe lists new customers after a minute.".to_string(), theme.dim()));
    }
    lines
}

fn columns(width: u16, listed: bool) -> Vec<Column> {
    let wide = width >= 110;
    let (who, note) = if wide { (34, 34) } else { (22, 16) };
    let mut columns = vec![Column::new("who", who), Column::new("profile", 9), Column::new("customer", if wide { 20 } else { 13 })];
    if listed {
        // Everybody here came from one finding: what is said of each has the rest of the line.
        let taken: u16 = columns.iter().map(|c| c.width + 2).sum();
        columns.push(Column::new("", width.saturating_sub(taken + 2)));
    } else {
        columns.extend([Column::new("", note), Column::new("", 9)]);
    }
    columns
}

fn cells(f: &Found, m: &Model, cx: &Context, theme: &Theme) -> Vec<(String, Style)> {
    let hit = &f.hit;
    let who = match (&hit.email, &hit.name) {
        (Some(e), _) if cx.revealed => e.clone(),
        (Some(e), _) => mask::email(e),
        (None, Some(n)) if cx.revealed => n.clone(),
        (None, Some(n)) => mask::name(n),
        (None, None) => match m.naming.nameless() {
            Nameless::Reading if m.list.is_some() => theme.cut().to_string(),
            Nameless::Unread if m.list.is_some() => "not read".to_string(),
            _ => "no address".to_string(),
        },
    };
    let known_by = f.sources.iter().map(|s| s.word()).collect::<Vec<_>>().join(" ");
    vec![
        (who, theme.plain()),
        (hit.subject.as_ref().map(|s| mask::id(s.as_str())).unwrap_or_default(), theme.plain()),
        (hit.customer.as_deref().map(mask::id).unwrap_or_default(), theme.plain()),
        (hit.note.clone(), theme.plain()),
        (known_by, theme.dim()),
    ]
}
