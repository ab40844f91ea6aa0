//! How Home looks: findings, then one line of what is fine, then what was received and applied.

use super::Model;
use super::beside::LATELY;
use crate::console::context::Context;
use crate::console::widgets::format::{age, clock, moment};
use crate::console::widgets::paint::{put, put_right, select, width, wrap};
use crate::console::widgets::panel::{self, Panel};
use crate::console::widgets::theme::Theme;
use crate::domain::diagnosis::Word;
use crate::domain::fault::Source;
use crate::domain::findings::{About, Finding};
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::webhooks::cause::Cause;
use crate::procedures::survey::COLUMNS;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Where sentences begin.
const TEXT: u16 = 7;
/// A size is no wider than this, or the sentence has no room.
const SIZE: u16 = 24;
/// What is fine, by its name and, where there is little room, by a shorter one.
const SHORT: [(&str, &str); 3] = [("webhook effects", "webhooks"), ("Stripe itself", "Stripe"), ("application", "app")];
/// Rows at the bottom: notes, what is fine, a gap, two charts; and one for what changed, where something did.
const FOOT: u16 = 5;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let charts = area.height >= 12 && area.width >= 60 && !cx.survey.is_first();
    let changed = changed(m, cx, theme);
    let foot = if charts { FOOT + u16::from(changed.is_some()) } else { 1 };
    let list = Rect { y: area.y + 1, height: area.height - 1 - foot, ..area };
    if m.findings.is_empty() {
        nothing_found(m, cx, list, buf, theme);
    } else {
        findings(m, list, buf, theme);
    }
    let notes: Vec<String> = [note(cx), mutes(cx)].into_iter().filter(|n| !n.is_empty()).collect();
    let mut y = area.bottom() - foot;
    if !notes.is_empty() {
        put(buf, theme, area.x + TEXT, y, &notes.join(&format!(" {} ", theme.dot())), theme.dim(), area.width.saturating_sub(TEXT + 1));
    }
    if !charts {
        return;
    }
    y += 1;
    if let Some(changed) = changed {
        put(buf, theme, area.x + TEXT, y, &changed, theme.dim(), area.width.saturating_sub(TEXT + 1));
        y += 1;
    }
    let room = area.width - TEXT - 1;
    let fine = in_room(fine(m, cx), &format!(" {} ", theme.dot()), room);
    if !fine.is_empty() {
        put(buf, theme, area.x + 1, y, "fine", theme.dim(), 4);
        put(buf, theme, area.x + TEXT, y, &fine, theme.plain(), room);
    }
    sparklines(cx, Rect { y: y + 2, height: 2, ..area }, buf, theme);
}

fn findings(m: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    // Room decides the form: whole reasons with gaps as long as all fit, then without gaps, then a line for each reason, then scrolled.
    let all = m.findings.len();
    let rows = usize::from(area.height);
    let room = area.width.saturating_sub(TEXT + 1);
    let reasons: Vec<Vec<String>> = m.findings.iter().map(|f| wrap(&f.reason, room)).collect();
    let tall: usize = reasons.iter().map(|r| 1 + r.len()).sum();
    if tall <= rows {
        let gap = usize::from(tall + all - 1 <= rows);
        let mut y = area.y;
        for (i, (finding, reason)) in m.findings.iter().zip(&reasons).enumerate() {
            one(finding, reason, i == m.cursor.at, Rect { y, height: 1, ..area }, buf, theme);
            y += u16::try_from(1 + reason.len() + gap).unwrap_or(0);
        }
        return;
    }
    let step = if all * 3 <= rows + 1 { 3 } else { 2 };
    let fit = if step == 3 { all } else { (rows / 2).max(1) };
    let first = m.cursor.first(all, fit);
    for (i, finding) in m.findings.iter().enumerate().skip(first).take(fit) {
        let y = area.y + u16::try_from((i - first) * step).unwrap_or(0);
        one(finding, std::slice::from_ref(&finding.reason), i == m.cursor.at, Rect { y, height: 1, ..area }, buf, theme);
    }
    if first > 0 {
        // The line above the list is always clear.
        put_right(buf, theme, area.right() - 1, area.y.saturating_sub(1), &format!("{first} more above"), theme.dim(), 16);
    }
    if first + fit < all {
        put_right(buf, theme, area.right() - 1, area.bottom() - 1, &format!("{} more", all - first - fit), theme.dim(), 12);
    }
}

/// `area`: the line of its sentence; the reason stands below it.
fn one(finding: &Finding, reason: &[String], selected: bool, area: Rect, buf: &mut Buffer, theme: &Theme) {
    put(buf, theme, area.x + 1, area.y, finding.word.shown(), word_style(finding.word, theme), 5);
    let end = area.right().saturating_sub(1);
    let size = size(&finding.size);
    let start = if size.is_empty() { end } else { put_right(buf, theme, end, area.y, &size, theme.plain(), width(&size)) };
    let room = start.saturating_sub(area.x + TEXT + 1);
    put(buf, theme, area.x + TEXT, area.y, &finding.sentence, theme.plain(), room);
    for (y, line) in (area.y + 1..).zip(reason) {
        put(buf, theme, area.x + TEXT, y, line, theme.dim(), end.saturating_sub(area.x + TEXT));
    }
    if selected {
        put(buf, theme, area.x, area.y, theme.pointer(), theme.plain(), 1);
        select(buf, theme, area);
    }
}

/// The size of a finding where there is little room: without cents first, then without the smaller currencies.
fn size(whole: &str) -> String {
    if width(whole) <= SIZE {
        return whole.to_string();
    }
    let rounded: Vec<String> = whole.split(' ').map(without_cents).collect();
    let rounded = rounded.join(" ");
    match rounded.split_once(" + ") {
        Some((most, _)) if width(&rounded) > SIZE => format!("{most}/mo and more"),
        _ => rounded,
    }
}

/// `1,116.49/mo` as `1,116/mo`; what is no amount as it is.
fn without_cents(word: &str) -> String {
    let Some((units, rest)) = word.split_once('.') else { return word.to_string() };
    let cents = rest.chars().take_while(char::is_ascii_digit).count();
    let is_amount = cents > 0 && units.chars().all(|c| c.is_ascii_digit() || c == ',');
    if is_amount { format!("{units}{}", &rest[cents..]) } else { word.to_string() }
}

fn word_style(word: Word, theme: &Theme) -> Style {
    match word {
        Word::Fail => theme.fail(),
        Word::Warn => theme.warn(),
        _ => theme.bold(),
    }
}

fn nothing_found(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    // A panel keeps a column clear by itself.
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    if let Some(fault) = cx.survey.fault().filter(|_| cx.survey.is_first()) {
        let still = "Customers can be opened by any id; what other sources know is shown.";
        panel::draw(buf, theme, text, &Panel::Failed { fault, still });
    } else if m.is_quiet() {
        put(buf, theme, area.x + TEXT, area.y, &quiet(cx), theme.plain(), area.width - TEXT - 1);
    } else if cx.survey.is_first() {
        let waited_ms = cx.survey.began().map_or(0, |t| cx.tick.saturating_sub(t));
        let what = if cx.env.is_none() { "Connecting" } else { "Reading what Stripe sent in 24 h, and the rows it should be in" };
        panel::draw(buf, theme, text, &Panel::Reading { what, waited_ms });
    } else if m.hushed {
        put(buf, theme, area.x + TEXT, area.y, "Nothing besides what is muted.", theme.plain(), area.width - TEXT - 1);
    } else {
        put(buf, theme, area.x + TEXT, area.y, "Nothing found so far.", theme.plain(), area.width - TEXT - 1);
    }
}

/// The quiet night in one sentence, with real figures.
fn quiet(cx: &Context) -> String {
    let (received, applied) = cx.survey.series().totals();
    let Some(last) = cx.survey.last_applied() else {
        let none = received == 0;
        let say = if none { "Stripe sent nothing in 24 h that changes a row." } else { "Nothing that Stripe sent in 24 h is missing." };
        return format!("All quiet. {say}");
    };
    let events = if applied == 1 { "1 event".to_string() } else { format!("{} events", group(u64::from(applied))) };
    let pool = cx.pool.seen().map(|seen| format!(" Pool {}.", seen.share())).unwrap_or_default();
    format!("All quiet. {events} applied in 24 h, last {} ago.{pool}", spaced(&age((cx.now - last).num_seconds())))
}

/// `40s` as people write it: `40 s`.
fn spaced(age: &str) -> String {
    let digits = age.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &age[digits.len()..] {
        "m" => "min",
        unit => unit,
    };
    format!("{digits} {unit}")
}

/// What was deployed lately, whether or not anything began with it. Nothing where a finding has said so.
fn changed(m: &Model, cx: &Context, theme: &Theme) -> Option<String> {
    let mut lately = m.beside.deployed(cx.now);
    let newest = lately.next().filter(|d| m.findings.iter().all(|f| !f.reason.contains(&d.version)))?;
    let by = newest.by.as_ref().map(|by| format!(" by {}", mask::addresses(by))).unwrap_or_default();
    let at = if newest.at.date_naive() == cx.now.date_naive() { clock(newest.at) } else { moment(newest.at, cx.now) };
    let more = match lately.count() {
        0 => String::new(),
        n => format!(" {} {n} more in {LATELY} h", theme.dot()),
    };
    Some(format!("changed: {}{by}, {at}{more}", newest.version))
}

/// What the findings do not say yet, or cannot.
fn note(cx: &Context) -> String {
    let mut parts = Vec::new();
    let (read, of) = cx.survey.cases();
    if read < of {
        parts.push(format!("looking closer at {of}, {read} done"));
    }
    if cx.survey.beyond() > 0 {
        parts.push(format!("{} more not looked at", cx.survey.beyond()));
    }
    if cx.survey.settling() > 0 {
        let allowance = crate::domain::age::rounded(cx.survey.allowance().num_seconds());
        parts.push(format!("{} still within the time that effects take here ({allowance})", cx.survey.settling()));
    }
    if !cx.survey.is_first() && cx.survey.fault().is_some() {
        parts.push("as last read; a source does not answer".to_string());
    } else if !cx.survey.is_first() && !cx.survey.is_whole() {
        parts.push("the list of events is not complete".to_string());
    }
    parts.join(", ")
}

/// What somebody has muted: one quiet line, since nothing else tells of it here.
fn mutes(cx: &Context) -> String {
    let active = cx.desk.iter().flat_map(|desk| desk.muted.iter()).filter(|(_, m)| m.until > cx.now);
    let mut active: Vec<_> = active.collect();
    active.sort_by_key(|(_, m)| m.until);
    match active.as_slice() {
        [] => String::new(),
        [(cause, m)] => format!("1 cause muted until {} by {}: {}", clock(m.until), m.by, cause.word()),
        [(cause, m), ..] => format!("{} causes muted, {} until {} by {}", active.len(), cause.word(), clock(m.until), m.by),
    }
}

/// All of it where there is room, else by shorter names, else as many as fit and how many more there are.
fn in_room(mut all: Vec<String>, between: &str, room: u16) -> String {
    let fits = |text: &String| width(text) <= room;
    let whole = all.join(between);
    if fits(&whole) {
        return whole;
    }
    for word in &mut all {
        let short = SHORT.iter().find(|(long, _)| long == word).map_or(word.as_str(), |(_, short)| short);
        *word = short.to_string();
    }
    let kept = |n: usize| {
        let more = (n < all.len()).then(|| format!("{} more", all.len() - n));
        all[..n].iter().cloned().chain(more).collect::<Vec<_>>().join(between)
    };
    (1..=all.len()).rev().map(kept).find(fits).unwrap_or_default()
}

fn fine(m: &Model, cx: &Context) -> Vec<String> {
    let about = |test: fn(&About) -> bool| m.findings.iter().any(|f| test(&f.about));
    let mut fine = Vec::new();
    // An area is fine for as long as what it is known from answers: what was told before is no news of now.
    let (stripe, database) = (cx.answers(Source::Stripe), cx.answers(Source::Database));
    if !m.hushed
        && stripe
        && database
        && cx.survey.is_complete()
        && !about(|a| matches!(a, About::Customers(_) | About::Webhooks { .. } | About::Endpoint | About::Sight | About::Lag))
    {
        fine.push("webhook effects".to_string());
    }
    if !about(|a| matches!(a, About::Run(_))) {
        fine.push("runs".to_string());
    }
    if database && cx.pool.seen().is_some_and(|seen| seen.explained.word == Word::Ok) && cx.pool.fault().is_none() {
        fine.push("pool".to_string());
    }
    if m.quota.is_fine() && database && cx.survey.doubt().is_none() {
        fine.push("quota".to_string());
    }
    if stripe && m.beside.pays() {
        fine.push("payments".to_string());
    }
    for (source, words) in [(Source::Stripe, "Stripe itself"), (Source::Database, "database"), (Source::Application, "application")] {
        // It answers, and what it does comes late: that is not fine.
        let late = source == Source::Application && about(|a| *a == About::Lag);
        // Neither is what swallows every event, whatever its health check says; nor the database that refuses it.
        let blamed = about(|a| matches!(a, About::Webhooks { .. }))
            && (source == Source::Application || source == Source::Database && cx.survey.silence_cause() == Some(Cause::Database));
        if cx.answers(source) && !late && !blamed {
            fine.push(words.to_string());
        }
    }
    fine
}

fn sparklines(cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    const CHART: u16 = 16;
    let (received, applied) = cx.survey.series().totals();
    let figure = |n: u32| if n == 0 { "none".to_string() } else { group(u64::from(n)) };
    let texts = match &cx.survey.series().silence {
        Some(silence) => [format!("{} since {}", group(silence.received as u64), silence.since.format("%H:%M")), "none".to_string()],
        None => [format!("{} in 24 h", figure(received)), figure(applied)],
    };
    let room = usize::from(area.width.saturating_sub(CHART + 3 + texts.iter().map(|t| width(t)).max().unwrap_or(0)));
    let columns = [96, 48, 32, 24, 16, 12, 8].into_iter().find(|c| *c <= room).unwrap_or(8);
    let merged = |values: &[u32]| values.chunks(COLUMNS / columns).map(|c| c.iter().sum::<u32>()).collect::<Vec<_>>();
    let (a, b) = (merged(&cx.survey.series().received), merged(&cx.survey.series().applied));
    let most = a.iter().chain(&b).copied().max().unwrap_or(0);
    for (i, (label, values)) in [("received", a), ("applied", b)].into_iter().enumerate() {
        let y = area.y + u16::try_from(i).unwrap_or(0);
        put(buf, theme, area.x + TEXT, y, label, theme.dim(), 8);
        let chart: String = values.iter().map(|v| block(*v, most, theme)).collect();
        let end = put(buf, theme, area.x + CHART, y, &chart, theme.plain(), area.width - CHART);
        put(buf, theme, end + 2, y, &texts[i], theme.plain(), area.right().saturating_sub(end + 2));
    }
}

/// A block as high as its share of the highest; nothing at all for nothing, so that a gap is seen.
fn block(value: u32, most: u32, theme: &Theme) -> &'static str {
    let blocks = theme.blocks();
    if value == 0 || most == 0 {
        return " ";
    }
    let top = u64::try_from(blocks.len() - 1).expect("invariant: eight blocks");
    let at = (u64::from(value) * top).div_ceil(u64::from(most)).min(top);
    blocks[usize::try_from(at).expect("invariant: at most eight")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scrolled_away_is_counted_above_and_below() {
        let of = |n| Finding {
            word: Word::Warn,
            sentence: format!("finding {n}"),
            size: String::new(),
            reason: "why".into(),
            about: About::Payments,
            evidence: Vec::new(),
        };
        let mut m = Model::default();
        m.findings.extend((0..5).map(of));
        let shown = |m: &Model| {
            let mut buf = Buffer::empty(Rect::new(0, 0, 40, 5));
            findings(m, Rect::new(0, 1, 40, 4), &mut buf, &Theme::mono());
            buf.content.chunks(40).map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>()).collect::<Vec<_>>()
        };
        let top = shown(&m);
        assert!(top[0].trim().is_empty() && top[4].contains("3 more"), "{top:?}");
        m.cursor.at = 4;
        let end = shown(&m);
        assert!(end[0].contains("3 more above") && !end[4].contains("more"), "{end:?}");
    }

    #[test]
    fn a_size_is_shortened_from_its_cents_first_and_never_cut() {
        assert_eq!(size("3 hurt, EUR 147.50/mo"), "3 hurt, EUR 147.50/mo");
        assert_eq!(size("13+ hurt, EUR 1,116.49/mo"), "13+ hurt, EUR 1,116/mo");
        assert_eq!(size("EUR 1,116.49 + USD 98.10/mo"), "EUR 1,116 + USD 98/mo");
        assert_eq!(size("113+ hurt, EUR 1,116.49 + USD 1,098.10/mo"), "113+ hurt, EUR 1,116/mo and more");
    }

    #[test]
    fn what_is_fine_is_never_cut_within_a_word() {
        let all = || ["webhook effects", "runs", "pool", "payments", "Stripe itself", "database", "application"].map(String::from).to_vec();
        assert!(in_room(all(), " - ", 100).ends_with("Stripe itself - database - application"));
        assert_eq!(in_room(all(), " - ", 71), "webhooks - runs - pool - payments - Stripe - database - app");
        assert_eq!(in_room(all(), " - ", 40), "webhooks - runs - pool - 4 more");
        assert_eq!(in_room(Vec::new(), " - ", 40), "");
    }
}
