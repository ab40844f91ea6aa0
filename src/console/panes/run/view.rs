//! How a run looks: steps in one line, the sentence, what will change, what was checked, the runbook's words, the question.

use super::{Model, bulk};
use crate::console::context::Context;
use crate::console::widgets::format::count;
use crate::console::widgets::paint::{fit, put, put_spans, select, width, wrap};
use crate::console::widgets::theme::Theme;
use crate::domain::mask;
use crate::domain::row::{Change, Value};
use crate::procedures::engine::Phase;
use crate::procedures::{Book, by_id};
use crate::protocol::command::Command;
use crate::protocol::run::{Decision, Plan, Step, StepState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::collections::BTreeSet;

/// Where text begins: the same column as on every other screen.
pub(super) const INDENT: u16 = 7;
/// The width of the labels in front of it.
const LABEL: u16 = 10;
/// So many of the rows that a plan writes stand in its review, and so many where there is little room.
const ROWS: usize = 8;
const ROWS_SHORT: usize = 3;

/// What the rule above the run says: procedure, short name, whom.
#[must_use]
pub fn title(m: &Model) -> Vec<String> {
    let name = by_id(&m.run.procedure).map_or(m.run.procedure.as_str(), |p| p.title());
    let name = if m.run.undoing.is_some() { format!("Undo: {name}") } else { name.to_string() };
    let mut parts = vec![name, m.name()];
    parts.extend(m.run.plan.as_ref().map(|p| p.who.clone()));
    parts
}

/// How much of the runbook is quoted. What was checked is never shortened: it decides, and scrolls where it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Its sentence and every difference.
    Full,
    /// Its sentence and the first difference, the others behind `e`.
    First,
    /// Where to find both, below the rows that are written.
    Rows,
    /// The same, below the first of them.
    Pointer,
}

/// A line of the body: its pieces, and the column they begin at.
pub(super) type Line = Vec<(u16, String, Style)>;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let mut y = area.y;
    if let Some(plan) = &m.run.plan {
        steps(buf, theme, Rect { height: 1, ..area }, &line_of_steps(m, plan));
        y += 1;
    }
    y += 1;
    let top = y;
    let room = area.width.saturating_sub(INDENT + 2).min(100);
    let foot = foot(m, cx, theme, room);
    let foot_height = u16::try_from(foot.len()).unwrap_or(0);
    // A blank line stands between the plan and the question.
    let room_for = area.bottom().saturating_sub(y + foot_height + 1);
    let fits = |lines: &Vec<Line>| lines.len() <= usize::from(room_for);
    let lines = [Detail::Full, Detail::First, Detail::Rows].into_iter().map(|d| body(m, cx, theme, room, d)).find(fits);
    let lines = lines.unwrap_or_else(|| body(m, cx, theme, room, Detail::Pointer));
    let hidden = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(room_for);
    let chosen = chosen(m, room, lines.len());
    // What is chosen is on screen, wherever the rest has been scrolled to.
    let first = chosen.as_ref().map_or(m.scroll, |c| m.scroll.max(c.end.saturating_sub(room_for)).min(c.start)).min(hidden);
    for line in lines.iter().skip(usize::from(first)).take(usize::from(room_for)) {
        paint(buf, theme, area, y, line);
        y += 1;
    }
    if hidden > first {
        let key = if m.is_editing(cx) { "pgdn" } else { "j" };
        let text = format!("{} more below, {key}", hidden - first);
        put(buf, theme, area.x + INDENT, y, &text, theme.dim(), room);
    }
    let mut y = area.bottom().saturating_sub(foot_height).max(y);
    // Short plans keep their question near: a gap of a line, not half a screen.
    if hidden == 0 {
        y = y.min(top + u16::try_from(lines.len()).unwrap_or(0) + 1);
    }
    for line in &foot {
        paint(buf, theme, area, y, line);
        y += 1;
    }
    if m.manual().is_some() {
        m.typed.draw(
            buf,
            theme,
            Rect { x: area.x + INDENT + width("Done by hand: "), y: y.saturating_sub(1), width: room.saturating_sub(16), height: 1 },
            m.is_editing(cx),
        );
    } else if let (Phase::Review, Some(typed)) = (&m.run.phase, m.run.plan.as_ref().and_then(|p| p.typed.as_ref()))
        && m.has_field(cx)
    {
        let at = area.x + INDENT + width(&format!("Type {typed}  "));
        m.typed.draw(buf, theme, Rect { x: at, y: y.saturating_sub(1), width: 24, height: 1 }, m.is_editing(cx));
    }
    if let Some(chosen) = chosen {
        let y = top + chosen.start.saturating_sub(first) + 1;
        put(buf, theme, area.x + INDENT - 2, y, theme.pointer(), theme.plain(), 1);
        select(buf, theme, Rect { x: area.x + INDENT - 2, y, width: area.width.saturating_sub(INDENT), height: 1 });
    }
}

/// The lines that the chosen option takes: a blank one, what it is, the evidence for it. `all`: lines of the body, which ends with them.
fn chosen(m: &Model, room: u16, all: usize) -> Option<std::ops::Range<u16>> {
    let Phase::Deciding(decision) = &m.run.phase else { return None };
    let rows: Vec<usize> = decision.options.iter().map(|o| 1 + wrap(&o.say, room).len() + wrap(&o.evidence, room).len()).collect();
    let choice = m.choice.filter(|c| *c < rows.len())?;
    let start = all.checked_sub(rows.iter().skip(choice).sum())?;
    Some(u16::try_from(start).ok()?..u16::try_from(start + rows[choice]).ok()?)
}

/// The steps of a plan of many acts are its stages.
fn line_of_steps(m: &Model, plan: &Plan) -> Vec<Step> {
    if plan.pace.is_some() { bulk::stages(&m.run, plan) } else { plan.steps.clone() }
}

fn paint(buf: &mut Buffer, theme: &Theme, area: Rect, y: u16, line: &Line) {
    if y >= area.bottom() {
        return;
    }
    for (x, text, style) in line {
        put(buf, theme, area.x + x, y, text, *style, area.width.saturating_sub(x + 1));
    }
}

fn steps(buf: &mut Buffer, theme: &Theme, line: Rect, steps: &[Step]) {
    let mut x = line.x + 1;
    for step in steps {
        let (mark, style) = match &step.state {
            StepState::Passed => (theme.done(), theme.plain()),
            StepState::Running => (theme.current(), theme.bold()),
            StepState::Pending => (theme.pending(), theme.dim()),
            StepState::Skipped(_) => ("-", theme.dim()),
            StepState::Failed(_) => ("FAIL", theme.fail()),
            StepState::Unknown(_) => ("?", theme.warn()),
        };
        x = put_spans(buf, theme, x, line.y, &[(mark, style), (" ", theme.plain()), (&step.title, style)], line.right().saturating_sub(x))
            + 2;
    }
}

/// What is said above the question.
fn body(m: &Model, cx: &Context, theme: &Theme, room: u16, detail: Detail) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let say = |lines: &mut Vec<Line>, text: &str, style: Style| {
        lines.extend(wrap(text, room).into_iter().map(|l| vec![(INDENT, l, style)]));
    };
    // Once it is done, the sentence has the last of them.
    if !m.heard.is_empty() && !matches!(m.run.phase, Phase::Done(_)) {
        for line in &m.heard {
            say(&mut lines, line, theme.dim());
        }
        lines.push(Vec::new());
    }
    // The end comes first, and what is to be known about it after it.
    let ended = matches!(m.run.phase, Phase::Done(_) | Phase::Halted(_));
    if let Some(note) = m.run.note.as_ref().filter(|_| !ended) {
        say(&mut lines, note, theme.warn());
        lines.push(Vec::new());
    }
    match &m.run.phase {
        Phase::Gathering if m.run.is_confirmed() => {
            say(&mut lines, "Confirmed. The facts are read once more; only what was reviewed is done…", theme.dim());
        }
        Phase::Gathering => say(&mut lines, "Reading the facts; nothing is written before you confirm…", theme.dim()),
        Phase::Deciding(decision) => return [lines, decision_lines(decision, &m.marked, theme, room)].concat(),
        Phase::Halted(why) => {
            lines.push(vec![(1, "STOP".into(), theme.warn()), (INDENT, String::new(), theme.plain())]);
            let first = lines.len() - 1;
            for (i, line) in wrap(why, room).into_iter().enumerate() {
                if i == 0 { lines[first].push((INDENT, line, theme.plain())) } else { lines.push(vec![(INDENT, line, theme.plain())]) }
            }
        }
        Phase::Done(how) => {
            // Green for ten seconds, then it is simply so.
            let fresh = m.run.ended.is_some_and(|at| (cx.now - at).num_seconds() < 10);
            let style = if fresh { theme.ok() } else { theme.plain() };
            for (i, line) in wrap(how, room).into_iter().enumerate() {
                lines.push(if i == 0 {
                    vec![(1, "DONE".into(), style), (INDENT, line, theme.bold())]
                } else {
                    vec![(INDENT, line, theme.plain())]
                });
            }
        }
        Phase::Unknown(why) => {
            for (i, line) in wrap(why, room).into_iter().enumerate() {
                lines.push(if i == 0 {
                    vec![(1, "?".into(), theme.warn()), (INDENT, line, theme.plain())]
                } else {
                    vec![(INDENT, line, theme.plain())]
                });
            }
            say(&mut lines, "It reads until it can tell, and repeats nothing.", theme.dim());
        }
        Phase::Waiting(why) => say(&mut lines, why, if m.run.is_watching() { theme.dim() } else { theme.warn() }),
        Phase::Review | Phase::Running | Phase::Verifying => {}
    }
    if let Some(note) = m.run.note.as_ref().filter(|_| ended) {
        say(&mut lines, note, theme.warn());
    }
    if let Some(progress) = m.run.progress() {
        lines.extend(bulk::lines(&m.run, &progress, theme, room));
    }
    if let Some(plan) = &m.run.plan {
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        let said = if let Phase::Done(said) | Phase::Halted(said) = &m.run.phase { said.as_str() } else { "" };
        lines.extend(plan_lines(plan, said, theme, room));
        // What was checked and what the book says matters while there is something to decide.
        if m.run.phase == Phase::Review {
            lines.extend(rows(plan, detail, theme, room));
            lines.extend(notes(plan, theme, room));
            lines.extend(book(m, theme, room, detail));
        }
    }
    lines
}

/// `said`: how it ended, which may have said what the plan was already.
fn plan_lines(plan: &Plan, said: &str, theme: &Theme, room: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    if !said.contains(plan.summary.trim_end_matches('.')) {
        lines.extend(wrap(&plan.summary, room).into_iter().map(|line| vec![(INDENT, line, theme.bold())]));
    }
    if !plan.blast.is_empty() {
        lines.extend(wrap(&plan.blast, room).into_iter().map(|l| vec![(INDENT, l, theme.plain())]));
    }
    if let Some(text) = message(plan) {
        lines.push(Vec::new());
        lines.extend(text.lines().flat_map(|l| wrap(l, room)).map(|l| vec![(INDENT, l, theme.plain())]));
    }
    if !plan.diff.is_empty() {
        lines.push(Vec::new());
        lines.extend(plan.diff.iter().map(|c| change(c, theme, room)));
    }
    lines
}

/// What is told to somebody, where the plan is to tell it.
#[must_use]
pub(super) fn message(plan: &Plan) -> Option<&str> {
    plan.steps.iter().find_map(|s| match &s.command {
        Some(Command::Escalate { text, .. }) => Some(text.as_str()),
        _ => None,
    })
}

fn notes(plan: &Plan, theme: &Theme, room: u16) -> Vec<Line> {
    // What is to be done by hand stands where it is said to be done.
    let by_hand = plan.next_manual().map(|step| step.say.as_str());
    let notes: Vec<&String> = plan.notes.iter().filter(|note| Some(note.as_str()) != by_hand).collect();
    if notes.is_empty() {
        return Vec::new();
    }
    let label = |i: usize| if i == 0 { "checked" } else { "" };
    let mut lines = vec![Vec::new()];
    lines.extend(notes.into_iter().enumerate().flat_map(|(i, note)| labelled(label(i), note, theme, room)));
    lines
}

/// Whose rows are written and what changes in them, the first of them; of one row every field stands in the plan itself.
fn rows(plan: &Plan, detail: Detail, theme: &Theme, room: u16) -> Vec<Line> {
    let writes: Vec<&Step> = plan.first_acts().filter(|s| s.command.as_ref().is_some_and(Command::writes_a_row)).collect();
    if writes.len() < 2 {
        return Vec::new();
    }
    let shown = if detail == Detail::Pointer { ROWS_SHORT } else { ROWS };
    // A line for what is left out is no shorter than the one row.
    let shown = if writes.len() == shown + 1 { shown + 1 } else { shown };
    let mut lines = vec![Vec::new()];
    lines.extend(writes.iter().take(shown).map(|step| vec![(INDENT, fit(&step.say, room, theme), theme.plain())]));
    if let Some(more) = writes.len().checked_sub(shown).filter(|more| *more > 0) {
        lines.push(vec![(INDENT, format!("and {more} more: e"), theme.dim())]);
    }
    lines
}

/// `tier          FREE                → PRO`.
fn change(change: &Change, theme: &Theme, room: u16) -> Line {
    let column = if room >= 90 { 30 } else { 22 };
    let then = INDENT + 14 + column;
    vec![
        (INDENT, change.field.label().to_string(), theme.dim()),
        (INDENT + 14, shown(&change.from, column - 2, theme), theme.plain()),
        (then, theme.arrow().to_string(), theme.warn()),
        (then + 3, shown(&change.to, room.saturating_sub(14 + column + 3), theme), theme.bold()),
    ]
}

/// Ids are cut in the middle, times to the minute: the exact values are behind `e`.
fn shown(value: &Value, room: u16, theme: &Theme) -> String {
    let text = match value {
        Value::Text(text) if width(text) > room => mask::id(text),
        Value::Time(at) => at.format("%-d %b %Y %H:%MZ").to_string(),
        other => other.to_string(),
    };
    fit(&text, room, theme)
}

/// The text beside its label, as many lines as it takes.
fn labelled(label: &str, text: &str, theme: &Theme, room: u16) -> Vec<Line> {
    let lines = wrap(text, room.saturating_sub(LABEL));
    let piece = |(i, line): (usize, String)| {
        let label = if i == 0 { label } else { "" };
        vec![(INDENT, label.to_string(), theme.dim()), (INDENT + LABEL, line, theme.plain())]
    };
    lines.into_iter().enumerate().map(piece).collect()
}

/// The runbook's sentence, and where we do otherwise.
fn book(m: &Model, theme: &Theme, room: u16, detail: Detail) -> Vec<Line> {
    let Some(Book { sentence, differs }) = by_id(&m.run.procedure).map(|p| p.book()) else { return Vec::new() };
    if sentence.is_empty() || m.run.undoing.is_some() {
        return Vec::new();
    }
    let points = count(differs.len(), "point", "points");
    if matches!(detail, Detail::Rows | Detail::Pointer) {
        let differs = if differs.is_empty() { String::new() } else { format!("{points} done otherwise here: ") };
        // What was checked leaves no line to spare; without it the book stands apart.
        let bare = m.run.plan.as_ref().is_some_and(|p| p.notes.is_empty());
        let apart = bare.then(Vec::new);
        return apart.into_iter().chain(labelled("book", &format!("{differs}e shows its words and ours"), theme, room)).collect();
    }
    let mut lines = vec![Vec::new()];
    lines.extend(labelled("book", sentence, theme, room));
    let shown = if detail == Detail::First { 1 } else { differs.len() };
    for (i, difference) in differs.iter().take(shown).enumerate() {
        lines.extend(labelled(if i == 0 { "differs" } else { "" }, difference, theme, room));
    }
    if differs.len() > shown {
        let more = format!("and {} more, behind e", differs.len() - shown);
        lines.push(vec![(INDENT + LABEL, more, theme.dim())]);
    }
    lines
}

/// The question, and each option: what it is, and the evidence for it.
fn decision_lines(decision: &Decision, marked: &BTreeSet<usize>, theme: &Theme, room: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = wrap(&decision.question, room).into_iter().map(|l| vec![(INDENT, l, theme.bold())]).collect();
    for (i, option) in decision.options.iter().enumerate() {
        lines.push(Vec::new());
        // A place for the cursor in front of each: nothing is chosen until it is gone to.
        let mut mark = vec![(INDENT - 2, theme.pending().to_string(), theme.dim())];
        if marked.contains(&i) {
            mark.push((INDENT - 4, theme.done().to_string(), theme.bold()));
        }
        let say = wrap(&option.say, room).into_iter().map(|l| vec![(INDENT, l, theme.plain())]);
        lines.extend(say.enumerate().map(|(i, l)| if i == 0 { [mark.clone(), l].concat() } else { l }));
        lines.extend(wrap(&option.evidence, room).into_iter().map(|l| vec![(INDENT, l, theme.dim())]));
    }
    lines
}

/// The question, and what happens next.
fn foot(m: &Model, cx: &Context, theme: &Theme, room: u16) -> Vec<Line> {
    let line = |text: &str, style: Style| -> Vec<Line> { wrap(text, room).into_iter().map(|l| vec![(INDENT, l, style)]).collect() };
    match &m.run.phase {
        Phase::Review if m.manual().is_some() => manual_foot(m, theme, room),
        Phase::Review => review_foot(m, cx, theme, room),
        Phase::Deciding(d) if d.takes_several() => {
            let marked = match m.marked.len() {
                0 => "space marks several, enter takes the one under the cursor.".to_string(),
                n => format!("{n} marked: enter takes them."),
            };
            line(&marked, theme.dim())
        }
        Phase::Deciding(_) if m.choice.is_none() => line("j and k go to an answer, enter takes it.", theme.dim()),
        Phase::Deciding(_) => line("enter takes this answer.", theme.dim()),
        Phase::Running if m.run.bulk.is_some() => {
            let say = if m.run.is_paused() { "p asks, and goes on." } else { "p pauses it; leaving does not stop it." };
            line(say, theme.dim())
        }
        Phase::Waiting(_) if m.run.is_watching() => line("Leaving does not stop it; a ends it here.", theme.dim()),
        Phase::Running => line("Under way. Leaving does not stop it.", theme.dim()),
        Phase::Verifying => line("Done; now what it should have changed is read to prove it.", theme.dim()),
        Phase::Done(_) if m.run.can_undo(cx.now) => vec![vec![
            (INDENT, "u".into(), theme.key()),
            (INDENT + 2, "takes it back, shown first; for ten minutes after it was done".into(), theme.plain()),
        ]],
        _ => Vec::new(),
    }
}

/// The step to do by hand, and where to say that it is done.
fn manual_foot(m: &Model, theme: &Theme, room: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    if let Some(step) = m.manual() {
        lines.extend(wrap(&step.say, room).into_iter().map(|l| vec![(INDENT, l, theme.bold())]));
    }
    let say = "Type what you did, then enter: it looks whether that helped, and goes on.";
    lines.extend(wrap(say, room).into_iter().map(|l| vec![(INDENT, l, theme.dim())]));
    lines.push(vec![(INDENT, "Done by hand: ".to_string(), theme.plain())]);
    lines
}

fn review_foot(m: &Model, cx: &Context, theme: &Theme, room: u16) -> Vec<Line> {
    let key = |key: &str, text: &str| -> Line {
        vec![(INDENT, key.to_string(), theme.key()), (INDENT + width(key) + 1, text.to_string(), theme.plain())]
    };
    let mut lines = Vec::new();
    match (m.may_confirm(cx), m.run.plan.as_ref().and_then(|p| p.typed.as_ref())) {
        (Err(_), Some(_)) if !cx.writes_are_on() => lines.push(key("w", "turns writes on, for a reason. Nothing is sent by that alone.")),
        (Err(_), None) if !cx.writes_are_on() => lines.push(key("w", "turns writes on, for a reason. Nothing is sent before y.")),
        (may, typed) if may.is_err() || typed.is_some() => {
            let why = may.err().map(|why| wrap(&why, room)).unwrap_or_default();
            lines.extend(why.into_iter().map(|l| vec![(INDENT, l, theme.warn())]));
            lines.extend(typed.map(|t| vec![(INDENT, format!("Type {t}"), theme.bold())]));
        }
        _ => lines.push(key("y", "does it. Nothing has been sent yet.")),
    }
    lines
}
