//! Rows that are hidden or late: nothing is called missing, `check` names it, and nothing is written.

use crate::bench::{self, Bench, Options, Payer};
use crate::command::{Desk, Said};
use crate::repair::rows;
use nightdesk::sandbox::cluster::Cluster;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use sqlx::AssertSqlSafe;

/// `find` says that it does not know, and why; it calls nothing missing and recommends nothing.
#[track_caller]
fn unknown(said: &Said, why: &str) {
    assert_eq!(said.code, Some(1), "{said:?}");
    let d = &said.json()["diagnosis"];
    assert_eq!((d["word"].as_str(), d["class"].as_str()), (Some("unknown"), Some("undecided")), "{d}");
    assert!(d["reason"].as_str().unwrap().contains(why), "{d}");
    assert!(d["fix"].is_null(), "{d}");
    let sentence = d["sentence"].as_str().unwrap();
    assert!(!["missing", "Nobody", "without a profile", "has no subscription row"].iter().any(|w| sentence.contains(w)), "{sentence}");
}

/// `run` refuses, and says why.
#[track_caller]
fn nothing_written(said: &Said, why: &str) {
    assert_eq!(said.code, Some(1), "{said:?}");
    let json = said.json();
    assert_eq!(json["state"], "halted", "{json}");
    let says = json["says"].as_str().unwrap();
    assert!(says.contains("Nothing is written") && says.contains(why), "{says}");
}

/// `check` fails, with a line that says all of these words.
#[track_caller]
fn named_by_check(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(1), "{said:?}");
    let failed = said.out.lines().filter(|l| l.starts_with("FAIL"));
    assert!(failed.into_iter().any(|l| words.iter().all(|w| l.contains(w))), "{words:?}: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_hidden_by_row_level_security_are_not_missing() {
    for shape in [Shape::default(), Shape { naming: Naming::Renamed, ..Shape::default() }] {
        let n = shape.names();
        for table in [n.profiles, n.subscriptions] {
            for policy in ["", "USING (false)", "USING (true)"] {
                hidden(shape, table, policy).await;
            }
        }
    }
}

async fn hidden(shape: Shape, table: &str, policy: &str) {
    let bench = Bench::start(Options { shape, ..Options::default() }).await;
    let desk = Desk::of(&bench);
    let placeholder = bench.strike(Incident::PlaceholderCustomers, 1).await.remove(0);
    let missed = bench.strike(Incident::MissedWebhooks, 1).await.remove(0);
    let mut sql = format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;");
    if !policy.is_empty() {
        sql.push_str(&format!("CREATE POLICY partly ON {table} TO nightdesk {policy};"));
    }
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&bench.admin).await.unwrap();
    let before = rows(&bench).await;
    let why = format!("row-level security is active for our role on {table}");
    for label in [&placeholder, &missed] {
        for id in [&label.expected.customer, &label.profile, &label.expected.subscription] {
            // A bigint key is searched for, and what is hidden is not found by searching.
            if shape.naming == Naming::Renamed && *id == label.profile {
                continue;
            }
            unknown(&desk.say(&["find", id, "--json"]).await, &why);
        }
        nothing_written(&desk.repair(&label.expected.customer, &[]).await, &why);
    }
    named_by_check(&desk.say(&["check"]).await, &["row-level security", table, "BYPASSRLS"]);
    assert_eq!(rows(&bench).await, before, "{table} {policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_named_and_never_written_through() {
    let options = SandboxOptions { customers: 300, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    let label = Payer::of(sandbox.ground().labels(Incident::MissedWebhooks).remove(0));
    let of = sandbox.cluster().replica();
    let replica = tokio::task::spawn_blocking(move || Cluster::start(&of, bench::executable())).await.unwrap().unwrap();
    let primary = Desk::with(sandbox.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    let (here, there) = (format!(":{}/", sandbox.cluster().port()), format!(":{}/", replica.port()));
    let desk = primary.but("DATABASE_URL", &primary.variable("DATABASE_URL").replace(&here, &there));
    assert_ne!(desk.variable("DATABASE_URL"), primary.variable("DATABASE_URL"));

    let found = primary.say(&["find", &label.expected.customer, "--json"]).await;
    assert_eq!(found.json()["diagnosis"]["class"], "paid_not_served", "the test can fail: {found:?}");
    unknown(&desk.say(&["find", &label.expected.customer, "--json"]).await, "read replica");
    nothing_written(&desk.repair(&label.expected.customer, &[]).await, "read replica");
    named_by_check(&desk.say(&["check"]).await, &["replica", "connect to the primary"]);
    assert!(!sandbox.ground().repaired(&label).await.unwrap());

    // Somebody who is not there yet may only be late.
    let nobody = "7f3a5b7c-0000-4000-8000-000000000011";
    unknown(&desk.say(&["find", nobody, "--json"]).await, "read replica");
    let answered = primary.say(&["find", nobody]).await;
    assert_eq!((answered.code, answered.err.as_str()), (Some(1), ""));
    assert!(answered.out.contains("in neither the database nor Stripe"), "{answered:?}");
    tokio::task::spawn_blocking(move || replica.stop()).await.unwrap();
    sandbox.stop().await;
}
