//! The events that were read, newest first, and the course of each subscription that they tell. Judges nothing.

use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::stripe::{Status, StripeEvent};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::course::{Course, Stand};
use crate::domain::webhooks::demand::{Demand, Terms};
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::feed::{Line, RawEvent};
use crate::domain::webhooks::judge::{Outcome, at_sight};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Snapshots of one moment do not come in the same second.
const SAME_MOMENT: Duration = Duration::seconds(60);
/// So many elements that cannot be read are kept.
const RAW_AT_MOST: usize = 1_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// Newest first; of one second in the order in which Stripe lists them.
    pub lines: Vec<Line>,
    pub raw: Vec<RawEvent>,
    /// By subscription; each shared with older copies of the feed for as long as it stays the same.
    pub courses: BTreeMap<StripeId, Arc<History>>,
    pub of_customer: BTreeMap<StripeId, Theirs>,
    /// The subscriptions whose row is not as it should be, or not known to be.
    pub bad: BTreeSet<StripeId>,
    kinds: BTreeSet<Arc<str>>,
    terms: Vec<Arc<Terms>>,
}

/// A customer's subscriptions: mostly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theirs {
    One(StripeId),
    Several(Vec<StripeId>),
}

/// One subscription's events. Kept small: there are about as many as there are events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub customer: StripeId,
    /// What each snapshot demands, oldest first.
    pub states: Vec<State>,
    pub before: Option<Box<Demand>>,
    /// Nothing of it for most of those that are fine.
    more: Option<Box<More>>,
    pub livemode: bool,
    pub outcome: Outcome,
    pub stand: Option<Stand>,
    /// When the row was read that it was last compared with.
    pub row_at: Option<At>,
    /// When that row was written, as its own column says.
    pub written: Option<At>,
}

/// What only some of them have, and what matters only until the effect is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct More {
    /// Events that say that something happened, and not what.
    loose: Vec<(At, StripeId)>,
    current: Option<Current>,
    /// The profile that metadata names.
    profile: Option<SubjectKey>,
    /// The version that its newest event is rendered at.
    api_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub event: StripeId,
    pub at: At,
    pub demand: Demand,
}

/// What Stripe said when asked for the subscription itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Current {
    pub at: At,
    /// `None`: Stripe has none of this id.
    pub demand: Option<Demand>,
    /// It was read in the mirror of Stripe in the database, which was so many seconds old then.
    pub mirror_age: Option<i64>,
}

impl History {
    fn new(customer: StripeId) -> Self {
        Self {
            customer,
            states: Vec::new(),
            before: None,
            more: None,
            livemode: false,
            outcome: Outcome::Unread,
            stand: None,
            row_at: None,
            written: None,
        }
    }

    /// When its newest event happened.
    pub fn newest(&self) -> At {
        let state = self.states.last().map(|s| s.at);
        state.max(self.loose().iter().map(|(at, _)| *at).max()).unwrap_or_default()
    }

    /// Events that say that something happened, and not what.
    pub fn loose(&self) -> &[(At, StripeId)] {
        self.more.as_ref().map_or(&[], |m| &m.loose)
    }

    /// The profile that metadata names; of those that are fine it is forgotten.
    pub fn profile(&self) -> Option<&SubjectKey> {
        self.more.as_ref()?.profile.as_ref()
    }

    /// The version that its newest event is rendered at; of those that are fine it is forgotten.
    pub fn api_version(&self) -> Option<&str> {
        self.more.as_ref()?.api_version.as_deref()
    }

    /// The event changed nothing that a row holds: its effect was there before it.
    pub fn demanded_nothing(&self, event: &StripeId) -> bool {
        let Some(own) = self.states.iter().position(|s| s.event == *event) else { return false };
        let before = own.checked_sub(1).map(|i| &self.states[i].demand).or(self.before.as_deref());
        before == Some(&self.states[own].demand)
    }

    /// The event before this one whose demand the row holds, where it holds that.
    pub fn older_in_row(&self, event: &StripeId) -> Option<&StripeId> {
        let Some(Stand::At(k)) = self.stand else { return None };
        let own = self.states.iter().position(|s| s.event == *event)?;
        self.states.get(k).filter(|_| k < own).map(|s| &s.event)
    }

    /// What Stripe said itself, where nothing has happened since.
    pub fn current(&self) -> Option<&Current> {
        self.more.as_ref()?.current.as_ref().filter(|c| c.at >= self.newest())
    }

    /// Stripe itself has said what is due.
    pub fn told(&mut self, current: Current) {
        self.more.get_or_insert_default().current = Some(current);
    }

    /// The effect is there: what would have explained why it is not is let go.
    pub fn is_fine(&mut self) {
        let Some(more) = &mut self.more else { return };
        (more.profile, more.api_version) = (None, None);
        if more.loose.is_empty() && more.current.is_none() {
            self.more = None;
        }
    }

    /// A snapshot tells what came of every event, or Stripe was asked since.
    pub fn is_told(&self) -> bool {
        let Some((loose, _)) = self.loose().iter().max_by_key(|(at, _)| *at) else { return true };
        self.current().is_some() || self.states.last().is_some_and(|s| s.at >= *loose || Self::tells(s, *loose))
    }

    /// The snapshot of a failed payment may be a moment older than the event that names it.
    fn tells(state: &State, at: At) -> bool {
        state.at + SAME_MOMENT >= at && !matches!(state.demand.status, Status::Active | Status::Trialing)
    }

    /// Every event with the state that it is judged by.
    pub fn events(&self) -> impl Iterator<Item = (At, &StripeId, usize)> {
        let own = self.states.iter().enumerate().map(|(i, s)| (s.at, &s.event, i));
        own.chain(self.loose().iter().map(|(at, id)| (*at, id, self.in_force(*at))))
    }

    fn in_force(&self, at: At) -> usize {
        let of_states = self.states.iter().rposition(|s| s.at <= at || Self::tells(s, at));
        let last = self.states.len().checked_sub(1);
        match (of_states, self.current()) {
            // After the last snapshot, and Stripe's object says otherwise than that: it is the object that counts.
            (at_most, Some(current)) if at_most == last && current.demand.as_ref() != self.states.last().map(|s| &s.demand) => {
                let told = self.states.last().is_some_and(|s| s.at >= at || Self::tells(s, at));
                if told { last.unwrap_or(0) } else { self.states.len() }
            }
            (Some(i), _) => i,
            (None, _) => 0,
        }
    }

    /// Hands its course to whoever judges it.
    pub fn with<T>(&self, subscription: &StripeId, follows_live: bool, f: impl FnOnce(&Course) -> T) -> T {
        let states: Vec<&Demand> = self.states.iter().map(|s| &s.demand).collect();
        f(&Course {
            customer: &self.customer,
            subscription,
            states: &states,
            before: self.before.as_deref(),
            current: self.current().and_then(|c| c.demand.as_ref()),
            follows_live,
        })
    }

    /// What is due by the newest that is known.
    pub fn due(&self) -> Option<&Demand> {
        self.current().and_then(|c| c.demand.as_ref()).or(self.states.last().map(|s| &s.demand))
    }
}

impl Theirs {
    fn push(&mut self, subscription: StripeId) {
        match self {
            Theirs::One(first) => *self = Theirs::Several(vec![first.clone(), subscription]),
            Theirs::Several(all) => all.push(subscription),
        }
    }

    /// Whether none is left.
    fn remove(&mut self, subscription: &StripeId) -> bool {
        match self {
            Theirs::One(only) => only == subscription,
            Theirs::Several(all) => {
                all.retain(|s| s != subscription);
                all.is_empty()
            }
        }
    }
}

impl Feed {
    /// Takes a page in, as Stripe lists it: newest first. Gives the customers whose rows are to be looked at.
    pub fn take(&mut self, page: &[StripeEvent], raw: &[RawEvent], rules: &TierRules) -> BTreeSet<StripeId> {
        for odd in raw {
            if !self.raw.contains(odd) && self.raw.len() < RAW_AT_MOST {
                self.raw.push(odd.clone());
            }
        }
        let mut met = BTreeSet::new();
        let fresh: Vec<&StripeEvent> = page.iter().filter(|e| self.place(e.created, &e.id).is_none() && met.insert(&e.id)).collect();
        let Some(newest) = fresh.first().map(|e| e.created) else { return BTreeSet::new() };
        // Of one second, what came to the list later is newer: a page from its head goes in front, one from its tail behind.
        let head = self.lines.first().is_none_or(|l| newest >= l.at);
        let mut touched = BTreeSet::new();
        let mut lines: Vec<Line> = Vec::with_capacity(fresh.len());
        for event in &fresh {
            lines.push(self.line(event));
        }
        let in_time: Box<dyn Iterator<Item = &&StripeEvent>> = if head { Box::new(fresh.iter().rev()) } else { Box::new(fresh.iter()) };
        for event in in_time {
            touched.extend(self.tell(event, head, rules));
        }
        if head {
            lines.append(&mut self.lines);
            self.lines = lines;
        } else {
            self.lines.append(&mut lines);
        }
        if !self.lines.is_sorted_by(|a, b| a.at >= b.at) {
            self.lines.sort_by_key(|l| std::cmp::Reverse(l.at));
        }
        touched
    }

    fn line(&mut self, e: &StripeEvent) -> Line {
        let kind = self.kinds.get(e.kind.as_str()).cloned().unwrap_or_else(|| {
            let kind: Arc<str> = e.kind.as_str().into();
            self.kinds.insert(Arc::clone(&kind));
            kind
        });
        let (customer, subscription) = e.names();
        // Each id once, however many events name it.
        let subscription = subscription.map(|s| self.courses.get_key_value(s).map_or(s, |(k, _)| k).clone());
        let customer = customer.map(|c| self.of_customer.get_key_value(c).map_or(c, |(k, _)| k).clone());
        let object = e.object.clone().map(|o| subscription.clone().filter(|s| *s == o).unwrap_or(o));
        Line {
            id: e.id.clone(),
            kind,
            at: e.created,
            object,
            customer,
            subscription,
            pending: e.pending_webhooks > 0,
            verdict: at_sight(e),
            cause: None,
        }
    }

    /// Adds the event to the course of its subscription. `head`: events come oldest first, else newest first.
    fn tell(&mut self, e: &StripeEvent, head: bool, rules: &TierRules) -> Option<StripeId> {
        if !HANDLED.contains(&e.kind.as_str()) {
            return None;
        }
        let (Some(customer), Some(subscription)) = e.names() else { return None };
        let (customer, subscription) = (customer.clone(), subscription.clone());
        if !self.courses.contains_key(&subscription) {
            match self.of_customer.entry(customer.clone()) {
                Entry::Vacant(empty) => drop(empty.insert(Theirs::One(subscription.clone()))),
                Entry::Occupied(mut theirs) => theirs.get_mut().push(subscription.clone()),
            }
            self.courses.insert(subscription.clone(), Arc::new(History::new(customer.clone())));
            self.bad.insert(subscription.clone());
        }
        let h = Arc::make_mut(self.courses.get_mut(&subscription).expect("invariant: it was just put there"));
        let more = h.more.get_or_insert_default();
        more.profile = more.profile.take().or_else(|| e.profile.clone());
        if head || more.api_version.is_none() {
            more.api_version.clone_from(&e.api_version);
        }
        h.livemode = e.livemode;
        match e.subscription.as_deref() {
            None => more.loose.push((e.created, e.id.clone())),
            Some(s) => {
                let at =
                    if head { h.states.partition_point(|s| s.at <= e.created) } else { h.states.partition_point(|s| s.at < e.created) };
                if at == 0 {
                    h.before = e.previous.as_deref().map(|p| Box::new(Demand::of(p, rules).sharing(&mut self.terms)));
                }
                // Most have one.
                h.states.reserve_exact(1);
                let demand = Demand::of(s, rules).sharing(&mut self.terms);
                h.states.insert(at, State { event: e.id.clone(), at: e.created, demand });
            }
        }
        Some(customer)
    }

    /// Everything on the page is there already: then nothing has to be written, and so nothing copied.
    pub fn holds(&self, page: &[StripeEvent], raw: &[RawEvent]) -> bool {
        page.iter().all(|e| self.place(e.created, &e.id).is_some()) && raw.iter().all(|odd| self.raw.contains(odd))
    }

    /// Where the event stands in the list.
    pub fn place(&self, at: At, id: &StripeId) -> Option<usize> {
        let begin = self.lines.partition_point(|l| l.at > at);
        self.lines[begin..].iter().take_while(|l| l.at == at).position(|l| l.id == *id).map(|i| begin + i)
    }

    /// Lets go of what happened before then.
    pub fn forget_before(&mut self, then: At) {
        let keep = self.lines.partition_point(|l| l.at >= then);
        if keep == self.lines.len() {
            return;
        }
        let gone = self.lines.split_off(keep);
        for subscription in gone.into_iter().filter_map(|l| l.subscription).collect::<BTreeSet<_>>() {
            let Some(h) = self.courses.get_mut(&subscription).map(Arc::make_mut) else { continue };
            // The last one that goes is what was before the first that stays.
            if let Some(last) = h.states.iter().rposition(|s| s.at < then) {
                h.before = Some(Box::new(h.states[last].demand.clone()));
            }
            h.states.retain(|s| s.at >= then);
            if let Some(more) = &mut h.more {
                more.loose.retain(|(at, _)| *at >= then);
            }
            if h.states.is_empty() && h.loose().is_empty() {
                let customer = h.customer.clone();
                self.courses.remove(&subscription);
                self.bad.remove(&subscription);
                if self.of_customer.get_mut(&customer).is_some_and(|theirs| theirs.remove(&subscription)) {
                    self.of_customer.remove(&customer);
                }
            }
        }
    }

    /// The customer's subscriptions that events are about.
    pub fn theirs(&self, customer: &StripeId) -> &[StripeId] {
        match self.of_customer.get(customer) {
            Some(Theirs::One(subscription)) => std::slice::from_ref(subscription),
            Some(Theirs::Several(all)) => all,
            None => &[],
        }
    }

    /// Subscriptions that Stripe is still to be asked for, the newest first.
    pub fn suspects(&self) -> impl Iterator<Item = &StripeId> {
        self.bad.iter().filter(|s| self.courses.get(*s).is_some_and(|h| h.outcome == Outcome::Suspect))
    }

    /// The row names another subscription of theirs that has not ended, as far as its events tell.
    pub fn is_live(&self, subscription: &StripeId) -> bool {
        self.courses.get(subscription).and_then(|h| h.due()).is_some_and(Demand::binds)
    }
}
