//! The sessions of the world in memory: idle ones, leaks, those that wait for them, and what becomes of them when they are ended.

use super::{Manner, World};
use crate::made::{idle, leak, waiter};
use chrono::Utc;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::sessions::{SessionId, State};
use nightdesk::protocol::command::Outcome;

impl World {
    /// Three leaks, three that wait for two of them, and two healthy ones.
    pub fn leaking() -> Self {
        let mut world = Self::missed();
        let now = Utc::now();
        world.pool = vec![idle(now, 100), idle(now, 101), leak(now, 1, 14), leak(now, 2, 14), leak(now, 3, 14)];
        world.pool.extend([(11, 2), (12, 2), (13, 1)].map(|(pid, blocker)| waiter(now, pid, &[blocker])));
        world
    }

    /// One signal.
    pub(super) fn end(&mut self, session: SessionId) -> Outcome {
        self.sent += 1;
        let silent = || Outcome::Unknown(Fault::new(Source::Database, FaultKind::Timeout, "no answer within 4 s"));
        if self.manner == Manner::LosesIt {
            return silent();
        }
        if !self.pool.iter().any(|s| s.id() == Some(session)) {
            return Outcome::NotDone(Fault::new(
                Source::Database,
                FaultKind::NotFound,
                "session had ended by itself: nothing was signalled",
            ));
        }
        self.leave(session.pid);
        if let Some(pid) = self.goes_along.take() {
            self.leave(pid);
        }
        self.writes += 1;
        if self.manner == Manner::DoesAndFalls {
            self.down.insert(Source::Database);
        }
        if self.manner == Manner::Answers { Outcome::done("ended, gone after 5 ms".into()) } else { silent() }
    }

    /// It is gone, and who waited for it goes on.
    pub fn leave(&mut self, pid: i32) {
        self.pool.retain(|s| s.pid != pid);
        for s in self.pool.iter_mut().filter(|s| s.blocked_by.contains(&pid)) {
            (s.blocked_by, s.state, s.wait) = (Vec::new(), Some(State::Idle), None);
        }
    }

    pub fn pids(&self) -> Vec<i32> {
        self.pool.iter().map(|s| s.pid).collect()
    }
}
