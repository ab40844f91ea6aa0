//! Rules in force, each with its number and what it has seen. What a rule is about, and what it does, is its owner's.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::faults::When;

/// Rules in order of entry; the first that applies is the one that strikes.
#[derive(Debug)]
pub struct Register<R>(Mutex<Entries<R>>);

/// A rule in force, with its number and what it has seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing<R> {
    pub id: u64,
    pub matched: u64,
    pub struck: u64,
    #[serde(flatten)]
    pub rule: R,
}

/// Which of what a rule matches it strikes.
pub trait Choice {
    fn when(&self) -> When;
    fn seed(&self) -> u64;
}

#[derive(Debug)]
struct Entries<R> {
    last: u64,
    standing: Vec<Standing<R>>,
}

impl<R> Default for Register<R> {
    fn default() -> Self {
        Self(Mutex::new(Entries { last: 0, standing: Vec::new() }))
    }
}

impl<R: Choice + Clone> Register<R> {
    /// Puts a rule in force and returns its number.
    pub fn add(&self, rule: R) -> u64 {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.last += 1;
        let id = entries.last;
        entries.standing.push(Standing { id, matched: 0, struck: 0, rule });
        id
    }

    /// Takes a rule out of force; what it already holds stays as it is. False: there is none of that number.
    pub fn remove(&self, id: u64) -> bool {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = entries.standing.len();
        entries.standing.retain(|r| r.id != id);
        entries.standing.len() < before
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).standing.clear();
    }

    pub fn rules(&self) -> Vec<Standing<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).standing.clone()
    }

    /// Counts a match for every rule that covers this until one of them strikes: that one, as it stands then.
    pub(super) fn first(&self, covers: impl Fn(&R) -> bool) -> Option<Standing<R>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for standing in entries.standing.iter_mut().filter(|s| covers(&s.rule)) {
            standing.matched += 1;
            if standing.rule.when().strikes(standing.rule.seed() ^ standing.id, standing.matched) {
                standing.struck += 1;
                return Some(standing.clone());
            }
        }
        None
    }
}
