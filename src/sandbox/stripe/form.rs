//! Form decoding as Stripe takes it: `a[b]=`, `a[0]=` and `a[]=`, in the query and in the body. It knows no endpoint.

use serde_json::{Map, Value};

use super::failure::Failure;

/// Decoded parameters: strings, and objects of them. Arrays are objects with counted keys until somebody asks for a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(Map<String, Value>);

/// How many brackets a name may have: no endpoint's nest nearly as deep, and what does is one plain, unknown name.
const DEEPEST: usize = 16;

/// Characters in a name and in a value of metadata.
const LONGEST_KEY: usize = 40;
const LONGEST_VALUE: usize = 500;

/// A range of Unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub from: i64,
    pub to: i64,
}

impl Bounds {
    pub const ALL: Bounds = Bounds { from: i64::MIN, to: i64::MAX };

    pub fn contain(self, at: i64) -> bool {
        (self.from..=self.to).contains(&at)
    }
}

impl Params {
    /// Both parts are read alike; where they disagree the body wins.
    pub fn parse(query: &str, body: &str) -> Self {
        let mut root = Map::new();
        for pair in query.split('&').chain(body.split('&')).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            insert(&mut root, &path(&decode(key)), decode(value));
        }
        Self(root)
    }

    /// Refuses what none of the patterns takes, by its name and by its shape; see [`Route::params`](super::route::Route::params).
    pub fn check(&self, patterns: &[&str]) -> Result<(), Failure> {
        let known = |name: &String| patterns.iter().any(|p| p.strip_prefix(name.as_str()).is_some_and(ends_name));
        let unknown: Vec<&str> = self.0.keys().filter(|name| !known(name)).map(String::as_str).collect();
        if let [first, _, ..] = unknown[..] {
            let message = format!("Received unknown parameters: {}", unknown.join(", "));
            return Err(Failure::new(400, message).code("parameter_unknown").param(first));
        }
        self.0.iter().try_for_each(|(name, value)| check(patterns, name, name, value))
    }

    /// A text that must be there and not be empty.
    pub fn required(&self, path: &str) -> Result<&str, Failure> {
        let shown = bracketed(path);
        match self.text(path) {
            None => Err(Failure::missing_parameter(&shown)),
            Some("") => Err(Failure::empty_parameter(&shown)),
            Some(text) => Ok(text),
        }
    }

    /// Whether any parameter has exactly this value.
    pub fn mentions(&self, text: &str) -> bool {
        fn within(value: &Value, text: &str) -> bool {
            match value {
                Value::Object(map) => map.values().any(|v| within(v, text)),
                other => other == text,
            }
        }
        self.0.values().any(|v| within(v, text))
    }

    /// A text by its dotted path: `cancellation_details.comment`.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.at(path).and_then(Value::as_str)
    }

    /// What was passed, by its outermost name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The entries of `name[key]=value`, by dotted path.
    pub fn map(&self, path: &str) -> Option<&Map<String, Value>> {
        self.at(path).and_then(Value::as_object)
    }

    /// Each element of `name[0][a]=…&name[1][a]=…`, in order of the counts, by dotted path.
    pub fn each(&self, path: &str) -> Vec<Params> {
        let mut entries: Vec<_> =
            self.map(path).into_iter().flatten().filter_map(|(k, v)| Some((k.parse::<u64>().ok()?, v.as_object()?))).collect();
        entries.sort_by_key(|(at, _)| *at);
        entries.into_iter().map(|(_, inner)| Params(inner.clone())).collect()
    }

    /// A dotted path as errors name it: `a.b` is `a[b]`.
    pub fn shown(&self, path: &str) -> String {
        bracketed(path)
    }

    /// A whole number, by dotted path.
    pub fn integer(&self, path: &str) -> Result<Option<i64>, Failure> {
        let invalid = |text: &str| Failure::invalid_integer(&bracketed(path), format!("Invalid integer: {text}"));
        self.text(path).map(|text| text.parse().map_err(|_| invalid(text))).transpose()
    }

    /// The texts of `name[]=`, `name[0]=` or a lone `name=`, in order.
    pub fn list(&self, path: &str) -> Vec<&str> {
        match self.at(path) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Object(map)) => {
                let mut entries: Vec<_> = map.iter().filter_map(|(k, v)| Some((k.parse::<u64>().ok()?, v.as_str()?))).collect();
                entries.sort_by_key(|(at, _)| *at);
                entries.into_iter().map(|(_, text)| text).collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn boolean(&self, path: &str) -> Result<Option<bool>, Failure> {
        match self.at(path) {
            None => Ok(None),
            Some(Value::String(s)) if s == "true" => Ok(Some(true)),
            Some(Value::String(s)) if s == "false" => Ok(Some(false)),
            Some(other) => {
                Err(Failure::new(400, format!("Invalid boolean: {}", other.as_str().unwrap_or("[object]"))).param(&bracketed(path)))
            }
        }
    }

    /// Page size: 10 unless told, 1 to 100.
    pub fn limit(&self) -> Result<usize, Failure> {
        let Some(value) = self.0.get("limit") else { return Ok(10) };
        let text = value.as_str().unwrap_or("[object]");
        let limit: i64 = text.parse().map_err(|_| Failure::invalid_integer("limit", format!("Invalid integer: {text}")))?;
        match limit {
            ..1 => Err(Failure::invalid_integer("limit", "This value must be greater than or equal to 1.")),
            1..=100 => Ok(limit as usize),
            _ => Err(Failure::invalid_integer("limit", "This value must be less than or equal to 100.")),
        }
    }

    /// `name=…` or `name[gt|gte|lt|lte]=…`, in Unix seconds.
    pub fn bounds(&self, name: &str) -> Result<Bounds, Failure> {
        let integer = |text: &str| text.parse::<i64>().map_err(|_| Failure::invalid_integer(name, format!("Invalid integer: {text}")));
        let mut bounds = Bounds::ALL;
        match self.0.get(name) {
            None => {}
            Some(Value::String(exact)) => {
                let at = integer(exact)?;
                bounds = Bounds { from: at, to: at };
            }
            Some(Value::Object(map)) => {
                for (op, value) in map {
                    let at = integer(value.as_str().unwrap_or("[object]"))?;
                    match op.as_str() {
                        "gt" => bounds.from = bounds.from.max(at.saturating_add(1)),
                        "gte" => bounds.from = bounds.from.max(at),
                        "lt" => bounds.to = bounds.to.min(at.saturating_sub(1)),
                        "lte" => bounds.to = bounds.to.min(at),
                        _ => return Err(Failure::unknown_parameter(&format!("{name}[{op}]"))),
                    }
                }
            }
            Some(_) => return Err(Failure::new(400, "Invalid range").param(name)),
        }
        Ok(bounds)
    }

    fn at(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let first = self.0.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The same text for the same parameters in any order: what an idempotency key is compared by.
    pub fn canonical(&self) -> String {
        fn write(value: &Value, out: &mut String) {
            match value {
                Value::Object(map) => {
                    let mut entries: Vec<_> = map.iter().collect();
                    entries.sort_by_key(|(k, _)| k.as_str());
                    out.push('{');
                    for (k, v) in entries {
                        out.push_str(&format!("{k:?}:"));
                        write(v, out);
                        out.push(',');
                    }
                    out.push('}');
                }
                other => out.push_str(&other.to_string()),
            }
        }
        let mut out = String::new();
        write(&Value::Object(self.0.clone()), &mut out);
        out
    }
}

/// What may follow a name in a pattern.
fn ends_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['[', '{', '<', '.'])
}

/// `shown` is the parameter as it was sent, `place` the same as patterns write it.
fn check(patterns: &[&str], place: &str, shown: &str, value: &Value) -> Result<(), Failure> {
    let takes = |pattern: &str| patterns.contains(&pattern);
    let inside = |mark: &str| patterns.iter().any(|p| p.strip_prefix(place).is_some_and(|rest| rest.starts_with(mark)));
    let (list, map, range, object) = (inside("[]"), takes(&format!("{place}{{}}")), takes(&format!("{place}<>")), inside("."));
    if !(takes(place) || list || map || range || object) {
        return Err(Failure::unknown_parameter(shown));
    }
    match value {
        Value::Object(entries) if list || object => entries.iter().try_for_each(|(key, inner)| {
            let counted = list && key.bytes().all(|b| b.is_ascii_digit());
            let place = if counted { format!("{place}[]") } else { format!("{place}.{key}") };
            check(patterns, &place, &format!("{shown}[{key}]"), inner)
        }),
        Value::Object(entries) if map => entries.iter().try_for_each(|(key, inner)| entry(shown, key, inner)),
        Value::Object(_) if range => Ok(()),
        Value::Object(_) => Err(Failure::new(400, "Invalid string").param(shown)),
        // A lone text where a list may stand is a list of one; an empty one takes a map or an object away.
        Value::String(text) => match takes(place) || takes(&format!("{place}[]")) || range || text.is_empty() {
            true => Ok(()),
            false if list => Err(Failure::new(400, "Invalid array").param(shown)),
            false => Err(Failure::new(400, "Invalid object").param(shown)),
        },
        _ => Ok(()),
    }
}

/// An entry of metadata: a text with a limit, under a name with another.
fn entry(shown: &str, key: &str, value: &Value) -> Result<(), Failure> {
    let Some(text) = value.as_str() else { return Err(Failure::new(400, "Invalid string").param(&format!("{shown}[{key}]"))) };
    let (name, length) = (key.chars().count(), text.chars().count());
    let sentence = if name > LONGEST_KEY {
        format!(
            "Metadata keys can have up to {LONGEST_KEY} characters, but you passed in a key that is {name} characters. Invalid key: {key}"
        )
    } else if length > LONGEST_VALUE {
        format!(
            "Metadata values can have up to {LONGEST_VALUE} characters, but you passed in a value that is {length} characters. Invalid value: {text}"
        )
    } else {
        return Ok(());
    };
    Err(Failure::new(400, sentence).param(shown))
}

/// `a.b` → `a[b]`, as errors name it.
fn bracketed(path: &str) -> String {
    let mut parts = path.split('.');
    let head = parts.next().unwrap_or_default().to_string();
    parts.fold(head, |all, part| format!("{all}[{part}]"))
}

/// `a[b][c]` → `a`, `b`, `c`. What is not well bracketed is one plain name.
fn path(key: &str) -> Vec<String> {
    let Some((head, mut rest)) = key.split_once('[').map(|(h, _)| (h, &key[h.len()..])) else { return vec![key.to_string()] };
    if rest.matches('[').count() > DEEPEST {
        return vec![key.to_string()];
    }
    let mut parts = vec![head.to_string()];
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((part, after)) = inner.split_once(']') else { return vec![key.to_string()] };
        parts.push(part.to_string());
        rest = after;
    }
    if rest.is_empty() && !head.is_empty() { parts } else { vec![key.to_string()] }
}

fn insert(map: &mut Map<String, Value>, path: &[String], value: String) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = if first.is_empty() { counted(map, rest) } else { first.clone() };
    if rest.is_empty() {
        map.insert(key, Value::String(value));
        return;
    }
    let slot = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Value::Object(inner) = slot {
        insert(inner, rest, value);
    }
}

/// The place that `[]` stands for: the next, or the last while it lacks what follows (`a[][x]=1&a[][y]=2` is one element).
fn counted(map: &Map<String, Value>, rest: &[String]) -> String {
    let last = map.len().checked_sub(1).map(|n| n.to_string());
    let lacks = |value: &Value| rest.first().is_some_and(|key| value.get(key).is_none());
    match last {
        Some(last) if map.get(&last).is_some_and(|v| v.is_object() && lacks(v)) => last,
        _ => map.len().to_string(),
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |b: u8| char::from(b).to_digit(16);
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                if let (Some(high), Some(low)) = (bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex)) {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                } else {
                    out.push(b'%');
                }
            }
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_every_spelling() {
        for query in ["types[0]=a.b&types[1]=c", "types[]=a.b&types[]=c", "types%5B%5D=a.b&types%5B%5D=c", "types[1]=c&types[0]=a.b"] {
            assert_eq!(Params::parse(query, "").list("types"), ["a.b", "c"], "{query}");
        }
        assert_eq!(Params::parse("expand=customer", "").list("expand"), ["customer"]);
        let items = Params::parse("items[][price]=a&items[][quantity]=2&items[][price]=b", "").each("items");
        assert_eq!(
            items.iter().map(|i| (i.text("price"), i.text("quantity"))).collect::<Vec<_>>(),
            [(Some("a"), Some("2")), (Some("b"), None)]
        );
    }

    #[test]
    fn nested_names_plus_signs_and_stray_percents() {
        let deep = Params::parse(&format!("a{}=1", "[b]".repeat(100_000)), "");
        assert_eq!(deep.check(&["a.b"]).expect_err("too deep").code.as_deref(), Some("parameter_unknown"));
        let several = Params::parse("limit=5&colour=red&size=1", "").check(&["limit"]).expect_err("unknown");
        assert_eq!((several.message.as_str(), several.param.as_deref()), ("Received unknown parameters: colour, size", Some("colour")));
        let p = Params::parse("created[gte]=5&created[lt]=9", "metadata[profile id]=a+b%20c%26&name=50%+%C3%A9&broken[=1");
        assert_eq!(p.bounds("created"), Ok(Bounds { from: 5, to: 8 }));
        assert_eq!(p.map("metadata").and_then(|m| m["profile id"].as_str()), Some("a b c&"));
        assert_eq!(p.text("name"), Some("50% é"));
        assert_eq!(p.text("broken["), Some("1"));
    }

    #[test]
    fn parameters_are_checked_by_name_and_shape() {
        let patterns =
            ["limit", "expand[]", "metadata{}", "created<>", "items[].price", "items[].metadata{}", "details.comment", "details.kind.of"];
        for good in [
            "",
            "limit=5",
            "expand[]=a&expand[]=b",
            "expand=a",
            "metadata[a]=b&metadata[c]=",
            "metadata=",
            "created=5",
            "created[gte]=5",
            "items[0][price]=p&items[1][metadata][a]=b",
            "details[comment]=x&details[kind][of]=y",
        ] {
            assert_eq!(Params::parse(good, "").check(&patterns), Ok(()), "{good}");
        }
        for (bad, param) in [
            ("colour=red", "colour"),
            ("limit[a]=5", "limit"),
            ("metadata=x", "metadata"),
            ("metadata[a][b]=x", "metadata[a]"),
            ("items[0][colour]=red", "items[0][colour]"),
            ("items=x", "items"),
            ("items[0]=x", "items[0]"),
            ("items[a][price]=x", "items[a]"),
            ("details[mood]=x", "details[mood]"),
            ("details[kind]=x", "details[kind]"),
            ("expand[0][a]=x", "expand[0]"),
        ] {
            let failure = Params::parse(bad, "").check(&patterns).expect_err(bad);
            assert_eq!((failure.status, failure.param.as_deref()), (400, Some(param)), "{bad}");
        }
    }

    #[test]
    fn metadata_has_its_limits() {
        for (length, fits) in [(500, true), (501, false)] {
            let p = Params::parse(&format!("metadata[a]={}", "é".repeat(length)), "");
            assert_eq!(p.check(&["metadata{}"]).is_ok(), fits, "a value of {length}");
        }
        for (length, fits) in [(40, true), (41, false)] {
            let p = Params::parse(&format!("metadata[{}]=x", "k".repeat(length)), "");
            assert_eq!(p.check(&["metadata{}"]).is_ok(), fits, "a key of {length}");
        }
    }

    #[test]
    fn paths_reach_inside() {
        let p = Params::parse("items[1][price]=b&items[0][price]=a&items[0][quantity]=x&details[comment]=c", "");
        assert_eq!(p.each("items").iter().map(|i| i.text("price")).collect::<Vec<_>>(), [Some("a"), Some("b")]);
        assert_eq!(p.text("details.comment"), Some("c"));
        assert_eq!(p.each("items")[0].integer("quantity").expect_err("no number").param.as_deref(), Some("quantity"));
    }

    #[test]
    fn limits_are_checked() {
        assert_eq!(Params::parse("", "").limit(), Ok(10));
        for bad in ["0", "101", "-1", "ten", ""] {
            let failure = Params::parse(&format!("limit={bad}"), "").limit().expect_err(bad);
            assert_eq!((failure.status, failure.code.as_deref()), (400, Some("parameter_invalid_integer")), "{bad}");
        }
    }
}
