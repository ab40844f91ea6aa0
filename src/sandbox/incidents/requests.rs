//! What people ask the on-call engineer for in an incident: a customer's mail, a note of a colleague's. The console has no inbox.

use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Ground, Incident};
use crate::sandbox::population::Person;

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    #[serde(skip)]
    pub incident: Incident,
    /// Unique in one sandbox, the first is 1.
    pub ticket: usize,
    pub at: DateTime<Utc>,
    /// Who asks: name and address, as mail has it.
    pub from: String,
    pub subject: String,
    pub text: String,
}

impl Ground {
    /// Everything that was asked for so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A mail comes in from that address.
    pub(super) fn ask(&self, incident: Incident, at: DateTime<Utc>, from: String, subject: &str, text: String) {
        let mut all = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = all.len() + 1;
        all.push(Request { incident, ticket, at, from, subject: subject.into(), text });
    }
}

/// A person as the sender of a mail.
pub(super) fn sender(person: &Person) -> String {
    format!("{} <{}>", person.name, person.email)
}

/// `EUR 49.00`.
pub(super) fn euros(cents: i64) -> String {
    format!("EUR {}.{:02}", cents / 100, cents % 100)
}
