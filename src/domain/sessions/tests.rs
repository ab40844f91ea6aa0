//! Sessions as a server would tell them, and what is said about them.

use super::*;
use crate::domain::diagnosis::Word;

pub(crate) fn now() -> At {
    At::from_timestamp(1_800_000_000, 0).expect("in range")
}

/// An idle connection of `api` from one host, idle for five minutes, whose last statement began an hour ago.
pub(crate) fn session(pid: i32) -> Session {
    Session {
        pid,
        began: Some(now() - TimeDelta::hours(2)),
        kind: Some(Kind::Client),
        database: Some("app".into()),
        role: Some("app".into()),
        superuser: false,
        may_signal: true,
        application: "api".into(),
        client: Some("10.0.0.3".into()),
        state: Some(State::Idle),
        state_change: Some(now() - TimeDelta::minutes(5)),
        xact_start: None,
        query_start: Some(now() - TimeDelta::hours(1)),
        wait: Some(("Client".into(), "ClientRead".into())),
        blocked_by: Vec::new(),
        leader: None,
        ours: Ours::No,
    }
}

fn leak(pid: i32) -> Session {
    let since = Some(now() - TimeDelta::minutes(14));
    Session {
        application: "report-worker".into(),
        state: Some(State::IdleInTransaction),
        state_change: since,
        xact_start: since,
        ..session(pid)
    }
}

fn waiter(pid: i32, blocked_by: &[i32]) -> Session {
    let since = Some(now() - TimeDelta::minutes(2));
    Session {
        application: "checkout".into(),
        state: Some(State::Active),
        state_change: since,
        xact_start: since,
        query_start: since,
        wait: Some(("Lock".into(), "transactionid".into())),
        blocked_by: blocked_by.to_vec(),
        ..session(pid)
    }
}

fn working(pid: i32) -> Session {
    Session { state: Some(State::Active), state_change: Some(now() - TimeDelta::seconds(1)), wait: None, ..session(pid) }
}

fn hidden(pid: i32) -> Session {
    Session { began: None, kind: None, state: None, state_change: None, query_start: None, wait: None, client: None, ..session(pid) }
}

fn activity(sessions: Vec<Session>) -> Activity {
    let used = u32::try_from(sessions.iter().filter(|s| s.is_client()).count()).expect("few");
    Activity {
        at: now(),
        database: "app".into(),
        sessions,
        room: Room { max_connections: 100, superuser_reserved: 3, reserved: 0, used, limits: Vec::new() },
        sight: Sight { superuser: false, reads_all: true, signals: true, lacking: Vec::new() },
        standby: false,
        version: 150_018,
    }
}

/// Seven processes of `api`, three leaks of one that hold what four wait for.
fn night() -> Activity {
    let mut sessions: Vec<Session> = (0..7)
        .flat_map(|host| (0..4).map(move |n| (host, n)))
        .map(|(host, n)| Session { client: Some(format!("10.0.0.{host}").as_str().into()), ..session(100 + host * 10 + n) })
        .collect();
    sessions.extend([leak(1), leak(2), leak(3)]);
    sessions.extend([waiter(11, &[1]), waiter(12, &[11]), waiter(13, &[2]), waiter(14, &[1, 2])]);
    activity(sessions)
}

#[test]
fn the_sentence_says_who_leaks_and_what_a_larger_pool_does() {
    let said = explain(&night(), &Rules::default());
    assert_eq!(
        said.sentence,
        "Three sessions of report-worker sit idle in a transaction, and 2 of them hold what 4 others wait for; raising the pool makes it worse: 9 pools × 10 = 90 of 97, and doubled 180."
    );
    assert_eq!(said.brief, "Three of report-worker idle in a transaction; 2 hold what 4 wait for.");
    assert!(said.brief.len() <= 72, "a line of a narrow screen");
    assert_eq!((said.word, said.raising, said.waiting), (Word::Fail, Raising::Worse, 4));
    assert_eq!(said.leaking, [1, 2, 3], "the one that most wait for first");
    let one = explain(&activity(vec![leak(1), session(2)]), &Rules::default());
    assert_eq!(
        one.sentence,
        "One session of report-worker sits idle in a transaction and keeps its connection; raising the pool does not help, though it would fit: 2 pools × 20 = 40 of 97."
    );
    assert_eq!((one.word, one.raising), (Word::Warn, Raising::Useless));
}

#[test]
fn the_size_of_a_pool_is_the_configured_one() {
    let said = explain(&night(), &Rules::with_pool_max(Some(25)));
    assert!(said.sentence.ends_with("raising the pool makes it worse: 9 pools × 25 = 225 of 97."), "{}", said.sentence);
}

#[test]
fn a_pool_at_its_own_limit_is_not_the_servers() {
    let busy =
        |hosts: i32| (0..hosts * 10).map(|n| Session { client: Some(format!("10.0.0.{}", n / 10).as_str().into()), ..working(n + 1) });
    let said = explain(&activity(busy(1).collect()), &Rules::default());
    assert_eq!(
        said.sentence,
        "All 10 connections of api@10.0.0.0 are at work while 10 of 97 connections are taken; raising the pool helps: 1 pool × 20 = 20 of 97."
    );
    assert_eq!(said.raising, Raising::Helps);
    let many = explain(&activity(busy(6).collect()), &Rules::default());
    assert_eq!(many.raising, Raising::Worse, "{}", many.sentence);
    let mut one_idle: Vec<_> = busy(1).collect();
    one_idle[3] = Session { client: Some("10.0.0.0".into()), ..session(4) };
    let quiet = explain(&activity(one_idle), &Rules::default());
    assert_eq!(quiet.sentence, "10 of 97 connections are taken, and nobody waits: 1 pool × 10 = 10 of 97.");
    assert_eq!(quiet.word, Word::Ok);
}

#[test]
fn a_full_server_of_idle_pools_is_no_leak() {
    let sessions = (0..97).map(|n| Session { client: Some(format!("10.0.0.{}", n / 9).as_str().into()), ..session(n + 1) });
    let said = explain(&activity(sessions.collect()), &Rules::default());
    assert_eq!(
        said.sentence,
        "97 of 97 connections are taken, 97 of them idle in pools and none leaking; raising the pool makes it worse: 11 pools × 10 = 110 of 97."
    );
    assert_eq!((said.word, said.leaking.len()), (Word::Fail, 0));
}

#[test]
fn what_is_hidden_is_said_and_is_not_a_quiet_night() {
    let activity = Activity { sight: Sight::default(), ..activity(vec![session(1), hidden(2), hidden(3)]) };
    assert_eq!(explain(&activity, &Rules::default()).word, Word::Unknown);
    let caveats = activity.caveats().join(" ");
    assert!(
        caveats.contains("2 of 3 sessions are hidden") && caveats.contains("pg_monitor") && caveats.contains("pg_signal_backend"),
        "{caveats}"
    );
    assert_eq!(classes(&activity, &Rules::default()), [Class::IdlePooled, Class::Hidden, Class::Hidden]);
    assert_eq!(may_end(&activity.sessions[1], &activity, Reach::default()), Err(Spared::Hidden));
}

#[test]
fn a_limit_of_the_roles_own_is_named() {
    let mut activity = activity(vec![session(1), session(2)]);
    activity.room.limits.push(Limit { of: LimitOf::Role, name: "app".into(), limit: 2, used: 2 });
    let said = explain(&activity, &Rules::default());
    assert!(said.sentence.starts_with("Role app has all 2 connections that its own CONNECTION LIMIT grants"), "{}", said.sentence);
}

#[test]
fn classes_are_what_an_operator_would_call_them() {
    let mut sessions = vec![leak(1), waiter(2, &[1]), waiter(3, &[2]), leak(4), working(5), session(6)];
    sessions.push(Session { state_change: Some(now() - TimeDelta::minutes(3)), ..working(7) });
    sessions.push(Session { kind: Some(Kind::Walsender), ..session(8) });
    sessions.push(Session { kind: Some(Kind::Internal("checkpointer".into())), database: None, role: None, ..session(9) });
    sessions.push(Session { kind: Some(Kind::ParallelWorker), leader: Some(5), ..working(10) });
    sessions.push(Session { ours: Ours::Console, application: "nightdesk:ann".into(), ..session(11) });
    sessions.push(Session { state_change: Some(now() - TimeDelta::seconds(5)), ..leak(12) });
    let activity = activity(sessions);
    let found = classes(&activity, &Rules::default());
    use Class as C;
    let expected = [
        C::Blocker,
        C::Blocked,
        C::Blocked,
        C::IdleInTransaction,
        C::Active,
        C::IdlePooled,
        C::LongActive,
        C::Replication,
        C::Internal,
        C::Internal,
        C::Console,
        C::IdleInTransaction,
    ];
    assert_eq!(found, expected);
    let leaking: Vec<i32> = leaks(&activity, &Blocking::of(&activity), &Rules::default()).iter().map(|s| s.pid).collect();
    assert_eq!(leaking, [1, 4], "a transaction that has just fallen idle is none");
}

#[test]
fn the_tree_shows_each_session_once_and_no_circle_forever() {
    let queue = activity(vec![
        leak(1),
        waiter(2, &[1]),
        waiter(3, &[1, 2]),
        waiter(4, &[1, 2, 3]),
        waiter(5, &[6]),
        waiter(6, &[5]),
        waiter(7, &[6]),
        waiter(8, &[0]),
    ]);
    let rows = Blocking::of(&queue).rows();
    let shown: Vec<_> = rows.iter().map(|r| (r.pid, r.depth, r.victims, r.circle)).collect();
    assert_eq!(
        shown,
        [
            (1, 0, 3, false),
            (2, 1, 2, false),
            (3, 1, 1, false),
            (4, 1, 0, false),
            (0, 0, 1, false),
            (8, 1, 0, false),
            (5, 0, 3, true),
            (6, 1, 3, false),
            (7, 2, 0, false)
        ]
    );
    let chain = Blocking::of(&activity(vec![leak(1), waiter(2, &[1]), waiter(3, &[2]), waiter(4, &[3])]));
    assert_eq!(chain.rows().iter().map(|r| r.depth).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((chain.victims(1), chain.victims(3), chain.waiting(), chain.freed_by(&[1, 2]).len()), (3, 1, 3, 2));
}

#[test]
fn who_is_spared_and_why() {
    let here = activity(Vec::new());
    let spared = |s: Session| may_end(&s, &here, Reach::default()).expect_err("spared").to_string();
    assert_eq!(may_end(&leak(1), &here, Reach::default()), Ok(leak(1).id().expect("seen")));
    assert_eq!(spared(Session { ours: Ours::This, ..leak(1) }), "it is this console's own connection");
    assert_eq!(spared(Session { ours: Ours::Console, ..leak(1) }), "it is a console's");
    assert!(spared(Session { kind: Some(Kind::Walsender), ..session(1) }).contains("replicates"));
    assert!(spared(Session { kind: Some(Kind::ParallelWorker), leader: Some(7), ..leak(1) }).contains("process 7"));
    assert!(spared(Session { superuser: true, ..leak(1) }).contains("superuser's"));
    assert!(spared(Session { may_signal: false, ..leak(1) }).contains("pg_signal_backend"));
    let elsewhere = Session { database: Some("crm".into()), ..leak(1) };
    assert!(spared(elsewhere.clone()).contains("crm"));
    assert!(may_end(&elsewhere, &here, Reach { other_databases: true }).is_ok());
}

#[test]
fn the_runbooks_query_hits_the_healthy_and_leaves_the_leak() {
    let mut tonight = night();
    tonight.sessions.push(Session { kind: Some(Kind::Walsender), ..session(900) });
    tonight.sessions.push(Session { ours: Ours::Console, ..session(901) });
    tonight.sessions.push(Session { superuser: true, ..session(902) });
    let hits = book_hits(&tonight, &Rules::default());
    assert_eq!((hits.hits.len(), hits.healthy, hits.replication, hits.consoles, hits.missed), (31, 29, 1, 1, 3));
    assert_eq!(hits.misjudged, 29, "all of them have been idle for five minutes");
    assert_eq!(
        hits.sentence(),
        "The runbook's query would end 31 sessions (29 healthy in pools, 1 of replication, 1 of consoles), and leave the 3 that leak; as our role it breaks off at the first superuser's, with some ended."
    );
    assert_eq!(
        book_hits(&activity(vec![leak(1)]), &Rules::default()).sentence(),
        "The runbook's query would end nothing, and leave the one that leaks."
    );
}

#[test]
fn groups_count_connections_and_those_that_do_harm_come_first() {
    let mut tonight = night();
    tonight.sessions.push(Session { kind: Some(Kind::Walsender), ..session(900) });
    let by_application = groups(&tonight, &[By::Application]);
    let counted: Vec<_> =
        by_application.iter().map(|g| (g.keys[0].to_string(), g.total, g.idle, g.in_transaction, g.active, g.blocked)).collect();
    let row = |name: &str, total, idle, in_transaction, active, blocked| (name.to_string(), total, idle, in_transaction, active, blocked);
    assert_eq!(counted, [row("report-worker", 3, 0, 3, 0, 0), row("checkout", 4, 0, 0, 4, 4), row("api", 28, 28, 0, 0, 0)]);
    assert_eq!(by_application[0].oldest_in_transaction, Some(TimeDelta::minutes(14)));
    assert_eq!(groups(&tonight, &[By::Client, By::State]).len(), 9);
}

#[test]
fn a_snapshot_survives_being_written_down() {
    let night = night();
    let text = serde_json::to_string(&night).expect("plain data");
    assert_eq!(serde_json::from_str::<Activity>(&text).expect("read back"), night);
    assert_eq!((night.release().as_str(), Activity { version: 90_624, ..night.clone() }.release().as_str()), ("15.18", "9.6"));
}

#[test]
fn who_waits_at_the_pooler_is_one_sentence() {
    let pool = PoolerPool {
        database: "app".into(),
        user: "app".into(),
        cl_active: 3,
        cl_waiting: 5,
        sv_active: 3,
        sv_idle: 0,
        maxwait_ms: 1_250,
        mode: "transaction".into(),
    };
    let said = waiting_at_pooler(std::slice::from_ref(&pool));
    assert_eq!(
        said.as_deref(),
        Some("At PgBouncer 5 clients wait for a server connection, the first has for 1.2 s: app on app has 3 of 3 at work.")
    );
    assert_eq!(waiting_at_pooler(&[PoolerPool { cl_waiting: 0, ..pool }]), None);
}
