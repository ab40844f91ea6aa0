//! One held connection in a task of its own: jobs one by one, abandoned ones cancelled, the connection opened again when it is lost.

use super::connect::{Access, Session, Use};
use super::fault::{self, Trouble};
use crate::domain::fault::{Fault, FaultKind};
use futures_util::future::BoxFuture;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Answer = Box<dyn Any + Send>;
type Work = Box<dyn for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<Answer, Trouble>> + Send>;

/// The way to a lane. Clones lead to the same connection.
#[derive(Clone)]
pub struct Lane {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    work: Work,
    done: oneshot::Sender<Result<Answer, Fault>>,
    /// A write: it goes on to its end whether anybody waits or not.
    to_the_end: bool,
}

/// The lane's own side.
struct Keeper {
    access: Arc<Access>,
    purpose: Use,
    jobs: mpsc::Receiver<Job>,
    /// Through which our abandoned statements are cancelled.
    canceller: Option<Lane>,
    stop: CancellationToken,
    session: Option<Session>,
    /// When a job on it ended last.
    used: Instant,
    failures: u32,
    /// Why there is no connection, and when it may be tried again.
    refused: Option<(Fault, Instant)>,
}

/// Jobs that wait for a connection; beyond them, those who ask wait.
const QUEUE: usize = 64;
/// How long an abandoned statement gets to end before its connection is given up.
const GRACE: Duration = Duration::from_millis(500);
/// A connection that lay idle for so long is asked for a sign of life before a read; before a write each is.
const RESTED: Duration = Duration::from_secs(3);
/// How long it gets to give one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

impl Lane {
    pub fn start(access: Arc<Access>, purpose: Use, canceller: Option<Lane>, stop: CancellationToken) -> (Self, JoinHandle<()>) {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let keeper =
            Keeper { access, purpose, jobs: inbox, canceller, stop, session: None, used: Instant::now(), failures: 0, refused: None };
        let task = tokio::spawn(keeper.serve());
        (Self { jobs }, task)
    }

    /// Runs `work` on the connection. Dropping the future, or its time running out, cancels the statement on the server.
    ///
    /// # Errors
    /// The fault of the connection or of the statement; a time-out after `limit`, the wait for the connection included.
    pub async fn run<T, F>(&self, limit: Duration, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<T, Trouble>> + Send + 'static,
    {
        tokio::time::timeout(limit, self.submit(work, false)).await.unwrap_or_else(|_| Err(fault::timeout()))
    }

    /// Runs `work` to its end once it has begun. It bounds its own time.
    ///
    /// # Errors
    /// As [`Lane::run`], without its time-out.
    pub async fn run_to_the_end<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<T, Trouble>> + Send + 'static,
    {
        self.submit(work, true).await
    }

    async fn submit<T, F>(&self, work: F, to_the_end: bool) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<T, Trouble>> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            let job = work(session);
            Box::pin(async move { job.await.map(|value| Box::new(value) as Answer) })
        });
        let ended = || fault::new(FaultKind::Unreachable, "the connections to Postgres are being closed");
        self.jobs.send(Job { work, done, to_the_end }).await.map_err(|_| ended())?;
        let value = answer.await.map_err(|_| ended())??;
        Ok(*value.downcast::<T>().expect("invariant: a job answers in its own type"))
    }

    /// Asks the server to cancel what that backend is doing.
    async fn cancel(&self, pid: i32) -> Result<(), Fault> {
        let cancel = self.run(GRACE, move |session| {
            Box::pin(async move {
                let statement = session.sql("SELECT pg_cancel_backend($1)".into()).bind(pid);
                statement.execute(&mut session.conn).await?;
                Ok(())
            })
        });
        cancel.await
    }
}

impl Keeper {
    async fn serve(mut self) {
        loop {
            let again = self.refused.as_ref().map_or_else(Instant::now, |(_, at)| *at);
            let stop = self.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                job = self.jobs.recv() => match job {
                    Some(job) => self.take(job).await,
                    None => break,
                },
                // In the background, so that the connection is there before it is needed and comes back by itself.
                () = tokio::time::sleep_until(again), if self.session.is_none() => self.open().await,
            }
        }
        if let Some(session) = self.session {
            session.close().await;
        }
    }

    async fn open(&mut self) {
        let stop = self.stop.clone();
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = self.access.open(self.purpose) => opened,
        };
        match opened {
            Ok(session) => {
                self.session = Some(session);
                self.refused = None;
                self.failures = 0;
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let wait = match why.kind {
                    // Trying a refused password again and again locks accounts.
                    FaultKind::Auth | FaultKind::Tls | FaultKind::NotSetUp | FaultKind::Schema => Duration::from_secs(10),
                    // The first free slot is ours.
                    FaultKind::Full => Duration::from_millis(400),
                    _ => Duration::from_millis(100 << self.failures.min(4)),
                };
                let jitter = Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 4);
                self.refused = Some((why, Instant::now() + wait + jitter));
            }
        }
    }

    async fn take(&mut self, job: Job) {
        if job.done.is_closed() && !job.to_the_end {
            return;
        }
        // The server may have been started anew since it was used last. What is dead is found out while nothing was sent: of a write
        // nobody could tell afterwards whether it may be sent again.
        if (job.to_the_end || self.used.elapsed() >= RESTED)
            && let Some(session) = &mut self.session
            && !session.is_alive(SIGN_OF_LIFE).await
        {
            self.session = None;
        }
        if self.session.is_none() && self.refused.as_ref().is_none_or(|(_, at)| *at <= Instant::now()) {
            self.open().await;
        }
        let Some(mut session) = self.session.take() else {
            let why = self.refused.as_ref().map(|(f, _)| f.clone());
            let why = why.unwrap_or_else(|| fault::new(FaultKind::Unreachable, "the connections to Postgres are being closed"));
            // Nobody waiting any more is no failure.
            let _ = job.done.send(Err(why));
            return;
        };
        let Job { work, mut done, to_the_end } = job;
        let result = if to_the_end { Some(work(&mut session).await) } else { self.read(work, &mut session, &mut done).await };
        let Some(result) = result else { return };
        self.used = Instant::now();
        match result {
            Ok(value) => {
                self.session = (!session.broken).then_some(session);
                let _ = done.send(Ok(value));
            }
            Err(trouble) => {
                self.session = (!session.broken && !trouble.ends_connection()).then_some(session);
                let _ = done.send(Err(trouble.into_fault()));
            }
        }
    }

    /// The job's result; `None` where it was abandoned and the connection is of no more use.
    async fn read(
        &self,
        work: Work,
        session: &mut Session,
        done: &mut oneshot::Sender<Result<Answer, Fault>>,
    ) -> Option<Result<Answer, Trouble>> {
        let (pid, pooled) = (session.pid, session.pooled);
        let job = async {
            if !pooled {
                return work(session).await;
            }
            session.begin(true, "").await?;
            let result = work(session).await;
            session.finish(result).await
        };
        tokio::pin!(job);
        tokio::select! {
            result = &mut job => return Some(result),
            () = self.stop.cancelled() => return None,
            () = done.closed() => {}
        }
        // Behind a pooler the backend is not known by the number it had at the start.
        let canceller = self.canceller.as_ref().filter(|_| !pooled)?;
        let (cancelled, result) = tokio::join!(canceller.cancel(pid), tokio::time::timeout(GRACE, job));
        cancelled.ok()?;
        result.ok()
    }
}
