//! Incident `drift`: rows that differ from Stripe although every event was delivered; one class after the other.

use chrono::{DateTime, Duration, Utc};

use super::check::Standing;
use super::ground::Turn;
use super::happenings::steady;
use super::people::Suits;
use super::{Cause, Check, Expected, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::ids::{Kind, Place, digits, mix};
use crate::sandbox::population::{Billing, Interval, SandboxTier};
use crate::sandbox::schema::TIERS;

pub const SPEC: Spec = Spec {
    name: "drift",
    title: "rows differ from Stripe although every event was delivered",
    background: 0,
    usual: 18,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

const INCIDENT: Incident = Incident::Drift;

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    WrongTier,
    WrongStatus,
    StalePeriod,
    CancelFlag,
    CanceledButPaid,
    DeletedCustomer,
    UnlinkedPlaceholder,
    WrongSubscription,
    IntervalWord,
}

/// The n-th subject drifts in the n-th way, over and over.
const CLASSES: [Class; 9] = [
    Class::WrongTier,
    Class::WrongStatus,
    Class::StalePeriod,
    Class::CancelFlag,
    Class::CanceledButPaid,
    Class::DeletedCustomer,
    Class::UnlinkedPlaceholder,
    Class::WrongSubscription,
    Class::IntervalWord,
];

/// What drifted how, as its label says it.
struct Drifted {
    row: Expected,
    event: String,
    event_type: &'static str,
    cause: Cause,
    truth: Truth,
    broke: &'static str,
}

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    ground.must_be_well(INCIDENT).await?;
    // PRO by the month, renewed at least once: every class can happen to them, and their last event is less than a month old.
    let suits = |billing: Billing| {
        matches!(billing, Billing::Paid(c) if c.tier == SandboxTier::Pro && c.interval == Interval::Month && c.cycle > 0)
            && steady(billing, turn.present)
    };
    let suits: Suits = &suits;
    let people = ground.pick(INCIDENT, turn.count, suits)?;
    let mut labels = Vec::with_capacity(people.len());
    for (index, number) in people.into_iter().enumerate() {
        labels.push(one(ground, number, CLASSES[index % CLASSES.len()], turn, index).await?);
    }
    Ok(labels)
}

async fn one(ground: &Ground, number: u64, class: Class, turn: Turn, index: usize) -> Result<Label, IncidentError> {
    // Within the last day, in which nothing else has happened to them.
    let at = turn.present - Duration::minutes(35 + 41 * i64::try_from(index % 32).expect("invariant: a few"));
    let person = ground.population().person(number);
    let (profile, plan) = (ground.key(number), person.plan.clone().expect("invariant: picked among those who pay"));
    let customer = person.customer.clone().expect("invariant: whoever pays is a customer");
    let pays = Standing::active(TIERS[1]);
    let before = ground.demanded(&profile, &plan.subscription, pays);
    let renewal = ground.population().id_at(Kind::Event, Place { number, cycle: plan.cycle, which: 4 });
    let object = ground.simulator().object(&renewal).expect("invariant: picked among those who renewed");
    let renewed = object["created"].as_i64().and_then(|at| DateTime::from_timestamp(at, 0)).expect("invariant: every event has a time");
    ground.hand_over_object(&object, renewed + Duration::seconds(2)).await;
    let by_hand = |broke, change: &dyn Fn(&mut Expected)| {
        let mut row = before.clone();
        change(&mut row);
        let (cause, truth) = (Cause::WrittenByHand, Truth::Contradicted);
        Drifted { row, event: renewal.clone(), event_type: "customer.subscription.updated", cause, truth, broke }
    };
    let lost = |event, event_type, broke| Drifted {
        row: before.clone(),
        event,
        event_type,
        cause: Cause::EffectLost,
        truth: Truth::Missing,
        broke,
    };
    let drifted = match class {
        Class::WrongTier => by_hand("the tier was written by hand", &|row| row.tier = TIERS[2]),
        Class::WrongSubscription => by_hand("the subscription's id was written by hand, and is nobody's", &|row| {
            row.subscription = format!("sub_1{}", digits(mix(ground.population().seed(), number), 23));
        }),
        Class::IntervalWord => {
            by_hand("the interval was written by hand", &|row| row.interval = ground.shape().interval_word(Interval::Year))
        }
        Class::StalePeriod => {
            let start = plan.interval.after(plan.started, u32::from(plan.cycle) - 1);
            let row = Expected { period_start: start, period_end: before.period_start, ..before.clone() };
            Drifted { row, ..lost(renewal.clone(), "customer.subscription.updated", "the last renewal was lost from the row") }
        }
        Class::UnlinkedPlaceholder => {
            let row = Expected { customer: person.placeholder(), ..before.clone() };
            let cause = Cause::NoRowForCustomer;
            Drifted { row, cause, ..lost(renewal.clone(), "customer.subscription.updated", "the row lost its customer to a placeholder") }
        }
        Class::WrongStatus => older_last(ground, &plan.subscription, &before, at).await,
        Class::CancelFlag => {
            let event = ground.simulator().cancel_at_period_end(&plan.subscription, true, at - Duration::minutes(9));
            let event = delivered(ground, event, at).await;
            lost(event, "customer.subscription.updated", "a cancellation for the period's end was lost from the row")
        }
        Class::CanceledButPaid => {
            let event = ground.simulator().cancel_subscription(&plan.subscription, at - Duration::minutes(9));
            let event = delivered(ground, event, at).await;
            lost(event, "customer.subscription.deleted", "a cancellation was lost from the row")
        }
        Class::DeletedCustomer => {
            let mut events = ground.simulator().delete_customer(&customer, at - Duration::minutes(9));
            for event in &events {
                ground.hand_over(event, at - Duration::minutes(8)).await;
            }
            lost(events.swap_remove(0), "customer.subscription.deleted", "the customer was deleted, and the row has it still")
        }
    };
    ground.write_row(&drifted.row, at).await?;
    let standing = if matches!(class, Class::CanceledButPaid | Class::DeletedCustomer) { Standing::ENDED } else { pays };
    Ok(Label {
        incident: INCIDENT,
        broke: drifted.broke.into(),
        at,
        cause: drifted.cause,
        truth: Some(drifted.truth),
        check: Check::Row(ground.demanded(&profile, &plan.subscription, standing)),
        subject: Subject {
            number: Some(number),
            profile: Some(profile),
            customer: Some(customer),
            event: Some(drifted.event),
            event_type: Some(drifted.event_type.into()),
            ..Subject::default()
        },
    })
}

/// The subscription was in arrears for a moment; the two events came in the wrong order.
async fn older_last(ground: &Ground, subscription: &str, before: &Expected, at: DateTime<Utc>) -> Drifted {
    let first = ground.simulator().set_status(subscription, "past_due", at - Duration::minutes(9));
    let second = ground.simulator().set_status(subscription, "active", at - Duration::minutes(8));
    let event = delivered(ground, second, at - Duration::minutes(2)).await;
    delivered(ground, first, at).await;
    let row = Expected { status: "past_due".into(), ..before.clone() };
    let broke = "an older event was applied after a newer one";
    Drifted { row, event, event_type: "customer.subscription.updated", cause: Cause::OlderObjectLast, truth: Truth::Missing, broke }
}

async fn delivered(ground: &Ground, event: Option<String>, at: DateTime<Utc>) -> String {
    let event = event.expect("invariant: picked among those to whom it can happen");
    ground.hand_over(&event, at).await;
    event
}
