//! Many words looked for at once, whatever their case: fast enough that a gigabyte of log costs about a second.

/// The words, ready to be looked for. None at all: every line holds them.
pub struct Needles {
    all: Vec<Vec<u8>>,
    /// The shortest word's length: how much of each the window looks at.
    least: usize,
    /// How far a pair of bytes at the window's end lets it go on; 0: look closer. (Wu and Manber's table.)
    shift: Vec<u8>,
}

impl Needles {
    pub fn new(words: &[String]) -> Self {
        let all: Vec<Vec<u8>> = words.iter().filter(|w| !w.is_empty()).map(|w| w.to_ascii_lowercase().into_bytes()).collect();
        let least = all.iter().map(Vec::len).min().unwrap_or(0).min(usize::from(u8::MAX));
        let mut shift = Vec::new();
        if least >= 2 {
            shift = vec![step(least - 1); 1 << 16];
            for word in &all {
                for end in 1..least {
                    let far = step(least - 1 - end);
                    for first in cases(word[end - 1]) {
                        for second in cases(word[end]) {
                            let entry = &mut shift[pair(first, second)];
                            *entry = far.min(*entry);
                        }
                    }
                }
            }
        }
        Self { all, least, shift }
    }

    /// Whether every line is wanted.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How far the longest word reaches.
    pub fn longest(&self) -> usize {
        self.all.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Where the first word at or behind `from` begins.
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let here = |at: usize| self.all.iter().any(|w| text.get(at..at + w.len()).is_some_and(|t| t.eq_ignore_ascii_case(w)));
        if self.least < 2 {
            return (from..text.len()).find(|&at| self.is_empty() || here(at));
        }
        let mut end = from + self.least - 1;
        while end < text.len() {
            match self.shift[pair(text[end - 1], text[end])] {
                0 if here(end + 1 - self.least) => return Some(end + 1 - self.least),
                0 => end += 1,
                far => end += usize::from(far),
            }
        }
        None
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

fn cases(byte: u8) -> [u8; 2] {
    [byte, byte.to_ascii_uppercase()]
}

fn step(far: usize) -> u8 {
    u8::try_from(far).expect("invariant: at most 255 bytes are looked at")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needles(words: &[&str]) -> Needles {
        Needles::new(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn case_does_not_matter_and_nothing_is_found_in_nothing() {
        let n = needles(&["webhook", "evt_"]);
        assert_eq!(n.find(b"a WebHook for EVT_1", 0), Some(2));
        assert_eq!(n.find(b"a WebHook for EVT_1", 3), Some(14));
        assert_eq!((n.find(b"", 0), n.find(b"web", 0), n.find(b"webhook", 1)), (None, None, None));
        assert_eq!(needles(&["x"]).find(b"abX", 0), Some(2));
        assert_eq!(needles(&[]).find(b"abc", 1), Some(1));
    }

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(text in "[abAB_]{0,60}", words in proptest::collection::vec("[ab_]{1,5}", 1..4), from in 0usize..20) {
            let lower = text.to_lowercase();
            let plain = (from..text.len()).find(|&at| words.iter().any(|w| lower[at..].starts_with(w.as_str())));
            let found = Needles::new(&words).find(text.as_bytes(), from);
            prop_assert_eq!(found, plain);
        }
    }
}
