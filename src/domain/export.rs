//! Tables as files: how a row becomes CSV that a spreadsheet cannot take for a formula, JSON, or JSON lines. Writes nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Csv,
    Json,
    /// One object a line.
    JsonLines,
}

/// A value in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    None,
    Number(i64),
    Text(String),
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Csv, Format::Json, Format::JsonLines];

    /// The ending of a file's name, without its dot.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::JsonLines => "jsonl",
        }
    }

    /// By the ending of the file's name.
    ///
    /// # Errors
    /// One sentence.
    pub fn of_path(path: &str) -> Result<Self, String> {
        let ending = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, e)| e.to_lowercase());
        let known = |e: &str| Self::ALL.into_iter().find(|f| f.ending() == e);
        ending
            .as_deref()
            .and_then(known)
            .ok_or_else(|| format!("`{path}` does not say how to write it: let it end in .csv, .json or .jsonl"))
    }

    /// What stands before the first row.
    #[must_use]
    pub fn head(self, columns: &[&str]) -> String {
        match self {
            Format::Csv => line(columns.iter().map(|c| quoted(c))),
            Format::Json => "[".into(),
            Format::JsonLines => String::new(),
        }
    }

    /// One row; `first`: nothing stands before it.
    #[must_use]
    pub fn row(self, columns: &[&str], cells: &[Cell], first: bool) -> String {
        if self == Format::Csv {
            return line(cells.iter().map(|cell| match cell {
                Cell::None => String::new(),
                Cell::Number(n) => n.to_string(),
                Cell::Text(text) => quoted(&harmless(text)),
            }));
        }
        let value = |cell: &Cell| match cell {
            Cell::None => Value::Null,
            Cell::Number(n) => (*n).into(),
            Cell::Text(text) => text.as_str().into(),
        };
        let object: Map<String, Value> = columns.iter().zip(cells).map(|(c, cell)| ((*c).to_string(), value(cell))).collect();
        let object = Value::Object(object);
        match self {
            Format::JsonLines => format!("{object}\n"),
            _ => format!("{}\n  {object}", if first { "" } else { "," }),
        }
    }

    /// What stands behind the last row.
    #[must_use]
    pub fn tail(self) -> &'static str {
        match self {
            Format::Json => "\n]\n",
            Format::Csv | Format::JsonLines => "",
        }
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    // The standard's own line end, which every spreadsheet takes.
    format!("{}\r\n", cells.collect::<Vec<_>>().join(","))
}

/// With an apostrophe in front where a spreadsheet would take it for a formula: blanks before the sign do not keep it from that.
fn harmless(text: &str) -> String {
    let opens = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let seen = text.chars().next().is_some_and(opens) || text.trim_start().chars().next().is_some_and(opens);
    if seen { format!("'{text}") } else { text.to_string() }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n', ';', '\'']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> String {
        Format::Csv.row(&["name"], &[Cell::Text(text.into())], true)
    }

    #[test]
    fn no_text_of_a_customers_becomes_a_formula() {
        for name in ["=1+1", "+4", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "=cmd|' /C calc'!A0"] {
            let row = csv(name);
            let cell = row.trim_end_matches("\r\n").trim_start_matches('"');
            assert!(cell.starts_with('\''), "{row:?}");
        }
        assert_eq!(csv("Zoë Müller"), "Zoë Müller\r\n");
        assert_eq!(csv("O\"Neill, Ltd."), "\"O\"\"Neill, Ltd.\"\r\n");
        assert_eq!(Format::Csv.row(&["n"], &[Cell::Number(-1)], true), "-1\r\n", "a number is one");
    }

    #[test]
    fn json_is_whole_with_and_without_rows() {
        let columns = ["a", "b"];
        let row = |first| Format::Json.row(&columns, &[Cell::Text("=1".into()), Cell::None], first);
        let text = format!("{}{}{}{}", Format::Json.head(&columns), row(true), row(false), Format::Json.tail());
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read[1]["a"], "=1", "what is no spreadsheet gets the text as it is");
        let empty = format!("{}{}", Format::Json.head(&columns), Format::Json.tail());
        assert_eq!(serde_json::from_str::<Value>(&empty).expect("JSON"), serde_json::json!([]));
    }

    #[test]
    fn the_ending_says_how() {
        assert_eq!(Format::of_path("/tmp/a.b/near.JSONL"), Ok(Format::JsonLines));
        for bad in ["near", "near.xls", "/tmp/a.csv/near", ""] {
            assert!(Format::of_path(bad).is_err_and(|why| why.contains(".csv, .json or .jsonl")), "{bad}");
        }
    }
}
