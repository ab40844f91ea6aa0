//! The filter of lists: words, `field:value`, `>n`, `<n` and `!not`, parsed once and asked of every row. It knows no list.

use serde::{Deserialize, Serialize};

/// What is typed behind `/`. Every term has to hold; total: every text is a filter, and half a term holds for every row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Term {
    not: bool,
    /// Lower case; `None`: any text of the row, or the row's own number.
    field: Option<String>,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Test {
    /// Lower case, never empty.
    Has(String),
    Over(i64),
    Under(i64),
}

/// A row that can be asked. Needles come in lower case.
pub trait Fields {
    /// Whether any text of the row holds it.
    fn any(&self, needle: &str) -> bool;
    /// Whether this field's text holds it; `false` where the row has no such field.
    fn has(&self, field: &str, needle: &str) -> bool;
    /// The field's number, without a field the number that the row is about; ages are in minutes.
    fn number(&self, field: Option<&str>) -> Option<i64>;
}

impl Filter {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { terms: words(text).iter().filter_map(|w| term(w)).collect() }
    }

    /// It lets every row through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    #[must_use]
    pub fn accepts(&self, row: &impl Fields) -> bool {
        self.terms.iter().all(|t| t.holds(row) != t.not)
    }

    /// It asks for this field.
    #[must_use]
    pub fn names(&self, field: &str) -> bool {
        self.terms.iter().any(|t| t.field.as_deref() == Some(field))
    }

    /// The first field it names that is none of these.
    #[must_use]
    pub fn stranger(&self, fields: &[&str]) -> Option<&str> {
        self.terms.iter().filter_map(|t| t.field.as_deref()).find(|f| !fields.contains(f))
    }
}

impl Term {
    fn holds(&self, row: &impl Fields) -> bool {
        let number = || row.number(self.field.as_deref());
        match &self.test {
            Test::Has(needle) => match &self.field {
                Some(field) => row.has(field, needle),
                None => row.any(needle),
            },
            Test::Over(n) => number().is_some_and(|have| have > *n),
            Test::Under(n) => number().is_some_and(|have| have < *n),
        }
    }
}

/// The text as it is put behind a field: in quotes where it has blanks.
#[must_use]
pub fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("\"{text}\"") } else { text.to_string() }
}

/// Split at blanks; quotes keep together what stands between them, and a quote that is not closed reaches to the end.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let (mut all, mut word, mut within) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => within = !within,
            c if c.is_whitespace() && !within => all.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    all.push(word);
    all.retain(|w| !w.is_empty());
    all
}

fn term(word: &str) -> Option<Term> {
    let (not, rest) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    let split = rest.find([':', '>', '<']);
    let (field, test) = match split {
        Some(at) => {
            let (name, value) = (&rest[..at], &rest[at + 1..]);
            let test = match rest.as_bytes()[at] {
                b':' => has(value)?,
                b'>' => Test::Over(number(value)?),
                _ => Test::Under(number(value)?),
            };
            // `:value` and `>5` are about no field in particular.
            ((!name.is_empty()).then(|| name.to_lowercase()), test)
        }
        None => (None, has(rest)?),
    };
    Some(Term { not, field, test })
}

fn has(value: &str) -> Option<Test> {
    (!value.is_empty()).then(|| Test::Has(value.to_lowercase()))
}

/// `90`, or an age: `30m`, `2h`, `3d`, in minutes.
fn number(text: &str) -> Option<i64> {
    let (digits, minutes) = match text.char_indices().last()? {
        (at, 'm') => (&text[..at], 1),
        (at, 'h') => (&text[..at], 60),
        (at, 'd') => (&text[..at], 1_440),
        _ => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Texts by field, and one number.
    struct Row(&'static [(&'static str, &'static str)], i64);

    impl Fields for Row {
        fn any(&self, needle: &str) -> bool {
            self.0.iter().any(|(_, text)| text.contains(needle))
        }

        fn has(&self, field: &str, needle: &str) -> bool {
            self.0.iter().any(|(name, text)| *name == field && text.contains(needle))
        }

        fn number(&self, field: Option<&str>) -> Option<i64> {
            field.is_none_or(|f| f == "age").then_some(self.1)
        }
    }

    const ROW: Row = Row(&[("type", "invoice.payment_failed"), ("cause", "no row for customer")], 90);

    #[test]
    fn words_fields_numbers_and_their_opposites() {
        for yes in [
            "",
            "INVOICE",
            "type:failed",
            "cause:\"no row\"",
            "!type:updated",
            ">1h",
            "age>89",
            "<2h",
            "invoice row",
            "type:",
            "!",
            ">",
            "a>x",
        ] {
            assert!(Filter::parse(yes).accepts(&ROW), "{yes}");
        }
        for no in ["refund", "type:row", "!invoice", ">90", "<1h", "invoice refund", "nonsense:x", "other>1"] {
            assert!(!Filter::parse(no).accepts(&ROW), "{no}");
        }
    }

    #[test]
    fn a_field_that_the_list_has_not_is_named() {
        assert_eq!(Filter::parse("type:x custmer:cus_1").stranger(&["type", "customer"]), Some("custmer"));
        assert_eq!(Filter::parse("plain >5").stranger(&[]), None);
        assert!(Filter::parse(" ! : > ").is_empty());
    }

    proptest! {
        #[test]
        fn every_text_is_a_filter(text in ".{0,40}") {
            let _ = Filter::parse(&text).accepts(&ROW);
        }
    }
}
