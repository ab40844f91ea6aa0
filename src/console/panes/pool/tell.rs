//! What the pool's pane says in words: its head, one session in all its detail, why, and what can be copied. It draws nothing.

use super::list::key;
use super::model::Model;
use crate::console::ask::{Ask, CopyItem};
use crate::console::context::Context;
use crate::console::pool::{Pool, Seen};
use crate::console::widgets::format::{age, count};
use crate::console::widgets::paint::wrap;
use crate::domain::At;
use crate::domain::sessions::{Class, LimitOf, PoolerPool, Reach, Session, SessionId, may_end, waiting_at_pooler};

/// The explainer's sentence in its lines, and below it what else has to be known.
pub struct Head {
    pub sentence: Vec<String>,
    pub notes: Vec<String>,
}

/// Where sentences begin.
pub const TEXT: u16 = 7;
/// So many lines of the sentence, and of notes under it.
const SENTENCE: usize = 4;
const NOTES: usize = 2;

#[must_use]
pub fn head(seen: &Seen, pool: &Pool, columns: u16) -> Head {
    let mut sentence = wrap(&seen.explained.sentence, columns.saturating_sub(TEXT + 1));
    sentence.truncate(SENTENCE);
    let mut notes: Vec<String> = waiting_at_pooler(pool.pools()).into_iter().collect();
    notes.extend(pool.fault().map(|f| f.say.clone()));
    notes.extend(seen.activity.room.at_limit().map(|l| {
        let of = if l.of == LimitOf::Role { "Role" } else { "Database" };
        format!("{of} {} has {} of the {} connections that its own limit grants.", l.name, l.used, l.limit)
    }));
    notes.extend(seen.caveats.iter().cloned());
    let notes = notes.iter().take(NOTES).flat_map(|note| wrap(note, columns.saturating_sub(TEXT + 1))).collect();
    Head { sentence, notes }
}

impl Head {
    /// Rows from the tabs to the list.
    #[must_use]
    pub fn height(&self) -> u16 {
        u16::try_from(2 + self.sentence.len() + self.notes.len() + 1).unwrap_or(u16::MAX)
    }
}

/// The class in a narrow column.
#[must_use]
pub fn class(session: &Session, class: Class, wide: bool) -> String {
    match class {
        Class::Blocker if session.sits_in_transaction() && wide => "blocker, idle in transaction".into(),
        Class::Blocker if session.sits_in_transaction() => "blocker, in tx".into(),
        Class::IdleInTransaction if !wide => "idle in tx".into(),
        other => other.word().into(),
    }
}

/// `31 idle, 4 consoles, 5 internal`: what shares the last line.
#[must_use]
pub fn folded(seen: &Seen) -> String {
    let listed = |class: &Class| class.is_harmful() || *class == Class::Active;
    let counted = Class::ALL.into_iter().filter(|class| !listed(class));
    let counted = counted.map(|class| (class.word(), seen.classes.iter().filter(|c| **c == class).count()));
    counted.filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
}

/// One session, all of it, for as long as it is looked at.
#[must_use]
pub fn detail(m: &Model, seen: &Seen, s: &Session) -> Ask {
    Ask::Session { of: key(s), title: format!("process {} of {}", s.pid, s.name()), lines: about(m, seen, s) }
}

/// What there is to say about one session.
#[must_use]
pub fn about(m: &Model, seen: &Seen, s: &Session) -> Vec<String> {
    let now = seen.activity.at;
    let class = seen.activity.sessions.iter().position(|x| x.pid == s.pid).map_or(Class::Hidden, |i| seen.classes[i]);
    let ago = |at: At| age((now - at).num_seconds());
    let mut lines = vec![match (s.state, s.age_in_state(now)) {
        (Some(state), Some(old)) => format!("{}: {} for {}", class.word(), state.word(), age(old.num_seconds())),
        (Some(state), None) => format!("{}: {}", class.word(), state.word()),
        _ => format!("{}: its state, client, waits and times are hidden from our role", class.word()),
    }];
    match seen.blocking.victims(s.pid) {
        0 => {}
        n => {
            lines.push(format!("{} for it, directly or behind one that does", if n == 1 { "1 waits".into() } else { format!("{n} wait") }))
        }
    }
    if !s.blocked_by.is_empty() {
        let name = |pid: &i32| match (pid, seen.activity.get(*pid)) {
            (0, _) => "a prepared transaction".to_string(),
            (pid, Some(blocker)) => format!("{pid} ({})", blocker.name()),
            (pid, None) => pid.to_string(),
        };
        lines.push(format!("waits for {}", s.blocked_by.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(s.wait.as_ref().map(|(kind, event)| format!("wait event: {kind}, {event}")));
    let or = |text: Option<&str>, none: &str| text.filter(|t| !t.is_empty()).unwrap_or(none).to_string();
    lines.push(format!(
        "application {}, role {}, database {}, client {}",
        or(Some(&s.application), "unnamed"),
        or(s.role.as_deref(), "none"),
        or(s.database.as_deref(), "none"),
        if s.is_hidden() { "hidden".into() } else { or(s.client.as_deref(), "local") },
    ));
    let times =
        [("connected", s.began), ("in its state", s.state_change), ("transaction", s.xact_start), ("last statement", s.query_start)];
    lines.extend(times.into_iter().filter_map(|(what, at)| {
        let at = at?;
        Some(format!("{what} since {}, {} ago", at.format("%-d %b %H:%M:%SZ"), ago(at)))
    }));
    lines.extend(may_end(s, &seen.activity, Reach::default()).err().map(|why| format!("cannot be ended from here: {why}")));
    lines.push(match m.text(s) {
        Some("") => "it has run no statement".to_string(),
        Some(text) => format!("statement, literals hidden: {text}"),
        None if s.is_hidden() => "its statement is hidden from our role".to_string(),
        None => "its statement has not been read yet".to_string(),
    });
    lines
}

/// What the sentence rests on.
#[must_use]
pub fn why(seen: &Seen, cx: &Context) -> Ask {
    let room = &seen.activity.room;
    let sums = &seen.explained.sums;
    let mut lines = vec![
        seen.explained.sentence.clone(),
        format!(
            "{} connections an ordinary role can get: {} in all, {} of them reserved",
            room.usable(),
            room.max_connections,
            room.max_connections.saturating_sub(room.usable())
        ),
        format!("{} as far as the sessions tell: {}", count(sums.pools as usize, "pool", "pools"), sums.product(1)),
    ];
    let counted = Class::ALL.into_iter().map(|class| (class.word(), seen.classes.iter().filter(|c| **c == class).count()));
    lines.push(counted.filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect::<Vec<_>>().join(", "));
    lines.extend(room.limits.iter().map(|l| format!("{} has {} of its own limit of {}", l.name, l.used, l.limit)));
    lines.push(seen.book.clone());
    lines.extend(pools(cx.pool.pools()));
    lines.extend(cx.pool.pooler_fault().map(|f| f.say.clone()));
    lines.extend(seen.caveats.iter().cloned());
    lines.push(format!("PostgreSQL {}", seen.activity.release()));
    Ask::Evidence { title: format!("Pool {}", seen.share()), lines }
}

/// The pooler's pools, a line each.
#[must_use]
pub fn pools(pools: &[PoolerPool]) -> Vec<String> {
    let line = |p: &PoolerPool| {
        format!(
            "PgBouncer, {} on {}: {} clients, {} waiting, {} of {} server connections at work",
            p.user,
            p.database,
            p.cl_active,
            p.cl_waiting,
            p.sv_active,
            p.sv_active + p.sv_idle
        )
    };
    pools.iter().map(line).collect()
}

/// What can be copied. The SQL looks, and ends nothing.
#[must_use]
pub fn copies(m: &Model, seen: &Seen) -> Vec<CopyItem> {
    let look = |id: SessionId| {
        format!(
            "SELECT * FROM pg_stat_activity WHERE pid = {} AND backend_start = '{}';",
            id.pid,
            id.began().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
        )
    };
    let mut items = vec![CopyItem::new("sentence", &seen.explained.sentence)];
    if let Some(s) = m.session(seen) {
        items.push(CopyItem::new("process id", s.pid.to_string()));
        items.extend(s.id().map(|id| CopyItem::new("SQL that shows the session", look(id))));
        items.extend(m.text(s).filter(|t| !t.is_empty()).map(|text| CopyItem::new("statement, literals hidden", text)));
    }
    if !m.list.marked.is_empty() {
        let pids: Vec<String> = m.list.marked.iter().map(|id| id.pid.to_string()).collect();
        items.push(CopyItem::new("marked process ids", pids.join("\n")));
    }
    items.push(CopyItem::new("from the command line", "nightdesk pool --json"));
    items
}
