//! Customer search: Stripe's query language as far as consoles use it, with the index that lags behind.

use serde_json::{Value, json};

use super::expand;
use super::failure::Failure;
use super::form::Bounds;
use super::route::Call;
use super::state::State;
use super::timeline::{Collection, Direction, Key, People, Selection};
use crate::sandbox::population::Billing;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    field: Field,
    contains: bool,
    /// Lower case: search ignores capitals.
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Email,
    Name,
    Phone,
    Metadata(String),
}

pub fn customers(state: &State, call: &Call) -> Result<Value, Failure> {
    let query = call
        .params
        .text("query")
        .ok_or_else(|| Failure::new(400, "Missing required param: query.").code("parameter_missing").param("query"))?;
    let clauses = parse(query)?;
    let limit = call.params.limit()?;
    let beyond = match call.params.text("page") {
        Some(token) => Some(Key::read(token).ok_or_else(|| Failure::new(400, format!("Invalid page token: {token}")).param("page"))?),
        None => None,
    };
    let address = clauses.iter().find(|c| c.field == Field::Email && !c.contains);
    let number = address.and_then(|c| state.population.email_number(&c.value));
    let texts: Vec<&Clause> = clauses.iter().filter(|c| matches!(c.field, Field::Name | Field::Email)).collect();
    // Names are computed per person: cheaper than the object, and enough to rule nearly everybody out.
    let may_match = |n: u64, _: Billing| {
        let (name, email) = state.population.name_and_email(n);
        state.is_touched(n) || texts.iter().all(|c| c.admits(if c.field == Field::Name { &name } else { &email }))
    };
    // The population's customers have neither metadata nor phone.
    let bare = clauses.iter().any(|c| matches!(c.field, Field::Metadata(_) | Field::Phone));
    let people = match address {
        Some(_) => People::Only(state.touched_and(number)),
        None if bare => People::Only(state.touched_and(None)),
        None => People::Where(&may_match),
    };
    let selection = Selection { bounds: Bounds::ALL, direction: Direction::NewestFirst, beyond, ordinals: u8::MAX, people };
    let indexed = call.now.timestamp() - state.search_lag;
    let mut found: Vec<(Key, Value)> = state
        .walk(Collection::Customers, selection)
        .filter(|(key, _)| key.made == 0 || key.at <= indexed)
        .filter_map(|(key, id)| Some((key, state.live(&id, "customer")?)))
        .filter(|(_, customer)| clauses.iter().all(|c| c.matches(customer)))
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(key, _)| key.write());
    let mut data: Vec<Value> = found.into_iter().map(|(_, v)| v).collect();
    expand::elements(state, call, &mut data)?;
    Ok(json!({ "object": "search_result", "data": data, "has_more": has_more, "next_page": next, "url": "/v1/customers/search" }))
}

impl Clause {
    fn admits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        if self.contains { text.contains(&self.value) } else { text == self.value }
    }

    fn matches(&self, customer: &Value) -> bool {
        let value = match &self.field {
            Field::Email => &customer["email"],
            Field::Name => &customer["name"],
            Field::Phone => &customer["phone"],
            Field::Metadata(key) => &customer["metadata"][key.as_str()],
        };
        value.as_str().is_some_and(|text| self.admits(text))
    }
}

fn parse(query: &str) -> Result<Vec<Clause>, Failure> {
    let mut rest = query.trim();
    let mut clauses = Vec::new();
    loop {
        let (clause, after) = clause(rest)?;
        clauses.push(clause);
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(clauses);
        }
        rest = match rest.get(..4) {
            Some(word) if word.eq_ignore_ascii_case("and ") => rest[4..].trim_start(),
            _ => return Err(unparsable()),
        };
    }
}

fn clause(text: &str) -> Result<(Clause, &str), Failure> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').ok_or_else(unparsable)?;
    let (name, mut rest) = text.split_at(end);
    let field = match name {
        "email" => Field::Email,
        "name" => Field::Name,
        "phone" => Field::Phone,
        "metadata" => {
            let (key, after) = quoted(rest.strip_prefix('[').ok_or_else(unparsable)?)?;
            rest = after.strip_prefix(']').ok_or_else(unparsable)?;
            Field::Metadata(key)
        }
        "" => return Err(unparsable()),
        other => {
            let text = format!(
                "Field `{other}` is an unsupported search field for resource `customers`. See https://stripe.com/docs/search#query-fields-for-customers for a list of supported fields."
            );
            return Err(Failure::new(400, text).param("query"));
        }
    };
    let contains = match rest.chars().next() {
        Some(':') => false,
        Some('~') => true,
        _ => return Err(unparsable()),
    };
    let (value, rest) = quoted(&rest[1..])?;
    if contains && value.chars().count() < 3 {
        return Err(Failure::new(400, "The substring operator `~` needs a value of at least three characters.").param("query"));
    }
    Ok((Clause { field, contains, value: value.to_lowercase() }, rest))
}

/// A text in single or double quotes; a backslash takes the next character as it is.
fn quoted(text: &str) -> Result<(String, &str), Failure> {
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, c)| c).filter(|c| matches!(c, '\'' | '"')).ok_or_else(unparsable)?;
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next().ok_or_else(unparsable)?.1),
            c if c == quote => return Ok((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    Err(unparsable())
}

fn unparsable() -> Failure {
    let text = "We were unable to parse your search query. Try using the format `metadata[\"key\"]:\"value\"` to query for metadata or key:\"value\" to query for other fields.";
    Failure::new(400, text).param("query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_with_either_quote_escapes_and_metadata() {
        let found = parse(r#"email:'A@b.c' AND name~"o\"b" and metadata['profile id']:'x'"#).expect("parses");
        let field = |f, contains, value: &str| Clause { field: f, contains, value: value.to_string() };
        assert_eq!(
            found,
            [
                field(Field::Email, false, "a@b.c"),
                field(Field::Name, true, "o\"b"),
                field(Field::Metadata("profile id".into()), false, "x")
            ]
        );
    }

    #[test]
    fn what_cannot_be_parsed_is_refused() {
        for bad in [
            "",
            "email",
            "email:",
            "email:'x",
            "email:x",
            "colour:'x'",
            "name~'ab'",
            "email:'a' OR email:'b'",
            "metadata[k]:'v'",
            "名:'x'",
            "email:'a' 名前",
        ] {
            assert_eq!(parse(bad).expect_err(bad).status, 400, "{bad}");
        }
    }
}
