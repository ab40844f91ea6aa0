//! The sessions of the world in memory: idle ones, leaks, those that wait for them, and what becomes of them when they are ended.

use super::{Manner, World};
use chrono::{Duration, Utc};
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::sessions::{Activity, Kind, Ours, Room, Session, SessionId, Sight, State};
use nightdesk::protocol::command::Outcome;

/// An idle connection of `api`.
pub fn idle(pid: i32) -> Session {
    Session {
        pid,
        began: Some(Utc::now() - Duration::hours(2)),
        kind: Some(Kind::Client),
        database: Some("app".into()),
        role: Some("app".into()),
        superuser: false,
        may_signal: true,
        application: "api".into(),
        client: Some("10.0.0.3".into()),
        state: Some(State::Idle),
        state_change: Some(Utc::now() - Duration::minutes(5)),
        xact_start: None,
        query_start: Some(Utc::now() - Duration::hours(1)),
        wait: Some(("Client".into(), "ClientRead".into())),
        blocked_by: Vec::new(),
        leader: None,
        ours: Ours::No,
    }
}

pub fn leak(pid: i32) -> Session {
    let since = Some(Utc::now() - Duration::minutes(14));
    Session {
        application: "report-worker".into(),
        state: Some(State::IdleInTransaction),
        state_change: since,
        xact_start: since,
        ..idle(pid)
    }
}

pub fn waiter(pid: i32, blocked_by: i32) -> Session {
    let wait = Some(("Lock".into(), "transactionid".into()));
    Session { application: "checkout".into(), state: Some(State::Active), wait, blocked_by: vec![blocked_by], ..idle(pid) }
}

pub fn activity(sessions: Vec<Session>) -> Activity {
    let used = u32::try_from(sessions.len()).expect("few");
    Activity {
        at: Utc::now(),
        database: "app".into(),
        sessions,
        room: Room { max_connections: 100, superuser_reserved: 3, reserved: 0, used, limits: Vec::new() },
        sight: Sight { superuser: false, reads_all: true, signals: true, lacking: Vec::new() },
        standby: false,
        version: 150_018,
    }
}

impl World {
    /// Three leaks, three that wait for two of them, and two healthy ones.
    pub fn leaking() -> Self {
        let mut world = Self::missed();
        world.pool = vec![idle(100), idle(101), leak(1), leak(2), leak(3), waiter(11, 2), waiter(12, 2), waiter(13, 1)];
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
        if self.manner == Manner::Answers { Outcome::Done { note: "ended, gone after 5 ms".into() } } else { silent() }
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
