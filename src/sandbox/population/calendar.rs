//! Months on the Unix time line, for lists that weigh millions of boundaries: the Gregorian calendar alone, no time zone.

const DAY: i64 = 86_400;

/// The moment `months` after `start` (Unix seconds): on the same day of the month, or in the last second of a month that is too short.
pub fn months_after(start: i64, months: u32) -> i64 {
    let (year, month, day) = civil(start.div_euclid(DAY));
    let count = year * 12 + month - 1 + i64::from(months);
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    let last = days_in(year, month);
    if day <= last { days(year, month, day) * DAY + start.rem_euclid(DAY) } else { days(year, month, last) * DAY + DAY - 1 }
}

/// Year and month (from 1) of a moment, counted in months since the year 0.
pub fn month_count(at: i64) -> i64 {
    let (year, month, _) = civil(at.div_euclid(DAY));
    year * 12 + month - 1
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date. Years begin in March here, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted - era * 146_097;
    let of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, Months};

    use super::*;

    #[test]
    fn it_agrees_with_the_calendar_crate() {
        // Every day of eleven years around two leap years, each at another second.
        for day in 0..4_018_i64 {
            let at = 1_577_836_800 + day * DAY + (day * 7_919) % DAY;
            let start = DateTime::from_timestamp(at, 0).unwrap();
            assert_eq!(month_count(at), i64::from(start.year()) * 12 + i64::from(start.month()) - 1);
            for months in [0, 1, 2, 11, 12, 13, 24, 25] {
                let same = start.checked_add_months(Months::new(months)).unwrap();
                let short = same.day() != start.day();
                let expected = if short { same.date_naive().and_hms_opt(23, 59, 59).unwrap().and_utc() } else { same };
                assert_eq!(months_after(at, months), expected.timestamp(), "{start} and {months} months");
            }
        }
    }
}
