//! The application's SQL, written once per shape of the database; performs none of it.

use crate::sandbox::schema::Shape;

/// Statements ready to run; parameters as each comment lists them, keys always as text.
#[derive(Debug)]
pub struct Statements {
    /// customer, tier, status, subscription, interval, start, end, cancel at, cancel at period end, the present.
    pub sync: String,
    /// key, customer.
    pub link: String,
    /// customer, status, cancel at, cancel at period end, the present.
    pub end: String,
    /// customer, the present.
    pub past_due: String,
    /// event, type, data, the present; returns whether the event was processed before.
    pub record_event: String,
    /// event, the present.
    pub event_done: String,
    /// key; returns the tier.
    pub tier: String,
    /// (name of the table).
    pub has_limits: String,
    /// tier; returns feature, limit.
    pub limits: String,
    /// key; returns feature, used (0 once expired), start and end in Unix seconds.
    pub counters: String,
    /// key, the features that reset.
    pub reset: String,
}

impl Statements {
    pub fn new(shape: Shape) -> Self {
        let n = shape.names();
        let (now, key) = (shape.now(), n.key);
        let time = |parameter| shape.time(parameter);
        Self {
            sync: format!(
                "UPDATE {} SET {} = $2, {} = $3, {} = $4, {} = coalesce($5, {}), {} = {}, {} = {}, {} = {}, {} = $9, {} = {} WHERE {} = $1",
                n.subscriptions,
                n.tier,
                n.status,
                n.subscription,
                n.interval,
                n.interval,
                n.period_start,
                time("$6"),
                n.period_end,
                time("$7"),
                n.cancel_at,
                time("$8"),
                n.cancel_at_period_end,
                n.updated,
                time("$10"),
                n.customer
            ),
            link: format!("UPDATE {} SET {} = $2 WHERE {} = $1::text::{key}", n.subscriptions, n.customer, n.owner),
            end: format!(
                "UPDATE {} SET {} = 'FREE', {} = $2, {} = {}, {} = $4, {} = {} WHERE {} = $1",
                n.subscriptions,
                n.tier,
                n.status,
                n.cancel_at,
                time("$3"),
                n.cancel_at_period_end,
                n.updated,
                time("$5"),
                n.customer
            ),
            past_due: format!(
                "UPDATE {} SET {} = 'past_due', {} = {} WHERE {} = $1",
                n.subscriptions,
                n.status,
                n.updated,
                time("$2"),
                n.customer
            ),
            record_event: format!(
                "INSERT INTO {events} ({event}, {kind}, {data}, {created}) VALUES ($1, $2, $3, {})
                 ON CONFLICT ({event}) DO UPDATE SET {kind} = excluded.{kind} RETURNING {processed}",
                time("$4"),
                events = n.events,
                event = n.event,
                kind = n.event_type,
                data = n.event_data,
                created = n.created,
                processed = n.processed
            ),
            event_done: format!(
                "UPDATE {} SET {} = true, {} = {} WHERE {} = $1",
                n.events,
                n.processed,
                n.processed_at,
                time("$2"),
                n.event
            ),
            tier: format!(
                "SELECT s.{} FROM {} p LEFT JOIN {} s ON s.{} = p.{profile} WHERE p.{profile} = $1::text::{key}",
                n.tier,
                n.profiles,
                n.subscriptions,
                n.owner,
                profile = n.profile
            ),
            has_limits: format!("SELECT to_regclass('{}') IS NOT NULL", n.limits),
            limits: format!("SELECT {}, {} FROM {} WHERE {} = $1", n.limit_feature, n.limit, n.limits, n.limit_tier),
            counters: format!(
                "SELECT {feature}, CASE WHEN {end} < {now} THEN 0 ELSE {used} END,
                     extract(epoch FROM {start})::float8, extract(epoch FROM {end})::float8
                 FROM {counters} WHERE {owner} = $1::text::{key}",
                feature = n.feature,
                used = n.used,
                start = n.counter_start,
                end = n.counter_end,
                counters = n.counters,
                owner = n.counter_owner
            ),
            reset: format!(
                "UPDATE {} SET {} = 0, {} = {now}, {} = {now} + interval '1 month' WHERE {} = $1::text::{key} AND {} = ANY ($2)",
                n.counters, n.used, n.counter_start, n.counter_end, n.counter_owner, n.feature
            ),
        }
    }
}
