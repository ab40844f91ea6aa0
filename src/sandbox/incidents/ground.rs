//! Where incidents happen: database, Stripe and application, whom something has happened to so far, and what an incident keeps up.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use sqlx::{Arguments, AssertSqlSafe, PgPool};
use tokio::sync::Mutex as AsyncMutex;

use super::check::{Standing, seconds};
use super::{Check, Expected, Incident, IncidentError, Label, Request};
use crate::sandbox::app::{App, Manner, Taken};
use crate::sandbox::cluster::Restarter;
use crate::sandbox::population::{PRICE_ENT_YEAR, PRICE_PRO_MONTH, PRICE_PRO_YEAR, Population};
use crate::sandbox::schema::Shape;
use crate::sandbox::stripe::{CheckedOut, NewCheckout, Simulator};

/// One happening of an incident.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// The moment it happens, whole seconds; all its times are relative to it.
    pub present: DateTime<Utc>,
    /// How many subjects.
    pub count: usize,
    /// How often this incident has happened before.
    pub before: usize,
}

/// What a person buys in an incident, and since when it goes unnoticed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purchase {
    pub price: &'static str,
    pub at: DateTime<Utc>,
}

/// What a whole sandbox has around its ground.
#[derive(Debug)]
pub struct House {
    /// The console.
    pub executable: PathBuf,
    /// What a console here is told by its environment.
    pub environment: Vec<(&'static str, String)>,
    pub restarter: Restarter,
}

pub struct Ground {
    pool: PgPool,
    shape: Shape,
    population: Arc<Population>,
    simulator: Simulator,
    app: App,
    http: reqwest::Client,
    house: OnceLock<House>,
    struck: Mutex<Vec<Label>>,
    pub(super) requests: Mutex<Vec<Request>>,
    /// Nobody is to learn over HTTP what was broken.
    secret: AtomicBool,
    /// People whom something has happened to: nothing else happens to them.
    pub(super) taken: Mutex<HashSet<u64>>,
    happened: Mutex<HashMap<Incident, usize>>,
    /// Tasks, connections and the like that an incident keeps up until it is lifted.
    kept: Mutex<HashMap<Incident, Vec<Box<dyn Any + Send>>>>,
    /// One incident at a time.
    turn: AsyncMutex<()>,
}

impl Ground {
    /// `pool` may read and write the application's tables, and change their grants.
    ///
    /// # Panics
    /// Where no HTTP client can be made for plain loopback.
    #[must_use]
    pub fn new(pool: PgPool, shape: Shape, population: Arc<Population>, simulator: Simulator, app: App) -> Self {
        // Its first user in a process may be us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("invariant: a client without a proxy can be made");
        Self {
            pool,
            shape,
            population,
            // What of an incident's own events is delivered is part of the incident; what others cause meanwhile goes out as ever.
            simulator: simulator.without_sending(),
            app,
            http,
            house: OnceLock::new(),
            struck: Mutex::default(),
            requests: Mutex::default(),
            secret: AtomicBool::new(false),
            taken: Mutex::default(),
            happened: Mutex::default(),
            kept: Mutex::default(),
            turn: AsyncMutex::default(),
        }
    }

    /// Says what is around; without it the incidents that need it refuse. Only the first time counts.
    pub fn settle(&self, house: House) {
        let _ = self.house.set(house);
    }

    #[must_use]
    pub fn population(&self) -> &Population {
        &self.population
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// As the superuser.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Lets an incident happen now to `count` subjects whom nothing has happened to yet; what it did to whom.
    ///
    /// # Errors
    /// When there are not that many left (then to nobody), or a part of the sandbox does not answer.
    pub async fn strike(&self, incident: Incident, count: usize) -> Result<Vec<Label>, IncidentError> {
        self.strike_at(incident, count, self.simulator.now()).await
    }

    /// Lets an incident happen as if it were that moment: with the same seed, the same incidents before it and the same moment, its labels
    /// are the same.
    ///
    /// # Errors
    /// As [`Self::strike`].
    pub async fn strike_at(&self, incident: Incident, count: usize, present: DateTime<Utc>) -> Result<Vec<Label>, IncidentError> {
        let _turn = self.turn.lock().await;
        // Stripe counts in whole seconds.
        let present = DateTime::from_timestamp(present.timestamp(), 0).unwrap_or(present);
        let before = self.happened().get(&incident).copied().unwrap_or_default();
        let labels = (incident.spec().strike)(self, Turn { present, count, before }).await?;
        *self.happened().entry(incident).or_default() += 1;
        self.all().extend(labels.iter().cloned());
        Ok(labels)
    }

    /// Ends what a restart or a change of configuration ends: secrets right, application up, faults and sessions gone. Rows stay as they are.
    ///
    /// # Errors
    /// When there is nothing of that kind, or a part of the sandbox does not answer.
    pub async fn lift(&self, incident: Incident) -> Result<(), IncidentError> {
        let _turn = self.turn.lock().await;
        let lift = incident.spec().lift.ok_or(IncidentError::NothingToLift(incident))?;
        self.kept().remove(&incident);
        lift(self).await
    }

    /// From here on the sandbox's server tells nobody what was broken.
    pub fn keep_secret(&self) {
        self.secret.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret.load(Ordering::Relaxed)
    }

    /// What an incident did so far.
    #[must_use]
    pub fn labels(&self, incident: Incident) -> Vec<Label> {
        self.all().iter().filter(|l| l.incident == incident).cloned().collect()
    }

    /// What all incidents did so far, in order.
    #[must_use]
    pub fn all_labels(&self) -> Vec<Label> {
        self.all().clone()
    }

    /// Whether what the label's check asks for holds now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn repaired(&self, label: &Label) -> Result<bool, IncidentError> {
        self.holds(&label.check).await
    }

    /// Ends what incidents keep up, and closes their connections.
    pub async fn close(&self) {
        self.kept().clear();
        self.pool.close().await;
    }

    pub(super) fn house(&self, incident: Incident) -> Result<&House, IncidentError> {
        self.house.get().ok_or(IncidentError::NoHouse(incident))
    }

    /// For incidents in which most events arrive.
    pub(super) async fn must_be_well(&self, incident: Incident) -> Result<(), IncidentError> {
        if self.holds(&Check::Webhook).await? { Ok(()) } else { Err(IncidentError::Unwell(incident)) }
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Keeps a task or a connection up until the incident is lifted or the sandbox ends: then it is dropped.
    pub(super) fn keep(&self, incident: Incident, thing: impl Any + Send) {
        self.kept().entry(incident).or_default().push(Box::new(thing));
    }

    /// The key of a person's profile, as text.
    pub(super) fn key(&self, number: u64) -> String {
        self.shape.names().key_of(&self.population.person(number))
    }

    /// A person buys with Stripe's suggestion of naming the profile, and no event of it is ever sent: as Stripe leaves what happens while
    /// the endpoint is disabled.
    pub(super) fn buys_unheard(&self, number: u64, profile: &str, purchase: Purchase) -> CheckedOut {
        self.simulator().checkout_unheard(NewCheckout {
            number,
            price: purchase.price.to_string(),
            client_reference_id: Some(profile.to_string()),
            metadata: Vec::new(),
            at: purchase.at,
            new_customer: false,
        })
    }

    /// What a subscription that stands so demands of the profile's row, with ids, times and flags as Stripe holds them now.
    pub(super) fn demanded(&self, profile: &str, subscription: &str, standing: Standing) -> Expected {
        let object = self.simulator.object(subscription).expect("invariant: an incident names what there is");
        Expected::of(self, profile, &object, standing)
    }

    /// Writes a row as it is not, or not yet, demanded; as somebody with the superuser's rights would.
    pub(super) async fn write_row(&self, row: &Expected, at: DateTime<Utc>) -> Result<(), IncidentError> {
        let (n, shape) = (self.shape.names(), self.shape);
        let set = Expected::columns(shape).into_iter().chain([(n.updated, shape.time("$11"))]);
        let set = set.map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>().join(", ");
        let sql = format!("UPDATE {} SET {set} WHERE {} = $1::text::{}", n.subscriptions, n.owner, n.key);
        let mut arguments = row.arguments()?;
        arguments.add(seconds(at)).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&self.pool).await?;
        Ok(())
    }

    /// Hands an event to the application's handler as of that moment, and tells Stripe what it would have seen.
    pub(super) async fn hand_over(&self, event: &str, at: DateTime<Utc>) {
        let object = self.simulator.object(event).expect("invariant: an incident names what there is");
        if !self.hand_over_object(&object, at).await {
            // Stripe tries it, and goes on trying.
            self.simulator.send(event);
        }
    }

    /// As [`Self::hand_over`], where the event has been read already. False: nobody was there.
    pub(super) async fn hand_over_object(&self, event: &Value, at: DateTime<Utc>) -> bool {
        let secret = self.simulator.webhook_secret();
        let (status, body) = match (self.app.take(event, &secret, at).await, self.app.manner().get()) {
            (Taken::Handled, _) => (200, r#"{"received":true}"#),
            (Taken::Failed, Manner::Swallowing) => (200, r#"{"ok":false}"#),
            (Taken::Failed, Manner::Honest) => (500, r#"{"ok":false}"#),
            (Taken::Refused, Manner::Swallowing) => (200, r#"{"ok":false,"error":"signature verification failed"}"#),
            (Taken::Refused, Manner::Honest) => (400, r#"{"ok":false,"error":"signature verification failed"}"#),
            (Taken::Down, _) => return false,
        };
        self.simulator.tried(event, at, status, body);
        true
    }

    fn all(&self) -> MutexGuard<'_, Vec<Label>> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happened(&self) -> MutexGuard<'_, HashMap<Incident, usize>> {
        self.happened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Incident, Vec<Box<dyn Any + Send>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Mostly PRO by the month, now and then by the year or ENTERPRISE; spread over the last two hours, none so fresh that its webhook
    /// could still be under way.
    pub fn purchase(&self, index: usize) -> Purchase {
        let price = match index % 7 {
            3 => PRICE_PRO_YEAR,
            5 => PRICE_ENT_YEAR,
            _ => PRICE_PRO_MONTH,
        };
        let minutes = 8 + 7 * i64::try_from(index % 14).expect("invariant: below fourteen");
        Purchase { price, at: self.present - Duration::minutes(minutes) }
    }
}
