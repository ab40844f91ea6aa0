//! The payload as lines: JSON that folds, with personal data masked unless it is revealed.

use crate::domain::mask;
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
/// Keys whose values are somebody's own data, wherever they stand.
const PERSONAL: &[&str] = &[
    "email",
    "customer_email",
    "receipt_email",
    "name",
    "customer_name",
    "phone",
    "customer_phone",
    "address",
    "customer_address",
    "shipping",
    "customer_shipping",
    "line1",
    "line2",
    "postal_code",
    "city",
    "ip",
    "ip_address",
    "last4",
    "fingerprint",
    "tax_id",
    "customer_tax_ids",
];
/// Keys under which a plain name is a product's, a plan's or a field's, and nobody's.
const THINGS: &[&str] = &["product", "plan", "price", "coupon", "custom_fields"];

/// The lines on screen. A fold whose path is in `turned` is the other way round than it begins.
#[must_use]
pub fn lines(value: &Value, turned: &BTreeSet<String>) -> Vec<Line> {
    let mut out = Vec::new();
    walk(value, "", String::new(), 0, turned, &mut out);
    out
}

/// The value with everything personal masked, however deep it stands: what may be shown, copied and handed on.
#[must_use]
pub fn masked(value: &Value) -> Value {
    mask_in(value, "", "")
}

fn mask_in(value: &Value, key: &str, above: &str) -> Value {
    let personal = PERSONAL.contains(&key) && !(key == "name" && THINGS.contains(&above));
    match value {
        Value::Object(map) if personal => Value::Object(map.iter().map(|(k, v)| (k.clone(), all_masked(v))).collect()),
        Value::Array(list) if personal => Value::Array(list.iter().map(all_masked).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), mask_in(v, k, key))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(|v| mask_in(v, key, above)).collect()),
        Value::String(text) if text.contains('@') => Value::String(words_masked(text)),
        Value::String(text) if personal && !text.is_empty() => Value::String(mask::name(text)),
        other => other.clone(),
    }
}

fn all_masked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::String(text) => Value::String(mask::name(text)),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), all_masked(v))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(all_masked).collect()),
        other => other.clone(),
    }
}

fn words_masked(text: &str) -> String {
    let masked = |word: &str| if word.contains('@') { mask::email(word) } else { word.to_string() };
    text.split(' ').map(masked).collect::<Vec<_>>().join(" ")
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

    #[test]
    fn what_is_personal_is_masked_at_any_depth() {
        let event = json!({
            "data": { "object": {
                "customer_email": "jane.doe@acme.com", "customer_name": "Jane Doe", "description": "for jane.doe@acme.com only",
                "address": { "line1": "1 Long Street", "city": "Basel" }, "plan": { "name": "Pro" }, "status": "active",
                "nested": [{ "shipping": { "name": "Jane Doe", "lines": ["Jane", "Doe"] }, "metadata": { "contact": "jane@acme.com" } }]
            } }
        });
        let shown = masked(&event).to_string();
        for personal in ["jane", "Jane", "Doe", "Long", "Basel"] {
            assert!(!shown.contains(personal), "{personal}: {shown}");
        }
        for kept in ["Pro", "active", "j•••@a•••.com"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }
}
