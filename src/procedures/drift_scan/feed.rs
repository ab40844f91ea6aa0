//! Where a scan's subscriptions come from: the account's list, cut into stretches of time that are read side by side, or events.

use super::Scope;
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::domain::stripe::Subscription;
use crate::domain::webhooks::feed::RawEvent;
use crate::protocol::query::{EventRange, Query, SubscriptionRange};
use chrono::{DateTime, Duration};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Feed {
    Account(Vec<Segment>),
    /// The next page of events; `None`: they are through.
    Events(Option<EventRange>),
}

/// A stretch of time of the list, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    /// Not before this.
    floor: At,
    /// Before this; only the first has none.
    before: Option<At>,
    after: Option<StripeId>,
    /// How far down it has come.
    at: At,
    /// What the last page stretched over; `None` before the first.
    page: Option<Duration>,
    out: bool,
    done: bool,
}

impl Feed {
    pub fn of(scope: Scope, now: At) -> Self {
        match scope {
            Scope::Account => {
                // Nobody had a subscription at Stripe before it opened.
                let floor = DateTime::from_timestamp(1_300_000_000, 0).unwrap_or_default();
                Feed::Account(vec![Segment { floor, before: None, after: None, at: now, page: None, out: false, done: false }])
            }
            Scope::Since(since) => {
                Feed::Events(Some(EventRange { since, until: None, handled_only: true, undelivered_only: false, after: None }))
            }
        }
    }

    pub fn is_done(&self) -> bool {
        match self {
            Feed::Account(segments) => segments.iter().all(|s| s.done),
            Feed::Events(range) => range.is_none(),
        }
    }

    /// The next stretch to ask a page of, and the question; cuts a long stretch in two where all are busy.
    pub fn next(&mut self, at_once: usize) -> Option<(usize, Query)> {
        let Feed::Account(segments) = self else { return None };
        let busy = segments.iter().filter(|s| s.out).count();
        if busy >= at_once {
            return None;
        }
        let idle = segments.iter().position(|s| !s.out && !s.done).or_else(|| split(segments))?;
        segments[idle].out = true;
        Some((idle, segments[idle].query()))
    }

    /// Takes in what a page says about where the stretch goes on; gives back those of its subscriptions that belong to the stretch.
    pub fn turned(&mut self, i: usize, page: &[Subscription], raw: &[RawEvent], next: Option<&StripeId>) -> Vec<Subscription> {
        let Feed::Account(segments) = self else { return Vec::new() };
        let Some(segment) = segments.get_mut(i) else { return Vec::new() };
        segment.out = false;
        // It was cut after the page was asked for: what lies below the cut is another stretch's.
        let theirs: Vec<Subscription> = page.iter().filter(|s| s.created >= segment.floor).cloned().collect();
        let beyond = theirs.len() < page.len();
        if let (Some(first), Some(last)) = (theirs.first(), theirs.last()) {
            segment.page = Some(first.created - last.created);
            segment.at = last.created;
        }
        segment.after = next.cloned();
        // A page of nothing readable still leads on, by the id of its last element.
        segment.done = next.is_none() || beyond || (page.is_empty() && raw.is_empty());
        theirs
    }
}

/// Cuts the longest stretch in two; the lower half's place. None is cut that has less than two pages left.
fn split(segments: &mut Vec<Segment>) -> Option<usize> {
    let left = |s: &Segment| s.at - s.floor;
    let worth = |s: &&mut Segment| !s.done && s.page.is_some_and(|page| left(s) > page * 4 && left(s) > Duration::hours(1));
    let longest = segments.iter_mut().filter(worth).max_by_key(|s| left(s))?;
    let cut = longest.floor + left(longest) / 2;
    // Stripe counts in seconds: a cut within one would lose what lies in it.
    let cut = DateTime::from_timestamp(cut.timestamp(), 0)?;
    let lower = Segment { floor: longest.floor, before: Some(cut), after: None, at: cut, page: None, out: false, done: false };
    longest.floor = cut;
    segments.push(lower);
    Some(segments.len() - 1)
}

impl Segment {
    fn query(&self) -> Query {
        Query::SubscriptionPage(SubscriptionRange { since: Some(self.floor), before: self.before, after: self.after.clone() })
    }
}
