//! Ends one session of the database: guard and signal in one statement, then watched until it is gone. Who may, is decided elsewhere.

use super::activity::{direct, kind_expression};
use super::connect::Session;
use super::fault::{self, Trouble};
use super::lane::Lane;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::sessions::{CONSOLE, Reach, SessionId, State};
use crate::domain::text::clean;
use crate::protocol::command::Outcome;
use sqlx::Row;
use std::time::{Duration, Instant};

/// Which session to end, and what must still hold at the moment of the signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub session: SessionId,
    /// It is in one of these states …
    pub states: Vec<State>,
    /// … has been in it since then, by the server's clock …
    pub since: At,
    /// … and for as long, in milliseconds.
    pub at_least_ms: u64,
    pub reach: Reach,
}

/// How the guard judged.
struct Verdict {
    word: String,
    /// What it saw: a state, a kind, a database.
    saw: String,
    signalled: Option<bool>,
}

/// For the statement with the signal.
const SIGNAL: Duration = Duration::from_secs(4);
/// For each look whether it is gone.
const LOOK: Duration = Duration::from_secs(2);
/// How long it is watched, and how the looks are spaced, in milliseconds.
const WATCH: Duration = Duration::from_secs(5);
const PAUSES: [u64; 6] = [5, 20, 50, 100, 200, 400];

/// Ends it over this lane.
///
/// # Errors
/// Nothing was begun: the lane has no connection.
pub async fn end(lane: &Lane, ending: &Ending) -> Result<Outcome, Fault> {
    let asked = ending.clone();
    let signalled = lane.run_to_the_end(move |session| Box::pin(async move { Ok(signal(session, &asked).await) })).await?;
    let verdict = match signalled {
        Ok(verdict) => verdict,
        Err(outcome) => return Ok(outcome),
    };
    match (verdict.word.as_str(), verdict.signalled) {
        ("end", Some(true)) => Ok(watch(lane, ending.session).await),
        // It went between the guard's look and the signal.
        ("end", _) => Ok(Outcome::NotDone(refusal("gone", "", ending))),
        (word, _) => Ok(Outcome::NotDone(refusal(word, &verdict.saw, ending))),
    }
}

/// Guard and signal. `Err`: what is certain about it all the same.
async fn signal(session: &mut Session, ending: &Ending) -> Result<Verdict, Outcome> {
    let answered = tokio::time::timeout(SIGNAL, judged(session, ending)).await;
    match answered {
        Ok(Ok(verdict)) => Ok(verdict),
        Ok(Err(trouble)) => {
            let lost = trouble.ends_connection();
            session.broken |= lost;
            if trouble.outdates_the_map() {
                session.ground = None;
            }
            // A server that answers with an error has sent no signal: there was one to send, and it is what failed.
            Err(if lost { Outcome::Unknown(trouble.into_fault()) } else { Outcome::NotDone(trouble.into_fault()) })
        }
        Err(_) => {
            session.broken = true;
            Err(Outcome::Unknown(fault::timeout()))
        }
    }
}

async fn judged(session: &mut Session, ending: &Ending) -> Result<Verdict, Trouble> {
    direct(session)?;
    let kind = kind_expression(session).await?;
    let states: Vec<String> = ending.states.iter().map(|s| s.word().to_string()).collect();
    let wait = i64::try_from(ending.at_least_ms).unwrap_or(i64::MAX);
    let row = session
        .sql(statement(kind))
        .bind(ending.session.pid)
        .bind(ending.session.began())
        .bind(states)
        .bind(wait)
        .bind(ending.reach.other_databases)
        .bind(ending.since)
        .fetch_one(&mut session.conn)
        .await?;
    let saw: Option<String> = row.try_get("saw")?;
    Ok(Verdict { word: row.try_get("verdict")?, saw: clean(&saw.unwrap_or_default()), signalled: row.try_get("signalled")? })
}

/// One row, always: the verdict on this process id, and the signal only where it is `end`. Its list of sessions is the statement's own,
/// since the statement is a transaction by itself.
fn statement(kind: &str) -> String {
    format!(
        "WITH me AS MATERIALIZED (
           SELECT r.rolsuper,
                  EXISTS (SELECT 1 FROM pg_roles s WHERE s.rolname = 'pg_signal_backend' AND pg_has_role(s.oid, 'USAGE')) AS signals
             FROM pg_roles r WHERE r.rolname = current_user
         ), seen AS MATERIALIZED (
           SELECT a.pid, a.state, {kind} AS kind, d.datname::text AS database,
                  CASE WHEN a.pid IS NULL THEN 'gone'
                       WHEN a.pid = pg_backend_pid() THEN 'self'
                       WHEN a.backend_start IS NULL THEN 'hidden'
                       WHEN a.backend_start <> $2 THEN 'reused'
                       WHEN {kind} IS DISTINCT FROM 'client backend' THEN 'kind'
                       WHEN a.application_name LIKE '{CONSOLE}%' THEN 'console'
                       WHEN NOT me.rolsuper AND coalesce(r.rolsuper, true) THEN 'superuser'
                       WHEN NOT me.rolsuper AND NOT me.signals AND NOT pg_has_role(a.usesysid, 'USAGE') THEN 'privilege'
                       WHEN NOT $5 AND d.datname IS DISTINCT FROM current_database() THEN 'database'
                       WHEN NOT coalesce(a.state = ANY ($3), false) THEN 'state'
                       WHEN a.state_change IS DISTINCT FROM $6 THEN 'moved'
                       WHEN clock_timestamp() - a.state_change < $4 * interval '1 millisecond' THEN 'moved'
                       ELSE 'end' END AS verdict
             FROM me CROSS JOIN (SELECT $1::int4 AS pid) w
             LEFT JOIN pg_stat_activity a ON a.pid = w.pid
             LEFT JOIN pg_roles r ON r.oid = a.usesysid
             LEFT JOIN pg_database d ON d.oid = a.datid
         )
         SELECT verdict, CASE verdict WHEN 'kind' THEN kind WHEN 'database' THEN database ELSE state END AS saw,
                CASE WHEN verdict = 'end' THEN pg_terminate_backend(pid) END AS signalled
           FROM seen"
    )
}

/// Looks until it is gone. Each look is a statement of its own: within one the list of sessions stands still.
async fn watch(lane: &Lane, id: SessionId) -> Outcome {
    let begun = Instant::now();
    let mut pauses = PAUSES.into_iter();
    loop {
        let pause = pauses.next().unwrap_or(PAUSES[PAUSES.len() - 1]);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let there = lane.run(LOOK, move |session| {
            Box::pin(async move {
                let text = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2) AS there";
                let row = session.sql(text.into()).bind(id.pid).bind(id.began()).fetch_one(&mut session.conn).await?;
                Ok(row.try_get::<bool, _>("there")?)
            })
        });
        match there.await {
            Ok(false) => return Outcome::done(format!("ended, gone after {} ms", begun.elapsed().as_millis())),
            Ok(true) if begun.elapsed() < WATCH => {}
            Ok(true) => {
                let say = format!(
                    "session {} has its signal and is still there after {} s: it ends where it next can be interrupted",
                    id.pid,
                    WATCH.as_secs()
                );
                return Outcome::Unknown(fault::new(FaultKind::Timeout, say));
            }
            Err(fault) => {
                let say = format!("session {} has its signal; whether it ended could not be seen: {}", id.pid, fault.say);
                return Outcome::Unknown(fault::new(fault.kind, say));
            }
        }
    }
}

/// Why no signal was sent.
fn refusal(verdict: &str, saw: &str, ending: &Ending) -> Fault {
    let pid = ending.session.pid;
    let permission = |missing: &str| FaultKind::Permission { missing: Some(missing.into()) };
    let (kind, say) = match verdict {
        "gone" => (FaultKind::NotFound, format!("session {pid} had ended by itself: nothing was signalled")),
        "reused" => {
            (FaultKind::NotFound, format!("session {pid} had ended, and its number is another session's now: that one was left alone"))
        }
        "self" => (FaultKind::Refused, format!("session {pid} is this console's own")),
        "console" => (FaultKind::Refused, format!("session {pid} is a console's")),
        "hidden" => (
            permission("pg_monitor"),
            format!("our role does not see when session {pid} began, so a later one could be hit: grant it pg_monitor"),
        ),
        "kind" => (FaultKind::Refused, format!("session {pid} is no client's but a {saw}: ending it would hurt more than it helps")),
        "superuser" => (permission("superuser"), format!("session {pid} is a superuser's, and only a superuser may end it")),
        "privilege" => (permission("pg_signal_backend"), format!("our role may not end session {pid}: grant it pg_signal_backend")),
        "database" => (FaultKind::Refused, format!("session {pid} works in database {saw}, which was not chosen")),
        "state" => {
            let now = if saw.is_empty() { "in no known state" } else { saw };
            (FaultKind::Conflict, format!("session {pid} is {now} now, and was not when it was shown: it was left alone"))
        }
        "moved" => (FaultKind::Conflict, format!("session {pid} has done something since it was shown: it was left alone")),
        other => (FaultKind::Refused, format!("session {pid} was left alone ({other})")),
    };
    fault::new(kind, say)
}
