//! Writes to production: one closed enum. Reading it tells everything this program can do to the world.

use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::policy::Tier;
use crate::domain::row::{Change, Counter, Field, Image};
use crate::domain::sessions::{Reach, SessionId, State};
use serde::{Deserialize, Serialize};

/// A write to production. Only procedures produce these, only the executor performs them, each through the gate and the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Set fields of one subject's subscription row, by compare-and-set on the whole row that was shown:
    /// exactly one row changes, or none.
    SetSubscriptionRow { subject: SubjectKey, shown: Image, changes: Vec<Change> },
    /// Ask the application to bring one subject's row in line with Stripe: a configured admin endpoint.
    ResyncByHttp { subject: SubjectKey, customer: String },
    /// The same by a configured command (argv, never a shell line).
    ResyncByCommand { subject: SubjectKey, customer: String },
    /// Ask the application to reset the subject's counters: every feature that resets, with a new period. It knows no single feature.
    ResetEntitlement { subject: SubjectKey },
    /// Set `used` of these counters to 0, by compare-and-set on each as it was shown: all of them change, or none. Whether it took effect
    /// is told by the counters afterwards: one that holds less was reset. Where the answer was lost and the customer has meanwhile used
    /// exactly as much again, it reads as not done and is done once more, under the same compare-and-set: that forgives what they used
    /// since the first, and takes nothing from them. No row version would tell it from their use, which writes the same row.
    ResetCounters { subject: SubjectKey, shown: Vec<Counter> },
    /// Give these counters back what they held before a reset, period included: all of them, and only where nobody has counted since.
    RestoreCounters { subject: SubjectKey, counters: Vec<Counter> },
    /// Stripe sends one event to one endpoint once more. `subject`: whose row it changes, where that is known.
    ResendEvent { event: StripeId, endpoint: StripeId, subject: Option<SubjectKey> },
    /// The event as Stripe stores it, signed anew, to our own endpoint: only where policy allows.
    DeliverEvent { event: StripeId, subject: Option<SubjectKey> },
    /// A configured command by its name under `[hooks]` (argv, never a shell line): `restart_app`.
    RunHook { hook: String },
    /// A message to somebody who can help, by the command configured as `escalate`. It touches nothing of the product.
    Escalate { to: String, text: String },
    /// End one session of the database, if it still is this very one, a client's, in one of these states, since then and for as long:
    /// one signal, then it is watched until it is gone. It cannot be taken back.
    EndSession {
        session: SessionId,
        /// Whose it is, for whoever reads the journal: application, role and client.
        who: String,
        states: Vec<State>,
        /// Since when it has been in its state, by the server's clock: one that has moved on has another time. `None` only in records of
        /// before this was kept: they are read, and never sent.
        #[serde(default)]
        since: Option<At>,
        /// How long it has been in its state at least, in milliseconds.
        at_least_ms: u64,
        reach: Reach,
    },
}

/// The one thing that a write touches: what becomes of another one does not depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    Subject(SubjectKey),
    Session(SessionId),
}

/// What tells whether a write happened that nobody answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledBy {
    /// The subject's row: it was compared and set, so a row that is still as before proves that nothing was written.
    Row,
    /// The subject's counters, likewise.
    Counters,
    /// The list of sessions: it is gone, or still there.
    Session,
    /// Only the effect that somebody else brings, later or never: it counts as sent, and is not sent again.
    Effect,
    /// Nothing that can be read.
    Nobody,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, and the target said so. `note` is its answer in one line.
    Done {
        note: String,
        /// Nobody said so: it counts as done, that it is not sent again, and whether it helped is read.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unheard: bool,
    },
    /// Definitely not done: the world is as before.
    NotDone(Fault),
    /// Sent, and no answer: it may have happened. Settled by reading, never by repeating.
    Unknown(Fault),
}

/// How the note of a write that nobody answered for begins. Journals of before that was a field of its own have it by these words alone.
const UNHEARD: &str = "nobody answered; it counts as sent and is not sent again";

impl Outcome {
    /// Done, as its target answered.
    #[must_use]
    pub fn done(note: String) -> Self {
        Outcome::Done { note, unheard: false }
    }

    /// It counts as done though nobody answered; what was said of it instead, where anything was.
    #[must_use]
    pub fn unheard(said: Option<&str>) -> Self {
        let note = said.map_or_else(|| UNHEARD.into(), |said| format!("{UNHEARD}: {}", said.trim_end_matches('.')));
        Outcome::Done { note, unheard: true }
    }

    /// Whether it counts as done though nobody answered.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        matches!(self, Outcome::Done { note, unheard } if *unheard || note.starts_with(UNHEARD))
    }

    /// Turned away for the rate of requests alone: the very same request may come again.
    #[must_use]
    pub fn was_turned_away(&self) -> bool {
        matches!(self, Outcome::NotDone(fault) if fault.kind == FaultKind::Limit)
    }
}

impl Command {
    /// What it can break.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self {
            Command::SetSubscriptionRow { .. } | Command::ResyncByHttp { .. } | Command::ResyncByCommand { .. } => Tier::T1,
            Command::ResetEntitlement { .. } | Command::ResetCounters { .. } | Command::RestoreCounters { .. } => Tier::T1,
            Command::ResendEvent { .. } | Command::DeliverEvent { .. } | Command::Escalate { .. } => Tier::T1,
            Command::RunHook { .. } | Command::EndSession { .. } => Tier::T2,
        }
    }

    #[must_use]
    pub fn target(&self) -> Source {
        match self {
            Command::SetSubscriptionRow { .. } | Command::EndSession { .. } => Source::Database,
            Command::ResetCounters { .. } | Command::RestoreCounters { .. } => Source::Database,
            Command::ResendEvent { .. } => Source::Stripe,
            Command::ResyncByHttp { .. }
            | Command::ResyncByCommand { .. }
            | Command::DeliverEvent { .. }
            | Command::ResetEntitlement { .. }
            | Command::RunHook { .. }
            | Command::Escalate { .. } => Source::Application,
        }
    }

    /// Its name in journals and denials.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Command::SetSubscriptionRow { .. } => "set-subscription-row",
            Command::ResyncByHttp { .. } => "resync-by-http",
            Command::ResyncByCommand { .. } => "resync-by-command",
            Command::ResetEntitlement { .. } => "reset-entitlement",
            Command::ResetCounters { .. } => "reset-counters",
            Command::RestoreCounters { .. } => "restore-counters",
            Command::ResendEvent { .. } => "resend-event",
            Command::DeliverEvent { .. } => "deliver-event",
            Command::RunHook { .. } => "run-hook",
            Command::Escalate { .. } => "escalate",
            Command::EndSession { .. } => "end-session",
        }
    }

    /// Whether it changes what was shown or nothing: then what is still as before proves that it did not happen.
    #[must_use]
    pub fn is_compare_and_set(&self) -> bool {
        matches!(self.settled_by(), SettledBy::Row | SettledBy::Counters)
    }

    /// What tells whether it happened where nobody answered for it. A new command has to say so here: what counts as sent is never sent again.
    #[must_use]
    pub fn settled_by(&self) -> SettledBy {
        match self {
            Command::SetSubscriptionRow { .. } => SettledBy::Row,
            Command::ResetCounters { .. } | Command::RestoreCounters { .. } => SettledBy::Counters,
            Command::EndSession { .. } => SettledBy::Session,
            Command::ResyncByHttp { .. }
            | Command::ResyncByCommand { .. }
            | Command::ResetEntitlement { .. }
            | Command::ResendEvent { .. }
            | Command::DeliverEvent { .. }
            | Command::RunHook { .. } => SettledBy::Effect,
            Command::Escalate { .. } => SettledBy::Nobody,
        }
    }

    /// Whether it brings somebody's subscription row in line with Stripe, by whatever writes rows here.
    #[must_use]
    pub fn writes_a_row(&self) -> bool {
        matches!(self, Command::SetSubscriptionRow { .. } | Command::ResyncByHttp { .. } | Command::ResyncByCommand { .. })
    }

    /// What it touches, where that is one thing and known.
    #[must_use]
    pub fn touches(&self) -> Option<Touched> {
        match self {
            Command::EndSession { session, .. } => Some(Touched::Session(*session)),
            other => other.subject().cloned().map(Touched::Subject),
        }
    }

    /// Whom it touches, where that is one subject and known.
    #[must_use]
    pub fn subject(&self) -> Option<&SubjectKey> {
        match self {
            Command::SetSubscriptionRow { subject, .. }
            | Command::ResyncByHttp { subject, .. }
            | Command::ResyncByCommand { subject, .. }
            | Command::ResetEntitlement { subject }
            | Command::ResetCounters { subject, .. }
            | Command::RestoreCounters { subject, .. } => Some(subject),
            Command::ResendEvent { subject, .. } | Command::DeliverEvent { subject, .. } => subject.as_ref(),
            Command::RunHook { .. } | Command::Escalate { .. } | Command::EndSession { .. } => None,
        }
    }

    /// The customer at Stripe that the row holds when it is done; `None` where it says nothing about that.
    #[must_use]
    pub fn customer(&self) -> Option<&str> {
        match self {
            Command::SetSubscriptionRow { shown, changes, .. } => {
                let linked = changes.iter().find(|c| c.field == Field::Customer).map(|c| &c.to);
                linked.or_else(|| shown.get(&Field::Customer)).and_then(|v| v.as_text())
            }
            Command::ResyncByHttp { customer, .. } | Command::ResyncByCommand { customer, .. } => Some(customer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_answered_for_is_told_by_a_field_and_in_old_journals_by_its_words() {
        let old: Outcome = serde_json::from_str(r#"{"Done":{"note":"nobody answered; it counts as sent and is not sent again: no unit"}}"#)
            .expect("the old form");
        let answered: Outcome = serde_json::from_str(r#"{"Done":{"note":"1 row"}}"#).expect("the old form");
        assert_eq!((old.is_unheard(), answered.is_unheard(), &answered), (true, false, &Outcome::done("1 row".into())));
        let Outcome::Done { note, unheard } = Outcome::unheard(Some("no unit.")) else { panic!("it counts as done") };
        assert!(unheard && note.ends_with(": no unit"), "{note}");
        let reworded = Outcome::Done { note: "no answer came".into(), unheard };
        let kept = serde_json::to_string(&reworded).expect("plain data");
        assert!(serde_json::from_str::<Outcome>(&kept).expect("as written").is_unheard(), "whatever its words: {kept}");
        assert_eq!(serde_json::to_string(&answered).expect("plain data"), r#"{"Done":{"note":"1 row"}}"#);
    }

    #[test]
    fn a_signal_journaled_before_its_time_was_kept_still_reads() {
        let old = r#"{"EndSession":{"session":{"pid":4711,"began_us":7},"who":"api","states":["idle_in_transaction"],"at_least_ms":31000,
                      "reach":{"other_databases":false}}}"#;
        let read: Command = serde_json::from_str(old).expect("the old form");
        assert!(matches!(&read, Command::EndSession { session, since: None, .. } if session.pid == 4711), "{read:?}");
    }
}
