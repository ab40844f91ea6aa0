//! Sessions as the tests of the pool make them up, as of a moment: idle ones, leaks, those that wait for them.

use chrono::Duration;
use nightdesk::domain::At;
use nightdesk::domain::sessions::{Activity, Kind, Ours, Room, Session, Sight, State};

/// An idle connection of `api`.
pub fn idle(now: At, pid: i32) -> Session {
    Session {
        pid,
        began: Some(now - Duration::hours(2)),
        kind: Some(Kind::Client),
        database: Some("app".into()),
        role: Some("app".into()),
        superuser: false,
        may_signal: true,
        application: "api".into(),
        client: Some(format!("10.0.0.{}", pid % 7).as_str().into()),
        state: Some(State::Idle),
        state_change: Some(now - Duration::minutes(5)),
        xact_start: None,
        query_start: Some(now - Duration::hours(1)),
        wait: Some(("Client".into(), "ClientRead".into())),
        blocked_by: Vec::new(),
        leader: None,
        ours: Ours::No,
    }
}

/// One of `report-worker` that has been sitting idle in a transaction.
pub fn leak(now: At, pid: i32, minutes: i64) -> Session {
    let since = Some(now - Duration::minutes(minutes));
    let application = "report-worker".into();
    Session { application, state: Some(State::IdleInTransaction), state_change: since, xact_start: since, ..idle(now, pid) }
}

/// One of `checkout` that waits for these.
pub fn waiter(now: At, pid: i32, blocked_by: &[i32]) -> Session {
    let since = Some(now - Duration::minutes(2));
    Session {
        application: "checkout".into(),
        state: Some(State::Active),
        state_change: since,
        xact_start: since,
        query_start: since,
        wait: Some(("Lock".into(), "transactionid".into())),
        blocked_by: blocked_by.to_vec(),
        ..idle(now, pid)
    }
}

/// A server of a hundred connections, three of them a superuser's, as a role sees it that may see and end everything.
pub fn activity(now: At, sessions: Vec<Session>) -> Activity {
    let used = u32::try_from(sessions.iter().filter(|s| s.is_client()).count()).expect("few");
    Activity {
        at: now,
        database: "app".into(),
        sessions,
        room: Room { max_connections: 100, superuser_reserved: 3, reserved: 0, used, limits: Vec::new() },
        sight: Sight { superuser: false, reads_all: true, signals: true, lacking: Vec::new() },
        standby: false,
        version: 150_018,
    }
}
