//! A pooler's own pools, as its admin console tells them. Which pooler, and how it is asked, is the gateway's.

use super::Label;
use serde::{Deserialize, Serialize};

/// One pool of `PgBouncer`'s: clients of one database and user, and the server connections they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolerPool {
    pub database: Label,
    pub user: Label,
    /// Clients with a server connection, or idle.
    pub cl_active: u32,
    /// Clients that have asked and wait for a server connection.
    pub cl_waiting: u32,
    pub sv_active: u32,
    pub sv_idle: u32,
    /// How long the first of those has waited, in milliseconds.
    pub maxwait_ms: u64,
    /// `transaction`, `session`, `statement`; empty where the version does not tell.
    pub mode: Label,
}

/// Who waits at the pooler, in one sentence; `None`: nobody.
#[must_use]
pub fn waiting_at_pooler(pools: &[PoolerPool]) -> Option<String> {
    let worst = pools.iter().filter(|p| p.cl_waiting > 0).max_by_key(|p| (p.maxwait_ms, p.cl_waiting))?;
    let all: u32 = pools.iter().map(|p| p.cl_waiting).sum();
    let (clients, wait) = if all == 1 { ("client waits", "it has") } else { ("clients wait", "the first has") };
    let PoolerPool { database, user, sv_active, sv_idle, maxwait_ms, .. } = worst;
    Some(format!(
        "At PgBouncer {all} {clients} for a server connection, {wait} for {}: {user} on {database} has {sv_active} of {} at work.",
        seconds(*maxwait_ms),
        sv_active + sv_idle,
    ))
}

fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { format!("{} s", ms / 1000) }
}
