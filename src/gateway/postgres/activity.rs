//! All sessions of the server in one statement, and the statements of a few of them. What they mean is the domain's.

use super::connect::Session;
use super::fault::{self, Trouble};
use crate::domain::At;
use crate::domain::fault::FaultKind;
use crate::domain::sessions::Session as Seen;
use crate::domain::sessions::{Activity, CONSOLE, Kind, Label, Limit, LimitOf, Ours, Room, SessionId, Sight, State, hide_literals};
use crate::domain::text::clean;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is asked once in a while: it changes with the server's restart, or where somebody grants our role more.
#[derive(Debug, Clone)]
pub struct Ground {
    read: Instant,
    database: Label,
    room: Room,
    sight: Sight,
    /// Columns that this server's list of sessions has.
    columns: BTreeSet<String>,
    names: Names,
}

/// The names behind the numbers: joining them to a thousand sessions costs the server more than the sessions themselves.
#[derive(Debug, Clone)]
struct Names {
    roles: HashMap<u32, Role>,
    databases: HashMap<u32, (Label, Option<u32>)>,
    read: Instant,
}

#[derive(Debug, Clone)]
struct Role {
    name: Label,
    superuser: bool,
    /// Our role has its rights.
    ours: bool,
    limit: Option<u32>,
}

/// Names and limits are read again after this: somebody may limit a role in the middle of an incident.
const NAMES_KEPT: Duration = Duration::from_secs(30);
/// What our role may see and do is read again after this.
const GROUND_KEPT: Duration = Duration::from_secs(60);
/// The same while it lacks something: whoever was told which grant is missing may be making it.
const GROUND_KEPT_LACKING: Duration = Duration::from_secs(10);
/// So much of a statement is asked for, and shown, in characters.
const TEXT: usize = 2_000;
/// Sessions whose statements are asked for at once.
const TEXTS: usize = 200;

const LOOK: &str = "
SELECT current_database()::text AS database,
       current_setting('max_connections')::int4 AS max,
       current_setting('superuser_reserved_connections')::int4 AS superuser_reserved,
       coalesce(nullif(current_setting('reserved_connections', true), '')::int4, 0)
         + coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), '')::int4, 0) AS reserved,
       me.rolsuper AS superuser,
       EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = 'pg_read_all_stats' AND pg_has_role(r.oid, 'USAGE')) AS reads_all,
       EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = 'pg_signal_backend' AND pg_has_role(r.oid, 'USAGE')) AS signals,
       ARRAY(SELECT attname::text FROM pg_attribute
              WHERE attrelid = 'pg_stat_activity'::regclass AND attnum > 0 AND NOT attisdropped) AS columns
  FROM pg_roles me WHERE me.rolname = current_user";

/// Those that have sessions, and those that have a limit of their own.
const NAMES: &str = "
SELECT true AS role, oid, rolname::text AS name, rolsuper AS superuser, pg_has_role(oid, 'USAGE') AS ours, rolconnlimit AS most
  FROM pg_roles WHERE oid = ANY($1) OR (rolcanlogin AND rolconnlimit >= 0)
UNION ALL
SELECT false, oid, datname::text, false, false, datconnlimit FROM pg_database WHERE oid = ANY($2)";

/// The session's kind, where a server of before 10 does not say it.
const KIND_BEFORE_10: &str = "CASE WHEN a.pid IN (SELECT pid FROM pg_stat_replication) THEN 'walsender'
    WHEN a.query LIKE 'autovacuum:%' THEN 'autovacuum worker' ELSE 'client backend' END";

/// Every session of the server.
pub async fn read(session: &mut Session) -> Result<Activity, Trouble> {
    direct(session)?;
    let ground = ground(session).await?;
    let row = session.sql(statement(&ground.columns)).fetch_one(&mut session.conn).await?;
    let columns = Columns::of(&row)?;
    let ground = if ground.names.suffice(&columns) {
        ground
    } else {
        let names = Names::read(session, &columns.role, &columns.database).await?;
        let ground = Arc::new(Ground { names, ..Ground::clone(&ground) });
        session.ground = Some(Arc::clone(&ground));
        ground
    };
    Ok(columns.into_activity(&row, &ground, session)?)
}

/// The statements of these sessions, literals hidden, of those that are still the same.
pub async fn texts(session: &mut Session, ids: &[SessionId]) -> Result<Vec<(SessionId, String)>, Trouble> {
    direct(session)?;
    let ids = &ids[..ids.len().min(TEXTS)];
    let pids: Vec<i32> = ids.iter().map(|id| id.pid).collect();
    let text = format!("SELECT pid, backend_start, left(query, {TEXT}) AS query FROM pg_stat_activity WHERE pid = ANY($1)");
    let rows = session.sql(text).bind(pids).fetch_all(&mut session.conn).await?;
    let mut found = HashMap::new();
    for row in rows {
        if let Some(began) = row.try_get::<Option<At>, _>("backend_start")? {
            let query: Option<&str> = row.try_get("query")?;
            found.insert(SessionId::new(row.try_get("pid")?, began), hide_literals(query.unwrap_or_default(), TEXT));
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id).map(|text| (*id, text))).collect())
}

/// What the guard of a signal calls the kind of a session.
pub async fn kind_expression(session: &mut Session) -> Result<&'static str, Trouble> {
    Ok(kind(&ground(session).await?.columns))
}

/// # Errors
/// Behind a pooler: the sessions are the pooler's, and which of them is ours changes with every transaction.
pub fn direct(session: &Session) -> Result<(), Trouble> {
    if session.pooled {
        let say =
            "database_url leads through a pooler, which lends out the server's sessions: point it at the server itself to see and end them";
        return Err(fault::new(FaultKind::Refused, say).into());
    }
    Ok(())
}

async fn ground(session: &mut Session) -> Result<Arc<Ground>, Trouble> {
    if let Some(ground) = session.ground.as_ref().filter(|g| g.read.elapsed() < g.kept()) {
        return Ok(Arc::clone(ground));
    }
    let row = session.sql(LOOK.into()).fetch_one(&mut session.conn).await?;
    let count = |name: &str| row.try_get::<i32, _>(name).map(|n| u32::try_from(n).unwrap_or(0));
    let columns: BTreeSet<String> = row.try_get::<Vec<String>, _>("columns")?.into_iter().collect();
    let lacking = [("backend_type", "what kind a process is"), ("leader_pid", "whom a parallel worker works for")];
    let ground = Arc::new(Ground {
        database: Label::from(clean(row.try_get("database")?).as_str()),
        room: Room {
            max_connections: count("max")?,
            superuser_reserved: count("superuser_reserved")?,
            reserved: count("reserved")?,
            ..Room::default()
        },
        sight: Sight {
            superuser: row.try_get("superuser")?,
            reads_all: row.try_get("reads_all")?,
            signals: row.try_get("signals")?,
            lacking: lacking.iter().filter(|(column, _)| !columns.contains(*column)).map(|(_, what)| (*what).to_string()).collect(),
        },
        columns,
        // Nothing is known at first: the first list of sessions asks for what it needs.
        names: session.ground.as_ref().map_or_else(Names::none, |known| known.names.clone()),
        read: Instant::now(),
    });
    session.ground = Some(Arc::clone(&ground));
    Ok(ground)
}

fn kind(columns: &BTreeSet<String>) -> &'static str {
    if columns.contains("backend_type") { "a.backend_type" } else { KIND_BEFORE_10 }
}

/// One row of arrays: a thousand rows would be sent and read one by one. Neither names nor statements are in it, so that the server
/// joins nothing; the blockers are asked for only where somebody waits, since that takes the locks of the lock table.
fn statement(columns: &BTreeSet<String>) -> String {
    let leader = if columns.contains("leader_pid") { "a.leader_pid" } else { "NULL::int4" };
    format!(
        "SELECT clock_timestamp() AS at, pg_is_in_recovery() AS standby,
                array_agg(a.pid) AS pid, array_agg(a.backend_start) AS began,
                array_agg(nullif({kind}, 'client backend')) AS kind,
                array_agg(a.datid) AS database, array_agg(a.usesysid) AS role,
                array_agg(nullif(a.application_name, '')) AS application, array_agg(host(a.client_addr)) AS client,
                array_agg(a.state) AS state, array_agg(a.state_change) AS state_change,
                array_agg(a.xact_start) AS xact_start, array_agg(a.query_start) AS query_start,
                array_agg(a.wait_event_type) AS wait_type, array_agg(a.wait_event) AS wait_event,
                array_agg({leader}) AS leader,
                array_agg(CASE WHEN a.wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(a.pid), ',') END) AS blocked_by
           FROM pg_stat_activity a",
        kind = kind(columns),
    )
}

/// The answer's arrays, all of one length.
struct Columns {
    pid: Vec<i32>,
    began: Vec<Option<At>>,
    kind: Vec<Option<String>>,
    database: Vec<Option<Oid>>,
    role: Vec<Option<Oid>>,
    application: Vec<Option<String>>,
    client: Vec<Option<String>>,
    state: Vec<Option<String>>,
    state_change: Vec<Option<At>>,
    xact_start: Vec<Option<At>>,
    query_start: Vec<Option<At>>,
    wait_type: Vec<Option<String>>,
    wait_event: Vec<Option<String>>,
    leader: Vec<Option<i32>>,
    blocked_by: Vec<Option<String>>,
}

impl Columns {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            pid: row.try_get("pid")?,
            began: row.try_get("began")?,
            kind: row.try_get("kind")?,
            database: row.try_get("database")?,
            role: row.try_get("role")?,
            application: row.try_get("application")?,
            client: row.try_get("client")?,
            state: row.try_get("state")?,
            state_change: row.try_get("state_change")?,
            xact_start: row.try_get("xact_start")?,
            query_start: row.try_get("query_start")?,
            wait_type: row.try_get("wait_type")?,
            wait_event: row.try_get("wait_event")?,
            leader: row.try_get("leader")?,
            blocked_by: row.try_get("blocked_by")?,
        })
    }

    fn into_activity(self, row: &PgRow, ground: &Ground, session: &Session) -> Result<Activity, sqlx::Error> {
        let mut labels = Labels::default();
        let sessions: Vec<Seen> = (0..self.pid.len()).map(|i| self.session(i, ground, session.pid, &mut labels)).collect();
        // Until 11 those that replicate take slots of the others.
        let slot = |s: &Seen| s.is_client() || (session.version < 120_000 && s.kind == Some(Kind::Walsender));
        let used = sessions.iter().filter(|s| slot(s)).count();
        let limits = ground.names.limits(&sessions);
        Ok(Activity {
            at: row.try_get("at")?,
            database: ground.database.clone(),
            room: Room { used: u32::try_from(used).unwrap_or(u32::MAX), limits, ..ground.room.clone() },
            sight: ground.sight.clone(),
            standby: row.try_get("standby")?,
            version: session.version,
            sessions,
        })
    }

    fn session(&self, i: usize, ground: &Ground, own: i32, labels: &mut Labels) -> Seen {
        let application = labels.get(self.application[i].as_deref().unwrap_or_default());
        let role = self.role[i].map(|oid| (oid, ground.names.roles.get(&oid.0)));
        let superuser = role.is_some_and(|(_, role)| role.is_none_or(|r| r.superuser));
        let rights = role.is_some_and(|(_, role)| role.is_some_and(|r| r.ours));
        let database = self.database[i]
            .map(|oid| ground.names.databases.get(&oid.0).map_or_else(|| labels.get(&format!("oid {}", oid.0)), |d| d.0.clone()));
        let ours = match self.pid[i] {
            pid if pid == own => Ours::This,
            _ if application.starts_with(CONSOLE) => Ours::Console,
            _ => Ours::No,
        };
        Seen {
            pid: self.pid[i],
            began: self.began[i],
            // A start tells that the row is not hidden: then nothing stands for the most frequent kind.
            kind: self.began[i].map(|_| match self.kind[i].as_deref() {
                None => Kind::Client,
                Some("walsender") => Kind::Walsender,
                Some("parallel worker") => Kind::ParallelWorker,
                Some(other) => Kind::Internal(labels.get(other)),
            }),
            database,
            role: role.map(|(oid, role)| role.map_or_else(|| labels.get(&format!("oid {}", oid.0)), |r| r.name.clone())),
            superuser,
            may_signal: ground.sight.superuser || (!superuser && (ground.sight.signals || rights)),
            application,
            client: self.client[i].as_deref().map(|c| labels.get(c)),
            state: self.state[i].as_deref().and_then(State::parse),
            state_change: self.state_change[i],
            xact_start: self.xact_start[i],
            query_start: self.query_start[i],
            wait: self.wait_type[i].as_deref().zip(self.wait_event[i].as_deref()).map(|(t, e)| (labels.get(t), labels.get(e))),
            blocked_by: self.blocked_by[i].as_deref().map(pids).unwrap_or_default(),
            leader: self.leader[i],
            ours,
        }
    }
}

impl Ground {
    fn kept(&self) -> Duration {
        let sight = &self.sight;
        if sight.superuser || (sight.reads_all && sight.signals) { GROUND_KEPT } else { GROUND_KEPT_LACKING }
    }
}

impl Names {
    fn none() -> Self {
        Self { roles: HashMap::new(), databases: HashMap::new(), read: Instant::now() }
    }

    async fn read(session: &mut Session, roles: &[Option<Oid>], databases: &[Option<Oid>]) -> Result<Self, sqlx::Error> {
        let distinct = |ids: &[Option<Oid>]| -> Vec<Oid> {
            let ids: BTreeSet<u32> = ids.iter().flatten().map(|oid| oid.0).collect();
            ids.into_iter().map(Oid).collect()
        };
        let (roles, databases) = (distinct(roles), distinct(databases));
        let rows = session.sql(NAMES.into()).bind(&roles).bind(&databases).fetch_all(&mut session.conn).await?;
        let mut out = Self::none();
        for row in rows {
            let oid = row.try_get::<Oid, _>("oid")?.0;
            let name = Label::from(clean(row.try_get("name")?).as_str());
            // -1: none.
            let limit = u32::try_from(row.try_get::<i32, _>("most")?).ok();
            if row.try_get("role")? {
                out.roles.insert(oid, Role { name, superuser: row.try_get("superuser")?, ours: row.try_get("ours")?, limit });
            } else {
                out.databases.insert(oid, (name, limit));
            }
        }
        Ok(out)
    }

    /// They are young, and everybody is named. A role that was dropped has no name, and is asked for each time.
    fn suffice(&self, columns: &Columns) -> bool {
        self.read.elapsed() < NAMES_KEPT
            && columns.role.iter().flatten().all(|oid| self.roles.contains_key(&oid.0))
            && columns.database.iter().flatten().all(|oid| self.databases.contains_key(&oid.0))
    }

    fn limits(&self, sessions: &[Seen]) -> Vec<Limit> {
        let used = |suits: &dyn Fn(&Seen) -> bool| {
            u32::try_from(sessions.iter().filter(|s| s.is_client() && suits(s)).count()).unwrap_or(u32::MAX)
        };
        let roles = self.roles.values().filter(|r| !r.superuser).filter_map(|r| {
            let limit = r.limit?;
            Some(Limit { of: LimitOf::Role, name: r.name.clone(), limit, used: used(&|s| s.role.as_ref() == Some(&r.name)) })
        });
        let databases = self.databases.values().filter_map(|(name, limit)| {
            let limit = (*limit)?;
            Some(Limit { of: LimitOf::Database, name: name.clone(), limit, used: used(&|s| s.database.as_ref() == Some(name)) })
        });
        let mut out: Vec<Limit> = roles.chain(databases).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }
}

/// Each name once, cleaned.
#[derive(Default)]
struct Labels {
    known: HashSet<Label>,
}

impl Labels {
    fn get(&mut self, text: &str) -> Label {
        if let Some(label) = self.known.get(text) {
            return label.clone();
        }
        let label = Label::from(clean(text).as_str());
        if &*label == text {
            self.known.insert(label.clone());
        }
        label
    }
}

fn pids(text: &str) -> Vec<i32> {
    let mut pids: Vec<i32> = text.split(',').filter_map(|pid| pid.parse().ok()).collect();
    // A parallel group is named once for each of its processes.
    pids.sort_unstable();
    pids.dedup();
    pids
}
