//! What comes page by page: subscriptions or events with the rows beside them, and all rows. Whatever one page cannot decide is handed on.

use super::feed::Feed;
use super::looks::Suspect;
use super::{Heard, PAGES_AT_ONCE, QUEUE, ROWS_AT_ONCE, RowsPass, Scan, Times, Work, fingerprint};
use crate::domain::At;
use crate::domain::expected::tier_due;
use crate::domain::facts::Handle;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::row::{Field, SubscriptionRow};
use crate::domain::stripe::{StripeEvent, Subscription, named_profile};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::drift::{Glance, Judgement, Side, classify, glance};
use crate::domain::webhooks::feed::RawEvent;
use crate::protocol::query::{Query, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many unreadable elements are named.
const NAMED: usize = 20;

impl Scan {
    /// Asks for the pages that there is room for.
    pub(super) fn feed(&mut self) {
        let behind = self.count(|w| matches!(w, Work::Rows(_) | Work::Naming(_)));
        if self.queue.len() >= QUEUE || behind >= ROWS_AT_ONCE {
            return;
        }
        while let Some((segment, query)) = self.feed.next(PAGES_AT_ONCE) {
            self.ask(query, Work::Page(segment));
        }
        if let Feed::Events(Some(range)) = &self.feed
            && !self.waits(|w| matches!(w, Work::Events))
        {
            self.ask(Query::EventPage(range.clone()), Work::Events);
        }
        // A row is alone only once everything that Stripe names has been heard, and everybody been looked at.
        if let RowsPass::From(after) = &self.rows
            && self.is_idle()
            && self.feed.is_done()
        {
            self.ask(Query::RowPage { after: after.clone() }, Work::RowPage);
        }
    }

    /// Takes an answer in; one that does not fit its question is dropped.
    pub(super) fn take(&mut self, work: Work, query: &Query, reply: &Reply, rules: &TierRules, times: Times) {
        let now = times.now;
        match (work, reply) {
            (Work::Shape, Reply::Shape(shape)) => self.shape = Some((**shape).clone()),
            (Work::Pressure, Reply::Pressure(reasons)) => self.hold(reasons.first().cloned()),
            (Work::Page(segment), Reply::SubscriptionPage { subscriptions, raw, next }) => {
                let theirs = self.feed.turned(segment, subscriptions, raw, next.as_ref());
                self.unreadable(raw);
                self.progress.subscriptions += theirs.len() as u64;
                let named = Arc::make_mut(&mut self.named);
                for s in &theirs {
                    named.extend([fingerprint(s.id.as_str()), fingerprint(s.customer.as_str())]);
                }
                self.hear(Heard { subscriptions: Arc::new(theirs), at: times.asked, snapshots: false });
            }
            (Work::Events, Reply::EventPage { events, raw, next, .. }) => {
                self.unreadable(raw);
                self.take_events(events, times.asked);
                if let Feed::Events(Some(range)) = &mut self.feed {
                    range.after.clone_from(next);
                    if next.is_none() {
                        self.feed = Feed::Events(None);
                    }
                }
            }
            (Work::Rows(heard), Reply::Rows(rows)) => {
                let rows: BTreeMap<&str, &SubscriptionRow> = rows.iter().filter_map(|(r, _)| Some((r.text(Field::Customer)?, r))).collect();
                self.compare(&heard, &rows, rules, now);
            }
            (Work::Naming(heard), Reply::Rows(rows)) => {
                let rows: Vec<&SubscriptionRow> = rows.iter().map(|(r, _)| r).collect();
                self.compare_named(&heard, &rows, rules, now);
            }
            (Work::RowPage, Reply::RowPage { rows, next }) => {
                self.progress.rows += rows.len() as u64;
                for row in rows {
                    self.compare_row(row, rules);
                }
                self.rows = next.clone().map_or(RowsPass::Done, |key| RowsPass::From(Some(key)));
            }
            (work, reply) => self.take_look(work, query, reply, rules, times),
        }
    }

    fn unreadable(&mut self, raw: &[RawEvent]) {
        self.progress.unreadable += raw.len() as u64;
        let room = NAMED.saturating_sub(self.progress.unreadable_ids.len());
        self.progress.unreadable_ids.extend(raw.iter().filter_map(|r| r.id.clone()).take(room));
    }

    fn take_events(&mut self, events: &[StripeEvent], asked: At) {
        let mut subscriptions = Vec::new();
        for event in events {
            match (&event.subscription, &event.customer) {
                // Newest first: what an older event carried has been overtaken.
                (Some(s), _) if Arc::make_mut(&mut self.named).insert(fingerprint(s.id.as_str())) => subscriptions.push((**s).clone()),
                (Some(_), _) | (None, None) => {}
                (None, Some(customer)) => self.suspect(Suspect::All(customer.clone())),
            }
        }
        self.progress.subscriptions += subscriptions.len() as u64;
        self.hear(Heard { subscriptions: Arc::new(subscriptions), at: asked, snapshots: true });
    }

    fn hear(&mut self, heard: Heard) {
        if heard.subscriptions.is_empty() {
            return;
        }
        let mut customers: Vec<StripeId> = heard.subscriptions.iter().map(|s| s.customer.clone()).collect();
        customers.sort();
        customers.dedup();
        self.ask(Query::RowsOf(customers), Work::Rows(heard));
    }

    /// Compares each with the row that holds its customer; the others are looked for by what else names them.
    fn compare(&mut self, heard: &Heard, rows: &BTreeMap<&str, &SubscriptionRow>, rules: &TierRules, now: At) {
        let Some(shape) = self.shape.clone() else { return };
        let mut unheld = Vec::new();
        for s in heard.subscriptions.iter() {
            let Some(row) = rows.get(s.customer.as_str()) else {
                if s.status.is_live() && tier_due(s, rules).map_or(true, |tier| tier != rules.free()) {
                    unheld.push(s.clone());
                }
                continue;
            };
            match glance(s, row, rules) {
                Glance::Agrees => {}
                Glance::NeedsAll => self.suspect(Suspect::All(s.customer.clone())),
                Glance::Decides => {
                    let side = Side {
                        customer: Some(&s.customer),
                        subscriptions: std::slice::from_ref(s),
                        row: Some(row),
                        subject: None,
                        read_at: heard.at,
                    };
                    match classify(&side, rules, &shape, self.moment(&shape, now)) {
                        // Beside an ended one there may be one that pays; and a snapshot may be old.
                        Judgement::Drifted(_) if heard.snapshots || !s.status.is_live() => self.suspect(Suspect::All(s.customer.clone())),
                        judgement => self.judged(judgement, row.subject.as_str(), false),
                    }
                }
            }
        }
        if !unheld.is_empty() {
            let subjects = unheld.iter().filter_map(|s| named_profile(&s.metadata)).collect();
            let subscriptions = unheld.iter().map(|s| s.id.clone()).collect();
            let heard = Heard { subscriptions: Arc::new(unheld), at: heard.at, snapshots: heard.snapshots };
            self.ask(Query::RowsNaming { subscriptions, subjects }, Work::Naming(heard));
        }
    }

    /// Live subscriptions whose customers no row holds, beside the rows that name them otherwise.
    fn compare_named(&mut self, heard: &Heard, rows: &[&SubscriptionRow], rules: &TierRules, now: At) {
        let Some(shape) = self.shape.clone() else { return };
        for s in heard.subscriptions.iter() {
            let by_id = |r: &&&SubscriptionRow| r.text(Field::Subscription) == Some(s.id.as_str());
            let row = rows.iter().find(by_id).filter(|r| r.text(Field::Customer).is_none_or(|c| StripeId::parse(c).is_err()));
            match row {
                Some(row) if !heard.snapshots => {
                    let subscriptions = std::slice::from_ref(s);
                    let side = Side { customer: Some(&s.customer), subscriptions, row: Some(row), subject: None, read_at: heard.at };
                    self.judged(classify(&side, rules, &shape, self.moment(&shape, now)), row.subject.as_str(), false);
                }
                // Metadata alone is no certain link: all the evidence decides.
                _ => self.suspect(Suspect::Case(Handle::Stripe(s.customer.clone()))),
            }
        }
    }

    /// A row that claims something of which Stripe has named nothing.
    fn compare_row(&mut self, row: &SubscriptionRow, rules: &TierRules) {
        if self.found.contains(row.subject.as_str()) {
            return;
        }
        let named = |text: &str| self.named.contains(&fingerprint(text));
        let serves = row.text(Field::Tier).is_some_and(|tier| tier != rules.free());
        let customer = row.text(Field::Customer).and_then(|c| StripeId::of(StripeKind::Customer, c));
        let known = customer.as_ref().is_some_and(|c| named(c.as_str()));
        let suspect = match (row.text(Field::Subscription), customer) {
            (Some(held), Some(customer)) if !named(held) => Suspect::All(customer),
            (Some(held), None) if !named(held) && !serves => return self.orphan(row, held),
            (Some(held), _) if named(held) && !known && serves => match StripeId::of(StripeKind::Subscription, held) {
                Some(id) => Suspect::One(id, Box::new(row.clone())),
                None => Suspect::Case(Handle::Subject(row.subject.clone())),
            },
            (Some(held), None) if !named(held) => Suspect::Case(Handle::Subject(row.subject.clone())),
            (None, Some(customer)) if serves && !known => Suspect::All(customer),
            (None, None) if serves => Suspect::Case(Handle::Subject(row.subject.clone())),
            _ => return,
        };
        self.suspect(suspect);
    }

    /// Serves nothing, and names a subscription that Stripe's list did not have: begun since, or never there.
    fn orphan(&mut self, row: &SubscriptionRow, held: &str) {
        match StripeId::of(StripeKind::Subscription, held) {
            Some(id) => self.suspect(Suspect::One(id, Box::new(row.clone()))),
            None => self.suspect(Suspect::Case(Handle::Subject(row.subject.clone()))),
        }
    }

    pub(super) fn judge_side(&mut self, subscriptions: &[Subscription], side: &Side, rules: &TierRules, now: At) {
        let Some(shape) = self.shape.clone() else { return };
        let side = Side { subscriptions, ..*side };
        let key = side.row.map(|r| &r.subject).or(side.subject).map(crate::domain::ids::SubjectKey::as_str);
        let of_customer = side.customer.map(StripeId::as_str);
        // Whoever had no profile when they were found, and has one now, was found by the customer.
        if let (Some(_), Some(customer)) = (key, of_customer.filter(|c| self.found.contains(c))) {
            Arc::make_mut(&mut self.found).remove(customer);
        }
        let key = key.or(of_customer).unwrap_or_default().to_string();
        self.judged(classify(&side, rules, &shape, self.moment(&shape, now)), &key, true);
    }

    fn judged(&mut self, judgement: Judgement, key: &str, whole: bool) {
        match judgement {
            Judgement::Agrees if whole && self.found.contains(key) => Arc::make_mut(&mut self.found).remove(key),
            Judgement::Agrees => {}
            Judgement::Settling => self.progress.settling += 1,
            Judgement::Unknown(_) => self.progress.unknown += 1,
            Judgement::Drifted(drifted) => Arc::make_mut(&mut self.found).insert(*drifted, whole),
        }
    }
}
