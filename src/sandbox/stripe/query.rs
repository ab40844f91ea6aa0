//! Stripe's query language as far as consoles use it: clauses joined by AND or by OR. Which objects are tried is the caller's.

use serde_json::Value;

use super::failure::Failure;
use super::form::Bounds;

/// How a field's values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Whole, or by a part of at least three characters.
    Text,
    /// Whole only.
    Token,
    /// As Unix seconds.
    Number,
}

/// A resource's name in the plural, and the fields besides metadata that it is searched by.
pub struct Grammar {
    pub resource: &'static str,
    pub fields: &'static [(&'static str, Type)],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub join: Join,
    pub clauses: Vec<Clause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    pub field: Field,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Named(&'static str),
    Metadata(String),
}

/// Texts are in lower case: search ignores capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Is(String),
    Contains(String),
    Within(Bounds),
}

impl Query {
    /// Clauses that nothing stands between are joined by AND. AND and OR do not mix, and there are no parentheses.
    pub fn parse(text: &str, grammar: &Grammar) -> Result<Self, Failure> {
        let (first, mut rest) = grammar.clause(text.trim())?;
        let (mut clauses, mut join) = (vec![first], None);
        while !rest.trim_start().is_empty() {
            let (word, after) = joint(rest.trim_start());
            if *join.get_or_insert(word) != word {
                return Err(refused("You can't combine `AND` and `OR` in the same search query."));
            }
            let (next, end) = grammar.clause(after)?;
            clauses.push(next);
            rest = end;
        }
        Ok(Self { join: join.unwrap_or(Join::And), clauses })
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.join.over(self.clauses.iter().map(|c| c.matches(object)))
    }
}

impl Join {
    /// What the query says where its clauses say this.
    pub fn over(self, mut clauses: impl Iterator<Item = bool>) -> bool {
        match self {
            Join::And => clauses.all(|holds| holds),
            Join::Or => clauses.any(|holds| holds),
        }
    }
}

impl Clause {
    fn matches(&self, object: &Value) -> bool {
        let value = match &self.field {
            Field::Named(name) => &object[*name],
            Field::Metadata(key) => &object["metadata"][key.as_str()],
        };
        match &self.test {
            Test::Within(bounds) => value.as_i64().is_some_and(|number| bounds.contain(number)),
            Test::Is(_) | Test::Contains(_) => value.as_str().is_some_and(|text| self.admits(text)),
        }
    }

    /// The same for a text that is at hand without its object.
    pub fn admits(&self, text: &str) -> bool {
        match &self.test {
            Test::Is(value) => text.to_lowercase() == *value,
            Test::Contains(value) => text.to_lowercase().contains(value),
            Test::Within(_) => false,
        }
    }
}

impl Grammar {
    fn clause<'t>(&self, text: &'t str) -> Result<(Clause, &'t str), Failure> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').ok_or_else(unparsable)?;
        let (name, mut rest) = text.split_at(end);
        let (field, kind) = match name {
            "" => return Err(unparsable()),
            "metadata" => {
                let (key, after) = quoted(rest.strip_prefix('[').ok_or_else(unparsable)?)?;
                rest = after.strip_prefix(']').ok_or_else(unparsable)?;
                (Field::Metadata(key), Type::Token)
            }
            other => {
                let (name, kind) = self.fields.iter().find(|(name, _)| *name == other).ok_or_else(|| self.unsupported(other))?;
                (Field::Named(name), *kind)
            }
        };
        let operator = [">=", "<=", ">", "<", ":", "~"].into_iter().find(|o| rest.starts_with(o)).ok_or_else(unparsable)?;
        let (value, rest) = value(&rest[operator.len()..], kind)?;
        let test = match (kind, operator) {
            (Type::Number, _) => Test::Within(range(operator, &value)?),
            (_, ":") => Test::Is(value.to_lowercase()),
            (Type::Text, "~") if value.chars().count() < 3 => {
                return Err(refused("The substring operator `~` needs a value of at least three characters."));
            }
            (Type::Text, "~") => Test::Contains(value.to_lowercase()),
            _ => return Err(refused(format!("Operator `{operator}` is not supported for field `{name}`."))),
        };
        Ok((Clause { field, test }, rest))
    }

    fn unsupported(&self, field: &str) -> Failure {
        let resource = self.resource;
        refused(format!(
            "Field `{field}` is an unsupported search field for resource `{resource}`. See https://stripe.com/docs/search#query-fields-for-{resource} for a list of supported fields."
        ))
    }
}

/// What joins the clause before to the one after, and the text of that.
fn joint(text: &str) -> (Join, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match word.to_ascii_lowercase().as_str() {
        "and" => (Join::And, rest.trim_start()),
        "or" => (Join::Or, rest.trim_start()),
        _ => (Join::And, text),
    }
}

fn range(operator: &str, value: &str) -> Result<Bounds, Failure> {
    if operator == "~" {
        return Err(refused("The substring operator `~` is not supported for numbers."));
    }
    let number: i64 = value.parse().map_err(|_| refused(format!("Invalid number in search query: {value}")))?;
    Ok(match operator {
        ">" => Bounds { from: number.saturating_add(1), ..Bounds::ALL },
        ">=" => Bounds { from: number, ..Bounds::ALL },
        "<" => Bounds { to: number.saturating_sub(1), ..Bounds::ALL },
        "<=" => Bounds { to: number, ..Bounds::ALL },
        _ => Bounds { from: number, to: number },
    })
}

/// Numbers may stand without quotes.
fn value(text: &str, kind: Type) -> Result<(String, &str), Failure> {
    if kind != Type::Number || text.starts_with(['\'', '"']) {
        return quoted(text);
    }
    let (digits, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    Ok((digits.to_string(), rest))
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

fn refused(sentence: impl Into<String>) -> Failure {
    Failure::new(400, sentence).param("query")
}

fn unparsable() -> Failure {
    refused(
        "We were unable to parse your search query. Try using the format `metadata[\"key\"]:\"value\"` to query for metadata or key:\"value\" to query for other fields.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar =
        Grammar { resource: "things", fields: &[("created", Type::Number), ("name", Type::Text), ("status", Type::Token)] };

    fn parsed(text: &str) -> Query {
        Query::parse(text, &GRAMMAR).unwrap_or_else(|f| panic!("{text}: {}", f.message))
    }

    #[test]
    fn clauses_with_either_quote_escapes_and_metadata() {
        let clause = |field, test| Clause { field, test };
        let want = [
            clause(Field::Named("status"), Test::Is("active".into())),
            clause(Field::Named("name"), Test::Contains("o\"bc".into())),
            clause(Field::Metadata("profile id".into()), Test::Is("x".into())),
        ];
        let found = parsed(r#"status:'Active' AND name~"o\"bC" and metadata['profile id']:'x'"#);
        assert_eq!(found, Query { join: Join::And, clauses: want.to_vec() });
        assert_eq!(parsed(r#"status:'Active' name~"o\"bC" AND metadata['profile id']:'x'"#), found);
        assert_eq!(parsed(r#"status:'Active' OR name~"o\"bC"  or metadata['profile id']:'x'"#), Query { join: Join::Or, ..found });
    }

    #[test]
    fn numbers_are_compared_and_need_no_quotes() {
        for (text, from, to) in [
            ("created>5", 6, i64::MAX),
            ("created>='5'", 5, i64::MAX),
            ("created<5", i64::MIN, 4),
            ("created<=\"5\"", i64::MIN, 5),
            ("created:5 name:'x'", 5, 5),
        ] {
            assert_eq!(parsed(text).clauses[0].test, Test::Within(Bounds { from, to }), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_parsed_is_refused() {
        for bad in [
            "",
            "name",
            "name:",
            "name:'x",
            "name:x",
            "colour:'x'",
            "name~'ab'",
            "name>'a'",
            "status~'active'",
            "created~'123'",
            "created>yesterday",
            "created>",
            "name:'a' OR",
            "AND name:'a'",
            "name:'a' OR name:'b' AND name:'c'",
            "name:'a' OR name:'b' name:'c'",
            "(name:'a')",
            "metadata[k]:'v'",
            "metadata['k']~'value'",
            "名:'x'",
            "name:'a' 名前",
        ] {
            assert_eq!(Query::parse(bad, &GRAMMAR).expect_err(bad).status, 400, "{bad}");
        }
    }
}
