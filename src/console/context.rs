//! What a pane may look at besides its own model: the moment, the world's standing, the room on screen. Borrowed, never changed.

use super::pool::Pool;
use super::tasks::Going;
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::Source;
use crate::domain::policy::{Mode, Writes};
use crate::procedures::drift_scan::Scan;
use crate::procedures::survey::Survey;
use crate::protocol::environment::Environment;
use crate::protocol::freshness::{Freshness, Health};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub now: At,
    /// Milliseconds since the process began.
    pub tick: u64,
    /// `None` until the environment is connected.
    pub env: Option<&'a Environment>,
    pub mode: Mode,
    pub writes: &'a Writes,
    pub sources: &'a BTreeMap<Source, Freshness>,
    /// Which of Stripe's events are in the database.
    pub survey: &'a Survey,
    /// Personal data is shown unmasked at the moment.
    pub revealed: bool,
    /// Who has which cause, what is muted and accepted; `None` until it was read.
    pub desk: Option<&'a DeskState>,
    /// The whole screen, in cells.
    pub columns: u16,
    pub rows: u16,
    /// The drift scan under way, or the last one.
    pub drift: Option<&'a Scan>,
    /// The database's sessions, and an hour of their figures.
    pub pool: &'a Pool,
    /// The runs that are open in this process, whatever the journal says of them.
    pub going: &'a BTreeMap<Uuid, Going>,
}

impl Context<'_> {
    #[must_use]
    pub fn health(&self, source: Source) -> Health {
        self.sources.get(&source).map_or(Health::NotSetUp, |f| f.health(self.now))
    }

    /// It answered when it was asked last, and not long ago: what is known of it is as of now.
    #[must_use]
    pub fn answers(&self, source: Source) -> bool {
        self.health(source) == Health::Ok && self.sources.get(&source).is_some_and(|f| f.last_fault.is_none())
    }

    /// The time by Stripe's clock, by which what happens there is judged; by ours before Stripe has answered.
    #[must_use]
    pub fn stripe_now(&self) -> At {
        self.now + self.survey.clock_ahead()
    }

    #[must_use]
    pub fn writes_are_on(&self) -> bool {
        matches!(self.writes, Writes::On { until, .. } if *until > self.now)
    }
}
