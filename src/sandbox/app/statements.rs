//! The application's SQL, written once per shape of the database; performs none of it.

use crate::sandbox::schema::{LIMITS, Shape, TIERS};

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
    /// key, feature, amount, whether the feature resets; returns tier, limit, used and end in Unix seconds, the last two only
    /// where the use was counted; no row: no such profile.
    pub count_use: String,
    /// The same by the limits the application was built with.
    pub count_use_built_in: String,
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
            count_use: count_use(shape, &format!("SELECT {}, {}, {} FROM {}", n.limit_tier, n.limit_feature, n.limit, n.limits)),
            count_use_built_in: count_use(shape, &built_in_limits()),
        }
    }
}

/// One statement, so that uses at the same moment cannot exceed a limit together: whoever comes second waits for the row and
/// compares with what the first left there.
fn count_use(shape: Shape, limits: &str) -> String {
    let n = shape.names();
    format!(
        "WITH who AS (
             SELECT coalesce(s.{tier}, 'FREE') AS tier FROM {profiles} p LEFT JOIN {subscriptions} s ON s.{subscriber} = p.{profile}
             WHERE p.{profile} = $1::text::{key}
         ), plan AS (
             SELECT l.value FROM ({limits}) AS l (tier, feature, value) JOIN who USING (tier) WHERE l.feature = $2
         ), counted AS (
             INSERT INTO {counters} AS c ({owner}, {feature}, {used}, {start}, {end})
             SELECT $1::text::{key}, $2, $3, {now}, CASE WHEN $4 THEN {now} + interval '1 month' END
             FROM plan WHERE value = -1 OR value >= $3
             ON CONFLICT ({owner}, {feature}) DO UPDATE SET
                 {used} = CASE WHEN c.{end} < {now} THEN 0 ELSE c.{used} END + $3,
                 {start} = CASE WHEN c.{end} < {now} THEN {now} ELSE c.{start} END,
                 {end} = CASE WHEN c.{end} < {now} THEN {now} + interval '1 month' ELSE c.{end} END
             WHERE (SELECT value FROM plan) = -1
                OR CASE WHEN c.{end} < {now} THEN 0 ELSE c.{used} END + $3 <= (SELECT value FROM plan)
             RETURNING {used}, {end}
         )
         SELECT who.tier, plan.value, counted.{used}, extract(epoch FROM counted.{end})::float8
         FROM who LEFT JOIN plan ON true LEFT JOIN counted ON true",
        tier = n.tier,
        profiles = n.profiles,
        subscriptions = n.subscriptions,
        subscriber = n.owner,
        profile = n.profile,
        key = n.key,
        counters = n.counters,
        owner = n.counter_owner,
        feature = n.feature,
        used = n.used,
        start = n.counter_start,
        end = n.counter_end,
        now = shape.now(),
    )
}

fn built_in_limits() -> String {
    let rows = LIMITS.iter().flat_map(|(feature, values)| TIERS.iter().zip(values).map(move |(tier, value)| (tier, feature, value)));
    let rows: Vec<_> = rows.map(|(tier, feature, value)| format!("('{tier}', '{feature}', {value})")).collect();
    format!("VALUES {}", rows.join(", "))
}
