//! Whether production needs the database more than our bulk work does: how far replicas are behind, and who waits. Decides for nobody.

use super::connect::Session;
use super::fault::Trouble;
use sqlx::Row;

/// A replica further behind than this is left to catch up, in seconds.
const LAG: f64 = 10.0;
/// So many backends waiting for locks are a queue.
const WAITERS: i64 = 5;

/// What our role may not see of other sessions counts as nothing: then only the flag file can hold us back.
const ASK: &str = "
SELECT CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
            THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END AS own_lag,
       (SELECT max(extract(epoch FROM replay_lag))::float8 FROM pg_stat_replication) AS lag,
       (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock') AS waiters";

/// Why bulk work should stand back, a sentence each.
pub async fn read(session: &mut Session) -> Result<Vec<String>, Trouble> {
    let row = session.sql(ASK.into()).fetch_one(&mut session.conn).await?;
    let mut reasons = Vec::new();
    if let Some(lag) = row.try_get::<Option<f64>, _>("own_lag")?.filter(|lag| *lag > LAG) {
        reasons.push(format!("this replica is {lag:.0} s behind"));
    }
    if let Some(lag) = row.try_get::<Option<f64>, _>("lag")?.filter(|lag| *lag > LAG) {
        reasons.push(format!("a replica is {lag:.0} s behind"));
    }
    let waiters: i64 = row.try_get("waiters")?;
    if waiters >= WAITERS {
        reasons.push(format!("{waiters} sessions wait for locks"));
    }
    Ok(reasons)
}
