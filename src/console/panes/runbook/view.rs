//! How the runbook pane looks: the tabs; the sections with the text of the one under the cursor; runs and contacts as tables.

use super::Model;
use super::book::{sections, text};
use super::model::{TABS, Tab};
use super::runs::Row;
use crate::console::context::Context;
use crate::console::widgets::paint::{put, put_right, rule, select, tabs, wrap};
use crate::console::widgets::panel::{self, Panel};
use crate::console::widgets::table::{self, Column, Cursor};
use crate::console::widgets::theme::Theme;
use crate::domain::fault::Source;
use crate::protocol::freshness::Health;
use crate::protocol::run::short;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Where text begins: the same column as on every other screen.
const INDENT: u16 = 7;
/// Rows of text that the list of sections leaves at least.
const TEXT_ROWS: u16 = 6;
/// The width of the words in front of a section's lines.
const LEAD: u16 = 9;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 4 {
        return;
    }
    let titles: Vec<&str> = TABS.iter().map(|(_, title)| *title).collect();
    let current = TABS.iter().position(|(t, _)| *t == m.tab).unwrap_or(0);
    tabs(buf, theme, area, area.y + 1, &titles, current, "tab");
    let inner = Rect { y: area.y + 3, height: area.height - 3, ..area };
    match m.tab {
        Tab::Book => book(m, inner, buf, theme),
        Tab::Runs => runs(m, cx, inner, buf, theme),
        Tab::Contacts => contacts(m, cx, inner, buf, theme),
    }
}

fn book(m: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let sections = sections();
    let rows = u16::try_from(sections.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(TEXT_ROWS)).max(1);
    let first = m.section.first(sections.len(), usize::from(rows));
    for (i, (section, _)) in sections.iter().enumerate().skip(first).take(usize::from(rows)) {
        let y = area.y + u16::try_from(i - first).unwrap_or(0);
        let style = if section.is_emergency() { theme.bold() } else { theme.plain() };
        put(buf, theme, area.x + 1, y, &section.number, theme.dim(), 5);
        put(buf, theme, area.x + INDENT, y, &section.title, style, area.width.saturating_sub(INDENT + 1));
        if i == m.section.at {
            put(buf, theme, area.x, y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, Rect { y, height: 1, ..area });
        }
    }
    let top = area.y + rows + 1;
    rule(buf, theme, area, top.saturating_sub(1));
    let Some((section, procedure)) = m.selected() else { return };
    let room = area.width.saturating_sub(INDENT + LEAD + 1).min(100);
    let mut lines = Vec::new();
    for line in text(section, procedure) {
        let style = if line.differs { theme.warn() } else { theme.dim() };
        let lead = if line.differs { format!("{} {}", theme.differs(), line.lead) } else { line.lead.clone() };
        for (i, part) in wrap(&line.text, room).into_iter().enumerate() {
            lines.push((if i == 0 { lead.clone() } else { String::new() }, style, part));
        }
    }
    let fit = usize::from(area.bottom().saturating_sub(top));
    let hidden = lines.len().saturating_sub(fit);
    // The last row says how much is below, and so hides one more.
    let first = usize::from(m.scroll).min(if hidden > 0 { hidden + 1 } else { 0 });
    let below = lines.len().saturating_sub(first + fit);
    let shown = if below > 0 { fit.saturating_sub(1) } else { fit };
    for (y, (lead, style, part)) in (top..area.bottom()).zip(lines.iter().skip(first).take(shown)) {
        put(buf, theme, area.x + INDENT - 6, y, lead, *style, LEAD + 4);
        put(buf, theme, area.x + INDENT + LEAD - 5, y, part, theme.plain(), room + 5);
    }
    if below > 0 {
        put_right(buf, theme, area.right() - 1, area.bottom() - 1, &format!("{} more below, pgdn or e", below + 1), theme.dim(), 40);
    }
}

fn runs(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let text = Rect { x: area.x + INDENT - 1, width: area.width - INDENT + 1, ..area };
    let rows = m.rows(cx);
    match (&m.mine.value, &m.mine.fault) {
        (None, Some(fault)) => {
            let still = "Nothing can be written while the journal cannot be read; everything can be looked at.";
            panel::draw(buf, theme, text, &Panel::Failed { fault, still });
            return;
        }
        (None, None) => {
            let waited_ms = m.mine.since.map_or(0, |t| cx.tick.saturating_sub(t));
            panel::draw(buf, theme, text, &Panel::Reading { what: "Reading the journal", waited_ms });
            return;
        }
        (Some(_), _) if rows.is_empty() => {
            let alone = cx.health(Source::Store) == Health::NotSetUp;
            let others = if alone { " Other operators' runs cannot be seen here: no shared store is set up." } else { "" };
            let say = format!("No run in this journal yet; enter on a section of the book begins one.{others}");
            panel::draw(buf, theme, text, &Panel::Empty(&say));
            return;
        }
        (Some(_), _) => {}
    }
    let wide = area.width >= 110;
    let columns = [
        Column::new("", 11),
        Column::new("run", 4),
        Column::new("procedure", if wide { 34 } else { 25 }),
        Column::new("about", if wide { 26 } else { 13 }),
        Column::new("by", if wide { 16 } else { 9 }),
        Column::right("", 4),
    ];
    let cells: Vec<_> = rows.iter().map(|r| cells(r, cx, theme)).collect();
    let note = m.mine.fault.as_ref().or(m.team.fault.as_ref());
    let table = Rect { height: area.height - u16::from(note.is_some()), ..area };
    table::draw(buf, theme, table, &columns, &cells, Some(Cursor { at: m.at(cx) }));
    if let Some(fault) = note {
        put(buf, theme, area.x + INDENT, area.bottom() - 1, &format!("As last read: {}", fault.say), theme.warn(), area.width - INDENT);
    }
}

fn cells(row: &Row, cx: &Context, theme: &Theme) -> Vec<(String, ratatui::style::Style)> {
    let me = cx.env.map(|e| e.operator.as_str()).unwrap_or_default();
    let by = if row.run.operator == me { "you".to_string() } else { row.run.operator.clone() };
    vec![
        (row.word.to_string(), if row.calls { theme.warn() } else { theme.plain() }),
        (short(row.run.run), theme.plain()),
        (row.title.clone(), theme.plain()),
        (row.who.clone(), theme.plain()),
        (by, theme.plain()),
        (row.age.clone(), theme.dim()),
    ]
}

fn contacts(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let contacts = cx.env.map(|e| e.contacts.as_slice()).unwrap_or_default();
    if contacts.is_empty() {
        let text = Rect { x: area.x + INDENT - 1, width: area.width - INDENT + 1, ..area };
        panel::draw(buf, theme, text, &Panel::Empty("Nobody is known before the environment is connected."));
        return;
    }
    let columns = [Column::new("issue type", 26), Column::new("contact", 30), Column::new("response time", 14)];
    let row = |c: &crate::protocol::environment::Contact| {
        vec![(c.issue.clone(), theme.plain()), (c.contact.clone(), theme.bold()), (c.responds.clone(), theme.plain())]
    };
    let cells: Vec<_> = contacts.iter().map(row).collect();
    table::draw(buf, theme, area, &columns, &cells, Some(m.contact));
}
