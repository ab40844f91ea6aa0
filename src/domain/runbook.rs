//! The runbook's own text: its sections and contacts, word for word. What the console does otherwise is each procedure's to say.

use serde::Deserialize;
use std::sync::LazyLock;

/// The book, in its order: emergencies first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    #[serde(rename = "section")]
    pub sections: Vec<Section>,
    #[serde(rename = "contact")]
    pub contacts: Vec<BookContact>,
}

/// What the book says about one procedure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// The id of the procedure that does it.
    pub procedure: String,
    /// `E1`, `4`.
    pub number: String,
    pub title: String,
    pub scenario: String,
    pub steps: Vec<String>,
}

/// Whom the book says to call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookContact {
    pub issue: String,
    pub contact: String,
    pub responds: String,
}

static BOOK: LazyLock<Runbook> = LazyLock::new(|| {
    toml::from_str(include_str!("../../assets/runbook.toml")).expect("invariant: the book is well-formed, a test reads it")
});

/// The book, parsed once.
#[must_use]
pub fn book() -> &'static Runbook {
    &BOOK
}

impl Section {
    /// It is for when nothing works, not for one customer.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.number.starts_with('E')
    }

    /// Its number and title as one line: `Emergency: …`, `4 …`.
    #[must_use]
    pub fn heading(&self) -> String {
        if self.is_emergency() { format!("Emergency: {}", self.title) } else { format!("{} {}", self.number, self.title) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_opens_with_its_emergencies_and_names_four_contacts() {
        let book = book();
        let emergencies: Vec<_> = book.sections.iter().take_while(|s| s.is_emergency()).map(|s| s.number.as_str()).collect();
        assert_eq!(emergencies, ["E1", "E2"]);
        assert!(book.sections[2..].iter().all(|s| !s.is_emergency() && !s.steps.is_empty()));
        let responds: Vec<_> = book.contacts.iter().map(|c| c.responds.as_str()).collect();
        assert_eq!(responds, ["24 hours", "1 hour", "Immediate", "4 hours"]);
    }
}
