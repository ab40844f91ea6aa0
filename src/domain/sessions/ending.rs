//! Which sessions a console may end, why not the others, and what the runbook's own query would end instead.

use super::{Activity, Blocking, Kind, Label, Ours, Rules, Session, SessionId, State, leaks};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// How far ending sessions may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reach {
    /// Other databases of the server too: only where they were chosen.
    pub other_databases: bool,
}

/// Why a session is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Spared {
    #[error("it is this console's own connection")]
    Own,
    #[error("it is a console's")]
    Console,
    #[error("it replicates: a replica or a change feed hangs on it")]
    Replication,
    #[error("it is a parallel worker: it ends with the session it works for{}", leader(*.0))]
    Worker(Option<i32>),
    #[error("it is the server's own process ({0})")]
    Internal(Label),
    #[error("our role does not see it: pg_monitor would show its start, without which a later session could be hit")]
    Hidden,
    #[error("it is a superuser's: only a superuser may end it")]
    Superuser,
    #[error("it is a superuser's, and is ended only where it is chosen")]
    SuperuserUnchosen,
    #[error("that takes pg_signal_backend: grant it to our role")]
    NoPrivilege,
    #[error("it works in another database, {0}, which was not chosen")]
    OtherDatabase(Label),
}

/// What the runbook's query would end:
/// `state = 'idle' AND query_start < now() - interval '10 minutes'`, whatever kind of process it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookHits {
    /// Everything that it selects.
    pub hits: Vec<i32>,
    /// Of these, healthy idle connections of pools.
    pub healthy: usize,
    pub replication: usize,
    pub consoles: usize,
    /// Superusers' sessions among them: without being one the whole statement fails, and it may have ended some before.
    pub superusers: usize,
    /// Those that leak, and that it leaves alone.
    pub missed: usize,
    /// Healthy ones that have been idle for less than it believes: it takes the age of their last statement.
    pub misjudged: usize,
    /// It breaks off on the first superuser's session.
    pub breaks_off: bool,
}

/// The runbook's ten minutes.
const BOOK_MINUTES: i64 = 10;

/// Whether the session may be ended, and then its name for the command.
///
/// # Errors
/// Why it is left alone, the weightiest reason first; as the guard within the statement has them.
pub fn may_end(session: &Session, activity: &Activity, reach: Reach) -> Result<SessionId, Spared> {
    match session.ours {
        Ours::This => return Err(Spared::Own),
        Ours::Console => return Err(Spared::Console),
        Ours::No => {}
    }
    match &session.kind {
        Some(Kind::Walsender) => return Err(Spared::Replication),
        Some(Kind::ParallelWorker) => return Err(Spared::Worker(session.leader)),
        Some(Kind::Internal(what)) => return Err(Spared::Internal(what.clone())),
        Some(Kind::Client) | None => {}
    }
    let Some(id) = session.id() else { return Err(Spared::Hidden) };
    if session.superuser && !activity.sight.superuser {
        return Err(Spared::Superuser);
    }
    if !session.may_signal {
        return Err(Spared::NoPrivilege);
    }
    match &session.database {
        Some(database) if *database != activity.database && !reach.other_databases => Err(Spared::OtherDatabase(database.clone())),
        _ => Ok(id),
    }
}

/// What the runbook's query would do on the same sessions.
#[must_use]
pub fn book_hits(activity: &Activity, rules: &Rules) -> BookHits {
    let limit = TimeDelta::minutes(BOOK_MINUTES);
    let old = |s: &&Session| s.query_start.is_some_and(|at| activity.at - at > limit);
    let hit: Vec<&Session> = activity.sessions.iter().filter(|s| s.state == Some(State::Idle)).filter(old).collect();
    let healthy = |s: &&&Session| s.ours == Ours::No && s.kind == Some(Kind::Client);
    let leaking = leaks(activity, &Blocking::of(activity), rules);
    BookHits {
        healthy: hit.iter().filter(healthy).count(),
        replication: hit.iter().filter(|s| s.kind == Some(Kind::Walsender)).count(),
        consoles: hit.iter().filter(|s| s.ours != Ours::No).count(),
        superusers: hit.iter().filter(|s| s.superuser).count(),
        missed: leaking.iter().filter(|l| !hit.iter().any(|h| h.pid == l.pid)).count(),
        misjudged: hit.iter().filter(healthy).filter(|s| s.age_in_state(activity.at).is_some_and(|age| age <= limit)).count(),
        breaks_off: !activity.sight.superuser && hit.iter().any(|s| s.superuser),
        hits: hit.into_iter().map(|s| s.pid).collect(),
    }
}

impl BookHits {
    /// What it would do, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.hits.is_empty() {
            return match self.missed {
                0 => "The runbook's query would end nothing.".into(),
                n => format!("The runbook's query would end nothing, and leave {}.", leaking(n)),
            };
        }
        let mut of = Vec::new();
        if self.healthy > 0 {
            of.push(format!("{} healthy in pools", self.healthy));
        }
        if self.replication > 0 {
            of.push(format!("{} of replication", self.replication));
        }
        if self.consoles > 0 {
            of.push(format!("{} of consoles", self.consoles));
        }
        let mut out = format!("The runbook's query would end {}", sessions(self.hits.len()));
        if !of.is_empty() {
            out.push_str(&format!(" ({})", of.join(", ")));
        }
        if self.missed > 0 {
            out.push_str(&format!(", and leave {}", leaking(self.missed)));
        }
        if self.breaks_off {
            out.push_str("; as our role it breaks off at the first superuser's, with some ended");
        }
        out.push('.');
        out
    }
}

fn sessions(n: usize) -> String {
    if n == 1 { "1 session".into() } else { format!("{n} sessions") }
}

fn leaking(n: usize) -> String {
    if n == 1 { "the one that leaks".into() } else { format!("the {n} that leak") }
}

fn leader(pid: Option<i32>) -> String {
    pid.map(|pid| format!(", process {pid}")).unwrap_or_default()
}
