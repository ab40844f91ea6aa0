//! Whole drills with the real binary: started, repaired or not, ended, and what the report says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use chrono::Utc;
use nightdesk::sandbox::population::Population;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bench::{self, http};
use crate::command::Desk;

/// `nightdesk drill … --serve`, ready, and a desk with the same journal.
pub struct Drill {
    child: Child,
    out: BufReader<ChildStdout>,
    pub desk: Desk,
}

impl Drill {
    pub fn start(arguments: &[&str]) -> Self {
        let mut desk = Desk::with(vec![("NIGHTDESK_OPERATOR".into(), "test".into())]);
        let mut child = Command::new(bench::executable())
            .arg("drill")
            .args(arguments)
            .args(["--serve", "--json", "--customers", "300"])
            .env_remove("NIGHTDESK_CONFIG")
            .env("NIGHTDESK_OPERATOR", "test")
            .env("NIGHTDESK_STATE_DIR", desk.state.path())
            .env("TMPDIR", bench::home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it said ready");
            if line.trim_end() == "# ready" {
                break;
            }
            let (name, value) = line.trim_end().strip_prefix("export ").and_then(|l| l.split_once('=')).unwrap();
            desk.variables.push((name.to_string(), value.trim_matches('\'').to_string()));
        }
        Self { child, out, desk }
    }

    pub async fn read(&self, path: &str) -> Value {
        http().get(format!("{}{path}", self.desk.variable("NIGHTDESK_SANDBOX_URL"))).send().await.unwrap().json().await.unwrap()
    }

    pub async fn labels(&self, name: &str) -> Vec<Value> {
        self.read(&format!("/incidents/{name}")).await["labels"].as_array().unwrap().clone()
    }

    /// Ends it by the end of its input; exit code and report.
    pub fn end(mut self) -> (Option<i32>, Value) {
        drop(self.child.stdin.take());
        self.report()
    }

    pub fn report(&mut self) -> (Option<i32>, Value) {
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn start(arguments: &'static [&'static str]) -> Drill {
    tokio::task::spawn_blocking(|| Drill::start(arguments)).await.unwrap()
}

fn endings(report: &Value) -> Vec<&str> {
    report["labels"].as_array().unwrap().iter().map(|l| l["ending"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_tells_what_was_repaired_missed_and_wrongly_written() {
    let drill = start(&["missed-webhooks", "--seed", "7", "--count", "3"]).await;
    let labels = drill.labels("missed-webhooks").await;
    assert_eq!(labels.len(), 3);
    let all = drill.read("/incidents").await;
    let others = all["incidents"].as_array().unwrap().iter().filter(|i| i["name"] != "missed-webhooks");
    assert!(others.clone().count() > 0 && others.clone().all(|i| i["subjects"] == 0), "nothing else is broken: {all}");

    let done = drill.desk.repair(labels[0]["customer"].as_str().unwrap(), &[]).await.well();
    assert_eq!(done["state"], "done");
    // Begun and taken back: found, not repaired, and no wrong write.
    let taken = drill.desk.repair(labels[1]["customer"].as_str().unwrap(), &[]).await.well();
    drill.desk.undo(taken["run"].as_str().unwrap()).await.well();
    let mut console = PgConnection::connect(drill.desk.variable("DATABASE_URL")).await.unwrap();
    let broken: Vec<_> = labels.iter().map(|l| format!("'{}'", l["profile"].as_str().unwrap())).collect();
    let healthy =
        format!("SELECT profile_id::text FROM subscriptions WHERE tier = 'FREE' AND profile_id NOT IN ({}) LIMIT 1", broken.join(", "));
    let (healthy,): (String,) = sqlx::query_as(AssertSqlSafe(healthy)).fetch_one(&mut console).await.unwrap();
    console.execute(AssertSqlSafe(format!("UPDATE subscriptions SET tier = 'PRO' WHERE profile_id = '{healthy}'"))).await.unwrap();
    let base = drill.desk.variable("STRIPE_API_BASE");
    let paying = format!(
        "SELECT stripe_subscription_id FROM subscriptions WHERE tier = 'PRO' AND profile_id NOT IN ('{healthy}', {}) LIMIT 1",
        broken.join(", ")
    );
    let (paying,): (String,) = sqlx::query_as(AssertSqlSafe(paying)).fetch_one(&mut console).await.unwrap();
    let url = format!("{base}/v1/subscriptions/{paying}");
    let ended = http().delete(url).bearer_auth(drill.desk.variable("STRIPE_SECRET_KEY")).send().await.unwrap();
    assert_eq!(ended.status(), 200);

    let (code, report) = tokio::task::spawn_blocking(|| drill.end()).await.unwrap();
    assert_eq!(code, Some(1), "{report}");
    let mut ended = endings(&report);
    ended.sort_unstable();
    assert_eq!(ended, ["missed", "missed", "repaired"], "{report}");
    let counts = &report["counts"];
    assert_eq!((&counts["broken"], &counts["found"], &counts["repaired"], &counts["missed"]), (&json!(3), &json!(2), &json!(1), &json!(2)));
    let repaired = report["labels"].as_array().unwrap().iter().find(|l| l["ending"] == "repaired").unwrap();
    assert_eq!(repaired["profile"], labels[0]["profile"]);
    assert!(repaired["green_after"].as_f64().unwrap() > 0.0);
    let writes = report["writes"].as_array().unwrap();
    let wrong: Vec<_> = writes.iter().filter(|w| w["ruling"] == "wrong").map(|w| w["what"].as_str().unwrap()).collect();
    assert_eq!(wrong.len(), 2, "{report}");
    assert!(wrong[0].contains(&healthy) && wrong[0].contains(r#"tier "FREE" → "PRO""#), "{wrong:?}");
    assert!(wrong[1].starts_with("DELETE") && wrong[1].contains(&paying), "{wrong:?}");
    assert_eq!(counts["undone_writes"], 1, "{report}");
    assert_eq!((&report["ok"], &report["drill"]), (&json!(false), &json!("missed-webhooks")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_in_which_all_goes_well_ends_well_by_a_signal_too() {
    let mut drill = start(&["placeholder-customers", "--seed", "8", "--count", "2"]).await;
    for label in drill.labels("placeholder-customers").await {
        drill.desk.repair(label["customer"].as_str().unwrap(), &[]).await.well();
    }
    crate::sandbox::served::signal(drill.child.id(), nix::sys::signal::Signal::SIGTERM);
    let (code, report) = tokio::task::spawn_blocking(move || drill.report()).await.unwrap();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(endings(&report), ["repaired", "repaired"]);
    assert_eq!((&report["ok"], &report["counts"]["wrong_writes"], &report["random"]), (&json!(true), &json!(0), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_at_random_says_what_it_was_only_in_the_end() {
    let drill = start(&["--random", "--seed", "4"]).await;
    let all = drill.read("/incidents").await;
    assert!(all["incidents"].as_array().unwrap().iter().all(|i| i["subjects"].is_null()), "{all}");
    for incident in all["incidents"].as_array().unwrap() {
        let name = incident["name"].as_str().unwrap();
        assert!(drill.read(&format!("/incidents/{name}")).await.get("labels").is_none());
    }
    let chosen = all["incidents"][4]["name"].clone();
    assert!(drill.desk.variables.iter().all(|(_, value)| !value.contains(chosen.as_str().unwrap())));
    let (_, report) = tokio::task::spawn_blocking(|| drill.end()).await.unwrap();
    assert_eq!((&report["drill"], &report["random"]), (&chosen, &json!(true)));
    assert!(!report["labels"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_database_passes_and_is_no_fault_of_anybodys() {
    let drill = start(&["database-restart", "--seed", "4", "--count", "1"]).await;
    let (code, report) = tokio::task::spawn_blocking(|| drill.end()).await.unwrap();
    assert_eq!((code, endings(&report)), (Some(0), vec!["fine"]), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaking_sessions_may_be_ended_and_healthy_ones_may_not() {
    let drill = start(&["pool-exhausted", "--seed", "4", "--count", "2"]).await;
    let labels = drill.labels("pool-exhausted").await;
    let pids = |fate: &str| -> Vec<i64> {
        let session = |l: &Value| l["check"]["session"].clone();
        labels.iter().map(session).filter(|s| s["fate"] == fate).map(|s| s["pid"].as_i64().unwrap()).collect()
    };
    let (leaks, healthy) = (pids("end"), pids("live"));
    assert!(leaks.len() == 2 && !healthy.is_empty());
    let mut admin = PgConnection::connect(drill.desk.variable("ADMIN_DATABASE_URL")).await.unwrap();
    for pid in leaks.iter().chain(&healthy[..1]) {
        admin.execute(AssertSqlSafe(format!("SELECT pg_terminate_backend({pid}, 5000)"))).await.unwrap();
    }
    let (code, report) = tokio::task::spawn_blocking(|| drill.end()).await.unwrap();
    assert_eq!(code, Some(1));
    let ended = endings(&report);
    assert_eq!((ended.iter().filter(|e| **e == "harmed").count(), ended.contains(&"missed")), (1, false), "{report}");
    let wrong: Vec<_> = report["writes"].as_array().unwrap().iter().filter(|w| w["ruling"] == "wrong").collect();
    assert!(wrong.len() == 1 && wrong[0]["what"].as_str().unwrap().contains(&healthy[0].to_string()), "{report}");
    assert_eq!(report["counts"]["repaired"], report["counts"]["broken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_holds_no_address_and_no_name_of_anybody() {
    let drill = start(&["erase-request", "--seed", "6", "--count", "2"]).await;
    let asking: Vec<_> = drill.labels("erase-request").await.iter().map(|l| l["profile"].as_str().unwrap().to_string()).collect();
    let mut admin = PgConnection::connect(drill.desk.variable("ADMIN_DATABASE_URL")).await.unwrap();
    // Two people's documents change places, with their names and addresses.
    let swap = format!(
        "UPDATE profiles p SET data = o.data FROM profiles o
         WHERE p.id IN ('{0}', '{1}') AND o.id IN ('{0}', '{1}') AND p.id <> o.id",
        asking[0], asking[1]
    );
    assert_eq!(admin.execute(AssertSqlSafe(swap)).await.unwrap().rows_affected(), 2);
    let paid = format!("UPDATE subscriptions SET tier = 'ENTERPRISE' WHERE profile_id = '{}'", asking[0]);
    assert_eq!(admin.execute(AssertSqlSafe(paid)).await.unwrap().rows_affected(), 1);

    let (code, report) = tokio::task::spawn_blocking(|| drill.end()).await.unwrap();
    assert_eq!(code, Some(1), "{report}");
    let what: Vec<_> = report["writes"].as_array().unwrap().iter().map(|w| w["what"].as_str().unwrap()).collect();
    assert!(what.contains(&format!("changed profiles of {}: data", asking[0]).as_str()), "{what:?}");
    assert!(what.iter().any(|w| w.contains("→ \"ENTERPRISE\"")), "the columns of the subscription are told: {what:?}");
    let population = Population::new(6, 300, Utc::now());
    let text = report.to_string();
    for number in 0..population.len() {
        let (name, email) = population.name_and_email(number);
        assert!(!text.contains(&name) && !text.contains(&email), "{number}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drills_are_listed_and_what_is_none_is_refused_with_the_list() {
    let desk = Desk::with(Vec::new());
    let list = desk.say(&["drill", "--list", "--json"]).await.well();
    assert!(list.as_array().unwrap().iter().any(|d| d["name"] == "missed-webhooks"));
    for (arguments, words) in [
        (&["drill", "nonsense"][..], &["nonsense", "missed-webhooks", "placeholder-customers"][..]),
        (&["drill"], &["NAME"]),
        (&["drill", "missed-webhooks", "--random"], &["--random"]),
        (&["drill", "missed-webhooks", "--count", "0"], &["--count"]),
        (&["drill", "missed-webhooks", "--customers", "5"], &["--customers"]),
        (&["drill", "missed-webhooks"], &["terminal"]),
        (&["drill", "missed-webhooks", "--serve", "--customers", "100", "--count", "900"], &["more customers"]),
    ] {
        let said = desk.say(arguments).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(words.iter().all(|w| said.err.contains(w)), "{said:?}");
    }
}
