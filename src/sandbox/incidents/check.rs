//! When something counts as repaired: looked up in Postgres, in the simulator and at the application, by no rule of the console's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe};

use super::{Counter, Erased, Ground, IncidentError, Label, Refunded, Session, Settled};
use crate::sandbox::schema::{Shape, TIERS, tier_of_price};
use crate::sandbox::stripe::ENDPOINT_EVENTS;

/// What must hold for a label to be repaired.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The row of the profile holds exactly these values.
    Row(Expected),
    /// A counter was reset, or left alone.
    Counter(Counter),
    /// A session of the database ended, lives, or got through.
    Session(Session),
    /// The row holds these values, and the console's run with this id is finished, in the console's own words.
    Run { run: String, row: Expected },
    /// The application takes webhooks again: Stripe's endpoint enabled, subscribed and pointing at it, reachable, with the endpoint's secret
    /// and the right time, in time, able to write, without a flaw.
    Webhook,
    /// A payment was given back, and the subscription ended.
    Refund(Box<Refunded>),
    /// A dispute or an inquiry was settled as asked for.
    Dispute(Box<Settled>),
    /// No row names a person any more, and Stripe has deleted the customer.
    Erased(Erased),
    /// Nothing has to be repaired: it passes by itself.
    Passes(Passing),
}

/// What passes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    /// Until the server takes connections again, and the application has found it.
    DatabaseRestart,
    /// Until Stripe's API answers again.
    StripeDown,
}

/// The values of a repaired row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// The key of the profile, as text.
    pub profile: String,
    pub customer: String,
    pub subscription: String,
    pub tier: &'static str,
    pub status: String,
    /// In the words of this database.
    pub interval: &'static str,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub cancel_at: Option<DateTime<Utc>>,
    pub cancel_at_period_end: bool,
}

/// What an act leaves somebody with, in the act's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub tier: &'static str,
    pub status: &'static str,
}

impl Standing {
    pub const ENDED: Self = Self { tier: TIERS[0], status: "canceled" };

    pub fn active(tier: &'static str) -> Self {
        Self { tier, status: "active" }
    }

    /// Bought and paid.
    pub fn bought(price: &str) -> Self {
        Self::active(tier_of_price(price).expect("invariant: sold by the sandbox").0)
    }
}

impl Check {
    /// What the row must hold, where the check asks for a row.
    #[must_use]
    pub fn row(&self) -> Option<&Expected> {
        match self {
            Self::Row(row) | Self::Run { row, .. } => Some(row),
            Self::Refund(refunded) => Some(&refunded.row),
            Self::Dispute(settled) => Some(&settled.row),
            Self::Counter(_) | Self::Session(_) | Self::Webhook | Self::Erased(_) | Self::Passes(_) => None,
        }
    }
}

impl Expected {
    /// What the row of this profile must hold for a subscription, as Stripe holds it now: ids, times and flags are copied, what it grants
    /// and how it stands says whoever did it.
    ///
    /// # Panics
    /// Where the object is not one that the sandbox made.
    pub(super) fn of(ground: &Ground, profile: &str, subscription: &Value, standing: Standing) -> Self {
        let text = |value: &Value| value.as_str().expect("invariant: made by the sandbox").to_string();
        let time = |value: &Value| DateTime::from_timestamp(value.as_i64()?, 0);
        let item = &subscription["items"]["data"][0];
        let (_, interval) = tier_of_price(&text(&item["price"]["id"])).expect("invariant: sold by the sandbox");
        Self {
            profile: profile.to_string(),
            customer: text(&subscription["customer"]),
            subscription: text(&subscription["id"]),
            tier: standing.tier,
            status: standing.status.into(),
            interval: ground.shape().interval_word(interval),
            period_start: time(&item["current_period_start"]).expect("invariant: every item has a period"),
            period_end: time(&item["current_period_end"]).expect("invariant: every item has a period"),
            cancel_at: time(&subscription["cancel_at"]),
            cancel_at_period_end: subscription["cancel_at_period_end"] == true,
        }
    }
}

impl Expected {
    /// The nine columns and where their values stand among [`Self::arguments`].
    pub(super) fn columns(shape: Shape) -> [(&'static str, String); 9] {
        let n = shape.names();
        [
            (n.customer, "$2".into()),
            (n.subscription, "$3".into()),
            (n.tier, "$4".into()),
            (n.status, "$5".into()),
            (n.interval, "$6".into()),
            (n.period_start, shape.time("$7")),
            (n.period_end, shape.time("$8")),
            (n.cancel_at, shape.time("$9")),
            (n.cancel_at_period_end, "$10".into()),
        ]
    }

    /// The profile and the nine values, as parameters of statements.
    pub(super) fn arguments(&self) -> Result<PgArguments, sqlx::Error> {
        let mut out = PgArguments::default();
        let added = [
            out.add(&self.profile),
            out.add(&self.customer),
            out.add(&self.subscription),
            out.add(self.tier),
            out.add(&self.status),
            out.add(self.interval),
            out.add(seconds(self.period_start)),
            out.add(seconds(self.period_end)),
            out.add(self.cancel_at.map(seconds)),
            out.add(self.cancel_at_period_end),
        ];
        added.into_iter().collect::<Result<(), _>>().map_err(sqlx::Error::Encode)?;
        Ok(out)
    }
}

/// How long the application may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

impl Ground {
    /// Whether what the check asks for holds now.
    pub(super) async fn holds(&self, check: &Check) -> Result<bool, IncidentError> {
        match check {
            Check::Row(expected) => self.row_holds(expected).await,
            Check::Counter(counter) => self.counter_is_due(counter).await,
            Check::Session(session) => self.session_does(session).await,
            Check::Run { run, row } => self.run_is_finished(run, row).await,
            Check::Passes(Passing::DatabaseRestart) => Ok(self.database_is_back().await),
            Check::Webhook => self.webhooks_are_taken().await,
            Check::Refund(refunded) => self.is_refunded(refunded).await,
            Check::Dispute(settled) => self.is_settled(settled).await,
            Check::Erased(erased) => self.is_erased(erased).await,
            Check::Passes(Passing::StripeDown) => Ok(self.stripe_answers().await),
        }
    }

    /// Whether the row that the label names holds what it must, whatever else its check asks for. False where it names none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn row_is_right(&self, label: &Label) -> Result<bool, IncidentError> {
        match label.check.row() {
            Some(row) => self.row_holds(row).await,
            None => Ok(false),
        }
    }

    pub(super) async fn row_holds(&self, e: &Expected) -> Result<bool, IncidentError> {
        let n = self.shape().names();
        let same = Expected::columns(self.shape()).map(|(column, value)| format!("{column} IS NOT DISTINCT FROM {value}")).join(" AND ");
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {} = $1::text::{} AND {same})", n.subscriptions, n.owner, n.key);
        let (holds,): (bool,) = sqlx::query_as_with(AssertSqlSafe(sql), e.arguments()?).fetch_one(self.pool()).await?;
        Ok(holds)
    }

    fn endpoint_is_right(&self) -> bool {
        let endpoint = self.simulator().webhook_endpoint().and_then(|id| self.simulator().object(&id));
        let subscribed = |e: &Value| {
            let types = e["enabled_events"].as_array().map(Vec::as_slice).unwrap_or_default();
            ENDPOINT_EVENTS.iter().all(|wanted| types.iter().any(|t| t == wanted || t == "*"))
        };
        endpoint.is_some_and(|e| e["status"] == "enabled" && e["url"] == self.app().webhook_url() && subscribed(&e))
    }

    async fn webhooks_are_taken(&self) -> Result<bool, IncidentError> {
        let Some(running) = self.app().running().await else { return Ok(false) };
        if !self.endpoint_is_right() {
            return Ok(false);
        }
        // Just in time is not well.
        let patience = self.simulator().delivery_timeout() / 2;
        let in_time = running.handler_takes.is_none_or(|takes| takes.iter().all(|t| *t < patience));
        let accepted = running.webhook_secret == self.simulator().webhook_secret() && running.clock_off.is_zero();
        if !accepted || running.deploy.flaw.is_some() || !in_time {
            return Ok(false);
        }
        // A method that the path does not know is refused by the application itself, and leaves no line in its log.
        let answer = self.http().get(self.app().webhook_url()).timeout(PATIENCE).send().await;
        let there = answer.is_ok_and(|a| a.status() == reqwest::StatusCode::METHOD_NOT_ALLOWED);
        let sql = "SELECT has_table_privilege($1, $2, 'UPDATE')";
        let role = self.app().database().get_username();
        let (may_write,): (bool,) = sqlx::query_as(sql).bind(role).bind(self.shape().names().subscriptions).fetch_one(self.pool()).await?;
        Ok(there && may_write)
    }

    async fn stripe_answers(&self) -> bool {
        let request = self.http().get(format!("{}/v1/balance", self.simulator().base_url())).bearer_auth(self.simulator().secret_key());
        request.timeout(PATIENCE).send().await.is_ok_and(|a| a.status().is_success())
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
pub(super) fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}
