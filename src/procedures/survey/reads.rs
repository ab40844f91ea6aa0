//! What the survey reads at Stripe: pages of events, the subscriptions whose event and row differ, and what the application noted of events.

use super::feed::Current;
use super::rows::Page;
use super::scene::RECEIPTS;
use super::series::CLOCKS;
use super::{PAUSE, Present, Survey};
use crate::domain::At;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::demand::Demand;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::judge::{Outcome, Received};
use crate::protocol::query::{EventRange, Query, Reply};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// New events may be listed a little late: each read goes back this far behind the newest one seen.
const OVERLAP: Duration = Duration::seconds(120);
/// Subscriptions asked for at a time.
const AT_ONCE: usize = 3;
/// A subscription that could not be read is asked for again after so many milliseconds.
const AGAIN: u64 = 60_000;

/// What the application noted of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub said: Received,
    /// When that was first read.
    heard: At,
}

impl Survey {
    /// A round begins: the list is read from its head, and on through the range where that has not been done.
    pub(super) fn begin_pages(&mut self, m: &Present) {
        if m.is_out(Source::Stripe) {
            return;
        }
        let since = self.range(m.now);
        let range = |since, until| EventRange { since, until, handled_only: true, undelivered_only: false, after: None };
        let newest = self.feed.lines.first().map(|l| l.at);
        if let Some(page) = &mut self.reading.back {
            page.failed = false;
        }
        if self.reading.back.is_none() && !self.reading.whole {
            // What is there already is not read again.
            let until = self.feed.lines.last().map(|l| l.at).filter(|_| self.reading.head_done);
            self.reading.back = Some(Page::of(range(since, until)));
        }
        if let Some(newest) = newest.filter(|_| self.reading.head.is_none() && self.reading.pages > 0) {
            self.reading.head = Some(Page::of(range((newest - OVERLAP).max(since), None)));
        }
    }

    /// The next page of each reading that has none under way.
    pub(super) fn next_page(&mut self, m: &Present) -> Vec<Query> {
        if m.is_out(Source::Stripe) {
            return Vec::new();
        }
        let pages = [&mut self.reading.head, &mut self.reading.back, &mut self.reading.owed.page];
        let free = pages.into_iter().flatten().filter(|p| !p.out && !p.failed);
        free.map(|page| {
            page.out = true;
            Query::EventPage(page.range.clone())
        })
        .collect()
    }

    pub(super) fn take_page(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Present) {
        let Query::EventPage(range) = query else { return };
        let is_head = self.reading.head.as_ref().is_some_and(|p| p.out && p.range == *range);
        let is_back = self.reading.back.as_ref().is_some_and(|p| p.out && p.range == *range);
        if !is_head && !is_back {
            return;
        }
        let next = match result {
            Ok(Reply::EventPage { events, raw, next, .. }) => {
                self.take_owing(events);
                if !self.feed.holds(events, raw) {
                    let touched = Arc::make_mut(&mut self.feed).take(events, raw, &m.env.tiers);
                    if !touched.is_empty() || !raw.is_empty() {
                        self.version += 1;
                    }
                    self.stirred |= !touched.is_empty();
                    self.reading.want(touched);
                }
                self.reading.events_answered(m.now);
                next.clone()
            }
            Ok(_) => None,
            Err(fault) => {
                // The round ends here; the next one goes on where this one stopped.
                self.reading.events_failed(fault);
                if is_head {
                    self.reading.head = None;
                }
                if is_back && let Some(page) = &mut self.reading.back {
                    (page.out, page.failed) = (false, true);
                }
                return;
            }
        };
        if is_back {
            self.reading.pages += 1;
        }
        let go_on = |page: &mut Option<Page>| match next.clone() {
            Some(after) => *page = page.take().map(|p| Page::of(EventRange { after: Some(after), ..p.range })),
            None => *page = None,
        };
        if is_head {
            go_on(&mut self.reading.head);
        }
        if is_back {
            go_on(&mut self.reading.back);
            self.reading.whole = self.reading.back.is_none();
            self.reading.head_done = true;
        }
    }

    /// Subscriptions whose newest event and row differ, the newest first; those whose case is being read come with the case.
    pub(super) fn next_subscriptions(&mut self, m: &Present) -> Vec<Query> {
        if m.is_out(Source::Stripe) {
            return Vec::new();
        }
        let free = AT_ONCE.saturating_sub(self.reading.subscriptions_out.len());
        if free == 0 {
            return Vec::new();
        }
        let (queued, queue) = &self.reading.queue;
        let old = !self.is_crowded() || m.tick.saturating_sub(*queued) >= PAUSE;
        if old || queue.is_empty() && self.reading.subscriptions_out.is_empty() {
            let suspects = self.feed.suspects().filter(|s| self.may_ask(s, m));
            let mut due: Vec<(At, &StripeId)> = suspects.filter_map(|s| Some((self.feed.courses.get(s)?.newest(), s))).collect();
            due.sort_unstable();
            if !due.is_empty() {
                self.reading.queue = (m.tick, due.into_iter().map(|(_, s)| s.clone()).collect());
            }
        }
        let mut asks = Vec::new();
        while asks.len() < free
            && let Some(subscription) = self.reading.queue.1.pop()
        {
            if self.may_ask(&subscription, m) {
                self.reading.subscriptions_out.insert(subscription.clone(), m.now);
                asks.push(Query::Subscription(subscription));
            }
        }
        asks
    }

    /// Stripe is to be asked for it by itself, and now.
    fn may_ask(&self, subscription: &StripeId, m: &Present) -> bool {
        let history = self.feed.courses.get(subscription).filter(|h| h.outcome == Outcome::Suspect);
        history.is_some_and(|h| !self.cases.will_read(&h.customer) && !self.waits_for_mirror(subscription, h, m))
            && !self.reading.subscriptions_out.contains_key(subscription)
            && self.reading.refused.get(subscription).is_none_or(|t| m.tick.saturating_sub(*t) >= AGAIN)
    }

    pub(super) fn take_subscription(&mut self, query: &Query, result: &Result<Reply, Fault>, m: &Present) {
        let Query::Subscription(id) = query else { return };
        let Some(asked) = self.reading.subscriptions_out.remove(id) else { return };
        match result {
            Ok(Reply::Subscriptions(found)) => {
                let demand = found.iter().find(|s| s.id == *id).map(|s| Demand::of(s, &m.env.tiers));
                self.reading.refused.remove(id);
                self.told(id, demand, asked, m);
            }
            _ => {
                self.reading.refused.insert(id.clone(), m.tick);
            }
        }
    }

    /// Stripe itself has said what is due of the subscription, as of when it was `asked`: what came later may be missing in it.
    pub(super) fn told(&mut self, id: &StripeId, demand: Option<Demand>, asked: At, m: &Present) {
        let Some(h) = Arc::make_mut(&mut self.feed).courses.get_mut(id).map(Arc::make_mut) else { return };
        h.told(Current { at: asked, demand, mirror_age: None });
        if h.outcome != Outcome::Fine
            && let Some(row_at) = h.row_at
        {
            let row = self.rows.get(&h.customer).cloned();
            self.compare(id, row.as_ref(), row_at, m);
        }
    }

    /// What the application itself noted of the failures: evidence where it is kept.
    pub(super) fn take_received(&mut self, query: &Query, result: &Result<Reply, Fault>, now: At) {
        let (Query::Received(of), Ok(Reply::Received(found))) = (query, result) else { return };
        self.scenery.keeps_receipts(found.is_some(), of);
        for took in self.scenery.learn(found.iter().flatten()) {
            self.lag.took(took);
        }
        let noted = |said: &Received| {
            let before = self.received.get(&said.event).filter(|before| before.said == *said);
            Noted { said: said.clone(), heard: before.map_or(now, |before| before.heard) }
        };
        let known: BTreeMap<StripeId, Noted> = found.iter().flatten().map(|r| (r.event.clone(), noted(r))).collect();
        if *self.received != known {
            self.received = Arc::new(known);
            self.version += 1;
            self.read_what_was_processed();
        }
    }

    /// The application has said of failures that they were processed after their rows had been read: those are read once more, at once.
    pub(super) fn read_what_was_processed(&mut self) {
        let failures = self.feed.lines.iter().filter(|l| l.verdict.is_failure()).take(RECEIPTS);
        let unread: Vec<StripeId> = failures.filter(|l| self.is_processed_unread(l)).filter_map(|l| l.customer.clone()).collect();
        self.reading.proving |= !unread.is_empty();
        self.reading.want(unread);
    }

    /// The application says that it processed the event, and the row that it is judged by was read before both that and our hearing of it:
    /// such a row proves nothing against it.
    pub(super) fn is_processed_unread(&self, line: &Line) -> bool {
        let Some(read) = line.subscription.as_ref().and_then(|s| self.feed.courses.get(s)).and_then(|h| h.row_at) else { return false };
        let before = |processed: At, heard: At| read < heard && read < processed + CLOCKS;
        let noted = self.received.get(&line.id).filter(|r| r.said.processed != Some(false));
        let logged = self.scene.log.as_ref().and_then(|t| t.processed(line.id.as_str()));
        noted.is_some_and(|r| before(r.said.processed_at.unwrap_or(r.heard), r.heard))
            || logged.zip(self.scenery.log_heard()).is_some_and(|(processed, heard)| before(processed, heard))
    }
}
