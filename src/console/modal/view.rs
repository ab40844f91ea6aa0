//! How dialogs look: a sheet over the lower part of the body, its title in a rule; the screen above stays readable.

use super::{Dialog, Modal, SPANS, help, palette, tasks};
use crate::console::ask::{ActionItem, LetBe};
use crate::console::state::State;
use crate::console::widgets::format::{clock, count, moment};
use crate::console::widgets::paint::{fit, put, put_right, put_spans, rule, select, tabs, width, wrap};
use crate::console::widgets::theme::Theme;
use crate::protocol::environment::Contact;
use crate::protocol::run::short;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use uuid::Uuid;

/// The columns that text keeps clear on the left.
const INDENT: u16 = 7;

/// One line of a sheet: pieces of text, and whether it is the selected one.
struct Line {
    spans: Vec<(String, Style)>,
    right: Option<(String, Style)>,
    selected: bool,
}

/// Draws the dialog over the lower part of `body`.
pub fn draw(state: &State, dialog: &Dialog, body: Rect, buf: &mut Buffer) {
    let theme = &state.theme;
    let room = body.width.saturating_sub(INDENT + 2);
    let title = title(state, &dialog.modal);
    let lines = lines(state, dialog, theme, room);
    // A title, a blank line, what is said, a blank line: never more than the body less its first three rows.
    let most = body.height.saturating_sub(3);
    let height = (u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3)).min(most).max(6.min(most));
    let sheet = Rect { x: body.x, y: body.bottom() - height, width: body.width, height };
    for y in sheet.top()..sheet.bottom() {
        put(buf, theme, sheet.x, y, &" ".repeat(usize::from(sheet.width)), theme.plain(), sheet.width);
        buf.set_style(Rect { y, height: 1, ..sheet }, Style::reset());
    }
    rule(buf, theme, sheet, sheet.y);
    tabs(buf, theme, sheet, sheet.y, &[&title], 0, "esc");
    let fit = usize::from(height.saturating_sub(3));
    let first = first(&dialog.modal, &lines, fit);
    for (i, line) in lines.iter().skip(first).take(fit).enumerate() {
        let y = sheet.y + 2 + u16::try_from(i).unwrap_or(0);
        let spans: Vec<(&str, Style)> = line.spans.iter().map(|(t, s)| (t.as_str(), *s)).collect();
        let edge = line
            .right
            .as_ref()
            .map_or(body.right() - 1, |(text, style)| put_right(buf, theme, body.right() - 1, y, text, *style, room / 2).saturating_sub(1));
        put_spans(buf, theme, sheet.x + INDENT, y, &spans, edge.saturating_sub(sheet.x + INDENT));
        if line.selected {
            put(buf, theme, sheet.x + INDENT - 2, y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, Rect { x: sheet.x + INDENT - 2, y, width: body.width - INDENT + 1, height: 1 });
        }
    }
    if let Some(field) = field(&dialog.modal) {
        field.draw(buf, theme, Rect { x: sheet.x + INDENT + 2, y: sheet.y + 2, width: room.saturating_sub(2), height: 1 }, true);
    }
    let below = lines.len().saturating_sub(first + fit);
    if below > 0 {
        put_right(buf, theme, body.right() - 1, sheet.bottom() - 1, &format!("{below} more below"), theme.dim(), 20);
    }
}

/// The hints in the footer while it is open: key, what it does.
#[must_use]
pub fn hints(modal: &Modal) -> &'static [(&'static str, &'static str)] {
    match modal {
        Modal::Writes { .. } => &[("enter", "writes on for 15 minutes"), ("esc", "stay read-only")],
        Modal::Reveal { .. } => &[("enter", "reveal for 60 s"), ("esc", "keep masked")],
        Modal::LetBe { what: LetBe::Marked(_), count: None, .. } => {
            &[("enter", "how many"), ("up down", "longer, shorter"), ("esc", "leave them")]
        }
        Modal::LetBe { .. } => &[("enter", "say so"), ("up down", "longer, shorter"), ("esc", "leave it")],
        Modal::GiveUp { .. } => &[("enter", "give it up"), ("esc", "leave it")],
        Modal::Evidence { .. } | Modal::Session { .. } => &[("j k", "scroll"), ("esc", "close")],
        Modal::Copy { copied: None, .. } => &[("j k", "choose"), ("enter", "copy"), ("esc", "close")],
        Modal::Copy { .. } => &[("j k", "scroll"), ("esc", "close")],
        Modal::Actions { .. } => &[("a letter", "does it"), ("esc", "close")],
        Modal::Help { .. } => &[("type", "to search"), ("up down", "scroll"), ("esc", "close")],
        Modal::Palette { .. } => &[("type", "to search"), ("up down", "choose"), ("enter", "go"), ("esc", "close")],
        Modal::Tasks { at: None } => &[("esc", "close")],
        Modal::Tasks { .. } => &[("j k", "choose"), ("enter", "open"), ("esc", "close")],
        Modal::Escalate { .. } => &[("j k", "choose"), ("enter", "the message"), ("esc", "close")],
        Modal::Quit => &[("y", "quit"), ("esc", "stay")],
    }
}

fn title(state: &State, modal: &Modal) -> String {
    let mode = state.world.mode().word();
    match modal {
        Modal::Writes { .. } => format!("Turn writes on, {mode}"),
        Modal::Reveal { .. } => "Reveal personal data".into(),
        Modal::LetBe { what, .. } => what.words(),
        Modal::GiveUp { run, .. } => format!("Give up run {}", short(*run)),
        Modal::Evidence { title, .. } | Modal::Session { title, .. } => title.clone(),
        Modal::Copy { copied: None, .. } => "Copy".into(),
        Modal::Copy { .. } => "Copied, if this terminal lets programs copy".into(),
        Modal::Actions { .. } => "Actions".into(),
        Modal::Help { .. } => "Keys of this screen".into(),
        Modal::Palette { .. } => "Go to".into(),
        Modal::Tasks { .. } => "Running tasks".into(),
        Modal::Escalate { .. } => "Escalate".into(),
        Modal::Quit => "Quit".into(),
    }
}

fn field(modal: &Modal) -> Option<&crate::console::widgets::form::TextField> {
    match modal {
        Modal::LetBe { count: Some(f), .. }
        | Modal::LetBe { reason: f, .. }
        | Modal::GiveUp { reason: f, .. }
        | Modal::Writes { reason: f }
        | Modal::Reveal { reason: f }
        | Modal::Help { filter: f, .. }
        | Modal::Palette { query: f, .. } => Some(f),
        _ => None,
    }
}

fn first(modal: &Modal, lines: &[Line], fit: usize) -> usize {
    let most = lines.len().saturating_sub(fit);
    let scrolled = match modal {
        Modal::Evidence { scroll, .. } | Modal::Session { scroll, .. } | Modal::Help { scroll, .. } => usize::from(*scroll),
        Modal::Copy { copied: Some(_), at, .. } => *at,
        _ => lines.iter().position(|l| l.selected).map_or(0, |at| (at + 1).saturating_sub(fit)),
    };
    scrolled.min(most)
}

fn lines(state: &State, dialog: &Dialog, theme: &Theme, room: u16) -> Vec<Line> {
    match &dialog.modal {
        Modal::Writes { .. } => {
            let until = state.world.now + chrono::Duration::minutes(15);
            let why = "Why? The reason is journaled with everything that is done.";
            question(why, &format!("Writes go off by themselves at {}.", clock(until)), theme)
        }
        Modal::Reveal { .. } => {
            let why = "Why? Names and addresses stay readable for 60 seconds.";
            question(why, "The reason is journaled; the data is not.", theme)
        }
        Modal::LetBe { what, span, count, .. } => let_be(what, SPANS[*span], count.is_some(), state, theme),
        Modal::GiveUp { .. } => {
            let why = "Why? The reason is journaled. Nothing more of it is ever sent.";
            question(why, "What it sent is not sent again; what is still missing is for a new run, or for hands.", theme)
        }
        Modal::Evidence { lines, .. } | Modal::Session { lines, .. } => {
            lines.iter().flat_map(|l| wrapped(l, room, theme.plain())).collect()
        }
        Modal::Copy { copied: Some(text), .. } => copied(text, theme, room),
        Modal::Copy { items, at, copied: None } => {
            items.iter().enumerate().map(|(i, item)| Line::row(&item.label, glance(&item.text), i == *at, theme)).collect()
        }
        Modal::Actions { items } => items.iter().flat_map(|item| action(item, theme, room)).collect(),
        Modal::Help { filter, .. } => keys(state, filter.text(), theme),
        Modal::Palette { query, at } => entries(state, query.text(), *at, theme),
        Modal::Tasks { at } => drawer(state, *at, theme, room),
        Modal::Escalate { at } => contacts(state, *at, theme),
        Modal::Quit => quit(state, theme, room),
    }
}

/// What a text is asked for, and what follows from it.
fn question(why: &str, then: &str, theme: &Theme) -> Vec<Line> {
    vec![prompt(theme), Line::blank(), Line::of(why, theme.plain()), Line::of(then, theme.dim())]
}

fn let_be(what: &LetBe, minutes: i64, counting: bool, state: &State, theme: &Theme) -> Vec<Line> {
    let until = moment(state.world.now + chrono::Duration::minutes(minutes), state.world.now);
    match what.count() {
        Some(n) if counting => {
            let type_it = format!("Type {n} to accept the {n} that are marked, each in its class.");
            question(&type_it, &format!("They alarm again at {until}; up and down change that."), theme)
        }
        _ => {
            let why = "Why? Every console sees the reason, and who said so: name nobody.";
            question(why, &format!("It alarms again at {until}; up and down change that."), theme)
        }
    }
}

fn copied(text: &str, theme: &Theme, room: u16) -> Vec<Line> {
    // Lines that fit keep their blanks: JSON and screens are read by them.
    let shown = |l: &str| if width(l) <= room { vec![Line::of(l, theme.plain())] } else { wrapped(l, room, theme.plain()) };
    let mut out: Vec<Line> = text.lines().flat_map(shown).collect();
    out.push(Line::blank());
    out.push(Line::of("If it did not arrive, copy it from here by hand.", theme.dim()));
    out
}

fn action(item: &ActionItem, theme: &Theme, room: u16) -> Vec<Line> {
    match &item.does {
        Ok(_) => vec![Line::spans(vec![(format!("{}  ", item.letter), theme.bold()), (item.label.clone(), theme.plain())])],
        Err(reason) => impossible(&format!("{}  {}", item.letter, item.label), reason, theme.dim(), room),
    }
}

fn keys(state: &State, filter: &str, theme: &Theme) -> Vec<Line> {
    let dim = theme.dim();
    let mut out = vec![prompt(theme), Line::blank()];
    for (keys, meaning, reason) in help::lines(state, filter) {
        let style = if reason.is_some() { dim } else { theme.plain() };
        let key = if reason.is_some() { dim } else { theme.bold() };
        out.push(Line::spans(vec![(format!("{keys:<9} "), key), (meaning, style)]));
        out.extend(reason.map(|r| Line::of(&format!("{:<10}not now: {r}", ""), dim)));
    }
    out
}

fn entries(state: &State, query: &str, at: usize, theme: &Theme) -> Vec<Line> {
    let dim = theme.dim();
    let entries = palette::entries(state, query);
    let mut out = vec![prompt(theme), Line::blank()];
    for (i, entry) in entries.iter().enumerate() {
        let (style, right) = match &entry.goes {
            Ok(_) => (theme.plain(), entry.key.clone()),
            Err(reason) => (dim, reason.clone()),
        };
        let spans = vec![(format!("{:<10}", entry.kind), dim), (entry.label.clone(), style)];
        out.push(Line { spans, right: Some((right, dim)), selected: i == at });
    }
    if entries.is_empty() {
        out.push(Line::of("Nothing has that name.", dim));
    }
    out
}

fn drawer(state: &State, at: Option<Uuid>, theme: &Theme, room: u16) -> Vec<Line> {
    let mut out: Vec<Line> = tasks::tasks(state).iter().map(|t| task(t, at == Some(t.run), theme, room)).collect();
    if out.is_empty() {
        out.push(Line::of("Nothing is running, and no run of yours was left unfinished.", theme.plain()));
    }
    let others = tasks::of_others(state);
    if others > 0 {
        out.push(Line::blank());
        out.push(Line::of(&format!("{} of others unfinished; Home lists them.", count(others, "run", "runs")), theme.dim()));
    }
    out
}

fn contacts(state: &State, at: usize, theme: &Theme) -> Vec<Line> {
    let contacts = state.world.env.as_ref().map(|e| e.contacts.as_slice()).unwrap_or_default();
    let one = |(i, c): (usize, &Contact)| Line {
        spans: vec![(format!("{:<28}", c.issue), theme.plain()), (format!("  {}", c.contact), theme.bold())],
        right: Some((c.responds.clone(), theme.dim())),
        selected: i == at,
    };
    let mut out: Vec<Line> = contacts.iter().enumerate().map(one).collect();
    if state.world.env.as_ref().is_some_and(|e| !e.offers.escalate) {
        out.push(Line::blank());
        out.push(Line::of("No command is set up that sends it: enter writes the message, to copy.", theme.dim()));
    }
    out
}

fn quit(state: &State, theme: &Theme, room: u16) -> Vec<Line> {
    let mut out = vec![Line::of("Leave the console?", theme.bold())];
    if let Some(busy) = state.tasks.runs_line() {
        out.extend(wrapped(&format!("Going on: {busy}. It stands in the journal; the next console takes it up."), room, theme.warn()));
    }
    if let Some(export) = state.tasks.exports.line() {
        out.extend(wrapped(&format!("Going on: {export}. What there is by then stays, as a partial file."), room, theme.warn()));
    }
    out
}

/// What cannot be done, and why: beside it, or below it where the reason is long. It decides what to do instead, so it is never cut.
fn impossible(what: &str, reason: &str, style: Style, room: u16) -> Vec<Line> {
    let what_line = Line::of(what, style);
    if width(reason) <= room / 2 && width(what) + 2 + width(reason) <= room {
        return vec![Line { right: Some((reason.to_string(), style)), ..what_line }];
    }
    let below = wrap(reason, room.saturating_sub(3)).into_iter().map(|l| Line::of(&format!("   {l}"), style));
    std::iter::once(what_line).chain(below).collect()
}

/// A row of the drawer: the word, which run, what it does, for whom; its age or what keeps it closed on the right.
fn task(task: &tasks::Task, selected: bool, theme: &Theme, room: u16) -> Line {
    const FIXED: u16 = 11 + 6;
    let held = task.held.is_some();
    let plain = if held { theme.dim() } else { theme.plain() };
    let style = if task.calls && !held { theme.warn() } else { plain };
    let title = room.saturating_sub(FIXED) / 2;
    let spans = vec![
        (format!("{:<11}", task.word), style),
        (format!("{:<6}", short(task.run)), plain),
        (format!("{:<width$}", fit(&task.title, title.saturating_sub(2), theme), width = usize::from(title)), plain),
        (task.who.clone(), plain),
    ];
    Line { spans, right: Some((task.held.map_or_else(|| task.age.clone(), Into::into), theme.dim())), selected }
}

fn prompt(theme: &Theme) -> Line {
    Line::of(theme.pointer(), theme.key())
}

/// What a row of the copy menu shows of its text: the line, or how many there are.
fn glance(text: &str) -> String {
    match text.lines().count() {
        0 | 1 => text.trim_end().to_string(),
        lines => count(lines, "line", "lines"),
    }
}

fn wrapped(text: &str, room: u16, style: Style) -> Vec<Line> {
    wrap(text, room).into_iter().map(|l| Line::of(&l, style)).collect()
}

impl Line {
    fn of(text: &str, style: Style) -> Self {
        Self::spans(vec![(text.to_string(), style)])
    }

    fn blank() -> Self {
        Self::spans(Vec::new())
    }

    fn spans(spans: Vec<(String, Style)>) -> Self {
        Self { spans, right: None, selected: false }
    }

    fn row(label: &str, value: String, selected: bool, theme: &Theme) -> Self {
        let gap = if width(label) < 24 { "" } else { "  " };
        Self { spans: vec![(format!("{label:<24}{gap}"), theme.plain()), (value, theme.dim())], right: None, selected }
    }
}
