//! A server whose every slot for ordinary roles is taken: who works on, who gets in, and what the runbook's query does there.

use super::{Place, activity, config, console, id, lock_key, of, open, say};
use crate::bench::{self, until};
use crate::command::Desk;
use crate::pty::Console;
use nightdesk::config::secret::Credential;
use nightdesk::domain::diagnosis::Word;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::sessions::{Activity, Blocking, Reach, Rules, Session, State, book_hits, explain, leaks};
use nightdesk::gateway::postgres::Ending;
use nightdesk::protocol::command::Outcome;
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions, SUPERUSER};
use nightdesk::sandbox::schema::roles;
use sqlx::{ConnectOptions, PgConnection};
use std::time::Duration;
use tokio::task::JoinHandle;

const RUNBOOK: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE state = 'idle' AND query_start < NOW() - INTERVAL '10 minutes'";

/// What the test keeps open.
#[derive(Default)]
struct Crowd {
    idle: Vec<PgConnection>,
    leaks: Vec<PgConnection>,
    waiters: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Two leaks that three wait for, and healthy idle ones until nobody else gets in.
    async fn fill(place: &Place<'_>) -> Self {
        let mut crowd = Self::default();
        for waiters in [2, 1] {
            let key = lock_key();
            let mut leak = place.app("report-worker").connect().await.unwrap();
            say(&mut leak, &format!("BEGIN; SELECT pg_advisory_xact_lock({key})")).await;
            crowd.leaks.push(leak);
            for _ in 0..waiters {
                let mut waiter = place.app("checkout").connect().await.unwrap();
                crowd.waiters.push(tokio::spawn(async move {
                    say(&mut waiter, &format!("SELECT pg_advisory_xact_lock({key})")).await;
                    // It holds its connection, as a pool does.
                    std::future::pending::<()>().await;
                }));
            }
        }
        loop {
            match place.app("api").connect().await {
                Ok(mut idle) => {
                    say(&mut idle, "SELECT 1").await;
                    crowd.idle.push(idle);
                }
                Err(error) => {
                    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
                    assert_eq!(code, "53300", "{error}");
                    return crowd;
                }
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for waiter in &self.waiters {
            waiter.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_works_on_gets_in_and_helps_where_the_runbooks_query_hurts() {
    let options = ClusterOptions { max_connections: 20, parent: Some(bench::home()), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap()).await.unwrap();
    let passwords = roles::create(&cluster).await.unwrap();
    let place = Place { cluster: &cluster, roles: &passwords };
    let before = console(place.console_url());
    until("its three connections are there", async || of(&activity(&before).await, "nightdesk:ann").len() == 3).await;
    let crowd = Crowd::fill(&place).await;
    assert_eq!((crowd.leaks.len(), crowd.waiters.len(), crowd.idle.len()), (2, 3, 9), "17 slots, three of them ours");

    // Started before: it sees everything and says why.
    until("three wait", async || activity(&before).await.sessions.iter().filter(|s| !s.blocked_by.is_empty()).count() == 3).await;
    let found = activity(&before).await;
    assert!(found.room.is_full() && found.room.usable() == 17 && found.room.free() == 0, "{:?}", found.room);
    let rules = Rules { blocking_after_s: 0, ..Rules::default() };
    let said = explain(&found, &rules);
    assert_eq!(said.word, Word::Fail);
    assert!(
        said.sentence.starts_with("Two sessions of report-worker sit idle in a transaction and hold what 3 others wait for"),
        "{}",
        said.sentence
    );
    assert!(said.sentence.contains("makes it worse"), "{}", said.sentence);

    // Started after: told, and in through the rescue address where there is one.
    let late = console(place.console_url());
    let fault = late.poll().await.expect_err("no slot");
    assert_eq!(fault.kind, FaultKind::Full);
    assert!(fault.say.starts_with("server full, trying again"), "{}", fault.say);
    let mut with_rescue = config(&[("DATABASE_URL", place.console_url())]);
    with_rescue.rescue_url = Some(Credential::new(place.url(SUPERUSER, &passwords.superuser)));
    let rescued = open(with_rescue);
    assert_eq!(explain(&activity(&rescued).await, &rules).leaking.len(), 2);
    rescued.close().await;

    // The runbook's query on the same state. A test cannot wait ten minutes: the sessions are as they are then, the limit is not.
    let hits = book_hits(&ten_minutes_on(&found), &rules);
    assert_eq!((hits.healthy, hits.missed), (9, 2), "{hits:?}");
    assert!(hits.consoles >= 2, "it would end the console's own held connections: {hits:?}");
    assert!(hits.sentence().contains("9 healthy in pools") && hits.sentence().contains("leave the 2 that leak"), "{}", hits.sentence());

    // One: its slot is the first that comes free, and one slot is enough for the console that came late to see and to act.
    let ending = |leak: &Session| {
        let since = leak.state_change.expect("seen");
        Ending { session: id(leak), states: vec![State::IdleInTransaction], since, at_least_ms: 0, reach: Reach::default() }
    };
    let leaking: Vec<Session> = leaks(&found, &Blocking::of(&found), &rules).into_iter().cloned().collect();
    let done = before.end_session(ending(&leaking[0])).await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    until("the freed slot is taken by who came late", async || late.poll().await.is_ok()).await;
    let seen = activity(&late).await;
    assert!(seen.room.is_full() && leaks(&seen, &Blocking::of(&seen), &rules).len() == 1, "{:?}", seen.room);
    // The rest: the waiters get what they wait for, and nobody healthy is touched.
    let done = late.end_session(ending(&leaking[1])).await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    until("nobody waits", async || activity(&before).await.sessions.iter().all(|s| s.blocked_by.is_empty())).await;
    let after = activity(&before).await;
    assert_eq!((of(&after, "api").len(), of(&after, "checkout").len(), of(&after, "report-worker").len()), (9, 3, 0));
    late.close().await;
    before.close().await;
    drop(crowd);
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_query_ends_the_healthy_and_leaves_the_leak() {
    let options = ClusterOptions { max_connections: 20, parent: Some(bench::home()), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap()).await.unwrap();
    let passwords = roles::create(&cluster).await.unwrap();
    let place = Place { cluster: &cluster, roles: &passwords };
    let mut crowd = Crowd::fill(&place).await;
    assert_eq!(crowd.idle.len(), 12);
    let query = RUNBOOK.replace("10 minutes", "1 millisecond");
    assert_ne!(query, RUNBOOK);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut admin = place.superuser().await;
    say(&mut admin, &query).await;
    let counted = async |application: &str| {
        let mut admin = place.superuser().await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        sqlx::query_scalar::<_, i64>(sql).bind(application).fetch_one(&mut admin).await.unwrap()
    };
    until("the healthy ones are gone", async || counted("api").await == 0).await;
    assert_eq!((counted("report-worker").await, counted("checkout").await), (2, 3), "the leak stays, and all who wait for it");
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut crowd.leaks[0]).await.is_ok());
    drop(crowd);
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_started_on_a_full_server_says_so_and_is_in_at_the_first_free_slot() {
    let options = ClusterOptions { max_connections: 20, parent: Some(bench::home()), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, bench::executable()).unwrap()).await.unwrap();
    let passwords = roles::create(&cluster).await.unwrap();
    let place = Place { cluster: &cluster, roles: &passwords };
    let mut crowd = Crowd::fill(&place).await;
    let variables = vec![("DATABASE_URL".to_string(), place.console_url())];
    let console = Console::start(&variables, 120, 36, &[]);
    let screen = console.wait_until("why", |s| s.to_lowercase().contains("server full, trying again"));
    assert!(screen.contains("db FULL") && screen.contains("rescue_url"), "{screen}");
    // On the command line too: it waits, and is told the sessions once there is a slot.
    let desk = Desk::with(variables);
    let mut asked = desk.begin(&["pool"]);
    until("it says that it waits", async || asked.said().err.contains("server full, trying again")).await;
    drop(crowd.idle.split_off(crowd.idle.len() - 6));
    asked.ended().await;
    let said = asked.said();
    assert!(said.code == Some(1) && said.out.contains("idle in a transaction"), "{said:?}");
    console.wait_until("it is in", |s| s.contains("db ") && !s.contains("db FULL"));
    drop(console);
    drop(crowd);
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

/// The same sessions, ten minutes and a little later, if nobody did anything in between.
fn ten_minutes_on(activity: &Activity) -> Activity {
    Activity { at: activity.at + chrono::TimeDelta::seconds(601), ..activity.clone() }
}
