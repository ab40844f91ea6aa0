//! Incident `pool-exhausted`: a service leaves transactions open that hold locks, others wait for them, and slots run out; beside them stand
//! healthy idle pools. All of them are real sessions of the application's role.

use std::future::pending;
use std::iter::repeat;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use super::ground::Turn;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::Billing;

pub const SPEC: Spec = Spec {
    name: "pool-exhausted",
    title: "a service leaves transactions open: others wait for its locks, and connections run out",
    background: 0,
    usual: 8,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    // The service is restarted: what it left open was dropped with what the incident kept.
    lift: Some(|_| Box::pin(async { Ok(()) })),
};

/// What a session of the database has to do for the incident to be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    pub pid: i32,
    /// Tells it from a later session with the same process id.
    pub backend_start: DateTime<Utc>,
    pub application: &'static str,
    pub fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It leaks, and has to end.
    End,
    /// It is healthy, and has to live.
    Live,
    /// It waits, and has to get what it waits for.
    GetThrough,
}

const LEAKING: &str = "report-worker";
const WAITING: &str = "checkout-worker";
/// The applications of the healthy pools; one does not say its name, as many do not.
const HEALTHY: [&str; 3] = ["mailer", "billing-cron", ""];
/// Connections per healthy pool.
const POOL: usize = 2;
/// How many sessions wait for the lock of each leak that holds one; further leaks hold none.
const WAITERS: [usize; 6] = [2, 1, 0, 1, 0, 0];

/// As many leaks as were asked for, or as there are slots for an ordinary role.
async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let holding = turn.count.min(WAITERS.len());
    let people = ground.pick(Incident::PoolExhausted, holding, &|billing| matches!(billing, Billing::Paid(c) if c.status == "active"))?;
    let mut scene = Scene { ground, turn, labels: Vec::new(), leaks: Vec::new() };
    let taken = scene.fill(&people).await;
    let Scene { labels, leaks, .. } = scene;
    ground.keep(Incident::PoolExhausted, leaks);
    match taken {
        // Every slot is taken: no more could be asked for.
        Err(error) if labels.iter().any(is_leak) && full(&error) => Ok(labels),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(labels),
    }
}

struct Scene<'a> {
    ground: &'a Ground,
    turn: Turn,
    labels: Vec<Label>,
    leaks: Vec<PgConnection>,
}

impl Scene<'_> {
    async fn fill(&mut self, people: &[u64]) -> Result<(), sqlx::Error> {
        for application in HEALTHY.into_iter().flat_map(|name| [name; POOL]) {
            let (connection, session) = self.open(application, Fate::Live).await?;
            hold(connection);
            self.label("a healthy idle connection of another pool", Cause::None, None, session);
        }
        let holding = people.iter().copied().map(Some).zip(WAITERS);
        for (person, waiters) in holding.chain(repeat((None, 0))).take(self.turn.count) {
            let (mut leak, session) = self.open(LEAKING, Fate::End).await?;
            sqlx::raw_sql("BEGIN").execute(&mut leak).await?;
            let broke = match person {
                Some(number) => {
                    lock_row(self.ground, &self.ground.key(number), &mut leak).await?;
                    "left a transaction open that holds the lock on a row"
                }
                None => {
                    sqlx::raw_sql("SELECT 1").execute(&mut leak).await?;
                    "left a transaction open"
                }
            };
            self.leaks.push(leak);
            self.label(broke, Cause::LeakedTransaction, person, session);
            for number in person.into_iter().cycle().take(waiters) {
                self.wait(number).await?;
            }
        }
        Ok(())
    }

    /// One more session that waits for a person's row.
    async fn wait(&mut self, number: u64) -> Result<(), sqlx::Error> {
        let (mut waiter, session) = self.open(WAITING, Fate::GetThrough).await?;
        let statement = row_lock(self.ground);
        let key = self.ground.key(number);
        tokio::spawn(async move {
            if sqlx::query(AssertSqlSafe(statement)).bind(key).execute(&mut waiter).await.is_ok() {
                pending::<()>().await;
            }
        });
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock')";
        // Should somebody end the leak meanwhile, nothing will wait any more.
        for _ in 0..400 {
            if sqlx::query_scalar(waits).bind(session.pid).fetch_one(self.ground.pool()).await? {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.label("waits for a row that a transaction left open holds", Cause::LeakedTransaction, Some(number), session);
        Ok(())
    }

    async fn open(&self, application: &'static str, fate: Fate) -> Result<(PgConnection, Session), sqlx::Error> {
        let options = self.ground.app().database().clone().application_name(application);
        let mut connection = options.connect().await?;
        let sql = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let (pid, backend_start): (i32, DateTime<Utc>) = sqlx::query_as(sql).fetch_one(&mut connection).await?;
        Ok((connection, Session { pid, backend_start, application, fate }))
    }

    fn label(&mut self, broke: &'static str, cause: Cause, number: Option<u64>, session: Session) {
        self.labels.push(Label {
            incident: Incident::PoolExhausted,
            broke: broke.into(),
            at: self.turn.present,
            cause,
            truth: (session.fate == Fate::Live).then_some(Truth::Fine),
            subject: Subject { number, profile: number.map(|n| self.ground.key(n)), ..Subject::default() },
            check: Check::Session(session),
        });
    }
}

impl Ground {
    pub(super) async fn session_does(&self, session: &Session) -> Result<bool, IncidentError> {
        let sql = "SELECT coalesce(state = 'idle' AND wait_event_type IS DISTINCT FROM 'Lock', false)
                   FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2";
        let idle: Option<bool> = sqlx::query_scalar(sql).bind(session.pid).bind(session.backend_start).fetch_optional(self.pool()).await?;
        Ok(match session.fate {
            Fate::End => idle.is_none(),
            Fate::Live => idle.is_some(),
            Fate::GetThrough => idle == Some(true),
        })
    }
}

/// Keeps a connection open for as long as the program runs; whoever repairs the incident must not need it closed.
fn hold(connection: PgConnection) {
    tokio::spawn(async move {
        let _connection = connection;
        pending::<()>().await;
    });
}

/// Locks a profile's row, changing nothing.
pub(super) async fn lock_row(ground: &Ground, key: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(row_lock(ground))).bind(key).execute(connection).await.map(drop)
}

fn row_lock(ground: &Ground) -> String {
    let n = ground.shape().names();
    format!("SELECT 1 FROM {} WHERE {} = $1::text::{} FOR UPDATE", n.subscriptions, n.owner, n.key)
}

fn is_leak(label: &Label) -> bool {
    matches!(&label.check, Check::Session(session) if session.fate == Fate::End)
}

/// "Too many connections", and "remaining connection slots are reserved".
fn full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("53300")
}
