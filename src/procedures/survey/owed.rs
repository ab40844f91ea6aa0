//! Which deliveries Stripe still owes of the events that are listed: as it says by now, not as it said when they were listed first.

use super::rows::Page;
use super::{Present, Survey};
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeId;
use crate::domain::stripe::StripeEvent;
use crate::protocol::query::{EventRange, Query, Reply};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How often it is asked while any are owed, in milliseconds.
const EVERY: u64 = 60_000;
/// Pages of a hundred that are read of it each time, the newest: what is older than those stays as it was.
const PAGES: u32 = 10;

/// A reading of what is owed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    pub page: Option<Page>,
    asked: u64,
    pages: u32,
    met: BTreeSet<StripeId>,
}

impl Survey {
    /// A page of the list says which deliveries are owed of the events that are known already.
    pub(super) fn take_owing(&mut self, events: &[StripeEvent]) {
        let place = |e: &StripeEvent| self.feed.place(e.created, &e.id);
        let owing = events.iter().filter_map(|e| Some((place(e)?, e.pending_webhooks > 0)));
        self.owing(owing.collect());
    }

    /// A round begins: asked for no oftener than once in a minute, and not where nothing is owed.
    pub(super) fn begin_owed(&mut self, m: &Present) {
        let owed = &self.reading.owed;
        if owed.page.is_some() || m.tick.saturating_sub(owed.asked) < EVERY || !self.reading.head_done || m.is_out(Source::Stripe) {
            return;
        }
        let mut pending = self.feed.lines.iter().filter(|l| l.pending).map(|l| l.at);
        let Some(newest) = pending.next() else { return };
        let oldest = pending.next_back().unwrap_or(newest);
        let range = EventRange { since: oldest, until: Some(newest), handled_only: true, undelivered_only: true, after: None };
        self.reading.owed = Owed { page: Some(Page::of(range)), asked: m.tick, ..Owed::default() };
    }

    pub(super) fn take_owed(&mut self, query: &Query, result: &Result<Reply, Fault>) {
        let Query::EventPage(range) = query else { return };
        if self.reading.owed.page.take_if(|p| p.out && p.range == *range).is_none() {
            return;
        }
        // Not answered: what is known stays until it is asked again.
        let Ok(Reply::EventPage { events, next, .. }) = result else { return };
        self.take_owing(events);
        let owed = &mut self.reading.owed;
        owed.pages += 1;
        owed.met.extend(events.iter().map(|e| e.id.clone()));
        let last = events.last().map(|e| e.created);
        // Of the last second there may be more behind the page.
        let from = match (next, last) {
            (None, _) => range.since,
            (Some(_), Some(last)) if owed.pages >= PAGES => last + Duration::seconds(1),
            (Some(after), _) => {
                owed.page = Some(Page::of(EventRange { after: Some(after.clone()), ..range.clone() }));
                return;
            }
        };
        let met = std::mem::take(&mut owed.met);
        let within = |at| at >= from && range.until.is_none_or(|until| at <= until);
        let lines = self.feed.lines.iter().enumerate();
        let delivered = lines.filter(|(_, l)| l.pending && within(l.at) && !met.contains(&l.id)).map(|(place, _)| (place, false));
        self.owing(delivered.collect());
    }

    /// By the place of each in the list: whether a delivery of it is owed.
    fn owing(&mut self, said: Vec<(usize, bool)>) {
        if said.iter().all(|(place, pending)| self.feed.lines[*place].pending == *pending) {
            return;
        }
        let feed = Arc::make_mut(&mut self.feed);
        said.into_iter().for_each(|(place, pending)| feed.lines[place].pending = pending);
        self.version += 1;
    }
}
