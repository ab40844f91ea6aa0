//! What happens to the console: one ordered queue, each event stamped with time and a fresh id.

use super::desk::DeskWrite;
use super::environment::Environment;
use super::key::Key;
use super::query::{Query, Reply};
use super::record::Closed;
use super::run::Performed;
use super::ticket::Ticket;
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::policy::Writes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Its whole path.
    pub path: String,
    pub rows: u64,
}

/// An event with all that `update` may know about the moment: it reads no clock and makes no ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    pub at: At,
    /// Milliseconds on a clock that only goes forward, from the start of the process.
    pub tick: u64,
    /// A fresh UUIDv7, for whatever this event begins.
    pub id: Uuid,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Key(Key),
    /// Bracketed paste.
    Pasted(String),
    Resized {
        columns: u16,
        rows: u16,
    },
    /// No key for a moment (60 ms): whatever came in before came in together.
    KeysPaused,
    /// Once a second.
    Ticked,
    /// The frame was painted: dialogs accept keys from here on.
    Painted,
    /// The environment is connected, or its description changed.
    EnvironmentChanged(Box<Environment>),
    /// What is going on before it is: `starting Postgres`.
    Starting(String),
    /// It cannot be used at all: one sentence that says what to do.
    StartFailed(String),
    ReplyArrived {
        ticket: Ticket,
        query: Query,
        result: Result<Reply, Fault>,
    },
    /// A source answered a poll, or did not.
    SourceReported {
        source: Source,
        result: Result<(), Fault>,
    },
    /// The key's account and mode are known.
    AccountKnown {
        name: String,
        livemode: bool,
        database: String,
    },
    WritesChanged(Writes),
    /// Writes could not be turned on.
    WritesRefused(String),
    RunOpened {
        run: Uuid,
        result: Result<(), Fault>,
    },
    /// A run that was left unfinished is given up for good, or why not.
    RunGivenUp {
        run: Uuid,
        result: Result<Closed, Fault>,
    },
    Performed(Performed),
    /// What becomes of a run beside its own steps: it has no lease, its end could not be journaled yet.
    RunNoted {
        run: Uuid,
        say: String,
    },
    /// A hook that this run performs printed a line: cleaned, masked, cut.
    HookSaid {
        run: Uuid,
        line: String,
    },
    /// It is journaled that personal data is shown now: only from here on it is.
    Revealed {
        subject: Option<SubjectKey>,
    },
    /// Our own store took it, and holds this now; or it did not.
    DeskWritten {
        write: DeskWrite,
        result: Result<DeskState, Fault>,
    },
    /// An entry could not be journaled.
    RecordFailed(Fault),
    /// So many rows are in the file by now.
    ExportWent {
        export: Uuid,
        rows: u64,
    },
    /// It is complete, or why it is not: a sentence that says where what there is lies.
    ExportEnded {
        export: Uuid,
        result: Result<Exported, String>,
    },
    /// It was started or ended; what that did, in a few words.
    IncidentWent {
        name: String,
        result: Result<String, Fault>,
    },
    /// The incidents that the sandbox offers.
    IncidentsKnown(Vec<KnownIncident>),
    /// The terminal is going away, or the process is asked to end.
    HungUp,
}

/// An incident as the sandbox describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIncident {
    pub name: String,
    /// What happens, in one line.
    pub title: String,
    /// Whether there is anything to it that a restart or a change of configuration would end.
    pub ends: bool,
}
