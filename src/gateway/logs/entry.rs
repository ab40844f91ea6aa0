//! Which lines belong together: a stack trace to the line that began it, whatever stands before each line (a time, a host, a container's name).

use super::text::Window;
use super::time;
use crate::domain::At;

/// A line with those that belong to it, as a range of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub begin: usize,
    pub end: usize,
    /// The time of the line before, where the line itself carries none.
    pub inherited: Option<At>,
}

/// What a line is to those around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A JSON object: whole by itself.
    Json,
    /// It begins with a time: an entry of its own.
    Timed,
    /// Neither time nor indentation: an entry of its own, or the end of a message with line breaks.
    Loose,
    /// It goes on with what came before.
    Indented,
}

/// So many lines belong together at most.
const TOGETHER: usize = 64;
/// What a line begins with that goes on with the one before.
const GOES_ON: &[&str] = &["at ", "Caused by", "... ", "}", "]", ")"];

/// The entry that the byte at `at` belongs to; `None` where it may go on outside of the window.
pub fn around(window: &Window, at: usize, now: At) -> Option<Entry> {
    let own = window.line(at)?;
    let mut head = own;
    let mut part = part_of(window, own, now);
    let mut inherited = None;
    if matches!(part, Part::Indented | Part::Loose) {
        // The nearest line before that begins something.
        let (mut line, mut loose) = (own, (part == Part::Loose).then_some(own));
        for _ in 0..TOGETHER {
            if line.0 == 0 {
                if !window.first() {
                    return None;
                }
                break;
            }
            line = window.line(line.0 - 1)?;
            match part_of(window, line, now) {
                Part::Timed => {
                    (head, part, loose) = (line, Part::Timed, None);
                    break;
                }
                Part::Json => {
                    if loose.is_none() {
                        (head, part) = (line, Part::Json);
                    }
                    inherited = super::parse::time_of(text(window, line), now);
                    break;
                }
                Part::Loose => loose = loose.or(Some(line)),
                Part::Indented => {}
            }
        }
        if let Some(line) = loose {
            (head, part) = (line, Part::Loose);
        }
    }
    let mut end = head.1;
    for _ in 0..TOGETHER {
        if end >= window.bytes.len() {
            break;
        }
        if end + 1 >= window.bytes.len() {
            if !window.last {
                return None;
            }
            break;
        }
        let next = window.line(end + 1)?;
        match part_of(window, next, now) {
            Part::Indented => end = next.1,
            Part::Loose if part == Part::Timed => end = next.1,
            _ => break,
        }
    }
    // A byte far behind the head belongs to no entry but its own line's.
    if at > end {
        return Some(Entry { begin: own.0, end: own.1, inherited });
    }
    Some(Entry { begin: head.0, end, inherited: inherited.filter(|_| part == Part::Loose) })
}

/// What collectors put before each line, and the line itself: `2026-… text`, `Nov 22 … host app[1]: text`, `api-1  | text`.
pub fn without_prefix(line: &str, now: At) -> (Option<At>, &str) {
    let line = composed(line);
    let opening = line.strip_prefix('<').and_then(|l| l.split_once('>')).map_or(line, |(_, rest)| rest);
    let Some((at, length)) = time::leading(opening, now) else { return (None, line) };
    let rest = &opening[length..];
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    // Syslog and journald name host and process.
    let named = |who: &str| who.split(' ').count() == 2 && (opening.as_bytes()[0].is_ascii_alphabetic() || who.ends_with(']'));
    match rest.split_once(": ").filter(|(who, _)| named(who)) {
        Some((_, message)) => (Some(at), message),
        None => (Some(at), rest),
    }
}

/// The line without the name of a compose service or pod before it.
fn composed(line: &str) -> &str {
    let service =
        |name: &str| !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match line.split_once(" | ").or_else(|| line.split_once("| ")) {
        Some((name, rest)) if service(name.trim_end()) => rest,
        _ => line.strip_prefix("[pod/").and_then(|l| l.split_once("] ")).map_or(line, |(_, rest)| rest),
    }
}

fn text(window: &Window, (begin, end): (usize, usize)) -> &[u8] {
    &window.bytes[begin..end]
}

/// Told by the first of a line: what it is does not hang on the rest.
fn part_of(window: &Window, line: (usize, usize), now: At) -> Part {
    let bytes = text(window, line);
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
    let head = super::parse::without_colours(&head);
    let (at, rest) = without_prefix(&head, now);
    let trimmed = rest.trim_start();
    if rest.starts_with('{') {
        return Part::Json;
    }
    if trimmed.is_empty() || trimmed.len() < rest.len() || GOES_ON.iter().any(|g| rest.starts_with(g)) {
        return Part::Indented;
    }
    if at.is_some() || time::find(&head, now).is_some() { Part::Timed } else { Part::Loose }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};

    fn now() -> At {
        Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap()
    }

    fn window(text: &str) -> Window {
        Window { from: 0, bytes: text.as_bytes().to_vec(), last: true }
    }

    /// The entry around this word.
    fn entry(text: &str, word: &str) -> String {
        let found = around(&window(text), text.find(word).expect("it is there"), now()).expect("whole");
        text[found.begin..found.end].to_string()
    }

    #[test]
    fn a_trace_belongs_to_its_line() {
        let text = "2026-11-22T02:41:06Z ok\n2026-11-22T02:41:07Z ERROR Webhook error: TypeError: x\n    at a (f.js:1)\n    at b (f.js:2)\nCaused by: y\n2026-11-22T02:41:08Z ok\n";
        let whole = "2026-11-22T02:41:07Z ERROR Webhook error: TypeError: x\n    at a (f.js:1)\n    at b (f.js:2)\nCaused by: y";
        for word in ["Webhook", "at b", "Caused"] {
            assert_eq!(entry(text, word), whole, "{word}");
        }
        assert_eq!(entry(text, "02:41:08"), "2026-11-22T02:41:08Z ok");
    }

    #[test]
    fn a_trace_with_a_prefix_on_each_line_does_too() {
        let docker =
            "2026-11-22T02:41:07.1Z Webhook error\n2026-11-22T02:41:07.2Z     at a (f.js:1)\n2026-11-22T02:41:08Z {\"level\":30}\n";
        assert_eq!(entry(docker, "at a").lines().count(), 2);
        let journal = "Nov 22 02:41:07 host api[12]: Webhook error\nNov 22 02:41:07 host api[12]:     at a (f.js:1)\nNov 22 02:41:08 host api[12]: ok\n";
        assert_eq!(entry(journal, "Webhook").lines().count(), 2);
    }

    #[test]
    fn words_between_json_lines_stand_alone_and_take_their_time() {
        let text = "{\"time\":1795315267000,\"msg\":\"a\"}\nWebhook error: x\n    at a\n{\"time\":1795315268000,\"msg\":\"b\"}\n";
        assert_eq!(entry(text, "Webhook"), "Webhook error: x\n    at a");
        let found = around(&window(text), text.find("at a").unwrap(), now()).unwrap();
        assert_eq!(found.inherited.map(|a| a.timestamp()), Some(1_795_315_267));
        assert_eq!(entry(text, "\"a\""), "{\"time\":1795315267000,\"msg\":\"a\"}");
    }

    #[test]
    fn lines_without_times_are_each_their_own() {
        assert_eq!(entry("one\ntwo\nthree", "two"), "two");
        assert_eq!(entry("one\n  more\nthree", "more"), "one\n  more");
    }

    #[test]
    fn what_may_go_on_outside_is_not_cut() {
        let inner = Window { from: 100, bytes: b"half\n    at a\n".to_vec(), last: false };
        assert_eq!(around(&inner, 7, now()), None);
    }
}
