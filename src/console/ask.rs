//! What a pane wants: data that the console turns into effects, screens and dialogs. A pane can ask for nothing that writes to production.

use super::drift::Order;
use crate::domain::At;
use crate::domain::export::Format;
use crate::domain::facts::Handle;
use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::quota::{QuotaFilter, Threshold};
use crate::domain::sessions::SessionId;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::drift::Class;
use crate::protocol::desk::DeskWrite;
use crate::protocol::query::{Hit, Query};
use crate::protocol::run::Inputs;
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read it; a newer read of the same slot replaces this one. The console stamps the generation.
    Read {
        slot: Slot,
        query: Query,
    },
    /// Whatever this slot still waits for is no longer wanted.
    Cancel(Slot),
    /// The customer's screen.
    Open(Handle),
    /// The detail of one subscription of the customer on screen.
    OpenSubscription(StripeId),
    /// The screen of one event of the list.
    OpenEvent(StripeId),
    /// Probe the webhook endpoint: a few requests that change no customer.
    Probe,
    /// How far back events are looked at, in hours.
    Range {
        hours: i64,
    },
    /// Mark every event that the list shows and whose effect is missing.
    MarkShown,
    /// Take back every mark in the list of events.
    Unmark,
    /// The quota pane, with this filter.
    Near(String),
    /// Everybody near a limit, written to a file of the directory that the console was started in; masked.
    Export {
        format: Format,
        threshold: Threshold,
        filter: QuotaFilter,
    },
    /// Write no more of that file.
    CancelExport(Uuid),
    /// The customers pane, searching for this text.
    Search(String),
    /// The customers pane, filled with these.
    Hits {
        title: String,
        hits: Vec<Hit>,
    },
    /// The review of this procedure: reads only, until it is confirmed there.
    Start {
        procedure: String,
        inputs: Inputs,
    },
    /// Start or steer the drift scan.
    Drift(Order),
    /// This procedure, asked for by its name alone: where it needs somebody, the screen where they are found comes first.
    StartFromBook(String),
    /// The message to this contact, filled in with what is on screen.
    Escalate(usize),
    /// Go on with a run that was left unfinished.
    Resume(Uuid),
    /// Ask why, then give up for good a run that was left unfinished.
    GiveUp(Uuid),
    /// Look at events and rows anew, now.
    Survey,
    /// Look at the database's sessions anew, now.
    Sessions,
    /// The pool's pane.
    Pool,
    /// The quota pane, with who renewed and was not reset.
    Renewed,
    /// A run of many acts goes on after a pause.
    GoOn(Uuid),
    /// A run of many acts begins no more of them.
    Stop(Uuid),
    /// Ask why and until when, then say so for all consoles.
    LetBe(LetBe),
    /// Say this about a cause or about drift, for all consoles.
    Desk(DeskWrite),
    /// A line for the status row, gone after a while.
    Say(String),
    /// The copy menu.
    Copy(Vec<CopyItem>),
    /// The evidence panel.
    Evidence {
        title: String,
        lines: Vec<String>,
    },
    /// All about one of the database's sessions, kept up to date while it is looked at.
    Session {
        of: SessionId,
        title: String,
        lines: Vec<String>,
    },
    /// The menu of everything that is possible here.
    Actions(Vec<ActionItem>),
    Back,
}

/// What nobody is to be alarmed by for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LetBe {
    Cause(Cause),
    Drift {
        customer: StripeId,
        class: Class,
    },
    /// Those that were marked, under one reason.
    Marked(Vec<(StripeId, Class)>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyItem {
    pub label: String,
    pub text: String,
}

/// A row of the action menu: what it asks for, or why it cannot be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionItem {
    pub letter: char,
    pub label: String,
    pub does: Result<Box<Ask>, String>,
}

impl LetBe {
    /// What is said of each.
    #[must_use]
    pub fn until(self, until: At, reason: &str) -> Vec<DeskWrite> {
        let accept = |customer, class| DeskWrite::AcceptDrift { customer, class, until, reason: reason.to_string() };
        match self {
            LetBe::Cause(cause) => vec![DeskWrite::MuteCause { cause, until, reason: reason.to_string() }],
            LetBe::Drift { customer, class } => vec![accept(customer, class)],
            LetBe::Marked(all) => all.into_iter().map(|(customer, class)| accept(customer, class)).collect(),
        }
    }

    /// How many it is about, where that has to be typed.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        if let LetBe::Marked(all) = self { Some(all.len()) } else { None }
    }

    /// In the title of the question.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            LetBe::Cause(cause) => format!("Mute: {}", cause.word()),
            LetBe::Drift { customer, class } => format!("Accept {}: {}", mask::id(customer.as_str()), class.word()),
            LetBe::Marked(all) => {
                let of = |class: &Class| all.iter().filter(|(_, c)| c == class).count();
                let counted = Class::ALL.iter().map(|class| (class, of(class))).filter(|(_, n)| *n > 0);
                let classes: Vec<String> = counted.map(|(class, n)| format!("{n} {}", class.word())).collect();
                format!("Accept the {} marked: {}", all.len(), classes.join(", "))
            }
        }
    }
}

impl CopyItem {
    pub fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into() }
    }
}

impl ActionItem {
    pub fn new(letter: char, label: impl Into<String>, ask: Ask) -> Self {
        Self { letter: free(letter), label: label.into(), does: Ok(Box::new(ask)) }
    }

    pub fn impossible(letter: char, label: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { letter: free(letter), label: label.into(), does: Err(reason.into()) }
    }
}

/// What does something on every screen does nothing else in a menu.
fn free(letter: char) -> char {
    debug_assert!(!"acgiqrsuw".contains(letter), "{letter} means something else on every screen");
    letter
}
