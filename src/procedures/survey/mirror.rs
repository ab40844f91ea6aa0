//! The mirror of Stripe in the database, asked about suspects before Stripe is: what it says counts where its copy is not older than their
//! newest event. Decides nothing that is written.

use super::feed::{Current, History};
use super::{PAUSE, Present, Survey};
use crate::domain::At;
use crate::domain::age;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeId;
use crate::domain::mirror::{Copied, Mirrored};
use crate::domain::stripe::Subscription;
use crate::domain::webhooks::demand::Demand;
use crate::domain::webhooks::judge::Outcome;
use crate::protocol::query::{MirrorOf, Query, Reply};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Subscriptions of one question: one statement by their primary key.
const BATCH: usize = 200;

/// What was asked of the mirror.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    out: Option<Vec<StripeId>>,
    /// Subscriptions that it could not answer for, and their newest event then: Stripe is asked for them.
    passed: BTreeMap<StripeId, At>,
    /// Why it was not believed the last time, where it was not.
    disbelieved: Option<String>,
    /// When suspects were last looked through for it, in milliseconds.
    #[serde(default)]
    looked: u64,
}

impl Asked {
    pub fn is_out(&self) -> bool {
        self.out.is_some()
    }
}

impl Survey {
    /// A mirror of Stripe stands in the database, and can be read.
    #[must_use]
    pub fn has_mirror(&self) -> bool {
        self.shape.value().is_some_and(|s| s.mirror)
    }

    /// When the newest listed event of a subscription happened.
    #[must_use]
    pub fn newest_event(&self, subscription: &StripeId) -> Option<At> {
        self.feed.courses.get(subscription).map(|h| h.newest())
    }

    /// The mirror is still to say something about it.
    pub(super) fn waits_for_mirror(&self, subscription: &StripeId, h: &History, m: &Present) -> bool {
        let passed = self.mirror.passed.get(subscription).is_some_and(|at| *at >= h.newest());
        self.has_mirror() && !m.is_out(Source::Database) && !passed
    }

    pub(super) fn next_mirrored(&mut self, m: &Present) -> Option<Query> {
        if self.mirror.out.is_some() || !self.has_mirror() {
            return None;
        }
        if self.is_crowded() && self.is_busy() && m.tick.saturating_sub(self.mirror.looked) < PAUSE {
            return None;
        }
        self.mirror.looked = m.tick;
        let suspects = self.feed.suspects().filter_map(|s| Some((s, self.feed.courses.get(s)?)));
        let due = suspects.filter(|(s, h)| {
            let asked = self.cases.will_read(&h.customer) || self.reading.subscriptions_out.contains_key(*s);
            !asked && self.waits_for_mirror(s, h, m)
        });
        let batch: Vec<StripeId> = due.map(|(s, _)| s.clone()).take(BATCH).collect();
        if batch.is_empty() {
            return None;
        }
        self.mirror.out = Some(batch.clone());
        Some(Query::Mirrored(MirrorOf::Subscriptions(batch)))
    }

    pub(super) fn take_mirrored(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Present) {
        let Query::Mirrored(MirrorOf::Subscriptions(of)) = query else { return };
        let Some(batch) = self.mirror.out.take_if(|out| out == of) else { return };
        let mirrored = match result {
            Ok(Reply::Mirrored(Some(mirrored))) => Some(&**mirrored),
            _ => None,
        };
        let believed = mirrored.filter(|found| !found.mirror.is_stale(m.now));
        self.mirror.disbelieved = mirrored.filter(|_| believed.is_none()).map(|found| not_believed(found, m.now));
        let followed = &self.feed.courses;
        self.mirror.passed.retain(|s, _| followed.contains_key(s));
        for id in batch {
            let Some(h) = self.feed.courses.get(&id) else { continue };
            let copy = believed.and_then(|found| Some((found, found.subscriptions.iter().find(|c| c.value.id == id)?)));
            match copy.filter(|(_, copy)| counts(copy, h, m.now)) {
                Some((found, copy)) => self.told_by_mirror(&id, copy, found, m),
                None => drop(self.mirror.passed.insert(id, h.newest())),
            }
        }
    }

    fn told_by_mirror(&mut self, id: &StripeId, copy: &Copied<Subscription>, found: &Mirrored, m: &Present) {
        let (Some(at), Some(age)) = (copy.as_of, found.mirror.age(m.now)) else { return };
        let Some(h) = Arc::make_mut(&mut self.feed).courses.get_mut(id).map(Arc::make_mut) else { return };
        h.told(Current { at, demand: Some(Demand::of(&copy.value, &m.env.tiers)), mirror_age: Some(age.num_seconds()) });
        if h.outcome != Outcome::Fine
            && let Some(row_at) = h.row_at
        {
            let row = self.rows.get(&h.customer).cloned();
            self.compare(id, row.as_ref(), row_at, m);
        }
    }

    /// Where what is due of a subscription was read, if that was not Stripe itself; and why the mirror was not believed.
    pub(super) fn mirror_evidence(&self, h: &History) -> Option<String> {
        match h.current() {
            Some(Current { mirror_age: Some(seconds), .. }) => {
                Some(format!("stripe: mirror of Stripe in Postgres, {} old", age::words(*seconds)))
            }
            _ => self.mirror.disbelieved.clone(),
        }
    }
}

/// Whether the copy holds what the subscription's newest event did, of the same one of Stripe's two worlds.
fn counts(copy: &Copied<Subscription>, h: &History, now: At) -> bool {
    let newest = h.newest();
    let in_that_second = h.states.iter().filter(|s| s.at == newest).count() + h.loose().iter().filter(|(at, _)| *at == newest).count();
    copy.is_past(newest, in_that_second, now) && copy.livemode.is_none_or(|live| live == h.livemode) && copy.value.customer == h.customer
}

fn not_believed(found: &Mirrored, now: At) -> String {
    let age = found
        .mirror
        .age(now)
        .map_or_else(|| "of an age that cannot be told".into(), |old| format!("{} old", age::words(old.num_seconds())));
    format!("mirror of Stripe in Postgres: {age}, not believed")
}
