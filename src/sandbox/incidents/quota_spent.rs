//! Incident `quota-spent`: customers renewed and paid, and their counters went on with the old period's use; stocks among them are spent
//! rightly, and no reset may touch them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::check::seconds;
use super::ground::Turn;
use super::people::outlasts;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::{Billing, Cycle, Interval, SandboxTier};
use crate::sandbox::schema::{LIMITS, STOCK};

pub const SPEC: Spec = Spec {
    name: "quota-spent",
    title: "customers renewed and paid, and their counters were not reset for the new period",
    background: 0,
    usual: 10,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

/// What a counter must hold for the incident to be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// The key of the profile, as text.
    pub profile: String,
    pub feature: &'static str,
    pub due: Due,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// Nothing used, no row, a period that is over, or one that began after this moment.
    Reset { since: DateTime<Utc> },
    /// Exactly this.
    Untouched { used: i32 },
}

/// The features that are spent, in turn.
const SPENT: [&str; 2] = ["searches", "exports"];

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let people = ground.pick(Incident::QuotaSpent, turn.count, &|billing| renewed(billing).is_some_and(|c| outlasts(c, turn.present)))?;
    let mut labels = Vec::new();
    for (index, number) in people.into_iter().enumerate() {
        let cycle = renewed(ground.population().billing(number)).expect("invariant: picked for it");
        let (profile, feature) = (ground.key(number), SPENT[index % SPENT.len()]);
        let label = |broke: &'static str, cause, truth, due, feature| Label {
            incident: Incident::QuotaSpent,
            broke: broke.into(),
            at: cycle.period_start,
            cause,
            truth,
            subject: Subject {
                number: Some(number),
                profile: Some(profile.clone()),
                customer: ground.population().person(number).customer,
                feature: Some(feature),
                ..Subject::default()
            },
            check: Check::Counter(Counter { profile: profile.clone(), feature, due }),
        };
        let before = Interval::Month.after(cycle.started, u32::from(cycle.cycle) - 1);
        set(ground, &profile, feature, limit(feature), before, Some(cycle.period_end)).await?;
        let broke = "renewed and paid; the counter went on with the use of the period before";
        labels.push(label(broke, Cause::ResetNotRun, None, Due::Reset { since: turn.present }, feature));
        if index % 2 == 0 {
            set(ground, &profile, STOCK, limit(STOCK), cycle.started, None).await?;
            let broke = "takes all of a stock, which no new period empties";
            labels.push(label(broke, Cause::None, Some(Truth::Fine), Due::Untouched { used: limit(STOCK) }, STOCK));
        }
    }
    Ok(labels)
}

/// PRO by the month, and not in the first period: who renewed, and has limits that can be spent.
fn renewed(billing: Billing) -> Option<Cycle> {
    match billing {
        Billing::Paid(c) if c.status == "active" && c.cycle > 0 && c.tier == SandboxTier::Pro && c.interval == Interval::Month => Some(c),
        _ => None,
    }
}

/// How much of a feature PRO has.
fn limit(feature: &str) -> i32 {
    LIMITS.iter().find(|(name, _)| *name == feature).map(|(_, values)| values[1]).expect("invariant: a feature of the product")
}

async fn set(
    ground: &Ground,
    profile: &str,
    feature: &str,
    used: i32,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
) -> Result<(), IncidentError> {
    let (n, shape) = (ground.shape().names(), ground.shape());
    let sql = format!(
        "INSERT INTO {counters} ({owner}, {feature}, {used}, {start}, {end}) VALUES ($1::text::{key}, $2, $3, {from}, {to})
         ON CONFLICT ({owner}, {feature}) DO UPDATE SET {used} = excluded.{used}, {start} = excluded.{start}, {end} = excluded.{end}",
        counters = n.counters,
        owner = n.counter_owner,
        feature = n.feature,
        used = n.used,
        start = n.counter_start,
        end = n.counter_end,
        key = n.key,
        from = shape.time("$4"),
        to = shape.time("$5"),
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(profile)
        .bind(feature)
        .bind(used)
        .bind(seconds(from))
        .bind(to.map(seconds))
        .execute(ground.pool())
        .await?;
    Ok(())
}

impl Ground {
    pub(super) async fn counter_is_due(&self, counter: &Counter) -> Result<bool, IncidentError> {
        let (n, shape) = (self.shape().names(), self.shape());
        let sql = format!(
            "SELECT {used}, coalesce({end} < {now}, false) OR coalesce({start} >= {since}, false) FROM {counters}
             WHERE {owner} = $1::text::{key} AND {feature} = $2",
            used = n.used,
            start = n.counter_start,
            end = n.counter_end,
            now = shape.now(),
            since = shape.time("$3"),
            counters = n.counters,
            owner = n.counter_owner,
            key = n.key,
            feature = n.feature,
        );
        let since = if let Due::Reset { since } = counter.due { Some(seconds(since)) } else { None };
        let row: Option<(i32, bool)> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(&counter.profile).bind(counter.feature).bind(since).fetch_optional(self.pool()).await?;
        Ok(match counter.due {
            Due::Reset { .. } => row.is_none_or(|(used, anew)| used == 0 || anew),
            Due::Untouched { used } => row.is_some_and(|(held, _)| held == used),
        })
    }
}
