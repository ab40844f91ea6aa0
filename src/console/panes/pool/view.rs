//! How the pool's pane looks: tabs with the totals, the sentence, what is not seen, and below it the tab.

use super::model::{Model, Tab};
use super::tell::{self, TEXT};
use super::{view_blockers, view_groups, view_history, view_table};
use crate::console::context::Context;
use crate::console::widgets::format::clock;
use crate::console::widgets::paint::put;
use crate::console::widgets::panel::{self, Head, Panel, stale};
use crate::console::widgets::theme::Theme;
use crate::domain::diagnosis::Word;
use crate::domain::fault::FaultKind;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 4 {
        return;
    }
    tabs(m, cx, area, buf, theme);
    let Some(seen) = m.seen(cx) else {
        let body = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, y: area.y + 2, height: area.height - 2 };
        nothing(cx, body, buf, theme);
        return;
    };
    let head = tell::head(seen, cx.pool, area.width);
    let mut y = area.y + 2;
    let style = match seen.explained.word {
        Word::Fail => theme.fail(),
        Word::Warn => theme.warn(),
        _ => theme.dim(),
    };
    put(buf, theme, area.x + 1, y, seen.explained.word.shown(), style, 5);
    let room = area.width.saturating_sub(TEXT + 1);
    for line in &head.sentence {
        put(buf, theme, area.x + TEXT, y, line, theme.plain(), room);
        y += 1;
    }
    for line in &head.notes {
        put(buf, theme, area.x + TEXT, y, line, theme.dim(), room);
        y += 1;
    }
    y += 1;
    if y >= area.bottom() {
        return;
    }
    let body = Rect { y, height: area.bottom() - y, ..area };
    match m.tab {
        Tab::Sessions => view_table::draw(m, seen, body, buf, theme),
        Tab::Groups => view_groups::draw(m, body, buf, theme),
        Tab::Blockers => view_blockers::draw(m, seen, body, buf, theme),
        Tab::History => view_history::draw(seen, cx, body, buf, theme),
    }
}

/// The tabs, and at the right how many connections there are and how sure that is.
fn tabs(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let doubt = match (m.frozen(), cx.pool.stale(cx.now, cx.tick)) {
        (Some(at), _) => Some(format!("FROZEN {}", clock(at))),
        (None, Some(seconds)) => Some(format!("db {}", stale(seconds))),
        (None, None) => None,
    };
    let mut covered = Vec::new();
    if let Some(seen) = m.seen(cx) {
        let marked = m.list.marked.len();
        covered.extend((marked > 0).then(|| format!("{marked} marked")));
        covered.push(seen.share());
        let waiting = seen.explained.waiting;
        covered.extend((waiting > 0).then(|| format!("{waiting} waiting")));
    }
    panel::head(buf, theme, area, Head { titles: &Tab::ALL.map(Tab::title), current: m.tab as usize, doubt, covered });
}

/// No sessions: being read, or why they cannot be; what a pooler tells stands below.
fn nothing(cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let used = match cx.pool.fault() {
        Some(fault) => {
            let still = match fault.kind {
                FaultKind::Refused => "Everything else works: only the server's own list of sessions needs a direct connection.",
                _ => "It is tried again by itself; what the other panes have read is shown there.",
            };
            panel::draw(buf, theme, area, &Panel::Failed { fault, still })
        }
        None => {
            let what = "Reading the sessions of the database's server";
            panel::draw(buf, theme, area, &Panel::Reading { what, waited_ms: cx.pool.waited(cx.tick) })
        }
    };
    let mut lines = tell::pools(cx.pool.pools());
    lines.extend(cx.pool.pooler_fault().map(|f| f.say.clone()));
    for (y, line) in (area.y + used + 1..area.bottom()).zip(lines) {
        put(buf, theme, area.x + 1, y, &line, theme.plain(), area.width.saturating_sub(2));
    }
}
