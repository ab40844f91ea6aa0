//! The order in which Home's findings stand: ranks that flutter change nothing, and the selection stays on what it stands on. Ranks nothing itself.

use crate::domain::findings::{About, Finding};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Since when another order than the one that is shown would be right, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    otherwise_since: Option<u64>,
}

/// Another order is shown once it has been right for so long, in milliseconds: what is still being read moves ranks to and fro.
const SETTLES_AFTER: u64 = 5_000;

impl Order {
    /// The findings, worst first, in the order to show them in; `shown` is how they stand now. A word that has changed counts at once.
    pub fn settle(&mut self, shown: &[Finding], ranked: Vec<Finding>, tick: u64) -> Vec<Finding> {
        let before: Vec<Option<usize>> = ranked.iter().map(|f| place(shown, f)).collect();
        let kept = |i: usize| before[i].filter(|at| shown[*at].word == ranked[i].word);
        let known: Vec<usize> = (0..ranked.len()).filter_map(kept).collect();
        if known.is_sorted() {
            self.otherwise_since = None;
            return ranked;
        }
        let since = *self.otherwise_since.get_or_insert(tick);
        if tick.saturating_sub(since) >= SETTLES_AFTER {
            self.otherwise_since = None;
            return ranked;
        }
        let places: Vec<usize> = (0..ranked.len()).map(|i| kept(i).unwrap_or(usize::MAX)).collect();
        let mut all: Vec<(usize, Finding)> = places.into_iter().zip(ranked).collect();
        all.sort_by_key(|(place, f)| (std::cmp::Reverse(f.word), *place));
        all.into_iter().map(|(_, f)| f).collect()
    }
}

/// Where the finding stands among these, whatever it counts by now: about customers it is the one that shares most of them.
pub fn place(among: &[Finding], finding: &Finding) -> Option<usize> {
    // There may be thousands of them, and this is asked after every answer.
    let sought: HashSet<_> = if let About::Customers(of) = &finding.about { of.iter().collect() } else { HashSet::new() };
    let likeness = |other: &Finding| match (&other.about, &finding.about) {
        (About::Customers(a), About::Customers(_)) => a.iter().filter(|c| sought.contains(c)).count(),
        (About::Webhooks { .. }, About::Webhooks { .. }) => 1,
        (a, b) => usize::from(a == b),
    };
    let alike = among.iter().enumerate().map(|(i, f)| (likeness(f), i)).filter(|(n, _)| *n > 0);
    alike.max_by_key(|(n, i)| (*n, std::cmp::Reverse(*i))).map(|(_, i)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::Word;
    use crate::domain::ids::StripeId;

    fn about(name: &str, word: Word) -> Finding {
        let customer = StripeId::parse(&format!("cus_{name}00000000")).expect("an id");
        Finding {
            word,
            sentence: name.into(),
            size: String::new(),
            reason: String::new(),
            about: About::Customers(vec![customer]),
            evidence: Vec::new(),
        }
    }

    fn names(of: &[Finding]) -> Vec<&str> {
        of.iter().map(|f| f.sentence.as_str()).collect()
    }

    #[test]
    fn what_swaps_for_a_moment_stays_and_what_stays_swapped_moves() {
        let (a, b, c) = (about("Aa", Word::Fail), about("Bb", Word::Fail), about("Cc", Word::Warn));
        let mut order = Order::default();
        let shown = order.settle(&[], vec![a.clone(), b.clone(), c.clone()], 0);
        let swapped = vec![b.clone(), a.clone(), c.clone()];
        let held = order.settle(&shown, swapped.clone(), 1_000);
        assert_eq!(names(&held), ["Aa", "Bb", "Cc"]);
        let back = order.settle(&held, shown.clone(), 2_000);
        let held = order.settle(&back, swapped.clone(), 6_500);
        assert_eq!(names(&held), ["Aa", "Bb", "Cc"], "it went back meanwhile");
        let held = order.settle(&held, swapped.clone(), 11_499);
        assert_eq!(names(&held), ["Aa", "Bb", "Cc"]);
        assert_eq!(names(&order.settle(&held, swapped, 11_500)), ["Bb", "Aa", "Cc"]);
    }

    #[test]
    fn a_worse_word_goes_up_at_once_and_a_new_finding_stands_among_its_like() {
        let (a, b) = (about("Aa", Word::Warn), about("Bb", Word::Warn));
        let mut order = Order::default();
        let shown = order.settle(&[], vec![a.clone(), b.clone()], 0);
        let worse = Finding { word: Word::Fail, ..b };
        let shown = order.settle(&shown, vec![worse.clone(), a.clone()], 1_000);
        assert_eq!(names(&shown), ["Bb", "Aa"]);
        let new = about("Nn", Word::Fail);
        assert_eq!(names(&order.settle(&shown, vec![new, worse, a], 2_000)), ["Nn", "Bb", "Aa"]);
    }
}
