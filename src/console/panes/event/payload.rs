//! The payload as lines: JSON that folds.

use serde_json::Value;
use std::collections::BTreeSet;

/// A line of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub depth: u16,
    /// The key and its colon, or nothing within a list.
    pub key: String,
    /// The value, an opening bracket, or a closed fold in one piece.
    pub text: String,
    /// What a fold is called: the way to it from the top. `None` where nothing can be folded.
    pub path: Option<String>,
}

/// What is open from the start, since it is what one looks for: everything else that holds more than one line begins folded.
const OPEN: &[&str] = &["", "/data", "/data/object", "/data/previous_attributes"];
/// The lines on screen. A fold whose path is in `turned` is the other way round than it begins.
#[must_use]
pub fn lines(value: &Value, turned: &BTreeSet<String>) -> Vec<Line> {
    let mut out = Vec::new();
    walk(value, "", String::new(), 0, turned, &mut out);
    out
}

fn walk(value: &Value, key: &str, path: String, depth: u16, turned: &BTreeSet<String>, out: &mut Vec<Line>) {
    let label = if key.is_empty() { String::new() } else { format!("{key}: ") };
    let (open, close, size) = match value {
        Value::Object(map) => ("{", "}", map.len()),
        Value::Array(list) => ("[", "]", list.len()),
        scalar => {
            out.push(Line { depth, key: label, text: scalar.to_string(), path: None });
            return;
        }
    };
    if size == 0 {
        out.push(Line { depth, key: label, text: format!("{open}{close}"), path: None });
        return;
    }
    let is_open = OPEN.contains(&path.as_str()) != turned.contains(&path);
    if !is_open {
        let inside = if size == 1 { "1 line".to_string() } else { format!("{size} lines") };
        out.push(Line { depth, key: label, text: format!("{open} {inside} {close}"), path: Some(path) });
        return;
    }
    out.push(Line { depth, key: label, text: open.into(), path: Some(path.clone()) });
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| walk(v, k, format!("{path}/{k}"), depth + 1, turned, out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| walk(v, "", format!("{path}/{i}"), depth + 1, turned, out)),
        _ => {}
    }
    out.push(Line { depth, key: String::new(), text: close.into(), path: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_things_fold_and_what_matters_is_open() {
        let event =
            json!({ "id": "evt_1", "data": { "object": { "id": "sub_1", "items": { "data": [1, 2] } } }, "request": { "id": null } });
        let closed = lines(&event, &BTreeSet::new());
        let shown: Vec<String> = closed.iter().map(|l| format!("{}{}", l.key, l.text)).collect();
        assert_eq!(
            shown,
            ["{", "id: \"evt_1\"", "data: {", "object: {", "id: \"sub_1\"", "items: { 1 line }", "}", "}", "request: { 1 line }", "}"]
        );
        let open = lines(&event, &BTreeSet::from(["/data/object/items".to_string(), "/request".to_string()]));
        assert!(open.iter().any(|l| l.text == "[ 2 lines ]") && open.iter().any(|l| l.key == "id: " && l.text == "null"));
        let shut = lines(&event, &BTreeSet::from([String::new()]));
        assert_eq!(shut.len(), 1);
    }
}
