//! Writes summed up: what each row was before all of them and is after, and which left it as it was.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Write;

/// Columns that say when a row was last written: two images that differ in nothing else are the same row.
const STAMPS: [&str; 2] = ["updated_at", "modified_at"];

/// All that happened to one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    pub relation: String,
    /// Before the first write; `None`: there was no such row.
    pub before: Option<Value>,
    /// After the last; `None`: there is no such row.
    pub after: Option<Value>,
    /// The time of the last write, and who made it.
    pub at: DateTime<Utc>,
    pub role: String,
    pub application: String,
    /// `TRUNCATE` took every row of the table.
    pub whole_table: bool,
    /// The transaction of the last write.
    pub transaction: String,
}

/// The rows that were written, in the order of their first write.
#[must_use]
pub fn net(writes: &[Write]) -> Vec<Net> {
    let mut rows: Vec<Net> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for write in writes {
        for (before, after) in moves(write) {
            let image = after.or(before);
            let name = (write.relation.clone(), image.map(|i| key(write, i)).unwrap_or_default());
            let place = *known.entry(name).or_insert_with(|| {
                rows.push(Net {
                    relation: write.relation.clone(),
                    before: before.cloned(),
                    after: None,
                    at: write.at,
                    role: String::new(),
                    application: String::new(),
                    whole_table: false,
                    transaction: String::new(),
                });
                rows.len() - 1
            });
            let row = &mut rows[place];
            row.after = after.cloned();
            row.at = write.at;
            row.role.clone_from(&write.role);
            row.application.clone_from(&write.application);
            row.whole_table |= write.operation == "TRUNCATE";
            row.transaction.clone_from(&write.transaction);
        }
    }
    rows
}

impl Net {
    /// Whether the row is as it was before, the time of its last change aside.
    #[must_use]
    pub fn undone(&self) -> bool {
        !self.whole_table && self.changed().is_empty() && self.before.is_some() == self.after.is_some()
    }

    /// The columns that differ, with their values before and after; nothing where the row was made or removed.
    #[must_use]
    pub fn changed(&self) -> Vec<(String, Value, Value)> {
        let (Some(Value::Object(before)), Some(Value::Object(after))) = (&self.before, &self.after) else { return Vec::new() };
        let differs = |(column, value): &(&String, &Value)| !STAMPS.contains(&column.as_str()) && before.get(*column) != Some(*value);
        after.iter().filter(differs).map(|(c, v)| (c.clone(), before.get(c).cloned().unwrap_or_default(), v.clone())).collect()
    }

    /// The images there are.
    pub fn images(&self) -> impl Iterator<Item = &Map<String, Value>> {
        [&self.before, &self.after].into_iter().flatten().filter_map(Value::as_object)
    }
}

/// A write as changes of one row each: an update that changes the key is the end of one row and the beginning of another.
fn moves(write: &Write) -> Vec<(Option<&Value>, Option<&Value>)> {
    match (&write.before, &write.after) {
        (Some(before), Some(after)) if key(write, before) != key(write, after) => vec![(Some(before), None), (None, Some(after))],
        (before, after) => vec![(before.as_ref(), after.as_ref())],
    }
}

/// What tells a row from others of its table: its key, or all of it.
fn key(write: &Write, image: &Value) -> String {
    if write.keys.is_empty() {
        return image.to_string();
    }
    let values: Vec<_> = write.keys.iter().map(|column| image[column].to_string()).collect();
    values.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(operation: &str, before: Value, after: Value) -> Write {
        let some = |v: Value| (!v.is_null()).then_some(v);
        Write {
            at: DateTime::from_timestamp(0, 0).unwrap(),
            role: "nightdesk".into(),
            application: "psql".into(),
            relation: "subscriptions".into(),
            operation: operation.into(),
            keys: vec!["id".into()],
            transaction: "700".into(),
            before: some(before),
            after: some(after),
        }
    }

    #[test]
    fn a_row_put_back_is_undone_and_the_time_of_its_change_does_not_matter() {
        let free = json!({ "id": 1, "tier": "FREE", "updated_at": "a" });
        let paid = json!({ "id": 1, "tier": "PRO", "updated_at": "b" });
        let back = json!({ "id": 1, "tier": "FREE", "updated_at": "c" });
        let once = net(&[write("UPDATE", free.clone(), paid.clone())]);
        assert_eq!(once[0].changed(), [("tier".to_string(), json!("FREE"), json!("PRO"))]);
        assert!(!once[0].undone());
        let twice = net(&[write("UPDATE", free, paid.clone()), write("UPDATE", paid, back)]);
        assert!(twice.len() == 1 && twice[0].undone());
    }

    #[test]
    fn rows_come_and_go() {
        let row = json!({ "id": 1, "tier": "FREE" });
        assert!(!net(&[write("DELETE", row.clone(), Value::Null)])[0].undone());
        assert!(!net(&[write("INSERT", Value::Null, row.clone())])[0].undone());
        assert!(net(&[write("DELETE", row.clone(), Value::Null), write("INSERT", Value::Null, row.clone())])[0].undone());
        assert!(net(&[write("INSERT", Value::Null, row.clone()), write("DELETE", row.clone(), Value::Null)])[0].undone());
        let other = json!({ "id": 2, "tier": "FREE" });
        let moved = net(&[write("UPDATE", row, other)]);
        assert!(moved.len() == 2 && moved.iter().all(|n| !n.undone()), "a new key is another row: {moved:?}");
        assert!(!net(&[write("TRUNCATE", Value::Null, Value::Null)])[0].undone());
    }
}
