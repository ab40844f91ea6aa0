//! What the real binary leaves behind when it is killed, hung up, or cut off from the shared store, and how it goes on from there.

mod hang_up;
mod points;
mod screen;
mod store;
mod together;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nightdesk::sandbox::incidents::Incident;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::bench::{self, Bench, Options, Payer};

/// A system with customers to repair, in which every change of a subscription row is counted and can be held up.
struct Scene {
    bench: Bench,
    labels: Vec<Payer>,
}

/// Where the database holds a repair up, by an advisory lock that the test has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In the statement: nothing has been changed.
    Update = 1,
    /// In the commit: the statement was answered, and its effect is still to come.
    Commit = 2,
}

/// A stage held for one profile.
struct Barrier {
    connection: PgConnection,
    stage: Stage,
    profile: String,
}

/// Somebody's machine: a state directory of its own, and the environment of the scene.
struct Seat {
    state: TempDir,
    operator: &'static str,
    /// Which environment the journal is of.
    environment: &'static str,
    variables: Vec<(String, String)>,
}

/// What a command ended with.
struct Ended {
    code: i32,
    said: String,
}

const TRIGGERS: &str = "
CREATE TABLE changes (id bigserial PRIMARY KEY, profile text NOT NULL);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$ BEGIN INSERT INTO public.changes (profile) VALUES (NEW.profile_id::text); RETURN NULL; END $$;
CREATE FUNCTION wait_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = 0 AS
  $$ BEGIN PERFORM pg_advisory_xact_lock(1, hashtext(NEW.profile_id::text)); RETURN NEW; END $$;
CREATE FUNCTION wait_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = 0 AS
  $$ BEGIN PERFORM pg_advisory_xact_lock(2, hashtext(NEW.profile_id::text)); RETURN NULL; END $$;
CREATE TRIGGER note_change AFTER UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE TRIGGER wait_update BEFORE UPDATE ON subscriptions FOR EACH ROW EXECUTE FUNCTION wait_update();
CREATE CONSTRAINT TRIGGER wait_commit AFTER UPDATE ON subscriptions DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait_commit();";

impl Scene {
    async fn start(customers: usize) -> Self {
        let bench = Bench::start(Options { customers: 600, ..Options::default() }).await;
        let labels = bench.strike(Incident::PlaceholderCustomers, customers).await;
        sqlx::raw_sql(TRIGGERS).execute(&bench.admin).await.unwrap();
        Self { bench, labels }
    }

    fn seat(&self, operator: &'static str) -> Seat {
        let variables = self.bench.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect();
        Seat { state: tempfile::tempdir().unwrap(), operator, environment: "env", variables }
    }

    /// How often the row of a profile was changed.
    async fn changes(&self, label: &Payer) -> i64 {
        let sql = "SELECT count(*) FROM changes WHERE profile = $1";
        sqlx::query_scalar(sql).bind(&label.profile).fetch_one(&self.bench.admin).await.unwrap()
    }

    async fn hold(&self, stage: Stage, label: &Payer) -> Barrier {
        let mut connection = PgConnection::connect(&self.bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
        let sql = "SELECT pg_advisory_lock($1, hashtext($2))";
        sqlx::query(sql).bind(stage as i32).bind(&label.profile).execute(&mut connection).await.unwrap();
        Barrier { connection, stage, profile: label.profile.clone() }
    }

    /// One effect, proven at the row and by the application; one whole chain in which each intent has one outcome.
    async fn repaired_once(&self, label: &Payer, seat: &Seat) {
        assert_eq!(self.changes(label).await, 1, "one change of the row");
        assert!(self.bench.ground.repaired(label).await.unwrap(), "the row holds what is due");
        assert_eq!(self.bench.entitlements(&label.profile).await["data"]["tier"], label.expected.tier);
        let records = seat.records();
        let chains: HashSet<&str> = records.iter().filter_map(|r| r["chain"].as_str()).collect();
        assert_eq!(chains.len(), 1, "one chain");
        let told = |kind: &str| records.iter().map(|r| &r["entry"]).filter(|e| e["entry"] == kind).cloned().collect::<Vec<_>>();
        let (intents, outcomes) = (told("intended"), told("concluded"));
        for intent in &intents {
            let of_it = outcomes.iter().filter(|o| o["attempt"] == intent["attempt"]).count();
            assert_eq!(of_it, 1, "one outcome for {intent}: {outcomes:?}");
        }
        assert_eq!(outcomes.len(), intents.len());
        assert_eq!(outcomes.iter().filter(|o| o["result"] == "done").count(), 1, "{outcomes:?}");
        let ends = told("run-closed");
        assert!(ends.len() == 1 && ends[0]["how"] == "done", "one end: {ends:?}");
        let audit = seat.run(&["audit", "verify"]).await;
        assert!(audit.code == 0 && audit.said.contains("the chain is whole"), "{}", audit.said);
    }
}

impl Barrier {
    /// Waits until somebody waits for it.
    async fn reached(&mut self) {
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = $1::int::oid
                   AND objid = (hashtext($2)::bigint & 4294967295)::oid
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let query = sqlx::query_scalar(sql).bind(self.stage as i32).bind(&self.profile);
            let waiting: i64 = query.fetch_one(&mut self.connection).await.unwrap();
            if waiting > 0 {
                return;
            }
            assert!(Instant::now() < patience, "nobody came to {:?}", self.stage);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn release(mut self) {
        let sql = "SELECT pg_advisory_unlock($1, hashtext($2))";
        sqlx::query(sql).bind(self.stage as i32).bind(&self.profile).execute(&mut self.connection).await.unwrap();
        self.connection.close().await.unwrap();
    }
}

impl Seat {
    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.into(), value.into()));
    }

    /// Everything the binary is told by its environment.
    fn told(&self) -> Vec<(String, String)> {
        let mut all = self.variables.clone();
        all.push(("NIGHTDESK_STATE_DIR".into(), self.state.path().to_string_lossy().into_owned()));
        all.push(("NIGHTDESK_OPERATOR".into(), self.operator.into()));
        all
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bench::executable());
        command.args(arguments).env_clear().envs(self.told()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.start(arguments)).await
    }

    /// The repair of a customer.
    fn begin(&self, label: &Payer) -> Child {
        self.start(&["run", "tier-update", "--customer", &label.expected.customer, "--yes", "--reason", "ticket 4411"])
    }

    /// The repair, to its end. Where the machine is so busy that a source was too late for the first reads, nothing was begun: once more.
    async fn repair(&self, label: &Payer) -> Ended {
        for _ in 0..5 {
            let end = ended(self.begin(label)).await;
            if !end.was_too_late() {
                return end;
            }
        }
        ended(self.begin(label)).await
    }

    async fn resume(&self, run: &str) -> Ended {
        self.run(&["runs", "resume", run, "--yes", "--reason", "ticket 4411"]).await
    }

    fn journal(&self) -> PathBuf {
        self.state.path().join(self.environment).join(self.operator).join("journal.jsonl")
    }

    /// The whole lines of the journal.
    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| l.trim_end().to_string()).collect()
    }

    fn records(&self) -> Vec<Value> {
        self.lines().iter().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// What `nightdesk runs` lists.
    async fn runs(&self) -> Vec<Value> {
        let listed = self.run(&["runs", "--json"]).await;
        assert_eq!(listed.code, 0, "{}", listed.said);
        serde_json::from_str(&listed.said).unwrap()
    }

    /// The one run there is: its short name and its state.
    async fn the_run(&self) -> (String, String) {
        let runs = self.runs().await;
        assert_eq!(runs.len(), 1, "{runs:?}");
        (runs[0]["short"].as_str().unwrap().to_string(), runs[0]["state"].as_str().unwrap().to_string())
    }

    /// The journal's file, made where there is none, under its lock: whoever is to append waits.
    fn locked(&self) -> File {
        let path = self.journal();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::options().read(true).append(true).create(true).open(path).unwrap();
        file.lock().unwrap();
        file
    }

    /// Begins the repair; returns the moment that `holds`, looked at without a pause once it is `close`.
    async fn begin_until(&self, label: &Payer, close: impl Fn() -> bool, holds: impl Fn() -> bool) -> Child {
        let mut child = self.begin(label);
        let patience = Instant::now() + Duration::from_secs(30);
        while !holds() {
            if child.try_wait().unwrap().is_some() {
                let end = ended(child).await;
                assert!(end.was_too_late(), "it ended by itself with {} records: {}", self.lines().len(), end.said);
                child = self.begin(label);
            }
            assert!(Instant::now() < patience, "{} records", self.lines().len());
            if !close() {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        child
    }

    /// Begins the repair; returns when the plan has been printed: the next thing is the journal. The pipe stays open, so that it
    /// may print on.
    async fn begin_and_plan(&self, label: &Payer) -> (Child, BufReader<ChildStdout>) {
        for _ in 0..5 {
            let mut child = self.begin(label);
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let read = tokio::task::spawn_blocking(move || {
                let mut first = String::new();
                said.read_line(&mut first).unwrap();
                (said, first)
            });
            let (said, first) = read.await.unwrap();
            if !first.is_empty() {
                return (child, said);
            }
            let end = ended(child).await;
            assert!(end.was_too_late(), "it printed no plan: {}", end.said);
        }
        panic!("five times a source was too late");
    }

    /// Begins the repair and stops it for good with `n` records in the journal, as `end` does it. The gate is the journal's own
    /// lock; where the binary was quicker it holds more of them: the number is the result's.
    async fn cut_at(&self, n: usize, label: &Payer, end: impl AsyncFnOnce(&mut Child)) -> usize {
        let mut gate = (n == 0).then(|| self.locked());
        let (mut child, output) = if n == 0 {
            let (child, output) = self.begin_and_plan(label).await;
            (child, Some(output))
        } else {
            // Close before the point every moment counts.
            let close = || self.lines().len() + 1 >= n;
            (self.begin_until(label, close, || self.lines().len() >= n).await, None)
        };
        gate.get_or_insert_with(|| self.locked());
        end(&mut child).await;
        kill(child).await;
        drop((gate, output));
        self.lines().len()
    }
}

async fn ended(child: Child) -> Ended {
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ended { code: status.code().unwrap_or(-1), said }
}

impl Ended {
    /// A source did not answer the first reads in time: nothing was journaled, nothing was sent.
    fn was_too_late(&self) -> bool {
        self.code == 2 && self.said.contains("did not answer in time") && !self.said.contains("Not done")
    }
}

/// With -9.
async fn kill(mut child: Child) {
    child.kill().unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
}
