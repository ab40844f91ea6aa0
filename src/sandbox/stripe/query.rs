//! Stripe's query language: clauses joined by AND or by OR. Which objects are tried is the caller's.

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
    /// In size.
    Number,
}

/// A field that a resource is searched by.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Type,
    /// Where it stands in the object.
    path: &'static str,
}

/// A resource's name in the plural, and the fields besides metadata that it is searched by.
pub struct Grammar {
    pub resource: &'static str,
    pub fields: &'static [Field],
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
    pub subject: Subject,
    pub negated: bool,
    pub test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Field(&'static Field),
    Metadata(String),
}

/// Search ignores capitals; ids are looked up by what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Is(String),
    /// In lower case.
    Contains(String),
    Within(Bounds),
    /// There is no value.
    Null,
}

impl Field {
    pub const fn new(name: &'static str, kind: Type) -> Self {
        Self { name, kind, path: name }
    }

    /// A field that is searched by another name than it has.
    pub const fn at(name: &'static str, kind: Type, path: &'static str) -> Self {
        Self { name, kind, path }
    }
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
        self.holds(match &self.subject {
            Subject::Field(field) => field.path.split('.').fold(object, |inside, part| &inside[part]),
            Subject::Metadata(key) => &object["metadata"][key.as_str()],
        })
    }

    /// Whether the clause holds where its field has that value.
    pub fn holds(&self, value: &Value) -> bool {
        let found = match &self.test {
            Test::Null => value.is_null(),
            Test::Within(bounds) => value.as_i64().is_some_and(|number| bounds.contain(number)),
            Test::Is(wanted) => text(value).is_some_and(|text| text == wanted.to_lowercase()),
            Test::Contains(part) => text(value).is_some_and(|text| text.contains(part)),
        };
        found != self.negated
    }
}

/// A value as search compares it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_lowercase()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

impl Grammar {
    fn clause<'t>(&self, text: &'t str) -> Result<(Clause, &'t str), Failure> {
        let (negated, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').ok_or_else(unparsable)?;
        let (name, mut rest) = text.split_at(end);
        let (subject, kind) = match name {
            "" => return Err(unparsable()),
            "metadata" => {
                let (key, after) = quoted(rest.strip_prefix('[').ok_or_else(unparsable)?)?;
                rest = after.strip_prefix(']').ok_or_else(unparsable)?;
                (Subject::Metadata(key), Type::Token)
            }
            other => {
                let field = self.fields.iter().find(|f| f.name == other).ok_or_else(|| self.unsupported(other))?;
                (Subject::Field(field), field.kind)
            }
        };
        let operator = [">=", "<=", ">", "<", ":", "~"].into_iter().find(|o| rest.starts_with(o)).ok_or_else(unparsable)?;
        let rest = &rest[operator.len()..];
        if let Some(after) =
            rest.strip_prefix("null").filter(|after| operator == ":" && after.chars().next().is_none_or(char::is_whitespace))
        {
            return Ok((Clause { subject, negated, test: Test::Null }, after));
        }
        let (value, rest) = value(rest, kind)?;
        let test = match (kind, operator) {
            (Type::Number, _) => Test::Within(range(operator, &value)?),
            (_, ":") => Test::Is(value),
            (Type::Text, "~") if value.chars().count() < 3 => {
                return Err(refused("The substring operator `~` needs a value of at least three characters."));
            }
            (Type::Text, "~") => Test::Contains(value.to_lowercase()),
            _ => return Err(refused(format!("Operator `{operator}` is not supported for field `{name}`."))),
        };
        Ok((Clause { subject, negated, test }, rest))
    }

    fn unsupported(&self, field: &str) -> Failure {
        let resource = self.resource;
        refused(format!(
            "Field `{field}` is an unsupported search field for resource `{resource}`. See https://stripe.com/docs/search#query-fields-for-{anchor} for a list of supported fields.",
            anchor = resource.replace('_', "-")
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

/// Numbers, `true` and `false` may stand without quotes.
fn value(text: &str, kind: Type) -> Result<(String, &str), Failure> {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    match word {
        "true" | "false" => Ok((word.to_string(), rest)),
        _ if kind == Type::Number && !text.starts_with(['\'', '"']) => Ok((word.to_string(), rest)),
        _ => quoted(text),
    }
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

    static FIELDS: [Field; 4] = [
        Field::new("created", Type::Number),
        Field::new("name", Type::Text),
        Field::new("status", Type::Token),
        Field::at("owner.id", Type::Token, "parent.owner"),
    ];
    const GRAMMAR: Grammar = Grammar { resource: "things", fields: &FIELDS };

    fn parsed(text: &str) -> Query {
        Query::parse(text, &GRAMMAR).unwrap_or_else(|f| panic!("{text}: {}", f.message))
    }

    #[test]
    fn clauses_with_either_quote_escapes_and_metadata() {
        let clause = |subject, test| Clause { subject, negated: false, test };
        let want = [
            clause(Subject::Field(&FIELDS[2]), Test::Is("Active".into())),
            clause(Subject::Field(&FIELDS[1]), Test::Contains("o\"bc".into())),
            clause(Subject::Metadata("profile id".into()), Test::Is("x".into())),
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
    fn clauses_are_negated_ask_for_nothing_and_reach_inside() {
        let object =
            serde_json::json!({ "created": 5, "name": null, "status": true, "parent": { "owner": "A" }, "metadata": { "k": "v" } });
        for (text, holds) in [
            ("-created:5", false),
            ("-created>5", true),
            ("name:null", true),
            ("-name:null", false),
            ("-name:'x'", true),
            ("metadata['k']:null", false),
            ("-metadata['k']:null", true),
            ("metadata['other']:null AND owner.id:'a'", true),
            ("status:'true'", true),
            ("status:true AND -status:false", true),
            ("name:'null'", false),
        ] {
            assert_eq!(parsed(text).matches(&object), holds, "{text}");
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
            "name~null",
            "--name:'x'",
            "- name:'x'",
            "name:nullable",
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
