//! The pool's pane: every state at both sizes, what is asked when, and the ways through its tabs.

use super::quiet;
use crate::fixtures::World;
use crate::fixtures::now;
use crate::made;
use crate::panes_desk::Desk;
use chrono::TimeDelta;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::sessions::{Activity, Ours, PoolerPool, Session, Sight, State};
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;

fn session(pid: i32) -> Session {
    made::idle(now(), pid)
}

fn leak(pid: i32, minutes: i64) -> Session {
    made::leak(now(), pid, minutes)
}

fn waiter(pid: i32, blocked_by: &[i32]) -> Session {
    made::waiter(now(), pid, blocked_by)
}

fn working(pid: i32) -> Session {
    Session { state: Some(State::Active), state_change: Some(now() - TimeDelta::seconds(12)), wait: None, ..session(pid) }
}

fn activity(sessions: Vec<Session>) -> Activity {
    made::activity(now(), sessions)
}

fn with(sessions: Vec<Session>) -> World {
    let mut world = quiet();
    world.pool = Ok(activity(sessions));
    world
}

/// Twenty-eight idle ones, two at work, three leaks that hold what four wait for, and this console.
pub(super) fn night() -> World {
    let mut sessions: Vec<Session> = (100..128).map(session).collect();
    sessions.extend([working(50), working(51)]);
    sessions.extend([leak(1, 14), leak(2, 9), leak(3, 3)]);
    sessions.extend([waiter(11, &[1]), waiter(12, &[11]), waiter(13, &[2]), waiter(14, &[1, 2])]);
    sessions.push(Session { application: "nightdesk:oncall".into(), ours: Ours::This, ..working(90) });
    with(sessions)
}

pub(super) fn healthy() -> World {
    with((100..131).map(session).collect())
}

pub(super) fn open(world: World) -> Desk {
    let mut desk = Desk::settled(world);
    desk.keys("5");
    desk.pass(2);
    desk.settle();
    desk
}

fn asks(desk: &Desk) -> usize {
    desk.out.iter().filter(|(_, q)| matches!(q, Query::Activity)).count()
}

#[test]
fn pool_while_it_reads() {
    let mut desk = Desk::new(night());
    desk.pass(1);
    desk.keys("5");
    desk.pass(2);
    desk.expect("Reading the sessions of the database's server");
    desk.snapshot("pool_loading");
}

#[test]
fn pool_with_a_leak_says_so_and_lists_by_harm() {
    let desk = open(night());
    desk.snapshot("pool_ready");
    desk.expect("FAIL");
    desk.expect("Three sessions of report-worker sit idle in a transaction, and 2 of them");
    desk.expect("29 more, healthy or not ours: 28 idle, 1 console");
    desk.expect("38 of 97 · 4 waiting");
    let shown = desk.shown();
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no `{words}` on\n{shown}"));
    assert!(at("blocker, in tx") < at("blocked  "), "{shown}");
    assert!(at("blocked  ") < at("idle in tx"), "{shown}");
}

#[test]
fn pool_on_a_quiet_night_is_one_line_and_home_has_its_figures() {
    let mut desk = Desk::settled(healthy());
    desk.pass(2);
    desk.settle();
    desk.expect("last 40 min ago. Pool 31 of 97.");
    let mut desk = open(healthy());
    desk.snapshot("pool_empty");
    desk.expect("31 more, healthy or not ours: 31 idle");
    desk.key(Key::Enter);
    desk.expect("5m idle");
    desk.expect_not("31 more");
    desk.key(Key::Esc);
    desk.expect("31 more");
}

#[test]
fn pool_stays_on_screen_with_its_age_when_the_database_falls_silent() {
    let mut desk = open(night());
    desk.world.down = vec![Source::Database];
    for _ in 0..12 {
        desk.pass(1);
        desk.settle();
    }
    desk.expect("db STALE 12s");
    desk.expect("blocker, in tx");
    desk.snapshot("pool_stale");
    desk.world.down.clear();
    desk.pass(3);
    desk.settle();
    desk.expect_not("STALE");
}

#[test]
fn pool_that_was_never_read_says_why() {
    let mut world = night();
    world.pool = Err(Fault::new(Source::Database, FaultKind::Full, "server full, trying again: no free slot for nightdesk"));
    let mut desk = open(world);
    desk.expect("server full, trying again");
    desk.snapshot("pool_failed");
    desk.world.pool = night().pool;
    desk.pass(2);
    desk.settle();
    desk.expect("Three sessions of report-worker");
}

#[test]
fn pool_behind_a_pooler_says_so_and_shows_the_poolers_own() {
    let mut world = night();
    world.pool = Err(Fault::new(Source::Database, FaultKind::Refused, "database_url leads through a pooler"));
    let (database, user, mode) = ("app".into(), "api".into(), "transaction".into());
    world.pooler = vec![PoolerPool { database, user, cl_active: 20, cl_waiting: 5, sv_active: 3, sv_idle: 0, maxwait_ms: 1_000, mode }];
    let desk = open(world);
    desk.expect("leads through a pooler");
    desk.expect("only the server's own list of sessions needs a");
    desk.expect("PgBouncer, api on app: 20 clients, 5 waiting, 3 of 3");
}

#[test]
fn sessions_are_read_every_two_seconds_on_screen_or_in_trouble_and_every_thirty_for_a_quiet_home() {
    let mut desk = open(night());
    let mut asked = 0;
    for second in 0..20 {
        // Moving about changes nothing of it.
        desk.keys(if second % 2 == 0 { "j" } else { "k" });
        desk.pass(1);
        asked += asks(&desk);
        desk.settle();
    }
    assert!((9..=15).contains(&asked), "{asked} reads in 20 to 28 seconds on screen");
    desk.keys("3");
    desk.key(Key::Esc);
    let a_minute = |desk: &mut Desk| {
        let mut asked = 0;
        for _ in 0..60 {
            desk.pass(1);
            asked += asks(desk);
            desk.settle();
        }
        asked
    };
    assert_eq!(a_minute(&mut desk), 30, "reads in a minute elsewhere, while something is wrong");
    desk.world.pool = healthy().pool;
    desk.pass(2);
    desk.settle();
    assert_eq!(a_minute(&mut desk), 2, "reads in a minute elsewhere");
    // A slow answer is waited for: asking again would give it up each time.
    desk.keys("5");
    desk.settle();
    desk.pass(2);
    assert_eq!(asks(&desk), 1);
    let ticket = desk.out[0].0;
    desk.pass(6);
    assert!(desk.out.iter().any(|(t, _)| *t == ticket), "asked again meanwhile: {:?}", desk.out);
    desk.expect("db STALE");
}

#[test]
fn statements_are_read_of_visible_rows_and_once() {
    let mut desk = Desk::settled(with((1..=1_000).map(working).collect()));
    desk.event(Event::Resized { columns: 80, rows: 24 });
    desk.keys("5");
    desk.answer_where(|q| matches!(q, Query::Activity));
    let wanted: Vec<_> =
        desk.out.iter().filter_map(|(_, q)| if let Query::SessionTexts(ids) = q { Some(ids.len()) } else { None }).collect();
    assert!(matches!(wanted.as_slice(), [n] if (8..=20).contains(n)), "{wanted:?}");
    desk.settle();
    desk.expect("SELECT ? /* 1 */");
    desk.pass(2);
    desk.answer_where(|q| matches!(q, Query::Activity));
    assert!(!desk.out.iter().any(|(_, q)| matches!(q, Query::SessionTexts(_))), "{:?}", desk.out);
    desk.keys("G");
    assert!(desk.out.iter().any(|(_, q)| matches!(q, Query::SessionTexts(_))), "{:?}", desk.out);
    desk.settle();
    desk.expect("SELECT ? /* 1000 */");
}

#[test]
fn an_unchanged_server_changes_nothing_on_screen() {
    let mut desk = open(with(vec![leak(1, 14), session(2), waiter(3, &[1])]));
    let before = desk.shown();
    let Ok(activity) = &mut desk.world.pool else { panic!("sessions") };
    activity.at += TimeDelta::seconds(4);
    for _ in 0..4 {
        desk.pass(1);
        desk.settle();
    }
    let body = |text: &str| text.lines().skip(2).take(19).map(String::from).collect::<Vec<_>>();
    assert_eq!(body(&before), body(&desk.shown()));
}

#[test]
fn the_selection_stays_on_its_session_and_a_frozen_pane_stands_still() {
    let mut desk = open(night());
    desk.keys("jj");
    let marked = |desk: &Desk| desk.shown().lines().find(|l| l.starts_with('›') && l.contains("SELECT")).unwrap_or_default().to_string();
    let stood = marked(&desk);
    assert!(stood.contains("/* 11 */"), "{stood}\n{}", desk.shown());
    let Ok(activity) = &mut desk.world.pool else { panic!("sessions") };
    activity.sessions.retain(|s| s.pid != 2);
    activity.sessions.push(leak(4, 50));
    desk.pass(2);
    desk.settle();
    assert!(marked(&desk).contains("/* 11 */"), "{}", desk.shown());
    desk.keys("p");
    desk.expect("FROZEN");
    let Ok(activity) = &mut desk.world.pool else { panic!("sessions") };
    activity.sessions.clear();
    desk.pass(4);
    desk.settle();
    desk.expect("/* 11 */");
    desk.keys("p");
    desk.expect_not("/* 11 */");
}

#[test]
fn filters_sorts_marks_and_details() {
    let mut desk = open(night());
    desk.keys("/app:report tx>5");
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("2 of 38 sessions");
    desk.expect("/* 1 */");
    desk.expect_not("/* 3 */");
    desk.keys("  ");
    desk.expect("2 marked");
    desk.keys("g");
    desk.key(Key::Enter);
    desk.expect("process 1 of report-worker");
    desk.expect("blocker: idle in transaction for 14m");
    desk.expect("3 wait for it");
    desk.expect("statement, literals hidden: SELECT ? /* 1 */");
    desk.key(Key::Esc);
    desk.key(Key::Esc);
    desk.expect("29 more");
    desk.keys("s");
    desk.expect("longest in its state first");
    desk.keys("e");
    desk.expect("97 connections an ordinary role can get: 100 in all, 3 of them reserved");
    desk.expect("The runbook's query would end");
}

/// The same sessions a while later.
fn later(world: &World, seconds: i64) -> Activity {
    let mut then = world.pool.clone().expect("sessions");
    then.at += TimeDelta::seconds(seconds);
    then
}

#[test]
fn a_sheet_about_a_session_is_kept_up_to_date_unless_the_pane_is_frozen() {
    let mut desk = open(night());
    desk.key(Key::Enter);
    desk.expect("idle in transaction for 14m");
    let mut then = later(&desk.world, 60);
    desk.world.pool = Ok(then.clone());
    desk.pass(3);
    desk.settle();
    desk.expect("idle in transaction for 15m");
    then.sessions.retain(|s| s.pid != 1);
    desk.world.pool = Ok(then);
    desk.pass(3);
    desk.settle();
    desk.expect("It has ended; this is what it was");
    desk.expect("idle in transaction for 15m");

    let mut desk = open(night());
    desk.keys("p");
    desk.key(Key::Enter);
    desk.world.pool = Ok(later(&desk.world, 60));
    desk.pass(3);
    desk.settle();
    desk.expect("idle in transaction for 14m");
}

#[test]
fn one_that_waits_says_for_whom() {
    let mut desk = open(night());
    desk.keys("/pid:12");
    desk.key(Key::Enter);
    desk.key(Key::Enter);
    desk.expect("waits for 11 (checkout)");
}

#[test]
fn a_reading_of_the_sessions_is_given_up_and_begun_again_by_itself() {
    let mut desk = open(night());
    desk.pass(2);
    assert_eq!(asks(&desk), 1);
    desk.key(Key::Ctrl('c'));
    desk.expect("given up with ^C");
    desk.out.clear();
    desk.pass(3);
    assert_eq!(asks(&desk), 1, "it is asked for again");
    desk.settle();
    desk.expect_not("given up with ^C");
}

#[test]
fn groups_lead_to_their_sessions_and_blockers_are_a_tree() {
    let mut desk = open(night());
    desk.key(Key::Tab);
    desk.snapshot("pool_groups");
    desk.keys("v");
    desk.expect("role");
    desk.keys("vvvv");
    desk.key(Key::Enter);
    desk.expect("app:report-worker role:app client:10.0.0.1");
    desk.key(Key::Esc);
    desk.key(Key::Tab);
    desk.key(Key::Tab);
    desk.settle();
    desk.snapshot("pool_blockers");
    let shown = desk.shown();
    let (root, below) = (shown.find("blocker, in tx").expect("a root"), shown.find("  blocked").expect("below it"));
    assert!(root < below, "{shown}");
    let mut calm = open(healthy());
    calm.keys("\t");
    calm.key(Key::Tab);
    calm.key(Key::Tab);
    calm.expect("Nobody waits for a lock: 31 sessions looked at.");
}

#[test]
fn an_hour_of_figures_says_what_it_covers() {
    let mut desk = Desk::settled(night());
    for _ in 0..300 {
        desk.pass(1);
        desk.settle();
    }
    desk.keys("5");
    desk.key(Key::BackTab);
    desk.expect("38 of 97 now, at most 38");
    desk.expect("4 now, at most 4");
    desk.expect("The last hour, since");
    desk.snapshot("pool_history");
}

#[test]
fn home_has_a_line_while_the_pool_is_in_trouble() {
    let mut desk = Desk::settled(night());
    desk.pass(2);
    desk.settle();
    desk.expect("Pool 38 of 97, 4 waiting");
    desk.expect("Three of report-worker idle in a transaction; 2 hold what 4 wait for.");
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("›Sessions");
    desk.key(Key::Esc);
    desk.world.pool = healthy().pool;
    desk.pass(31);
    desk.settle();
    desk.expect_not("4 waiting");
    desk.expect("Pool 31 of 97.");
}

#[test]
fn home_tells_a_leak_within_seconds_and_follows_as_it_grows() {
    let leaking = |pids: std::ops::Range<i32>| with((100..120).map(session).chain(pids.map(|pid| leak(pid, 14))).collect());
    let mut desk = Desk::settled(leaking(1..2));
    desk.pass(2);
    desk.settle();
    desk.expect("Pool 21 of 97");
    desk.world.pool = leaking(1..5).pool;
    desk.pass(2);
    desk.settle();
    desk.expect("Pool 24 of 97");
}

#[test]
fn what_a_role_does_not_see_is_said_in_a_line() {
    let hidden = |pid| Session {
        began: None,
        kind: None,
        state: None,
        state_change: None,
        query_start: None,
        wait: None,
        client: None,
        ..session(pid)
    };
    let mut world = with((1..=20).map(hidden).collect());
    if let Ok(activity) = &mut world.pool {
        activity.sight = Sight::default();
        activity.standby = true;
    }
    let desk = open(world);
    desk.expect("State, age, client and waits of 20 of 20 sessions are hidden");
    desk.expect("20 more, healthy or not ours: 20 hidden");
}
