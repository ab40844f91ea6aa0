//! How long something has been so, in words: one form for sentences, one for columns. Everybody who says an age says it with these.

/// For a sentence: `12 s`, `14 min`, `3 h`, `2 days`. Less than none is none.
#[must_use]
pub fn words(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

/// The same to the nearest, for what was measured and is not exact: 597 seconds are ten minutes.
#[must_use]
pub fn rounded(seconds: i64) -> String {
    words(match seconds.max(0) {
        s @ 0..60 => s,
        s @ 60..7_170 => (s + 30) / 60 * 60,
        s @ 7_170..171_000 => (s + 1_800) / 3_600 * 3_600,
        s => (s + 43_200) / 86_400 * 86_400,
    })
}

/// For a column, where every cell counts: `12s`, `14m`, `3h`, `2d`.
#[must_use]
pub fn short(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_people_say_them() {
        assert_eq!([-5, 12, 119, 840, 7_199, 10_800, 200_000].map(words), ["0 s", "12 s", "1 min", "14 min", "119 min", "3 h", "2 days"]);
        assert_eq!([12, 597, 7_180, 7_300, 400_000].map(rounded), ["12 s", "10 min", "2 h", "2 h", "5 days"]);
        assert_eq!([-5, 12, 119, 840, 7_199, 10_800, 200_000].map(short), ["0s", "12s", "1m", "14m", "1h", "3h", "2d"]);
    }
}
