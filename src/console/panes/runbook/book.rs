//! The book as data for the pane: the sections whose procedures exist, and their text with what differs.

use crate::domain::runbook::{Section, book};
use crate::procedures::{Procedure, by_id};

/// A line of a section's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// `1`, `2`; the word that stands in front of it otherwise.
    pub lead: String,
    pub text: String,
    /// The console does otherwise than the book here.
    pub differs: bool,
}

/// The sections that can be done from here, emergencies first.
#[must_use]
pub fn sections() -> Vec<(&'static Section, &'static dyn Procedure)> {
    book().sections.iter().filter_map(|s| Some((s, by_id(&s.procedure)?))).collect()
}

/// What the section says, step by step, then where the console does otherwise.
#[must_use]
pub fn text(section: &Section, procedure: &dyn Procedure) -> Vec<Text> {
    let plain = |lead: String, text: &str| Text { lead, text: text.to_string(), differs: false };
    let mut lines = vec![plain("when".into(), &section.scenario)];
    lines.extend(section.steps.iter().enumerate().map(|(i, step)| plain((i + 1).to_string(), step)));
    let differs = |d: &&str| Text { lead: "differs".into(), text: (*d).to_string(), differs: true };
    lines.extend(procedure.book().differs.iter().map(differs));
    lines
}
