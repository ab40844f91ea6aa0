//! The emergency *Connection pool exhausted* in the real binary: every slot taken, keys counted from Home, the runbook's query beside it, a kill in between.

mod restart;

use crate::bench::{self, Bench, Options, until};
use crate::command::{Desk, Said};
use crate::hands::Hands;
use crate::terminal::Terminal;
use nightdesk::sandbox::incidents::{Check, Incident, Label};
use nightdesk::sandbox::incidents::{Fate, Session};
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

/// The bar: so many keys from Home until nobody waits, and a typed count. The reason is typed extra.
const MOST: usize = 6;
/// A sandbox's own server; three slots are a superuser's.
const SLOTS: u16 = 40;

/// A sandbox of its own, in which nothing else is broken.
struct Night {
    sandbox: Sandbox,
    desk: Desk,
}

impl Night {
    async fn begin() -> Self {
        let options = SandboxOptions { customers: 300, max_connections: SLOTS, background: false, ..SandboxOptions::default() };
        let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
        let variables = sandbox.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect();
        Self { sandbox, desk: Desk::with(variables) }
    }

    /// Transactions are left open until no ordinary role gets in any more.
    async fn strike(&self, count: usize) -> Vec<Label> {
        self.sandbox.ground().strike(Incident::PoolExhausted, count).await.unwrap()
    }

    /// The open transactions have been left alone for so many seconds: from three on they leak where somebody waits for them, from thirty
    /// on where nobody does.
    async fn aged(&self, seconds: u32) {
        let mut admin = self.admin().await;
        aged(&mut admin, seconds).await;
    }

    fn console(&self, extra: &[(&str, String)]) -> (Terminal, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let mut variables = self.desk.variables.clone();
        variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
        variables.push(("NIGHTDESK_OPERATOR".into(), "test".into()));
        for (name, value) in extra {
            variables.retain(|(n, _)| n != name);
            variables.push(((*name).to_string(), value.clone()));
        }
        (Terminal::start(100, 30, &[], &variables), state)
    }

    /// A console with the command line's own journal, before the review of ending two leaks, writes on.
    fn reviewed(&self) -> Hands {
        let (terminal, _) = self.console(&[("NIGHTDESK_STATE_DIR", self.desk.state.path().to_string_lossy().into_owned())]);
        let mut hands = Hands { terminal, pressed: 0 };
        hands.terminal.wait_until("Home says so", |s| s.contains("3 waiting") && s.contains("of report-worker idle in a transaction"));
        hands.press("f");
        hands.terminal.wait_for("turns writes on");
        hands.press("w");
        hands.terminal.wait_for("Why? The reason is journaled");
        hands.enter("ticket 4411");
        hands.terminal.wait_for("Type 2");
        hands
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(self.desk.variable("ADMIN_DATABASE_URL")).await.unwrap()
    }

    /// How many of these labels stand as they should.
    async fn well(&self, labels: &[Label], fate: Fate) -> usize {
        let mut well = 0;
        for label in labels.iter().filter(|l| session(l).fate == fate) {
            well += usize::from(self.sandbox.ground().repaired(label).await.unwrap());
        }
        well
    }
}

async fn aged(admin: &mut PgConnection, seconds: u32) {
    let sql = "SELECT coalesce(extract(epoch FROM min(clock_timestamp() - state_change))::int4, 0) FROM pg_stat_activity
               WHERE application_name = 'report-worker' AND state = 'idle in transaction' AND datname = current_database()";
    let patience = std::time::Instant::now() + Duration::from_secs(u64::from(seconds) + 60);
    while sqlx::query_scalar::<_, i32>(sql).fetch_one(&mut *admin).await.unwrap() < i32::try_from(seconds).unwrap() {
        assert!(std::time::Instant::now() < patience, "they grow no older");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn session(label: &Label) -> &Session {
    match &label.check {
        Check::Session(session) => session,
        other => panic!("{other:?}"),
    }
}

fn of(labels: &[Label], fate: Fate) -> usize {
    labels.iter().filter(|l| session(l).fate == fate).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_slot_taken_the_cause_is_found_and_the_waiters_are_freed_in_a_few_keys() {
    let night = Night::begin().await;
    let (before, _state) = night.console(&[]);
    before.wait_until("it is connected", |s| s.contains("db 0s") && s.contains("stripe 0s"));
    let labels = night.strike(1_000).await;
    let leaks = of(&labels, Fate::End);
    assert!(leaks >= 6 && of(&labels, Fate::GetThrough) == 4 && of(&labels, Fate::Live) == 6, "{leaks}");
    let refused = PgConnection::connect(night.desk.variable("DATABASE_URL")).await.unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("53300"));

    night.aged(31).await;

    // Started after: in through the rescue address, or told, and in at the first free slot.
    let (late, _state_late) = night.console(&[]);
    late.wait_until("told", |s| s.contains("db FULL"));
    let config = std::fs::read_to_string(night.desk.variable("NIGHTDESK_CONFIG")).unwrap();
    assert!(!config.contains("[env"), "{config}");
    let rescue = tempfile::tempdir().unwrap();
    let path = rescue.path().join("rescue.toml");
    let env = |name: &str, variable: &str| format!("{name} = {{ env = \"{variable}\" }}\n");
    let own: String = [
        env("database_url", "DATABASE_URL"),
        env("rescue_url", "ADMIN_DATABASE_URL"),
        env("stripe_key", "STRIPE_SECRET_KEY"),
        format!("stripe_base = \"{}\"\n", night.desk.variable("STRIPE_API_BASE")),
    ]
    .concat();
    std::fs::write(&path, format!("[env.rescue]\n{own}")).unwrap();
    let (rescued, _state_rescued) = night.console(&[("NIGHTDESK_CONFIG", path.to_string_lossy().into_owned())]);
    rescued.wait_until("it sees the cause", |s| s.contains("Pool ") && s.contains("of report-worker idle in a transaction"));

    // Started before: it works on its held connections.
    let mut hands = Hands { terminal: before, pressed: 0 };
    let told = hands.terminal.wait_until("Home says so", |s| s.contains("4 waiting"));
    assert!(told.contains("of report-worker idle in a transaction"), "{told}");
    hands.press("f");
    let review = hands.terminal.wait_for("turns writes on");
    assert!(review.contains(&format!("End {leaks} sessions of report-worker")) && review.contains("4 that wait go on"), "{review}");
    hands.press("w");
    hands.terminal.wait_for("Why? The reason is journaled");
    hands.enter("ticket 4411");
    hands.terminal.wait_for(&format!("Type {leaks}"));
    hands.enter(&leaks.to_string());
    let screen = hands.terminal.wait_for("Nobody waits");
    assert!(screen.contains(&format!("{leaks} of {leaks} sessions let go")), "{screen}");
    assert!(hands.pressed <= MOST, "{} keys", hands.pressed);
    until("the waiters got through", async || night.well(&labels, Fate::GetThrough).await == 4).await;
    assert_eq!((night.well(&labels, Fate::End).await, night.well(&labels, Fate::Live).await), (leaks, 6), "no healthy one is touched");
    late.wait_until("it is in", |s| s.contains("db 0s"));

    // Settings are shown for copying; nothing was changed, so nothing is restarted, and it is watched.
    assert!(screen.contains("idle_in_transaction_session_timeout = '60s'"), "{screen}");
    hands.press("j");
    hands.press("\r");
    hands.terminal.wait_for("Watched until");
    hands.press("a");
    hands.terminal.wait_for("end the watch here");
    hands.press("x");
    // Wherever its line is folded.
    let unfolded = |screen: &str| screen.split_whitespace().collect::<Vec<_>>().join(" ");
    hands.terminal.wait_until("it was left", |s| unfolded(s).contains("Not watched to the end"));
    drop((hands, late, rescued));
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbooks_query_on_the_same_state_ends_the_healthy_and_leaves_the_leak() {
    let night = Night::begin().await;
    let labels = night.strike(2).await;
    night.aged(4).await;
    let said = night.desk.say(&["run", "pool-exhausted", "--dry-run", "--json"]).await.well();
    let plan = &said["plan"];
    assert_eq!((plan["confirm"].as_str(), plan["tier"].as_str()), (Some("2"), Some("t2")), "{said}");
    assert!(text(&plan["notes"]).contains("The runbook's query would end nothing, and leave the 2 that leak."), "{said}");
    // A test cannot wait ten minutes: the state is the same, the limit is not.
    let book = nightdesk::procedures::by_id("pool-exhausted").unwrap().book().sentence;
    assert!(book.contains("state = 'idle' AND query_start < NOW() - INTERVAL '10 minutes'"));
    let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE state = 'idle' AND query_start < NOW() - INTERVAL '1 millisecond' AND pid = ANY ($1)";
    let pids: Vec<i32> = labels.iter().map(|l| session(l).pid).collect();
    let mut admin = night.admin().await;
    let ended = sqlx::query(query).bind(pids).execute(&mut admin).await.unwrap().rows_affected();
    until("the healthy ones are gone", async || night.well(&labels, Fate::Live).await == 0).await;
    assert_eq!(ended, 6, "six healthy ones, and none of those that leak");
    assert_eq!((night.well(&labels, Fate::End).await, night.well(&labels, Fate::GetThrough).await), (0, 0), "nothing is mended");
    // The same state by the plan: the leaks go, the waiters get through.
    let done = confirmed(&night.desk, &["--confirm", "2"]).await;
    assert_eq!((done.code, done.json()["state"].as_str()), (Some(0), Some("done")), "{done:?}");
    until("the waiters got through", async || night.well(&labels, Fate::GetThrough).await == 3).await;
    assert_eq!(night.well(&labels, Fate::End).await, 2);
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line_it_is_confirmed_by_its_count_and_ends_what_is_named() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let labels = bench.ground.strike(Incident::PoolExhausted, 2).await.unwrap();
    aged(&mut PgConnection::connect(&bench.variable("ADMIN_DATABASE_URL")).await.unwrap(), 4).await;
    let pid_of = |fate: Fate| labels.iter().map(session).find(|s| s.fate == fate).expect("there is one").pid;
    confirmed(&desk, &["--confirm", "3"]).await.declined(&["asks for --confirm \"2\""]);
    confirmed(&desk, &["--yes"]).await.declined(&["asks for --confirm \"2\""]);
    confirmed(&desk, &["--pid", "999999", "--confirm", "1"]).await.refused(&["no session has the process id 999999"]);
    let pool = desk.say(&["pool", "--json"]).await.json();
    assert_eq!((&pool["word"], &pool["explained"]["word"]), (&Value::from("fail"), &Value::from("fail")), "{pool}");
    // A healthy one only where it is named, and with a warning.
    let (healthy, leak) = (pid_of(Fate::Live), pid_of(Fate::End));
    let said = desk.say(&["run", "pool-exhausted", "--pid", &healthy.to_string(), "--dry-run", "--json"]).await.well();
    assert!(text(&said["plan"]["notes"]).contains("WARNING: 1 idle connection of"), "{said}");
    let tail = tail(leak);
    let one = confirmed(&desk, &["--pid", &leak.to_string(), "--confirm", &tail]).await;
    assert_eq!((one.code, one.json()["state"].as_str()), (Some(0), Some("done")), "{one:?}");
    // The other leaks still; nothing is left of the first run that would stand in the way.
    let other = labels.iter().map(session).find(|s| s.fate == Fate::End && s.pid != leak).expect("a second one").pid;
    let rest = confirmed(&desk, &["--confirm", &self::tail(other)]).await;
    assert_eq!(rest.code, Some(0), "{rest:?}");
    let plan = &rest.json()["plan"];
    assert!(text(&plan["evidence"]).contains("to copy: ALTER ROLE"), "{plan}");
    let quiet = confirmed(&desk, &["--confirm", "1"]).await;
    assert!(quiet.code == Some(0) && quiet.json()["says"].as_str().unwrap().contains("No session leaks"), "{quiet:?}");
    for label in &labels {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
    let runs = desk.say(&["runs", "--json"]).await.well();
    assert_eq!(runs.as_array().unwrap().iter().filter(|r| r["state"] == "done").count(), 2, "{runs}");
    let undo = desk.say(&["runs", "undo", runs[0]["run"].as_str().unwrap(), "--reason", "a test", "--json"]).await;
    undo.declined(&["cannot be taken back: it ended sessions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_reads_and_signals_nobody_twice() {
    let night = Night::begin().await;
    let labels = night.strike(2).await;
    night.aged(4).await;
    let pids: Vec<i32> = labels.iter().map(session).filter(|s| s.fate == Fate::End).map(|s| s.pid).collect();
    // The one that most wait for goes first: as long as it stands still, it hears no signal.
    let frozen = Pid::from_raw(pids[0]);
    kill(frozen, Signal::SIGSTOP).unwrap();
    let mut child = night.desk.begin(&["run", "pool-exhausted", "--confirm", "2", "--reason", "a test", "--json"]);
    until("the signal is on its way", async || {
        let runs = night.desk.say(&["runs", "--json"]).await;
        runs.code == Some(0) && runs.json()[0]["state"] == "unknown"
    })
    .await;
    child.signal(Signal::SIGKILL);
    child.ended().await;
    kill(frozen, Signal::SIGCONT).unwrap();
    until("it hears the signal", async || night.well(&labels, Fate::End).await == 1).await;
    let runs = night.desk.say(&["runs", "--json"]).await.well();
    let run = runs[0]["run"].as_str().unwrap().to_string();
    // Another run would not know what this one sent.
    let rest = tail(pids[1]);
    confirmed(&night.desk, &["--confirm", &rest]).await.refused_or_halted("is not finished");
    // It looks first; what remains was reviewed by the one who died, and is confirmed anew.
    let resumed = night.desk.say(&["runs", "resume", &run, "--confirm", &rest, "--reason", "a test", "--json"]).await;
    // Whether a setting was changed is not its to say, and what is watched is not left for anybody.
    assert_eq!((resumed.code, resumed.json()["state"].as_str()), (Some(1), Some("undecided")), "{resumed:?}");
    let asked = night.desk.say(&["runs", "resume", &run, "--reason", "a test"]).await;
    assert!(asked.code == Some(1) && asked.out.contains("--setting none") && asked.out.contains("Was a setting changed"), "{asked:?}");
    let wrong = night.desk.say(&["runs", "resume", &run, "--setting", "size", "--reason", "a test"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("it is one of none, "), "{wrong:?}");
    let told = night.desk.say(&["runs", "resume", &run, "--setting", "none", "--reason", "a test", "--json"]).await;
    assert_eq!((told.code, told.json()["state"].as_str()), (Some(1), Some("waiting")), "{told:?}");
    assert!(told.json()["says"].as_str().unwrap().starts_with("Watched until"), "{told:?}");
    let runs = night.desk.say(&["runs", "--json"]).await.well();
    assert_eq!(runs[0]["state"], "unverified", "it stays open: {runs}");
    assert_eq!((night.well(&labels, Fate::End).await, night.well(&labels, Fate::Live).await), (2, 6));
    let intents = intents(&night.desk);
    assert_eq!(intents.len(), 2, "one signal each: {intents:?}");
    let steps: std::collections::BTreeSet<_> = intents.iter().map(|i| i["attempt"]["step"].as_str().unwrap().to_string()).collect();
    assert_eq!(steps.len(), 2);
    let audit = night.desk.say(&["audit", "verify", "--json"]).await;
    assert_eq!(audit.code, Some(0), "{audit:?}");
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_between_review_and_confirmation_is_sent_no_signal() {
    let night = Night::begin().await;
    let labels = night.strike(2).await;
    night.aged(4).await;
    let leaks: Vec<i32> = labels.iter().map(session).filter(|s| s.fate == Fate::End).map(|s| s.pid).collect();
    let mut hands = night.reviewed();
    let mut admin = night.admin().await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(leaks[1]).execute(&mut admin).await.unwrap();
    until("it is gone", async || night.well(&labels, Fate::End).await == 1).await;
    hands.enter("2");
    let screen = hands.terminal.wait_for("Was a setting changed");
    assert!(screen.contains("1 had ended or moved on before we came"), "{screen}");
    until("the waiters got through", async || night.well(&labels, Fate::GetThrough).await == 3).await;
    let signals = intents(&night.desk);
    assert_eq!(signals.len(), 1, "{signals:?}");
    assert_eq!((night.well(&labels, Fate::End).await, night.well(&labels, Fate::Live).await), (2, 6));
    drop(hands);
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_signal_is_told_which_grant_it_lacks() {
    let night = Night::begin().await;
    let labels = night.strike(2).await;
    night.aged(4).await;
    let mut admin = night.admin().await;
    let set = |sql: &'static str| AssertSqlSafe(sql.to_string());
    sqlx::raw_sql(set("REVOKE pg_signal_backend FROM nightdesk")).execute(&mut admin).await.unwrap();
    let said = confirmed(&night.desk, &["--confirm", "2"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let says = said.json()["says"].as_str().unwrap().to_string();
    assert!(says.contains("that takes pg_signal_backend"), "{says}");
    sqlx::raw_sql(set("REVOKE pg_monitor FROM nightdesk")).execute(&mut admin).await.unwrap();
    let said = confirmed(&night.desk, &["--confirm", "2"]).await;
    let says = said.json()["says"].as_str().unwrap().to_string();
    assert!(says.contains("hidden from our role") && says.contains("pg_monitor"), "{says}");
    assert_eq!(night.well(&labels, Fate::End).await, 0);
    night.sandbox.stop().await;
}

async fn confirmed(desk: &Desk, more: &[&str]) -> Said {
    let arguments = [&["run", "pool-exhausted", "--reason", "a test", "--json"], more].concat();
    desk.say(&arguments).await
}

impl Said {
    /// It was not begun, for this reason.
    fn refused_or_halted(&self, words: &str) {
        assert!(self.code != Some(0) && (self.out.contains(words) || self.err.contains(words)), "{self:?}");
    }
}

/// The last four characters of a process id.
fn tail(pid: i32) -> String {
    let pid = pid.to_string();
    pid[pid.len().saturating_sub(4)..].to_string()
}

fn text(list: &Value) -> String {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// The signals that the journal knows of.
fn intents(desk: &Desk) -> Vec<Value> {
    journaled(desk).into_iter().filter(|e| e["entry"] == "intended").collect()
}

/// Every entry of the desk's journal.
fn journaled(desk: &Desk) -> Vec<Value> {
    let mut found = Vec::new();
    let mut open = vec![desk.state.path().to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let records = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
            found.extend(records.filter_map(|r| r.get("entry").filter(|e| e.is_object()).cloned()));
        }
    }
    found
}
