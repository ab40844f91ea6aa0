//! What makes a hundred thousand events quick to look through: their texts in one buffer, types and customers as numbers. It judges nothing.

use crate::domain::At;
use crate::domain::filter::{Fields, Filter};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::Remedy;
use crate::domain::webhooks::feed::{Group, Line};
use crate::domain::webhooks::verdict::Verdict;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// Made for one list of lines, and right for no other: [`Index::follow`] keeps it so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// What is known of each line, in the order of the list.
    places: VecDeque<Place>,
    /// The lines' texts in the order in which they came, lower case: id, customer, subscription, and the object where it is another, with a
    /// [`GAP`] between them. What the line itself tells without a look elsewhere is not in it.
    text: String,
    /// So much of it belongs to lines that have left the range.
    dead: usize,
    /// Every type there is, in the order in which they came.
    kinds: Vec<Arc<str>>,
    /// Of each line, and how many there are. Made where it is asked for, since most of the time nobody does, and held until the lines are
    /// others.
    customers: OnceLock<(Vec<u32>, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    text: u32,
    length: u16,
    /// Its type's place among them.
    kind: u16,
}

/// The fields that a filter may name.
pub const FIELDS: &[&str] = &["type", "id", "customer", "object", "subscription", "verdict", "cause", "fix", "age"];

/// What helps each event that lacks its effect, as a filter names it.
pub type Fixes<'a> = HashMap<&'a StripeId, Rc<str>>;

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
        index.places.reserve_exact(lines.len());
        lines.iter().for_each(|line| index.put_behind(line));
        index
    }

    /// Makes it the index of these lines: where they are those of before, with new ones in front, older ones behind, or without some of the
    /// oldest, at the price of what has changed.
    pub fn follow(this: &mut Arc<Self>, lines: &[Line]) {
        let Some((new, kept)) = this.grown_to(lines) else {
            *this = Arc::new(Self::of(lines));
            return;
        };
        if new == 0 && kept == this.places.len() && kept == lines.len() {
            return;
        }
        let index = Arc::make_mut(this);
        index.customers = OnceLock::new();
        index.dead += index.places.range(kept..).map(|p| usize::from(p.length)).sum::<usize>();
        index.places.truncate(kept);
        lines[..new].iter().rev().for_each(|line| index.put_in_front(line));
        lines[new + kept..].iter().for_each(|line| index.put_behind(line));
        // What has left stays where it is until that is much.
        if index.dead > index.text.len() / 4 {
            *index = Self::of(lines);
        }
    }

    /// How many of the lines are new in front, and how many of those that are known follow them; `None`: it has to be made anew.
    fn grown_to(&self, lines: &[Line]) -> Option<(usize, usize)> {
        let is = |at: usize, line: &Line| self.part(at, 0).is_some_and(|id| id.eq_ignore_ascii_case(line.id.as_str()));
        if self.places.is_empty() {
            return None;
        }
        let new = lines.iter().take(NEW_AT_MOST).position(|l| is(0, l))?;
        let kept = self.places.len().min(lines.len() - new);
        // Had one come in between or gone from there, the last of them would stand elsewhere.
        is(kept - 1, &lines[new + kept - 1]).then_some((new, kept))
    }

    fn put_in_front(&mut self, line: &Line) {
        let place = self.write(line);
        self.places.push_front(place);
    }

    fn put_behind(&mut self, line: &Line) {
        let place = self.write(line);
        self.places.push_back(place);
    }

    fn write(&mut self, line: &Line) -> Place {
        let kind = self.kinds.iter().position(|k| *k == line.kind).unwrap_or_else(|| {
            self.kinds.push(Arc::clone(&line.kind));
            self.kinds.len() - 1
        });
        let begin = self.text.len();
        let object = line.object.as_ref().filter(|o| line.subscription.as_ref() != Some(*o));
        for (n, id) in [Some(&line.id), line.customer.as_ref(), line.subscription.as_ref(), object].into_iter().enumerate() {
            self.text.extend((n > 0).then_some(GAP));
            self.text.extend(id.map_or("", StripeId::as_str).chars().map(|c| c.to_ascii_lowercase()));
        }
        Place {
            text: u32::try_from(begin).expect("invariant: lines are let go of long before their texts are 4 GiB"),
            length: u16::try_from(self.text.len() - begin).expect("invariant: four ids, none longer than 220 letters"),
            kind: u16::try_from(kind).expect("invariant: Stripe has a few hundred types"),
        }
    }

    /// The places of the lines that pass, from `from` on, in this order.
    #[must_use]
    pub fn chosen(&self, lines: &[Line], from: usize, filter: &Filter, fixes: &Fixes, sort: Sort, now: At) -> Vec<u32> {
        let passes = |i: &u32| {
            let at = usize::try_from(*i).unwrap_or(usize::MAX);
            filter.is_empty() || filter.accepts(&Entry { index: self, line: &lines[at], fixes, at, now })
        };
        let (from, to) = (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(lines.len()).unwrap_or(u32::MAX));
        let mut rows: Vec<u32> = (from..to).filter(passes).collect();
        let place = |i: u32| usize::try_from(i).unwrap_or(usize::MAX);
        match sort {
            Sort::Newest => {}
            Sort::Oldest => rows.reverse(),
            Sort::Verdict => rows.sort_by_key(|i| rank(lines[place(*i)].verdict)),
            Sort::Kind => {
                let mut alphabet: Vec<usize> = (0..self.kinds.len()).collect();
                alphabet.sort_by_key(|k| &self.kinds[*k]);
                let mut ranks = vec![0; alphabet.len()];
                alphabet.into_iter().enumerate().for_each(|(rank, kind)| ranks[kind] = rank);
                rows.sort_by_key(|i| ranks[self.kind(place(*i))]);
            }
            Sort::Customer => {
                let (numbers, _) = self.customers(lines);
                rows.sort_by_key(|i| numbers[place(*i)]);
            }
        }
        rows
    }

    /// Those rows put together, the ones with most failures first, then the largest.
    #[must_use]
    pub fn buckets(&self, lines: &[Line], rows: &[u32], by: By) -> Vec<Bucket> {
        let size = match by {
            By::Kind => self.kinds.len(),
            By::Customer => self.customers(lines).1 + 1,
            By::Verdict => VERDICTS.len(),
        };
        let mut buckets: Vec<Option<Bucket>> = vec![None; size];
        for row in rows {
            let at = usize::try_from(*row).unwrap_or(usize::MAX);
            let place = match by {
                By::Kind => self.kind(at),
                By::Customer => {
                    let (numbers, nobody) = self.customers(lines);
                    usize::try_from(numbers[at]).unwrap_or(usize::MAX).min(*nobody)
                }
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

    /// The customer of each line, numbered in the order in which the lines name them, and how many there are. Nobody has the last number
    /// there is.
    fn customers(&self, lines: &[Line]) -> &(Vec<u32>, usize) {
        self.customers.get_or_init(|| {
            let mut met: HashMap<&StripeId, u32> = HashMap::with_capacity(lines.len());
            let numbers = lines.iter().map(|line| {
                let next = u32::try_from(met.len()).unwrap_or(u32::MAX);
                line.customer.as_ref().map_or(u32::MAX, |c| *met.entry(c).or_insert(next))
            });
            (numbers.collect(), met.len())
        })
    }

    fn kind(&self, at: usize) -> usize {
        usize::from(self.places[at].kind)
    }

    fn text_of(&self, at: usize) -> &str {
        let place = self.places[at];
        let begin = usize::try_from(place.text).unwrap_or(usize::MAX);
        &self.text[begin..begin + usize::from(place.length)]
    }

    /// One of the ids in a line's text.
    fn part(&self, at: usize, n: usize) -> Option<&str> {
        self.text_of(at).split(GAP).nth(n)
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
    fixes: &'a Fixes<'a>,
    at: usize,
    now: At,
}

impl Fields for Entry<'_> {
    fn any(&self, needle: &str) -> bool {
        self.index.text_of(self.at).contains(needle)
            || is_called(&self.line.kind, needle)
            || self.line.verdict.word().contains(needle)
            || self.line.cause.is_some_and(|c| is_called(c.word(), needle))
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        let part = |n: usize| self.index.part(self.at, n).is_some_and(|text| text.contains(needle));
        match field {
            "type" => is_called(&self.line.kind, needle),
            "id" => part(0),
            "customer" => part(1),
            "subscription" => part(2),
            "object" if self.line.object == self.line.subscription => part(2),
            "object" => part(3),
            "verdict" => self.line.verdict.word().contains(needle),
            "cause" => self.line.cause.is_some_and(|c| is_called(c.word(), needle)),
            // Why nothing helps may name what would help others.
            "fix" => self.fixes.get(&self.line.id).is_some_and(|fix| fix.starts_with(needle)),
            _ => false,
        }
    }

    fn number(&self, field: Option<&str>) -> Option<i64> {
        field.is_none_or(|f| f == "age").then(|| (self.now - self.line.at).num_minutes())
    }
}

/// What helps, as a filter names it.
#[must_use]
pub fn fixes(groups: &[Group]) -> Fixes<'_> {
    let of = |g: &'_ Group| Rc::<str>::from(fix_of(&g.remedy).to_lowercase());
    groups.iter().flat_map(|g| g.events.iter().zip(std::iter::repeat(of(g)))).collect()
}

/// What helps in one word.
#[must_use]
pub fn fix_word(remedy: &Remedy) -> &'static str {
    match remedy {
        Remedy::Resend => "resend",
        Remedy::Deliver => "deliver",
        Remedy::Apply => "copy",
        Remedy::Link => "link",
        Remedy::Skip(_) => "none",
    }
}

/// The word, and why nothing helps where nothing does.
#[must_use]
pub fn fix_of(remedy: &Remedy) -> String {
    match remedy {
        // A quote would end what stands in quotes.
        Remedy::Skip(why) => format!("none: {}", why.replace('"', "'")),
        other => fix_word(other).to_string(),
    }
}

/// Words hold capitals where people write them so: `API version`, `TLS`. A type holds none, unless somebody makes one up.
fn is_called(word: &str, needle: &str) -> bool {
    word.contains(needle) || (word.bytes().any(|b| b.is_ascii_uppercase()) && word.to_ascii_lowercase().contains(needle))
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
        let now = lines.first().map_or(At::UNIX_EPOCH, |l| l.at);
        let look = |text: &str, sort, by| {
            let rows = index.chosen(lines, 0, &Filter::parse(text), &Fixes::new(), sort, now);
            let buckets = index.buckets(lines, &rows, by);
            (rows, buckets)
        };
        vec![
            look("", Sort::Newest, By::Customer),
            look("cus_line00000003", Sort::Oldest, By::Verdict),
            look("type:invoice", Sort::Customer, By::Customer),
            look("!id:evt_line00000042", Sort::Kind, By::Kind),
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
        for list in [
            lines(0, 105),
            lines(0, 105),
            lines(10, 105),
            lines(20, 130),
            late,
            lines(20, 130),
            odd,
            lines(120, 131),
            lines(500, 600),
            vec![],
        ] {
            Index::follow(&mut index, &list);
            assert_eq!(shows(&index, &list), shows(&Index::of(&list), &list));
        }
    }

    proptest::proptest! {
        /// Whatever grows or is lost at either end, and where one comes in between.
        #[test]
        fn wherever_the_list_grows_or_ends_an_index_that_follows_is_a_new_one(
            steps in proptest::collection::vec((0_usize..12, 0_usize..30, 0_usize..40, proptest::option::weighted(0.1, 0_usize..50)), 1..20),
        ) {
            let (mut list, mut oldest, mut newest) = (Vec::new(), 1_000_000_i64, 1_000_000_i64);
            let mut index = Arc::new(Index::default());
            for (new, older, lost, between) in steps {
                let kind = |n: i64| ["invoice.paid", "customer.subscription.updated", "charge.refunded", "a.Made.up"][usize::try_from(n / 9 % 4).expect("small")];
                for _ in 0..new {
                    newest += 1;
                    list.insert(0, line(newest, kind(newest)));
                }
                list.truncate(list.len().saturating_sub(lost));
                for _ in 0..older {
                    oldest -= 1;
                    list.push(line(oldest, kind(oldest)));
                }
                if let Some(at) = between.filter(|at| *at < list.len()) {
                    newest += 1;
                    list.insert(at, line(newest, kind(newest)));
                }
                Index::follow(&mut index, &list);
                proptest::prop_assert_eq!(index.places.len(), list.len());
                proptest::prop_assert_eq!(shows(&index, &list), shows(&Index::of(&list), &list));
            }
        }
    }

    #[test]
    fn what_is_new_at_either_end_is_put_beside_what_is_there() {
        let index = Index::of(&lines(20, 100));
        assert_eq!(index.grown_to(&lines(30, 103)), Some((3, 70)), "the oldest have gone");
        assert_eq!(index.grown_to(&lines(0, 103)), Some((3, 80)), "older ones have come");
        let mut late = lines(20, 101);
        late.insert(50, line(900, "invoice.payment_failed"));
        assert_eq!(index.grown_to(&late), None, "one has come in between");
        late.pop();
        assert_eq!(index.grown_to(&late), None, "and the oldest has gone");
        let mut index = Arc::new(index);
        for oldest in 30..90 {
            Index::follow(&mut index, &lines(oldest, 100));
            assert!(index.dead <= index.text.len() / 4, "{} of {} dead", index.dead, index.text.len());
        }
    }
}
