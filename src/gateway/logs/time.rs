//! Times as logs write them: ISO 8601 and RFC 3339, syslog and journald, nginx and Apache, Unix epochs. A time without a zone is read as UTC.

use crate::domain::At;
use chrono::{Datelike, Duration, FixedOffset, NaiveDate, TimeZone, Utc};
use std::ops::Range;

/// A time that stands further back in a line than this is part of its words.
const WITHIN: usize = 96;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The first time in the line, and where it stands. `now` gives the year to formats that have none.
pub fn find(line: &str, now: At) -> Option<(At, Range<usize>)> {
    let bytes = line.as_bytes();
    (0..bytes.len().min(WITHIN))
        .filter(|&i| i == 0 || matches!(bytes[i - 1], b' ' | b'[' | b'(' | b'=' | b'"' | b'|' | b'\t' | b'>'))
        .filter(|&i| bytes[i].is_ascii_alphanumeric())
        .find_map(|i| line.get(i..).and_then(|rest| leading(rest, now)).map(|(at, length)| (at, i..i + length)))
}

/// The time that the text begins with, and its length.
pub fn leading(text: &str, now: At) -> Option<(At, usize)> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    let at = match text.as_bytes().first()? {
        b'0'..=b'9' => scan.digits_first()?,
        _ => scan.month_first(now)?,
    };
    Some((at, scan.at))
}

/// The time that a number is, whichever unit it counts in since 1970.
pub fn epoch(number: f64) -> Option<At> {
    let seconds = match number.abs() {
        n if n >= 1e17 => number / 1e9,
        n if n >= 1e14 => number / 1e6,
        n if n >= 1e11 => number / 1e3,
        _ => number,
    };
    // 2001 to 2100: other numbers count something else.
    if !(1e9..4.1e9).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within this century")]
    At::from_timestamp_millis((seconds * 1e3).round() as i64)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// `2026-11-22T02:41:07.123Z`, `2026/11/22 02:41:07`, `22/Nov/2026:02:41:07 +0000`, `1763779267.123`.
    fn digits_first(&mut self) -> Option<At> {
        let digits = self.run();
        match (digits, self.bytes.get(digits).copied()?) {
            (4, b'-' | b'/') => {
                let year = i32::try_from(self.number(4)?).ok()?;
                self.any(b"-/")?;
                let month = self.number(2)?;
                self.any(b"-/")?;
                let day = self.number(2)?;
                self.any(b"T_t ")?;
                let date = NaiveDate::from_ymd_opt(year, month, day)?;
                self.clock_and_zone(date)
            }
            (1 | 2, b'/') => {
                let day = self.number(digits)?;
                self.any(b"/")?;
                let month = self.month()?;
                self.any(b"/")?;
                let year = i32::try_from(self.number(4)?).ok()?;
                self.any(b": ")?;
                let date = NaiveDate::from_ymd_opt(year, month, day)?;
                self.clock_and_zone(date)
            }
            (10 | 13 | 16 | 19, b' ' | b'.' | b'\t' | b']' | b'"' | b',') => {
                let end = self.bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(self.bytes.len());
                let text = std::str::from_utf8(&self.bytes[..end]).ok()?.trim_end_matches('.');
                self.at = text.len();
                epoch(text.parse().ok()?)
            }
            _ => None,
        }
    }

    /// `Nov 22 02:41:07`, `Sun Nov 22 02:41:07.123 2026`, `Sun, 22 Nov 2026 02:41:07 GMT`.
    fn month_first(&mut self, now: At) -> Option<At> {
        let word = self.word()?;
        if WEEKDAYS.contains(&word.as_str()) {
            self.at += 3;
            let _ = self.any(b",");
            self.spaces()?;
            if self.peek()?.is_ascii_digit() {
                let day = self.number(self.run().min(2))?;
                self.spaces()?;
                let month = self.month()?;
                self.spaces()?;
                let year = i32::try_from(self.number(4)?).ok()?;
                self.spaces()?;
                let date = NaiveDate::from_ymd_opt(year, month, day)?;
                return self.clock_and_zone(date);
            }
        }
        let month = self.month()?;
        self.spaces()?;
        let day = self.number(self.run().min(2))?;
        self.spaces()?;
        let begun = self.at;
        if self.run() == 4 {
            let year = i32::try_from(self.number(4)?).ok()?;
            self.spaces()?;
            return self.clock_and_zone(NaiveDate::from_ymd_opt(year, month, day)?);
        }
        self.at = begun;
        // The last such day that is not still to come; a day ahead may be a clock's or a zone's fault.
        let of_year = |year: i32| NaiveDate::from_ymd_opt(year, month, day);
        let this = of_year(now.year()).filter(|d| *d <= now.date_naive() + Duration::days(2));
        let at = self.clock_and_zone(this.or_else(|| of_year(now.year() - 1))?)?;
        let after = self.at;
        if self.spaces().is_some() && self.run() == 4 && !matches!(self.bytes.get(self.at + 4), Some(b'-' | b':' | b'/')) {
            let year = i32::try_from(self.number(4)?).ok()?;
            if (2000..2100).contains(&year) {
                return at.with_year(year);
            }
        }
        self.at = after;
        Some(at)
    }

    fn clock_and_zone(&mut self, date: NaiveDate) -> Option<At> {
        let hour = self.number(self.run().min(2))?;
        self.any(b":")?;
        let minute = self.number(2)?;
        let mut second = 0;
        let mut nanos = 0;
        if self.any(b":").is_some() {
            second = self.number(2)?;
            let begun = self.at;
            if self.any(b".,").is_some() {
                let digits = self.run();
                if digits == 0 {
                    self.at = begun;
                } else {
                    let shown = digits.min(9);
                    nanos = self.number(shown)? * 10u32.pow(u32::try_from(9 - shown).ok()?);
                    self.at += digits - shown;
                }
            }
        }
        // A leap second is the second after it.
        let naive = date.and_hms_nano_opt(hour, minute, second.min(59), nanos)?;
        let offset = self.zone();
        Some(offset.from_local_datetime(&naive).single()?.with_timezone(&Utc))
    }

    /// `Z`, `+01:00`, ` +0100`, ` UTC`; nothing is UTC.
    fn zone(&mut self) -> FixedOffset {
        let utc = FixedOffset::east_opt(0).expect("invariant: zero is an offset");
        let begun = self.at;
        if self.any(b"Zz").is_some() {
            return utc;
        }
        let _ = self.any(b" ");
        let sign = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => {
                let named = ["UTC", "GMT"].iter().any(|z| self.bytes[self.at..].starts_with(z.as_bytes()));
                self.at = if named { self.at + 3 } else { begun };
                return utc;
            }
        };
        self.at += 1;
        let offset = (|| {
            let hours = i32::try_from(self.number(2)?).ok()?;
            let _ = self.any(b":");
            let minutes = if self.run() >= 2 { i32::try_from(self.number(2)?).ok()? } else { 0 };
            FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))
        })();
        offset.unwrap_or_else(|| {
            self.at = begun;
            utc
        })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// How many digits follow.
    fn run(&self) -> usize {
        self.bytes[self.at.min(self.bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count()
    }

    fn number(&mut self, digits: usize) -> Option<u32> {
        let text = self.bytes.get(self.at..self.at + digits).filter(|t| !t.is_empty())?;
        let number = std::str::from_utf8(text).ok()?.parse().ok()?;
        self.at += digits;
        Some(number)
    }

    fn any(&mut self, of: &[u8]) -> Option<()> {
        of.contains(self.bytes.get(self.at)?).then(|| self.at += 1)
    }

    fn spaces(&mut self) -> Option<()> {
        let n = self.bytes[self.at.min(self.bytes.len())..].iter().take_while(|b| **b == b' ').count();
        self.at += n;
        (n > 0).then_some(())
    }

    /// Three letters, in lower case.
    fn word(&self) -> Option<String> {
        let text = self.bytes.get(self.at..self.at + 3)?;
        std::str::from_utf8(text).ok().map(str::to_ascii_lowercase)
    }

    fn month(&mut self) -> Option<u32> {
        let word = self.word()?;
        let index = MONTHS.iter().position(|m| *m == word)?;
        self.at += 3;
        u32::try_from(index + 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> At {
        Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap()
    }

    fn found(line: &str) -> Option<String> {
        find(line, now()).map(|(at, _)| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }

    #[test]
    fn the_usual_formats_are_read() {
        for line in [
            "2026-11-22T02:41:07.250Z GET /",
            "2026-11-22T02:41:07.250123456Z {\"level\":50}",
            "2026-11-22 02:41:07,250 ERROR in app",
            "[2026-11-22 03:41:07.250 +0100] ERROR (12): x",
            "2026-11-22T03:41:07.250+01:00 x",
            "INFO 2026/11/22 02:41:07.25 x",
            "time=\"2026-11-22T02:41:07.250Z\" level=error msg=x",
            "1795315267.250 x",
            "1795315267250 x",
            "[Sun Nov 22 02:41:07.250 2026] [error] x",
        ] {
            assert_eq!(found(line).as_deref(), Some("2026-11-22T02:41:07.250Z"), "{line}");
        }
        for line in [
            "Nov 22 02:41:07 host api[12]: x",
            "<134>Nov 22 02:41:07 host api: x",
            "10.0.0.1 - - [22/Nov/2026:02:41:07 +0000] \"POST /webhooks HTTP/1.1\" 200 2",
            "Sun, 22 Nov 2026 02:41:07 GMT x",
            "2026/11/22 02:41:07 [error] 12#0: x",
        ] {
            assert_eq!(found(line).as_deref(), Some("2026-11-22T02:41:07.000Z"), "{line}");
        }
    }

    #[test]
    fn a_day_without_a_year_is_the_last_such_day() {
        assert_eq!(found("Dec 31 23:59:59 host x").as_deref(), Some("2025-12-31T23:59:59.000Z"));
        assert_eq!(found("Nov  3 01:00:00 host x").as_deref(), Some("2026-11-03T01:00:00.000Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in
            ["", "4", "1234567890", "2026-13-45T99:99:99Z x", "Maybe 22 things", "v2026-11", "99/Nov/2026:99", "ünïcode 12:00", "Nov"]
        {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn epochs_are_told_by_their_size() {
        for n in [1_795_315_267.0, 1_795_315_267_000.0, 1_795_315_267_000_000.0, 1_795_315_267_000_000_000.0] {
            assert_eq!(epoch(n).map(|a| a.timestamp()), Some(1_795_315_267), "{n}");
        }
        assert_eq!((epoch(50.0), epoch(f64::NAN), epoch(-1.0)), (None, None, None));
    }
}
