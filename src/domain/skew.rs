//! What is said of a clock that is off: this machine's, against Stripe's. Which clock is right is not asked: Stripe's counts.

use super::age;
use chrono::Duration;

/// From so many seconds on it is told.
const WORTH: i64 = 60;
/// A slow answer, and a date in whole seconds, look like a clock that is off by so many seconds.
const NOISE: i64 = 5;

/// What is added to our own time to have Stripe's; `ahead`: by how many seconds its clock was found to be ahead.
#[must_use]
pub fn correction(ahead: i64) -> Duration {
    Duration::seconds(if ahead.abs() < NOISE { 0 } else { ahead })
}

/// Far enough off to be told, in seconds.
#[must_use]
pub fn is_worth_saying(ahead: i64) -> bool {
    ahead.abs() >= WORTH
}

/// `This machine's clock is 10 min behind Stripe's`; `ahead`: by how many seconds Stripe's is ahead of ours.
#[must_use]
pub fn says(ahead: i64) -> Option<String> {
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    is_worth_saying(ahead).then(|| format!("This machine's clock is {} {side} Stripe's", age::rounded(ahead.abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_named_with_its_side() {
        for (ahead, expected) in [
            (0, None),
            (59, None),
            (-59, None),
            (61, Some("This machine's clock is 1 min behind Stripe's")),
            (600, Some("This machine's clock is 10 min behind Stripe's")),
            (-600, Some("This machine's clock is 10 min ahead of Stripe's")),
            (-7_300, Some("This machine's clock is 2 h ahead of Stripe's")),
            (400_000, Some("This machine's clock is 5 days behind Stripe's")),
        ] {
            assert_eq!(says(ahead).as_deref(), expected, "{ahead}");
        }
    }
}
