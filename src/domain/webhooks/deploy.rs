//! What was deployed when: read from whatever the configured command prints, JSON or plain lines. Runs nothing.

use crate::domain::At;
use crate::domain::text::clean;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A version that was put into service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deploy {
    pub at: At,
    /// A version, a tag, the beginning of a commit.
    pub version: String,
    pub by: Option<String>,
}

/// Longer than this nobody's version or name is, in characters.
const LONGEST: usize = 60;

/// The deploys in a command's output, newest first: a JSON array, a JSON object per line (also within `{"deploys": […]}`), or plain lines
/// with a time and a version. Those without a time are left out, since nothing follows from them; `None` where nothing is a deploy at all.
#[must_use]
pub fn parse(output: &str) -> Option<Vec<Deploy>> {
    let whole = serde_json::from_str::<Value>(output).ok();
    let listed = whole.as_ref().and_then(|v| v.as_array().or_else(|| v.as_object()?.values().find_map(Value::as_array)));
    let seen: Vec<Seen> = match listed {
        Some(list) => list.iter().filter_map(object).collect(),
        None => output.lines().filter_map(line).collect(),
    };
    let nothing = seen.is_empty() && !output.trim().is_empty() && listed.is_none_or(|list| !list.is_empty());
    let mut all: Vec<Deploy> = seen.into_iter().filter_map(|(at, version, by)| Some(Deploy { at: at?, version, by })).collect();
    all.sort_by_key(|deploy| std::cmp::Reverse(deploy.at));
    (!nothing).then_some(all)
}

/// Time, version, by whom.
type Seen = (Option<At>, String, Option<String>);

fn line(line: &str) -> Option<Seen> {
    match serde_json::from_str::<Value>(line) {
        Ok(value) if value.is_object() => object(&value),
        _ => plain(line),
    }
}

fn object(value: &Value) -> Option<Seen> {
    let first = |names: &[&str]| names.iter().map(|n| &value[*n]).find(|v| !v.is_null());
    let text = |v: &Value| v.as_str().map(str::to_string).or_else(|| v.as_number().map(ToString::to_string));
    let version = first(&["version", "tag", "release", "revision", "sha", "commit", "id"]).and_then(text).as_deref().and_then(short)?;
    let at = first(&["at", "time", "timestamp", "deployed_at", "created_at", "date", "ts"]);
    let at = at.and_then(|at| at.as_i64().and_then(epoch).or_else(|| moment(at.as_str()?)));
    Some((at, version, first(&["by", "author", "user", "deployed_by", "actor"]).and_then(text).as_deref().and_then(short)))
}

/// `2026-11-22T02:38:00Z v413 by ada`, the time anywhere in the line, as one word or two.
fn plain(line: &str) -> Option<Seen> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (at, from, to) = (0..words.len()).find_map(|i| {
        let upto = |n: usize| Some((moment(&words.get(i..i + n)?.join(" "))?, i, i + n));
        upto(3).or_else(|| upto(2)).or_else(|| upto(1))
    })?;
    let rest: Vec<&str> = words[..from].iter().chain(&words[to..]).copied().collect();
    let by = rest.iter().position(|w| w.eq_ignore_ascii_case("by")).and_then(|i| rest.get(i + 1));
    let version = rest.iter().find(|w| Some(*w) != by && w.chars().any(|c| c.is_ascii_digit())).or_else(|| rest.first())?;
    let bare = |word: &str| short(word.trim_matches(|c: char| !c.is_alphanumeric()));
    Some((Some(at), bare(version)?, by.and_then(|w| bare(w))))
}

fn short(text: &str) -> Option<String> {
    Some(clean(text.trim()).chars().take(LONGEST).collect::<String>()).filter(|t| !t.is_empty())
}

/// A time as logs and tools print it; without a zone it is UTC.
fn moment(text: &str) -> Option<At> {
    let text = text.trim_matches(|c: char| matches!(c, '[' | ']' | '(' | ')' | ',' | ';'));
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    for zoned in ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%z"] {
        if let Ok(at) = DateTime::parse_from_str(text, zoned) {
            return Some(at.with_timezone(&Utc));
        }
    }
    let bare = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let without_zone = text.strip_suffix(" UTC").unwrap_or(text);
    let naive = bare.iter().find_map(|f| NaiveDateTime::parse_from_str(without_zone, f).ok());
    naive.map(|n| n.and_utc()).or_else(|| epoch(text.parse().ok()?))
}

/// Seconds or milliseconds; numbers that are neither of this age are no time.
fn epoch(number: i64) -> Option<At> {
    match number {
        1_000_000_000..=9_999_999_999 => DateTime::from_timestamp(number, 0),
        1_000_000_000_000..=9_999_999_999_999 => DateTime::from_timestamp_millis(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(output: &str) -> Vec<(String, String, Option<String>)> {
        parse(output).into_iter().flatten().map(|d| (d.at.format("%m-%d %H:%M").to_string(), d.version, d.by)).collect()
    }

    #[test]
    fn what_tools_print_is_understood() {
        let ada = || Some("ada".to_string());
        for (output, wanted) in [
            ("{\"version\":\"v413\",\"at\":\"2026-11-22T02:38:00Z\",\"author\":\"ada\",\"changed\":\"x\"}\n", ada()),
            ("[{\"tag\":\"v413\",\"timestamp\":1795315080,\"user\":\"ada\"}]", ada()),
            ("{\"deploys\":[{\"version\":\"v413\",\"time\":1795315080000}]}", None),
            ("2026-11-22T02:38:00Z v413 by ada\n", ada()),
            ("[2026-11-22 03:38:00 +0100] deploy v413, by ada", ada()),
            ("v413\t2026-11-22 02:38 UTC", None),
            ("1795315080 v413", None),
        ] {
            assert_eq!(told(output), [("11-22 02:38".to_string(), "v413".to_string(), wanted)], "{output}");
        }
    }

    #[test]
    fn the_newest_comes_first_and_what_is_no_deploy_is_left_out() {
        let output =
            "deploy history\n{\"version\":\"2026.11.2\",\"at\":null}\n2026-11-21T10:00:00Z v412\n\n2026-11-22T02:38:00Z v413\nnoise\n";
        assert_eq!(told(output).into_iter().map(|d| d.1).collect::<Vec<_>>(), ["v413", "v412"]);
        for nothing in ["{}", "2026-11-22T02:38:00Z", "nonsense\n", "[1]"] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
        for none_yet in ["", "[]", "{\"version\":\"v1\",\"at\":null}"] {
            assert_eq!(parse(none_yet), Some(Vec::new()), "{none_yet}");
        }
        let hostile = parse("2026-11-22T02:38:00Z v1\u{1b}[31m").expect("a deploy");
        assert!(!hostile[0].version.contains('\u{1b}'), "{hostile:?}");
    }
}
