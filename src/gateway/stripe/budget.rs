//! The rate at which background work may ask Stripe. Interactive reads do not wait here.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// An even pace: each slot lies one interval after the last one that was given out.
pub struct Budget {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Budget {
    pub fn per_second(n: u32) -> Self {
        Self { interval: Duration::from_secs(1) / n.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next slot.
    pub async fn slot(&self) {
        let at = take(&mut *self.next.lock().await, Instant::now(), self.interval);
        sleep_until(at).await;
    }

    /// Gives way for a while: Stripe said that it is too much.
    pub async fn back_off(&self, pause: Duration) {
        let mut next = self.next.lock().await;
        *next = (*next).max(Instant::now() + pause);
    }
}

/// Gives out the next slot: now, or when the last one is an interval old. Unused time is not saved up.
fn take(next: &mut Instant, now: Instant, interval: Duration) -> Instant {
    let at = (*next).max(now);
    *next = at + interval;
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_at_an_even_pace_and_are_not_saved_up() {
        let (start, fifth) = (Instant::now(), Duration::from_millis(200));
        let mut next = start;
        let given: Vec<_> = (0..4).map(|_| (take(&mut next, start, fifth) - start).as_millis()).collect();
        assert_eq!(given, [0, 200, 400, 600]);
        let later = start + Duration::from_secs(60);
        assert_eq!(take(&mut next, later, fifth), later);
        assert_eq!(take(&mut next, later, fifth), later + fifth);
    }
}
