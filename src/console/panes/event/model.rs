//! What is known about the one event on screen: itself, its object now, the row beside it.

use super::payload;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::table::Cursor;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::link::{LinkedBy, links};
use crate::domain::mask;
use crate::domain::row::SubscriptionRow;
use crate::domain::shape::Shape;
use crate::domain::stripe::Subscription;
use crate::domain::webhooks::feed::Line;
use crate::protocol::freshness::Health;
use crate::protocol::query::{EventRange, Locator, Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The event as the list had it.
    pub(super) line: Option<Line>,
    pub(super) tab: Tab,
    /// The whole event; `None`: Stripe no longer has it.
    pub(super) payload: Known<Option<serde_json::Value>>,
    /// The subscription as the event carries it; `None`: it carries none.
    pub(super) snapshot: Known<Option<Subscription>>,
    /// As Stripe has it now; `None`: there is none.
    pub(super) subscription: Known<Option<Subscription>>,
    pub(super) row: Known<Option<SubscriptionRow>>,
    pub(super) subject: Option<SubjectKey>,
    /// No row holds the customer: the one that is shown is theirs by this.
    pub(super) linked_by: Option<LinkedBy>,
    pub(super) shape: Known<Shape>,
    /// Folds that are the other way round than they begin.
    pub(super) turned: BTreeSet<String>,
    pub(super) cursor: Cursor,
    /// Lines of the judgement scrolled away.
    pub(super) scroll: usize,
    began: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Differences,
    Payload,
}

const WHOLE: u16 = 0;
const RANGE: u16 = 1;
const NOW: u16 = 2;
const ROW: u16 = 3;
const BY_SUBSCRIPTION: u16 = 4;
const SHAPE: u16 = 5;
const SESSIONS: u16 = 6;
const LINKED: u16 = 7;
/// A source that failed and has recovered is asked again no sooner than this, in milliseconds.
const RETRY: u64 = 5_000;

impl Tab {
    pub const ALL: [Tab; 2] = [Tab::Differences, Tab::Payload];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Tab::Differences => "Differences",
            Tab::Payload => "Payload",
        }
    }
}

impl Model {
    /// A fresh model of this event; `entered` begins the reading.
    #[must_use]
    pub fn of(line: Line) -> Self {
        Self { line: Some(line), ..Self::default() }
    }

    /// The screen comes into view.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        if self.began.is_some() { Vec::new() } else { self.read(cx) }
    }

    /// Everything about it anew. What was read stays on screen until the answers are there.
    pub(super) fn read(&mut self, cx: &Context) -> Vec<Ask> {
        let Some(line) = self.line.as_ref().filter(|_| cx.env.is_some()) else { return Vec::new() };
        self.began = Some(cx.tick);
        self.linked_by = None;
        let ask = |n, query| Ask::Read { slot: Slot::Event(n), query };
        // The list of its one second holds it with its object read; the event by itself is its text.
        let range = EventRange { since: line.at, until: Some(line.at), handled_only: false, undelivered_only: false, after: None };
        let mut asks = vec![ask(WHOLE, Query::Event(line.id.clone())), ask(RANGE, Query::EventPage(range)), ask(SHAPE, Query::Shape)];
        match &line.subscription {
            Some(id) => asks.push(ask(NOW, Query::Subscription(id.clone()))),
            None => self.subscription = Known::Is { value: None, at: cx.now },
        }
        match &line.customer {
            Some(id) => asks.push(ask(ROW, Query::RowsOf(vec![id.clone()]))),
            None => self.row = Known::Is { value: None, at: cx.now },
        }
        asks
    }

    /// An answer to one of its reads: only those that are still wanted arrive.
    pub fn replied(&mut self, _slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        let Some(line) = &self.line else { return Vec::new() };
        let at = cx.now;
        match (query, result) {
            (Query::Event(id), Ok(Reply::Event(text))) if *id == line.id => {
                let parsed = text.as_deref().map(serde_json::from_str::<serde_json::Value>).transpose();
                self.payload = match parsed {
                    Ok(value) => Known::Is { value, at },
                    Err(e) => Known::Failed(Fault::new(Source::Stripe, FaultKind::Schema, format!("the event is no JSON: {e}"))),
                };
            }
            (Query::Event(_), Err(f)) => keep(&mut self.payload, f),
            (Query::EventPage(_), Ok(Reply::EventPage { events, .. })) => {
                let carried = events.iter().find(|e| e.id == line.id).and_then(|e| e.subscription.as_deref().cloned());
                self.snapshot = Known::Is { value: carried, at };
            }
            (Query::EventPage(_), Err(f)) => keep(&mut self.snapshot, f),
            (Query::Subscription(_), Ok(Reply::Subscriptions(found))) => {
                self.subscription = Known::Is { value: found.first().cloned(), at };
            }
            (Query::Subscription(_), Err(f)) => keep(&mut self.subscription, f),
            (Query::Shape, Ok(Reply::Shape(shape))) => self.shape = Known::Is { value: (**shape).clone(), at },
            (Query::RowsOf(_), Ok(Reply::Rows(rows))) => match (rows.first(), &line.subscription) {
                (Some((row, subject)), _) => {
                    self.subject = Some(subject.key.clone());
                    self.row = Known::Is { value: Some(row.clone()), at };
                }
                // A row that holds another customer may still hold the subscription.
                (None, Some(id)) => {
                    let query = Query::Records(Locator::SubscriptionId(id.to_string()));
                    return vec![Ask::Read { slot: Slot::Event(BY_SUBSCRIPTION), query }];
                }
                (None, None) => return self.seek(cx),
            },
            (Query::Records(Locator::SubscriptionId(_)), Ok(Reply::Records(found))) if found.is_empty() => return self.seek(cx),
            (Query::SessionsOf(of), Ok(Reply::Sessions(sessions))) => {
                let named = links(&[], &[], &self.carried(of), sessions).into_iter().find(|l| l.customer == *of);
                let Some(link) = named else {
                    self.row = Known::Is { value: None, at };
                    return Vec::new();
                };
                self.linked_by = Some(link.by);
                let query = Query::Records(Locator::Subjects(vec![link.profile]));
                return vec![Ask::Read { slot: Slot::Event(LINKED), query }];
            }
            // Without the sessions the row beside it stays unknown, and what was looked for in vain is said.
            (Query::SessionsOf(_), Err(f)) => keep(&mut self.row, f),
            (Query::Records(_), Ok(Reply::Records(found))) => {
                let record = found.first();
                self.subject = record.map(|r| r.subject.key.clone());
                self.row = Known::Is { value: record.and_then(|r| r.row.clone()), at };
            }
            (Query::RowsOf(_) | Query::Records(_), Err(f)) => keep(&mut self.row, f),
            (Query::Shape, Err(f)) => keep(&mut self.shape, f),
            _ => {}
        }
        Vec::new()
    }

    /// No row holds the customer or the subscription: a placeholder's row is found by what names the profile at Stripe.
    fn seek(&mut self, cx: &Context) -> Vec<Ask> {
        let Some(customer) = self.line.as_ref().and_then(|l| l.customer.clone()) else {
            self.row = Known::Is { value: None, at: cx.now };
            return Vec::new();
        };
        vec![Ask::Read { slot: Slot::Event(SESSIONS), query: Query::SessionsOf(customer) }]
    }

    /// The customer's subscription, as the event carries it and as it is now.
    fn carried(&self, customer: &StripeId) -> Vec<Subscription> {
        let known = [&self.subscription, &self.snapshot].into_iter().filter_map(|k| k.value().cloned().flatten());
        known.filter(|s| s.customer == *customer).collect()
    }

    /// Once a second, on screen or not: what failed is read again once its source is back.
    pub fn ticked(&mut self, on_screen: bool, cx: &Context) -> Vec<Ask> {
        let faults = [self.payload.fault(), self.snapshot.fault(), self.subscription.fault(), self.row.fault(), self.shape.fault()];
        let back = faults.into_iter().flatten().any(|f| f.passes() && cx.health(f.source) == Health::Ok);
        let due = self.began.is_some_and(|t| cx.tick.saturating_sub(t) >= RETRY);
        if on_screen && back && due { self.read(cx) } else { Vec::new() }
    }

    /// The screen has no text field.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        false
    }

    #[must_use]
    pub fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// What the list has learned about the event since.
    pub fn follow(&mut self, line: &Line) {
        self.line = Some(line.clone());
    }

    /// Whose row it is about, as far as that is known.
    #[must_use]
    pub fn subject(&self) -> Option<&SubjectKey> {
        self.subject.as_ref()
    }

    /// The payload's lines as they are folded, masked unless revealed.
    #[must_use]
    pub fn payload_lines(&self, revealed: bool) -> Vec<payload::Line> {
        let Some(Some(value)) = self.payload.value() else { return Vec::new() };
        if revealed { payload::lines(value, &self.turned) } else { payload::lines(&mask::json(value), &self.turned) }
    }

    /// For how long it has been read, in milliseconds.
    pub(super) fn waited(&self, cx: &Context) -> u64 {
        self.began.map_or(0, |t| cx.tick.saturating_sub(t))
    }

    /// The first thing that could not be read.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.row.fault().or(self.subscription.fault()).or(self.snapshot.fault()).or(self.shape.fault()).or(self.payload.fault())
    }

    /// Everything has been answered, one way or the other.
    pub(super) fn is_read(&self) -> bool {
        !(self.snapshot.is_waiting() || self.subscription.is_waiting() || self.row.is_waiting() || self.shape.is_waiting())
    }

    /// The last event of the range is a moment: events that came within the same second stand in it too.
    #[must_use]
    pub fn is_old(&self, cx: &Context) -> bool {
        self.line.as_ref().is_some_and(|l| cx.now - l.at > Duration::days(30))
    }
}

/// What was read before stays; a fault is shown where there is nothing.
fn keep<T>(known: &mut Known<T>, fault: &Fault) {
    if known.value().is_none() {
        *known = Known::Failed(fault.clone());
    }
}
