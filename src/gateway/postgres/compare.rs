//! How a text column is compared so that its index serves the comparison: lowered, as it is, and as an address.

use super::found::{ColumnFound, Found};

/// Tables beyond this many rows are not scanned for a search while somebody types: what no index serves is left out.
pub const LARGE: f64 = 1_000_000.0;

/// The condition that a profile has one of the addresses `$1`, on unqualified columns; `None` where no address is mapped.
pub fn email_is(found: &Found) -> Option<String> {
    let column = found.subject.email.as_ref()?;
    let (_, lower) = lowered(found, column);
    let as_it_is = !lower && indexed(found, column) && found.subject.table.rows > LARGE;
    let value = if as_it_is { column.comparable("") } else { format!("lower({})", column.text("")) };
    Some(format!("{value} = ANY ($1::text[])"))
}

/// The address as it was given and in lower case.
pub fn spellings(email: &str) -> Vec<String> {
    vec![email.to_string(), email.to_lowercase()]
}

/// The column in lower case, in an index's own words where one is on exactly that; and whether one is.
pub fn lowered(found: &Found, column: &ColumnFound) -> (String, bool) {
    let wanted = plain(&format!("lower({})", column.text("")));
    let indexed = found.subject.indexes.iter().any(|i| plain(i) == wanted);
    (format!("lower({})", column.text("p")), indexed)
}

/// Whether an index serves equality on the column, lowered or as it is.
pub fn indexed(found: &Found, column: &ColumnFound) -> bool {
    let bare = plain(&column.text(""));
    lowered(found, column).1 || found.subject.indexes.iter().any(|i| plain(i) == bare)
}

/// An expression without what the server adds or leaves out when it prints one: quotes, casts to text, blanks, brackets.
fn plain(expression: &str) -> String {
    expression.replace("::text", "").replace("::character varying", "").chars().filter(|c| !matches!(c, '"' | ' ' | '(' | ')')).collect()
}
