//! The population's objects in order of creation, newest or oldest first, computed as they are asked for. It renders nothing.
//!
//! People are numbered by age, so for each count of months after joining the billing boundaries are in order too: a list of
//! invoices or events is a merge of a few such streams, each entered by binary search.

use super::form::Bounds;
use crate::sandbox::population::ids::{Kind, Place};
use crate::sandbox::population::{Billing, Population};

/// What can be listed newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    Customers,
    Subscriptions,
    Sessions,
    Invoices,
    InvoicePayments,
    PaymentIntents,
    Charges,
    Events,
    Products,
    Prices,
    PaymentMethods,
    Refunds,
    Disputes,
    BalanceTransactions,
    RedactionJobs,
    InvoiceItems,
}

/// The position of an object in its collection; greater is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Unix seconds.
    pub at: i64,
    /// 0 for the population's own; objects made later count from 1 and are newer within the same second.
    pub made: u64,
    number: u64,
    which: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    NewestFirst,
    OldestFirst,
}

/// The events of the population, by their ordinal at one moment.
pub const EVENT_TYPES: [&str; 7] = [
    "customer.created",
    "checkout.session.completed",
    "customer.subscription.created",
    "invoice.paid",
    "customer.subscription.updated",
    "invoice.payment_failed",
    "customer.subscription.deleted",
];

/// Which part of a collection is worth rendering at all.
pub struct Selection<'a> {
    pub bounds: Bounds,
    pub direction: Direction,
    /// Only objects strictly beyond this one, in the direction of the walk.
    pub beyond: Option<Key>,
    /// Which ordinals (bits) of a moment are wanted.
    pub ordinals: u8,
    pub people: People<'a>,
}

/// Whose objects are worth rendering.
#[derive(Clone)]
pub enum People<'a> {
    /// These, by number: found without looking at anybody else.
    Only(Vec<u64>),
    /// Everybody this holds for: each of them is looked at.
    Where(&'a dyn Fn(u64, Billing) -> bool),
    /// Everybody this holds for, as far as what they have is not older than that (Unix seconds).
    Since(i64, &'a dyn Fn(u64, Billing) -> bool),
}

pub struct Walk<'a> {
    population: &'a Population,
    collection: Collection,
    kind: Kind,
    selection: Selection<'a>,
    filter: &'a dyn Fn(u64, Billing) -> bool,
    streams: Vec<Stream>,
}

struct Stream {
    months: u32,
    next: Option<u64>,
    head: Option<Head>,
}

/// The ordinals still to be handed out at one moment of one person.
struct Head {
    at: i64,
    place: Place,
    ordinals: u8,
}

impl Collection {
    /// What the population holds of it; `None` where all there is was made since.
    pub fn kind(self) -> Option<Kind> {
        Some(match self {
            Collection::Customers => Kind::Customer,
            Collection::Subscriptions => Kind::Subscription,
            Collection::Sessions => Kind::Session,
            Collection::Invoices => Kind::Invoice,
            Collection::InvoicePayments => Kind::InvoicePayment,
            Collection::PaymentIntents => Kind::PaymentIntent,
            Collection::Charges => Kind::Charge,
            Collection::Events => Kind::Event,
            Collection::PaymentMethods => Kind::PaymentMethod,
            Collection::BalanceTransactions => Kind::BalanceTransaction,
            Collection::Products
            | Collection::Prices
            | Collection::Refunds
            | Collection::Disputes
            | Collection::RedactionJobs
            | Collection::InvoiceItems => {
                return None;
            }
        })
    }

    /// The ordinals (bits) that exist at this boundary of a person's billing.
    pub fn ordinals(self, billing: Billing, cycle: u8) -> u8 {
        let first = u8::from(cycle == 0);
        match (self, billing) {
            (_, Billing::Placeholder) => 0,
            (Collection::Customers, _) => first,
            (Collection::Events, Billing::Free) => first,
            (_, Billing::Free) => 0,
            (Collection::Subscriptions | Collection::Sessions | Collection::PaymentMethods, Billing::Paid(_)) => first,
            (
                Collection::Invoices
                | Collection::InvoicePayments
                | Collection::PaymentIntents
                | Collection::Charges
                | Collection::BalanceTransactions,
                Billing::Paid(c),
            ) => u8::from(cycle <= c.cycle),
            (Collection::Events, Billing::Paid(c)) => match (cycle, c.status) {
                (0, _) => 0b000_1111,
                (n, "past_due") if n == c.cycle => 0b011_0000,
                (n, "canceled") if n == c.cycle + 1 => 0b100_0000,
                (n, _) if n <= c.cycle => 0b001_1000,
                _ => 0,
            },
            _ => 0,
        }
    }
}

impl Key {
    pub fn of_place(population: &Population, place: Place) -> Self {
        let months = match population.billing(place.number) {
            Billing::Paid(c) => c.interval.months() * u32::from(place.cycle),
            _ => 0,
        };
        Self { at: population.boundary(place.number, months), made: 0, number: place.number, which: place.which }
    }

    /// The position of the `made`-th object made after the start, counted from 1.
    pub fn of_made(at: i64, made: u64) -> Self {
        Self { at, made, number: 0, which: 0 }
    }

    pub fn write(self) -> String {
        format!("{:x}-{:x}-{:x}-{:x}", self.at, self.made, self.number, self.which)
    }

    pub fn read(text: &str) -> Option<Self> {
        let parts: Vec<u64> = text.split('-').map(|p| u64::from_str_radix(p, 16).ok()).collect::<Option<_>>()?;
        let [at, made, number, which] = parts[..] else { return None };
        Some(Self { at: i64::try_from(at).ok()?, made, number, which: u8::try_from(which).ok()? })
    }
}

impl Selection<'_> {
    /// Whether a position lies within the bounds and beyond the cursor.
    pub fn admits(&self, key: Key) -> bool {
        self.bounds.contain(key.at)
            && self.beyond.is_none_or(|beyond| match self.direction {
                Direction::NewestFirst => key < beyond,
                Direction::OldestFirst => key > beyond,
            })
    }
}

/// Everything these people have in a collection, newest first.
pub fn of_people(population: &Population, collection: Collection, numbers: &[u64], ordinals: u8) -> Vec<(Key, String)> {
    let mut found = Vec::new();
    let Some(kind) = collection.kind() else { return found };
    for number in numbers.iter().copied() {
        let billing = population.billing(number);
        // The end of a canceled subscription stands one cycle after its last invoice.
        let cycles = if let Billing::Paid(c) = billing { c.cycle + 1 } else { 0 };
        for cycle in 0..=cycles {
            let there = collection.ordinals(billing, cycle) & ordinals;
            for which in (0..8).filter(|bit| there & (1 << bit) != 0) {
                let place = Place { number, cycle, which };
                found.push((Key::of_place(population, place), population.id_at(kind, place)));
            }
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found
}

impl<'a> Walk<'a> {
    pub fn new(
        population: &'a Population,
        (collection, kind): (Collection, Kind),
        mut selection: Selection<'a>,
        filter: &'a dyn Fn(u64, Billing) -> bool,
    ) -> Self {
        // Boundaries after the start have not happened; without this every stream would be searched for them.
        selection.bounds.to = selection.bounds.to.min(population.born().timestamp());
        let months: Vec<u32> = match collection {
            Collection::Customers | Collection::Subscriptions | Collection::Sessions | Collection::PaymentMethods => vec![0],
            // Nobody joined longer ago than two years and a bit; a past boundary lies at most that far on.
            _ => (0..=25).collect(),
        };
        let streams = months.into_iter().map(|months| Stream { months, next: None, head: None }).collect();
        let mut walk = Self { population, collection, kind, selection, filter, streams };
        for at in 0..walk.streams.len() {
            walk.enter(at);
        }
        walk
    }

    fn enter(&mut self, stream: usize) {
        let months = self.streams[stream].months;
        let (bounds, beyond) = (self.selection.bounds, self.selection.beyond);
        let before = |limit: i64, or_equal: bool| {
            partition(self.population.len(), |n| {
                let at = self.population.boundary(n, months);
                at < limit || (or_equal && at == limit)
            })
        };
        self.streams[stream].next = match self.selection.direction {
            Direction::NewestFirst => before(beyond.map_or(bounds.to, |k| k.at.min(bounds.to)), true).checked_sub(1),
            Direction::OldestFirst => Some(before(beyond.map_or(bounds.from, |k| k.at.max(bounds.from)), false)),
        };
        self.refill(stream);
    }

    /// Moves a stream on to its next moment that holds something wanted.
    fn refill(&mut self, stream: usize) {
        let Stream { months, mut next, .. } = self.streams[stream];
        self.streams[stream].head = loop {
            let Some(number) = next.filter(|n| *n < self.population.len()) else { break None };
            next = match self.selection.direction {
                Direction::NewestFirst => number.checked_sub(1),
                Direction::OldestFirst => Some(number + 1),
            };
            let billing = self.population.billing(number);
            let Some(cycle) = cycle_at(billing, months) else { continue };
            let ordinals = self.collection.ordinals(billing, cycle) & self.selection.ordinals;
            if ordinals == 0 || !(self.filter)(number, billing) {
                // Only a moment outside the bounds ends a stream, and most moments are skipped: look now and then.
                if number.is_multiple_of(64) && self.is_past(self.population.boundary(number, months)) {
                    break None;
                }
                continue;
            }
            let at = self.population.boundary(number, months);
            if self.is_past(at) {
                break None;
            }
            break Some(Head { at, place: Place { number, cycle, which: 0 }, ordinals });
        };
        self.streams[stream].next = next;
    }

    fn is_past(&self, at: i64) -> bool {
        match self.selection.direction {
            Direction::NewestFirst => at < self.selection.bounds.from,
            Direction::OldestFirst => at > self.selection.bounds.to,
        }
    }

    fn head_key(&self, head: &Head) -> Key {
        let which = match self.selection.direction {
            Direction::NewestFirst => 7 - head.ordinals.leading_zeros() as u8,
            Direction::OldestFirst => head.ordinals.trailing_zeros() as u8,
        };
        Key { at: head.at, made: 0, number: head.place.number, which }
    }
}

impl Iterator for Walk<'_> {
    type Item = (Key, String);

    fn next(&mut self) -> Option<(Key, String)> {
        loop {
            let heads = self.streams.iter().enumerate().filter_map(|(i, s)| Some((self.head_key(s.head.as_ref()?), i)));
            let (key, stream) = match self.selection.direction {
                Direction::NewestFirst => heads.max()?,
                Direction::OldestFirst => heads.min()?,
            };
            let head = self.streams[stream].head.as_mut()?;
            let place = Place { which: key.which, ..head.place };
            head.ordinals &= !(1 << key.which);
            if head.ordinals == 0 {
                self.refill(stream);
            }
            if self.selection.admits(key) {
                return Some((key, self.population.id_at(self.kind, place)));
            }
        }
    }
}

/// The billing cycle that begins that many months after joining, if one does.
fn cycle_at(billing: Billing, months: u32) -> Option<u8> {
    let length = match billing {
        Billing::Paid(c) => c.interval.months(),
        _ if months == 0 => 1,
        _ => return None,
    };
    months.is_multiple_of(length).then(|| (months / length) as u8)
}

/// The first of `0..len` for which `below` no longer holds.
fn partition(len: u64, below: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
