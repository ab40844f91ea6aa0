//! What operators have said about the causes on screen: who has one, what is muted until when, what has settled; and saying it.

use super::model::{Model, Tab};
use crate::console::ask::{ActionItem, Ask};
use crate::console::context::Context;
use crate::console::widgets::format::moment;
use crate::domain::At;
use crate::domain::desk::{DeskState, Standing};
use crate::domain::webhooks::feed::Group;
use crate::protocol::desk::DeskWrite;
use chrono::Duration;

/// How long a cause can be muted: the letter, how many hours, the words.
const MUTES: [(char, i64, &str); 2] = [('n', 1, "mute it for an hour"), ('l', 12, "mute it for twelve hours")];

/// What the row of a cause says beside its size; empty where nobody has said anything.
#[must_use]
pub fn standing(group: &Group, desk: Option<&DeskState>, now: At) -> String {
    let Some(desk) = desk else { return String::new() };
    if let Some(muted) = desk.muted(group.cause, now) {
        return format!("muted until {}", moment(muted.until, now));
    }
    match desk.standing(group.cause, Some(group.first)) {
        Standing::Taken(taken) => format!("{} has it", taken.by),
        Standing::Reopened(taken) => format!("back again, {} had it", taken.by),
        Standing::Open | Standing::Resolved(_) => String::new(),
    }
}

/// Whether nobody is to be alarmed by it at the moment.
#[must_use]
pub fn is_muted(group: &Group, desk: Option<&DeskState>, now: At) -> bool {
    desk.is_some_and(|d| d.muted(group.cause, now).is_some())
}

/// Causes that somebody had and of which no event is failing any more: `bad signature (ada)`.
#[must_use]
pub fn settled(groups: &[Group], desk: Option<&DeskState>) -> Vec<String> {
    let taken = desk.iter().flat_map(|d| &d.taken);
    taken.filter(|(cause, _)| !groups.iter().any(|g| g.cause == **cause)).map(|(c, t)| format!("{} ({})", c.word(), t.by)).collect()
}

/// What can be said about the cause under the cursor.
pub fn items(m: &Model, cx: &Context) -> Vec<ActionItem> {
    let Some(group) = m.group(cx.survey).filter(|_| m.tab == Tab::Causes) else { return Vec::new() };
    let (cause, me) = (group.cause, cx.env.map(|e| e.operator.as_str()).unwrap_or_default());
    let Some(desk) = cx.desk else {
        return vec![ActionItem::impossible('t', "take it", "who has what has not been read yet")];
    };
    let owner = desk.owner(cause, group.first);
    let take = Ask::Desk(DeskWrite::TakeCause { cause, since: group.first });
    let mut items = vec![match owner {
        Some(by) if by == me => ActionItem::impossible('t', "take it", "it is yours"),
        Some(by) => ActionItem::new('t', format!("take it over from {by}"), take),
        None => ActionItem::new('t', "take it", take),
    }];
    items.push(match owner {
        Some(by) if by == me => ActionItem::new('x', "let go of it", Ask::Desk(DeskWrite::DropCause { cause })),
        _ => ActionItem::impossible('x', "let go of it", "it is not yours"),
    });
    match desk.muted(cause, cx.now) {
        Some(_) => items.push(ActionItem::new('n', "unmute it", Ask::Desk(DeskWrite::Unmute { cause }))),
        None => items.extend(
            MUTES.map(|(letter, hours, label)| ActionItem::new(letter, label, Ask::Mute { cause, until: cx.now + Duration::hours(hours) })),
        ),
    }
    items
}
