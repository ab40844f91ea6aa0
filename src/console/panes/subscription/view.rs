//! How the subscription pane looks: one table, Stripe's side and the row's.

use super::Model;
use super::lines::lines;
use crate::console::context::Context;
use crate::console::widgets::paint::{put, put_right, width};
use crate::console::widgets::theme::Theme;
use crate::domain::mask;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const TEXT: u16 = 7;
const STRIPE: u16 = 21;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 4 {
        return;
    }
    let Some(s) = m.subscription() else {
        let fault = m.case.as_ref().and_then(|c| c.subscriptions.fault());
        let say = fault.map_or_else(|| "Reading the subscription from Stripe…".to_string(), |f| f.say.clone());
        put(buf, theme, area.x + 1, area.y, &say, theme.dim(), area.width - 2);
        return;
    };
    let dot = format!("  {}  ", theme.dot());
    let title = [mask::id(s.id.as_str()), s.status.word().to_string(), mask::id(s.customer.as_str())].join(&dot);
    put(buf, theme, area.x + 1, area.y, &title, theme.bold(), area.width - 20);
    let siblings = m.siblings();
    if let Some(at) = siblings.iter().position(|id| **id == s.id).filter(|_| siblings.len() > 1) {
        let say = format!("{} of {}", at + 1, siblings.len());
        put_right(buf, theme, area.right() - 1, area.y, &say, theme.dim(), 18);
    }
    let row = STRIPE + (area.width.saturating_sub(STRIPE) / 2).clamp(20, 34);
    put(buf, theme, area.x + STRIPE, area.y + 2, "Stripe demands", theme.dim(), 20);
    put(buf, theme, area.x + row, area.y + 2, "The row holds", theme.dim(), 20);
    let all = lines(m, cx);
    let body = area.y + 3;
    let fit = usize::from(area.bottom().saturating_sub(body));
    let first = m.scroll.min(all.len().saturating_sub(fit));
    for (i, line) in all.iter().skip(first).take(fit).enumerate() {
        let y = body + u16::try_from(i).unwrap_or(0);
        put(buf, theme, area.x + TEXT, y, &line.label, theme.dim(), STRIPE - TEXT - 1);
        let room = if line.row.is_some() { row - STRIPE - 3 } else { area.width - STRIPE - 1 };
        put(buf, theme, area.x + STRIPE, y, &line.stripe, theme.plain(), room);
        if let Some(held) = &line.row {
            put(buf, theme, area.x + row, y, held, theme.plain(), area.width.saturating_sub(row + 1));
        }
        if line.differs {
            let mark = theme.differs();
            put(buf, theme, area.x + row - 1 - width(mark), y, mark, theme.warn(), 2);
        }
    }
    let below = all.len().saturating_sub(first + fit);
    if below > 0 {
        put_right(buf, theme, area.right() - 1, area.y + 1, &format!("{below} more below"), theme.dim(), 16);
    }
}
