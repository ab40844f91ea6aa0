//! The journal's records: one format for the local file and the shared store, each bound to the one before by its hash.

use super::command::{Command, Outcome};
use super::run::{Attempt, Inputs, Selection, Undoing, short, step_title};
use crate::domain::At;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::shared::Shared;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What happened, as the journal tells it. Everything that names a person stands in `detail`,
/// which is kept beside the chain as a payload and may be removed without breaking it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    WritesTurnedOn {
        until: At,
    },
    WritesTurnedOff,
    /// A run begins. Its inputs are in the payload.
    RunOpened {
        run: Uuid,
        procedure: String,
    },
    /// The operator confirmed a plan with this digest, at this review.
    Confirmed {
        run: Uuid,
        plan: String,
    },
    /// About to be performed; written and synced before anything is sent.
    Intended {
        attempt: Attempt,
        command: String,
        key: String,
    },
    /// How it ended.
    Concluded {
        attempt: Attempt,
        result: Concluded,
    },
    /// A verify step's finding.
    Verified {
        run: Uuid,
        step: String,
        holds: bool,
    },
    /// The operator did a step by hand and says so; the words are in the payload.
    Attested {
        run: Uuid,
        step: String,
    },
    RunClosed {
        run: Uuid,
        how: Closed,
    },
    /// The run went on without the shared store's lease: nothing but this machine's locks kept others off its subject. Why not is in the
    /// payload.
    Unleased {
        run: Uuid,
    },
    /// Personal data was shown on screen, for this reason (in the payload).
    Revealed,
    /// Something is said about a cause or drift: written before it is stored. What exactly is in the payload.
    DeskWrite {
        write: String,
    },
    /// The webhook endpoint is about to be sent events of nobody's: written before they are. `signed`: some of them with the real secret.
    Probed {
        /// Its URL, without what may be a secret in it.
        endpoint: String,
        signed: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concluded {
    Done,
    NotDone,
    Unknown,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    Done,
    /// Done and then taken back.
    Undone,
    Halted,
    /// Left by the operator before anything was sent.
    Abandoned,
    /// Given up by the operator after something was sent: what remains is theirs to do by hand. The reason is in the payload.
    HandedOver,
}

/// What stands beside a record: ids, before-values, evidence, free text. Its hash is in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail(pub serde_json::Value);

/// The payload of [`Entry::RunOpened`]: all that a run needs to be taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedDetail {
    pub inputs: Inputs,
    /// `None`: several subjects.
    #[serde(default)]
    pub subject: Option<SubjectKey>,
    /// Whom it is about, masked.
    pub who: String,
    pub undoes: Option<Undoing>,
}

/// The payload of [`Entry::Attested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedDetail {
    pub words: String,
}

/// The payload of [`Entry::Unleased`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnleasedDetail {
    pub why: String,
}

/// The payload of [`Entry::RunClosed`] where the operator gave the run up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpDetail {
    pub reason: String,
}

/// The payload of [`Entry::Intended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntendedDetail {
    pub command: Command,
    pub undo: Option<Command>,
}

/// The payload of [`Entry::Concluded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcludedDetail {
    pub outcome: Outcome,
}

/// A record of a run, as its history shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub at: At,
    pub operator: String,
    pub entry: Entry,
    /// How an attempt ended, in the target's words; `None` where the payload is elsewhere, or was removed.
    pub said: Option<String>,
}

/// A command, with the one that takes it back.
pub type Undoable = (Command, Option<Command>);

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    pub run: Uuid,
    pub procedure: String,
    pub operator: String,
    pub opened: At,
    pub last: At,
    pub inputs: Option<Inputs>,
    /// Whom it is about, masked; `None` where the payload has been removed.
    pub who: Option<String>,
    pub state: RunState,
    /// Every attempt so far, oldest first.
    pub attempts: Shared<Vec<(Attempt, Option<Outcome>)>>,
    /// The commands of those attempts, from the payloads, in the same order.
    pub commands: Shared<Vec<Option<Undoable>>>,
    /// Whom it is about; `None` where it is about several, or the payload has been removed.
    pub subject: Option<SubjectKey>,
    /// The run that this one takes back.
    pub undoes: Option<Undoing>,
    /// The steps whose effect was read back.
    #[serde(default)]
    pub proven: Vec<String>,
    /// Whether another process holds it open right now.
    pub held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Opened or confirmed, nothing sent.
    Open,
    /// An intent without an outcome: it may have happened.
    Unknown,
    /// Something was done; verification or later steps are still to come.
    Acted,
    Closed(Closed),
}

/// What a run does that somebody has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It waits for an answer.
    Asks,
    Watches,
    Works,
}

/// What the operator said about settings, under which it is kept with a run's inputs: from then on the run is only watched.
pub const SETTING: &str = "setting";

impl Entry {
    /// What happened, in a few words; what is in the payload is told beside them.
    #[must_use]
    pub fn say(&self) -> String {
        match self {
            Entry::WritesTurnedOn { until } => format!("writes on until {}", until.format("%H:%MZ")),
            Entry::WritesTurnedOff => "writes off".into(),
            Entry::RunOpened { procedure, .. } => format!("opened, {procedure}"),
            Entry::Confirmed { plan, .. } => format!("confirmed, plan {}", &plan[..plan.len().min(8)]),
            Entry::Intended { attempt, command, .. } => {
                format!("{}, try {}: about to send {command}", step_title(&attempt.step), attempt.attempt)
            }
            Entry::Concluded { attempt, result } => {
                let word = match result {
                    Concluded::Done => "done",
                    Concluded::NotDone => "not done",
                    Concluded::Unknown => "unknown",
                };
                format!("{}, try {}: {word}", step_title(&attempt.step), attempt.attempt)
            }
            Entry::Verified { step, holds, .. } => format!("{}: {}", step_title(step), if *holds { "proven" } else { "does not hold" }),
            Entry::Attested { step, .. } => format!("{step}: attested"),
            Entry::RunClosed { how, run } => format!("run {} closed: {}", short(*run), how.word()),
            Entry::Unleased { .. } => "no lease in the shared store".into(),
            Entry::Revealed => "personal data shown".into(),
            Entry::DeskWrite { write } => format!("said for all consoles, {write}"),
            Entry::Probed { endpoint, signed: true } => format!("probe of {endpoint}, some of it signed with the real secret"),
            Entry::Probed { endpoint, signed: false } => format!("probe of {endpoint}, nothing of it signed with the real secret"),
        }
    }

    /// The run it belongs to, where it belongs to one.
    #[must_use]
    pub fn run(&self) -> Option<Uuid> {
        match self {
            Entry::RunOpened { run, .. } | Entry::Confirmed { run, .. } | Entry::Verified { run, .. } => Some(*run),
            Entry::Attested { run, .. } | Entry::RunClosed { run, .. } | Entry::Unleased { run } => Some(*run),
            Entry::Intended { attempt, .. } | Entry::Concluded { attempt, .. } => Some(attempt.run),
            Entry::WritesTurnedOn { .. } | Entry::WritesTurnedOff | Entry::Revealed | Entry::DeskWrite { .. } | Entry::Probed { .. } => {
                None
            }
        }
    }
}

impl Closed {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Closed::Done => "done",
            Closed::Undone => "undone",
            Closed::Halted => "halted",
            Closed::Abandoned => "left",
            Closed::HandedOver => "given up",
        }
    }
}

impl Detail {
    /// # Panics
    /// Never for payloads of this module: they are plain data with text keys.
    #[must_use]
    pub fn of<T: Serialize>(payload: &T) -> Self {
        Detail(serde_json::to_value(payload).expect("invariant: payloads are plain data"))
    }

    #[must_use]
    pub fn none() -> Self {
        Detail(serde_json::Value::Null)
    }
}

impl From<&Outcome> for Concluded {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { .. } => Concluded::Done,
            Outcome::NotDone(_) => Concluded::NotDone,
            Outcome::Unknown(_) => Concluded::Unknown,
        }
    }
}

impl RunSummary {
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, RunState::Closed(_))
    }

    /// How giving it up would end it. `by_hand`: what became of writes that nobody answered for has been seen to.
    ///
    /// # Errors
    /// Why it cannot be given up: one sentence.
    pub fn given_up(&self, by_hand: bool) -> Result<Closed, String> {
        let run = short(self.run);
        match self.state {
            RunState::Closed(_) => Err(format!("run {run} is finished: there is nothing to give up")),
            RunState::Open => Ok(Closed::Abandoned),
            RunState::Acted => Ok(Closed::HandedOver),
            // One whose inputs are gone can be settled by no reading of ours.
            RunState::Unknown if by_hand || self.inputs.is_none() => Ok(Closed::HandedOver),
            RunState::Unknown => Err(format!(
                "what became of the last writes of run {run} is not known: nightdesk runs resume {run} reads that first; where it cannot \
                 tell, see to it by hand and give it up with --settled-by-hand"
            )),
        }
    }

    /// Whom it is about, masked: of a run that has ended more sessions than it was begun with, all of them. `None` as for `who`.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let who = self.who.as_ref()?;
        let begun_with = match self.inputs.as_ref().and_then(|i| i.selection.as_ref()) {
            Some(Selection::Sessions { these, .. }) => these.len(),
            _ => return Some(who.clone()),
        };
        let done = self.attempts.iter().zip(self.commands.iter()).filter(|((_, o), _)| matches!(o, Some(Outcome::Done { .. })));
        let ended = done.filter(|(_, c)| matches!(c, Some((Command::EndSession { .. }, _)))).count();
        Some(if ended > begun_with { format!("{ended} sessions") } else { who.clone() })
    }

    /// What it does while a process holds it open, as far as the journal tells; `None` where none does.
    #[must_use]
    pub fn doing(&self) -> Option<Doing> {
        let proven = || self.sent().all(|step| self.proven.iter().any(|p| p == step));
        let watched = || self.inputs.as_ref().is_some_and(|i| i.attested.contains_key(SETTING));
        match self.state {
            _ if !self.held => None,
            RunState::Closed(_) => None,
            RunState::Open => Some(Doing::Asks),
            // Everything that it sent has its proof, and it is not over: what comes next is for somebody to say.
            RunState::Acted if proven() => Some(if watched() { Doing::Watches } else { Doing::Asks }),
            RunState::Acted | RunState::Unknown => Some(Doing::Works),
        }
    }

    /// The steps whose act was sent, or may have been.
    pub fn sent(&self) -> impl Iterator<Item = &str> {
        self.attempts.iter().filter(|(_, o)| !matches!(o, Some(Outcome::NotDone(_)))).map(|(a, _)| a.step.as_str())
    }

    /// Whose rows it wrote or had written, or may have, by its attempts from that one on: by profile, with the customer that the row is to
    /// hold, as far as the payloads tell.
    pub fn wrote_from(&self, first: usize) -> impl Iterator<Item = (SubjectKey, Option<StripeId>)> {
        let sent = self.attempts.iter().zip(self.commands.iter()).skip(first).filter(|((_, o), _)| !matches!(o, Some(Outcome::NotDone(_))));
        sent.filter_map(|(_, command)| {
            let (command, _) = command.as_ref()?;
            Some((command.subject()?.clone(), command.customer().and_then(|c| StripeId::of(StripeKind::Customer, c))))
        })
    }

    /// It sent something, and what that was is not known here.
    #[must_use]
    pub fn writes_unnamed(&self) -> bool {
        self.attempts.iter().zip(&self.commands).any(|((_, o), c)| c.is_none() && !matches!(o, Some(Outcome::NotDone(_))))
    }
}
