//! How parameters become an object's fields: texts, numbers, switches, lists, addresses, metadata. Which endpoint takes which is not here.

use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::form::Params;

/// The lines of an address, for tables of parameters and for setting them.
const ADDRESS: [&str; 6] = ["city", "country", "line1", "line2", "postal_code", "state"];

/// Sets a text by its dotted path, in the parameters as in the object; an empty one unsets it.
pub fn text(object: &mut Map<String, Value>, params: &Params, path: &str) {
    if let Some(text) = params.text(path) {
        put(object, path, if text.is_empty() { Value::Null } else { json!(text) });
    }
}

pub fn texts(object: &mut Map<String, Value>, params: &Params, paths: &[&str]) {
    paths.iter().for_each(|path| self::text(object, params, path));
}

/// Sets a list of texts; a lone empty one empties it.
pub fn list(object: &mut Map<String, Value>, params: &Params, name: &str) {
    let given = params.list(name);
    if given == [""] {
        object.insert(name.into(), json!([]));
    } else if !given.is_empty() {
        object.insert(name.into(), json!(given));
    }
}

/// Sets an address as a whole where any of it is given; `address=` unsets it.
pub fn address(object: &mut Map<String, Value>, params: &Params, path: &str) {
    if params.map(path).is_some() {
        let lines =
            ADDRESS.iter().map(|line| ((*line).to_string(), json!(params.text(&format!("{path}.{line}")).filter(|t| !t.is_empty()))));
        put(object, path, Value::Object(lines.collect()));
    } else if params.text(path).is_some() {
        put(object, path, Value::Null);
    }
}

/// A text that must be one of a few words.
///
/// # Errors
/// It is another one (400, in Stripe's words).
pub fn one_of<'a>(params: &'a Params, path: &str, words: &[&str]) -> Result<Option<&'a str>, Failure> {
    let Some(word) = params.text(path) else { return Ok(None) };
    if words.contains(&word) {
        return Ok(Some(word));
    }
    let name = params.shown(path);
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    let choice = if others.is_empty() { (*last).to_string() } else { format!("one of {}, or {last}", others.join(", ")) };
    Err(Failure::new(400, format!("Invalid {name}: must be {choice}")).param(&name))
}

/// A whole number that is not negative, within bounds both ends of which are included.
pub fn within(params: &Params, path: &str, least: i64, most: i64) -> Result<Option<i64>, Failure> {
    let name = params.shown(path);
    match params.integer(path)? {
        Some(number) if number < least => {
            Err(Failure::invalid_integer(&name, format!("This value must be greater than or equal to {least}.")))
        }
        Some(number) if number > most => Err(Failure::invalid_integer(&name, format!("This value must be less than or equal to {most}."))),
        other => Ok(other),
    }
}

/// A text that has to be there and may not be empty.
pub fn required<'a>(params: &'a Params, path: &str) -> Result<&'a str, Failure> {
    params.text(path).filter(|text| !text.is_empty()).ok_or_else(|| Failure::missing_parameter(&params.shown(path)))
}

/// Refuses an empty text where nothing can be unset.
pub fn not_unset(params: &Params, path: &str) -> Result<(), Failure> {
    if params.text(path) != Some("") {
        return Ok(());
    }
    let name = params.shown(path);
    let sentence = format!(
        "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a field; however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    );
    Err(Failure::new(400, sentence).code("parameter_invalid_empty").param(&name))
}

fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path.into(), value);
        return;
    };
    let inner = object.entry(first).or_insert(Value::Null);
    if !inner.is_object() {
        *inner = json!({});
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}
