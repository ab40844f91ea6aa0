//! The product's database: three held connections, and what is asked and written over them. Decides nothing about what it finds.

mod check;
mod commit;
mod compare;
mod connect;
mod counters;
mod fault;
mod find;
mod found;
mod lane;
mod names;
mod pressure;
mod quota;
mod received;
mod records;
mod shape;
mod subscription_row;

pub use check::{DatabaseReport, Privilege};
pub use connect::{address, role};
pub use counters::Write as CounterWrite;

use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::ids::SubjectKey;
use crate::domain::row::{Change, Image};
use crate::protocol::command::Outcome;
use crate::protocol::query::{Query, Reply};
use connect::{Access, Session, Use};
use fault::Trouble;
use lane::Lane;
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
        let stop = CancellationToken::new();
        let lane = |purpose, canceller| Lane::start(Arc::clone(&access), purpose, canceller, stop.clone());
        let (activity, first) = lane(Use::Activity, None);
        let (reads, second) = lane(Use::Reads, Some(activity.clone()));
        let (writes, third) = lane(Use::Writes, None);
        let tasks = Arc::new(Mutex::new(vec![first, second, third]));
        Ok(Some(Self { config, name, activity, reads, writes, scans: Arc::default(), access, stop, tasks }))
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
        let config = Arc::clone(&self.config);
        let scans = matches!(query, Query::NearLimit { .. } | Query::QuotaTotals { .. } | Query::TierUsage(_));
        // The server's own limit comes first, and says what it was.
        let (lane, limit) = if scans { (self.scans().await, config.quota.limit + CONNECTING) } else { (&self.reads, READ) };
        let job = lane.run(limit, move |session| {
            Box::pin(async move {
                let result = answer(session, &config, &query).await;
                if result.as_ref().is_err_and(Trouble::outdates_the_map) {
                    session.found = None;
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
        let job = self.activity.run(READ, |session| {
            Box::pin(async move {
                sqlx::raw_sql("SELECT 1").execute(&mut session.conn).await?;
                Ok(())
            })
        });
        job.await
    }

    /// Sets fields of a subscription row by compare-and-set: exactly one row, or none. Not cancelled once begun.
    pub async fn set_subscription_row(&self, subject: SubjectKey, shown: Image, changes: Vec<Change>) -> Outcome {
        subscription_row::set(&self.writes, Arc::clone(&self.config), subject, shown, changes).await
    }

    /// Resets a subject's counters, or gives them back, by compare-and-set: all of them, or none. Not cancelled once begun.
    pub async fn write_counters(&self, subject: SubjectKey, write: CounterWrite) -> Outcome {
        counters::write(&self.writes, Arc::clone(&self.config), subject, write).await
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
        // A server that does not listen is left without a goodbye.
        let _ = tokio::time::timeout(Duration::from_millis(900), goodbyes).await;
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
        Query::Pressure => pressure::read(session).await.map(Reply::Pressure),
        Query::NearLimit { .. } | Query::QuotaTotals { .. } | Query::TierUsage(_) => quota::answer(session, config, query).await,
        Query::Counters(subject) => counters::read(session, config, subject).await.map(Reply::Counters),
        Query::FindInDatabase { needle, limit } => match needle.needle() {
            Some(needle) => find::find(session, config, &needle, *limit).await,
            None => Ok(Reply::Hits { hits: Vec::new(), truncated: false }),
        },
        other => unreachable!("invariant: {:?} is routed to another source", other.source()),
    }
}
