//! One log line, whatever wrote it, turned into the shape that rules and screens read: time, level, message; harmless and without secrets.

use super::entry::without_prefix;
use super::{json, redact, time};
use crate::domain::At;
use crate::domain::text::clean;
use crate::domain::webhooks::log::{Level, LogLine};
use std::borrow::Cow;

/// What a line says, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub at: Option<At>,
    pub level: Option<Level>,
    pub text: String,
    /// Whether it is a JSON object.
    pub json: bool,
}

/// So much of an entry is looked at, in bytes: a longer line is its beginning.
pub const MOST: usize = 64 * 1024;
/// So much of its message is kept, in bytes.
const KEPT: usize = 2 * 1024;
/// What is looked through for secrets and ids: more than is kept, so that none is cut in two.
const LOOKED_THROUGH: usize = 16 * 1024;

/// The line as evidence. `inherited` is its time where it carries none.
pub fn line(raw: &[u8], inherited: Option<At>, source: &str, now: At) -> LogLine {
    let raw = &raw[..raw.len().min(MOST)];
    let text = String::from_utf8_lossy(raw);
    let read = read(&text, now);
    let ids = redact::ids(cut(&text, LOOKED_THROUGH));
    LogLine { at: read.at.or(inherited), level: read.level, text: shown(&read.text), source: source.to_string(), ids }
}

/// What the entry says.
pub fn read(text: &str, now: At) -> Read {
    let text = without_colours(text);
    let mut lines = text.lines();
    let (before, first) = without_prefix(lines.next().unwrap_or_default(), now);
    let rest: Vec<&str> = lines.map(|l| without_prefix(l, now).1).collect();
    if first.trim_start().starts_with('{') {
        let whole = if rest.is_empty() { Cow::Borrowed(first) } else { Cow::Owned(format!("{first}\n{}", rest.join("\n"))) };
        let read = json::read(&whole, now).or_else(|| {
            // A raw trace behind the object.
            let mut read = json::read(first, now)?;
            read.text = rest.iter().fold(read.text, |all, l| format!("{all} {}", l.trim()));
            Some(read)
        });
        if let Some(read) = read {
            return Read { at: read.at.or(before), ..read };
        }
    }
    let found = before.or_else(|| time::find(first, now).map(|(at, _)| at));
    let at = found.or_else(|| json::time_in_head(cut(first, KEPT), now));
    let mut words = first.trim().to_string();
    if before.is_none()
        && let Some((_, range)) = time::find(first, now)
        && first[..range.start].trim_matches(['[', '(', ' ']).is_empty()
    {
        words = first[range.end..].trim_start_matches([']', ')', ' ', '|', '-', ':']).trim().to_string();
    }
    let level = level_in(&words);
    let text = rest.iter().map(|l| l.trim()).filter(|l| !l.is_empty()).fold(words, |all, l| format!("{all} {l}"));
    Read { at, level, text, json: false }
}

/// The time of a single line, as cheaply as it is told.
pub fn time_of(raw: &[u8], now: At) -> Option<At> {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(MOST)]);
    let (before, rest) = without_prefix(&text, now);
    if before.is_some() {
        return before;
    }
    if rest.starts_with('{') {
        // Nearly all have it in front; where another object's time stands there, the whole is read.
        return json::time_in_head(cut(rest, 256), now).or_else(|| json::read(rest, now)?.at).or_else(|| json::time_in_head(rest, now));
    }
    time::find(rest, now).map(|(at, _)| at)
}

/// The text without the colours that were meant for a terminal.
pub fn without_colours(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split("\x1b[");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let parameters = part.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b';' | b'?')).count();
        let ends = part.as_bytes().get(parameters).is_some_and(u8::is_ascii_alphabetic);
        out.push_str(if ends { &part[parameters + 1..] } else { part });
    }
    Cow::Owned(out)
}

/// A level by its name, `None` for any other word.
pub fn level_of_word(word: &str) -> Option<Level> {
    match word.to_ascii_lowercase().as_str() {
        "trace" | "debug" | "verbose" | "silly" => Some(Level::Debug),
        "info" | "information" | "notice" | "log" => Some(Level::Info),
        "warn" | "warning" => Some(Level::Warn),
        "err" | "error" | "fatal" | "crit" | "critical" | "alert" | "emerg" | "panic" | "severe" => Some(Level::Error),
        _ => None,
    }
}

/// What the answer to a request makes of the line about it.
pub fn level_of_status(status: u64) -> Level {
    match status {
        500.. => Level::Error,
        400.. => Level::Warn,
        _ => Level::Info,
    }
}

/// The level that one of the first words names, or that the status of a request amounts to.
fn level_in(words: &str) -> Option<Level> {
    let head = cut(words, 512);
    let named = head.split(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '(' | ')' | ':' | '|' | '"')).filter(|w| !w.is_empty());
    let level = named.take(6).find_map(|w| {
        let value = w.strip_prefix("level=").or_else(|| w.strip_prefix("lvl="));
        // `log` and `error` in prose are words; as levels they stand alone, in capitals, or first.
        value.map_or_else(
            || {
                level_of_word(w)
                    .filter(|_| w.bytes().all(|b| b.is_ascii_uppercase()) || head.contains(&format!("[{w}]")) || head.starts_with(w))
            },
            level_of_word,
        )
    });
    level.or_else(|| status_in(head).map(level_of_status))
}

/// `POST /webhooks/stripe 500`, `"POST /webhooks/stripe HTTP/1.1" 500 12`.
fn status_in(head: &str) -> Option<u64> {
    let (_, behind) = ["POST ", "GET ", "PUT ", "PATCH ", "DELETE ", "HEAD "].iter().find_map(|m| head.split_once(m))?;
    let path = behind.starts_with('/') || behind.starts_with("http");
    let mut words = behind.split(' ').skip(1).map(|w| w.trim_matches(['"', ',', '-', '>']));
    words.find_map(|w| w.parse().ok().filter(|s| w.len() == 3 && path && (100..600).contains(s)))
}

/// Harmless, in one line, without secrets, at most two thousand bytes.
fn shown(text: &str) -> String {
    let long = text.len() > LOOKED_THROUGH;
    let cleaned = clean(cut(text, LOOKED_THROUGH));
    // What is not text would fill the line with one sign.
    let mut calm: Vec<char> = cleaned.chars().collect();
    calm.dedup_by(|a, b| *a == '\u{FFFD}' && a == b);
    let redacted = redact::redact(calm.into_iter().collect::<String>().trim());
    let kept = cut(&redacted, KEPT);
    if kept.len() < redacted.len() || long { format!("{kept}…") } else { redacted }
}

/// The beginning of the text, at most so many bytes, no character cut in two.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};

    fn now() -> At {
        Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap()
    }

    fn of(raw: &str) -> LogLine {
        line(raw.as_bytes(), None, "app.log", now())
    }

    #[test]
    fn every_form_says_the_same() {
        for raw in [
            r#"{"level":50,"time":1795315267000,"pid":1,"eventId":"evt_1PZqq8N3fu","err":{"type":"Error","message":"Profile not found","stack":"Error: Profile not found"},"msg":"Webhook error:"}"#,
            r#"{"severity":"ERROR","timestamp":"2026-11-22T02:41:07Z","message":"Webhook error","error":"Error: Profile not found","event":"evt_1PZqq8N3fu"}"#,
            r#"2026-11-22T02:41:07.000000001Z {"level":50,"time":1795315267000,"err":{"name":"Error","message":"Profile not found"},"id":"evt_1PZqq8N3fu","msg":"Webhook error:"}"#,
            r#"{"log":"{\"level\":50,\"time\":1795315267000,\"msg\":\"Webhook error:\",\"id\":\"evt_1PZqq8N3fu\",\"err\":{\"type\":\"Error\",\"message\":\"Profile not found\"}}\n","stream":"stdout","time":"2026-11-22T02:41:07.1Z"}"#,
            r#"{"MESSAGE":"Webhook error: Error: Profile not found","PRIORITY":"3","__REALTIME_TIMESTAMP":"1795315267000000","X":"evt_1PZqq8N3fu"}"#,
        ] {
            let line = of(raw);
            assert_eq!(line.text, "Webhook error: Error: Profile not found", "{raw}");
            assert_eq!((line.at.map(|a| a.timestamp()), line.level), (Some(1_795_315_267), Some(Level::Error)), "{raw}");
            assert_eq!(line.ids, ["evt_1PZqq8N3fu"], "{raw}");
        }
    }

    #[test]
    fn plain_lines_are_read_too() {
        let cases = [
            ("2026-11-22T02:41:07Z ERROR Webhook error: x", Some(Level::Error), "ERROR Webhook error: x"),
            ("[2026-11-22 02:41:07] [warn] Webhook error: x", Some(Level::Warn), "[warn] Webhook error: x"),
            ("Nov 22 02:41:07 host api[12]: Webhook error: x", None, "Webhook error: x"),
            ("api-1  | 2026-11-22T02:41:07Z Webhook error: x", None, "Webhook error: x"),
            ("\x1b[31m2026-11-22T02:41:07Z\x1b[0m \x1b[1mERROR\x1b[0m x", Some(Level::Error), "ERROR x"),
            (
                "time=2026-11-22T02:41:07Z level=error msg=\"Webhook error\"",
                Some(Level::Error),
                "time=2026-11-22T02:41:07Z level=error msg=\"Webhook error\"",
            ),
            (
                "1.2.3.4 - - [22/Nov/2026:02:41:07 +0000] \"POST /webhooks/stripe HTTP/1.1\" 500 12",
                Some(Level::Error),
                "1.2.3.4 - - [22/Nov/2026:02:41:07 +0000] \"POST /webhooks/stripe HTTP/1.1\" 500 12",
            ),
            ("2026-11-22T02:41:07Z POST /webhooks/stripe 200 41 ms", Some(Level::Info), "POST /webhooks/stripe 200 41 ms"),
        ];
        for (raw, level, text) in cases {
            let line = of(raw);
            assert_eq!((line.at.map(|a| a.timestamp()), line.level, line.text.as_str()), (Some(1_795_315_267), level, text), "{raw}");
        }
    }

    #[test]
    fn a_trace_is_one_line() {
        let text = of("2026-11-22T02:41:07Z Webhook error: TypeError: x\n    at a (f.js:1)\n    at b (f.js:2)").text;
        assert_eq!(text, "Webhook error: TypeError: x at a (f.js:1) at b (f.js:2)");
        let pino = of(
            r#"{"level":50,"msg":"Webhook error:","err":{"type":"TypeError","message":"x","stack":"TypeError: x\n    at a (f.js:1)\n    at b","code":"E1"}}"#,
        );
        assert_eq!(pino.text, "Webhook error: TypeError: x (E1) at a (f.js:1)");
        assert_eq!(of("{\n  \"level\": 40,\n  \"msg\": \"slow\"\n}").level, Some(Level::Warn), "an object over several lines");
    }

    #[test]
    fn hostile_and_endless_lines_are_cut_and_harmless() {
        let endless = format!("2026-11-22T02:41:07Z {}", "x\u{202E}\x1b]0;".repeat(2_000_000));
        let line = of(&endless);
        assert!(line.text.len() <= 2_060 && !line.text.chars().any(crate::domain::text::is_hostile), "{}", line.text.len());
        assert_eq!(
            of(&format!("{{\"level\":50,\"time\":1795315267000,\"msg\":\"{}\"}}", "y".repeat(10_000_000))).at.map(|a| a.timestamp()),
            Some(1_795_315_267)
        );
        assert_eq!(line_of_bytes(&[0u8; 4096]).text, "\u{FFFD}");
        assert_eq!(line_of_bytes(&[0xff, 0xfe, b'a', 0xc3]).text, "\u{FFFD}a\u{FFFD}");
        assert!(!of("2026-11-22T02:41:07Z key sk_live_51Habcdefghijk for jane@acme.com").text.contains("51Hab"));
        assert_eq!(of("").text, "");
    }

    fn line_of_bytes(raw: &[u8]) -> LogLine {
        line(raw, None, "app.log", now())
    }
}
