//! The failures by cause: what the survey holds about each of them, handed to the rule book, and gathered where the answer is the same.

use super::{Present, Survey};
use crate::domain::At;
use crate::domain::diagnosis;
use crate::domain::expected::NoExpectation;
use crate::domain::ids::{StripeId, SubjectKey, is_placeholder};
use crate::domain::money;
use crate::domain::row::{Field, Value};
use crate::domain::shape::KeyType;
use crate::domain::webhooks::cause::{Attributed, Cause, Evidence, Held, Named, Receipt, Remedy, attribute, likely};
use crate::domain::webhooks::demand::Due;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::feed::{Group, Line};
use crate::domain::webhooks::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// So many failures are looked at one by one whenever anything has changed, the newest first.
const AT_MOST: usize = 5_000;
/// Of those that are older so many besides: first those that nobody has looked at yet, then all of them in turn.
const OLDER: usize = 2_000;

/// The failures that are too many to be looked at all at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Older {
    /// Those that nobody has looked at yet: they are in no group.
    pub beyond: usize,
    /// They are to be gone on with, whether or not anything else changes.
    pub restless: bool,
    /// How far the turn through them has come.
    turn: usize,
    /// What is said of a cause that none of the newest has.
    said: BTreeMap<Cause, Group>,
}

impl Survey {
    /// Attributes the failures, and gathers those of one cause.
    pub(super) fn group(&mut self, m: &Present) {
        let failures: Vec<usize> = (0..self.feed.lines.len()).filter(|place| self.feed.lines[*place].verdict.is_failure()).collect();
        let (newest, older) = failures.split_at(failures.len().min(AT_MOST));
        let mut groups: Vec<Group> = Vec::new();
        let mut places: BTreeMap<(Cause, Remedy), usize> = BTreeMap::new();
        // Each with its group.
        let mut members: Vec<(usize, usize)> = Vec::with_capacity(failures.len());
        let mut causes: Vec<(usize, Cause)> = Vec::with_capacity(newest.len());
        let recovered = self.recovered();
        for place in newest {
            let found = self.attributed(*place, &recovered, m);
            causes.push((*place, found.cause));
            let group = *places.entry((found.cause, found.remedy.clone())).or_insert(groups.len());
            if group == groups.len() {
                groups.push(begun(found, &self.feed.lines[*place]));
            }
            members.push((*place, group));
        }
        let (turn, until) = self.in_turn(older);
        let looked: Vec<(usize, Attributed)> = turn.into_iter().map(|place| (place, self.attributed(place, &recovered, m))).collect();
        drop(recovered);
        let moved = looked.iter().any(|(place, found)| self.feed.lines[*place].cause != Some(found.cause));
        for (place, found) in looked {
            causes.push((place, found.cause));
            self.older.said.insert(found.cause, begun(found, &self.feed.lines[place]));
        }
        if causes.iter().any(|(place, cause)| self.feed.lines[*place].cause != Some(*cause)) {
            let feed = Arc::make_mut(&mut self.feed);
            causes.into_iter().for_each(|(place, cause)| feed.lines[place].cause = Some(cause));
            self.version += 1;
        }
        self.older.turn = until;
        self.older.beyond = self.gather_older(older, &mut groups, &mut members);
        self.older.restless = moved || self.older.beyond > 0;
        self.gather(groups, &members);
    }

    fn attributed(&self, place: usize, recovered: &BTreeMap<&str, At>, m: &Present) -> Attributed {
        let line = &self.feed.lines[place];
        let recovered = recovered.get(&*line.kind).is_some_and(|at| *at > line.at);
        attribute(&Evidence { recovered, ..self.evidence(line) }, &self.scene, m.now)
    }

    /// Which of the older ones are looked at now, and how far the turn through them has come with that.
    fn in_turn(&self, older: &[usize]) -> (Vec<usize>, usize) {
        let is_new = |place: &&usize| self.feed.lines[**place].cause.is_none();
        let mut these: Vec<usize> = older.iter().filter(is_new).take(OLDER).copied().collect();
        let from = if self.older.turn < older.len() { self.older.turn } else { 0 };
        let until = (from + OLDER - these.len()).min(older.len());
        these.extend(older[from..until].iter().filter(|place| !is_new(place)));
        (these, until)
    }

    /// Puts those of the older ones that were looked at by now to the largest group of their cause; how many were not.
    fn gather_older(&self, older: &[usize], groups: &mut Vec<Group>, members: &mut Vec<(usize, usize)>) -> usize {
        let mut sizes = vec![0usize; groups.len()];
        members.iter().for_each(|(_, group)| sizes[*group] += 1);
        let mut largest: BTreeMap<Cause, usize> = BTreeMap::new();
        for (group, of) in groups.iter().enumerate() {
            let first = largest.entry(of.cause).or_insert(group);
            *first = if sizes[group] > sizes[*first] { group } else { *first };
        }
        let mut beyond = 0;
        for place in older {
            let line = &self.feed.lines[*place];
            let said = line.cause.and_then(|cause| Some((cause, self.older.said.get(&cause)?)));
            let group = line.cause.and_then(|cause| largest.get(&cause).copied()).or_else(|| {
                let (cause, said) = said?;
                groups.push(Group { first: line.at, last: line.at, ..said.clone() });
                largest.insert(cause, groups.len() - 1);
                Some(groups.len() - 1)
            });
            match group {
                Some(group) => members.push((*place, group)),
                None => beyond += 1,
            }
        }
        beyond
    }

    /// Gives the groups their members, which come the newest first.
    fn gather(&mut self, mut groups: Vec<Group>, members: &[(usize, usize)]) {
        let mut customers: Vec<HashSet<&StripeId>> = vec![HashSet::new(); groups.len()];
        let mut causes: BTreeMap<StripeId, Cause> = BTreeMap::new();
        for (place, of) in members {
            let (line, group) = (&self.feed.lines[*place], &mut groups[*of]);
            group.first = group.first.min(line.at);
            group.events.push(line.id.clone());
            if let Some(customer) = &line.customer
                && customers[*of].insert(customer)
            {
                group.customers += 1;
                causes.entry(customer.clone()).or_insert(group.cause);
            }
        }
        drop(customers);
        let size = |g: &Group| std::cmp::Reverse((g.customers, g.events.len()));
        groups.sort_by(|a, b| size(a).cmp(&size(b)).then_with(|| (a.cause, &a.remedy).cmp(&(b.cause, &b.remedy))));
        if *self.causes != causes {
            self.causes = Arc::new(causes);
        }
        if *self.groups != groups {
            self.groups = Arc::new(groups);
            self.version += 1;
        }
    }

    /// By type, when the newest event happened that was applied: by the application itself, where its log tells.
    fn recovered(&self) -> BTreeMap<&str, At> {
        let log = self.scene.log.as_ref().filter(|t| t.tells_processed());
        let mut newest = BTreeMap::new();
        let applied = self.feed.lines.iter().filter(|l| matches!(l.verdict, Verdict::Applied | Verdict::Superseded));
        for line in applied.filter(|l| log.is_none_or(|t| t.processed(l.id.as_str()).is_some())) {
            newest.entry(&*line.kind).or_insert(line.at);
            if newest.len() == HANDLED.len() {
                break;
            }
        }
        newest
    }

    /// The facts of one failure, for the rule book; whether what caused it is over is for all of them together to say.
    #[must_use]
    pub fn evidence(&self, line: &Line) -> Evidence {
        let mut e = Evidence::of(line.id.clone(), &line.kind, line.at, line.verdict);
        e.names = [&line.object, &line.customer, &line.subscription].into_iter().flatten().cloned().collect();
        e.pending = line.pending;
        let judged = line.customer.as_ref().and_then(|c| self.judged(c));
        let history = line.subscription.as_ref().and_then(|s| self.feed.courses.get(s));
        e.held = match (line.customer.as_ref().and_then(|c| self.rows.get(c)), judged) {
            (Some(_), _) => Held::Customer,
            (None, Some(j)) => match (&j.subject, &j.held) {
                (None, _) => Held::Unknown,
                (Some(_), Some(held)) if is_placeholder(held) => Held::Placeholder(held.clone()),
                (Some(_), Some(held)) => Held::Other(Some(held.clone())),
                (Some(_), None) if j.served.is_some() => Held::Other(None),
                (Some(_), None) => Held::NoRow,
            },
            // A failure's row is kept where there is one.
            (None, None) => Held::Nowhere,
        };
        let written = line.customer.as_ref().and_then(|c| self.rows.get(c)).and_then(|r| r.get(Field::UpdatedAt));
        e.written_since = match written {
            Some(Value::Time(at)) => Some(*at > line.at),
            _ => None,
        };
        e.enforced = judged.and_then(|j| j.enforced.clone());
        let metadata = history.and_then(|h| h.profile());
        e.named = match (judged.and_then(|j| j.subject.as_ref()), metadata) {
            (_, Some(key)) if self.is_malformed(key) => Named::Malformed(key.to_string()),
            (Some(subject), _) => Named::Profile(subject.key.clone()),
            (None, Some(key)) if judged.is_some_and(|j| j.diagnosis.cause == diagnosis::Cause::NoProfile) => Named::Gone(key.clone()),
            (None, None) if judged.is_some_and(|j| j.diagnosis.cause == diagnosis::Cause::NoProfile) => Named::Nobody,
            _ => Named::Unknown,
        };
        if let Some(h) = history {
            e.api_version = h.api_version().map(str::to_string);
            e.livemode = h.livemode;
            e.unmapped = h.due().and_then(|d| match &d.tier {
                Due::Open(why) => match &**why {
                    NoExpectation::UnknownPrice(price) => Some(price.clone()),
                    _ => None,
                },
                Due::Tier(_) => None,
            });
            e.older_in_row = h.older_in_row(&line.id).cloned();
            e.older_processed = e.older_in_row.as_ref().and_then(|older| self.received.get(older)).and_then(|r| r.said.processed_at);
        }
        e.receipt = match self.received.get(&line.id) {
            None if !self.scenery.has_receipts() || !self.scenery.looked_up(&line.id) => Receipt::Unknown,
            received => Receipt::of(received.map(|r| &r.said)),
        };
        e.processed_unread = self.is_processed_unread(line);
        e
    }

    /// The profile in metadata could be no key of this database.
    fn is_malformed(&self, key: &SubjectKey) -> bool {
        match self.shape.value().map(|s| s.key) {
            Some(KeyType::Uuid) => uuid::Uuid::parse_str(key.as_str()).is_err(),
            Some(KeyType::BigInt) => key.as_str().parse::<i64>().is_err(),
            Some(KeyType::Text) | None => false,
        }
    }

    /// That some were not looked at for their cause yet, where that is so: `5,000 of 18,200 were looked at for their cause so far`.
    #[must_use]
    pub fn not_grouped(&self) -> Option<String> {
        let (looked, beyond) = (self.groups.iter().map(|g| g.events.len()).sum::<usize>(), self.older.beyond);
        let say = |n: usize| money::group(n as u64);
        (beyond > 0).then(|| format!("{} of {} were looked at for their cause so far, the newest first", say(looked), say(looked + beyond)))
    }

    /// The cause of most of what failed since then, where one is known.
    pub(super) fn main_cause(&self, since: At) -> Option<Cause> {
        let mut counts: BTreeMap<Cause, usize> = BTreeMap::new();
        for line in self.failing(since) {
            if let Some(cause) = line.cause.filter(|c| *c != Cause::Unknown) {
                *counts.entry(cause).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(_, n)| *n).map(|(cause, _)| cause)
    }

    /// Why the newest events of these customers have no effect, where that is known and one and the same for most of them; and the sentence.
    #[must_use]
    pub fn likely_of(&self, customers: &[StripeId]) -> Option<(Cause, String)> {
        if self.is_still_looking_why() {
            return None;
        }
        let mut counts: BTreeMap<Cause, usize> = BTreeMap::new();
        for cause in customers.iter().filter_map(|c| self.causes.get(c)) {
            *counts.entry(*cause).or_default() += 1;
        }
        let (cause, n) = counts.into_iter().max_by_key(|(_, n)| *n)?;
        // The first of all of this cause says what came just before it.
        let first = self.groups.iter().filter(|g| g.cause == cause).map(|g| g.first).min()?;
        (n * 2 > customers.len()).then(|| likely(cause, first, &self.scene)).flatten().map(|say| (cause, say))
    }

    /// What lies below the finding that nothing is applied any more.
    pub(super) fn likely(&self, since: At) -> String {
        let most = self.main_cause(since);
        // What stands in the way may have stood there before nothing at all came through.
        let first = |cause| self.groups.iter().filter(|g| g.cause == cause).map(|g| g.first).chain([since]).min().unwrap_or(since);
        let known = most.and_then(|cause| likely(cause, first(cause), &self.scene));
        // What is said of one event of an unknown cause is not said of all of them.
        let group = self.groups.iter().find(|g| Some(g.cause) == most);
        known.or_else(|| group.map(|g| g.because.clone())).unwrap_or_else(|| "Cause unknown: no log line and no answer says why.".into())
    }
}

fn begun(found: Attributed, line: &Line) -> Group {
    let because = found.raw.filter(|_| found.cause == Cause::Unknown).unwrap_or(found.because);
    Group {
        cause: found.cause,
        because,
        helps: found.helps,
        remedy: found.remedy,
        events: Vec::new(),
        customers: 0,
        first: line.at,
        last: line.at,
        evidence: found.evidence,
    }
}
