//! How the quota pane looks: the tabs with what they cover, the filter, who is near a limit. Use by tier is drawn in `view_tiers`.

use super::keys::{narrowed, scope};
use super::model::{FIELDS, MOST, Model, Tab};
use super::view_tiers;
use crate::console::context::Context;
use crate::console::widgets::format::{clock, count, moment};
use crate::console::widgets::paint::{fit, put, put_right, select};
use crate::console::widgets::panel::{self, Head, Panel, reading, told};
use crate::console::widgets::theme::Theme;
use crate::domain::fault::Source;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::quota::{Claim, NearRow, QuotaState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A column: its title, its width, whether it is set against its right edge.
pub type Column = (&'static str, u16, bool);
pub type Cell = (String, Style);

/// From here on figures are whole and columns apart.
pub const WIDE: u16 = 120;
/// Below this there is not room for every column.
const NARROW: u16 = 80;
/// The places of those that are left out there.
const TIER: usize = 1;
const LIMIT: usize = 4;
/// Where the filter's text begins.
const LABEL: u16 = 9;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 6 {
        return;
    }
    head(m, cx, area, buf, theme);
    let mut body = Rect { y: area.y + 2, height: area.height - 2, ..area };
    if m.is_editing() || !m.field.is_empty() {
        put(buf, theme, body.x + 1, body.y, "filter", theme.dim(), LABEL);
        let field = Rect { x: body.x + LABEL, width: body.width.saturating_sub(LABEL + 1), height: 1, ..body };
        m.field.draw(buf, theme, field, m.is_editing());
        let hint = if m.is_editing() {
            m.mistake().unwrap_or_else(|| format!("words, {}; >90; enter asks", FIELDS[..4].join(": ") + ":"))
        } else if m.tab == Tab::ByTier && m.passes_over() {
            "only tier: and feature: apply to use by tier".into()
        } else {
            String::new()
        };
        put(buf, theme, body.x + LABEL, body.y + 1, &hint, theme.dim(), body.width.saturating_sub(LABEL + 1));
        body = Rect { y: body.y + 2, height: body.height - 2, ..body };
    }
    match m.tab {
        Tab::Near => near(m, cx, body, buf, theme),
        Tab::ByTier => view_tiers::draw(m, cx, body, buf, theme),
    }
}

fn head(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let doubt = cx.sources.get(&Source::Database).and_then(|f| panel::doubt(f, cx.now));
    // What is hidden from us is in none of the lists.
    let doubt = doubt.or_else(|| cx.survey.doubt().map(|_| "rows may be hidden or late".into()));
    let head = Head { titles: &Tab::ALL.map(Tab::title), current: m.tab as usize, doubt, covered: covered(m) };
    panel::head(buf, theme, area, head);
}

/// What the tab covers, the most telling first.
fn covered(m: &Model) -> Vec<String> {
    if m.tab == Tab::ByTier {
        return m.usage.at().map(|at| format!("as of {}", clock(at))).into_iter().collect();
    }
    let Some(list) = &m.list else { return Vec::new() };
    let mut parts = vec![format!("as of {}", clock(list.at))];
    match (m.totals.value(), m.totals.fault()) {
        (Some(totals), _) if !list.rows.is_empty() => {
            let sum =
                |of: fn(&crate::domain::quota::QuotaTotal) -> i64| group(u64::try_from(totals.iter().map(of).sum::<i64>()).unwrap_or(0));
            parts.insert(0, format!("{} blocked, {} near", sum(|t| t.blocked), sum(|t| t.near)));
        }
        (_, Some(fault)) => parts.push(format!("totals: {}", fault.class())),
        (None, None) => parts.push("counting all…".into()),
        _ => {}
    }
    parts.push(format!("from {}", m.wanted.threshold));
    parts
}

fn near(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let waited = m.reading.map_or(0, |since| cx.tick.saturating_sub(since));
    let rows = m.rows();
    let Some(list) = &m.list else {
        let what = format!("Reading from the database: {}, the fullest first", scope(&m.wanted));
        let still =
            "Who it is about still opens by any id or address, with a Quota tab of their own. A tier or a feature narrows it: / filters.";
        let panel = match &m.fault {
            Some(fault) => Panel::Failed { fault, still },
            None => Panel::Reading { what: &what, waited_ms: waited },
        };
        panel::draw(buf, theme, area, &panel);
        return;
    };
    if !list.limits_known {
        let say =
            "No limits are known: neither a table of limits nor [limits.TIER] in the configuration. So nobody can be said to be near one.";
        panel::draw(buf, theme, area, &Panel::Empty(say));
        return;
    }
    let foot = foot(m, rows.len(), waited);
    if rows.is_empty() {
        let say = if list.rows.is_empty() {
            let widen = if m.wanted.threshold.percent() > 50 {
                " a, then h, looks from half of a limit on."
            } else {
                " Esc in the filter drops it."
            };
            format!("Nobody has used {} of a limit{}.{widen}", m.wanted.threshold, narrowed(&m.wanted))
        } else {
            let more = if list.next.is_some() { ", and there are more: G reads on" } else { "" };
            format!("None of the {} read passes the filter{more}.", count(list.rows.len(), "row", "rows"))
        };
        panel::draw(buf, theme, area, &Panel::Empty(&say));
        return;
    }
    let wide = area.width >= WIDE;
    let body = Rect { height: area.height - u16::from(foot.is_some()), ..area };
    let narrow = area.width < NARROW;
    let (who, room) = if wide { (30, 12) } else { (16, 10) };
    let columns: [Column; 8] = [
        ("who", if narrow { 14 } else { who }, false),
        ("tier", room, false),
        ("feature", if wide { 18 } else { room }, false),
        ("used", if wide { 10 } else { 6 }, true),
        ("limit", if wide { 10 } else { 6 }, true),
        ("%", if narrow { 4 } else { 5 }, true),
        ("resets", 12, false),
        ("state", 7, false),
    ];
    // What makes somebody stand here is never what there is no room for: tier and limit are on the customer's screen.
    let kept = |i: usize| !narrow || !matches!(i, TIER | LIMIT);
    let columns: Vec<Column> = columns.into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, c)| c).collect();
    let here = |r: &&NearRow| cells(r, wide, cx, theme).into_iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, c)| c).collect();
    let cells: Vec<Vec<Cell>> = rows.iter().map(here).collect();
    table(buf, theme, body, &columns, &cells, m.cursor.at, m.cursor.first(rows.len(), usize::from(body.height.saturating_sub(1))));
    if let Some((text, style)) = foot {
        let style = if style { theme.warn() } else { theme.dim() };
        put(buf, theme, area.x + 1, area.bottom() - 1, &text, style, area.width.saturating_sub(2));
    }
}

/// What there is to say below the rows, and whether it is a failure.
fn foot(m: &Model, shown: usize, waited: u64) -> Option<(String, bool)> {
    let list = m.list.as_ref()?;
    let read = list.rows.len();
    if let Some(fault) = &m.fault {
        return Some((format!("{}  r reads again", told(fault)), true));
    }
    if m.reading.is_some() {
        return Some((reading(&format!("{} so far, reading", count(read, "row", "rows")), waited), false));
    }
    let all = m.all().filter(|n| *n > read).map(|n| format!(", {} in all", group(n as u64))).unwrap_or_default();
    let part = if shown < read { format!("{} shown of ", group(shown as u64)) } else { String::new() };
    match &list.next {
        Some(_) if read >= MOST => {
            Some((format!("{part}{} read{all}; a tier or feature narrows it, a file takes all: a", group(read as u64)), false))
        }
        Some(_) => Some((format!("{part}{} read{all}; further down reads on", group(read as u64)), false)),
        None if shown < read => Some((format!("{shown} of {read} pass the filter"), false)),
        None => None,
    }
}

fn cells(r: &NearRow, wide: bool, cx: &Context, theme: &Theme) -> Vec<Cell> {
    let who = match (&r.email, &r.name) {
        (Some(e), _) if cx.revealed => e.clone(),
        (Some(e), _) => mask::email(e),
        (None, Some(n)) if cx.revealed => n.clone(),
        (None, Some(n)) => mask::name(n),
        (None, None) => mask::id(r.subject.as_str()),
    };
    let number = |n: i64| if wide { group(u64::try_from(n).unwrap_or(0)) } else { short(n) };
    let (resets, late) = match (r.claim, r.resets) {
        (Claim::Renewed, _) => ("not reset".to_string(), theme.warn()),
        (_, Some(at)) => (moment(at, cx.now).trim_end_matches('Z').to_string(), theme.dim()),
        (_, None) => ("no period".to_string(), theme.dim()),
    };
    let style = if r.state == QuotaState::Blocked { theme.warn() } else { theme.plain() };
    let plain = theme.plain();
    vec![
        (who, plain),
        (r.tier.clone(), plain),
        (r.feature.clone(), plain),
        (number(r.used), plain),
        (number(r.limit), plain),
        (r.percent().to_string(), plain),
        (resets, late),
        (r.state.word().to_string(), style),
    ]
}

/// A head and the rows that fit, a column between each two; the selected one marked and reversed.
pub fn table(buf: &mut Buffer, theme: &Theme, area: Rect, columns: &[Column], rows: &[Vec<Cell>], at: usize, first: usize) {
    let titles: Vec<Cell> = columns.iter().map(|(title, ..)| ((*title).to_string(), theme.dim())).collect();
    line(buf, theme, Rect { height: 1, ..area }, columns, &titles);
    let fit = usize::from(area.height.saturating_sub(1));
    for (i, cells) in rows.iter().enumerate().skip(first).take(fit) {
        let row = Rect { y: area.y + 1 + u16::try_from(i - first).unwrap_or(0), height: 1, ..area };
        line(buf, theme, row, columns, cells);
        if i == at {
            put(buf, theme, row.x, row.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, row);
        }
    }
}

fn line(buf: &mut Buffer, theme: &Theme, area: Rect, columns: &[Column], cells: &[Cell]) {
    let gap = if area.width >= WIDE { 2 } else { 1 };
    let mut x = area.x + 1;
    for ((_, room, right), (text, style)) in columns.iter().zip(cells) {
        let room = (*room).min(area.right().saturating_sub(x));
        if *right {
            put_right(buf, theme, x + room, area.y, &fit(text, room, theme), *style, room);
        } else {
            put(buf, theme, x, area.y, text, *style, room);
        }
        x = x.saturating_add(room + gap);
    }
}

/// A figure in at most five columns, rounded down: `9,999`, `12.3k`, `999k`, `4.2M`.
#[must_use]
pub fn short(n: i64) -> String {
    let n = u64::try_from(n).unwrap_or(0);
    let tenths = |unit: u64, word: &str| format!("{}.{}{word}", n / unit, n % unit * 10 / unit);
    match n {
        0..10_000 => group(n),
        10_000..100_000 => tenths(1_000, "k"),
        100_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..100_000_000 => tenths(1_000_000, "M"),
        100_000_000..1_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{}G", n / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn short_figures_never_say_more_than_there_is() {
        let shown: Vec<String> = [0, 9_999, 10_000, 99_999, 100_000, 999_999, 1_000_000, 2_147_483_647].iter().map(|n| short(*n)).collect();
        assert_eq!(shown, ["0", "9,999", "10.0k", "99.9k", "100k", "999k", "1.0M", "2G"]);
    }
}
