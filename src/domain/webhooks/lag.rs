//! The apply lag: how long effects take here, learned from those that came. Nothing younger is ever called missing.

use crate::domain::At;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Nothing is judged before this.
pub const LEAST: Duration = Duration::seconds(60);
/// Effects that took longer came by a retry or a repair: they say nothing about the queue.
const MOST: Duration = Duration::seconds(600);
/// So many of the newest are remembered.
const REMEMBERED: usize = 2_000;

/// What took so many times as long as is usual was brought about by a retry or a repair, unless it was seen to come.
const UNUSUAL: u32 = 4;
/// Fewer than this may all have been retries or repairs of one incident: they are not believed to be slower than so many milliseconds.
const ENOUGH: usize = 20;
const FEW_SAY: u32 = 120_000;

/// So many of the newest effects that were seen to come tell how long they take now, and so few are too few.
const NOW: usize = 9;
const TOO_FEW: usize = 5;
/// So many others have to tell what is usual.
const USUAL: usize = 20;
/// Slow: half of the newest took so many times as long as half of the others, and so many milliseconds at least, which a healthy queue
/// takes now and then and not as a rule.
const SLOWER: u32 = 5;
const SLOW: u32 = 15_000;
/// What was seen to come longer ago than this says nothing about now.
const LASTS: Duration = Duration::minutes(60);

/// Effects take much longer than they used to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slower {
    /// What half of the newest took at least.
    pub now: Duration,
    /// The longest of them.
    pub longest: Duration,
    /// How many those are.
    pub of: usize,
    /// What half of the others took at most.
    pub before: Duration,
    /// When the first of the newest ones happened.
    pub since: At,
}

/// How long the newest effects took, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Those that were seen to come.
    took: VecDeque<u32>,
    /// The newest of those whose events are known, each with when its event happened.
    #[serde(default)]
    newest: VecDeque<(At, u32)>,
    /// Those that were there already: whether a queue or somebody's hands brought them, nobody saw.
    found: VecDeque<u32>,
}

impl Lag {
    /// An effect came this long after its event, while the event was being given its time.
    pub fn took(&mut self, took: Duration) {
        remember(&mut self.took, took);
    }

    /// The effect of an event that happened then took so long, and was looked for while it was young: of late ones alone, most are slow on
    /// the best of days.
    pub fn noticed(&mut self, at: At, took: Duration) {
        if let Some(took) = counted(took) {
            self.newest.push_back((at, took));
            let surplus = self.newest.len().saturating_sub(NOW);
            self.newest.drain(..surplus);
        }
    }

    /// Whether effects take much longer than they used to. By what was seen to come alone: what was found may have been repaired.
    #[must_use]
    pub fn slower(&self, now: At) -> Option<Slower> {
        let since = self.newest.iter().map(|(at, _)| *at).min()?;
        if self.newest.len() < TOO_FEW || self.newest.back().is_none_or(|(newest, _)| now - *newest > LASTS) {
            return None;
        }
        let (half, longest) = middle(self.newest.iter().map(|(_, took)| *took).collect())?;
        if half < SLOW || self.took.len() + self.found.len() < USUAL + self.newest.len() {
            return None;
        }
        // The newest may be among them: few beside those that tell what is usual.
        let (usual, _) = middle(self.took.iter().chain(&self.found).copied().collect())?;
        let span = |ms: u32| Duration::milliseconds(i64::from(ms));
        (half >= usual.saturating_mul(SLOWER)).then(|| Slower {
            now: span(half),
            longest: span(longest),
            of: self.newest.len(),
            before: span(usual),
            since,
        })
    }

    /// An effect was there, this long after its event, when it was first looked for. What cannot be told from a repair does not count.
    pub fn found(&mut self, took: Duration) {
        remember(&mut self.found, took);
    }

    /// What 99 of 100 effects stayed under, at least a minute; with half as much again, since one of a hundred is no rarity.
    #[must_use]
    pub fn allowance(&self) -> Duration {
        let Some(p99) = self.p99() else { return LEAST };
        (p99 + p99 / 2).max(LEAST)
    }

    /// `None` before anything was seen.
    #[must_use]
    pub fn p99(&self) -> Option<Duration> {
        let mut sorted: Vec<u32> = self.found.iter().copied().collect();
        sorted.sort_unstable();
        let most = believed(&sorted);
        sorted.retain(|took| *took <= most);
        sorted.extend(&self.took);
        sorted.sort_unstable();
        let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
        Some(Duration::milliseconds(i64::from(sorted[at])))
    }
}

/// Of effects that nobody saw come, in milliseconds from the shortest on: those that took no longer than this came by the queue. By what the
/// quicker ones took, since an incident leaves more than a few late ones on a day on which little happens.
#[must_use]
pub fn believed(sorted: &[u32]) -> u32 {
    let least = u32::try_from(LEAST.num_milliseconds()).unwrap_or(u32::MAX);
    let usual = sorted.get(sorted.len() / 4).map_or(least, |usual| usual.saturating_mul(UNUSUAL).max(least));
    if sorted.len() < ENOUGH { usual.min(FEW_SAY) } else { usual }
}

/// That of half of them, and the longest.
fn middle(mut all: Vec<u32>) -> Option<(u32, u32)> {
    all.sort_unstable();
    Some((*all.get(all.len() / 2)?, *all.last()?))
}

fn remember(these: &mut VecDeque<u32>, took: Duration) {
    let Some(took) = counted(took) else { return };
    if these.len() == REMEMBERED {
        these.pop_front();
    }
    these.push_back(took);
}

/// In milliseconds; `None` where it says nothing about the queue.
fn counted(took: Duration) -> Option<u32> {
    (Duration::zero()..=MOST).contains(&took).then(|| u32::try_from(took.num_milliseconds()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> At {
        At::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    #[test]
    fn effects_that_take_much_longer_than_they_used_to_are_told_once_half_of_the_newest_do() {
        let mut lag = Lag::default();
        (0..30).for_each(|_| lag.found(Duration::seconds(2)));
        (0..3).for_each(|_| lag.noticed(at(), Duration::seconds(3)));
        (0..2).for_each(|_| lag.noticed(at(), Duration::seconds(40)));
        assert_eq!(lag.slower(at()), None, "one or two may be late on the best of days");
        (0..4).for_each(|_| lag.noticed(at(), Duration::seconds(40)));
        let slower = lag.slower(at()).expect("most of the newest");
        assert_eq!((slower.now, slower.before), (Duration::seconds(40), Duration::seconds(2)));
        assert_eq!(lag.slower(at() + Duration::hours(2)), None, "nothing has come for long");
        (0..5).for_each(|_| lag.noticed(at(), Duration::seconds(2)));
        assert_eq!(lag.slower(at()), None, "it is over");
        let mut queue = Lag::default();
        (0..40).for_each(|_| queue.took(Duration::seconds(110)));
        (0..9).for_each(|_| queue.noticed(at(), Duration::seconds(110)));
        assert_eq!(queue.slower(at()), None, "a queue that is always slow is a queue");
        let mut new = Lag::default();
        (0..9).for_each(|_| new.noticed(at(), Duration::seconds(40)));
        assert_eq!(new.slower(at()), None, "nothing tells what is usual");
    }

    #[test]
    fn a_minute_is_the_least_and_a_slow_queue_is_given_its_time() {
        let mut lag = Lag::default();
        assert_eq!(lag.allowance(), LEAST);
        (0..500).for_each(|_| lag.took(Duration::seconds(2)));
        assert_eq!(lag.allowance(), LEAST);
        (0..20).for_each(|_| lag.took(Duration::seconds(120)));
        assert_eq!(lag.p99(), Some(Duration::seconds(120)));
        assert_eq!(lag.allowance(), Duration::seconds(180));
        (0..500).for_each(|_| lag.took(Duration::hours(2)));
        assert_eq!(lag.allowance(), Duration::seconds(180), "repairs teach nothing");
        (0..5_000).for_each(|_| lag.took(Duration::seconds(1)));
        assert_eq!(lag.allowance(), LEAST, "and what is over is forgotten");
    }

    #[test]
    fn a_repair_that_was_there_before_anybody_looked_teaches_nothing() {
        let mut lag = Lag::default();
        (0..20).for_each(|_| lag.found(Duration::seconds(2)));
        (0..6).for_each(|_| lag.found(Duration::seconds(540)));
        assert_eq!(lag.allowance(), LEAST);
        let mut slow = Lag::default();
        (0..20).for_each(|_| slow.found(Duration::seconds(120)));
        assert_eq!(slow.allowance(), Duration::seconds(180), "a queue that is always slow is a queue");
    }

    #[test]
    fn a_few_late_ones_that_are_all_there_is_teach_nothing() {
        let mut lag = Lag::default();
        [540, 480, 360, 540, 540].into_iter().for_each(|late| lag.found(Duration::seconds(late)));
        assert_eq!(lag.allowance(), LEAST);
        (0..3).for_each(|_| lag.found(Duration::seconds(1)));
        assert_eq!(lag.allowance(), LEAST, "nor where most are late");
        let mut slow = Lag::default();
        (0..3).for_each(|_| slow.found(Duration::seconds(100)));
        assert_eq!(slow.allowance(), Duration::seconds(150), "few are believed to be somewhat slow");
    }
}
