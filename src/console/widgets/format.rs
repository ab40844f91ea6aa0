//! How ages, moments and counts read on screen: coarse where nobody needs better, so that nothing moves without meaning.

use crate::domain::At;
use crate::domain::age::short;
use crate::domain::fault::FaultKind;
use crate::protocol::freshness::{Freshness, Health};

/// An age in seconds, in steps: `0s`, `10s` … `50s`, `1m` … `59m`, `1h`, `3d`.
#[must_use]
pub fn age(seconds: i64) -> String {
    short(if seconds < 60 { seconds / 10 * 10 } else { seconds })
}

/// The same to the second below a minute, for what is overdue.
#[must_use]
pub fn exact_age(seconds: i64) -> String {
    short(seconds)
}

/// `03:12Z`.
#[must_use]
pub fn clock(at: At) -> String {
    at.format("%H:%MZ").to_string()
}

/// `22 Dec 02:44Z`, with the year where it is not this one.
#[must_use]
pub fn moment(at: At, now: At) -> String {
    let same_year = at.format("%Y").to_string() == now.format("%Y").to_string();
    at.format(if same_year { "%-d %b %H:%MZ" } else { "%-d %b %Y %H:%MZ" }).to_string()
}

/// A source's state in the status line: `db 10s`, `stripe STALE 23s`, `log not set up`.
#[must_use]
pub fn source(freshness: &Freshness, now: At) -> String {
    let word = freshness.source.word();
    let age_now = freshness.age(now);
    match freshness.health(now) {
        Health::NotSetUp => format!("{word} not set up"),
        Health::Connecting => format!("{word} …"),
        // Nobody was there when it was asked last, whatever it answered a moment before.
        Health::Ok if freshness.last_fault.as_ref().is_none_or(|f| f.kind != FaultKind::Unreachable) => format!("{word} {}", age(age_now)),
        // What has never answered has grown no older.
        Health::Ok | Health::Stale if freshness.last_good.is_none() => format!("{word} no answer {}", exact_age(age_now)),
        Health::Ok | Health::Stale => format!("{word} STALE {}", exact_age(age_now)),
        Health::Down => format!("{word} DOWN {}", exact_age(age_now)),
        Health::Auth => format!("{word} AUTH"),
        Health::Limit => format!("{word} LIMIT"),
        Health::Full => format!("{word} FULL"),
    }
}

/// `1 customer`, `14 customers`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    let figure = crate::domain::money::group(n as u64);
    format!("{figure} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_step_by_ten_seconds_and_then_by_minutes() {
        let shown: Vec<_> = [0, 9, 10, 59, 60, 119, 3_599, 3_600, 200_000].iter().map(|s| age(*s)).collect();
        assert_eq!(shown, ["0s", "0s", "10s", "50s", "1m", "1m", "59m", "1h", "2d"]);
        assert_eq!(exact_age(23), "23s");
    }
}
