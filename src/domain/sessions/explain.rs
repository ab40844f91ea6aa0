//! The sentence about connections: who holds them, who waits, and whether a larger pool would help, with its arithmetic.

use super::{Activity, Blocking, By, CONSOLE, Class, Group, Label, Rules, Session, classes, groups, leaks};
use crate::domain::diagnosis::Word;
use crate::domain::text::capitalised;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is wrong with the connections, and what is not the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub word: Word,
    /// One sentence, the arithmetic in it.
    pub sentence: String,
    /// What is wrong, as one line of a narrow screen.
    #[serde(default)]
    pub brief: String,
    /// Those that leak, worst first.
    pub leaking: Vec<i32>,
    /// Those that wait for a lock.
    pub waiting: usize,
    pub sums: Sums,
    pub raising: Raising,
}

/// Pools × size against what an ordinary role can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Pools as far as the sessions tell: one per application, role and client, more where it holds more than one pool can.
    pub pools: u32,
    /// What one pool opens at most.
    pub size: u32,
    pub usable: u32,
    pub used: u32,
}

/// What a larger `max` in the application's pools would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raising {
    Helps,
    /// All pools together could ask for more than the server has.
    Worse,
    /// It fits, and does not touch the cause.
    Useless,
}

/// A pool that is all at work while the server has room: its application waits in its own queue, which the server does not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saturated {
    pub application: Label,
    pub role: Label,
    pub client: Label,
    pub busy: usize,
    pub in_transaction: usize,
}

/// Programs that a person runs: one connection, and no pool behind it.
const BY_HAND: [&str; 7] = ["psql", "pg_dump", "pg_basebackup", "pgAdmin", "DBeaver", "DataGrip", "pg_activity"];

/// What is to be said about these sessions.
#[must_use]
pub fn explain(activity: &Activity, rules: &Rules) -> Explanation {
    let blocking = Blocking::of(activity);
    let leaking = leaks(activity, &blocking, rules);
    let sums = Sums::of(activity, rules);
    let waiting = blocking.waiting();
    let done = |word, raising, clause: &str| Explanation {
        word,
        sentence: format!("{}.", capitalised(clause)),
        brief: format!("{}.", capitalised(clause.split_once("; ").map_or(clause, |(what, _)| what))),
        leaking: leaking.iter().map(|s| s.pid).collect(),
        waiting,
        sums,
        raising,
    };
    if !leaking.is_empty() {
        let word = if waiting > 0 || activity.room.is_tight() { Word::Fail } else { Word::Warn };
        let raising = if sums.fits(2) { Raising::Useless } else { Raising::Worse };
        let leak = Leak::of(&leaking, &blocking, activity);
        let said = done(word, raising, &format!("{}; {}", leak.clause(), sums.against(raising)));
        return Explanation { brief: format!("{}.", capitalised(&leak.brief())), ..said };
    }
    if let Some(clause) = blocked_clause(activity, rules, &blocking) {
        let raising = if sums.fits(2) { Raising::Useless } else { Raising::Worse };
        let word = if activity.room.is_tight() { Word::Fail } else { Word::Warn };
        return done(word, raising, &format!("{clause}; {}", sums.against(raising)));
    }
    if activity.room.is_tight() {
        let idle: usize = groups(activity, &[]).first().map_or(0, |g| g.idle);
        let word = if activity.room.is_full() { Word::Fail } else { Word::Warn };
        let hidden = activity.sessions.iter().filter(|s| s.is_hidden()).count();
        let leaking = if hidden == 0 {
            "none leaking".to_string()
        } else {
            format!("what {hidden} of them do is hidden from our role, which pg_monitor would show")
        };
        let clause = format!("{}, {idle} of them idle in pools and {leaking}; {}", sums.taken(), sums.against(Raising::Worse));
        return done(word, Raising::Worse, &clause);
    }
    if let Some(limit) = activity.room.at_limit().next() {
        let what = if limit.of == super::LimitOf::Role { "role" } else { "database" };
        let clause = format!(
            "{what} {} has all {} connections that its own CONNECTION LIMIT grants, while {}: raising the pool does not raise that limit",
            limit.name,
            limit.limit,
            sums.taken()
        );
        return done(Word::Warn, Raising::Useless, &clause);
    }
    if let Some(pool) = saturated(activity, rules).first() {
        let raising = if sums.fits(2) { Raising::Helps } else { Raising::Worse };
        let who = pool.name();
        let clause = format!("all {} connections of {who} are at work while {}; {}", pool.busy, sums.taken(), sums.against(raising));
        return done(Word::Warn, raising, &clause);
    }
    if activity.sessions.iter().any(Session::is_hidden) {
        let hidden = activity.sessions.iter().filter(|s| s.is_hidden()).count();
        let clause = format!("{}; what {hidden} of them do is hidden from our role, which pg_monitor would show", sums.taken());
        return done(Word::Unknown, Raising::Useless, &clause);
    }
    let raising = if sums.fits(2) { Raising::Useless } else { Raising::Worse };
    done(Word::Ok, raising, &format!("{}, and nobody waits: {}", sums.taken(), sums.product(1)))
}

/// Pools that are all at work while the server is far from full, the busiest first. A sign at one moment; a finding where it lasts.
#[must_use]
pub fn saturated(activity: &Activity, rules: &Rules) -> Vec<Saturated> {
    if activity.room.is_tight() {
        return Vec::new();
    }
    let whole = |g: &Group| g.busy() == g.total && g.total >= rules.pool_max as usize;
    let of = |g: Group| match g.keys.as_slice() {
        [application, role, client] if whole(&g) => Some(Saturated {
            application: application.clone(),
            role: role.clone(),
            client: client.clone(),
            busy: g.total,
            in_transaction: g.in_transaction,
        }),
        _ => None,
    };
    groups(activity, &[By::Application, By::Role, By::Client]).into_iter().filter_map(of).collect()
}

impl Sums {
    #[must_use]
    pub fn of(activity: &Activity, rules: &Rules) -> Self {
        let size = rules.pool_max.max(1);
        let pools = groups(activity, &[By::Application, By::Role, By::Client])
            .into_iter()
            .filter(|g| g.keys.first().is_none_or(|name| has_pool(name)))
            .map(|g| u32::try_from(g.total).unwrap_or(u32::MAX).div_ceil(size))
            .sum();
        Self { pools, size, usable: activity.room.usable(), used: activity.room.used }
    }

    /// The same with the pools of sessions that are gone, an application and a role each: they connect again.
    #[must_use]
    pub fn and_again<'a>(mut self, activity: &Activity, gone: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut by_pool: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        gone.into_iter().for_each(|pool| *by_pool.entry(pool).or_default() += 1);
        let is_there = |(application, role): (&str, &str)| {
            activity.clients().any(|s| &*s.application == application && s.role.as_deref().unwrap_or_default() == role)
        };
        let again = by_pool.into_iter().filter(|(pool, _)| has_pool(pool.0) && !is_there(*pool));
        self.pools += again.map(|(_, sessions)| sessions.div_ceil(self.size)).sum::<u32>();
        self
    }

    /// Whether all pools fit, at so many times their size.
    #[must_use]
    pub fn fits(&self, times: u32) -> bool {
        self.pools * self.size * times <= self.usable
    }

    /// `84 of 97 connections are taken`.
    #[must_use]
    pub fn taken(&self) -> String {
        format!("{} of {} connections are taken", self.used, self.usable)
    }

    /// `8 pools × 10 = 80 of 97`.
    #[must_use]
    pub fn product(&self, times: u32) -> String {
        let Self { pools, size, usable, .. } = self;
        let pool = if *pools == 1 { "pool" } else { "pools" };
        format!("{pools} {pool} × {} = {} of {usable}", size * times, pools * size * times)
    }

    fn against(&self, raising: Raising) -> String {
        match raising {
            Raising::Helps => format!("raising the pool helps: {}", self.product(2)),
            Raising::Useless => format!("raising the pool does not help, though it would fit: {}", self.product(2)),
            Raising::Worse if self.fits(1) => {
                format!("raising the pool makes it worse: {}, and doubled {}", self.product(1), self.pools * self.size * 2)
            }
            Raising::Worse => format!("raising the pool makes it worse: {}", self.product(1)),
        }
    }
}

/// Whether what names itself so is an application with a pool.
fn has_pool(application: &str) -> bool {
    !BY_HAND.iter().any(|tool| application.starts_with(tool)) && !application.starts_with(CONSOLE)
}

impl Saturated {
    /// `api@10.0.0.3`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.application.is_empty() { format!("{}@{}", self.role, self.client) } else { format!("{}@{}", self.application, self.client) }
    }
}

/// Those that leak, in figures.
struct Leak {
    /// By name, the most first.
    by_name: Vec<(String, usize)>,
    all: usize,
    /// How many of them somebody waits for, and how many wait.
    holding: usize,
    freed: usize,
    full: bool,
}

impl Leak {
    fn of(leaking: &[&Session], blocking: &Blocking, activity: &Activity) -> Self {
        let mut by_name: Vec<(String, usize)> = Vec::new();
        for session in leaking {
            let name = session.name();
            match by_name.iter_mut().find(|(n, _)| *n == name) {
                Some((_, count)) => *count += 1,
                None => by_name.push((name, 1)),
            }
        }
        by_name.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let pids: Vec<i32> = leaking.iter().map(|s| s.pid).collect();
        let freed = blocking.freed_by(&pids);
        let holding = pids.iter().filter(|pid| !blocking.freed_by(&[**pid]).is_disjoint(&freed)).count();
        Self { by_name, all: leaking.len(), holding, freed: freed.len(), full: activity.room.is_full() }
    }

    /// `three sessions of report-worker sit idle in a transaction and hold what 4 others wait for`.
    fn clause(&self) -> String {
        let Self { all, holding, .. } = *self;
        let who = match self.by_name.as_slice() {
            [(name, _)] => format!("{} of {name}", sessions(all)),
            [(name, n), rest @ ..] => {
                format!("{}, {n} of them of {name} and {} of others,", sessions(all), rest.iter().map(|(_, n)| n).sum::<usize>())
            }
            [] => sessions(all),
        };
        let sit = if all == 1 { "sits" } else { "sit" };
        let others = if self.freed == 1 { "another waits for".to_string() } else { format!("{} others wait for", self.freed) };
        let held = match self.freed {
            // Whether anybody was turned away the sessions do not tell: only that nothing is left to be had.
            0 if self.full => format!(" and keep{} {} while none is left to be had", if all == 1 { "s" } else { "" }, its(all)),
            0 => format!(" and keep{} {}", if all == 1 { "s" } else { "" }, its(all)),
            _ if all == 1 => format!(" and holds what {others}"),
            _ if holding == all => format!(" and hold what {others}"),
            _ => format!(", and {} what {others}", holders(holding, "of them ")),
        };
        format!("{who} {sit} idle in a transaction{held}")
    }

    /// `eight of report-worker idle in a transaction; 3 hold what 4 wait for`.
    fn brief(&self) -> String {
        let Self { all, holding, .. } = *self;
        let who = match self.by_name.as_slice() {
            [(name, _)] => format!("{} of {name}", number(all)),
            [(name, n), ..] => format!("{}, {n} of {name},", number(all)),
            [] => sessions(all),
        };
        let others = if self.freed == 1 { "1 waits for".to_string() } else { format!("{} wait for", self.freed) };
        let held = match self.freed {
            0 => format!(" keep{} {}", if all == 1 { "s" } else { "" }, its(all)),
            _ if all == 1 => format!(" holds what {others}"),
            _ if holding == all => format!(" hold what {others}"),
            _ => format!("; {} what {others}", holders(holding, "")),
        };
        format!("{who} idle in a transaction{held}")
    }
}

fn holders(n: usize, of: &str) -> String {
    if n == 1 { format!("one {of}holds") } else { format!("{n} {of}hold") }
}

fn its(n: usize) -> &'static str {
    if n == 1 { "its connection" } else { "their connections" }
}

/// Those that wait for something that is no leak: a statement at work, or a prepared transaction.
fn blocked_clause(activity: &Activity, rules: &Rules, blocking: &Blocking) -> Option<String> {
    let root = blocking.rows().into_iter().find(|row| row.depth == 0)?;
    let waits = |n: usize| if n == 1 { "1 session waits".to_string() } else { format!("{n} sessions wait") };
    if root.pid == 0 {
        let advice = "COMMIT PREPARED or ROLLBACK PREPARED ends it, as pg_prepared_xacts names it";
        return Some(format!("{} for a prepared transaction that nobody ended ({advice})", waits(root.victims)));
    }
    let place = activity.sessions.iter().position(|s| s.pid == root.pid)?;
    let (session, class) = (&activity.sessions[place], classes(activity, rules)[place]);
    let doing = match class {
        Class::Blocked => "that waits in a circle with them, which the server breaks by itself",
        _ if session.sits_in_transaction() => "that has just fallen idle in a transaction",
        _ => "that is at work",
    };
    Some(format!("{} for one of {} {doing}", waits(root.victims), session.name()))
}

fn sessions(n: usize) -> String {
    format!("{} {}", number(n), if n == 1 { "session" } else { "sessions" })
}

/// In words as far as they are short.
fn number(n: usize) -> String {
    const WORDS: [&str; 13] = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.get(n).map_or_else(|| n.to_string(), |word| (*word).to_string())
}
