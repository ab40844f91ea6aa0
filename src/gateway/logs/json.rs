//! Log lines that are JSON objects: pino's and its relatives', journald's export, Docker's files. Which key means what.

use super::parse::{Read, level_of_status, level_of_word};
use super::time;
use crate::domain::At;
use crate::domain::webhooks::log::Level;
use serde_json::{Map, Value};

const TIMES: &[&str] = &["time", "timestamp", "ts", "@timestamp", "t", "datetime", "date", "__REALTIME_TIMESTAMP"];
const LEVELS: &[&str] = &["level", "severity", "lvl", "levelname", "log.level", "level_name", "loglevel", "PRIORITY"];
const MESSAGES: &[&str] = &["msg", "message", "event", "text", "MESSAGE", "log"];
const ERRORS: &[&str] = &["err", "error", "exception", "exc", "exc_info", "cause"];
/// An object that stands in an object that stands in a line; deeper ones are words.
const DEEPEST: u8 = 2;

/// What the object says, if it is one that a log would hold.
pub fn read(text: &str, now: At) -> Option<Read> {
    let object = serde_json::from_str::<Map<String, Value>>(text).ok()?;
    Some(of_object(&object, now, DEEPEST))
}

/// Only its time, as far as the beginning of a very long line tells it.
pub fn time_in_head(head: &str, now: At) -> Option<At> {
    TIMES.iter().find_map(|key| {
        let (_, behind) = head.split_once(&format!("\"{key}\":"))?;
        let behind = behind.trim_start();
        match behind.strip_prefix('"') {
            Some(quoted) => at_of(&Value::from(quoted.split('"').next()?), now),
            None => time::epoch(behind.split([',', '}', ' ']).next()?.parse().ok()?),
        }
    })
}

fn of_object(object: &Map<String, Value>, now: At, depth: u8) -> Read {
    let at = TIMES.iter().filter_map(|key| object.get(*key)).find_map(|v| at_of(v, now));
    let level = LEVELS.iter().filter_map(|key| Some((*key, object.get(*key)?))).find_map(|(key, v)| level_of(key, v));
    let message = MESSAGES.iter().filter_map(|key| object.get(*key)).find_map(|v| v.as_str()).map(str::trim).filter(|m| !m.is_empty());
    // Docker's files and journald's export hold the application's own line.
    if let (Some(inner), true) = (message.filter(|m| m.starts_with('{')), depth > 0)
        && let Ok(inner) = serde_json::from_str::<Map<String, Value>>(inner)
    {
        let inner = of_object(&inner, now, depth - 1);
        return Read { at: inner.at.or(at), level: inner.level.or(level), ..inner };
    }
    let error = ERRORS.iter().filter_map(|key| object.get(*key)).find_map(|e| error(e, depth));
    let text = match (message, error) {
        (Some(message), Some(error)) if message.contains(&error) => message.to_string(),
        (Some(message), Some(error)) => format!("{}: {error}", message.trim_end_matches(':').trim_end()),
        (Some(message), None) => message.to_string(),
        (None, Some(error)) => error,
        (None, None) => Value::Object(object.clone()).to_string(),
    };
    let (text, status) = with_request(text, object);
    Read { at, level: level.max(status), text, json: true }
}

fn at_of(value: &Value, now: At) -> Option<At> {
    match value {
        Value::Number(number) => time::epoch(number.as_f64()?),
        Value::String(text) => time::leading(text, now).map(|(at, _)| at).or_else(|| time::epoch(text.parse().ok()?)),
        _ => None,
    }
}

fn level_of(key: &str, value: &Value) -> Option<Level> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    match (key, number) {
        // Syslog counts the other way round.
        ("PRIORITY", Some(n)) => Some(match n {
            0..=3 => Level::Error,
            4 => Level::Warn,
            5 | 6 => Level::Info,
            _ => Level::Debug,
        }),
        (_, Some(n)) => Some(match n {
            0..=29 => Level::Debug,
            30..=39 => Level::Info,
            40..=49 => Level::Warn,
            _ => Level::Error,
        }),
        (_, None) => level_of_word(value.as_str()?),
    }
}

/// `TypeError: message (code) at first frame`.
fn error(value: &Value, depth: u8) -> Option<String> {
    let object = match value {
        Value::String(text) => return Some(text.trim().to_string()).filter(|t| !t.is_empty()),
        Value::Object(object) => object,
        _ => return None,
    };
    let text = |keys: &[&str]| keys.iter().filter_map(|k| object.get(*k)).find_map(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let kind = text(&["type", "name", "class"]);
    let message = text(&["message", "msg", "detail"]);
    let mut out = match (kind, message) {
        (Some(kind), Some(message)) if !message.starts_with(kind) => format!("{kind}: {message}"),
        (_, Some(message)) => message.to_string(),
        (Some(kind), None) => kind.to_string(),
        (None, None) => return None,
    };
    let code = object.get("code").and_then(|c| c.as_str().map(str::to_string).or_else(|| c.as_i64().map(|n| n.to_string())));
    if let Some(code) = code.filter(|c| !out.contains(c.as_str())) {
        out += &format!(" ({code})");
    }
    if let Some(frame) = text(&["stack", "stacktrace", "trace"]).and_then(|s| s.lines().map(str::trim).find(|l| l.starts_with("at "))) {
        out += &format!(" {frame}");
    }
    let deeper = (depth > 0).then(|| object.get("cause").and_then(|c| error(c, depth - 1))).flatten();
    if let Some(cause) = deeper {
        out += &format!("; caused by {cause}");
    }
    Some(out)
}

/// The request that a line of an HTTP logger is about, and what its status makes of the level.
fn with_request(text: String, object: &Map<String, Value>) -> (String, Option<Level>) {
    let part = |outer: &[&str], inner: &[&str]| {
        let holder = outer.iter().find_map(|k| object.get(*k)?.as_object()).unwrap_or(object);
        inner.iter().find_map(|k| holder.get(*k)).cloned()
    };
    let method = part(&["req", "request"], &["method"]);
    let path = part(&["req", "request"], &["url", "path"]);
    let status = part(&["res", "response"], &["statusCode", "status"]).and_then(|s| s.as_u64()).filter(|s| (100..600).contains(s));
    match (method.as_ref().and_then(Value::as_str), path.as_ref().and_then(Value::as_str), status) {
        (Some(method), Some(path), Some(status)) => (format!("{text}: {method} {path} {status}"), Some(level_of_status(status))),
        _ => (text, None),
    }
}
