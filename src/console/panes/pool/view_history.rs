//! How the last hour looks: a chart a figure, a column a minute or two, gaps where nothing was read.

use crate::console::context::Context;
use crate::console::pool::{HISTORY, SAMPLE_EVERY, Sample, Seen};
use crate::console::widgets::format::clock;
use crate::console::widgets::paint::{put, wrap};
use crate::console::widgets::theme::Theme;
use crate::domain::At;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::collections::VecDeque;

/// Where charts begin.
const CHART: u16 = 12;

type Figure = (&'static str, fn(&Sample) -> u32);

const FIGURES: [Figure; 4] = [("used", |s| s.used), ("active", |s| s.active), ("in tx", |s| s.in_transaction), ("waiting", |s| s.waiting)];

pub fn draw(seen: &Seen, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let history = cx.pool.history();
    let minutes = if area.width >= 110 { 1 } else { 2 };
    let of_all = FIGURES.map(|(_, figure)| columns(history, cx.now, minutes, figure));
    let most = |columns: &[Option<u32>]| columns.iter().flatten().copied().max().unwrap_or(0);
    // Those that are part of the connections share a scale, so that they can be compared.
    let parts = of_all[1..].iter().map(|c| most(c)).max().unwrap_or(0);
    for (i, ((label, figure), columns)) in FIGURES.iter().zip(&of_all).enumerate() {
        let y = area.y + u16::try_from(i * 2).unwrap_or(0);
        if y >= area.bottom() {
            return;
        }
        let scale = if i == 0 { seen.activity.room.usable().max(most(columns)) } else { parts };
        put(buf, theme, area.x + 1, y, label, theme.dim(), CHART - 2);
        let chart: String = columns.iter().map(|v| block(*v, scale, theme)).collect();
        let end = put(buf, theme, area.x + CHART, y, &chart, theme.plain(), area.width.saturating_sub(CHART));
        let now = history.back().map_or(0, figure);
        let said = match i {
            0 => format!("{now} of {} now, at most {}", seen.activity.room.usable(), most(columns)),
            _ => format!("{now} now, at most {}", most(columns)),
        };
        put(buf, theme, end + 2, y, &said, theme.plain(), area.right().saturating_sub(end + 3));
    }
    let since = history.front().map_or_else(|| "no sample yet".to_string(), |s| format!("since {}", clock(s.at)));
    let say = format!(
        "The last hour, {since}, a column {minutes} min, its largest sample: one every {SAMPLE_EVERY} s while this pane is on screen, every 30 s otherwise. Gaps: nothing was read."
    );
    let y = area.y + 8;
    for (y, line) in (y..area.bottom()).zip(wrap(&say, area.width.saturating_sub(2))) {
        put(buf, theme, area.x + 1, y, &line, theme.dim(), area.width.saturating_sub(2));
    }
}

/// The largest sample of every column, the oldest first; `None` where there is none. Columns begin at whole minutes, so that they stand
/// still in between.
fn columns(history: &VecDeque<Sample>, now: At, minutes: i64, figure: fn(&Sample) -> u32) -> Vec<Option<u32>> {
    let place = |at: At| at.timestamp().div_euclid(60 * minutes);
    let mut out = vec![None; usize::try_from(HISTORY / minutes).unwrap_or(1)];
    for sample in history {
        let back = usize::try_from(place(now) - place(sample.at)).unwrap_or(usize::MAX);
        if let Some(column) = out.len().checked_sub(back.saturating_add(1)).and_then(|at| out.get_mut(at)) {
            *column = (*column).max(Some(figure(sample)));
        }
    }
    out
}

/// A block as high as its share: the lowest for nothing, none at all where nothing is known.
fn block(value: Option<u32>, most: u32, theme: &Theme) -> &'static str {
    let Some(value) = value else { return " " };
    let blocks = theme.blocks();
    let top = u64::try_from(blocks.len() - 1).unwrap_or(1);
    let at = (u64::from(value) * top).div_ceil(u64::from(most.max(1))).min(top);
    blocks[usize::try_from(at).unwrap_or(0)]
}
