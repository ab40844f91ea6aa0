//! Billing periods: the boundaries that a price's interval makes from an anchor on. It bills nothing.

use chrono::DateTime;
use serde_json::Value;

use super::catalog::Period;

/// The first boundary after a moment, in Unix seconds; the anchor itself is one.
pub fn boundary_after(anchor: i64, price: &Value, at: i64) -> i64 {
    let Some(start) = DateTime::from_timestamp(anchor, 0).filter(|_| at >= anchor) else { return anchor };
    let period = Period::of(price);
    let boundary = |count: u32| period.after(start, count).timestamp();
    // No period is longer than its first one by more than three days in a month: that many steps have passed at least.
    let longest = (boundary(1) - anchor) / 28 * 31 + 1;
    let mut count = u32::try_from((at - anchor) / longest).unwrap_or(u32::MAX);
    loop {
        count += 1;
        let end = boundary(count);
        if end > at {
            return end;
        }
    }
}

/// Whether two prices are billed in the same rhythm.
pub fn same_interval(a: &Value, b: &Value) -> bool {
    ["interval", "interval_count"].iter().all(|part| a["recurring"][*part] == b["recurring"][*part])
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::json;

    use super::*;

    fn at(year: i32, month: u32, day: u32) -> i64 {
        Utc.with_ymd_and_hms(year, month, day, 10, 0, 0).unwrap().timestamp()
    }

    fn price(interval: &str, count: i64) -> Value {
        json!({ "recurring": { "interval": interval, "interval_count": count } })
    }

    #[test]
    fn boundaries_keep_to_the_anchor() {
        let anchor = at(2026, 1, 15);
        for (interval, count, after, expected) in [
            ("month", 1, anchor, at(2026, 2, 15)),
            ("month", 1, at(2027, 3, 14), at(2027, 3, 15)),
            ("month", 1, at(2027, 3, 15), at(2027, 4, 15)),
            ("month", 3, at(2026, 5, 1), at(2026, 7, 15)),
            ("year", 1, at(2026, 5, 1), at(2027, 1, 15)),
            ("week", 1, anchor, at(2026, 1, 22)),
            ("week", 2, at(2026, 1, 30), at(2026, 2, 12)),
            ("day", 1, anchor + 1, at(2026, 1, 16)),
            ("month", 1, at(2026, 1, 1), anchor),
        ] {
            assert_eq!(boundary_after(anchor, &price(interval, count), after), expected, "{count} {interval}");
        }
    }

    #[test]
    fn a_short_month_does_not_shorten_the_next() {
        let anchor = at(2026, 1, 31);
        let february = boundary_after(anchor, &price("month", 1), anchor);
        assert_eq!(Utc.timestamp_opt(february, 0).unwrap().date_naive().to_string(), "2026-02-28");
        assert_eq!(boundary_after(anchor, &price("month", 1), february), at(2026, 3, 31));
    }
}
