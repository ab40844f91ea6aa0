//! The product's database: three held connections, and what is asked and written over them. Decides nothing about what it finds.

mod activity;
mod check;
mod commit;
mod compare;
mod connect;
mod counters;
mod end_session;
mod fault;
mod find;
mod found;
mod lane;
mod mirror;
mod names;
mod pooler;
mod pressure;
mod quota;
mod received;
mod records;
mod shape;
mod subscription_row;

pub use check::{DatabaseReport, Privilege};
pub use connect::{address, name, role};
pub use counters::Write as CounterWrite;
pub use end_session::Ending;
pub use mirror::MirrorReport;

use crate::config::Config;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ids::SubjectKey;
use crate::domain::mirror::Mirror;
use crate::domain::row::{Change, Image};
use crate::protocol::command::Outcome;
use crate::protocol::query::{Query, Reply};
use connect::{Access, Session, Use};
use fault::Trouble;
use lane::Lane;
use pooler::Pooler;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The way to the database. Clones share the three connections.
#[derive(Clone)]
pub struct Database {
    config: Arc<Config>,
    name: String,
    activity: Lane,
    reads: Lane,
    writes: Lane,
    pooler: Option<Arc<Pooler>>,
    /// A scan of millions of rows takes seconds: it has a connection of its own, opened when one is first asked for, so that nobody's
    /// search waits behind it.
    scans: Arc<OnceCell<Lane>>,
    access: Arc<Access>,
    stop: CancellationToken,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// A read's time, the wait for the connection included.
const READ: Duration = Duration::from_secs(3);
/// What a scan's own connection may take to be opened, beside the scan.
const CONNECTING: Duration = Duration::from_secs(4);
/// The checks of `nightdesk check` may take longer: nobody waits at a prompt for a key.
const CHECK: Duration = Duration::from_secs(8);

impl Database {
    /// Opens the connections in the background; needs a runtime. `None` where no database is configured.
    ///
    /// # Errors
    /// A sentence where an address is not one.
    pub fn start(config: Arc<Config>) -> Result<Option<Self>, Fault> {
        if config.database_url.is_none() {
            return Ok(None);
        }
        let access = Arc::new(Access::of(&config)?);
        let name = access.database().to_string();
        let pooler = Pooler::of(&config)?.map(Arc::new);
        let stop = CancellationToken::new();
        let lane = |purpose, canceller| Lane::start(Arc::clone(&access), purpose, canceller, stop.clone());
        let (activity, first) = lane(Use::Activity, None);
        let (reads, second) = lane(Use::Reads, Some(activity.clone()));
        let (writes, third) = lane(Use::Writes, None);
        let tasks = Arc::new(Mutex::new(vec![first, second, third]));
        Ok(Some(Self { config, name, activity, reads, writes, pooler, scans: Arc::default(), access, stop, tasks }))
    }

    /// The database's name as its address gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers one of the database's queries. Dropping the future cancels the statement on the server.
    ///
    /// # Errors
    /// The fault of the connection or the statement, or a time-out after three seconds.
    pub async fn ask(&self, query: Query) -> Result<Reply, Fault> {
        match query {
            // This connection is not busy with anybody's rows.
            Query::Activity | Query::SessionTexts(_) => self.ask_any([&self.activity, &self.reads, &self.writes], query).await,
            Query::Pooler => match &self.pooler {
                Some(pooler) => pooler.pools().await.map(Reply::Pooler),
                None => Err(pooler::not_set_up()),
            },
            // The server's own limit comes first, and says what it was.
            Query::NearLimit { .. } | Query::QuotaTotals { .. } | Query::TierUsage(_) => {
                self.ask_within(self.config.quota.limit + CONNECTING, self.scans().await, query).await
            }
            query => self.ask_any([&self.reads, &self.activity, &self.writes], query).await,
        }
    }

    /// On the first of these that has a connection: on a full server one slot has to be enough for everything.
    async fn ask_any(&self, lanes: [&Lane; 3], query: Query) -> Result<Reply, Fault> {
        let mut full = None;
        for lane in lanes {
            match self.ask_on(lane, query.clone()).await {
                Err(fault) if fault.kind == FaultKind::Full => full = full.or(Some(fault)),
                answered => return answered,
            }
        }
        Err(full.unwrap_or_else(fault::timeout))
    }

    async fn ask_on(&self, lane: &Lane, query: Query) -> Result<Reply, Fault> {
        self.ask_within(READ, lane, query).await
    }

    async fn ask_within(&self, limit: Duration, lane: &Lane, query: Query) -> Result<Reply, Fault> {
        let config = Arc::clone(&self.config);
        let job = lane.run(limit, move |session| {
            Box::pin(async move {
                let result = answer(session, &config, &query).await;
                if result.as_ref().is_err_and(Trouble::outdates_the_map) {
                    session.found = None;
                    session.ground = None;
                    session.watch = None;
                }
                result
            })
        });
        job.await
    }

    async fn scans(&self) -> &Lane {
        let open = || async {
            let (lane, task) = Lane::start(Arc::clone(&self.access), Use::Reads, Some(self.activity.clone()), self.stop.clone());
            self.tasks.lock().await.push(task);
            lane
        };
        self.scans.get_or_init(open).await
    }

    /// Whether it answers at all.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn poll(&self) -> Result<(), Fault> {
        let mut full = None;
        for lane in [&self.activity, &self.reads, &self.writes] {
            let job = lane.run(READ, |session| {
                Box::pin(async move {
                    sqlx::raw_sql("SELECT 1").execute(&mut session.conn).await?;
                    Ok(())
                })
            });
            match job.await {
                Err(fault) if fault.kind == FaultKind::Full => full = full.or(Some(fault)),
                answered => return answered,
            }
        }
        Err(full.unwrap_or_else(fault::timeout))
    }

    /// Sets fields of a subscription row by compare-and-set: exactly one row, or none. Not cancelled once begun.
    pub async fn set_subscription_row(&self, subject: SubjectKey, shown: Image, changes: Vec<Change>) -> Outcome {
        let mut outcome = Outcome::NotDone(fault::timeout());
        for lane in [&self.writes, &self.activity, &self.reads] {
            outcome = subscription_row::set(lane, Arc::clone(&self.config), subject.clone(), shown.clone(), changes.clone()).await;
            // It was not begun, for want of a connection.
            if !matches!(&outcome, Outcome::NotDone(fault) if fault.kind == FaultKind::Full) {
                break;
            }
        }
        outcome
    }

    /// Ends one session under its guard, and watches it go; at most ten seconds. Not cancelled once begun.
    pub async fn end_session(&self, ending: Ending) -> Outcome {
        let mut full = None;
        // Whichever is held: on a full server one that was lost does not come back.
        for lane in [&self.activity, &self.writes, &self.reads] {
            match end_session::end(lane, &ending).await {
                Err(fault) if fault.kind == FaultKind::Full => full = full.or(Some(fault)),
                Err(fault) => return Outcome::NotDone(fault),
                Ok(outcome) => return outcome,
            }
        }
        Outcome::NotDone(full.unwrap_or_else(fault::timeout))
    }

    /// Resets a subject's counters, or gives them back, by compare-and-set: all of them, or none. Not cancelled once begun.
    pub async fn write_counters(&self, subject: SubjectKey, write: CounterWrite) -> Outcome {
        let mut outcome = Outcome::NotDone(fault::timeout());
        for lane in [&self.writes, &self.activity, &self.reads] {
            outcome = counters::write(lane, Arc::clone(&self.config), subject.clone(), write.clone()).await;
            // It was not begun, for want of a connection.
            if !matches!(&outcome, Outcome::NotDone(fault) if fault.kind == FaultKind::Full) {
                break;
            }
        }
        outcome
    }

    /// What `nightdesk check` says about the database.
    ///
    /// # Errors
    /// Why it could not be looked at.
    pub async fn report(&self) -> Result<DatabaseReport, Fault> {
        let config = Arc::clone(&self.config);
        let job = self.reads.run(CHECK, move |session| Box::pin(async move { check::report(session, &config).await }));
        job.await
    }

    /// The DDL that would make questions about limits quick, for the database's owner to read. Nothing is run.
    ///
    /// # Errors
    /// What it cannot be written for: no counters, no limits.
    pub async fn quota_ddl(&self) -> Result<String, Fault> {
        let config = Arc::clone(&self.config);
        let job = self.reads.run(CHECK, move |session| Box::pin(async move { quota::ddl(session, &config).await }));
        job.await
    }

    /// Says goodbye on all connections; at most a second.
    pub async fn close(&self) {
        self.stop.cancel();
        let goodbyes = async {
            for task in self.tasks.lock().await.drain(..) {
                // A lane that panicked has no goodbye to wait for.
                let _ = task.await;
            }
        };
        let pooler = async {
            if let Some(pooler) = &self.pooler {
                pooler.close().await;
            }
        };
        // A server that does not listen is left without a goodbye.
        let _ = tokio::time::timeout(Duration::from_millis(900), async { tokio::join!(goodbyes, pooler) }).await;
    }
}

async fn answer(session: &mut Session, config: &Config, query: &Query) -> Result<Reply, Trouble> {
    match query {
        Query::Shape => shape::read(session, &config.schema).await.map(|s| Reply::Shape(Box::new(s))),
        Query::Records(locator) => records::read(session, config, locator).await.map(Reply::Records),
        Query::RowsOf(customers) => records::rows_of(session, config, customers).await.map(Reply::Rows),
        Query::Received(events) => received::of(session, config, events).await.map(Reply::Received),
        Query::RowsNaming { subscriptions, subjects } => {
            records::rows_naming(session, config, subscriptions, subjects).await.map(Reply::Rows)
        }
        Query::RowPage { after } => records::row_page(session, config, after.as_ref()).await,
        Query::Mirrored(of) => mirror::read(session, config, of).await.map(|m| Reply::Mirrored(m.map(Box::new))),
        Query::FindInMirror { needle, limit } => match needle.needle() {
            Some(needle) => mirror::find(session, &needle, *limit).await,
            None => Ok(Reply::MirrorHits { hits: Vec::new(), truncated: false, mirror: Mirror::default() }),
        },
        Query::Activity => activity::read(session).await.map(|a| Reply::Activity(Box::new(a))),
        Query::SessionTexts(ids) => activity::texts(session, ids).await.map(Reply::SessionTexts),
        Query::Pressure => pressure::read(session).await.map(Reply::Pressure),
        Query::NearLimit { .. } | Query::QuotaTotals { .. } | Query::TierUsage(_) | Query::Unreset => {
            quota::answer(session, config, query).await
        }
        Query::Counters(subject) => counters::read(session, config, subject).await.map(Reply::Counters),
        Query::FindInDatabase { needle, limit } => match needle.needle() {
            Some(needle) => find::find(session, config, &needle, *limit).await,
            None => Ok(Reply::Hits { hits: Vec::new(), truncated: false }),
        },
        other => unreachable!("invariant: {:?} is routed to another source", other.source()),
    }
}
