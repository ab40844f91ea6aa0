//! What makes a hundred thousand events quick to look through: their texts in one buffer, types and customers as numbers. It judges nothing.

use crate::domain::At;
use crate::domain::filter::{Fields, Filter};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::verdict::Verdict;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Made for one list of lines, and right for no other: [`Index::follow`] keeps it so. It holds them oldest first, so that what is new is put
/// behind them; what has left the range stays where it is until that is much.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Of every line, lower case: id, customer, subscription, and the object where it is another; each behind a [`GAP`].
    text: String,
    /// Where each line's text ends.
    ends: Vec<u32>,
    /// How many of the oldest have left the range.
    gone: usize,
    /// Every type there is, in the order of the alphabet, and each line's place among them.
    pub kinds: Vec<Arc<str>>,
    kind: Vec<u16>,
    /// Each line's customer, numbered in the order in which they come; nobody has the last number there is.
    customer: Vec<u32>,
    numbers: HashMap<StripeId, u32>,
    /// The newest of the lines.
    newest: Option<StripeId>,
}

/// The fields that a filter may name.
pub const FIELDS: &[&str] = &["type", "id", "customer", "object", "subscription", "verdict", "cause", "age"];

/// How the list is ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Sort {
    #[default]
    Newest,
    Oldest,
    /// What is missing first.
    Verdict,
    Kind,
    Customer,
}

/// What the list is put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum By {
    Kind,
    Customer,
    Verdict,
}

/// Events that are alike in what the list is put together by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bucket {
    /// The newest of them.
    pub first: u32,
    pub events: usize,
    pub failing: usize,
}

const GAP: char = '\u{1f}';
/// More new lines than that are as good as another list.
const NEW_AT_MOST: usize = 5_000;

impl Index {
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut index = Self::default();
        index.kinds = lines.iter().map(|l| &l.kind).collect::<BTreeSet<_>>().into_iter().cloned().collect();
        index.text.reserve(lines.len() * 80);
        index.add(lines);
        index
    }

    /// Makes it the index of these lines: where they are those of before, with new ones in front and without some of the oldest, at the
    /// price of what is new.
    pub fn follow(this: &mut Arc<Self>, lines: &[Line]) {
        let Some((new, gone)) = this.grown_to(lines) else {
            *this = Arc::new(Self::of(lines));
            return;
        };
        if new > 0 || gone != this.gone {
            let index = Arc::make_mut(this);
            index.gone = gone;
            index.add(&lines[..new]);
        }
    }

    /// How many of the lines are new, and how many of the oldest have gone altogether; `None`: it has to be made anew.
    fn grown_to(&self, lines: &[Line]) -> Option<(usize, usize)> {
        let known = self.newest.as_ref()?;
        let new = lines.iter().take(NEW_AT_MOST).position(|l| l.id == *known)?;
        let gone = (self.ends.len() + new).checked_sub(lines.len()).filter(|gone| *gone >= self.gone && *gone <= lines.len() / 4)?;
        // Had one come in between or gone from there, the oldest would stand elsewhere.
        let oldest = lines.last().filter(|_| gone < self.ends.len())?;
        let is_there = self.text_in(gone).split(GAP).nth(1).is_some_and(|id| id.eq_ignore_ascii_case(oldest.id.as_str()));
        (is_there && lines[..new].iter().all(|l| self.kinds.contains(&l.kind))).then_some((new, gone))
    }

    /// Puts lines behind those that are there.
    fn add(&mut self, newer: &[Line]) {
        for line in newer.iter().rev() {
            let place = self.kinds.iter().position(|k| *k == line.kind).unwrap_or_default();
            self.kind.push(u16::try_from(place).unwrap_or(u16::MAX));
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let number = line.customer.as_ref().map_or(u32::MAX, |c| match self.numbers.get(c) {
                Some(number) => *number,
                None => *self.numbers.entry(c.clone()).or_insert(next),
            });
            self.customer.push(number);
            let object = line.object.as_ref().filter(|o| line.subscription.as_ref() != Some(*o));
            for id in [Some(&line.id), line.customer.as_ref(), line.subscription.as_ref(), object] {
                self.text.push(GAP);
                self.text.extend(id.map_or("", StripeId::as_str).chars().map(|c| c.to_ascii_lowercase()));
            }
            self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        }
        if let Some(newest) = newer.first() {
            self.newest = Some(newest.id.clone());
        }
    }

    /// Where what is known of the line at this place of the list stands.
    fn slot(&self, at: usize) -> usize {
        self.ends.len() - 1 - at
    }

    /// The places of the lines that pass, from `from` on, in this order.
    #[must_use]
    pub fn chosen(&self, lines: &[Line], from: usize, filter: &Filter, sort: Sort, now: At) -> Vec<u32> {
        let passes = |i: &u32| {
            let at = usize::try_from(*i).unwrap_or(usize::MAX);
            filter.is_empty() || filter.accepts(&Entry { index: self, line: &lines[at], at, now })
        };
        let (from, to) = (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(lines.len()).unwrap_or(u32::MAX));
        let mut rows: Vec<u32> = (from..to).filter(passes).collect();
        let place = |i: u32| usize::try_from(i).unwrap_or(usize::MAX);
        match sort {
            Sort::Newest => {}
            Sort::Oldest => rows.reverse(),
            Sort::Verdict => rows.sort_by_key(|i| rank(lines[place(*i)].verdict)),
            Sort::Kind => rows.sort_by_key(|i| self.kind[self.slot(place(*i))]),
            // Those who came last first, nobody's last.
            Sort::Customer => rows.sort_by_key(|i| match self.customer[self.slot(place(*i))] {
                u32::MAX => u32::MAX,
                number => u32::MAX - 1 - number,
            }),
        }
        rows
    }

    /// Those rows put together, the ones with most failures first, then the largest.
    #[must_use]
    pub fn buckets(&self, lines: &[Line], rows: &[u32], by: By) -> Vec<Bucket> {
        let nobody = self.numbers.len();
        let size = match by {
            By::Kind => self.kinds.len(),
            By::Customer => nobody + 1,
            By::Verdict => VERDICTS.len(),
        };
        let mut buckets: Vec<Option<Bucket>> = vec![None; size];
        for row in rows {
            let at = usize::try_from(*row).unwrap_or(usize::MAX);
            let place = match by {
                By::Kind => usize::from(self.kind[self.slot(at)]),
                By::Customer => usize::try_from(self.customer[self.slot(at)]).unwrap_or(usize::MAX).min(nobody),
                By::Verdict => usize::from(rank(lines[at].verdict)),
            };
            let bucket = buckets[place].get_or_insert(Bucket { first: *row, events: 0, failing: 0 });
            bucket.first = bucket.first.min(*row);
            bucket.events += 1;
            bucket.failing += usize::from(lines[at].verdict.is_failure());
        }
        let mut buckets: Vec<Bucket> = buckets.into_iter().flatten().collect();
        buckets.sort_by_key(|b| (std::cmp::Reverse((b.failing, b.events)), b.first));
        buckets
    }

    fn text_of(&self, at: usize) -> &str {
        self.text_in(self.slot(at))
    }

    fn text_in(&self, at: usize) -> &str {
        let offset = |i: usize| usize::try_from(self.ends[i]).unwrap_or(usize::MAX);
        &self.text[if at == 0 { 0 } else { offset(at - 1) }..offset(at)]
    }
}

impl Sort {
    pub const ALL: [Sort; 5] = [Sort::Newest, Sort::Oldest, Sort::Verdict, Sort::Kind, Sort::Customer];

    /// How a title says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Sort::Newest => "newest first",
            Sort::Oldest => "oldest first",
            Sort::Verdict => "missing first",
            Sort::Kind => "by type",
            Sort::Customer => "by customer",
        }
    }
}

impl By {
    pub const ALL: [Option<By>; 4] = [None, Some(By::Kind), Some(By::Customer), Some(By::Verdict)];

    /// The field that a filter narrows to one of its buckets.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            By::Kind => "type",
            By::Customer => "customer",
            By::Verdict => "verdict",
        }
    }
}

/// The worst first.
const VERDICTS: [Verdict; 8] = [
    Verdict::Missing,
    Verdict::Contradicted,
    Verdict::Unknown,
    Verdict::NoSubject,
    Verdict::Settling,
    Verdict::Superseded,
    Verdict::Applied,
    Verdict::UnhandledType,
];

fn rank(verdict: Verdict) -> u8 {
    let place = VERDICTS.iter().position(|v| *v == verdict).expect("invariant: every verdict has a rank, a test sees to it");
    u8::try_from(place).expect("invariant: eight of them")
}

struct Entry<'a> {
    index: &'a Index,
    line: &'a Line,
    at: usize,
    now: At,
}

impl Fields for Entry<'_> {
    fn any(&self, needle: &str) -> bool {
        self.line.kind.contains(needle)
            || self.index.text_of(self.at).contains(needle)
            || self.line.verdict.word().contains(needle)
            || self.line.cause.is_some_and(|c| is_called(c, needle))
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        let part = |n: usize| self.index.text_of(self.at).split(GAP).nth(n).is_some_and(|text| text.contains(needle));
        match field {
            "type" => self.line.kind.contains(needle),
            "id" => part(1),
            "customer" => part(2),
            "subscription" => part(3),
            "object" if self.line.object == self.line.subscription => part(3),
            "object" => part(4),
            "verdict" => self.line.verdict.word().contains(needle),
            "cause" => self.line.cause.is_some_and(|c| is_called(c, needle)),
            _ => false,
        }
    }

    fn number(&self, field: Option<&str>) -> Option<i64> {
        field.is_none_or(|f| f == "age").then(|| (self.now - self.line.at).num_minutes())
    }
}

/// Words hold capitals where people write them so: `API version`, `TLS`.
fn is_called(cause: Cause, needle: &str) -> bool {
    let word = cause.word();
    word.contains(needle) || word.to_ascii_lowercase().contains(needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: i64, kind: &str) -> Line {
        let id = |text: String| StripeId::parse(&text).expect("an id");
        Line {
            id: id(format!("evt_Line{n:08}")),
            kind: kind.into(),
            at: At::from_timestamp(1_800_000_000 + n, 0).expect("in range"),
            object: None,
            customer: Some(id(format!("cus_Line{:08}", n % 7))),
            subscription: None,
            pending: false,
            verdict: Verdict::Applied,
            cause: None,
        }
    }

    /// Newest first.
    fn lines(from: i64, to: i64) -> Vec<Line> {
        (from..to).rev().map(|n| line(n, if n % 3 == 0 { "invoice.payment_failed" } else { "customer.subscription.updated" })).collect()
    }

    fn shows(index: &Index, lines: &[Line]) -> Vec<(Vec<u32>, Vec<Bucket>)> {
        let now = lines[0].at;
        let look = |text: &str, sort| {
            let rows = index.chosen(lines, 0, &Filter::parse(text), sort, now);
            let by = index.buckets(lines, &rows, By::Customer);
            (rows, by)
        };
        vec![
            look("", Sort::Newest),
            look("cus_line00000003", Sort::Oldest),
            look("type:invoice", Sort::Kind),
            look("!id:evt_line00000042", Sort::Verdict),
        ]
    }

    #[test]
    fn an_index_that_follows_shows_what_a_new_one_shows() {
        let mut index = Arc::new(Index::of(&lines(0, 100)));
        let mut late = lines(20, 130);
        late.insert(60, line(5_000, "invoice.payment_failed"));
        // New ones, none, old ones gone, both, one in between, an unheard-of type, far fewer, all others.
        let mut odd = lines(20, 131);
        odd.insert(0, line(200, "charge.refunded"));
        for list in
            [lines(0, 105), lines(0, 105), lines(10, 105), lines(20, 130), late, lines(20, 130), odd, lines(120, 131), lines(500, 600)]
        {
            Index::follow(&mut index, &list);
            assert_eq!(shows(&index, &list), shows(&Index::of(&list), &list));
        }
    }

    #[test]
    fn what_is_new_is_put_behind_what_is_there() {
        let index = Index::of(&lines(0, 100));
        assert_eq!(index.grown_to(&lines(10, 103)), Some((3, 10)));
        let mut late = lines(0, 101);
        late.insert(50, line(900, "invoice.payment_failed"));
        assert_eq!(index.grown_to(&late), None, "one has come in between");
        late.pop();
        assert_eq!(index.grown_to(&late), None, "and the oldest has gone");
    }
}
