//! How connections look counted together, in the domain's order.

use super::keys::criterion;
use super::model::{CRITERIA, Model};
use crate::console::widgets::format::age;
use crate::console::widgets::paint::{put, width};
use crate::console::widgets::table::{self, Column};
use crate::console::widgets::theme::Theme;
use crate::domain::sessions::Group;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns for the name where roles are long, and the most that roles have.
const NAME: u16 = 21;
const ROLE: u16 = 11;

pub fn draw(m: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if m.groups.is_empty() {
        put(buf, theme, area.x + 1, area.y, "Nobody is connected.", theme.plain(), area.width.saturating_sub(2));
        return;
    }
    let several = CRITERIA[m.by % CRITERIA.len()].len() > 1;
    let name = if several { "application@client" } else { criterion(m.by) };
    let wide = area.width >= 110;
    // Roles take what they need, so that names and addresses are whole as long as may be.
    let role = |g: &Group| g.keys.get(1).map_or(0, |role| width(role));
    let roles = if several { m.groups.iter().map(role).max().unwrap_or(0).clamp(4, ROLE) } else { 0 };
    let columns = [
        Column::new(name, if wide { 40 } else { NAME + ROLE - roles }),
        Column::new(if several { "role" } else { "" }, roles),
        Column::right("all", 4),
        Column::right("active", 6),
        Column::right("idle", 4),
        Column::right("in tx", 5),
        Column::right("blocked", 7),
        Column::right("longest", 7),
    ];
    // Only what is visible becomes text.
    let fit = usize::from(area.height.saturating_sub(1));
    let first = m.group.first(m.groups.len(), fit);
    let rows: Vec<Vec<(String, Style)>> = m.groups.iter().skip(first).take(fit).map(|g| row(g, several, theme)).collect();
    let cursor = table::Cursor { at: m.group.at.saturating_sub(first) };
    table::draw(buf, theme, area, &columns, &rows, Some(cursor));
}

fn row(g: &Group, several: bool, theme: &Theme) -> Vec<(String, Style)> {
    let key = |i: usize| g.keys.get(i).map_or("", |k| k);
    let or_dash = |text: &str| if text.is_empty() { "-".to_string() } else { text.to_string() };
    let (name, role) =
        if several { (format!("{}@{}", or_dash(key(0)), or_dash(key(2))), key(1).to_string()) } else { (or_dash(key(0)), String::new()) };
    let figure = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let harm = |n: usize| if n == 0 { theme.plain() } else { theme.warn() };
    vec![
        (name, theme.plain()),
        (role, theme.dim()),
        (g.total.to_string(), theme.bold()),
        (figure(g.active), theme.plain()),
        (figure(g.idle), theme.plain()),
        (figure(g.in_transaction), harm(g.in_transaction)),
        (figure(g.blocked), harm(g.blocked)),
        // In a transaction, doing nothing.
        (g.oldest_in_transaction.map(|old| age(old.num_seconds())).unwrap_or_default(), theme.dim()),
    ]
}
