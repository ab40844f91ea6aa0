//! The table as generated (`tests/contract/stripe.json`): its sections and its notation of types. What conforms is decided elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::{Map, Value};

pub struct Table {
    /// Value of `object` → interfaces; a second one describes the deleted form.
    pub kinds: HashMap<String, Vec<String>>,
    /// The interface of what stands under `error`.
    pub error: String,
    /// Verb and path, `GET /v1/customers/{id}` → what it takes and gives.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Event type → interface of `data.object`.
    pub events: HashMap<String, String>,
    pub enums: HashMap<String, Vec<String>>,
    pub shapes: HashMap<String, Vec<Field>>,
}

pub struct Endpoint {
    /// The interface of its parameters, `None` where it takes none.
    pub params: Option<String>,
    pub returns: Vec<Type>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub optional: bool,
    pub types: Vec<Type>,
}

/// One alternative of a type, as the table's README explains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Text,
    Integer,
    Number,
    Boolean,
    True,
    Null,
    Any,
    Decimal,
    /// An object that the table does not look into.
    Opaque,
    Word(String),
    Enum(String),
    Shape(String),
    Id(Vec<String>),
    Array(Vec<Type>),
    Map(Vec<Type>),
    List(Vec<Type>),
    Search(Vec<Type>),
}

pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let text = include_str!("../../contract/stripe.json");
        Table::read(&serde_json::from_str(text).expect("the table is JSON"))
    });
    &TABLE
}

impl Table {
    fn read(table: &Value) -> Self {
        let section = |name: &str| table[name].as_object().unwrap_or_else(|| panic!("the table has a section {name}"));
        Self {
            kinds: section("kinds").iter().map(|(k, v)| (k.clone(), words(v))).collect(),
            error: word(&table["error"]),
            endpoints: section("endpoints").iter().map(|(k, v)| (k.clone(), Endpoint::read(v))).collect(),
            events: section("events").iter().map(|(k, v)| (k.clone(), word(v))).collect(),
            enums: section("enums").iter().map(|(k, v)| (k.clone(), words(v))).collect(),
            shapes: section("shapes").iter().map(|(k, v)| (k.clone(), fields(v.as_object().expect("a shape")))).collect(),
        }
    }

    pub fn shape(&self, name: &str) -> Option<&[Field]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// What an endpoint takes, by name; none where it takes nothing.
    pub fn params(&self, endpoint: &str) -> &[Field] {
        let found = self.endpoints.get(endpoint).unwrap_or_else(|| panic!("{endpoint} is not in the table"));
        found.params.as_deref().and_then(|name| self.shape(name)).unwrap_or_default()
    }
}

impl Endpoint {
    fn read(value: &Value) -> Self {
        Self { params: value["params"].as_str().map(str::to_string), returns: types(&word(&value["returns"])) }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a word, not {value}")).to_string()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap_or_else(|| panic!("words, not {value}")).iter().map(word).collect()
}

fn fields(shape: &Map<String, Value>) -> Vec<Field> {
    let field = |(name, value): (&String, &Value)| Field {
        name: name.trim_end_matches('?').to_string(),
        optional: name.ends_with('?'),
        types: types(&word(value)),
    };
    shape.iter().map(field).collect()
}

/// The alternatives of a type.
fn types(text: &str) -> Vec<Type> {
    split(text, " | ").into_iter().map(one).collect()
}

fn one(text: &str) -> Type {
    let inside = |word: &str| text.strip_prefix(word).and_then(|rest| rest.strip_prefix('<')?.strip_suffix('>'));
    if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return Type::Word(inner.to_string());
    }
    if let Some(name) = inside("enum") {
        return Type::Enum(name.to_string());
    }
    if let Some(names) = inside("id") {
        return Type::Id(names.split(", ").map(str::to_string).collect());
    }
    for (word, of) in [("array", Type::Array as fn(Vec<Type>) -> Type), ("map", Type::Map), ("list", Type::List), ("search", Type::Search)]
    {
        if let Some(inner) = inside(word) {
            return of(types(inner));
        }
    }
    match text {
        "string" => Type::Text,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "true" => Type::True,
        "null" => Type::Null,
        "any" => Type::Any,
        "decimal" => Type::Decimal,
        "object" => Type::Opaque,
        name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Type::Shape(name.to_string()),
        other => panic!("the table's notation has no {other}"),
    }
}

/// At the separators that stand in no brackets.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth == 0 && at >= from && text[at..].starts_with(separator) => {
                parts.push(&text[from..at]);
                from = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[test]
fn the_table_is_what_its_readme_says() {
    let table = table();
    assert_eq!(nightdesk::sandbox::stripe::API_VERSION, "2026-09-30.endive");
    assert!(include_str!("../../contract/stripe.json").contains("\"api_version\": \"2026-09-30.endive\""));
    assert_eq!(
        types("array<'a' | id<Customer, DeletedCustomer>> | null"),
        [Type::Array(vec![Type::Word("a".into()), Type::Id(vec!["Customer".into(), "DeletedCustomer".into()])]), Type::Null]
    );
    let refund = table.shape("Refund").expect("refunds are described");
    assert!(refund.contains(&Field { name: "amount".into(), optional: false, types: vec![Type::Integer] }));
    assert!(table.params("POST /v1/prices").iter().any(|f| f.name == "currency" && !f.optional));
    // Every word the simulator refuses with, apart from what a payment is declined for.
    let codes = &table.enums["Invoice.LastFinalizationError.code"];
    for code in ["parameter_unknown", "parameter_missing", "resource_missing", "rate_limit", "lock_timeout", "idempotency_key_in_use"] {
        assert!(codes.iter().any(|c| c == code), "{code}");
    }
}
