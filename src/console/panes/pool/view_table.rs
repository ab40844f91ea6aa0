//! How the list of sessions looks: the filter, then a row a session, and one for all that are healthy. Only what is visible is drawn.

use super::list::{FIELDS, Sort};
use super::model::Model;
use super::tell;
use crate::console::pool::Seen;
use crate::console::widgets::format::age;
use crate::console::widgets::paint::{put, put_right, select};
use crate::console::widgets::theme::Theme;
use crate::domain::money::group;
use crate::domain::sessions::{Class, Session};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where the filter's text begins.
const LABEL: u16 = 9;
/// From this width on there is room for clients and waits.
const WIDE: u16 = 110;

/// Widths of the columns before the statement; none where there is no room.
pub struct Widths {
    pub age: u16,
    pub class: u16,
    pub application: u16,
    pub client: u16,
    pub wait: u16,
    pub blocks: u16,
    pub pid: u16,
    pub wide: bool,
}

impl Widths {
    #[must_use]
    pub fn of(columns: u16) -> Self {
        let wide = columns >= WIDE;
        let or = |w: u16, n: u16| if wide { w } else { n };
        Self { age: 4, class: or(28, 14), application: or(18, 15), client: or(14, 0), wait: or(14, 0), blocks: 6, pid: 7, wide }
    }
}

pub fn draw(m: &Model, seen: &Seen, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let area = if filter_line(m, seen.activity.sessions.len(), area, buf, theme) {
        Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area }
    } else {
        area
    };
    if m.list.len() == 0 {
        let all = group(seen.activity.sessions.len() as u64);
        let say = format!("None of {all} sessions passes the filter. Esc drops it.");
        put(buf, theme, area.x + 1, area.y, &say, theme.plain(), area.width.saturating_sub(2));
        return;
    }
    let widths = Widths::of(area.width);
    titles(&widths, area, buf, theme);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let (fit, cursor) = (usize::from(body.height), m.list.cursor());
    let first = cursor.first(m.list.len(), fit);
    for at in (first..m.list.len()).take(fit) {
        let line = Rect { y: body.y + u16::try_from(at - first).unwrap_or(0), height: 1, ..body };
        if m.list.is_fold(at) {
            let say = format!("{} more, healthy or not ours: {}", group(m.list.folded() as u64), tell::folded(seen));
            put(buf, theme, line.x + 2, line.y, &say, theme.dim(), line.width.saturating_sub(3));
        } else if let (Some(session), Some(place)) = (m.list.row(at, seen), m.list.place(at)) {
            let marked = session.id().is_some_and(|id| m.list.marked.contains(&id));
            row(m, seen, session, seen.classes[place], &widths, marked, 0, line, buf, theme);
        }
        if at == cursor.at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
    }
}

pub fn titles(widths: &Widths, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let cells = [
        ("age", widths.age, true),
        ("class", widths.class, false),
        ("application", widths.application, false),
        ("client", widths.client, false),
        ("waits for", widths.wait, false),
        ("blocks", widths.blocks, true),
        ("process", widths.pid, true),
    ];
    let mut x = area.x + 2;
    for (title, width, right) in cells.into_iter().filter(|(_, width, _)| *width > 0) {
        if right {
            put_right(buf, theme, x + width, area.y, title, theme.dim(), width);
        } else {
            put(buf, theme, x, area.y, title, theme.dim(), width);
        }
        x += width + 1;
    }
    put(buf, theme, x + 1, area.y, "statement", theme.dim(), area.right().saturating_sub(x + 1));
}

/// One session, its class indented by so many steps.
#[expect(clippy::too_many_arguments, reason = "a row's surroundings, and the two tables that draw it differ in nothing else")]
pub fn row(
    m: &Model,
    seen: &Seen,
    s: &Session,
    class: Class,
    widths: &Widths,
    marked: bool,
    depth: u16,
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    let old = s.age_in_state(seen.activity.at).map(|age_now| age(age_now.num_seconds())).unwrap_or_default();
    let victims = seen.blocking.victims(s.pid);
    let blocks = if victims == 0 { String::new() } else { victims.to_string() };
    let client = if s.is_hidden() { "" } else { s.client.as_deref().unwrap_or("local") };
    let wait = if s.waits_for_lock() { s.wait.as_ref().map_or("", |(_, event)| event) } else { "" };
    let style = match class {
        Class::Blocker | Class::Blocked | Class::IdleInTransaction => theme.warn(),
        _ => theme.plain(),
    };
    let indent = depth.min(4) * 2;
    let name = s.name();
    let word = format!("{}{}", " ".repeat(usize::from(indent)), tell::class(s, class, widths.wide));
    let pid = s.pid.to_string();
    let cells: [(&str, Style, u16, bool); 7] = [
        (&old, theme.plain(), widths.age, true),
        (&word, style, widths.class, false),
        (&name, theme.plain(), widths.application, false),
        (client, theme.dim(), widths.client, false),
        (wait, theme.dim(), widths.wait, false),
        (&blocks, theme.bold(), widths.blocks, true),
        (&pid, theme.dim(), widths.pid, true),
    ];
    if marked {
        put(buf, theme, area.x + 1, area.y, theme.current(), theme.bold(), 1);
    }
    let mut x = area.x + 2;
    for (text, style, width, right) in cells.into_iter().filter(|c| c.2 > 0) {
        if right {
            put_right(buf, theme, x + width, area.y, text, style, width);
        } else {
            put(buf, theme, x, area.y, text, style, width);
        }
        x += width + 1;
    }
    put(buf, theme, x + 1, area.y, m.text(s).unwrap_or_default(), theme.dim(), area.right().saturating_sub(x + 2));
}

/// The filter and the order, where they are not what one starts with. Whether there is such a line.
fn filter_line(m: &Model, all: usize, area: Rect, buf: &mut Buffer, theme: &Theme) -> bool {
    let list = &m.list;
    if !m.has_filter_line() {
        return false;
    }
    let order = if list.sort == Sort::Harm { "" } else { list.sort.word() };
    let end = put_right(buf, theme, area.right() - 1, area.y, order, theme.dim(), 40);
    if list.focused || !list.field.is_empty() {
        put(buf, theme, area.x + 1, area.y, "filter", theme.dim(), LABEL);
        let room = Rect { x: area.x + LABEL, width: end.saturating_sub(area.x + LABEL + 1), height: 1, y: area.y };
        list.field.draw(buf, theme, room, list.focused);
    }
    let room = area.width.saturating_sub(LABEL + 1);
    if let Some(stranger) = list.stranger() {
        let say = format!("no field {stranger}: {}", FIELDS.join(", "));
        put(buf, theme, area.x + LABEL, area.y + 1, &say, theme.warn(), room);
    } else if list.focused && list.field.is_empty() {
        let say = "text, field:value, !not, >5m in its state; fields as in app: class: tx>1";
        put(buf, theme, area.x + LABEL, area.y + 1, say, theme.dim(), room);
    } else if !list.field.is_empty() {
        let say = format!("{} of {} sessions", group(list.passing() as u64), group(all as u64));
        put(buf, theme, area.x + LABEL, area.y + 1, &say, theme.dim(), room);
    }
    true
}
