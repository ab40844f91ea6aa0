//! What a row says about a try: done, definitely not done, or something else. Settles what no answer settled.

use super::Try;
use super::gather::row_query;
use crate::domain::facts::Known;
use crate::domain::row::{Change, Counter, Image, same};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::query::Reply;

/// What the row of a try's subject shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Every field holds what the try was to write.
    Applied,
    /// Every field holds what it held before.
    AsBefore,
    /// Neither: the sentence names a field.
    Other(String),
    /// The database did not answer; the reason.
    Unread(String),
    /// It is not known what the try was to write.
    CannotTell,
}

/// The subject's row as last read.
///
/// # Errors
/// Why there is none: one sentence.
pub(in crate::procedures) fn row_of<'a>(command: &Command, answers: &'a Answers) -> Result<Option<&'a Image>, String> {
    let subject = command.subject().ok_or("No row belongs to this act.")?;
    match answers.get(&row_query(subject)) {
        Some(Known::Is { value: Reply::Records(records), .. }) => {
            let record = records.iter().find(|r| r.subject.key == *subject);
            Ok(record.and_then(|r| r.row.as_ref()).map(|r| &r.image))
        }
        Some(Known::Failed(fault)) => Err(fault.say.clone()),
        _ => Err("The row has not been read yet.".into()),
    }
}

pub(super) fn seen(of: &Try, answers: &Answers) -> Seen {
    let Some(command) = &of.command else { return Seen::CannotTell };
    if let Some((was, reset)) = counters_of(command, of.undo.as_ref()) {
        return match counters_now(command, answers) {
            Ok(now) => counted(was, reset, now),
            Err(say) => Seen::Unread(say),
        };
    }
    let Some(changes) = changes_of(command, of.undo.as_ref()) else { return Seen::CannotTell };
    let row = match row_of(command, answers) {
        Ok(Some(row)) => row,
        Ok(None) => return Seen::Other("the row is gone".into()),
        Err(say) => return Seen::Unread(say),
    };
    let holds =
        |value: fn(&Change) -> &crate::domain::row::Value| changes.iter().all(|c| row.get(&c.field).is_some_and(|v| same(v, value(c))));
    if holds(|c| &c.to) {
        return Seen::Applied;
    }
    if holds(|c| &c.from) {
        return Seen::AsBefore;
    }
    let odd = changes.iter().find(|c| row.get(&c.field).is_none_or(|v| !same(v, &c.to))).expect("invariant: not every field holds");
    Seen::Other(match row.get(&odd.field) {
        Some(value) => format!("{} is {value}, not {}", odd.field.label(), odd.to),
        None => format!("{} cannot be read", odd.field.label()),
    })
}

/// What the command was to change: its own list, or, where another writer does it, the inverse of what would take it back.
fn changes_of(command: &Command, undo: Option<&Command>) -> Option<Vec<Change>> {
    match (command, undo) {
        (Command::SetSubscriptionRow { changes, .. }, _) => Some(changes.clone()),
        (_, Some(Command::SetSubscriptionRow { changes, .. })) => Some(inverse(changes)),
        _ => None,
    }
}

/// The counters that the command was about as they stood before a reset, and whether it was to reset them; `false`: to give them back.
fn counters_of<'a>(command: &'a Command, undo: Option<&'a Command>) -> Option<(&'a [Counter], bool)> {
    match (command, undo) {
        (Command::ResetCounters { shown, .. }, _) => Some((shown, true)),
        (Command::RestoreCounters { counters, .. }, _) => Some((counters, false)),
        (Command::ResetEntitlement { .. }, Some(Command::RestoreCounters { counters, .. })) => Some((counters, true)),
        _ => None,
    }
}

fn counters_now<'a>(command: &Command, answers: &'a Answers) -> Result<&'a [Counter], String> {
    let subject = command.subject().ok_or("No row belongs to this act.")?;
    match answers.get(&row_query(subject)) {
        Some(Known::Is { value: Reply::Records(records), .. }) => {
            let record = records.iter().find(|r| r.subject.key == *subject);
            record.map(|r| &r.counters[..]).ok_or_else(|| "The profile is gone.".into())
        }
        Some(Known::Failed(fault)) => Err(fault.say.clone()),
        _ => Err("The counters have not been read yet.".into()),
    }
}

/// Counters only grow: one that holds less than before was reset, whoever has counted since, and one that holds no less was not.
fn counted(was: &[Counter], reset: bool, now: &[Counter]) -> Seen {
    let lower = |before: &Counter| now.iter().find(|c| c.feature == before.feature).is_none_or(|c| c.used < before.used);
    let (fallen, standing): (Vec<&Counter>, Vec<&Counter>) = was.iter().partition(|c| lower(c));
    match (reset, standing.first(), fallen.first()) {
        (true, None, _) | (false, _, None) => Seen::Applied,
        (true, Some(_), None) | (false, None, Some(_)) => Seen::AsBefore,
        (_, Some(standing), Some(fallen)) => {
            Seen::Other(format!("{} holds less than before, {} does not", fallen.feature, standing.feature))
        }
    }
}

/// The list that takes these changes back.
pub(in crate::procedures) fn inverse(changes: &[Change]) -> Vec<Change> {
    changes.iter().map(|c| Change { field: c.field, from: c.to.clone(), to: c.from.clone() }).collect()
}
