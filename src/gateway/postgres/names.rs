//! Identifiers and literals made safe for a statement: the only place where text becomes SQL without being bound.

/// The identifier in double quotes.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name as the map writes it, quoted part by part: `app.profiles` is `"app"."profiles"`.
pub fn table(name: &str) -> String {
    name.split('.').map(ident).collect::<Vec<_>>().join(".")
}

/// The text in single quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text with `LIKE`'s own characters escaped, for a pattern that is bound as a parameter.
pub fn like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(ident("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(table("app.profiles"), "\"app\".\"profiles\"");
        assert_eq!(literal("o'neill"), "'o''neill'");
        assert_eq!(like("50%_\\"), "50\\%\\_\\\\");
    }
}
