//! Payments of an hour against the same hour a week before: whether fewer of them succeed than chance explains.

use serde::{Deserialize, Serialize};

/// Payments of a span of time, by how they ended. Those still pending are in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments {
    pub succeeded: u32,
    pub failed: u32,
    /// All of that time; otherwise the newest, as many as are read: their share is a sample of the hour's.
    pub complete: bool,
}

/// So many failures are somebody's bad cards, whatever their share.
const FEW: u32 = 5;
/// The least fall of the share that succeeds.
const FALL: f64 = 0.2;
/// Standard deviations by which the shares must differ: with a look every few minutes, chance does it less than once a month.
const DEVIATIONS: f64 = 4.0;

impl Payments {
    #[must_use]
    pub fn all(&self) -> u32 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The share that succeeded; `None` where there was nothing to pay.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.all() > 0).then(|| f64::from(self.succeeded) / f64::from(self.all()))
    }

    /// Payments fail now that would have succeeded a week ago: by a fifth of all, and by more than chance explains.
    #[must_use]
    pub fn fell_from(&self, then: &Payments) -> bool {
        let (Some(now_share), Some(then_share)) = (self.share(), then.share()) else { return false };
        if self.failed < FEW || then.all() < FEW || then_share - now_share < FALL {
            return false;
        }
        let (n, m) = (f64::from(self.all()), f64::from(then.all()));
        let pooled = f64::from(self.succeeded + then.succeeded) / (n + m);
        let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        deviation > 0.0 && (then_share - now_share) / deviation >= DEVIATIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(succeeded: u32, failed: u32) -> Payments {
        Payments { succeeded, failed, complete: true }
    }

    #[test]
    fn only_a_fall_that_chance_does_not_explain_is_one() {
        assert!(paid(40, 40).fell_from(&paid(80, 5)));
        assert!(paid(0, 12).fell_from(&paid(30, 1)), "nothing succeeds any more");
        for (now, then) in [
            (paid(0, 0), paid(80, 5)),
            (paid(2, 4), paid(80, 5)),
            (paid(4, 6), paid(6, 4)),
            (paid(80, 10), paid(80, 5)),
            (paid(0, 6), paid(4, 0)),
            (paid(80, 5), paid(40, 40)),
        ] {
            assert!(!now.fell_from(&then), "{now:?} after {then:?}");
        }
        let newest = |paid: Payments| Payments { complete: false, ..paid };
        assert!(newest(paid(200, 100)).fell_from(&newest(paid(290, 10))), "the newest of a busy hour tell as much");
    }
}
