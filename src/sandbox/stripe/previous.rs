//! `previous_attributes`: what an object's changed values were before. Which change is an event is decided elsewhere.

use serde_json::{Map, Value};

/// The values before of all that differs. Of an object inside, only the keys that changed; of a list, all of it; `null` for what was
/// not there.
pub fn attributes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone = before.keys().filter(|k| !after.contains_key(*k));
    after
        .keys()
        .chain(gone)
        .filter_map(|key| {
            let value = match (before.get(key), after.get(key)) {
                (b, a) if b == a => return None,
                (Some(Value::Object(b)), Some(Value::Object(a))) => Value::Object(attributes(b, a)),
                (b, _) => b.cloned().unwrap_or(Value::Null),
            };
            Some((key.clone(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_and_as_it_was() {
        let before =
            json!({ "a": 1, "same": 2, "metadata": { "x": "1", "y": "2", "z": "3" }, "list": [1, 2], "gone": true, "pause": null });
        let after =
            json!({ "a": 3, "same": 2, "metadata": { "x": "1", "y": "5", "new": "n" }, "list": [1], "pause": { "behavior": "void" } });
        let (Value::Object(before), Value::Object(after)) = (before, after) else { panic!("objects") };
        let expected = json!({ "a": 1, "metadata": { "y": "2", "new": null, "z": "3" }, "list": [1, 2], "pause": null, "gone": true });
        assert_eq!(Value::Object(attributes(&before, &after)), expected);
    }
}
