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
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// So many events are asked for one by one; more are found in the list.
const ONE_BY_ONE: usize = 20;
/// So many pages of a hundred are followed: of each subscription only the newest state becomes an act, so the plan stays far smaller.
const PAGES_AT_MOST: usize = 1_000;
/// The same while looking for the last effect: where nobody knows how far back that is.
const PAGES_BACK: usize = 300;

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

/// Where the list need not be followed any further.
#[derive(Debug, Clone, Copy)]
enum Until<'a> {
    /// Its end, or that of the time that is meant.
    End,
    /// So many have been selected.
    Met(usize),
    /// A page that shows the application at work.
    LastEffect(Option<&'a TierRules>),
}

/// What the selection leads to so far; the snapshots stay where the answers hold them.
#[derive(Debug, Default)]
pub struct Listed<'a> {
    /// Those that were selected and could be read, newest first.
    pub selected: Vec<Told>,
    /// The newest snapshot of each subscription in the list, selected or not, with its time.
    pub newest: BTreeMap<&'a StripeId, (At, &'a Subscription)>,
    /// The event that each of those snapshots is from, and its type.
    pub carried: BTreeMap<&'a StripeId, (&'a StripeId, &'a str)>,
    /// When the newest event of each subscription in the list happened, selected or not, with or without a snapshot.
    pub last: BTreeMap<&'a StripeId, At>,
    /// That event of each.
    pub head: BTreeMap<&'a StripeId, &'a StripeId>,
    /// The events of each subscription in the list that Stripe still owes somebody and that can change its row, selected or not.
    pub owed: BTreeMap<&'a StripeId, Vec<(At, &'a StripeId)>>,
    /// The snapshot that each selected event of the list carries.
    pub own: BTreeMap<&'a StripeId, &'a Subscription>,
    /// Events that Stripe no longer has.
    pub gone: Vec<StripeId>,
    /// Selected by their ids, and not met in the list as far as it was followed.
    pub unmet: Vec<StripeId>,
    /// Elements of the list that are no readable events.
    pub unreadable: usize,
    /// Customers whose rows are wanted, in batches.
    pub batches: Vec<Vec<StripeId>>,
    /// What has to be asked next to go on.
    pub next: Vec<Query>,
    pub fault: Option<Fault>,
    /// Ended before everything was seen: nothing older than this was looked at.
    pub cut: Option<At>,
}

impl<'a> Listed<'a> {
    /// An event of the list, which comes newest first.
    fn meet(&mut self, event: &'a StripeEvent) {
        let Some(id) = &event.subscription_id else { return };
        let at = self.last.entry(id).or_insert(event.created);
        *at = event.created.max(*at);
        self.head.entry(id).or_insert(&event.id);
        if event.pending_webhooks > 0 && is_handled(&event.kind) {
            self.owed.entry(id).or_default().push((event.created, &event.id));
        }
        if let Some(s) = event.subscription.as_deref() {
            self.newest.entry(id).or_insert((event.created, s));
            self.carried.entry(id).or_insert((&event.id, &event.kind));
        }
    }
}

/// Follows the selection as far as the answers go. `rules`: which price buys which tier; `None`: that is not asked.
pub fn listed<'a>(inputs: &Inputs, answers: &'a Answers, rules: Option<&TierRules>) -> Listed<'a> {
    let until = match (&inputs.selection, inputs.until) {
        (Some(Selection::Window { until: Some(own), .. }), Some(fixed)) => Some(fixed.min(*own)),
        (Some(Selection::Window { until: Some(own), .. }), None) => Some(*own),
        (_, fixed) => fixed,
    };
    let chosen = |e: &StripeEvent| until.is_none_or(|u| e.created <= u);
    match &inputs.selection {
        Some(Selection::Events(ids)) => by_id(ids, answers, inputs.allowance_seconds.is_none()),
        Some(Selection::Window { from, .. }) => {
            unfinished(*from, answers, |_| false).unwrap_or_else(|| by_pages(*from, answers, chosen, Until::End))
        }
        Some(Selection::SinceLastApplied) => by_pages(At::default(), answers, chosen, Until::LastEffect(rules)),
        Some(Selection::Customers(_) | Selection::Sessions { .. }) | None => Listed::default(),
    }
}

/// The same selection by what does not change through its own effects: whatever was looked through is looked through again.
pub fn pin(inputs: &Inputs, answers: &Answers) -> Inputs {
    let mut pinned = inputs.clone();
    if inputs.selection == Some(Selection::SinceLastApplied) {
        let until = |e: &StripeEvent| inputs.until.is_none_or(|u| e.created <= u);
        if let Some(oldest) = by_pages(At::default(), answers, until, Until::End).selected.last() {
            pinned.selection = Some(Selection::Window { from: oldest.at, until: None });
        }
    }
    pinned
}

/// While a list is still being read: what to ask next. Its events are looked at once, when all are there, or `enough` of them.
fn unfinished<'a>(since: At, answers: &Answers, enough: impl Fn(&[&Vec<StripeEvent>]) -> bool) -> Option<Listed<'a>> {
    let (mut after, mut batches) = (None, Vec::new());
    let mut pages: Vec<&Vec<StripeEvent>> = Vec::new();
    for _ in 0..PAGES_AT_MOST {
        let query = page(since, after);
        match answers.get(&query) {
            Some(Known::Is { value: Reply::EventPage { events, next, .. }, .. }) => {
                pages.push(events);
                after = Some(next.as_ref()?.clone());
            }
            Some(Known::Waiting) => return Some(Listed::default()),
            Some(_) => return None,
            None if enough(&pages) => return None,
            None => {
                batches.extend(pages.last().map(|events| customers(events)));
                return Some(Listed { next: vec![query], batches, ..Listed::default() });
            }
        }
    }
    None
}

fn page(since: At, after: Option<StripeId>) -> Query {
    Query::EventPage(EventRange { since, until: None, handled_only: true, undelivered_only: false, after })
}

/// A page of the list without what no replay looks at: of a hundred thousand events that is more than half.
pub fn lightened(reply: Reply) -> Reply {
    let Reply::EventPage { mut events, raw, next, clock_ahead } = reply else { return reply };
    for event in &mut events {
        (event.previous, event.profile) = (None, None);
        if let Some(s) = &mut event.subscription {
            s.metadata.clear();
        }
    }
    events.shrink_to_fit();
    Reply::EventPage { events, raw, next, clock_ahead }
}

fn customers(events: &[StripeEvent]) -> Vec<StripeId> {
    let customers: BTreeSet<StripeId> = events.iter().filter_map(|e| e.customer.clone()).collect();
    customers.into_iter().collect()
}

fn by_pages<'a>(since: At, answers: &'a Answers, chosen: impl Fn(&StripeEvent) -> bool, until: Until<'_>) -> Listed<'a> {
    let mut listed = Listed::default();
    let mut after = None;
    let at_most = if matches!(until, Until::LastEffect(_)) { PAGES_BACK } else { PAGES_AT_MOST };
    for nth in 0.. {
        if nth == at_most {
            listed.cut = listed.selected.last().map(|t| t.at).or_else(|| listed.last.values().min().copied());
            return listed;
        }
        let query = page(since, after.clone());
        let (events, raw, next) = match answers.get(&query) {
            Some(Known::Is { value: Reply::EventPage { events, raw, next, .. }, .. }) => (events, raw, next),
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
        listed.batches.push(customers(events));
        for event in events {
            listed.meet(event);
            if chosen(event) {
                listed.selected.push(told(event));
                listed.own.extend(event.subscription.as_deref().map(|s| (&event.id, s)));
            }
        }
        match until {
            Until::End => {}
            Until::Met(all) if listed.selected.len() >= all => return listed,
            Until::Met(_) => {}
            // It was looked behind already: it was not in order.
            Until::LastEffect(_) if next.as_ref().is_some_and(|last| answers.get(&page(since, Some(last.clone()))).is_some()) => {}
            // Not known yet, or in order: before it, there is nothing to look for.
            Until::LastEffect(rules) if in_order(events, answers, &listed, rules) != Some(false) => return listed,
            Until::LastEffect(_) => {}
        }
        match next {
            Some(last) => after = Some(last.clone()),
            None => return listed,
        }
    }
    listed
}

/// Whether a page of the list shows the application at work: some newest state is in its row, and none is missing. What is superseded
/// says nothing, and neither does an invoice. `None`: its rows have not been read.
fn in_order(events: &[StripeEvent], answers: &Answers, listed: &Listed, rules: Option<&TierRules>) -> Option<bool> {
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
    let by_customer: BTreeMap<&str, &SubscriptionRow> =
        rows.iter().filter_map(|(row, _)| Some((row.text(Field::Customer)?, row))).collect();
    let mut applied = false;
    for event in events {
        let (Some(s), Some(customer)) = (&event.subscription, &event.customer) else { continue };
        if listed.newest.get(&s.id).is_some_and(|(at, _)| *at > event.created) {
            continue;
        }
        if !by_customer.get(customer.as_str()).is_some_and(|row| follows(row, s, shape, rules)) {
            return Some(false);
        }
        applied = true;
    }
    Some(applied)
}

/// The row is as this snapshot demands; the tier as far as the rules and the snapshot tell it.
pub(super) fn follows(row: &SubscriptionRow, s: &Subscription, shape: &Shape, rules: Option<&TierRules>) -> bool {
    let mut due = match rules {
        Some(rules) => Demand::of(s, rules),
        None => Demand::of(s, &TierRules::default()),
    }
    .image(&s.customer, &s.id, shape);
    if rules.is_none() {
        due.remove(&Field::Tier);
    }
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

/// A few by themselves; many are found in the list, which is followed until all of them have been met. `teach`: nobody has said how long
/// effects take here, which the head of the list tells.
fn by_id<'a>(ids: &[StripeId], answers: &'a Answers, teach: bool) -> Listed<'a> {
    if ids.len() > ONE_BY_ONE {
        let wanted: HashSet<&StripeId> = ids.iter().collect();
        let met = |page: &&Vec<StripeEvent>| page.iter().filter(|e| wanted.contains(&e.id)).count();
        // The last of them is on the page that was read last, or not met yet: only then are all of them counted.
        let enough =
            |pages: &[&Vec<StripeEvent>]| pages.last().is_some_and(|p| met(p) > 0) && pages.iter().map(met).sum::<usize>() >= wanted.len();
        if let Some(listed) = unfinished(At::default(), answers, enough) {
            return listed;
        }
        let mut listed = by_pages(At::default(), answers, |e| wanted.contains(&e.id), Until::Met(wanted.len()));
        if listed.next.is_empty() && listed.fault.is_none() {
            let met: BTreeSet<&StripeId> = listed.selected.iter().map(|t| &t.id).collect();
            listed.unmet = wanted.into_iter().filter(|id| !met.contains(id)).cloned().collect();
        }
        return listed;
    }
    let mut listed = Listed::default();
    let mut whole = Vec::new();
    for id in ids {
        let query = Query::Event(id.clone());
        match answers.get(&query) {
            Some(Known::Is { value: Reply::Event(Some(text)), .. }) => whole.extend(read(id, text)),
            Some(Known::Is { value: Reply::Event(None), .. }) => listed.gone.push(id.clone()),
            Some(Known::Failed(fault)) => listed.fault = Some(fault.clone()),
            Some(_) => {}
            None => listed.next.push(query),
        }
    }
    if teach && !ids.is_empty() {
        let query = page(At::default(), None);
        match answers.get(&query) {
            Some(Known::Is { value: Reply::EventPage { events, .. }, .. }) => {
                listed.batches.push(customers(events));
                events.iter().for_each(|e| listed.meet(e));
                let selected = events.iter().filter(|e| ids.contains(&e.id));
                listed.own.extend(selected.filter_map(|e| Some((&e.id, e.subscription.as_deref()?))));
            }
            Some(Known::Failed(fault)) => listed.fault = Some(fault.clone()),
            Some(_) => {}
            None => listed.next.push(query),
        }
    }
    if !listed.next.is_empty() || listed.fault.is_some() {
        return listed;
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
