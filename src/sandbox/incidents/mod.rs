//! What can go wrong in the sandbox: each incident breaks something, labels what it broke, and can say whether it was
//! repaired, by comparing with what it made in Stripe and by no rule of the console's.

mod missed_webhooks;
mod placeholder_customers;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use clap::ValueEnum;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex as AsyncMutex;

use super::population::{Interval, PRICE_ENT_YEAR, PRICE_PRO_MONTH, PRICE_PRO_YEAR, Population};
use super::schema::{Shape, TIERS};
use super::stripe::{CheckedOut, Simulator};

/// Every incident there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incident {
    /// Customers paid, and no webhook ever arrived.
    MissedWebhooks,
    /// Customers paid, the webhook was answered with 200, and the row still holds a placeholder customer.
    PlaceholderCustomers,
}

impl Incident {
    pub const ALL: [Self; 2] = [Self::MissedWebhooks, Self::PlaceholderCustomers];

    /// The name on the command line and in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MissedWebhooks => "missed-webhooks",
            Self::PlaceholderCustomers => "placeholder-customers",
        }
    }

    /// One line that says what happened.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::MissedWebhooks => "customers paid, and the webhooks never arrived",
            Self::PlaceholderCustomers => "customers paid, and their rows still hold a placeholder customer id",
        }
    }
}

/// What one incident did to one subject.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    pub incident: Incident,
    /// The person's number in the population.
    pub number: u64,
    /// The key of the profile, as text.
    pub profile: String,
    /// What was done, in one sentence.
    pub broke: &'static str,
    /// Where Stripe names the profile.
    pub named_by: &'static str,
    /// The event that should have changed the row and did not.
    pub event: String,
    /// What the row must hold to be repaired, taken from what was made in Stripe.
    pub expected: Expected,
}

/// The values of a repaired row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    pub customer: String,
    pub subscription: String,
    pub tier: &'static str,
    pub status: &'static str,
    /// In the words of this database.
    pub interval: &'static str,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub cancel_at_period_end: bool,
}

impl Expected {
    fn of(ground: &Ground, purchase: &Purchase, made: &CheckedOut) -> Self {
        Self {
            customer: made.customer.clone(),
            subscription: made.subscribed.subscription.clone(),
            tier: purchase.tier,
            status: "active",
            interval: ground.shape.interval_word(purchase.interval),
            period_start: purchase.at,
            period_end: purchase.interval.after(purchase.at, 1),
            cancel_at_period_end: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    #[error("{} found only {found} of {wanted} customers it can still break: start the sandbox with more customers", incident.name())]
    NobodyLeft { incident: Incident, found: usize, wanted: usize },
    #[error("the incident could not reach the sandbox's database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Where incidents happen: database, Stripe and who was struck so far.
pub struct Ground {
    pool: PgPool,
    shape: Shape,
    population: Arc<Population>,
    simulator: Simulator,
    struck: Mutex<Vec<Label>>,
    /// One incident at a time: nobody is struck twice.
    turn: AsyncMutex<()>,
}

/// What a person buys in an incident, and since when it goes unnoticed.
struct Purchase {
    price: &'static str,
    tier: &'static str,
    interval: Interval,
    at: DateTime<Utc>,
}

impl Ground {
    /// `pool` may read and write the application's tables.
    #[must_use]
    pub fn new(pool: PgPool, shape: Shape, population: Arc<Population>, simulator: Simulator) -> Self {
        Self { pool, shape, population, simulator, struck: Mutex::default(), turn: AsyncMutex::default() }
    }

    #[must_use]
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// Lets an incident happen to `count` people whom nothing has happened to yet; what it did to whom.
    ///
    /// # Errors
    /// When there are not that many left (then to nobody), or the database does not answer.
    pub async fn strike(&self, incident: Incident, count: usize) -> Result<Vec<Label>, IncidentError> {
        let _turn = self.turn.lock().await;
        let taken: HashSet<u64> = self.all().iter().map(|l| l.number).collect();
        // The newest first: what went wrong tonight went wrong for them.
        let candidates = (0..self.population.len()).rev().filter(|n| !taken.contains(n));
        let suits = |n: &u64| match incident {
            Incident::MissedWebhooks => missed_webhooks::suits(&self.population, *n),
            Incident::PlaceholderCustomers => placeholder_customers::suits(&self.population, *n),
        };
        let numbers: Vec<u64> = candidates.filter(suits).take(count).collect();
        if numbers.len() < count {
            return Err(IncidentError::NobodyLeft { incident, found: numbers.len(), wanted: count });
        }
        // What is delivered in an incident is part of the incident.
        let by_itself = self.simulator.deliveries();
        self.simulator.set_deliveries(false);
        let mut labels = Vec::with_capacity(count);
        for (index, number) in numbers.into_iter().enumerate() {
            let purchase = purchase(index);
            let label = match incident {
                Incident::MissedWebhooks => missed_webhooks::strike(self, number, &purchase),
                Incident::PlaceholderCustomers => placeholder_customers::strike(self, number, &purchase, index).await,
            };
            self.all().push(label.clone());
            labels.push(label);
        }
        self.simulator.set_deliveries(by_itself);
        Ok(labels)
    }

    /// What an incident did so far.
    #[must_use]
    pub fn labels(&self, incident: Incident) -> Vec<Label> {
        self.all().iter().filter(|l| l.incident == incident).cloned().collect()
    }

    /// Whether the subject's row now holds what was made in Stripe.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn repaired(&self, label: &Label) -> Result<bool, IncidentError> {
        type Row = (String, Option<String>, String, String, Option<String>, Option<f64>, Option<f64>, bool);
        let n = self.shape.names();
        let sql = format!(
            "SELECT {}, {}, {}, {}, {}, extract(epoch FROM {})::float8, extract(epoch FROM {})::float8, {} FROM {} WHERE {} = $1::text::{}",
            n.customer,
            n.subscription,
            n.tier,
            n.status,
            n.interval,
            n.period_start,
            n.period_end,
            n.cancel_at_period_end,
            n.subscriptions,
            n.owner,
            n.key
        );
        let row: Option<Row> = sqlx::query_as(AssertSqlSafe(sql)).bind(&label.profile).fetch_optional(&self.pool).await?;
        let e = &label.expected;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
        let seconds = |time: DateTime<Utc>| Some(time.timestamp() as f64);
        let wanted = (
            e.customer.clone(),
            Some(e.subscription.clone()),
            e.tier.to_string(),
            e.status.to_string(),
            Some(e.interval.to_string()),
            seconds(e.period_start),
            seconds(e.period_end),
            e.cancel_at_period_end,
        );
        Ok(row == Some(wanted))
    }

    /// Closes the incidents' connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn all(&self) -> MutexGuard<'_, Vec<Label>> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, number: u64) -> String {
        self.shape.names().key_of(&self.population.person(number))
    }
}

/// Mostly PRO by the month, now and then by the year or ENTERPRISE; spread over the last two hours, none so fresh that
/// its webhook could still be under way.
fn purchase(index: usize) -> Purchase {
    let (price, tier, interval) = match index % 7 {
        3 => (PRICE_PRO_YEAR, TIERS[1], Interval::Year),
        5 => (PRICE_ENT_YEAR, TIERS[2], Interval::Year),
        _ => (PRICE_PRO_MONTH, TIERS[1], Interval::Month),
    };
    let minutes = 8 + 7 * i64::try_from(index % 14).expect("invariant: below fourteen");
    // Stripe counts in whole seconds.
    let now = DateTime::from_timestamp(Utc::now().timestamp(), 0).expect("invariant: the present is a time");
    Purchase { price, tier, interval, at: now - Duration::minutes(minutes) }
}
