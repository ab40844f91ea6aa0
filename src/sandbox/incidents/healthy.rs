//! Incident `healthy`: days of ordinary traffic, delivered with lag, out of order and now and then twice. Nothing is wrong afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;

use super::check::Standing;
use super::ground::Turn;
use super::happenings::{cast, perform};
use super::people::outlasts;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::Billing;
use crate::sandbox::population::ids::mix;

pub const SPEC: Spec = Spec {
    name: "healthy",
    title: "a week of ordinary traffic: nothing to find",
    background: 0,
    usual: 60,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

const INCIDENT: Incident = Incident::Healthy;

const DAYS: i64 = 7;
/// The newest that happens; younger effects could still be under way.
const SETTLED: Duration = Duration::minutes(10);
/// How many events are applied at once; what happens to one person stays in order.
const AT_ONCE: u64 = 6;

/// The events that demand something of a row.
const DEMANDING: [&str; 4] =
    ["customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "invoice.payment_failed"];

/// At most so many events of the people's own, the newest; in a large town a week has more.
const MOST: usize = 100_000;
/// So many events are in memory at once.
const CHUNK: usize = 2_000;

/// What happened to whom.
struct Occurrence {
    at: DateTime<Utc>,
    number: u64,
    event: String,
}

/// One delivery of an event to the application.
struct Delivery {
    event: Arc<Value>,
    number: u64,
    at: DateTime<Utc>,
}

/// What an event demands, of whom.
struct Demand {
    occurrence: Occurrence,
    kind: String,
    subscription: String,
}

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    ground.must_be_well(INCIDENT).await?;
    let (from, to) = (turn.present - Duration::days(DAYS), turn.present - SETTLED);
    // What the people do by themselves: renewals, trials, declined cards, ends of subscriptions.
    let mut happened: Vec<Occurrence> = Vec::new();
    for (at, event) in ground.simulator().events_between(from, to) {
        let number = ground.population().subscription_number(&event);
        happened.extend(number.filter(|n| !ground.is_taken(*n)).map(|number| Occurrence { at, number, event }));
    }
    // They are as their last event left them: nothing else may have happened to them in between.
    happened.iter().for_each(|o| ground.take(o.number));
    happened.drain(..happened.len().saturating_sub(MOST));
    // And what `count` others do besides.
    let parts = cast(ground, INCIDENT, turn)?;
    let mut left_with = HashMap::new();
    let minutes = (to - from).num_minutes();
    for (index, part) in parts.into_iter().enumerate() {
        let share = mix(ground.population().seed(), 0x7A_FF1C + index as u64) % minutes.unsigned_abs();
        let at = to - Duration::minutes(share.cast_signed());
        let happening = perform(ground, part, turn, index, at);
        left_with.insert(part.number, happening.standing);
        happened.extend(happening.events.into_iter().map(|event| Occurrence { at, number: part.number, event }));
    }
    happened.sort_by(|a, b| (a.at, &a.event).cmp(&(b.at, &b.event)));
    let mut demands = Vec::new();
    let mut rest = happened.into_iter().peekable();
    while rest.peek().is_some() {
        let mut deliveries = Vec::new();
        for occurrence in rest.by_ref().take(CHUNK) {
            let Some(event) = ground.simulator().object(&occurrence.event).map(Arc::new) else { continue };
            let at = arrivals(&occurrence.event, occurrence.at);
            deliveries.extend(at.map(|at| Delivery { event: Arc::clone(&event), number: occurrence.number, at }));
            demands.extend(demand(occurrence, &event));
        }
        deliver(ground, deliveries).await;
    }
    // What happened to the same person in a later second has the last word.
    let mut last: HashMap<u64, DateTime<Utc>> = HashMap::new();
    let fresh = ground.simulator().events_between(to + Duration::seconds(1), turn.present);
    let fresh = fresh.into_iter().filter_map(|(at, event)| Some((ground.population().subscription_number(&event)?, at)));
    for (number, at) in demands.iter().map(|d| (d.occurrence.number, d.occurrence.at)).chain(fresh) {
        last.entry(number).and_modify(|latest| *latest = at.max(*latest)).or_insert(at);
    }
    // Who renews within a day is not looked after: the row changes.
    let calm = |d: &Demand| match ground.population().billing(d.occurrence.number) {
        Billing::Paid(c) => c.status == "canceled" || outlasts(c, turn.present),
        Billing::Free | Billing::Placeholder => true,
    };
    let labels = demands.into_iter().filter(calm).map(|demand| {
        let number = demand.occurrence.number;
        let is_last = last.get(&number) == Some(&demand.occurrence.at);
        let standing = left_with.get(&number).copied().unwrap_or_else(|| by_themselves(ground, number));
        label(ground, demand, standing, is_last)
    });
    Ok(labels.collect())
}

fn demand(occurrence: Occurrence, event: &Value) -> Option<Demand> {
    let kind = event["type"].as_str().filter(|kind| DEMANDING.contains(kind))?.to_string();
    let object = &event["data"]["object"];
    let of_invoice = &object["parent"]["subscription_details"]["subscription"];
    let subscription = of_invoice.as_str().or(object["id"].as_str())?.to_string();
    Some(Demand { occurrence, kind, subscription })
}

/// When an event reaches the application: mostly in seconds, now and then minutes late, one in forty twice. The times of two events of one
/// second are often swapped; events that undo each other never lie so close.
fn arrivals(event: &str, created: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    let draw = event.bytes().fold(0, |hash, byte| mix(hash, u64::from(byte)));
    let seconds = if draw.is_multiple_of(20) { 30 + draw / 20 % 150 } else { 1 + draw / 20 % 5 };
    let first = created + Duration::seconds(seconds.cast_signed());
    let again = (draw / 4_000).is_multiple_of(40).then(|| first + Duration::seconds(40));
    std::iter::once(first).chain(again)
}

/// All of them in the order of their arrival; those of one person one after the other.
async fn deliver(ground: &Ground, mut deliveries: Vec<Delivery>) {
    deliveries.sort_by(|a, b| (a.at, a.event["id"].as_str()).cmp(&(b.at, b.event["id"].as_str())));
    let mut lanes: Vec<Vec<Delivery>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
    for delivery in deliveries {
        let lane = usize::try_from(delivery.number % AT_ONCE).expect("invariant: a few lanes");
        lanes[lane].push(delivery);
    }
    stream::iter(lanes)
        .for_each_concurrent(None, |lane| async move {
            for delivery in lane {
                ground.hand_over_object(&delivery.event, delivery.at).await;
            }
        })
        .await;
}

/// What the population's own people are left with.
fn by_themselves(ground: &Ground, number: u64) -> Standing {
    match ground.population().billing(number) {
        Billing::Paid(c) if c.status != "canceled" => Standing { tier: c.tier.word(), status: c.status },
        _ => Standing::ENDED,
    }
}

fn label(ground: &Ground, demand: Demand, standing: Standing, is_last: bool) -> Label {
    let Demand { occurrence, kind, subscription } = demand;
    let profile = ground.key(occurrence.number);
    let expected = ground.demanded(&profile, &subscription, standing);
    Label {
        incident: INCIDENT,
        broke: "nothing: delivered and applied".into(),
        at: occurrence.at,
        cause: Cause::None,
        truth: Some(if is_last { Truth::Fine } else { Truth::Superseded }),
        subject: Subject {
            number: Some(occurrence.number),
            profile: Some(profile),
            customer: Some(expected.customer.clone()),
            event: Some(occurrence.event),
            event_type: Some(kind.into()),
            ..Subject::default()
        },
        check: Check::Row(expected),
    }
}
