//! What `status` and `check` say about a log: its format, how old its last line is, whether its clock is ours.

use super::check::Verdict;
use crate::domain::{At, age};
use crate::gateway::logs::{Format, Look};

/// From here on a clock is wrong, in seconds; below it is a line that was written late.
const WRONG: i64 = 60;
/// From here on Stripe's signatures are refused by a receiver with such a clock.
const REFUSES: i64 = 300;
/// Zones differ by multiples of this.
const ZONE: i64 = 15 * 60;

/// How it stands with the log, and what to do about it.
pub(super) fn judged(look: &Look, now: At) -> (Verdict, String) {
    let seen = match &look.seen {
        Ok(seen) => seen,
        Err(fault) => return (Verdict::Fail, fault.say.clone()),
    };
    let mut says = seen.format.word().to_string();
    if let Some(bytes) = seen.bytes {
        says += &format!(", {}", size(bytes));
    }
    if let Some(at) = seen.last {
        says += &match (now - at).num_seconds() {
            old @ 0.. => format!(", last line {} ago", age::rounded(old)),
            ahead => format!(", last line {} from now", age::rounded(-ahead)),
        };
    }
    let skew = seen.skew.filter(|s| s.abs() >= WRONG);
    if let Some(skew) = skew {
        let which = if skew > 0 { "ahead of" } else { "behind" };
        let off = format!("{says}; its clock is {} {which} ours", age::rounded(skew.abs()));
        let rest = skew.abs() % ZONE;
        if skew.abs() >= ZONE && (rest < 30 || ZONE - rest < 30) {
            return (Verdict::Warn, format!("{off}: its times seem to be of another zone; let it write UTC, or the zone with each time"));
        }
        let refuses = skew.abs() >= REFUSES;
        let effect = if refuses { "Stripe's signatures are refused there" } else { "times do not compare" };
        let verdict = if refuses { Verdict::Fail } else { Verdict::Warn };
        return (verdict, format!("{off}: {effect}; set it by NTP"));
    }
    match seen.format {
        Format::Json | Format::Plain | Format::Empty => (Verdict::Ok, says),
        Format::Untimed => (Verdict::Warn, format!("{says}: how old a line is cannot be told; let the application write the time")),
        Format::NotText => (Verdict::Warn, format!("{says}: is it the right file?")),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::logs::Seen;
    use chrono::{TimeDelta, Utc};

    #[test]
    fn a_clock_that_is_off_is_named() {
        let now = Utc::now();
        let look = |skew: i64| {
            let seen = Seen { format: Format::Json, last: Some(now + TimeDelta::seconds(skew)), skew: Some(skew), bytes: Some(12_345) };
            judged(&Look { name: "app.log".into(), seen: Ok(seen) }, now)
        };
        assert_eq!(look(-3), (Verdict::Ok, "JSON lines, 12 kB, last line 3 s ago".to_string()));
        let (verdict, says) = look(-600);
        assert!(verdict == Verdict::Fail && says.contains("its clock is 10 min behind ours"), "{says}");
        let (verdict, says) = look(610);
        assert!(verdict == Verdict::Fail && says.contains("last line 10 min from now; its clock is 10 min ahead of ours"), "{says}");
        assert_eq!(look(90).0, Verdict::Warn);
        let (verdict, says) = look(-3_605);
        assert!(verdict == Verdict::Warn && says.contains("another zone"), "{says}");
    }
}
