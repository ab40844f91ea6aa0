//! How the drift tab looks: how far the comparison is, the classes, the subjects of one class.

use super::drift::Row;
use super::model::Model;
use super::view::{Below, TEXT, below_room, stacked};
use crate::console::context::Context;
use crate::console::widgets::format::{clock, count};
use crate::console::widgets::paint::{put, put_right, select, width, wrap};
use crate::console::widgets::panel::{self, Panel};
use crate::console::widgets::theme::Theme;
use crate::domain::desk::Accepted;
use crate::domain::diagnosis::Word;
use crate::domain::fault::Source;
use crate::domain::findings::whole;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::webhooks::drift::{Drifted, Group};
use crate::procedures::drift_scan::{Scan, Standing};
use crate::protocol::freshness::Health;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Where the sentence about a subject begins, and the most that stands at its right.
const SENTENCE: u16 = 17;
const BESIDE: u16 = 24;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    let Some(scan) = cx.drift else {
        let say = "Stripe and the database have not been compared yet: enter compares the whole account, in the background.";
        panel::draw(buf, theme, text, &Panel::Empty(say));
        return;
    };
    let rows = m.drift.rows(cx.drift);
    if rows.is_empty() {
        match scan.standing() {
            Standing::Failed(fault) => {
                panel::draw(buf, theme, text, &Panel::Failed { fault, still: "Causes and Events tell what was missed." });
            }
            Standing::Done => {
                let say = format!("No drift: {} at Stripe and their rows agree.", count(people(scan), "subscription", "subscriptions"));
                panel::draw(buf, theme, text, &Panel::Empty(&say));
            }
            Standing::Canceled => {
                panel::draw(buf, theme, text, &Panel::Empty("The comparison was stopped before it found anything."));
            }
            Standing::Running | Standing::Paused | Standing::Held(_) => {
                let silent = scan.progress().subscriptions == 0 && matches!(cx.health(Source::Stripe), Health::Down | Health::Stale);
                let say = if silent { "Nothing compared yet: Stripe does not answer." } else { "Nothing found so far." };
                put(buf, theme, area.x + TEXT, area.y, say, theme.plain(), area.width - TEXT - 1);
            }
        }
        return;
    }
    if m.drift.class.is_none() {
        let room = below_room(area);
        let first = |g: &Group| {
            let of = if g.subjects == 1 { "" } else { "one of them: " };
            g.named.first().map_or_else(String::new, |d| format!("{of}{}", d.sentence))
        };
        let below: Vec<Vec<Below>> = rows
            .iter()
            .map(|row| match row {
                Row::Class(g) => wrap(&first(g), room).into_iter().filter(|l| !l.is_empty()).map(|l| (l, theme.dim())).collect(),
                Row::Subject(_) => Vec::new(),
            })
            .collect();
        stacked(buf, theme, area, &below, m.drift.cursor.at, |i, line, buf| {
            if let Row::Class(g) = &rows[i] {
                class(g, cx, line, buf, theme);
            }
        });
        return;
    }
    let subjects: Vec<&Drifted> = rows.iter().filter_map(|row| if let Row::Subject(d) = row { Some(*d) } else { None }).collect();
    let whole: Vec<Vec<String>> = subjects.iter().map(|d| wrap(&d.sentence, sentence_room(d, cx, area))).collect();
    // Whole sentences as long as all of them fit, then a line each.
    let lines = |i: usize| whole[i].len();
    let fits = (0..whole.len()).map(lines).sum::<usize>() <= usize::from(area.height);
    let fit = if fits { whole.len() } else { usize::from(area.height) };
    let first = m.drift.cursor.first(subjects.len(), fit);
    let mut y = area.y;
    for (i, d) in subjects.iter().enumerate().skip(first).take(fit) {
        let line = Rect { y, height: 1, ..area };
        let said = if fits { whole[i].as_slice() } else { std::slice::from_ref(&d.sentence) };
        subject(d, said, m.drift.marked.contains(d.key()), cx, line, buf, theme);
        if i == m.drift.cursor.at {
            put(buf, theme, line.x, line.y, theme.pointer(), theme.plain(), 1);
            select(buf, theme, line);
        }
        y += u16::try_from(said.len()).unwrap_or(1);
    }
}

/// How far the comparison is, for the line of the tabs.
pub fn covered(m: &Model, cx: &Context) -> Vec<String> {
    let Some(scan) = cx.drift else { return Vec::new() };
    let mut parts = Vec::new();
    if !m.drift.marked.is_empty() {
        parts.push(format!("{} marked", m.drift.marked.len()));
    }
    parts.extend(m.drift.class.map(|c| c.word().to_string()));
    if !scan.found().is_empty() {
        parts.push(format!("{} drifted", group(scan.found().len())));
    }
    parts.push(match scan.standing() {
        Standing::Running => format!("{} compared so far", group(scan.progress().subscriptions)),
        Standing::Paused => format!("paused at {}", group(scan.progress().subscriptions)),
        Standing::Held(why) => format!("waits: {why}"),
        Standing::Done => format!("{} compared, {}", group(scan.progress().subscriptions), scan.ended().map(clock).unwrap_or_default()),
        Standing::Canceled => format!("stopped at {}", group(scan.progress().subscriptions)),
        Standing::Failed(fault) => format!("stopped: {}", fault.class()),
    });
    parts
}

fn people(scan: &Scan) -> usize {
    usize::try_from(scan.progress().subscriptions).unwrap_or(usize::MAX)
}

fn class(g: &Group, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let left = g.clone().without(|d| d.customer.as_ref().and_then(|c| cx.desk?.accepted(c, d.class, cx.now)).is_some());
    let accepted = g.subjects - left.as_ref().map_or(0, |l| l.subjects);
    let mut size = Vec::new();
    if let Some(left) = &left {
        let word = g.class.severity();
        let style = if word == Word::Fail { theme.fail() } else { theme.warn() };
        put(buf, theme, area.x + 1, area.y, word.shown(), style, 5);
        let who = if left.subjects == 1 { "customer" } else { "customers" };
        size.push(format!("{} {who}", group(left.subjects)));
        size.extend(Some(left.monthly.iter().map(|m| format!("{}/mo", whole(m))).collect::<Vec<_>>().join(" ")).filter(|m| !m.is_empty()));
    }
    if accepted > 0 {
        size.push(format!("{} accepted", group(accepted)));
    }
    let end = put_right(buf, theme, area.right() - 1, area.y, &size.join("  "), theme.plain(), area.width / 2);
    put(buf, theme, area.x + TEXT, area.y, g.class.word(), theme.plain(), end.saturating_sub(area.x + TEXT + 1));
}

/// `area`: the first of its lines; `said`: its sentence.
fn subject(d: &Drifted, said: &[String], marked: bool, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if marked {
        put(buf, theme, area.x + 1, area.y, theme.current(), theme.bold(), 1);
    }
    put(buf, theme, area.x + 2, area.y, &mask::id(d.key()), theme.plain(), 13);
    put_right(buf, theme, area.right() - 1, area.y, &beside(d, cx), theme.dim(), BESIDE);
    let style = if accepted(d, cx).is_some() { theme.dim() } else { theme.plain() };
    for (y, line) in (area.y..).zip(said) {
        put(buf, theme, area.x + SENTENCE, y, line, style, sentence_room(d, cx, area));
    }
}

fn accepted<'a>(d: &Drifted, cx: &Context<'a>) -> Option<&'a Accepted> {
    d.customer.as_ref().and_then(|c| cx.desk?.accepted(c, d.class, cx.now))
}

/// What it costs, or until when it is let be.
fn beside(d: &Drifted, cx: &Context) -> String {
    match (accepted(d, cx), &d.monthly) {
        (Some(a), _) => format!("accepted until {}", a.until.format("%-d %b")),
        (None, Some(m)) => format!("{}/mo", whole(m)),
        (None, None) => String::new(),
    }
}

fn sentence_room(d: &Drifted, cx: &Context, area: Rect) -> u16 {
    area.width.saturating_sub(SENTENCE + 3 + width(&beside(d, cx)).min(BESIDE))
}
