//! A mirror of the simulated Stripe in the sample application's database, kept as a sync engine keeps one: filled once, then fed by events,
//! and looked through again from time to time. It can be made to lag, and stopped.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;

use super::population::Population;
use super::schema::roles;
use super::stripe::Simulator;

/// How the mirror keeps an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// A column for each field.
    #[default]
    Columns,
    /// One document, and columns generated from it.
    Documents,
}

/// How far it is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// What happened is in it so many seconds later.
    pub lag_seconds: i64,
    /// Nothing is taken in any more.
    pub stopped: bool,
}

/// A running mirror.
pub struct Mirror {
    pace: Arc<Mutex<Pace>>,
    feeding: JoinHandle<()>,
}

struct Engine {
    pool: PgPool,
    layout: Layout,
    simulator: Simulator,
    pace: Arc<Mutex<Pace>>,
    /// Events that were taken in, or had happened before the mirror was filled.
    seen: HashSet<String>,
    /// Customers and subscriptions that are looked at again in turn.
    known: Vec<String>,
    turn: usize,
}

const TABLES: [&str; 4] = ["customers", "products", "prices", "subscriptions"];
/// Objects of one statement.
const BATCH: usize = 500;
/// How often events are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// In every so many rounds some objects are looked at again, and how many.
const AGAIN_EVERY: usize = 20;
const AGAIN: usize = 10;

impl Mirror {
    /// Makes schema `stripe`, fills it and begins to feed it. `options` must name a superuser.
    ///
    /// # Errors
    /// The database's.
    pub async fn start(
        options: PgConnectOptions,
        layout: Layout,
        simulator: Simulator,
        population: &Population,
    ) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        let tables = match layout {
            Layout::Columns => include_str!("../../assets/sandbox/mirror_columns.sql"),
            Layout::Documents => include_str!("../../assets/sandbox/mirror_documents.sql"),
        };
        sqlx::raw_sql(tables).execute(&pool).await?;
        let console = roles::CONSOLE;
        let grants = format!("GRANT USAGE ON SCHEMA stripe TO {console}; GRANT SELECT ON ALL TABLES IN SCHEMA stripe TO {console}");
        sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await?;
        let pace = Arc::new(Mutex::new(Pace::default()));
        let mut engine = Engine { pool, layout, simulator, pace: Arc::clone(&pace), seen: HashSet::new(), known: Vec::new(), turn: 0 };
        engine.fill(population).await?;
        let feeding = tokio::spawn(engine.feed());
        Ok(Self { pace, feeding })
    }

    #[must_use]
    pub fn pace(&self) -> Pace {
        *lock(&self.pace)
    }

    pub fn set_pace(&self, pace: Pace) {
        *lock(&self.pace) = pace;
    }

    /// Feeds it no longer; what it holds stays.
    pub fn stop(&self) {
        self.feeding.abort();
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Engine {
    /// Everything there is, as it is now.
    async fn fill(&mut self, population: &Population) -> Result<(), sqlx::Error> {
        let now = self.simulator.now();
        self.seen = self.simulator.events_beyond(&self.seen).iter().filter_map(id).collect();
        let people = (0..population.len()).map(|n| population.person(n));
        let ids = people.flat_map(|p| p.customer.into_iter().chain(p.plan.map(|plan| plan.subscription)));
        self.known = ids.chain(self.simulator.made_customers_and_subscriptions()).collect();
        let mut goods = BTreeSet::new();
        for page in self.known.chunks(BATCH) {
            let objects: Vec<Value> = page.iter().filter_map(|id| self.simulator.object(id)).collect();
            let items = objects.iter().flat_map(|o| o["items"]["data"].as_array().into_iter().flatten());
            for price in items.map(|i| &i["price"]) {
                goods.extend([&price["id"], &price["product"]].into_iter().filter_map(Value::as_str).map(str::to_string));
            }
            self.take(objects, now).await?;
        }
        self.take(goods.iter().filter_map(|id| self.simulator.object(id)).collect(), now).await?;
        for table in TABLES {
            sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE stripe.{table}"))).execute(&self.pool).await?;
        }
        Ok(())
    }

    async fn feed(mut self) {
        for round in 1_usize.. {
            tokio::time::sleep(EVERY).await;
            let pace = *lock(&self.pace);
            if pace.stopped {
                continue;
            }
            // The database may be restarting, as it does in incidents: what was not taken in is looked for again.
            if let Err(error) = self.catch_up(pace, round.is_multiple_of(AGAIN_EVERY)).await {
                tracing::debug!(%error, "the mirror of Stripe waits");
            }
        }
    }

    async fn catch_up(&mut self, pace: Pace, again: bool) -> Result<(), sqlx::Error> {
        let until = self.simulator.now() - TimeDelta::seconds(pace.lag_seconds);
        let (due, later): (Vec<Value>, Vec<Value>) =
            self.simulator.events_beyond(&self.seen).into_iter().partition(|e| happened(e).is_some_and(|at| at <= until));
        for event in due {
            let object = &event["data"]["object"];
            if let (Some(at), Some(id)) = (happened(&event), id(&event)) {
                self.take(vec![object.clone()], at).await?;
                if matches!(object["object"].as_str(), Some("customer" | "subscription")) && !self.known.iter().any(|k| object["id"] == **k)
                {
                    self.known.extend(object["id"].as_str().map(str::to_string));
                }
                self.seen.insert(id);
            }
        }
        if again && !self.known.is_empty() {
            // What changed since is still to come by its event.
            let changed: HashSet<&str> = later.iter().filter_map(|e| e["data"]["object"]["id"].as_str()).collect();
            let turn = (0..AGAIN.min(self.known.len())).map(|n| &self.known[(self.turn + n) % self.known.len()]);
            let objects = turn.filter(|id| !changed.contains(id.as_str())).filter_map(|id| self.simulator.object(id)).collect();
            self.turn = (self.turn + AGAIN) % self.known.len();
            self.take(objects, until).await?;
        }
        Ok(())
    }

    /// Takes objects in as of that time; a copy that is as new stays, as in the engine.
    async fn take(&self, objects: Vec<Value>, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let mut by_table: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for object in objects {
            let table = match object["object"].as_str() {
                Some("customer") => "customers",
                Some("product") => "products",
                Some("price") => "prices",
                Some("subscription") => "subscriptions",
                _ => continue,
            };
            by_table.entry(table).or_default().push(object);
        }
        for (table, objects) in by_table {
            let statement = match self.layout {
                Layout::Columns => columns(table),
                Layout::Documents => documents(table),
            };
            for page in objects.chunks(BATCH) {
                let page = json!(page).to_string();
                sqlx::query(AssertSqlSafe(statement.clone())).bind(page).bind(at).execute(&self.pool).await?;
            }
        }
        Ok(())
    }
}

fn columns(table: &str) -> String {
    let fields: &[&str] = match table {
        "customers" => &["object", "email", "name", "metadata", "created", "livemode", "deleted"],
        "products" => &["object", "active", "name", "metadata", "created", "livemode"],
        "prices" => {
            &["object", "active", "currency", "metadata", "recurring", "unit_amount", "created", "livemode", "lookup_key", "product"]
        }
        _ => &[
            "object",
            "customer",
            "status",
            "items",
            "metadata",
            "created",
            "cancel_at",
            "cancel_at_period_end",
            "canceled_at",
            "ended_at",
            "trial_end",
            "pause_collection",
            "schedule",
            "latest_invoice",
            "livemode",
            "current_period_start",
            "current_period_end",
        ],
    };
    let set: Vec<String> = fields.iter().map(|f| format!("{f} = excluded.{f}")).collect();
    let read: Vec<String> = fields.iter().map(|f| format!("r.{f}")).collect();
    format!(
        "INSERT INTO stripe.{table} (id, {}, updated_at, last_synced_at)
         SELECT r.id, {}, now(), $2 FROM jsonb_array_elements($1::jsonb) AS o(object)
         CROSS JOIN LATERAL jsonb_populate_record(NULL::stripe.{table}, jsonb_build_object('deleted', false) || o.object) AS r
         ON CONFLICT (id) DO UPDATE SET {}, updated_at = now(), last_synced_at = excluded.last_synced_at
         WHERE stripe.{table}.last_synced_at < excluded.last_synced_at",
        fields.join(", "),
        read.join(", "),
        set.join(", ")
    )
}

fn documents(table: &str) -> String {
    format!(
        "INSERT INTO stripe.{table} (_raw_data, _last_synced_at) SELECT o.object, $2 FROM jsonb_array_elements($1::jsonb) AS o(object)
         ON CONFLICT (id) DO UPDATE SET _raw_data = excluded._raw_data, _updated_at = now(), _last_synced_at = excluded._last_synced_at
         WHERE stripe.{table}._last_synced_at < excluded._last_synced_at"
    )
}

fn id(object: &Value) -> Option<String> {
    object["id"].as_str().map(str::to_string)
}

fn happened(event: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(event["created"].as_i64()?, 0)
}

fn lock(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}
