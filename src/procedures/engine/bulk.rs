//! The acts of a plan with a pace as a timetable: which may begin now, and how far they came. What a run does with it is [`super::acts`]'s.

use super::effects::ROWS_AT_ONCE;
use crate::domain::At;
use crate::domain::ids::SubjectKey;
use crate::protocol::run::Pace;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};

/// The acts of a plan with a pace, and how far each came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    pub(super) items: Vec<Item>,
    pub(super) pace: Pace,
    /// The one confirmation that all acts stand on.
    pub(super) confirmed_at: At,
    /// When the newest acts began: no more than the pace within any second.
    pub(super) begun: VecDeque<At>,
    /// A source limits us: nothing begins before this.
    pub(super) not_before: Option<At>,
    pub(super) backoffs: u32,
    pub(super) held: Option<Held>,
    /// The items whose effects are being read.
    pub(super) reading: Vec<usize>,
    /// The items whose rows are being read before their acts begin.
    #[serde(default)]
    pub(super) looking: Vec<usize>,
    /// Steps whose act compares nothing itself: it begins only right after its row was seen as it was shown.
    #[serde(default)]
    pub(super) unguarded: HashSet<usize>,
    /// An act of it was let through: its confirmation holds for the others.
    #[serde(default)]
    pub(super) admitted: bool,
    pub(super) read_at: Option<At>,
}

/// One act, and the one in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    /// Where it stands among the plan's steps.
    pub act: usize,
    pub instead: Option<usize>,
    pub subject: Option<SubjectKey>,
    pub stage: Stage,
    /// The row was no longer as it was shown, so nothing was written: what was said. Whether somebody else has put it right, the row tells.
    pub overtaken: Option<String>,
    /// When its row was last seen as it was shown, before its act.
    #[serde(default)]
    pub seen: Option<At>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// The act at this step is next.
    Waiting(usize),
    Sent(usize),
    /// Answered, or nobody knows: the effect is being waited for.
    Effect {
        step: usize,
        since: At,
        open: bool,
    },
    Applied(usize),
    Failed(String),
    Skipped(String),
    /// Its row became somebody else's doing since the review: nothing was written over it.
    Changed,
}

/// Why nothing more begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Held {
    /// By the operator, or by something that the operator has to settle.
    Paused {
        why: Option<String>,
        since: At,
        /// The effects cannot be read: it ends by itself when they are read again soon.
        blind: bool,
    },
    /// A long pause is over: what is under way is followed, then what remains is reviewed anew.
    Old,
    Cancelled,
    /// Too much came to nothing.
    Stopped(String),
}

/// How far a run of many acts came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub total: usize,
    pub applied: usize,
    /// Of those, by the act in place of the first.
    pub instead: usize,
    /// Of those, by somebody else, before the act came.
    pub right: usize,
    pub failed: usize,
    /// Not begun, or left alone.
    pub skipped: usize,
    /// Of those, left alone since their rows had changed.
    pub changed: usize,
    /// Begun, and the effect not seen yet.
    pub under_way: usize,
    /// Whether the first ones had their effect; `None` while that is open.
    pub canary: Option<bool>,
    /// Paused, and why where it was not the operator.
    pub paused: Option<Option<String>>,
    pub cancelled: bool,
    /// What is left takes about so long, in seconds.
    pub seconds_left: u64,
}

/// So long after its row was seen an act may begin, in seconds: rows are read in the rhythm of effects.
const SEEN_SECONDS: i64 = 5;
/// So many acts are on their way at once: more would only wait for the journal.
const AT_ONCE: usize = 4;
/// First acts that came to nothing before the rest does without them: one may be chance.
pub(super) const VAIN_AT_MOST: usize = 3;
/// A pause longer than this ends in a new review, in minutes: the facts are old by then.
pub(super) const PAUSE_MINUTES: i64 = 15;

impl Bulk {
    #[must_use]
    pub fn progress(&self) -> Progress {
        let count = |is: fn(&Stage) -> bool| self.items.iter().filter(|i| is(&i.stage)).count();
        let waiting = count(|s| matches!(s, Stage::Waiting(_)));
        let instead =
            self.items.iter().filter(|i| i.overtaken.is_none() && matches!(i.stage, Stage::Applied(step) if step != i.act)).count();
        Progress {
            total: self.items.len(),
            applied: count(|s| matches!(s, Stage::Applied(_))),
            instead,
            right: self.items.iter().filter(|i| i.overtaken.is_some() && matches!(i.stage, Stage::Applied(_))).count(),
            failed: count(|s| matches!(s, Stage::Failed(_))),
            skipped: count(|s| matches!(s, Stage::Skipped(_) | Stage::Changed)),
            changed: count(|s| matches!(s, Stage::Changed)),
            under_way: count(|s| matches!(s, Stage::Sent(_) | Stage::Effect { .. })),
            canary: self.canary(),
            paused: match &self.held {
                Some(Held::Paused { why, .. }) => Some(why.clone()),
                _ => None,
            },
            cancelled: self.held == Some(Held::Cancelled),
            seconds_left: (waiting as u64).div_ceil(u64::from(self.pace.per_second.max(1))),
        }
    }

    /// Those that go alone: the first, and the first that have another act in their place, whether the one that leads helps being open; of
    /// these one more for each that came to nothing, up to a few. What somebody else has seen to says nothing about our acts.
    fn canaries(&self) -> Vec<&Item> {
        let alone = self.pace.canary.max(1);
        let doubtful = self.doubtful().take(alone + self.vain().min(VAIN_AT_MOST - 1)).map(|i| i.act);
        let acts: HashSet<usize> = self.items.iter().filter(|i| !i.is_moot()).take(alone).map(|i| i.act).chain(doubtful).collect();
        self.items.iter().filter(|i| acts.contains(&i.act)).collect()
    }

    fn doubtful(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| i.instead.is_some() && !i.is_moot())
    }

    /// First acts that had no effect, before any had one.
    pub(super) fn vain(&self) -> usize {
        let helped = self.doubtful().position(|i| matches!(i.stage, Stage::Applied(step) if step == i.act));
        let before = self.doubtful().take(helped.unwrap_or(usize::MAX).min(VAIN_AT_MOST));
        before.filter(|i| matches!(i.stage, Stage::Applied(step) if step != i.act)).count()
    }

    pub(super) fn is_canary(&self, act: usize) -> bool {
        self.canaries().iter().any(|i| i.act == act)
    }

    /// Whether the first ones had their effect.
    pub(super) fn canary(&self) -> Option<bool> {
        let first = self.canaries();
        if first.iter().any(|i| !i.stage.is_final()) {
            return None;
        }
        Some(first.is_empty() || first.iter().any(|i| matches!(i.stage, Stage::Applied(_))))
    }

    pub(super) fn is_over(&self) -> bool {
        self.items.iter().all(|i| i.stage.is_final())
    }

    /// The next act that may begin now, with its item.
    pub(super) fn next(&mut self, now: At) -> Option<(usize, usize)> {
        if self.held.is_some() || self.is_kept_back(now) {
            return None;
        }
        while self.begun.front().is_some_and(|then| now - *then >= Duration::seconds(1)) {
            self.begun.pop_front();
        }
        let on_their_way = self.items.iter().filter(|i| matches!(i.stage, Stage::Sent(_))).count();
        if self.begun.len() >= self.pace.per_second.max(1) as usize || on_their_way >= AT_ONCE {
            return None;
        }
        self.ready().find(|(item, step)| self.may_begin(*item, *step, now))
    }

    /// The items whose rows are to be read now: their acts compare nothing themselves, and are about to begin.
    pub(super) fn to_look_at(&self, now: At) -> Vec<usize> {
        let stands = matches!(&self.held, Some(held) if !matches!(held, Held::Paused { blind: true, .. }));
        if stands || self.is_kept_back(now) {
            return Vec::new();
        }
        let soon = (self.pace.per_second as usize).saturating_mul(SEEN_SECONDS as usize).clamp(1, ROWS_AT_ONCE);
        self.ready().filter(|(_, step)| self.unguarded.contains(step)).take(soon).map(|(item, _)| item).collect()
    }

    fn is_kept_back(&self, now: At) -> bool {
        self.canary() == Some(false) || self.not_before.is_some_and(|then| now < then)
    }

    /// Its act compares what it changes, or its row was seen a moment ago.
    fn may_begin(&self, item: usize, step: usize, now: At) -> bool {
        let seen = self.items[item].seen;
        !self.unguarded.contains(&step) || seen.is_some_and(|then| now - then <= Duration::seconds(SEEN_SECONDS))
    }

    /// The items whose turn it is, each with the step of its next act.
    fn ready(&self) -> impl Iterator<Item = (usize, usize)> {
        // Of one subject the next act waits for the verdict on the last.
        let mut busy: HashSet<&SubjectKey> = HashSet::new();
        for item in &self.items {
            if matches!(item.stage, Stage::Sent(_) | Stage::Effect { .. }) {
                busy.extend(item.subject.as_ref());
            }
        }
        let alone: Option<HashSet<usize>> = self.canary().is_none().then(|| self.canaries().iter().map(|i| i.act).collect());
        self.items.iter().enumerate().filter_map(move |(at, item)| {
            let Stage::Waiting(step) = item.stage else { return None };
            let free = item.subject.as_ref().is_none_or(|s| !busy.contains(s));
            (free && alone.as_ref().is_none_or(|a| a.contains(&item.act))).then_some((at, step))
        })
    }

    /// Nothing more begins. What the operator has to settle outlasts what may pass by itself.
    pub(super) fn stand_still(&mut self, why: Option<String>, blind: bool, now: At) {
        let since = match &self.held {
            None => now,
            Some(Held::Paused { since, blind: true, .. }) if !blind => *since,
            Some(_) => return,
        };
        self.held = Some(Held::Paused { why, since, blind });
    }

    /// What is awaited was read again: a pause for not seeing it is over.
    pub(super) fn see_again(&mut self) {
        if matches!(self.held, Some(Held::Paused { blind: true, .. })) {
            self.held = None;
        }
    }

    /// Long blindness is for the operator to end: the facts are old by then.
    pub(super) fn grow_old(&mut self, now: At) {
        if let Some(Held::Paused { since, blind, .. }) = &mut self.held
            && now - *since > Duration::minutes(PAUSE_MINUTES)
        {
            *blind = false;
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.items.iter().any(|i| matches!(i.stage, Stage::Sent(_) | Stage::Effect { .. }))
    }

    /// What is still to begin does not begin any more.
    pub(super) fn skip_the_rest(&mut self, why: &str) {
        for item in &mut self.items {
            if matches!(item.stage, Stage::Waiting(_)) {
                item.stage = Stage::Skipped(why.to_string());
            }
        }
    }
}

impl Item {
    /// Somebody else has seen to it.
    fn is_moot(&self) -> bool {
        self.stage == Stage::Changed || (self.overtaken.is_some() && matches!(self.stage, Stage::Applied(_)))
    }
}

impl Stage {
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Stage::Applied(_) | Stage::Failed(_) | Stage::Skipped(_) | Stage::Changed)
    }
}
