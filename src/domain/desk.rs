//! What operators have said about causes and drift: who has it, what is muted until when, what is accepted. Rules only; where it is kept is somebody else's.

use super::At;
use super::ids::StripeId;
use super::webhooks::cause::Cause;
use super::webhooks::drift::Class;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that stands on the desk, from every console of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskState {
    pub taken: BTreeMap<Cause, Taken>,
    pub muted: BTreeMap<Cause, Muted>,
    pub accepted: Vec<Accepted>,
    /// Other consoles see it: it lies in the shared store, not in a file of this machine.
    pub shared: bool,
}

/// Somebody looks after this cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub by: String,
    pub at: At,
    /// Since when events were failing for it, as its owner saw it.
    pub since: At,
}

/// Nobody is to be alarmed by this cause for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muted {
    pub by: String,
    pub at: At,
    pub until: At,
    pub reason: String,
}

/// Drift that is known and let be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub customer: StripeId,
    pub class: Class,
    pub by: String,
    pub at: At,
    pub until: At,
    pub reason: String,
}

/// Where a cause stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nobody has it.
    Open,
    Taken(Taken),
    /// Every event that was failing when it was taken has its effect by now, and none has failed since.
    Resolved(Taken),
    /// The same, and then others failed: whoever had it may not know. Or something is left over from then, all that failed in the hour after
    /// it was taken has its effect, and others failed later.
    Reopened(Taken),
}

/// Failures of one trouble that goes on are no further apart than that.
fn calm() -> Duration {
    Duration::hours(1)
}

impl DeskState {
    /// Where the cause stands. `failing`: when the events happened that are failing for it now.
    #[must_use]
    pub fn standing(&self, cause: Cause, failing: impl IntoIterator<Item = At>) -> Standing {
        let Some(taken) = self.taken.get(&cause) else { return Standing::Open };
        let (mut first, mut next): (Option<At>, Option<At>) = (None, None);
        for at in failing {
            first = Some(first.map_or(at, |first| first.min(at)));
            if at > taken.at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        match (first, next) {
            (None, _) => Standing::Resolved(taken.clone()),
            (Some(first), _) if first > taken.at => Standing::Reopened(taken.clone()),
            // What nobody could mend is left over for days: that must not hide that it began anew.
            (_, Some(next)) if next - taken.at > calm() => Standing::Reopened(taken.clone()),
            (Some(_), _) => Standing::Taken(taken.clone()),
        }
    }

    /// Who has it, while it is not settled.
    #[must_use]
    pub fn owner(&self, cause: Cause, first: At) -> Option<&str> {
        self.taken.get(&cause).filter(|t| first <= t.at).map(|t| t.by.as_str())
    }

    /// The mute that holds at this moment.
    #[must_use]
    pub fn muted(&self, cause: Cause, now: At) -> Option<&Muted> {
        self.muted.get(&cause).filter(|m| m.until > now)
    }

    /// The acceptance that holds at this moment.
    #[must_use]
    pub fn accepted(&self, customer: &StripeId, class: Class, now: At) -> Option<&Accepted> {
        self.accepted.iter().find(|a| a.customer == *customer && a.class == class && a.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> At {
        At::from_timestamp(1_800_000_000 + minutes * 60, 0).expect("in range")
    }

    #[test]
    fn a_taken_cause_resolves_with_its_last_event_and_reopens_with_a_new_one() {
        let mut desk = DeskState::default();
        assert_eq!(desk.standing(Cause::Down, Some(at(0))), Standing::Open);
        let taken = Taken { by: "ada".into(), at: at(10), since: at(0) };
        desk.taken.insert(Cause::Down, taken.clone());
        assert_eq!(desk.standing(Cause::Down, Some(at(0))), Standing::Taken(taken.clone()));
        assert_eq!(desk.standing(Cause::Down, None), Standing::Resolved(taken.clone()));
        assert_eq!(desk.standing(Cause::Down, Some(at(11))), Standing::Reopened(taken.clone()));
        // Goes on failing: nothing new to whoever has it.
        assert_eq!(desk.standing(Cause::Down, [at(40), at(11), at(0)]), Standing::Taken(taken.clone()));
        // One that nobody could mend is left over from then, and the next failed much later.
        assert_eq!(desk.standing(Cause::Down, [at(300), at(0)]), Standing::Reopened(taken));
        assert_eq!((desk.owner(Cause::Down, at(0)), desk.owner(Cause::Down, at(11))), (Some("ada"), None));
    }

    #[test]
    fn what_is_muted_or_accepted_is_so_until_then() {
        let mut desk = DeskState::default();
        let muted = Muted { by: "ada".into(), at: at(0), until: at(60), reason: "deploy".into() };
        desk.muted.insert(Cause::Timeout, muted);
        assert!(desk.muted(Cause::Timeout, at(59)).is_some() && desk.muted(Cause::Timeout, at(60)).is_none());
        assert!(desk.muted(Cause::Down, at(0)).is_none());
    }
}
