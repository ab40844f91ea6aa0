//! How the tree of blockers looks: a root, below it those that wait for it. Who waits for whom is the domain's.

use super::model::Model;
use super::view_table::{Widths, row, titles};
use crate::console::pool::Seen;
use crate::console::widgets::format::count;
use crate::console::widgets::paint::{put, select, wrap};
use crate::console::widgets::theme::Theme;
use crate::domain::sessions::Class;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn draw(m: &Model, seen: &Seen, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if seen.tree.is_empty() {
        let say = format!("Nobody waits for a lock: {} looked at.", count(seen.activity.sessions.len(), "session", "sessions"));
        for (y, line) in (area.y..area.bottom()).zip(wrap(&say, area.width.saturating_sub(2))) {
            put(buf, theme, area.x + 1, y, &line, theme.plain(), area.width.saturating_sub(2));
        }
        return;
    }
    let widths = Widths::of(area.width);
    titles(&widths, area, buf, theme);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let fit = usize::from(body.height);
    let first = m.blocker.first(seen.tree.len(), fit);
    for (at, node) in seen.tree.iter().enumerate().skip(first).take(fit) {
        let line = Rect { y: body.y + u16::try_from(at - first).unwrap_or(0), height: 1, ..body };
        let depth = u16::try_from(node.depth).unwrap_or(u16::MAX);
        match seen.activity.sessions.iter().position(|s| s.pid == node.pid) {
            Some(place) => {
                let session = &seen.activity.sessions[place];
                let marked = session.id().is_some_and(|id| m.list.marked.contains(&id));
                row(m, seen, session, seen.classes.get(place).copied().unwrap_or(Class::Hidden), &widths, marked, depth, line, buf, theme);
            }
            None => {
                let who = if node.pid == 0 {
                    "a prepared transaction: pg_prepared_xacts names it".to_string()
                } else {
                    format!("process {}, gone meanwhile", node.pid)
                };
                let say = format!("{who}; {} for it", if node.victims == 1 { "1 waits".into() } else { format!("{} wait", node.victims) });
                put(buf, theme, line.x + 7 + depth.min(4) * 2, line.y, &say, theme.warn(), line.width.saturating_sub(8));
            }
        }
        if at == m.blocker.at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
    }
}
