//! What the console wants done: plain data, returned by `update`, performed by somebody else.

use super::desk::DeskWrite;
use super::query::Query;
use super::record::{Detail, Entry};
use super::run::Perform;
use super::ticket::Ticket;
use crate::domain::export::Format;
use crate::domain::ids::SubjectKey;
use crate::domain::quota::{QuotaFilter, Threshold};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Ask; a newer read of the same slot cancels this one.
    Read {
        ticket: Ticket,
        query: Query,
    },
    /// Turn writes on for fifteen minutes, for this reason.
    TurnWritesOn {
        reason: String,
    },
    TurnWritesOff,
    /// Open a run: journaled before anything else of it.
    OpenRun {
        run: Uuid,
        procedure: String,
        detail: Detail,
    },
    /// Go on with a run that another process left unfinished: takes its lock.
    ResumeRun {
        run: Uuid,
    },
    /// Give an unfinished run up for good: journaled with the reason, nothing is sent; answered by [`super::event::Event::RunGivenUp`].
    GiveUpRun {
        run: Uuid,
        /// What became of its writes is not known, and the operator has seen to that by hand.
        by_hand: bool,
        reason: String,
    },
    /// Through the gate, the journal, and out.
    Perform(Box<Perform>),
    /// Journal that personal data is to be shown, and whose; answered by [`super::event::Event::Revealed`] or refused.
    Reveal {
        /// Whose, where one customer is on screen.
        subject: Option<SubjectKey>,
        detail: Detail,
    },
    /// Journal an entry that has no effect outside (confirmed, verified, closed).
    Record {
        run: Option<Uuid>,
        entry: Entry,
        detail: Detail,
    },
    /// Write to our own store, audited; answered by [`super::event::Event::DeskWritten`].
    Desk(DeskWrite),
    /// Write everybody near a limit to this file: a name in the directory that the process was started in. Reads, and nothing else; told of
    /// by [`super::event::Event::ExportWent`] and [`super::event::Event::ExportEnded`].
    Export {
        export: Uuid,
        file: String,
        format: Format,
        threshold: Threshold,
        filter: QuotaFilter,
    },
    /// Write no more of it; what there is stays, and is called partial.
    CancelExport {
        export: Uuid,
    },
    /// Put text on the operator's clipboard through the terminal.
    Copy {
        text: String,
    },
    /// Ask every source again now.
    Refresh,
    /// Start an incident of the sandbox.
    StartIncident {
        name: String,
    },
    /// End what a restart or a change of configuration would end of an incident of the sandbox.
    EndIncident {
        name: String,
    },
    Redraw,
    Suspend,
    Quit,
}
