//! Whether a value is what the table says: missing and excess fields, types, nulls, words outside an enumeration. It sends nothing.

use std::fmt;

use serde_json::{Map, Value};

use super::table::{Field, Table, Type, table};

/// One way in which a value is not what was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, from the outermost object: `charge.refunds.data[0].amount`.
    pub path: String,
    /// The interface's field, the same wherever such an object stands: `Refund.amount`.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (at {})", self.place, self.what, self.path)
    }
}

/// The same finding once, wherever it was made.
pub fn distinct(mut found: Vec<Violation>) -> Vec<Violation> {
    found.sort_by(|a, b| (&a.place, &a.what, a.path.len(), &a.path).cmp(&(&b.place, &b.what, b.path.len(), &b.path)));
    found.dedup_by(|a, b| (&a.place, &a.what) == (&b.place, &b.what));
    found
}

#[track_caller]
pub fn assert_none(found: Vec<Violation>) {
    let lines: Vec<String> = distinct(found).iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n  {}", lines.len(), lines.join("\n  "));
}

/// Holds an object against its kind (the value of `object`; `error` for a whole error body), deleted forms included.
pub fn conform(kind: &str, value: &Value) -> Vec<Violation> {
    let mut check = Check { table: table(), place: String::new(), found: Vec::new() };
    if kind == "error" {
        check.error(value);
        return check.found;
    }
    match check.table.kinds.get(kind) {
        Some(names) => check.one_of(kind, names, value),
        None => check.report(kind, "is a kind of object that the table does not describe"),
    }
    check.found
}

/// Holds an answer against what an endpoint returns.
pub fn conform_to(name: &str, types: &[Type], value: &Value) -> Vec<Violation> {
    let mut check = Check { table: table(), place: String::new(), found: Vec::new() };
    check.value(name, types, value);
    check.found
}

struct Check {
    table: &'static Table,
    /// The field that is being looked at.
    place: String,
    found: Vec<Violation>,
}

impl Check {
    fn report(&mut self, path: &str, what: impl Into<String>) {
        self.found.push(Violation { path: path.to_string(), place: self.place.clone(), what: what.into() });
    }

    /// The same with the place named.
    fn report_at(&mut self, path: &str, place: String, what: impl Into<String>) {
        let outer = std::mem::replace(&mut self.place, place);
        self.report(path, what);
        self.place = outer;
    }

    fn value(&mut self, path: &str, types: &[Type], value: &Value) {
        if types.contains(&Type::Any) {
            return;
        }
        let fits = match value {
            Value::Null => types.contains(&Type::Null),
            Value::Bool(true) => types.iter().any(|t| matches!(t, Type::Boolean | Type::True)),
            Value::Bool(false) => types.contains(&Type::Boolean),
            Value::Number(n) => types.contains(&Type::Number) || (types.contains(&Type::Integer) && (n.is_i64() || n.is_u64())),
            Value::String(text) => types.iter().any(|t| self.admits(t, text)),
            Value::Array(elements) => return self.array(path, types, elements),
            Value::Object(_) => return self.object(path, types, value),
        };
        if !fits {
            self.report(path, format!("is {}, not {}", shown(value), wanted(types)));
        }
    }

    fn admits(&self, kind: &Type, text: &str) -> bool {
        match kind {
            Type::Text | Type::Id(_) => true,
            Type::Decimal => text.parse::<f64>().is_ok(),
            Type::Word(word) => word == text,
            Type::Enum(name) => self.table.enums[name].iter().any(|word| word == text),
            _ => false,
        }
    }

    fn array(&mut self, path: &str, types: &[Type], elements: &[Value]) {
        let Some(of) = types.iter().find_map(|t| if let Type::Array(of) = t { Some(of) } else { None }) else {
            return self.report(path, format!("is an array, not {}", wanted(types)));
        };
        for (at, element) in elements.iter().enumerate() {
            self.value(&format!("{path}[{at}]"), of, element);
        }
    }

    fn object(&mut self, path: &str, types: &[Type], value: &Value) {
        let mut names = Vec::new();
        for kind in types {
            match kind {
                Type::Opaque => return,
                Type::Map(of) => {
                    for (key, inner) in value.as_object().into_iter().flatten() {
                        self.value(&format!("{path}.{key}"), of, inner);
                    }
                    return;
                }
                Type::List(of) => return self.page(path, "list", of, value),
                Type::Search(of) => return self.page(path, "search_result", of, value),
                Type::Shape(name) => names.push(name.clone()),
                Type::Id(expanded) => names.extend(expanded.iter().cloned()),
                _ => {}
            }
        }
        if names.is_empty() {
            return self.report(path, format!("is an object, not {}", wanted(types)));
        }
        self.one_of(path, &names, value);
    }

    /// By the value of `object` and `deleted` where several interfaces may stand.
    fn one_of(&mut self, path: &str, names: &[String], value: &Value) {
        let deleted = value["deleted"] == true;
        let fitting = |name: &&String| {
            let fields = self.table.shape(name).unwrap_or_default();
            let word = fields.iter().find(|f| f.name == "object").and_then(|f| f.types.first());
            word.is_none_or(|w| *w == Type::Word(value["object"].as_str().unwrap_or_default().to_string()))
                && fields.iter().any(|f| f.name == "deleted") == deleted
        };
        let described = |name: &&String| self.table.shape(name).is_some();
        match names.iter().filter(described).find(fitting).or(names.first()) {
            Some(name) if self.table.shape(name).is_some() => self.shape(path, &name.clone(), value),
            Some(name) => self.report(path, format!("is a {name}, which the table does not describe")),
            None => self.report(path, "may be no object"),
        }
    }

    fn shape(&mut self, path: &str, name: &str, value: &Value) {
        let Some(object) = value.as_object() else {
            return self.report(path, format!("is {}, not a {name}", shown(value)));
        };
        let fields = self.table.shape(name).expect("looked up before");
        if name == "Event" {
            self.event_data(path, object);
        }
        for field in fields.iter().filter(|f| !(name == "Event" && (f.name == "data" || f.name == "type"))) {
            let (path, place) = (format!("{path}.{}", field.name), format!("{name}.{}", field.name));
            match object.get(&field.name) {
                Some(inner) => {
                    let outer = std::mem::replace(&mut self.place, place);
                    self.value(&path, &field.types, inner);
                    self.place = outer;
                }
                None if field.optional => {}
                None => self.report_at(&path, place, "is missing"),
            }
        }
        self.excess(path, name, fields, object);
    }

    fn excess(&mut self, path: &str, name: &str, fields: &[Field], object: &Map<String, Value>) {
        for key in object.keys().filter(|key| !fields.iter().any(|f| f.name == **key)) {
            self.report_at(&format!("{path}.{key}"), format!("{name}.{key}"), "is not in the contract");
        }
    }

    /// `data.object` is what the event's type says, and `previous_attributes` names nothing else.
    fn event_data(&mut self, path: &str, event: &Map<String, Value>) {
        let data = &event["data"];
        let kind = event["type"].as_str().unwrap_or_default();
        let Some(name) = self.table.events.get(kind) else {
            return self.report(&format!("{path}.type"), format!("is '{kind}', which is no type of event"));
        };
        let inner = &data["object"];
        match inner["object"].as_str().and_then(|kind| self.table.kinds.get(kind)) {
            // An event of a deletion shows the object as it was; that it is gone is in the type.
            Some(names) if names.contains(name) => self.shape(&format!("{path}({kind}).data.object"), name, inner),
            _ => self.report(&format!("{path}({kind}).data.object"), format!("is no {name}")),
        }
        for key in data.as_object().into_iter().flat_map(Map::keys) {
            if key != "object" && key != "previous_attributes" {
                self.report(&format!("{path}({kind}).data.{key}"), "is in no event");
            }
        }
        let Some(previous) = data.get("previous_attributes") else { return };
        let Some(previous) = previous.as_object() else {
            return self.report(&format!("{path}({kind}).data.previous_attributes"), "is no object");
        };
        self.excess(&format!("{path}({kind}).data.previous_attributes"), name, self.table.shape(name).unwrap_or_default(), previous);
    }

    /// A list or search result. `total_count` is sent with lists inside objects and where it was asked for.
    fn page(&mut self, path: &str, word: &str, of: &[Type], value: &Value) {
        let search = word == "search_result";
        for key in value.as_object().into_iter().flat_map(Map::keys) {
            let known = ["object", "data", "has_more", "url", "total_count"].contains(&key.as_str()) || (search && key == "next_page");
            if !known {
                self.report(&format!("{path}.{key}"), format!("is in no {word}"));
            }
        }
        let fits = value["object"] == word
            && value["has_more"].is_boolean()
            && value["url"].as_str().is_some_and(|u| u.starts_with("/v1/"))
            && value.get("total_count").is_none_or(Value::is_u64)
            && (!search || value["next_page"].is_string() == (value["has_more"] == true));
        if !fits {
            self.report(path, format!("is no {word}: object, has_more, url, total_count or next_page is wrong"));
        }
        match value["data"].as_array() {
            Some(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    self.value(&format!("{path}.data[{at}]"), of, element);
                }
            }
            None => self.report(&format!("{path}.data"), "is no array"),
        }
    }

    fn error(&mut self, value: &Value) {
        let outer = value.as_object().filter(|o| o.len() == 1).and_then(|o| o.get("error"));
        let Some(error) = outer.filter(|e| e.is_object()) else {
            return self.report("", format!("is no error body: {}", shown(value)));
        };
        self.shape("error", &self.table.error.clone(), error);
        if error["message"].as_str().is_none_or(str::is_empty) {
            self.report("error.message", "says nothing");
        }
    }
}

/// A value, short enough for a line.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(60).collect()
}

fn wanted(types: &[Type]) -> String {
    types.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refund() -> Value {
        json!({
            "id": "re_1", "object": "refund", "amount": 5, "balance_transaction": null, "charge": "ch_1", "created": 1, "currency": "eur",
            "customer": null, "customer_account": null, "metadata": {}, "payment_intent": "pi_1", "payment_method": null, "reason": null,
            "receipt_number": null, "source_transfer_reversal": null, "status": "succeeded", "transfer_reversal": null
        })
    }

    fn found(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<String> {
        let mut refund = refund();
        change(refund.as_object_mut().expect("an object"));
        conform("refund", &refund).iter().map(|v| v.path.clone()).collect()
    }

    #[test]
    fn every_sort_of_violation_is_found() {
        assert_eq!(conform("refund", &refund()), []);
        assert_eq!(found(|r| drop(r.remove("amount"))), ["refund.amount"]);
        assert_eq!(found(|r| drop(r.insert("colour".into(), json!(1)))), ["refund.colour"]);
        assert_eq!(found(|r| drop(r.insert("amount".into(), json!("5")))), ["refund.amount"]);
        assert_eq!(found(|r| drop(r.insert("amount".into(), json!(0.5)))), ["refund.amount"]);
        assert_eq!(found(|r| drop(r.insert("currency".into(), Value::Null))), ["refund.currency"]);
        assert_eq!(found(|r| drop(r.insert("reason".into(), json!("because")))), ["refund.reason"]);
        assert_eq!(found(|r| drop(r.insert("metadata".into(), json!({ "a": 1 })))), ["refund.metadata.a"]);
        assert_eq!(found(|r| drop(r.insert("customer".into(), json!({ "id": "cus_1", "object": "customer", "deleted": true })))), [""; 0]);
        assert_eq!(
            found(|r| drop(r.insert("customer".into(), json!({ "id": "cus_1", "object": "customer", "deleted": true, "name": "x" })))),
            ["refund.customer.name"]
        );
        assert!(
            !found(|r| drop(r.insert("charge".into(), json!({ "id": "ch_1", "object": "charge" })))).is_empty(),
            "expanded: all fields"
        );
        assert!(!conform("wish", &json!({})).is_empty());
    }

    #[test]
    fn events_lists_and_errors() {
        let mut event = json!({
            "id": "evt_1", "object": "event", "api_version": "x", "created": 1, "livemode": false, "pending_webhooks": 0,
            "request": { "id": null, "idempotency_key": null }, "type": "refund.updated",
            "data": { "object": refund(), "previous_attributes": { "status": "pending" } }
        });
        assert_eq!(conform("event", &event), []);
        event["data"]["previous_attributes"]["colour"] = json!(1);
        assert_eq!(conform("event", &event)[0].path, "event(refund.updated).data.previous_attributes.colour");
        event["type"] = json!("charge.refunded");
        assert!(conform("event", &event)[0].what.contains("is no Charge"));
        event["type"] = json!("refund.wished");
        assert!(!conform("event", &event).is_empty());
        let list = [Type::List(vec![Type::Shape("Refund".into())])];
        let page = json!({ "object": "list", "data": [refund()], "has_more": false, "url": "/v1/refunds" });
        assert_eq!(conform_to("refunds", &list, &page), []);
        assert!(!conform_to("refunds", &list, &json!({ "object": "list", "data": [{}], "has_more": 0, "url": "/v1/refunds" })).is_empty());
        let error = |value: Value| conform("error", &json!({ "error": value })).len();
        assert_eq!(error(json!({ "type": "card_error", "message": "No.", "code": "card_declined" })), 0);
        assert_eq!(error(json!({ "type": "bad_error", "message": "No." })), 1);
        assert_eq!(error(json!({ "type": "api_error", "message": "" })), 1);
        assert_eq!(error(json!({ "type": "api_error", "message": "No.", "code": "no_such_code" })), 1);
        assert_eq!(conform("error", &json!({ "message": "No." })).len(), 1);
    }
}
