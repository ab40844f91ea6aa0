//! The frame around every screen: where one is, the panes, the state of the sources, what was said, the keys.

use super::keymap::{Action, Binding};
use super::keys::{own_bindings, pane_bindings};
use super::modal;
use super::panes::{customer, customers, event, home, pool, quota, run, runbook, subscription, webhooks};
use super::screen::{PANES, Screen};
use super::state::State;
use super::widgets::format::{clock, source};
use super::widgets::paint::{put, put_right, put_spans, rule, tabs, width, wrap};
use super::widgets::panel;
use super::world::Start;
use crate::domain::fault::Source;
use crate::domain::policy::{Mode, Writes};
use crate::protocol::freshness::Health;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The smallest screen that anything is drawn on.
const LEAST: (u16, u16) = (60, 20);
/// Hints in the footer, the one for help included.
const HINTS: usize = 7;

/// Whether nothing but the size needed is shown.
#[must_use]
pub fn is_too_small(columns: u16, rows: u16) -> bool {
    columns < LEAST.0 || rows < LEAST.1
}

/// Draws the whole screen. A pure function of the state.
pub fn draw(state: &State, buf: &mut Buffer) {
    let area = buf.area;
    let theme = &state.theme;
    if is_too_small(area.width, area.height) {
        let text = format!("needs {}x{}, has {}x{}", LEAST.0, LEAST.1, area.width, area.height);
        put(buf, theme, area.x, area.y, &text, theme.plain(), area.width);
        return;
    }
    let body = Rect { y: area.y + 2, height: area.height - 5, ..area };
    header(state, buf, area);
    title(state, buf, area);
    screen(state, buf, body);
    if let Some(dialog) = &state.dialog {
        modal::draw(state, dialog, body, buf);
    }
    rule(buf, theme, area, body.bottom());
    status(state, buf, area, body.bottom() + 1);
    footer(state, buf, area, body.bottom() + 2);
}

fn header(state: &State, buf: &mut Buffer, area: Rect) {
    let (theme, world, y) = (&state.theme, &state.world, area.y);
    let writes_on = matches!(&world.writes, Writes::On { until, .. } if *until > world.now);
    let mode = world.mode();
    let style = match mode {
        Mode::Live if writes_on => theme.danger(),
        Mode::Live => theme.bold(),
        Mode::Mixed => theme.warn(),
        Mode::Test | Mode::Unknown => theme.plain(),
    };
    let operator = world.env.as_ref().map_or("", |e| &e.operator);
    let writes = match &world.writes {
        Writes::On { until, reason } if *until > world.now => {
            // By the minute: a clock that ticks every second costs bytes and says nothing more.
            let minutes = ((*until - world.now).num_seconds() + 59) / 60;
            let reason = if area.width >= 100 { format!("\"{reason}\"  ") } else { String::new() };
            format!("{reason}WRITES {minutes} min")
        }
        _ => "read-only".to_string(),
    };
    let gap = if operator.is_empty() { "" } else { " " };
    let right = format!("  {operator}{gap}{} ", clock(world.now));
    let end = put_right(buf, theme, area.right(), y, &right, theme.plain(), area.width / 2);
    let start = put_right(buf, theme, end, y, &writes, if writes_on { theme.bold() } else { theme.plain() }, area.width / 2);
    let start = if world.revealed_until.is_some() { put_right(buf, theme, start, y, "REVEALED  ", theme.warn(), 12) } else { start };
    let place = match (&world.account, &world.env) {
        (Some(account), _) => format!("{} {} {}", account.name, theme.dot(), account.database),
        (None, Some(env)) => env.name.clone(),
        (None, None) => "nightdesk".to_string(),
    };
    let at = put(buf, theme, area.x, y, &format!(" {} ", mode.word()), style, 8);
    put(buf, theme, at + 1, y, &place, theme.plain(), start.saturating_sub(at + 3));
}

/// Row two: the panes, or the title of a run.
fn title(state: &State, buf: &mut Buffer, area: Rect) {
    let theme = &state.theme;
    let y = area.y + 1;
    if let Screen::Run(id) = state.screens.top()
        && let Some(model) = state.tasks.get(id)
    {
        rule(buf, theme, area, y);
        let mut x = area.x + 1;
        for (i, part) in run::title(model).iter().enumerate() {
            let style = if i == 0 { theme.bold() } else { theme.plain() };
            x = put(buf, theme, x, y, &format!(" {part} "), style, area.right().saturating_sub(x + 2)) + 2;
        }
        return;
    }
    let titles: Vec<String> = PANES.iter().map(|(digit, title, _)| format!("{digit} {title}")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let current = PANES.iter().position(|(_, _, s)| *s == state.screens.pane()).unwrap_or(0);
    tabs(buf, theme, area, y, &titles, current, "");
}

fn screen(state: &State, buf: &mut Buffer, body: Rect) {
    let (theme, cx) = (&state.theme, state.world.context());
    let inner = Rect { y: body.y + 1, height: body.height - 1, ..body };
    match &state.world.start {
        Start::Failed(why) => {
            put(buf, theme, inner.x + 1, inner.y, "FAIL", theme.fail(), 6);
            for (y, line) in (inner.top()..inner.bottom()).zip(wrap(why, inner.width.saturating_sub(9))) {
                put(buf, theme, inner.x + 7, y, &line, theme.plain(), inner.width - 8);
            }
            return;
        }
        Start::Starting(what) if state.world.env.is_none() => {
            panel::draw(buf, theme, inner, &panel::Panel::Reading { what, waited_ms: 0 });
            return;
        }
        _ => {}
    }
    match state.screens.top() {
        Screen::Home => home::draw(&state.home, &cx, body, buf, theme),
        Screen::Webhooks => webhooks::draw(&state.webhooks, &cx, body, buf, theme),
        Screen::Event => event::draw(&state.event, &cx, body, buf, theme),
        Screen::Customers => customers::draw(&state.customers, &cx, body, buf, theme),
        Screen::Customer => customer::draw(&state.customer, &cx, body, buf, theme),
        Screen::Subscription => subscription::draw(&state.subscription, &cx, body, buf, theme),
        Screen::Quota => quota::draw(&state.quota, &cx, body, buf, theme),
        Screen::Pool => pool::draw(&state.pool, &cx, body, buf, theme),
        Screen::Runbook => runbook::draw(&state.runbook, &cx, body, buf, theme),
        Screen::Run(id) => {
            if let Some(model) = state.tasks.get(id) {
                run::draw(model, &cx, body, buf, theme);
            }
        }
    }
}

/// The sources on the right; on the left what was said last, or what is going on. A sentence that needs the room takes it.
fn status(state: &State, buf: &mut Buffer, area: Rect, y: u16) {
    let (theme, world) = (&state.theme, &state.world);
    // Two keys from there to the drawer: the palette has it first while something is going on.
    let going_on = || state.tasks.line().map(|line| format!("{line}, : tasks"));
    let said = state.said.as_ref().map(|s| s.text.clone()).or_else(going_on);
    let shown: Vec<String> = [Source::Stripe, Source::Database, Source::Application, Source::Log, Source::Store]
        .into_iter()
        .filter_map(|s| world.sources.get(&s))
        // The journal is ours: it is news only where it fails.
        .filter(|f| f.source != Source::Store || !matches!(f.health(world.now), Health::Ok | Health::Connecting | Health::NotSetUp))
        // Logs are an extra: only where they are set up is their absence news.
        .filter(|f| f.set_up || f.source != Source::Log)
        .map(|f| source(f, world.now))
        .collect();
    let right = shown.join("  ");
    let left = said.unwrap_or_default();
    if left.is_empty() || width(&left) + width(&right) + 5 <= area.width {
        let mut end = area.right().saturating_sub(1);
        for text in shown.iter().rev() {
            let bad = text.split(' ').any(|w| w.len() > 2 && w.chars().all(|c| c.is_ascii_uppercase()));
            end = put_right(buf, theme, end, y, text, if bad { theme.warn() } else { theme.dim() }, area.width / 2).saturating_sub(2);
        }
    }
    let room = area.width.saturating_sub(2);
    let mut lines = wrap(&left, room);
    // A sentence that is longer than the line begins on the rule above it.
    if lines.len() > 1 {
        put(buf, theme, area.x, y - 1, &" ".repeat(usize::from(area.width)), theme.plain(), area.width);
        buf.set_style(Rect { y: y - 1, height: 1, ..area }, Style::reset());
        put(buf, theme, area.x + 1, y - 1, &lines.remove(0), theme.plain(), room);
    }
    put(buf, theme, area.x + 1, y, &lines.join(" "), theme.plain(), room);
}

fn footer(state: &State, buf: &mut Buffer, area: Rect, y: u16) {
    let theme = &state.theme;
    let hints = hints(state);
    let help = width("? keys") + 1;
    let mut x = area.x + 1;
    for (key, label, style, label_style) in hints {
        let end = area.right().saturating_sub(help + 2);
        if x + width(&key) + 1 + width(&label) > end {
            break;
        }
        x = put_spans(buf, theme, x, y, &[(&key, style), (" ", theme.plain()), (&label, label_style)], end - x) + 3;
    }
    if state.dialog.is_none() && !state.is_editing() {
        let at = area.right().saturating_sub(help);
        put_spans(buf, theme, at, y, &[("?", theme.plain()), (" keys", theme.dim())], help);
    }
}

/// Key, label and their styles, most useful first.
fn hints(state: &State) -> Vec<(String, String, Style, Style)> {
    let theme = &state.theme;
    if let Some(dialog) = &state.dialog {
        return modal::hints(&dialog.modal).iter().map(|(k, l)| ((*k).to_string(), (*l).to_string(), theme.plain(), theme.dim())).collect();
    }
    let mut bindings: Vec<Binding> = pane_bindings(state).into_iter().filter(|b| !b.label.is_empty()).collect();
    let at_home = state.screens.top() == Screen::Home && state.world.env.is_some();
    let wanted: &[Action] = if at_home { &[Action::Palette, Action::Escalate] } else { &[Action::Back] };
    for own in own_bindings(state) {
        if wanted.contains(&own.action) && own.enabled.is_ok() && !bindings.iter().any(|b| b.action == own.action) {
            bindings.push(own);
        }
    }
    if at_home {
        // What leads somewhere stays where there is no room for all: the menu of actions goes first.
        bindings.sort_by_key(|b| b.action == Action::Actions);
    }
    bindings.truncate(HINTS - 1);
    let recommended = bindings.iter().find(|b| b.enabled.is_ok() && is_recommended(b)).map(|b| b.action);
    bindings
        .into_iter()
        .map(|b| {
            let style = match b.enabled {
                Ok(()) if recommended == Some(b.action) => theme.key(),
                Ok(()) => theme.plain(),
                Err(_) => theme.dim(),
            };
            (b.key.to_string(), b.label, style, theme.dim())
        })
        .collect()
}

/// The key that leads on: the one in colour.
fn is_recommended(binding: &Binding) -> bool {
    matches!(binding.action, Action::Fix | Action::Confirm | Action::Writes)
        || (binding.action == Action::Open && !binding.label.is_empty())
}
