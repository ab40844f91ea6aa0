//! What the console knows about where it is and how things stand: environment, account, writes, sources. One place, lent to panes as a context.

use super::context::Context;
use super::drift::Drift;
use super::pool::Pool;
use super::tasks::Going;
use super::tickets::Tickets;
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::policy::{Mode, Writes};
use crate::domain::sessions::Rules;
use crate::procedures::survey::{Moment, Survey};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::event::KnownIncident;
use crate::protocol::freshness::Freshness;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub now: At,
    pub tick: u64,
    pub columns: u16,
    pub rows: u16,
    pub start: Start,
    pub env: Option<Environment>,
    pub account: Option<Account>,
    pub writes: Writes,
    pub sources: BTreeMap<Source, Freshness>,
    pub revealed_until: Option<At>,
    /// Whose data the journal says is shown; `None`: whatever a list holds.
    pub revealed_of: Option<SubjectKey>,
    /// What the sandbox can break: name and description.
    pub incidents: Vec<KnownIncident>,
    /// Which of Stripe's events are in the database: Home and the webhooks pane look at the same.
    pub survey: Survey,
    /// The slot of the survey's last read: each has one of its own.
    survey_slot: u16,
    /// The comparison of Stripe with the database, in the background.
    pub drift: Drift,
    /// The database's sessions: Home and the pool's pane look at the same.
    pub pool: Pool,
    /// The runs that are open here, as of the last event.
    #[serde(default)]
    pub(super) going: BTreeMap<Uuid, Going>,
    /// What operators have said about causes and drift; `None` until it was read.
    pub desk: Option<DeskState>,
    /// When it was last asked for.
    pub(super) desk_asked: Option<u64>,
}

/// How often the desk is read, in milliseconds.
const DESK_EVERY: u64 = 5_000;

/// How far the connection has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    Starting(String),
    Failed(String),
    Ready,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub livemode: bool,
    pub database: String,
}

impl World {
    #[must_use]
    pub fn new(now: At) -> Self {
        Self {
            now,
            tick: 0,
            columns: 80,
            rows: 24,
            start: Start::Starting("starting".into()),
            env: None,
            account: None,
            writes: Writes::Off,
            sources: BTreeMap::new(),
            revealed_until: None,
            revealed_of: None,
            incidents: Vec::new(),
            survey: Survey::default(),
            survey_slot: 0,
            drift: Drift::default(),
            pool: Pool::default(),
            going: BTreeMap::new(),
            desk: None,
            desk_asked: None,
        }
    }

    /// Time goes on, never back: while a clock that was set back is behind, by the ticks, or everything that waits would wait for it.
    pub fn advance(&mut self, at: At, tick: u64) {
        let passed = Duration::milliseconds(i64::try_from(tick.saturating_sub(self.tick)).unwrap_or(0));
        self.now = if at < self.now { self.now + passed } else { at };
        self.tick = self.tick.max(tick);
        if self.revealed_until.is_some_and(|until| until <= self.now) {
            self.revealed_until = None;
        }
    }

    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            now: self.now,
            tick: self.tick,
            env: self.env.as_ref(),
            mode: self.mode(),
            writes: &self.writes,
            sources: &self.sources,
            survey: &self.survey,
            revealed: self.revealed_until.is_some(),
            desk: self.desk.as_ref(),
            columns: self.columns,
            rows: self.rows,
            drift: self.drift.scan(),
            pool: &self.pool,
            going: &self.going,
        }
    }

    /// Asks what the survey wants to know now.
    pub fn survey_ticked(&mut self, tickets: &mut Tickets) -> Vec<Effect> {
        self.surveyed(tickets, Survey::ticked)
    }

    /// Hands the survey an answer, and asks what follows from it.
    pub fn survey_replied(&mut self, query: &Query, result: &Result<Reply, Fault>, tickets: &mut Tickets) -> Vec<Effect> {
        self.surveyed(tickets, |survey, m| survey.replied(query, result, m))
    }

    fn surveyed(&mut self, tickets: &mut Tickets, f: impl FnOnce(&mut Survey, &Moment) -> Vec<Query>) -> Vec<Effect> {
        let Some(env) = &self.env else { return Vec::new() };
        let wanted = f(&mut self.survey, &Moment { now: self.now, tick: self.tick, env, sources: &self.sources });
        let slots = wanted.into_iter().map(|query| {
            self.survey_slot = self.survey_slot.wrapping_add(1);
            tickets.read(Slot::Survey(self.survey_slot), query)
        });
        slots.collect()
    }

    /// The sessions were read, or the pooler told its pools; any other answer is none to the watch.
    pub fn watched(&mut self, slot: Slot, result: &Result<Reply, Fault>) {
        match slot {
            Slot::Activity => {
                let rules = Rules::with_pool_max(self.env.as_ref().and_then(|e| e.offers.pool_max));
                self.pool.replied(result, &rules, self.now);
            }
            Slot::Pooler => self.pool.pooler_replied(result),
            _ => {}
        }
    }

    /// The time by Stripe's clock, by which what happens there is judged.
    #[must_use]
    pub fn stripe_now(&self) -> At {
        self.now + self.survey.clock_ahead()
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::of(self.account.as_ref().map(|a| a.livemode), self.env.as_ref().is_some_and(|e| e.production))
    }

    pub fn connected(&mut self, env: Environment) {
        for source in [Source::Stripe, Source::Database, Source::Application, Source::Log, Source::Store] {
            let set_up = env.set_up.contains(&source);
            let entry = self.sources.entry(source).or_insert_with(|| Freshness::new(source, set_up, self.now));
            if entry.set_up != set_up {
                *entry = Freshness::new(source, set_up, self.now);
            }
        }
        self.env = Some(env);
        self.start = Start::Ready;
    }

    /// Whether it is time to read the desk again: other consoles write to it as well.
    pub fn wants_desk(&mut self) -> bool {
        let due = self.env.is_some() && self.desk_asked.is_none_or(|t| self.tick.saturating_sub(t) >= DESK_EVERY);
        if due {
            self.desk_asked = Some(self.tick);
        }
        due
    }

    /// A source answered, or did not.
    pub fn reported(&mut self, source: Source, fault: Option<&Fault>) {
        let now = self.now;
        let entry = self.sources.entry(source).or_insert_with(|| Freshness::new(source, true, now));
        match fault {
            None => entry.good(now),
            Some(fault) => entry.bad(fault.clone(), now),
        }
    }

    /// A read says something about its source too: an answer that it is there, some faults that it is not.
    /// A missing permission or object concerns that read alone.
    pub fn answered(&mut self, source: Source, fault: Option<&Fault>) {
        let concerns_the_source = fault.is_none_or(|f| {
            matches!(
                f.kind,
                FaultKind::Auth | FaultKind::Limit | FaultKind::Timeout | FaultKind::Unreachable | FaultKind::Tls | FaultKind::Full
            )
        });
        if !concerns_the_source {
            return;
        }
        // Six reads that time out together are one failure: only polls count each by itself.
        let now = self.now;
        match (fault, self.sources.get_mut(&source)) {
            (Some(fault), Some(entry)) if entry.failed_within_interval(now) => entry.last_fault = Some(fault.clone()),
            _ => self.reported(source, fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stops_no_time() {
        let at = |s: i64| At::from_timestamp(1_800_000_000 + s, 0).expect("in range");
        let mut world = World::new(at(0));
        world.advance(at(0), 1_000);
        world.advance(at(-600), 61_000);
        assert_eq!(world.now, at(60));
        world.advance(at(700), 62_000);
        assert_eq!(world.now, at(700));
    }
}
