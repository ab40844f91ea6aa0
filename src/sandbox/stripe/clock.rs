//! The simulator's time: the machine's, moved forward on request, so that days of retries and deadlines pass in a test.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// How many moves are remembered; only those that deliveries still wait behind matter.
const MOVES_KEPT: usize = 64;

/// How far ahead of the machine's time it is.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Moved>);

#[derive(Debug)]
struct Moved {
    ahead: Duration,
    /// From when to when, oldest first.
    moves: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Clock {
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0.lock().unwrap_or_else(PoisonError::into_inner).ahead
    }

    /// Time goes forward only, a century at most. False: it was to go elsewhere, and stands as it was.
    pub fn advance(&self, by: Duration) -> bool {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = moved.ahead.checked_add(&by).filter(|ahead| by > Duration::zero() && *ahead < Duration::days(36_500));
        let Some(ahead) = ahead else { return false };
        let now = Utc::now();
        let step = (now + moved.ahead, now + ahead);
        moved.ahead = ahead;
        if moved.moves.len() == MOVES_KEPT {
            moved.moves.remove(0);
        }
        moved.moves.push(step);
        true
    }

    /// What the clock showed when it had reached that time: the same time, or the end of the move that passed it.
    pub fn reached(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.moves.iter().find(|(from, to)| (*from..=*to).contains(&time)).map_or(time, |(_, to)| *to)
    }
}

impl Default for Moved {
    fn default() -> Self {
        Self { ahead: Duration::zero(), moves: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_forward_only() {
        let clock = Clock::default();
        let start = clock.now();
        assert!(clock.advance(Duration::hours(3)));
        assert!(!clock.advance(-Duration::hours(9)) && !clock.advance(Duration::MAX) && !clock.advance(Duration::zero()));
        let ahead = clock.now() - start;
        assert!(ahead >= Duration::hours(3) && ahead < Duration::hours(4));
        let (passed, later) = (start + Duration::hours(1), start + Duration::hours(5));
        assert!(clock.reached(passed) >= start + Duration::hours(3) && clock.reached(later) == later);
    }
}
