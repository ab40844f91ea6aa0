//! `nightdesk pool`: who holds the database's connections, in one sentence, in groups, and by harm. It ends nothing.

use super::hands::Hands;
use super::print::aside;
use super::{End, print_json};
use crate::domain::age;
use crate::domain::diagnosis::Word;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::sessions::{
    Activity, Blocking, BookHits, By, Class, Explanation, Group, PoolerPool, Reach, Room, Rules, Session, SessionId, book_hits, classes,
    explain, groups, may_end, waiting_at_pooler,
};
use crate::protocol::query::{Query, Reply};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a free slot is waited for on a full server.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(300);
/// Harmful sessions that are named, and the width of their statements.
const NAMED: usize = 40;
const WIDTH: usize = 72;

#[derive(Serialize)]
struct Shown<'a> {
    /// `ok`, `warn`, `fail`; `unknown` where states are hidden from our role.
    word: &'static str,
    sentence: &'a str,
    explained: &'a Explanation,
    server: String,
    standby: bool,
    database: &'a str,
    room: &'a Room,
    /// What an ordinary role can get.
    usable: u32,
    /// Sessions by class.
    classes: BTreeMap<&'static str, usize>,
    /// By application, role and client.
    groups: Vec<ShownGroup>,
    harmful: Vec<ShownSession<'a>>,
    /// What the runbook's own query would do.
    runbook: &'a BookHits,
    runbook_sentence: String,
    caveats: &'a [String],
    /// `null`: none is configured, or it did not answer.
    pooler: Option<&'a [PoolerPool]>,
    pooler_fault: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownGroup {
    application: String,
    role: String,
    client: String,
    total: usize,
    active: usize,
    idle: usize,
    in_transaction: usize,
    blocked: usize,
    hidden: usize,
    oldest_in_transaction_s: Option<i64>,
}

#[derive(Serialize)]
struct ShownSession<'a> {
    pid: i32,
    began: Option<String>,
    application: &'a str,
    role: Option<&'a str>,
    database: Option<&'a str>,
    client: Option<&'a str>,
    class: &'static str,
    state: Option<&'static str>,
    /// In its state, by the server's clock.
    age_s: Option<i64>,
    transaction_s: Option<i64>,
    wait: Option<String>,
    blocked_by: &'a [i32],
    /// How many wait for it, directly or not.
    blocks: usize,
    /// Why it cannot be ended from here; `null`: it can.
    spared: Option<String>,
    /// Literals hidden.
    statement: Option<&'a str>,
}

/// Looks once. On a full server it waits for a slot, and says so.
///
/// # Errors
/// One sentence: the sessions cannot be read.
pub async fn run(hands: &Hands, json: bool) -> Result<End, String> {
    let activity = activity(hands).await.map_err(|f| f.say)?;
    let rules = Rules::with_pool_max(hands.env.offers.pool_max);
    let explained = explain(&activity, &rules);
    let harmful = harmful(&activity, &rules);
    let ids: Vec<SessionId> = harmful.iter().filter_map(|(s, _)| s.id()).take(NAMED).collect();
    // Without their statements the sessions are told all the same.
    let texts: BTreeMap<SessionId, String> = match hands.ask(Query::SessionTexts(ids)).await {
        Ok(Reply::SessionTexts(texts)) => texts.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    let pooler = match hands.ask(Query::Pooler).await {
        Ok(Reply::Pooler(pools)) => Ok(Some(pools)),
        Err(fault) if fault.kind != FaultKind::NotSetUp => Err(fault.say),
        _ => Ok(None),
    };
    let look = Look { activity: &activity, rules, explained: &explained, harmful, texts, pooler };
    if json {
        print_json(&look.shown(&book_hits(&activity, &rules), &activity.caveats()));
    } else {
        look.print();
    }
    Ok(if explained.word == Word::Ok { End::Well } else { End::Badly })
}

async fn activity(hands: &Hands) -> Result<Activity, Fault> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        match hands.ask(Query::Activity).await {
            Ok(Reply::Activity(activity)) => return Ok(*activity),
            Ok(other) => unreachable!("invariant: sessions were asked for, not {other:?}"),
            Err(full) if full.kind == FaultKind::Full && begun.elapsed() < PATIENCE => {
                if !std::mem::replace(&mut told, true) {
                    aside(&full.say);
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// What is worth a line of its own, most harmful first.
fn harmful<'a>(activity: &'a Activity, rules: &Rules) -> Vec<(&'a Session, Class)> {
    let blocking = Blocking::of(activity);
    let mut out: Vec<_> = activity.sessions.iter().zip(classes(activity, rules)).filter(|(_, class)| class.is_harmful()).collect();
    out.sort_by_key(|(s, class)| (*class, std::cmp::Reverse(blocking.victims(s.pid)), s.state_change, s.pid));
    out
}

struct Look<'a> {
    activity: &'a Activity,
    rules: Rules,
    explained: &'a Explanation,
    harmful: Vec<(&'a Session, Class)>,
    texts: BTreeMap<SessionId, String>,
    pooler: Result<Option<Vec<PoolerPool>>, String>,
}

impl Look<'_> {
    fn print(&self) {
        let Self { activity, explained, .. } = self;
        println!("{}  {}", word(explained.word).to_uppercase(), explained.sentence);
        let room = &activity.room;
        let kept = room.max_connections.saturating_sub(room.usable());
        let standby = if activity.standby { ", a standby" } else { "" };
        println!(
            "      {} of {} connections an ordinary role can get ({} in all, {kept} reserved) · PostgreSQL {}{standby}",
            room.used,
            room.usable(),
            room.max_connections,
            activity.release()
        );
        let counted: Vec<String> = self.by_class().iter().map(|(class, n)| format!("{n} {class}")).collect();
        println!("      {}", counted.join(" · "));
        for limit in &room.limits {
            println!("      {} has {} of its own limit of {}", limit.name, limit.used, limit.limit);
        }
        let groups: Vec<_> = self.groups().into_iter().map(|g| (named(&g), g)).collect();
        let wide = groups.iter().map(|((name, _), _)| name.chars().count()).max().unwrap_or_default().clamp(18, 48);
        println!(
            "\n{:<wide$} {:<18} {:>5} {:>6} {:>5} {:>6} {:>7}  longest in transaction",
            "application@client", "role", "all", "active", "idle", "in tx", "blocked"
        );
        for ((name, role), g) in groups {
            let oldest = g.oldest_in_transaction.map(|a| age::short(a.num_seconds())).unwrap_or_default();
            println!(
                "{name:<wide$} {role:<18} {:>5} {:>6} {:>5} {:>6} {:>7}  {oldest}",
                g.total, g.active, g.idle, g.in_transaction, g.blocked
            );
        }
        if !self.harmful.is_empty() {
            println!("\n{:>8} {:>7}  {:<20} {:<16} {:>6}  statement", "process", "age", "class", "application", "blocks");
        }
        let blocking = Blocking::of(activity);
        for (session, class) in self.harmful.iter().take(NAMED) {
            let old = session.age_in_state(activity.at).map(|a| age::short(a.num_seconds())).unwrap_or_default();
            let text: String = self.text(session).unwrap_or("-").chars().take(WIDTH).collect();
            println!(
                "{:>8} {old:>7}  {:<20} {:<16} {:>6}  {text}",
                session.pid,
                class.word(),
                session.name(),
                blocking.victims(session.pid)
            );
        }
        if self.harmful.len() > NAMED {
            println!("         and {} more", self.harmful.len() - NAMED);
        }
        println!("\n{}", book_hits(activity, &self.rules).sentence());
        if !explained.leaking.is_empty() {
            println!("`nightdesk run pool-exhausted --dry-run` shows whom it would end, and what that unblocks.");
        }
        match &self.pooler {
            Ok(Some(pools)) => self.print_pooler(pools),
            Ok(None) => {}
            Err(why) => println!("{why}"),
        }
        for caveat in activity.caveats() {
            println!("{caveat}");
        }
    }

    fn print_pooler(&self, pools: &[PoolerPool]) {
        println!("{}", waiting_at_pooler(pools).unwrap_or_else(|| "At PgBouncer nobody waits.".into()));
        for p in pools {
            let of = p.sv_active + p.sv_idle;
            println!(
                "      {} on {}: {} clients, {} waiting, {} of {of} server connections at work",
                p.user, p.database, p.cl_active, p.cl_waiting, p.sv_active
            );
        }
    }

    fn shown<'s>(&'s self, book: &'s BookHits, caveats: &'s [String]) -> Shown<'s> {
        let activity = self.activity;
        let blocking = Blocking::of(activity);
        let session = |(s, class): &(&'s Session, Class)| ShownSession {
            pid: s.pid,
            began: s.began.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
            application: &s.application,
            role: s.role.as_deref(),
            database: s.database.as_deref(),
            client: s.client.as_deref(),
            class: class.word(),
            state: s.state.map(|state| state.word()),
            age_s: s.age_in_state(activity.at).map(|age| age.num_seconds()),
            transaction_s: s.age_of_transaction(activity.at).map(|age| age.num_seconds()),
            wait: s.wait.as_ref().map(|(kind, event)| format!("{kind}:{event}")),
            blocked_by: &s.blocked_by,
            blocks: blocking.victims(s.pid),
            spared: may_end(s, activity, Reach::default()).err().map(|why| why.to_string()),
            statement: self.text(s),
        };
        Shown {
            word: word(self.explained.word),
            sentence: &self.explained.sentence,
            explained: self.explained,
            server: activity.release(),
            standby: activity.standby,
            database: &activity.database,
            room: &activity.room,
            usable: activity.room.usable(),
            classes: self.by_class().into_iter().collect(),
            groups: self.groups().iter().map(ShownGroup::of).collect(),
            harmful: self.harmful.iter().map(session).collect(),
            runbook: book,
            runbook_sentence: book.sentence(),
            caveats,
            pooler: self.pooler.as_ref().ok().and_then(|p| p.as_deref()),
            pooler_fault: self.pooler.as_ref().err().map(String::as_str),
        }
    }

    fn text(&self, session: &Session) -> Option<&str> {
        self.texts.get(&session.id()?).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn groups(&self) -> Vec<Group> {
        groups(self.activity, &[By::Application, By::Role, By::Client])
    }

    fn by_class(&self) -> Vec<(&'static str, usize)> {
        let found = classes(self.activity, &self.rules);
        let counted = Class::ALL.into_iter().map(|class| (class.word(), found.iter().filter(|c| **c == class).count()));
        counted.filter(|(_, n)| *n > 0).collect()
    }
}

impl ShownGroup {
    fn of(g: &Group) -> Self {
        let [application, role, client] = keys(g).map(str::to_string);
        Self {
            application,
            role,
            client,
            total: g.total,
            active: g.active,
            idle: g.idle,
            in_transaction: g.in_transaction,
            blocked: g.blocked,
            hidden: g.hidden,
            oldest_in_transaction_s: g.oldest_in_transaction.map(|age| age.num_seconds()),
        }
    }
}

/// `api@10.0.0.3`, and the role.
fn named(group: &Group) -> (String, String) {
    let [application, role, client] = keys(group);
    let application = if application.is_empty() { "-" } else { application };
    (format!("{application}@{client}"), role.to_string())
}

fn keys(group: &Group) -> [&str; 3] {
    let mut keys = group.keys.iter().map(|k| &**k);
    std::array::from_fn(|_| keys.next().unwrap_or_default())
}

fn word(word: Word) -> &'static str {
    match word {
        Word::Fail => "fail",
        Word::Warn => "warn",
        Word::Unknown => "unknown",
        Word::Ok | Word::Settling | Word::Reading => "ok",
    }
}
