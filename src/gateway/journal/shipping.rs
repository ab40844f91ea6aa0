//! Shipping: brings the local journal's records to the shared store, at once where it answers, later where it does not.

use super::Journal;
use super::store::{Store, StoreBreak};
use crate::domain::fault::Fault;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How shipping stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shipped {
    /// Not tried yet.
    NotYet,
    /// Every record is in the store.
    All,
    /// It waits for the store; records are safe here.
    Waiting(Fault),
}

/// The task that ships.
#[derive(Debug)]
pub struct Shipping {
    journal: Journal,
    store: Store,
    state: watch::Sender<Shipped>,
}

/// Records of one transaction: the store's head is locked meanwhile.
const BATCH: usize = 100;
/// After a failure, and without news of our own: records of another process of the same operator are shipped by it, or by us then.
const PAUSE: Duration = Duration::from_secs(10);

impl Shipping {
    #[must_use]
    pub fn new(journal: Journal, store: Store) -> (Self, watch::Receiver<Shipped>) {
        let (state, watching) = watch::channel(Shipped::NotYet);
        (Self { journal, store, state }, watching)
    }

    /// Ships until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = ship(&self.journal, &self.store) => result,
            };
            let failed = result.is_err();
            let state = result.map_or_else(Shipped::Waiting, |_| Shipped::All);
            self.state.send_if_modified(|s| (*s != state).then(|| *s = state).is_some());
            let news = async {
                if failed {
                    std::future::pending::<()>().await;
                }
                self.journal.appended().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = news => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Ships what is not in the store yet; how many records that was. Doing it twice, or from two processes at once, changes nothing.
///
/// # Errors
/// [`Fault`] where the journal cannot be read or the store does not take them; nothing is lost by it.
pub async fn ship(journal: &Journal, store: &Store) -> Result<usize, Fault> {
    let Some(head) = journal.head().await? else { return Ok(0) };
    let mut newest = store.shipped(journal.environment(), journal.operator(), head.chain).await?;
    let mut count = 0;
    while newest < head.seq {
        let batch = journal.after(newest, BATCH).await?;
        let Some((last, _)) = batch.last() else { break };
        newest = last.body.seq;
        count += batch.len();
        let lines: Vec<String> = batch.into_iter().map(|(_, text)| text).collect();
        store.ship(&lines).await?;
    }
    Ok(count)
}

/// The first record of this journal that the store holds and the journal does not, or not in the same words: one of them was
/// rewritten or cut, however sound each chain is by itself.
///
/// # Errors
/// [`Fault`] where one of them cannot be read.
pub async fn compare(journal: &Journal, store: &Store) -> Result<Option<StoreBreak>, Fault> {
    let Some(head) = journal.head().await? else { return Ok(None) };
    let stored = store.records(journal.environment(), journal.operator(), head.chain).await?;
    let here: HashMap<u64, String> = journal.after(0, usize::MAX).await?.into_iter().map(|(line, text)| (line.body.seq, text)).collect();
    let problem = |seq: u64, record: &String| match here.get(&seq) {
        None => Some("in the store, and not in this journal any more"),
        Some(text) if text != record => Some("says something else in the store than in this journal"),
        Some(_) => None,
    };
    let broken = stored.iter().find_map(|(seq, record)| problem(*seq, record).map(|p| (*seq, p.to_string())));
    Ok(broken.map(|(seq, problem)| StoreBreak { seq: i64::try_from(seq).unwrap_or(i64::MAX), problem }))
}
