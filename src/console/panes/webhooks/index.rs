//! What makes a hundred thousand events quick to look through: their texts in one buffer, types and customers as numbers. It judges nothing.

use crate::domain::At;
use crate::domain::filter::{Fields, Filter};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::verdict::Verdict;
use std::collections::HashMap;
use std::sync::Arc;

/// Made for one list of lines, and right for no other: [`Index::follow`] sees to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Of every line, lower case: id, customer, subscription, and the object where it is another; each behind a [`GAP`].
    text: String,
    /// Where each line's text ends.
    ends: Vec<u32>,
    /// Every type there is, and each line's place among them.
    kinds: Vec<Arc<str>>,
    kind: Vec<u16>,
    /// The newest and the oldest of the lines.
    ends_of_list: Option<(StripeId, StripeId)>,
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

impl Index {
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut index = Self::default();
        index.add(lines);
        index.ends_of_list = ends(lines);
        index
    }

    /// Follows the list: what has come to its end is added, and only what has changed otherwise makes it anew. Lines only ever come
    /// and go at both ends or come in between, so length and ends name a list.
    pub fn follow(self: &mut Arc<Self>, lines: &[Line]) {
        let known = self.ends.len();
        let (first, last) = (lines.first(), known.checked_sub(1).and_then(|i| lines.get(i)));
        let grown = first.zip(last).is_some_and(|(f, l)| self.ends_of_list.as_ref().is_some_and(|(a, b)| *a == f.id && *b == l.id));
        if !grown {
            *self = Arc::new(Self::of(lines));
        } else if known < lines.len() {
            let index = Arc::make_mut(self);
            index.add(&lines[known..]);
            index.ends_of_list = ends(lines);
        }
    }

    fn add(&mut self, lines: &[Line]) {
        self.text.reserve(lines.len() * 80);
        for line in lines {
            let place = self.kinds.iter().position(|k| *k == line.kind).unwrap_or_else(|| {
                self.kinds.push(line.kind.clone());
                self.kinds.len() - 1
            });
            self.kind.push(u16::try_from(place).unwrap_or(u16::MAX));
            let object = line.object.as_ref().filter(|o| line.subscription.as_ref() != Some(*o));
            for id in [Some(&line.id), line.customer.as_ref(), line.subscription.as_ref(), object] {
                self.text.push(GAP);
                self.text.extend(id.map_or("", StripeId::as_str).chars().map(|c| c.to_ascii_lowercase()));
            }
            self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        }
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
            Sort::Kind => {
                let rank: Vec<usize> = self.kinds.iter().map(|k| self.kinds.iter().filter(|other| *other < k).count()).collect();
                rows.sort_by_key(|i| rank[usize::from(self.kind[place(*i)])]);
            }
            Sort::Customer => {
                let (customers, _) = customers(lines);
                rows.sort_by_key(|i| customers[place(*i)]);
            }
        }
        rows
    }

    /// Those rows put together, the ones with most failures first, then the largest.
    #[must_use]
    pub fn buckets(&self, lines: &[Line], rows: &[u32], by: By) -> Vec<Bucket> {
        let (customers, nobody) = if by == By::Customer { customers(lines) } else { (Vec::new(), 0) };
        let size = match by {
            By::Kind => self.kinds.len(),
            By::Customer => nobody + 1,
            By::Verdict => VERDICTS.len(),
        };
        let mut buckets: Vec<Option<Bucket>> = vec![None; size];
        for row in rows {
            let at = usize::try_from(*row).unwrap_or(usize::MAX);
            let place = match by {
                By::Kind => usize::from(self.kind[at]),
                By::Customer => usize::try_from(customers[at]).unwrap_or(usize::MAX).min(nobody),
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

/// Each line's customer, numbered in the order in which they come, and how many there are; those that name none come after all others.
fn customers(lines: &[Line]) -> (Vec<u32>, usize) {
    let mut met: HashMap<&str, u32> = HashMap::new();
    let mut numbers = Vec::with_capacity(lines.len());
    for line in lines {
        let next = u32::try_from(met.len()).unwrap_or(u32::MAX);
        numbers.push(line.customer.as_ref().map_or(u32::MAX, |c| *met.entry(c.as_str()).or_insert(next)));
    }
    (numbers, met.len())
}

fn ends(lines: &[Line]) -> Option<(StripeId, StripeId)> {
    Some((lines.first()?.id.clone(), lines.last()?.id.clone()))
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
