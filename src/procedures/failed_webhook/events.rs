//! Which events are meant: the selection followed through Stripe's list, page by page, or event by event. It judges nothing but how far back to look.

use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::Fault;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::row::{Field, SubscriptionRow, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{StripeEvent, Subscription};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::demand::Demand;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::protocol::answers::Answers;
use crate::protocol::query::{EventRange, Query, Reply};
use crate::protocol::run::{Inputs, Selection};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// So many events are asked for one by one; more are found in the list.
const ONE_BY_ONE: usize = 20;
/// So many pages of a hundred are followed.
const PAGES_AT_MOST: usize = 200;
/// The same while looking for the last effect: where nobody knows how far back that is.
const PAGES_BACK: usize = 30;

/// An event as far as a replay needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub id: StripeId,
    pub kind: String,
    pub at: At,
    pub customer: Option<StripeId>,
    pub subscription: Option<StripeId>,
    pub api_version: Option<String>,
    pub livemode: bool,
    pub pending: bool,
    /// The event's own object says what Stripe says now, as far as that is known. `None`: not known.
    pub newest: Option<bool>,
}

/// What the selection leads to so far.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that were selected and could be read, newest first.
    pub selected: Vec<Told>,
    /// The newest snapshot of each subscription in the list, selected or not, with its time.
    pub newest: BTreeMap<StripeId, (At, Subscription)>,
    /// Events that Stripe no longer has.
    pub gone: Vec<StripeId>,
    /// Elements of the list that are no readable events.
    pub unreadable: usize,
    /// Customers whose rows are wanted, in batches.
    pub batches: Vec<Vec<StripeId>>,
    /// What has to be asked next to go on.
    pub next: Vec<Query>,
    pub fault: Option<Fault>,
    /// Ended before everything was seen.
    pub cut: bool,
}

/// Follows the selection as far as the answers go.
pub fn listed(inputs: &Inputs, answers: &Answers) -> Listed {
    let until = match (&inputs.selection, inputs.until) {
        (Some(Selection::Window { until: Some(own), .. }), Some(fixed)) => Some(fixed.min(*own)),
        (Some(Selection::Window { until: Some(own), .. }), None) => Some(*own),
        (_, fixed) => fixed,
    };
    let chosen = |e: &StripeEvent| until.is_none_or(|u| e.created <= u);
    match &inputs.selection {
        Some(Selection::Events(ids)) => by_id(ids, answers),
        Some(Selection::Cause { since, .. }) => by_pages(*since, answers, chosen, false),
        Some(Selection::Window { from, .. }) => by_pages(*from, answers, chosen, false),
        Some(Selection::SinceLastApplied) => by_pages(At::default(), answers, chosen, true),
        Some(Selection::Customers(_)) | None => Listed::default(),
    }
}

/// The same selection by what does not change through its own effects.
pub fn pin(inputs: &Inputs, answers: &Answers) -> Inputs {
    let mut pinned = inputs.clone();
    if inputs.selection == Some(Selection::SinceLastApplied)
        && let Some(oldest) = listed(inputs, answers).selected.last()
    {
        pinned.selection = Some(Selection::Window { from: oldest.at, until: None });
    }
    pinned
}

fn by_pages(since: At, answers: &Answers, chosen: impl Fn(&StripeEvent) -> bool, to_the_last_effect: bool) -> Listed {
    let mut listed = Listed::default();
    let mut after = None;
    let at_most = if to_the_last_effect { PAGES_BACK } else { PAGES_AT_MOST };
    for page in 0.. {
        if page == at_most {
            listed.cut = true;
            return listed;
        }
        let query = Query::EventPage(EventRange { since, until: None, handled_only: true, undelivered_only: false, after: after.clone() });
        let (events, raw, next) = match answers.get(&query) {
            Some(Known::Is { value: Reply::EventPage { events, raw, next }, .. }) => (events, raw, next),
            Some(Known::Failed(fault)) => {
                listed.fault = Some(fault.clone());
                return listed;
            }
            Some(_) => return listed,
            None => {
                listed.next.push(query);
                return listed;
            }
        };
        listed.unreadable += raw.len();
        let customers: BTreeSet<StripeId> = events.iter().filter_map(|e| e.customer.clone()).collect();
        listed.batches.push(customers.into_iter().collect());
        for event in events {
            if let (Some(id), Some(s)) = (&event.subscription_id, &event.subscription) {
                listed.newest.entry(id.clone()).or_insert_with(|| (event.created, (**s).clone()));
            }
            if chosen(event) {
                listed.selected.push(told(event));
            }
        }
        if to_the_last_effect {
            match all_applied(events, answers, &listed) {
                None => return listed,
                Some(true) => return listed,
                Some(false) => {}
            }
        }
        match next {
            Some(last) => after = Some(last.clone()),
            None => return listed,
        }
    }
    listed
}

/// Whether a page of the list shows nothing amiss: before it, things were in order. `None`: its rows have not been read.
fn all_applied(events: &[StripeEvent], answers: &Answers, listed: &Listed) -> Option<bool> {
    let batch = listed.batches.last()?;
    if batch.is_empty() {
        return Some(false);
    }
    let rows = match answers.get(&Query::RowsOf(batch.clone())) {
        Some(Known::Is { value: Reply::Rows(rows), .. }) => rows,
        _ => return None,
    };
    let shape = match answers.get(&Query::Shape) {
        Some(Known::Is { value: Reply::Shape(shape), .. }) => shape,
        _ => return None,
    };
    let row_of = |c: &StripeId| rows.iter().map(|(row, _)| row).find(|r| r.text(Field::Customer) == Some(c.as_str()));
    Some(events.iter().all(|e| {
        let newest = |s: &Subscription| listed.newest.get(&s.id).is_none_or(|(at, _)| *at <= e.created);
        match (&e.subscription, &e.customer) {
            (Some(s), Some(c)) => !newest(s) || row_of(c).is_some_and(|row| follows(row, s, shape)),
            _ => true,
        }
    }))
}

/// The row is as this snapshot demands, the tier aside: which price buys which tier is not asked here.
fn follows(row: &SubscriptionRow, s: &Subscription, shape: &Shape) -> bool {
    let mut due = Demand::of(s, &TierRules::default()).image(&s.customer, &s.id, shape);
    due.remove(&Field::Tier);
    diff(&row.image, &due).is_empty()
}

fn told(e: &StripeEvent) -> Told {
    Told {
        id: e.id.clone(),
        kind: e.kind.clone(),
        at: e.created,
        customer: e.subscription.as_ref().map(|s| s.customer.clone()).or_else(|| e.customer.clone()),
        subscription: e.subscription_id.clone(),
        api_version: e.api_version.clone(),
        livemode: e.livemode,
        pending: e.pending_webhooks > 0,
        newest: None,
    }
}

/// A few by themselves; of many the oldest tells where the list begins.
fn by_id(ids: &[StripeId], answers: &Answers) -> Listed {
    let mut listed = Listed::default();
    let anchors: Vec<&StripeId> =
        if ids.len() <= ONE_BY_ONE { ids.iter().collect() } else { ids.first().into_iter().chain(ids.last()).collect() };
    let mut whole = Vec::new();
    for id in anchors {
        let query = Query::Event(id.clone());
        match answers.get(&query) {
            Some(Known::Is { value: Reply::Event(Some(text)), .. }) => whole.extend(read(id, text)),
            Some(Known::Is { value: Reply::Event(None), .. }) => listed.gone.push(id.clone()),
            Some(Known::Failed(fault)) => listed.fault = Some(fault.clone()),
            Some(_) => {}
            None => listed.next.push(query),
        }
    }
    if !listed.next.is_empty() || listed.fault.is_some() {
        return listed;
    }
    if ids.len() > ONE_BY_ONE {
        let Some(since) = whole.iter().map(|(t, _)| t.at).min() else { return listed };
        let wanted: BTreeSet<&StripeId> = ids.iter().collect();
        let gone = std::mem::take(&mut listed.gone);
        let mut paged = by_pages(since, answers, |e| wanted.contains(&e.id), false);
        paged.gone = gone;
        return paged;
    }
    let customers: BTreeSet<StripeId> = whole.iter().filter_map(|(t, _)| t.customer.clone()).collect();
    listed.batches.push(customers.into_iter().collect());
    for (mut told, object) in whole {
        told.newest = told.subscription.as_ref().and_then(|s| is_newest(&object, answers, s));
        listed.selected.push(told);
    }
    listed.selected.sort_by_key(|e| std::cmp::Reverse(e.at));
    listed
}

/// An event out of its JSON, with its object. An alien one is `None`.
fn read(id: &StripeId, text: &str) -> Option<(Told, Value)> {
    let event: Value = serde_json::from_str(text).ok()?;
    let object = event["data"]["object"].clone();
    let named = |value: &Value, kind: StripeKind| {
        let text = value.as_str().or_else(|| value["id"].as_str())?;
        StripeId::of(kind, text)
    };
    let kind = event["type"].as_str()?.to_string();
    let subscription = if kind.starts_with("customer.subscription.") {
        named(&object["id"], StripeKind::Subscription)
    } else {
        named(&object["parent"]["subscription_details"]["subscription"], StripeKind::Subscription)
            .or_else(|| named(&object["subscription"], StripeKind::Subscription))
    };
    let told = Told {
        id: id.clone(),
        at: At::from_timestamp(event["created"].as_i64()?, 0)?,
        customer: named(&object["customer"], StripeKind::Customer),
        subscription,
        api_version: event["api_version"].as_str().map(String::from),
        livemode: event["livemode"] == true,
        pending: event["pending_webhooks"].as_u64().unwrap_or(0) > 0,
        newest: None,
        kind,
    };
    Some((told, object))
}

/// Whether the event's own object is what Stripe has now: sent again, an older one would bring older values.
fn is_newest(object: &Value, answers: &Answers, subscription: &StripeId) -> Option<bool> {
    let Some(Known::Is { value: Reply::Subscriptions(now), .. }) = answers.get(&Query::Subscription(subscription.clone())) else {
        return None;
    };
    let now = now.first()?;
    if object["object"] != "subscription" {
        return None;
    }
    let item = &object["items"]["data"][0];
    let end = item["current_period_end"].as_i64().or_else(|| object["current_period_end"].as_i64());
    let same = object["status"] == now.status.word()
        && object["cancel_at_period_end"].as_bool().unwrap_or(false) == now.cancel_at_period_end
        && object["cancel_at"].as_i64() == now.cancel_at.map(|at| at.timestamp())
        && item["price"]["id"].as_str() == now.items.first().map(|i| i.price.id.as_str())
        && end == now.period_of(now.items.first()).map(|p| p.end.timestamp());
    Some(same)
}

/// Only these change a row, so only these can lack an effect.
pub fn is_handled(kind: &str) -> bool {
    HANDLED.contains(&kind)
}
