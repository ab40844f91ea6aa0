//! What the runbook pane knows: the section under the cursor, the runs as last read, the contacts.

use super::book::sections;
use super::runs::{history, title};
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::table::Cursor;
use crate::domain::fault::Fault;
use crate::domain::runbook::Section;
use crate::domain::shared::Shared;
use crate::procedures::Procedure;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::RunSummary;
use crate::protocol::run::short;
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) tab: Tab,
    pub(super) section: Cursor,
    /// First line of the section's text that is shown.
    pub(super) scroll: u16,
    pub(super) mine: Read,
    pub(super) team: Read,
    /// The run under the cursor: it stays there wherever its row goes.
    pub(super) run: Option<Uuid>,
    /// A finished run whose history is being read.
    pub(super) opening: Option<Uuid>,
    pub(super) contact: Cursor,
    asked: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Book,
    Runs,
    Contacts,
}

/// Runs as last read; what was read stays when reading again fails.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Read {
    pub value: Option<Shared<Vec<RunSummary>>>,
    pub fault: Option<Fault>,
    /// When it was first asked for.
    pub since: Option<u64>,
}

pub(super) const TABS: [(Tab, &str); 3] = [(Tab::Book, "Book"), (Tab::Runs, "Runs"), (Tab::Contacts, "Contacts")];

/// How often runs are read while they are on screen, in milliseconds.
const EVERY: u64 = 3_000;
const MINE: u16 = 0;
const TEAM: u16 = 1;
const HISTORY: u16 = 2;

impl Model {
    /// The pane comes on screen.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        self.asked = None;
        self.ticked(cx)
    }

    /// Once a second while it is on screen.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        let due = self.asked.is_none_or(|t| cx.tick.saturating_sub(t) >= EVERY);
        if cx.env.is_none() || !due || (self.tab != Tab::Runs && self.mine.value.is_some()) {
            return Vec::new();
        }
        self.asked = Some(cx.tick);
        self.mine.since.get_or_insert(cx.tick);
        self.team.since.get_or_insert(cx.tick);
        let read = |slot, query| Ask::Read { slot: Slot::Book(slot), query };
        vec![read(MINE, Query::Runs), read(TEAM, Query::TeamRuns)]
    }

    pub fn replied(&mut self, slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        match (slot, query, result) {
            (Slot::Book(MINE), _, result) => self.mine.take(result),
            (Slot::Book(TEAM), _, result) => self.team.take(result),
            (Slot::Book(HISTORY), Query::Recorded(run), result) if self.opening == Some(*run) => {
                self.opening = None;
                return vec![self.opened(*run, result, cx)];
            }
            _ => {}
        }
        Vec::new()
    }

    fn opened(&self, run: Uuid, result: &Result<Reply, Fault>, cx: &Context) -> Ask {
        let name = self.summary(run).map(title).unwrap_or_default();
        match result {
            Ok(Reply::Recorded(records)) if !records.is_empty() => {
                Ask::Evidence { title: format!("Run {} {name}", short(run)), lines: history(records, cx.now) }
            }
            Ok(_) => Ask::Say(format!("Run {}: its records are not in this journal, nor in the shared store", short(run))),
            Err(fault) => Ask::Say(format!("Run {}: {}", short(run), fault.say)),
        }
    }

    /// Reads the history of a run, to show it.
    pub(super) fn open(&mut self, run: Uuid) -> Ask {
        self.opening = Some(run);
        Ask::Read { slot: Slot::Book(HISTORY), query: Query::Recorded(run) }
    }

    pub(super) fn summary(&self, run: Uuid) -> Option<&RunSummary> {
        self.mine.value.iter().chain(&self.team.value).flatten().find(|r| r.run == run)
    }

    /// No text field has the focus here.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        false
    }

    /// The section under the cursor, and what does it.
    #[must_use]
    pub fn selected(&self) -> Option<(&'static Section, &'static dyn Procedure)> {
        sections().get(self.section.at).copied()
    }

    /// Where the run under the cursor stands in the list.
    #[must_use]
    pub fn at(&self, cx: &Context) -> usize {
        self.rows(cx).iter().position(|r| Some(r.run.run) == self.run).unwrap_or(0)
    }

    pub(super) fn turn(&mut self, forward: bool, cx: &Context) -> Vec<Ask> {
        let at = TABS.iter().position(|(t, _)| *t == self.tab).unwrap_or(0);
        let next = if forward { at + 1 } else { at + TABS.len() - 1 } % TABS.len();
        self.tab = TABS[next].0;
        if self.tab == Tab::Runs { self.entered(cx) } else { Vec::new() }
    }
}

impl Read {
    fn take(&mut self, result: &Result<Reply, Fault>) {
        match result {
            Ok(Reply::Runs(runs)) => (self.value, self.fault) = (Some(runs.clone().into()), None),
            Ok(_) => {}
            Err(fault) => self.fault = Some(fault.clone()),
        }
    }
}
