//! How use by tier looks: a line for each tier and feature, with how full its limit is as a bar.

use super::model::Model;
use super::view::{Cell, Column, WIDE, short, table};
use crate::console::context::Context;
use crate::console::widgets::paint::put;
use crate::console::widgets::panel::{self, Panel, told};
use crate::console::widgets::theme::Theme;
use crate::domain::money::group;
use crate::domain::quota::{QuotaState, TierUse, permille};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let waited_ms = m.usage_reading.map_or(0, |since| cx.tick.saturating_sub(since));
    let Some(all) = m.usage.value() else {
        let panel = match &m.usage_fault {
            Some(fault) => Panel::Failed { fault, still: "Near the limit is asked by itself, a page at a time." },
            None => Panel::Reading { what: "Reading all counters of all tiers from the database", waited_ms },
        };
        panel::draw(buf, theme, area, &panel);
        return;
    };
    let uses = m.uses();
    if uses.is_empty() {
        let say = if all.is_empty() {
            "Nothing is used, and no limits are known: neither counters nor a table of limits, nor [limits.TIER] in the configuration."
                .to_string()
        } else {
            format!("None of the {} passes the filter. Esc in the filter drops it.", all.len())
        };
        panel::draw(buf, theme, area, &Panel::Empty(&say));
        return;
    }
    let wide = area.width >= WIDE;
    let bar_room = if wide { 12 } else { 4 };
    let columns: [Column; 10] = [
        ("tier", if wide { 12 } else { 10 }, false),
        ("feature", if wide { 16 } else { 10 }, false),
        ("limit", if wide { 14 } else { 11 }, true),
        ("users", if wide { 9 } else { 5 }, true),
        (if wide { "average" } else { "avg" }, if wide { 9 } else { 6 }, true),
        ("median", if wide { 7 } else { 6 }, true),
        ("p95", if wide { 7 } else { 5 }, true),
        ("max", if wide { 7 } else { 5 }, true),
        ("blocked", 7, true),
        (if wide { "p95 of limit" } else { "full" }, bar_room, false),
    ];
    // What failed or is read anew is said below the lines that there are.
    let note = match (&m.usage_fault, m.usage_reading) {
        (Some(fault), _) => Some((format!("{}  r reads again", told(fault)), theme.warn())),
        (None, Some(_)) => Some((panel::reading("Reading anew", waited_ms), theme.dim())),
        (None, None) => None,
    };
    let body = Rect { height: area.height - u16::from(note.is_some()), ..area };
    let cells: Vec<Vec<Cell>> = uses.iter().map(|u| cells(u, wide, usize::from(bar_room), theme)).collect();
    let first = m.tier.first(uses.len(), usize::from(body.height.saturating_sub(1)));
    table(buf, theme, body, &columns, &cells, m.tier.at, first);
    if let Some((text, style)) = note {
        put(buf, theme, area.x + 1, area.bottom() - 1, &text, style, area.width.saturating_sub(2));
    }
}

fn cells(u: &TierUse, wide: bool, bar_room: usize, theme: &Theme) -> Vec<Cell> {
    let plain = theme.plain();
    let number = |n: i64| if wide { group(u64::try_from(n).unwrap_or(0)) } else { short(n) };
    let limit = match (u.limit, QuotaState::of(0, u.limit)) {
        (Some(n), QuotaState::Ok) => group(u64::try_from(n).unwrap_or(0)),
        (_, QuotaState::NoLimitKnown) if !wide => "NOT KNOWN".into(),
        (_, state) => state.word().to_string(),
    };
    let average = match u.average_milli {
        milli if milli < 100_000 => format!("{}.{}", milli / 1_000, milli % 1_000 / 100),
        milli => short(milli / 1_000),
    };
    let blocked = if u.blocked > 0 { theme.warn() } else { theme.dim() };
    vec![
        (u.tier.clone(), plain),
        (u.feature.clone(), plain),
        (limit, plain),
        (number(u.users), plain),
        (average, plain),
        (short(u.median), plain),
        (short(u.p95), plain),
        (short(u.max), plain),
        (number(u.blocked), blocked),
        (bar(u, bar_room, theme), plain),
    ]
}

/// As much of the room as 95 in a hundred use of the limit at most; at least one block where anybody counted among them uses any.
fn bar(u: &TierUse, room: usize, theme: &Theme) -> String {
    let Some(full) = permille(u.p95, u.limit) else { return String::new() };
    let filled = usize::try_from(full.min(1_000)).unwrap_or(0) * room;
    let blocks = (filled / 1_000).max(usize::from(u.p95 > 0));
    let [.., block] = theme.blocks() else { return String::new() };
    format!("{}{}", block.repeat(blocks), theme.dot().repeat(room - blocks.min(room)))
}
