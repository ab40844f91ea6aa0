//! How the customer pane looks: who, the sentence, the fix, the truth table, the tabs.

use super::Model;
use super::mirror::InPlace;
use super::model::Tab;
use super::tabs::{Entry, empty, entries};
use super::truth::{Line, table};
use crate::console::context::Context;
use crate::console::widgets::format::age;
use crate::console::widgets::paint::{put, put_right, tabs, width, wrap};
use crate::console::widgets::panel::reading;
use crate::console::widgets::theme::Theme;
use crate::domain::diagnosis::{Class, Diagnosis, Word};
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::fault::Source;
use crate::domain::mask;
use crate::protocol::freshness::Health;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where sentences and labels begin.
const TEXT: u16 = 7;
/// Where Stripe's column begins.
const STRIPE: u16 = 21;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let Some((case, d)) = m.shown() else {
        let what = if m.handle().is_some() { "Not connected yet; this customer is read as soon as it is." } else { "Nobody is open." };
        put(buf, theme, area.x + 1, area.y, what, theme.dim(), area.width - 2);
        return;
    };
    let mirror = m.in_place(case, cx);
    let side_by_side = mirror.as_ref().map_or(case, |m| m.case);
    identity(m, side_by_side, d, cx, area, buf, theme);
    let mut y = sentence(m, d, cx, Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area }, buf, theme);
    for line in mirror.iter().flat_map(|m| wrap(&m.says, area.width.saturating_sub(TEXT + 1))).take(2) {
        put(buf, theme, area.x + TEXT, y, &line, theme.dim(), area.width.saturating_sub(TEXT + 1));
        y += 1;
    }
    y += 1;
    let nothing = d.class == Class::NotFound;
    if !nothing {
        y = truth(side_by_side, mirror.as_ref(), cx, Rect { y, height: area.bottom().saturating_sub(y), ..area }, buf, theme);
        y = others(side_by_side, Rect { y, height: area.bottom().saturating_sub(y), ..area }, buf, theme) + 1;
    }
    if !nothing && y + 1 < area.bottom() {
        let titles: Vec<_> = Tab::ALL.iter().map(|t| t.title()).collect();
        let current = Tab::ALL.iter().position(|t| *t == m.tab).unwrap_or(0);
        tabs(buf, theme, area, y, &titles, current, "tab");
        tab(m, side_by_side, mirror.is_some(), cx, Rect { y: y + 1, height: area.bottom() - y - 1, ..area }, buf, theme);
    }
}

/// Who it is, and how old what is shown is.
fn identity(m: &Model, case: &Case, d: &Diagnosis, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let record = case.record();
    let customer = case.customer.value().and_then(Option::as_ref);
    let given = if let Handle::Email(e) = &case.handle { Some(e.as_str()) } else { None };
    let email = record.and_then(|r| r.subject.email.as_deref()).or(customer.and_then(|c| c.email.as_deref())).or(given);
    let mut parts = Vec::new();
    parts.extend(email.map(|e| if cx.revealed { e.to_string() } else { mask::email(e) }));
    if cx.revealed {
        parts.extend(record.and_then(|r| r.subject.name.clone()).or(customer.and_then(|c| c.name.clone())));
    }
    parts.extend(record.map(|r| mask::id(r.subject.key.as_str())));
    parts.extend(customer.map(|c| if c.deleted { format!("{} deleted", mask::id(c.id.as_str())) } else { mask::id(c.id.as_str()) }));
    if parts.is_empty() {
        parts.push(match &case.handle {
            Handle::Subject(key) => mask::id(key.as_str()),
            Handle::Stripe(id) => mask::id(id.as_str()),
            Handle::Placeholder(id) => mask::id(id),
            Handle::Email(e) => mask::email(e),
        });
    }
    let (waiting, waited) = m.waiting(cx.tick);
    let right = if waiting.is_empty() {
        m.read_at.map(|at| (cx.now - at).num_seconds()).filter(|s| *s >= 60).map(|s| format!("read {} ago", age(s))).unwrap_or_default()
    } else if d.word == Word::Reading {
        // The sentence says it already.
        String::new()
    } else {
        let names: Vec<_> = waiting.iter().map(|s| s.word()).collect();
        reading(&format!("reading {}", names.join(", ")), waited)
    };
    let start = put_right(buf, theme, area.right() - 1, area.y, &right, theme.dim(), 40);
    let line = parts.join(&format!("  {}  ", theme.dot()));
    put(buf, theme, area.x + 1, area.y, &line, theme.bold(), start.saturating_sub(area.x + 2));
}

/// The word, the sentence, the reason, the fix. Returns the row after them.
fn sentence(m: &Model, d: &Diagnosis, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) -> u16 {
    let style = match d.word {
        Word::Fail => theme.fail(),
        Word::Warn => theme.warn(),
        _ => theme.bold(),
    };
    let room = area.width.saturating_sub(TEXT + 1);
    put(buf, theme, area.x + 1, area.y, d.word.shown(), style, 5);
    let (waiting, waited) = m.waiting(cx.tick);
    if d.word == Word::Reading && !waiting.is_empty() {
        let names: Vec<_> = waiting.iter().map(|s| s.name()).collect();
        put(buf, theme, area.x + TEXT, area.y, &reading(&format!("Reading {}", names.join(" and ")), waited), theme.plain(), room);
        return area.y + 1;
    }
    put(buf, theme, area.x + TEXT, area.y, &d.sentence, theme.plain(), room);
    let mut y = area.y + 1;
    for line in d.reason.iter().flat_map(|r| wrap(r, room)).take(2) {
        put(buf, theme, area.x + TEXT, y, &line, theme.dim(), room);
        y += 1;
    }
    if let Some(fix) = &d.fix {
        put(buf, theme, area.x + 4, y, "f", theme.key(), 1);
        let undo = if fix.undoable { "can be undone" } else { "cannot be undone" };
        let start = put_right(buf, theme, area.right() - 1, y, undo, theme.dim(), 16);
        put(buf, theme, area.x + TEXT, y, &fix.say, theme.plain(), start.saturating_sub(area.x + TEXT + 1));
        y += 1;
    }
    y
}

/// Stripe, database and application side by side. Returns the row after it.
fn truth(case: &Case, mirror: Option<&InPlace>, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) -> u16 {
    let Some(env) = cx.env else { return area.y };
    let wide = (area.width.saturating_sub(STRIPE - 1) / 3).clamp(16, 30);
    let (database, app) = (STRIPE + wide, STRIPE + 2 * wide);
    let mut y = area.y;
    for (x, title, source) in
        [(STRIPE, "Stripe", Source::Stripe), (database, "Database", Source::Database), (app, "App enforces", Source::Application)]
    {
        let (title, state) = match mirror.filter(|m| m.knows && source == Source::Stripe) {
            Some(m) => ("Mirror", m.state.clone()),
            None => (title, source_state(cx, source)),
        };
        let end = put(buf, theme, area.x + x, y, title, theme.dim(), wide);
        put(buf, theme, end + 2, y, &state, theme.warn(), (area.x + x + wide).saturating_sub(end + 3));
    }
    y += 1;
    for mut line in table(case, &env.tiers, cx.now) {
        line.differs &= mirror.is_none_or(|m| !m.stale);
        if y >= area.bottom() {
            break;
        }
        row(&line, (database, app), wide, Rect { y, height: 1, ..area }, buf, theme);
        y += 1;
    }
    y
}

fn row(line: &Line, (database, app): (u16, u16), wide: u16, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let cell = |text: &str| -> Style {
        if matches!(text, "…" | "no answer" | "not known" | "none" | "not set up" | "not asked" | "not mapped") {
            theme.dim()
        } else {
            theme.plain()
        }
    };
    put(buf, theme, area.x + TEXT, area.y, line.label, theme.dim(), STRIPE - TEXT - 1);
    put(buf, theme, area.x + STRIPE, area.y, &line.stripe, cell(&line.stripe), wide - 3);
    put(buf, theme, area.x + database, area.y, &line.database, cell(&line.database), wide - 3);
    put(buf, theme, area.x + app, area.y, &line.app, cell(&line.app), area.width.saturating_sub(app + 1));
    for (x, differs) in [(database, line.differs), (app, line.app_differs)] {
        if differs {
            let mark = theme.differs();
            put(buf, theme, area.x + x - 1 - width(mark), area.y, mark, theme.warn(), 2);
        }
    }
}

/// What keeps a source's column from being the latest; empty while all is well.
fn source_state(cx: &Context, source: Source) -> String {
    let Some(f) = cx.sources.get(&source) else { return String::new() };
    match f.health(cx.now) {
        Health::Stale => "STALE".into(),
        Health::Down => "DOWN".into(),
        Health::Auth => "AUTH".into(),
        Health::Limit => "LIMIT".into(),
        Health::Full => "FULL".into(),
        Health::Ok | Health::Connecting | Health::NotSetUp => String::new(),
    }
}

/// Further Stripe customers of the case, the one in question left out. Returns the row after them.
fn others(case: &Case, area: Rect, buf: &mut Buffer, theme: &Theme) -> u16 {
    let customer = case.customer.value().and_then(Option::as_ref);
    let question = customer.map(|c| &c.id);
    let address = customer.and_then(|c| c.email.as_ref()).map(|e| e.to_lowercase());
    let mut y = area.y;
    for c in case.customers.iter().filter(|c| Some(&c.id) != question).take(3) {
        if y >= area.bottom() {
            break;
        }
        let live = case.subscriptions.value().into_iter().flatten().any(|s| s.customer == c.id && s.status.is_live());
        let mut what = if case.others.contains(&c.id) {
            "another profile's".to_string()
        } else if c.deleted {
            "deleted".to_string()
        } else if live {
            "live too".to_string()
        } else {
            "nothing live".to_string()
        };
        if c.email.is_some() && c.email.as_ref().map(|e| e.to_lowercase()) == address {
            what.insert_str(0, "same address, ");
        }
        put(buf, theme, area.x + TEXT, y, "also", theme.dim(), 6);
        put(buf, theme, area.x + STRIPE, y, &format!("{}  {what}", mask::id(c.id.as_str())), theme.plain(), area.width - STRIPE - 1);
        y += 1;
    }
    y
}

fn tab(m: &Model, case: &Case, mirror: bool, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let all = entries(case, m.tab, cx.now);
    if all.is_empty() {
        put(buf, theme, area.x + 1, area.y, empty(case, m.tab), theme.dim(), area.width - 2);
        return;
    }
    let fit = usize::from(area.height);
    let most = all.len().saturating_sub(fit);
    // A story is read from its end: the newest lines show, scrolling goes back in time.
    let first = if m.tab == Tab::Timeline { most - m.scroll.min(most) } else { m.scroll.min(most) };
    let lead = all.iter().map(|e| width(&e.lead)).max().unwrap_or(0).min(24);
    for (i, entry) in all.iter().skip(first).take(fit).enumerate() {
        let y = area.y + u16::try_from(i).unwrap_or(0);
        // What Stripe's objects date was read in their mirror.
        let source = if mirror && entry.source == Source::Stripe.word() { "mirror" } else { entry.source };
        one(entry, source, lead, Rect { y, height: 1, ..area }, buf, theme);
    }
    if most > 0 && matches!(case.record, Known::Is { .. }) && all.len() > fit {
        // The rule above says how much more there is; the rows themselves stay free of it.
        let hidden = format!(" {} more ", all.len() - fit);
        put_right(buf, theme, area.right().saturating_sub(9), area.y - 1, &hidden, theme.dim(), 14);
    }
}

fn one(entry: &Entry, source: &str, lead: u16, area: Rect, buf: &mut Buffer, theme: &Theme) {
    put(buf, theme, area.x + 1, area.y, &entry.lead, theme.dim(), lead);
    let x = area.x + 1 + lead + 2;
    put(buf, theme, x, area.y, source, theme.dim(), 6);
    let start = put_right(buf, theme, area.right() - 1, area.y, &entry.id, theme.dim(), 30);
    let style = if entry.marked { theme.warn() } else { theme.plain() };
    put(buf, theme, x + 8, area.y, &entry.text, style, start.saturating_sub(x + 9));
}
